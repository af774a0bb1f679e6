"""Each kernel in several modes on 1, 2, 4 ... workers, under pytest-benchmark.

    pytest benchmarks/test_gil_release.py

The modes are bytecode, a part of the work in pure Python on threads; processes, the kernel on a
process pool; held and released, the kernel on threads with the GIL held and released. Two tables
show the medians, and the speedups over one worker of the same mode; for processes, over one thread
that releases the GIL. Unlike ``gilfree.compare``, pytest-benchmark does not interleave the modes.
If the machine changes its speed during the run, the ratios are wrong, so check the spread.
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


@pytest.fixture  # for each test: the system counts the CPU time of processes that have ended
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
    # A warm-up call wakes the threads or processes of the pool.
    rounds = {"rounds": 20 if mode != "processes" else 5, "iterations": 1, "warmup_rounds": 1}
    if mode == "bytecode":
        loop = kernels.kernel(name).bytecode(*args)
        results = benchmark.pedantic(pure_python.run, (loop, threads, workers), **rounds)
        assert len(results) >= workers
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
