# cython: language_level=3, freethreading_compatible=True
"""What the pool needs to have compiled: a flag, and a call that goes through whatever interrupts.

A `Flag` is set by one thread and awaited by another, without the GIL and without sleep. To wake a
thread that sleeps takes a system some 35 µs, and at times milliseconds. One that looks at a flag
over and over sees it at once; but it keeps a CPU busy, so this is for moments only.
"""

cdef extern from *:
    """
    #include <time.h>
    #if defined(_MSC_VER)
        #include <windows.h>
        #define gilfree_move(flag, from, to) (_InterlockedCompareExchange(flag, to, from) == (from))
        #define gilfree_pause() YieldProcessor()
        #define gilfree_give_way() SwitchToThread()
    #else
        #include <sched.h>
        static int gilfree_move(long *flag, long from, long to) {
            return __atomic_compare_exchange_n(
                flag, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
        }
        #define gilfree_give_way() sched_yield()
        #if defined(__x86_64__)
            #define gilfree_pause() __builtin_ia32_pause()
        #else
            #define gilfree_pause()
        #endif
    #endif

    static double gilfree_now(void) {
        struct timespec now;
        timespec_get(&now, TIME_UTC);
        return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
    }
    """
    bint gilfree_move(long *flag, long before, long after) noexcept nogil
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


def insist(action):
    # In Python, Ctrl-C could come between the handler and the next round.
    interruption = None
    while True:
        try:
            action()
            return interruption
        except BaseException as error:
            interruption = error
