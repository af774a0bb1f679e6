"""The names of all threads that live while somebody listens, also of those that end meanwhile."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

_threading: Any = threading  # with what is private in it
MANY_STARTED = 256  # threads: those of them that have ended are then kept by name alone


class Names:
    """Names of threads by their native ids.

    Parameters
    ----------
    listen : callable
        ``listen(function)`` has a function called with what each new thread is to run;
        ``listen(None)`` no longer.
    """

    def __init__(self, listen: Callable[[Callable[[Any], object] | None], object]) -> None:
        self._known: dict[int, list[str]] = defaultdict(list)  # several, where a number was reused
        self._started: list[threading.Thread] = []
        self._listen = listen
        for thread in threading.enumerate():
            self._note(thread)
        listen(self.add)
        if sys.version_info < (3, 12):  # it raises no audit event
            self._start_new_thread = _threading._start_new_thread
            _threading._start_new_thread = self._start

    def _start(self, function: Any, *arguments: Any) -> Any:
        self.add(function)
        return self._start_new_thread(function, *arguments)

    def add(self, function: Any) -> None:
        """Take down the thread that is about to run a function, if `threading` made it."""
        thread = getattr(function, "__self__", None)
        if isinstance(thread, threading.Thread):
            self._started.append(thread)
            if len(self._started) % MANY_STARTED == 0:
                self._let_go()

    def _let_go(self) -> None:
        """Keep no thread that has ended: it may be all that keeps something large alive."""
        ended = [each for each in self._started if each.native_id and not each.is_alive()]
        for thread in ended:
            self._started.remove(thread)
            self._note(thread)

    def _note(self, thread: threading.Thread) -> None:
        if thread.native_id is not None:
            self._known[thread.native_id].append(thread.name)

    def finish(self) -> dict[int, list[str]]:
        """Listen no longer; return all names of each native id, in turn."""
        self._listen(None)
        if sys.version_info < (3, 12) and _threading._start_new_thread == self._start:
            _threading._start_new_thread = self._start_new_thread
        for thread in self._started:
            self._note(thread)
        self._started.clear()
        return self._known
