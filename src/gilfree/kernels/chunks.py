"""Into how many chunks the work of a call is cut."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

# Workers are done at about the same time if each may take many chunks, of which the last is short.
FOR_EACH = 128  # chunks for each worker
SHORTEST = 5e3  # nanoseconds: a hundred times what it costs to take a chunk
LONGEST = 4e6  # nanoseconds: what Ctrl-C may have to wait for

# A task of an executor, and a random stream, cost far more than a chunk. So there are fewer, whose
# length grows with the root of the work.
SHORTEST_TASK = 50e3  # nanoseconds
FEW = 16  # tasks; so many, or more, end at about the same time whatever their number


def chunk_count(work: float, workers: int) -> int:
    """Return how many chunks of this work, in nanoseconds, so many threads take."""
    wanted = 1 if workers == 1 else min(int(work / SHORTEST), FOR_EACH * workers)
    return max(wanted, math.ceil(work / LONGEST), 1)


def task_count(size: int, cost: float) -> int:
    """Return into how many tasks to cut so many elements, each of which costs so many nanoseconds.

    It depends on nothing else, so that results may depend on it.
    """
    work = size * cost
    if work < 2 * SHORTEST_TASK:
        return 1
    root = math.sqrt(work * SHORTEST_TASK / 2)
    count = int(work / min(max(root, SHORTEST_TASK), LONGEST))
    if count < FEW:  # an odd one out would keep all but one worker waiting
        count = 1 << max(count.bit_length() - 1, 0)
    return size // max(size // count, 1)


def evenly(size: int, count: int) -> Iterator[slice]:
    """Return slices that cut so many elements into `count` pieces of about the same length."""
    borders = [size * number // count for number in range(count + 1)]
    return itertools.starmap(slice, itertools.pairwise(borders))
