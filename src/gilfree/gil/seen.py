"""What the sampler saw of a thread."""

from __future__ import annotations

from typing import NamedTuple


class Seen(NamedTuple):
    """What a `Watch` saw of one thread, in all its windows."""

    thread: int  # as threading.get_ident() has it
    seconds: float  # length of the windows
    samples: int
    largest_gap: float  # seconds between two samples, or a sample and the end of a window
    held: float | None  # share of the time in which the thread had the GIL; None without samples
    waiting: float | None  # share in which it wanted the GIL; None where the version does not say
    unknown: float  # share of the time of which the samples tell nothing, and which is a guess
    unknown_held: float  # the part of that share that was taken for held
    unknown_gaps: int  # that it consists of
    flips: int  # changes of state that were seen
    longest_hold: float  # seconds
