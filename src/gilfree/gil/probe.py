"""Tell whether a callable releases the GIL, for which share of the call, and if threads help.

The probe makes three measurements, each with its own calls, because each would disturb the others:

1. **passive**: a sampler, which never acquires the GIL, reads whether the calling thread holds it;
2. **active**: another Python thread requests the GIL again and again, and notes its longest wait;
3. **speedup**: N calls one after the other, against N calls concurrently. The machine's limit is
   the same for a loop that is known to release the GIL.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from gilfree._arguments import whole_number
from gilfree._system import gil_enabled, usable_cpus
from gilfree._words import readable_time
from gilfree.gil import speedup
from gilfree.gil._waiter import Waiter
from gilfree.gil.active import Costs, longest_stall, tiny_switch_interval, waiter_thread
from gilfree.gil.clocking import LONG, seconds_of
from gilfree.gil.lazy import name_of, refuse_lazy, refuse_lazy_result
from gilfree.gil.passive import Passive, passive_of, sample_calls, watched
from gilfree.gil.report import GilReport
from gilfree.gil.sampler import sampler

# The pause of the waiter during the first call, which is also sampled. It is long, so that the
# waiter does not slow the call down: of a call of seconds, the first is the only one.
FIRST_CALL_PAUSE = 5e-3  # seconds
# A speedup of more than IMPOSSIBLE times the number of workers can't be one.
IMPOSSIBLE = 2


def probe(
    function: Callable[..., Any],
    *args: Any,
    workers: int | None = None,
    repeat: int | None = None,
    interval: float = 20e-6,
    **kwargs: Any,
) -> GilReport:
    """Find out whether ``function(*args, **kwargs)`` releases the GIL, and what threads gain.

    The function is called many times, also by several threads concurrently: a short one until there
    are enough samples, one of half a second or more ``1 + workers`` times. It must do the same work
    each time. If it fails in another thread, or beside other calls, the report says so. Any thread
    may call `probe`, but concurrent probes disturb each other's measurements.

    Parameters
    ----------
    function : callable
        The function to probe; wrap it in a ``lambda`` if it has arguments named as those below.
    *args, **kwargs
        Its arguments.
    workers : int, optional
        Threads for the speedup. By default one for each CPU that this process may use.
    repeat : int, optional
        Number of sampled calls. By default until the answer is sure.
    interval : float, default: 20e-6
        Mean time between two samples, in seconds.

    Returns
    -------
    GilReport

    Raises
    ------
    NoSamplerError
        A `RuntimeError`: on a system or a Python whose thread states gilfree can't read.
    LazyCallError
        A `TypeError`: if the call only makes a generator or a coroutine, and runs none of its code.
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
    """A probe that gives its report after each measurement, for example after Ctrl-C.

    Parameters
    ----------
    call : callable
        Without arguments.
    name : str
    workers, repeat, interval
        As in `probe`.
    harness : callable, optional
        The overhead of a call: its time is subtracted from that of the call.
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
        self._speed = speedup.Speed()
        self._costs = Costs(0.0, 0.0)

    def run(self, on_measurement: Callable[[str], object] = str) -> GilReport:
        """Make all three measurements.

        Parameters
        ----------
        on_measurement : callable, optional
            Called before each measurement with a few words about it, to show progress.
        """
        on_measurement("one call")
        first, result = first_call(self._call, self._interval)
        refuse_lazy_result(result, self._name)
        is_long = first.passive.seconds >= LONG
        if is_long:
            self._measure_long(first, on_measurement)
        # The first call may only have warmed up: compiled, imported, filled a cache.
        if not is_long or (self._speed.speedup or 0) > IMPOSSIBLE * self._workers:
            self._measure_short(result, on_measurement)
        report = self.report()
        assert report is not None
        return report

    def _measure_long(self, first: First, on_measurement: Callable[[str], object]) -> None:
        self._passive, self._stall = first.passive, first.stall
        alone, serial = first.passive.seconds, first.passive.seconds * self._workers
        if self._workers > 1:
            times = f"{readable_time(alone)} to {readable_time(serial)}"
            on_measurement(f"one took {readable_time(alone)}; {self._workers} together: {times}")
        self._costs = Costs.measured()
        self._speed = speedup.measure_once(self._call, (alone, first.cpu), self._workers)

    def _measure_short(self, result: Any, on_measurement: Callable[[str], object]) -> None:
        on_measurement("how long a call holds the GIL")
        self._passive = sample_calls(
            self._call, repeat=self._repeat, interval=self._interval, harness=self._harness
        )
        self._passive = dataclasses.replace(self._passive, result=result)
        on_measurement("how long another thread waits")
        self._costs = Costs.measured()
        seconds = self._passive.seconds
        if self._harness is not None:
            seconds += seconds_of(self._harness)
        self._stall = longest_stall(self._call, seconds)
        on_measurement("what threads gain")
        self._speed = speedup.measure(self._call, seconds, self._workers)

    def report(self) -> GilReport | None:
        """Return the report of the measurements so far; None before the first has ended."""
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


class First(NamedTuple):
    """The results of the first call: sampled, with a waiter beside it."""

    passive: Passive
    stall: float
    cpu: float  # seconds


def first_call(call: Callable[[], Any], interval: float) -> tuple[First, Any]:
    """Make the first call; return its results, and what it returned.

    Of a call of seconds, this is the only one in the calling thread. So both the sampler and the
    waiter measure it. Of a short call, the results are replaced by those of later calls.
    """
    waiter = Waiter(FIRST_CALL_PAUSE)
    with waiter_thread(waiter), tiny_switch_interval():
        cpu = time.process_time()
        with sampler().Watch(interval) as watch:
            waiter.begin()
            result, seconds = watched(watch, call)
            waiter.end()
            seen = watch.seen()[0]
        cpu = time.process_time() - cpu - watch.cpu_seconds
    passive = passive_of(seen, seconds, 1, result)
    return First(passive, waiter.longest_wait, max(cpu, 0.0)), result
