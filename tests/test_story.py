"""The sentences say what was measured, also when that is not what one expects."""

from __future__ import annotations

import pytest

from gilfree import report, story
from gilfree.demo import STEPS
from gilfree.story import Machine

TWO, ONE, FREE = Machine(2, gil=True), Machine(1, gil=True), Machine(2, gil=False)


def figures(seconds, speedup, **more):
    row = {"seconds": seconds, "seconds_low": 0.9 * seconds, "seconds_high": 1.1 * seconds}
    row |= {"speedup": speedup, "speedup_low": 0.95 * speedup, "speedup_high": 1.05 * speedup}
    return {**row, **more}


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
        *(
            figures(0.1, speedup, work="polyval", workers=2, sent=sent, here=0.05)
            for sent, speedup in works
        ),
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


def library(name, held, **more):
    report = {"held": held, "speedup": 1.9, "limit": 1.95, "verdict": "released; scales: 1.9"}
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
        (2, counter(), TWO, "Without the lock, 3% of the updates were lost; with it, none can be"),
        (2, counter(released=2), TWO, "Without the lock, 2 updates were lost"),
        (2, counter(released=0), TWO, "luck, and no guarantee; with it, none can be lost."),
        (
            2,
            counter(held=500),
            FREE,
            "with it, too, 50% of the updates, since this Python has none.",
        ),
        (2, counter(private=0.4), TWO, "2.5 times slower than one counter with the GIL held"),
        (3, waiting(7.8), TWO, "8 requests at once were answered 7.80 times as fast as one after"),
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
            "40% of the updates without.",
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
    ("values", "text"),
    [
        ((0.5, 0.4, 0.6), "0.50±0.10"),
        ((12.34, 12, 13), "12.3±0.5"),
        ((345.6, 345, 349), "346±2"),
    ],
)
def test_a_spread_has_three_digits(values, text):
    assert story.spread(*values) == text
