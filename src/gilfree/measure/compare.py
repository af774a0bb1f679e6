"""Run one kernel in several modes on 1, 2, 4 ... workers, beside the limit of the machine.

The modes are bytecode on threads; the compiled loop on threads, with the GIL held and released; and
an executor that the user passes, such as a process pool. The limit is the speedup of N independent
processes that run the same kernel concurrently. They share no GIL, no pool and no memory, so if
they fall short of N times one process, the machine is why: virtual CPUs share a core, and all CPUs
share the memory bandwidth.

The modes are interleaved: each round runs every mode once. A speedup is the median of the ratios
within rounds, so a machine that slows down for a while slows down both sides of a ratio.

Threads or processes that have just been woken may share a CPU for some milliseconds, which would
hide their speedup. So all workers spin, each on a CPU of its own, before they are timed.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Literal, TypeAlias, get_args

from gilfree import kernels
from gilfree._arguments import whole_number
from gilfree._system import environment, usable_cpus
from gilfree.measure.card import HEADINGS, fragment, seconds_of
from gilfree.measure.clocking import quartiles, seconds, wake, worker_counts
from gilfree.measure.limit import MOST_PROCESSES, Processes
from gilfree.measure.pure_python import run as run_bytecode

Mode: TypeAlias = Literal["bytecode", "held", "released", "executor", "limit"]
MODES: tuple[Mode, ...] = get_args(Mode)
# Short calls are repeated to last this long: in less, another program's time slice would dominate.
SHORTEST_SECONDS = 25e-3
# Sending data to an executor may take a hundred times as long as the work. So the executor runs in
# every third round only, which leaves time for more rounds of the other modes.
EXECUTOR_EVERY = 3


@dataclasses.dataclass(frozen=True)
class Timing:
    """How long the work took in one mode, with one number of workers.

    Attributes
    ----------
    mode : {"bytecode", "held", "released", "executor", "limit"}
        A part of the work in pure Python, on threads; the kernel on threads, with the GIL held or
        released; the kernel on the executor; or the kernel on one thread in each of several
        independent processes.
    workers : int
        Number of threads or processes.
    seconds, seconds_low, seconds_high : float
        Median and quartiles of the wall time, in seconds.
    speedup, speedup_low, speedup_high : float
        Work per second, relative to the same mode with one worker; for an executor, relative to
        "released" with one worker. Median and quartiles of the rounds. The N processes of "limit"
        do the work N times.
    """

    mode: Mode
    workers: int
    seconds: float
    seconds_low: float
    seconds_high: float
    speedup: float
    speedup_low: float
    speedup_high: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The same work in several modes. What `compare` returns.

    Attributes
    ----------
    kernel : str
        The name of the kernel.
    repeat : int
        The number of rounds.
    environment : dict
        Python, its GIL, CPUs, switch interval, and the build of the loops (see `environment`).
    rows : tuple of Timing
        Ordered by mode, then by workers.
    """

    kernel: str
    repeat: int
    environment: dict[str, Any]
    rows: tuple[Timing, ...]

    def row(self, mode: Mode, workers: int) -> Timing:
        """Return the row of this mode and number of workers.

        Raises
        ------
        KeyError
            If there is no such row.
        """
        for row in self.rows:
            if (row.mode, row.workers) == (mode, workers):
                return row
        msg = f"no row for {mode!r} with {workers} workers: there are {self.modes}, {self.workers}"
        raise KeyError(msg)

    @property
    def workers(self) -> tuple[int, ...]:
        """The numbers of workers that were measured, ascending."""
        return tuple(sorted({row.workers for row in self.rows}))

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes that were measured."""
        return tuple(dict.fromkeys(row.mode for row in self.rows))

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, strings and numbers, for JSON."""
        return {**dataclasses.asdict(self), "rows": [dataclasses.asdict(row) for row in self.rows]}

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return fragment(self)

    def __str__(self) -> str:
        """Return a table of at most 80 columns."""
        lines = [
            f"{self.kernel}: medians of {self.repeat} rounds: time, speedup over one worker",
            "".join([f"{'workers':>7}", *(f"{HEADINGS[mode]:>15}" for mode in self.modes)]),
        ]
        for workers in self.workers:
            cells = [_cell(self.row(mode, workers)) for mode in self.modes]
            lines.append("".join([f"{workers:>7}", *(f"{cell:>15}" for cell in cells)]))
        return "\n".join(lines)


def _cell(row: Timing) -> str:
    return f"{seconds_of(row)} {row.speedup:5.2f}×"


def compare(
    kernel: Callable[..., Any],
    *args: Any,
    workers: int | None = None,
    repeat: int = 9,
    executor: Executor | None = None,
    on_round: Callable[[], object] | None = None,
    **kwargs: Any,
) -> Comparison:
    """Run ``kernel(*args, **kwargs)`` with the GIL held and released, and in other modes.

    Parameters
    ----------
    kernel : function
        One of gilfree's kernels.
    *args, **kwargs
        Its arguments, such as the array and the number of bins.
    workers : int, optional
        The most workers: 1, 2, 4 ... and this number are measured. At most 64 or all usable CPUs,
        whichever is more, since each worker needs a process with a copy of the arguments. By
        default all usable CPUs.
    repeat : int, default: 9
        The number of rounds, after a first one that is not counted. An executor only runs in
        rounds 1, 4, 7 and so on.
    executor : concurrent.futures.Executor, optional
        A further way to run the kernel, such as a ``ProcessPoolExecutor`` with `workers` processes.
    on_round : callable, optional
        Called without arguments after each round, to show progress.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        If `kernel` is not one of gilfree's kernels, if `workers` or `repeat` is not a whole number
        or is out of bounds, or if the kernel raises it for its arguments.
    RuntimeError
        If a process that measures the limit dies.

    Examples
    --------
    >>> print(gilfree.compare(gilfree.mandelbrot, (300, 400)))  # doctest: +SKIP
    """
    name = getattr(kernel, "__name__", "")
    if name not in kernels.__all__ or kernel is not getattr(kernels, name):
        msg = f"kernel must be one of gilfree's ({', '.join(kernels.__all__)}), not {kernel!r}"
        raise ValueError(msg)
    if "nogil" in kwargs:
        msg = "nogil can't be given: the kernel runs with the GIL held and with it released"
        raise TypeError(msg)
    most = usable_cpus()
    if workers is not None:
        most = whole_number("workers", workers, most=max(MOST_PROCESSES, most))
    repeat = whole_number("repeat", repeat)
    counts = worker_counts(most)

    call = functools.partial(kernel, *args, **kwargs)
    call(workers=1)  # raises for wrong arguments before a process is started
    calls = _calls_of_a_round(lambda: call(workers=1))
    loop = kernels.kernel(name).bytecode(*args, **kwargs)
    with Processes(most, name, args, kwargs) as processes, ThreadPoolExecutor(most) as threads:
        loops = _calls_of_a_round(lambda: run_bytecode(loop, threads, 1))
        run: dict[Mode, Callable[[int], float]] = {
            "bytecode": lambda n: seconds(lambda: run_bytecode(loop, threads, n), loops),
            "held": lambda n: seconds(lambda: call(workers=n, nogil=False), calls),
            "released": lambda n: seconds(lambda: call(workers=n), calls),
            "executor": lambda n: seconds(lambda: call(workers=n, executor=executor)),
            "limit": lambda n: processes.seconds(calls, n),
        }
        if executor is None:
            del run["executor"]
        # The seconds of each round, by mode and number of workers.
        measured: dict[tuple[Mode, int], dict[int, float]] = {
            (m, n): {} for n in counts for m in run
        }
        for number in range(repeat + 1):
            for (mode, n), times in measured.items():
                if mode == "executor" and number and number % EXECUTOR_EVERY != 1:
                    continue
                if mode in ("bytecode", "held", "released"):
                    wake(n, threads if mode == "bytecode" else None)
                taken = run[mode](n)
                if number:
                    times[number] = taken
            if number and on_round is not None:
                on_round()
    rows = [
        _row(mode, n, measured["released" if mode == "executor" else mode, 1], measured[mode, n])
        for mode in run
        for n in counts
    ]
    return Comparison(name, repeat, environment(), tuple(rows))


def _calls_of_a_round(call: Callable[[], object]) -> int:
    alone = min(seconds(call) for _ in range(3))  # other programs may delay one of them
    return max(1, round(SHORTEST_SECONDS / alone))


def _row(
    mode: Mode, workers: int, alone: Mapping[int, float], times: Mapping[int, float]
) -> Timing:
    work = workers if mode == "limit" else 1
    speedups = [work * alone[number] / taken for number, taken in times.items()]
    low, middle, high = quartiles(list(times.values()))
    speedup_low, speedup, speedup_high = quartiles(speedups)
    return Timing(mode, workers, middle, low, high, speedup, speedup_low, speedup_high)
