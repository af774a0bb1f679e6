"""Run the chunks of one call on threads, or on any ``concurrent.futures.Executor``.

The caller works too. It asks helpers, and takes one chunk after the other, like any of them, until
none is left. A helper that wakes up late finds nothing to do and costs nothing; one that never
wakes up (the pool is full, or is the very pool that this call runs on) is not waited for. So calls
may be nested as deep as you like.

Most of what is not plain here is for Ctrl-C, which may come between any two steps of Python.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from gilfree._arguments import whole_number
from gilfree._system import usable_cpus
from gilfree.kernels._flag import insist
from gilfree.kernels.call import Call
from gilfree.kernels.executors import SubmitFromHelper, run_elsewhere
from gilfree.kernels.helpers import MOST_THREADS, all_sleep, note_brief_call, recruit, withdraw

if TYPE_CHECKING:
    from numpy.typing import NDArray

Result = TypeVar("Result")

# Work that takes no longer is done sooner by one thread, and work up to a millisecond sooner than
# a thread is woken that sleeps.
SHARED = 100e3  # nanoseconds
BRIEF = 1e6  # nanoseconds

_INTERPRETER_POOL: Any = getattr(concurrent.futures, "InterpreterPoolExecutor", ())  # Python 3.14


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
        down here. A ``ThreadPoolExecutor`` is asked from another thread, in the caller's context,
        if the main thread calls. Of others, only ``submit`` is used, and ``result`` and ``cancel``
        of the futures; they get picklable tasks and arguments.
    work : float, optional
        What the work will cost about, in nanoseconds on one core. By default enough to be shared.

    Attributes
    ----------
    alone : bool
        Whether the caller will do all of it, so that there is no use in many chunks.

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
        if executor is not None and (
            isinstance(executor, type) or not callable(getattr(executor, "submit", None))
        ):
            msg = f"executor must be a concurrent.futures.Executor, not {type(executor).__name__}"
            raise TypeError(msg)
        self._workers = workers
        self._executor = executor
        self._on_threads = executor is None or (
            isinstance(executor, ThreadPoolExecutor)
            and not isinstance(executor, _INTERPRETER_POOL)  # pickles what it is given
        )
        wants_none = work < SHARED or (self._on_threads and workers == 1)
        self._brief = executor is None and work < BRIEF and not wants_none
        self.alone = wants_none or (self._brief and all_sleep())

    def run(
        self,
        task: Callable[..., Result],
        chunks: Iterable[tuple[Any, ...]],
        join: Callable[[Result], object],
    ) -> None:
        """Call ``join(task(*chunk))`` for each chunk: join in their order, and in this thread.

        The first exception ends the rest. On threads it reaches the caller when none of them is at
        work any more, ``KeyboardInterrupt`` too. A single chunk is run here and now.
        """
        if self.alone:
            for chunk in chunks:
                join(task(*chunk))
        else:
            self._share(task, chunks, join)
        if self._brief:
            note_brief_call()

    def _share(
        self,
        task: Callable[..., Result],
        chunks: Iterable[tuple[Any, ...]],
        join: Callable[[Result], object],
    ) -> None:
        chunks = iter(chunks)
        workers = self._workers or (usable_cpus() if self._on_threads else sys.maxsize)
        head = list(itertools.islice(chunks, max(min(workers, MOST_THREADS), 2)))
        chunks = itertools.chain(head, chunks)
        if len(head) < 2 or (self._on_threads and workers == 1):
            for chunk in chunks:
                join(task(*chunk))
        elif self._on_threads:
            helpers = min(workers, len(head)) - 1
            _run_on_threads(task, chunks, join, helpers, self._executor)
        else:
            assert self._executor is not None
            run_elsewhere(task, chunks, join, workers, self._executor)

    def fill(self, task: Callable[..., NDArray[Any]], chunks: Iterable[tuple[Any, ...]]) -> None:
        """Run chunks whose last argument is the piece of an array that the task is to fill.

        Threads write to their piece themselves. Elsewhere the last argument is None, the task
        returns a new array, and it is copied here.
        """
        if self._on_threads or self.alone:
            self.run(task, chunks, _ignore)
        else:
            pieces: deque[NDArray[Any]] = deque()

            def without_pieces() -> Iterator[tuple[Any, ...]]:
                for *chunk, piece in chunks:
                    pieces.append(piece)
                    yield (*chunk, None)

            def copy(result: NDArray[Any]) -> None:
                pieces.popleft()[...] = result

            self.run(task, without_pieces(), copy)


def _ignore(_: object) -> None:
    pass


def _run_on_threads(
    task: Callable[..., Result],
    chunks: Iterator[tuple[Any, ...]],
    join: Callable[[Result], object],
    helpers: int,
    executor: Executor | None,
) -> None:
    """Run the chunks on the calling thread and on helpers of the executor."""
    _reserve_frames()
    call = Call(task, chunks)
    asking = None if executor is None else SubmitFromHelper(executor, call, helpers)
    joined = 0

    def join_in_order() -> None:
        nonlocal joined
        while joined in call.results:
            join(call.results.pop(joined))
            joined += 1

    # A function of its own, for in CPython 3.13.0 a Ctrl-C at the end of a loop's round passes by
    # the handlers of a ``try`` that the loop ends.
    def work() -> None:
        while call.do_next():
            join_in_order()

    def finish() -> None:
        call.close()
        withdraw(call)
        if asking is not None:
            withdraw(asking)
        call.wait()

    try:
        if asking is None:
            with contextlib.suppress(RuntimeError):  # no more threads: the caller works alone
                recruit(call, helpers)
            work()
        else:
            asking.begin()
            work()
            asking.wait()
    finally:  # helpers may be writing to the caller's array
        interruption = insist(finish)
        errors, call.errors = call.errors, []
        # What is raised keeps the frames it comes through. If one of them kept it, too, the arrays
        # of the call would stay until the garbage collector comes round.
        try:
            if interruption is not None:
                raise interruption
        finally:
            del interruption
    try:
        if errors:
            raise errors[0]
    finally:
        del errors
    join_in_order()


def _reserve_frames(count: int = 20) -> None:
    """Raise RecursionError now, if need be, and not when helpers are at work."""
    if count:
        _reserve_frames(count - 1)
