/* The recorder's thread: it samples the states of all threads again and again, and sums them up.
   It never acquires the GIL, never calls Python, and reads Python's memory only through
   safe_read.h. */

#ifndef GILFREE_RECORDER_THREAD_H
#define GILFREE_RECORDER_THREAD_H

#include "stall_report.h"
#include "states.h"

/* Count the threads that use a CPU, or wait for one. A thread that holds the GIL may sleep. */
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
            r->busy += gilfree_read_thread(r, thread, &futex) == GILFREE_TASK_RUNS;
    }
}

/* Find where the holder of a GIL is in Python. Stall reports find the line only when one is
   written. */
static void gilfree_find_place(struct gilfree_recorder *r, struct gilfree_gil *gil)
{
    struct gilfree_gil_sample *now = &gil->now;
    struct gilfree_frame top;
    if (!gilfree_top_frame(&r->all.codes, now->thread->frame, &top))
        return;
    now->frame = top.address;
    now->instruction = top.instruction;
    if (!r->all.keeps)
        return;
    if (gil->before.code != GILFREE_UNKNOWN && gil->before.thread == now->thread
        && gil->before.frame == now->frame && gil->before.instruction == now->instruction) {
        now->code = gil->before.code;
        now->line = gil->before.line;
        now->stack = gil->before.stack;
        return;
    }
    gilfree_find_line(&r->all.codes, top.code, now->instruction, &now->code, &now->line);
    if (r->all.stacks.stack != NULL)
        now->stack = gilfree_stack_number(&r->all.stacks, &r->all.codes, &top);
}

/* Forget GILs without threads: their interpreters have ended. */
static void gilfree_forget_gils(struct gilfree_recorder *r)
{
    int i;
    for (i = r->gils - 1; i >= 0; i--)
        if (!r->gil[i].threads)
            r->gil[i] = r->gil[--r->gils];
}

/* Tell whether a thread holds the GIL, in this sample. Without a GIL, suspended threads wait for
   the thread that stops the world, or for one that is still attached and must reach a safe point
   first. */
static int gilfree_is_holder(const struct gilfree_thread *thread, const struct gilfree_gil *gil)
{
    if (thread->gil_enabled)
        return thread->now == GILFREE_HELD;
    return thread->stops ? gil->now.thread == NULL : thread->now == GILFREE_HELD;
}

/* Find the holder of each GIL, and its place in Python if a thread waits for that GIL. */
static void gilfree_find_holders(struct gilfree_recorder *r, int64_t time)
{
    int i;
    for (i = 0; i < r->gils; i++) {
        r->gil[i].before = r->gil[i].now;
        r->gil[i].now = GILFREE_NO_SAMPLE;
        r->gil[i].threads = r->gil[i].waiters = r->gil[i].stopped = 0;
    }
    for (i = 0; i < r->all.lives; i++) {
        struct gilfree_thread *thread = r->all.live[i];
        struct gilfree_gil *gil = gilfree_find_gil(r, thread->gil);
        if (gil == NULL)
            continue;
        gil->threads++;
        gil->waiters += thread->now == GILFREE_WAITING || thread->state == GILFREE_WAITING;
        gil->stopped |= thread->gil_enabled || thread->stops;
        if (gilfree_is_holder(thread, gil)) {
            if (!gil->switched
                || (thread->gil_enabled ? gil->switches != thread->switches
                                        : gil->before.thread != thread))
                gil->switched = thread->last + (time - thread->last) / 2;
            gil->switches = thread->switches;
            gil->now.thread = thread;
            gil->now.since = thread->state == GILFREE_HELD
                                 ? thread->since
                                 : thread->last + (time - thread->last) / 2;
        }
    }
    gilfree_forget_gils(r);
    for (i = 0; i < r->gils; i++) {
        if (!r->gil[i].stopped)
            r->gil[i].now.thread = NULL;
        if (!r->gil[i].waiters || r->gil[i].now.thread == NULL)
            continue;
        if (r->gil[i].before.thread == r->gil[i].now.thread && r->gil[i].switched <= r->last)
            r->gil[i].now.requested = r->gil[i].before.requested + (time - r->last);
        gilfree_find_place(r, &r->gil[i]);
    }
}

/* Native ids of all recorders' threads, since no recorder records another. GILFREE_STARTS stands
   for one that is starting: until its id is known, any new thread may be it. */
enum { GILFREE_RECORDERS = 8, GILFREE_STARTS = -1 };

static int64_t gilfree_recorders[GILFREE_RECORDERS];

/* Replace an entry of the list; return whether it was found. */
static int gilfree_list_recorder(int64_t before, int64_t after)
{
    int i;
    for (i = 0; i < GILFREE_RECORDERS; i++)
        if (gilfree_replace(&gilfree_recorders[i], before, after))
            return 1;
    return 0;
}

static void gilfree_add_task(void *argument, int task)
{
    struct gilfree_recorder *r = argument;
    int i;
    if (gilfree_find_thread(&r->all, task) != NULL)
        return;
    for (i = 0; i < GILFREE_RECORDERS; i++) {
        int64_t recorder = gilfree_load(&gilfree_recorders[i]);
        if (recorder == task || recorder == GILFREE_STARTS)
            return;
    }
    if (gilfree_is_full(&r->all))
        gilfree_count_other(&r->all, task);
    else
        gilfree_thread_of(r, task, r->now);
}

/* Find the threads that have no thread state. */
static void gilfree_find_tasks(struct gilfree_recorder *r)
{
    int64_t begin = gilfree_now(), taken;
    r->all.scan++;
    gilfree_each_task(gilfree_add_task, r);
    taken = GILFREE_TASKS_SHARE * (gilfree_now() - begin);
    r->next_tasks = r->now + (taken > GILFREE_TASKS_NS ? taken : GILFREE_TASKS_NS);
}

/* End the record of a thread, and close its file. */
static void gilfree_drop_thread(struct gilfree_recorder *r, int place, int64_t time)
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
    for (i = 0; !r->all.keeps && i < r->gils; i++)
        if (r->gil[i].now.thread == thread)
            r->gil[i].now.thread = NULL;
    gilfree_end_thread(&r->all, place, time);
}

/* Note whether a thread stops the world. If that changed since the last sample, the change counts
   as in the middle between the samples. */
static void gilfree_note_stop(struct gilfree_recorder *r, int64_t time)
{
    int64_t middle = r->last + (time - r->last) / 2;
    int i, stops = r->chain.stopper != 0;
    for (i = 0; i < r->chain.interpreters; i++)
        stops |= r->chain.interpreter[i].stopper != 0;
    if (stops && !r->stops)
        r->stops_since = r->last ? middle : time;
    if (r->stops && (!stops || r->stop)) {
        int64_t ns = (stops ? time : middle) - r->stops_since;
        r->stopped += ns;
        if (ns > r->longest_stop)
            r->longest_stop = ns;
    }
    r->stops = stops;
}

/* Find the state of each thread. */
static void gilfree_find_states(struct gilfree_recorder *r, int64_t time)
{
    int i;
    gilfree_read_states(r, time);
    if (time >= r->next_tasks)
        gilfree_find_tasks(r);
    for (i = 0; i < r->all.lives; i++) {
        struct gilfree_thread *thread = r->all.live[i];
        if (thread->sample != r->samples) {
            thread->now = GILFREE_UNKNOWN;
            thread->stops = 0;
        }
        if (thread->now == GILFREE_UNKNOWN && !gilfree_find_state(r, thread)) {
            gilfree_drop_thread(r, i--, thread->last + (time - thread->last) / 2);
            continue;
        }
        if (thread->state == GILFREE_UNKNOWN) {
            thread->state = thread->now;
            gilfree_enter(thread, thread->now, thread->first);
            thread->seen = time;
        }
    }
}

/* Tell whether the recorder lost its CPU during a sample: then it is unknown to which moment the
   states belong. `usual` follows samples that take longer because there are more threads. */
static int gilfree_was_interrupted(struct gilfree_recorder *r, int64_t taken)
{
    int64_t usual = r->usual;
    r->usual = usual ? usual + ((taken < 2 * usual ? taken : 2 * usual) - usual) / 8 : taken;
    return usual && taken > 3 * usual + GILFREE_INTERRUPTED_NS;
}

/* Take one sample of all threads; return 0 if it was interrupted and must be repeated. */
static int gilfree_sample(struct gilfree_recorder *r)
{
    int64_t time = gilfree_now(), gap = time - r->last;
    int i;
    if (!gilfree_read_chain(&r->chain))
        return 1;  /* a longer gap */
    r->samples++;
    r->now = time;
    if (r->samples == 1)
        r->begin = time;
    gilfree_find_states(r, time);
    if (gilfree_was_interrupted(r, gilfree_now() - time))
        return 0;
    if (r->last && gap > r->largest_gap)
        r->largest_gap = gap;
    if (r->last && gap > GILFREE_LONG_GAP_NS && gap > 2 * r->pause)
        r->missed += gap;
    gilfree_note_stop(r, time);
    gilfree_count_busy(r);
    gilfree_find_holders(r, time);
    for (i = 0; i < r->all.lives; i++)
        gilfree_account(&r->all, r->all.live[i], gilfree_find_gil(r, r->all.live[i]->gil), time);
    if (r->limit)
        gilfree_report_stalls(r, time);
    r->last = r->end = time;
    return 1;
}

/* If the last samples failed, the time since then counts as missed. */
static void gilfree_note_missing_end(struct gilfree_recorder *r, int64_t time)
{
    int64_t gap = time - r->end;
    if (!r->samples || gap <= GILFREE_LONG_GAP_NS)
        return;
    r->missed += gap;
    if (gap > r->largest_gap)
        r->largest_gap = gap;
    r->end = time;
}

/* Take a sample; after an interruption repeat it, up to three times in all. */
static void gilfree_sample_with_retries(struct gilfree_recorder *r)
{
    int tries = 3;
    while (!gilfree_sample(r) && --tries)
        ;
}

/* Tell whether the program could use the CPU time that the recorder takes. */
static int gilfree_is_cpu_wanted(struct gilfree_recorder *r, int64_t now)
{
    r->full += ((r->busy >= r->cpus ? 1024 : 0) - r->full) / 32;
    return now < r->wanted_until || r->full > 512;
}

/* Return how long to sleep: a random time, so that samples don't fall into step with the
   program. */
static int64_t gilfree_pause_for(struct gilfree_recorder *r, int64_t now)
{
    int64_t cpu = gilfree_cpu_time(), step = (cpu - r->cpu_before - r->sample_cpu) / 8, pause;
    /* Change the estimate by at most a sixteenth: a hypervisor that takes the CPU away makes a
       single sample look far too expensive. */
    int64_t most = r->sample_cpu / 16 + 1000;
    r->sample_cpu += step > most ? most : step < -most ? -most : step;
    r->cpu_before = cpu;
    pause = r->sample_cpu
            * (gilfree_is_cpu_wanted(r, now) ? GILFREE_PARTS_WANTED : GILFREE_PARTS_FREE);
    if (pause < r->interval)
        pause = r->interval;
    if (pause > GILFREE_PAUSE_MOST)
        pause = GILFREE_PAUSE_MOST;
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return pause / 2 + (int64_t) (r->random % (uint64_t) pause);
}

static void gilfree_set_up_files(struct gilfree_recorder *r)
{
    r->own_files = gilfree_own_files(r->output);
    /* If the recorder shares the program's table of files, the program may close any number in it
       and open another file under it. So the recorder then keeps few files open: a duplicate of
       the output, and /proc/self/mem. Before it writes to or closes one, it checks which it is. */
    r->most_files = r->own_files ? gilfree_most_files() : 0;
    if (!r->own_files && r->output >= 0)
        r->output = fcntl(r->output, F_DUPFD_CLOEXEC, 0);
    if (r->output >= 0)
        gilfree_open_output(r);
    if (r->memory.file == 0)
        r->memory.file = gilfree_open("/proc/self/mem");
    fstat(r->output, &r->output_was);
    fstat(r->memory.file, &r->memory_was);
}

/* Close the files that the recorder keeps in the program's table; its own table ends with it. */
static void gilfree_close_shared_files(struct gilfree_recorder *r)
{
    if (r->own_files)
        return;
    if (gilfree_is_file(r->output, &r->output_was))
        gilfree_close(r->output);
    if (gilfree_is_file(r->memory.file, &r->memory_was))
        gilfree_close(r->memory.file);
}

static void *gilfree_record(void *argument)
{
    struct gilfree_recorder *r = argument;
    cpu_set_t usable;
    int i;
    gilfree_list_recorder(GILFREE_STARTS, (int64_t) syscall(SYS_gettid));
    prctl(PR_SET_NAME, "gilfree", 0UL, 0UL, 0UL);
    gilfree_wake_on_time();
    gilfree_set_up_files(r);
    r->cpus = sched_getaffinity(0, sizeof(usable), &usable) ? 1 : CPU_COUNT(&usable);
    while (!gilfree_load(&r->stop)) {
        int64_t begin, pause, woken;
        gilfree_sample_with_retries(r);
        gilfree_store(&r->started, 1);
        begin = gilfree_now();
        pause = r->pause = gilfree_pause_for(r, begin);
        gilfree_sleep(pause);
        woken = gilfree_now();
        if (woken - begin - pause > GILFREE_LATE_NS)
            r->wanted_until = woken + GILFREE_LATELY_NS;
    }
    gilfree_sample_with_retries(r);
    gilfree_note_missing_end(r, gilfree_now());
    for (i = r->all.lives - 1; i >= 0; i--)
        gilfree_drop_thread(r, i, r->end);
    gilfree_close_shared_files(r);
    r->cpu = gilfree_cpu_time();
    gilfree_list_recorder((int64_t) syscall(SYS_gettid), 0);
    return NULL;
}

/* Start the recorder's thread; return 0, or an error. The caller holds the GIL. */
static int gilfree_start_recorder(struct gilfree_recorder *r, pthread_t *thread)
{
    static int process;
    int error;
    if (process != getpid())  /* in a forked child: the list is that of the parent */
        memset(gilfree_recorders, 0, sizeof(gilfree_recorders));
    process = getpid();
    gilfree_list_recorder(0, GILFREE_STARTS);
    if ((error = gilfree_start(thread, gilfree_record, r)) != 0)
        gilfree_list_recorder(GILFREE_STARTS, 0);
    return error;
}

/* Return what is missing for a recording, or NULL. Where process_vm_readv is forbidden,
   `memory.file` is 0 until the recorder's thread opens /proc/self/mem. */
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
