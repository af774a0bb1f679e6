"""Where the work of a call is cut into chunks; the size of the input alone decides."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any

from gilfree.kernels.pool import SHARED

# To hand out a chunk costs some 5 µs, and 20 where the loop has driven Python out of the cache. So
# chunks grow with the root of the work: few where that matters, and many where workers who share
# them are to finish at about the same time. None is so long that Ctrl-C has to wait.
SHORTEST = SHARED / 2  # nanoseconds
FEW = 16  # chunks; so many, or more, end at about the same time whatever their number
LONGEST = 4e6  # nanoseconds


def chunks_of(
    shape: tuple[int, ...],
    cost: float,
    shortest: int = 1,
    alone: bool = False,
) -> Iterable[tuple[Any, ...]]:
    """Return the indices that cut an array of this shape into chunks, in C order.

    Parameters
    ----------
    shape : tuple of int
    cost : float
        What an element costs about, in nanoseconds on one core.
    shortest : int, optional
        Elements that a chunk has at the least.
    alone : bool, default: False
        Nobody shares the work, and where it is cut leaves no trace in the result.
    """
    size = math.prod(shape)
    if size * cost < 2 * SHORTEST and shape and size:
        return [(slice(0, shape[0]),)]
    return cut(shape, max(chunk_length(size, cost, alone), shortest))


def chunk_length(size: int, cost: float, alone: bool = False) -> int:
    """Return how many of so many elements a chunk has at the least."""
    if alone:
        return max(int(LONGEST / cost), 1)
    count = int(size * cost / min(max(math.sqrt(size * cost * SHORTEST / 2), SHORTEST), LONGEST))
    if count < FEW:  # an odd one out would keep all but one worker waiting
        count = 1 << max(count.bit_length() - 1, 0)
    return max(size // count, 1)


def cut(shape: tuple[int, ...], length: int) -> Iterable[tuple[Any, ...]]:
    """Return indices of pieces that have at least so many elements, and less than twice as many."""
    size = math.prod(shape)
    if size < 2 * length and len(shape) > 0:
        return [(slice(0, shape[0]),)] if size else []
    return _cut_further(shape, length)


def _cut_further(shape: tuple[int, ...], length: int) -> Iterator[tuple[Any, ...]]:
    if not shape:
        yield (...,)
        return
    row = math.prod(shape[1:])
    if row > length and len(shape) > 1:
        for index in range(shape[0]):
            for rest in cut(shape[1:], length):
                yield (index, *rest)
    else:
        for piece in evenly(shape[0], shape[0] * row // length):
            yield (piece,)


def evenly(size: int, count: int) -> Iterator[slice]:
    """Return slices that cut so many elements into `count` pieces of about the same length."""
    borders = [size * number // count for number in range(count + 1)]
    return itertools.starmap(slice, itertools.pairwise(borders))
