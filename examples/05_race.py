"""The GIL guards data that threads share. Code that releases the GIL must guard it by itself."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gilfree._kernels import count_gil, count_nogil, count_private_nogil

TIMES = 50_000_000  # for each thread
counter = np.zeros(1, np.int64)


def shared(count):
    """Let both threads add to one counter; return its final value."""
    counter[0] = 0
    list(pool.map(lambda _: count(counter, TIMES), range(2)))
    return counter[0]


def private():
    """Give each thread its own count; return the sum."""
    return sum(pool.map(count_private_nogil, [TIMES] * 2))


print(f"two threads, each counts to {TIMES:,}")
ways = {
    "one counter, GIL held": lambda: shared(count_gil),
    "one counter, GIL released": lambda: shared(count_nogil),
    "a counter each, GIL released": private,
}
with ThreadPoolExecutor(2) as pool:
    for what, count in ways.items():
        start = time.perf_counter()
        lost = 2 * TIMES - count()
        taken = time.perf_counter() - start
        print(f"  {what:<28}  {taken * 1e3:4.0f} ms  {lost:>11,} updates lost")
