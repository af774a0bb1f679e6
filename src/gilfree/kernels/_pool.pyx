# cython: language_level=3, freethreading_compatible=True
"""The workers of a call: the caller, and helpers, which are threads that all calls share.

This is compiled for two reasons. First, Ctrl-C raises an exception between any two steps of the
main thread's Python, even between acquiring a lock and entering the `try` that releases it. Here it
can only arise in `work`, `submit` and `PyErr_CheckSignals`. Second, a helper can report that it is
done after it has released the GIL, so that the caller can acquire the GIL immediately.

The pool lists the calls that want helpers. A notified helper takes the first of them, whichever
caller notified it, so a helper that is late for one call helps the next. A caller never waits for a
helper that has not begun. So calls can be nested to any depth.
"""

import _thread
import os
import sys
import threading

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t

from gilfree._chunks cimport Chunks

cdef extern from "atomic.h":
    int64_t gilfree_load(const int64_t *place) noexcept nogil
    void gilfree_store(int64_t *place, int64_t value) noexcept nogil
    int64_t gilfree_count(int64_t *place) noexcept nogil
    void gilfree_count_down(int64_t *place) noexcept nogil
    bint gilfree_replace(int64_t *place, int64_t before, int64_t after) noexcept nogil

cdef extern from "clock.h":
    int64_t gilfree_now() noexcept nogil
    void gilfree_pause() noexcept nogil
    void gilfree_sleep(int64_t nanoseconds) noexcept nogil
    void gilfree_yield() noexcept nogil

cdef extern from "cpus.h":
    ctypedef struct gilfree_cpus:
        pass
    int64_t gilfree_this_thread() noexcept nogil
    void gilfree_keep_off(int64_t thread, gilfree_cpus *usual) noexcept nogil
    void gilfree_roam(const gilfree_cpus *usual) noexcept nogil

cdef extern from "pythread.h":
    ctypedef void *PyThread_type_lock
    enum:
        WAIT_LOCK
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock lock)
    int PyThread_acquire_lock(PyThread_type_lock lock, int wait) noexcept nogil
    void PyThread_release_lock(PyThread_type_lock lock) noexcept nogil
    unsigned long PyThread_get_thread_ident() noexcept nogil

# The most helpers of a pool. Each is started when a call first needs it.
MOST_THREADS = 256

# All three in nanoseconds.
# How long the caller sleeps between two checks whether its helpers are done.
cdef int64_t JOIN_INTERVAL = 50_000
# How long a helper spins after its work. Waking a sleeping thread takes 35 us, and sometimes
# milliseconds; a spinning helper joins the next call without that delay.
cdef int64_t IDLE_SPIN = 200_000
# How long a notified helper waits at most for the caller to release the GIL.
cdef int64_t RELEASE_DELAY = 10_000


# ---------------------------------------------------------------- a call


cdef class Call:
    cdef object work
    cdef readonly Chunks chunks
    cdef object error
    cdef bint over
    cdef Pool pool
    cdef Py_ssize_t wanted  # helpers still to begin
    cdef Call next  # in the pool's list

    def __cinit__(self, work, Chunks chunks):
        self.work = work
        self.chunks = chunks
        self.pool = shared

    def run(self, submit, Py_ssize_t helpers):
        cdef Py_ssize_t _
        self.chunks.caller = PyThread_get_thread_ident()
        try:
            if submit is None:
                if helpers:
                    self.pool.add(self, helpers)
            else:
                for _ in range(helpers):
                    submit(self.help)
            self.work_on()
        except BaseException as error:
            self.fail(error)
        if helpers:
            if self.pool is shared:
                self.end()
            elif gilfree_load(&self.chunks.at_work):  # a signal handler has forked: this is a child
                self.fail(RuntimeError("forked during a call: the child does not have its helpers"))
        if self.error is not None:
            # Break the cycle exception -> traceback -> frame -> call -> exception.
            error, self.error = self.error, None
            raise error

    def help(self):
        """Work, in a helper, unless the call is over."""
        if self.begin():
            self.do_work()
            with nogil:  # so that the caller, which waits for the count, can acquire the GIL
                gilfree_count_down(&self.chunks.at_work)

    cdef bint begin(self):
        cdef bint begun
        with cython.critical_section(self):
            begun = not self.over
            if begun:
                gilfree_count(&self.chunks.at_work)
        return begun

    cdef int work_on(self) except -1:
        while self.chunks.left:
            self.chunks.enter()
            self.work(self.chunks)
            PyErr_CheckSignals()  # only acts in the main thread
            if self.chunks.left:
                with nogil:  # other threads may wait for the GIL
                    pass
        return 0

    cdef void do_work(self) noexcept:
        try:
            self.work_on()
        except BaseException as error:
            self.fail(error)

    cdef void fail(self, error) noexcept:
        with cython.critical_section(self):
            if self.error is None:
                self.error = error
        self.chunks.stop()

    cdef void end(self) noexcept:
        # Keeps further helpers from beginning, and waits for those that have begun.
        with cython.critical_section(self):
            self.over = True
        self.pool.remove(self)
        with nogil:
            while gilfree_load(&self.chunks.at_work):
                gilfree_sleep(JOIN_INTERVAL)
        self.work = None  # a late helper may still refer to this call, but not to its arrays


# ---------------------------------------------------------------- the threads that all calls share


cdef enum:
    AWAKE
    ASLEEP
    NOTIFIED


cdef class Helper:
    cdef Helper next  # in the pool's list
    cdef int64_t state  # atomic: AWAKE, ASLEEP or NOTIFIED
    cdef PyThread_type_lock wake_lock  # unlocked to wake the helper, which locks it again
    cdef Chunks chunks  # of the call that it was notified for
    cdef int64_t thread  # the system's thread id
    cdef gilfree_cpus usual  # the CPUs on which it could run before it was woken

    def __cinit__(self):
        self.wake_lock = PyThread_allocate_lock()
        if self.wake_lock == NULL:
            raise MemoryError
        PyThread_acquire_lock(self.wake_lock, WAIT_LOCK)

    def __dealloc__(self):
        if self.wake_lock != NULL:
            PyThread_release_lock(self.wake_lock)
            PyThread_free_lock(self.wake_lock)

    cdef void notify(self, Chunks chunks) noexcept:
        self.chunks = chunks
        if not gilfree_replace(&self.state, AWAKE, NOTIFIED):
            gilfree_keep_off(self.thread, &self.usual)
            gilfree_store(&self.state, NOTIFIED)
            PyThread_release_lock(self.wake_lock)

    cdef void wait(self) noexcept nogil:
        # Waits for a notification: spins for IDLE_SPIN, then sleeps. Then spins until a worker of
        # the call takes a chunk, which shows that the caller has released the GIL.
        cdef int64_t until = gilfree_now() + IDLE_SPIN
        cdef int _
        while gilfree_load(&self.state) == AWAKE and gilfree_now() < until:
            for _ in range(100):
                if gilfree_load(&self.state) != AWAKE:
                    break
                gilfree_pause()
            gilfree_yield()
        if gilfree_replace(&self.state, AWAKE, ASLEEP):
            PyThread_acquire_lock(self.wake_lock, WAIT_LOCK)
            gilfree_roam(&self.usual)
        until = gilfree_now() + RELEASE_DELAY
        while not gilfree_load(&self.chunks.taken) and gilfree_now() < until:
            gilfree_pause()

    def run(self, Pool pool):
        """Help one call after the other."""
        cdef Call call
        cdef int64_t *at_work = NULL
        cdef bint notified = True
        self.thread = gilfree_this_thread()
        while True:
            call = pool.next_call(self, notified)
            notified = call is None
            with nogil:
                if at_work != NULL:
                    gilfree_count_down(at_work)  # the previous call's caller may spin for this
                if notified:
                    self.wait()
            at_work = NULL
            if call is not None and call.begin():
                call.do_work()
                at_work = &call.chunks.at_work  # the caller keeps it alive until it is counted down
            call = None


cdef class Pool:
    cdef Helper idle  # list of the helpers that wait, the latest first: it is most likely awake
    cdef Call calls  # list of the calls that want helpers
    cdef Py_ssize_t wanted  # helpers that all calls want
    cdef Py_ssize_t notified  # helpers notified or started that have not looked for a call yet
    cdef Py_ssize_t started  # all helpers

    cdef int add(self, Call call, Py_ssize_t helpers) except -1:
        with cython.critical_section(self):
            call.wanted = helpers
            self.wanted += helpers
            call.next, self.calls = self.calls, call
        try:
            while self.notify_one(call.chunks):
                pass
        except RuntimeError:
            pass  # no thread can be started: the caller works with the helpers that there are
        return 0

    cdef bint notify_one(self, Chunks chunks) except -1:
        # Notifies or starts a helper if calls want more than are on their way; returns whether it
        # did. A helper that was notified for an earlier call counts, too: otherwise the pool would
        # grow with every call where threads wake late.
        cdef Helper helper = None
        cdef Py_ssize_t number = -1
        with cython.critical_section(self):
            if self.notified < self.wanted:
                helper = self.idle
                if helper is not None:
                    self.idle, helper.next = helper.next, None
                    self.notified += 1
                elif self.started < MOST_THREADS and not sys.is_finalizing():
                    number = self.started
                    self.started += 1
                    self.notified += 1
        if helper is not None:
            helper.notify(chunks)
        elif number >= 0:
            try:
                _thread.start_new_thread(_start, (Helper(), self, f"gilfree_{number}"))
            except BaseException:
                with cython.critical_section(self):
                    self.started -= 1
                    self.notified -= 1
                raise
        return helper is not None or number >= 0

    cdef Call next_call(self, Helper helper, bint notified):
        # Returns a call that wants a helper. If there is none, adds the helper to the idle ones.
        cdef Call call
        helper.chunks = None
        with cython.critical_section(self):
            self.notified -= notified
            call = self.calls
            if call is None:
                gilfree_store(&helper.state, AWAKE)
                helper.next, self.idle = self.idle, helper
            else:
                self.wanted -= 1
                call.wanted -= 1
                if not call.wanted:
                    self.calls, call.next = call.next, None
        return call

    cdef void remove(self, Call call) noexcept:
        cdef Call other
        with cython.critical_section(self):
            if call.wanted:
                self.wanted -= call.wanted
                call.wanted = 0
                if self.calls is call:
                    self.calls = call.next
                else:
                    other = self.calls
                    while other.next is not call:
                        other = other.next
                    other.next = call.next
                call.next = None


def _start(Helper helper, Pool pool, name):
    # Runs in a thread of its own, since Ctrl-C could interrupt `Thread.start` in the main thread.
    try:
        threading.Thread(target=helper.run, args=[pool], name=name, daemon=True).start()
    except RuntimeError:  # the system allows no further thread: help in this one
        helper.run(pool)


cdef Pool shared = Pool()


def _forget_threads():
    global shared
    shared = Pool()


if hasattr(os, "register_at_fork"):  # a forked child gets a copy of the pool without its threads
    os.register_at_fork(after_in_child=_forget_threads)


# ---------------------------------------------------------------- calls in a row

# Calls are in a row if they begin within this time of each other, in nanoseconds.
cdef int64_t IN_A_ROW = 1_000_000

cdef int64_t last = -(<int64_t> 1 << 62)  # atomic: when in_a_row() was last called


def in_a_row():
    cdef Helper helper = shared.idle
    cdef int64_t now = gilfree_now(), before = gilfree_load(&last)
    gilfree_store(&last, now)
    if helper is not None and gilfree_load(&helper.state) == AWAKE:
        return True
    return now - before < IN_A_ROW
