"""Python bytecode does not scale on threads: a thread must hold the GIL to run it."""

import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor


def count(numbers):
    total = 0
    for number in numbers:
        total += number % 7
    return total


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


numbers = range(2_000_000)
gil = getattr(sys, "_is_gil_enabled", lambda: True)()
one, two = [], []
with ThreadPoolExecutor(2) as pool:
    for _ in range(5):
        one.append(seconds(lambda: [count(numbers), count(numbers)]))
        two.append(seconds(lambda: list(pool.map(count, [numbers, numbers]))))
one, two = statistics.median(one), statistics.median(two)

print(f"the same loop twice, {'with the GIL' if gil else 'without a GIL'}")
print(f"  one after the other  {one * 1e3:6.0f} ms")
print(f"  on two threads       {two * 1e3:6.0f} ms, so {one / two:.2f} times as fast")
