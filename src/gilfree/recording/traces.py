"""What the formats for trace viewers share: slices, names, thread numbers, limits of size."""

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

MOST_SLICES = 1 << 17  # of all threads together: about 50 MB of text, with names of usual length
MOST_CHARACTERS = 120  # of a name or a path
MOST_HOLDERS = 3  # of a stall
BEYOND_THREADS = 1 << 22  # Linux numbers its threads below this
MIXED = "mixed"  # the state of a slice that was joined from slices of several states

# No \uXXXX, which some viewers can't read, and no spaces, which would be a tenth of the file.
as_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

Micros = npt.NDArray[np.int64]


class Slice(NamedTuple):
    """What a thread did between two times, in whole microseconds; with shares of states if mixed.

    Whole numbers add up exactly in any viewer, and samples are further apart than a microsecond.
    """

    start: int
    end: int
    state: str
    shares: dict[str, float]


def edges_of(lane: Lane) -> Micros:
    """Return the edges of a lane's slices in microseconds."""
    return np.rint(lane.edges * 1e6).astype(np.int64)


def slices_of(lane: Lane, names: tuple[str, ...]) -> Iterator[Slice]:
    """Yield the slices of a thread that are not empty; `names` are those of `text.states_of`."""
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
    """Return a unique number for each thread: its native id, unless an earlier thread had it."""
    used: set[int] = set()
    numbers = []
    for thread in recording.threads:
        number = thread.native_id
        while number in used:  # BEYOND_THREADS itself is the number of the GIL's track
            number = max(number, BEYOND_THREADS) + 1
        used.add(number)
        numbers.append(number)
    return numbers


def names_of(recording: Recording) -> list[str]:
    """Return the name of each thread."""
    return [plain(name_of(thread)) for thread in recording.threads]


def plain(text: str) -> str:
    """Return text without control characters or lone surrogates, of at most MOST_CHARACTERS."""
    if len(text) > MOST_CHARACTERS:
        half = MOST_CHARACTERS // 2
        text = f"{text[: half - 1]}…{text[-half:]}"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def who_and_where(
    holder: Holder, names: Sequence[str], numbers: Sequence[int]
) -> dict[str, str | int | float | bool]:
    """Return what is known of a holder, without what is None."""
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
    """Return what a reader must know about the recording as a whole."""
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
