"""histogram: scattered writes. Each worker has its own counts, which are added up at the end."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gilfree import _kernels
from gilfree._arguments import whole_number
from gilfree._chunks import Chunks
from gilfree.kernels.arrays import (
    COPY_NS,
    FLOAT64,
    RealArray,
    aligned,
    blocks,
    flat,
    is_ready,
    real_array,
    real_numbers,
)
from gilfree.kernels.chunks import evenly, task_count
from gilfree.kernels.pool import Workers
from gilfree.kernels.record import Kernel, Loop, entry_point, first_numbers, random_numbers

NS = 1.0  # nanoseconds per value on one core
MOST_BINS = 2**31 - 1  # the loop numbers bins in 32 bits
# Types of edges for which `_edges` computes what NumPy computes.
PLAIN_TYPES = int, float, np.float32, np.float64


def histogram(
    x: ArrayLike,
    bins: int = 10,
    range: tuple[float, float] | None = None,  # noqa: A002  NumPy's name
    *,
    nogil: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
) -> tuple[NDArray[np.intp], RealArray]:
    """Count the values of `x` in bins of equal width, as ``numpy.histogram`` does.

    For float32 and float64, counts and edges equal NumPy's exactly. Other dtypes are converted to
    float64 first.

    Parameters
    ----------
    x : array_like, any shape
        Real numbers.
    bins : int, default: 10
        The number of bins.
    range : (float, float), optional
        The lower and upper edge of all bins; values outside, and NaN, are not counted. By default
        the smallest and the largest value of `x`.
    nogil, workers, executor
        As in `sum_of_squares`.

    Returns
    -------
    counts : ndarray of intp, shape (bins,)
        The number of values in each bin. A bin includes its lower edge; the last bin includes both.
    edges : ndarray, shape (bins + 1,)
        The edges of the bins.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, or `bins` is not a whole number.
    ValueError
        If `bins` or `workers` is less than 1, if `range` is not finite or not increasing, or if
        there is no `range` and `x` holds NaN or infinity.

    Examples
    --------
    >>> gilfree.histogram([1.0, 2.0, 2.0, 4.0], bins=3)
    (array([1, 2, 1]), array([1., 2., 3., 4.]))
    """
    x, dtype = real_array("x", x)
    bins = whole_number("bins", bins)
    if range is not None:
        range = tuple(real_numbers("range", range, 2))  # noqa: A001
    pool = Workers(workers, executor, work=x.size * (NS + COPY_NS * (not is_ready(x, dtype))))
    outer = np.empty(0, dtype)
    if range is None and x.size:
        outer = _range_of(_each_worker(pool, 1, _minmax, nogil, dtype, x))
    edges = _edges(outer, bins, range)
    double_edges = np.asarray(edges, FLOAT64)
    scale, tolerance = _kernels.bin_scale(double_edges)
    if not tolerance < _kernels.MAX_TOLERANCE or bins > MOST_BINS:  # a tolerance of NaN, too
        # Rounding decides the counts, so only NumPy itself gives NumPy's counts.
        limits = range or (tuple(outer) if outer.size else None)
        every = blocks(x, dtype, [slice(0, x.size)])
        counts = (np.histogram(block, bins, limits)[0] for _, block in every)
        return sum(counts, start=np.zeros(bins, np.intp)), edges
    how = double_edges, scale, tolerance
    partials = _each_worker(pool, bins, _histogram, nogil, dtype, x, *how)
    if not partials:
        return np.zeros(bins, np.intp), edges
    return functools.reduce(np.add, partials), edges


def _each_worker(
    pool: Workers,
    bins: int,
    task: Callable[..., NDArray[Any]],
    nogil: bool,
    dtype: np.dtype[Any],
    x: NDArray[Any],
    *how: Any,
) -> list[Any]:
    """Return the result of `task` from each worker, for the chunks of `x` that it took."""
    results: list[Any] = []
    least = 8 * bins  # elements of a chunk, or its result of `bins` counts would cost too much
    if pool.elsewhere:
        parts = evenly(x.size, min(task_count(x.size, NS), x.size // least + 1))
        tasks = ((None, (nogil, dtype, flat(x, part, dtype), *how)) for part in parts)
        pool.send(task, tasks, lambda _, result: results.append(result))
    else:
        work = functools.partial(task, nogil, dtype, x, *how)
        pool.share(lambda chunks: results.append(work(chunks=chunks)), x.size, least)
    return results


def _edges(
    outer: RealArray,
    bins: int,
    range: tuple[float, float] | None,  # noqa: A002
) -> RealArray:
    first, last = range or (outer if outer.size else (0.0, 0.0))
    if first < last and math.isfinite(last - first) and type(last - first) in PLAIN_TYPES:
        # NumPy's arithmetic without its checks, which take longer than counting a few thousand
        # values. For two Python floats the result type is known without the slow np.result_type.
        weak = type(first) is type(last) is float
        edges: RealArray = np.empty(bins + 1, float if weak else np.result_type(first, last, 1.0))
        _kernels.edges(first, last, edges)
        edges = edges.astype(
            outer.dtype if weak else np.result_type(first, last, outer), copy=False
        )
        if _kernels.increasing(np.asarray(edges, FLOAT64)):
            return edges
    # NumPy raises its error, or handles the special case.
    return np.histogram_bin_edges(outer, bins, range)


def _minmax(
    nogil: bool, dtype: np.dtype[Any], x: NDArray[Any], chunks: Chunks | None = None
) -> RealArray:
    outer = np.array([math.inf, -math.inf], dtype)
    _run("minmax", nogil, dtype, x, (outer,), chunks)
    return outer


def _range_of(extremes: list[RealArray]) -> RealArray:
    """Return the smallest and the largest value of several pairs; NaN if a pair holds NaN."""
    if len(extremes) == 1:
        return extremes[0]
    lows, highs = np.transpose(extremes)
    return np.array([lows.min(), highs.max()])


def _histogram(
    nogil: bool,
    dtype: np.dtype[Any],
    x: NDArray[Any],
    edges: NDArray[np.float64],
    scale: float,
    tolerance: float,
    chunks: Chunks | None = None,
) -> NDArray[np.intp]:
    # Several rows of counts if they fit in the cache. The last element of a row counts the values
    # outside of all bins, so a row is as long as `edges`.
    rows = _kernels.COUNT_ROWS if edges.size < 1000 else 1
    counts = np.zeros((rows, edges.size), np.intp)
    how = aligned(edges, FLOAT64), scale, tolerance, counts
    _run("histogram", nogil, dtype, x, how, chunks)
    return counts[0, :-1]


def _run(
    name: str,
    nogil: bool,
    dtype: np.dtype[Any],
    x: NDArray[Any],
    how: tuple[Any, ...],
    chunks: Chunks | None,
) -> None:
    """Run a loop over `chunks` of `x`, or over all of `x`."""
    loop = entry_point(name, nogil)
    chunks = chunks or Chunks(x.size)
    if is_ready(x, dtype):
        loop(x.reshape(-1), *how, chunks)
    else:
        for _, block in blocks(x, dtype, chunks):
            loop(block, *how, Chunks(block.size))


def _bytecode(
    x: ArrayLike,
    bins: int = 10,
    range: tuple[float, float] | None = None,  # noqa: A002  NumPy's name
) -> Loop:
    """Return the loop that counts values in bins."""
    values = first_numbers(x, 150_000)
    low, high = range or (min(values, default=0.0), max(values, default=1.0))
    scale = bins / (high - low) if high > low else 0.0

    def loop(start: int, stop: int) -> list[int]:
        counts = [0] * bins
        for value in values[start:stop]:
            if low <= value <= high:
                counts[min(int((value - low) * scale), bins - 1)] += 1
        return counts

    return loop, len(values)


def _workload(data: NDArray[Any] | None = None, quick: bool = False) -> tuple[Any, ...]:
    return random_numbers(quick) if data is None else data.reshape(-1), 64


KERNEL = Kernel(histogram, _bytecode, _workload, takes_array=True)
