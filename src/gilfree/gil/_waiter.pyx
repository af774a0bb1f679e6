# cython: language_level=3, freethreading_compatible=True
"""A Python thread that asks for the GIL again and again, and notes how long it was kept waiting."""

from libc.stdint cimport int64_t

cdef extern from "atomic.h":
    int64_t gilfree_load(const int64_t *place) noexcept nogil
    void gilfree_store(int64_t *place, int64_t value) noexcept nogil

cdef extern from "clock.h":
    int64_t gilfree_now() noexcept nogil
    void gilfree_sleep(int64_t nanoseconds) noexcept nogil
    void gilfree_wake_on_time() noexcept nogil


cdef class Waiter:
    """How long is a Python thread kept waiting that wants the GIL while a call is under way?

    Run `wait` in a thread, and `begin` and `end` around the call in another.

    Parameters
    ----------
    pause : float, default: 50e-6
        Seconds of sleep before it asks again.
    """

    cdef int64_t pause
    cdef int64_t begun, ended, stopped, times_asked  # atomic
    cdef int64_t longest

    def __cinit__(self, double pause=50e-6):
        self.pause = <int64_t> (pause * 1e9)

    def wait(self):
        """Ask for the GIL, again and again, until `stop`."""
        cdef int64_t since, until, begun, ended
        gilfree_wake_on_time()
        while not gilfree_load(&self.stopped):
            with nogil:
                gilfree_sleep(self.pause)
                since = gilfree_now()
                gilfree_store(&self.times_asked, self.times_asked + 1)
            until = gilfree_now()
            begun = gilfree_load(&self.begun)
            if begun:
                ended = gilfree_load(&self.ended)
                if ended:
                    until = min(until, ended)
                self.longest = max(self.longest, until - max(since, begun))

    def begin(self):
        """Say that the calls begin."""
        gilfree_store(&self.begun, gilfree_now())

    def end(self):
        """Say that the calls have ended."""
        gilfree_store(&self.ended, gilfree_now())

    def stop(self):
        """Let `wait` return."""
        gilfree_store(&self.stopped, True)

    @property
    def asked(self):
        """How often the GIL was asked for, so far."""
        return gilfree_load(&self.times_asked)

    @property
    def longest_wait(self):
        """The longest wait within the calls, in seconds. Read it when `wait` has returned."""
        return self.longest / 1e9
