/* What a recording keeps: the states of each thread, when each state began and ended, and the
   stalls with their holders. Stall reports may go on for months: they keep the same of live threads
   only.

   Only the recorder's thread uses this until it has ended, so there is no lock. */

#ifndef GILFREE_RECORDING_H
#define GILFREE_RECORDING_H

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "stacks.h"
#include "tasks.h"

/* Without a GIL, HELD means attached, and WAITING suspended: recorder.py renames them. UNREAD: the
   system did not tell the state. */
enum {
    GILFREE_HELD,
    GILFREE_WAITING,
    GILFREE_RUNNING,
    GILFREE_BLOCKED,
    GILFREE_UNREAD,
    GILFREE_STATES,
};

enum {
    GILFREE_HOLDERS = 12,      /* entries of one stall, each a thread at a line */
    GILFREE_STALLS = 4096,     /* if there are more, the longest are kept */
    GILFREE_THREADS = 16384,   /* threads that are listed; further ones are only counted */
    GILFREE_BUCKETS = 1024,
    GILFREE_OTHERS = 1 << 15,
    GILFREE_SHORT = 1000000,   /* nanoseconds; shorter stalls are added to the sums, not listed */
    GILFREE_SLICES = 1 << 19,  /* of all threads; if there are more, short ones are joined */
    GILFREE_WHOLE = 65535,     /* a share of 1 */
    /* A C call stays at one instruction. Bytecode moves on between samples. A holder counts as in
       one C call if it stayed at least GILFREE_STAYS times as often as it moved. */
    GILFREE_STAYS = 3,
};

/* A period of a thread in one state; or, if slices were joined, in several, each with its share. */
struct gilfree_slice {
    int64_t start, ns;
    int thread;
    uint16_t share[GILFREE_STATES];  /* of GILFREE_WHOLE */
};

/* A thread that held the GIL during a part of a stall, and where. */
struct gilfree_holder {
    int thread, code, line, stack;  /* numbers, or GILFREE_UNKNOWN */
    int stayed, moved;       /* pairs of samples of one hold: at the same instruction; at another */
    int64_t requested;       /* the longest time for which it held the GIL while others waited */
    int64_t ns;
};

struct gilfree_stall {
    int thread, holders;
    int64_t start, ns;
    struct gilfree_holder holder[GILFREE_HOLDERS];
};

struct gilfree_thread {
    int number, task, file;
    int slice;                    /* number of its last slice, or GILFREE_UNKNOWN */
    int state;                    /* in the last sample */
    int64_t first, last, since;   /* first and last time seen; when `state` began */
    int64_t seen;                 /* time of the first sample with `state` */
    int64_t unseen;               /* time of the last sample before the thread was found */
    int64_t ns[GILFREE_STATES], longest[GILFREE_STATES];
    int64_t surest[GILFREE_STATES];  /* of the longest: time from its first sample to its last */
    int64_t acquired;
    uintptr_t used_gil;           /* the GIL that it last held or waited for */
    /* From the last sample in which it waited: its CPU time, or -1; the switches of the GIL; and
       whether its thread state said that it waited. */
    int64_t waited_cpu;
    unsigned long waited_switches;
    int said_so;
    int64_t blocked_cpu;          /* its CPU time in the last sample in which it was blocked */
    int doubtful, otherwise;      /* it may wait; if it does not, it is in state `otherwise` */
    /* In this sample: */
    int64_t sample;               /* the sample's number, if the thread has a thread state */
    int now;                      /* the state */
    int again;                    /* it waits, as before, but held the GIL in between */
    unsigned long switches;
    uintptr_t gil, frame;
    int gil_enabled, stops;       /* its interpreter has a GIL; if not: it stops the world */
    uintptr_t suspended;          /* address at which its state says "suspended", or 0 */
    struct gilfree_stall stall;   /* the current one, while it waits */
    int64_t reported;             /* start of the last stall that was reported, or 0 */
    int reported_first;           /* the report was about the wait of this thread */
    struct gilfree_thread *in_bucket;
    char name[16];
};

/* The holder of a GIL in one sample. */
struct gilfree_gil_sample {
    struct gilfree_thread *thread;
    uintptr_t frame, instruction;
    int code, line, stack;
    int64_t since;           /* start of the hold */
    int64_t requested;       /* for how long others have waited for this thread to release it */
};

struct gilfree_gil {
    uintptr_t address;
    int threads, waiters;
    int stopped;             /* without a GIL: a thread stops the world */
    unsigned long switches;
    int64_t switched;        /* when the last holder acquired the GIL */
    int64_t reported;        /* value of `switched` at the last report, or 0 */
    struct gilfree_gil_sample before, now;
};

/* A thread beyond GILFREE_THREADS. */
struct gilfree_other {
    int task, scan;  /* native id; number of the last scan that found it */
};

struct gilfree_recording {
    int64_t switch_interval;         /* after which bytecode releases the GIL on request */
    int keeps;                       /* 0 for reports: `thread`, `stall` and `slice` are NULL */
    struct gilfree_thread **thread;  /* all, by number */
    int threads;
    struct gilfree_thread **live;
    int lives;
    struct gilfree_thread *bucket[GILFREE_BUCKETS];
    int64_t unlisted;                /* threads beyond GILFREE_THREADS */
    struct gilfree_other *other;     /* these threads, hashed by native id */
    int scan;                        /* number of scans of /proc/self/task */
    struct gilfree_stall *stall;
    int stalls;
    int64_t shortest;                /* length of the shortest stall of a full list */
    int64_t dropped;                 /* stalls that the full list did not keep */
    struct gilfree_slice *slice;     /* in the order in which they ended */
    int slices;
    int64_t grain;                   /* slices shorter than this together were joined */
    struct gilfree_codes codes;
    struct gilfree_stacks stacks;
};

/* Join a slice to the one before it, if both have the same shares or together are shorter than
   `grain`; return whether they were joined. */
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

/* Join short slices until half of the array is free. */
static void gilfree_coarsen(struct gilfree_recording *all)
{
    int64_t ns = 0;
    int i, kept;
    for (i = 0; i < all->slices; i++)
        ns += all->slice[i].ns;
    /* No sample is taken during this, so it should need few tries: a grain below the mean length
       would join hardly any slices. */
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

/* Keep the state that a thread is about to leave as a slice. */
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

/* Keep a stall; in a full list it replaces the shortest, if it is longer. */
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

/* Return the entry of a stall for a holder, or NULL. When few entries are left, a thread's further
   lines share one entry without a line. */
static struct gilfree_holder *gilfree_holder_entry(
    struct gilfree_stall *stall, const struct gilfree_gil_sample *sample)
{
    int thread = sample->thread->number, i;
    int code = sample->code, line = sample->line, stack = sample->stack;
    for (i = 0; i < stall->holders; i++) {
        struct gilfree_holder *entry = &stall->holder[i];
        if (entry->thread == thread && entry->code == code && entry->line == line
            && entry->stack == stack)
            return entry;
    }
    if (i >= GILFREE_HOLDERS - 1) {
        /* Too many places: keep the function without its line, or else the thread alone. */
        for (i = 0; code != GILFREE_UNKNOWN && i < stall->holders; i++)
            if (stall->holder[i].thread == thread && stall->holder[i].code == code) {
                stall->holder[i].line = stall->holder[i].stack = GILFREE_UNKNOWN;
                return &stall->holder[i];
            }
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

/* Tell whether a holder stayed in one C call; or GILFREE_UNKNOWN. A loop around short C calls stays
   at the call's instruction in nearly every sample, too. But on request it releases the GIL between
   two calls, after the switch interval. So a hold of about that length is unknown. */
static int gilfree_in_c(const struct gilfree_recording *all, const struct gilfree_holder *entry)
{
    if (!entry->stayed && !entry->moved)
        return GILFREE_UNKNOWN;
    if (entry->stayed < GILFREE_STAYS * entry->moved)
        return 0;
    if (entry->requested > all->switch_interval * 4 / 5
        && entry->requested < all->switch_interval * 3 / 2)
        return GILFREE_UNKNOWN;
    return 1;
}

/* Add `ns` of a stall to its entry for the holder in `sample`. */
static void gilfree_blame(
    struct gilfree_thread *waiter, const struct gilfree_gil_sample *sample, int64_t ns,
    const struct gilfree_gil_sample *before)
{
    struct gilfree_holder *entry;
    if (sample->thread == NULL || sample->thread == waiter)
        return;
    entry = gilfree_holder_entry(&waiter->stall, sample);
    if (entry == NULL)
        return;
    entry->ns += ns;
    if (sample->requested > entry->requested)
        entry->requested = sample->requested;
    if (before == NULL || before->thread != sample->thread || before->since != sample->since
        || !before->frame || !sample->frame)
        return;
    if (before->frame == sample->frame && before->instruction == sample->instruction)
        entry->stayed++;
    else
        entry->moved++;
}

static void gilfree_leave(
    struct gilfree_recording *all, struct gilfree_thread *thread, int64_t time)
{
    int64_t lasted = time - thread->since, sure = thread->last - thread->seen;
    gilfree_keep_slice(all, thread, time);
    /* Compare by the time that is certain, between the first and the last sample. By the estimated
       length, the longest would be one whose start or end fell into a long gap. */
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
    /* A thread that no longer waits has acquired the GIL, even if it released it before this
       sample. */
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

/* Move the time of a doubtful wait to the state that the thread was in instead. */
static void gilfree_undo_wait(struct gilfree_thread *thread)
{
    if (thread->state != GILFREE_WAITING || !thread->doubtful)
        return;
    thread->ns[GILFREE_WAITING] -= thread->last - thread->since;
    thread->ns[thread->otherwise] += thread->last - thread->since;
    thread->state = thread->otherwise;
    thread->doubtful = 0;
}

/* Add the time since the last sample to the sums. If the state changed, each state gets half of
   it. */
static void gilfree_account(
    struct gilfree_recording *all, struct gilfree_thread *thread, const struct gilfree_gil *gil,
    int64_t time)
{
    int64_t middle = thread->last + (time - thread->last) / 2;
    int before, now = thread->now;
    if (now != GILFREE_WAITING && now != GILFREE_HELD)
        gilfree_undo_wait(thread);
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

/* Tell whether the list of threads is full. */
static int gilfree_is_full(const struct gilfree_recording *all)
{
    return (all->keeps ? all->threads : all->lives) >= GILFREE_THREADS;
}

/* Begin to record a thread; NULL if the list is full or there is no memory. */
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

/* Count a thread beyond the list: once, although each scan finds it. */
static void gilfree_count_other(struct gilfree_recording *all, int task)
{
    struct gilfree_other *other = &all->other[(unsigned) task % GILFREE_OTHERS];
    if (other->task != task || other->scan + 1 < all->scan)
        all->unlisted++;
    *other = (struct gilfree_other) {task, all->scan};
}

/* End the record of the live thread at index `place`. */
static void gilfree_end_thread(struct gilfree_recording *all, int place, int64_t time)
{
    struct gilfree_thread *thread = all->live[place];
    struct gilfree_thread **at = &all->bucket[(unsigned) thread->task % GILFREE_BUCKETS];
    if (thread->state != GILFREE_UNKNOWN) {
        gilfree_undo_wait(thread);
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

/* Return zeroed pages, or NULL; the system provides each at the first write. calloc would reuse
   memory freed by an earlier recording, and write zeros to all 18 MiB while its caller holds the
   GIL. */
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

/* Allocate a recording; return 0, or -1 if there is no memory. Pages never written to take none. */
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
