"""How long does a call make another thread wait for the GIL? A waiter thread measures it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gilfree import _kernels
from gilfree.gil._waiter import Waiter
from gilfree.gil.clocking import LONG, release_cost, repeat_call, seconds_of, times_for

# A measurement ends after REQUESTS requests for the GIL, or MOST_CLOCKED_SECONDS.
REQUESTS = 10
MOST_CLOCKED_SECONDS = 0.1
# Short calls are repeated for CLOCKED_SECONDS between two checks for the end.
CLOCKED_SECONDS = 5e-3
# During the measurement, bytecode releases the GIL this soon after a request.
TINY_SWITCH_INTERVAL = 1e-5  # seconds


class Costs(NamedTuple):
    """What releasing the GIL costs, in seconds; the fields are those of `GilReport`."""

    wakeup: float
    release_cost: float

    @classmethod
    def measured(cls) -> Costs:
        """Measure both now.

        A waiting thread sleeps until the holder releases the GIL and wakes it. Here the holder
        calls an empty function in a loop, and so releases the GIL soon after a request. The wait
        that is left is the wake-up.
        """
        return cls(
            longest_stall(_kernels.empty_gil, seconds_of(_kernels.empty_gil)), release_cost()
        )


def longest_stall(call: Callable[[], Any], seconds: float) -> float:
    """Return the longest time for which a call makes another Python thread wait, in seconds.

    The wait includes the wake-up of the thread, some 40 µs. A busy machine lengthens waits and
    never shortens them, so the shortest result of several tries counts.

    Parameters
    ----------
    call : callable
    seconds : float
        Duration of a call. Short calls are repeated, so that requests happen during them.
    """
    calls = times_for(CLOCKED_SECONDS, seconds)
    with tiny_switch_interval():
        return min(_stall(call, calls) for _ in range(1 if seconds > LONG else 3))


def _stall(call: Callable[[], Any], calls: int) -> float:
    waiter = Waiter()
    with waiter_thread(waiter):
        waiter.begin()
        deadline = time.perf_counter() + MOST_CLOCKED_SECONDS
        enough = waiter.requests + REQUESTS
        while True:
            repeat_call(call, calls)
            if waiter.requests >= enough or time.perf_counter() > deadline:
                break
        waiter.end()
    return waiter.longest_wait


@contextlib.contextmanager
def waiter_thread(waiter: Waiter) -> Iterator[None]:
    """Run the waiter in another thread within the block."""
    thread = threading.Thread(target=waiter.wait, name="gilfree-waiter")
    try:  # Ctrl-C may come as soon as the thread has started
        thread.start()
        while not waiter.requests:
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
    """Make bytecode release the GIL soon after a request; several probes may do so concurrently."""
    global _interval_users, _interval_before
    with _interval_lock:
        if _interval_users == 0:
            _interval_before = sys.getswitchinterval()
            sys.setswitchinterval(TINY_SWITCH_INTERVAL)
        _interval_users += 1
    try:
        yield
    finally:
        with _interval_lock:
            _interval_users -= _interval_users > 0  # in a forked child there are none
            if _interval_users == 0:
                sys.setswitchinterval(_interval_before)


def _forget_users() -> None:
    """Restore the switch interval, in a forked child: the probe goes on in the parent."""
    global _interval_lock, _interval_users
    _interval_lock = threading.Lock()
    if _interval_users:
        sys.setswitchinterval(_interval_before)
    _interval_users = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_users)
