"""The probe's answers on calls whose answer is known, and what it leaves behind."""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import json
import os
import re
import sys
import threading
import time
import traceback
import zlib

import needs
import numpy as np
import pytest

import gilfree
from gilfree import gil_report
from gilfree.gil_report import GilReport, readable_time
from gilfree.pool import gil_enabled

pytestmark = [
    needs.sampler,
    pytest.mark.thread_unsafe(reason="measures, and so must have the CPUs for itself"),
]
hold = ctypes.PyDLL(None).usleep
let_go = ctypes.CDLL(None).usleep
rng = np.random.default_rng(0)


def count_to_a_million():
    total = 0
    for number in range(1_000_000):
        total += number
    return total


NOISE, NUMBERS = rng.bytes(1_000_000), rng.random(300_000)
LIST, TEXT, JSON = list(NUMBERS[:50_000]), "ab" * 100_000, json.dumps(list(range(200_000)))

RELEASED = {
    "time.sleep": lambda: time.sleep(0.02),
    "ctypes.CDLL": lambda: let_go(20_000),
    "sha256": lambda: hashlib.sha256(NOISE).digest(),
    "zlib": lambda: len(zlib.compress(NOISE)),
    "np.sort": lambda: np.sort(NUMBERS)[0],
    "gilfree": lambda: gilfree.mandelbrot((300, 400), workers=1)[0, 0],
}
HELD = {
    "ctypes.PyDLL": lambda: hold(20_000),
    "sorted": lambda: sorted(LIST)[0],
    "re": lambda: len(re.findall("(a|b)c?", TEXT)),
    "json": lambda: len(json.loads(JSON)),
    "bytecode": count_to_a_million,
    "gilfree": lambda: gilfree.mandelbrot((300, 400), nogil=False, workers=1)[0, 0],
}


@needs.gil
@pytest.mark.parametrize("name", RELEASED)
def test_calls_that_release(name):
    report = gilfree.probe(RELEASED[name], workers=1)
    assert report.held < 0.1, report
    assert report.summary.startswith("released")


@needs.gil
@pytest.mark.parametrize("name", HELD)
def test_calls_that_hold(name):
    report = gilfree.probe(HELD[name], workers=1)
    assert report.held > 0.9, report
    assert report.summary.startswith("holds the GIL")


@needs.gil
def test_a_call_that_does_both():
    def both():
        hold(10_000)
        let_go(10_000)

    report = gilfree.probe(both, workers=2)
    assert 0.4 < report.held < 0.6
    assert 0.009 < report.longest_hold < 0.05
    assert report.summary == "releases the GIL in part"


@needs.gil
def test_bytecode_is_told_from_a_long_hold_in_c():
    loop = gilfree.probe(count_to_a_million, workers=1)
    assert loop.held >= 0.95
    c = gilfree.probe(hold, 200_000, workers=1)
    assert 0.18 < c.longest_stall < 1
    assert loop.longest_stall < c.longest_stall / 5  # a busy machine may keep a thread for 8 ms
    assert loop.summary == "holds the GIL in bytecode"
    assert c.summary == "holds the GIL in C"


@needs.gil
def test_sleeping_scales_and_a_lock_serialises():
    report = gilfree.probe(time.sleep, 0.02, workers=3)
    assert report.speedup > 2
    assert report.summary == "released; scales"
    lock = threading.Lock()

    def locked():
        with lock:
            let_go(10_000)

    report = gilfree.probe(locked, workers=2)
    assert report.speedup < 1.2
    assert report.summary == "released; something other than the GIL serialises it"


@needs.gil
def test_short_calls_are_pooled_until_the_answer_is_sure():
    short = gilfree.probe(let_go, 1, workers=1)
    assert short.calls > 10
    assert short.samples > 100
    assert short.held < 0.5
    short = gilfree.probe(hold, 10, workers=1)
    assert short.held > 0.8


def test_repeat_bounds_the_calls_that_are_watched():
    report = gilfree.probe(let_go, 2000, workers=1, repeat=7)
    assert report.calls == 7
    report = gilfree.probe(abs, -1, workers=1, repeat=1)
    assert report.held is None or report.samples >= 1
    assert report.result == 1
    if report.samples < 5:
        assert report.summary == "inconclusive"


def test_the_result_of_the_first_call_is_kept():
    calls = []

    def work():
        calls.append(len(calls))
        time.sleep(0.001)
        return calls[-1]

    report = gilfree.probe(work, workers=2)
    assert report.result == 0
    assert report.name.endswith("work")
    assert len(calls) >= 2 + 2 * 2
    assert "result" not in report.to_dict()
    assert json.loads(json.dumps(report.to_dict()))["workers"] == 2


def test_arguments_reach_the_function():
    assert gilfree.probe(sorted, [1, 3, 2], reverse=True, workers=1).result == [3, 2, 1]


@pytest.mark.parametrize("fail_at", [1, 2, 4, 6, 8, 12])
def test_an_exception_reaches_the_caller_and_leaves_nothing_behind(fail_at):
    calls = []

    def fails():
        calls.append(1)
        time.sleep(0.001)
        if len(calls) >= fail_at:
            raise LookupError("here")

    interval, threads = sys.getswitchinterval(), set(threading.enumerate())
    with pytest.raises(LookupError, match="here") as caught:
        gilfree.probe(fails, workers=2, repeat=3)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "fails"
    assert sys.getswitchinterval() == interval
    assert set(threading.enumerate()) == threads
    if os.path.exists("/proc/self/task"):
        # NumPy's BLAS may have threads, but the sampler is gone.
        assert len(os.listdir("/proc/self/task")) >= len(threads)


def test_ctrl_c_comes_through(run_script):
    run_script("""
        import _thread, sys, threading, time, gilfree
        before = sys.getswitchinterval()
        for late in 0.05, 0.3, 0.5, 0.7, 0.9, 1.1:
            presser = threading.Timer(late, _thread.interrupt_main)
            presser.start()
            try:
                while True:
                    gilfree.probe(time.sleep, 0.05, workers=2)
            except KeyboardInterrupt:
                pass
            assert threading.active_count() <= 2, threading.enumerate()
            assert sys.getswitchinterval() == before
    """)


def test_probes_at_once_restore_the_switch_interval(run_script):
    run_script("""
        import sys, threading, time, gilfree
        before = sys.getswitchinterval()
        threads = [
            threading.Thread(target=gilfree.probe, args=[time.sleep, 0.005], kwargs={"workers": 2})
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sys.getswitchinterval() == before
    """)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_on_one_cpu_it_answers_with_its_uncertainty(run_script):
    out = run_script("""
        import os, ctypes, time
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        import gilfree
        released = gilfree.probe(time.sleep, 0.02)
        held = gilfree.probe(ctypes.PyDLL(None).usleep, 20_000)
        assert released.workers == held.workers == 1
        assert released.speedup is None
        print(released.held, held.held, released.uncertainty)
        print(released)
    """)
    released, held, uncertainty = map(float, out.splitlines()[0].split())
    if gil_enabled():
        assert released < 0.2
        assert held > 0.8
    assert 0 < uncertainty <= 1
    assert "±" in out


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"workers": 0}, ValueError, "workers must be at least 1, not 0"),
        ({"repeat": 0}, ValueError, "repeat must be at least 1, not 0"),
        ({"interval": 0}, ValueError, "interval must be from 1e-6 to 1 second"),
    ],
)
def test_errors_name_the_argument(how, error, words):
    with pytest.raises(error, match=words):
        gilfree.probe(abs, -1, **how)


# ---------------------------------------------------------------- the sentence


REPORT = GilReport(
    name="work",
    gil_enabled=True,
    seconds=0.02,
    calls=10,
    held=0.0,
    uncertainty=0.005,
    longest_hold=1e-5,
    samples=10_000,
    largest_gap=1e-4,
    result=None,
    longest_stall=1e-5,
    cpu=1.0,
    workers=2,
    speedup=1.9,
    limit=2.0,
    cpu_at_once=1.0,
)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "released; scales: 2 threads are 1.90 times as fast as one"),
        (
            {"cpu": 1.9},
            "released; already multithreaded: one call keeps 1.9 CPUs busy; "
            "2 threads are 1.90 times as fast as one",
        ),
        (
            {"speedup": 1.2},
            "released; bound by memory: 2 threads are 1.20 times as fast as one",
        ),
        (
            {"speedup": 1.0, "cpu_at_once": 0.5},
            "released; something other than the GIL serialises it: "
            "2 threads are 1.00 times as fast as one",
        ),
        (
            {"speedup": 1.0, "limit": 1.05},
            "released; no other CPU was free: 2 threads are 1.00 times as fast as one",
        ),
        (
            {"speedup": 0.75},
            "released; bound by memory: 2 threads are 0.75 times as fast as one",
        ),
        (
            {"speedup": 0.4, "limit": 1.05},
            "released; threads slow each other down: 2 threads are 0.40 times as fast as one",
        ),
        (
            {"speedup": 1.1, "limit": 1.05, "cpu": 0.45},
            "released; no other CPU was free: 2 threads are 1.10 times as fast as one",
        ),
        (
            {"speedup": 1.0, "limit": 1.05, "cpu": 0.01},
            "released; something other than the GIL serialises it: "
            "2 threads are 1.00 times as fast as one",
        ),
        ({"speedup": None, "workers": 1}, "released; speedup not measured"),
        (
            {"speedup": 0.3, "limit": 2.6},
            "released; the machine was too busy to tell whether it scales: "
            "2 threads are 0.30 times as fast as one",
        ),
        (
            {"held": 1.0, "longest_hold": 0.02, "longest_stall": 0.02},
            "holds the GIL in C: another thread waits for up to 20 ms, "
            "and more threads bring no speedup",
        ),
        (
            {"held": 1.0, "longest_hold": 0.02, "longest_stall": 1e-4},
            "holds the GIL in bytecode: it gives way when another thread asks, "
            "but more threads bring no speedup",
        ),
        (
            {"held": 0.34, "longest_hold": 0.007},
            "releases the GIL in part: held for 34% of the call, at most 7 ms at a stretch; "
            "2 threads are 1.90 times as fast as one",
        ),
        (
            {"gil_enabled": False, "held": 0.5},
            "no GIL in this build: attached to the interpreter for 50% of the call; "
            "2 threads are 1.90 times as fast as one",
        ),
        (
            {"held": 0.85, "uncertainty": 0.2, "samples": 9},
            "inconclusive: 9 samples at gaps of up to 100 µs are too few for a call of 20 ms",
        ),
        (
            {"held": None, "uncertainty": 1.0, "samples": 0},
            "inconclusive: 0 samples at gaps of up to 100 µs are too few for a call of 20 ms",
        ),
    ],
)
def test_the_verdict_follows_the_figures(changes, verdict):
    report = dataclasses.replace(REPORT, **changes)
    assert report.verdict == verdict
    assert report.verdict.startswith(report.summary)
    assert max(map(len, str(report).splitlines())) <= 80


def test_the_report_reads_well():
    assert str(REPORT) == (
        "work: released; scales: 2 threads are 1.90 times as fast as one\n"
        "  time     20 ms a call, which keeps 1.00 CPUs busy\n"
        "  held     0.0% ± 0.5% of the call, at most 10 µs at a stretch\n"
        "  stall    another Python thread waits for at most 10 µs\n"
        "  speedup  1.90× on 2 threads, of the 2.00× this machine could give\n"
        "  samples  10000 in 10 calls, with gaps of up to 100 µs"
    )


def test_times_are_readable():
    values = (0, 5e-9, 1.5e-6, 0.0123, 0.9999, 12.3456)
    assert [readable_time(seconds) for seconds in values] == [
        "0 ns",
        "5 ns",
        "1.5 µs",
        "12.3 ms",
        "1 s",
        "12.3 s",
    ]
    assert gil_report.RELEASED < gil_report.HELD


@pytest.mark.skipif(gil_enabled(), reason="this Python has a GIL")
def test_without_a_gil_it_says_so():
    report = gilfree.probe(time.sleep, 0.02)
    assert report.summary == "no GIL in this build"
    assert report.held < 0.2
    assert "attached" in str(report)
    assert gilfree.probe(count_to_a_million, workers=1).held > 0.8
