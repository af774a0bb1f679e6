"""The third measurement of the probe: serial calls, concurrent calls, and the machine's limit.

The limit is measured with a reference loop, which is known to release the GIL. The scheduler moves
woken threads to separate CPUs only after milliseconds, so the threads start awake, each on its own
CPU. Other programs lengthen a round and never shorten it, so the shortest of several rounds counts,
on both sides of a ratio.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gilfree import _kernels
from gilfree._chunks import Chunks
from gilfree._start_line import StartLine
from gilfree._system import usable_cpus
from gilfree.gil.clocking import repeat_call, times_for
from gilfree.gil.evidence import evidence_of, recorded
from gilfree.gil.sampler import sampler

# In a round, each thread calls for about CLOCKED_SECONDS. All rounds take about ROUNDS_SECONDS.
CLOCKED_SECONDS = 12e-3
ROUNDS_SECONDS = 1.6
ROUNDS = 3, 30  # fewest, most
LONG_ROUND = 4.0  # seconds; if the serial calls of a round take longer, only one call is clocked
# Up to RECORDINGS recordings are made, each of RECORDED_SECONDS, or of one call if that is longer.
RECORDED_SECONDS = 0.1
RECORDINGS = 5
# The largest speedup of the reference loop in this process, by workers and CPUs. A virtual machine
# gives 1.6 in one second and 2.0 in the next: the largest is what it can give.
_LIMITS: dict[tuple[int, int], float] = {}


@dataclasses.dataclass(frozen=True)
class Speed:
    """What threads gain; `GilReport` documents the fields."""

    cpu: float | None = None
    workers: int | None = None
    speedup: float | None = None
    limit: float | None = None
    waiting: float | None = None
    blocked: float | None = None
    running: float | None = None
    no_cpu: float | None = None
    handovers: float | None = None
    cpu_growth: float | None = None
    only_here: str | None = None
    only_alone: str | None = None


@dataclasses.dataclass(frozen=True)
class _Clocked:
    """Wall seconds of some work, and CPU seconds of the whole process during it."""

    seconds: float
    cpu: float


@dataclasses.dataclass(frozen=True)
class _Concurrent(_Clocked):
    """The same of concurrent threads, with what each took and how often the GIL changed threads.

    `threads` has the wall and CPU seconds of each thread, by its native id.
    """

    threads: dict[int, tuple[float, float]]
    handovers: int | None


def measure(call: Callable[[], Any], seconds: float, workers: int) -> Speed:
    """Measure the speedup of concurrent calls over serial ones, beside the reference loop.

    Parameters
    ----------
    call : callable
    seconds : float
        Duration of a call.
    workers : int

    Raises
    ------
    Exception
        What a call raises in the calling thread. What it raises in others is in the result.
    """
    times = _times_for_clock(seconds)
    if workers == 1:
        serial = _clocked(lambda: repeat_call(call, times))
        return Speed(cpu=serial.cpu / serial.seconds, workers=1)
    if seconds * workers > LONG_ROUND:
        one = _clocked(call)
        return measure_once(call, (one.seconds, one.cpu), workers)
    loop = _reference_loop()
    loop_times = _times_for_clock(_clocked(loop).seconds)
    least, most = ROUNDS
    round_seconds = (2 * workers + 1) * (times * seconds + CLOCKED_SECONDS)
    call_serial, call_concurrent, loop_serial, loop_concurrent = [], [], [], []
    for _ in range(min(max(least, int(ROUNDS_SECONDS / round_seconds)), most)):
        loop_serial.append(_clocked(lambda: repeat_call(loop, loop_times * workers)))
        loop_concurrent.append(_run_concurrently(loop, loop_times, workers))
        call_serial.append(_clocked(lambda: repeat_call(call, times * workers)))
        try:
            call_concurrent.append(_run_concurrently(call, times, workers))
        except _RefusedError as error:
            return _refused(call, error, _shortest(call_serial), workers)
    serial, concurrent = _shortest(call_serial), _shortest(call_concurrent)
    growth = _shortest(loop_concurrent).cpu / _shortest(loop_serial).cpu
    try:
        evidence = _evidence(
            call, concurrent.seconds / times, serial.cpu / (times * workers) * growth, workers
        )
    except _RefusedError as error:
        return _refused(call, error, serial, workers)
    speed = _speed(serial, concurrent, _shortest(loop_serial), _shortest(loop_concurrent), workers)
    return dataclasses.replace(speed, **evidence)


def measure_once(call: Callable[[], Any], alone: tuple[float, float], workers: int) -> Speed:
    """Measure the same for a long call that was clocked before: each worker calls it only once.

    Parameters
    ----------
    call : callable
    alone : tuple of float
        Wall and CPU seconds of one call.
    workers : int
    """
    one = _Clocked(*alone)
    serial = _Clocked(one.seconds * workers, one.cpu * workers)
    if workers == 1:
        return Speed(cpu=one.cpu / one.seconds, workers=1)
    loop = _reference_loop()
    times = _times_for_clock(_clocked(loop).seconds)
    rounds = [
        (
            _clocked(lambda: repeat_call(loop, times * workers)),
            _run_concurrently(loop, times, workers),
        )
        for _ in range(max(1, int(ROUNDS_SECONDS / (2 * workers + 1) / CLOCKED_SECONDS)))
    ]
    loop_serial, loop_concurrent = (_shortest(side) for side in zip(*rounds, strict=True))
    try:
        growth = loop_concurrent.cpu / loop_serial.cpu
        call_concurrent, evidence = _recorded(call, 1, one.cpu * growth, workers)
    except _RefusedError as error:
        return _refused(call, error, serial, workers)
    speed = _speed(serial, call_concurrent, loop_serial, loop_concurrent, workers)
    return dataclasses.replace(speed, **evidence)


def _evidence(call: Callable[[], Any], seconds: float, cpu: float, workers: int) -> dict[str, Any]:
    """Record concurrent calls, and return the fields of `Speed` that explain their speedup.

    The calls are recorded after they were clocked, since the recorder uses a part of a CPU. Other
    programs can only take CPUs away, so the recording counts in which threads lacked one least.

    Parameters
    ----------
    call : callable
    seconds : float
        Duration of one of several concurrent calls.
    cpu : float
        CPU seconds of such a call, if none slows another down.
    workers : int
    """
    times = times_for(RECORDED_SECONDS, seconds)
    count = min(max(1, int(RECORDINGS * RECORDED_SECONDS / (times * seconds))), RECORDINGS)
    runs = [_recorded(call, times, cpu, workers) for _ in range(count)]
    evidence = [evidence for _, evidence in runs]
    return min(evidence, key=lambda one: 1.0 if one["no_cpu"] is None else one["no_cpu"])


def _recorded(
    call: Callable[[], Any], times: int, cpu: float, workers: int
) -> tuple[_Concurrent, dict[str, Any]]:
    """Record one round of concurrent calls; `cpu` as in `_evidence`."""
    clocked, facts = recorded(lambda: _run_concurrently(call, times, workers))
    calls = times * workers
    taken = sum(each for _, each in clocked.threads.values()) / calls
    return clocked, {
        **vars(evidence_of(facts, clocked.threads)),
        "handovers": None if clocked.handovers is None else clocked.handovers / calls,
        "cpu_growth": taken / cpu if cpu else None,
    }


def _speed(
    call_serial: _Clocked,
    call_concurrent: _Clocked,
    loop_serial: _Clocked,
    loop_concurrent: _Clocked,
    workers: int,
) -> Speed:
    cpu = call_serial.cpu / call_serial.seconds
    return Speed(
        cpu=cpu,
        workers=workers,
        speedup=call_serial.seconds / call_concurrent.seconds,
        limit=_limit(loop_serial.seconds / loop_concurrent.seconds, workers),
    )


def _limit(seen: float, workers: int) -> float:
    """Return the largest speedup of the reference loop so far, at most the number of workers."""
    key = workers, usable_cpus()
    _LIMITS[key] = min(max(seen, _LIMITS.get(key, 0.0)), float(workers))
    return _LIMITS[key]


def _refused(
    call: Callable[[], Any], error: _RefusedError, serial: _Clocked, workers: int
) -> Speed:
    """Tell a call that works only in the calling thread from one that fails beside others."""
    cpu = serial.cpu / serial.seconds
    try:
        _run_concurrently(call, 1, 1)
    except _RefusedError as elsewhere:
        return Speed(cpu=cpu, workers=workers, only_here=str(elsewhere))
    return Speed(cpu=cpu, workers=workers, only_alone=str(error))


class _RefusedError(Exception):
    """A call raised an exception in one of the new threads."""

    def __init__(self, error: BaseException) -> None:
        try:
            lines = str(error).strip().splitlines()
        except Exception:  # the `__str__` of the call's exception may fail
            lines = []
        super().__init__(": ".join([type(error).__name__, *lines[:1]]))


def _run_concurrently(call: Callable[[], Any], times: int, workers: int) -> _Concurrent:
    """Clock `workers` new threads of `times` calls each, from the first start to the last end."""
    line = StartLine(workers)
    clocks: list[tuple[float, float, float, float]] = []
    thread_clocks: dict[int, tuple[float, float]] = {}
    count = sampler().handovers
    errors: list[BaseException] = []

    def work() -> None:
        try:
            line.wait()
            cpu = time.thread_time()
            start = time.perf_counter(), time.process_time()
            repeat_call(call, times)
            clocks.append((*start, time.perf_counter(), time.process_time()))
            seconds = clocks[-1][2] - start[0]
            thread_clocks[threading.get_native_id()] = seconds, time.thread_time() - cpu
        except BaseException as error:  # also SystemExit, which would end only this thread
            errors.append(error)

    # Daemons: if Ctrl-C ends the probe during long calls, the interpreter does not wait for them.
    threads = [
        threading.Thread(target=work, name=f"gilfree-probe-{number}", daemon=True)
        for number in range(workers)
    ]
    before = count()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handovers = None if before is None else count() - before
    if errors:
        raise _RefusedError(errors[0]) from errors[0]
    starts, cpu_starts, ends, cpu_ends = zip(*clocks, strict=True)
    seconds, cpu = max(ends) - min(starts), max(cpu_ends) - min(cpu_starts)
    return _Concurrent(seconds, cpu, thread_clocks, handovers)


def _clocked(work: Callable[[], None]) -> _Clocked:
    cpu, start = time.process_time(), time.perf_counter()
    work()
    return _Clocked(time.perf_counter() - start, time.process_time() - cpu)


def _shortest(rounds: Any) -> _Clocked:
    least: _Clocked = min(rounds, key=lambda clocked: clocked.seconds)
    return least


def _times_for_clock(seconds: float) -> int:
    """Return how many calls of `seconds` take `CLOCKED_SECONDS`."""
    return times_for(CLOCKED_SECONDS, seconds)


def _reference_loop() -> Callable[[], None]:
    """Return a loop of a millisecond or more that releases the GIL and uses little memory."""

    def loop() -> None:
        # An array for each call: threads that write to the same one slow each other down.
        counts = np.empty(20_000, np.int32)
        picture = 0, 200, -0.5, 0.5, 1e-3, 1e-3, 500
        _kernels.mandelbrot_nogil(*picture, counts, Chunks(counts.size))

    return loop
