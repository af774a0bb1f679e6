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
import inspect
import math
import platform
import statistics
import sys
import threading
import time
import timeit
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from gilfree import _kernels, at_once
from gilfree.gil_report import SURE, GilReport, readable_time
from gilfree.pool import gil_enabled, usable_cpus, whole_number

if TYPE_CHECKING:
    from gilfree._watch import Seen, Watch

# The passive look goes on until `held` is sure, or the time is spent.
PASSIVE_SECONDS = 1.0
# A call that takes this long is made once alone and once at once, and no more.
LONG = 0.5  # seconds
# A shorter call is watched many times in one window: to open one costs time, too.
SHORT = 100e-6  # seconds
WINDOW = 1e-3  # seconds
# The active look ends after so many requests for the GIL, or after so many seconds.
ASKED = 10
MOST_CLOCKED_SECONDS = 0.1
# Changes of state are seen so many times too seldom at worst: who changes may do so in the gaps.
CAREFUL = 3
# What is clocked takes at least so long.
CLOCKED_SECONDS = 5e-3
# The switch interval of the active look: bytecode gives way that soon.
TINY = 1e-5  # seconds
# How long the asking thread sleeps while the first call is watched as well: long, so that it takes
# nothing from a call of seconds, whose only one this may be.
RARELY = 5e-3  # seconds


def probe(
    function: Callable[..., Any],
    *args: Any,
    workers: int | None = None,
    repeat: int | None = None,
    interval: float = 20e-6,
    **kwargs: Any,
) -> GilReport:
    """Find out whether ``function(*args, **kwargs)`` releases the GIL, and what threads gain.

    The function is called many times, also by several threads at once: a short one until there are
    enough samples, one of half a second or more ``1 + workers`` times. It must do the same work
    each time. If it can't be called from another thread, or by several at once, the report says so.

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
    LazyCallError
        A `TypeError`: if the call runs nothing yet, but returns a generator or a coroutine.
    ValueError
        If `workers` or `repeat` is less than 1, or `interval` is not from 1e-6 to 1 second.
    Exception
        Whatever the function raises in the calling thread, with its own traceback.

    Examples
    --------
    >>> print(gilfree.probe(np.sort, np.random.rand(1_000_000)))  # doctest: +SKIP
    """
    refuse_lazy(function)
    call = partial(function, *args, **kwargs) if args or kwargs else function
    return Probing(call, name_of(function), workers, repeat, interval).run()


class Probing:
    """A probe under way: what is known by then can be asked for at any time.

    Parameters
    ----------
    call : callable
        Without arguments.
    name : str
    workers, repeat, interval
        As in `probe`.
    harness : callable, optional
        What it costs to get to the call: its time is no part of the call's.
    """

    def __init__(
        self,
        call: Callable[[], Any],
        name: str,
        workers: int | None = None,
        repeat: int | None = None,
        interval: float = 20e-6,
        harness: Callable[[], Any] | None = None,
    ) -> None:
        self._call = call
        self._name = name
        self._workers = usable_cpus() if workers is None else whole_number("workers", workers)
        self._repeat = None if repeat is None else whole_number("repeat", repeat)
        self._interval = interval
        self._harness = harness
        self._passive: Passive | None = None
        self._stall: float | None = None
        self._speed = at_once.Speed()
        self._costs = Costs(0.0, 0.0)

    def run(self, on_look: Callable[[str], object] = str) -> GilReport:
        """Look in all three ways.

        Parameters
        ----------
        on_look : callable, optional
            Called before each look with a few words on what comes, to show progress.
        """
        on_look("one call")
        first, result = first_call(self._call, self._interval)
        refuse_lazy_result(result, self._name)
        if first.passive.seconds >= LONG:
            self._passive, self._stall = first.passive, first.stall
            alone, in_turn = first.passive.seconds, first.passive.seconds * self._workers
            if self._workers > 1:
                times = f"{readable_time(alone)} to {readable_time(in_turn)}"
                on_look(f"one took {readable_time(alone)}; {self._workers} at once: {times}")
            self._costs = Costs.measured()
            self._speed = at_once.measure_once(
                self._call, (first.passive.seconds, first.cpu), self._workers
            )
        else:
            on_look("who has the GIL")
            self._passive = look_passively(
                self._call, repeat=self._repeat, interval=self._interval, harness=self._harness
            )
            self._passive = dataclasses.replace(self._passive, result=result)
            on_look("who waits for it")
            self._costs = Costs.measured()
            seconds = self._passive.seconds
            if self._harness is not None:
                seconds += _seconds_of(self._harness)
            self._stall = longest_stall(self._call, seconds)
            on_look("what threads gain")
            self._speed = at_once.measure(self._call, seconds, self._workers)
        report = self.report()
        assert report is not None
        return report

    def report(self) -> GilReport | None:
        """Return what is known so far, or None if that is nothing."""
        if self._passive is None:
            return None
        return GilReport(
            name=self._name,
            gil_enabled=gil_enabled(),
            longest_stall=self._stall,
            **self._costs._asdict(),
            **vars(self._speed),
            **vars(self._passive),
        )


def name_of(function: Callable[..., Any]) -> str:
    """Return what a callable calls itself."""
    for attribute in "__qualname__", "__name__":
        if name := getattr(function, attribute, None):
            return str(name)
    return repr(function)


# ---------------------------------------------------------------- calls that run nothing yet

LAZY: dict[str, tuple[Callable[[Any], bool], type, str]] = {
    "generator": (inspect.isgeneratorfunction, types.GeneratorType, "list({})"),
    "coroutine": (inspect.iscoroutinefunction, types.CoroutineType, "asyncio.run({})"),
    "async generator": (
        inspect.isasyncgenfunction,
        types.AsyncGeneratorType,
        "asyncio.run() of a coroutine that iterates over {}",
    ),
}


class LazyCallError(TypeError):
    """A call only makes an object whose code runs later: there is nothing to see yet."""

    def __init__(self, kind: str, name: str) -> None:
        call = name if name.endswith(")") else f"{name}(...)"
        super().__init__(
            f"{name} returns {'an' if kind[0] in 'aeiou' else 'a'} {kind}, and none of its code "
            f"runs in that call: probe {LAZY[kind][2].format(call)} instead"
        )


def refuse_lazy(function: Callable[..., Any]) -> None:
    """Raise `LazyCallError` for a function whose calls run none of its code."""
    for kind, (makes, _, _) in LAZY.items():
        if makes(function) or makes(getattr(function, "__call__", None)):  # noqa: B004
            raise LazyCallError(kind, name_of(function))


def refuse_lazy_result(result: Any, name: str) -> None:
    """Raise `LazyCallError` if a call has returned a generator or a coroutine, and close that."""
    for kind, (_, made, _) in LAZY.items():
        if isinstance(result, made):
            if hasattr(result, "close"):  # an async generator that has not begun needs none
                result.close()
            raise LazyCallError(kind, name)


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


class First(NamedTuple):
    """What was seen of the first call, while another thread asked for the GIL now and then."""

    passive: Passive
    stall: float
    cpu: float  # seconds


def first_call(call: Callable[[], Any], interval: float) -> tuple[First, Any]:
    """Make one call with both looks at it; return what was seen, and what it returned.

    Of a short call the first one is not like the others, and what was seen is forgotten. Of a call
    of seconds it is the only one: so here, too, somebody has to ask for the GIL.
    """
    waiter = sampler().Waiter(RARELY)
    with _asking(waiter), _tiny_switch_interval():
        cpu = time.process_time()
        with sampler().Watch(interval) as watch:
            waiter.begin()
            result, seconds = _watched(watch, call)
            waiter.end()
            seen = watch.seen()[0]
        cpu = time.process_time() - cpu - watch.cpu_seconds
    passive = _passive(seen, seconds, 1, result)
    return First(passive, waiter.longest_wait, max(cpu, 0.0)), result


def look_passively(
    call: Callable[[], Any],
    *,
    repeat: int | None = None,
    interval: float = 20e-6,
    sure: Callable[[float, float], bool] = lambda held, uncertainty: uncertainty <= SURE,
    harness: Callable[[], Any] | None = None,
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
    harness : callable, optional
        What it costs to get to the call: its time is no part of the call's.
    """
    with sampler().Watch(interval) as watch:
        result, first = _watched(watch, call)
        times, window = [first], 1
        if first < LONG:  # the first call of a short function warms it up, and does not count
            watch.forget()
            times.clear()
            window = calls_of_a_window(call, first, repeat)
            work = call if window == 1 else partial(at_once.repeat, call, window)
            deadline = time.perf_counter() + PASSIVE_SECONDS
            while not _enough(watch, times, repeat and repeat // window, deadline, sure):
                times.append(_watched(watch, work)[1])
        seen = watch.seen()[0]
    if window == 1:
        return _passive(seen, statistics.median(times), len(times), result)
    return _of_windows(seen, call, harness, len(times) * window, result)


def calls_of_a_window(call: Callable[[], Any], first: float, repeat: int | None) -> int:
    """Return how many calls in a row to watch as one: 1, but for a short call."""
    if first > LONG / 10:
        return 1
    seconds = min(first, _seconds_of(call))
    if seconds >= SHORT:
        return 1
    return min(at_once.times_for(WINDOW, seconds), repeat or sys.maxsize)


def _seconds_of(call: Callable[[], Any]) -> float:
    """Return what a short call takes when it is made over and over, as ``timeit`` clocks it."""
    timer = timeit.Timer("call()", globals={"call": call})
    number = 1
    while (taken := timer.timeit(number)) < CLOCKED_SECONDS / 5:
        number *= 4
    return min(taken, *timer.repeat(4, number)) / number


def _seconds_of_both(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, float]:
    """Return what either call takes.

    In turn, and the least of three: what else runs here makes either longer.
    """
    pairs = [(_seconds_of(one), _seconds_of(other)) for _ in range(3)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def _of_windows(
    seen: Seen,
    call: Callable[[], Any],
    harness: Callable[[], Any] | None,
    calls: int,
    result: Any,
) -> Passive:
    """Take from what was seen of many calls in a row what the harness was."""
    raw, extra = _seconds_of(call), 0.0
    if harness is not None:
        raw, extra = _seconds_of_both(call, harness)
    seconds = max(raw - extra, 1e-9)
    held, uncertainty = seen.held, _uncertainty(seen)
    if seconds < release_cost():
        held, uncertainty = 1.0, 0.0  # there is no time in it for a release
    elif held is not None:  # the harness holds the GIL throughout
        held = max(1 - (1 - held) * raw / seconds, 0.0)
        uncertainty = min(uncertainty * raw / seconds, 1.0)
    passive = dataclasses.replace(
        _passive(seen, seconds, calls, result), held=held, uncertainty=uncertainty
    )
    # A hold may go on from call to call, but that of one call is no longer than the call.
    return dataclasses.replace(passive, longest_hold=min(seen.longest_hold, seconds))


def _passive(seen: Seen, seconds: float, calls: int, result: Any) -> Passive:
    return Passive(
        seconds=seconds,
        calls=calls,
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

    Two standard deviations of a share of so many samples; and what may hide in gaps between them.
    """
    if seen.held is None:
        return 1.0
    variance = (seen.held * (1 - seen.held) + 1 / seen.samples) / seen.samples
    return min(2 * math.sqrt(variance) + _hidden(seen), 1.0)


def _hidden(seen: Seen) -> float:
    """Return how far off the held share may be for what the gaps hide.

    A thread that changes its state often may have done so in a gap, however it was before and
    after: then it may have held the GIL throughout, or never. One that was never seen to change
    has hardly done so in a gap alone. If something was not seen in some time, it happens less than
    three times in such a time, with 95% (the rule of three).
    """
    if not seen.unknown_gaps:
        return 0.0
    most = max(seen.unknown_held, seen.unknown - seen.unknown_held)
    known = (1 - seen.unknown) * seen.seconds
    gap = seen.unknown * seen.seconds / seen.unknown_gaps
    changes = (seen.flips + 3) / known * gap if known > 0 else math.inf
    return most * min(CAREFUL * changes, 1.0)


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


class Costs(NamedTuple):
    """What a release has to bring in to pay; the fields are those of `GilReport`, in seconds."""

    wakeup: float
    release_cost: float

    @classmethod
    def measured(cls) -> Costs:
        """Measure both here and now.

        A thread that asks for the GIL sleeps until a holder gives way and wakes it. Here the holder
        does so as soon as it is asked, between calls of nothing: so what is left is the wake-up.
        """
        return cls(
            longest_stall(_kernels.empty_gil, _seconds_of(_kernels.empty_gil)), release_cost()
        )


def release_cost() -> float:
    """Return the seconds that it costs to release the GIL once and to acquire it again."""
    held, released = _seconds_of_both(_kernels.empty_gil, _kernels.empty_nogil)
    return max(released - held, 0.0)


def longest_stall(call: Callable[[], Any], seconds: float) -> float:
    """Return for how many seconds a call keeps another Python thread waiting, at the most.

    The least of several tries: a busy machine makes a thread wait longer, never shorter. What it
    takes to wake a thread, some 40 µs, is part of it.

    Parameters
    ----------
    call : callable
    seconds : float
        What a call takes; short ones are repeated, so that somebody gets to ask meanwhile.
    """
    calls = at_once.times_for(CLOCKED_SECONDS, seconds)
    with _tiny_switch_interval():
        return min(_stall(call, calls) for _ in range(1 if seconds > LONG else 3))


def _stall(call: Callable[[], Any], calls: int) -> float:
    waiter = sampler().Waiter()
    with _asking(waiter):
        waiter.begin()
        deadline = time.perf_counter() + MOST_CLOCKED_SECONDS
        enough = waiter.asked + ASKED
        while True:
            at_once.repeat(call, calls)
            if waiter.asked >= enough or time.perf_counter() > deadline:
                break
        waiter.end()
    longest: float = waiter.longest_wait
    return longest


@contextlib.contextmanager
def _asking(waiter: Any) -> Iterator[None]:
    """Have another thread ask for the GIL within the block."""
    thread = threading.Thread(target=waiter.wait, name="gilfree-waiter")
    thread.start()
    try:
        while not waiter.asked:
            time.sleep(1e-4)
        yield
    finally:
        waiter.stop()
        thread.join()


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
