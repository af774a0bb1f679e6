/* The recorder's thread: looks at all threads again and again, and sums up. It never takes the GIL,
   calls nothing of Python's, and reads Python's memory through safe_read.h alone. */

#ifndef GILFREE_RECORDER_THREAD_H
#define GILFREE_RECORDER_THREAD_H

#include "states.h"

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
            thread->seen = time;
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
