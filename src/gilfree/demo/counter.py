"""Why there is a lock: what threads that add to one counter lose without it."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np

from gilfree import _kernels
from gilfree._start_line import StartLine
from gilfree.demo.phrases import times_as_fast, up_to
from gilfree.demo.setup import Setup
from gilfree.demo.step import Machine, Step
from gilfree.demo.table import Column, Shown, Timed
from gilfree.demo.timing import Medians, Progress, interleaved
from gilfree.measure.clocking import AWAKE_SECONDS

WAYS = {
    "held": "one counter, GIL held",
    "released": "one counter, GIL released",
    "private": "a counter each, GIL released",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Count(Timed):
    """One way to count (see `WAYS`), compared with one counter and the GIL held.

    `lost` is the largest number of updates that were lost in a round.
    """

    way: str
    workers: int
    updates: int
    lost: int


def measure(setup: Setup, _: str, on_progress: Progress) -> list[Count]:
    """Count in every way, on at least two threads, since a race needs two."""
    # Enough for the threads to overlap even if other programs use the same CPUs. If they overlap
    # all the time, counting takes 20 times as long as on one thread.
    times = 20_000_000 if setup.quick else 100_000_000
    workers = max(setup.workers, 2)
    counter = np.zeros(1, np.int64)
    counts: dict[str, Callable[[], Any]] = {
        "held": functools.partial(_kernels.count_gil, counter, times),
        "released": functools.partial(_kernels.count_nogil, counter, times),
        "private": functools.partial(_kernels.count_private_nogil, times),
    }
    lost: dict[str, list[int]] = {way: [] for way in counts}

    def add_up(way: str, threads: Executor) -> float:
        counter[0] = 0
        own_counts, taken = _together(counts[way], workers, threads)
        total = sum(own_counts) if way == "private" else int(counter[0])
        lost[way].append(times * workers - total)
        return taken

    with ThreadPoolExecutor(workers) as threads:
        ways = {way: functools.partial(add_up, way, threads) for way in counts}
        taken = interleaved(ways, setup.rounds(5), on_progress)
    return [
        Count(
            way=way,
            workers=workers,
            updates=times * workers,
            lost=max(lost[way]),
            times=Medians.of(taken[way], taken["held"]),
        )
        for way in ways
    ]


def _together(work: Callable[[], Any], workers: int, threads: Executor) -> tuple[list[Any], float]:
    """Run work on `workers` threads that start together, awake; return results, and seconds."""
    line = StartLine(workers)

    def run(_: int) -> tuple[float, Any, float]:
        line.wait(AWAKE_SECONDS, 60.0)
        return time.perf_counter(), work(), time.perf_counter()

    starts, results, ends = zip(*threads.map(run, range(workers)), strict=True)
    return list(results), max(ends) - min(starts)


def columns(rows: Sequence[Count]) -> list[Column]:
    """Show a row for each way to count."""
    shown = Shown.of(rows)
    return [
        Column("how", [WAYS[row.way] for row in rows]),
        Column("threads", [str(row.workers) for row in rows]),
        Column("ms", [shown.ms(row) for row in rows]),
        Column("updates", [f"{row.updates:,}" for row in rows]),
        Column("most lost", [f"{row.lost:,}" for row in rows]),
    ]


def sentence(rows: Sequence[Count], machine: Machine) -> str:
    """Say what was lost without the lock and with it, and how fast a counter for each thread is."""
    held, released, private = rows
    if released.lost:
        seen = f"Without the lock, {up_to(released.lost, released.updates)} were lost"
    else:
        seen = (
            "Without the lock, no update was lost this time, since the threads hardly overlapped: "
            "that is luck, and no guarantee"
        )
    if held.lost:
        seen += f"; with it, too, {up_to(held.lost, held.updates)}"
        seen += ", since this Python has no GIL" if not machine.gil else ""
    else:
        seen += "; with it, none can be lost"
    faster = times_as_fast(Shown.of(rows).ratio(private))
    return (
        f"{seen}. A counter for each thread needs no lock, and was {faster} one counter with the "
        f"GIL held."
    )


STEP = Step(
    number=2, title="Why there is a lock", measure=measure, columns=columns, sentence=sentence
)
