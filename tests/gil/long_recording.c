/* A made-up hour of 40 threads: compares what a recording keeps of it with the input.

   Prints one line: samples; changes of state; slices; the largest error of a thread's sums, as a
   share of its life; long states that the slices don't contain exactly; stalls of a millisecond or
   more; stalls kept; stalls counted as dropped; the most CPU time of a sample that joined slices,
   in seconds; the grain, in seconds; MiB in use. */

#include "recording.h"

#include <math.h>

enum { THREADS = 40, SAMPLE_NS = 2000000, LONGS = 1 << 16 };
static const int64_t HOUR = 3600000000000;
static const int64_t LONG = 5000000000;  /* states of this length or more must be kept exactly */

struct state {
    int thread, state;
    int64_t start, ns;
};

static uint64_t seed = 88172645463325252;

static uint64_t at_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Return a random length of a state: mostly milliseconds, rarely seconds. */
static int64_t duration(void)
{
    if (at_random() % 2000 == 0)
        return (int64_t) (at_random() % 20) * 1000000000;
    return (int64_t) (at_random() % 20) * 1000000;
}

static int is_kept(const struct gilfree_recording *all, const struct state *state)
{
    int i;
    for (i = 0; i < all->slices; i++) {
        const struct gilfree_slice *slice = &all->slice[i];
        if (slice->thread == state->thread && slice->start == state->start && slice->ns == state->ns)
            return slice->share[state->state] == GILFREE_WHOLE;
    }
    return 0;
}

/* Return the largest difference between a thread's slices and its sums, as a share of its life; 1
   if the slices leave a gap. */
static double error_of(const struct gilfree_recording *all, const struct gilfree_thread *thread)
{
    double ns[GILFREE_STATES] = {0}, worst = 0;
    int64_t end = thread->first;
    int i, state;
    for (i = 0; i < all->slices; i++) {
        const struct gilfree_slice *slice = &all->slice[i];
        if (slice->thread != thread->number)
            continue;
        if (slice->start != end)
            return 1;
        end += slice->ns;
        for (state = 0; state < GILFREE_STATES; state++)
            ns[state] += (double) slice->ns * slice->share[state] / GILFREE_WHOLE;
    }
    for (state = 0; state < GILFREE_STATES; state++)
        worst = fmax(worst, fabs(ns[state] - (double) thread->ns[state]));
    return end == thread->last ? worst / (double) (thread->last - thread->first) : 1;
}

/* Return the memory in use; a recording frees none before its end. */
static long mebibytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1)
        return -1;
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE) >> 20;
}

int main(void)
{
    static struct gilfree_recording all;
    static struct state longs[LONGS];
    struct gilfree_gil gil = {.address = 1};
    struct gilfree_memory memory = {.process = getpid(), .file = -1};
    int64_t until[THREADS] = {0}, time, samples = 0, changes = 0, stalls = 0, slowest = 0;
    int i, count = 0, missing = 0;
    double worst = 0;
    if (gilfree_make_recording(&all, 1, 0))
        return 1;
    all.codes.memory = &memory;
    for (i = 0; i < THREADS; i++) {
        struct gilfree_thread *thread = gilfree_add_thread(&all, 1000000000 + i, 0);
        thread->now = thread->state = GILFREE_BLOCKED;
        gilfree_enter(thread, GILFREE_BLOCKED, 0);
    }
    for (time = SAMPLE_NS; time < HOUR; time += SAMPLE_NS, samples++) {
        /* Read the CPU time only when slices may be joined, since each reading takes time. */
        int64_t begin = all.slices > GILFREE_SLICES - THREADS ? gilfree_task_cpu(0) : 0;
        int64_t grain = all.grain;
        gil.before = gil.now;
        gil.now = (struct gilfree_gil_sample) {all.thread[at_random() % THREADS], 1, 1, -1, -1, time};
        for (i = 0; i < THREADS; i++) {
            struct gilfree_thread *thread = all.thread[i];
            if (time >= until[i]) {
                thread->now = (int) (at_random() % GILFREE_UNREAD);
                until[i] = time + duration();
            }
            if (thread->now != thread->state) {
                int64_t middle = thread->last + (time - thread->last) / 2;
                struct state left = {i, thread->state, thread->since, middle - thread->since};
                changes++;
                stalls += left.state == GILFREE_WAITING && left.ns >= GILFREE_SHORT;
                if (left.ns >= LONG && count < LONGS)
                    longs[count++] = left;
            }
            gilfree_account(&all, thread, &gil, time);
        }
        if (all.grain != grain && gilfree_task_cpu(0) - begin > slowest)
            slowest = gilfree_task_cpu(0) - begin;
    }
    for (i = 0; i < THREADS; i++)
        stalls += all.thread[i]->state == GILFREE_WAITING
                  && all.thread[i]->last - all.thread[i]->since >= GILFREE_SHORT;
    while (all.lives)
        gilfree_end_thread(&all, 0, all.live[0]->last);
    for (i = 0; i < THREADS; i++)
        worst = fmax(worst, error_of(&all, all.thread[i]));
    for (i = 0; i < count; i += count / 200 + 1)
        missing += !is_kept(&all, &longs[i]);
    printf("%lld %lld %d %.9f %d %lld %d %lld %.6f %.6f %ld\n", (long long) samples,
           (long long) changes, all.slices, worst, missing, (long long) stalls, all.stalls,
           (long long) all.dropped, slowest / 1e9, all.grain / 1e9, mebibytes());
    gilfree_free_recording(&all);
    return 0;
}
