# cython: language_level=3, freethreading_compatible=True
"""What is compiled where threads wait for each other: a flag, and an insistent call.

A `Flag` is set by one thread and awaited by another, without the GIL and without sleep. To wake a
thread that sleeps takes a system some 35 µs, and at times milliseconds. One that looks at a flag
over and over sees it at once; but it keeps a CPU busy, so this is for moments only.
"""

from libc.stdint cimport int64_t

cdef extern from "atomic.h":
    bint gilfree_replace(int64_t *place, int64_t before, int64_t after) noexcept nogil

cdef extern from "clock.h":
    int64_t gilfree_now() noexcept nogil
    void gilfree_pause() noexcept nogil
    void gilfree_yield() noexcept nogil

# What it takes a thread that has set a flag to get to its own loop, where it releases the GIL.
# Whoever asks for the GIL before that has to sleep until then.
cdef double MOMENT = 6e-6  # seconds


cdef enum:
    LOWERED
    SET
    LEFT  # by the thread that waited for it


cdef class Flag:
    cdef int64_t state

    def set(self):
        return gilfree_replace(&self.state, LOWERED, SET)

    def wait(self, double timeout):
        cdef bint seen
        with nogil:
            seen = _wait(&self.state, timeout)
        return seen

    def linger(self, Flag done, double timeout):
        cdef bint seen
        with nogil:
            # Now that the GIL is there to be taken by the one that waits for it.
            gilfree_replace(&done.state, LOWERED, SET)
            seen = _wait(&self.state, timeout) or not gilfree_replace(&self.state, LOWERED, LEFT)
            if seen:
                gilfree_replace(&self.state, SET, LOWERED)
                _wait(&self.state, MOMENT)
        return seen


cdef bint _wait(int64_t *state, double timeout) noexcept nogil:
    # Whether the flag was set within so many seconds. It is lowered again.
    cdef int64_t start = gilfree_now()
    cdef int _
    while gilfree_now() - start < timeout * 1e9:
        for _ in range(512):
            if gilfree_replace(state, SET, LOWERED):
                return True
            gilfree_pause()
        gilfree_yield()
    return False


def insist(action):
    # In Python, Ctrl-C could come between the handler and the next round.
    interruption = None
    while True:
        try:
            action()
            return interruption
        except BaseException as error:
            interruption = error
