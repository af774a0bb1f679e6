"""The workers of a call: how many threads, or an executor that the user passes.

Threads share the call's `Chunks`. The caller works, and so does every helper that begins before the
work is done. ``_pool.pyx`` has the helpers, and handles errors and Ctrl-C.
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
from gilfree.kernels.chunks import MAX_CHUNK_NS, chunk_count
from gilfree.kernels.executors import run_on

Result = TypeVar("Result")

# Below this, one thread is faster than two that are awake.
MIN_SHARED_NS = 20e3
# Below this, waking a helper takes longer than it saves. Helpers are only used if one is awake
# already, or if calls come in a row.
MIN_WAKE_NS = 100e3
# Below this, sending work to an executor takes longer than doing it.
MIN_SENT_NS = 100e3

_INTERPRETER_POOL: Any = getattr(concurrent.futures, "InterpreterPoolExecutor", ())  # Python 3.14


class Workers:
    """The workers of one call: the caller and its helpers, or tasks of an executor.

    Parameters
    ----------
    workers : int, optional
        The number of threads that work concurrently, including the caller. By default one for each
        CPU that this process may use. With an executor that does not run threads: the most tasks
        that are submitted and not finished. By default all are submitted together.
    executor : concurrent.futures.Executor, optional
        What runs the helpers, or the tasks. By default helpers are threads that all calls share.
        The executor is never shut down here. Of an executor that is not a ``ThreadPoolExecutor``,
        only ``submit`` is used, and ``result`` and ``cancel`` of its futures; tasks and arguments
        are picklable.
    work : float, optional
        Estimated cost of the work, in nanoseconds on one core. By default enough to be shared.

    Attributes
    ----------
    elsewhere : bool
        Whether the workers share no memory with the caller. If so, use `send`, and `share`
        otherwise.

    Raises
    ------
    TypeError
        If `workers` is not a whole number, or `executor` has no ``submit``.
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
            wanted = work >= MIN_WAKE_NS or (work >= MIN_SHARED_NS and in_a_row())
            self.elsewhere = False
        else:
            _check(executor)
            wanted = work > MIN_SENT_NS
            self.elsewhere = wanted and not _on_threads(executor)
        self._executor = executor
        self._work = work
        self._tasks = workers  # for `send`
        self._threads = (workers or usable_cpus()) if wanted and not self.elsewhere else 1

    def share(self, task: Callable[[Chunks], object], size: int, least: int = 1) -> None:
        """Have each worker call ``task(chunks)``, where the chunks cover `size` elements.

        A chunk has at least `least` elements, unless `size` is less.

        The first exception stops all workers, and is raised once they have stopped. So is
        ``KeyboardInterrupt``. A task may return while chunks are left. Then the caller checks for
        Ctrl-C and calls the task again.
        """
        if self._threads == 1 and self._work <= MAX_CHUNK_NS:  # one chunk, and no time for Ctrl-C
            task(Chunks(size))
            return
        count = chunk_count(self._work, self._threads) if self._work < math.inf else size
        chunks = Chunks(size, max(min(count, size // least), 1))
        submit = None if self._executor is None else self._executor.submit
        Call(task, chunks).run(submit, max(min(self._threads, chunks.count) - 1, 0))

    def send(
        self,
        task: Callable[..., Result],
        parts: Iterable[tuple[Any, tuple[Any, ...]]],
        receive: Callable[[Any, Result], object],
    ) -> None:
        """Have the executor run ``task(*arguments)`` for each (place, arguments) of `parts`.

        The caller calls ``receive(place, result)`` for each, in the order of `parts`.
        """
        assert self._executor is not None
        run_on(self._executor, task, parts, receive, self._tasks or math.inf)


def _check(executor: object) -> None:
    if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
        msg = f"executor must be a concurrent.futures.Executor, not {type(executor).__name__}"
        raise TypeError(msg)


def _on_threads(executor: Executor) -> bool:
    # InterpreterPoolExecutor is a ThreadPoolExecutor, too, but its threads share no objects.
    return isinstance(executor, ThreadPoolExecutor) and not isinstance(executor, _INTERPRETER_POOL)
