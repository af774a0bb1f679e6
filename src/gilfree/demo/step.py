"""What a step of the demo is, and how one is run.

A step has parts. Each part is measured by itself and gives rows, so that what was finished can be
shown when somebody interrupts. A sentence never says what should have come out, only what did.
Where that is not what one expects (one CPU, a loaded machine, no GIL), the sentence says so.
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
    """What a sentence has to know of where it was measured."""

    cpus: int
    gil: bool

    @classmethod
    def now(cls) -> Self:
        """Look at this one. A library that a step imports may switch the GIL on."""
        return cls(usable_cpus(), gil_enabled())


def _one_part(_: Setup) -> Sequence[str]:
    return [""]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step(Generic[RowT]):
    """One thing that is commonly said about the GIL: how to measure it, and to tell what came out.

    Attributes
    ----------
    number : int
        Its place in the demo.
    title : str
        What is said.
    measure : callable
        Measure one of the parts, and tell how far that is.
    columns : callable
        Show the rows, of which there is one at least, as a table.
    sentence : callable
        Say what the rows mean.
    parts : callable
        Name the parts, by default the one that has no name.
    note : str
        What the table has to be explained by, if anything.
    may_be_empty : bool
        Whether the sentence has something to say where there are no rows.
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
        """Say what the rows mean, or that there are none."""
        if rows or (complete and self.may_be_empty):
            return self.sentence(rows, machine)
        return NOTHING


@dataclasses.dataclass(frozen=True)
class Result(Generic[RowT]):
    """What came out of a step.

    Attributes
    ----------
    step : Step
    rows : list of Finding
        What was measured.
    sentence : str
        What that means.
    complete : bool
        Whether these are all: Ctrl-C ends a step early.
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
    """Measure a step, part by part, until it is done or somebody presses Ctrl-C."""
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
