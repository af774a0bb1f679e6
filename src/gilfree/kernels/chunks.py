"""The number of chunks, or of an executor's tasks, that the work of a call is cut into."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

# Many short chunks per worker let all workers finish at about the same time.
CHUNKS_PER_WORKER = 128
MIN_CHUNK_NS = 5e3  # a hundred times the cost of taking a chunk
MAX_CHUNK_NS = 4e6  # Ctrl-C may have to wait for a chunk

# A task of an executor, or a random stream, costs far more than a chunk. So there are fewer tasks,
# and their length grows with the square root of the work.
MIN_TASK_NS = 50e3
# From this number of tasks on, workers finish at about the same time whatever the number.
FEW_TASKS = 16


def chunk_count(work: float, workers: int) -> int:
    """Return the number of chunks for `work` nanoseconds of work on this many threads."""
    wanted = 1 if workers == 1 else min(int(work / MIN_CHUNK_NS), CHUNKS_PER_WORKER * workers)
    return max(wanted, math.ceil(work / MAX_CHUNK_NS), 1)


def task_count(size: int, cost: float) -> int:
    """Return the number of tasks for `size` elements that cost `cost` nanoseconds each.

    It depends on nothing else, so results may depend on it.
    """
    work = size * cost
    if work < 2 * MIN_TASK_NS:
        return 1
    root = math.sqrt(work * MIN_TASK_NS / 2)
    count = int(work / min(max(root, MIN_TASK_NS), MAX_CHUNK_NS))
    if count < FEW_TASKS:  # a power of two, or all workers but one may wait for the last task
        count = 1 << max(count.bit_length() - 1, 0)
    return size // max(size // count, 1)


def evenly(size: int, count: int) -> Iterator[slice]:
    """Return `count` slices of about the same length that cover `size` elements."""
    borders = [size * number // count for number in range(count + 1)]
    return itertools.starmap(slice, itertools.pairwise(borders))
