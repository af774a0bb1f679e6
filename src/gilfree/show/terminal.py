"""What is written to a terminal: the steps of the demo, and progress bars."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gilfree.demo.step import Result
from gilfree.demo.table import Column, lines

# ---------------------------------------------------------------- the demo


def step(result: Result[Any], width: int) -> Group:
    """Return the heading, the table and the sentence of one step of the demo."""

    def wrapped(text: str, style: str = "") -> Text:
        return Text(textwrap.fill(text, min(width, 100)), style)

    parts: list[RenderableType] = [Text(f"\n{result.step.heading}", style="bold")]
    if result.rows:
        parts += [_table(result.step.columns(result.rows)), Text()]
        if result.step.note:
            parts += [wrapped(result.step.note, "dim"), Text()]
    return Group(*parts, wrapped(result.sentence))


def _table(columns: Sequence[Column]) -> Table:
    space = 1 if len(columns) < 9 else 0  # or it would not fit in 80 columns
    table = Table(box=SIMPLE_HEAD, padding=(0, space, 0, 0), show_edge=False)
    for index, column in enumerate(columns):
        left = index == 0 or column.prose
        justify: Literal["left", "right"] = "left" if left else "right"
        table.add_column(column.heading, justify=justify, no_wrap=not column.prose)
    for cells in lines(columns):
        table.add_row(*cells)
    return table


# ---------------------------------------------------------------- terminal


def console() -> Console:
    """Return standard output: coloured on a terminal, plain in a pipe, never under 80 columns."""
    console = Console(highlight=False)
    console.width = max(console.width, 80)
    return console


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Show a progress bar on standard error, if that is a terminal.

    Yields a function to call with what is being done, and how much of the whole is done, from 0
    to 1.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        expand=True,
        transient=True,
        disable=not Console(stderr=True).is_terminal,
    )
    with bar:
        task = bar.add_task("", total=1.0)
        yield lambda name, done: bar.update(task, description=escape(name), completed=done)
