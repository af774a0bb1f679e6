"""Run the chunks of one call on threads, or on any ``concurrent.futures.Executor``.

The caller works too. It asks a thread pool for helpers, and takes one chunk after the other, like
any of them, until none is left. A helper that wakes up late finds nothing to do and costs nothing;
one that never wakes up (the pool is full, or is the very pool that this call runs on) is not
waited for. So calls may be nested as deep as you like.

The slow part is to wake a thread that sleeps. So a helper of the pool that all calls share stays
awake for a moment after its work, and the next call finds it there. A brief call wakes nobody,
unless it follows another one at once: then those that come after it find a helper awake.

Ctrl-C is an exception at any step of the main thread's Python, also between the step that takes a
lock and the one that sees to its release. ``Thread.start``, ``Condition`` and the executors of the
standard library have such gaps: one that is cut short there may never work again. So the main
thread calls none of them for work on threads. It uses locks and queues that are written in C, and
has a helper ask the executor of a caller.
"""

from __future__ import annotations

import _thread
import concurrent.futures
import contextlib
import contextvars
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
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from gilfree._flag import Flag, insist

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
# How long a call whose work is done waits to hear that an executor was asked for help: for ever, if
# the caller holds a lock that ``submit`` takes, or if all threads of the shared pool are busy.
ASKED_WITHIN = 1.0  # seconds

_INTERPRETER_POOL: Any = getattr(concurrent.futures, "InterpreterPoolExecutor", ())  # Python 3.14
# A thread of the shared pool waits for a None from `_calls`, and then looks for one of `_jobs`. The
# others count, with one None each: the threads that were started, those that sleep and were not
# called, and those that were called and have not come yet. And the helpers that are awake. Each is
# changed by one step that no other thread can come into.
_calls: SimpleQueue[None] = SimpleQueue()
_jobs: list[_Job] = []
_started: list[None] = []
_sleeping: list[None] = []
_coming: list[None] = []
_awake: list[_Helper] = []
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
    _reserve_frames()
    call = _Call(task, chunks)
    asking = None if executor is None else _Asking(executor, call, helpers)
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
        _withdraw(call)
        if asking is not None:
            _withdraw(asking)
        call.wait()

    try:
        if asking is None:
            with contextlib.suppress(RuntimeError):  # no more threads: the caller works alone
                _recruit(call, helpers)
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


class _Job:
    """What helpers are asked to do; `done` is set by one of them that has done it."""

    def __init__(self) -> None:
        self.done = Flag()

    def help_out(self) -> None:
        raise NotImplementedError


class _Call(_Job, Generic[Result]):
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


class _Asking(_Job):
    """To ask an executor of threads for help with a call."""

    def __init__(self, executor: Executor, call: _Call[Any], helpers: int) -> None:
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
                _recruit(self, 1)
                return
            _withdraw(self)
        self.help_out()

    def help_out(self) -> None:
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


def _recruit(job: _Job, count: int) -> None:
    """Have so many helpers of the shared pool do the job, unless it is withdrawn before.

    RuntimeError says that the system has no more threads to give, or that the interpreter exits.
    """
    if sys.is_finalizing():
        msg = "no thread can help while the interpreter exits"
        raise RuntimeError(msg)
    for _ in range(count):
        if not _wake(job):
            _jobs.append(job)
            # One that was called for a call that is over by now does as well as another. Where
            # threads wake late, the pool would otherwise grow with every call.
            while len(_jobs) > len(_coming):
                _send_for_helper()


def _send_for_helper() -> None:
    try:
        _coming.append(None)
        if not _took_one(_sleeping) and len(_started) < MOST_THREADS:
            _thread.start_new_thread(_start_thread, (len(_started),))
            _started.append(None)
        _calls.put(None)
    except BaseException:
        del _coming[-1:]
        raise


def _took_one(count: list[None]) -> bool:
    try:
        count.pop()
    except IndexError:  # a Ctrl-C between two steps: counted already
        return False
    return True


def _start_thread(number: int) -> None:
    """Start a thread of the shared pool, from a thread that is not the main one."""
    try:
        name = f"gilfree_{number}"
        threading.Thread(target=_serve, name=name, daemon=True).start()
    except RuntimeError:  # the system has no more threads to give than this one
        _serve()


def _serve() -> None:
    """Be a helper whenever one is called for, if there is still a job."""
    while True:
        _calls.get()
        _took_one(_coming)
        with contextlib.suppress(IndexError):  # the call is over
            _Helper(_jobs.pop(0)).run()
        _sleeping.append(None)


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


def _forget_threads() -> None:
    global _calls
    _calls = SimpleQueue()
    for everyone in _jobs, _started, _sleeping, _coming, _awake:
        everyone.clear()


if hasattr(os, "register_at_fork"):  # a forked child has the pool, but none of its threads
    os.register_at_fork(after_in_child=_forget_threads)
