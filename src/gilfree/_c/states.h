/* The recorder, and how it tells in which of its four states each thread is. */

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
    /* The recorder takes at most one part in so many of a CPU: of one that nobody else has a use for,
       and of one that is wanted. It is wanted if the program keeps all CPUs busy, or if the recorder
       had to wait for one so long, so lately. */
    GILFREE_PARTS_FREE = 5,
    GILFREE_PARTS_WANTED = 64,
    GILFREE_LATE_NS = 1000000,
    GILFREE_LATELY_NS = 10000000,
    GILFREE_PAUSE_MOST = 10000000,
    GILFREE_INTERRUPTED_NS = 150000,  /* by which an interruption makes a look longer, at least */
    /* A gap of so many nanoseconds between two looks tells too little of what was within it. */
    GILFREE_BLIND_NS = 5000000,
    /* Threads made in C are looked for so often, and at most for a hundredth of the time. */
    GILFREE_TASKS_NS = 10000000,
    GILFREE_TASKS_SHARE = 100,
    /* A thread that was woken to take the GIL may have had so much CPU time and still be about to; if
       it had more, it has taken the GIL and let go of it. */
    GILFREE_WAKING_NS = 40000,
    /* A thread that waits wakes up every 5 ms to ask for the GIL, which takes less than so much. */
    GILFREE_ASKS_EVERY_NS = 5000000,
    GILFREE_ASKING_NS = 25000,
    GILFREE_MANY = 16,    /* threads, from which on those that sleep are looked at in less detail */
    GILFREE_FILES = 900,  /* of /proc that are kept open, where they are no files of the program's */
    GILFREE_GILS = GILFREE_INTERPRETERS,
};

struct gilfree_recorder {
    int64_t interval;
    int64_t started, stop;   /* atomic: it has looked once; it is to look no more */
    int64_t made;            /* when; names that were given earlier are not for it */
    int64_t limit, lost;     /* of a stall that is to be reported, or 0; reports that were not written */
    int output;              /* the file that they go to, or -1 */
    struct gilfree_layout layout;
    struct gilfree_memory memory;
    struct gilfree_chain chain;
    struct gilfree_recording all;
    struct gilfree_gil gil[GILFREE_GILS];
    int gils;
    int files, most_files;
    int64_t pause;           /* before this look, as it was planned */
    int64_t begin, end, last, now;  /* times of looks: `now` of the one under way */
    int64_t looks, failed_looks, blind, largest_gap, cpu;
    /* Without a GIL: the world is stopped, since when, and for how long in all and at most. */
    int stops;
    int64_t stops_since, stopped, longest_stop;
    int64_t next_tasks, wanted_until;
    int64_t usual;           /* time that a look takes */
    int64_t look_cpu, cpu_before;  /* CPU time of a look and the sleep after it; until the last one */
    int cpus, busy, full;          /* CPUs; threads at work on them; 0 to 1024: how often on all */
    uint64_t random;
};

/* A look at a GIL that nobody is known to have. */
#define GILFREE_NO_LOOK \
    ((struct gilfree_look) {.code = GILFREE_UNKNOWN, .line = GILFREE_UNKNOWN, .stack = GILFREE_UNKNOWN})

static struct gilfree_gil *gilfree_find_gil(struct gilfree_recorder *r, uintptr_t address)
{
    int i;
    for (i = 0; i < r->gils; i++)
        if (r->gil[i].address == address)
            return &r->gil[i];
    if (!address || r->gils == GILFREE_GILS)
        return NULL;
    r->gil[r->gils] = (struct gilfree_gil) {.address = address, .now = GILFREE_NO_LOOK};
    return &r->gil[r->gils++];
}

/* How many files to keep open: half of what the system allows, so that others can be opened. */
static int gilfree_most_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 0;
    return limit.rlim_cur / 2 < GILFREE_FILES ? (int) limit.rlim_cur / 2 : GILFREE_FILES;
}

/* Keep the open file of a thread, or close it if there are too many, or no room for the thread. */
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
        return NULL;  /* it has just ended; or left its thread state behind when it did */
    thread = gilfree_add_thread(&r->all, task, r->last ? r->last + (time - r->last) / 2 : time);
    if (thread != NULL)
        thread->unseen = r->last ? r->last : r->made;
    gilfree_keep_file(r, thread, file);
    return thread;
}

/* Note that a thread waits for the GIL, without any doubt; its thread state may say so, too. If it has
   been at work since the last look, while the GIL changed hands, then it had the GIL in between. */
static void gilfree_waits(
    const struct gilfree_recorder *r, struct gilfree_thread *thread, int says_so)
{
    int64_t cpu = gilfree_task_cpu(thread->task);
    int64_t asked = 1 + (r->now - thread->last) / GILFREE_ASKS_EVERY_NS;
    thread->again = thread->state == GILFREE_WAITING && !thread->doubtful && thread->waited_cpu >= 0
                    && cpu - thread->waited_cpu > asked * GILFREE_ASKING_NS
                    && thread->switches != thread->waited_switches;
    thread->now = GILFREE_WAITING;
    thread->doubtful = 0;
    thread->waited_cpu = cpu;
    thread->waited_switches = thread->switches;
    thread->said_so = says_so;
}

/* Return where a thread state says that the thread may not attach, or 0. */
static uintptr_t gilfree_may_not_attach(
    const struct gilfree_layout *layout, const struct gilfree_link *link)
{
    if (layout->thread_state < 0
        || gilfree_int(link->bytes, layout->thread_state) != layout->suspended)
        return 0;
    return link->address + (uintptr_t) layout->thread_state;
}

/* Take down what the thread states say. */
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
            if (task <= 0)  /* not yet begun */
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
            if (thread->look == r->looks && said == GILFREE_UNKNOWN
                && (thread->now != GILFREE_UNKNOWN || thread->suspended))
                continue;  /* of its thread states, the one that says something counts */
            thread->look = r->looks;
            thread->now = said;
            thread->gil = one->gil;
            thread->frame = gilfree_pointer(link->bytes, layout->thread_frame);
            thread->has_gil = one->has_gil;
            /* Without a GIL nobody counts: that it was at work between two looks has to do. */
            thread->switches = one->has_gil ? one->switches : (unsigned long) r->looks;
            thread->stops = link->address == one->stopper || link->address == r->chain.stopper;
            thread->suspended = gilfree_may_not_attach(layout, link);
            if (said == GILFREE_WAITING)
                gilfree_waits(r, thread, 1);
            else if (said == GILFREE_HELD)
                thread->again = 0;
        }
    }
}

static int gilfree_look_at(struct gilfree_recorder *r, struct gilfree_thread *thread, uintptr_t *futex)
{
    int file = thread->file >= 0 ? thread->file : gilfree_open_task(thread->task, "syscall");
    int seen;
    if (file < 0)
        return errno == ENOENT || errno == ESRCH ? GILFREE_TASK_GONE : GILFREE_TASK_UNKNOWN;
    seen = gilfree_look_at_task(file, futex);
    if (thread->file < 0)
        gilfree_keep_file(r, thread, file);
    return seen;
}

/* Take a thread to wait for the GIL, until more is known of it; if it did not, it was in that state.
   gilfree_account takes back what was wrong. */
static void gilfree_doubt(struct gilfree_thread *thread)
{
    if (thread->state != GILFREE_WAITING)
        thread->doubtful = 1;
    if (thread->doubtful)
        thread->otherwise = thread->now;
    thread->now = GILFREE_WAITING;
}

/* Tell whether a thread sleeps because the world is stopped. Who stops it sets all thread states to
   "suspended", also those of threads that compute or sleep in C and want nothing of Python: for these
   that changes nothing. Who does want to attach, or was stopped amid bytecode, sleeps until its thread
   state changes: CPython's parking lot then has the address of that on its stack. */
static int gilfree_is_parked(
    const struct gilfree_recorder *r, const struct gilfree_thread *thread, uintptr_t futex)
{
    uintptr_t address;
    return futex && thread->suspended && r->layout.parked_on >= 0
           && gilfree_read(&r->memory, futex - (uintptr_t) r->layout.parked_on, &address,
                           sizeof(address))
           && address == thread->suspended;
}

/* Tell whether a thread that has a thread state waits for the GIL, though it may seem to do otherwise.

   - It does if it sleeps on the condition or the lock within the GIL's own structure.
   - Who had the GIL a look ago and seems to run has let go of it in C and computes; or it was asked
     for the GIL, and lost its CPU to the thread that asked before it could wait. Its CPU time tells.
     Without a GIL, only who is suspended may be on its way to sleep.
   - Who let go of the GIL while it was asked for sleeps until somebody has taken it, and then goes on
     without it, or waits to have it back. What it does next tells.
   - Who was woken to take the GIL waits for it until there is a CPU to do so.
   - Who waited and is awake only asks for the GIL, as long as no other thread has taken it. */
static void gilfree_does_it_wait(
    const struct gilfree_recorder *r, struct gilfree_thread *thread, uintptr_t futex)
{
    uintptr_t offset = futex - thread->gil;
    int64_t cpu;
    thread->again = 0;
    if ((futex && offset < (uintptr_t) r->layout.gil_after_drop)
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
    if (futex && offset < (uintptr_t) r->layout.gil_size) {
        gilfree_doubt(thread);
        thread->waited_cpu = cpu;
        thread->said_so = 0;
    } else if (thread->now == GILFREE_RUNNING && thread->state == GILFREE_HELD && cpu >= 0
               && (thread->has_gil || thread->suspended)) {
        gilfree_doubt(thread);
        thread->waited_cpu = cpu;
        thread->said_so = 0;
    } else if (thread->now == GILFREE_RUNNING && thread->state == GILFREE_WAITING
               && !thread->said_so && thread->waited_cpu >= 0 && cpu >= 0
               && cpu - thread->waited_cpu < GILFREE_WAKING_NS) {
        thread->now = GILFREE_WAITING;
    }
}

/* Tell whether a thread is where it was at the last look, since it has had no CPU time: that costs a
   fraction of a look at it. Among many threads one that was woken, and has no CPU yet, may pass for
   asleep. */
static int gilfree_sleeps_on(const struct gilfree_recorder *r, struct gilfree_thread *thread)
{
    int64_t cpu = -1;
    thread->again = 0;
    if (thread->state == GILFREE_WAITING && thread->look == r->looks && !thread->said_so)
        cpu = thread->waited_cpu;
    else if (thread->state == GILFREE_BLOCKED && r->all.lives > GILFREE_MANY)
        cpu = thread->blocked_cpu;
    if (cpu < 0 || gilfree_task_cpu(thread->task) != cpu)
        return 0;
    thread->now = thread->state;
    return 1;
}

/* Find the state of a thread that does not have the GIL and does not say that it wants it; return
   whether the thread is still there. */
static int gilfree_find_state(struct gilfree_recorder *r, struct gilfree_thread *thread)
{
    uintptr_t futex;
    int seen;
    if (gilfree_sleeps_on(r, thread))
        return 1;
    seen = gilfree_look_at(r, thread, &futex);
    if (seen == GILFREE_TASK_GONE)
        return 0;
    if (seen == GILFREE_TASK_UNKNOWN) {
        thread->now = GILFREE_UNREAD;
        return 1;
    }
    thread->now = seen == GILFREE_TASK_RUNS ? GILFREE_RUNNING : GILFREE_BLOCKED;
    if (thread->now == GILFREE_BLOCKED && r->all.lives > GILFREE_MANY)
        thread->blocked_cpu = gilfree_task_cpu(thread->task);
    if (thread->look == r->looks)  /* it has a thread state */
        gilfree_does_it_wait(r, thread, futex);
    return 1;
}

#endif
