"""sum_of_squares: a reduction. The partial results are joined in order."""

from __future__ import annotations

import functools
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gilfree._chunks import Chunks
from gilfree._kernels import SUM_BLOCK, add_in_order
from gilfree.kernels.arrays import COPY_NS, Real, RealArray, aligned, flat, is_ready, real_array
from gilfree.kernels.chunks import evenly, task_count
from gilfree.kernels.pool import Workers
from gilfree.kernels.record import Kernel, Loop, entry_point, first_numbers, random_numbers

NS = 0.15  # nanoseconds per element on one core


def sum_of_squares(
    x: ArrayLike,
    *,
    nogil: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
) -> Real:
    """Return the sum of the squares of `x`, as ``numpy.dot(x, x)`` does.

    Parameters
    ----------
    x : array_like, shape (n,)
        Real numbers. float32 and float64 are used as they are, other dtypes become float64.
    nogil : bool, default: True
        Release the GIL while the loop runs. Use False to compare.
    workers : int, optional
        The number of threads that work concurrently, or of tasks if `executor` does not run
        threads. By default one thread for each CPU that this process may use.
    executor : concurrent.futures.Executor, optional
        What runs the work, instead of a thread pool that all calls share.

    Returns
    -------
    numpy.float32 or numpy.float64
        0 if `x` is empty.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers.
    ValueError
        If `x` is not one-dimensional, or `workers` is less than 1.

    Examples
    --------
    >>> gilfree.sum_of_squares([1.0, 2.0, 3.0])
    np.float64(14.0)
    """
    x, dtype = real_array("x", x)
    if x.ndim != 1:
        msg = f"x must be one-dimensional, not of shape {x.shape}"
        raise ValueError(msg)
    sums = np.empty(-(-x.size // SUM_BLOCK))  # one for each block
    ready, loop = is_ready(x, dtype), entry_point("sum_of_squares", nogil)
    pool = Workers(workers, executor, work=x.size * (NS + COPY_NS * (not ready)))
    if pool.elsewhere:
        parts = evenly(sums.size, min(task_count(x.size, NS), sums.size))
        tasks = ((part, (nogil, _of_blocks(x, part, dtype))) for part in parts)
        pool.send(_sum_of_squares, tasks, sums.__setitem__)
    elif ready:
        pool.share(functools.partial(loop, x, sums), sums.size)
    else:
        pool.share(functools.partial(_convert_blocks, loop, dtype, x, sums), sums.size)
    total: Real = dtype.type(add_in_order(sums))
    return total


def _of_blocks(x: NDArray[Any], blocks: slice, dtype: np.dtype[Any]) -> RealArray:
    return flat(x, slice(blocks.start * SUM_BLOCK, blocks.stop * SUM_BLOCK), dtype)


def _convert_blocks(
    loop: Any, dtype: np.dtype[Any], x: NDArray[Any], sums: NDArray[np.float64], chunks: Chunks
) -> None:
    for part in chunks:
        for block in range(part.start, part.stop):
            one = slice(block, block + 1)
            loop(_of_blocks(x, one, dtype), sums[one], Chunks(1))


def _sum_of_squares(nogil: bool, x: RealArray) -> NDArray[np.float64]:
    sums = np.empty(-(-x.size // SUM_BLOCK))
    entry_point("sum_of_squares", nogil)(aligned(x, x.dtype), sums, Chunks(sums.size))
    return sums


def _bytecode(x: ArrayLike) -> Loop:
    """Return the loop that adds up squares."""
    values = first_numbers(x, 400_000)

    def loop(start: int, stop: int) -> float:
        total = 0.0
        for i in range(start, stop):
            total += values[i] * values[i]
        return total

    return loop, len(values)


def _workload(data: NDArray[Any] | None = None, quick: bool = False) -> tuple[Any, ...]:
    return (random_numbers(quick) if data is None else data.reshape(-1),)


KERNEL = Kernel(sum_of_squares, _bytecode, _workload, takes_array=True)
