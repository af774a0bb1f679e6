"""Who has the GIL? What the sampler sees of a call, and how sure that is."""

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

# The look goes on until `held` is sure, or the time is spent.
PASSIVE_SECONDS = 1.0
# A shorter call is watched many times in one window: to open one costs time, too.
SHORT = 100e-6  # seconds
WINDOW = 1e-3  # seconds
# Changes of state are seen so many times too seldom at worst: who changes may do so in the gaps.
CAREFUL = 3


@dataclasses.dataclass(frozen=True)
class Passive:
    """What the sampler saw; the fields are those of `GilReport`."""

    seconds: float
    calls: int
    held: float | None
    uncertainty: float
    longest_hold: float | None
    samples: int
    largest_gap: float
    result: Any


def look_passively(
    call: Callable[[], Any],
    *,
    repeat: int | None = None,
    interval: float = 20e-6,
    sure: Callable[[float, float], bool] = lambda held, uncertainty: uncertainty <= SURE,
    harness: Callable[[], Any] | None = None,
) -> Passive:
    """Call until it is sure which share of the call the calling thread holds the GIL.

    Parameters
    ----------
    call : callable
    repeat : int, optional
        Calls to make, instead of as many as it takes.
    interval : float, default: 20e-6
        Seconds between two samples.
    sure : callable, optional
        Whether a held share and its uncertainty are enough.
    harness : callable, optional
        What it costs to get to the call: its time is no part of the call's.
    """
    with sampler().Watch(interval) as watch:
        result, first = watched(watch, call)
        times, window = [first], 1
        if first < LONG:  # the first call of a short function warms it up, and does not count
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
    """Return how many calls in a row to watch as one: 1, but for a short call."""
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
    """Take from what was seen of many calls in a row what the harness was."""
    raw, extra = seconds_of(call), 0.0
    if harness is not None:
        raw, extra = seconds_of_both(call, harness)
    seconds = max(raw - extra, 1e-9)
    held, uncertainty = seen.held, uncertainty_of(seen)
    if seconds < release_cost():
        held, uncertainty = 1.0, 0.0  # there is no time in it for a release
    elif held is not None:  # the harness holds the GIL throughout
        held = max(1 - (1 - held) * raw / seconds, 0.0)
        uncertainty = min(uncertainty * raw / seconds, 1.0)
    passive = dataclasses.replace(
        passive_of(seen, seconds, calls, result), held=held, uncertainty=uncertainty
    )
    # A hold may go on from call to call, but that of one call is no longer than the call.
    longest = None if seen.held is None else min(seen.longest_hold, seconds)
    return dataclasses.replace(passive, longest_hold=longest)


def passive_of(seen: Seen, seconds: float, calls: int, result: Any) -> Passive:
    """Return what was seen, with how far off it may be."""
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
    """Call under watch; return the result and the seconds it took."""
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
    # Asking costs more than a short call, so ask only now and then.
    if len(times) < 3 or (len(times) & (len(times) - 1) and times[-1] < 1e-3):
        return False
    if time.perf_counter() > deadline:
        return True
    seen = watch.seen()[0]
    return seen.held is not None and sure(seen.held, uncertainty_of(seen))


def uncertainty_of(seen: Seen) -> float:
    """Return how far the held share may be off.

    Two standard deviations of a share of so many samples; and what may hide in gaps between them.
    """
    if seen.held is None:
        return 1.0
    variance = (seen.held * (1 - seen.held) + 1 / seen.samples) / seen.samples
    return min(2 * math.sqrt(variance) + _hidden(seen), 1.0)


def _hidden(seen: Seen) -> float:
    """Return how far off the held share may be for what the gaps hide.

    A thread that changes its state often may have done so in a gap, however it was before and
    after: then it may have held the GIL throughout, or never. One that was never seen to change
    has hardly done so in a gap alone. If something was not seen in some time, it happens less than
    three times in such a time, with 95% (the rule of three).
    """
    if not seen.unknown_gaps:
        return 0.0
    most = max(seen.unknown_held, seen.unknown - seen.unknown_held)
    known = (1 - seen.unknown) * seen.seconds
    gap = seen.unknown * seen.seconds / seen.unknown_gaps
    changes = (seen.flips + 3) / known * gap if known > 0 else math.inf
    return most * min(CAREFUL * changes, 1.0)
