"""Interleaved timings of several ways to do the same work, and the medians of their times.

A speedup is the ratio of two medians, so that it agrees with the medians beside it in a table. Its
spread is that of the ratios within the rounds.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Self, TypeAlias, TypeVar

from gilfree.measure.clocking import quartiles

# A function that is called with the share of the work that is done, from 0 to 1.
Progress: TypeAlias = Callable[[float], object]
Way = TypeVar("Way")


@dataclasses.dataclass(frozen=True)
class Medians:
    """How long one way took, compared with another way.

    Attributes
    ----------
    seconds_low, seconds, seconds_high : float
        Lower quartile, median and upper quartile, in seconds.
    base : float
        The median of the other way, in seconds.
    speedup_low, speedup_high : float
        Quartiles of the ratios within the rounds.
    speedup : float
        The ratio of the medians.
    """

    seconds_low: float
    seconds: float
    seconds_high: float
    base: float
    speedup_low: float
    speedup_high: float
    speedup: float

    @classmethod
    def of(cls, times: Sequence[float], base: Sequence[float]) -> Self:
        """Compare the times of two ways, which were measured in the same rounds."""
        low, middle, high = quartiles(times)
        ratios = [other / own for own, other in zip(times, base, strict=True)]
        speedup_low, _, speedup_high = quartiles(ratios)
        median = statistics.median(base)
        return cls(low, middle, high, median, speedup_low, speedup_high, median / middle)


def interleaved(
    ways: Mapping[Way, Callable[[], float]], rounds: int, on_progress: Progress
) -> dict[Way, list[float]]:
    """Run every way once in each round, after a first round that does not count.

    A way returns how many seconds it took, without its preparation.
    """
    taken: dict[Way, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, run in ways.items():
            seconds = run()
            if number:
                taken[way].append(seconds)
        on_progress((number + 1) / (rounds + 1))
    return taken
