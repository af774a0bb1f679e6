"""sqeuclidean: bound by arithmetic, and balanced. Each chunk is a range of tiles of the matrix."""

from __future__ import annotations

import functools
import itertools
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gilfree import _kernels
from gilfree._chunks import Chunks
from gilfree.kernels.arrays import RealArray, aligned, output, real_array
from gilfree.kernels.chunks import FEW_TASKS, MAX_CHUNK_NS, MIN_CHUNK_NS
from gilfree.kernels.pool import Workers
from gilfree.kernels.record import Kernel, Loop, entry_point, random_numbers

NS = 0.1  # nanoseconds per coordinate of a pair on one core
MAX_TILE_NS = 100e3


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
        Where to write the result: a C-contiguous array of the dtype of the result. It must not
        share memory with `X` or `Y`.
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
    pair = NS * max(X.shape[1], 1)  # nanoseconds per distance
    pool = Workers(workers, executor, work=len(X) * len(Y) * pair)
    result = output(out, (len(X), len(Y)), dtype, X=X, Y=Y)
    # The loop takes any strides, so points are only copied if their dtype or alignment differs.
    X, Y = aligned(X, dtype), aligned(Y, dtype)
    height, width = _tile(result.size * pair, pair, len(Y))
    if pool.elsewhere:
        rows, columns = _cuts(len(X), height * 8), _cuts(len(Y), width * 8)
        tiles = itertools.product(rows, columns)
        tasks = (((i, j), (nogil, X[i], Y[j])) for i, j in tiles)
        pool.send(_distances, tasks, result.__setitem__)
    else:
        loop = entry_point("sqeuclidean", nogil)
        count = -(-len(X) // height) * -(-len(Y) // width)
        pool.share(functools.partial(loop, X, Y, result, height, width), count)
    return result if out is None else out


def _tile(work: float, pair: float, columns: int) -> tuple[int, int]:
    """Return how many rows and columns of the result a tile has.

    A tile is as wide as the block that the loop computes, which avoids partial blocks. It is as
    high as its time allows, since each tile transposes its rows of Y once. Points with many
    coordinates get small tiles, or Ctrl-C would have to wait.
    """
    width = _kernels.ROWS * _kernels.TILES
    if 2 * width * pair > MAX_CHUNK_NS:
        width = _kernels.ROWS
    tile = min(max(work / FEW_TASKS, MIN_CHUNK_NS), MAX_TILE_NS)
    return 2 * max(int(tile / pair / max(min(width, columns), 1) / 2), 1), width


def _cuts(size: int, length: int) -> list[slice]:
    return [slice(start, start + length) for start in range(0, size, length)]


def _distances(nogil: bool, X: RealArray, Y: RealArray) -> RealArray:
    out = np.empty((len(X), len(Y)), X.dtype)
    X, Y = aligned(X, X.dtype), aligned(Y, Y.dtype)
    entry_point("sqeuclidean", nogil)(X, Y, out, max(len(X), 1), max(len(Y), 1), Chunks(1))
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
