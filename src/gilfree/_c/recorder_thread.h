/* The recorder's thread: looks at all threads again and again, and sums up. It never takes the GIL,
   calls nothing of Python's, and reads Python's memory through safe_read.h alone. */

#ifndef GILFREE_RECORDER_THREAD_H
#define GILFREE_RECORDER_THREAD_H

#include "stall_report.h"
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

/* Find where the holder of a GIL is in Python. Reports look for the line when they are written. */
static void gilfree_find_place(struct gilfree_recorder *r, struct gilfree_gil *gil)
{
    struct gilfree_look *now = &gil->now;
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

/* Forget the GILs that no thread has any more: interpreters come and go. */
static void gilfree_forget_gils(struct gilfree_recorder *r)
{
    int i;
    for (i = r->gils - 1; i >= 0; i--)
        if (!r->gil[i].threads)
            r->gil[i] = r->gil[--r->gils];
}

/* Tell whether a thread has the GIL, as far as is known by now. Without a GIL, those that wait do so
   for who stops the world; or for who is still attached then: it has to come to a safe point first. */
static int gilfree_is_holder(const struct gilfree_thread *thread, const struct gilfree_gil *gil)
{
    if (thread->has_gil)
        return thread->now == GILFREE_HELD;
    return thread->stops ? gil->now.thread == NULL : thread->now == GILFREE_HELD;
}

/* Find who has each GIL, and, if somebody waits for it, where. */
static void gilfree_find_holders(struct gilfree_recorder *r, int64_t time)
{
    int i;
    for (i = 0; i < r->gils; i++) {
        r->gil[i].before = r->gil[i].now;
        r->gil[i].now = GILFREE_NO_LOOK;
        r->gil[i].threads = r->gil[i].waiters = r->gil[i].stopped = 0;
    }
    for (i = 0; i < r->all.lives; i++) {
        struct gilfree_thread *thread = r->all.live[i];
        struct gilfree_gil *gil = gilfree_find_gil(r, thread->gil);
        if (gil == NULL)
            continue;
        gil->threads++;
        gil->waiters += thread->now == GILFREE_WAITING || thread->state == GILFREE_WAITING;
        gil->stopped |= thread->has_gil || thread->stops;
        if (gilfree_is_holder(thread, gil)) {
            if (!gil->switched
                || (thread->has_gil ? gil->switches != thread->switches
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
            r->gil[i].now.asked = r->gil[i].before.asked + (time - r->last);
        gilfree_find_place(r, &r->gil[i]);
    }
}

/* The threads of all recorders, which record nothing of each other: their numbers; or STARTS for one
   that is about to start, which any thread may then be that is new. */
enum { GILFREE_RECORDERS = 8, GILFREE_STARTS = -1 };

static int64_t gilfree_recorders[GILFREE_RECORDERS];

/* Exchange an entry of the list for another; return whether it was there. */
static int gilfree_list_recorder(int64_t before, int64_t after)
{
    int i;
    for (i = 0; i < GILFREE_RECORDERS; i++)
        if (gilfree_replace(&gilfree_recorders[i], before, after))
            return 1;
    return 0;
}

static void gilfree_see_task(void *argument, int task)
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

/* Look for threads that have no thread state. */
static void gilfree_find_tasks(struct gilfree_recorder *r)
{
    int64_t begin = gilfree_now(), taken;
    r->all.scan++;
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
    for (i = 0; !r->all.keeps && i < r->gils; i++)
        if (r->gil[i].now.thread == thread)
            r->gil[i].now.thread = NULL;
    gilfree_end_thread(&r->all, place, time);
}

/* Take down whether somebody stops the world: of the time since the last look, half belongs to what
   was then. */
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
static void gilfree_see_all(struct gilfree_recorder *r, int64_t time)
{
    int i;
    gilfree_read_states(r, time);
    if (time >= r->next_tasks)
        gilfree_find_tasks(r);
    for (i = 0; i < r->all.lives; i++) {
        struct gilfree_thread *thread = r->all.live[i];
        if (thread->look != r->looks) {
            thread->now = GILFREE_UNKNOWN;
            thread->stops = 0;
        }
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
}

/* Tell whether the recorder lost its CPU amid a look: then it is not known to which moment what it saw
   belongs. A look that takes longer from now on, since there are more threads, is no such one. */
static int gilfree_was_interrupted(struct gilfree_recorder *r, int64_t taken)
{
    int64_t usual = r->usual;
    r->usual = usual ? usual + ((taken < 2 * usual ? taken : 2 * usual) - usual) / 8 : taken;
    return usual && taken > 3 * usual + GILFREE_INTERRUPTED_NS;
}

/* Look at all threads once; return whether that was without an interruption, and so counts. */
static int gilfree_look(struct gilfree_recorder *r)
{
    int64_t time = gilfree_now(), gap = time - r->last;
    int i;
    if (!gilfree_read_chain(&r->chain)) {
        r->failed_looks++;
        return 1;
    }
    r->looks++;
    r->now = time;
    if (r->looks == 1)
        r->begin = time;
    gilfree_see_all(r, time);
    if (gilfree_was_interrupted(r, gilfree_now() - time))
        return 0;
    if (r->last && gap > r->largest_gap)
        r->largest_gap = gap;
    if (r->last && gap > GILFREE_BLIND_NS && gap > 2 * r->pause)
        r->blind += gap;
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

/* Look until it counts, within reason. */
static void gilfree_look_well(struct gilfree_recorder *r)
{
    int tries = 3;
    while (!gilfree_look(r) && --tries)
        ;
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

static void gilfree_set_up_files(struct gilfree_recorder *r)
{
    const int own = gilfree_own_files(r->output);
    /* Where the program shares its files, it may close one, and use its number for another one: so none
       is kept open, and that of reports is another one. */
    r->most_files = own ? gilfree_most_files() : 0;
    if (!own && r->output >= 0)
        r->output = fcntl(r->output, F_DUPFD_CLOEXEC, 0);
    if (r->output >= 0)
        gilfree_open_output(r);
    if (r->memory.file == 0)
        r->memory.file = gilfree_open("/proc/self/mem");
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
        gilfree_look_well(r);
        gilfree_store(&r->started, 1);
        begin = gilfree_now();
        pause = r->pause = gilfree_pause_for(r, begin);
        gilfree_sleep(pause);
        woken = gilfree_now();
        if (woken - begin - pause > GILFREE_LATE_NS)
            r->wanted_until = woken + GILFREE_LATELY_NS;
    }
    gilfree_look_well(r);
    for (i = r->all.lives - 1; i >= 0; i--)
        gilfree_forget(r, i, r->end);
    r->cpu = gilfree_cpu_time();
    gilfree_list_recorder((int64_t) syscall(SYS_gettid), 0);
    return NULL;
}

/* Start it; return 0, or an error. Who calls has the GIL. */
static int gilfree_start_recorder(struct gilfree_recorder *r, pthread_t *thread)
{
    static int process;
    int error;
    if (process != getpid())  /* as it was forked, its parent may have had some */
        memset(gilfree_recorders, 0, sizeof(gilfree_recorders));
    process = getpid();
    gilfree_list_recorder(0, GILFREE_STARTS);
    if ((error = gilfree_start(thread, gilfree_record, r)) != 0)
        gilfree_list_recorder(GILFREE_STARTS, 0);
    return error;
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
