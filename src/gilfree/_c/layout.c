/* The offsets of layout.h, for each version of CPython. Their sources are CPython's internal
   headers, which only this file includes. From 3.13 on, most come from the table of offsets at the
   beginning of _PyRuntime: CPython provides it for debuggers, and it describes the interpreter that
   runs. */

#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <string.h>

#include "layout.h"
#include "thread_state.h"

#if defined(__linux__) && GILFREE_KNOWS_PYTHON

#include "internal/pycore_frame.h"
#include "internal/pycore_gil.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#ifdef Py_GIL_DISABLED
    #include "internal/pycore_pystate.h"
    #include "internal/pycore_semaphore.h"
#endif

#define FIELD(structure, field) ((int) offsetof(structure, field))

static void find_gil(struct gilfree_layout *layout)
{
    layout->gil_size = (int) sizeof(struct _gil_runtime_state);
    layout->gil_switches = FIELD(struct _gil_runtime_state, switch_number);
    layout->gil_switch_cond = FIELD(struct _gil_runtime_state, switch_cond);
#if GILFREE_PYTHON < 0x030C0000
    layout->shared_gil = (uintptr_t) &_PyRuntime.ceval.gil;
    layout->current = (uintptr_t) &_PyRuntime.gilstate.tstate_current;
#endif
}

/* Which int of the thread state says that it holds the GIL, or waits for it: see thread_state.h. */
static void find_who_holds_gil(struct gilfree_layout *layout)
{
    layout->thread_holds_gil = layout->thread_wants_gil = -1;
#ifdef Py_GIL_DISABLED
    return;
#elif GILFREE_PYTHON >= 0x030E0000
    layout->thread_holds_gil = FIELD(PyThreadState, holds_gil);
    layout->holds_gil_mask = ~(uint32_t) 0;
#elif GILFREE_PYTHON >= 0x030C0000
    /* `active` is a bit field, and the compiler chooses its bit: set it, and read the mask. */
    PyThreadState probe;
    memset(&probe, 0, sizeof(probe));
    probe._status.active = 1;
    memcpy(&layout->holds_gil_mask, &probe._status, sizeof(layout->holds_gil_mask));
    layout->thread_holds_gil = FIELD(PyThreadState, _status);
#endif
#if GILFREE_PYTHON >= 0x030F0000 && !defined(Py_GIL_DISABLED)
    layout->thread_wants_gil = FIELD(PyThreadState, gil_requested);
#endif
}

/* Where a thread state says that it is attached, and which thread stops the world. */
static void find_who_is_attached(struct gilfree_layout *layout)
{
    layout->gil_enabled = layout->thread_state = layout->parked_on = -1;
    layout->wants_suspended = layout->wants_detached = layout->interpreter_stopper = -1;
#ifdef Py_GIL_DISABLED
    layout->gil_enabled = FIELD(struct _gil_runtime_state, enabled);
    layout->thread_state = FIELD(PyThreadState, state);
    layout->attached = _Py_THREAD_ATTACHED;
    layout->suspended = _Py_THREAD_SUSPENDED;
    #ifdef _Py_THREAD_SUSPENDED_WAITING  /* 3.15 */
    layout->wants_suspended = _Py_THREAD_SUSPENDED_WAITING;
    layout->wants_detached = _Py_THREAD_DETACHED_WAITING;
    #endif
    #ifdef _Py_USE_SEMAPHORES
    /* Python/parking_lot.c, struct wait_entry: the address that is waited for, then the
       semaphore. */
    layout->parked_on = (int) sizeof(uintptr_t);
    #endif
    /* The table of offsets lacks these. They are valid only if the headers match the running
       Python. */
    if (_PyRuntime.debug_offsets.interpreter_state.size == sizeof(PyInterpreterState)
        && _PyRuntime.debug_offsets.runtime_state.size == sizeof(_PyRuntimeState)) {
        layout->interpreter_stopper = FIELD(PyInterpreterState, stoptheworld.requester);
        layout->stopper = (uintptr_t) &_PyRuntime.stoptheworld.requester;
    }
#endif
}

#if GILFREE_PYTHON < 0x030D0000

static int find_the_rest(struct gilfree_layout *layout)
{
    layout->interpreters = (uintptr_t) &_PyRuntime.interpreters.head;
    layout->interpreter_next = FIELD(PyInterpreterState, next);
    layout->interpreter_threads = FIELD(PyInterpreterState, threads.head);
#if GILFREE_PYTHON >= 0x030C0000
    layout->interpreter_gil = FIELD(PyInterpreterState, ceval.gil);
    layout->first_owner_without_code = FRAME_OWNED_BY_CSTACK;
#else
    layout->first_owner_without_code = 127;  /* 3.11 has no such frames */
#endif
    layout->thread_next = FIELD(PyThreadState, next);
    layout->thread_interpreter = FIELD(PyThreadState, interp);
    layout->thread_native_id = FIELD(PyThreadState, native_thread_id);
    layout->thread_frame = FIELD(PyThreadState, cframe);
    layout->frame_behind = FIELD(_PyCFrame, current_frame);
    layout->frame_code = FIELD(_PyInterpreterFrame, f_code);
    layout->frame_previous = FIELD(_PyInterpreterFrame, previous);
    layout->frame_instruction = FIELD(_PyInterpreterFrame, prev_instr);
    layout->frame_owner = FIELD(_PyInterpreterFrame, owner);
    layout->code_file = FIELD(PyCodeObject, co_filename);
    layout->code_function = FIELD(PyCodeObject, co_qualname);
    layout->code_lines = FIELD(PyCodeObject, co_linetable);
    layout->code_first_line = FIELD(PyCodeObject, co_firstlineno);
    layout->code_instructions = FIELD(PyCodeObject, co_code_adaptive);
    return 0;
}

#else

static int find_the_rest(struct gilfree_layout *layout)
{
    const _Py_DebugOffsets *at = &_PyRuntime.debug_offsets;
#ifdef Py_GIL_DISABLED
    const int free_threaded = 1;
#else
    const int free_threaded = 0;
#endif
    if (memcmp(at->cookie, _Py_Debug_Cookie, sizeof(at->cookie)) != 0
        || (at->version ^ PY_VERSION_HEX) >> 16 != 0
        || (int) at->free_threaded != free_threaded)
        return -1;
    layout->interpreters = (uintptr_t) &_PyRuntime + at->runtime_state.interpreters_head;
    layout->interpreter_next = (int) at->interpreter_state.next;
    layout->interpreter_threads = (int) at->interpreter_state.threads_head;
    layout->interpreter_gil = (int) at->interpreter_state.ceval_gil;
    layout->thread_next = (int) at->thread_state.next;
    layout->thread_interpreter = (int) at->thread_state.interp;
    layout->thread_native_id = (int) at->thread_state.native_thread_id;
    layout->thread_frame = (int) at->thread_state.current_frame;
    layout->frame_behind = -1;
    layout->frame_code = (int) at->interpreter_frame.executable;
    layout->frame_previous = (int) at->interpreter_frame.previous;
    layout->frame_instruction = (int) at->interpreter_frame.instr_ptr;
    layout->frame_owner = (int) at->interpreter_frame.owner;
    layout->first_owner_without_code = FRAME_OWNED_BY_FRAME_OBJECT + 1;
    layout->code_file = (int) at->code_object.filename;
    layout->code_function = (int) at->code_object.qualname;
    layout->code_lines = (int) at->code_object.linetable;
    layout->code_first_line = (int) at->code_object.firstlineno;
    layout->code_instructions = (int) at->code_object.co_code_adaptive;
    return 0;
}

#endif

static int larger(int one, int other) { return one > other ? one : other; }

int gilfree_find_layout(struct gilfree_layout *layout)
{
    int size = 0;
    memset(layout, 0, sizeof(*layout));
    find_gil(layout);
    find_who_holds_gil(layout);
    find_who_is_attached(layout);
    if (find_the_rest(layout))
        return -1;
    size = larger(layout->thread_next, layout->thread_interpreter);
    size = larger(size, layout->thread_native_id);
    size = larger(size, larger(layout->thread_holds_gil, layout->thread_wants_gil));
    size = larger(size, layout->thread_state);
    layout->thread_size = larger(size, layout->thread_frame) + 8;
    size = larger(layout->frame_code, layout->frame_previous);
    layout->frame_size = larger(size, larger(layout->frame_instruction, layout->frame_owner)) + 8;
    layout->code_size = (int) offsetof(PyCodeObject, co_code_adaptive);
    layout->code_type = (uintptr_t) &PyCode_Type;
    layout->bytes_type = (uintptr_t) &PyBytes_Type;
    layout->string_type = (uintptr_t) &PyUnicode_Type;
    return 0;
}

#else

int gilfree_find_layout(struct gilfree_layout *layout)
{
    (void) layout;
    return -1;
}

#endif
