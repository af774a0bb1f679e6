/* The threads of this process as the system has them: /proc/self/task. */

#ifndef GILFREE_TASKS_H
#define GILFREE_TASKS_H

#ifndef _GNU_SOURCE
    #define _GNU_SOURCE
#endif
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "safe_read.h"

#ifndef SYS_close_range
    #define SYS_close_range 436
#endif

enum { GILFREE_TASK_GONE, GILFREE_TASK_RUNS, GILFREE_TASK_SLEEPS, GILFREE_TASK_UNKNOWN };

/* Give the calling thread a table of files of its own, which is empty but for one to keep, or -1: what
   it opens takes no number from the program, is no matter of a child, and outlives a program that
   closes every file. Return whether it has one now. */
static int gilfree_own_files(int keep)
{
    /* All numbers above at once: the kernel then copies none, and so closes none that is in use. */
    if (syscall(SYS_close_range, keep + 1, ~0U, 2U /* CLOSE_RANGE_UNSHARE, Linux 5.9 */))
        return 0;
    if (keep > 0)
        syscall(SYS_close_range, 0U, keep - 1, 0U);
    return 1;
}

static int gilfree_open_task(int task, const char *file)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/%s", task, file);
    return gilfree_open(path);
}

/* Read what the thread does: it runs, or would if it had a CPU; or it sleeps in a system call, and
   if that is `futex`, on which address (else 0). */
static int gilfree_look_at_task(int file, uintptr_t *futex)
{
    char text[128];
    ssize_t size = gilfree_pread(file, text, sizeof(text) - 1, 0);
    char *rest;
    *futex = 0;
    if (size <= 0)
        return size < 0 && errno == ESRCH ? GILFREE_TASK_GONE : GILFREE_TASK_UNKNOWN;
    text[size] = 0;
    if (text[0] == 'r')  /* running */
        return GILFREE_TASK_RUNS;
    if (strtol(text, &rest, 10) == SYS_futex)
        *futex = (uintptr_t) strtoull(rest, NULL, 16);
    return GILFREE_TASK_SLEEPS;
}

/* The CPU time that a thread has had, in nanoseconds; -1 if it is gone. */
static int64_t gilfree_task_cpu(int task)
{
    struct timespec taken;
    /* The clock of a thread by its number: man 2 clock_getres does not say, the C library does it. */
    if (clock_gettime((clockid_t) ((~(unsigned) task << 3) | 6), &taken))
        return -1;
    return (int64_t) taken.tv_sec * 1000000000 + taken.tv_nsec;
}

/* Call a function with the number of each thread. */
static void gilfree_each_task(void (*call)(void *argument, int task), void *argument)
{
    char bytes[4096];
    int folder = gilfree_open("/proc/self/task");
    long size, at;
    while (folder >= 0 && (size = syscall(SYS_getdents64, folder, bytes, sizeof(bytes))) > 0) {
        for (at = 0; at < size;) {
            /* struct linux_dirent64: two of 8 bytes, the length of this entry, its kind, its name */
            unsigned short length;
            int task = atoi(bytes + at + 19);
            memcpy(&length, bytes + at + 16, sizeof(length));
            at += length;
            if (task > 0)
                call(argument, task);
        }
    }
    if (folder >= 0)
        gilfree_close(folder);
}

/* What the system calls the thread. */
static void gilfree_task_name(int task, char *name, size_t size)
{
    int file = gilfree_open_task(task, "comm");
    ssize_t length = file < 0 ? 0 : gilfree_pread(file, name, size - 1, 0);
    if (file >= 0)
        gilfree_close(file);
    if (length > 0 && name[length - 1] == '\n')
        length--;
    name[length < 0 ? 0 : length] = 0;
}

#endif
