"""How far a recording is off, whether it finds every stall, and what it costs the program.

    pytest benchmarks/test_recorder.py

The truth comes from ctypes alone (``tests/planted.py``): threads that hold the GIL in C, want it,
compute without it, sleep, and say themselves when they began to wait. The errors are of shares of
a thread's lifetime, and medians of five runs; longest hold and wait in milliseconds.

The costs are of the same work with and without a recording, in turn.
"""

from __future__ import annotations

import functools
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
        f"one holds {hold * 1e3:g} ms, one wants, one computes": functools.partial(
            planted.hog_victim_cruncher, hold=hold
        )
        for hold in (2e-3, 8e-3, 20e-3, 50e-3)
    },
    "one holds 20 ms, six want": planted.many_waiters,
    "one holds 2 ms, six want": functools.partial(planted.many_waiters, hold=2e-3),
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
    headings = "program", "stalls", "found", "right line", "looks a second", "largest gap ms"
    _, rows = tables.setdefault("stalls of 2 ms or more", (headings, []))
    sums = [str(sum(column)) for column in zip(*counts, strict=True)]
    gap = f"{1e3 * statistics.median(gaps):.1f}"
    rows.append((name, *sums, f"{statistics.median(cpu):.0f}", gap))


def bytecode(count=3_000_000):
    sum(i * i for i in range(count))


def numpy_sorts():
    np.sort(np.random.default_rng(1).random(2_000_000))


def fight():
    """Eight threads that want the GIL all the time."""
    threads = [threading.Thread(target=bytecode, args=[400_000]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("work", [bytecode, numpy_sorts, fight])
def test_cost(benchmark, tables, work):
    ratios = []

    def timed():
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def run():
        without = timed()
        with gilfree.record():
            ratios.append(timed() / without)

    benchmark.pedantic(run, rounds=1 if benchmark.disabled else 21)
    quartiles = statistics.quantiles([*ratios, ratios[0]], n=4)
    headings = "program", "cost, median", "lower quartile", "upper quartile"
    _, rows = tables.setdefault("cost of a recording", (headings, []))
    low, middle, high = (f"{ratio - 1:+.1%}" for ratio in quartiles)
    rows.append((work.__name__, middle, low, high))
