"""References for the results of the kernels: NumPy, or plain Python."""

from __future__ import annotations

import re

import numpy as np
import pytest

import gilfree
from gilfree.kernels._monte_carlo_pi import NS
from gilfree.kernels.chunks import evenly, task_count


def native(x):
    """Return `x` in the dtype that its kernel computes in."""
    return x.astype(np.float32 if x.dtype.type is np.float32 else np.float64)


def assert_numpys_histogram(x, *args, like=None, **how):
    """Compare counts and edges, or the error, with those of NumPy on `like`."""
    try:
        expected = np.histogram(x if like is None else like, *args)
    except ValueError as error:
        # Whether 0.0 or -0.0 is the minimum depends on their order, in NumPy, too.
        words = re.sub(r"(?<![\d.])(\\-)?0\\.0(?!\d)", r"-?0\.0", re.escape(str(error)))
        with pytest.raises(ValueError, match=words):
            gilfree.histogram(x, *args, **how)
    else:
        for ours, numpys in zip(gilfree.histogram(x, *args, **how), expected, strict=True):
            np.testing.assert_array_equal(ours, numpys, strict=True)


def plain_mandelbrot(shape, extent, max_iterations):
    (rows, columns), (left, right, bottom, top) = shape, extent
    counts = np.zeros(shape, np.int32)
    for i, j in np.ndindex(*shape):
        c = complex(
            left + (j + 0.5) * ((right - left) / columns),
            top - (i + 0.5) * ((top - bottom) / rows),
        )
        z = 0j
        while counts[i, j] < max_iterations:
            z = complex(z.real * z.real - z.imag * z.imag + c.real, 2 * z.real * z.imag + c.imag)
            if not z.real * z.real + z.imag * z.imag <= 4:  # true for NaN, too
                break
            counts[i, j] += 1
    return counts


def plain_pi(samples, seed, kind=np.random.PCG64):
    """Make the same estimate with NumPy, from the same streams, parts and points."""
    root = np.random.SeedSequence(seed).spawn(1)[0]
    parts = list(evenly(samples, task_count(samples, NS)))
    hits = 0
    for child, part in zip(root.spawn(len(parts)), parts, strict=True):
        stream = np.random.Generator(kind(child))
        bits = stream.integers(0, 2**64 - 1, part.stop - part.start, np.uint64, endpoint=True)
        x, y = (bits >> np.uint64(32)) + 0.5, (bits & np.uint64(0xFFFFFFFF)) + 0.5
        hits += np.count_nonzero(x * x + y * y < 2.0**64)
    return 4 * hits / samples
