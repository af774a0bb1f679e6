"""Each kernel on all CPUs beside other libraries that do the same work, at three sizes.

    pytest benchmarks/test_peers.py

It prints three tables. The first names the fastest peer for each kernel and size, with the ratio of
its time to gilfree's. The second shows the rate at which memory is read and written, beside that of
the fastest peer or of a plain copy. The third has all times. Results are compared with gilfree's
before the timing. Ratios are medians of the ratios within rounds. A peer that takes more than five
times as long as the fastest is timed once.
"""

from __future__ import annotations

import statistics

import numpy as np
import peers
import pytest
from timing import interleaved, interleaved_bursts

import gilfree

SIZES = {"in cache": 10**5, "10⁷": 10**7, "10⁸": 10**8}
COPY = "(copy)"
OURS = "gilfree", COPY


# The arguments of each kernel for `size` elements of its input or result.


def sum_of_squares(size):
    return (np.random.default_rng(1).random(size),)


def polyval(size):
    return np.random.default_rng(2).random(size), np.arange(1.0, 9.0), np.empty(size)


def histogram(size):
    return np.random.default_rng(3).random(size), 64, (0.0, 1.0)


def sqeuclidean(size):
    X = np.random.default_rng(4).random((int(size**0.5), 16))
    return X, X[::-1].copy(), np.empty((len(X), len(X)))


def mandelbrot(size):
    height = int((size / 12) ** 0.5)
    return (3 * height, 4 * height), (-2.0, 1.0, -1.0, 1.0), 200


def monte_carlo_pi(size):
    return size, 5


ARGUMENTS = {
    each.__name__: each
    for each in (sum_of_squares, polyval, histogram, sqeuclidean, mandelbrot, monte_carlo_pi)
}


def check(name, ours, theirs, size):
    """Compare results. Rounding may move values to another bin, and orbits across the border."""
    if name == "histogram":
        assert theirs.sum() == ours[0].sum()
        assert np.abs(theirs - ours[0]).sum() <= 1e-6 * size + 2
    elif name == "mandelbrot":
        assert np.mean(theirs != ours) < 0.01
    elif name == "monte_carlo_pi":
        assert abs(theirs - ours) < 8 * 1.64 / size**0.5
    else:
        np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_peers(benchmark, tables, name, size):
    elements = 1000 if benchmark.disabled else SIZES[size]
    args = ARGUMENTS[name](elements)
    kernel, out = getattr(gilfree, name), args[-1]
    calls = getattr(peers, name)(*args)
    ours = kernel(*args)
    ours = ours.copy() if ours is out else ours
    once = {}
    for peer, call in calls.items():
        result = call()  # numba compiles here
        check(name, ours, out if result is None else result, elements)
        once[peer] = min(interleaved([call], 5 if elements <= 10**6 else 1)[0])
    near = {peer: calls[peer] for peer in once if once[peer] < 5 * min(once.values())}
    near["gilfree"] = lambda: kernel(*args)
    if name == "polyval":
        near[COPY] = lambda: peers.copy(args[0], out)
    long = benchmark.disabled or sum(once.get(peer, 0) for peer in near) > 2
    seconds = dict(zip(near, interleaved_bursts(near.values(), 3 if long else 11), strict=True))
    medians = {**once, **{peer: statistics.median(times) for peer, times in seconds.items()}}
    add_rows(tables, name, size, elements, seconds, medians)
    benchmark.pedantic(near["gilfree"], rounds=3)


def add_rows(tables, name, size, elements, seconds, medians):
    def row(title, headings, cells):
        tables.setdefault(title, (headings, []))[1].append((name, size, *cells))

    ranking = sorted(medians, key=medians.get)
    best = next((peer for peer in ranking if peer in seconds and peer not in OURS), None)
    if best is not None:
        headings = "kernel", "size", "best peer", "its ms", "ours", "ratio", "quartiles"
        times = ms(medians[best]), ms(medians["gilfree"])
        row("the fastest peer", headings, (best, *times, *ratio(seconds[best], seconds["gilfree"])))
    if name in ("sum_of_squares", "polyval"):
        headings = "kernel", "size", "bound", "its GB/s", "ours", "share", "quartiles"
        bound = best if name == "sum_of_squares" else COPY
        moved = (8 if name == "sum_of_squares" else 16) * elements / 1e9
        rates = (f"{moved / medians[which]:.1f}" for which in (bound, "gilfree"))
        row("bandwidth", headings, (bound, *rates, *ratio(seconds[bound], seconds["gilfree"])))
    for peer in ranking:
        row("all peers", ("kernel", "size", "peer", "ms"), (peer, ms(medians[peer])))


def ratio(theirs, ours):
    """Return median and quartiles of the ratios within the rounds."""
    low, middle, high = statistics.quantiles(
        (their / our for their, our in zip(theirs, ours, strict=True)), n=4
    )
    return f"{middle:.2f}", f"{low:.2f}-{high:.2f}"


def ms(seconds):
    return f"{seconds * 1e3:#.3g}".rstrip(".")
