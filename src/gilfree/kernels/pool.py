"""Who works on a call: how many threads, or an executor of the caller's.

Threads share the call's `Chunks`. The caller works, and so does every helper that comes in time;
``_pool.pyx`` has the helpers, and what happens when one fails or Ctrl-C is pressed.
"""

from __future__ import annotations

import concurrent.futures
import math
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

from gilfree._arguments import whole_number
from gilfree._chunks import Chunks
from gilfree._system import usable_cpus
from gilfree.kernels._pool import Call, in_a_row
from gilfree.kernels.chunks import chunk_count
from gilfree.kernels.executors import run_on

Result = TypeVar("Result")

# Below SHARED, one thread is faster than two that are awake. Below BRIEF, it is faster than one
# that has to wake another: helpers are called if one is awake, or calls come in a row.
SHARED = 20e3  # nanoseconds
BRIEF = 100e3  # nanoseconds
# Below this, it takes longer to send work to an executor of the caller's than to do it.
WORTH_SENDING = 100e3  # nanoseconds

_INTERPRETER_POOL: Any = getattr(concurrent.futures, "InterpreterPoolExecutor", ())  # Python 3.14


class Workers:
    """The caller, and who helps it.

    Parameters
    ----------
    workers : int, optional
        How many threads work at once, the caller included. By default one for each CPU that this
        process may use. On an executor other than threads: how many tasks are under way at once,
        by default all of them, and the executor decides.
    executor : concurrent.futures.Executor, optional
        Who helps. By default threads that all calls share. It is the caller's, and is never shut
        down here. Of one that is not a ``ThreadPoolExecutor``, only ``submit`` is used, and
        ``result`` and ``cancel`` of the futures; it gets picklable tasks and arguments.
    work : float, optional
        What the work will cost about, in nanoseconds on one core. By default enough to be shared.

    Attributes
    ----------
    elsewhere : bool
        Whether they share no memory with the caller: then `send` is for them, and else `share`.

    Raises
    ------
    TypeError
        If `workers` is not a whole number, or `executor` takes no work.
    ValueError
        If `workers` is less than 1.
    """

    def __init__(
        self,
        workers: int | None = None,
        executor: Executor | None = None,
        work: float = math.inf,
    ) -> None:
        if workers is not None:
            workers = whole_number("workers", workers)
        if executor is None:
            wanted = work >= BRIEF or (work >= SHARED and in_a_row())
            self.elsewhere = False
        else:
            _check(executor)
            wanted = work > WORTH_SENDING
            self.elsewhere = wanted and not _on_threads(executor)
        self._executor = executor
        self._work = work
        self._tasks = workers  # under way at once, elsewhere
        self._threads = (workers or usable_cpus()) if wanted and not self.elsewhere else 1

    def share(self, task: Callable[[Chunks], object], size: int, least: int = 1) -> None:
        """Have each worker call ``task(chunks)``; the chunks are of `size` elements in all.

        A chunk has `least` elements at the least, if there are as many.

        The first exception stops the rest. It is raised when no worker is at work any more,
        ``KeyboardInterrupt`` too. The caller calls its task again after some milliseconds, if
        chunks are left: in between it looks for Ctrl-C.
        """
        count = chunk_count(self._work, self._threads) if self._work < math.inf else size
        chunks = Chunks(size, max(min(count, size // least), 1))
        submit = None if self._executor is None else self._executor.submit
        Call(task, chunks).run(submit, max(min(self._threads, chunks.count) - 1, 0))

    def send(
        self,
        task: Callable[..., Result],
        pieces: Iterable[tuple[Any, tuple[Any, ...]]],
        receive: Callable[[Any, Result], object],
    ) -> None:
        """Have the executor run ``task(*arguments)`` for each (place, arguments).

        ``receive(place, result)`` is called here, in their order.
        """
        assert self._executor is not None
        run_on(self._executor, task, pieces, receive, self._tasks or math.inf)


def _check(executor: object) -> None:
    if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
        msg = f"executor must be a concurrent.futures.Executor, not {type(executor).__name__}"
        raise TypeError(msg)


def _on_threads(executor: Executor) -> bool:
    # One of interpreters pickles what it is given.
    return isinstance(executor, ThreadPoolExecutor) and not isinstance(executor, _INTERPRETER_POOL)
