/* Which CPUs a thread may run on. On systems other than Linux these functions do nothing.

   The scheduler often starts a woken thread on the CPU of the thread that woke it, and moves it
   away only milliseconds later. These functions keep the two apart from the start. */

#ifndef GILFREE_CPUS_H
#define GILFREE_CPUS_H

#include <stdint.h>
#include "atomic.h"

#if defined(__linux__)
    #include <sched.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    typedef cpu_set_t gilfree_cpus;
    #define GILFREE_MOST_CPUS CPU_SETSIZE
    #define gilfree_this_thread() ((int64_t) syscall(SYS_gettid))

    /* Find the CPUs that a thread may use (0: the calling thread); an empty set if unknown. */
    static inline void gilfree_usual_cpus(int64_t thread, gilfree_cpus *usual)
    {
        if (sched_getaffinity((pid_t) thread, sizeof *usual, usual))
            CPU_ZERO(usual);
    }

    static inline void gilfree_roam(const gilfree_cpus *usual)
    {
        if (CPU_COUNT(usual))
            sched_setaffinity(0, sizeof *usual, usual);
    }

    /* Make `thread`, which the caller is about to wake, start on another CPU than the caller's.
       Once awake, it calls gilfree_roam(usual). `usual` is read at each wake-up, since the
       user may have changed the thread's affinity while it slept. */
    static inline void gilfree_keep_off(int64_t thread, gilfree_cpus *usual)
    {
        gilfree_cpus others;
        int cpu = sched_getcpu();
        gilfree_usual_cpus(thread, usual);
        if (cpu < 0 || !CPU_ISSET(cpu, usual) || CPU_COUNT(usual) < 2)
            return;
        others = *usual;
        CPU_CLR(cpu, &others);
        sched_setaffinity((pid_t) thread, sizeof others, &others);
    }

    static inline int gilfree_claim(int64_t *claims, int cpu, int64_t start)
    {
        int64_t earlier = gilfree_load(&claims[cpu]);
        return earlier < start && gilfree_replace(&claims[cpu], earlier, start);
    }

    /* Claim a CPU that no other thread of this start has claimed, and pin the calling thread to it;
       return whether one was free. `claims` holds, for each CPU, the number of the last start that
       claimed it; starts count from 1. */
    static inline int gilfree_keep_apart(int64_t *claims, int64_t start, gilfree_cpus *usual)
    {
        gilfree_cpus one;
        int cpu = sched_getcpu();
        gilfree_usual_cpus(0, usual);
        if (!CPU_COUNT(usual) || cpu < 0)
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
#else
    typedef int gilfree_cpus;
    #define GILFREE_MOST_CPUS 1
    #define gilfree_this_thread() 0
    #define gilfree_roam(usual) ((void) (usual))
    #define gilfree_keep_off(thread, usual) ((void) (usual))
    #define gilfree_keep_apart(claims, start, usual) 0
#endif

#endif
