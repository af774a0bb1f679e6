"""Processes avoid the GIL, at a cost: starting them, and sending them their data."""

from __future__ import annotations

import dataclasses
import pickle
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any, TypeAlias

from gilfree import kernels
from gilfree._words import readable_time
from gilfree.demo.phrases import BUSY, ONE_CPU, SOME, TWO_MEDIANS, times_as_fast
from gilfree.demo.setup import Setup
from gilfree.demo.step import Machine, Step
from gilfree.demo.table import Column, Finding, Shown, Timed
from gilfree.demo.timing import Medians, Progress, interleaved
from gilfree.measure.clocking import seconds

START = "start"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start(Finding):
    """How many seconds it took to start the processes."""

    work: str = START
    workers: int
    start: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work(Timed):
    """A kernel on the processes, compared with one thread here; `sent` bytes went both ways."""

    work: str
    workers: int
    sent: int


StartOrWork: TypeAlias = Start | Work


def measure(setup: Setup, part: str, on_progress: Progress) -> list[StartOrWork]:
    """Start the processes, or run one kernel on them and on one thread here."""
    if part == START:
        start = time.perf_counter()
        _ = setup.processes
        return [Start(workers=setup.workers, start=time.perf_counter() - start)]
    kernel, args = kernels.kernel(part).function, setup.work(part)
    counter = _PickleCounter()
    kernel(*args, executor=counter)
    ways = {
        "here": lambda: seconds(lambda: kernel(*args, workers=1)),
        "there": lambda: seconds(lambda: kernel(*args, executor=setup.processes)),
    }
    taken = interleaved(ways, setup.rounds(5), on_progress)
    times = Medians.of(taken["there"], taken["here"])
    return [Work(work=part, workers=setup.workers, sent=counter.sent, times=times)]


class _PickleCounter(Executor):
    """Runs tasks in the caller, and counts the bytes that a process pool would have pickled."""

    sent = 0

    def submit(self, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(task(*args, **kwargs))
        for message in (task, args, kwargs), future.result():
            self.sent += len(pickle.dumps(message, protocol=pickle.DEFAULT_PROTOCOL))
        return future


def _split(rows: Sequence[StartOrWork]) -> tuple[Start, list[Work]]:
    """Return the row of the start, and those of the kernels."""
    (start,) = (row for row in rows if isinstance(row, Start))
    return start, [row for row in rows if isinstance(row, Work)]


def columns(rows: Sequence[StartOrWork]) -> list[Column]:
    """Show the start, then a row for each kernel."""
    start, works = _split(rows)
    shown = Shown.of(works, start.start)
    return [
        Column("what", [f"start {start.workers} processes", *(row.work for row in works)]),
        Column("MB sent", ["", *(f"{row.sent / 1e6:.1f}" for row in works)]),
        Column("one thread\nms", ["", *(shown.seconds(row.times.base) for row in works)]),
        Column("processes\nms", [shown.seconds(start.start), *(shown.ms(row) for row in works)]),
        Column("speedup", ["", *(shown.speedup(row) for row in works)]),
    ]


def sentence(rows: Sequence[StartOrWork], machine: Machine) -> str:
    """Say how long the start took, and what the processes gained."""
    start, works = _split(rows)
    speedups = [Shown.of(works, start.start).ratio(row) for row in works]
    said = f"Starting {start.workers} processes took {readable_time(start.start)}."
    for row, speedup in zip(works, speedups, strict=True):
        amount = "next to nothing" if row.sent < 1e5 else f"{row.sent / 1e6:.0f} MB"
        said += (
            f" With {amount} to send, they were {times_as_fast(speedup)} one thread that has the "
            f"data already."
        )
    if works and max(speedups) < SOME:
        said += " Processes gained nothing, even without anything to send. "
        said += ONE_CPU if machine.cpus == 1 else BUSY
    return said


STEP = Step(
    number=4,
    title="Processes avoid the GIL, at a cost",
    parts=lambda _: [START, "sum_of_squares", "monte_carlo_pi"],
    measure=measure,
    columns=columns,
    sentence=sentence,
    note=TWO_MEDIANS,
)
