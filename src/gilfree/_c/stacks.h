/* The Python stack of a thread, read as bytes frame by frame; and the distinct stacks of a
   recording. */

#ifndef GILFREE_STACKS_H
#define GILFREE_STACKS_H

#include "code_lines.h"

enum {
    GILFREE_C_FRAMES = 4,   /* C frames that may lie between two Python frames */
    GILFREE_CALLERS = 16,   /* callers that are kept or shown */
    GILFREE_STACKS = 8192,  /* stacks that are kept; further ones are unknown */
};

/* A frame with Python code. */
struct gilfree_frame {
    uintptr_t address, previous, code, instruction;
};

/* The callers of a place, the nearest first. */
struct gilfree_stack {
    int depth;
    int code[GILFREE_CALLERS], line[GILFREE_CALLERS];  /* numbers, or GILFREE_UNKNOWN */
};

struct gilfree_stacks {
    struct gilfree_stack *stack;  /* NULL if no callers are to be kept */
    int count;
    int slot[2 * GILFREE_STACKS];  /* hash table: 1 + number of the stack, or 0 */
};

/* Find the first frame with Python code, from the frame at `address` on; return whether one
   exists. */
static int gilfree_read_frame(
    const struct gilfree_codes *codes, uintptr_t address, struct gilfree_frame *frame)
{
    const struct gilfree_layout *layout = codes->layout;
    char bytes[256];
    int hops;
    for (hops = 0; hops < GILFREE_C_FRAMES && address; hops++) {
        if (!gilfree_read(codes->memory, address, bytes, (size_t) layout->frame_size))
            return 0;
        frame->address = address;
        frame->previous = gilfree_pointer(bytes, layout->frame_previous);
        frame->code = gilfree_pointer(bytes, layout->frame_code) & ~(uintptr_t) 7;  /* 3.14: tagged */
        frame->instruction = gilfree_pointer(bytes, layout->frame_instruction);
        if (bytes[layout->frame_owner] < layout->first_owner_without_code)
            return 1;
        address = frame->previous;
    }
    return 0;
}

/* Find the most recent frame of a thread; `says` is the field `thread_frame` of its thread
   state. */
static int gilfree_top_frame(
    const struct gilfree_codes *codes, uintptr_t says, struct gilfree_frame *frame)
{
    int behind = codes->layout->frame_behind;
    if (behind >= 0 && !gilfree_read(codes->memory, says + (uintptr_t) behind, &says, sizeof(says)))
        return 0;
    return gilfree_read_frame(codes, says, frame);
}

/* Copy the callers of frames[0]; return the number of frames, at most `most`. If frames[0] has
   returned during the read, its callers may be wrong: then it is the only one. */
static int gilfree_read_frames(
    const struct gilfree_codes *codes, struct gilfree_frame *frames, int most)
{
    struct gilfree_frame again;
    int count = 1;
    while (count < most
           && gilfree_read_frame(codes, frames[count - 1].previous, &frames[count]))
        count++;
    if (!gilfree_read_frame(codes, frames[0].address, &again) || again.code != frames[0].code
        || again.previous != frames[0].previous)
        return 1;
    return count;
}

/* Return the number of the stack of a frame's callers; GILFREE_UNKNOWN if the table is full. */
static int gilfree_stack_number(
    struct gilfree_stacks *all, struct gilfree_codes *codes, const struct gilfree_frame *top)
{
    struct gilfree_frame frames[1 + GILFREE_CALLERS];
    struct gilfree_stack seen = {0};
    unsigned slot = 0;
    int i;
    frames[0] = *top;
    seen.depth = gilfree_read_frames(codes, frames, 1 + GILFREE_CALLERS) - 1;
    for (i = 0; i < seen.depth; i++) {
        gilfree_find_line(codes, frames[1 + i].code, frames[1 + i].instruction, &seen.code[i],
                          &seen.line[i]);
        slot = (slot * 31 + (unsigned) seen.code[i]) * 31 + (unsigned) seen.line[i];
    }
    slot = slot * 2654435761U % (2 * GILFREE_STACKS);
    for (; all->slot[slot]; slot = (slot + 1) % (2 * GILFREE_STACKS))
        if (memcmp(&all->stack[all->slot[slot] - 1], &seen, sizeof(seen)) == 0)
            return all->slot[slot] - 1;
    if (all->count == GILFREE_STACKS)
        return GILFREE_UNKNOWN;
    all->stack[all->count] = seen;
    all->slot[slot] = ++all->count;
    return all->count - 1;
}

#endif
