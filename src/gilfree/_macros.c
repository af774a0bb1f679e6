/* How a C extension releases the GIL: a complete extension with CPython's macros, written by hand.

   sum_of_squares(x) in three versions: with the GIL held, with it released, and with it released
   but interruptible by Ctrl-C. The loop does the operations of _kernels.pyx in the same order and
   in the same blocks, so the results have the same bits. (That needs -ffp-contract=off: the
   compiler must not fuse a multiplication and an addition.)

   To adapt it, rename the module in .m_name and PyInit__macros, keep the shape of its functions,
   and replace the loop:

   1. while you hold the GIL, get all that you need from Python objects: here take_doubles();
   2. release the GIL, work on C values alone, acquire the GIL again;
   3. only then make Python objects of the result, and release the buffers.

   What the macros expand to (Include/ceval.h, the same in CPython 3.11 to 3.15):

       Py_BEGIN_ALLOW_THREADS    { PyThreadState *_save; _save = PyEval_SaveThread();
       Py_BLOCK_THREADS            PyEval_RestoreThread(_save);
       Py_UNBLOCK_THREADS          _save = PyEval_SaveThread();
       Py_END_ALLOW_THREADS        PyEval_RestoreThread(_save); }

   PyEval_SaveThread detaches this thread's state and releases the GIL. PyEval_RestoreThread waits
   for the GIL without a timeout, and attaches the state again. The first macro opens a block and
   the last one closes it, so both must be in the same function. Never return or goto out of the
   block, and never nest two of them. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#include "sum_block.h"

enum {
    /* Sums side by side, so that the compiler can use vector instructions without reordering
       additions. */
    LANES = 16,
    /* Numbers, in whole blocks, between two checks for Ctrl-C: a few milliseconds of work. */
    BETWEEN_LOOKS = 1 << 24,
};

/* ---------------------------------------------------------------- the loop: plain C, no Python */

/* Return total plus the squares of size numbers, added up block by block. So several calls give the
   same bits as one, if all but the last pass whole blocks. */
static double
add_squares(double total, const double *x, Py_ssize_t size)
{
    for (; size > 0; x += GILFREE_SUM_BLOCK, size -= GILFREE_SUM_BLOCK) {
        double sums[LANES] = {0}, sum = 0;
        Py_ssize_t i, lane, count = Py_MIN(size, GILFREE_SUM_BLOCK);
        for (i = 0; i + LANES <= count; i += LANES) {
            for (lane = 0; lane < LANES; lane++) {
                sums[lane] += x[i + lane] * x[i + lane];
            }
        }
        for (lane = 0; lane < count - i; lane++) {
            sums[lane] += x[i + lane] * x[i + lane];
        }
        for (lane = 0; lane < LANES; lane++) {
            sum += sums[lane];
        }
        total += sum;
    }
    return total;
}

/* Get the memory of x, which must hold doubles in one dimension. Returns their number, or -1 with
   an exception set. Until the view is released, x may neither move nor free that memory. (NumPy
   breaks this promise in x.resize(n, refcheck=False).) */
static Py_ssize_t
take_doubles(PyObject *x, Py_buffer *view)
{
    const char *format, *native = PY_LITTLE_ENDIAN ? "@=<" : "@=>";
    if (PyObject_GetBuffer(x, view, PyBUF_FORMAT | PyBUF_ND) < 0) {
        return -1;
    }
    format = view->format ? view->format : "B"; /* the protocol's default */
    if (*format && strchr(native, *format)) {
        format++;
    }
    if (view->ndim != 1 || strcmp(format, "d") || (size_t)view->buf % sizeof(double)) {
        PyErr_Format(PyExc_TypeError,
                     "x must hold aligned doubles (format 'd') in one dimension, not '%s' in %d",
                     view->format ? view->format : "B", view->ndim);
        PyBuffer_Release(view);
        return -1;
    }
    return view->shape[0];
}

/* ---------------------------------------------------------------- three ways to call it */

static PyObject *
sum_of_squares_gil(PyObject *Py_UNUSED(module), PyObject *x)
{
    Py_buffer view;
    double total = 0;
    Py_ssize_t size = take_doubles(x, &view);
    if (size < 0) {
        return NULL;
    }
    total = add_squares(total, view.buf, size);
    PyBuffer_Release(&view);
    return PyFloat_FromDouble(total);
}

/* From BEGIN to END, other threads run Python. So in between, do not call Py_INCREF or Py_DECREF;
   do not make, read or call a Python object; do not set an exception. Hardly any function whose
   name begins with Py is allowed (PyMem_RawMalloc is, PyMem_Malloc is not). C values of this thread
   (size, total) are safe. The memory that view.buf points to stays in place, since the view keeps
   it, but other threads may write to it: no lock prevents that. */
static PyObject *
sum_of_squares_nogil(PyObject *Py_UNUSED(module), PyObject *x)
{
    Py_buffer view;
    double total = 0;
    Py_ssize_t size = take_doubles(x, &view);
    if (size < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    total = add_squares(total, view.buf, size);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    return PyFloat_FromDouble(total);
}

/* A signal only sets a flag. Python's handler runs when the main thread next checks the flag with
   the GIL held. A loop that never checks ignores Ctrl-C until it ends. This one acquires the GIL to
   check after every BETWEEN_LOOKS numbers. It does not check more often, since another thread that
   runs bytecode may make it wait for a switch interval (5 ms) each time. */
static PyObject *
sum_of_squares_interruptible(PyObject *Py_UNUSED(module), PyObject *x)
{
    Py_buffer view;
    double total = 0;
    int interrupted = 0;
    Py_ssize_t size = take_doubles(x, &view);
    if (size < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t start = 0; start < size && !interrupted; start += BETWEEN_LOOKS) {
        Py_ssize_t rest = size - start;
        const double *part = (const double *)view.buf + start;
        total = add_squares(total, part, Py_MIN(rest, BETWEEN_LOOKS));
        Py_BLOCK_THREADS
        interrupted = PyErr_CheckSignals(); /* -1, with KeyboardInterrupt set; in the main thread */
        Py_UNBLOCK_THREADS
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    return interrupted ? NULL : PyFloat_FromDouble(total);
}

/* ---------------------------------------------------------------- what the release itself costs */

static PyObject *
empty_gil(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_NONE;
}

static PyObject *
empty_nogil(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    Py_BEGIN_ALLOW_THREADS
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* ---------------------------------------------------------------- the module */

static PyMethodDef methods[] = {
    {"sum_of_squares_gil", sum_of_squares_gil, METH_O, "Sum up with the GIL held."},
    {"sum_of_squares_nogil", sum_of_squares_nogil, METH_O, "Sum up with the GIL released."},
    {"sum_of_squares_interruptible", sum_of_squares_interruptible, METH_O,
     "Sum up with the GIL released, and check for Ctrl-C every few milliseconds."},
    {"empty_gil", empty_gil, METH_NOARGS, "Do nothing."},
    {"empty_nogil", empty_nogil, METH_NOARGS, "Release the GIL and acquire it again."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    /* The module has no global state, so every interpreter can import it... */
#ifdef Py_mod_multiple_interpreters /* CPython 3.12 */
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    /* ...and it needs no GIL. Without this slot, importing it would enable the GIL in a
       free-threaded Python. */
#ifdef Py_MOD_GIL_NOT_USED /* CPython 3.13 */
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gilfree._macros",
    .m_doc = "CPython's macros by hand: sum_of_squares with the GIL held, and released.",
    .m_methods = methods,
    .m_slots = slots,
};

/* Multi-phase initialisation: Python creates the module from the definition. */
PyMODINIT_FUNC
PyInit__macros(void)
{
    return PyModuleDef_Init(&definition);
}
