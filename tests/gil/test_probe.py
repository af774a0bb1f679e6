"""The probe on calls whose verdict is known, and what it leaves behind."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import gc
import hashlib
import json
import os
import re
import sqlite3
import sys
import threading
import time
import timeit
import traceback
import zlib

import causes
import needs
import numpy as np
import patterns
import pytest

import gilfree
from gilfree._system import gil_enabled
from gilfree.gil import passive, speedup
from gilfree.gil.lazy import LazyCallError, name_of
from gilfree.gil.probe import Probing
from gilfree.gil.report import GilReport
from gilfree.gil.seen import Seen
from gilfree.gil.statement import probe_statement
from gilfree.gil.verdict import Kind, Verdict

pytestmark = [
    needs.sampler,
    pytest.mark.thread_unsafe(reason="measures times, and so needs the CPUs for itself"),
]
hold = ctypes.PyDLL(None).usleep
release = ctypes.CDLL(None).usleep
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
    "ctypes.CDLL": lambda: release(20_000),
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


def probed(call, *args, **how):
    """Probe until the report is conclusive; skip the test if other programs keep the CPUs busy."""
    for _ in range(3):
        report = gilfree.probe(call, *args, **how)
        if report.conclusive:
            return report
    pytest.skip(f"this machine is busy: {report.sentence}")


@needs.gil
@pytest.mark.parametrize("name", RELEASED)
def test_calls_that_release(name):
    report = probed(RELEASED[name], workers=1)
    assert report.held < 0.1, report
    assert report.verdict.kind is Kind.RELEASED


@needs.gil
@pytest.mark.parametrize("name", HELD)
def test_calls_that_hold(name):
    report = probed(HELD[name], workers=1)
    assert report.held > 0.9, report
    assert report.verdict.kind is Kind.HELD


@needs.gil
def test_a_call_that_does_both():
    def both():
        hold(10_000)
        release(10_000)

    report = probed(both, workers=2)
    assert 0.4 < report.held < 0.6
    assert 0.009 < report.longest_hold < 0.05
    assert report.verdict is Verdict.PARTLY


@needs.gil
def test_bytecode_is_told_from_a_long_hold_in_c():
    loop = probed(count_to_a_million, workers=1)
    assert loop.held >= 0.95
    c = probed(hold, 200_000, workers=1)
    assert 0.18 < c.longest_stall < 1
    assert loop.longest_stall < c.longest_stall / 5  # a busy machine may keep a thread for 8 ms
    assert loop.verdict is Verdict.HOLDS_IN_BYTECODE
    assert c.verdict is Verdict.HOLDS_IN_C


@needs.gil
def test_sleeping_scales_and_a_lock_serialises():
    report = probed(time.sleep, 0.02, workers=3)
    assert report.speedup > 2
    assert report.verdict is Verdict.HELP
    lock = threading.Lock()

    def locked():
        with lock:
            release(10_000)

    report = probed(locked, workers=2)
    assert report.speedup < 1.2
    assert report.verdict in {Verdict.LITTLE, Verdict.LOCKED}


@needs.gil
def test_short_calls_are_pooled_until_the_answer_is_sure():
    short = gilfree.probe(release, 1, workers=1)
    assert short.calls > 10
    assert short.samples > 100
    assert short.held < 0.5
    short = gilfree.probe(hold, 10, workers=1)
    assert short.held > 0.8


def test_repeat_bounds_the_calls_that_are_watched():
    report = gilfree.probe(release, 2000, workers=1, repeat=7)
    assert report.calls == 7
    report = gilfree.probe(abs, -1, workers=1, repeat=1)
    assert report.held is None or report.samples >= 1
    assert report.result == 1
    if report.samples < 5:
        assert report.verdict is Verdict.INCONCLUSIVE


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


@pytest.mark.parametrize("fail_at", [1, 2, 4, 20])
def test_an_exception_reaches_the_caller_and_leaves_nothing_behind(fail_at):
    calls = []

    def fails():
        if threading.current_thread() is threading.main_thread():
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
        # NumPy's BLAS may have threads of its own.
        assert len(os.listdir("/proc/self/task")) >= len(threads)


# ---------------------------------------------------------------- calls for one thread only


def test_a_call_bound_to_its_thread_is_probed_there():
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        report = gilfree.probe(lambda: connection.execute("SELECT 1").fetchall(), workers=2)
    assert report.only_here.startswith("ProgrammingError: SQLite objects created in a thread")
    assert report.only_alone is report.speedup is report.limit is None
    assert report.samples > 0
    assert "in another thread it raises ProgrammingError" in " ".join(report.sentence.split())
    assert json.loads(json.dumps(report.to_dict()))["only_here"] == report.only_here


@pytest.mark.parametrize("seconds", [0.002, 0.55])
def test_a_call_that_fails_only_beside_others_is_named(seconds):
    taken = threading.Lock()

    def work():
        if not taken.acquire(blocking=False):
            raise RuntimeError("one at a time\nplease")
        try:
            time.sleep(seconds)
        finally:
            taken.release()

    report = gilfree.probe(work, workers=2)
    assert report.only_alone == "RuntimeError: one at a time"
    assert report.only_here is report.speedup is None


def test_a_call_that_exits_its_thread_is_named():
    def leave():
        time.sleep(0.001)
        if threading.current_thread() is not threading.main_thread():
            raise SystemExit("enough")

    assert gilfree.probe(leave, workers=2).only_here == "SystemExit: enough"


@pytest.mark.slow
def test_a_long_call_on_more_workers_than_fit_into_the_rounds():
    speed = speedup.measure_once(lambda: None, (1.0, 0.5), workers=90)
    assert speed.workers == 90
    assert speed.speedup > 1
    assert 0 < speed.limit <= 90


# ---------------------------------------------------------------- calls that run nothing yet


def generator(_=None):
    yield ran.append(1)


async def coroutine(_=None):
    ran.append(1)


async def async_generator(_=None):
    yield ran.append(1)


ran = []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (generator, r"generator returns a generator, .* probe list\(generator\(...\)\) instead"),
        (coroutine, r"returns a coroutine, .* probe asyncio.run\(coroutine\(...\)\) instead"),
        (async_generator, "returns an async generator, and none of its code runs in that call"),
        (functools.partial(coroutine, 1), "returns a coroutine"),
        (lambda: generator(), "returns a generator"),
        (lambda: coroutine(), "returns a coroutine"),
        (lambda: async_generator(), "returns an async generator"),
        (lambda: (x for x in ran), "returns a generator"),
    ],
)
def test_a_call_that_runs_nothing_is_refused_before_anything_is_measured(call, words):
    with pytest.raises(LazyCallError, match=words):
        gilfree.probe(call)
    gc.collect()  # a coroutine that was not closed would warn now
    assert ran == []


# ---------------------------------------------------------------- short calls and long ones


def test_a_short_call_is_clocked_without_the_harness():
    def nothing():
        pass

    timer = timeit.Timer("nothing()", globals={"nothing": nothing})
    report = probed(nothing, workers=1)
    # A window for each call made it twenty times as long.
    assert 0.2 < report.seconds / (min(timer.repeat(5, 100_000)) / 100_000) < 5
    assert report.longest_hold <= report.seconds
    assert not gil_enabled() or report.verdict is Verdict.HOLDS
    assert "too short to share among threads" in report.sentence
    statement = probe_statement("nothing", "def nothing(): pass", 1)
    assert statement.seconds < 10 * report.seconds


@pytest.mark.parametrize("source", ["pass", "1 | 2"])
def test_a_call_no_longer_than_its_harness_counts_as_held(source):
    # The difference of two clocked loops says little here, but the call is too short for a release.
    report = probe_statement(source, workers=1)
    assert report.seconds < 1e-6
    assert report.held == 1
    # Without a GIL, a release costs less time than "1 | 2" takes.
    assert report.conclusive or (source != "pass" and not gil_enabled())


@pytest.mark.parametrize(
    ("both", "held", "uncertainty"),
    [
        ((262e-9, 261e-9), 1.0, 0.0),  # too short for a release
        ((262e-9, 270e-9), 1.0, 0.0),
        ((400e-9, 200e-9), 0.94, 2 * 0.0255),  # the release is in half of the time
        ((3e-6, 2.97e-6), 1.0, 0.0),
    ],
)
def test_the_harness_is_subtracted_from_the_call(both, held, uncertainty, monkeypatch):
    monkeypatch.setattr(passive, "seconds_of_both", lambda *_: both)
    monkeypatch.setattr(passive, "release_cost", lambda: 40e-9)
    nothing = dict.fromkeys(Seen._fields, 0)
    seen = Seen(**{**nothing, "held": 0.97, "samples": 205, "seconds": 1.0})
    found = passive._of_windows(seen, int, int, 9, None)
    assert found.held == pytest.approx(held)
    assert found.uncertainty == pytest.approx(uncertainty, rel=0.02)
    assert found.seconds == pytest.approx(max(both[0] - both[1], 1e-9))


class MakesGenerators:  # noqa: D101
    def __call__(self):
        yield


def test_what_only_looks_lazy_is_probed():
    assert probed(MakesGenerators, workers=1).result.__class__ is MakesGenerators
    begun = (number for number in range(9))
    next(begun)
    assert probed(lambda: begun, workers=1).held is not None
    assert next(begun) == 1  # it was not closed
    with pytest.raises(LazyCallError, match="MakesGenerators object"):
        gilfree.probe(MakesGenerators())


def test_the_name_of_a_call_is_short_and_never_fails():
    class Nameless:
        def __call__(self):
            pass

        def __repr__(self):
            raise RuntimeError

    assert name_of(functools.partial(functools.partial(zlib.crc32, bytes(10**6)))) == "crc32"
    assert "Nameless" in name_of(Nameless())


def test_what_was_not_sampled_is_shown_as_unknown():
    report = gilfree.probe(time.sleep, 1e-3, workers=1, interval=1, repeat=3)
    assert (report.held, report.longest_hold) == (None, None)
    assert re.search(r"\n  (held|attached) +unknown of the call\n", str(report))


def test_a_call_of_seconds_is_made_once_alone_and_once_by_each_worker():
    calls, measurements = [], []

    def work():
        calls.append(threading.get_ident())
        time.sleep(0.6)

    report = Probing(work, "work", workers=2).run(measurements.append)
    assert calls.count(threading.get_ident()) == 1
    assert len(calls) == 3
    assert report.calls == 1
    assert 1.5 < report.speedup < 2.5
    assert measurements[0] == "one call"
    assert re.fullmatch(r"one took (6\d\d ms); 2 together: \1 to 1\.\d+ s", measurements[1])
    assert len(measurements) == 2
    assert report.longest_stall < 0.3


def test_there_is_a_report_after_each_measurement():
    known = []
    probing = Probing(lambda: time.sleep(0.01), "sleep", workers=2)
    probing.run(lambda _: known.append(probing.report()))
    first, gil, waits, gains = known
    assert first is gil is None
    assert waits.held is not None
    assert waits.longest_stall is None
    assert gains.longest_stall is not None
    assert gains.speedup is None
    assert "not measured" in str(waits)


@pytest.mark.slow
def test_ctrl_c_comes_through(run_script):
    run_script("""
        import _thread, sys, threading, time, gilfree
        gilfree.probe  # import it now: a Ctrl-C during an import leaves half a module
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


@pytest.mark.slow
def test_a_first_call_that_only_warms_up_does_not_count():
    sleep_held, sleep_released = patterns.sleeps()
    calls = []

    def call():
        calls.append(1)
        (sleep_held if len(calls) == 1 else sleep_released)(0.7 if len(calls) == 1 else 0.005)

    report = gilfree.probe(call)
    assert report.verdict.kind is Kind.RELEASED, report
    assert report.seconds < 0.1


@needs.fork
def test_a_child_that_is_forked_in_a_call_gets_the_switch_interval_back(run_script):
    run_script("""
        import os, sys, time, warnings, gilfree
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with several threads
        before, child = sys.getswitchinterval(), 0

        def call():
            global child
            time.sleep(0.01)
            if not child and sys.getswitchinterval() != before:
                child = os.fork()
                if not child:
                    os._exit(sys.getswitchinterval() != before)

        gilfree.probe(call)
        assert os.waitpid(child, 0)[1] == 0
    """)


@pytest.mark.slow
def test_concurrent_probes_restore_the_switch_interval(run_script):
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


# ---------------------------------------------------------------- why threads gain little


@needs.gil
@needs.recorder
@pytest.mark.parametrize("name", causes.CAUSES)
def test_the_cause_is_named_by_evidence(name):
    with causes.surroundings(name):
        for _ in range(3):
            report = causes.probe(name)
            if report.verdict is causes.CAUSES[name][1]:
                return
            spun = speedup.measure(lambda: causes.library().alone(1_000_000), 2e-3, 2)
    if name != "one CPU" and (spun.speedup or 0) < 1.5:
        pytest.skip(f"this machine is busy: two threads gain {spun.speedup:.2f}×")
    if not report.conclusive:
        pytest.skip(f"this machine is busy: {report.sentence}")
    pytest.fail(str(report))


@needs.recorder
def test_beside_a_recording_of_the_program_the_probe_makes_none():
    with gilfree.record() as recording:
        report = gilfree.probe(release, 2000, workers=2)
    assert report.waiting is report.blocked is report.running is report.no_cpu is None
    assert report.speedup is not None
    assert "together" not in str(report)
    assert recording.facts.looks > 0


@needs.gil
@needs.recorder
def test_what_concurrent_threads_do_is_in_the_report():
    report = gilfree.probe(time.sleep, 0.01, workers=2)
    assert report.blocked > 0.5
    assert 0 <= report.waiting + report.blocked + report.running <= 1.001
    assert report.handovers >= 0
    found = json.loads(json.dumps(report.to_dict()))
    assert found["blocked"] == report.blocked
    with gilfree.record():  # the probe's own recording has ended
        pass


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
    wakeup=42e-6,
    release_cost=45e-9,
    cpu=1.0,
    workers=2,
    speedup=1.9,
    limit=2.0,
    waiting=0.0,
    blocked=0.0,
    running=1.0,
    no_cpu=0.0,
    handovers=1.0,
    cpu_growth=1.0,
)


ALONE = {"speedup": 1.0}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {},
            "released; threads help: held for 0% of the call; 2 threads gain 1.90×, the machine "
            "could give 2.00×",
        ),
        (
            {"cpu": 1.9, "held": 0.003},
            "released; already multithreaded: held for under 1% of the call; one call keeps 1.9 "
            "CPUs busy; 2 threads gain 1.90×, the machine could give 2.00×",
        ),
        (  # without a known cause
            {"speedup": 1.2},
            "released; threads gain little: held for 0% of the call; 2 threads gain 1.20×, the "
            "machine could give 2.00×",
        ),
        (
            {"speedup": 0.4, "waiting": 0.3, "cpu_growth": 3.0, "handovers": 9000.4},
            "releases and reacquires the GIL too often: held for 0% of the call; threads wait for "
            "the GIL or hand it over for 77% of the time; it goes to another thread 9,000 times a "
            "call; 2 threads gain 0.40×, the machine could give 2.00×",
        ),
        (  # contention that cost little
            {"speedup": 1.6, "waiting": 0.3, "cpu_growth": 1.5, "handovers": 9000.4},
            "released; threads help: held for 0% of the call; 2 threads gain 1.60×, the machine "
            "could give 2.00×",
        ),
        (  # `held` is not conclusive, but contention is
            {"held": 0.08, "uncertainty": 0.05, "speedup": 0.9, "waiting": 0.5},
            "releases and reacquires the GIL too often: held for 8% of the call; threads wait for "
            "the GIL or hand it over for 50% of the time; it goes to another thread 1 time a call; "
            "2 threads gain 0.90×, the machine could give 2.00×",
        ),
        (  # more lost time than the handovers explain
            {"speedup": 0.4, "cpu_growth": 3.0, "handovers": 9.0},
            "released; threads share memory or a core: held for 0% of the call; a concurrent call "
            "needs 3.00× the CPU time; 2 threads gain 0.40×, the machine could give 2.00×",
        ),
        (
            {"held": 0.4, "speedup": 0.9, "waiting": 0.5},
            "releases and reacquires the GIL too often: held for 40% of the call; threads wait for "
            "the GIL or hand it over for 50% of the time; it goes to another thread 1 time a call; "
            "2 threads gain 0.90×, the machine could give 2.00×",
        ),
        (  # waiting is expected, since the call holds the GIL for most of its time
            {"held": 0.6, "speedup": 1.6, "waiting": 0.3},
            "releases the GIL in part: held for 60% of the call, at most 10 µs at a stretch; "
            "2 threads gain 1.60×, the machine could give 2.00×",
        ),
        (
            {"speedup": 1.0, "blocked": 0.5},
            "released; threads wait for each other: held for 0% of the call; threads are blocked "
            "for 50% of the time, by a lock or the like; 2 threads gain 1.00×, the machine could "
            "give 2.00×",
        ),
        (  # a call alone sleeps, too
            {"speedup": 1.0, "blocked": 0.5, "cpu": 0.1},
            "released; threads gain little: held for 0% of the call; 2 threads gain 1.00×, the "
            "machine could give 2.00×",
        ),
        (
            {"speedup": 1.0, "no_cpu": 0.5, "limit": 1.9},
            "released; no other CPU was free: held for 0% of the call; threads have no CPU for 50% "
            "of the time; 2 threads gain 1.00×, the machine could give 1.90×",
        ),
        (  # no cause took most of the lost time
            {"speedup": 0.8, "no_cpu": 0.2, "blocked": 0.2, "waiting": 0.2},
            "released; threads gain little: held for 0% of the call; 2 threads gain 0.80×, the "
            "machine could give 2.00×",
        ),
        (  # nothing could be recorded
            {"speedup": 0.8, "waiting": None, "blocked": None, "running": None, "no_cpu": None},
            "released; threads gain little: held for 0% of the call; 2 threads gain 0.80×, the "
            "machine could give 2.00×",
        ),
        (
            {"speedup": 1.0, "limit": 1.05},
            "released; no other CPU was free: held for 0% of the call; 2 threads gain 1.00×, the "
            "machine could give 1.05×",
        ),
        (
            {"speedup": 0.4, "limit": 1.05},
            "released; threads slow each other down: held for 0% of the call; 2 threads gain "
            "0.40×, the machine could give 1.05×",
        ),
        (
            {"speedup": 1.0, "limit": 1.05, "cpu": 0.01},
            "released; threads gain little: held for 0% of the call; 2 threads gain 1.00×, the "
            "machine could give 1.05×",
        ),
        (
            {"speedup": 1.97, "limit": 1.08},
            "released; threads help: held for 0% of the call; 2 threads gain 1.97×, the machine "
            "could give 1.08×; other work on this machine disturbed the measurement",
        ),
        (
            {"speedup": None, "workers": 1},
            "released; speedup not measured: held for 0% of the call",
        ),
        (
            {"speedup": None, "only_here": "ProgrammingError: wrong thread"},
            "released; can't be called from another thread: held for 0% of the call; in another "
            "thread it raises ProgrammingError: wrong thread",
        ),
        (
            {"speedup": None, "only_alone": "RuntimeError: busy"},
            "released; can't be called by several threads concurrently: held for 0% of the call; "
            "concurrent calls raise RuntimeError: busy",
        ),
        (
            {**ALONE, "held": 1.0, "longest_hold": 0.02, "longest_stall": 0.02},
            "holds the GIL in C: held for 100% of the call; another thread waits for up to 20 ms; "
            "more threads bring no speedup",
        ),
        (
            {**ALONE, "held": 0.999, "longest_hold": 0.02, "longest_stall": 1e-4},
            "holds the GIL in bytecode: held for over 99% of the call; it releases the GIL when "
            "another thread requests it; more threads bring no speedup",
        ),
        (  # between bytecode and C
            {**ALONE, "held": 1.0, "longest_hold": 0.02, "longest_stall": 7e-3},
            "holds the GIL: held for 100% of the call; more threads bring no speedup",
        ),
        (  # too close to a wake-up
            {**ALONE, "held": 1.0, "seconds": 1e-4, "longest_hold": 1e-4, "longest_stall": 9e-5},
            "holds the GIL: held for 100% of the call; more threads bring no speedup",
        ),
        (
            {**ALONE, "held": 1.0, "seconds": 3e-8, "longest_hold": 3e-8, "longest_stall": 4e-5},
            "holds the GIL: held for 100% of the call; 30 ns is too short to share among threads: "
            "waking one takes 42 µs, a release costs 45 ns; more threads bring no speedup",
        ),
        (
            {"held": 1.0, "longest_hold": 0.02, "longest_stall": 0.02, "speedup": 1.68},
            "holds the GIL in C: held for 100% of the call; another thread waits for up to 20 ms; "
            "more threads bring no speedup; the measured 1.68× came from other work on this "
            "machine",
        ),
        (
            {"held": 0.34, "longest_hold": 0.007},
            "releases the GIL in part: held for 34% of the call, at most 7 ms at a stretch; "
            "2 threads gain 1.90×, the machine could give 2.00×",
        ),
        (
            {"gil_enabled": False, "held": 0.5},
            "no GIL in this build: attached to the interpreter for 50% of the call; "
            "2 threads gain 1.90×, the machine could give 2.00×",
        ),
        (
            {"held": 0.85, "uncertainty": 0.2, "samples": 9},
            "inconclusive: held for 65% to 100% of the call, by 9 samples with gaps of up to "
            "100 µs; probe a call that takes longer",
        ),
        (
            {"held": 0.85, "uncertainty": 0.2, "largest_gap": 0.01},
            "inconclusive: held for 65% to 100% of the call, by 10,000 samples with gaps of up to "
            "10 ms; other programs kept the CPUs busy: probe again when they have less to do",
        ),
        (
            {"held": None, "uncertainty": 1.0, "samples": 0, "only_here": "OSError: no"},
            "inconclusive: 0 samples of a call of 20 ms; in another thread it raises OSError: no",
        ),
    ],
)
def test_the_sentence_follows_the_figures(changes, sentence):
    report = dataclasses.replace(REPORT, **changes)
    assert report.sentence == sentence
    assert report.sentence.startswith(report.verdict.text)
    assert max(map(len, str(report).splitlines())) <= 80


def test_the_report_reads_well():
    assert str(REPORT) == (
        "work: released; threads help: held for 0% of the call; 2 threads gain 1.90×, the\n"
        "  machine could give 2.00×\n"
        "  time     20 ms a call, which keeps 1.00 CPUs busy\n"
        "  held     0.0% ± 0.5% of the call, at most 10 µs at a stretch\n"
        "  stall    another Python thread waits no longer than its wake-up takes, 42 µs\n"
        "  speedup  1.90× on 2 threads, of the 2.00× this machine could give\n"
        "  together waiting for the GIL 0%, blocked 0%, without a CPU 0%\n"
        "  samples  10,000 in 10 calls, with gaps of up to 100 µs"
    )
    one = dataclasses.replace(REPORT, calls=1, longest_stall=0.02)
    assert "10,000 in 1 call, with" in str(one)
    assert "another Python thread waits for at most 20 ms" in str(one)


@pytest.mark.skipif(gil_enabled(), reason="this Python has a GIL")
def test_without_a_gil_it_says_so():
    report = gilfree.probe(time.sleep, 0.02)
    assert report.verdict is Verdict.NO_GIL
    assert report.held < 0.2
    assert "attached" in str(report)
    assert gilfree.probe(count_to_a_million, workers=1).held > 0.8
