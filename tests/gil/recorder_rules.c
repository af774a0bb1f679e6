/* Rules by which the recorder interprets its samples, tested with made-up figures. Exits with 0 if
   all hold. */

#include "recorder_thread.h"

#undef NDEBUG
#include <assert.h>

enum { MS = 1000000 };

/* A hold that ends after the switch interval may be one of a loop, and so is not known as a C
   call. */
static void a_release_on_request_may_be_that_of_a_loop(void)
{
    struct gilfree_recording all = {.switch_interval = 5 * MS};
    struct gilfree_holder once = {0}, moves = {.stayed = 5, .moved = 2};
    struct gilfree_holder stays = {.stayed = 20, .moved = 1, .requested = 2 * MS};
    assert(gilfree_in_c(&all, &once) == GILFREE_UNKNOWN);
    assert(gilfree_in_c(&all, &moves) == 0);
    assert(gilfree_in_c(&all, &stays) == 1);
    stays.requested = 5 * MS + MS / 5;
    assert(gilfree_in_c(&all, &stays) == GILFREE_UNKNOWN);
    stays.requested = 30 * MS;
    assert(gilfree_in_c(&all, &stays) == 1);
}

static void sample(
    struct gilfree_recording *all, struct gilfree_thread *thread, int state, int64_t time)
{
    if (thread->state == GILFREE_UNKNOWN) {
        thread->state = state;
        gilfree_enter(thread, state, thread->first);
        thread->seen = time;
    }
    thread->now = state;
    gilfree_account(all, thread, NULL, time);
}

/* The longest hold is the one that is long for certain: not one of a single sample in a long
   gap. */
static void the_longest_hold_is_certain(void)
{
    struct gilfree_recording *all = calloc(1, sizeof(*all));
    struct gilfree_thread *thread;
    int i;
    assert(gilfree_make_recording(all, 1, 0) == 0);
    thread = gilfree_add_thread(all, getpid(), 0);
    sample(all, thread, GILFREE_RUNNING, 0);
    for (i = 5; i <= 15; i++)
        sample(all, thread, GILFREE_HELD, i * MS / 5);
    sample(all, thread, GILFREE_RUNNING, 3 * MS + MS / 5);
    sample(all, thread, GILFREE_HELD, 14 * MS);
    sample(all, thread, GILFREE_RUNNING, 24 * MS);
    assert(thread->longest[GILFREE_HELD] > 2 * MS);
    assert(thread->longest[GILFREE_HELD] < 3 * MS);
    assert(thread->ns[GILFREE_HELD] > 12 * MS);
    gilfree_free_recording(all);
    free(all);
}

/* A sample that takes much longer than usual was interrupted, until that has become usual. */
static void interrupted_samples_do_not_count(void)
{
    static struct gilfree_recorder r;
    int i;
    for (i = 0; i < 50; i++)
        assert(!gilfree_was_interrupted(&r, 20000));
    assert(gilfree_was_interrupted(&r, MS / 2));
    for (i = 0; i < 50 && gilfree_was_interrupted(&r, MS / 2); i++)
        ;
    assert(5 < i && i < 50);
}

/* A hold at too many places keeps its function without a line. */
static void a_hold_at_many_places_keeps_its_function(void)
{
    struct gilfree_thread thread = {.number = 3}, other = {.number = 4};
    struct gilfree_stall stall = {0};
    struct gilfree_gil_sample sample = {.thread = &thread, .code = 7, .stack = GILFREE_UNKNOWN};
    struct gilfree_holder *entry;
    for (sample.line = 1; sample.line < 2 * GILFREE_HOLDERS; sample.line++) {
        entry = gilfree_holder_entry(&stall, &sample);
        assert(entry->thread == 3 && entry->code == 7);
    }
    assert(entry->line == GILFREE_UNKNOWN);
    sample.thread = &other;
    entry = gilfree_holder_entry(&stall, &sample);
    assert(entry->thread == 4 && entry->code == GILFREE_UNKNOWN);
}

int main(void)
{
    a_release_on_request_may_be_that_of_a_loop();
    the_longest_hold_is_certain();
    interrupted_samples_do_not_count();
    a_hold_at_many_places_keeps_its_function();
    return 0;
}
