/* The recorder's thread: looks at all threads again and again, and sums up. It never takes the GIL,
   calls nothing of Python's, and reads Python's memory through safe_read.h alone. */

#ifndef GILFREE_RECORDER_THREAD_H
#define GILFREE_RECORDER_THREAD_H

#ifndef _GNU_SOURCE
    #define _GNU_SOURCE
#endif
#include <sched.h>
#include <sys/prctl.h>

#include "atomic.h"
#include "interpreters.h"
#include "sampler_thread.h"

enum {
    /* The recorder takes at most one part in so many of a CPU: of one that nobody else has a use for,
       and of one that is wanted. It is wanted if the program keeps all CPUs busy, or if the recorder
       had to wait for one so long, so lately. */
    GILFREE_PARTS_FREE = 5,
    GILFREE_PARTS_WANTED = 40,
    GILFREE_LATE_NS = 1000000,
    GILFREE_LATELY_NS = 10000000,
    GILFREE_PAUSE_MOST = 10000000,
    /* A gap of so many nanoseconds between two looks tells too little of what was within it. */
    GILFREE_BLIND_NS = 5000000,
    /* Threads made in C are looked for so often, and at most for a hundredth of the time. */
    GILFREE_TASKS_NS = 10000000,
    GILFREE_TASKS_SHARE = 100,
    /* A thread that was woken to take the GIL may have had so much CPU time and still be about to; if
       it had more, it has taken the GIL and let go of it. */
    GILFREE_WAKING_NS = 40000,
    /* A thread that waits wakes up every 5 ms to ask for the GIL, which takes less than so much. */
    GILFREE_ASKING_NS = 25000,
    GILFREE_MANY = 16,    /* threads, from which on those that sleep are looked at in less detail */
    GILFREE_FILES = 900,  /* of /proc that are kept open; where the program shares them, fewer */
    GILFREE_GILS = GILFREE_INTERPRETERS,
};

struct gilfree_recorder {
    int64_t interval;
    int64_t started, stop;   /* atomic: it has looked once; it is to look no more */
    struct gilfree_layout layout;
    struct gilfree_memory memory;
    struct gilfree_chain chain;
    struct gilfree_recording all;
    struct gilfree_gil gil[GILFREE_GILS];
    int gils;
    int me, files;
    int64_t pause;           /* before this look, as it was planned */
    int64_t begin, end, last, now;  /* times of looks: `now` of the one under way */
    int64_t looks, failed_looks, blind, largest_gap, cpu;
    int64_t next_tasks, wanted_until;
    int64_t look_cpu, cpu_before;  /* CPU time of a look and the sleep after it; until the last one */
    int cpus, busy, full;          /* CPUs; threads at work on them; 0 to 1024: how often on all */
    uint64_t random;
};

static struct gilfree_gil *gilfree_find_gil(struct gilfree_recorder *r, uintptr_t address)
{
    int i;
    for (i = 0; i < r->gils; i++)
        if (r->gil[i].address == address)
            return &r->gil[i];
    if (!address || r->gils == GILFREE_GILS)
        return NULL;
    r->gil[r->gils] = (struct gilfree_gil) {.address = address};
    return &r->gil[r->gils++];
}

/* Keep the open file of a thread, or close it if there are too many, or no room for the thread. */
static void gilfree_keep_file(struct gilfree_recorder *r, struct gilfree_thread *thread, int file)
{
    if (file < 0)
        return;
    if (thread == NULL || r->files >= GILFREE_FILES) {
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
    if (thread != NULL)
        return thread;
    file = gilfree_open_task(task, "syscall");
    if (file < 0 && (errno == ENOENT || errno == ESRCH))
        return NULL;  /* it has just ended; or left its thread state behind when it did */
    thread = gilfree_add_thread(&r->all, task, r->last ? r->last + (time - r->last) / 2 : time);
    gilfree_keep_file(r, thread, file);
    return thread;
}

/* Note that a thread waits for the GIL, without any doubt; its thread state may say so, too. If it has
   been at work since the last look, while the GIL changed hands, then it had the GIL in between. */
static void gilfree_waits(struct gilfree_thread *thread, int says_so)
{
    int64_t cpu = gilfree_task_cpu(thread->task);
    thread->again = thread->state == GILFREE_WAITING && !thread->doubtful && thread->waited_cpu >= 0
                    && cpu - thread->waited_cpu > GILFREE_ASKING_NS
                    && thread->switches != thread->waited_switches;
    thread->now = GILFREE_WAITING;
    thread->doubtful = 0;
    thread->waited_cpu = cpu;
    thread->waited_switches = thread->switches;
    thread->said_so = says_so;
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
            if (thread->look == r->looks && thread->now != GILFREE_UNKNOWN && said == GILFREE_UNKNOWN)
                continue;  /* of its thread states, the one that says something counts */
            thread->look = r->looks;
            thread->now = said;
            thread->gil = one->gil;
            thread->frame = gilfree_pointer(link->bytes, layout->thread_frame);
            thread->switches = one->switches;
            if (said == GILFREE_WAITING)
                gilfree_waits(thread, 1);
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

/* Tell whether a thread that has a thread state waits for the GIL, though it may seem to do otherwise.

   - It does if it sleeps on the condition or the lock within the GIL's own structure.
   - Who had the GIL a look ago and seems to run has let go of it in C and computes; or it was asked
     for the GIL, and lost its CPU to the thread that asked before it could wait. Its CPU time tells.
   - Who let go of the GIL while it was asked for sleeps until somebody has taken it, and then goes on
     without it, or waits to have it back. What it does next tells.
   - Who was woken to take the GIL waits for it until there is a CPU to do so. */
static void gilfree_does_it_wait(
    const struct gilfree_recorder *r, struct gilfree_thread *thread, uintptr_t futex)
{
    uintptr_t offset = futex - thread->gil;
    int64_t cpu;
    thread->again = 0;
    if (futex && offset < (uintptr_t) r->layout.gil_after_drop) {
        gilfree_waits(thread, 0);
        return;
    }
    cpu = gilfree_task_cpu(thread->task);
    if (futex && offset < (uintptr_t) r->layout.gil_size) {
        gilfree_doubt(thread);
        thread->waited_cpu = cpu;
        thread->said_so = 0;
    } else if (thread->now == GILFREE_RUNNING && thread->state == GILFREE_HELD && cpu >= 0) {
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
        thread->now = thread->state == GILFREE_UNKNOWN ? GILFREE_BLOCKED : thread->state;
        return 1;
    }
    thread->now = seen == GILFREE_TASK_RUNS ? GILFREE_RUNNING : GILFREE_BLOCKED;
    if (thread->now == GILFREE_BLOCKED && r->all.lives > GILFREE_MANY)
        thread->blocked_cpu = gilfree_task_cpu(thread->task);
    if (thread->look == r->looks)  /* it has a thread state */
        gilfree_does_it_wait(r, thread, futex);
    return 1;
}

/* Count the threads at work on a CPU, or in want of one. Who has the GIL may be asleep with it. */
static void gilfree_count_busy(struct gilfree_recorder *r)
{
    uintptr_t futex;
    int i;
    r->busy = 0;
    for (i = 0; i < r->all.lives; i++) {
        struct gilfree_thread *thread = r->all.live[i];
        if (thread->now == GILFREE_RUNNING || (thread->now == GILFREE_WAITING && thread->doubtful))
            r->busy++;
        else if (thread->now == GILFREE_HELD)
            r->busy += gilfree_look_at(r, thread, &futex) == GILFREE_TASK_RUNS;
    }
}

/* Find where the holder of a GIL is in Python. */
static void gilfree_find_place(struct gilfree_recorder *r, struct gilfree_gil *gil)
{
    const struct gilfree_layout *layout = &r->layout;
    struct gilfree_look *now = &gil->now;
    uintptr_t frame = now->thread->frame, code;
    char bytes[256];
    int hops;
    if (layout->frame_behind >= 0
        && !gilfree_read(&r->memory, frame + (uintptr_t) layout->frame_behind, &frame, sizeof(frame)))
        return;
    for (hops = 0; hops < 4; hops++) {
        if (!gilfree_read(&r->memory, frame, bytes, (size_t) layout->frame_size))
            return;
        if (bytes[layout->frame_owner] < layout->first_owner_without_code)
            break;
        frame = gilfree_pointer(bytes, layout->frame_previous);
    }
    if (hops == 4)
        return;
    now->frame = frame;
    now->instruction = gilfree_pointer(bytes, layout->frame_instruction);
    code = gilfree_pointer(bytes, layout->frame_code) & ~(uintptr_t) 7;  /* 3.14: tagged */
    if (gil->before.code != GILFREE_UNKNOWN && gil->before.thread == now->thread
        && gil->before.frame == frame && gil->before.instruction == now->instruction) {
        now->code = gil->before.code;
        now->line = gil->before.line;
    } else {
        gilfree_find_line(&r->all.codes, code, now->instruction, &now->code, &now->line);
    }
}

/* Find who has each GIL, and, if somebody waits for it, where. */
static void gilfree_find_holders(struct gilfree_recorder *r, int64_t time)
{
    int i;
    for (i = 0; i < r->gils; i++) {
        r->gil[i].before = r->gil[i].now;
        r->gil[i].now = (struct gilfree_look) {.code = GILFREE_UNKNOWN, .line = GILFREE_UNKNOWN};
        r->gil[i].waiters = 0;
    }
    for (i = 0; i < r->all.lives; i++) {
        struct gilfree_thread *thread = r->all.live[i];
        struct gilfree_gil *gil = gilfree_find_gil(r, thread->gil);
        if (gil == NULL)
            continue;
        gil->waiters += thread->now == GILFREE_WAITING || thread->state == GILFREE_WAITING;
        if (thread->now == GILFREE_HELD) {
            gil->now.thread = thread;
            gil->now.since = thread->state == GILFREE_HELD
                                 ? thread->since
                                 : thread->last + (time - thread->last) / 2;
        }
    }
    for (i = 0; i < r->gils; i++)
        if (r->gil[i].waiters && r->gil[i].now.thread != NULL)
            gilfree_find_place(r, &r->gil[i]);
}

static void gilfree_see_task(void *argument, int task)
{
    struct gilfree_recorder *r = argument;
    if (task != r->me)
        gilfree_thread_of(r, task, r->now);
}

/* Look for threads that have no thread state. */
static void gilfree_find_tasks(struct gilfree_recorder *r)
{
    int64_t begin = gilfree_now(), taken;
    gilfree_each_task(gilfree_see_task, r);
    taken = GILFREE_TASKS_SHARE * (gilfree_now() - begin);
    r->next_tasks = r->now + (taken > GILFREE_TASKS_NS ? taken : GILFREE_TASKS_NS);
}

/* Close the books on a thread, and its file. */
static void gilfree_forget(struct gilfree_recorder *r, int place, int64_t time)
{
    struct gilfree_thread *thread = r->all.live[place];
    int i;
    if (thread->file >= 0) {
        gilfree_close(thread->file);
        r->files--;
    }
    thread->file = -1;
    for (i = 0; i < r->chain.links; i++)
        if (r->chain.link[i].thread == thread) {
            r->chain.link[i].thread = NULL;
            r->chain.link[i].without = thread->task;
        }
    gilfree_end_thread(&r->all, place, time);
}

/* Look at all threads once. */
static void gilfree_look(struct gilfree_recorder *r)
{
    int64_t time = gilfree_now(), gap = time - r->last;
    int i;
    if (!gilfree_read_chain(&r->chain)) {
        r->failed_looks++;
        return;
    }
    if (r->looks && gap > r->largest_gap)
        r->largest_gap = gap;
    if (r->looks && gap > GILFREE_BLIND_NS && gap > 2 * r->pause)
        r->blind += gap;
    r->looks++;
    r->now = time;
    if (r->looks == 1)
        r->begin = time;
    gilfree_read_states(r, time);
    if (time >= r->next_tasks)
        gilfree_find_tasks(r);
    for (i = 0; i < r->all.lives; i++) {
        struct gilfree_thread *thread = r->all.live[i];
        if (thread->look != r->looks)
            thread->now = GILFREE_UNKNOWN;
        if (thread->now == GILFREE_UNKNOWN && !gilfree_find_state(r, thread)) {
            gilfree_forget(r, i--, thread->last + (time - thread->last) / 2);
            continue;
        }
        if (thread->state == GILFREE_UNKNOWN) {
            thread->state = thread->now;
            gilfree_enter(thread, thread->now, thread->first);
        }
    }
    gilfree_count_busy(r);
    gilfree_find_holders(r, time);
    for (i = 0; i < r->all.lives; i++)
        gilfree_account(&r->all, r->all.live[i], gilfree_find_gil(r, r->all.live[i]->gil), time);
    r->last = r->end = time;
}

/* Tell whether the program has a use for the CPU that the recorder would take. */
static int gilfree_is_wanted(struct gilfree_recorder *r, int64_t now)
{
    r->full += ((r->busy >= r->cpus ? 1024 : 0) - r->full) / 32;
    return now < r->wanted_until || r->full > 512;
}

/* How long to sleep: at random, so as not to fall into step with the program. */
static int64_t gilfree_pause_for(struct gilfree_recorder *r, int64_t now)
{
    int64_t cpu = gilfree_cpu_time(), step = (cpu - r->cpu_before - r->look_cpu) / 8, pause;
    /* By a sixteenth at most: where a hypervisor takes the CPU away, a look seems to take much more. */
    int64_t most = r->look_cpu / 16 + 1000;
    r->look_cpu += step > most ? most : step < -most ? -most : step;
    r->cpu_before = cpu;
    pause = r->look_cpu * (gilfree_is_wanted(r, now) ? GILFREE_PARTS_WANTED : GILFREE_PARTS_FREE);
    if (pause < r->interval)
        pause = r->interval;
    if (pause > GILFREE_PAUSE_MOST)
        pause = GILFREE_PAUSE_MOST;
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return pause / 2 + (int64_t) (r->random % (uint64_t) pause);
}

static void *gilfree_record(void *argument)
{
    struct gilfree_recorder *r = argument;
    cpu_set_t usable;
    int i;
    prctl(PR_SET_NAME, "gilfree", 0UL, 0UL, 0UL);
    gilfree_wake_on_time();
    gilfree_own_files();
    r->me = (int) syscall(SYS_gettid);
    r->cpus = sched_getaffinity(0, sizeof(usable), &usable) ? 1 : CPU_COUNT(&usable);
    if (r->memory.file == 0)
        r->memory.file = gilfree_open("/proc/self/mem");
    while (!gilfree_load(&r->stop)) {
        int64_t begin, pause, woken;
        gilfree_look(r);
        gilfree_store(&r->started, 1);
        begin = gilfree_now();
        pause = r->pause = gilfree_pause_for(r, begin);
        gilfree_sleep(pause);
        woken = gilfree_now();
        if (woken - begin - pause > GILFREE_LATE_NS)
            r->wanted_until = woken + GILFREE_LATELY_NS;
    }
    gilfree_look(r);
    for (i = r->all.lives - 1; i >= 0; i--)
        gilfree_forget(r, i, r->end);
    r->cpu = gilfree_cpu_time();
    return NULL;
}

/* Say what is missing for a recording, or NULL. Where process_vm_readv is forbidden, the thread opens
   /proc/self/mem: `memory.file` is 0 until then. */
static const char *gilfree_what_is_missing(struct gilfree_recorder *r)
{
    uintptr_t head;
    int file;
    r->memory.process = getpid();
    r->memory.file = -1;
    if (!gilfree_read(&r->memory, r->layout.interpreters, &head, sizeof(head))) {
        r->memory.file = gilfree_open("/proc/self/mem");
        if (r->memory.file < 0
            || !gilfree_read(&r->memory, r->layout.interpreters, &head, sizeof(head)))
            return "both process_vm_readv and /proc/self/mem are forbidden here";
        gilfree_close(r->memory.file);
        r->memory.file = 0;
    }
    file = gilfree_open_task((int) syscall(SYS_gettid), "syscall");
    if (file < 0)
        return "/proc/self/task/*/syscall can't be read here";
    gilfree_close(file);
    return NULL;
}

#endif
