"""What a release costs, what a thread costs, and how much work two threads need to beat one.

    pytest benchmarks/test_overhead.py

Calls that are compared are interleaved. The tables give medians of the rounds.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import statistics
import time
import timeit
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from timing import interleaved, median_seconds

import gilfree
from gilfree import _kernels, _macros
from gilfree._chunks import Chunks

# ---------------------------------------------------------------- the release


def nanoseconds(times):
    low, middle, high = statistics.quantiles([each * 1e9 for each in times], n=4)
    return f"{middle:.1f} ± {(high - low) / 2:.1f} ns"


def test_empty_call(benchmark, tables):
    rounds, calls = (4, 10) if benchmark.disabled else (400, 10_000)
    empty = [_kernels.empty_gil, _kernels.empty_nogil, _macros.empty_gil, _macros.empty_nogil]
    timers = [timeit.Timer(call) for call in empty]
    times = interleaved([lambda timer=timer: timer.timeit(calls) for timer in timers], rounds)
    times = [[each / calls for each in taken] for taken in times]
    headings = "empty call", "GIL held", "released", "release and acquire"
    _, rows = tables.setdefault("what a release costs", (headings, []))
    for how, held, released in ("Cython", *times[:2]), ("macros, by hand", *times[2:]):
        pair = [two - one for one, two in zip(held, released, strict=True)]
        rows.append((how, *map(nanoseconds, (held, released, pair))))
    benchmark(_kernels.empty_nogil)


def baseline():
    """Return the loops as compiled for any CPU, as _macros.c is."""
    folder = str(Path(gilfree.__file__).parent)
    spec = importlib.machinery.PathFinder.find_spec("gilfree._kernels", [folder])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("size", [10_000, 100_000, 1_000_000])
def test_cython_and_the_macros_on_the_same_work(benchmark, tables, size):
    x = np.random.default_rng(1).random(size)
    rounds = 3 if benchmark.disabled else 1000
    loops = baseline()
    entry = loops.sum_of_squares_nogil["double"]  # _macros.c has no other, so don't time the choice
    sums = np.empty(-(-size // _kernels.SUM_BLOCK))

    def cython_call():
        entry(x, sums, Chunks(sums.size))
        return loops.add_in_order(sums)

    assert cython_call() == _macros.sum_of_squares_nogil(x)
    calls = [cython_call, lambda: _macros.sum_of_squares_nogil(x)]
    cython, macros = interleaved(calls, rounds)
    ratios = [one / other for one, other in zip(cython, macros, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    headings = "doubles", "Cython", "macros", "Cython / macros", "quartiles"
    _, rows = tables.setdefault("sum_of_squares, GIL released", (headings, []))
    medians = [f"{statistics.median(times) * 1e6:.1f} µs" for times in (cython, macros)]
    rows.append((f"{size:,}", *medians, f"{middle:.3f}", f"{low:.3f}, {high:.3f}"))
    benchmark(calls[0])


def test_waking_a_thread(benchmark, tables):
    with ThreadPoolExecutor(1) as pool:

        def wake():
            start = time.perf_counter()
            return pool.submit(time.perf_counter).result() - start

        times = [wake() for _ in range(3 if benchmark.disabled else 5000)]
        low, middle, high = (each * 1e6 for each in statistics.quantiles(times, n=4))
        headings = "from submit until the task runs", "median", "quartiles"
        _, rows = tables.setdefault("what waking a thread costs", (headings, []))
        rows.append(("ThreadPoolExecutor", f"{middle:.0f} µs", f"{low:.0f}, {high:.0f} µs"))
        benchmark(wake)


# ---------------------------------------------------------------- how much work two threads need

Y = np.random.default_rng(2).random((64, 16))
MICROSECONDS = [20, 30, 45, 70, 100, 150, 220, 330, 500, 750, 1100, 1700, 2500]


def alone(X, Y, out):
    _kernels.sqeuclidean_nogil(X, Y, out, len(X), len(Y), Chunks(1))


def halves(X, out):
    middle = len(X) // 2
    return [(X[:middle], Y, out[:middle]), (X[middle:], Y, out[middle:])]


# Each context manager yields the call on one thread and the call on two.


@contextlib.contextmanager
def ours():
    def on_two(X, Y, out):
        gilfree.sqeuclidean(X, Y, out, workers=2)

    yield alone, on_two


@contextlib.contextmanager
def executor_map():
    with ThreadPoolExecutor(2) as pool:

        def on_two(X, Y, out):
            list(pool.map(alone, *zip(*halves(X, out), strict=True)))

        yield alone, on_two


@contextlib.contextmanager
def joblib_threading():
    joblib = pytest.importorskip("joblib")
    with joblib.Parallel(n_jobs=2, backend="threading") as parallel:
        task = joblib.delayed(alone)

        def on_two(X, Y, out):
            parallel(task(*half) for half in halves(X, out))

        yield alone, on_two


@contextlib.contextmanager
def numba_prange():
    numba = pytest.importorskip("numba")  # not available for every Python

    def distances(X, Y, out):
        for i in numba.prange(X.shape[0]):
            for j in range(Y.shape[0]):
                total = 0.0
                for k in range(X.shape[1]):
                    difference = X[i, k] - Y[j, k]
                    total += difference * difference
                out[i, j] = total

    yield numba.njit(distances), numba.njit(parallel=True)(distances)


def sweep(serial, on_two, rounds):
    """Return the seconds on one thread and the speedup of two, for each amount of work."""
    X, out = np.random.default_rng(3).random((1000, 16)), np.empty((1000, len(Y)))
    row = median_seconds(serial, X, Y, out) / len(X)
    seen = []
    for microseconds in MICROSECONDS:
        rows = max(round(microseconds * 1e-6 / row), 2)
        X, out = np.random.default_rng(3).random((rows, 16)), np.empty((rows, len(Y)))
        pairs = [
            (median_seconds(serial, X, Y, out), median_seconds(on_two, X, Y, out))
            for _ in range(rounds)
        ]
        speedup = statistics.median(one / two for one, two in pairs)
        seen.append((statistics.median(one for one, _ in pairs), speedup))
    return seen


WAYS = {
    "gilfree": ours,
    "ThreadPoolExecutor.map": executor_map,
    "joblib, threading": joblib_threading,
    "numba, prange": numba_prange,
}


@pytest.mark.parametrize("name", WAYS)
def test_least_work_worth_two_threads(benchmark, tables, name):
    X = np.random.default_rng(4).random((1001, 16))
    results = np.empty((2, len(X), len(Y)))
    with WAYS[name]() as (serial, on_two):
        serial(X, Y, results[0])
        on_two(X, Y, results[1])
        np.testing.assert_allclose(*results)
        seen = sweep(serial, on_two, 1 if benchmark.disabled else 11)
        benchmark(on_two, X, Y, results[1])
    benchmark.extra_info["speedups"] = seen
    slower = [number for number, (_, speedup) in enumerate(seen) if speedup <= 1]
    least = max(slower, default=-1) + 1
    worth = f"{seen[least][0] * 1e6:.0f} µs" if least < len(seen) else "none seen"
    shown = [seen[MICROSECONDS.index(each)][1] for each in (100, 330, 1100, 2500)]
    headings = "two threads", "beat one from", "at 0.1 ms", "0.33 ms", "1.1 ms", "2.5 ms"
    _, rows = tables.setdefault("the least work worth two threads", (headings, []))
    rows.append((name, worth, *(f"{speedup:.2f}×" for speedup in shown)))
