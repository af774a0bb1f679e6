"""Stalls are reported while they last, even if the process is killed, and nothing else is."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import needs
import pytest

import gilfree

pytestmark = [
    needs.recorder,
    needs.gil,
    pytest.mark.thread_unsafe(reason="samples the whole process"),
]

# The beginning of all scripts: a file for the reports, and threads that hold the GIL in C.
BEGINNING = """
import os, signal, subprocess, sys, threading, time, gilfree, patterns
held, released = patterns.sleeps()

def inner(seconds):
    held(seconds)

def outer(seconds):
    inner(seconds)

def start(name, function, *arguments, **how):
    thread = threading.Thread(target=function, args=arguments, name=name, **how)
    thread.start()
    return thread

def stall(name, seconds, **how):
    thread = start(name, outer, seconds, **how)
    while thread.is_alive():  # so that this thread waits for the GIL when the other acquires it
        time.sleep(0.005)

def tick(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        released(0.005)

def text():
    with open("reports") as file:
        return file.read()

reports = open("reports", "w")
"""


@pytest.fixture
def run_program(run_script):
    """Run a script that starts with BEGINNING."""

    def run(source, **how):
        lines = source.splitlines()
        indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
        return run_script(BEGINNING + "\n".join(line[indent:] for line in lines), **how)

    return run


def test_a_report_names_who_waits_and_who_holds_with_line_and_callers(run_program):
    shown = run_program("""
        gilfree.report_stalls(0.1, reports)
        reports.close()  # the reporter has its own descriptor
        stall("holder", 1.0)
        time.sleep(0.05)
        print(text())
    """)
    report, end = shown.strip().rsplit("\n", 1)
    lines = report.splitlines()
    assert "MainThread (" in lines[0]
    assert " has waited for the GIL for " in lines[0]
    assert lines[1].startswith("  held     holder (")
    assert lines[1].endswith(", in one C call, most recent call first")
    assert lines[2].endswith('script.py", line 6 in inner')
    assert lines[3].endswith('script.py", line 9 in outer')
    assert "Thread.run" in lines[4]
    assert any(line.startswith("  waiting  MainThread (") for line in lines)
    assert report.count("gilfree[") == 1
    assert "MainThread (" in end
    assert " waits no longer, after " in end


def test_it_is_there_while_the_stall_lasts_and_after_a_kill(run_program):
    run_program("""
        code = "import time, threading, gilfree, patterns; gilfree.report_stalls(0.1); " \\
            "hold = patterns.sleeps()[0]; " \\
            "threading.Thread(target=hold, args=[45], daemon=True, name='stuck').start(); " \\
            "time.sleep(0.01)"
        child = subprocess.Popen([sys.executable, "-c", code], stderr=reports)
        while "MainThread" not in text():
            assert child.poll() is None  # the child hangs
            time.sleep(0.01)
        child.kill()
        assert child.wait() == -signal.SIGKILL
        assert f"gilfree[{child.pid}]: MainThread ({child.pid}) has waited" in text(), text()
        assert "held     stuck (" in text(), text()
        assert "waits no longer" not in text(), text()
    """)


def test_a_holder_in_bytecode(run_program):
    shown = run_program("""
        def count(until):
            while time.monotonic() < until:
                abs(1), len(()), sum([1]), max(1, 2), min(1, 2), hash(1), id(1), bool(1)

        sys.setswitchinterval(1)  # no thread requests the GIL within this time
        gilfree.report_stalls(0.2, reports)
        thread = start("counter", count, time.monotonic() + 0.9)
        while thread.is_alive():
            time.sleep(0.005)
        print(text())
    """)
    held = shown.splitlines()[1:3]
    assert held[0].startswith("  held     counter (")
    assert ", in bytecode, " in held[0]
    assert "in count" in held[1]


def test_many_that_wait_are_in_one_report(run_program):
    shown = run_program("""
        gilfree.report_stalls(0.8, reports)
        threads = [start(f"waiter {n}", tick, 2) for n in range(10)]
        threads.append(start("holder", outer, 1.5))
        for thread in threads:
            thread.join()
        print(text())
    """)
    assert shown.count(" has waited for the GIL for ") == 1
    assert shown.count("  held     holder (") == 1
    for number in range(10):
        assert f"  waiting  waiter {number} (" in shown


# A call that releases the GIL, holds it and releases it again, with no bytecode in between.
HOLD_BETWEEN = """
        calls, _ = patterns.compiled('''
            #include <unistd.h>
            void *PyEval_SaveThread(void);
            void PyEval_RestoreThread(void *);
            static void release_for(int milliseconds)
            {
                void *state = PyEval_SaveThread();
                usleep(1000 * milliseconds);
                PyEval_RestoreThread(state);
            }
            void hold_between(int released, int held)
            {
                release_for(released);
                usleep(1000 * held);
                release_for(2000);
            }
        ''')
        gilfree.report_stalls(0.1, reports)
"""


def reported_holders(report):
    return re.findall(r"^  held     (\w+)", report, re.MULTILINE)


def test_each_long_hold_within_one_wait_is_reported(run_program):
    shown = run_program(f"""{HOLD_BETWEEN}
        for number in range(3):
            start(f"holder_{{number}}", calls.hold_between, 1000, 300)
        released(2.1)
        print(text())
    """)
    holders = reported_holders(shown)
    assert len(holders) == len(set(holders)) == 2, shown  # nobody waits for the third one


def test_short_holds_within_a_reported_wait_are_not_reported(run_program):
    shown = run_program(f"""{HOLD_BETWEEN}
        start("long", calls.hold_between, 1000, 300)
        for number in range(3):
            start(f"short_{{number}}", calls.hold_between, 1050, 20)
        released(2.1)
        print(text())
    """)
    assert reported_holders(shown) == ["long"], shown


def test_a_thread_that_appears_during_a_hold_does_not_make_it_a_new_one(run_program):
    shown = run_program("""
        calls, _ = patterns.compiled('''
            #include <pthread.h>
            #include <unistd.h>
            int PyGILState_Ensure(void);
            void PyGILState_Release(int);
            static void *acquire_later(void *_)
            {
                usleep(300000);
                PyGILState_Release(PyGILState_Ensure());
                return NULL;
            }
            void hold(void)
            {
                pthread_t thread;
                pthread_create(&thread, NULL, acquire_later, NULL);
                usleep(800000);
            }
        ''')
        gilfree.report_stalls(0.1, reports)
        waiter = start("waiter", tick, 1)
        time.sleep(0.05)
        calls.hold()
        waiter.join()
        print(text())
    """)
    assert reported_holders(shown) == ["MainThread"], shown


def test_each_stall_is_reported_once_and_no_other_wait(run_program):
    shown = run_program("""
        gilfree.report_stalls(0.3, reports)
        for name, seconds in ("short", 0.02), ("long", 0.7), ("short", 0.02), ("longer", 0.8):
            stall(name, seconds)
        thread = start("idle", released, 0.5)  # holds nothing
        thread.join()
        gilfree.report_stalls(None)
        stall("unseen", 0.5)
        print(text())
    """)
    holders = [line.split()[1] for line in shown.splitlines() if line.startswith("  held ")]
    assert holders == ["long", "longer"]


def test_a_thread_that_computes_without_the_gil_is_no_stall(run_program):
    shown = run_program("""
        import ctypes
        gilfree.report_stalls(0.1, reports)
        times = (ctypes.c_double * 3)()
        patterns.libraries()[1].spin_noting(0.6, times)
        print(text())
    """)
    assert shown == "\n"


def test_a_program_that_closes_all_its_files(run_program):
    run_program("""
        output = os.dup(reports.fileno())
        reports.close()
        gilfree.report_stalls(0.1, output)
        os.closerange(3, 200)
        other = open("other", "w")  # its descriptor has the number of `output`
        stall("holder", 0.5)
        assert "held     holder (" in text(), text()
        assert os.path.getsize("other") == 0
    """)


def test_a_full_pipe_is_not_waited_for_and_what_was_lost_is_counted(run_program):
    shown = run_program("""
        receiver, sender = os.pipe()
        os.set_blocking(sender, False)
        try:
            while True:
                os.write(sender, bytes(4096))
        except BlockingIOError:
            os.set_blocking(sender, True)
        gilfree.report_stalls(0.1, sender)
        stall("lost", 0.4)
        os.set_blocking(receiver, False)
        assert not os.read(receiver, 1 << 20).strip(bytes(1))
        stall("found", 0.4)
        gilfree.report_stalls(None)
        print(os.read(receiver, 1 << 20).decode())
        assert os.get_blocking(sender)
    """)
    # The report, and perhaps the line that says that the stall is over.
    assert re.search("; earlier reports lost: [12]\n", shown), shown
    assert "held     found (" in shown
    assert "held     lost (" not in shown


def test_a_socket_and_a_pipe_without_a_reader(run_program):
    shown = run_program("""
        import socket
        one, other = socket.socketpair()
        gilfree.report_stalls(0.1, one)
        stall("first", 0.4)
        print(other.recv(1 << 16).decode())
        receiver, sender = os.pipe()
        os.close(receiver)
        gilfree.report_stalls(0.1, sender)  # replaces the first
        stall("second", 0.4)
    """)
    assert "held     first (" in shown
    assert "second" not in shown


@needs.fork
def test_a_forked_child_reports_nothing_until_it_asks_for_it(run_program):
    run_program("""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        gilfree.report_stalls(0.1, reports)
        for ask in False, True:
            child = os.fork()
            if not child:
                if ask:
                    gilfree.report_stalls(0.1, reports)
                stall("holder", 0.4)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert (f"gilfree[{child}]" in text()) is ask, text()
        assert f"gilfree[{os.getpid()}]" not in text(), text()
        stall("holder", 0.4)
        assert f"gilfree[{os.getpid()}]" in text(), text()
    """)


@pytest.mark.parametrize("first", ["recording", "reports"])
def test_a_recording_and_reports_together(run_program, first):
    run_program(f"""
        if {first!r} == "reports":
            gilfree.report_stalls(0.1, reports)
        with gilfree.record() as recording:
            if {first!r} == "recording":
                gilfree.report_stalls(0.1, reports)
            stall("holder", 0.5)
        stall("later", 0.5)
        assert sorted(thread.name for thread in recording.threads) == ["MainThread", "holder"]
        assert recording.stalls[0].holders[0].thread == "holder"
        found = text()
        assert found.count("  held     holder (") == found.count("  held     later (") == 1, found
        assert "running" not in found and "blocked" not in found, found
        before = threading.Thread._set_native_id
        gilfree.report_stalls(None)
        assert threading.Thread._set_native_id is not before
        assert threading.Thread._set_native_id.__name__ == "_set_native_id"
    """)


@pytest.mark.parametrize(
    "ending",
    ["sys.exit()", "os._exit(0)", "pass"],
)
def test_an_exit_during_a_stall(run_program, ending):
    run_program(f"""
        gilfree.report_stalls(0.1, reports)
        start("holder", outer, 0.5, daemon=True)
        time.sleep(0.01)
        start("another", outer, 0.5, daemon=True)
        {ending}
    """)


def test_a_thousand_threads_leave_nothing_behind(run_program):
    run_program("""
        def grown():
            for _ in range(1500):
                start("name", sum, ()).join()
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

        gilfree.report_stalls(0.001, reports)
        before = grown()
        assert grown() - before < 1_000_000
        stall("holder", 0.4)
        assert "held     holder (" in text(), text()
    """)


def test_names_of_any_length_in_any_script_and_on_one_line(run_program):
    shown = run_program("""
        gilfree.report_stalls(0.1, reports)
        names = ["größer\\nthan", "€" * 50, "x" * 200]
        threads = [start(name, tick, 1) for name in names]
        threads.append(start("holder", outer, 0.5))
        for thread in threads:
            thread.join()
        print(text())
    """)
    assert "größer?than (" in shown
    assert f"  waiting  {'€' * 21} (" in shown
    assert f"  waiting  {'x' * 63} (" in shown


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["soon"], TypeError, "seconds must be a number or None, not str"),
        ([True], TypeError, "seconds must be a number or None, not bool"),
        ([0], ValueError, "seconds must be from 0.001 to "),
        ([float("nan")], ValueError, "seconds must be from 0.001 to "),
        ([1, "stderr"], TypeError, "file must be a file or its descriptor, not str"),
        ([1, io.StringIO()], ValueError, "file must have an open descriptor, and "),
        ([1, 12345], ValueError, "file must have an open descriptor, and 12345 has none"),
        ([1, -1], ValueError, "file must have an open descriptor, and -1 has none"),
    ],
)
def test_a_wrong_argument_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        gilfree.report_stalls(*arguments)


def test_a_file_that_is_closed_or_to_be_read_is_refused():
    with open(os.devnull) as file, pytest.raises(ValueError, match="file must be open for writing"):
        gilfree.report_stalls(1, file)
    with pytest.raises(ValueError, match="file must have an open descriptor"):
        gilfree.report_stalls(1, file)


CALLS = """
import threading, time, patterns
held = patterns.sleeps()[0]
def inner(): held(0.5)
def deep(n): deep(n - 1) if n else inner()
threading.Thread(target=deep, args=[30], name="deep").start()
time.sleep(0.01)
"""


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "gilfree", "run", *map(str, arguments), "-c", CALLS],
        env={**os.environ, "PYTHONPATH": os.path.dirname(needs.__file__)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_reports_stalls_and_records(tmp_path):
    done = run("--stall", "100ms", "-o", tmp_path / "found.json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("  held     deep (") == 1
    assert done.stderr.count("line 5 in deep\n") == 16
    assert "    ...\n" in done.stderr
    assert "the longest of " in done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert "callers" not in found["stalls"][0]["holders"][0]
    done = run("--stall", "1us")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "argument --stall: must be at least 1 ms, not '1us'" in done.stderr


def test_callers_are_recorded_if_asked_for(tmp_path):
    done = run("--callers", "-o", tmp_path / "found.json")
    assert "inner (<string>:4) was called\n" in done.stderr
    assert done.stderr.count(" by deep (<string>:5)\n") >= 16
    holder = json.loads((tmp_path / "found.json").read_text())["stalls"][0]["holders"][0]
    assert holder["function"] == "inner"
    assert holder["callers"] == [{"file": "<string>", "line": 5, "function": "deep"}] * 16


def test_callers_are_tuples_and_end_where_the_stack_does(run_program):
    run_program("""
        with gilfree.record(callers=True) as recording:
            start("waiter", lambda: [released(0.01) for _ in range(20)])
            outer(0.4)
        holder = recording.stalls[0].holders[0]
        assert (holder.function, holder.thread) == ("inner", "MainThread")
        assert [(line, function) for _, line, function in holder.callers] == [
            (9, "outer"), (34, "<module>")
        ], holder
        assert all(file == __file__ for file, _, _ in holder.callers)
        with gilfree.record() as recording:
            start("waiter", released, 0.02)
            outer(0.1)
        assert recording.stalls[0].holders[0].callers is None
    """)
