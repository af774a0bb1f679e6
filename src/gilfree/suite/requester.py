"""A thread that requests the GIL all the time, to see how long another thread would wait for it.

In a test of one thread, no other thread waits, so bytecode and C code hold the GIL alike. Only when
another thread requests it do they differ: bytecode releases it, C code does not.
"""

from __future__ import annotations

# Imported now, because tests may replace these functions.
from _thread import allocate_lock, get_native_id, start_new_thread
from collections import deque
from time import sleep
from types import BuiltinFunctionType

from gilfree.gil._waiter import Waiter

# Seconds between two requests. A hold may seem that much shorter; each request costs the tests some
# microseconds.
PAUSE = 2e-3
STOP_TIMEOUT = 1.0  # seconds, for a thread that sleeps for PAUSE

# The native ids of the latest requesters: a recording made by a test sees them, too.
latest: deque[int] = deque(maxlen=16)


class Requester:
    """Such a thread. `threading` does not know it, since tests may count its threads."""

    def __init__(self) -> None:
        self._waiter = Waiter(PAUSE)
        self._ended = allocate_lock()
        self.native_id = 0

    def start(self) -> None:
        """Start the thread, and wait for its first request."""
        if not isinstance(start_new_thread, BuiltinFunctionType):  # a greenlet would never switch
            msg = "another library has replaced Python's threads by its own"
            raise RuntimeError(msg)
        self._ended.acquire()
        start_new_thread(self._request, ())
        while not self._waiter.requests:
            sleep(1e-4)

    def _request(self) -> None:
        self.native_id = get_native_id()
        latest.append(self.native_id)
        self._waiter.wait()
        self._ended.release()

    def stop(self) -> None:
        """End the thread."""
        self._waiter.stop()
        self._ended.acquire(timeout=STOP_TIMEOUT)
