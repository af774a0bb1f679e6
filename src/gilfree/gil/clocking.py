"""The duration of calls, also of very short ones, and the cost of a release."""

from __future__ import annotations

import itertools
import timeit
from collections.abc import Callable
from typing import Any

from gilfree import _kernels

# A call that takes LONG or longer is made once alone, and once by each worker.
LONG = 0.5  # seconds
# The least that a call takes, with the loop around it.
LEAST_SECONDS = 50e-9
# A short call is repeated until all take at least this long.
CLOCKED_SECONDS = 1e-3
# The least that a release costs, with or without a GIL: two atomic operations. A measured
# difference may be smaller, since clocks are noisy.
LEAST_RELEASE = 10e-9  # seconds


def repeat_call(call: Callable[[], Any], times: int) -> None:
    """Call a function `times` times."""
    for _ in itertools.repeat(None, times):
        call()


def times_for(total: float, seconds: float) -> int:
    """Return how many calls of `seconds` take `total` seconds."""
    return max(1, round(total / max(seconds, LEAST_SECONDS)))


def seconds_of(call: Callable[[], Any]) -> float:
    """Return the seconds that a short call takes in a loop, as ``timeit`` clocks it."""
    timer = timeit.Timer("call()", globals={"call": call})
    number = 1
    while (taken := timer.timeit(number)) < CLOCKED_SECONDS:
        number *= 4
    return min(taken, *timer.repeat(4, number)) / number


def seconds_of_both(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds that each of two calls takes.

    They are clocked interleaved. Other programs lengthen a call, so the shortest of three counts.
    """
    pairs = [(seconds_of(one), seconds_of(other)) for _ in range(3)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def release_cost() -> float:
    """Return the seconds that releasing and acquiring the GIL once costs."""
    held, released = seconds_of_both(_kernels.empty_gil, _kernels.empty_nogil)
    return max(released - held, LEAST_RELEASE)
