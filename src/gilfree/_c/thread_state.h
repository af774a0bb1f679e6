/* What a thread state says about the GIL, read from another thread.

   A block for each version of CPython. The fields are in the public header
   Include/cpython/pystate.h, whose comments document them. They are not part of the stable ABI, so
   each version must be tested before it is added here.

   int gilfree_holds_gil(thread)  1 if the thread holds the GIL, else 0. On a free-threaded build: 1
                                  if it is attached to the interpreter.
   int gilfree_wants_gil(thread)  1 if the thread waits for the GIL, else 0; GILFREE_NOT_KNOWN if
                                  the version does not say.

   `thread` is a PyThreadState * of a thread that has not ended. Other threads write these fields
   concurrently: `volatile` makes each call read memory again. */

#ifndef GILFREE_THREAD_STATE_H
#define GILFREE_THREAD_STATE_H

#include <Python.h>

#define GILFREE_KNOWN_PYTHONS "3.11 to 3.15"
#define GILFREE_NOT_KNOWN (-1)

/* A test defines this, to treat the running Python as newer than all known versions. */
#ifdef GILFREE_TAKE_PYTHON_FOR_UNKNOWN
    #define GILFREE_PYTHON 0x7F000000
#else
    #define GILFREE_PYTHON PY_VERSION_HEX
#endif

#define GILFREE_KNOWS_PYTHON 1

#if defined(Py_GIL_DISABLED) && GILFREE_PYTHON >= 0x030D0000 && GILFREE_PYTHON < 0x03100000
/* Free-threaded 3.13 to 3.15: `state` is _Py_THREAD_ATTACHED, which is 1, while the thread may
   touch objects (Include/internal/pycore_pystate.h explains the states). If the GIL was switched on
   again, a thread attaches after it has acquired the GIL. */
static inline int gilfree_holds_gil(PyThreadState *thread) {
    return *(volatile int *)&thread->state == 1;
}

#elif GILFREE_PYTHON >= 0x030B0000 && GILFREE_PYTHON < 0x030C0000
/* 3.11: a global variable points to the thread state that holds the GIL.
   _PyThreadState_UncheckedGet (3.5 to 3.12, Doc/whatsnew/3.13.rst) reads it. From 3.12 on the
   variable is thread-local. */
static inline int gilfree_holds_gil(PyThreadState *thread) {
    return _PyThreadState_UncheckedGet() == thread;
}

#elif GILFREE_PYTHON >= 0x030C0000 && GILFREE_PYTHON < 0x030E0000
/* 3.12 and 3.13: `_status.active`, a bit that is set after the thread has acquired the GIL, and
   cleared before it releases it. */
static inline int gilfree_holds_gil(PyThreadState *thread) {
    return (int)((volatile PyThreadState *)thread)->_status.active;
}

#elif GILFREE_PYTHON >= 0x030E0000 && GILFREE_PYTHON < 0x030F0000
/* 3.14: `holds_gil`, a separate int that other threads may read. */
static inline int gilfree_holds_gil(PyThreadState *thread) {
    return *(volatile int *)&thread->holds_gil != 0;
}

#elif GILFREE_PYTHON >= 0x030F0000 && GILFREE_PYTHON < 0x03100000
/* 3.15: `holds_gil` as in 3.14, and `gil_requested`, which is set while the thread waits for the
   GIL. */
static inline int gilfree_holds_gil(PyThreadState *thread) {
    return *(volatile int *)&thread->holds_gil != 0;
}

#define gilfree_wants_gil(thread) (*(volatile int *)&(thread)->gil_requested != 0)

#else
/* An unknown version: the sampler refuses to start, so this is never called. */
#undef GILFREE_KNOWS_PYTHON
#define GILFREE_KNOWS_PYTHON 0
static inline int gilfree_holds_gil(PyThreadState *thread) {
    (void)thread;
    return GILFREE_NOT_KNOWN;
}

#endif

#ifndef gilfree_wants_gil
#define gilfree_wants_gil(thread) GILFREE_NOT_KNOWN
#endif

#endif
