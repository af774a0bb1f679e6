"""How far the probe is off, and what it costs the call, beside gilknocker on the same patterns.

    pytest benchmarks/test_probe.py

The truth comes from ctypes alone: ``PyDLL(None).usleep`` sleeps with the GIL, ``CDLL(None).usleep``
without, and the pattern clocks both. gilknocker asks for the GIL all the time and reports how
often it is refused, so it changes what it looks at; the sampler never asks. Both look at runs of
the same pattern in turn.
"""

from __future__ import annotations

import ctypes
import statistics
import time

import needs
import pytest
from needs import Watch

import gilfree

try:
    from gilknocker import KnockKnock
except ModuleNotFoundError:  # it has no build for every Python
    KnockKnock = None

pytestmark = [needs.sampler, needs.gil]

hold = ctypes.PyDLL(None).usleep
let_go = ctypes.CDLL(None).usleep


def pattern(period, share, seconds=0.4):
    """Hold the GIL for about this share of each period; return the true share."""
    clock = time.perf_counter
    held = released = 0.0
    since = clock()
    end = since + seconds
    while since < end:
        if share:
            hold(int(period * share * 1e6))
        middle = clock()
        held += middle - since
        if share < 1:
            let_go(int(period * (1 - share) * 1e6))
        since = clock()
        released += since - middle
    return held / (held + released)


def watched(work):
    """Return what the work returns, and the share of it that the sampler saw."""
    with Watch() as watch:
        watch.begin()
        result = work()
        watch.end()
    return result, watch.seen()[0].held


def knocked(work):
    """Return what the work returns, and the share of it that gilknocker saw."""
    knocker = KnockKnock(20)  # the interval of the sampler, in microseconds
    knocker.start()
    result = work()
    knocker.stop()
    return result, knocker.contention_metric


@pytest.mark.parametrize("share", [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1])
@pytest.mark.parametrize("period", [10e-3, 1e-3, 300e-6])
def test_error(benchmark, tables, period, share):
    ours, theirs = [], []

    def run_theirs():
        if KnockKnock is not None:
            truth, seen = knocked(lambda: pattern(period, share))
            theirs.append(seen - truth)

    def run_ours():
        truth, seen = watched(lambda: pattern(period, share))
        ours.append(seen - truth)
        return truth

    benchmark.group = f"period {period * 1e3:g} ms"
    truth = benchmark.pedantic(run_ours, setup=run_theirs, rounds=5)
    assert len(ours) == 5 or benchmark.disabled
    benchmark.extra_info.update(truth=truth, errors=ours, errors_gilknocker=theirs)
    headings = "period", "held", "error", "worst of 5", "gilknocker's", "worst of 5"
    _, rows = tables.setdefault("error of the held share, median", (headings, []))
    rows.append((f"{period * 1e3:g} ms", f"{truth:.3f}", *_cells(ours), *_cells(theirs)))


def _cells(errors):
    if not errors:
        return "", ""
    return f"{statistics.median(errors):+.4f}", f"{max(errors, key=abs):+.4f}"


@pytest.mark.parametrize("nogil", [True, False], ids=["released", "held"])
def test_cost(benchmark, tables, nogil):
    def work():
        start = time.perf_counter()
        gilfree.mandelbrot((300, 400), workers=1, nogil=nogil)
        return time.perf_counter() - start

    ways = {"alone": [], "sampler": [], "gilknocker": []}

    def others():
        if KnockKnock is not None:
            ways["gilknocker"].append(knocked(work)[0])
            time.sleep(0.02)  # its thread takes a while to end
        ways["alone"].append(work())

    def ours():
        with Watch() as watch:
            for _ in range(2):  # the probe does not count the first call either
                watch.begin()
                taken = work()
                watch.end()
        ways["sampler"].append(taken)

    benchmark.pedantic(ours, setup=others, rounds=60, warmup_rounds=2)
    costs = {
        name: [taken / alone - 1 for taken, alone in zip(times, ways["alone"], strict=True)]
        for name, times in ways.items()
        if times and name != "alone"
    }
    benchmark.extra_info.update({name: statistics.median(each) for name, each in costs.items()})
    headings = "call of 7 ms", "sampler", "quartiles", "gilknocker", "quartiles"
    _, rows = tables.setdefault("cost on the watched call, median", (headings, []))
    cells = [cell for name in ("sampler", "gilknocker") for cell in _cost(costs.get(name))]
    rows.append(("GIL released" if nogil else "GIL held", *cells))


def _cost(ratios):
    if not ratios or len(ratios) < 2:
        return "", ""
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:+.2%}", f"{low:+.1%}, {high:+.1%}"
