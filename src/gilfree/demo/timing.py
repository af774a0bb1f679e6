"""What steps clock: ways to do the same work, in turn, and the medians of their times.

A speedup is the ratio of two medians, for the medians stand beside it and whoever divides them
should find the same; its spread is that of the ratios within the rounds.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Self, TypeAlias, TypeVar

from gilfree.measure.clocking import quartiles

# Called with how much of the whole is done, from 0 to 1.
Progress: TypeAlias = Callable[[float], object]
Way = TypeVar("Way")


@dataclasses.dataclass(frozen=True)
class Medians:
    """How long one way took, beside another way that it is compared with.

    Attributes
    ----------
    seconds_low, seconds, seconds_high : float
        Median and quartiles.
    base : float
        The median of the other way.
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
        """Compare the times of two ways, both round by round."""
        low, middle, high = quartiles(times)
        ratios = [other / own for own, other in zip(times, base, strict=True)]
        speedup_low, _, speedup_high = quartiles(ratios)
        median = statistics.median(base)
        return cls(low, middle, high, median, speedup_low, speedup_high, median / middle)


def in_turn(
    ways: Mapping[Way, Callable[[], float]], rounds: int, on_progress: Progress
) -> dict[Way, list[float]]:
    """Run each way once in each round, in turn, after a round that is not counted.

    A way returns the seconds that it took, without what it takes to get ready.
    """
    taken: dict[Way, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, run in ways.items():
            one = run()
            if number:
                taken[way].append(one)
        on_progress((number + 1) / (rounds + 1))
    return taken
