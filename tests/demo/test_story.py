"""The sentences say what was measured, also when that is not what one expects."""

from __future__ import annotations

import pytest

from gilfree.demo import STEPS, story
from gilfree.demo.story import Machine
from gilfree.show import terminal as report

TWO, ONE, FREE = Machine(2, gil=True), Machine(1, gil=True), Machine(2, gil=False)


def figures(seconds, speedup, **more):
    row = {"seconds": seconds, "seconds_low": 0.9 * seconds, "seconds_high": 1.1 * seconds}
    row |= {"speedup": speedup, "speedup_low": 0.95 * speedup, "speedup_high": 1.05 * speedup}
    return {**row, "base": seconds * speedup, **more}


def bytecode(*speedups):
    return [figures(0.1, speedup, workers=n) for n, speedup in enumerate(speedups, 1)]


def counter(held=0, released=30, private=2.0):
    lost = {"held": held, "released": released, "private": 0}
    speedups = {"held": 1.0, "released": 0.5, "private": private}
    return [
        figures(0.1, speedups[way], way=way, workers=2, updates=1000, lost=lost[way])
        for way in lost
    ]


def waiting(speedup):
    return [
        figures(0.8 / s, s, threads=n, requests=8, delay=0.1) for n, s in ((1, 1.0), (8, speedup))
    ]


def processes(*works):
    start = {"work": "start", "workers": 2, "start": 0.31}
    return [
        start,
        *(figures(0.1, speedup, work="polyval", workers=2, sent=sent) for sent, speedup in works),
    ]


def kernel(held, released, limit, workers=2, seconds=0.1, **more):
    ways = {"bytecode": 1.0, "held": held, "released": released, "executor": 0.1, "limit": limit}
    rows = [
        figures(seconds, speedup if n > 1 else 1.0, mode=mode, workers=n)
        for mode, speedup in ways.items()
        for n in range(1, workers + 1)
    ]
    return {
        "kernel": "mandelbrot",
        "held_share": 1.0,
        "released_share": 0.004,
        "rows": rows,
        **more,
    }


def library(name, held, speedup=1.9, limit=1.95, **more):
    report = {
        "held": held,
        "speedup": speedup,
        "limit": limit,
        "verdict": "released; threads help: 1.9",
    }
    return {"library": name, "call": "f", "report": report, "error": None, **more}


def without_gil(gil, bytecode, held, lost):
    speedups = {"bytecode": bytecode, "held": held}
    return {"gil": gil, "workers": 2, "updates": 1000, "lost": lost, **speedups}


@pytest.mark.parametrize(
    ("number", "rows", "machine", "words"),
    [
        (1, bytecode(1.0, 0.97), TWO, "0.97 times as fast as one: with the GIL, they take turns."),
        (
            1,
            bytecode(1.0, 0.5),
            TWO,
            "2.0 times slower than one: with the GIL they take turns, and to hand",
        ),
        (1, bytecode(1.0, 1.6), TWO, "1.60 times as fast as one, which the GIL does not allow"),
        (1, bytecode(1.0, 1.9), FREE, "1.90 times as fast as one: without a GIL, they run at once"),
        (1, bytecode(1.0, 1.0), FREE, "though there is no GIL. Is the machine busy"),
        (1, bytecode(1.0), ONE, "one CPU only"),
        (1, bytecode(1.0), TWO, "One thread alone shows no speedup"),
        (1, [], TWO, "Nothing was measured"),
        (2, counter(), TWO, "lock, up to 3% of the updates were lost; with it, none can be"),
        (2, counter(released=2), TWO, "Without the lock, up to 2 updates were lost"),
        (2, counter(released=0), TWO, "luck, and no guarantee; with it, none can be lost."),
        (
            2,
            counter(held=500),
            FREE,
            "with it, too, up to 50% of the updates, since this Python has none.",
        ),
        (2, counter(private=0.4), TWO, "2.5 times slower than one counter with the GIL held"),
        (3, waiting(8.0), TWO, "8 requests at once were answered 8.00 times as fast as one after"),
        (3, waiting(2.0), TWO, "could have been 8 times. Is the machine busy"),
        (4, processes(), TWO, "To start 2 processes took 310 ms."),
        (
            4,
            processes((8e7, 0.02), (900, 1.9)),
            TWO,
            "With 80 MB to send, they were 50 times slower than one thread that has the data "
            "already. With next to nothing to send, they were 1.90 times as fast as one thread",
        ),
        (4, processes((900, 0.9)), ONE, "one CPU only"),
        (4, processes((900, 0.9)), TWO, "gained nothing, even without anything to send. Is the"),
        (5, [kernel(1.0, 1.9, 1.9), kernel(1.7, 1.7, 1.9)], TWO, "can be: the machine was busy"),
        (5, [kernel(1.0, 1.9, 1.9), kernel(1.0, 1.9, 3.0)], TWO, "can be: the machine was busy"),
        (5, [kernel(1.0, 0.8, 1.9)], TWO, "can be: the machine was busy"),
        (5, [kernel(1.0, 1.0, 1.9, seconds=1e-4)], TWO, "A call of 100 µs is too little work"),
        (
            5,
            [kernel(0.98, 1.8, 2.0), kernel(1.0, 1.9, 1.9)],
            TWO,
            "1.80 to 1.90 times as fast as one, 90 to 100% of what 2 independent processes reach "
            "here; with the GIL held, 0.98 to 1.00 times.",
        ),
        (5, [kernel(1.0, 1.0, 1.05)], TWO, "next to nothing to give. Is the machine busy"),
        (5, [kernel(1.8, 1.8, 1.9)], FREE, "This Python has no GIL"),
        (5, [kernel(1, 1, 1, workers=1)], TWO, "One worker alone shows no speedup"),
        (5, [kernel(1, 1, 1, workers=1)], ONE, "one CPU only"),
        (5, [kernel(1.0, 1.91, 1.9)], TWO, f"1.00 times. {story.ABOVE}"),
        (5, [kernel(1.0, 1.9, 1.95), kernel(1.0, 2.6, 1.9)], TWO, f"measure again. {story.ABOVE}"),
        (5, [kernel(1.9, 1.8, 1.85)], FREE, f"at once as well. {story.ABOVE}"),
        (5, [kernel(1.0, 1.1, 1.05)], TWO, f"busy with other work? {story.ABOVE}"),
        (5, [kernel(1.0, 2.0, 1.9, seconds=1e-4)], TWO, f"too little work to share. {story.ABOVE}"),
        (
            6,
            [library("numpy", 0.01, 2.01, 2.0)],
            TWO,
            f"the call. {story.ABOVE} `gilfree",
        ),
        (6, [library("numpy", 0.01), library("numba", 0.0)], TWO, "numpy and numba held the GIL"),
        (6, [library("numpy", 0.01), library("pandas", 0.5)], TWO, "; pandas for 50% of it."),
        (6, [library("pandas", None)], TWO, "could not be seen"),
        (6, [library("x", None, report=None, error="ImportError: x")], TWO, "could not be seen"),
        (6, [], TWO, "Neither NumPy, pandas nor numba"),
        (7, [], TWO, "This Python has a GIL. Run the demo by one without"),
        (
            7,
            [without_gil(True, 1.0, 1.01, 0), without_gil(False, 1.9, 1.95, 400)],
            FREE,
            "bytecode was 1.00 times and the held loop 1.01 times as fast as on one; without it, "
            "1.90 and 1.95 times. The counter that relied on the GIL lost no updates with it, and "
            "up to 40% of the updates without.",
        ),
        (7, [without_gil(True, 1.0, 1.0, 0)], FREE, "Nothing was measured"),
    ],
)
def test_the_sentence_follows_the_figures(number, rows, machine, words):
    sentence = story.sentence(number, rows, machine)
    assert words in sentence
    console = report.console()
    with console.capture() as text:
        console.print(report.step(number, "Title", rows, sentence, 80))
    assert max(map(len, text.get().splitlines())) <= 80


def test_every_step_has_a_story():
    assert [step.number for step in STEPS] == list(story.STORIES)


def test_a_kernel_has_a_line_for_each_number_of_workers_but_one():
    cells = story.STORIES[5].cells([kernel(1.0, 3.8, 3.9, workers=4)])
    assert [line[:2] for line in cells] == [["mandelbrot", "2"], ["", "3"], ["", "4"]]
    ways = ["1.00", "0.10", "1.00±0.05", "100%", "3.80±0.19", "0%", "3.90±0.20"]
    assert cells[-1] == ["", "4", *ways]
    (alone,) = story.STORIES[5].cells([kernel(1, 1, 1, workers=1, held_share=None)])
    assert alone[:2] == ["mandelbrot", "1"]
    assert "–" in alone


@pytest.mark.parametrize(
    ("released", "limit", "doubted"),
    [(1.9, 1.9, 0), (1.904, 1.9, 0), (1.91, 1.9, 1), (1.8, 1.9, 0)],
)
def test_what_is_shown_above_the_limit_is_doubted(released, limit, doubted):
    said = story.sentence(5, [kernel(1.0, released, limit)], TWO)
    assert said.count(story.ABOVE) == doubted
    assert ("101%" in said) == doubted
    report = [library("numpy", 0.01, released, limit)]
    assert story.sentence(6, report, TWO).count(story.ABOVE) == doubted


def test_a_line_of_fewer_workers_above_the_limit_is_doubted_too():
    row = kernel(1.0, 1.9, 1.95, workers=4)
    assert story.ABOVE not in story.sentence(5, [row], TWO)
    for figures in row["rows"]:
        if (figures["mode"], figures["workers"]) == ("bytecode", 2):
            figures["speedup"] = 2.1
    assert story.ABOVE in story.sentence(5, [row], TWO)


@pytest.mark.parametrize(
    ("alone", "together"), [(0.01564, 0.01696), (0.8314, 0.1224), (0.00796, 0.518), (1e-4, 2e-3)]
)
def test_who_divides_the_times_shown_finds_the_speedup_shown(alone, together):
    rows = [figures(alone, 1.0, workers=1), figures(together, alone / together, workers=2)]
    one, two = story.STORIES[1].cells(rows)
    times, speedup = [line[1].partition("±")[0] for line in (one, two)], two[2].partition("±")[0]
    assert f"{float(times[0]) / float(times[1]):.2f}" == speedup
    start = {"work": "start", "workers": 2, "start": 1.0}
    work = figures(together, alone / together, work="polyval", workers=2, sent=9)
    _, (_, _, here, there, speedup) = story.STORIES[4].cells([start, work])
    ratio = float(here) / float(there.partition("±")[0])
    assert f"{ratio:.2f}" == speedup.partition("±")[0]
    assert story._times(ratio) in story.sentence(4, [start, work], TWO)


def test_the_points_of_a_column_are_below_each_other():
    rows = [figures(seconds, 1.0, workers=1) for seconds in (0.00975, 0.0163, 0.0999)]
    rows[1] |= {"seconds_low": 0.010, "seconds_high": 0.040}
    column = [line[1] for line in story.STORIES[1].cells(rows)]
    assert column == ["9.75± 0.98", "16.30±15.00", "99.90± 9.99"]  # and justified to the right
    start = {"work": "start", "workers": 2, "start": 0.31}
    cells = story.STORIES[4].cells([start, figures(0.1, 2.0, work="x", workers=2, sent=9)])
    assert [line[3] for line in cells] == ["310   ", "100±10"]


@pytest.mark.parametrize(
    ("times", "decimals"),
    [([0.5], 2), ([9.75, 16.3], 2), ([12.3], 1), ([345.6], 0), ([7.96, 518.0], 1), ([], 0)],
)
def test_times_have_three_digits(times, decimals):
    assert story._decimals(times) == decimals
