/* Rules by which the recorder judges what it saw, each with figures made up: it ends well if all hold. */

#include "recorder_thread.h"

#undef NDEBUG
#include <assert.h>

enum { MS = 1000000 };

/* One C call, bytecode, or not known. */
static void who_gives_way_may_be_a_loop(void)
{
    struct gilfree_recording all = {.switch_interval = 5 * MS};
    struct gilfree_holder once = {0}, moves = {.stayed = 5, .moved = 2};
    struct gilfree_holder stays = {.stayed = 20, .moved = 1, .asked = 2 * MS};
    assert(gilfree_in_c(&all, &once) == GILFREE_UNKNOWN);
    assert(gilfree_in_c(&all, &moves) == 0);
    assert(gilfree_in_c(&all, &stays) == 1);
    stays.asked = 5 * MS + MS / 5;
    assert(gilfree_in_c(&all, &stays) == GILFREE_UNKNOWN);
    stays.asked = 30 * MS;
    assert(gilfree_in_c(&all, &stays) == 1);
}

static void see(
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

/* A hold that was seen at one look amid a long gap is not the longest, though it may have been. */
static void the_longest_is_so_for_certain(void)
{
    struct gilfree_recording *all = calloc(1, sizeof(*all));
    struct gilfree_thread *thread;
    int i;
    assert(gilfree_make_recording(all, 1, 0) == 0);
    thread = gilfree_add_thread(all, getpid(), 0);
    see(all, thread, GILFREE_RUNNING, 0);
    for (i = 5; i <= 15; i++)
        see(all, thread, GILFREE_HELD, i * MS / 5);
    see(all, thread, GILFREE_RUNNING, 3 * MS + MS / 5);
    see(all, thread, GILFREE_HELD, 14 * MS);
    see(all, thread, GILFREE_RUNNING, 24 * MS);
    assert(thread->longest[GILFREE_HELD] > 2 * MS);
    assert(thread->longest[GILFREE_HELD] < 3 * MS);
    assert(thread->ns[GILFREE_HELD] > 12 * MS);
    gilfree_free_recording(all);
    free(all);
}

/* A look that takes much longer than usual was interrupted; unless that has become usual. */
static void looks_that_were_interrupted_do_not_count(void)
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

int main(void)
{
    who_gives_way_may_be_a_loop();
    the_longest_is_so_for_certain();
    looks_that_were_interrupted_do_not_count();
    return 0;
}
