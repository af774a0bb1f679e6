"""What handing out chunks costs: a call beside the same work split by hand, and beside its loop.

    pytest benchmarks/test_hand_out.py

Split by hand means: one Python thread for each CPU calls the compiled loop once, on an equal part,
and releases the GIL once. In both cases the threads are awake before the call is timed. Ratios are
medians of the ratios within rounds.
"""

from __future__ import annotations

import functools
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from timing import interleaved_bursts, median_seconds

import gilfree
from gilfree import _kernels
from gilfree._chunks import Chunks
from gilfree._system import usable_cpus
from gilfree.kernels.chunks import evenly
from gilfree.measure import clocking
from gilfree.measure.limit import Processes

SIZE = 10**7
CPUS = usable_cpus()

# Each function takes a size and a number of parts. It returns the arguments of the public function,
# and for each part a callable that runs the compiled loop on it.


def sum_of_squares(size, parts):
    x = np.random.default_rng(1).random(size)

    def run(part):
        sums = np.empty(-(-part.size // _kernels.SUM_BLOCK))
        _kernels.sum_of_squares_nogil(part, sums, Chunks(sums.size))

    return (x,), [lambda cut=cut: run(x[cut]) for cut in evenly(size, parts)]


def polyval(size, parts):
    x, c, out = np.random.default_rng(2).random(size), np.arange(1.0, 9.0), np.empty(size)

    def run(cut):
        _kernels.polyval_nogil(x[cut], c, out[cut], Chunks(cut.stop - cut.start))

    return (x, c, out), [lambda cut=cut: run(cut) for cut in evenly(size, parts)]


def histogram(size, parts):
    x, edges = np.random.default_rng(3).random(size), np.linspace(0.0, 1.0, 65)
    how = edges, *_kernels.bin_scale(edges)

    def run(part):
        counts = np.zeros((_kernels.COUNT_ROWS, 65), np.intp)
        _kernels.histogram_nogil(part, *how, counts, Chunks(part.size))

    return (x, 64, (0.0, 1.0)), [lambda cut=cut: run(x[cut]) for cut in evenly(size, parts)]


def sqeuclidean(size, parts):
    X = np.random.default_rng(4).random((max(int(size**0.5), parts), 16))
    out = np.empty((len(X), len(X)))

    def run(cut):
        _kernels.sqeuclidean_nogil(X[cut], X, out[cut], len(X), len(X), Chunks(1))

    return (X, X, out), [lambda cut=cut: run(cut) for cut in evenly(len(X), parts)]


def mandelbrot(size, parts):
    # The upper and the lower half of the picture take the same time.
    height = max(int((size / 12) ** 0.5), parts)
    width, extent = 4 * height // 3, (-2.0, 1.0, -1.0, 1.0)
    picture = width, -2.0, 1.0, 3.0 / width, 2.0 / height, 200
    out = np.empty(height * width, np.int32)

    def run(rows):
        pixels = out[rows.start * width : rows.stop * width]
        _kernels.mandelbrot_nogil(rows.start * width, *picture, pixels, Chunks(pixels.size))

    args = (height, width), extent, 200
    return args, [lambda cut=cut: run(cut) for cut in evenly(height, parts)]


def monte_carlo_pi(size, parts):
    def run(number, samples):
        _kernels.monte_carlo_pi_nogil(np.random.PCG64(number), samples)

    cuts = enumerate(evenly(size, parts))
    return (size, 5), [lambda n=n, cut=cut: run(n, cut.stop - cut.start) for n, cut in cuts]


KERNELS = [sum_of_squares, polyval, histogram, sqeuclidean, mandelbrot, monte_carlo_pi]


def ratio(theirs, ours):
    """Return the median and the quartiles of the ratios within the rounds."""
    ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f}", f"{low:.2f}-{high:.2f}"


@pytest.mark.parametrize("make", KERNELS)
def test_a_call_beside_the_work_split_by_hand(benchmark, tables, make):
    args, parts = make(1000 if benchmark.disabled else SIZE, CPUS)
    kernel = getattr(gilfree, make.__name__)
    with ThreadPoolExecutor(CPUS) as threads:

        def by_hand():
            clocking.wake(CPUS, threads)
            return clocking.seconds(lambda: list(threads.map(lambda part: part(), parts)))

        def ours():
            clocking.wake(CPUS)
            return clocking.seconds(lambda: kernel(*args))

        rounds = 3 if benchmark.disabled else 101
        hand, call = [], []
        for number in range(rounds):
            pair = [(by_hand, hand), (ours, call)]
            for call_once, times in pair[:: -1 if number % 2 else 1]:
                times.append(call_once())
    with Processes(CPUS, make.__name__, args, {}) as processes:
        alone, limit = [], []
        for _ in range(3 if benchmark.disabled else 21):
            clocking.wake(CPUS)
            alone.append(clocking.seconds(lambda: kernel(*args)))
            limit.append(processes.seconds(1, CPUS) / CPUS)
    headings = "kernel", "by hand ms", "ours", "ratio", "quartiles", "of processes", "quartiles"
    _, rows = tables.setdefault("a call beside the same work split by hand", (headings, []))
    medians = (f"{statistics.median(times) * 1e3:.2f}" for times in (hand, call))
    rows.append((make.__name__, *medians, *ratio(hand, call), *ratio(limit, alone)))
    benchmark.pedantic(kernel, args, rounds=3)


@pytest.mark.parametrize("make", KERNELS)
def test_a_call_on_64_elements_beside_its_loop(benchmark, tables, make):
    args, (loop,) = make(64, 1)
    kernel = getattr(gilfree, make.__name__)
    calls = functools.partial(kernel, *args), loop
    call, alone = interleaved_bursts(calls, 2 if benchmark.disabled else 11)
    above = [one - other for one, other in zip(call, alone, strict=True)]
    low, middle, high = (each * 1e6 for each in statistics.quantiles(above, n=4))
    headings = "64 elements", "loop µs", "call", "more", "quartiles"
    _, rows = tables.setdefault("what a call costs beside its loop", (headings, []))
    medians = (f"{statistics.median(times) * 1e6:.1f}" for times in (alone, call))
    rows.append((make.__name__, *medians, f"{middle:.1f}", f"{low:.1f}-{high:.1f}"))
    benchmark(kernel, *args)


def test_one_release_for_each_chunk_and_one_for_each_worker(benchmark, tables):
    size = 1000 if benchmark.disabled else 10**6
    x, c, out = np.random.default_rng(2).random(size), np.arange(1.0, 9.0), np.empty(size)

    def once_a_worker(chunks):
        _kernels.polyval_nogil(x, c, out, chunks)

    def once_a_chunk(chunks):
        for chunk in chunks:
            one = Chunks(chunk.stop - chunk.start)
            _kernels.polyval_nogil(x[chunk], c, out[chunk], one)

    headings = "chunks of", "chunks", "a release each ms", "one a worker", "ratio", "quartiles"
    _, rows = tables.setdefault("one release for each chunk, or for each worker", (headings, []))
    with ThreadPoolExecutor(CPUS) as threads:
        for length in (100_000, 10_000, 1000):
            count = max(size // length, 1)

            def run(work, count=count):
                chunks = Chunks(size, count)
                list(threads.map(work, [chunks] * CPUS))

            each, once = interleaved_bursts(
                [lambda: run(once_a_chunk), lambda: run(once_a_worker)],
                2 if benchmark.disabled else 11,
            )
            medians = (f"{statistics.median(times) * 1e3:.2f}" for times in (each, once))
            rows.append((f"{length:,}", f"{count:,}", *medians, *ratio(each, once)))
        benchmark(lambda: run(once_a_worker))


def test_a_call_after_a_pause(benchmark, tables):
    """The helpers are asleep when the call begins."""
    headings = "work µs", "one thread", "two", "ratio", "quartiles"
    _, rows = tables.setdefault("a call after a pause, on two threads", (headings, []))
    Y = np.random.default_rng(2).random((64, 16))
    row = median_seconds(lambda: gilfree.sqeuclidean(Y, Y, workers=1)) / len(Y)
    for microseconds in (150, 220, 300, 500, 1000, 2000):
        X = np.random.default_rng(3).random((max(round(microseconds * 1e-6 / row), 2), 16))
        out, times = np.empty((len(X), len(Y))), ([], [])
        for _ in range(2 if benchmark.disabled else 200):
            for workers, taken in enumerate(times, 1):
                time.sleep(0.003)
                call = functools.partial(gilfree.sqeuclidean, X, Y, out, workers=workers)
                taken.append(clocking.seconds(call))
        medians = (f"{statistics.median(taken) * 1e6:.0f} µs" for taken in times)
        rows.append((str(microseconds), *medians, *ratio(*times)))
    benchmark(gilfree.sqeuclidean, X, Y, out)
