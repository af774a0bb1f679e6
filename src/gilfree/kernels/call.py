"""The chunks of one call, their results, and who is at work on them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from gilfree.kernels._flag import Flag

Result = TypeVar("Result")

# How long the caller stays awake, in wait of its helpers.
PATIENCE = 50e-6  # seconds


class Job:
    """What helpers are asked to do; `done` is set by one of them that has done it."""

    def __init__(self) -> None:
        self.done = Flag()

    def help_out(self) -> None:
        """Do it, in a helper."""
        raise NotImplementedError


class Call(Job, Generic[Result]):
    """The chunks of a call, their results, and how many helpers are at work on them."""

    def __init__(self, task: Callable[..., Result], chunks: Iterator[tuple[Any, ...]]) -> None:
        super().__init__()
        self._task = task
        self._chunks = enumerate(chunks)
        self._lock = threading.Lock()
        self._at_work = 0
        self._busy = threading.Lock()  # taken as long as a helper is at work
        self._closed = False
        self.results: dict[int, Result] = {}
        self.errors: list[BaseException] = []

    def do_next(self) -> bool:
        """Run the next chunk, if there is one left."""
        with self._lock:
            numbered_chunk = next(self._chunks, None)
        if numbered_chunk is None:
            return False
        number, chunk = numbered_chunk
        self.results[number] = self._task(*chunk)
        return True

    def help_out(self) -> None:
        """Run chunks until none is left; what goes wrong is among the errors."""
        with self._lock:
            if self._closed:
                return
            self._at_work += 1
            if self._at_work == 1:
                self._busy.acquire()
        try:
            while self.do_next():
                pass
        except BaseException as error:
            self.fail(error)
        finally:
            with self._lock:
                self._at_work -= 1
                if not self._at_work:
                    self._busy.release()

    def fail(self, error: BaseException) -> None:
        """Note an error, and let no further chunk begin."""
        self.errors.append(error)
        self._chunks = enumerate(())

    def close(self) -> None:
        """Let no further chunk begin, and no further helper."""
        with self._lock:
            self._closed = True
        self._chunks = enumerate(())

    def wait(self) -> None:
        """Wait until no helper of a closed call is at work: awake at first."""
        while self._at_work and self.done.wait(PATIENCE):
            pass
        while self._at_work:
            self._busy.acquire()  # and keep it: nobody will be at work again
