"""Each process has its own GIL. Processes cost time to start and to receive their input."""

import pickle
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

import gilfree


def pi(samples):
    return gilfree.monte_carlo_pi(samples, rng=1, workers=1)


def squares(x):
    return gilfree.sum_of_squares(x, workers=1)


def seconds(run, function, parts):
    start = time.perf_counter()
    list(run(function, parts))
    return time.perf_counter() - start


if __name__ == "__main__":  # a new process imports this file
    work = {pi: [30_000_000] * 2, squares: np.split(np.random.default_rng(0).random(10_000_000), 2)}
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        print(f"two processes are ready after {seconds(pool.map, abs, range(20)) * 1e3:.0f} ms")
        for function, parts in work.items():
            one, two = seconds(map, function, parts), seconds(pool.map, function, parts)
            faster = one / two
            print(f"{function.__name__}: {len(pickle.dumps(parts)) / 1e6:.1f} MB to send")
            print(f"  one process    {one * 1e3:6.1f} ms")
            times = (
                f"{faster:.1f} times as fast" if faster > 1 else f"{1 / faster:.1f} times as slow"
            )
            print(f"  two processes  {two * 1e3:6.1f} ms, so {times}")
