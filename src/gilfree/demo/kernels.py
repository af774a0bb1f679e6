"""C code that lets go gets the cores back: kernels in every way, beside the machine's limit."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import statistics
import threading
from collections.abc import Callable, Sequence
from typing import Any

from gilfree import kernels
from gilfree._system import gil_enabled
from gilfree._words import readable_time, share
from gilfree.demo.phrases import ABOVE, BUSY, ONE_CPU, SOME, is_above
from gilfree.demo.setup import Setup
from gilfree.demo.step import Machine, Step
from gilfree.demo.table import Column, Figure, Finding
from gilfree.demo.timing import Progress
from gilfree.gil.passive import look_passively
from gilfree.gil.sampler import NoSamplerError
from gilfree.measure.clocking import seconds, worker_counts
from gilfree.measure.compare import (
    EXECUTOR_EVERY,
    SHORTEST_SECONDS,
    Comparison,
    Mode,
    Timing,
    compare,
)
from gilfree.recording.recording import Recording, record
from gilfree.recording.verdict import RecordingVerdict

# What a kernel's rounds may take in all, so that the whole demo stays under two minutes.
BUDGET, QUICK_BUDGET = 6.0, 0.8  # seconds
LITTLE = 1e-3  # seconds
LOOKED_AT = "mandelbrot"  # the kernel of the picture of who has the GIL when
NAMES = "thread 1", "thread 2"
LONG_ENOUGH, FEWEST_CALLS = 0.1, 4  # of a thread there: seconds of work, and calls
TRIES, LITTLE_MISSED = 3, 0.02  # of the time that the recorder got no CPU
DOUBT = "the machine was busy with other work, so measure again."


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A kernel on two threads at once: what each did when. `NAMES` are theirs."""

    kernel: str
    held: Recording
    released: Recording


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared(Finding):
    """A kernel in every way, and the share of a call on one thread in which that has the GIL.

    A share is None where this system can't show it. One of the kernels is recorded, too, or it is
    said why that can't be.
    """

    comparison: Comparison
    held_share: float | None
    released_share: float | None
    recorded: Recorded | str = ""

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of workers that are shown: one alone says nothing beside others."""
        return self.comparison.workers[1:] or self.comparison.workers

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison and the shares; the environment is that of the whole demo."""
        plain = self.comparison.to_dict()
        del plain["environment"]
        return {**plain, "held_share": self.held_share, "released_share": self.released_share}


def measure(setup: Setup, name: str, on_progress: Progress) -> list[Compared]:
    """Compare all ways to run a kernel, as often as the budget allows."""
    kernel, args = kernels.kernel(name).function, setup.work(name)
    repeat = _repeat(setup, kernel, args)
    rounds = itertools.count(1)
    comparison = compare(
        kernel,
        *args,
        workers=setup.workers,
        repeat=repeat,
        executor=setup.processes,
        on_round=lambda: on_progress(next(rounds) / repeat),
    )
    within = 0.05 if setup.quick else 0.01
    held, released = (
        _held_share(functools.partial(kernel, *args, workers=1, nogil=nogil), within=within)
        for nogil in (False, True)
    )
    recorded: Recorded | str = ""
    if name == (LOOKED_AT if LOOKED_AT in setup.kernels else setup.kernels[0]):
        recorded = _recorded(name, args, comparison.row("released", 1).seconds)
    return [
        Compared(comparison=comparison, held_share=held, released_share=released, recorded=recorded)
    ]


def _repeat(setup: Setup, kernel: Callable[..., Any], args: tuple[Any, ...]) -> int:
    """Return how many rounds the budget pays for."""
    processes = setup.processes  # started before anything is clocked
    here = max(seconds(lambda: kernel(*args, workers=1)), SHORTEST_SECONDS)
    there = seconds(lambda: kernel(*args, executor=processes))
    cost = (3 * here + there / EXECUTOR_EVERY) * len(worker_counts(setup.workers))
    return min(max(int((QUICK_BUDGET if setup.quick else BUDGET) / cost), 3), 15)


def _held_share(call: Callable[[], Any], within: float) -> float | None:
    """Return the share of a call in which its thread holds the GIL, where that can be seen."""
    try:
        return look_passively(call, sure=lambda _, uncertainty: uncertainty <= within).held
    except NoSamplerError:
        return None


def _recorded(name: str, args: tuple[Any, ...], seconds: float) -> Recorded | str:
    """Record a kernel on two threads, GIL held and released, or say why that can't be."""
    if not gil_enabled():
        return "this Python has no GIL to hold"
    calls = max(round(LONG_ENOUGH / max(seconds, SHORTEST_SECONDS)), FEWEST_CALLS)
    try:
        held, released = (_best_of_some(name, args, calls, nogil) for nogil in (False, True))
    except RuntimeError as error:  # also if the demo itself is recorded
        return str(error)
    for recording in held, released:
        if recording.verdict is RecordingVerdict.INCONCLUSIVE:
            return recording.sentence
    return Recorded(name, held, released)


def _best_of_some(name: str, args: tuple[Any, ...], calls: int, nogil: bool) -> Recording:
    """Return a recording of which little was missed: the two threads want all of two CPUs."""
    kernel = kernels.kernel(name).function
    best = _on_two_threads(kernel, args, calls, nogil)
    for _ in range(TRIES - 1):
        if best.facts.missed <= LITTLE_MISSED * best.seconds:
            break
        again = _on_two_threads(kernel, args, calls, nogil)
        best = min(best, again, key=lambda each: each.facts.missed / each.seconds)
    return best


def _on_two_threads(
    kernel: Callable[..., Any], args: tuple[Any, ...], calls: int, nogil: bool
) -> Recording:
    both_are_there = threading.Event()

    def work() -> None:
        both_are_there.wait()
        for _ in range(calls):
            kernel(*args, workers=1, nogil=nogil)

    threads = [threading.Thread(target=work, name=each) for each in NAMES]
    with record() as recording:
        try:
            for thread in threads:
                thread.start()
        finally:
            both_are_there.set()
        for thread in threads:
            thread.join()
    return recording


def recorded_of(rows: Sequence[Compared]) -> Recorded | str:
    """Return the recording among the rows, or why there is none, or nothing."""
    return next((row.recorded for row in rows if row.recorded), "")


def columns(rows: Sequence[Compared]) -> list[Column]:
    """Show a line for each kernel and number of workers."""
    lines = [(row, workers) for row in rows for workers in row.counts]

    def speedups(mode: Mode, figure: Callable[[Timing], Figure]) -> list[Figure]:
        return [figure(row.comparison.row(mode, workers)) for row, workers in lines]

    names = [row.comparison.kernel if workers == row.counts[0] else "" for row, workers in lines]
    return [
        Column("kernel", names),
        Column("workers", [str(workers) for _, workers in lines]),
        Column("Python\nthreads", speedups("bytecode", _median)),
        Column("pro-\ncesses", speedups("executor", _median)),
        Column("GIL\nheld", speedups("held", _spread)),
        Column("its\nshare", [share(row.held_share) for row, _ in lines]),
        Column("GIL\nreleased", speedups("released", _spread)),
        Column("its\nshare", [share(row.released_share) for row, _ in lines]),
        Column("machine\nlimit", speedups("limit", _spread)),
    ]


def _median(timing: Timing) -> Figure:
    return Figure(timing.speedup)


def _spread(timing: Timing) -> Figure:
    return Figure(timing.speedup, (timing.speedup_high - timing.speedup_low) / 2)


def sentence(rows: Sequence[Compared], machine: Machine) -> str:
    """Say what the most workers gained, and doubt what can't be."""
    many = rows[0].comparison.workers[-1]
    if many == 1:
        said = ONE_CPU if machine.cpus == 1 else "One worker alone shows no speedup."
    else:
        said = _on_many(rows, many, machine)
    above = any(_above_limit(row.comparison, n) for row in rows for n in row.counts)
    if above:
        said = f"{said} {ABOVE}"
    why_not = recorded_of(rows)
    if isinstance(why_not, str) and why_not:
        return f"{said} There is no picture of who has the GIL when: {why_not}."
    return said


def _on_many(rows: Sequence[Compared], many: int, machine: Machine) -> str:
    comparisons = [row.comparison for row in rows]
    modes: tuple[Mode, ...] = "held", "released", "limit"
    held, released, limit = (
        [round(each.row(mode, many).speedup, 2) for each in comparisons] for mode in modes
    )
    shares = [own / possible for own, possible in zip(released, limit, strict=True)]
    seen = (
        f"With the GIL released, {many} workers were {_range(released, '.2f')} times as fast as "
        f"one, {_range([100 * share for share in shares], '.0f')}% of what {many} independent "
        f"processes reach here; with the GIL held, {_range(held, '.2f')} times."
    )
    if not machine.gil:
        return f"{seen} This Python has no GIL, so the held loops run at once as well."
    slowest = max(each.row("released", 1).seconds for each in comparisons)
    if slowest < LITTLE:
        return f"{seen} A call of {readable_time(slowest)} is too little work to share."
    if statistics.median(limit) < SOME:
        return f"{seen} The machine itself had next to nothing to give. {BUSY}"
    if max(held) > SOME or max(limit) > many * SOME or max(shares) > SOME or min(shares) < 1 / 2:
        return f"{seen} Not all of this can be: {DOUBT}"
    return seen


def _range(values: Sequence[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def _above_limit(comparison: Comparison, workers: int) -> bool:
    """Tell whether a line of the table shows a speedup above the machine's limit."""
    speedups = {mode: comparison.row(mode, workers).speedup for mode in comparison.modes}
    return is_above(max(speedups.values()), speedups["limit"])


STEP = Step(
    number=5,
    title="C code that lets go gets the cores back",
    parts=lambda setup: setup.kernels,
    measure=measure,
    columns=columns,
    sentence=sentence,
    note="Speedup over one worker: median ± half the interquartile range; of processes, over "
    "one thread of this one. Share: of one call, in which its thread has the GIL.",
)
