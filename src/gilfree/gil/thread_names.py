"""The names of all threads that live while somebody listens, also of those that end meanwhile."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

MANY_STARTED = 256  # threads: those of them that have ended are then kept by name alone

_Thread: Any = threading.Thread  # with what is private in it
_listeners: list[Callable[[threading.Thread], object]] = []
_before: Any = None  # what each new thread calls first, to know its number in the system


def _hear(thread: threading.Thread) -> None:
    """Stand in for `Thread._set_native_id`: a new thread gets its number, and runs nothing yet."""
    _before(thread)
    for listener in tuple(_listeners):
        with contextlib.suppress(Exception):  # to be listened to is no reason not to start
            listener(thread)


def listen(listener: Callable[[threading.Thread], object]) -> None:
    """Have a function called with each thread that lives, and in each new one as it starts."""
    global _before
    if not _listeners and _Thread._set_native_id is not _hear:
        _before = _Thread._set_native_id
        _Thread._set_native_id = _hear
    _listeners.append(listener)
    # Up to Python 3.13, a thread that has forked keeps in the child its number in the parent.
    here: Any = threading.current_thread()
    here._native_id = threading.get_native_id()
    for thread in threading.enumerate():
        if thread.native_id is not None:  # else it is about to start
            listener(thread)


def listen_no_more(listener: Callable[[threading.Thread], object]) -> None:
    """Have it called no longer."""
    if listener in _listeners:
        _listeners.remove(listener)
    # Where somebody has put something in front of it, it stays, and passes on.
    if not _listeners and _Thread._set_native_id is _hear:
        _Thread._set_native_id = _before


class Names:
    """Names of threads by their native ids."""

    def __init__(self) -> None:
        self._known: dict[int, list[str]] = defaultdict(list)  # several, where a number was reused
        self._started: dict[int, threading.Thread] = {}  # by identity
        listen(self.add)

    def add(self, thread: threading.Thread) -> None:
        """Take down a thread."""
        if len(self._started) % MANY_STARTED == MANY_STARTED - 1:
            self._let_go()
        self._started[id(thread)] = thread

    def _let_go(self) -> None:
        """Keep no thread that has ended: it may be all that keeps something large alive."""
        for thread in list(self._started.values()):
            if not thread.is_alive():
                self._note(thread)

    def _note(self, thread: threading.Thread) -> None:
        if self._started.pop(id(thread), None) is not None and thread.native_id is not None:
            self._known[thread.native_id].append(thread.name)

    def finish(self) -> dict[int, list[str]]:
        """Listen no longer; return all names of each native id, in turn."""
        listen_no_more(self.add)
        for thread in list(self._started.values()):
            self._note(thread)
        return self._known
