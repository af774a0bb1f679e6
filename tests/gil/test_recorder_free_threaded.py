"""Recordings on a Python without a GIL, of threads that know what they did."""

from __future__ import annotations

import ctypes
import gc
import json
import threading
import time

import needs
import patterns
import pytest

import gilfree
from gilfree.recording import text

pytestmark = [
    needs.recorder,
    needs.no_gil,
    pytest.mark.thread_unsafe(reason="records the whole process"),
]
GAP = 0.03  # seconds between two samples, at most: the error of a time is as large
NEAR = 0.03  # seconds; to start, to end and to read the clock also takes a thread time


def undisturbed(program):
    """Record a program until no gap is longer than GAP.

    Return the recording, its threads by name, and what the program returned.
    """
    for _ in range(8):
        with gilfree.record() as recording:
            truth = program()
        gap, missed = recording.facts.largest_gap, recording.facts.missed
        if gap < GAP and missed < recording.seconds / 10:
            return recording, {thread.name: thread for thread in recording.threads}, truth
    pytest.skip(f"this machine is busy: gaps of up to {gap * 1e3:.0f} ms between two samples")


def run(*functions):
    """Run each function in a thread with its name."""
    threads = [threading.Thread(target=each, name=each.__name__) for each in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def compute(seconds):
    """Run C code detached for `seconds`; return how long that took."""
    times = (ctypes.c_double * 3)()
    patterns.libraries()[1].spin_noting(seconds, times)
    return times[2] - times[0]


def every_state():
    """Run a thread in each state; return each thread's state and time, as it clocked itself."""
    sleep_attached, sleep_detached = patterns.sleeps()
    lock, clocked = threading.Lock(), {}

    def in_bytecode():
        begin = time.perf_counter()
        while time.perf_counter() < begin + 0.4:
            pass
        clocked["in_bytecode"] = "attached", time.perf_counter() - begin

    def asleep_attached():
        clocked["asleep_attached"] = "attached", sleep_attached(0.4)

    def in_c():
        clocked["in_c"] = "running", compute(0.4)

    def asleep():
        clocked["asleep"] = "blocked", sleep_detached(0.4)

    def in_a_lock():
        lock.acquire(timeout=0.4)  # not clocked: after it, the thread may wait for a CPU
        clocked["in_a_lock"] = "blocked", 0.4

    with lock:
        run(in_bytecode, asleep_attached, in_c, asleep, in_a_lock)
    return clocked


def test_each_state_is_near_the_truth():
    recording, found, clocked = undisturbed(every_state)
    allowed = NEAR + recording.facts.largest_gap
    wrong = {
        name: (state, seconds, found[name])
        for name, (state, seconds) in clocked.items()
        if abs(getattr(found[name], state) - seconds) > allowed or found[name].suspended > allowed
    }
    assert wrong == {}


def stopped_world():
    """Stop the world, which waits for a thread that sleeps attached; return how long that took."""
    sleep_attached, sleep_detached = patterns.sleeps()
    under_way, over, took = [], threading.Event(), []

    def wait_for(count):
        while len(under_way) < count:
            time.sleep(0.001)

    def holder():
        wait_for(4)
        under_way.append(holder)
        sleep_attached(0.4)

    def collector():
        wait_for(5)
        time.sleep(0.05)
        begin = time.perf_counter()
        gc.collect()
        took.append(time.perf_counter() - begin)
        over.set()

    def in_bytecode():
        under_way.append(in_bytecode)
        while not over.is_set():
            pass

    def wants_to_attach():
        under_way.append(wants_to_attach)
        while not over.is_set():
            time.sleep(0.001)

    def in_c():
        under_way.append(in_c)
        compute(0.6)

    def blocked():
        under_way.append(blocked)
        sleep_detached(0.6)

    run(holder, collector, in_bytecode, wants_to_attach, in_c, blocked)
    return took[0]


def test_who_is_suspended_and_for_whom():
    recording, found, took = undisturbed(stopped_world)
    allowed = NEAR + 2 * recording.facts.largest_gap
    assert took > 0.2  # the world can't stop before the sleep is over
    for name in "in_bytecode", "wants_to_attach":
        assert found[name].suspended == pytest.approx(took, abs=allowed), found[name]
        assert found[name].longest_suspended > took / 2  # the collector may stop the world again
    assert recording.facts.stopped == pytest.approx(took, abs=allowed)
    assert took / 2 < recording.facts.longest_stop <= recording.facts.stopped
    for name in "collector", "in_c", "blocked":
        assert found[name].suspended < allowed, found[name]
    assert found["in_c"].running == pytest.approx(0.6, abs=allowed)
    assert found["blocked"].blocked == pytest.approx(0.6, abs=allowed)
    stall = max(recording.stalls, key=lambda stall: stall.seconds)
    assert stall.holders[0].thread == "holder"
    assert stall.holders[0].function == "stopped_world.<locals>.holder"


def test_the_words_are_those_of_a_python_without_a_gil(tmp_path):
    recording, _, _ = undisturbed(stopped_world)
    assert recording.verdict is gilfree.RecordingVerdict.NO_GIL
    assert recording.sentence.startswith("this Python has no GIL: ")
    assert " was suspended for " in recording.sentence
    report = str(recording)
    assert all(len(line) <= 80 for line in report.splitlines())
    assert "suspended attached  running  blocked" in report
    assert "the world was stopped, or about to be, for " in report
    for word in "held", "waited", "waiting", "had it":
        assert word not in report
    recording.save(tmp_path / "found.json")
    saved = json.loads((tmp_path / "found.json").read_text())
    assert saved == recording.to_dict()
    assert saved["longest_stop"] == recording.facts.longest_stop > 0
    for thread in saved["threads"]:
        assert thread["held"] is thread["waiting"] is thread["longest_hold"] is None
        assert thread["attached"] >= thread["longest_attached"] >= 0
    assert text.states_of(recording.facts)[:2] == ("attached", "suspended")


def test_a_collection_of_many_objects_has_its_line(run_script):
    output = run_script("""
        import gc, threading, gilfree
        heap = [[number] for number in range(10**6)]
        over = threading.Event()
        def spin():
            while not over.is_set():
                pass
        with gilfree.record() as recording:
            thread = threading.Thread(target=spin, name="spinner")
            thread.start()
            for _ in range(5):
                gc.collect()
            over.set()
            thread.join()
        stall = recording.stalls[0]
        holder = stall.holders[0]
        print(stall.waiter, holder.thread, holder.function, holder.line)
    """)
    assert output == "spinner MainThread <module> 12\n"


def test_a_report_of_a_stopped_world(run_script):
    output = run_script("""
        import sys, tempfile, gilfree
        sys.path.append(f"{sys.path[1]}/gil")
        import test_recorder_free_threaded as programs
        with tempfile.TemporaryFile() as file:
            gilfree.report_stalls(0.1, file)
            programs.stopped_world()
            gilfree.report_stalls(None)
            file.seek(0)
            print(file.read().decode())
    """)
    assert " has been suspended for 1" in output
    assert "  attached holder (" in output
    assert " in stopped_world.<locals>.holder\n" in output
    assert "GIL" not in output


def test_threads_that_come_and_go_while_the_world_is_stopped_again_and_again(run_script):
    run_script("""
        import gc, threading, gilfree
        over = threading.Event()
        def collect():
            while not over.is_set():
                gc.collect()
        with gilfree.record() as recording:
            collectors = [threading.Thread(target=collect) for _ in range(2)]
            for thread in collectors:
                thread.start()
            for _ in range(20):
                threads = [threading.Thread(target=sum, args=[range(999)]) for _ in range(10)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            over.set()
            for thread in collectors:
                thread.join()
        assert len(recording.threads) + recording.facts.unseen_threads == 203
        assert recording.facts.stopped > 0
        str(recording)
    """)


def test_a_gil_that_was_switched_on_is_recorded_as_one(run_script, monkeypatch):
    monkeypatch.setenv("PYTHON_GIL", "1")
    output = run_script("""
        import ctypes, threading, time, gilfree
        hold = ctypes.PyDLL(None).usleep
        with gilfree.record() as recording:
            thread = threading.Thread(target=hold, args=[300_000], name="holder")
            thread.start()
            time.sleep(0.01)
        stall = recording.stalls[0]
        print(stall.waiter, stall.holders[0].thread, recording.facts.gil)
    """)
    assert output == "MainThread holder True\n"
