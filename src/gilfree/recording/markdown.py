"""A recording as Markdown, as GitHub renders it: for the summary of a job, or a comment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gilfree._words import counted, readable_time
from gilfree.gil.facts import Facts, Stall
from gilfree.recording.text import (
    MOST_HOLDERS,
    MOST_STALLS,
    MOST_THREADS,
    NOT_KNOWN,
    cell,
    columns_of,
    holder_text,
    name_of,
    place_of,
    unseen,
)

if TYPE_CHECKING:
    from gilfree.recording.recording import Recording

LONGEST_TEXT = 400  # characters of a name that a program chose
# Characters that GitHub interprets, some even within a word: HTML, references, math, tables.
SIGNS = re.compile(r"[\\`*_{}\[\]<>|#~&!$@]")


def page(recording: Recording) -> str:
    """Return what `str(recording)` says, as Markdown."""
    facts = recording.facts
    parts = [f"**{plain(recording.sentence)}**"]
    if facts.threads:
        parts.append("\n".join(_threads(facts)))
    if facts.stopped:
        text = f"The world was stopped, or about to be, for {readable_time(facts.stopped)} in all"
        parts.append(f"{text}, {readable_time(facts.longest_stop or 0.0)} at a stretch.")
    if facts.stalls:
        parts.append(f"The longest of {counted(len(facts.stalls), 'stall')}:")
        parts.append("\n".join(_stalls(facts)))
    if missing := "; ".join(unseen(facts)):
        parts.append(f"Not seen: {plain(missing)}.")
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """Return a text escaped, so that Markdown shows it unchanged, on one line."""
    text = text.encode(errors="replace").decode()  # no lone surrogates
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    short = line if len(line) <= LONGEST_TEXT else f"{line[:LONGEST_TEXT]}…"
    return SIGNS.sub(r"\\\g<0>", short)


def _threads(facts: Facts) -> Iterator[str]:
    names = columns_of(facts)
    yield _row(["thread", *(name.replace("_", " ") for name in names)])
    yield _row(["---", *("---:" for _ in names)])
    for thread in facts.threads[:MOST_THREADS]:
        times = (_unbroken(cell(getattr(thread, name))) for name in names)
        yield _row([plain(name_of(thread)), *times])
    if len(facts.threads) > MOST_THREADS:
        what = "waited" if facts.gil else "was suspended"
        rest = counted(len(facts.threads) - MOST_THREADS, "thread")
        yield _row([f"and {rest} that {what} no longer than these", *("" for _ in names)])


def _stalls(facts: Facts) -> Iterator[str]:
    yield _row(["waited" if facts.gil else "suspended", "thread", "at", "meanwhile"])
    yield _row(["---:", "---", "---:", "---"])
    for stall in facts.stalls[:MOST_STALLS]:
        waiter = plain(stall.waiter or "a thread without a name")
        meanwhile = "<br>".join(_meanwhile(stall, gil=facts.gil)) or NOT_KNOWN[facts.gil]
        waited, start = readable_time(stall.seconds), f"{stall.start:.3f} s"
        yield _row([_unbroken(waited), waiter, _unbroken(start), meanwhile])


def _meanwhile(stall: Stall, *, gil: bool) -> Iterator[str]:
    for holder in stall.holders[:MOST_HOLDERS]:
        yield plain(holder_text(holder, gil=gil))
        if callers := [place_of(each) or "what could not be read" for each in holder.callers or ()]:
            yield f"… called by {', by '.join(map(plain, callers))}"
    if len(stall.holders) > MOST_HOLDERS:
        yield f"{len(stall.holders) - MOST_HOLDERS} more"


def _unbroken(text: str) -> str:
    """Keep a figure and its unit on one line, even in a narrow column."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
