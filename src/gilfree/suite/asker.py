"""A thread beside the tests that asks for the GIL all the time: what another one would have felt.

A test of one thread has nobody who waits. Its bytecode would give way if it was asked to, and its C
code would not; so without a thread that asks, the two look alike.
"""

from __future__ import annotations

# The tests may put something else in the place of these, so they are taken now.
from _thread import allocate_lock, get_native_id, start_new_thread
from collections import deque
from time import sleep
from types import BuiltinFunctionType

from gilfree.gil._waiter import Waiter

PAUSE = 2e-3  # seconds: by how much a hold may seem shorter; the tests lose some microseconds to it
PATIENCE = 1.0  # seconds, for a thread that sleeps for PAUSE

# The native ids of the latest askers: recordings of others may see them, too.
latest: deque[int] = deque(maxlen=16)


class Asker:
    """Such a thread. It is none of `threading`'s, which tests may count."""

    def __init__(self) -> None:
        self._waiter = Waiter(PAUSE)
        self._ended = allocate_lock()
        self.native_id = 0

    def start(self) -> None:
        """Start it, and wait until it has asked."""
        if not isinstance(start_new_thread, BuiltinFunctionType):  # gevent's would never switch
            msg = "something has put threads of its own in the place of Python's"
            raise RuntimeError(msg)
        self._ended.acquire()
        start_new_thread(self._ask, ())
        while not self._waiter.asked:
            sleep(1e-4)

    def _ask(self) -> None:
        self.native_id = get_native_id()
        latest.append(self.native_id)
        self._waiter.wait()
        self._ended.release()

    def stop(self) -> None:
        """End it."""
        self._waiter.stop()
        self._ended.acquire(timeout=PATIENCE)
