"""Tables, sentences, coloured source and progress bars for people. Nothing is measured here."""

from __future__ import annotations

import contextlib
import itertools
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from gilfree._words import readable_time
from gilfree.demo.story import NOTES, STORIES, Row
from gilfree.explain import Line, Part
from gilfree.gil.verdict import Kind
from gilfree.survey import Entry, Survey


def environment_line(environment: dict[str, Any]) -> str:
    """Return one line on what a measurement depends on."""
    gil = "with the GIL" if environment["gil_enabled"] else "without a GIL"
    cpus = "1 CPU" if environment["cpus"] == 1 else f"{environment['cpus']} CPUs"
    return (
        f"{environment['implementation']} {environment['python']} {gil}, {cpus}, "
        f"switch interval {environment['switch_interval'] * 1e3:g} ms"
    )


# ---------------------------------------------------------------- the demo


def step(number: int, title: str, rows: Sequence[Row], sentence: str, width: int) -> Group:
    """Return the heading, the table and the sentence of one step of the demo."""

    def wrapped(text: str, style: str = "") -> Text:
        return Text(textwrap.fill(text, min(width, 100)), style)

    story = STORIES[number]
    space = 1 if len(story.columns) < 9 else 0  # or it would not fit in 80 columns
    table = Table(box=SIMPLE_HEAD, padding=(0, space, 0, 0), show_edge=False)
    for index, (heading, _) in enumerate(story.columns):
        left = index == 0 or heading == "verdict"
        table.add_column(heading, justify="left" if left else "right", no_wrap=heading != "verdict")
    for cells in story.cells(rows):
        table.add_row(*cells)
    parts: list[RenderableType] = [Text(f"\n{number}. {title}", style="bold")]
    if rows:
        parts += [table, Text()]
    if rows and number in NOTES:
        parts += [wrapped(NOTES[number], "dim"), Text()]
    return Group(*parts, wrapped(sentence))


# ---------------------------------------------------------------- the survey


KINDS = {
    Kind.RELEASED: "release the GIL",
    Kind.PARTLY: "release it in part",
    Kind.HELD: "hold it",
    Kind.INCONCLUSIVE: "are inconclusive",
    Kind.NO_GIL: "run without a GIL",
}


def survey_table(survey: Survey) -> Table:
    """Return a table of all calls, those that hold the GIL first."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("call")
    for heading in "held", "longest\nhold", "speedup":
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict")
    for entry in survey.entries:
        table.add_row(entry.call.name, *_survey_cells(entry))
    return table


def _survey_cells(entry: Entry) -> list[str]:
    report = entry.report
    if report is None:
        return ["", "", "", f"could not be run: {entry.error}"]
    return [
        "" if report.held is None else f"{report.held:.0%}",
        readable_time(report.longest_hold),
        "" if report.speedup is None else f"{report.speedup:.2f}×",
        report.verdict.text,
    ]


def survey_sentence(survey: Survey) -> str:
    """Say how many calls do what, and what was skipped."""
    kinds = Counter(entry.report.verdict.kind for entry in survey.entries if entry.report)
    counts = {words: kinds[kind] for kind, words in KINDS.items()}
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    failed = len(survey.entries) - kinds.total()
    if failed:
        parts.append(f"{failed} could not be run")
    sentence = f"Of {len(survey.entries)} calls, {', '.join(parts)}."
    if survey.skipped:
        sentence += f" Not installed, so skipped: {', '.join(survey.skipped)}."
    return sentence


def survey_markdown(survey: Survey) -> str:
    """Return a page with a table for each library."""
    versions = ", ".join(f"{name} {version}" for name, version in survey.versions.items())
    lines = [
        "# Who releases the GIL?",
        "",
        f"{environment_line(survey.environment)}; {versions}.",
        "",
        survey_sentence(survey),
        "",
        "Made by `gilfree survey --markdown`. *Held* is the share of the call in which the calling",
        "thread held the GIL, *longest hold* the time at a stretch, and *speedup* is that of all",
        "CPUs over one. A call in a loop counts the loop too.",
    ]
    by_library = sorted(
        survey.entries, key=lambda entry: list(survey.versions).index(entry.call.library)
    )
    for library, entries in itertools.groupby(by_library, key=lambda entry: entry.call.library):
        lines += ["", f"## {library} {survey.versions[library]}", ""]
        lines += ["| call | statement | held | longest hold | speedup | verdict |"]
        lines += ["|---|---|---:|---:|---:|---|"]
        for entry in entries:
            statement = " ".join(entry.call.statement.split()).replace("|", "\\|")
            cells = [entry.call.name, f"`{statement}`", *_survey_cells(entry)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


# ---------------------------------------------------------------- how a kernel releases the GIL


def explanation(parts: Sequence[Part], width: int) -> Text:
    """Return source with line numbers, coloured, and an arrow at what releases or acquires."""
    text = Text()
    for part in parts:
        text.append(f"{part.title}\n\n", style="bold")
        digits = max((len(str(line.number or "")) for line in part.lines), default=0)
        for line in part.lines:
            text.append_text(_source_line(line, part.language, digits, width))
        text.append("\n" if part.lines else "")
        text.append(textwrap.fill(part.note, width, initial_indent="  ", subsequent_indent="  "))
        text.append("\n\n" if part is not parts[-1] else "")
    return text


def _source_line(line: Line, language: str, digits: int, width: int) -> Text:
    number = f"{line.number or '':>{digits}} " if digits else ""
    margin = f"  {number}{'>' if line.marked else ' '} "
    indent = " " * (len(line.text) - len(line.text.lstrip()) + 4)
    wrapper = textwrap.TextWrapper(
        width - len(margin), subsequent_indent=indent, break_long_words=False
    )
    text = Text()
    for piece in wrapper.wrap(line.text) or [""]:
        text.append(margin, style="bold red" if line.marked else "dim")
        source = Syntax(piece, language, theme="ansi_dark").highlight(piece)
        source.stylize("bold" if line.marked else "")
        text.append_text(source)
        text.rstrip()
        text.append("\n")
        margin = " " * len(margin)
    return text


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
