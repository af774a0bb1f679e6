"""The work of the kernels by other libraries, on all CPUs where possible: a function per kernel.

Each function takes the kernel's arguments. It returns a callable without arguments for every peer,
that is, every other library or method that is installed. Inputs and outputs are allocated before,
as for gilfree's own calls.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gilfree._system import usable_cpus

CPUS = usable_cpus()
THREADS = ThreadPoolExecutor(CPUS)


def optional(name):
    """Return a module, or None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


numba, numexpr = optional("numba"), optional("numexpr")
boost_histogram, fast_histogram = optional("boost_histogram"), optional("fast_histogram")


@functools.cache
def openmp():
    """Return openmp_loops.pyx, compiled with setuptools' default flags, or None if that fails."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.errors import BaseError

    source = str(Path(__file__).with_name("openmp_loops.pyx"))
    with tempfile.TemporaryDirectory() as folder:
        extension = Extension("openmp_loops", [source], include_dirs=[np.get_include()])
        try:
            modules = cythonize([extension], build_dir=folder, quiet=True)
            build = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
            build.build_lib = build.build_temp = folder
            build.ensure_finalized()
            build.run()
        except BaseError:
            return None
        path = Path(folder, "openmp_loops" + sysconfig.get_config_var("EXT_SUFFIX"))
        spec = importlib.util.spec_from_file_location("openmp_loops", path)
        module = sys.modules["openmp_loops"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def compiled(loop):
    """Return the loop compiled by numba: for a thread pool, and for numba's own threads."""
    if numba is None:
        return None, None
    return numba.njit(loop, nogil=True), numba.njit(loop, parallel=True, fastmath=True)


prange = range if numba is None else numba.prange


def cut(size, parts=CPUS):
    """Return `parts` slices of about the same length that cover `size` elements."""
    borders = [size * number // parts for number in range(parts + 1)]
    return [slice(*pair) for pair in itertools.pairwise(borders)]


def installed(**peers):
    """Return the callables of the peers that are installed: those whose first item is true."""
    return {name.replace("_", " "): call for name, (there, call) in peers.items() if there}


def copy(source, target):
    """Copy on all CPUs: the bound for a kernel that reads and writes as much memory."""
    parts = cut(source.size)
    list(THREADS.map(np.copyto, [target[p] for p in parts], [source[p] for p in parts]))


# ---------------------------------------------------------------- sum_of_squares


@compiled
def sum_loop(x):
    total = 0.0
    for i in prange(x.shape[0]):
        total += x[i] * x[i]
    return total


def sum_of_squares(x):
    on_threads, parallel = sum_loop
    parts = [x[part] for part in cut(x.size)]
    return installed(
        NumPy=(np, lambda: np.dot(x, x)),
        numexpr=(numexpr, lambda: float(numexpr.evaluate("sum(x * x)", {"x": x}))),
        numba_threads=(numba, lambda: sum(THREADS.map(on_threads, parts))),
        numba_prange=(numba, lambda: parallel(x)),
        OpenMP=(openmp(), lambda: openmp().sum_of_squares(x)),
    )


# ---------------------------------------------------------------- polyval


@compiled
def polyval_loop(x, c, out):
    for i in prange(x.shape[0]):
        value = c[-1]
        for k in range(c.shape[0] - 2, -1, -1):
            value = c[k] + value * x[i]
        out[i] = value


def polyval(x, c, out):
    on_threads, parallel = polyval_loop
    horner = functools.reduce(lambda value, k: f"c{k} + ({value}) * x", range(6, -1, -1), "c7")
    names = {"x": x, **{f"c{k}": value for k, value in enumerate(c)}}

    def threaded():
        list(THREADS.map(lambda part: on_threads(x[part], c, out[part]), cut(x.size)))

    return installed(
        NumPy=(np, lambda: np.copyto(out, np.polynomial.polynomial.polyval(x, c))),
        numexpr=(numexpr, lambda: numexpr.evaluate(horner, names, out=out)),
        numba_threads=(numba, threaded),
        numba_prange=(numba, lambda: parallel(x, c, out)),
        OpenMP=(openmp(), lambda: openmp().polyval(x, c, out)),
    )


# ---------------------------------------------------------------- histogram


@compiled
def histogram_loop(x, low, high, counts):
    # A row of counts for each part of x: with one row, threads would lose updates.
    rows, bins = counts.shape
    scale = bins / (high - low)
    for row in prange(rows):
        for i in range(row * x.size // rows, (row + 1) * x.size // rows):
            if low <= x[i] <= high:
                counts[row, min(int((x[i] - low) * scale), bins - 1)] += 1


def histogram(x, bins, borders):
    on_threads, parallel = histogram_loop
    axis = boost_histogram and boost_histogram.axis.Regular(bins, *borders)

    def in_rows(count):
        counts = np.zeros((CPUS, bins), np.int64)
        count(counts)
        return counts.sum(axis=0)

    def threaded(counts):
        def count(part, row):
            on_threads(x[part], *borders, row[None])

        list(THREADS.map(count, cut(x.size), counts))

    def boost():
        histogram = boost_histogram.Histogram(axis, storage=boost_histogram.storage.Int64())
        return histogram.fill(x, threads=CPUS).values()

    return installed(
        NumPy=(np, lambda: np.histogram(x, bins, borders)[0]),
        boost_histogram=(boost_histogram, boost),
        fast_histogram=(fast_histogram, lambda: fast_histogram.histogram1d(x, bins, borders)),
        numba_threads=(numba, lambda: in_rows(threaded)),
        numba_prange=(numba, lambda: in_rows(lambda counts: parallel(x, *borders, counts))),
        OpenMP=(openmp(), lambda: in_rows(lambda c: openmp().histogram(x, *borders, c))),
    )


# ---------------------------------------------------------------- sqeuclidean


@compiled
def sqeuclidean_loop(X, Y, out):
    for i in prange(X.shape[0]):
        for j in range(Y.shape[0]):
            total = 0.0
            for k in range(X.shape[1]):
                difference = X[i, k] - Y[j, k]
                total += difference * difference
            out[i, j] = total


def sqeuclidean(X, Y, out):
    on_threads, parallel = sqeuclidean_loop
    distance, metrics = optional("scipy.spatial.distance"), optional("sklearn.metrics.pairwise")

    def threaded():
        list(THREADS.map(lambda part: on_threads(X[part], Y, out[part]), cut(len(X))))

    def scipy_on_threads():
        def distances(part):
            distance.cdist(X[part], Y, "sqeuclidean", out=out[part])

        list(THREADS.map(distances, cut(len(X))))

    return installed(
        SciPy_threads=(distance, scipy_on_threads),
        scikit_learn=(metrics, lambda: metrics.euclidean_distances(X, Y, squared=True)),
        numba_threads=(numba, threaded),
        numba_prange=(numba, lambda: parallel(X, Y, out)),
        OpenMP=(openmp(), lambda: openmp().sqeuclidean(X, Y, out)),
    )


# ---------------------------------------------------------------- mandelbrot


@compiled
def mandelbrot_loop(left, top, dx, dy, limit, out):
    for i in prange(out.shape[0]):
        for j in range(out.shape[1]):
            cr, ci = left + (j + 0.5) * dx, top - (i + 0.5) * dy
            zr = zi = rr = ii = 0.0
            count = 0
            while count < limit:
                zi = 2 * zr * zi + ci
                zr = rr - ii + cr
                rr, ii = zr * zr, zi * zi
                if rr + ii > 4:
                    break
                count += 1
            out[i, j] = count


def mandelbrot(shape, extent, limit):
    on_threads, parallel = mandelbrot_loop
    left, right, bottom, top = extent
    dx, dy = (right - left) / shape[1], (top - bottom) / shape[0]

    def threaded():
        out = np.empty(shape, np.int32)

        def count(part):
            on_threads(left, top - part.start * dy, dx, dy, limit, out[part])

        list(THREADS.map(count, cut(len(out), 16 * CPUS)))
        return out

    def in_one_call(loop):
        out = np.empty(shape, np.int32)
        loop(left, top, dx, dy, limit, out)
        return out

    def in_numpy():
        c = left + (np.arange(shape[1]) + 0.5) * dx
        c = c + 1j * (top - (np.arange(shape[0]) + 0.5) * dy)[:, None]
        z, counts = np.zeros_like(c), np.zeros(shape, np.int32)
        with np.errstate(all="ignore"):
            for _ in range(limit):
                z = z * z + c
                counts += z.real * z.real + z.imag * z.imag <= 4
        return counts

    return installed(
        NumPy=(shape[0] * shape[1] < 10**6, in_numpy),  # larger ones take minutes and gigabytes
        numba_threads=(numba, threaded),
        numba_prange=(numba, lambda: in_one_call(parallel)),
        OpenMP=(openmp(), lambda: in_one_call(openmp().mandelbrot)),
    )


# ---------------------------------------------------------------- monte_carlo_pi


@compiled
def hits_loop(samples):
    hits = 0
    for _ in prange(samples):
        x, y = np.random.random(), np.random.random()  # noqa: NPY002  numba has no other
        hits += x * x + y * y < 1
    return hits


def monte_carlo_pi(samples, seed):
    on_threads, parallel = hits_loop
    generators = np.random.default_rng(seed).spawn(CPUS)

    def numpy_hits(generator):
        hits, block = 0, 50_000  # samples that fit in the cache
        for start in range(0, samples // CPUS, block):
            x, y = generator.random((2, min(block, samples // CPUS - start)))
            hits += np.count_nonzero(x * x + y * y < 1)
        return hits

    def threaded():
        return 4 * sum(THREADS.map(on_threads, [samples // CPUS] * CPUS)) / samples

    def in_openmp():
        return 4 * openmp().monte_carlo_pi([g.bit_generator for g in generators], samples) / samples

    return installed(
        NumPy_threads=(np, lambda: 4 * sum(THREADS.map(numpy_hits, generators)) / samples),
        numba_threads=(numba, threaded),
        numba_prange=(numba, lambda: 4 * parallel(samples) / samples),
        OpenMP=(openmp(), in_openmp),
    )
