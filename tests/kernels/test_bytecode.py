"""The loops in pure Python give the results of the kernels."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gilfree
from gilfree import kernels
from gilfree.kernels import kernel
from gilfree.measure import pure_python

X = np.random.default_rng(3).normal(size=101)
POINTS = X[:96].reshape(-1, 4)


@pytest.mark.parametrize(
    ("name", "args", "join"),
    [
        ("sum_of_squares", (X,), sum),
        ("polyval", (X, [1.0, 2.0, 3.0]), np.concatenate),
        ("sqeuclidean", (POINTS, POINTS[:7]), lambda parts: np.concatenate(parts).reshape(-1, 7)),
        ("mandelbrot", ((12, 9),), lambda parts: np.concatenate(parts).reshape(12, 9)),
    ],
)
@pytest.mark.parametrize("workers", [1, 3])
def test_a_loop_gives_what_its_kernel_gives(name, args, join, workers):
    with ThreadPoolExecutor(workers) as threads:
        parts = pure_python.run(kernel(name).bytecode(*args), threads, workers)
    np.testing.assert_allclose(join(parts), getattr(gilfree, name)(*args), rtol=1e-12)


def test_no_more_threads_work_than_asked_for():
    with ThreadPoolExecutor(4) as threads:
        barrier = threading.Barrier(4, timeout=30)
        list(threads.map(lambda _: barrier.wait(), range(4)))  # all of them have started
        loop = lambda _, __: (time.sleep(0.001), threading.get_ident())[1], 100
        assert len(set(pure_python.run(loop, threads, 2))) <= 2


@pytest.mark.parametrize("range_", [None, (-1.0, 1.5)])
def test_the_histogram_counts_every_value(range_):
    with ThreadPoolExecutor(2) as threads:
        parts = pure_python.run(kernel("histogram").bytecode(X, 8, range_), threads, 2)
    np.testing.assert_array_equal(np.sum(parts, axis=0), gilfree.histogram(X, 8, range_)[0])


def test_pi_is_about_right():
    with ThreadPoolExecutor(1) as threads:
        (hits,) = pure_python.run(kernel("monte_carlo_pi").bytecode(50_000), threads, 1)
    assert abs(4 * hits / 50_000 - np.pi) < 8 * 1.64 / 50_000**0.5


@pytest.mark.parametrize("name", kernels.__all__)
def test_every_workload_has_a_loop_of_limited_size(name):
    loop, size = kernel(name).bytecode(*kernel(name).workload())
    assert 1000 < size <= 400_000
    loop(0, 10)


@pytest.mark.parametrize("x", [[], [5.0], [5.0, 5.0]])
def test_little_data(x):
    with ThreadPoolExecutor(2) as threads:
        for name, args in ("sum_of_squares", (x,)), ("histogram", (x,)), ("polyval", (x, [1.0])):
            pure_python.run(kernel(name).bytecode(*args), threads, 2)
