# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
# distutils: extra_compile_args = -O3 -fopenmp
# distutils: extra_link_args = -fopenmp
"""The kernels as plain Cython loops with ``prange``, which runs them on OpenMP threads.

``test_peers.py`` compiles this module. The package does not use OpenMP: only the main thread can
use its threads safely, and the bits of a reduction depend on their number.
"""

from cpython.pycapsule cimport PyCapsule_GetPointer
from cython.parallel cimport parallel, prange, threadid
from libc.stdint cimport int32_t, int64_t


def sum_of_squares(const double[::1] x):
    cdef Py_ssize_t i
    cdef double total = 0
    for i in prange(x.shape[0], nogil=True, schedule="static"):
        total += x[i] * x[i]
    return total


def polyval(const double[::1] x, const double[::1] c, double[::1] out):
    cdef Py_ssize_t i
    for i in prange(x.shape[0], nogil=True, schedule="static"):
        out[i] = _horner(x[i], c)


cdef inline double _horner(double x, const double[::1] c) noexcept nogil:
    cdef Py_ssize_t k
    cdef double value = c[c.shape[0] - 1]
    for k in range(c.shape[0] - 2, -1, -1):
        value = c[k] + value * x
    return value


def histogram(const double[::1] x, double low, double high, int64_t[:, ::1] counts):
    # A row of counts for each thread. Values near an edge may be counted in another bin than
    # NumPy's.
    cdef Py_ssize_t i, last = counts.shape[1] - 1
    cdef double scale = counts.shape[1] / (high - low)
    with nogil, parallel():
        for i in prange(x.shape[0], schedule="static"):
            if low <= x[i] <= high:
                counts[threadid(), min(<Py_ssize_t> ((x[i] - low) * scale), last)] += 1


def sqeuclidean(const double[:, ::1] X, const double[:, ::1] Y, double[:, ::1] out):
    cdef Py_ssize_t i
    for i in prange(X.shape[0], nogil=True, schedule="static"):
        _row(X, Y, out, i)


cdef inline void _row(
    const double[:, ::1] X, const double[:, ::1] Y, double[:, ::1] out, Py_ssize_t i
) noexcept nogil:
    cdef Py_ssize_t j, k
    cdef double total, difference
    for j in range(Y.shape[0]):
        total = 0
        for k in range(X.shape[1]):
            difference = X[i, k] - Y[j, k]
            total += difference * difference
        out[i, j] = total


def mandelbrot(
    double left, double top, double dx, double dy, int32_t limit, int32_t[:, ::1] out
):
    cdef Py_ssize_t i, j
    for i in prange(out.shape[0], nogil=True, schedule="dynamic"):
        for j in range(out.shape[1]):
            out[i, j] = _escape(left + (j + 0.5) * dx, top - (i + 0.5) * dy, limit)


cdef inline int32_t _escape(double cr, double ci, int32_t limit) noexcept nogil:
    cdef double zr = 0, zi = 0, rr = 0, ii = 0
    cdef int32_t count = 0
    while count < limit:
        zi = 2 * zr * zi + ci
        zr = rr - ii + cr
        rr = zr * zr
        ii = zi * zi
        if rr + ii > 4:
            break
        count += 1
    return count


cdef extern from "numpy/random/bitgen.h":
    ctypedef struct bitgen_t:
        void *state
        double (*next_double)(void *state) noexcept nogil


def monte_carlo_pi(bit_generators, int64_t samples):
    # A random stream of NumPy for each thread.
    cdef bitgen_t *streams[64]
    cdef int64_t hits = 0
    cdef int i, count = len(bit_generators)
    for i in range(count):
        streams[i] = <bitgen_t *> PyCapsule_GetPointer(bit_generators[i].capsule, "BitGenerator")
    for i in prange(count, nogil=True, schedule="static", chunksize=1):
        hits += _hits(streams[i], samples // count)
    return hits


cdef inline int64_t _hits(bitgen_t *stream, int64_t samples) noexcept nogil:
    cdef int64_t _, hits = 0
    cdef double x, y
    for _ in range(samples):
        x = stream.next_double(stream.state)
        y = stream.next_double(stream.state)
        hits += x * x + y * y < 1
    return hits
