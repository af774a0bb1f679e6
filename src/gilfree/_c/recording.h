/* What a recording keeps: the states of each thread, when each began and ended, and the stalls with
   who had the GIL. Reports of stalls, which may go on for months, need the same of the threads that
   live, and keep nothing of those that have ended.

   All of it belongs to the recorder's thread until that has ended; so there is no lock. */

#ifndef GILFREE_RECORDING_H
#define GILFREE_RECORDING_H

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "stacks.h"
#include "tasks.h"

/* Without a GIL, who is attached counts as held, and who is suspended as waiting: recorder.py gives
   them their names. The last one: what the system would not tell. */
enum {
    GILFREE_HELD,
    GILFREE_WAITING,
    GILFREE_RUNNING,
    GILFREE_BLOCKED,
    GILFREE_UNREAD,
    GILFREE_STATES,
};

enum {
    GILFREE_HOLDERS = 12,      /* of one stall: threads and lines; further lines of a thread share one */
    GILFREE_STALLS = 4096,     /* the longest are kept */
    GILFREE_THREADS = 16384,   /* that are told apart; further ones are counted */
    GILFREE_BUCKETS = 1024,
    GILFREE_OTHERS = 1 << 15,
    GILFREE_SHORT = 1000000,   /* a stall of less, in nanoseconds, is only summed up */
    GILFREE_SLICES = 1 << 19,  /* of all threads; when there are more, short ones are joined */
    GILFREE_WHOLE = 65535,
    /* A call stays at its instruction. Bytecode is seen at another one from look to look: so many
       times as often at the same one is no chance. */
    GILFREE_STAYS = 3,
};

/* A stretch of a thread's life in one state; or in several in turn, each with its share. */
struct gilfree_slice {
    int64_t start, ns;
    int thread;
    uint16_t share[GILFREE_STATES];  /* of GILFREE_WHOLE */
};

/* Who had the GIL during a part of a stall, and where. */
struct gilfree_holder {
    int thread, code, line, stack;  /* numbers; GILFREE_UNKNOWN */
    int stayed, moved;       /* of two looks at the same hold: the same instruction, another one */
    int64_t asked;           /* for how long it kept the GIL at most while somebody wanted it */
    int64_t ns;
};

struct gilfree_stall {
    int thread, holders;
    int64_t start, ns;
    struct gilfree_holder holder[GILFREE_HOLDERS];
};

struct gilfree_thread {
    int number, task, file;
    int slice;                    /* its last one, or GILFREE_UNKNOWN */
    int state;                    /* at the last look */
    int64_t first, last, since;   /* first and last time seen; when the state began, and */
    int64_t seen;                 /* at which look it was seen first in that state */
    int64_t unseen;               /* until then it was not there */
    int64_t ns[GILFREE_STATES], longest[GILFREE_STATES];
    int64_t surest[GILFREE_STATES];  /* of the longest: from the first look to the last one */
    int64_t acquired;
    /* When it was last seen to wait: CPU time that it had had, or -1; switches of the GIL by then;
       and whether its thread state had said so. */
    int64_t waited_cpu;
    unsigned long waited_switches;
    int said_so;
    int64_t blocked_cpu;          /* CPU time that it had had when it was last seen to sleep */
    int doubtful, otherwise;      /* it may wait; else it is in that state */
    /* At this look. */
    int64_t look;
    int now;
    int again;                    /* it waits, as it did; but it had the GIL in between */
    unsigned long switches;
    uintptr_t gil, frame;
    int has_gil, stops;           /* there is a GIL for it; without: it stops the world */
    uintptr_t suspended;          /* where its thread state says that it may not attach, or 0 */
    struct gilfree_stall stall;   /* under way while it waits */
    int64_t told;                 /* when the stall began that was reported last, or 0 */
    int told_first;               /* it was this thread whose wait led to the report */
    struct gilfree_thread *in_bucket;
    char name[16];
};

/* Who has a GIL, at a look and at the one before. */
struct gilfree_look {
    struct gilfree_thread *thread;
    uintptr_t frame, instruction;
    int code, line, stack;
    int64_t since;
    int64_t asked;           /* for how long somebody has wanted it from that thread */
};

struct gilfree_gil {
    uintptr_t address;
    int threads, waiters;
    int stopped;             /* without a GIL: somebody stops the world */
    unsigned long switches;
    int64_t switched;        /* when another thread was first seen to have taken it */
    int64_t told;            /* which of these moments was reported last, or 0 */
    struct gilfree_look before, now;
};

/* A thread that there was no room for. */
struct gilfree_other {
    int task, scan;  /* by which it was last seen */
};

struct gilfree_recording {
    int64_t switch_interval;         /* after which bytecode gives way */
    int keeps;                       /* what has ended; else `thread`, `stall` and `slice` are NULL */
    struct gilfree_thread **thread;  /* all, by number */
    int threads;
    struct gilfree_thread **live;
    int lives;
    struct gilfree_thread *bucket[GILFREE_BUCKETS];
    int64_t unlisted;                /* threads beyond GILFREE_THREADS */
    struct gilfree_other *other;     /* them, by their numbers in the system */
    int scan;                        /* of all threads, so many */
    struct gilfree_stall *stall;
    int stalls;
    int64_t shortest;                /* of a full list */
    int64_t dropped;
    struct gilfree_slice *slice;     /* in the order in which they ended */
    int slices;
    int64_t grain;                   /* slices of a thread that together are shorter were joined */
    struct gilfree_codes codes;
    struct gilfree_stacks stacks;
};

/* Join a slice to the one before it, if both are of one state or shorter than `grain`; return whether
   that was done. */
static int gilfree_join(
    struct gilfree_slice *before, const struct gilfree_slice *after, int64_t grain)
{
    int64_t ns = before->ns + after->ns;
    int i, same = memcmp(before->share, after->share, sizeof(before->share)) == 0;
    if (before->start + before->ns != after->start || (!same && ns >= grain))
        return 0;
    for (i = 0; i < GILFREE_STATES && !same; i++)
        before->share[i] =
            (uint16_t) ((before->share[i] * before->ns + after->share[i] * after->ns + ns / 2) / ns);
    before->ns = ns;
    return 1;
}

/* Join slices until half of the room is free: the long ones stay as they are. */
static void gilfree_coarsen(struct gilfree_recording *all)
{
    int64_t ns = 0;
    int i, kept;
    for (i = 0; i < all->slices; i++)
        ns += all->slice[i].ns;
    /* Nothing is kept meanwhile of what the threads do, so the first try should not be the first of
       many: less than the mean would hardly join any. */
    if (all->grain <= ns / all->slices / 2)
        all->grain = ns / all->slices / 2 + 1;
    do {
        all->grain *= 2;
        for (i = kept = 0; i < all->threads; i++)
            all->thread[i]->slice = GILFREE_UNKNOWN;
        for (i = 0; i < all->slices; i++) {
            struct gilfree_slice *slice = &all->slice[i];
            struct gilfree_thread *thread = all->thread[slice->thread];
            if (thread->slice >= 0 && gilfree_join(&all->slice[thread->slice], slice, all->grain))
                continue;
            all->slice[kept] = *slice;
            thread->slice = kept++;
        }
        all->slices = kept;
    } while (kept > GILFREE_SLICES / 2);
}

/* Note what a thread did from the beginning of its state until now. */
static void gilfree_keep_slice(
    struct gilfree_recording *all, struct gilfree_thread *thread, int64_t time)
{
    struct gilfree_slice slice = {thread->since, time - thread->since, thread->number, {0}};
    slice.share[thread->state] = GILFREE_WHOLE;
    if (slice.ns <= 0 || !all->keeps)
        return;
    if (thread->slice >= 0 && gilfree_join(&all->slice[thread->slice], &slice, all->grain))
        return;
    if (all->slices == GILFREE_SLICES)
        gilfree_coarsen(all);
    thread->slice = all->slices;
    all->slice[all->slices++] = slice;
}

/* Keep a stall; of a full list the shortest makes place. */
static void gilfree_keep_stall(struct gilfree_recording *all, const struct gilfree_stall *stall)
{
    int i, least = 0;
    if (stall->ns < GILFREE_SHORT || !all->keeps)
        return;
    if (all->stalls < GILFREE_STALLS) {
        all->stall[all->stalls++] = *stall;
        return;
    }
    all->dropped++;
    if (stall->ns <= all->shortest)
        return;
    for (i = 1; i < GILFREE_STALLS; i++)
        if (all->stall[i].ns < all->stall[least].ns)
            least = i;
    all->shortest = all->stall[least].ns;
    if (stall->ns > all->shortest)
        all->stall[least] = *stall;
}

/* Return the entry of a stall for a holder; lines beyond those that fit share one without a line. */
static struct gilfree_holder *gilfree_entry(
    struct gilfree_stall *stall, const struct gilfree_look *look)
{
    int thread = look->thread->number, code = look->code, line = look->line, stack = look->stack, i;
    for (i = 0; i < stall->holders; i++) {
        struct gilfree_holder *entry = &stall->holder[i];
        if (entry->thread == thread && entry->code == code && entry->line == line
            && entry->stack == stack)
            return entry;
    }
    if (i >= GILFREE_HOLDERS - 1) {
        code = line = stack = GILFREE_UNKNOWN;
        for (i = 0; i < stall->holders; i++)
            if (stall->holder[i].thread == thread && stall->holder[i].code == code)
                return &stall->holder[i];
        if (i == GILFREE_HOLDERS)
            return NULL;
    }
    stall->holder[i] = (struct gilfree_holder) {thread, code, line, stack, 0, 0, 0, 0};
    stall->holders++;
    return &stall->holder[i];
}

/* Tell whether a holder stayed in one C call; or GILFREE_UNKNOWN. In a loop around short calls a thread
   is seen in the call nearly always. But it gives way between two of them when it was asked for the
   switch interval, and what ended then may have been a loop. */
static int gilfree_in_c(const struct gilfree_recording *all, const struct gilfree_holder *entry)
{
    if (!entry->stayed && !entry->moved)
        return GILFREE_UNKNOWN;
    if (entry->stayed < GILFREE_STAYS * entry->moved)
        return 0;
    if (entry->asked > all->switch_interval * 4 / 5 && entry->asked < all->switch_interval * 3 / 2)
        return GILFREE_UNKNOWN;
    return 1;
}

/* Count time of a stall for who had the GIL then. */
static void gilfree_blame(
    struct gilfree_thread *waiter, const struct gilfree_look *look, int64_t ns,
    const struct gilfree_look *before)
{
    struct gilfree_holder *entry;
    if (look->thread == NULL || look->thread == waiter)
        return;
    entry = gilfree_entry(&waiter->stall, look);
    if (entry == NULL)
        return;
    entry->ns += ns;
    if (look->asked > entry->asked)
        entry->asked = look->asked;
    if (before == NULL || before->thread != look->thread || before->since != look->since
        || !before->frame || !look->frame)
        return;
    if (before->frame == look->frame && before->instruction == look->instruction)
        entry->stayed++;
    else
        entry->moved++;
}

static void gilfree_leave(
    struct gilfree_recording *all, struct gilfree_thread *thread, int64_t time)
{
    int64_t lasted = time - thread->since, sure = thread->last - thread->seen;
    gilfree_keep_slice(all, thread, time);
    /* The longest for certain. Of all that seem long, the one that seems longest would be one whose
       beginning or end fell into a long gap between two looks. */
    if (sure > thread->surest[thread->state]
        || (sure == thread->surest[thread->state] && lasted > thread->longest[thread->state])) {
        thread->surest[thread->state] = sure;
        thread->longest[thread->state] = lasted;
    }
    if (thread->state == GILFREE_WAITING) {
        thread->stall.ns = lasted;
        gilfree_keep_stall(all, &thread->stall);
    }
}

static void gilfree_enter(struct gilfree_thread *thread, int state, int64_t time)
{
    /* Who no longer waits has got the GIL, even if it let go of it before this look. */
    if (state == GILFREE_HELD || (thread->state == GILFREE_WAITING && thread->first < time))
        thread->acquired++;
    thread->state = state;
    thread->since = time;
    if (state == GILFREE_WAITING) {
        thread->stall.thread = thread->number;
        thread->stall.start = time;
        thread->stall.holders = 0;
    }
}

/* What was taken for a wait was none. */
static void gilfree_take_back(struct gilfree_thread *thread)
{
    if (thread->state != GILFREE_WAITING || !thread->doubtful)
        return;
    thread->ns[GILFREE_WAITING] -= thread->last - thread->since;
    thread->ns[thread->otherwise] += thread->last - thread->since;
    thread->state = thread->otherwise;
    thread->doubtful = 0;
}

/* Count the time since the last look: where the state is another one, half of it for each. */
static void gilfree_account(
    struct gilfree_recording *all, struct gilfree_thread *thread, const struct gilfree_gil *gil,
    int64_t time)
{
    int64_t middle = thread->last + (time - thread->last) / 2;
    int before, now = thread->now;
    if (now != GILFREE_WAITING && now != GILFREE_HELD)
        gilfree_take_back(thread);
    before = thread->state;
    thread->ns[before] += middle - thread->last;
    thread->ns[now] += time - middle;
    if (before == GILFREE_WAITING && gil != NULL)
        gilfree_blame(thread, gil->before.thread ? &gil->before : &gil->now,
                      middle - thread->last, NULL);
    if (now != before || thread->again) {
        gilfree_leave(all, thread, middle);
        gilfree_enter(thread, now, middle);
        thread->seen = time;
    }
    if (now == GILFREE_WAITING && gil != NULL)
        gilfree_blame(thread, &gil->now, time - middle, &gil->before);
    if (now != GILFREE_WAITING)
        thread->doubtful = 0;
    thread->last = time;
}

static struct gilfree_thread *gilfree_find_thread(const struct gilfree_recording *all, int task)
{
    struct gilfree_thread *thread = all->bucket[(unsigned) task % GILFREE_BUCKETS];
    while (thread != NULL && thread->task != task)
        thread = thread->in_bucket;
    return thread;
}

/* Tell whether there is no room for one more thread. */
static int gilfree_is_full(const struct gilfree_recording *all)
{
    return (all->keeps ? all->threads : all->lives) >= GILFREE_THREADS;
}

/* Begin to record a thread; NULL if there is no more room. */
static struct gilfree_thread *gilfree_add_thread(
    struct gilfree_recording *all, int task, int64_t since)
{
    struct gilfree_thread *thread = NULL, **bucket = &all->bucket[(unsigned) task % GILFREE_BUCKETS];
    if (!gilfree_is_full(all))
        thread = calloc(1, sizeof(*thread));
    if (thread == NULL)
        return NULL;
    thread->number = all->threads;
    thread->task = task;
    thread->file = -1;
    thread->slice = thread->state = GILFREE_UNKNOWN;
    thread->first = thread->last = since;
    thread->waited_cpu = thread->blocked_cpu = -1;
    thread->in_bucket = *bucket;
    *bucket = thread;
    gilfree_task_name(task, thread->name, sizeof(thread->name));
    if (all->keeps)
        all->thread[all->threads] = thread;
    all->threads = all->threads == INT_MAX ? 0 : all->threads + 1;
    all->live[all->lives++] = thread;
    return thread;
}

/* Count a thread for which there was no room: once, though each scan comes upon it. */
static void gilfree_count_other(struct gilfree_recording *all, int task)
{
    struct gilfree_other *other = &all->other[(unsigned) task % GILFREE_OTHERS];
    if (other->task != task || other->scan + 1 < all->scan)
        all->unlisted++;
    *other = (struct gilfree_other) {task, all->scan};
}

/* Close the books on the live thread of this place in the list. */
static void gilfree_end_thread(struct gilfree_recording *all, int place, int64_t time)
{
    struct gilfree_thread *thread = all->live[place];
    struct gilfree_thread **at = &all->bucket[(unsigned) thread->task % GILFREE_BUCKETS];
    if (thread->state != GILFREE_UNKNOWN) {
        gilfree_take_back(thread);
        thread->ns[thread->state] += time - thread->last;
        gilfree_leave(all, thread, time);
        thread->last = time;
    }
    while (*at != thread)
        at = &(*at)->in_bucket;
    *at = thread->in_bucket;
    all->live[place] = all->live[--all->lives];
    if (!all->keeps)
        free(thread);
}

/* Return zeroed memory that takes none until it is written to, or NULL. After a recording, malloc keeps
   what is freed, and from then on calloc would write to all of it: 18 MiB, for milliseconds in which
   its caller has the GIL. */
static void *gilfree_pages(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

static void gilfree_free_pages(void *pages, size_t bytes)
{
    if (pages)
        munmap(pages, bytes);
}

static void gilfree_free_recording(struct gilfree_recording *all)
{
    int i;
    for (i = 0; all->thread != NULL && i < all->threads; i++)
        free(all->thread[i]);
    for (i = 0; !all->keeps && i < all->lives; i++)
        free(all->live[i]);
    gilfree_forget_codes(&all->codes);
    free(all->stacks.stack);
    free(all->thread);
    free(all->live);
    free(all->other);
    gilfree_free_pages(all->stall, GILFREE_STALLS * sizeof(*all->stall));
    gilfree_free_pages(all->slice, GILFREE_SLICES * sizeof(*all->slice));
    free(all->codes.code);
}

/* Return 0, or -1 without memory. What is never written to takes none, though it is asked for. */
static int gilfree_make_recording(struct gilfree_recording *all, int keeps, int callers)
{
    all->keeps = keeps;
    all->live = calloc(GILFREE_THREADS, sizeof(*all->live));
    all->other = calloc(GILFREE_OTHERS, sizeof(*all->other));
    all->codes.code = calloc(GILFREE_CODES, sizeof(*all->codes.code));
    if (callers)
        all->stacks.stack = calloc(GILFREE_STACKS, sizeof(*all->stacks.stack));
    if (!all->live || !all->other || !all->codes.code || (callers && !all->stacks.stack))
        return -1;
    if (!keeps)
        return 0;
    all->thread = calloc(GILFREE_THREADS, sizeof(*all->thread));
    all->stall = gilfree_pages(GILFREE_STALLS * sizeof(*all->stall));
    all->slice = gilfree_pages(GILFREE_SLICES * sizeof(*all->slice));
    return all->thread && all->stall && all->slice ? 0 : -1;
}

#endif
