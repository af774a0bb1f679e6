"""Run everything concurrently for some time: ``python tests/soak.py --seconds 600``.

Eight threads call random kernels with random options: on the shared pool, on other threads and on
processes, with the GIL held and released. They also probe such calls. Each result is compared with
one computed before. After each round, when no thread works, memory and threads are counted.

Memory is the resident memory of this process and of the worker processes, after a garbage
collection and malloc_trim. The median of the last third of the rounds must not exceed the maximum
of the first third, in which pools start and caches fill, by MOST_GROWTH. glibc gets one arena for
all threads: with an arena for each, their unused memory varies by tens of MiB, which hides leaks.
In a Python without a GIL, memory varies by hundreds of MiB, so it is shown but not checked.

Once all executors are closed, there must be as many threads as at first, not counting the helpers
of the shared pool.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import multiprocessing
import pickle
import random
import statistics
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from mixed import CALLS, check, expected

import gilfree
from gilfree._system import gil_enabled

THREADS = 8
MOST_GROWTH = 16  # MiB


def soak_once(rng, executors, deadline):
    """Call until the deadline; return the numbers of calls and probes."""
    calls = probes = 0
    while time.monotonic() < deadline:
        if rng.random() < 0.02:
            check_probe(rng)
            probes += 1
        else:
            check(rng, executors)
            calls += 1
    return calls, probes


def check_probe(rng):
    name = rng.choice(list(CALLS))
    report = gilfree.probe(CALLS[name], workers=2, repeat=3)
    assert pickle.dumps(report.result) == expected(name), name


def share_one_arena():
    """Have all threads allocate from one arena, if the C library is glibc."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX


def trim():
    """Return unused memory to the system."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # if the C library is not glibc
        ctypes.CDLL(None).malloc_trim(0)


def resident(processes):
    """Return the resident memory of this process and of `processes`, in MiB."""
    sizes = 0
    for process in "self", *processes:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        (size,) = [line for line in lines if line.startswith("VmRSS")]
        sizes += int(size.split()[1])
    return sizes / 1024


def threads():
    """Return the names of Python's threads, and the number of all threads of the process."""
    names = [thread.name for thread in threading.enumerate()]
    return names, len(list(Path("/proc/self/task").iterdir()))


def settled_threads(others):
    """Return `threads()` once the system has removed the threads that have been joined."""
    deadline = time.monotonic() + 20
    while True:
        names, known = threads()
        if known - len(names) == others or time.monotonic() > deadline:
            return names, known
        time.sleep(0.01)


def in_pool(names):
    return sum(name.startswith("gilfree_") for name in names)


def run_rounds(seconds, rounds, executors, processes):
    """Soak; return the memory after each round, and the numbers of calls and probes."""
    memory, done = [], []
    with ThreadPoolExecutor(THREADS, thread_name_prefix="soak") as callers:
        for _ in range(rounds):
            deadline = time.monotonic() + seconds / rounds
            futures = [
                callers.submit(soak_once, random.Random(), executors, deadline)
                for _ in range(THREADS)
            ]
            done += [future.result() for future in futures]
            trim()
            for worker in [processes.submit(trim) for _ in range(8)]:
                worker.result()
            memory.append(resident(child.pid for child in multiprocessing.active_children()))
    return memory, [sum(numbers) for numbers in zip(*done, strict=True)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    seconds = parser.parse_args().seconds
    share_one_arena()
    for name in CALLS:
        expected(name)
    names, known = threads()
    others = known - len(names)  # threads that Python does not know, such as those of libraries
    context = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(3) as few, ProcessPoolExecutor(2, context) as processes:
        rounds = max(5, min(int(seconds / 5), 60))
        memory, (calls, probes) = run_rounds(
            seconds, rounds, [None, None, few, processes], processes
        )
    after, known_after = settled_threads(others)
    third = max(rounds // 3, 3)
    growth = statistics.median(memory[-third:]) - max(memory[:third])
    sys.stdout.write(
        f"{calls} calls and {probes} probes in {seconds:.0f} s, all right\n"
        f"resident memory after each round, MiB: {', '.join(f'{size:.0f}' for size in memory)}\n"
        f"threads: {known} before, {known_after} after, {in_pool(after)} of these in the pool\n"
    )
    assert growth < MOST_GROWTH or not gil_enabled(), f"grew by {growth:.1f} MiB"
    assert len(after) - in_pool(after) == len(names) - in_pool(names), after
    assert known_after - len(after) == others, (known, known_after, after)


if __name__ == "__main__":
    main()
