"""histogram: scattered writes; each chunk counts for itself, and the counts are added up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gilfree import _kernels
from gilfree._arguments import whole_number
from gilfree.kernels.arrays import FLOAT64, RealArray, blocks, real_array, real_numbers
from gilfree.kernels.chunks import chunks_of
from gilfree.kernels.pool import Pool
from gilfree.kernels.record import Kernel, Loop, entry_point, first_numbers, random_numbers

NS = 1.0  # what a value costs on one core
# What NumPy makes edges of by itself, without a look at their type.
PLAIN = int, float, np.float32, np.float64


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

    For float32 and float64, counts and edges are NumPy's very own. Other dtypes become float64
    first.

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
        How many values lie in each bin. A bin includes its lower edge; the last one both.
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
    pool = Pool(workers, executor, work=x.size * NS)

    def chunks() -> Iterator[tuple[Any, ...]]:
        # Each chunk counts for itself, so it is long beside its counts.
        for piece in chunks_of(x.shape, cost=NS, shortest=8 * bins, alone=pool.alone):
            yield nogil, dtype, x[piece]

    outer = np.empty(0, dtype)
    if range is None and x.size:
        extremes: list[RealArray] = []
        pool.run(_minmax, chunks(), extremes.append)
        outer = _range_of(extremes)
    edges = _edges(outer, bins, range)
    double_edges = np.asarray(edges, FLOAT64)
    scale, tolerance = _kernels.bin_scale(double_edges)
    if not tolerance < _kernels.MAX_TOLERANCE:  # NaN too
        # Then rounding decides, and for the very same counts it has to be NumPy's own.
        limits = range or (tuple(outer) if outer.size else None)
        counts = (np.histogram(block, bins, limits)[0] for block in blocks(x, dtype))
        return sum(counts, start=np.zeros(bins, np.intp)), edges
    partials: list[NDArray[np.intp]] = []

    def add(partial: NDArray[np.intp]) -> None:
        if partials:
            np.add(partials[0], partial, out=partials[0])
        else:
            partials.append(partial)

    pool.run(_histogram, ((*chunk, double_edges, scale, tolerance) for chunk in chunks()), add)
    return partials[0] if partials else np.zeros(bins, np.intp), edges


def _edges(
    outer: RealArray,
    bins: int,
    range: tuple[float, float] | None,  # noqa: A002
) -> RealArray:
    first, last = range or (outer if outer.size else (0.0, 0.0))
    if first < last and math.isfinite(last - first) and type(last - first) in PLAIN:
        # What NumPy does between its checks, which take longer than the count of some thousands.
        edges: RealArray = np.empty(bins + 1, np.result_type(first, last, 1.0))
        _kernels.edges(first, last, edges)
        edges = edges.astype(np.result_type(first, last, outer), copy=False)
        if _kernels.increasing(edges):
            return edges
    # NumPy says what is wrong, or makes the best of it.
    return np.histogram_bin_edges(outer, bins, range)


def _minmax(nogil: bool, dtype: np.dtype[Any], x: NDArray[Any]) -> RealArray:
    kernel = entry_point("minmax", nogil)
    outer = []
    for block in blocks(x, dtype):
        outer.append(np.empty(2, dtype))
        kernel(block, outer[-1])
    return _range_of(outer)


def _range_of(extremes: list[RealArray]) -> RealArray:
    """Return the least and the greatest of several such pairs; NaN if there is one."""
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
) -> NDArray[np.intp]:
    kernel = entry_point("histogram", nogil)
    edges = edges if edges.flags.aligned else edges.copy()
    # The loop takes several rows of counts, where they fit in the cache, and one bin more.
    rows = _kernels.COUNT_ROWS if edges.size < 1000 else 1
    counts = np.zeros((rows, edges.size), np.intp)
    for block in blocks(x, dtype):
        kernel(block, edges, scale, tolerance, counts)
    return counts[0, :-1]


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
