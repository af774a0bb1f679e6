"""The table of a step on a terminal."""

from __future__ import annotations

import dataclasses

from rows import kernel, on_threads, recording_of_a_kernel

from gilfree.demo import bytecode, kernels
from gilfree.demo.step import Result
from gilfree.demo.timing import Medians
from gilfree.show import terminal as report


def test_a_step_shows_heading_table_and_sentence():
    seconds = {"seconds": 0.1, "seconds_low": 0.085, "seconds_high": 0.115, "base": 0.185}
    times = Medians(**seconds, speedup=1.85, speedup_low=1.8, speedup_high=1.9)
    step = dataclasses.replace(bytecode.STEP, title="Threads")
    console = report.console()
    with console.capture() as text:
        console.print(report.step(Result(step, [on_threads(2, times)], "It was so."), 80))
    lines = [" ".join(line.split()) for line in text.get().splitlines()]
    assert lines[1] == "1. Threads"
    assert "threads ms speedup" in lines
    assert "2 100±15 1.85±0.05" in lines
    assert lines[-1] == "It was so."


def test_a_kernel_has_lanes_of_text():
    row = kernel(1.0, 1.9, 2.0, recorded=recording_of_a_kernel())
    console = report.console()
    with console.capture() as text:
        console.print(report.step(Result(kernels.STEP, [row], "It was so."), 80))
    lines = [line.rstrip() for line in text.get().splitlines()]
    first = lines.index("mandelbrot on two threads, 10 ms a column:") + 1
    half, whole = 30, 60
    assert lines[first : first + 4] == [
        "held      thread 1  " + half * "█" + half * "·",
        "          thread 2  " + half * "·" + half * "█",
        "released  thread 1  " + half * "▒",
        "          thread 2  " + half * "▒",
    ]
    assert max(map(len, lines)) == 20 + whole
