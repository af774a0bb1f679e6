"""The names of all threads that live while a listener is registered, also of those that end."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

MANY_STARTED = 256  # after this many new threads, the ended ones are kept only by name

_Thread: Any = threading.Thread  # Any, for its private attributes
_listeners: list[Callable[[threading.Thread], object]] = []
# What replaced `Thread._set_native_id`, with what it replaced.
_replaced: dict[Any, Any] = {}


def _hearing(before: Callable[[threading.Thread], object]) -> Callable[[threading.Thread], None]:
    """Return what a new thread calls instead of `before`, before it runs its function."""

    def hear(thread: threading.Thread) -> None:
        before(thread)
        for listener in tuple(_listeners):
            with contextlib.suppress(Exception):  # a listener that fails must not stop the thread
                listener(thread)

    return hear


def listen(listener: Callable[[threading.Thread], object]) -> None:
    """Call a function with each live thread, and from now on in each new thread as it starts.

    It may be called several times with the same thread.
    """
    if not _listeners and _Thread._set_native_id not in _replaced:
        before = _Thread._set_native_id
        hear = _hearing(before)
        _replaced[hear] = before
        _Thread._set_native_id = hear
    _listeners.append(listener)
    # Up to Python 3.13, the thread that forked keeps its parent's native id in the child.
    here: Any = threading.current_thread()
    here._native_id = threading.get_native_id()
    for thread in threading.enumerate():
        if thread.native_id is not None:  # else it is still starting, and calls `hear` itself
            listener(thread)


def stop_listening(listener: Callable[[threading.Thread], object]) -> None:
    """Call a listener no longer."""
    if listener in _listeners:
        _listeners.remove(listener)
    # If other code has wrapped it since, it stays in place, and calls no listener.
    if not _listeners and _Thread._set_native_id in _replaced:
        _Thread._set_native_id = _replaced.pop(_Thread._set_native_id)


class Names:
    """Names of threads by their native ids."""

    def __init__(self) -> None:
        self._known: dict[int, list[str]] = defaultdict(list)  # several if an id was reused
        self._started: dict[int, threading.Thread] = {}  # by id() of the thread
        listen(self.add)

    def add(self, thread: threading.Thread) -> None:
        """Add a thread that starts or lives."""
        if len(self._started) % MANY_STARTED == MANY_STARTED - 1:
            self._note_ended()
        self._started[id(thread)] = thread

    def _note_ended(self) -> None:
        """Keep only the names of ended threads: their objects may keep large ones alive."""
        for thread in list(self._started.values()):
            if not thread.is_alive():
                self._note(thread)

    def _note(self, thread: threading.Thread) -> None:
        if self._started.pop(id(thread), None) is not None and thread.native_id is not None:
            self._known[thread.native_id].append(thread.name)

    def finish(self) -> dict[int, list[str]]:
        """Stop listening; return all names of each native id, in the order of the threads."""
        stop_listening(self.add)
        for thread in list(self._started.values()):
            self._note(thread)
        return self._known
