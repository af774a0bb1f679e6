/* The monotonic clock of all compiled modules, in nanoseconds, and ways to wait. */

#ifndef GILFREE_CLOCK_H
#define GILFREE_CLOCK_H

#include <stdint.h>
#ifdef __linux__
    #include <sys/prctl.h>
#endif

#if defined(_MSC_VER)
    #include <windows.h>
    #define gilfree_pause() YieldProcessor()
    #define gilfree_yield() SwitchToThread()
    static inline int64_t gilfree_now(void)
    {
        LARGE_INTEGER now, frequency;
        QueryPerformanceCounter(&now);
        QueryPerformanceFrequency(&frequency);
        return (int64_t) (1e9 * (double) now.QuadPart / (double) frequency.QuadPart);
    }
    static inline void gilfree_sleep(int64_t nanoseconds) { Sleep((DWORD) (nanoseconds / 1000000)); }
#else
    #include <sched.h>
    #include <time.h>
    /* Tell the CPU that this thread spins: the other hardware thread of the core may then use
       it. */
    #if defined(__x86_64__) || defined(__i386__)
        #define gilfree_pause() __builtin_ia32_pause()
    #elif defined(__aarch64__)
        #define gilfree_pause() __asm__ volatile("yield")
    #else
        #define gilfree_pause()
    #endif
    /* Leave this CPU to another thread that is ready to run, if there is one. */
    #define gilfree_yield() sched_yield()
    static inline int64_t gilfree_now(void)
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
    }
    static inline void gilfree_sleep(int64_t nanoseconds)
    {
        struct timespec pause = {nanoseconds / 1000000000, nanoseconds % 1000000000};
        nanosleep(&pause, NULL);
    }
#endif

/* To save power, Linux wakes a thread up to 50 us late. Ask for 1 ns. */
static inline void gilfree_wake_on_time(void)
{
#ifdef __linux__
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
#endif
}

/* Spin until the time `until`; return the time at which the loop ended. */
static inline int64_t gilfree_spin(int64_t until)
{
    int64_t now;
    while ((now = gilfree_now()) < until)
        gilfree_pause();
    return now;
}

#endif
