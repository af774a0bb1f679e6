/* The recorder, and how it finds the state of each thread: held, waiting, running or blocked. */

#ifndef GILFREE_STATES_H
#define GILFREE_STATES_H

#ifndef _GNU_SOURCE
    #define _GNU_SOURCE
#endif
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "atomic.h"
#include "interpreters.h"
#include "sampler_thread.h"

enum {
    /* The recorder takes at most 1 / PARTS_FREE of an idle CPU, and 1 / PARTS_WANTED of a busy one.
       CPUs count as busy if the program uses all of them, or if the recorder woke up more than
       LATE_NS late within the last LATELY_NS. */
    GILFREE_PARTS_FREE = 5,
    GILFREE_PARTS_WANTED = 64,
    GILFREE_LATE_NS = 1000000,
    GILFREE_LATELY_NS = 10000000,
    GILFREE_PAUSE_MOST = 10000000,    /* longest mean pause between two samples, in nanoseconds */
    GILFREE_INTERRUPTED_NS = 150000,  /* an interrupted sample takes longer by at least this */
    /* What happens within a longer gap between two samples counts as missed. */
    GILFREE_LONG_GAP_NS = 5000000,
    /* Time between two scans for threads without a thread state. A scan takes at most
       1 / TASKS_SHARE of the time. */
    GILFREE_TASKS_NS = 10000000,
    GILFREE_TASKS_SHARE = 100,
    /* CPU time from the wake-up of a waiting thread until it holds the GIL. A thread that used more
       has acquired the GIL and released it again. */
    GILFREE_WAKING_NS = 40000,
    /* A waiting thread wakes up every 5 ms to request the GIL, and needs less CPU time than
       REQUEST_NS for that. */
    GILFREE_REQUEST_EVERY_NS = 5000000,
    GILFREE_REQUEST_NS = 25000,
    GILFREE_MANY = 16,    /* with more threads, blocked ones are checked by CPU time first */
    GILFREE_FILES = 900,  /* files of /proc to keep open, if the recorder has its own file table */
    GILFREE_GILS = GILFREE_INTERPRETERS,
};

struct gilfree_recorder {
    int64_t interval;
    int64_t started, stop;   /* atomic: the first sample is done; the thread is to end */
    int64_t made;            /* time of creation; thread names given earlier don't count */
    int64_t limit, lost;     /* report stalls longer than this, or 0; reports not written */
    int output;              /* the file for reports, or -1 */
    int own_files;           /* the recorder has its own table of files */
    struct stat output_was, memory_was;  /* without one: what was opened */
    struct gilfree_layout layout;
    struct gilfree_memory memory;
    struct gilfree_chain chain;
    struct gilfree_recording all;
    struct gilfree_gil gil[GILFREE_GILS];
    int gils;
    int files, most_files;
    int64_t pause;           /* the planned pause before this sample */
    int64_t begin, end, last, now;  /* of samples: the first; the last, twice; this one */
    int64_t samples, missed, largest_gap, cpu;
    /* Without a GIL: whether the world is stopped, since when, in all, and the longest. */
    int stops;
    int64_t stops_since, stopped, longest_stop;
    int64_t next_tasks, wanted_until;
    int64_t usual;           /* mean time of a sample */
    int64_t sample_cpu, cpu_before;  /* mean CPU time of a sample; CPU time before this one */
    int cpus, busy, full;    /* CPUs; threads that use one; samples with all used, of 1024 */
    uint64_t random;
};

/* A sample of a GIL without a known holder. */
#define GILFREE_NO_SAMPLE \
    ((struct gilfree_gil_sample) { \
        .code = GILFREE_UNKNOWN, .line = GILFREE_UNKNOWN, .stack = GILFREE_UNKNOWN})

static struct gilfree_gil *gilfree_find_gil(struct gilfree_recorder *r, uintptr_t address)
{
    int i;
    for (i = 0; i < r->gils; i++)
        if (r->gil[i].address == address)
            return &r->gil[i];
    if (!address || r->gils == GILFREE_GILS)
        return NULL;
    r->gil[r->gils] = (struct gilfree_gil) {.address = address, .now = GILFREE_NO_SAMPLE};
    return &r->gil[r->gils++];
}

/* Return how many files to keep open: at most half of what the system allows. */
static int gilfree_most_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 0;
    return limit.rlim_cur / 2 < GILFREE_FILES ? (int) limit.rlim_cur / 2 : GILFREE_FILES;
}

/* Keep the open file of a thread; close it if too many are open, or if `thread` is NULL. */
static void gilfree_keep_file(struct gilfree_recorder *r, struct gilfree_thread *thread, int file)
{
    if (file < 0)
        return;
    if (thread == NULL || r->files >= r->most_files) {
        gilfree_close(file);
        return;
    }
    thread->file = file;
    r->files++;
}

static struct gilfree_thread *gilfree_thread_of(struct gilfree_recorder *r, int task, int64_t time)
{
    struct gilfree_thread *thread = gilfree_find_thread(&r->all, task);
    int file;
    if (thread != NULL || gilfree_is_full(&r->all))
        return thread;
    file = gilfree_open_task(task, "syscall");
    if (file < 0 && (errno == ENOENT || errno == ESRCH))
        return NULL;  /* the thread has ended, and may have left its thread state behind */
    thread = gilfree_add_thread(&r->all, task, r->last ? r->last + (time - r->last) / 2 : time);
    if (thread != NULL)
        thread->unseen = r->last ? r->last : r->made;
    gilfree_keep_file(r, thread, file);
    return thread;
}

/* Note that a thread certainly waits for the GIL; `says_so` if its thread state says it. If the
   thread has used more CPU time than its requests need, and the GIL has changed threads, then it
   held the GIL since the last sample. */
static void gilfree_waits(
    const struct gilfree_recorder *r, struct gilfree_thread *thread, int says_so)
{
    int64_t cpu = gilfree_task_cpu(thread->task);
    int64_t requests = 1 + (r->now - thread->last) / GILFREE_REQUEST_EVERY_NS;
    thread->again = thread->state == GILFREE_WAITING && !thread->doubtful && thread->waited_cpu >= 0
                    && cpu - thread->waited_cpu > requests * GILFREE_REQUEST_NS
                    && thread->switches != thread->waited_switches;
    thread->now = GILFREE_WAITING;
    thread->doubtful = 0;
    thread->waited_cpu = cpu;
    thread->used_gil = thread->gil;
    thread->waited_switches = thread->switches;
    thread->said_so = says_so;
}

/* Return the address at which a thread state says "suspended", or 0 if it does not. */
static uintptr_t gilfree_may_not_attach(
    const struct gilfree_layout *layout, const struct gilfree_link *link)
{
    if (layout->thread_state < 0
        || gilfree_int(link->bytes, layout->thread_state) != layout->suspended)
        return 0;
    return link->address + (uintptr_t) layout->thread_state;
}

/* Copy what the thread states say to the threads. */
static void gilfree_read_states(struct gilfree_recorder *r, int64_t time)
{
    const struct gilfree_layout *layout = &r->layout;
    int i, j;
    for (i = 0; i < r->chain.interpreters; i++) {
        const struct gilfree_interpreter *one = &r->chain.interpreter[i];
        for (j = one->first + one->links - 1; j >= one->first; j--) {
            struct gilfree_link *link = &r->chain.link[j];
            int task = (int) gilfree_pointer(link->bytes, layout->thread_native_id);
            int said = gilfree_said(&r->chain, link);
            struct gilfree_thread *thread = link->thread;
            if (task <= 0)  /* the thread has not started yet */
                continue;
            if (thread == NULL || thread->task != task) {
                if (link->without == task)
                    continue;
                thread = link->thread = gilfree_thread_of(r, task, time);
                if (thread == NULL) {
                    link->without = task;
                    continue;
                }
            }
            if (thread->sample == r->samples && said == GILFREE_UNKNOWN
                && (thread->now != GILFREE_UNKNOWN || thread->suspended))
                continue;  /* if it has several thread states, the one with a known state counts */
            thread->sample = r->samples;
            thread->now = said;
            thread->gil = one->gil;
            thread->frame = gilfree_pointer(link->bytes, layout->thread_frame);
            thread->gil_enabled = one->gil_enabled;
            /* Without a GIL there is no switch counter. Let it differ in each sample, so that only
               CPU time decides whether the thread ran in between. */
            thread->switches = one->gil_enabled ? one->switches : (unsigned long) r->samples;
            thread->stops = link->address == one->stopper || link->address == r->chain.stopper;
            thread->suspended = gilfree_may_not_attach(layout, link);
            if (said == GILFREE_WAITING)
                gilfree_waits(r, thread, 1);
            if (said == GILFREE_HELD) {
                thread->again = 0;
                thread->used_gil = thread->gil;
            }
        }
    }
}

static int gilfree_read_thread(
    struct gilfree_recorder *r, struct gilfree_thread *thread, uintptr_t *futex)
{
    int file = thread->file >= 0 ? thread->file : gilfree_open_task(thread->task, "syscall");
    int seen;
    if (file < 0)
        return errno == ENOENT || errno == ESRCH ? GILFREE_TASK_GONE : GILFREE_TASK_UNKNOWN;
    seen = gilfree_read_task(file, futex);
    if (thread->file < 0)
        gilfree_keep_file(r, thread, file);
    return seen;
}

/* Presume that a thread waits for the GIL. If later samples show that it did not, gilfree_undo_wait
   moves the time to `otherwise`. */
static void gilfree_presume_waiting(struct gilfree_thread *thread)
{
    if (thread->state != GILFREE_WAITING)
        thread->doubtful = 1;
    if (thread->doubtful)
        thread->otherwise = thread->now;
    thread->now = GILFREE_WAITING;
    thread->used_gil = thread->gil;
}

/* Tell whether a thread sleeps because the world is stopped. The stopping thread sets all detached
   thread states to "suspended", also those of threads that stay in C: these are not affected. A
   thread that wants to attach, or was stopped in bytecode, sleeps until its thread state changes:
   CPython's parking lot then has the address of that state on the thread's stack. */
static int gilfree_is_parked(
    const struct gilfree_recorder *r, const struct gilfree_thread *thread, uintptr_t futex)
{
    uintptr_t address;
    return futex && thread->suspended && r->layout.parked_on >= 0
           && gilfree_read(&r->memory, futex - (uintptr_t) r->layout.parked_on, &address,
                           sizeof(address))
           && address == thread->suspended;
}

/* A thread may have thread states in several interpreters with a GIL each, and wait for another GIL
   than that of the state that was read last. Follow the GIL that has `address` in its structure. */
static void gilfree_follow_gil(
    const struct gilfree_recorder *r, struct gilfree_thread *thread, uintptr_t address)
{
    int i;
    for (i = 0; thread->gil_enabled && i < r->chain.interpreters; i++) {
        const struct gilfree_interpreter *one = &r->chain.interpreter[i];
        if (one->gil && address - one->gil < (uintptr_t) r->layout.gil_size) {
            thread->gil = one->gil;
            thread->switches = one->switches;
            return;
        }
    }
}

/* Set the state of a thread with a thread state to WAITING if it waits for the GIL, although it
   seems to run or to be blocked:

   - A thread that sleeps on the condition or the mutex in the GIL's structure waits.
   - A thread that waited and is awake still waits if the GIL has not changed threads: it only woke
     up to request it.
   - A thread that sleeps on the switch condition has released the GIL on request. Next it either
     waits to acquire the GIL again, or goes on without it: the next samples show which.
   - A thread that held the GIL in the last sample and now seems to run either computes in C without
     it, or released it on request and lost its CPU before it could wait. Its CPU time decides.
     Without a GIL, this applies only to suspended threads.
   - A thread that was woken to acquire the GIL waits until it gets a CPU. */
static void gilfree_check_waiting(
    const struct gilfree_recorder *r, struct gilfree_thread *thread, uintptr_t futex)
{
    uintptr_t offset;
    int64_t cpu;
    thread->again = 0;
    if (futex)
        gilfree_follow_gil(r, thread, futex);
    offset = futex - thread->gil;
    if ((futex && offset < (uintptr_t) r->layout.gil_switch_cond)
        || gilfree_is_parked(r, thread, futex)) {
        gilfree_waits(r, thread, 0);
        return;
    }
    if (thread->state == GILFREE_WAITING && !thread->doubtful && !thread->said_so
        && thread->switches == thread->waited_switches) {
        thread->now = GILFREE_WAITING;
        return;
    }
    cpu = gilfree_task_cpu(thread->task);
    if ((futex && offset < (uintptr_t) r->layout.gil_size)
        || (thread->now == GILFREE_RUNNING && thread->state == GILFREE_HELD && cpu >= 0
            && (thread->gil_enabled || thread->suspended))) {
        gilfree_presume_waiting(thread);
        thread->waited_cpu = cpu;
        thread->said_so = 0;
    } else if (thread->now == GILFREE_RUNNING && thread->state == GILFREE_WAITING
               && !thread->said_so && thread->waited_cpu >= 0 && cpu >= 0
               && cpu - thread->waited_cpu < GILFREE_WAKING_NS) {
        thread->now = GILFREE_WAITING;
    }
}

/* Tell whether a thread has used no CPU time since the last sample, and so is in the same state.
   That costs a fraction of reading its state. With more than GILFREE_MANY threads, a blocked thread
   that was woken but has no CPU yet still counts as blocked. */
static int gilfree_is_unchanged(const struct gilfree_recorder *r, struct gilfree_thread *thread)
{
    int64_t cpu = -1;
    thread->again = 0;
    if (thread->state == GILFREE_WAITING && thread->sample == r->samples && !thread->said_so)
        cpu = thread->waited_cpu;
    else if (thread->state == GILFREE_BLOCKED && r->all.lives > GILFREE_MANY)
        cpu = thread->blocked_cpu;
    if (cpu < 0 || gilfree_task_cpu(thread->task) != cpu)
        return 0;
    thread->now = thread->state;
    return 1;
}

/* Find the state of a thread whose thread state says neither held nor waiting; return whether the
   thread still exists. */
static int gilfree_find_state(struct gilfree_recorder *r, struct gilfree_thread *thread)
{
    uintptr_t futex;
    int seen;
    if ((thread->state == GILFREE_HELD || thread->state == GILFREE_WAITING)
        && thread->sample == r->samples && thread->gil != thread->used_gil)
        gilfree_follow_gil(r, thread, thread->used_gil);
    if (gilfree_is_unchanged(r, thread))
        return 1;
    seen = gilfree_read_thread(r, thread, &futex);
    if (seen == GILFREE_TASK_GONE)
        return 0;
    if (seen == GILFREE_TASK_UNKNOWN) {
        thread->now = GILFREE_UNREAD;
        return 1;
    }
    thread->now = seen == GILFREE_TASK_RUNS ? GILFREE_RUNNING : GILFREE_BLOCKED;
    if (thread->now == GILFREE_BLOCKED && r->all.lives > GILFREE_MANY)
        thread->blocked_cpu = gilfree_task_cpu(thread->task);
    if (thread->sample == r->samples)  /* it has a thread state */
        gilfree_check_waiting(r, thread, futex);
    return 1;
}

#endif
