# cython: language_level=3
"""What `_kernels.pyx` sees of the chunks of a call."""

from libc.stdint cimport int64_t


cdef struct Chunk:
    Py_ssize_t start, stop  # as in range(start, stop)


cdef class Chunks:
    cdef Py_ssize_t size, count
    cdef int64_t taken  # atomic: how many chunks were asked for
    cdef int64_t at_work  # atomic: the helpers that have begun, and have not yet ended
    cdef unsigned long caller  # the thread that has to come back now and then, to look for Ctrl-C
    # When the caller has to come back, on the clock of clock.h; and when a helper has to that holds
    # the GIL. Both are atomic.
    cdef int64_t caller_due, helper_due

    cdef void enter(self) noexcept
    cdef bint take(self, Chunk *chunk) noexcept nogil
    cdef void wait_for_helpers(self, int64_t nanoseconds) noexcept nogil
