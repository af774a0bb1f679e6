# cython: language_level=3, freethreading_compatible=True
"""What is compiled where threads wait for each other: a flag, a start line, an insistent call.

A `Flag` is set by one thread and awaited by another, without the GIL and without sleep. To wake a
thread that sleeps takes a system some 35 µs, and at times milliseconds. One that looks at a flag
over and over sees it at once; but it keeps a CPU busy, so this is for moments only.

From a `StartLine`, threads start together, awake, and each on a CPU of its own. Those that a lock
wakes often start on one CPU, and the scheduler moves them apart milliseconds later; where other
programs keep the CPUs busy it does not, for it counts two threads on each.
"""

from libc.stdint cimport int64_t

from threading import BrokenBarrierError

cdef extern from *:
    """
    #include <time.h>
    #if defined(_MSC_VER)
        #include <windows.h>
        #define gilfree_move(flag, from, to) (_InterlockedCompareExchange(flag, to, from) == (from))
        #define gilfree_next(count) _InterlockedExchangeAdd64(count, 1)
        #define gilfree_look(count) _InterlockedExchangeAdd64(count, 0)
        #define gilfree_turn(count, from, to) \\
            (_InterlockedCompareExchange64(count, to, from) == (from))
        #define gilfree_pause() YieldProcessor()
        #define gilfree_give_way() SwitchToThread()
    #else
        #include <sched.h>
        static int gilfree_move(long *flag, long from, long to) {
            return __atomic_compare_exchange_n(
                flag, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
        }
        #define gilfree_next(count) __atomic_fetch_add(count, 1, __ATOMIC_ACQ_REL)
        #define gilfree_look(count) __atomic_load_n(count, __ATOMIC_ACQUIRE)
        static int gilfree_turn(int64_t *count, int64_t from, int64_t to) {
            return __atomic_compare_exchange_n(
                count, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
        }
        #define gilfree_give_way() sched_yield()
        #if defined(__x86_64__)
            #define gilfree_pause() __builtin_ia32_pause()
        #else
            #define gilfree_pause()
        #endif
    #endif

    #if defined(__linux__)
        typedef cpu_set_t gilfree_cpus;
        #define GILFREE_MOST_CPUS CPU_SETSIZE

        static int gilfree_claim(int64_t *claims, int cpu, int64_t start) {
            int64_t earlier = gilfree_look(&claims[cpu]);
            return earlier < start && gilfree_turn(&claims[cpu], earlier, start);
        }

        static int gilfree_keep_apart(int64_t *claims, int64_t start, gilfree_cpus *usual) {
            gilfree_cpus one;
            int cpu = sched_getcpu();
            if (sched_getaffinity(0, sizeof *usual, usual) || cpu < 0)
                return 0;
            if (!gilfree_claim(claims, cpu, start))
                for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
                    if (CPU_ISSET(cpu, usual) && gilfree_claim(claims, cpu, start))
                        break;
            if (cpu == CPU_SETSIZE)
                return 0;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            return sched_setaffinity(0, sizeof one, &one) == 0;
        }

        #define gilfree_roam(usual) sched_setaffinity(0, sizeof *(usual), usual)
    #else
        typedef int gilfree_cpus;
        #define GILFREE_MOST_CPUS 1
        #define gilfree_keep_apart(claims, start, usual) 0
        #define gilfree_roam(usual) 0
    #endif

    static double gilfree_now(void) {
        struct timespec now;
        timespec_get(&now, TIME_UTC);
        return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
    }
    """
    bint gilfree_move(long *flag, long before, long after) noexcept nogil
    int64_t gilfree_next(int64_t *count) noexcept nogil
    int64_t gilfree_look(int64_t *count) noexcept nogil
    bint gilfree_turn(int64_t *count, int64_t before, int64_t after) noexcept nogil
    # Claim a CPU that no other thread of this start has, stay on it, and tell whether there is one.
    ctypedef struct gilfree_cpus:
        pass
    enum:
        GILFREE_MOST_CPUS
    bint gilfree_keep_apart(int64_t *claims, int64_t start, gilfree_cpus *usual) noexcept nogil
    int gilfree_roam(gilfree_cpus *usual) noexcept nogil
    void gilfree_pause() noexcept nogil
    void gilfree_give_way() noexcept nogil
    double gilfree_now() noexcept nogil

# What it takes a thread that has set a flag to get to its own loop, where it releases the GIL.
# Whoever asks for the GIL before that has to sleep until then.
cdef double MOMENT = 6e-6  # seconds


cdef enum:
    LOWERED
    SET
    LEFT  # by the thread that waited for it


cdef class Flag:
    cdef long state

    def set(self):
        return gilfree_move(&self.state, LOWERED, SET)

    def wait(self, double timeout):
        cdef bint seen
        with nogil:
            seen = _wait(&self.state, timeout)
        return seen

    def linger(self, Flag done, double timeout):
        cdef bint seen
        with nogil:
            # Now that the GIL is there to be taken by the one that waits for it.
            gilfree_move(&done.state, LOWERED, SET)
            seen = _wait(&self.state, timeout) or not gilfree_move(&self.state, LOWERED, LEFT)
            if seen:
                gilfree_move(&self.state, SET, LOWERED)
                _wait(&self.state, MOMENT)
        return seen


cdef bint _wait(long *state, double timeout) noexcept nogil:
    # Whether the flag was set within so many seconds. It is lowered again.
    cdef double start = gilfree_now()
    cdef int _
    while 0 <= gilfree_now() - start < timeout:  # the clock may be put back
        for _ in range(512):
            if gilfree_move(state, SET, LOWERED):
                return True
            gilfree_pause()
        gilfree_give_way()
    return False


cdef enum:
    BROKEN = -1


cdef class StartLine:
    cdef int64_t parties
    cdef int64_t arrived  # so far, in all starts
    cdef int64_t starts  # or BROKEN
    cdef double last_start  # written before `starts` moves on, and read after that
    cdef int64_t claims[GILFREE_MOST_CPUS]  # the last start in which a thread had this CPU, from 1

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
    cdef int64_t number = gilfree_next(&line.arrived)
    cdef int64_t start = number // line.parties
    cdef bint is_last = number % line.parties == line.parties - 1
    cdef gilfree_cpus usual
    cdef bint apart = gilfree_keep_apart(line.claims, start + 1, &usual)
    cdef bint all_here = _all_here(line, start, is_last, timeout)
    while all_here and 0 <= gilfree_now() - line.last_start < spin:
        _spin_a_little()
        if not apart:
            gilfree_give_way()
    if apart:
        gilfree_roam(&usual)  # from here on, the scheduler does as it likes
    return all_here


cdef bint _all_here(StartLine line, int64_t start, bint is_last, double timeout) noexcept nogil:
    # Whether all come within so many seconds. One that gives up breaks the line in the same move
    # by which the last to come would start the others: so either all start or none.
    cdef double since = gilfree_now()
    if is_last:
        line.last_start = since
        gilfree_turn(&line.starts, start, start + 1)
    while gilfree_look(&line.starts) == start and 0 <= gilfree_now() - since < timeout:
        _spin_a_little()
        gilfree_give_way()  # the one that is missing may wait for this very CPU
    gilfree_turn(&line.starts, start, BROKEN)
    return gilfree_look(&line.starts) != BROKEN


cdef void _spin_a_little() noexcept nogil:
    cdef int _
    for _ in range(128):  # some 5 µs
        gilfree_pause()


def insist(action):
    # In Python, Ctrl-C could come between the handler and the next round.
    interruption = None
    while True:
        try:
            action()
            return interruption
        except BaseException as error:
            interruption = error
