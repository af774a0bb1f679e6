"""Without a GIL: three of the other steps again, with the GIL switched on and off."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence

from gilfree._system import gil_enabled, same_imports
from gilfree.demo import bytecode, counter, kernels
from gilfree.demo.phrases import NOTHING, up_to
from gilfree.demo.setup import Setup
from gilfree.demo.step import Machine, Step
from gilfree.demo.table import Column, Figure, Finding
from gilfree.demo.timing import Progress

WITH, WITHOUT = "with a GIL", "without"
REPEATED = bytecode.STEP, counter.STEP, kernels.STEP


@dataclasses.dataclass(frozen=True, kw_only=True)
class Switched(Finding):
    """Speedups of bytecode and of the held loop, and lost updates of a counter; GIL on or off."""

    gil: bool
    workers: int
    bytecode: float
    held: float
    updates: int
    lost: int


def parts(_: Setup) -> list[str]:
    """Return both settings of the GIL, which only a free-threaded build can switch."""
    return [] if gil_enabled() else [WITH, WITHOUT]


def measure(setup: Setup, part: str, _: Progress) -> list[Switched]:
    """Run the repeated steps in a new process, which starts with the GIL switched on or off."""
    command = [sys.executable, "-P", "-X", f"gil={int(part == WITH)}", "-m", "gilfree", "demo"]
    command += ["--only", ",".join(str(step.number) for step in REPEATED)]
    command += ["--kernel", "mandelbrot", "--quick", "--json", "--workers", str(setup.workers)]
    done = subprocess.run(command, env=same_imports(), capture_output=True, text=True, check=True)
    on_threads, counts, (compared,) = (step["rows"] for step in json.loads(done.stdout)["steps"])
    ways = {(row["mode"], row["workers"]): row for row in compared["rows"]}
    return [
        Switched(
            gil=part == WITH,
            workers=setup.workers,
            bytecode=on_threads[-1]["speedup"],
            held=ways["held", setup.workers]["speedup"],
            updates=counts[0]["updates"],
            lost=counts[0]["lost"],
        )
    ]


def columns(rows: Sequence[Switched]) -> list[Column]:
    """Show a row for each setting of the GIL."""
    return [
        Column("this Python", ["with its GIL on" if row.gil else "without a GIL" for row in rows]),
        Column("threads", [str(row.workers) for row in rows]),
        Column("bytecode\nspeedup", [Figure(row.bytecode) for row in rows]),
        Column("held loop\nspeedup", [Figure(row.held) for row in rows]),
        Column("counter\nupdates lost", [f"{row.lost:,}" for row in rows]),
    ]


def sentence(rows: Sequence[Switched], machine: Machine) -> str:
    """Say what changes without a GIL, or how to see it."""
    if machine.gil:
        return (
            "This Python has a GIL. Run the demo with python3.14t or python3.13t, which have none, "
            "to see what changes."
        )
    if len(rows) < 2:
        return NOTHING
    locked, free = rows
    return (
        f"On {free.workers} threads, with the GIL switched on, bytecode was "
        f"{locked.bytecode:.2f} times and the held loop {locked.held:.2f} times as fast as "
        f"on one; without it, {free.bytecode:.2f} and {free.held:.2f} times. The counter "
        f"that relied on the GIL lost {up_to(locked.lost, locked.updates)} with it, and "
        f"{up_to(free.lost, free.updates)} without."
    )


STEP = Step(
    number=7,
    title="Without a GIL",
    parts=parts,
    measure=measure,
    columns=columns,
    sentence=sentence,
    may_be_empty=True,
)
