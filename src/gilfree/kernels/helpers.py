"""The threads that all calls share: who is awake, who is woken, and who is started.

The slow part is to wake a thread that sleeps. So a helper stays awake for a moment after its work,
and the next call finds it there. A brief call wakes nobody, unless it follows another one at once:
then those that come after it find a helper awake.

Ctrl-C is an exception at any step of the main thread's Python, also between the step that takes a
lock and the one that sees to its release. ``Thread.start``, ``Condition`` and the executors of the
standard library have such gaps: one that is cut short there may never work again. So the main
thread calls none of them here. It uses locks and queues that are written in C.
"""

from __future__ import annotations

import _thread
import contextlib
import math
import os
import sys
import threading
import time
from queue import SimpleQueue

from gilfree.kernels._flag import Flag
from gilfree.kernels.call import Job

# More than anyone asks for. A thread starts when it is needed.
MOST_THREADS = 256
# How long a helper stays awake, in wait of the next call, before it goes to sleep.
LINGER = 200e-6  # seconds

# A thread of the shared pool waits for a None from `_calls`, and then looks for one of `_jobs`. The
# others count, with one None each: the threads that were started, those that sleep and were not
# called, and those that were called and have not come yet. And the helpers that are awake. Each is
# changed by one step that no other thread can come into.
_calls: SimpleQueue[None] = SimpleQueue()
_jobs: list[Job] = []
_started: list[None] = []
_sleeping: list[None] = []
_coming: list[None] = []
_awake: list[_Helper] = []
_last_brief = -math.inf  # when a brief call ended, on the clock of time.perf_counter


def recruit(job: Job, count: int) -> None:
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
                _wake_or_start_thread()


def _wake_or_start_thread() -> None:
    try:
        _coming.append(None)
        if not _decrement(_sleeping) and len(_started) < MOST_THREADS:
            _thread.start_new_thread(_start_thread, (len(_started),))
            _started.append(None)
        _calls.put(None)
    except BaseException:
        del _coming[-1:]
        raise


def _decrement(count: list[None]) -> bool:
    try:
        count.pop()
    except IndexError:  # a Ctrl-C between two steps: counted already
        return False
    return True


def _start_thread(number: int) -> None:
    """Start a thread of the shared pool, from a thread that is not the main one."""
    try:
        name = f"gilfree_{number}"
        threading.Thread(target=_helper_loop, name=name, daemon=True).start()
    except RuntimeError:  # the system has no more threads to give than this one
        _helper_loop()


def _helper_loop() -> None:
    """Be a helper whenever one is called for, if there is still a job."""
    while True:
        _calls.get()
        _decrement(_coming)
        with contextlib.suppress(IndexError):  # the call is over
            _Helper(_jobs.pop(0)).run()
        _sleeping.append(None)


def withdraw(job: Job) -> None:
    """Have no helper begin with the job from now on."""
    with contextlib.suppress(ValueError):  # none is left
        while True:
            _jobs.remove(job)


def all_sleep() -> bool:
    """Tell whether no helper is awake, and no other brief call has just ended."""
    return not _awake and time.perf_counter() - _last_brief > LINGER


def note_brief_call() -> None:
    """Note that a brief call has ended, so that the next one wakes a helper."""
    global _last_brief
    _last_brief = time.perf_counter()


def _wake(job: Job) -> bool:
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

    def __init__(self, job: Job) -> None:
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


def _forget_threads() -> None:
    global _calls
    _calls = SimpleQueue()
    for everyone in _jobs, _started, _sleeping, _coming, _awake:
        everyone.clear()


if hasattr(os, "register_at_fork"):  # a forked child has the pool, but none of its threads
    os.register_at_fork(after_in_child=_forget_threads)
