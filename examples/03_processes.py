"""Processes have a GIL each. What they cost: to start them, and to send them their input."""

import pickle
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

import gilfree


def seconds(call, *args, **how):
    start = time.perf_counter()
    call(*args, **how)
    return time.perf_counter() - start


if __name__ == "__main__":  # a new process imports this file
    calls = {
        "monte_carlo_pi": (gilfree.monte_carlo_pi, 50_000_000, 1),
        "sum_of_squares": (gilfree.sum_of_squares, np.random.default_rng(0).random(10_000_000)),
    }
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        start = seconds(lambda: list(pool.map(abs, range(20))))
        print(f"two processes are ready after {start * 1e3:.0f} ms\n")
        for name, (kernel, *args) in calls.items():
            kernel(*args, executor=pool)  # so that all have imported gilfree
            one = seconds(kernel, *args, workers=1)
            two = seconds(kernel, *args, executor=pool)
            print(f"{name}: {len(pickle.dumps(args)) / 1e6:.1f} MB to send")
            print(f"  one process    {one * 1e3:6.1f} ms")
            print(f"  two processes  {two * 1e3:6.1f} ms, so {one / two:.2f} times as fast")
