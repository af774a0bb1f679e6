"""mandelbrot: bound by arithmetic, and unbalanced: some pixels take many iterations."""

from __future__ import annotations

import functools
import math
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gilfree._arguments import whole_number
from gilfree._chunks import Chunks
from gilfree.kernels.arrays import real_numbers
from gilfree.kernels.chunks import evenly, task_count
from gilfree.kernels.pool import Workers
from gilfree.kernels.record import Kernel, Loop, entry_point

NS = 0.3  # nanoseconds per iteration of a pixel on one core
MIN_PIXELS = 64  # of a chunk: a multiple of the 16 that the loop takes in lockstep


def mandelbrot(
    shape: tuple[int, int] = (600, 800),
    extent: tuple[float, float, float, float] = (-2.0, 1.0, -1.0, 1.0),
    max_iterations: int = 200,
    *,
    nogil: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
) -> NDArray[np.int32]:
    """Count, for each pixel c, the steps of ``z = z**2 + c`` from 0 that stay within ``|z| <= 2``.

    Parameters
    ----------
    shape : (int, int), default: (600, 800)
        Rows and columns of the picture.
    extent : (float, float, float, float), default: (-2, 1, -1, 1)
        Left, right, bottom and top border of the picture in the complex plane, as in
        ``matplotlib.pyplot.imshow``: the first row is at the top. c is the centre of its pixel.
    max_iterations : int, default: 200
        Where to stop counting: 1 to 1,000,000. The bound keeps Ctrl-C from waiting for long.
    nogil, workers, executor
        As in `sum_of_squares`.

    Returns
    -------
    ndarray of int32, of shape `shape`
        `max_iterations` for points that did not leave, as all points of the Mandelbrot set.

    Raises
    ------
    TypeError
        If `shape` or `max_iterations` are not whole numbers.
    ValueError
        If a number is out of bounds.

    Examples
    --------
    >>> gilfree.mandelbrot((2, 3), max_iterations=50)
    array([[ 2, 50,  4],
           [ 2, 50,  4]], dtype=int32)
    """
    rows, columns = (
        whole_number("shape", number, least=0) for number in real_numbers("shape", shape, 2)
    )
    left, right, bottom, top = map(float, real_numbers("extent", extent, 4))
    if not all(map(math.isfinite, (left, right, bottom, top))):
        msg = f"extent must hold four finite numbers, not {extent}"
        raise ValueError(msg)
    max_iterations = whole_number("max_iterations", max_iterations, most=1_000_000)
    cost = NS * max_iterations
    pool = Workers(workers, executor, work=rows * columns * cost)
    result = np.empty((rows, columns), np.int32)
    dx, dy = (right - left) / max(columns, 1), (top - bottom) / max(rows, 1)
    pixels = result.reshape(-1)
    picture = columns, left, top, dx, dy, max_iterations
    if pool.elsewhere:
        count = min(task_count(pixels.size, cost), pixels.size // MIN_PIXELS + 1)
        parts = evenly(pixels.size, count)
        tasks = ((part, (nogil, picture, part.start, part.stop)) for part in parts)
        pool.send(_mandelbrot, tasks, pixels.__setitem__)
    else:
        loop = entry_point("mandelbrot", nogil)
        pool.share(functools.partial(loop, 0, *picture, pixels), pixels.size, MIN_PIXELS)
    return result


def _mandelbrot(nogil: bool, picture: tuple[Any, ...], start: int, stop: int) -> NDArray[np.int32]:
    pixels = np.empty(stop - start, np.int32)
    entry_point("mandelbrot", nogil)(start, *picture, pixels, Chunks(pixels.size))
    return pixels


def _bytecode(
    shape: tuple[int, int] = (600, 800),
    extent: tuple[float, float, float, float] = (-2.0, 1.0, -1.0, 1.0),
    max_iterations: int = 200,
) -> Loop:
    """Return the loop over pixels, for a smaller picture of the same part of the plane."""
    shrink = max((shape[0] * shape[1] / 5000) ** 0.5, 1.0)
    rows, columns = (max(round(number / shrink), 1) for number in shape)
    left, right, bottom, top = extent

    def loop(start: int, stop: int) -> list[int]:
        counts = []
        for pixel in range(start, stop):
            z, count = 0j, 0
            c = complex(
                left + (pixel % columns + 0.5) * (right - left) / columns,
                top - (pixel // columns + 0.5) * (top - bottom) / rows,
            )
            while count < max_iterations:
                z = z * z + c
                if z.real * z.real + z.imag * z.imag > 4:
                    break
                count += 1
            counts.append(count)
        return counts

    return loop, rows * columns


def _workload(_: NDArray[Any] | None = None, quick: bool = False) -> tuple[Any, ...]:
    return ((500, 700) if quick else (900, 1200),)


KERNEL = Kernel(mandelbrot, _bytecode, _workload, takes_array=False)
