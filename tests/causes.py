"""Calls that release the GIL but gain little on threads, for known causes.

They are compiled here, without code of gilfree, and called through `ctypes.CDLL`.
"""

import contextlib
import ctypes
import functools
import os

import numpy as np
from patterns import compiled

import gilfree
from gilfree import Verdict

try:
    import h5py
except ModuleNotFoundError:
    h5py = None

SOURCE = """
#include <pthread.h>
#include <stdint.h>

int PyGILState_Ensure(void);
void PyGILState_Release(int);
void *PyErr_Occurred(void);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* Both counters are in one cache line, whatever its length. */
static _Alignas(128) int64_t counters[2];
static int callers;

static double work(double x, long rounds)
{
    while (rounds--)
        x = x * 0.999999 + 1e-9;
    return x;
}

double alone(long rounds) { return work(1, rounds); }

/* `with gil:` in a loop that has released the GIL, as Cython compiles it. */
double with_gil(long rounds)
{
    double x = 1, total = 0;
    for (long i = 0; i < rounds; i++) {
        x = work(x, 50);
        int state = PyGILState_Ensure();
        total += x;
        PyGILState_Release(state);
    }
    return total;
}

/* A call of a `cdef void` function without `noexcept` in such a loop. */
double without_noexcept(long rounds)
{
    double x = 1;
    for (long i = 0; i < rounds; i++) {
        x = work(x, 5);
        int state = PyGILState_Ensure();
        void *error = PyErr_Occurred();
        PyGILState_Release(state);
        if (error)
            break;
    }
    return x;
}

double locked(long rounds)
{
    pthread_mutex_lock(&mutex);
    double x = work(1, rounds);
    pthread_mutex_unlock(&mutex);
    return x;
}

double one_cache_line(long rounds)
{
    int64_t *mine = &counters[__atomic_fetch_add(&callers, 1, __ATOMIC_RELAXED) % 2];
    while (rounds--)
        __atomic_fetch_add(mine, 1, __ATOMIC_SEQ_CST);
    return 0;
}
"""


@functools.cache
def library():
    """Return the compiled library, called without the GIL."""
    released = compiled(SOURCE)[1]
    for name in "alone", "with_gil", "without_noexcept", "locked", "one_cache_line":
        getattr(released, name).argtypes = [ctypes.c_long]
        getattr(released, name).restype = ctypes.c_double
    return released


# Calls of some milliseconds, with the verdict that the probe should give.
CAUSES = {
    "with gil": (lambda: library().with_gil(20_000), Verdict.FOUGHT_OVER),
    "without noexcept": (lambda: library().without_noexcept(20_000), Verdict.FOUGHT_OVER),
    "a mutex": (lambda: library().locked(1_000_000), Verdict.LOCKED),
    "np.random with its lock": (
        functools.partial(np.random.random_sample, 100_000),
        Verdict.LOCKED,
    ),
    "a shared line of the cache": (lambda: library().one_cache_line(500_000), Verdict.MEMORY),
    # Longer: the sampler shares the CPU, and needs the time to be sure that the GIL is released.
    "one CPU": (lambda: library().alone(25_000_000), Verdict.NO_CPU),
}
if h5py is not None:  # it has one lock for all files

    @functools.cache
    def dataset():
        file = h5py.File("causes.h5", "w", driver="core", backing_store=False)
        return file.create_dataset("x", data=np.ones(4_000_000), compression=1)

    CAUSES["h5py"] = lambda: dataset()[:], Verdict.LOCKED


@contextlib.contextmanager
def surroundings(name):
    """Restrict the process to one CPU for the cause "one CPU"."""
    usual = os.sched_getaffinity(0)
    if name == "one CPU":
        os.sched_setaffinity(0, {min(usual)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


def probe(name):
    """Probe the call of a cause on two threads."""
    with surroundings(name):
        return gilfree.probe(CAUSES[name][0], workers=2)
