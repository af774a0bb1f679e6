"""The loop of each kernel in pure Python: what bytecode makes of the same work, on threads.

One thread at a time runs bytecode, so these loops show what the GIL costs those who never leave
Python. They are some hundred times slower than the compiled ones, and so do a part of the work.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

# The bytecode for elements start to stop of the work, and how many elements there are.
Loop: TypeAlias = tuple[Callable[[int, int], Any], int]


def _numbers(x: ArrayLike, most: int) -> list[float]:
    """Return the first numbers of an array as Python has them."""
    flat: list[float] = np.ravel(x)[:most].astype(float).tolist()
    return flat


def sum_of_squares(x: ArrayLike) -> Loop:
    """Return the loop that adds up squares."""
    values = _numbers(x, 400_000)

    def loop(start: int, stop: int) -> float:
        total = 0.0
        for i in range(start, stop):
            total += values[i] * values[i]
        return total

    return loop, len(values)


def polyval(x: ArrayLike, c: ArrayLike, _out: object = None) -> Loop:
    """Return the loop that evaluates a polynomial, by Horner's rule."""
    values, coefficients = _numbers(x, 40_000), _numbers(c, 1000)[::-1]

    def loop(start: int, stop: int) -> list[float]:
        results = []
        for i in range(start, stop):
            result = 0.0
            for coefficient in coefficients:
                result = result * values[i] + coefficient
            results.append(result)
        return results

    return loop, len(values)


def histogram(
    x: ArrayLike,
    bins: int = 10,
    range: tuple[float, float] | None = None,  # noqa: A002  NumPy's name
) -> Loop:
    """Return the loop that counts values in bins."""
    values = _numbers(x, 150_000)
    low, high = range or (min(values, default=0.0), max(values, default=1.0))
    scale = bins / (high - low) if high > low else 0.0

    def loop(start: int, stop: int) -> list[int]:
        counts = [0] * bins
        for value in values[start:stop]:
            if low <= value <= high:
                counts[min(int((value - low) * scale), bins - 1)] += 1
        return counts

    return loop, len(values)


def sqeuclidean(X: ArrayLike, Y: ArrayLike, _out: object = None) -> Loop:
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


def mandelbrot(
    shape: tuple[int, int] = (600, 800),
    extent: tuple[float, float, float, float] = (-2.0, 1.0, -1.0, 1.0),
    max_iterations: int = 200,
) -> Loop:
    """Return the loop over pixels: of a smaller picture of the same part of the plane."""
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


def monte_carlo_pi(samples: int, _rng: object = None) -> Loop:
    """Return the loop that throws points at a square."""

    def loop(start: int, stop: int) -> int:
        draw, hits = random.Random(start).random, 0  # noqa: S311  no secret depends on it
        for _ in range(start, stop):
            x, y = draw(), draw()
            hits += x * x + y * y < 1
        return hits

    return loop, min(samples, 200_000)


def run(loop: Loop, executor: Executor, workers: int) -> list[Any]:
    """Run the loop in pieces, on so many workers at once; return what each piece returns."""
    work, size = loop
    if workers == 1:
        return [work(0, size)]
    pieces = 8 * workers  # some take longer than others
    borders = [size * number // pieces for number in range(pieces + 1)]
    return list(executor.map(work, borders[:-1], borders[1:]))
