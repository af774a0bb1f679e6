/* What a thread state says about the GIL, read from another thread.

   The only file of gilfree that names fields of CPython's thread states: a block for each version.
   All of them are in the public header Include/cpython/pystate.h, whose comments document them;
   none is part of the stable ABI, so each version has to be tried before it is added here.

   int gilfree_has_gil(thread)    1 if the thread has the GIL, else 0. On a build without a GIL: 1 if
                                  it is attached to the interpreter.
   int gilfree_wants_gil(thread)  1 if the thread waits for the GIL, else 0; GILFREE_NOT_KNOWN where
                                  the version does not say.

   `thread` is a PyThreadState * of a thread that has not ended: its state is looked into.
   Other threads write these fields meanwhile, hence `volatile`: each call reads memory anew. */

#ifndef GILFREE_THREAD_STATE_H
#define GILFREE_THREAD_STATE_H

#include <Python.h>

#define GILFREE_KNOWN_PYTHONS "3.11 to 3.15"
#define GILFREE_NOT_KNOWN (-1)

/* Defined by a test: what if this Python were newer than all that are known? */
#ifdef GILFREE_TAKE_PYTHON_FOR_UNKNOWN
    #define GILFREE_PYTHON 0x7F000000
#else
    #define GILFREE_PYTHON PY_VERSION_HEX
#endif

#define GILFREE_KNOWS_PYTHON 1

#if defined(Py_GIL_DISABLED) && GILFREE_PYTHON >= 0x030D0000 && GILFREE_PYTHON < 0x03100000
/* Free-threaded 3.13 to 3.15: `state` is _Py_THREAD_ATTACHED, which is 1, while the thread may touch
   objects (Include/internal/pycore_pystate.h explains the states). Where the GIL was switched on
   again, a thread attaches after it has got the GIL. */
static inline int gilfree_has_gil(PyThreadState *thread) {
    return *(volatile int *)&thread->state == 1;
}

#elif GILFREE_PYTHON >= 0x030B0000 && GILFREE_PYTHON < 0x030C0000
/* 3.11: one global names the thread state that has the GIL. _PyThreadState_UncheckedGet (3.5 to 3.12,
   Doc/whatsnew/3.13.rst) reads it; from 3.12 on it is a variable of each thread and of no use here. */
static inline int gilfree_has_gil(PyThreadState *thread) {
    return _PyThreadState_UncheckedGet() == thread;
}

#elif GILFREE_PYTHON >= 0x030C0000 && GILFREE_PYTHON < 0x030E0000
/* 3.12 and 3.13: `_status.active`, a bit that is set when the thread has taken the GIL and cleared
   before it is released. */
static inline int gilfree_has_gil(PyThreadState *thread) {
    return (int)((volatile PyThreadState *)thread)->_status.active;
}

#elif GILFREE_PYTHON >= 0x030E0000 && GILFREE_PYTHON < 0x030F0000
/* 3.14: `holds_gil`, a field of its own so that other threads may read it. */
static inline int gilfree_has_gil(PyThreadState *thread) {
    return *(volatile int *)&thread->holds_gil != 0;
}

#elif GILFREE_PYTHON >= 0x030F0000 && GILFREE_PYTHON < 0x03100000
/* 3.15: `holds_gil` as in 3.14, and `gil_requested` from the moment in which the thread asks for the
   GIL until it has it. */
static inline int gilfree_has_gil(PyThreadState *thread) {
    return *(volatile int *)&thread->holds_gil != 0;
}

#define gilfree_wants_gil(thread) (*(volatile int *)&(thread)->gil_requested != 0)

#else
/* A version that is not known: the sampler refuses to start, and nobody asks. */
#undef GILFREE_KNOWS_PYTHON
#define GILFREE_KNOWS_PYTHON 0
static inline int gilfree_has_gil(PyThreadState *thread) {
    (void)thread;
    return GILFREE_NOT_KNOWN;
}

#endif

#ifndef gilfree_wants_gil
#define gilfree_wants_gil(thread) GILFREE_NOT_KNOWN
#endif

#endif
