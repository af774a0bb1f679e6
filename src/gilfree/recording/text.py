"""A recording as text: the sentence, a table of threads, the worst stalls, what was not seen."""

from __future__ import annotations

import os.path
import textwrap
from collections.abc import Iterator, Sequence

from gilfree._words import counted, readable_time
from gilfree.gil.facts import Caller, Facts, Holder, Stall, ThreadTimes

WIDTH = 80
MOST_THREADS, MOST_STALLS, MOST_HOLDERS = 20, 5, 3  # that are listed
INDENT = " " * 12
COLUMNS = ("waiting", "held", "running", "blocked")
NAME_WIDTH = 24


def name_of(thread: ThreadTimes) -> str:
    """Return what to call a thread."""
    return thread.name or f"thread {thread.native_id}"


def place_of(holder: Holder | Caller) -> str:
    """Return where a holder was in Python, or a caller of it, as far as it is known."""
    if holder.function is None or holder.file is None:
        return ""
    line = "" if holder.line is None else f":{holder.line}"
    return f"{holder.function} ({os.path.basename(holder.file)}{line})"


def report(sentence: str, facts: Facts) -> str:
    """Return the whole of it."""
    lines = textwrap.wrap(sentence, WIDTH, subsequent_indent="  ")
    if facts.threads:
        lines += ["", *_table(facts.threads)]
    if facts.stalls:
        lines += ["", f"the longest of {counted(len(facts.stalls), 'stall')}:"]
        for stall in facts.stalls[:MOST_STALLS]:
            lines += _stall(stall)
    if missing := "; ".join(unseen(facts)):
        lines += ["", *textwrap.wrap(f"not seen: {missing}", WIDTH, subsequent_indent="  ")]
    return "\n".join(lines)


def _table(threads: Sequence[ThreadTimes]) -> Iterator[str]:
    heads = "".join(f"{head:>9}" for head in (*COLUMNS, "longest", "longest"))
    yield f"{'':{NAME_WIDTH}}{heads}".rstrip()
    heads = "".join(f"{head:>9}" for head in ("", "", "", "", "wait", "hold"))
    yield f"{'thread':{NAME_WIDTH}}{heads}".rstrip()
    for thread in threads[:MOST_THREADS]:
        times = [getattr(thread, column) for column in COLUMNS]
        times += [thread.longest_wait, thread.longest_hold]
        name = textwrap.shorten(name_of(thread), NAME_WIDTH - 1, placeholder="…")
        cells = "".join(f"{cell(time):>9}" for time in times)
        yield f"{name:{NAME_WIDTH}}{cells}"
    if len(threads) > MOST_THREADS:
        yield f"and {counted(len(threads) - MOST_THREADS, 'thread')} that waited no longer"


def cell(time: float | None) -> str:
    """Return a time as it stands in a table."""
    if time is None:
        return "?"
    return readable_time(time) if time else "–"


def _stall(stall: Stall) -> Iterator[str]:
    waiter = stall.waiter or "a thread without a name"
    shown = stall.holders[:MOST_HOLDERS]
    parts = [holder_text(holder) for holder in shown]
    if len(stall.holders) > MOST_HOLDERS:
        parts.append(f"{len(stall.holders) - MOST_HOLDERS} more")
    meanwhile = "; ".join(parts) or "not known who had the GIL"
    text = f"{readable_time(stall.seconds):>9}  {waiter}, at {stall.start:.3f} s: {meanwhile}"
    yield from textwrap.wrap(text, WIDTH, subsequent_indent=INDENT)
    for holder in shown:
        if holder.callers:
            yield f"{INDENT}{place_of(holder)} was called"
        for caller in holder.callers or ():
            yield f"{INDENT}  by {place_of(caller) or 'what could not be read'}"


def holder_text(holder: Holder) -> str:
    """Say who had the GIL for how long, and where."""
    how = {True: ", in one C call", False: ", in bytecode", None: ""}[holder.in_c]
    place = place_of(holder)
    where = f" in {place}" if place else ", where is not known"
    who = holder.thread or "a thread without a name"
    return f"{who} had it for {readable_time(holder.seconds)}{where}{how}"


def unseen(facts: Facts) -> Iterator[str]:
    """Say what the recorder could not see."""
    if any(thread.running is None for thread in facts.threads):
        yield "what the system does not tell, which is marked with ?"
    if facts.missed:
        gap = readable_time(facts.largest_gap)
        yield f"{readable_time(facts.missed)} in gaps of up to {gap} between two looks"
    if facts.unseen_threads:
        yield f"{counted(facts.unseen_threads, 'thread')} that came and went between two looks"
    if facts.unlisted_threads:
        yield f"{counted(facts.unlisted_threads, 'thread')} beyond those that are told apart"
    if facts.dropped_stalls:
        yield f"{counted(facts.dropped_stalls, 'stall')}, shorter than all that are listed"
