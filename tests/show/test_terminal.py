"""The table of a step on a terminal."""

from __future__ import annotations

import dataclasses

from rows import on_threads

from gilfree.demo import bytecode
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
