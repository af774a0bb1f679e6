/* The names that Python gave its threads, for the recorder's thread, which must not call Python.

   Threads of Python write, one after the other; without a GIL several may write concurrently, and
   then one of them gives up. Threads in C read concurrently, without a lock: they discard a name
   whose version is odd, or changed during the read. */

#ifndef GILFREE_NAMES_H
#define GILFREE_NAMES_H

#include <string.h>

#include "atomic.h"
#include "tasks.h"

enum {
    GILFREE_NAMES = 4096,
    GILFREE_NAMES_TRIED = 8,  /* entries at which a thread's name may be */
    GILFREE_NAME_WORDS = 8,   /* of 8 bytes; longer names are cut */
};

struct gilfree_name {
    int64_t version, task, time;
    int64_t word[GILFREE_NAME_WORDS];
};

static struct gilfree_name gilfree_names[GILFREE_NAMES];

static struct gilfree_name *gilfree_name_at(int task, int tried)
{
    return &gilfree_names[((unsigned) task + (unsigned) tried) % GILFREE_NAMES];
}

/* Return the entry for a thread's name: its own if it has one; else one that is empty or whose
   thread has ended; else the oldest. */
static struct gilfree_name *gilfree_name_place(int task)
{
    struct gilfree_name *place, *oldest = gilfree_name_at(task, 0);
    int i;
    for (i = 0; i < GILFREE_NAMES_TRIED; i++)
        if (gilfree_load(&(place = gilfree_name_at(task, i))->task) == task)
            return place;
    for (i = 0; i < GILFREE_NAMES_TRIED; i++) {
        place = gilfree_name_at(task, i);
        if (!gilfree_load(&place->task) || gilfree_task_cpu((int) gilfree_load(&place->task)) < 0)
            return place;
        if (gilfree_load(&place->time) < gilfree_load(&oldest->time))
            oldest = place;
    }
    return oldest;
}

/* Write a thread's name, in UTF-8, with the time at which it was given. */
static void gilfree_give_name(int task, const char *name, size_t size, int64_t time)
{
    struct gilfree_name *place = gilfree_name_place(task);
    int64_t word[GILFREE_NAME_WORDS] = {0}, version = gilfree_load(&place->version);
    int i;
    if (size > sizeof(word) - 1)
        for (size = sizeof(word) - 1; size && (name[size] & 0xC0) == 0x80;)
            size--;  /* don't cut within a character */
    memcpy(word, name, size);
    if (version & 1 || !gilfree_replace(&place->version, version, version + 1))
        return;
    gilfree_store(&place->task, (int64_t) task);
    gilfree_store(&place->time, time);
    for (i = 0; i < GILFREE_NAME_WORDS; i++)
        gilfree_store(&place->word[i], word[i]);
    gilfree_store(&place->version, version + 2);
}

/* Copy the name of a thread; return whether there is one. A name given before `after` belongs to an
   earlier thread with the same native id. */
static int gilfree_name_of(int task, int64_t after, char name[8 * GILFREE_NAME_WORDS])
{
    int i, j;
    for (i = 0; i < GILFREE_NAMES_TRIED; i++) {
        struct gilfree_name *place = gilfree_name_at(task, i);
        int64_t word[GILFREE_NAME_WORDS], version = gilfree_load(&place->version);
        int fits = gilfree_load(&place->task) == task && gilfree_load(&place->time) >= after;
        for (j = 0; j < GILFREE_NAME_WORDS; j++)
            word[j] = gilfree_load(&place->word[j]);
        if (fits && !(version & 1) && gilfree_load(&place->version) == version) {
            memcpy(name, word, sizeof(word));
            return name[0] != 0;
        }
    }
    return 0;
}

#endif
