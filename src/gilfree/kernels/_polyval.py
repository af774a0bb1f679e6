"""polyval: element by element. Each chunk of `x` has its own slice of the result."""

from __future__ import annotations

import functools
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gilfree._chunks import Chunks
from gilfree.kernels.arrays import (
    COPY_NS,
    RealArray,
    aligned,
    blocks,
    flat,
    is_ready,
    output,
    real_array,
)
from gilfree.kernels.chunks import evenly, task_count
from gilfree.kernels.pool import Workers
from gilfree.kernels.record import Kernel, Loop, entry_point, first_numbers, random_numbers

NS = 0.1  # nanoseconds per coefficient and point on one core


def polyval(
    x: ArrayLike,
    c: ArrayLike,
    out: RealArray | None = None,
    *,
    nogil: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
) -> Any:
    """Evaluate a polynomial at each point of `x`, as ``numpy.polynomial.polynomial.polyval`` does.

    Parameters
    ----------
    x : array_like, any shape
        Real numbers.
    c : array_like, shape (degree + 1,)
        Coefficients, lowest degree first. The result is float32 if `x` and `c` both are, and
        float64 otherwise.
    out : ndarray, optional
        Where to write the result: a C-contiguous array of the shape of `x` and the dtype of the
        result. It must not share memory with `x` or `c`.
    nogil, workers, executor
        As in `sum_of_squares`.

    Returns
    -------
    ndarray or scalar
        ``c[0] + c[1] * x + c[2] * x**2 + ...``, of the shape of `x`; `out` if it was given. For
        float32 and float64 the bits are those of NumPy's result.

    Raises
    ------
    TypeError
        If `x` or `c` do not hold real numbers.
    ValueError
        If `c` is empty or not one-dimensional, if `out` does not fit, or `workers` is less than 1.

    Examples
    --------
    >>> gilfree.polyval([0.0, 1.0, 2.0], [1, 0, 3])
    array([ 1.,  4., 13.])
    """
    x, x_dtype = real_array("x", x)
    c, c_dtype = real_array("c", c)
    if c.ndim != 1 or c.size == 0:
        msg = f"c must be one-dimensional and hold at least one coefficient, not of shape {c.shape}"
        raise ValueError(msg)
    dtype = np.promote_types(x_dtype, c_dtype)
    ready = is_ready(x, dtype)
    if not is_ready(c, dtype):
        c = flat(c, slice(None), dtype)
    cost = NS * c.size
    pool = Workers(workers, executor, work=x.size * (cost + COPY_NS * (not ready)))
    result = output(out, x.shape, dtype, x=x, c=c)
    values, loop = result.reshape(-1), entry_point("polyval", nogil)
    if pool.elsewhere:
        parts = evenly(x.size, task_count(x.size, cost))
        tasks = ((part, (nogil, flat(x, part, dtype), c)) for part in parts)
        pool.send(_polyval, tasks, values.__setitem__)
    elif ready:
        pool.share(functools.partial(loop, x.reshape(-1), c, values), x.size)
    else:
        pool.share(functools.partial(_convert_blocks, loop, x, c, values), x.size)
    if out is not None:
        return out
    return result if result.ndim else result[()]


def _convert_blocks(
    loop: Any, x: NDArray[Any], c: RealArray, out: RealArray, chunks: Chunks
) -> None:
    for part, block in blocks(x, c.dtype, chunks):
        loop(block, c, out[part], Chunks(block.size))


def _polyval(nogil: bool, x: RealArray, c: RealArray) -> RealArray:
    out = np.empty(x.size, c.dtype)
    loop = entry_point("polyval", nogil)
    loop(aligned(x, x.dtype), aligned(c, c.dtype), out, Chunks(x.size))
    return out


def _bytecode(x: ArrayLike, c: ArrayLike, out: object = None) -> Loop:
    """Return the loop that evaluates a polynomial, by Horner's rule."""
    values, coefficients = first_numbers(x, 40_000), first_numbers(c, 1000)[::-1]

    def loop(start: int, stop: int) -> list[float]:
        results = []
        for i in range(start, stop):
            result = 0.0
            for coefficient in coefficients:
                result = result * values[i] + coefficient
            results.append(result)
        return results

    return loop, len(values)


def _workload(data: NDArray[Any] | None = None, quick: bool = False) -> tuple[Any, ...]:
    x = random_numbers(quick) if data is None else data.reshape(-1)
    coefficients = np.arange(1.0, 9.0, dtype=x.dtype if x.dtype == np.float32 else np.float64)
    return x, coefficients, np.empty(x.shape, coefficients.dtype)


KERNEL = Kernel(polyval, _bytecode, _workload, takes_array=True)
