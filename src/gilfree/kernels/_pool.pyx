# cython: language_level=3, freethreading_compatible=True
"""Who works on a call: the caller, and helpers, which are threads that all calls share.

Compiled, for two reasons. Ctrl-C is an exception between any two steps of the main thread's
Python, also between one that takes a lock and one that sees to its release. Here it arises only in
what may be Python, `work` and `call_helper`, and in `PyErr_CheckSignals`. And a helper says that it
is done after it has released the GIL, so that the caller, who waits for that, can have it.

A pool has the calls that want helpers. A helper that is called helps the first of these, whoever
called it: so one that comes too late for its call helps the next. Nobody waits for a helper that
has not come. So calls may be nested as deep as you like.
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

# More than anyone asks for. A thread starts when it is needed.
MOST_THREADS = 256

# All of these in nanoseconds.
cdef int64_t LOOK_AT_WORK = 50_000  # how often the caller looks whether its helpers are done
# To wake a thread that sleeps takes 35 us, and at times milliseconds. So a helper stays awake for a
# while after its work, and the next call finds it there.
cdef int64_t LINGER = 200_000
# What the caller takes from calling a helper that is awake until it has released the GIL, at most.
cdef int64_t MOMENT = 10_000


# ---------------------------------------------------------------- a call


cdef class Call:
    cdef object work
    cdef readonly Chunks chunks
    cdef object error
    cdef bint over
    cdef Pool pool
    cdef Py_ssize_t wanted  # helpers
    cdef Call next  # of those that want helpers

    def __cinit__(self, work, Chunks chunks):
        self.work = work
        self.chunks = chunks
        self.pool = shared

    def run(self, call_helper, Py_ssize_t helpers):
        cdef Py_ssize_t _
        self.chunks.caller = PyThread_get_thread_ident()
        try:
            if call_helper is None:
                if helpers:
                    self.pool.call(self, helpers)
            else:
                for _ in range(helpers):
                    call_helper(self.help)
            self.work_on()
        except BaseException as error:
            self.fail(error)
        if helpers:
            if self.pool is shared:
                self.end()
            elif gilfree_load(&self.chunks.at_work):  # this is a child, forked by a signal handler
                self.fail(RuntimeError("forked amid a call, whose helpers the child does not have"))
        if self.error is not None:
            # What is raised keeps the frames it comes through, one of which may keep this call.
            error, self.error = self.error, None
            raise error

    def help(self):
        """Work, in a helper, unless the call is over."""
        if self.begin():
            self.do_work()
            with nogil:  # first: the caller may wait for it
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
            PyErr_CheckSignals()  # does nothing but in the main thread
            if self.chunks.left:
                with nogil:  # for a moment: other threads may wait for the GIL
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
        # From now on no helper begins; when those that have begun are done, none is at work.
        with cython.critical_section(self):
            self.over = True
        self.pool.withdraw(self)
        with nogil:
            while gilfree_load(&self.chunks.at_work):
                gilfree_sleep(LOOK_AT_WORK)
        self.work = None  # a helper that is on its way may keep this call, but not its arrays


# ---------------------------------------------------------------- the threads that all calls share


cdef enum:
    AWAKE
    ASLEEP
    CALLED


cdef class Helper:
    cdef Helper next  # of those that wait for a call
    cdef int64_t state  # atomic
    cdef PyThread_type_lock bell  # held, but for the moment in which the helper is woken
    cdef Chunks chunks  # of the call that it was called for
    cdef int64_t thread  # as the system numbers it
    cdef gilfree_cpus usual  # where it could run before it was woken

    def __cinit__(self):
        self.bell = PyThread_allocate_lock()
        if self.bell == NULL:
            raise MemoryError
        PyThread_acquire_lock(self.bell, WAIT_LOCK)

    def __dealloc__(self):
        if self.bell != NULL:
            PyThread_release_lock(self.bell)
            PyThread_free_lock(self.bell)

    cdef void ring(self, Chunks chunks) noexcept:
        self.chunks = chunks
        if not gilfree_replace(&self.state, AWAKE, CALLED):
            gilfree_keep_off(self.thread, &self.usual)
            gilfree_store(&self.state, CALLED)
            PyThread_release_lock(self.bell)

    cdef void wait(self) noexcept nogil:
        # Until it is called: awake at first. Then until the caller has released the GIL.
        cdef int64_t until = gilfree_now() + LINGER
        cdef int _
        while gilfree_load(&self.state) == AWAKE and gilfree_now() < until:
            for _ in range(100):
                if gilfree_load(&self.state) != AWAKE:
                    break
                gilfree_pause()
            gilfree_yield()
        if gilfree_replace(&self.state, AWAKE, ASLEEP):
            PyThread_acquire_lock(self.bell, WAIT_LOCK)
            gilfree_roam(&self.usual)
        until = gilfree_now() + MOMENT
        while not gilfree_load(&self.chunks.taken) and gilfree_now() < until:
            gilfree_pause()

    def live(self, Pool pool):
        """Help with one call after the other."""
        cdef Call call
        cdef int64_t *at_work = NULL
        cdef bint called = True
        self.thread = gilfree_this_thread()
        while True:
            call = pool.take(self, called)
            called = call is None
            with nogil:
                if at_work != NULL:
                    gilfree_count_down(at_work)  # whose caller is waiting for this, awake
                if called:
                    self.wait()
            at_work = NULL
            if call is not None and call.begin():
                call.do_work()
                at_work = &call.chunks.at_work  # they live until it is counted down
            call = None


cdef class Pool:
    cdef Helper idle  # the helpers that wait; the one that came last comes first
    cdef Call calls  # those that want helpers
    cdef Py_ssize_t wanted  # helpers, by all calls
    cdef Py_ssize_t coming  # helpers that were called, and have taken no call yet
    cdef Py_ssize_t started  # helpers

    cdef int call(self, Call call, Py_ssize_t helpers) except -1:
        with cython.critical_section(self):
            call.wanted = helpers
            self.wanted += helpers
            call.next, self.calls = self.calls, call
        try:
            while self.call_one(call.chunks):
                pass
        except RuntimeError:
            pass  # there is no thread to be had: the caller works alone
        return 0

    cdef bint call_one(self, Chunks chunks) except -1:
        # A helper that is on its way for a call that is over will do. Where threads wake late, the
        # pool would otherwise grow with every call.
        cdef Helper helper = None
        cdef Py_ssize_t number = -1
        with cython.critical_section(self):
            if self.coming < self.wanted:
                helper = self.idle
                if helper is not None:
                    self.idle, helper.next = helper.next, None
                    self.coming += 1
                elif self.started < MOST_THREADS and not sys.is_finalizing():
                    number = self.started
                    self.started += 1
                    self.coming += 1
        if helper is not None:
            helper.ring(chunks)
        elif number >= 0:
            try:
                _thread.start_new_thread(_start, (Helper(), self, f"gilfree_{number}"))
            except BaseException:
                with cython.critical_section(self):
                    self.started -= 1
                    self.coming -= 1
                raise
        return helper is not None or number >= 0

    cdef Call take(self, Helper helper, bint called):
        # The call to help with; if there is none, the helper is among those that wait.
        cdef Call call
        helper.chunks = None
        with cython.critical_section(self):
            self.coming -= called
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

    cdef void withdraw(self, Call call) noexcept:
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
    # In a thread without a name, for `Thread.start` is Python, and Ctrl-C may cut it in two.
    try:
        threading.Thread(target=helper.live, args=[pool], name=name, daemon=True).start()
    except RuntimeError:  # the system has no more threads to give than this one
        helper.live(pool)


cdef Pool shared = Pool()


def _forget_threads():
    global shared
    shared = Pool()


if hasattr(os, "register_at_fork"):  # a forked child has the pool, but none of its threads
    os.register_at_fork(after_in_child=_forget_threads)


# ---------------------------------------------------------------- calls in a row

# How long after a brief call another one comes, at most, if they come in a row.
cdef int64_t IN_A_ROW = 1_000_000

cdef int64_t last = -(<int64_t> 1 << 62)  # atomic: when a brief call last asked


def in_a_row():
    cdef Helper helper = shared.idle
    cdef int64_t now = gilfree_now(), before = gilfree_load(&last)
    gilfree_store(&last, now)
    if helper is not None and gilfree_load(&helper.state) == AWAKE:
        return True
    return now - before < IN_A_ROW
