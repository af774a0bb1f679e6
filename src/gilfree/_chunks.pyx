# cython: language_level=3, cdivision=True, freethreading_compatible=True
"""The chunks of one call: its workers take one after the other, without the GIL.

A call's elements are cut into chunks of even length, and all workers of the call share one
`Chunks`. A worker enters the kernel, releases the GIL, and calls `take` until no chunk is left.
Taking a chunk is an atomic addition of some 10 ns, so chunks can be short. Then all workers finish
at about the same time, even if one began late or its CPU was busy.
"""

from libc.stdint cimport INT64_MAX, int64_t

cdef extern from "atomic.h":
    int64_t gilfree_load(const int64_t *place) noexcept nogil
    void gilfree_store(int64_t *place, int64_t value) noexcept nogil
    int64_t gilfree_count(int64_t *place) noexcept nogil

cdef extern from "clock.h":
    int64_t gilfree_now() noexcept nogil
    void gilfree_pause() noexcept nogil
    void gilfree_yield() noexcept nogil

cdef extern from "Python.h":
    bint PyGILState_Check() noexcept nogil

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident() noexcept nogil

# All three in nanoseconds.
# How long the caller works between two checks for Ctrl-C.
cdef int64_t SIGNAL_INTERVAL = 20_000_000
# How long a helper that holds the GIL works before it releases it: Python's default switch
# interval. Other threads wait meanwhile. So does Ctrl-C, which may have to wait for several
# helpers.
cdef int64_t HOLD_INTERVAL = 5_000_000
# How long the caller spins for its helpers once no chunk is left. It spins without the GIL, so the
# helpers need not wait for it.
cdef int64_t JOIN_SPIN = 50_000


cdef class Chunks:
    def __cinit__(self, Py_ssize_t size, Py_ssize_t count=1):
        if size < 0 or count < 1:
            raise ValueError(f"size must not be negative and count at least 1, not {size}, {count}")
        self.size = size
        self.count = min(size, count)
        self.caller_due = self.helper_due = INT64_MAX  # no deadline unless `enter` sets one

    @property
    def count(self):
        return self.count

    @property
    def left(self):
        return gilfree_load(&self.taken) < self.count

    def stop(self):
        gilfree_store(&self.taken, self.count)

    cdef void enter(self) noexcept:
        # A worker calls this before it enters the kernel.
        cdef bint caller = PyThread_get_thread_ident() == self.caller
        if caller:
            gilfree_store(&self.caller_due, gilfree_now() + SIGNAL_INTERVAL)
        else:
            gilfree_store(&self.helper_due, gilfree_now() + HOLD_INTERVAL)

    cdef bint take(self, Chunk *chunk) noexcept nogil:
        # Gives the next chunk. False if none is left, or if this thread must return from the
        # kernel: the caller to check for Ctrl-C, a helper that holds the GIL to release it.
        cdef Py_ssize_t number, length = self.size // self.count if self.count else 0
        cdef Py_ssize_t longer = self.size - length * self.count  # chunks with one element more
        cdef bint caller = PyThread_get_thread_ident() == self.caller, holds = PyGILState_Check()
        if caller or holds:
            if gilfree_now() >= gilfree_load(&self.caller_due if caller else &self.helper_due):
                return False
        number = gilfree_count(&self.taken)
        if number >= self.count:
            if caller and not holds:
                self.wait_for_helpers(JOIN_SPIN)
            return False
        chunk.start = length * number + min(number, longer)
        chunk.stop = chunk.start + length + (number < longer)
        return True

    cdef void wait_for_helpers(self, int64_t nanoseconds) noexcept nogil:
        cdef int64_t until = gilfree_now() + nanoseconds
        cdef int _
        while gilfree_load(&self.at_work) and gilfree_now() < until:
            for _ in range(100):
                if not gilfree_load(&self.at_work):
                    return
                gilfree_pause()
            gilfree_yield()

    def __iter__(self):
        return self

    def __next__(self):
        # With the GIL: for workers that run Python for each chunk.
        cdef Chunk chunk
        if not self.take(&chunk):
            raise StopIteration
        return slice(chunk.start, chunk.stop)
