"""How the benchmarks time calls that are compared: in turn, each for a while."""

from __future__ import annotations

import statistics
import time


def in_turn(calls, rounds):
    """Run the calls one after the other, round by round, forth and back; return their seconds."""
    times = [[] for _ in calls]
    turns = list(zip(calls, times, strict=True))
    for _ in range(rounds):
        for call, taken in turns:
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
        turns.reverse()  # what runs after a call may run into what it has left behind
    return times


def median_seconds(call, *args, seconds=0.03):
    """Return what a call takes that is made again and again for so long.

    What came before then has no say in the median: the threads of OpenMP, which numba uses, keep
    a CPU busy for some milliseconds after their work, in wait of more; and a system may take as
    long to see that a thread of the pool could run on another CPU.
    """
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        times += in_turn([lambda: call(*args)], 1)[0]
    return statistics.median(times)


def bursts_in_turn(calls, rounds):
    """Time each call by `median_seconds`, in turn, after a rest; return the medians of each."""
    medians = [[] for _ in calls]
    for number in range(rounds):
        turns = list(zip(calls, medians, strict=True))
        for call, taken in turns[:: -1 if number % 2 else 1]:
            time.sleep(0.05)  # until threads that spin after their work have gone to sleep
            taken.append(median_seconds(call))
    return medians
