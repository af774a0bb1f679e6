"""For which share of a call does its thread hold the GIL? From samples, with the uncertainty."""

from __future__ import annotations

import dataclasses
import math
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from gilfree.gil.clocking import (
    LONG,
    release_cost,
    repeat_call,
    seconds_of,
    seconds_of_both,
    times_for,
)
from gilfree.gil.sampler import sampler
from gilfree.gil.verdict import SURE

if TYPE_CHECKING:
    from gilfree.gil._sampler import Watch
    from gilfree.gil.seen import Seen

# Calls are sampled until `held` is sure, or for PASSIVE_SECONDS.
PASSIVE_SECONDS = 1.0
# Calls shorter than SHORT share windows of WINDOW seconds. To open a window costs time, and the
# state at the edges of a window is known less well: most calls hold the GIL there.
SHORT = 1e-3  # seconds
WINDOW = 5e-3  # seconds
# Changes of state may fall into gaps. At worst, CAREFUL times as many happened as were sampled.
CAREFUL = 3


@dataclasses.dataclass(frozen=True)
class Passive:
    """The result of the samples; `GilReport` documents the fields."""

    seconds: float
    calls: int
    held: float | None
    uncertainty: float
    longest_hold: float | None
    samples: int
    largest_gap: float
    result: Any


def sample_calls(
    call: Callable[[], Any],
    *,
    repeat: int | None = None,
    interval: float = 20e-6,
    sure: Callable[[float, float], bool] = lambda held, uncertainty: uncertainty <= SURE,
    harness: Callable[[], Any] | None = None,
) -> Passive:
    """Call and sample until the share in which the calling thread holds the GIL is sure.

    Parameters
    ----------
    call : callable
    repeat : int, optional
        Number of calls, instead of as many as the answer needs.
    interval : float, default: 20e-6
        Mean time between two samples, in seconds.
    sure : callable, optional
        Takes a held share and its uncertainty; returns whether they are sure enough.
    harness : callable, optional
        The overhead of a call: its time is subtracted from that of the call.
    """
    with sampler().Watch(interval) as watch:
        result, first = watched(watch, call)
        times, window = [first], 1
        if first < LONG:  # the first of many calls only warms up: it does not count
            watch.forget()
            times.clear()
            window = calls_of_a_window(call, first, repeat)
            work = call if window == 1 else partial(repeat_call, call, window)
            deadline = time.perf_counter() + PASSIVE_SECONDS
            while not _enough(watch, times, repeat and repeat // window, deadline, sure):
                times.append(watched(watch, work)[1])
        seen = watch.seen()[0]
    if window == 1:
        return passive_of(seen, statistics.median(times), len(times), result)
    return _of_windows(seen, call, harness, len(times) * window, result)


def calls_of_a_window(call: Callable[[], Any], first: float, repeat: int | None) -> int:
    """Return how many calls share a window: 1, except for short calls."""
    if first > LONG / 10:
        return 1
    seconds = min(first, seconds_of(call))
    if seconds >= SHORT:
        return 1
    return min(times_for(WINDOW, seconds), repeat or sys.maxsize)


def _of_windows(
    seen: Seen,
    call: Callable[[], Any],
    harness: Callable[[], Any] | None,
    calls: int,
    result: Any,
) -> Passive:
    """Return the result for short calls that shared windows, without the harness's part."""
    raw, extra = seconds_of(call), 0.0
    if harness is not None:
        raw, extra = seconds_of_both(call, harness)
    seconds = max(raw - extra, 1e-9)
    held, uncertainty = seen.held, uncertainty_of(seen)
    if seconds < release_cost():
        held, uncertainty = 1.0, 0.0  # the call is too short for a release
    elif held is not None:  # the harness holds the GIL all the time
        held = max(1 - (1 - held) * raw / seconds, 0.0)
        uncertainty = min(uncertainty * raw / seconds, 1.0)
    passive = dataclasses.replace(
        passive_of(seen, seconds, calls, result), held=held, uncertainty=uncertainty
    )
    # A hold may span several calls, but within one call it is no longer than the call.
    longest = None if seen.held is None else min(seen.longest_hold, seconds)
    return dataclasses.replace(passive, longest_hold=longest)


def passive_of(seen: Seen, seconds: float, calls: int, result: Any) -> Passive:
    """Return the result of samples, with its uncertainty."""
    return Passive(
        seconds=seconds,
        calls=calls,
        held=seen.held,
        uncertainty=uncertainty_of(seen),
        longest_hold=None if seen.held is None else seen.longest_hold,
        samples=seen.samples,
        largest_gap=seen.largest_gap,
        result=result,
    )


def watched(watch: Watch, call: Callable[[], Any]) -> tuple[Any, float]:
    """Call within a window of the sampler; return the call's result and its seconds."""
    start = time.perf_counter()
    watch.begin()
    try:
        result = call()
    finally:
        watch.end()
    return result, time.perf_counter() - start


def _enough(
    watch: Watch,
    times: list[float],
    repeat: int | None,
    deadline: float,
    sure: Callable[[float, float], bool],
) -> bool:
    if repeat is not None:
        return len(times) >= repeat
    # watch.seen() takes longer than a short call: check only after 4, 8, 16 ... of these.
    if len(times) < 3 or (len(times) & (len(times) - 1) and times[-1] < 1e-3):
        return False
    if time.perf_counter() > deadline:
        return True
    seen = watch.seen()[0]
    return seen.held is not None and sure(seen.held, uncertainty_of(seen))


def uncertainty_of(seen: Seen) -> float:
    """Return by how much the held share may be wrong.

    The sum of two standard deviations of a share of that many samples, and of what gaps may hide.
    """
    if seen.held is None:
        return 1.0
    variance = (seen.held * (1 - seen.held) + 1 / seen.samples) / seen.samples
    return min(2 * math.sqrt(variance) + _hidden(seen), 1.0)


def _hidden(seen: Seen) -> float:
    """Return by how much the held share may be wrong because of the unknown gaps.

    A thread that often changes its state may do so in a gap, even if its state is the same before
    and after. Then it may have held the GIL for all of the gap, or for none of it. The number of
    changes in a gap is estimated from those between samples, plus three: an event that was never
    seen in some time happens less than three times in such a time, with 95% (the rule of three).
    """
    if not seen.unknown_gaps:
        return 0.0
    most = max(seen.unknown_held, seen.unknown - seen.unknown_held)
    known = (1 - seen.unknown) * seen.seconds
    gap = seen.unknown * seen.seconds / seen.unknown_gaps
    changes = (seen.flips + 3) / known * gap if known > 0 else math.inf
    return most * min(CAREFUL * changes, 1.0)
