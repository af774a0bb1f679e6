"""How far a recording is off, whether it finds every stall, and what it costs the program.

    pytest benchmarks/test_recorder.py

The truth comes from ctypes alone (``tests/planted.py``): threads that hold the GIL in C, want it,
compute without it, sleep, and say themselves when they began to wait. The errors are of shares of
a thread's lifetime, and medians of five runs; longest hold and wait in milliseconds.

The costs are of the same work with and without a recording, in turn.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import statistics
import threading
import time

import needs
import numpy as np
import planted
import pytest

import gilfree

pytestmark = needs.recorder

STATES = ("held", "waiting", "running", "blocked")
PROGRAMS = {
    **{
        f"{hold * 1e3:g} ms held, 1 wants": functools.partial(
            planted.hog_victim_cruncher, hold=hold
        )
        for hold in (2e-3, 8e-3, 20e-3, 50e-3)
    },
    "20 ms held, 6 want": planted.many_waiters,
    "2 ms held, 6 want": functools.partial(planted.many_waiters, hold=2e-3),
}


def recorded(make, seconds):
    with gilfree.record() as recording:
        begin = time.monotonic()
        truth = make(seconds).run()
    return recording, truth, begin


def errors_of(recording, truth):
    """Yield by how much each figure is off, for each thread whose truth is known."""
    found = {thread.name: thread for thread in recording.threads}
    for name, true in truth.items():
        seen = found[name]
        for state in STATES:
            share = getattr(true, state) / true.seconds
            yield (name, state), getattr(seen, state) / seen.seconds - share
        if true.waits:
            yield (name, "longest wait"), 1e3 * (seen.longest_wait - true.longest_wait)
        if true.longest_hold:
            yield (name, "longest hold"), 1e3 * (seen.longest_hold - true.longest_hold)


def stalls_found(recording, truth, begin, least=2e-3):
    """Return how many waits there were, how many were found, and with the right line."""
    lines = planted.lines_of_holds()
    there = found = right = 0
    for name, true in truth.items():
        stalls = [stall for stall in recording.stalls if stall.waiter == name]
        for start, end in true.waits:
            if end - start < least:
                continue
            there += 1
            over = [
                stall
                for stall in stalls
                if begin + stall.start < end and begin + stall.start + stall.seconds > start
            ]
            found += bool(over)
            firsts = [stall.holders[0] for stall in over if stall.holders]
            right += any(each.thread == "hog" and each.line in lines for each in firsts)
    return there, found, right


@pytest.mark.parametrize("name", PROGRAMS)
def test_error(benchmark, tables, name):
    runs, counts, gaps, cpu = [], [], [], []

    def run():
        recording, truth, begin = recorded(PROGRAMS[name], 0.2 if benchmark.disabled else 2.0)
        runs.append(dict(errors_of(recording, truth)))
        counts.append(stalls_found(recording, truth, begin))
        gaps.append(recording.facts.largest_gap)
        cpu.append(recording.facts.looks / recording.seconds)

    benchmark.pedantic(run, rounds=5)
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    headings = "thread", *STATES, "longest wait ms", "longest hold ms"
    _, rows = tables.setdefault(f"errors, {name}", (headings, []))
    for thread in dict.fromkeys(thread for thread, _ in medians):
        cells = [f"{medians[thread, state]:+.4f}" for state in STATES]
        for kind in "longest wait", "longest hold":
            error = medians.get((thread, kind))
            cells.append("" if error is None else f"{error:+.2f}")
        rows.append((thread, *cells))
    headings = "program", "stalls", "found", "line", "looks/s", "gap ms"
    _, rows = tables.setdefault("stalls of 2 ms or more", (headings, []))
    sums = [str(sum(column)) for column in zip(*counts, strict=True)]
    gap = f"{1e3 * statistics.median(gaps):.1f}"
    rows.append((name, *sums, f"{statistics.median(cpu):.0f}", gap))


def bytecode(count=600_000):
    sum(i * i for i in range(count))


def numpy_sorts():
    for _ in range(5):
        np.sort(np.random.default_rng(1).random(600_000))


def fight():
    """Eight threads that want the GIL all the time."""
    threads = [threading.Thread(target=bytecode, args=[100_000]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def on_one_cpu():
    """Have this process, and so the recorder's thread, run on one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize("cpus", [contextlib.nullcontext, on_one_cpu], ids=["free", "none"])
@pytest.mark.parametrize("work", [bytecode, numpy_sorts, fight])
def test_cost(benchmark, tables, work, cpus):
    ratios = []

    def timed():
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def recorded():
        with gilfree.record():
            work()  # so that the recorder knows by now what its looks cost
            return timed()

    def run():
        # One way round and the other: what drifts falls on both sides alike.
        without, once = timed(), recorded()
        again, without_again = recorded(), timed()
        ratios.append((once + again) / (without + without_again))

    with cpus():
        benchmark.pedantic(run, rounds=1 if benchmark.disabled else 41)
    # The rank within which the median of all such ratios lies, at 95%.
    off = math.ceil(0.98 * math.sqrt(len(ratios)))
    ordered, middle = sorted(ratios), len(ratios) // 2
    bounds = ordered[max(middle - off, 0)], ordered[min(middle + off, len(ratios) - 1)]
    headings = "program", "a CPU is free", "cost, median", "at least", "at most"
    _, rows = tables.setdefault(
        "cost of a recording, with the median's bounds at 95%", (headings, [])
    )
    cells = [f"{ratio - 1:+.1%}" for ratio in (statistics.median(ratios), *bounds)]
    rows.append((work.__name__, "no" if cpus is on_one_cpu else "yes", *cells))
