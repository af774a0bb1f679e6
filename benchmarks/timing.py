"""How the benchmarks time calls that they compare: interleaved, in rounds."""

from __future__ import annotations

import statistics
import time


def interleaved(calls, rounds):
    """Run each call once a round, in alternating order; return the seconds of each call."""
    times = [[] for _ in calls]
    turns = list(zip(calls, times, strict=True))
    for _ in range(rounds):
        for call, taken in turns:
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
        turns.reverse()  # a call may slow down the one after it, so each comes first as often
    return times


def median_seconds(call, *args, seconds=0.03):
    """Repeat a call for `seconds` and return its median time.

    The median hides what the previous call leaves behind for some milliseconds: OpenMP threads,
    which numba uses, spin after their work, and the system may not yet have moved a thread of the
    pool to a free CPU.
    """
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        times += interleaved([lambda: call(*args)], 1)[0]
    return statistics.median(times)


def interleaved_bursts(calls, rounds):
    """Time each call by `median_seconds`, once a round after a pause; return all medians."""
    medians = [[] for _ in calls]
    for number in range(rounds):
        turns = list(zip(calls, medians, strict=True))
        for call, taken in turns[:: -1 if number % 2 else 1]:
            time.sleep(0.05)  # threads that spin after their work go to sleep
            taken.append(median_seconds(call))
    return medians
