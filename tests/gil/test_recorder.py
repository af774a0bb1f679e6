"""Recordings of programs that know what their threads did, and of programs that may break them."""

from __future__ import annotations

import json
import statistics
import threading
import time

import needs
import numpy as np
import planted
import pytest

import gilfree
from gilfree.recording import text

pytestmark = [
    needs.recorder,
    pytest.mark.thread_unsafe(reason="records the whole process"),
]
STATES = ("held", "waiting", "running", "blocked")
GAP = 5e-3  # seconds; with a longer gap between samples, a stall of that length may be missed


def recorded(make, seconds=1.0, **options):
    with gilfree.record() as recording:
        begin = time.monotonic()
        program = make(seconds, **options)
        truth = program.run()
    return recording, truth, begin


def undisturbed(make, count=3, **options):
    """Record a program until `count` recordings have no gap of GAP or more."""
    runs = []
    for _ in range(4 * count):
        run = recorded(make, **options)
        if run[0].facts.largest_gap < GAP:
            runs.append(run)
        if len(runs) == count:
            return runs
    gap = run[0].facts.largest_gap
    pytest.skip(f"this machine is busy: gaps of up to {gap * 1e3:.1f} ms between two samples")


def errors_of(recording, truth):
    """Return the error of each share of each thread's time."""
    found = {thread.name: thread for thread in recording.threads}
    return {
        (name, state): getattr(found[name], state) / found[name].seconds
        - getattr(true, state) / true.seconds
        for name, true in truth.items()
        for state in STATES
    }


@needs.gil
@pytest.mark.parametrize(
    ("make", "hold"),
    [
        (planted.hog_victim_cruncher, 2e-3),
        (planted.hog_victim_cruncher, 20e-3),
        (planted.many_waiters, 8e-3),
    ],
)
@pytest.mark.slow
@pytest.mark.unsanitized(reason="measures times")
def test_the_four_shares_are_near_the_truth(make, hold):
    runs = [
        errors_of(recording, truth)
        for recording, truth, _ in undisturbed(make, seconds=0.5, hold=hold)
    ]
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    assert {key: error for key, error in medians.items() if abs(error) > 0.03} == {}


@needs.gil
@pytest.mark.unsanitized(reason="measures times")
def test_every_stall_is_found_with_its_holder_and_line():
    recording, truth, begin = undisturbed(planted.hog_victim_cruncher, count=1)[0]
    lines = planted.lines_of_holds()
    missing = []
    for name, true in truth.items():
        stalls = [stall for stall in recording.stalls if stall.waiter == name]
        for start, end in true.waits:
            if end - start < 5e-3:
                continue
            found = [
                stall
                for stall in stalls
                if begin + stall.start < end and begin + stall.start + stall.seconds > start
            ]
            holders = [stall.holders[0] for stall in found if stall.holders]
            if not any(
                each.thread == "hog"
                and each.line in lines
                and each.function == "Program.hog"
                and each.file == planted.__file__
                for each in holders
            ):
                missing.append((name, start - begin, end - start, found))
    assert missing == []


@pytest.mark.unsanitized(reason="measures times")
def test_threads_of_5_ms_are_found_by_name():
    recording, truth, _ = recorded(planted.short_lives)
    found = {thread.name for thread in recording.threads}
    missing = truth.keys() - found
    assert len(missing) == recording.facts.unseen_threads
    assert len(missing) < 0.5 * len(truth)


def test_the_states_of_a_thread_add_up_to_its_life():
    with gilfree.record() as recording:
        thread = threading.Thread(target=time.sleep, args=[0.05])
        thread.start()
        thread.join()
    *states, _ = text.states_of(recording.facts)
    for each in recording.threads:
        assert sum(getattr(each, state) for state in states) == pytest.approx(each.seconds)
        assert each.seconds <= recording.seconds + 1e-9
    assert {thread.name, "MainThread"} <= {each.name for each in recording.threads}


@needs.gil
def test_what_is_recorded_can_be_saved_and_printed(tmp_path):
    with gilfree.record() as recording:
        with pytest.raises(RuntimeError, match="still under way"):
            _ = recording.threads
        planted.hog_victim_cruncher(0.2).run()
    recording.save(tmp_path / "found.json")
    saved = json.loads((tmp_path / "found.json").read_text())
    assert saved == recording.to_dict()
    figures = ["stopped", "longest_stop"]
    assert list(saved) == ["seconds", "verdict", "sentence", *figures, "threads", "stalls"]
    assert {thread["attached"] for thread in saved["threads"]} == {saved["stopped"]} == {None}
    assert {"waiter", "start", "seconds", "holders"} == saved["stalls"][0].keys()
    assert all(len(line) <= 80 for line in str(recording).splitlines())
    assert str(recording).startswith(recording.sentence[:40])
    with pytest.raises(ValueError, match=r"path must end with .*, not 'found.txt'"):
        recording.save(tmp_path / "found.txt")


def test_a_second_concurrent_recording_is_refused():
    with gilfree.record():
        with pytest.raises(RuntimeError, match="under way already"), gilfree.record():
            pass
        time.sleep(0.01)
    with gilfree.record() as recording:
        time.sleep(0.01)
    assert recording.facts.looks > 1


def test_an_exception_ends_the_recording_and_is_passed_on():
    def fail():
        with gilfree.record() as recording:
            recordings.append(recording)
            time.sleep(0.01)
            raise ZeroDivisionError

    recordings = []
    with pytest.raises(ZeroDivisionError):
        fail()
    assert recordings[0].seconds > 0.005


def test_a_thousand_threads_that_start_and_end(run_script):
    run_script("""
        import threading, gilfree
        with gilfree.record() as recording:
            for _ in range(20):
                threads = [threading.Thread(target=sum, args=[range(999)]) for _ in range(50)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                junk = [bytearray(b"\\xff" * size) for size in range(200, 700, 2)]
        assert len(recording.threads) + recording.facts.unseen_threads == 1001
        str(recording)
    """)


@pytest.mark.parametrize(
    "ending",
    [
        "sys.exit()",
        "os._exit(0)",
        "threading.Thread(target=time.sleep, args=[9], daemon=True).start()",
        "threading.Thread(target=lambda: [0 for _ in iter(int, 1)], daemon=True).start()",
        "threading.Thread(target=time.sleep, args=[0.1]).start()",
    ],
)
def test_exits_during_a_recording(run_script, ending):
    run_script(f"""
        import os, sys, threading, time, gilfree
        recorder = gilfree.record()  # never ended
        recorder.__enter__()
        threading.Thread(target=time.sleep, args=[0.01]).start()
        {ending}
    """)


@needs.fork
def test_a_forked_child_records_nothing_and_may_record_itself(run_script):
    run_script("""
        import os, sys, time, warnings, gilfree
        warnings.simplefilter("ignore", DeprecationWarning)
        for _ in range(20):
            with gilfree.record() as recording:
                time.sleep(0.005)
                child = os.fork()
                if not child:
                    with gilfree.record() as own:
                        time.sleep(0.005)
                    assert own.threads
            if not child:
                assert recording.sentence == "nothing was recorded in this process"
                str(recording), recording.to_dict()
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert recording.threads
    """)


def test_subinterpreters_come_and_go(run_script):
    output = run_script("""
        import importlib, threading, time, gilfree
        module = None
        for name in "_interpreters", "_xxsubinterpreters":
            try:
                module = importlib.import_module(name)
                break
            except ImportError:
                pass
        def use():
            for _ in range(5):
                interpreter = module.create()
                module.run_string(interpreter, "import time; time.sleep(0.01); sum(range(10**5))")
                module.destroy(interpreter)
        with gilfree.record() as recording:
            threads = [threading.Thread(target=use, name=f"user {n}") for n in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        names = {thread.name: thread for thread in recording.threads}
        print(sum(names[f"user {n}"].blocked > 0.02 for n in range(3)))
    """)
    assert output == "3\n"


def test_threads_made_in_c_are_recorded(run_script):
    run_script("""
        import ctypes, time, gilfree
        libc = ctypes.CDLL(None)
        number = ctypes.c_ulong()
        sleep = ctypes.cast(libc.sleep, ctypes.c_void_p)  # as a start routine
        with gilfree.record() as recording:
            libc.pthread_create(ctypes.byref(number), None, sleep, ctypes.c_void_p(1))
            time.sleep(0.3)
        others = [thread for thread in recording.threads if thread.name != "MainThread"]
        assert len(others) == 1, recording.threads
        assert not (others[0].held or others[0].attached or others[0].stalled), others
        assert others[0].blocked > 0.1, others
    """)


def test_files_of_the_program_are_left_alone(run_script):
    run_script("""
        import os, time, gilfree
        before = os.listdir("/proc/self/fd")
        with gilfree.record() as recording:
            time.sleep(0.02)
            assert os.listdir("/proc/self/fd") == before
            os.closerange(3, 200)
            time.sleep(0.02)
        assert recording.facts.looks > 2
    """)


def test_the_slices_of_a_thread_are_its_times():
    with gilfree.record() as recording:
        planted.hog_victim_cruncher(0.3).run()
    states = text.states_of(recording.facts)
    for thread, lane in zip(recording.threads, recording.timeline.lanes, strict=True):
        times = dict(zip(states, np.diff(lane.edges) @ lane.shares, strict=True))
        assert times.pop("unread") == 0
        assert times == pytest.approx({state: getattr(thread, state) for state in times}, abs=1e-6)
        within = lane.between(0, recording.seconds, 7) * recording.seconds / 7
        assert within.sum() == pytest.approx(thread.seconds)
