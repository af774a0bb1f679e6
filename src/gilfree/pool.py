"""Run the chunks of one call on threads, or on any ``concurrent.futures.Executor``.

The caller works too. It puts the chunks into one queue, asks a thread pool for helpers, and takes
chunks from the queue like any of them until none is left. A helper that wakes up late finds
nothing to do and costs nothing; one that never wakes up (the pool is full, or is the very pool
that this call runs on) is not waited for. So calls may be nested as deep as you like.
"""

from __future__ import annotations

import contextlib
import itertools
import operator
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from numpy.typing import NDArray

Result = TypeVar("Result")

_shared: ThreadPoolExecutor | None = None


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use, not that the machine has."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool:
    """Where the chunks of one call run.

    Parameters
    ----------
    workers : int, optional
        How many threads work at once, the caller included. By default one for each CPU that this
        process may use. On an executor other than threads: how many chunks are under way at once,
        by default all of them, and the executor decides.
    executor : concurrent.futures.Executor, optional
        Who helps. By default threads that all calls share. It is the caller's, and is never shut
        down here. Of other executors than ``ThreadPoolExecutor``, only ``submit`` is used, and
        ``result`` and ``cancel`` of the futures; they get picklable tasks and arguments.

    Raises
    ------
    TypeError
        If `workers` is not a whole number, or `executor` takes no work.
    ValueError
        If `workers` is less than 1.
    """

    def __init__(self, workers: int | None = None, executor: Executor | None = None) -> None:
        if workers is not None:
            workers = whole_number("workers", workers)
        if executor is not None and not callable(getattr(executor, "submit", None)):
            msg = f"executor must be a concurrent.futures.Executor, not {type(executor).__name__}"
            raise TypeError(msg)
        self._workers = workers
        self._executor = executor
        # Subclasses don't count: InterpreterPoolExecutor is one, and pickles what it is given.
        self._on_threads = executor is None or type(executor) is ThreadPoolExecutor

    def run(
        self, task: Callable[..., Result], chunks: Sequence[tuple[Any, ...]]
    ) -> Iterator[Result]:
        """Yield ``task(*chunk)`` for each chunk, in the order of `chunks`.

        The first exception empties the queue, and reaches the caller when no thread is at work any
        more. That holds for ``KeyboardInterrupt`` as well. A single chunk is run here and now.
        """
        if len(chunks) < 2 or (self._on_threads and self._workers == 1):
            return itertools.starmap(task, chunks)
        if self._on_threads:
            return _run_on_threads(task, chunks, self._workers or usable_cpus(), self._executor)
        assert self._executor is not None
        return _run_elsewhere(task, chunks, self._workers or len(chunks), self._executor)

    def fill(
        self,
        task: Callable[..., NDArray[Any]],
        chunks: Sequence[tuple[Any, ...]],
        pieces: Sequence[NDArray[Any]],
    ) -> None:
        """Run chunks whose results are pieces of one array: ``task(*chunk, piece)``.

        Threads write to their piece themselves. Elsewhere the last argument is None, the task
        returns a new array, and it is copied here.
        """
        if self._on_threads:
            for _ in self.run(task, [(*c, piece) for c, piece in zip(chunks, pieces, strict=True)]):
                pass
        else:
            results = self.run(task, [(*chunk, None) for chunk in chunks])
            for piece, result in zip(pieces, results, strict=True):
                piece[...] = result


def whole_number(name: str, value: int, least: int = 1, most: int | None = None) -> int:
    """Return `value` as an int within its bounds, or say what is wrong with the argument `name`."""
    try:
        number = operator.index(value)
    except TypeError:
        msg = f"{name} must be a whole number, not {type(value).__name__}"
        raise TypeError(msg) from None
    if number < least or (most is not None and number > most):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        msg = f"{name} must be {bounds}, not {number}"
        raise ValueError(msg)
    return number


def _run_on_threads(
    task: Callable[..., Result],
    chunks: Sequence[tuple[Any, ...]],
    workers: int,
    executor: Executor | None,
) -> Iterator[Result]:
    queue = deque(enumerate(chunks))
    results: dict[int, Result] = {}

    def take() -> tuple[int, tuple[Any, ...]] | None:
        try:
            return queue.popleft()  # atomic, on free-threaded builds too
        except IndexError:
            return None

    def work() -> None:
        try:
            for number, chunk in iter(take, None):
                results[number] = task(*chunk)
        except BaseException:
            queue.clear()
            raise

    helpers: list[Future[None]] = []
    try:
        _recruit(helpers, work, min(workers, len(chunks)) - 1, executor)
        work()
    finally:
        queue.clear()
        started = [helper for helper in helpers if not helper.cancel()]
        wait(started)  # they may be writing to the caller's array
    for helper in started:
        helper.result()
    for number in range(len(chunks)):
        yield results.pop(number)


def _recruit(
    helpers: list[Future[None]], work: Callable[[], None], count: int, executor: Executor | None
) -> None:
    """Submit `work` `count` times; `helpers` holds what was submitted, whatever happens."""
    if executor is not None:
        helpers.extend(executor.submit(work) for _ in range(count))
        return
    # The shared pool takes no more work once the interpreter exits, or when the system has no
    # more threads to give. Then the caller does all of it alone.
    with contextlib.suppress(RuntimeError):
        helpers.extend(_shared_pool().submit(work) for _ in range(count))


def _run_elsewhere(
    task: Callable[..., Result],
    chunks: Sequence[tuple[Any, ...]],
    workers: int,
    executor: Executor,
) -> Iterator[Result]:
    futures: deque[Future[Result]] = deque()
    try:
        for chunk in chunks:
            if len(futures) == workers:
                yield futures.popleft().result()
            futures.append(executor.submit(task, *chunk))
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()


def _shared_pool() -> ThreadPoolExecutor:
    # Two threads may both find None; the pool that is then lost has its threads end by themselves.
    global _shared
    if _shared is None:
        _shared = ThreadPoolExecutor(max(32, usable_cpus()), thread_name_prefix="gilfree")
    return _shared


def _forget_shared_pool() -> None:
    global _shared
    _shared = None


if hasattr(os, "register_at_fork"):  # a forked child has the pool, but none of its threads
    os.register_at_fork(after_in_child=_forget_shared_pool)
