"""Each kernel in every way on 1, 2, 4 ... workers, under pytest-benchmark.

    pytest benchmarks/test_gil_release.py

The ways: a part of the work in pure Python on threads, the kernel on a process pool, and on threads
with the GIL held and released. It ends in a table of the medians, and of the speedups over one
worker of the same mode; those of processes are over one thread of this process that releases the
GIL. Unlike ``gilfree.compare``, pytest-benchmark runs one case to its end before the next, so a
machine that changes its speed meanwhile bends the ratios: look at the spread.
"""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from gilfree import kernels
from gilfree._system import gil_enabled, usable_cpus
from gilfree.measure import pure_python

MODES = ["bytecode", "processes", "held", "released"]
WORKERS = sorted({2**power for power in range(usable_cpus().bit_length())} | {usable_cpus()})


@pytest.fixture(scope="module", params=kernels.__all__)
def case(request):
    """Return the name of a kernel, its arguments, and the bits of its result on one worker."""
    args = kernels.kernel(request.param).workload()
    return request.param, args, pickle.dumps(getattr(kernels, request.param)(*args, workers=1))


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(WORKERS[-1], multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def threads():
    with ThreadPoolExecutor(WORKERS[-1]) as executor:
        yield executor


@pytest.mark.parametrize(
    ("workers", "mode"), [(workers, mode) for workers in WORKERS for mode in reversed(MODES)]
)
def test_kernel(benchmark, case, workers, mode, medians, processes, threads):
    name, args, expected = case
    benchmark.group = name
    # One call before the clock starts wakes the threads or processes of the pool.
    rounds = {"rounds": 20 if mode != "processes" else 5, "iterations": 1, "warmup_rounds": 1}
    if mode == "bytecode":
        loop = kernels.kernel(name).bytecode(*args)
        pieces = benchmark.pedantic(pure_python.run, (loop, threads, workers), **rounds)
        assert len(pieces) >= workers
    else:
        how = {"workers": workers}
        how |= {"executor": processes} if mode == "processes" else {"nogil": mode == "released"}
        result = benchmark.pedantic(getattr(kernels, name), args, how, **rounds)
        assert pickle.dumps(result) == expected
    if benchmark.stats is not None:  # it is None under --benchmark-disable
        medians[name, mode, workers] = benchmark.stats.stats.median
        benchmark.extra_info.update(
            workers=workers, gil_enabled=gil_enabled(), speedup=medians.speedup(name, mode, workers)
        )
