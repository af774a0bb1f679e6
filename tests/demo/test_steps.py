"""Each step of the demo measures what it says, and returns plain numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import pkgutil

import needs
import numpy as np
import pytest

import gilfree.kernels
from gilfree import demo
from gilfree._system import gil_enabled, usable_cpus
from gilfree.demo import (
    STEPS,
    bytecode,
    counter,
    kernels,
    libraries,
    processes,
    waiting,
    without_gil,
)
from gilfree.demo.phrases import NOTHING
from gilfree.demo.setup import Setup
from gilfree.demo.step import Step, run_step
from gilfree.demo.table import Finding

pytestmark = pytest.mark.thread_unsafe(reason="measures, and needs the CPUs for itself")


@pytest.fixture(scope="module")
def setup():
    with contextlib.closing(Setup(quick=True, workers=2)) as setup:
        yield setup


def rows_of(module, setup):
    result = run_step(module.STEP, setup)
    assert result.complete
    plain = result.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    return result.rows


def test_steps_are_numbered():
    assert [step.number for step in STEPS] == list(range(1, 8))


def test_a_step_is_one_file():
    names = (f"gilfree.demo.{module.name}" for module in pkgutil.iter_modules(demo.__path__))
    steps = {name: getattr(importlib.import_module(name), "STEP", None) for name in names}
    steps = {name: step for name, step in steps.items() if step is not None}
    assert sorted(steps.values(), key=lambda step: step.number) == list(STEPS)
    for name, step in steps.items():
        for part in step.measure, step.columns, step.sentence:
            assert part.__module__ == name


@pytest.mark.parametrize("module", [bytecode, waiting])
def test_times_and_speedups_have_their_quartiles(module, setup):
    for row in rows_of(module, setup):
        times = row.times
        assert 0 < times.seconds_low <= times.seconds <= times.seconds_high
        assert 0 < times.speedup_low <= times.speedup_high
        assert times.speedup == times.base / times.seconds
    assert rows_of(module, setup)[0].times.speedup == 1


def test_threads_wait_concurrently(setup):
    one, many = rows_of(waiting, setup)
    assert one.times.seconds_low >= one.requests * one.delay
    assert many.times.seconds_low >= many.delay


def test_a_counter_that_is_not_shared_loses_nothing(setup):
    held, released, private = rows_of(counter, setup)
    assert [row.way for row in (held, released, private)] == ["held", "released", "private"]
    assert private.lost == 0
    assert held.lost == 0 or not gil_enabled()
    assert 0 <= released.lost < released.updates


@pytest.mark.skipif(usable_cpus() < 2, reason="threads overlap on two CPUs only")
@pytest.mark.slow
def test_threads_that_share_a_counter_overlap():
    # Twenty runs, each with as much work as the quick demo: one may lose updates by luck.
    with contextlib.closing(Setup(quick=True, workers=2)) as setup:
        lost = [rows_of(counter, setup)[1].lost for _ in range(20)]
    assert all(lost), lost


def test_threads_start_their_work_together(run_script):
    # If they did not wait for the last thread, the first would have finished before it began.
    out = run_script("""
        import time
        from concurrent.futures import ThreadPoolExecutor
        from gilfree.demo.counter import _together

        class Late(ThreadPoolExecutor):
            def submit(self, *args):
                time.sleep(0.05)
                return super().submit(*args)

        began = []
        with Late(3) as threads:
            results, seconds = _together(lambda: began.append(time.perf_counter()), 3, threads)
        print(len(results), seconds >= max(began) - min(began), max(began) - min(began) < 0.1)
    """)
    assert out == "3 True True\n"


def test_the_bytes_sent_to_processes_are_counted(setup):
    start, squares, pi = rows_of(processes, setup)
    assert start.start > 0
    size = 8 * 5_000_000
    assert size < squares.sent < 1.1 * size
    assert 0 < pi.sent < 100_000
    assert len(setup.processes._processes) == 2


@needs.sampler
@pytest.mark.slow
def test_a_kernel_runs_in_every_way(setup):
    small = Setup(quick=True, workers=2, kernels=["mandelbrot"])
    with contextlib.closing(small):
        (row,) = rows_of(kernels, small)
    assert {(timing.mode, timing.workers) for timing in row.comparison.rows} == {
        (mode, n) for mode in ("bytecode", "held", "released", "executor", "limit") for n in (1, 2)
    }
    if gil_enabled():
        assert row.released_share < 0.5 < row.held_share


def test_a_kernel_is_recorded_on_two_threads_or_a_text_says_why_not(run_script):
    said = run_script(
        """
        from gilfree.demo.kernels import NAMES, Recorded, _recorded

        found = _recorded("mandelbrot", ((200, 300),), 0.004)
        if isinstance(found, Recorded):
            for recording in found.held, found.released:
                assert {*NAMES} <= {thread.name for thread in recording.threads}
            found = "recorded"
        print(found)
        """
    )
    known = "recorded", "recording needs", "recording knows", "inconclusive", "nothing can be"
    assert said.startswith(known)


@needs.sampler
def test_installed_libraries_are_probed(setup, monkeypatch):
    monkeypatch.setattr(libraries, "CALLS", {"stdlib": "time.sleep"})
    (row,) = rows_of(libraries, setup)
    assert row.library == "stdlib"
    assert row.report.held < 0.5
    monkeypatch.setattr(libraries, "CALLS", {"no such library": "f"})
    assert rows_of(libraries, setup) == []


def test_each_library_has_its_call():
    from gilfree.survey.calls import CALLS

    known = {(call.library, call.name) for call in CALLS}
    assert set(libraries.CALLS.items()) <= known


def test_without_a_gil_both_settings_are_shown(setup):
    rows = rows_of(without_gil, setup)
    if gil_enabled():
        assert rows == []
    else:
        locked, free = rows
        assert (locked.gil, free.gil) == (True, False)
        assert locked.lost == 0


def test_ctrl_c_leaves_the_finished_parts():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Part(Finding):
        part: str

    def measure(_, part, on_progress):
        on_progress(0.5)
        if part == "second":
            raise KeyboardInterrupt
        return [Part(part=part)]

    step = Step(
        number=1,
        title="A step",
        parts=lambda _: ["first", "second"],
        measure=measure,
        columns=lambda _: [],
        sentence=lambda rows, _: f"{len(rows)} part",
    )
    seen = []
    result = run_step(step, Setup(), seen.append)
    assert (result.rows, result.complete) == ([Part(part="first")], False)
    assert result.sentence == "1 part"
    # After Ctrl-C, even a step that may be empty says that nothing was measured.
    may_be_empty = dataclasses.replace(step, parts=lambda _: ["second"], may_be_empty=True)
    assert run_step(may_be_empty, Setup()).sentence == NOTHING
    assert seen == [0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("module", "rounds"), [(bytecode, 4), (counter, 4), (waiting, 3), (processes, 8), (kernels, 3)]
)
@pytest.mark.slow
def test_progress_is_reported_after_each_round(module, rounds, setup, monkeypatch):
    monkeypatch.setattr(kernels, "_held_share", lambda *_, within: None)
    monkeypatch.setattr(setup, "kernels", ["histogram"])
    seen = []
    assert run_step(module.STEP, setup, seen.append).complete
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert len(set(seen)) >= rounds


@pytest.mark.parametrize("name", gilfree.kernels.__all__)
@pytest.mark.parametrize("data", [None, np.ones((40, 3), np.float32)])
def test_every_kernel_has_quick_work(name, data):
    if data is None or name not in ("mandelbrot", "monte_carlo_pi"):
        getattr(gilfree.kernels, name)(*Setup(quick=True, data=data).work(name))
