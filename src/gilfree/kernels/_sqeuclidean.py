"""sqeuclidean: bound by arithmetic, and balanced: each chunk is a tile of the matrix."""

from __future__ import annotations

import functools
import itertools
import math
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gilfree._chunks import Chunks
from gilfree.kernels.arrays import RealArray, aligned, output, real_array
from gilfree.kernels.chunks import evenly
from gilfree.kernels.pool import Workers
from gilfree.kernels.record import Kernel, Loop, entry_point, random_numbers

NS = 0.1  # what a coordinate of a pair costs on one core
TILE = 100e3  # nanoseconds
LEAST = 64  # pairs in a tile


def sqeuclidean(
    X: ArrayLike,
    Y: ArrayLike,
    out: RealArray | None = None,
    *,
    nogil: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
) -> RealArray:
    """Return the squared distance of each row of `X` to each row of `Y`.

    The same as ``scipy.spatial.distance.cdist(X, Y, "sqeuclidean")``, but float32 stays float32.

    Parameters
    ----------
    X : array_like, shape (m, k)
        m points of k real coordinates.
    Y : array_like, shape (n, k)
        n points of as many coordinates.
    out : ndarray, shape (m, n), optional
        Where to put the result: C-contiguous, of the dtype of the result. It may not share memory
        with `X` or `Y`.
    nogil, workers, executor
        As in `sum_of_squares`.

    Returns
    -------
    ndarray, shape (m, n)
        float32 if `X` and `Y` both are, and float64 otherwise; `out` if it was given.

    Raises
    ------
    TypeError
        If `X` or `Y` do not hold real numbers.
    ValueError
        If the shapes do not fit, if `out` does not fit, or `workers` is less than 1.

    Examples
    --------
    >>> gilfree.sqeuclidean([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0]])
    array([[ 0.],
           [25.]])
    """
    X, X_dtype = real_array("X", X)
    Y, Y_dtype = real_array("Y", Y)
    for name, points in ("X", X), ("Y", Y):
        if points.ndim != 2:
            msg = f"{name} must be two-dimensional, not of shape {points.shape}"
            raise ValueError(msg)
    if X.shape[1] != Y.shape[1]:
        msg = f"X and Y must have as many columns as each other, not {X.shape} and {Y.shape}"
        raise ValueError(msg)
    dtype = np.promote_types(X_dtype, Y_dtype)
    pair = NS * max(X.shape[1], 1)  # what one distance costs
    pool = Workers(workers, executor, work=len(X) * len(Y) * pair)
    result = output(out, (len(X), len(Y)), dtype, X=X, Y=Y)
    # The loop takes any strides, so only points of another dtype are copied as a whole.
    X, Y = aligned(X, dtype), aligned(Y, dtype)
    down, across = _tiles(len(X), len(Y), pair)
    if pool.elsewhere:
        tiles = itertools.product(evenly(len(X), down), evenly(len(Y), across))
        pieces = (((i, j), (nogil, X[i], Y[j])) for i, j in tiles)
        pool.send(_tile, pieces, result.__setitem__)
    else:
        loop = entry_point("sqeuclidean", nogil)
        pool.share(functools.partial(loop, X, Y, result, down, across), down * across)
    return result if out is None else out


def _tiles(rows: int, columns: int, pair: float) -> tuple[int, int]:
    """Return into how many rows and columns of tiles to cut the distances.

    Tiles are as nearly square as may be: each turns its rows of Y for the loop once, and that pays
    by the rows of X it has.
    """
    size = rows * columns
    if not size:
        return 0, 0
    count = max(min(size * pair / TILE, size / LEAST), 1)
    side = math.sqrt(size / count)
    down = min(max(round(rows / side), 1), rows)
    return down, min(max(round(count / down), 1), columns)


def _tile(nogil: bool, X: RealArray, Y: RealArray) -> RealArray:
    out = np.empty((len(X), len(Y)), X.dtype)
    X, Y = aligned(X, X.dtype), aligned(Y, Y.dtype)
    entry_point("sqeuclidean", nogil)(X, Y, out, 1, 1, Chunks(1))
    return out


def _bytecode(X: ArrayLike, Y: ArrayLike, out: object = None) -> Loop:
    """Return the loop over pairs of points."""
    rows, others = (np.asarray(points, float)[:150].tolist() for points in (X, Y))

    def loop(start: int, stop: int) -> list[float]:
        results = []
        for pair in range(start, stop):
            total = 0.0
            for a, b in zip(rows[pair // len(others)], others[pair % len(others)], strict=True):
                total += (a - b) * (a - b)
            results.append(total)
        return results

    return loop, len(rows) * len(others)


def _workload(data: NDArray[Any] | None = None, quick: bool = False) -> tuple[Any, ...]:
    points = random_numbers(quick, (3000, 16), (1700, 16)) if data is None else data
    points = points.reshape(len(points), -1)[:3000]
    dtype = np.float32 if points.dtype == np.float32 else np.float64
    return points, points, np.empty((len(points), len(points)), dtype)


KERNEL = Kernel(sqeuclidean, _bytecode, _workload, takes_array=True)
