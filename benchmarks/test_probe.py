"""The errors of the probe, its cost for the call, and whether its verdicts are repeatable.

    pytest benchmarks/test_probe.py

The end of the output tells how many CPUs other processes used during the run. Figures for a quiet
machine are only valid if that is close to 0.

The truth comes from ctypes, by sleeps that measure their own time: ``PyDLL`` sleeps with the GIL
held, ``CDLL`` with the GIL released (``tests/patterns.py``). gilknocker measures the same patterns,
interleaved. It requests the GIL all the time and reports how often it has to wait, so it changes
what it measures.

While other processes keep all CPUs busy, the error should stay within the uncertainty that the
probe reports. Probes of the same call should give the same verdict, and never report bytecode as C.
For calls that gain little for a known cause (``tests/causes.py``), each of ten probes should name
it.
"""

from __future__ import annotations

import functools
import hashlib
import statistics
import subprocess
import sys
import time
import timeit
import zlib
from collections import Counter

import causes
import needs
import numpy as np
import pytest
from needs import Watch
from patterns import pattern

import gilfree
from gilfree import Verdict
from gilfree._system import usable_cpus
from gilfree.gil.passive import uncertainty_of

try:
    from gilknocker import KnockKnock
except ModuleNotFoundError:  # not available for every Python
    KnockKnock = None

pytestmark = [needs.sampler, needs.gil]


def seconds_of(benchmark):
    """Return the length of each pattern, in seconds."""
    return 0.05 if benchmark.disabled else 0.4


def compute(seconds):
    """Hold the GIL by running bytecode for `seconds`. No other thread requests the GIL."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def watched(work):
    """Return the result of the work, and the share of time that the sampler saw the GIL held."""
    with Watch() as watch:
        watch.begin()
        result = work()
        watch.end()
    return result, watch.seen()[0].held


def knocked(work):
    """Return the result of the work, and the share of time that gilknocker saw the GIL held."""
    knocker = KnockKnock(20)  # the interval of the sampler, in microseconds
    knocker.start()
    result = work()
    knocker.stop()
    return result, knocker.contention_metric


@pytest.mark.parametrize("share", [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1])
@pytest.mark.parametrize("period", [10e-3, 1e-3, 400e-6])
def test_error(benchmark, tables, period, share):
    ours, theirs = [], []
    seconds = seconds_of(benchmark)

    def run_theirs():
        if KnockKnock is not None:
            truth, seen = knocked(lambda: pattern(period, share, seconds))
            theirs.append(seen - truth)

    def run_ours():
        truth, seen = watched(lambda: pattern(period, share, seconds))
        ours.append(seen - truth)
        return truth

    benchmark.group = f"period {period * 1e3:g} ms"
    truth = benchmark.pedantic(run_ours, setup=run_theirs, rounds=5)
    assert len(ours) == 5 or benchmark.disabled
    benchmark.extra_info.update(truth=truth, errors=ours, errors_gilknocker=theirs)
    headings = "period", "held", "error", "worst of 5", "gilknocker's", "worst of 5"
    _, rows = tables.setdefault("error of the held share, median", (headings, []))
    rows.append((f"{period * 1e3:g} ms", f"{truth:.3f}", *_cells(ours), *_cells(theirs)))


@pytest.mark.parametrize("period", [10e-3, 1e-3, 400e-6])
def test_error_beside_busy_processes(benchmark, tables, period):
    burners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(usable_cpus())
    ]
    off, uncertain = [], []

    def run():
        for share in 0, 0.1, 0.5, 0.9, 1:
            for hold in None, compute:
                with Watch() as watch:
                    watch.begin()
                    truth = pattern(period, share, seconds_of(benchmark), hold=hold)
                    watch.end()
                (seen,) = watch.seen()
                uncertain.append(uncertainty_of(seen))
                off.append(1 if seen.held is None else abs(seen.held - truth))

    try:
        benchmark.pedantic(run, rounds=1 if benchmark.disabled else 5)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    outside = sum(error > bound for error, bound in zip(off, uncertain, strict=True))
    headings = "period", "answers", "off, median", "at most", "± said, median", "off by more"
    title = "error beside processes that keep all CPUs busy"
    _, rows = tables.setdefault(title, (headings, []))
    cells = (f"{value:.3f}" for value in (statistics.median(off), max(off)))
    said = f"{statistics.median(uncertain):.3f}"
    rows.append((f"{period * 1e3:g} ms", str(len(off)), *cells, said, str(outside)))


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

    cases = {"alone": [], "sampler": [], "gilknocker": []}

    def others():
        if KnockKnock is not None:
            cases["gilknocker"].append(knocked(work)[0])
            time.sleep(0.02)  # until gilknocker's thread has ended
        cases["alone"].append(work())

    def ours():
        with Watch() as watch:
            for _ in range(2):  # the probe does not count the first call either
                watch.begin()
                taken = work()
                watch.end()
        cases["sampler"].append(taken)

    benchmark.pedantic(ours, setup=others, rounds=60, warmup_rounds=2)
    costs = {
        name: [taken / alone - 1 for taken, alone in zip(times, cases["alone"], strict=True)]
        for name, times in cases.items()
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


# ---------------------------------------------------------------- repeated probes

NUMBERS = np.random.default_rng(0).random(1_000_000)
LIST = NUMBERS[:100_000].tolist()
TEXT = NUMBERS.tobytes() + bytes(2_000_000)
VERDICTS = {
    "zlib.compress, 10 MB": lambda: zlib.compress(TEXT),
    "sorted, 10⁵": lambda: sorted(LIST),
    "time.sleep(0.01)": lambda: time.sleep(0.01),
    "hashlib.sha256, 1 MB": lambda: hashlib.sha256(TEXT[:1_000_000]),
    "np.sort, 10⁶": lambda: np.sort(NUMBERS),
}
PROBES = 20


@pytest.mark.parametrize("name", VERDICTS)
def test_verdicts(benchmark, tables, name):
    reports, seconds = [], []

    def run():
        start = time.perf_counter()
        reports.append(gilfree.probe(VERDICTS[name]))
        seconds.append(time.perf_counter() - start)

    benchmark.pedantic(run, rounds=1 if benchmark.disabled else PROBES)
    verdicts = Counter(report.verdict for report in reports).most_common()
    limits = sorted(report.limit or 0 for report in reports)
    gains = sorted(report.speedup or 0 for report in reports)
    headings = "call", "verdicts", "limit", "near", "speedup", "took"
    title = f"{len(reports)} probes of each call; near: limits within 10% of the best"
    _, rows = tables.setdefault(title, (headings, []))
    rows.append(
        (
            name,
            "; ".join(f"{n} {verdict.text.removeprefix('released; ')}" for verdict, n in verdicts),
            f"{limits[0]:.2f}–{limits[-1]:.2f}",
            str(sum(limit >= 0.9 * limits[-1] for limit in limits)),
            f"{gains[0]:.2f}–{gains[-1]:.2f}",
            f"{max(seconds):.1f} s",
        )
    )


@needs.recorder
@pytest.mark.parametrize("name", causes.CAUSES)
def test_causes(benchmark, tables, name):
    reports = []
    benchmark.pedantic(
        lambda: reports.append(causes.probe(name)), rounds=1 if benchmark.disabled else 10
    )
    right = causes.CAUSES[name][1]
    wrong = Counter(report.verdict.text for report in reports if report.verdict is not right)
    headings = "cause", f"right of {len(reports)}", "speedup", "figure", "else"
    _, rows = tables.setdefault("why threads gain little; medians", (headings, []))
    shares = statistics.median(report._lost.get(right, 0) for report in reports)
    gain = statistics.median(report.speedup or 0 for report in reports)
    rows.append(
        (
            name,
            str(len(reports) - wrong.total()),
            f"{gain:.2f}×",
            f"{shares:.0%} of the time",
            "; ".join(f"{count} {text}" for text, count in wrong.items()),
        )
    )


@pytest.mark.parametrize("step", range(9))
def test_words(benchmark, tables, step):
    """A Python loop and `sorted`, of the same length: from 10 µs to 20 ms in nine steps."""
    seconds = 10e-6 * 2000 ** (step / 8)
    cases = {"bytecode": loop_of(seconds), "C": sorted_of(seconds)}
    words = {case: Counter() for case in cases}

    def run():
        for case, call in cases.items():
            words[case][gilfree.probe(call, workers=1).verdict] += 1

    benchmark.pedantic(run, rounds=1 if benchmark.disabled else PROBES)
    headings = "length", "call", "right", "undecided", "wrong", "inconclusive"
    _, rows = tables.setdefault("what holds the GIL: bytecode or C", (headings, []))
    words_of = {"bytecode": Verdict.HOLDS_IN_BYTECODE, "C": Verdict.HOLDS_IN_C}
    for case, said in words.items():
        right, silent = said[words_of[case]], said[Verdict.HOLDS]
        unsure = said[Verdict.INCONCLUSIVE]
        wrong = said.total() - right - silent - unsure
        counts = (str(count) for count in (right, silent, wrong, unsure))
        rows.append((f"{seconds * 1e6:,.0f} µs", case, *counts))


def loop_of(seconds):
    """Return a loop in Python that takes about `seconds`."""

    def loop(rounds):
        for _ in range(rounds):
            pass

    return functools.partial(loop, fit(loop, seconds))


def sorted_of(seconds):
    """Return a call of `sorted` that takes about `seconds`."""
    return functools.partial(sorted, LIST[: fit(lambda n: sorted(LIST[:n]), seconds)])


def fit(call, seconds):
    """Return the number of rounds or elements with which a call takes about `seconds`."""
    low, high = 1, len(LIST) * 10
    while high - low > max(low // 50, 1):
        middle = (low + high) // 2
        taken = min(timeit.repeat(lambda n=middle: call(n), number=1, repeat=3))
        low, high = (middle, high) if taken < seconds else (low, middle)
    return low
