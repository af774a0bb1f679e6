# cython: language_level=3, cdivision=True, freethreading_compatible=True
"""The chunks of one call: whoever works on it takes one after the other, without the GIL.

A call's elements are cut into chunks of even length. All its workers share one `Chunks`. Each calls
the kernel once, releases the GIL once, and calls `take` until no chunk is left. To take one is an
addition that no other thread can come into, some 10 ns. So chunks may be short, and all workers are
done at about the same time, also where one was late or its CPU was busy.
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

# How long the caller works before it looks for Ctrl-C. (Nanoseconds, as all of these.)
cdef int64_t TURN = 20_000_000
# How long a helper works that holds the GIL, before it releases it: as long as Python itself lets a
# thread have it. All other threads wait for it, and so does Ctrl-C, for many helpers in turn.
cdef int64_t HELD_TURN = 5_000_000
# How long the caller stays awake when no chunk is left, until its helpers are done with theirs. It
# has no GIL meanwhile, so they need not wait for it.
cdef int64_t PATIENCE = 50_000


cdef class Chunks:
    def __cinit__(self, Py_ssize_t size, Py_ssize_t count=1):
        if size < 0 or count < 1:
            raise ValueError(f"size must not be negative and count at least 1, not {size}, {count}")
        self.size = size
        self.count = min(size, count)
        self.caller_due = self.helper_due = INT64_MAX  # for those who call a kernel by themselves

    @property
    def count(self):
        return self.count

    @property
    def left(self):
        return gilfree_load(&self.taken) < self.count

    def stop(self):
        gilfree_store(&self.taken, self.count)

    cdef void enter(self) noexcept:
        # Before a worker enters the kernel.
        cdef bint caller = PyThread_get_thread_ident() == self.caller
        if caller:
            gilfree_store(&self.caller_due, gilfree_now() + TURN)
        else:
            gilfree_store(&self.helper_due, gilfree_now() + HELD_TURN)

    cdef bint take(self, Chunk *chunk) noexcept nogil:
        # The next chunk, unless none is left, or this thread has to come back: the caller, to look
        # for Ctrl-C; and whoever holds the GIL, so that other threads get their turn.
        cdef Py_ssize_t number, length = self.size // self.count if self.count else 0
        cdef Py_ssize_t longer = self.size - length * self.count  # so many have one element more
        cdef bint caller = PyThread_get_thread_ident() == self.caller, holds = PyGILState_Check()
        if caller or holds:
            if gilfree_now() >= gilfree_load(&self.caller_due if caller else &self.helper_due):
                return False
        number = gilfree_count(&self.taken)
        if number >= self.count:
            if caller and not holds:
                self.wait_for_helpers(PATIENCE)
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
        # With the GIL: for those who have to make something of Python for each chunk.
        cdef Chunk chunk
        if not self.take(&chunk):
            raise StopIteration
        return slice(chunk.start, chunk.stop)
