"""compare: its rows, its arithmetic, and the processes that measure the limit."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import needs
import numpy as np
import pytest

import gilfree
from gilfree import compare as compare_function
from gilfree import kernels
from gilfree._start_line import StartLine
from gilfree.measure import clocking
from gilfree.measure import compare as compare_module
from gilfree.measure.clocking import worker_counts
from gilfree.measure.compare import Comparison, _row

pytestmark = pytest.mark.thread_unsafe(reason="measures, and so needs the CPUs alone")


@pytest.fixture(scope="module")
def comparison():
    return gilfree.compare(gilfree.mandelbrot, (60, 80), workers=3, repeat=2)


def test_every_mode_has_a_row_for_every_number_of_workers(comparison):
    assert comparison.modes == ("bytecode", "held", "released", "limit")
    assert [(row.mode, row.workers) for row in comparison.rows] == [
        (mode, workers) for mode in comparison.modes for workers in (1, 2, 3)
    ]
    assert comparison.workers == (1, 2, 3)
    for row in comparison.rows:
        assert 0 < row.seconds_low <= row.seconds <= row.seconds_high
        assert 0 < row.speedup_low <= row.speedup <= row.speedup_high
        assert row.workers > 1 or row.speedup == 1
    assert comparison.row("held", 2) is comparison.rows[4]


def test_the_result_can_be_written_as_json_and_text(comparison):
    again = json.loads(json.dumps(comparison.to_dict()))
    assert again["kernel"] == "mandelbrot"
    assert again["rows"][0]["mode"] == "bytecode"
    assert again["environment"]["cpus"] >= 1
    lines = str(comparison).splitlines()
    assert len(lines) == 2 + 3
    assert max(map(len, lines)) <= 80
    assert len({len(line) for line in lines[1:]}) == 1
    with pytest.raises(AttributeError):
        comparison.repeat = 1
    with pytest.raises(KeyError, match="no row for 'held' with 9 workers"):
        comparison.row("held", 9)


def test_a_speedup_is_the_median_of_the_ratios_within_rounds():
    row = _row("released", 2, alone={1: 4.0, 2: 8.0, 3: 6.0}, times={1: 2.0, 2: 8.0, 3: 2.0})
    assert (row.seconds, row.speedup) == (2.0, 2.0)
    assert (row.speedup_low, row.speedup_high) == (1.5, 2.5)
    row = _row("limit", 2, alone={1: 4.0, 2: 9.0}, times={1: 4.0})
    assert (row.speedup, row.speedup_low) == (2.0, 2.0)


def test_an_executor_is_compared_with_one_thread_here():
    with ThreadPoolExecutor(2) as threads:
        comparison = gilfree.compare(
            gilfree.histogram, np.ones(1000), workers=2, repeat=3, executor=threads
        )
    assert comparison.modes == ("bytecode", "held", "released", "executor", "limit")
    assert comparison.row("executor", 1).speedup != 1  # relative to "released", not to itself
    assert max(map(len, str(comparison).splitlines())) <= 82


def test_all_arguments_of_a_kernel_may_be_named():
    x, out = np.ones(3), np.empty(3)
    gilfree.compare(gilfree.polyval, x, c=[1.0], out=out, workers=1, repeat=1)
    gilfree.compare(gilfree.monte_carlo_pi, samples=99, rng=1, workers=1, repeat=1)


def test_worker_counts_double_up_to_the_most():
    assert [worker_counts(most) for most in (1, 2, 3, 8)] == [
        [1],
        [1, 2],
        [1, 2, 3],
        [1, 2, 4, 8],
    ]


def test_on_round_is_called_after_each_round():
    rounds = []
    gilfree.compare(
        gilfree.histogram, [1.0], bins=7, workers=1, repeat=3, on_round=lambda: rounds.append(1)
    )
    assert len(rounds) == 3


@pytest.mark.parametrize("threads", [False, True])
def test_threads_are_awake_before_they_are_clocked(threads, monkeypatch):
    waits = []

    class Line(StartLine):
        def wait(self, spin, timeout):
            super().wait(spin, timeout)
            waits.append(threading.get_ident())

    monkeypatch.setattr(clocking, "StartLine", Line)
    with ThreadPoolExecutor(3) as executor:
        clocking.wake(1, executor if threads else None)
        assert waits == []
        clocking.wake(3, executor if threads else None)
    assert len(set(waits)) == 3


def test_wake_does_not_wait_long_for_threads_that_never_come():
    with ThreadPoolExecutor(1) as executor:
        begin = time.monotonic()
        clocking.wake(2, executor)
        assert time.monotonic() - begin < 60  # it gives up after a second


def test_threads_of_each_mode_are_woken_first(monkeypatch):
    woken = []
    monkeypatch.setattr(compare_module, "wake", lambda n, threads: woken.append((n, bool(threads))))
    gilfree.compare(gilfree.mandelbrot, (6, 8), workers=2, repeat=1)
    modes = [(n, threads) for n in (1, 2) for threads in (True, False, False)]
    assert woken == 2 * modes


@needs.posix
@pytest.mark.parametrize("dead", [0, 1])
def test_a_process_that_has_died_is_an_error(run_script, dead):
    run_script(f"""
        from gilfree.measure.limit import Processes
        with Processes(2, "histogram", ([1.0],), {{}}) as processes:
            child = processes._children[{dead}]
            child.kill()
            child.wait()
            try:
                processes.seconds(1, 2)
            except RuntimeError as error:
                assert "has died" in str(error)
            else:
                raise AssertionError
    """)


def test_processes_that_show_the_limit_start_at_the_same_moment(run_script):
    out = run_script("""
        import io, pickle, sys, time
        from gilfree._system import usable_cpus
        from gilfree.measure.limit import serve
        class Input: buffer = io.BytesIO()
        moment, cpus = time.perf_counter() + 0.3, usable_cpus()
        pickle.dump(("histogram", ([1.0],), {}), Input.buffer)
        Input.buffer.write(f"1 {moment}".encode())
        Input.buffer.seek(0)
        sys.stdin, sys.argv, sys.stdout = Input, ["", "1"], io.StringIO()
        serve()
        printed, sys.stdout = sys.stdout.getvalue(), sys.__stdout__
        start, end = map(float, printed.split())
        print(moment <= start <= end, usable_cpus() == cpus)
    """)
    assert out == "True True\n"


def test_processes_are_gone_after_an_exception(run_script):
    out = run_script("""
        import subprocess, gilfree
        children = []
        start = subprocess.Popen.__init__
        def spy(self, *args, **how):
            children.append(self)
            start(self, *args, **how)
        subprocess.Popen.__init__ = spy
        def fail():
            raise LookupError
        try:
            gilfree.compare(gilfree.mandelbrot, (6, 8), workers=2, repeat=2, on_round=fail)
        except LookupError:
            print(len(children), {child.poll() for child in children} <= {-9, 1})
    """)
    assert out == "2 True\n"


def test_a_script_without_a_main_guard_may_compare(run_script):
    out = run_script("""
        import gilfree
        print(gilfree.compare(gilfree.mandelbrot, (60, 80), workers=2, repeat=1))
    """)
    assert out.count("mandelbrot") == 1


@pytest.mark.parametrize(
    ("args", "how", "error", "words"),
    [
        ((max,), {}, ValueError, "kernel must be one of gilfree's"),
        (("mandelbrot",), {}, ValueError, "kernel must be one of gilfree's"),
        ((gilfree.mandelbrot,), {"workers": 0}, ValueError, "workers must be from 1 to"),
        ((gilfree.mandelbrot,), {"workers": 5000}, ValueError, "workers must be from 1 to"),
        ((gilfree.mandelbrot,), {"repeat": 0}, ValueError, "repeat must be at least 1"),
        ((gilfree.histogram, ["a"]), {}, TypeError, "x must hold real numbers"),
        ((gilfree.histogram, [1.0]), {"nogil": True}, TypeError, "nogil can't be given"),
    ],
)
def test_errors_name_the_argument(args, how, error, words):
    start = time.perf_counter()
    with pytest.raises(error, match=words):
        compare_function(*args, **how)
    assert time.perf_counter() - start < 30


@pytest.mark.parametrize(
    "data", [None, np.arange(30.0), np.ones((5, 3), np.float32), np.eye(4, dtype=int)]
)
def test_every_kernel_has_a_workload_that_runs(data):
    for name in kernels.__all__:
        if data is None or kernels.kernel(name).takes_array:
            getattr(gilfree, name)(*kernels.kernel(name).workload(data))
    assert isinstance(Comparison("x", 1, {}, ()).to_dict(), dict)
