"""Processes get around the GIL, and pay: to start them, and to send them their data."""

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
from gilfree.demo.timing import Medians, Progress, in_turn
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
    """A kernel on the processes, beside one thread here; `sent` are the bytes to and fro."""

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
    scales = _Scales()
    kernel(*args, executor=scales)
    ways = {
        "here": lambda: seconds(lambda: kernel(*args, workers=1)),
        "there": lambda: seconds(lambda: kernel(*args, executor=setup.processes)),
    }
    taken = in_turn(ways, setup.rounds(5), on_progress)
    times = Medians.of(taken["there"], taken["here"])
    return [Work(work=part, workers=setup.workers, sent=scales.sent, times=times)]


class _Scales(Executor):
    """An executor that runs at once, and weighs what a process would have been sent and sent."""

    sent = 0

    def submit(self, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(task(*args, **kwargs))
        for message in (task, args, kwargs), future.result():
            self.sent += len(pickle.dumps(message, protocol=pickle.DEFAULT_PROTOCOL))
        return future


def _apart(rows: Sequence[StartOrWork]) -> tuple[Start, list[Work]]:
    """Return the first row, and what ran on the processes that it started."""
    (start,) = (row for row in rows if isinstance(row, Start))
    return start, [row for row in rows if isinstance(row, Work)]


def columns(rows: Sequence[StartOrWork]) -> list[Column]:
    """Show the start, then a line for each kernel."""
    start, works = _apart(rows)
    shown = Shown.of(works, start.start)
    return [
        Column("what", [f"start {start.workers} processes", *(row.work for row in works)]),
        Column("MB sent", ["", *(f"{row.sent / 1e6:.1f}" for row in works)]),
        Column("one thread\nms", ["", *(shown.seconds(row.times.base) for row in works)]),
        Column("processes\nms", [shown.seconds(start.start), *(shown.ms(row) for row in works)]),
        Column("speedup", ["", *(shown.speedup(row) for row in works)]),
    ]


def sentence(rows: Sequence[StartOrWork], machine: Machine) -> str:
    """Say what it took to start and to send, and what that was worth."""
    start, works = _apart(rows)
    speedups = [Shown.of(works, start.start).ratio(row) for row in works]
    said = f"To start {start.workers} processes took {readable_time(start.start)}."
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
    title="Processes get around it, and pay",
    parts=lambda _: [START, "sum_of_squares", "monte_carlo_pi"],
    measure=measure,
    columns=columns,
    sentence=sentence,
    note=TWO_MEDIANS,
)
