"""What a step of the demo is, and how one is run.

A step has parts. Each part is measured by itself and gives rows, so Ctrl-C leaves the rows of the
parts that were finished. A sentence says what was measured, never what should have been. If that is
not what a reader expects (one CPU, a busy machine, no GIL), the sentence says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Generic, Self, TypeVar

from gilfree._system import gil_enabled, usable_cpus
from gilfree.demo.phrases import NOTHING
from gilfree.demo.setup import Setup
from gilfree.demo.table import Column, Finding
from gilfree.demo.timing import Progress

RowT = TypeVar("RowT", bound=Finding)


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a sentence must know about the machine and the Python."""

    cpus: int
    gil: bool

    @classmethod
    def now(cls) -> Self:
        """Return this machine, now: a library that a step imports may switch the GIL on."""
        return cls(usable_cpus(), gil_enabled())


def _one_part(_: Setup) -> Sequence[str]:
    return [""]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step(Generic[RowT]):
    """A common statement about the GIL, how to measure it, and how to show the result.

    Attributes
    ----------
    number : int
        The place of the step in the demo.
    title : str
        The statement.
    measure : callable
        Measures a part, given by its name, reports progress, and returns rows.
    columns : callable
        Returns the columns of a table of rows, of which there is at least one.
    sentence : callable
        Says what the rows mean.
    parts : callable
        Returns the names of the parts; by default there is one part, without a name.
    note : str
        A note that explains the table; may be empty.
    may_be_empty : bool
        Whether `sentence` accepts no rows.
    """

    number: int
    title: str
    measure: Callable[[Setup, str, Progress], list[RowT]]
    columns: Callable[[Sequence[RowT]], list[Column]]
    sentence: Callable[[Sequence[RowT], Machine], str]
    parts: Callable[[Setup], Sequence[str]] = _one_part
    note: str = ""
    may_be_empty: bool = False

    @property
    def heading(self) -> str:
        """Number and title."""
        return f"{self.number}. {self.title}"

    def say(self, rows: Sequence[RowT], machine: Machine, complete: bool = True) -> str:
        """Say what the rows mean, or that nothing was measured."""
        if rows or (complete and self.may_be_empty):
            return self.sentence(rows, machine)
        return NOTHING


@dataclasses.dataclass(frozen=True)
class Result(Generic[RowT]):
    """The result of a step.

    Attributes
    ----------
    step : Step
    rows : list of Finding
        What was measured.
    sentence : str
        What the rows mean.
    complete : bool
        False if Ctrl-C ended the step early.
    """

    step: Step[RowT]
    rows: list[RowT]
    sentence: str
    complete: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, strings and numbers, for JSON."""
        return {
            "number": self.step.number,
            "title": self.step.title,
            "rows": [row.to_dict() for row in self.rows],
            "sentence": self.sentence,
        }


def run_step(step: Step[RowT], setup: Setup, on_progress: Progress = bool) -> Result[RowT]:
    """Measure a step, part by part, until it is done or Ctrl-C ends it."""
    rows: list[RowT] = []
    parts = step.parts(setup)
    complete = False

    def on_part(number: int, done: float) -> None:
        on_progress((number + done) / len(parts))

    with contextlib.suppress(KeyboardInterrupt):
        for number, part in enumerate(parts):
            rows += step.measure(setup, part, functools.partial(on_part, number))
            on_part(number, 1.0)
        complete = True
    return Result(step, rows, step.say(rows, Machine.now(), complete), complete)
