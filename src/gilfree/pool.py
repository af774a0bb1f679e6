"""Run the chunks of one call on threads, or on any ``concurrent.futures.Executor``.

The caller works too. It asks a thread pool for helpers, and takes one chunk after the other, like
any of them, until none is left. A helper that wakes up late finds nothing to do and costs nothing;
one that never wakes up (the pool is full, or is the very pool that this call runs on) is not
waited for. So calls may be nested as deep as you like.

The slow part is to wake a thread that sleeps. So a helper of the pool that all calls share stays
awake for a moment after its work, and the next call finds it there. A brief call wakes nobody,
unless it follows another one at once: then those that come after it find a helper awake.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import math
import operator
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from numpy.typing import NDArray

from gilfree._flag import Flag

Result = TypeVar("Result")

# Of the pool that all calls share: more than anyone asks for. A thread starts when it is needed.
MOST_THREADS = 256

# Work that takes no longer is done sooner by one thread, and work up to a millisecond sooner than
# a thread is woken that sleeps.
SHARED = 100e3  # nanoseconds
BRIEF = 1e6  # nanoseconds
# How long a helper stays awake, in wait of the next call, before it goes to sleep.
LINGER = 200e-6  # seconds
# How long the caller stays awake, in wait of its helpers.
PATIENCE = 50e-6  # seconds

_INTERPRETER_POOL: Any = getattr(concurrent.futures, "InterpreterPoolExecutor", ())  # Python 3.14
_shared: ThreadPoolExecutor | None = None
# Helpers that are awake; those that were woken and have not come yet, one None each; and the jobs
# that wait for them. Each is changed by one step that no other thread can come into.
_awake: list[_Helper] = []
_coming: list[None] = []
_jobs: list[_Job] = []
_last_brief = -math.inf  # when a brief call ended, on the clock of time.perf_counter


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use, not that the machine has."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gil_enabled() -> bool:
    """Tell whether this interpreter has a GIL right now."""
    enabled: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
    return enabled


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
        self.alone = wants_none or (self._brief and _all_sleep())

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
            _note_brief_call()

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
            _run_elsewhere(task, chunks, join, workers, self._executor)

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
    chunks: Iterator[tuple[Any, ...]],
    join: Callable[[Result], object],
    helpers: int,
    executor: Executor | None,
) -> None:
    """Run the chunks on the calling thread and on helpers of the executor."""
    numbered = enumerate(chunks)
    results: dict[int, Result] = {}
    errors: list[BaseException] = []
    lock = threading.Lock()  # entered as it is: a Condition's own ``with`` can be interrupted
    settled = threading.Condition(lock)
    at_work, stopped, joined = 0, False, 0

    def do_next() -> bool:
        with lock:
            numbered_chunk = None if stopped else next(numbered, None)
        if numbered_chunk is None:
            return False
        number, chunk = numbered_chunk
        results[number] = task(*chunk)
        return True

    def help_out() -> None:
        nonlocal at_work, stopped
        with lock:
            at_work += 1
        try:
            while do_next():
                pass
        except BaseException as error:
            errors.append(error)
            stopped = True
        finally:
            with lock:
                at_work -= 1
                settled.notify_all()

    def join_in_order() -> None:
        nonlocal joined
        while joined in results:
            join(results.pop(joined))
            joined += 1

    # A function of its own, for in CPython 3.13.0 a Ctrl-C at the end of a loop's round passes by
    # the handlers of a ``try`` that the loop ends.
    def work() -> None:
        while do_next():
            join_in_order()

    job = _Job(help_out)
    futures: list[Future[None]] = []
    try:
        if executor is None:
            _recruit(job, helpers)
        else:
            futures.extend(executor.submit(help_out) for _ in range(helpers))
        work()
    except BaseException:
        stopped = True
        raise
    finally:
        # Those that have not started need not; the others may be writing to the caller's array.
        try:
            _withdraw(job)
            for future in futures:
                future.cancel()
        finally:
            _wait_until(lambda: not at_work, job.done, lock, settled)
    if errors:
        raise errors[0]
    join_in_order()


def _wait_until(
    true: Callable[[], bool], flag: Flag, lock: threading.Lock, condition: threading.Condition
) -> None:
    """Wait, awake at first, whatever interrupts: what does is raised when the wait is over."""
    interruption: BaseException | None = None
    while True:
        try:
            while not true() and flag.wait(PATIENCE):
                pass
            with lock:
                condition.wait_for(true)
        except BaseException as error:
            interruption = error
        else:
            break
    if interruption is not None:
        raise interruption


class _Job:
    """What a call asks helpers for."""

    def __init__(self, help_out: Callable[[], None]) -> None:
        self.help_out = help_out
        self.done = Flag()


def _recruit(job: _Job, count: int) -> None:
    """Have so many helpers of the shared pool do the job, unless it is withdrawn before."""
    # The shared pool takes no more work once the interpreter exits, or when the system has no
    # more threads to give. Then the caller does all of it alone.
    with contextlib.suppress(RuntimeError):
        for _ in range(count):
            if not _wake(job):
                _jobs.append(job)
                # One that was woken for a call that is over by now does as well as another. Where
                # threads wake late, the pool would otherwise grow with every call.
                while len(_jobs) > len(_coming):
                    _send_for_helper()


def _send_for_helper() -> None:
    try:
        _coming.append(None)
        _shared_pool().submit(_come)
    except BaseException:
        _note_arrival()
        raise


def _note_arrival() -> None:
    with contextlib.suppress(IndexError):  # a Ctrl-C while it was sent for: noted already
        _coming.pop()


def _come() -> None:
    """Be a helper of the shared pool, if there is still a job."""
    _note_arrival()
    with contextlib.suppress(IndexError):  # the call is over
        _Helper(_jobs.pop(0)).run()


def _withdraw(job: _Job) -> None:
    with contextlib.suppress(ValueError):  # none is left
        while True:
            _jobs.remove(job)


def _all_sleep() -> bool:
    """Tell whether no helper is awake, and no other brief call has just ended."""
    return not _awake and time.perf_counter() - _last_brief > LINGER


def _note_brief_call() -> None:
    global _last_brief
    _last_brief = time.perf_counter()


def _wake(job: _Job) -> bool:
    """Give the job to a helper that is still awake, if there is one."""
    while _awake:
        with contextlib.suppress(IndexError):  # another call was faster
            helper = _awake.pop()
            helper.job = job
            if helper.go.set():
                return True
    return False


class _Helper:
    """A thread of the shared pool that stays awake for a moment after its work."""

    def __init__(self, job: _Job) -> None:
        self.job = job
        self.go = Flag()

    def run(self) -> None:
        awake = True
        while awake:
            done = self.job.done
            self.job.help_out()
            del self.job  # and the arrays of a call that is about to return
            _awake.append(self)
            awake = self.go.linger(done, LINGER)
        with contextlib.suppress(ValueError):  # a call found it there, and saw that it has left
            _awake.remove(self)


def _run_elsewhere(
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


def _shared_pool() -> ThreadPoolExecutor:
    # Two threads may both find None; the pool that is then lost has its threads end by themselves.
    global _shared
    if _shared is None:
        _shared = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="gilfree")
    return _shared


def _forget_shared_pool() -> None:
    global _shared
    _shared = None
    for everyone in _awake, _coming, _jobs:
        everyone.clear()


if hasattr(os, "register_at_fork"):  # a forked child has the pool, but none of its threads
    os.register_at_fork(after_in_child=_forget_shared_pool)
