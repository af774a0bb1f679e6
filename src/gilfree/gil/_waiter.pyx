# cython: language_level=3, freethreading_compatible=True
"""The waiter: a thread that acquires the GIL again and again, and notes its longest wait."""

from libc.stdint cimport int64_t

cdef extern from "atomic.h":
    int64_t gilfree_load(const int64_t *place) noexcept nogil
    void gilfree_store(int64_t *place, int64_t value) noexcept nogil

cdef extern from "clock.h":
    int64_t gilfree_now() noexcept nogil
    void gilfree_sleep(int64_t nanoseconds) noexcept nogil
    void gilfree_wake_on_time() noexcept nogil


cdef class Waiter:
    """Measures how long a call makes another Python thread wait for the GIL.

    One thread runs `wait`. Another thread calls `begin` and `end` around the call, then `stop`.

    Parameters
    ----------
    pause : float, default: 50e-6
        Seconds for which the waiter sleeps without the GIL, between two requests.
    """

    cdef int64_t pause
    cdef int64_t begun, ended, stopped, times_requested  # atomic
    cdef int64_t longest

    def __cinit__(self, double pause=50e-6):
        self.pause = <int64_t> (pause * 1e9)

    def wait(self):
        """Request the GIL again and again, until `stop`."""
        cdef int64_t since, until, begun, ended
        gilfree_wake_on_time()
        while not gilfree_load(&self.stopped):
            with nogil:
                gilfree_sleep(self.pause)
                since = gilfree_now()
                gilfree_store(&self.times_requested, self.times_requested + 1)
            until = gilfree_now()
            begun = gilfree_load(&self.begun)
            if begun:
                ended = gilfree_load(&self.ended)
                if ended:
                    until = min(until, ended)
                self.longest = max(self.longest, until - max(since, begun))

    def begin(self):
        """Note that the calls begin: waits count from now on."""
        gilfree_store(&self.begun, gilfree_now())

    def end(self):
        """Note that the calls have ended."""
        gilfree_store(&self.ended, gilfree_now())

    def stop(self):
        """Make `wait` return."""
        gilfree_store(&self.stopped, True)

    @property
    def requests(self):
        """The number of requests for the GIL so far."""
        return gilfree_load(&self.times_requested)

    @property
    def longest_wait(self):
        """The longest wait between `begin` and `end`, in seconds; read it after `wait` returned."""
        return self.longest / 1e9
