"""How long a call takes that may be too short to be clocked by itself, and what a release costs."""

from __future__ import annotations

import itertools
import timeit
from collections.abc import Callable
from typing import Any

from gilfree import _kernels

# A call that takes this long is made once alone and once at once, and no more.
LONG = 0.5  # seconds
# No call takes less, with the loop around it.
LEAST_SECONDS = 50e-9
# What is clocked takes at least so long.
CLOCKED_SECONDS = 1e-3
# No release costs less, with or without a GIL: two atomic operations. Clocks show less at times.
LEAST_RELEASE = 10e-9  # seconds


def repeat_call(call: Callable[[], Any], times: int) -> None:
    """Make a call over and over."""
    for _ in itertools.repeat(None, times):
        call()


def times_for(total: float, seconds: float) -> int:
    """Return how many calls of so many seconds take so long in all."""
    return max(1, round(total / max(seconds, LEAST_SECONDS)))


def seconds_of(call: Callable[[], Any]) -> float:
    """Return what a short call takes when it is made over and over, as ``timeit`` clocks it."""
    timer = timeit.Timer("call()", globals={"call": call})
    number = 1
    while (taken := timer.timeit(number)) < CLOCKED_SECONDS:
        number *= 4
    return min(taken, *timer.repeat(4, number)) / number


def seconds_of_both(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, float]:
    """Return what either call takes.

    In turn, and the least of three: what else runs here makes either longer.
    """
    pairs = [(seconds_of(one), seconds_of(other)) for _ in range(3)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def release_cost() -> float:
    """Return the seconds that it costs to release the GIL once and to acquire it again."""
    held, released = seconds_of_both(_kernels.empty_gil, _kernels.empty_nogil)
    return max(released - held, LEAST_RELEASE)
