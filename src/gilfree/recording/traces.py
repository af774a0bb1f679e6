"""What the formats for trace viewers have in common: slices, names, numbers, and bounds of size."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gilfree._words import readable_time
from gilfree.gil.facts import Facts, Holder
from gilfree.recording.text import name_of
from gilfree.recording.timeline import Lane

if TYPE_CHECKING:
    from gilfree.recording.recording import Recording

# Of all threads: at most about 50 MB of text, with names of usual length.
MOST_SLICES = 1 << 17
MOST_CHARACTERS = 120  # of a name or a path
MOST_HOLDERS = 3  # of a stall
BEYOND_THREADS = 1 << 22  # Linux gives no thread this number, nor a higher one
MIXED = "mixed"  # a slice that was joined from several states

# Characters as they are: some readers know no \uXXXX. Spaces would be a tenth of the file.
as_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

Micros = npt.NDArray[np.int64]


class Slice(NamedTuple):
    """What a thread did from one microsecond to another; with shares of the states if mixed.

    Whole numbers add up and compare as they should in any reader, and no look takes less.
    """

    start: int
    end: int
    state: str
    shares: dict[str, float]


def edges_of(lane: Lane) -> Micros:
    """Return the edges of its slices in microseconds."""
    return np.rint(lane.edges * 1e6).astype(np.int64)


def slices_of(lane: Lane, names: tuple[str, ...]) -> Iterator[Slice]:
    """Yield the slices of a thread, but for those of no length; `text.states_of` has the names."""
    edges, shares = edges_of(lane).tolist(), lane.shares.round(3)
    states = shares.argmax(axis=1).tolist()
    for start, end, state, mix in zip(edges[:-1], edges[1:], states, shares.tolist(), strict=True):
        if start == end:
            continue
        if mix[state] == 1:
            yield Slice(start, end, names[state], {})
        else:
            named = zip(names, mix, strict=True)
            yield Slice(start, end, MIXED, {name: share for name, share in named if share})


def numbers_of(recording: Recording) -> list[int]:
    """Return a number for each thread: the system's, unless it had given that to one before."""
    taken: set[int] = set()
    numbers = []
    for thread in recording.threads:
        number = thread.native_id
        while number in taken:  # the first one is left to the GIL
            number = max(number, BEYOND_THREADS) + 1
        taken.add(number)
        numbers.append(number)
    return numbers


def names_of(recording: Recording) -> list[str]:
    """Return what to call each thread."""
    return [plain(name_of(thread)) for thread in recording.threads]


def plain(text: str) -> str:
    """Return text without control characters or halves of characters, and not too long."""
    if len(text) > MOST_CHARACTERS:
        half = MOST_CHARACTERS // 2
        text = f"{text[: half - 1]}…{text[-half:]}"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def who_and_where(
    holder: Holder, names: Sequence[str], numbers: Sequence[int]
) -> dict[str, str | int | float | bool]:
    """Return what is known of a holder."""
    known = {
        "thread": holder.thread if holder.index is None else names[holder.index],
        "tid": None if holder.index is None else numbers[holder.index],
        "ms": round(holder.seconds * 1e3, 3),
        "function": holder.function,
        "file": holder.file,
        "line": holder.line,
        "in_c": holder.in_c,
    }
    return {
        name: plain(value) if isinstance(value, str) else value
        for name, value in known.items()
        if value is not None
    }


def remarks(facts: Facts, grain: float) -> dict[str, Any]:
    """Return what a reader must know of the recording as a whole."""
    known: dict[str, Any] = {
        "seconds": facts.seconds,
        "looks": facts.looks,
        "missed seconds": facts.missed,
        "largest gap in seconds": facts.largest_gap,
        "threads not seen": facts.unseen_threads + facts.unlisted_threads,
        "stalls not listed": facts.dropped_stalls,
    }
    if grain:
        known["joined"] = (
            f"slices of a thread that together took less than {readable_time(grain)}, "
            f"under the name {MIXED}"
        )
    return known
