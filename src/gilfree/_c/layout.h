/* The offsets of fields in CPython's structures, for the recorder, which reads these as bytes.

   layout.c fills them in. It and thread_state.h are the only files that name fields of CPython's.
   thread_state.h reads the public thread state in place, and needs a thread that has not ended. The
   recorder has no such guarantee: it copies memory that may have been freed, by these offsets. */

#ifndef GILFREE_LAYOUT_H
#define GILFREE_LAYOUT_H

#include <stdint.h>

struct gilfree_layout {
    uintptr_t interpreters;       /* address of the pointer to the first interpreter */
    uintptr_t current;            /* address of the pointer to the state that holds the GIL; or 0 */
    uintptr_t shared_gil;         /* address of the only GIL; 0 if each interpreter has its own */
    int gil_size;                 /* size of a GIL's structure */
    int gil_switches;             /* an unsigned long: how often the GIL went to another thread */
    /* Here begins what a thread sleeps on that released the GIL on request, until another thread
       has acquired it. */
    int gil_switch_cond;
    int interpreter_next, interpreter_threads, interpreter_gil;
    int thread_size;              /* bytes of a thread state to copy: all fields that follow */
    int thread_next, thread_interpreter, thread_native_id, thread_frame;
    int thread_holds_gil;         /* an int: it holds the GIL if a bit of the mask is set; or -1 */
    uint32_t holds_gil_mask;
    int thread_wants_gil;         /* an int: it waits for the GIL if not 0; or -1, if unknown */
    /* On free-threaded builds; -1 on others, and where the version has no such state. */
    int gil_enabled;              /* in a GIL's structure an int: 0 while the GIL is off */
    int thread_state;             /* an int that replaces `thread_holds_gil`; its values follow */
    int attached;
    int suspended;                /* the world is stopped: the thread may not attach */
    int wants_suspended, wants_detached;  /* waits to attach: suspended, and no longer suspended */
    int parked_on;                /* distance from the address that is waited for to the futex */
    int interpreter_stopper;      /* points to the thread state that stops this interpreter */
    uintptr_t stopper;            /* address of the pointer to the one that stops all; or 0 */
    int frame_behind;             /* offset of the frame in what thread_frame points to; or -1 */
    int frame_size;
    int frame_code, frame_previous, frame_instruction, frame_owner;
    int first_owner_without_code; /* frames with this owner, or a greater one, are of C code */
    int code_size;
    int code_file, code_function, code_lines, code_first_line, code_instructions;
    uintptr_t code_type, bytes_type, string_type;
};

/* Fill in the layout; return 0, or -1 on a Python whose layout gilfree does not know. */
int gilfree_find_layout(struct gilfree_layout *layout);

#endif
