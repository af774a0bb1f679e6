"""The sentences say what was measured, also if that is not what a reader expects."""

from __future__ import annotations

import dataclasses

import pytest
import rows

from gilfree.demo import bytecode, counter, kernels, libraries, processes, waiting, without_gil
from gilfree.demo.phrases import ABOVE
from gilfree.demo.step import Machine, Result
from gilfree.show import terminal as report

TWO, ONE, FREE = Machine(2, gil=True), Machine(1, gil=True), Machine(2, gil=False)


@pytest.mark.parametrize(
    ("module", "found", "machine", "words"),
    [
        (
            bytecode,
            rows.bytecode(1.0, 0.97),
            TWO,
            "0.97 times as fast as one: with the GIL, they take turns.",
        ),
        (
            bytecode,
            rows.bytecode(1.0, 0.5),
            TWO,
            "2.0 times slower than one: with the GIL, they take turns, and each turn costs time",
        ),
        (
            bytecode,
            rows.bytecode(1.0, 1.6),
            TWO,
            "1.60 times as fast as one, which the GIL does not allow",
        ),
        (
            bytecode,
            rows.bytecode(1.0, 1.9),
            FREE,
            "1.90 times as fast as one: without a GIL, they run concurrently",
        ),
        (bytecode, rows.bytecode(1.0, 1.0), FREE, "though there is no GIL. Is the machine busy"),
        (bytecode, rows.bytecode(1.0), ONE, "only one CPU"),
        (bytecode, rows.bytecode(1.0), TWO, "One thread alone shows no speedup"),
        (bytecode, [], TWO, "Nothing was measured"),
        (
            counter,
            rows.counter(),
            TWO,
            "lock, up to 3% of the updates were lost; with it, none can be",
        ),
        (counter, rows.counter(released=2), TWO, "Without the lock, up to 2 updates were lost"),
        (
            counter,
            rows.counter(released=0),
            TWO,
            "luck, and no guarantee; with it, none can be lost.",
        ),
        (
            counter,
            rows.counter(held=500),
            FREE,
            "with it, too, up to 50% of the updates, since this Python has no GIL.",
        ),
        (
            counter,
            rows.counter(private=0.4),
            TWO,
            "2.5 times slower than one counter with the GIL held",
        ),
        (
            waiting,
            rows.waiting(8.0),
            TWO,
            "8 concurrent requests were answered 8.00 times as fast as one after",
        ),
        (waiting, rows.waiting(2.0), TWO, "8 times as fast would be possible. Is the machine busy"),
        (processes, rows.processes(), TWO, "Starting 2 processes took 310 ms."),
        (
            processes,
            rows.processes((8e7, 0.02), (900, 1.9)),
            TWO,
            "With 80 MB to send, they were 50 times slower than one thread that has the data "
            "already. With next to nothing to send, they were 1.90 times as fast as one thread",
        ),
        (processes, rows.processes((900, 0.9)), ONE, "only one CPU"),
        (
            processes,
            rows.processes((900, 0.9)),
            TWO,
            "gained nothing, even without anything to send. Is the",
        ),
        (
            kernels,
            [rows.kernel(1.0, 1.9, 1.9), rows.kernel(1.7, 1.7, 1.9)],
            TWO,
            "are implausible: the machine was busy",
        ),
        (
            kernels,
            [rows.kernel(1.0, 1.9, 1.9), rows.kernel(1.0, 1.9, 3.0)],
            TWO,
            "are implausible: the machine was busy",
        ),
        (kernels, [rows.kernel(1.0, 0.8, 1.9)], TWO, "are implausible: the machine was busy"),
        (
            kernels,
            [rows.kernel(1.0, 1.9, 1.9), rows.kernel(1.0, 1.9, 1.9, recorded="it needs Linux")],
            TWO,
            "There is no picture of which thread holds the GIL when: it needs Linux.",
        ),
        (
            kernels,
            [rows.kernel(1.0, 1.0, 1.9, seconds=1e-4)],
            TWO,
            "A call of 100 µs is too little work",
        ),
        (
            kernels,
            [rows.kernel(0.98, 1.8, 2.0), rows.kernel(1.0, 1.9, 1.9)],
            TWO,
            "1.80 to 1.90 times as fast as one, 90 to 100% of what 2 independent processes reach "
            "here; with the GIL held, 0.98 to 1.00 times.",
        ),
        (
            kernels,
            [rows.kernel(1.0, 1.0, 1.05)],
            TWO,
            "processes gained next to nothing, too. Is the machine busy",
        ),
        (kernels, [rows.kernel(1.8, 1.8, 1.9)], FREE, "This Python has no GIL"),
        (
            kernels,
            [rows.kernel(1, 1, 1, workers=1)],
            TWO,
            "One worker alone shows no speedup",
        ),
        (kernels, [rows.kernel(1, 1, 1, workers=1)], ONE, "only one CPU"),
        (kernels, [rows.kernel(1.0, 1.91, 1.9)], TWO, f"1.00 times. {ABOVE}"),
        (
            kernels,
            [rows.kernel(1.0, 1.9, 1.95), rows.kernel(1.0, 2.6, 1.9)],
            TWO,
            f"measure again. {ABOVE}",
        ),
        (kernels, [rows.kernel(1.9, 1.8, 1.85)], FREE, f"concurrently as well. {ABOVE}"),
        (kernels, [rows.kernel(1.0, 1.1, 1.05)], TWO, f"busy with other work? {ABOVE}"),
        (
            kernels,
            [rows.kernel(1.0, 2.0, 1.9, seconds=1e-4)],
            TWO,
            f"too little work to share. {ABOVE}",
        ),
        (
            libraries,
            [rows.library("numpy", 0.01, 2.01, 2.0)],
            TWO,
            f"the call. {ABOVE} `gilfree",
        ),
        (
            libraries,
            [rows.library("numpy", 0.01), rows.library("numba", 0.0)],
            TWO,
            "numpy and numba held the GIL",
        ),
        (
            libraries,
            [rows.library("numpy", 0.01), rows.library("pandas", 0.5)],
            TWO,
            "; pandas for 50% of it.",
        ),
        (
            libraries,
            [rows.library("numpy", 0.45), rows.library("pandas", 0.5)],
            TWO,
            "All held the GIL for a tenth of the call or more: numpy for 45% and pandas for 50%",
        ),
        (libraries, [rows.library("pandas", None)], TWO, "could not be probed"),
        (libraries, [rows.broken_library("x", "ImportError: x")], TWO, "could not be probed"),
        (without_gil, [], TWO, "This Python has a GIL. Run the demo with python3.14t"),
        (
            without_gil,
            [rows.without_gil(True, 1.0, 1.01, 0), rows.without_gil(False, 1.9, 1.95, 400)],
            FREE,
            "bytecode was 1.00 times and the held loop 1.01 times as fast as on one; without it, "
            "1.90 and 1.95 times. The counter that relied on the GIL lost no updates with it, and "
            "up to 40% of the updates without.",
        ),
        (without_gil, [rows.without_gil(True, 1.0, 1.0, 0)], FREE, "Nothing was measured"),
    ],
)
def test_the_sentence_follows_the_figures(module, found, machine, words):
    sentence = module.STEP.say(found, machine)
    assert words in sentence
    console = report.console()
    with console.capture() as text:
        console.print(report.step(Result(module.STEP, found, sentence), 80))
    assert max(map(len, text.get().splitlines())) <= 80


@pytest.mark.parametrize(
    ("released", "limit", "doubted"),
    [(1.9, 1.9, 0), (1.904, 1.9, 0), (1.91, 1.9, 1), (1.8, 1.9, 0)],
)
def test_a_figure_above_the_limit_is_doubted(released, limit, doubted):
    said = kernels.STEP.say([rows.kernel(1.0, released, limit)], TWO)
    assert said.count(ABOVE) == doubted
    assert ("101%" in said) == doubted
    probed = [rows.library("numpy", 0.01, released, limit)]
    assert libraries.STEP.say(probed, TWO).count(ABOVE) == doubted


def test_a_figure_of_fewer_workers_above_the_limit_is_doubted_too():
    row = rows.kernel(1.0, 1.9, 1.95, workers=4)
    assert ABOVE not in kernels.STEP.say([row], TWO)
    timings = [
        dataclasses.replace(timing, speedup=2.1)
        if (timing.mode, timing.workers) == ("bytecode", 2)
        else timing
        for timing in row.comparison.rows
    ]
    comparison = dataclasses.replace(row.comparison, rows=tuple(timings))
    row = dataclasses.replace(row, comparison=comparison)
    assert ABOVE in kernels.STEP.say([row], TWO)
