"""Only one thread at a time runs bytecode: a loop in pure Python, on 1, 2, 4 ... threads."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gilfree import kernels
from gilfree.demo.phrases import BUSY, ONE_CPU, SOME, TWO_MEDIANS, times_as_fast
from gilfree.demo.setup import Setup
from gilfree.demo.step import Machine, Step
from gilfree.demo.table import Column, Shown, Timed
from gilfree.demo.timing import Medians, Progress, interleaved
from gilfree.measure.clocking import seconds, wake, worker_counts
from gilfree.measure.pure_python import run as run_bytecode


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnThreads(Timed):
    """The loop on `workers` threads, compared with one."""

    workers: int


def measure(setup: Setup, _: str, on_progress: Progress) -> list[OnThreads]:
    """Clock the loop on 1, 2, 4 ... threads."""
    loop = kernels.kernel("sum_of_squares").bytecode(np.arange(400_000))
    times = 3 if setup.quick else 8
    counts = worker_counts(setup.workers)
    with ThreadPoolExecutor(setup.workers) as threads:

        def run(workers: int) -> float:
            wake(workers, threads)
            return times * seconds(lambda: run_bytecode(loop, threads, workers), times)

        ways = {n: functools.partial(run, n) for n in counts}
        taken = interleaved(ways, setup.rounds(9), on_progress)
    return [OnThreads(workers=n, times=Medians.of(taken[n], taken[1])) for n in counts]


def columns(rows: Sequence[OnThreads]) -> list[Column]:
    """Show a row for each number of threads."""
    shown = Shown.of(rows)
    return [
        Column("threads", [str(row.workers) for row in rows]),
        Column("ms", [shown.ms(row) for row in rows]),
        Column("speedup", [shown.speedup(row) for row in rows]),
    ]


def sentence(rows: Sequence[OnThreads], machine: Machine) -> str:
    """Say what the largest number of threads has gained."""
    if len(rows) < 2:
        return ONE_CPU if machine.cpus == 1 else "One thread alone shows no speedup."
    speedup, workers = Shown.of(rows).ratio(rows[-1]), rows[-1].workers
    seen = f"{workers} threads ran the same bytecode {times_as_fast(speedup)} one"
    if machine.gil and speedup < 1 / SOME:
        return f"{seen}: with the GIL, they take turns, and each turn costs time. {BUSY}"
    if machine.gil and speedup < SOME:
        return f"{seen}: with the GIL, they take turns."
    if machine.gil:
        return f"{seen}, which the GIL does not allow: was the machine busy while one ran alone?"
    if speedup < SOME:
        return f"{seen}, though there is no GIL. {ONE_CPU if machine.cpus == 1 else BUSY}"
    return f"{seen}: without a GIL, they run concurrently."


STEP = Step(
    number=1,
    title="Only one thread at a time runs bytecode",
    measure=measure,
    columns=columns,
    sentence=sentence,
    note=TWO_MEDIANS,
)
