"""The tables of the demo: figures that agree with each other, aligned; and the keys of its JSON."""

from __future__ import annotations

import pytest
import rows

from gilfree.demo import bytecode, kernels, processes
from gilfree.demo.phrases import times_as_fast
from gilfree.demo.step import Machine
from gilfree.demo.table import decimals_of, lines
from gilfree.demo.timing import Medians

MEDIANS = [
    *("seconds_low", "seconds", "seconds_high"),
    *("base", "speedup_low", "speedup_high", "speedup"),
]


def test_a_speedup_is_the_ratio_of_the_medians():
    times = Medians.of([2.0, 8.0, 2.0], [4.0, 8.0, 6.0])
    assert (times.seconds, times.base, times.speedup) == (2.0, 6.0, 3.0)
    assert (times.speedup_low, times.speedup_high) == (1.5, 2.5)


def test_a_kernel_has_a_row_for_each_number_of_workers_except_one():
    cells = lines(kernels.columns([rows.kernel(1.0, 3.8, 3.9, workers=4)]))
    assert [line[:2] for line in cells] == [("mandelbrot", "2"), ("", "3"), ("", "4")]
    ways = ("1.00", "0.10", "1.00±0.05", "100%", "3.80±0.19", "0%", "3.90±0.20")
    assert cells[-1] == ("", "4", *ways)
    (alone,) = lines(kernels.columns([rows.kernel(1, 1, 1, workers=1, held_share=None)]))
    assert alone[:2] == ("mandelbrot", "1")
    assert "–" in alone


@pytest.mark.parametrize(
    ("alone", "together"), [(0.01564, 0.01696), (0.8314, 0.1224), (0.00796, 0.518), (1e-4, 2e-3)]
)
def test_the_speedup_shown_is_the_ratio_of_the_times_shown(alone, together):
    times = rows.medians(together, alone / together)
    one, two = lines(
        bytecode.columns([rows.on_threads(1, rows.medians(alone, 1.0)), rows.on_threads(2, times)])
    )
    shown, speedup = [line[1].partition("±")[0] for line in (one, two)], two[2].partition("±")[0]
    assert f"{float(shown[0]) / float(shown[1]):.2f}" == speedup
    on_processes = [rows.start(1.0), rows.work(times)]
    _, (_, _, here, there, speedup) = lines(processes.columns(on_processes))
    ratio = float(here) / float(there.partition("±")[0])
    assert f"{ratio:.2f}" == speedup.partition("±")[0]
    assert times_as_fast(ratio) in processes.sentence(on_processes, Machine(2, gil=True))


def test_the_decimal_points_of_a_column_are_aligned():
    times = [
        rows.medians(0.00975, 1.0),
        rows.medians(0.0163, 1.0, seconds_low=0.010, seconds_high=0.040),
        rows.medians(0.0999, 1.0),
    ]
    cells = lines(bytecode.columns([rows.on_threads(1, each) for each in times]))
    # Right-justified, too.
    assert [line[1] for line in cells] == ["9.75± 0.98", "16.30±15.00", "99.90± 9.99"]
    cells = lines(processes.columns([rows.start(0.31), rows.work(rows.medians(0.1, 2.0))]))
    assert [line[3] for line in cells] == ["310   ", "100±10"]


@pytest.mark.parametrize(
    ("times", "decimals"),
    [([0.5], 2), ([9.75, 16.3], 2), ([12.3], 1), ([345.6], 0), ([7.96, 518.0], 1), ([], 0)],
)
def test_times_have_three_digits(times, decimals):
    assert decimals_of(times) == decimals


@pytest.mark.parametrize(
    ("row", "keys"),
    [
        (rows.bytecode(1.0)[0], ["workers", *MEDIANS]),
        (rows.counter()[0], ["way", "workers", "updates", "lost", *MEDIANS]),
        (rows.waiting(1.0)[0], ["threads", "requests", "delay", *MEDIANS]),
        (rows.start(), ["work", "workers", "start"]),
        (rows.work(rows.medians(0.1, 1.0)), ["work", "workers", "sent", *MEDIANS]),
        (rows.kernel(1, 1, 1), ["kernel", "repeat", "rows", "held_share", "released_share"]),
        (rows.library("numpy", 0.1), ["library", "call", "statement", "report", "error"]),
        (
            rows.without_gil(True, 1.0, 1.0, 0),
            ["gil", "workers", "bytecode", "held", "updates", "lost"],
        ),
    ],
)
def test_the_keys_of_a_row_stay_as_they_are(row, keys):
    # Users' programs read these keys from `gilfree demo --json`.
    assert list(row.to_dict()) == keys


def test_a_call_that_could_not_be_run_has_no_report():
    row = rows.broken_library("x", "ImportError: x").to_dict()
    assert (row["report"], row["error"]) == (None, "ImportError: x")
    assert rows.library("x", 0.01).to_dict()["report"]["verdict"] == "released_threads_help"
