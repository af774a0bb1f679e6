# cython: language_level=3
"""The C interface of `Chunks`, for `_kernels.pyx` and `kernels/_pool.pyx`."""

from libc.stdint cimport int64_t


cdef struct Chunk:
    Py_ssize_t start, stop  # as in range(start, stop)


cdef class Chunks:
    cdef Py_ssize_t size, count
    cdef int64_t taken  # atomic: the number of calls of `take` that asked for a chunk
    cdef int64_t at_work  # atomic: helpers that have begun and not finished
    cdef unsigned long caller  # the caller's thread, which returns from the kernel to check signals
    # The times on the clock of clock.h at which the caller, and a helper that holds the GIL, must
    # return from the kernel. Both are atomic.
    cdef int64_t caller_due, helper_due

    cdef void enter(self) noexcept
    cdef bint take(self, Chunk *chunk) noexcept nogil
    cdef void wait_for_helpers(self, int64_t nanoseconds) noexcept nogil
