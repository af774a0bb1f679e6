"""The seven steps of ``gilfree demo``: what is said about the GIL, measured here and now.

A step has parts. Each part is measured by itself and gives rows of plain numbers, so that what was
finished can be shown when somebody interrupts. `gilfree.story` says what the rows mean.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
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

from gilfree import _kernels, bytecode, kernels
from gilfree.compare import compare, quartiles, same_imports, worker_counts, workload
from gilfree.pool import gil_enabled, usable_cpus
from gilfree.probe import NoSamplerError, look_passively
from gilfree.survey import calls_of, look

Row: TypeAlias = dict[str, Any]

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
    measure: Callable[[Setting, str], list[Row]]


def findings(
    step: Step, setting: Setting, on_part: Callable[[str], object] = str
) -> tuple[list[Row], bool]:
    """Measure a step; return its rows, and whether they are all: Ctrl-C ends it early."""
    rows: list[Row] = []
    try:
        for part in step.parts(setting):
            on_part(part)
            rows += step.measure(setting, part)
    except KeyboardInterrupt:
        return rows, False
    return rows, True


def _clock(ways: Mapping[Any, Callable[[], object]], rounds: int) -> dict[Any, list[float]]:
    """Run each way once in each round, in turn, after a round that is not counted."""
    seconds: dict[Any, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            if number:
                seconds[way].append(time.perf_counter() - start)
    return seconds


def _figures(times: Sequence[float], base: Sequence[float]) -> Row:
    """Return median and quartiles of times, and of how much faster they are than others."""
    ratios = [other / own for own, other in zip(times, base, strict=True)]
    row: Row = {}
    for name, values in ("seconds", times), ("speedup", ratios):
        row[f"{name}_low"], row[name], row[f"{name}_high"] = quartiles(values)
    return row


# ---------------------------------------------------------------- 1. bytecode on threads


def _bytecode(setting: Setting, _: str) -> list[Row]:
    loop = bytecode.sum_of_squares(np.arange(100_000 if setting.quick else 400_000))
    counts = worker_counts(setting.workers)
    with ThreadPoolExecutor(setting.workers) as threads:
        ways = {n: functools.partial(bytecode.run, loop, threads, n) for n in counts}
        seconds = _clock(ways, setting.rounds)
    return [{"workers": n, **_figures(seconds[n], seconds[1])} for n in counts]


# ---------------------------------------------------------------- 2. a counter that threads share


def _counter(setting: Setting, _: str) -> list[Row]:
    times = 5_000_000 if setting.quick else 20_000_000
    workers = max(setting.workers, 2)  # a race takes two
    counter = np.zeros(1, np.int64)
    lost: dict[str, list[int]] = {}

    def add_up(way: str, threads: Executor) -> None:
        counter[0] = 0
        if way == "private":
            total = sum(threads.map(_kernels.count_private_nogil, [times] * workers))
        else:
            count = _kernels.count_gil if way == "held" else _kernels.count_nogil
            list(threads.map(count, [counter] * workers, [times] * workers))
            total = int(counter[0])
        lost.setdefault(way, []).append(times * workers - total)

    with ThreadPoolExecutor(workers) as threads:
        ways = {
            way: functools.partial(add_up, way, threads) for way in ("held", "released", "private")
        }
        seconds = _clock(ways, setting.rounds)
    return [
        {
            "way": way,
            "workers": workers,
            "updates": times * workers,
            "lost": statistics.median_low(lost[way]),
            **_figures(seconds[way], seconds["held"]),
        }
        for way in ways
    ]


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


def _waiting(setting: Setting, _: str) -> list[Row]:
    delay = 0.02 if setting.quick else 0.1

    def ask(address: tuple[str, int]) -> bytes:
        with create_connection(address) as connection:
            return connection.recv(1)  # here the GIL is released

    with _late_server(delay) as address, ThreadPoolExecutor(REQUESTS) as threads:
        addresses = [address] * REQUESTS
        ways = {
            1: lambda: [ask(each) for each in addresses],
            REQUESTS: lambda: list(threads.map(ask, addresses)),
        }
        seconds = _clock(ways, 2)
    return [
        {"threads": n, "requests": REQUESTS, "delay": delay, **_figures(seconds[n], seconds[1])}
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


def _on_processes(setting: Setting, part: str) -> list[Row]:
    if part == "start":
        start = time.perf_counter()
        _ = setting.processes
        return [{"work": part, "workers": setting.workers, "start": time.perf_counter() - start}]
    kernel, args = getattr(kernels, part), _work(setting, part)
    scales = _Scales()
    kernel(*args, executor=scales)
    ways = {
        "here": functools.partial(kernel, *args, workers=1),
        "there": functools.partial(kernel, *args, executor=setting.processes),
    }
    seconds = _clock(ways, 3 if setting.quick else 5)
    figures = _figures(seconds["there"], seconds["here"])
    here = statistics.median(seconds["here"])
    return [
        {"work": part, "workers": setting.workers, "sent": scales.sent, "here": here, **figures}
    ]


def _work(setting: Setting, name: str) -> tuple[Any, ...]:
    """Return arguments for a kernel; a fifth of the usual work or more, if it is to be quick."""
    data = setting.data
    if data is None and setting.quick:
        if name == "mandelbrot":
            return ((500, 700),)
        if name == "monte_carlo_pi":
            return (7_000_000, 20)
        shape = (1700, 16) if name == "sqeuclidean" else (2_000_000,)
        data = np.random.default_rng(20).random(shape)
    return workload(name, data)


# ---------------------------------------------------------------- 5. C code that lets go


def _kernel(setting: Setting, name: str) -> list[Row]:
    kernel, args = getattr(kernels, name), _work(setting, name)

    def rounds_cost() -> float:
        start = time.perf_counter()
        kernel(*args, workers=1)
        kernel(*args, executor=setting.processes)
        return 2 * len(worker_counts(setting.workers)) * (time.perf_counter() - start)

    _ = setting.processes
    budget = QUICK_BUDGET if setting.quick else BUDGET
    repeat = min(max(int(budget / rounds_cost()), 3), 15)
    comparison = compare(
        kernel, *args, workers=setting.workers, repeat=repeat, executor=setting.processes
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


def _library(_: Setting, library: str) -> list[Row]:
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


def _without_gil(setting: Setting, part: str) -> list[Row]:
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
