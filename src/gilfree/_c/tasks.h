/* The threads of this process, as Linux lists them in /proc/self/task. A task is a thread's native
   id. */

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

/* Give the calling thread its own table of files, with only `keep` in it, or none if that is -1.
   Files that it opens then take no number from the program, are not inherited by a child, and stay
   open if the program closes all files. Return whether it succeeded. */
static int gilfree_own_files(int keep)
{
    /* Close the numbers above `keep` as one range to the end: Linux then does not copy them
       first. */
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

/* Read whether a thread runs (or waits for a CPU) or sleeps in a system call. If that is `futex`,
   find the address that it sleeps on, else 0. */
static int gilfree_read_task(int file, uintptr_t *futex)
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

/* Return the CPU time of a thread, in nanoseconds; -1 if it has ended. */
static int64_t gilfree_task_cpu(int task)
{
    struct timespec taken;
    /* The id of a thread's CPU clock. No manual page documents it, but the C library computes it
       so. */
    if (clock_gettime((clockid_t) ((~(unsigned) task << 3) | 6), &taken))
        return -1;
    return (int64_t) taken.tv_sec * 1000000000 + taken.tv_nsec;
}

/* Call a function with the native id of each thread. */
static void gilfree_each_task(void (*call)(void *argument, int task), void *argument)
{
    char bytes[4096];
    int folder = gilfree_open("/proc/self/task");
    long size, at;
    while (folder >= 0 && (size = syscall(SYS_getdents64, folder, bytes, sizeof(bytes))) > 0) {
        for (at = 0; at < size;) {
            /* struct linux_dirent64: two fields of 8 bytes, the entry's length, its type, its
               name */
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

/* Copy the system's name of a thread. */
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
