"""Tell whether a callable releases the GIL, for how much of the call, and if threads help.

Three looks at the same call, each in calls of its own, because each would disturb the others:

1. **passive**: a sampler that never takes the GIL reads whether the calling thread has it;
2. **active**: another Python thread asks for the GIL all the time, and notes how long it waits;
3. **speedup**: N calls one after the other, against N calls at once, beside what this machine can
   do at all with a loop that is known to release the GIL.
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
from gilfree.gil import at_once
from gilfree.gil._waiter import Waiter
from gilfree.gil.active import Costs, asking, longest_stall, tiny_switch_interval
from gilfree.gil.clocking import LONG, seconds_of
from gilfree.gil.lazy import name_of, refuse_lazy, refuse_lazy_result
from gilfree.gil.passive import Passive, look_passively, passive_of, watched
from gilfree.gil.report import GilReport
from gilfree.gil.sampler import sampler

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
                seconds += seconds_of(self._harness)
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
    waiter = Waiter(RARELY)
    with asking(waiter), tiny_switch_interval():
        cpu = time.process_time()
        with sampler().Watch(interval) as watch:
            waiter.begin()
            result, seconds = watched(watch, call)
            waiter.end()
            seen = watch.seen()[0]
        cpu = time.process_time() - cpu - watch.cpu_seconds
    passive = passive_of(seen, seconds, 1, result)
    return First(passive, waiter.longest_wait, max(cpu, 0.0)), result
