"""What the sampler saw of a thread."""

from __future__ import annotations

from typing import NamedTuple


class Seen(NamedTuple):
    """What a `Watch` saw of one thread, in all its windows."""

    thread: int  # threading.get_ident() of the thread
    seconds: float  # length of the windows
    samples: int
    largest_gap: float  # seconds between two samples, or a sample and the end of a window
    held: float | None  # share of the time in which the thread held the GIL; None without samples
    waiting: float | None  # share in which it waited for the GIL; None if the version does not say
    unknown: float  # share of the time in long gaps, whose state is a guess
    unknown_held: float  # the part of that share that counts as held
    unknown_gaps: int  # the number of these gaps
    flips: int  # changes of state between two samples
    longest_hold: float  # seconds
