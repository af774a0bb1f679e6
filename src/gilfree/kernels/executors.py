"""The chunks of a call on an executor of the caller's: its threads help, or it runs them all."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from gilfree.kernels.call import Call, Job
from gilfree.kernels.helpers import recruit, withdraw

Result = TypeVar("Result")

# How long a call whose work is done waits to hear that an executor was asked for help: for ever, if
# the caller holds a lock that ``submit`` takes, or if all threads of the shared pool are busy.
ASKED_WITHIN = 1.0  # seconds


class SubmitFromHelper(Job):
    """To ask an executor of threads for help with a call."""

    def __init__(self, executor: Executor, call: Call[Any], helpers: int) -> None:
        super().__init__()
        self._executor = executor
        self._call = call
        self._helpers = helpers
        self._context = contextvars.copy_context()
        self._asked: SimpleQueue[None] = SimpleQueue()

    def begin(self) -> None:
        """Have a helper ask, where a Ctrl-C could cut it short here."""
        if threading.get_ident() == threading.main_thread().ident:
            with contextlib.suppress(RuntimeError):  # there is no thread to be had
                recruit(self, 1)
                return
            withdraw(self)
        self.help_out()

    def help_out(self) -> None:
        """Ask the executor."""
        try:
            self._context.run(self._ask)
        except BaseException as error:
            self._call.fail(error)
        finally:
            self._asked.put(None)

    def _ask(self) -> None:
        for _ in range(self._helpers):
            self._executor.submit(self._call.help_out)

    def wait(self) -> None:
        """Wait until the executor was asked, so that an error of it is known; but not for ever."""
        with contextlib.suppress(Empty):
            self._asked.get(timeout=ASKED_WITHIN)


def run_elsewhere(
    task: Callable[..., Result],
    chunks: Iterator[tuple[Any, ...]],
    join: Callable[[Result], object],
    workers: int,
    executor: Executor,
) -> None:
    """Run the chunks as tasks of an executor, so many at a time."""
    futures: deque[Future[Result]] = deque()
    try:
        for chunk in chunks:
            if len(futures) == workers:
                join(futures.popleft().result())
            futures.append(executor.submit(task, *chunk))
        while futures:
            join(futures.popleft().result())
    except BrokenExecutor:
        # It ends all its futures itself. In Python 3.11.7, one that is cancelled meanwhile stops
        # it at that, and its other processes never end.
        raise
    except BaseException:
        for future in futures:
            future.cancel()
        raise
