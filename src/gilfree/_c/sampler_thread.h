/* Starts the threads of sampler and recorder: plain POSIX threads, without a thread state. */

#ifndef GILFREE_SAMPLER_THREAD_H
#define GILFREE_SAMPLER_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "thread_state.h"

/* The CPU time of the calling thread, in nanoseconds. */
static int64_t gilfree_cpu_time(void)
{
    struct timespec taken;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &taken);
    return (int64_t) taken.tv_sec * 1000000000 + taken.tv_nsec;
}

/* Start a thread with all signals blocked: they must interrupt Python's main thread instead. */
static int gilfree_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    sigset_t all, before;
    int error;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

#endif
