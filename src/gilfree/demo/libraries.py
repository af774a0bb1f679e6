"""The libraries you use do the same: the probe on one call of each that is installed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from gilfree._words import share
from gilfree.demo.phrases import ABOVE, is_above
from gilfree.demo.setup import Setup
from gilfree.demo.step import Machine, Step
from gilfree.demo.table import Cell, Column, Figure, Finding
from gilfree.demo.timing import Progress
from gilfree.gil.report import GilReport
from gilfree.gil.verdict import RELEASED
from gilfree.survey import calls_of, probe_call

# One call of each library; `gilfree survey` has many more.
CALLS = {"numpy": "np.sort", "pandas": "s.rolling.mean", "numba": "njit, nogil=True"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probed(Finding):
    """What the probe found about a call, or why the call could not be run."""

    library: str
    call: str
    statement: str
    report: GilReport | None
    error: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, strings and numbers, for JSON."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "report": self.report and self.report.to_dict()}


def parts(_: Setup) -> list[str]:
    """Name the libraries that are installed."""
    return [call.library for call in calls_of(list(CALLS)) if call.name == CALLS[call.library]]


def measure(_: Setup, library: str, __: Progress) -> list[Probed]:
    """Probe the call of a library."""
    (call,) = (call for call in calls_of([library]) if call.name == CALLS[library])
    entry = probe_call(call)
    return [
        Probed(
            library=library,
            call=call.name,
            statement=call.statement,
            report=entry.report,
            error=entry.error,
        )
    ]


def columns(rows: Sequence[Probed]) -> list[Column]:
    """Show a row for each library."""
    return [
        Column("library", [row.library for row in rows]),
        Column("call", [row.call for row in rows]),
        Column("held", _cells(rows, lambda report: report.held, share)),
        Column("speedup", _cells(rows, lambda report: report.speedup, Figure)),
        Column("limit", _cells(rows, lambda report: report.limit, Figure)),
        Column("verdict", [_verdict(row) for row in rows], prose=True),
    ]


def _cells(
    rows: Sequence[Probed],
    value: Callable[[GilReport], float | None],
    form: Callable[[float], Cell],
) -> list[Cell]:
    """Return the cells of a figure; a cell is empty if the figure is not known."""
    values = [None if row.report is None else value(row.report) for row in rows]
    return ["" if each is None else form(each) for each in values]


def _verdict(row: Probed) -> str:
    return f"could not be run: {row.error}" if row.report is None else row.report.verdict.text


def sentence(rows: Sequence[Probed], machine: Machine) -> str:
    """Say which libraries hold the GIL, and for which share of the call."""
    held = {
        row.library: row.report.held for row in rows if row.report and row.report.held is not None
    }
    low = [name for name, held_share in held.items() if held_share < RELEASED]
    others = [f"{name} for {share(value)}" for name, value in held.items() if name not in low]
    held_it = "held the GIL" if machine.gil else "had its thread attached"
    seen = [f"{_listed(low)} {held_it} for less than a tenth of the call"] if low else []
    if others:
        each = "" if low else f"All {held_it} for a tenth of the call or more: "
        seen.append(f"{each}{_listed(others)} of it")
    said = f"{'; '.join(seen) or 'The calls could not be probed'}."
    if any(_above_limit(row.report) for row in rows if row.report):
        said += f" {ABOVE}"
    return f"{said} `gilfree survey` probes many more calls."


def _listed(names: Sequence[str]) -> str:
    """Return names as a list in words: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _above_limit(report: GilReport) -> bool:
    speedup, limit = report.speedup, report.limit
    return speedup is not None and limit is not None and is_above(speedup, limit)


STEP = Step(
    number=6,
    title="The libraries you use do the same",
    parts=parts,
    measure=measure,
    columns=columns,
    sentence=sentence,
)
