"""The third look of the probe: calls in turn, calls at once, and what the machine can give.

Threads that wake up start on one CPU and are moved apart milliseconds later, so those that are
clocked start awake, each on a CPU of its own. The least of several rounds counts, on both sides of
a ratio: what else runs on the machine makes a round longer, and never shorter.
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

# What each thread does in a round takes at least so long, and all rounds together about so long.
CLOCKED_SECONDS = 12e-3
ROUNDS_SECONDS = 1.6
ROUNDS = 3, 30  # at least, and at most
# So long are the calls of each thread that are recorded, so often unless they are longer.
RECORDED_SECONDS = 0.1
RECORDINGS = 5
# What the machine was seen to give to so many workers on so many CPUs, since this process began. A
# virtual machine gives 1.6 in one second and 2.0 in the next; what it can give is the most.
_LIMITS: dict[tuple[int, int], float] = {}


@dataclasses.dataclass(frozen=True)
class Speed:
    """What threads gain; the fields are those of `GilReport`."""

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
    """Wall and CPU seconds of some work; CPU seconds are those of the whole process."""

    seconds: float
    cpu: float


@dataclasses.dataclass(frozen=True)
class _AtOnce(_Clocked):
    """The same of threads: also of each by its native id; and how often the GIL changed hands."""

    threads: dict[int, tuple[float, float]]
    handovers: int | None


def measure(call: Callable[[], Any], seconds: float, workers: int) -> Speed:
    """Measure calls of so many seconds in turn and at once, beside a loop known to release the GIL.

    Raises
    ------
    Exception
        What a call raises in the calling thread. What it raises in others is in the result.
    """
    times = _times(seconds)
    if workers == 1:
        in_turn = _clocked(lambda: repeat_call(call, times))
        return Speed(cpu=in_turn.cpu / in_turn.seconds, workers=1)
    known = _known_loop()
    known_times = _times(_clocked(known).seconds)
    least, most = ROUNDS
    round_seconds = (2 * workers + 1) * (times * seconds + CLOCKED_SECONDS)
    theirs_in_turn, theirs, ours_in_turn, ours = [], [], [], []
    for _ in range(min(max(least, int(ROUNDS_SECONDS / round_seconds)), most)):
        ours_in_turn.append(_clocked(lambda: repeat_call(known, known_times * workers)))
        ours.append(_at_once(known, known_times, workers))
        theirs_in_turn.append(_clocked(lambda: repeat_call(call, times * workers)))
        try:
            theirs.append(_at_once(call, times, workers))
        except _RefusedError as error:
            return _refused(call, error, _least(theirs_in_turn), workers)
    in_turn, at_once = _least(theirs_in_turn), _least(theirs)
    growth = _least(ours).cpu / _least(ours_in_turn).cpu
    try:
        evidence = _evidence(
            call, at_once.seconds / times, in_turn.cpu / (times * workers) * growth, workers
        )
    except _RefusedError as error:
        return _refused(call, error, in_turn, workers)
    speed = _speed(in_turn, at_once, _least(ours_in_turn), _least(ours), workers)
    return dataclasses.replace(speed, **evidence)


def measure_once(call: Callable[[], Any], alone: tuple[float, float], workers: int) -> Speed:
    """Do the same for a call of seconds that was clocked already: the fewest calls that answer.

    Parameters
    ----------
    call : callable
    alone : tuple of float
        Wall and CPU seconds of one call.
    workers : int
    """
    one = _Clocked(*alone)
    in_turn = _Clocked(one.seconds * workers, one.cpu * workers)
    if workers == 1:
        return Speed(cpu=one.cpu / one.seconds, workers=1)
    known = _known_loop()
    times = _times(_clocked(known).seconds)
    rounds = [
        (_clocked(lambda: repeat_call(known, times * workers)), _at_once(known, times, workers))
        for _ in range(max(1, int(ROUNDS_SECONDS / (2 * workers + 1) / CLOCKED_SECONDS)))
    ]
    ours_in_turn, ours = (_least(side) for side in zip(*rounds, strict=True))
    try:
        growth = ours.cpu / ours_in_turn.cpu
        theirs, evidence = _recorded(call, 1, one.cpu * growth, workers)
    except _RefusedError as error:
        return _refused(call, error, in_turn, workers)
    speed = _speed(in_turn, theirs, ours_in_turn, ours, workers)
    return dataclasses.replace(speed, **evidence)


def _evidence(call: Callable[[], Any], seconds: float, cpu: float, workers: int) -> dict[str, Any]:
    """Find what threads do with their time in calls that take so many seconds at once.

    The recordings come after what is clocked, because a recorder takes a part of a CPU. Of several,
    that one counts in which threads had a CPU most: what else runs here can only take it away.
    """
    times = times_for(RECORDED_SECONDS, seconds)
    count = min(max(1, int(RECORDINGS * RECORDED_SECONDS / (times * seconds))), RECORDINGS)
    runs = [_recorded(call, times, cpu, workers) for _ in range(count)]
    evidence = [evidence for _, evidence in runs]
    return min(evidence, key=lambda one: 1.0 if one["no_cpu"] is None else one["no_cpu"])


def _recorded(
    call: Callable[[], Any], times: int, cpu: float, workers: int
) -> tuple[_AtOnce, dict[str, Any]]:
    """Record calls at once that would need so much CPU time each, if none was in another's way."""
    clocked, facts = recorded(lambda: _at_once(call, times, workers))
    calls = times * workers
    taken = sum(each for _, each in clocked.threads.values()) / calls
    return clocked, {
        **vars(evidence_of(facts, clocked.threads)),
        "handovers": None if clocked.handovers is None else clocked.handovers / calls,
        "cpu_growth": taken / cpu if cpu else None,
    }


def _speed(
    theirs_in_turn: _Clocked, theirs: _Clocked, ours_in_turn: _Clocked, ours: _Clocked, workers: int
) -> Speed:
    cpu = theirs_in_turn.cpu / theirs_in_turn.seconds
    return Speed(
        cpu=cpu,
        workers=workers,
        speedup=theirs_in_turn.seconds / theirs.seconds,
        limit=_limit(ours_in_turn.seconds / ours.seconds, workers),
    )


def _limit(seen: float, workers: int) -> float:
    """Return the most that the machine was seen to give; no loop runs on more CPUs than workers."""
    key = workers, usable_cpus()
    _LIMITS[key] = min(max(seen, _LIMITS.get(key, 0.0)), float(workers))
    return _LIMITS[key]


def _refused(
    call: Callable[[], Any], error: _RefusedError, in_turn: _Clocked, workers: int
) -> Speed:
    """Tell a call that bears one thread only from one that bears one at a time."""
    cpu = in_turn.cpu / in_turn.seconds
    try:
        _at_once(call, 1, 1)
    except _RefusedError as elsewhere:
        return Speed(cpu=cpu, workers=workers, only_here=str(elsewhere))
    return Speed(cpu=cpu, workers=workers, only_alone=str(error))


class _RefusedError(Exception):
    """A call raised, in another thread than the one that has a right to hear of it."""

    def __init__(self, error: BaseException) -> None:
        try:
            lines = str(error).strip().splitlines()
        except Exception:  # whatever an exception of somebody else's does when it is asked
            lines = []
        super().__init__(": ".join([type(error).__name__, *lines[:1]]))


def _at_once(call: Callable[[], Any], times: int, workers: int) -> _AtOnce:
    """Clock new threads that make so many calls each, from the first start to the last end."""
    line = StartLine(workers)
    clocks: list[tuple[float, float, float, float]] = []
    clocks_of: dict[int, tuple[float, float]] = {}
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
            clocks_of[threading.get_native_id()] = seconds, time.thread_time() - cpu
        except BaseException as error:  # SystemExit, too, ends this thread alone
            errors.append(error)

    # Daemons: nobody waits for them if Ctrl-C ends the probe amid calls of many seconds.
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
    return _AtOnce(seconds, cpu, clocks_of, handovers)


def _clocked(work: Callable[[], None]) -> _Clocked:
    cpu, start = time.process_time(), time.perf_counter()
    work()
    return _Clocked(time.perf_counter() - start, time.process_time() - cpu)


def _least(rounds: Any) -> _Clocked:
    least: _Clocked = min(rounds, key=lambda clocked: clocked.seconds)
    return least


def _times(seconds: float) -> int:
    """Return how many calls of so many seconds are long enough to be clocked."""
    return times_for(CLOCKED_SECONDS, seconds)


def _known_loop() -> Callable[[], None]:
    """Return a loop of a millisecond or more that releases the GIL and keeps to its own cache."""

    def known() -> None:
        # An array for each call: threads that write to the same one slow each other down.
        counts = np.empty(20_000, np.int32)
        picture = 0, 200, -0.5, 0.5, 1e-3, 1e-3, 500
        _kernels.mandelbrot_nogil(*picture, counts, Chunks(counts.size))

    return known
