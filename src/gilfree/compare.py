"""Run the work of one kernel in every way on 1, 2, 4 ... workers, beside the machine's limit.

The ways are threads that run bytecode; the compiled loop on threads, with the GIL held and
released; and an executor of the caller's, such as a process pool. The limit is what N independent
processes reach that run the same kernel at once: they share no GIL, no pool and no memory, so
whatever they lack to N times one process, the machine lacks. Many virtual CPUs share one core, and
all share the memory.

Every round runs each way once, in turn, and a speedup is the median of the ratios within the
rounds. So a machine that slows down for a while slows down both sides of each ratio.

Threads and processes that were just woken share a CPU for some milliseconds, and that is no picture
of what they reach. So whatever is to run at once is awake before it is clocked, each on a CPU of
its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pickle
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from threading import BrokenBarrierError
from typing import IO, Any, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from gilfree import bytecode, kernels
from gilfree._flag import StartLine
from gilfree.build import build_info
from gilfree.gil_report import readable_time
from gilfree.pool import Pool, gil_enabled, usable_cpus, whole_number

Mode: TypeAlias = Literal["bytecode", "held", "released", "executor", "limit"]
MODES: tuple[Mode, ...] = get_args(Mode)
MOST_PROCESSES = 64
# Short calls are repeated for so long: in less, one turn of another program is most of the time.
SHORTEST_SECONDS = 25e-3
# So long do those spin that are to run at once, before they are clocked.
AWAKE_SECONDS = 1e-3


@dataclasses.dataclass(frozen=True)
class Row:
    """One way to do the work, and how long it took.

    Attributes
    ----------
    mode : {"bytecode", "held", "released", "executor", "limit"}
        A part of the work in pure Python, on threads; the kernel on threads, with the GIL held or
        released; on the caller's executor; or on one thread in each of several processes.
    workers : int
        Threads, or processes.
    seconds, seconds_low, seconds_high : float
        Median and quartiles of the wall time.
    speedup, speedup_low, speedup_high : float
        Work done per second over that of the same mode with one worker, and of an executor over
        one thread of this process: median and quartiles of the rounds. N processes that show the
        limit do the work N times.
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
    """The same work, done in every way. What `compare` returns.

    Attributes
    ----------
    kernel : str
        The name of the kernel.
    repeat : int
        How many rounds were run.
    environment : dict
        Python, its GIL, CPUs, switch interval, and the build of the loops (see `environment`).
    rows : tuple of Row
        By mode, then workers.
    """

    kernel: str
    repeat: int
    environment: dict[str, Any]
    rows: tuple[Row, ...]

    def row(self, mode: Mode, workers: int) -> Row:
        """Return the row of this mode and number of workers."""
        for row in self.rows:
            if (row.mode, row.workers) == (mode, workers):
                return row
        msg = f"no row for {mode!r} with {workers} workers: there are {self.modes}, {self.workers}"
        raise KeyError(msg)

    @property
    def workers(self) -> tuple[int, ...]:
        """The numbers of workers that were compared, ascending."""
        return tuple(sorted({row.workers for row in self.rows}))

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The ways that were compared."""
        return tuple(dict.fromkeys(row.mode for row in self.rows))

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, strings and numbers, for JSON."""
        return {**dataclasses.asdict(self), "rows": [dataclasses.asdict(row) for row in self.rows]}

    def __str__(self) -> str:
        """Return a table of at most 80 columns."""
        headings = {
            "bytecode": "bytecode",
            "held": "GIL held",
            "released": "GIL released",
            "executor": "executor",
            "limit": "limit",
        }
        lines = [
            f"{self.kernel}: medians of {self.repeat} rounds: time, speedup over one worker",
            "".join([f"{'workers':>7}", *(f"{headings[mode]:>15}" for mode in self.modes)]),
        ]
        for workers in self.workers:
            cells = [_cell(self.row(mode, workers)) for mode in self.modes]
            lines.append("".join([f"{workers:>7}", *(f"{cell:>15}" for cell in cells)]))
        return "\n".join(lines)


def _cell(row: Row) -> str:
    # Bytecode does a part of the work only, and processes do it several times.
    seconds = "" if row.mode in ("bytecode", "limit") else readable_time(row.seconds)
    return f"{seconds} {row.speedup:5.2f}×"


def compare(
    kernel: Callable[..., Any],
    *args: Any,
    workers: int | None = None,
    repeat: int = 9,
    executor: Executor | None = None,
    on_round: Callable[[], object] | None = None,
    **kwargs: Any,
) -> Comparison:
    """Run ``kernel(*args, **kwargs)`` with the GIL held and released, and in other ways.

    Parameters
    ----------
    kernel : function
        One of gilfree's kernels.
    *args, **kwargs
        Its arguments, such as the array and the number of bins.
    workers : int, optional
        The most workers to try; 1, 2, 4 ... up to it, and 64 or all usable CPUs at the most, for
        each comes with a process that has arguments of its own. By default all usable CPUs.
    repeat : int, default: 9
        How many rounds to run, after one that is not counted.
    executor : concurrent.futures.Executor, optional
        Where else to run it, such as a ``ProcessPoolExecutor`` with as many workers.
    on_round : callable, optional
        Called without arguments after each round, to show progress.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        If `kernel` is not a kernel of gilfree's, if `workers` or `repeat` is no whole number or
        out of bounds, or whatever the kernel has to say of its arguments.

    Examples
    --------
    >>> print(gilfree.compare(gilfree.mandelbrot, (300, 400)))  # doctest: +SKIP
    """
    name = getattr(kernel, "__name__", "")
    if name not in kernels.__all__ or kernel is not getattr(kernels, name):
        msg = f"kernel must be one of gilfree's ({', '.join(kernels.__all__)}), not {kernel!r}"
        raise ValueError(msg)
    most = usable_cpus()
    if workers is not None:
        most = whole_number("workers", workers, most=max(MOST_PROCESSES, most))
    repeat = whole_number("repeat", repeat)
    counts = worker_counts(most)

    call = functools.partial(kernel, *args, **kwargs)
    call(workers=1)  # complains of wrong arguments before a process is started
    calls = _calls_of_a_round(lambda: call(workers=1))
    loop = getattr(bytecode, name)(*args, **kwargs)
    with _Processes(most, name, args, kwargs) as processes, ThreadPoolExecutor(most) as threads:
        loops = _calls_of_a_round(lambda: bytecode.run(loop, threads, 1))
        run: dict[Mode, Callable[[int], float]] = {
            "bytecode": lambda n: seconds(lambda: bytecode.run(loop, threads, n), loops),
            "held": lambda n: seconds(lambda: call(workers=n, nogil=False), calls),
            "released": lambda n: seconds(lambda: call(workers=n), calls),
            "executor": lambda n: seconds(lambda: call(workers=n, executor=executor)),
            "limit": lambda n: processes.seconds(calls, n),
        }
        if executor is None:
            del run["executor"]
        ways: dict[tuple[Mode, int], list[float]] = {(m, n): [] for n in counts for m in run}
        for number in range(repeat + 1):
            for (mode, n), times in ways.items():
                if mode in ("bytecode", "held", "released"):
                    wake(n, threads if mode == "bytecode" else None)
                taken = run[mode](n)
                if number:
                    times.append(taken)
            if number and on_round is not None:
                on_round()
    rows = [
        _row(mode, n, ways["released" if mode == "executor" else mode, 1], ways[mode, n])
        for mode in run
        for n in counts
    ]
    return Comparison(name, repeat, environment(), tuple(rows))


def _calls_of_a_round(call: Callable[[], object]) -> int:
    alone = min(seconds(call) for _ in range(3))  # one of them may be interrupted by others' work
    return max(1, round(SHORTEST_SECONDS / alone))


def seconds(call: Callable[[], object], calls: int = 1) -> float:
    """Return what one of so many calls takes."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def wake(workers: int, threads: ThreadPoolExecutor | None = None) -> None:
    """Have so many threads awake, each on a CPU of its own: of gilfree's own pool, or of `threads`.

    Those of the pool stay awake long enough to be found so by a kernel that is called next.
    """
    if workers < 2:
        return  # the caller is awake
    line = StartLine(workers)
    with contextlib.suppress(
        BrokenBarrierError
    ):  # not all could start: the kernel does without, too
        if threads is None:
            each = ((AWAKE_SECONDS, 1.0),) * workers
            Pool(workers).run(line.wait, each, lambda _: None)
        else:
            list(threads.map(lambda _: line.wait(AWAKE_SECONDS, 1.0), range(workers)))


def worker_counts(most: int) -> list[int]:
    """Return 1, 2, 4 ... and `most`."""
    return sorted({2**power for power in range(most.bit_length())} | {most})


def _row(mode: Mode, workers: int, alone: Sequence[float], times: Sequence[float]) -> Row:
    work = workers if mode == "limit" else 1
    speedups = [work * one / many for one, many in zip(alone, times, strict=True)]
    low, middle, high = quartiles(times)
    speedup_low, speedup, speedup_high = quartiles(speedups)
    return Row(mode, workers, middle, low, high, speedup, speedup_low, speedup_high)


def quartiles(values: Sequence[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile."""
    return statistics.quantiles(values, method="inclusive") if len(values) > 1 else [*values] * 3


def environment() -> dict[str, Any]:
    """Return what a measurement depends on: Python, its GIL, CPUs, switch interval, the build."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "gil_enabled": gil_enabled(),
        "cpus": usable_cpus(),
        "switch_interval": sys.getswitchinterval(),
        "numpy": np.__version__,
        "build": build_info(),
        "platform": platform.platform(terse=True),
    }


def cpu_model() -> str:
    """Return what the maker of the CPU calls it, as far as the system tells."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:  # Linux
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def workload(name: str, data: NDArray[Any] | None = None) -> tuple[Any, ...]:
    """Return arguments for the kernel `name` that keep one core busy for some 5 to 100 ms.

    Parameters
    ----------
    name : str
    data : ndarray, optional
        Real numbers to run the array kernels on, instead of random ones.
    """
    rng = np.random.default_rng(20)
    if name == "mandelbrot":
        return ((900, 1200),)
    if name == "monte_carlo_pi":
        return (20_000_000, 20)
    if name == "sqeuclidean":
        points = rng.random((3000, 16)) if data is None else data
        points = points.reshape(len(points), -1)[:3000]
        dtype = np.float32 if points.dtype == np.float32 else np.float64
        return points, points, np.empty((len(points), len(points)), dtype)
    x = rng.random(10_000_000) if data is None else data.reshape(-1)
    if name == "polyval":
        coefficients = np.arange(1.0, 9.0, dtype=x.dtype if x.dtype == np.float32 else np.float64)
        return x, coefficients, np.empty(x.shape, coefficients.dtype)
    return (x, 64) if name == "histogram" else (x,)


# ---------------------------------------------------------------- the machine's limit


class _Processes:
    """Processes of our own that run one kernel on one thread each, whenever they are told to.

    Not ``multiprocessing``: that would run the caller's script again in each of them.
    """

    def __init__(
        self, count: int, kernel: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._work = pickle.dumps((kernel, args, kwargs), protocol=5)
        self._count = count
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        command = [sys.executable, "-P", "-c", "from gilfree.compare import _serve; _serve()"]
        try:
            for number in range(self._count):
                child = subprocess.Popen(
                    [*command, str(number)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=same_imports(),
                    start_new_session=True,  # Ctrl-C is for us alone
                )
                self._children.append(child)
            for child in self._children:
                _pipe(child.stdin).write(self._work)
                _pipe(child.stdin).flush()
            self.seconds(1, self._count)
        except BaseException:
            self.__exit__()
            raise
        return self

    def seconds(self, calls: int, count: int) -> float:
        """Let the first `count` processes run at once; return seconds, first to last, per call."""
        children = self._children[:count]
        # All processes of a machine have the clock in common, and none starts before all are told.
        order = f"{calls} {time.perf_counter() + AWAKE_SECONDS}\n".encode()
        with contextlib.suppress(BrokenPipeError):  # it says nothing then, either
            for child in children:
                _pipe(child.stdin).write(order)
                _pipe(child.stdin).flush()
        times = [_pipe(child.stdout).readline().split() for child in children]
        if not all(times):
            msg = "a process that measures the machine's limit has died"
            raise RuntimeError(msg)
        first, last = min(float(start) for start, _ in times), max(float(end) for _, end in times)
        return (last - first) / calls

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.kill()
        for child in self._children:
            child.wait()
            with contextlib.suppress(BrokenPipeError):
                _pipe(child.stdin).close()
            _pipe(child.stdout).close()


def same_imports() -> dict[str, str]:
    """Return the environment in which ``python -P`` imports what this process would import.

    Without -P, that would be what happens to lie in the current folder.
    """
    path = (entry or os.getcwd() for entry in sys.path)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _serve() -> None:
    """Be one of the processes: read the work, then do it as often as each line says, and when."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    number = int(sys.argv[1])
    with contextlib.suppress(EOFError):  # the parent has gone
        name, args, kwargs = pickle.load(sys.stdin.buffer)  # noqa: S301  our own parent wrote it
        kernel = getattr(kernels, name)
        for line in sys.stdin.buffer:
            calls, moment = line.split()
            _await(float(moment), number)
            start = time.perf_counter()
            for _ in range(int(calls)):
                kernel(*args, **kwargs, workers=1)
            sys.stdout.write(f"{start} {time.perf_counter()}\n")
            sys.stdout.flush()


def _await(moment: float, number: int) -> None:
    """Spin until a moment, on another CPU than processes of other numbers, as at a `StartLine`."""
    usual = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
    if usual:
        os.sched_setaffinity(0, [sorted(usual)[number % len(usual)]])
    while time.perf_counter() < moment:
        pass
    if usual:
        os.sched_setaffinity(0, usual)
