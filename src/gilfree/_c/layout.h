/* Where the fields of CPython's own structures lie, for a thread that reads them as bytes.

   layout.c fills this in. It and thread_state.h are the only files that name fields of CPython's:
   the latter those of the public thread state, for who may look into it; this one all that a
   recording of the whole process needs, for who may not: it copies memory that may be gone. */

#ifndef GILFREE_LAYOUT_H
#define GILFREE_LAYOUT_H

#include <stdint.h>

struct gilfree_layout {
    uintptr_t interpreters;       /* address of the pointer to the first interpreter */
    uintptr_t current;            /* address of the pointer to the state that has the GIL; or 0 */
    uintptr_t shared_gil;         /* address of the one GIL; 0 if each interpreter points to its own */
    int gil_size;                 /* of a GIL's structure */
    int gil_switches;             /* an unsigned long: how often another thread has taken it */
    int gil_after_drop;           /* from here on: for who let go of it until another one took it */
    int interpreter_next, interpreter_threads, interpreter_gil;
    /* A thread state: its first bytes, up to the last one of these fields, are copied at once. */
    int thread_size;
    int thread_next, thread_interpreter, thread_native_id, thread_frame;
    int thread_has_gil;           /* an int; not 0 after `has_gil_mask`: it has the GIL. Or -1 */
    uint32_t has_gil_mask;
    int thread_wants_gil;         /* an int; or -1 where the version does not say */
    /* Of a free-threaded build; -1 on others, and where the version has no such state. */
    int gil_enabled;              /* in a GIL's structure an int: 0 as long as there is none */
    int thread_state;             /* an int instead of `thread_has_gil`, and these are its values: */
    int attached;
    int suspended;                /* the world is stopped: the thread may not attach */
    int wants_suspended, wants_detached;  /* the same, but it wants to; it no longer is, but will */
    int parked_on;                /* so far in front of what a parked thread sleeps on is its reason */
    int interpreter_stopper;      /* points to the thread state that stops this interpreter */
    uintptr_t stopper;            /* address of the pointer to the one that stops all; or 0 */
    int frame_behind;             /* where thread_frame points to, the frame is here; or -1 */
    int frame_size;
    int frame_code, frame_previous, frame_instruction, frame_owner;
    int first_owner_without_code; /* frames that C code puts in between, and so the rest */
    int code_size;
    int code_file, code_function, code_lines, code_first_line, code_instructions;
    uintptr_t code_type, bytes_type, string_type;
};

/* Fill it in; return 0, or -1 on a Python of which gilfree does not know it. */
int gilfree_find_layout(struct gilfree_layout *layout);

#endif
