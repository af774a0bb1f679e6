"""Who is kept waiting for the GIL? Another Python thread asks for it, and notes how long."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gilfree import _kernels
from gilfree.gil._waiter import Waiter
from gilfree.gil.clocking import LONG, release_cost, repeat_call, seconds_of, times_for

# The look ends after so many requests for the GIL, or after so many seconds.
ASKED = 10
MOST_CLOCKED_SECONDS = 0.1
# What is clocked takes at least so long.
CLOCKED_SECONDS = 5e-3
# The switch interval meanwhile: bytecode gives way that soon.
TINY = 1e-5  # seconds


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
            longest_stall(_kernels.empty_gil, seconds_of(_kernels.empty_gil)), release_cost()
        )


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
    calls = times_for(CLOCKED_SECONDS, seconds)
    with tiny_switch_interval():
        return min(_stall(call, calls) for _ in range(1 if seconds > LONG else 3))


def _stall(call: Callable[[], Any], calls: int) -> float:
    waiter = Waiter()
    with asking(waiter):
        waiter.begin()
        deadline = time.perf_counter() + MOST_CLOCKED_SECONDS
        enough = waiter.asked + ASKED
        while True:
            repeat_call(call, calls)
            if waiter.asked >= enough or time.perf_counter() > deadline:
                break
        waiter.end()
    return waiter.longest_wait


@contextlib.contextmanager
def asking(waiter: Waiter) -> Iterator[None]:
    """Have another thread ask for the GIL within the block."""
    thread = threading.Thread(target=waiter.wait, name="gilfree-waiter")
    try:  # Ctrl-C may come as soon as the thread has begun
        thread.start()
        while not waiter.asked:
            time.sleep(1e-4)
        yield
    finally:
        waiter.stop()
        if thread.is_alive():
            thread.join()


_interval_lock = threading.Lock()
_interval_users = 0
_interval_before = 0.0


@contextlib.contextmanager
def tiny_switch_interval() -> Iterator[None]:
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
