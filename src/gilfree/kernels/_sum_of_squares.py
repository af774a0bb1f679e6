"""sum_of_squares: a reduction, whose partial results are joined in the order of the chunks."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gilfree._kernels import SUM_BLOCK
from gilfree.kernels.arrays import Real, contiguous, is_ready, real_array
from gilfree.kernels.chunks import chunks_of
from gilfree.kernels.pool import Pool
from gilfree.kernels.record import Kernel, Loop, entry_point, first_numbers, random_numbers

NS = 0.15  # what an element costs on one core


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
        Real numbers. float32 and float64 are used as they are, others become float64.
    nogil : bool, default: True
        Release the GIL while the loop runs. False is there to compare.
    workers : int, optional
        How many threads work at once. By default one for each CPU that this process may use.
    executor : concurrent.futures.Executor, optional
        Where the chunks run, instead of on a thread pool that all calls share.

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
    pool = Pool(workers, executor, work=x.size * NS)
    chunks = ((nogil, dtype, x[piece]) for piece in chunks_of(x.shape, cost=NS))
    partials: list[float] = []
    pool.run(_sum_of_squares, chunks, partials.append)
    total: Real = dtype.type(_in_order(partials))
    return total


def _sum_of_squares(nogil: bool, dtype: np.dtype[Any], x: NDArray[Any]) -> float:
    kernel = entry_point("sum_of_squares", nogil)
    if is_ready(x, dtype):
        total: float = kernel(x)
        return total
    blocks = (x[start : start + SUM_BLOCK] for start in range(0, x.size, SUM_BLOCK))
    return _in_order(kernel(contiguous(block, dtype)) for block in blocks)


def _in_order(partials: Iterable[float]) -> float:
    return functools.reduce(operator.add, partials, 0.0)  # sum() compensates for rounding


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
