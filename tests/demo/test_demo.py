"""Each step of the demo measures what it says, and gives plain numbers."""

from __future__ import annotations

import contextlib
import json

import needs
import numpy as np
import pytest

from gilfree import demo
from gilfree._system import gil_enabled, usable_cpus
from gilfree.demo import STEPS, Setting, Step, findings

pytestmark = pytest.mark.thread_unsafe(reason="measures, and so must have the CPUs for itself")


@pytest.fixture(scope="module")
def setting():
    with contextlib.closing(Setting(quick=True, workers=2)) as setting:
        yield setting


def rows_of(number, setting):
    rows, complete = findings(STEPS[number - 1], setting)
    assert complete
    assert json.loads(json.dumps(rows)) == rows
    return rows


def test_steps_are_numbered():
    assert [step.number for step in STEPS] == list(range(1, 8))


@pytest.mark.parametrize("number", [1, 3])
def test_times_and_speedups_have_their_quartiles(number, setting):
    for row in rows_of(number, setting):
        assert 0 < row["seconds_low"] <= row["seconds"] <= row["seconds_high"]
        assert 0 < row["speedup_low"] <= row["speedup_high"]
        assert row["speedup"] == row["base"] / row["seconds"]
    assert rows_of(number, setting)[0]["speedup"] == 1


def test_a_speedup_is_that_of_the_medians_beside_it():
    row = demo._figures([2.0, 8.0, 2.0], [4.0, 8.0, 6.0])
    assert (row["seconds"], row["base"], row["speedup"]) == (2.0, 6.0, 3.0)
    assert (row["speedup_low"], row["speedup_high"]) == (1.5, 2.5)


def test_who_waits_waits_at_once(setting):
    one, many = rows_of(3, setting)
    assert one["seconds_low"] >= one["requests"] * one["delay"]
    assert many["seconds_low"] >= many["delay"]


def test_a_counter_that_is_not_shared_loses_nothing(setting):
    held, released, private = rows_of(2, setting)
    assert [row["way"] for row in (held, released, private)] == ["held", "released", "private"]
    assert private["lost"] == 0
    assert held["lost"] == 0 or not gil_enabled()
    assert 0 <= released["lost"] < released["updates"]


@pytest.mark.skipif(usable_cpus() < 2, reason="threads meet on two CPUs only")
@pytest.mark.slow
def test_threads_that_share_a_counter_meet():
    # Twenty runs in turn, for luck is no proof; each with as much work as the quick one has.
    with contextlib.closing(Setting(quick=True, workers=2)) as setting:
        lost = [rows_of(2, setting)[1]["lost"] for _ in range(20)]
    assert all(lost), lost


def test_threads_start_their_work_when_all_are_there(run_script):
    # The thread that comes last has to be waited for: were it not, the first would be done.
    out = run_script("""
        import time
        from concurrent.futures import ThreadPoolExecutor
        from gilfree import demo

        class Late(ThreadPoolExecutor):
            def submit(self, *args):
                time.sleep(0.05)
                return super().submit(*args)

        began = []
        with Late(3) as threads:
            results, seconds = demo._at_once(lambda: began.append(time.perf_counter()), 3, threads)
        print(len(results), seconds >= max(began) - min(began), max(began) - min(began) < 0.1)
    """)
    assert out == "3 True True\n"


def test_what_is_sent_to_processes_is_weighed(setting):
    start, squares, pi = rows_of(4, setting)
    assert start["start"] > 0
    size = 8 * 2_000_000
    assert size < squares["sent"] < 1.1 * size
    assert 0 < pi["sent"] < 100_000
    assert len(setting.processes._processes) == 2


@needs.sampler
@pytest.mark.slow
def test_a_kernel_runs_in_every_way(setting):
    small = Setting(quick=True, workers=2, kernels=["mandelbrot"])
    with contextlib.closing(small):
        (row,) = rows_of(5, small)
    assert {(way["mode"], way["workers"]) for way in row["rows"]} == {
        (mode, n) for mode in ("bytecode", "held", "released", "executor", "limit") for n in (1, 2)
    }
    if gil_enabled():
        assert row["released_share"] < 0.5 < row["held_share"]


@needs.sampler
def test_libraries_that_are_there_are_looked_at(setting, monkeypatch):
    monkeypatch.setattr(demo, "CALLS", {"stdlib": "time.sleep"})
    (row,) = rows_of(6, setting)
    assert row["library"] == "stdlib"
    assert row["report"]["held"] < 0.5
    monkeypatch.setattr(demo, "CALLS", {"no such library": "f"})
    assert rows_of(6, setting) == []


def test_each_library_has_its_call():
    from gilfree.survey.calls import CALLS

    known = {(call.library, call.name) for call in CALLS}
    assert set(demo.CALLS.items()) <= known


def test_without_a_gil_both_are_shown(setting):
    rows = rows_of(7, setting)
    if gil_enabled():
        assert rows == []
    else:
        locked, free = rows
        assert (locked["gil"], free["gil"]) == (True, False)
        assert locked["lost"] == 0


def test_ctrl_c_leaves_what_was_finished():
    def measure(_, part, on_progress):
        on_progress(0.5)
        if part == "second":
            raise KeyboardInterrupt
        return [{"part": part}]

    step = Step(1, "A step", lambda _: ["first", "second"], measure)
    seen = []
    assert findings(step, Setting(), seen.append) == ([{"part": "first"}], False)
    assert seen == [0.25, 0.5, 0.75]


@pytest.mark.parametrize(("number", "rounds"), [(1, 4), (2, 4), (3, 3), (4, 8), (5, 3)])
@pytest.mark.slow
def test_progress_is_told_round_by_round(number, rounds, setting, monkeypatch):
    monkeypatch.setattr(demo, "_held_share", lambda *_, within: None)
    monkeypatch.setattr(setting, "kernels", ["histogram"])
    seen = []
    assert findings(STEPS[number - 1], setting, seen.append)[1]
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert len(set(seen)) >= rounds


@pytest.mark.parametrize("name", demo.kernels.__all__)
@pytest.mark.parametrize("data", [None, np.ones((40, 3), np.float32)])
def test_every_kernel_has_quick_work(name, data):
    if data is None or name not in ("mandelbrot", "monte_carlo_pi"):
        getattr(demo.kernels, name)(*demo._work(Setting(quick=True, data=data), name))
