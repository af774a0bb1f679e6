"""Timing of calls: seconds of a call, threads that are awake before it, quartiles."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import BrokenBarrierError

from gilfree._chunks import Chunks
from gilfree._start_line import StartLine
from gilfree.kernels.pool import Workers

# How long workers that run concurrently spin before they are timed.
AWAKE_SECONDS = 1e-3


def seconds(call: Callable[[], object], calls: int = 1) -> float:
    """Make `calls` calls and return the mean seconds of one."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def wake(workers: int, threads: ThreadPoolExecutor | None = None) -> None:
    """Wake `workers` threads of `threads` or of gilfree's own pool, each on a CPU of its own.

    Helpers of gilfree's pool stay awake long enough for a kernel that is called next.
    """
    if workers < 2:
        return  # the caller is awake
    line = StartLine(workers)
    with contextlib.suppress(BrokenBarrierError):  # some threads did not start: do without them
        if threads is None:

            def wait(chunks: Chunks) -> None:
                for _ in chunks:
                    line.wait(AWAKE_SECONDS, 1.0)

            Workers(workers).share(wait, workers)
        else:
            list(threads.map(lambda _: line.wait(AWAKE_SECONDS, 1.0), range(workers)))


def worker_counts(most: int) -> list[int]:
    """Return 1, 2, 4 ... and `most`."""
    return sorted({2**power for power in range(most.bit_length())} | {most})


def quartiles(values: Sequence[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile."""
    return statistics.quantiles(values, method="inclusive") if len(values) > 1 else [*values] * 3
