"""C code that releases the GIL runs on all cores: kernels in every way, and the machine's limit."""

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
from gilfree.gil.passive import sample_calls
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

# Seconds for all rounds of a kernel; with these, the whole demo takes less than two minutes.
BUDGET, QUICK_BUDGET = 6.0, 0.8
TOO_SHORT = 1e-3  # seconds; a call below this is too little work to share
# The recording of two threads that call a kernel: which kernel, and the least work of a thread.
RECORDED = "mandelbrot"
NAMES = "thread 1", "thread 2"
MIN_SECONDS, MIN_CALLS = 0.1, 4
MAX_MISSED_SHARE, TRIES = 0.02, 3  # record again if the recorder misses more
DOUBT = "the machine was busy with other work, so measure again."


@dataclasses.dataclass(frozen=True)
class Recorded:
    """Recordings of two threads, called `NAMES`, that call a kernel concurrently."""

    kernel: str
    held: Recording
    released: Recording


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared(Finding):
    """A kernel in every way, and the share of a call in which its thread holds the GIL.

    A share is None if this system can't show it. `recorded` is the recording of one of the kernels,
    or says why there is none; for other kernels it is empty.
    """

    comparison: Comparison
    held_share: float | None
    released_share: float | None
    recorded: Recorded | str = ""

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of workers to show: one worker, whose speedup is 1, only if no others."""
        return self.comparison.workers[1:] or self.comparison.workers

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison and the shares, without the environment, which the demo has."""
        plain = self.comparison.to_dict()
        del plain["environment"]
        return {**plain, "held_share": self.held_share, "released_share": self.released_share}


def measure(setup: Setup, name: str, on_progress: Progress) -> list[Compared]:
    """Compare all ways to run a kernel, in as many rounds as the budget allows."""
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
    if name == (RECORDED if RECORDED in setup.kernels else setup.kernels[0]):
        recorded = _recorded(name, args, comparison.row("released", 1).seconds)
    return [
        Compared(comparison=comparison, held_share=held, released_share=released, recorded=recorded)
    ]


def _repeat(setup: Setup, kernel: Callable[..., Any], args: tuple[Any, ...]) -> int:
    """Return how many rounds fit in the budget."""
    processes = setup.processes  # starts them, before anything is clocked
    here = max(seconds(lambda: kernel(*args, workers=1)), SHORTEST_SECONDS)
    there = seconds(lambda: kernel(*args, executor=processes))
    cost = (3 * here + there / EXECUTOR_EVERY) * len(worker_counts(setup.workers))
    return min(max(int((QUICK_BUDGET if setup.quick else BUDGET) / cost), 3), 15)


def _held_share(call: Callable[[], Any], within: float) -> float | None:
    """Return the share of a call in which its thread holds the GIL; None without a sampler."""
    try:
        return sample_calls(call, sure=lambda _, uncertainty: uncertainty <= within).held
    except NoSamplerError:
        return None


def _recorded(name: str, args: tuple[Any, ...], seconds: float) -> Recorded | str:
    """Record a kernel on two threads, GIL held and released, or return why that is impossible."""
    if not gil_enabled():
        return "this Python has no GIL to hold"
    calls = max(round(MIN_SECONDS / max(seconds, SHORTEST_SECONDS)), MIN_CALLS)
    try:
        held, released = (_best_of_some(name, args, calls, nogil) for nogil in (False, True))
    except RuntimeError as error:  # no recorder here, or the demo itself is recorded
        return str(error)
    for recording in held, released:
        if recording.verdict is RecordingVerdict.INCONCLUSIVE:
            return recording.sentence
    return Recorded(name, held, released)


def _best_of_some(name: str, args: tuple[Any, ...], calls: int, nogil: bool) -> Recording:
    """Return the best of up to TRIES recordings: two threads may leave the recorder little CPU."""
    kernel = kernels.kernel(name).function
    best = _on_two_threads(kernel, args, calls, nogil)
    for _ in range(TRIES - 1):
        if best.facts.missed <= MAX_MISSED_SHARE * best.seconds:
            break
        again = _on_two_threads(kernel, args, calls, nogil)
        best = min(best, again, key=lambda each: each.facts.missed / each.seconds)
    return best


def _on_two_threads(
    kernel: Callable[..., Any], args: tuple[Any, ...], calls: int, nogil: bool
) -> Recording:
    both_started = threading.Event()

    def work() -> None:
        both_started.wait()
        for _ in range(calls):
            kernel(*args, workers=1, nogil=nogil)

    threads = [threading.Thread(target=work, name=each) for each in NAMES]
    with record() as recording:
        try:
            for thread in threads:
                thread.start()
        finally:
            both_started.set()
        for thread in threads:
            thread.join()
    return recording


def recorded_of(rows: Sequence[Compared]) -> Recorded | str:
    """Return the recording among the rows, or why there is none; empty without rows."""
    return next((row.recorded for row in rows if row.recorded), "")


def columns(rows: Sequence[Compared]) -> list[Column]:
    """Show a row for each kernel and number of workers."""
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
    """Say what the largest number of workers gained, and doubt implausible figures."""
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
        return f"{said} There is no picture of which thread holds the GIL when: {why_not}."
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
        return f"{seen} This Python has no GIL, so the held loops run concurrently as well."
    slowest = max(each.row("released", 1).seconds for each in comparisons)
    if slowest < TOO_SHORT:
        return f"{seen} A call of {readable_time(slowest)} is too little work to share."
    if statistics.median(limit) < SOME:
        return f"{seen} Independent processes gained next to nothing, too. {BUSY}"
    if max(held) > SOME or max(limit) > many * SOME or max(shares) > SOME or min(shares) < 1 / 2:
        return f"{seen} Some of these figures are implausible: {DOUBT}"
    return seen


def _range(values: Sequence[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def _above_limit(comparison: Comparison, workers: int) -> bool:
    """Tell whether a row of the table shows a speedup above the machine's limit."""
    speedups = {mode: comparison.row(mode, workers).speedup for mode in comparison.modes}
    return is_above(max(speedups.values()), speedups["limit"])


STEP = Step(
    number=5,
    title="C code that releases the GIL runs on all cores",
    parts=lambda setup: setup.kernels,
    measure=measure,
    columns=columns,
    sentence=sentence,
    note="Speedup over one worker: median ± half the interquartile range; of processes: over one "
    "thread of this process. Its share: the part of a call in which its thread holds the GIL.",
)
