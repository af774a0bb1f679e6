"""A recording as text: sentence, table of threads, longest stalls, and what was not seen."""

from __future__ import annotations

import os.path
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from gilfree._words import counted, readable_time
from gilfree.gil.facts import Caller, Facts, Holder, Stall, ThreadTimes

WIDTH = 80
MOST_THREADS, MOST_STALLS, MOST_HOLDERS = 20, 5, 3  # entries of each list
INDENT = " " * 12
NAME_WIDTH = 24
# The names of the states of a thread, in the order of `timeline.STATES`, on a Python with a GIL and
# on one without. `ThreadTimes` has attributes of the first four names.
WITH_GIL = "held", "waiting", "running", "blocked", "unread"
WITHOUT_GIL = "attached", "suspended", "running", "blocked", "unread"

# What a stall without holders says: with a GIL, and without one.
NOT_KNOWN = {True: "not known who held the GIL", False: "not known who stopped the world"}


def states_of(facts: Facts) -> tuple[str, ...]:
    """Return the names of the states of a thread on the Python that was recorded."""
    return WITH_GIL if facts.gil else WITHOUT_GIL


def columns_of(facts: Facts) -> tuple[str, ...]:
    """Return the attributes of `ThreadTimes` that a table shows."""
    held, waiting, *rest, _ = states_of(facts)
    longest = ("wait", "hold") if facts.gil else (waiting, held)
    return waiting, held, *rest, *(f"longest_{what}" for what in longest)


def name_of(thread: ThreadTimes) -> str:
    """Return what to call a thread."""
    return thread.name or f"thread {thread.native_id}"


def place_of(holder: Holder | Caller) -> str:
    """Return the Python function, file and line of a holder or a caller; empty if not known."""
    if holder.function is None or holder.file is None:
        return ""
    line = "" if holder.line is None else f":{holder.line}"
    return f"{holder.function} ({os.path.basename(holder.file)}{line})"


def report(sentence: str, facts: Facts) -> str:
    """Return the whole report."""
    lines = textwrap.wrap(sentence, WIDTH, subsequent_indent="  ")
    if facts.threads:
        lines += ["", *_table(facts)]
    if facts.stopped:
        text = f"the world was stopped, or about to be, for {readable_time(facts.stopped)} in all"
        lines += ["", f"{text}, {readable_time(facts.longest_stop or 0.0)} at a stretch"]
    if facts.stalls:
        lines += ["", f"the longest of {counted(len(facts.stalls), 'stall')}:"]
        for stall in facts.stalls[:MOST_STALLS]:
            lines += _stall(stall, gil=facts.gil)
    if missing := "; ".join(unseen(facts)):
        lines += ["", *textwrap.wrap(f"not seen: {missing}", WIDTH, subsequent_indent="  ")]
    return "\n".join(lines)


def _table(facts: Facts) -> Iterator[str]:
    threads, names = facts.threads, columns_of(facts)
    under = ("wait", "hold") if facts.gil else ("susp.", "attach.")
    # "suspended" is wider than other columns, and needs a space before it.
    widths = [max(9, len(name) + 1) for name in names[:4]] + [9, 9]
    yield _row("", (*names[:4], "longest", "longest"), widths).rstrip()
    yield _row("thread", ("", "", "", "", *under), widths).rstrip()
    for thread in threads[:MOST_THREADS]:
        times = [getattr(thread, column) for column in names]
        name = name_of(thread)
        if len(name) >= NAME_WIDTH:
            name = f"{name[: NAME_WIDTH - 2]}…"
        yield _row(name, map(cell, times), widths)
    if len(threads) > MOST_THREADS:
        what = "waited" if facts.gil else "was suspended"
        rest = counted(len(threads) - MOST_THREADS, "thread")
        yield f"and {rest} that {what} no longer than these"


def _row(name: str, cells: Iterable[str], widths: Sequence[int]) -> str:
    return f"{name:{NAME_WIDTH}}" + "".join(
        f"{text:>{width}}" for text, width in zip(cells, widths, strict=True)
    )


def cell(time: float | None) -> str:
    """Return a time as a cell of a table."""
    if time is None:
        return "?"
    return readable_time(time) if time else "–"


def _stall(stall: Stall, *, gil: bool) -> Iterator[str]:
    waiter = stall.waiter or "a thread without a name"
    shown = stall.holders[:MOST_HOLDERS]
    parts = [holder_text(holder, gil=gil) for holder in shown]
    if len(stall.holders) > MOST_HOLDERS:
        parts.append(f"{len(stall.holders) - MOST_HOLDERS} more")
    meanwhile = "; ".join(parts) or NOT_KNOWN[gil]
    text = f"{readable_time(stall.seconds):>9}  {waiter}, at {stall.start:.3f} s: {meanwhile}"
    yield from textwrap.wrap(text, WIDTH, subsequent_indent=INDENT)
    for holder in shown:
        if holder.callers:
            yield f"{INDENT}{place_of(holder)} was called"
        for caller in holder.callers or ():
            yield f"{INDENT}  by {place_of(caller) or 'what could not be read'}"


def holder_text(holder: Holder, *, gil: bool) -> str:
    """Say which thread held the GIL, or was attached, for how long, and where."""
    how = {True: ", in one C call", False: ", in bytecode", None: ""}[holder.in_c]
    did = "held it" if gil else "was attached"
    place = place_of(holder)
    where = f" in {place}" if place else ", not known where"
    who = holder.thread or "a thread without a name"
    return f"{who} {did} for {readable_time(holder.seconds)}{where}{how}"


def unseen(facts: Facts) -> Iterator[str]:
    """Say what the recorder could not see."""
    if any(thread.running is None for thread in facts.threads):
        yield "what the system does not report, marked with ?"
    if facts.missed:
        gap = readable_time(facts.largest_gap)
        yield f"{readable_time(facts.missed)} in gaps of up to {gap} between two samples"
    if facts.unseen_threads:
        threads = counted(facts.unseen_threads, "thread")
        yield f"{threads} that started and ended between two samples"
    if facts.gil_came:
        yield (
            "when a module switched the GIL on: from then on, attached threads held it, and "
            "suspended ones waited"
        )
    if facts.unlisted_threads:
        yield f"{counted(facts.unlisted_threads, 'thread')} more than can be told apart"
    if facts.dropped_stalls:
        yield f"{counted(facts.dropped_stalls, 'stall')}, shorter than all those listed"
