"""Tables, sentences and progress bars for people. Nothing is measured here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gilfree.compare import MODES, Comparison, Row


def environment_line(environment: dict[str, Any]) -> str:
    """Return one line on what a measurement depends on."""
    gil = "with the GIL" if environment["gil_enabled"] else "without a GIL"
    cpus = "1 CPU" if environment["cpus"] == 1 else f"{environment['cpus']} CPUs"
    return (
        f"{environment['implementation']} {environment['python']} {gil}, {cpus}, "
        f"switch interval {environment['switch_interval'] * 1e3:g} ms"
    )


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Return one table of all kernels: times, speedups, and the machine's limit."""
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption="ms: median ± half the interquartile range; ×: speedup over one worker",
        caption_justify="left",
    )
    table.add_column("kernel")
    headings = "held\nms", "released\nms", "speedup\nheld", "speedup\nreleased", "machine\nlimit"
    for heading in "workers", *headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for comparison in comparisons:
        for workers in comparison.workers:
            held, released, processes = (comparison.row(mode, workers) for mode in MODES)
            table.add_row(
                comparison.kernel if workers == 1 else "",
                str(workers),
                _milliseconds(held),
                _milliseconds(released),
                *(f"{row.speedup:.2f}×" for row in (held, released, processes)),
                end_section=workers == comparison.workers[-1],
            )
    return table


def _milliseconds(row: Row) -> str:
    return f"{row.seconds * 1e3:.1f} ± {(row.seconds_high - row.seconds_low) / 2 * 1e3:.1f}"


def comparison_sentence(comparisons: Sequence[Comparison]) -> str:
    """Say what was seen with all workers, whatever it was."""
    workers = comparisons[0].workers[-1]
    if workers == 1:
        return "One worker alone shows no speedup: let this process use more CPUs, or ask for more."
    held, released, limit = (
        [comparison.row(mode, workers).speedup for comparison in comparisons] for mode in MODES
    )
    reached = [100 * r / most for r, most in zip(released, limit, strict=True)]
    seen = (
        f"With the GIL released, {workers} workers were {_range(released, '.2f')} times as fast as "
        f"one, {_range(reached, '.0f')}% of what {workers} independent processes reach here; "
        f"with the GIL held, {_range(held, '.2f')} times."
    )
    if not comparisons[0].environment["gil_enabled"]:
        return f"{seen} This Python has no GIL, so the held loops run at once as well."
    if max(limit) < 1.2:
        return f"{seen} The machine itself had next to nothing to give: is it busy with other work?"
    return seen


def _range(values: Sequence[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def console() -> Console:
    """Return standard output: coloured on a terminal, plain and 80 columns wide in a pipe."""
    return Console(highlight=False)


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """Show a progress bar on standard error, if that is a terminal.

    Yields a function to call with the name of the step before each of `total` steps.
    """
    bar = Progress(
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not Console(stderr=True).is_terminal,
    )
    with bar:
        task = bar.add_task("", total=total)
        started = False

        def step(name: str) -> None:
            nonlocal started
            bar.update(task, description=name, advance=1 if started else 0)
            started = True

        yield step
