/* All thread states of all interpreters, read as one chain.

   Each sample reads the chain of the previous sample again, in one system call. If each link still
   points to the next one, the copy is complete. Otherwise a thread has started or ended, and the
   chain is walked from its head. So no sample uses a thread state that had been freed. */

#ifndef GILFREE_INTERPRETERS_H
#define GILFREE_INTERPRETERS_H

#include "code_lines.h"
#include "layout.h"
#include "recording.h"
#include "safe_read.h"

enum { GILFREE_INTERPRETERS = 1024, GILFREE_LINKS = 16384, GILFREE_LINK_BYTES = 512 };

struct gilfree_interpreter {
    uintptr_t address, next, threads, gil;
    unsigned long switches;  /* the switch counter of its GIL */
    int gil_enabled;         /* on a free-threaded build 0, until the GIL is switched on */
    uintptr_t stopper;       /* the thread state that stops its threads, or 0 */
    int first, links;        /* its part of the chain */
};

struct gilfree_link {
    uintptr_t address;
    struct gilfree_thread *thread;
    int without;  /* native id of its thread, if that has ended but left its thread state; or 0 */
    char bytes[GILFREE_LINK_BYTES];
};

struct gilfree_chain {
    const struct gilfree_layout *layout;
    const struct gilfree_memory *memory;
    uintptr_t head;
    uintptr_t current;  /* on 3.11: the thread state that holds the GIL */
    uintptr_t stopper;  /* the thread state that stops the threads of all interpreters, or 0 */
    struct gilfree_interpreter interpreter[GILFREE_INTERPRETERS];
    int interpreters;
    struct gilfree_link *link;
    int links, capacity;
    struct iovec *to, *from;
};

/* Grow the arrays if they can't take one more link; return whether they can now. */
static int gilfree_grow_chain(struct gilfree_chain *chain)
{
    int capacity = chain->capacity ? 2 * chain->capacity : 64;
    size_t pieces = (size_t) capacity + 6 * GILFREE_INTERPRETERS + 3;
    void *link, *to, *from;
    if (chain->links < chain->capacity)
        return 1;
    if (chain->capacity >= GILFREE_LINKS)
        return 0;
    if ((link = realloc(chain->link, (size_t) capacity * sizeof(*chain->link))) != NULL)
        chain->link = link;
    if ((to = realloc(chain->to, pieces * sizeof(*chain->to))) != NULL)
        chain->to = to;
    if ((from = realloc(chain->from, pieces * sizeof(*chain->from))) != NULL)
        chain->from = from;
    if (link == NULL || to == NULL || from == NULL)
        return 0;
    chain->capacity = capacity;
    return 1;
}

static void gilfree_add_read(
    struct gilfree_chain *chain, int *n, uintptr_t from, void *to, size_t size)
{
    chain->from[*n] = (struct iovec) {(void *) from, size};
    chain->to[*n] = (struct iovec) {to, size};
    ++*n;
}

/* Read the known chain in one call; return whether all of it could be read. */
static int gilfree_reread(struct gilfree_chain *chain)
{
    const struct gilfree_layout *layout = chain->layout;
    const size_t pointer = sizeof(uintptr_t);
    int n = 0, i;
    gilfree_add_read(chain, &n, layout->interpreters, &chain->head, pointer);
    if (layout->current)
        gilfree_add_read(chain, &n, layout->current, &chain->current, pointer);
    if (layout->stopper)
        gilfree_add_read(chain, &n, layout->stopper, &chain->stopper, pointer);
    for (i = 0; i < chain->interpreters; i++) {
        struct gilfree_interpreter *one = &chain->interpreter[i];
        gilfree_add_read(chain, &n, one->address + (uintptr_t) layout->interpreter_next, &one->next,
                         pointer);
        gilfree_add_read(chain, &n, one->address + (uintptr_t) layout->interpreter_threads,
                         &one->threads, pointer);
        if (one->gil)
            gilfree_add_read(chain, &n, one->gil + (uintptr_t) layout->gil_switches, &one->switches,
                             sizeof(one->switches));
        if (one->gil && layout->gil_enabled >= 0)
            gilfree_add_read(chain, &n, one->gil + (uintptr_t) layout->gil_enabled,
                             &one->gil_enabled, sizeof(one->gil_enabled));
        if (layout->interpreter_stopper >= 0)
            gilfree_add_read(chain, &n, one->address + (uintptr_t) layout->interpreter_stopper,
                             &one->stopper, pointer);
        if (!layout->shared_gil)
            gilfree_add_read(chain, &n, one->address + (uintptr_t) layout->interpreter_gil,
                             &one->gil, pointer);
    }
    for (i = 0; i < chain->links; i++)
        gilfree_add_read(chain, &n, chain->link[i].address, chain->link[i].bytes,
                         (size_t) layout->thread_size);
    return gilfree_read_pieces(chain->memory, chain->to, chain->from, n);
}

/* Tell whether each link points to the next one. */
static int gilfree_is_whole(const struct gilfree_chain *chain)
{
    uintptr_t expected = chain->head;
    int i, j;
    for (i = 0; i < chain->interpreters; i++) {
        const struct gilfree_interpreter *one = &chain->interpreter[i];
        uintptr_t thread = one->threads;
        if (expected != one->address)
            return 0;
        for (j = one->first; j < one->first + one->links; j++) {
            if (thread != chain->link[j].address)
                return 0;
            thread = gilfree_pointer(chain->link[j].bytes, chain->layout->thread_next);
        }
        if (thread)
            return 0;
        expected = one->next;
    }
    return expected == 0 && chain->interpreters > 0;
}

/* Walk the thread states of an interpreter; return whether all could be read. */
static int gilfree_walk_threads(struct gilfree_chain *chain, struct gilfree_interpreter *one)
{
    const struct gilfree_layout *layout = chain->layout;
    uintptr_t at = one->address + (uintptr_t) layout->interpreter_threads;
    one->first = chain->links;
    for (;;) {
        uintptr_t next;
        if (!gilfree_read(chain->memory, at, &next, sizeof(next)))
            return 0;
        if (!next)
            break;
        if (!gilfree_grow_chain(chain))
            return 0;
        chain->link[chain->links].address = next;
        chain->link[chain->links].without = 0;
        chain->link[chain->links++].thread = NULL;
        at = next + (uintptr_t) layout->thread_next;
    }
    one->links = chain->links - one->first;
    return 1;
}

/* Find all interpreters and thread states, from the head on; return whether all could be read. */
static int gilfree_walk(struct gilfree_chain *chain)
{
    const struct gilfree_layout *layout = chain->layout;
    uintptr_t at = layout->interpreters;
    chain->interpreters = chain->links = 0;
    for (;;) {
        struct gilfree_interpreter *one = &chain->interpreter[chain->interpreters];
        uintptr_t next;
        if (!gilfree_read(chain->memory, at, &next, sizeof(next)))
            return 0;
        if (!next)
            return gilfree_grow_chain(chain);
        if (chain->interpreters == GILFREE_INTERPRETERS)
            return 0;
        one->address = next;
        one->gil = layout->shared_gil;  /* known before the next read, which reads its counter */
        if (!one->gil
            && !gilfree_read(chain->memory, next + (uintptr_t) layout->interpreter_gil, &one->gil,
                             sizeof(one->gil)))
            return 0;
        one->switches = 0;
        one->gil_enabled = layout->gil_enabled < 0;
        one->stopper = 0;
        chain->interpreters++;
        if (!gilfree_walk_threads(chain, one))
            return 0;
        at = next + (uintptr_t) layout->interpreter_next;
    }
}

/* Read a consistent copy of the whole chain; return whether that succeeded. */
static int gilfree_read_chain(struct gilfree_chain *chain)
{
    enum { TRIES = 4 };
    int i;
    for (i = 0; i < TRIES; i++) {
        if (chain->interpreters && gilfree_reread(chain) && gilfree_is_whole(chain))
            return 1;
        if (!gilfree_walk(chain))
            chain->interpreters = chain->links = 0;
    }
    return chain->interpreters && gilfree_reread(chain) && gilfree_is_whole(chain);
}

/* Return what a thread state says of the GIL: held, waiting, or GILFREE_UNKNOWN. On a free-threaded
   build it says whether the thread is attached, and on 3.15 also whether it waits to attach. */
static int gilfree_said(const struct gilfree_chain *chain, const struct gilfree_link *link)
{
    const struct gilfree_layout *layout = chain->layout;
    if (layout->thread_state >= 0) {
        int state = gilfree_int(link->bytes, layout->thread_state);
        if (state == layout->attached)
            return GILFREE_HELD;
        return state == layout->wants_suspended || state == layout->wants_detached
                   ? GILFREE_WAITING
                   : GILFREE_UNKNOWN;
    }
    if (layout->current ? link->address == chain->current
                        : (uint32_t) gilfree_int(link->bytes, layout->thread_holds_gil)
                              & layout->holds_gil_mask)
        return GILFREE_HELD;
    if (layout->thread_wants_gil >= 0 && gilfree_int(link->bytes, layout->thread_wants_gil))
        return GILFREE_WAITING;
    return GILFREE_UNKNOWN;
}

#endif
