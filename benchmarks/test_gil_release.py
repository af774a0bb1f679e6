"""Each kernel with the GIL held and released, on 1, 2, 4 ... workers, under pytest-benchmark.

    pytest benchmarks/test_gil_release.py

ends in a table of the medians, and of the speedups over one worker of the same mode. Unlike
``gilfree.compare``, pytest-benchmark runs one case to its end before the next, so a machine that
changes its speed meanwhile bends the ratios: look at the spread.
"""

from __future__ import annotations

import pickle

import pytest

from gilfree import kernels
from gilfree.compare import workload
from gilfree.pool import gil_enabled, usable_cpus

MODES = ["held", "released"]
WORKERS = sorted({2**power for power in range(usable_cpus().bit_length())} | {usable_cpus()})


@pytest.fixture(scope="module", params=kernels.__all__)
def case(request):
    """Return the name of a kernel, its arguments, and the bits of its result on one worker."""
    args = workload(request.param)
    return request.param, args, pickle.dumps(getattr(kernels, request.param)(*args, workers=1))


@pytest.mark.parametrize(
    ("workers", "mode"), [(workers, mode) for workers in WORKERS for mode in MODES]
)
def test_kernel(benchmark, case, workers, mode, medians):
    name, args, expected = case
    kernel = getattr(kernels, name)
    how = {"nogil": mode == "released", "workers": workers}
    benchmark.group = name
    # One call before the clock starts wakes the threads of the pool.
    result = benchmark.pedantic(kernel, args, how, rounds=20, iterations=1, warmup_rounds=1)
    assert pickle.dumps(result) == expected
    if benchmark.stats is not None:  # it is None under --benchmark-disable
        medians[name, mode, workers] = benchmark.stats.stats.median
        benchmark.extra_info.update(
            workers=workers, gil_enabled=gil_enabled(), speedup=medians.speedup(name, mode, workers)
        )
