"""Tell whether a callable releases the GIL, for how much of the call, and if threads help.

Three looks at the same call, each in calls of its own, because each would disturb the others:

1. **passive**: a sampler that never takes the GIL reads whether the calling thread has it;
2. **active**: another Python thread asks for the GIL all the time, and notes how long it waits;
3. **speedup**: N calls one after the other, against N calls at once, beside what this machine can
   do at all with a loop that is known to release the GIL.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from gilfree import _kernels
from gilfree.gil_report import SURE, GilReport
from gilfree.pool import gil_enabled, usable_cpus, whole_number

if TYPE_CHECKING:
    from gilfree._watch import Seen, Watch

# The passive look goes on until `held` is sure, or the time is spent.
PASSIVE_SECONDS = 1.0
# A call that takes this long is looked at once each way: its first run, too, counts.
LONG = 0.5  # seconds
# In the active look, the other thread asks so often, or the calls go on for so long.
ASKED = 10
MOST_CLOCKED_SECONDS = 0.1
# What is clocked takes at least so long; the two sides of a speedup are taken in turn so often.
CLOCKED_SECONDS = 5e-3
ROUNDS = 3, 9  # at least, and at most if they fit into
ROUNDS_SECONDS = 0.5
# The switch interval of the active look: bytecode gives way that soon.
TINY = 1e-5  # seconds


def probe(
    function: Callable[..., Any],
    *args: Any,
    workers: int | None = None,
    repeat: int | None = None,
    interval: float = 20e-6,
    **kwargs: Any,
) -> GilReport:
    """Find out whether ``function(*args, **kwargs)`` releases the GIL, and what threads gain.

    The function is called many times, also by several threads at once: at least
    ``2 + 2 * workers`` times, and a short one until there are enough samples. It must do the same
    work each time, and bear being called by several threads.

    Parameters
    ----------
    function : callable
        What to look at; wrap it in a ``lambda`` if it has arguments named as those below.
    *args, **kwargs
        Its arguments.
    workers : int, optional
        Threads to try. By default one for each CPU that this process may use.
    repeat : int, optional
        Calls that the passive look sees. By default until the answer is sure.
    interval : float, default: 20e-6
        Seconds between two samples.

    Returns
    -------
    GilReport

    Raises
    ------
    NoSamplerError
        A `RuntimeError`: on a system or a Python whose thread states gilfree can't read.
    ValueError
        If `workers` or `repeat` is less than 1, or `interval` is not from 1e-6 to 1 second.
    Exception
        Whatever the function raises, with its own traceback.

    Examples
    --------
    >>> print(gilfree.probe(np.sort, np.random.rand(1_000_000)))  # doctest: +SKIP
    """
    workers = usable_cpus() if workers is None else whole_number("workers", workers)
    if repeat is not None:
        repeat = whole_number("repeat", repeat)

    def call() -> Any:
        return function(*args, **kwargs)

    passive = look_passively(call, repeat=repeat, interval=interval)
    stall = longest_stall(call, passive.seconds)
    speed = _speed(call, passive.seconds, workers)
    return GilReport(
        name=name_of(function),
        gil_enabled=gil_enabled(),
        longest_stall=stall,
        workers=workers,
        **dataclasses.asdict(speed),
        **{f.name: getattr(passive, f.name) for f in dataclasses.fields(passive)},
    )


def name_of(function: Callable[..., Any]) -> str:
    """Return what a callable calls itself."""
    for attribute in "__qualname__", "__name__":
        if name := getattr(function, attribute, None):
            return str(name)
    return repr(function)


# ---------------------------------------------------------------- 1. passive: who has the GIL?


@dataclasses.dataclass(frozen=True)
class Passive:
    """What the sampler saw; the fields are those of `GilReport`."""

    seconds: float
    calls: int
    held: float | None
    uncertainty: float
    longest_hold: float
    samples: int
    largest_gap: float
    result: Any


def look_passively(
    call: Callable[[], Any],
    *,
    repeat: int | None = None,
    interval: float = 20e-6,
    sure: Callable[[float, float], bool] = lambda held, uncertainty: uncertainty <= SURE,
) -> Passive:
    """Call until it is sure which share of the call the calling thread holds the GIL.

    Parameters
    ----------
    call : callable
    repeat : int, optional
        Calls to make, instead of as many as it takes.
    interval : float, default: 20e-6
        Seconds between two samples.
    sure : callable, optional
        Whether a held share and its uncertainty are enough.
    """
    with sampler().Watch(interval) as watch:
        result, first = _watched(watch, call)
        times = [first]
        if first < LONG:  # the first call of a short function warms it up, and does not count
            watch.forget()
            times.clear()
            deadline = time.perf_counter() + PASSIVE_SECONDS
            while not _enough(watch, times, repeat, deadline, sure):
                times.append(_watched(watch, call)[1])
        seen = watch.seen()[0]
    return Passive(
        seconds=statistics.median(times),
        calls=len(times),
        held=seen.held,
        uncertainty=_uncertainty(seen),
        longest_hold=seen.longest_hold,
        samples=seen.samples,
        largest_gap=seen.largest_gap,
        result=result,
    )


def _watched(watch: Watch, call: Callable[[], Any]) -> tuple[Any, float]:
    """Call under watch; return the result and the seconds it took."""
    start = time.perf_counter()
    watch.begin()
    try:
        result = call()
    finally:
        watch.end()
    return result, time.perf_counter() - start


def _enough(
    watch: Watch,
    times: list[float],
    repeat: int | None,
    deadline: float,
    sure: Callable[[float, float], bool],
) -> bool:
    if repeat is not None:
        return len(times) >= repeat
    # Asking costs more than a short call, so ask only now and then.
    if len(times) < 3 or (len(times) & (len(times) - 1) and times[-1] < 1e-3):
        return False
    if time.perf_counter() > deadline:
        return True
    seen = watch.seen()[0]
    return seen.held is not None and sure(seen.held, _uncertainty(seen))


def _uncertainty(seen: Seen) -> float:
    """Return how far the held share may be off.

    Two standard deviations of a share of so many samples; and in the time that they don't tell of,
    the thread may have held the GIL throughout, or never.
    """
    if seen.held is None:
        return 1.0
    variance = (seen.held * (1 - seen.held) + 1 / seen.samples) / seen.samples
    unseen = seen.unknown * max(seen.held, 1 - seen.held)
    return min(2 * math.sqrt(variance) + unseen, 1.0)


class NoSamplerError(RuntimeError):
    """There is no sampler for this system or this version of Python."""


def sampler() -> Any:
    """Return the module of the sampler, or say why there is none."""
    try:
        from gilfree import _watch as module
    except ImportError:
        msg = f"the probe needs Linux or macOS, and this is {sys.platform}"
        raise NoSamplerError(msg) from None
    if not module.KNOWS_PYTHON:
        msg = (
            f"the probe knows the thread states of CPython {module.KNOWN_PYTHONS}, and this is "
            f"{platform.python_version()}: all of gilfree works here but the probe"
        )
        raise NoSamplerError(msg)
    return module


# ---------------------------------------------------------------- 2. active: who is kept waiting?


def longest_stall(call: Callable[[], Any], seconds: float) -> float:
    """Return for how many seconds a call keeps another Python thread waiting, at the most.

    The least of several tries: a busy machine makes a thread wait longer, never shorter.

    Parameters
    ----------
    call : callable
    seconds : float
        What a call takes; short ones are repeated, so that somebody gets to ask meanwhile.
    """
    calls = _times(seconds)
    with _tiny_switch_interval():
        return min(_stall(call, calls) for _ in range(1 if seconds > LONG else 3))


def _stall(call: Callable[[], Any], calls: int) -> float:
    waiter = sampler().Waiter()
    thread = threading.Thread(target=waiter.wait, name="gilfree-waiter")
    thread.start()
    try:
        while not waiter.asked:
            time.sleep(1e-4)
        waiter.begin()
        deadline = time.perf_counter() + MOST_CLOCKED_SECONDS
        enough = waiter.asked + ASKED
        while True:
            for _ in range(calls):
                call()
            if waiter.asked >= enough or time.perf_counter() > deadline:
                break
        waiter.end()
    finally:
        waiter.stop()
        thread.join()
    longest: float = waiter.longest_wait
    return longest


def _times(seconds: float) -> int:
    """Return how many calls of so many seconds are long enough to be clocked."""
    return max(1, round(CLOCKED_SECONDS / seconds))


_interval_lock = threading.Lock()
_interval_users = 0
_interval_before = 0.0


@contextlib.contextmanager
def _tiny_switch_interval() -> Iterator[None]:
    """Have bytecode give way at once; several probes may want that at the same time."""
    global _interval_users, _interval_before
    with _interval_lock:
        if _interval_users == 0:
            _interval_before = sys.getswitchinterval()
            sys.setswitchinterval(TINY)
        _interval_users += 1
    try:
        yield
    finally:
        with _interval_lock:
            _interval_users -= 1
            if _interval_users == 0:
                sys.setswitchinterval(_interval_before)


# ---------------------------------------------------------------- 3. speedup: do threads help?


@dataclasses.dataclass(frozen=True)
class _Speed:
    cpu: float
    speedup: float | None
    limit: float | None
    cpu_at_once: float | None


def _speed(call: Callable[[], Any], seconds: float, workers: int) -> _Speed:
    """Measure calls in turn and at once, beside a loop that is known to release the GIL."""
    calls = _times(seconds)  # of each worker
    least, most = ROUNDS
    rounds = min(max(least, int(ROUNDS_SECONDS / (2 * calls * workers * seconds))), most)

    def known() -> None:
        # An array for each call: threads that write to the same one slow each other down.
        counts = np.empty(20_000, np.int32)
        _kernels.mandelbrot_nogil(0, 200, -0.5, 0.5, 1e-3, 1e-3, 500, counts)

    with ThreadPoolExecutor(workers, thread_name_prefix="gilfree-probe") as pool:
        pairs = [
            (_round(pool, call, calls, workers), _round(pool, known, 1, workers))
            for _ in range(1 if seconds > LONG else rounds)
        ]
    theirs, ours = zip(*pairs, strict=True)
    cpu = statistics.median(r.cpu_in_turn for r in theirs)
    if workers == 1:
        return _Speed(cpu, None, None, None)
    return _Speed(
        cpu,
        speedup=statistics.median(r.speedup for r in theirs),
        limit=statistics.median(r.speedup for r in ours),
        cpu_at_once=statistics.median(
            their.cpu_gain / our.cpu_gain for their, our in pairs if our.cpu_gain
        ),
    )


@dataclasses.dataclass(frozen=True)
class _Round:
    """The same calls in turn and at once: wall seconds, and CPUs kept busy."""

    seconds_in_turn: float
    cpu_in_turn: float
    seconds_at_once: float
    cpu_at_once: float

    @property
    def speedup(self) -> float:
        return self.seconds_in_turn / self.seconds_at_once

    @property
    def cpu_gain(self) -> float:
        return self.cpu_at_once / self.cpu_in_turn if self.cpu_in_turn else 0.0


def _round(pool: ThreadPoolExecutor, call: Callable[[], Any], calls: int, workers: int) -> _Round:
    barrier = threading.Barrier(workers + 1)

    def several(times: int) -> None:
        for _ in range(times):
            call()

    def one_worker() -> None:
        barrier.wait()
        several(calls)

    in_turn = _clocked(lambda: several(calls * workers))
    if workers == 1:
        return _Round(*in_turn, *in_turn)

    def at_once() -> None:
        barrier.wait()
        for future in futures:
            future.result()

    try:
        futures = [pool.submit(one_worker) for _ in range(workers)]
        while barrier.n_waiting < workers:
            time.sleep(1e-4)
        return _Round(*in_turn, *_clocked(at_once))
    except BaseException:
        barrier.abort()  # nobody may be left waiting
        raise


def _clocked(work: Callable[[], None]) -> tuple[float, float]:
    cpu, start = time.process_time(), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    return seconds, (time.process_time() - cpu) / seconds
