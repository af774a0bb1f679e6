# cython: language_level=3, freethreading_compatible=True
"""A barrier whose threads start together, awake, and each on a CPU of its own.

Threads that a lock wakes often start on the same CPU. The scheduler moves them apart only
milliseconds later, or not at all while other programs keep every CPU busy.
"""

from libc.stdint cimport int64_t

from threading import BrokenBarrierError

cdef extern from "atomic.h":
    int64_t gilfree_load(const int64_t *place) noexcept nogil
    int64_t gilfree_count(int64_t *place) noexcept nogil
    bint gilfree_replace(int64_t *place, int64_t before, int64_t after) noexcept nogil

cdef extern from "clock.h":
    int64_t gilfree_now() noexcept nogil
    void gilfree_pause() noexcept nogil
    void gilfree_yield() noexcept nogil

cdef extern from "cpus.h":
    ctypedef struct gilfree_cpus:
        pass
    enum:
        GILFREE_MOST_CPUS
    bint gilfree_keep_apart(int64_t *claims, int64_t start, gilfree_cpus *usual) noexcept nogil
    void gilfree_roam(const gilfree_cpus *usual) noexcept nogil


cdef enum:
    BROKEN = -1


cdef class StartLine:
    cdef int64_t parties
    cdef int64_t arrived  # atomic: threads that have arrived, in all starts
    cdef int64_t starts  # atomic: completed starts, or BROKEN
    cdef int64_t last_start  # time of the last start: written before `starts` changes, read after
    cdef int64_t claims[GILFREE_MOST_CPUS]  # by CPU: the last start that claimed it, from 1

    def __init__(self, int64_t parties):
        if parties < 1:
            raise ValueError(f"parties must be at least 1, not {parties}")
        self.parties = parties

    def wait(self, double spin=0.0, double timeout=10.0):
        cdef bint started
        with nogil:
            started = _start(self, spin, timeout)
        if not started:
            raise BrokenBarrierError


cdef bint _start(StartLine line, double spin, double timeout) noexcept nogil:
    cdef int64_t number = gilfree_count(&line.arrived)
    cdef int64_t start = number // line.parties
    cdef bint is_last = number % line.parties == line.parties - 1
    cdef gilfree_cpus usual
    cdef bint apart = gilfree_keep_apart(line.claims, start + 1, &usual)
    cdef bint all_here = _all_here(line, start, is_last, timeout)
    while all_here and gilfree_now() - line.last_start < spin * 1e9:
        _spin_a_little()
        if not apart:
            gilfree_yield()
    if apart:
        gilfree_roam(&usual)  # the scheduler may move this thread again
    return all_here


cdef bint _all_here(StartLine line, int64_t start, bint is_last, double timeout) noexcept nogil:
    # Whether all parties arrive within ``timeout`` seconds. The last party to arrive and a party
    # that times out replace the same value of ``starts``, and only one of them can: all start, or
    # none.
    cdef int64_t since = gilfree_now()
    if is_last:
        line.last_start = since
        gilfree_replace(&line.starts, start, start + 1)
    while gilfree_load(&line.starts) == start and gilfree_now() - since < timeout * 1e9:
        _spin_a_little()
        gilfree_yield()  # a missing party may need this CPU to arrive
    gilfree_replace(&line.starts, start, BROKEN)
    return gilfree_load(&line.starts) != BROKEN


cdef void _spin_a_little() noexcept nogil:
    cdef int _
    for _ in range(128):  # some 5 µs
        gilfree_pause()
