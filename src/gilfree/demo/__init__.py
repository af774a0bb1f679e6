"""The seven steps of ``gilfree demo``: what is said about the GIL, measured here and now.

A step has parts. Each part is measured by itself and gives rows of plain numbers, so that what was
finished can be shown when somebody interrupts. `gilfree.story` says what the rows mean.

A speedup of steps 1 to 4 is the ratio of two medians, for the medians stand beside it and whoever
divides them should find the same; its spread is that of the ratios within the rounds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import pickle
import signal
import socketserver
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from socket import create_connection
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gilfree import _kernels, kernels
from gilfree._start_line import StartLine
from gilfree._system import gil_enabled, same_imports, usable_cpus
from gilfree.gil.passive import look_passively
from gilfree.gil.sampler import NoSamplerError
from gilfree.measure.clocking import AWAKE_SECONDS, quartiles, seconds, wake, worker_counts
from gilfree.measure.compare import SHORTEST_SECONDS, compare
from gilfree.measure.pure_python import run as run_bytecode
from gilfree.survey import calls_of, look

Row: TypeAlias = dict[str, Any]
# Called with how much of the whole is done, from 0 to 1.
Progress: TypeAlias = Callable[[float], object]

# One call of each library; there are many more in `gilfree survey`.
CALLS = {"numpy": "np.sort", "pandas": "s.rolling.mean", "numba": "njit, nogil=True"}
REQUESTS = 8
# What a kernel's rounds may take in all, so that the whole demo stays under two minutes.
BUDGET, QUICK_BUDGET = 6.0, 0.8  # seconds


@dataclasses.dataclass
class Setting:
    """What the steps run on, and the process pool that they share.

    Attributes
    ----------
    quick : bool
        Less work, and fewer rounds: less than 20 seconds for all steps.
    workers : int
        The most workers to try.
    kernels : sequence of str
        Those of step 5.
    data : ndarray, optional
        What the array kernels of step 5 run on, instead of random numbers.
    """

    quick: bool = False
    workers: int = dataclasses.field(default_factory=usable_cpus)
    kernels: Sequence[str] = tuple(kernels.__all__)
    data: NDArray[Any] | None = None

    @property
    def rounds(self) -> int:
        """How often each way is clocked."""
        return 3 if self.quick else 9

    def close(self) -> None:
        """End the processes, if there are any."""
        if "processes" in self.__dict__:
            self.processes.shutdown(cancel_futures=True)

    @functools.cached_property
    def processes(self) -> ProcessPoolExecutor:
        """A pool with a process for each worker, whose processes are ready."""
        pool = ProcessPoolExecutor(self.workers, get_context("spawn"))
        with _deaf_children():
            ready = [pool.submit(_be_ready, 0.05) for _ in range(self.workers)]
        for future in ready:
            future.result()
        return pool


@contextlib.contextmanager
def _deaf_children() -> Iterator[None]:
    """Have processes that start here ignore Ctrl-C, which a terminal sends to them as well."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _be_ready(seconds: float) -> None:
    time.sleep(seconds)  # so that no process takes the place of another that is not there yet


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing that is commonly said about the GIL, and how to measure it."""

    number: int
    title: str
    parts: Callable[[Setting], Sequence[str]]
    measure: Callable[[Setting, str, Progress], list[Row]]


def findings(step: Step, setting: Setting, on_progress: Progress = bool) -> tuple[list[Row], bool]:
    """Measure a step; return its rows, and whether they are all: Ctrl-C ends it early."""
    rows: list[Row] = []
    parts = step.parts(setting)

    def on_part(number: int, done: float) -> None:
        on_progress((number + done) / len(parts))

    try:
        for number, part in enumerate(parts):
            rows += step.measure(setting, part, functools.partial(on_part, number))
            on_part(number, 1.0)
    except KeyboardInterrupt:
        return rows, False
    return rows, True


def _clock(
    ways: Mapping[Any, Callable[[], float]], rounds: int, on_progress: Progress
) -> dict[Any, list[float]]:
    """Run each way once in each round, in turn, after a round that is not counted.

    A way returns the seconds that it took, without what it takes to get ready.
    """
    taken: dict[Any, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, run in ways.items():
            one = run()
            if number:
                taken[way].append(one)
        on_progress((number + 1) / (rounds + 1))
    return taken


def _figures(times: Sequence[float], base: Sequence[float]) -> Row:
    """Return the median of times and that of what they are compared with, the ratio, the spread."""
    ratios = [other / own for own, other in zip(times, base, strict=True)]
    low, middle, high = quartiles(times)
    speedup_low, _, speedup_high = quartiles(ratios)
    return {
        "seconds_low": low,
        "seconds": middle,
        "seconds_high": high,
        "base": statistics.median(base),
        "speedup_low": speedup_low,
        "speedup_high": speedup_high,
        "speedup": statistics.median(base) / middle,
    }


# ---------------------------------------------------------------- 1. bytecode on threads


def _bytecode(setting: Setting, _: str, on_progress: Progress) -> list[Row]:
    loop = kernels.kernel("sum_of_squares").bytecode(np.arange(400_000))
    times = 3 if setting.quick else 8
    counts = worker_counts(setting.workers)
    with ThreadPoolExecutor(setting.workers) as threads:

        def run(workers: int) -> float:
            wake(workers, threads)
            return times * seconds(lambda: run_bytecode(loop, threads, workers), times)

        ways = {n: functools.partial(run, n) for n in counts}
        taken = _clock(ways, setting.rounds, on_progress)
    return [{"workers": n, **_figures(taken[n], taken[1])} for n in counts]


# ---------------------------------------------------------------- 2. a counter that threads share


def _counter(setting: Setting, _: str, on_progress: Progress) -> list[Row]:
    # So much that the threads meet even where other programs take turns on the same CPUs; where
    # they meet all the time, it takes 20 times as long as it does alone.
    times = 20_000_000 if setting.quick else 100_000_000
    workers = max(setting.workers, 2)  # a race takes two
    counter = np.zeros(1, np.int64)
    counts: dict[str, Callable[[], Any]] = {
        "held": functools.partial(_kernels.count_gil, counter, times),
        "released": functools.partial(_kernels.count_nogil, counter, times),
        "private": functools.partial(_kernels.count_private_nogil, times),
    }
    lost: dict[str, list[int]] = {way: [] for way in counts}

    def add_up(way: str, threads: Executor) -> float:
        counter[0] = 0
        own_counts, taken = _at_once(counts[way], workers, threads)
        total = sum(own_counts) if way == "private" else int(counter[0])
        lost[way].append(times * workers - total)
        return taken

    with ThreadPoolExecutor(workers) as threads:
        ways = {way: functools.partial(add_up, way, threads) for way in counts}
        taken = _clock(ways, 3 if setting.quick else 5, on_progress)
    return [
        {
            "way": way,
            "workers": workers,
            "updates": times * workers,
            "lost": max(lost[way]),
            **_figures(taken[way], taken["held"]),
        }
        for way in ways
    ]


def _at_once(work: Callable[[], Any], workers: int, threads: Executor) -> tuple[list[Any], float]:
    """Run work on so many threads that start together, awake; return results, and seconds."""
    line = StartLine(workers)

    def run(_: int) -> tuple[float, Any, float]:
        line.wait(AWAKE_SECONDS, 60.0)
        return time.perf_counter(), work(), time.perf_counter()

    starts, results, ends = zip(*threads.map(run, range(workers)), strict=True)
    return list(results), max(ends) - min(starts)


# ---------------------------------------------------------------- 3. waiting


@contextlib.contextmanager
def _late_server(delay: float) -> Iterator[tuple[str, int]]:
    """Serve on this machine: each connection gets one byte after a delay."""

    class Late(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            time.sleep(delay)
            self.request.sendall(b"!")

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = REQUESTS

    with Server(("127.0.0.1", 0), Late) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server.server_address[0], server.server_address[1]  # type: ignore[misc]
        finally:
            server.shutdown()
            thread.join()


def _waiting(setting: Setting, _: str, on_progress: Progress) -> list[Row]:
    delay = 0.02 if setting.quick else 0.1

    def ask(address: tuple[str, int]) -> bytes:
        with create_connection(address) as connection:
            return connection.recv(1)  # here the GIL is released

    with _late_server(delay) as address, ThreadPoolExecutor(REQUESTS) as threads:
        addresses = [address] * REQUESTS
        ways = {
            1: lambda: seconds(lambda: [ask(each) for each in addresses]),
            REQUESTS: lambda: seconds(lambda: list(threads.map(ask, addresses))),
        }
        taken = _clock(ways, 2, on_progress)
    return [
        {"threads": n, "requests": REQUESTS, "delay": delay, **_figures(taken[n], taken[1])}
        for n in ways
    ]


# ---------------------------------------------------------------- 4. processes


class _Scales(Executor):
    """An executor that runs at once, and weighs what a process would have been sent and sent."""

    sent = 0

    def submit(self, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(task(*args, **kwargs))
        for message in (task, args, kwargs), future.result():
            self.sent += len(pickle.dumps(message, protocol=pickle.DEFAULT_PROTOCOL))
        return future


def _on_processes(setting: Setting, part: str, on_progress: Progress) -> list[Row]:
    if part == "start":
        start = time.perf_counter()
        _ = setting.processes
        return [{"work": part, "workers": setting.workers, "start": time.perf_counter() - start}]
    kernel, args = getattr(kernels, part), _work(setting, part)
    scales = _Scales()
    kernel(*args, executor=scales)
    ways = {
        "here": lambda: seconds(lambda: kernel(*args, workers=1)),
        "there": lambda: seconds(lambda: kernel(*args, executor=setting.processes)),
    }
    taken = _clock(ways, 3 if setting.quick else 5, on_progress)
    figures = _figures(taken["there"], taken["here"])
    return [{"work": part, "workers": setting.workers, "sent": scales.sent, **figures}]


def _work(setting: Setting, name: str) -> tuple[Any, ...]:
    """Return arguments for a kernel; a fifth of the usual work or more, if it is to be quick."""
    return kernels.kernel(name).workload(setting.data, setting.quick)


# ---------------------------------------------------------------- 5. C code that lets go


def _kernel(setting: Setting, name: str, on_progress: Progress) -> list[Row]:
    kernel, args = getattr(kernels, name), _work(setting, name)

    def round_cost() -> float:
        here = max(seconds(lambda: kernel(*args, workers=1)), SHORTEST_SECONDS)
        there = seconds(lambda: kernel(*args, executor=setting.processes))
        return (3 * here + there) * len(worker_counts(setting.workers))

    _ = setting.processes
    budget = QUICK_BUDGET if setting.quick else BUDGET
    repeat = min(max(int(budget / round_cost()), 3), 15)
    rounds = itertools.count(1)
    comparison = compare(
        kernel,
        *args,
        workers=setting.workers,
        repeat=repeat,
        executor=setting.processes,
        on_round=lambda: on_progress(next(rounds) / repeat),
    )
    row = comparison.to_dict()
    del row["environment"]
    for way in "held", "released":
        call = functools.partial(kernel, *args, workers=1, nogil=way == "released")
        row[f"{way}_share"] = _held_share(call, within=0.05 if setting.quick else 0.01)
    return [row]


def _held_share(call: Callable[[], Any], within: float) -> float | None:
    """Return the share of a call in which its thread holds the GIL, where that can be seen."""
    try:
        return look_passively(call, sure=lambda _, uncertainty: uncertainty <= within).held
    except NoSamplerError:
        return None


# ---------------------------------------------------------------- 6. libraries


def _library(_: Setting, library: str, __: Progress) -> list[Row]:
    (call,) = (call for call in calls_of([library]) if call.name == CALLS[library])
    entry = look(call)
    return [
        {
            "library": library,
            "call": call.name,
            "statement": call.statement,
            "report": entry.report and entry.report.to_dict(),
            "error": entry.error,
        }
    ]


def _libraries(_: Setting) -> list[str]:
    return [call.library for call in calls_of(list(CALLS)) if call.name == CALLS[call.library]]


# ---------------------------------------------------------------- 7. without a GIL


def _without_gil(setting: Setting, part: str, _: Progress) -> list[Row]:
    """Run steps 1, 2 and 5 once more, with the GIL switched on or off from the start."""
    switch = f"gil={int(part == 'with a GIL')}"
    command = [sys.executable, "-P", "-X", switch, "-m", "gilfree", "demo"]
    command += ["--only", "1,2,5", "--kernel", "mandelbrot", "--quick", "--json"]
    command += ["--workers", str(setting.workers)]
    done = subprocess.run(command, env=same_imports(), capture_output=True, text=True, check=True)
    steps = json.loads(done.stdout)["steps"]
    ways = {(row["mode"], row["workers"]): row for row in steps[2]["rows"][0]["rows"]}
    return [
        {
            "gil": part == "with a GIL",
            "workers": setting.workers,
            "bytecode": steps[0]["rows"][-1]["speedup"],
            "held": ways["held", setting.workers]["speedup"],
            "updates": steps[1]["rows"][0]["updates"],
            "lost": steps[1]["rows"][0]["lost"],
        }
    ]


def _builds(_: Setting) -> list[str]:
    return [] if gil_enabled() else ["with a GIL", "without"]


STEPS = (
    Step(1, "Only one thread at a time runs bytecode", lambda _: ["bytecode"], _bytecode),
    Step(2, "Why there is a lock", lambda _: ["counter"], _counter),
    Step(3, "Waiting is no problem", lambda _: ["waiting"], _waiting),
    Step(
        4,
        "Processes get around it, and pay",
        lambda _: ["start", "sum_of_squares", "monte_carlo_pi"],
        _on_processes,
    ),
    Step(5, "C code that lets go gets the cores back", lambda s: s.kernels, _kernel),
    Step(6, "The libraries you use do the same", _libraries, _library),
    Step(7, "Without a GIL", _builds, _without_gil),
)
