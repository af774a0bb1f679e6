"""Output for a terminal: the steps of the demo, and progress bars."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gilfree._words import readable_time
from gilfree.demo import kernels
from gilfree.demo.kernels import NAMES, Recorded
from gilfree.demo.step import Result
from gilfree.demo.table import Column, lines
from gilfree.recording.timeline import STATES

COLUMNS = 60  # characters of a lane, each for the same span of time
# The character, style and name of each state in a lane.
LOOKS = {
    "held": ("█", "#d55e00", "holds the GIL"),
    "waiting": ("·", "bold", "waits for it"),
    "running": ("▒", "#56b4e9", "runs without it"),
    "blocked": (" ", "", "blocked"),
    "unread": ("?", "dim", "not known"),
}

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
        recorded = kernels.recorded_of(result.rows) if result.step is kernels.STEP else ""
        if isinstance(recorded, Recorded):
            parts += [lanes(recorded), Text()]
    return Group(*parts, wrapped(result.sentence))


def lanes(recorded: Recorded) -> Text:
    """Return a lane of text for each thread of a kernel, with the GIL held and released."""
    seconds = max(recorded.held.seconds, recorded.released.seconds)
    heading = f"{recorded.kernel} on two threads, {readable_time(seconds / COLUMNS)} a column:\n"
    text = Text(heading, no_wrap=True)
    for how, recording in ("held", recorded.held), ("released", recorded.released):
        threads = list(zip(recording.threads, recording.timeline.lanes, strict=True))
        for name in NAMES:
            lane = next((lane for thread, lane in threads if thread.name == name), None)
            text.append(f"{how if name == NAMES[0] else '':10}{name}  ")
            if lane is not None:
                _append_lane(text, lane.between(0.0, seconds, COLUMNS))
            text.append("\n")
    text.append(" " * 20)
    for state in "held", "waiting", "running":
        sign, style, words = LOOKS[state]
        text.append(sign, style).append(f" {words}   ", "dim")
    return text


def _append_lane(text: Text, shares: Any) -> None:
    """Append for each column the state that a thread was in longest; a space if it did not live."""
    for row in shares:
        state = STATES[row.argmax()] if row.sum() > 1 / 2 else "blocked"
        text.append(*LOOKS[state][:2])


def _table(columns: Sequence[Column]) -> Table:
    space = 1 if len(columns) < 9 else 0  # the table must fit in 80 characters
    table = Table(box=SIMPLE_HEAD, padding=(0, space, 0, 0), show_edge=False)
    for index, column in enumerate(columns):
        left = index == 0 or column.prose
        justify: Literal["left", "right"] = "left" if left else "right"
        table.add_column(column.heading, justify=justify, no_wrap=not column.prose)
    for cells in lines(columns):
        table.add_row(*cells)
    return table


# ---------------------------------------------------------------- terminal


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError that rich is handling: `cli.main` ends the command."""
        raise


def console() -> Console:
    """Return standard output: coloured on a terminal, plain in a pipe, at least 80 columns wide."""
    console = _Output(highlight=False, markup=False)  # names such as x[mask] are shown as they are
    console.width = max(console.width, 80)
    return console


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Show a progress bar on standard error, if that is a terminal.

    Yields
    ------
    callable
        To be called with the name of the current work, and the share of all work that is done, from
        0 to 1.
    """
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        expand=True,
        transient=True,
        disable=not Console(stderr=True).is_terminal,
    )
    with bar:
        task = bar.add_task("", total=1.0)
        yield lambda name, done: bar.update(task, description=name, completed=done)
