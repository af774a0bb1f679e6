"""The rows of a step, and how a table shows them: columns of text and of figures with a spread."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self, TypeAlias

from gilfree.demo.timing import Medians


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """A row: one result of a step."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, strings and numbers, for JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timed(Finding):
    """A row about one way to do something, and how long it took."""

    times: Medians

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and strings, with the times last."""
        plain = dataclasses.asdict(self)
        times = plain.pop("times")
        return {**plain, **times}


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number in a column and, if it is a median, half the interquartile range."""

    value: float
    spread: float | None = None
    decimals: int = 2


Cell: TypeAlias = str | Figure


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    heading : str
        One line or two.
    cells : sequence of str or Figure
    prose : bool
        Whether the cells are sentences, which may be wrapped.
    """

    heading: str
    cells: Sequence[Cell]
    prose: bool = False

    @property
    def texts(self) -> list[str]:
        """The cells as text; the decimal points of all figures are below each other."""
        spreads = [
            f"{cell.spread:.{cell.decimals}f}"
            for cell in self.cells
            if isinstance(cell, Figure) and cell.spread is not None
        ]
        width = max(map(len, spreads), default=-1)
        return [cell if isinstance(cell, str) else _text(cell, width) for cell in self.cells]


def _text(figure: Figure, width: int) -> str:
    """Return a figure as text, with ± and a spread of this width, or as many spaces."""
    value, spread, decimals = figure.value, figure.spread, figure.decimals
    end = "" if spread is None else f"±{spread:>{width}.{decimals}f}"
    return f"{value:.{decimals}f}{end:{width + 1}}"


def lines(columns: Sequence[Column]) -> list[tuple[str, ...]]:
    """Return the texts of a table, row by row."""
    return list(zip(*(column.texts for column in columns), strict=True))


@dataclasses.dataclass(frozen=True)
class Shown:
    """How a table shows its times: all with the same number of decimals.

    Speedups are computed from the rounded times, so that they agree with the times shown.
    """

    decimals: int

    @classmethod
    def of(cls, rows: Sequence[Timed], *more: float) -> Self:
        """Choose the decimals for the times of these rows, and for more times, in seconds."""
        times = [seconds for row in rows for seconds in (row.times.seconds, row.times.base)]
        return cls(decimals_of([seconds * 1e3 for seconds in (*times, *more) if seconds]))

    def seconds(self, seconds: float) -> Figure:
        """Return a time as a figure, in milliseconds."""
        return Figure(seconds * 1e3, None, self.decimals)

    def ms(self, row: Timed) -> Figure:
        """Return the median of a row with its spread, in milliseconds."""
        spread = (row.times.seconds_high - row.times.seconds_low) / 2 * 1e3
        return Figure(row.times.seconds * 1e3, spread, self.decimals)

    def ratio(self, row: Timed) -> float:
        """Return the speedup of a row."""
        base, own = (round(s * 1e3, self.decimals) for s in (row.times.base, row.times.seconds))
        return base / own if own else row.times.speedup

    def speedup(self, row: Timed) -> Figure:
        """Return the speedup of a row with its spread."""
        return Figure(self.ratio(row), (row.times.speedup_high - row.times.speedup_low) / 2)


def decimals_of(times: Sequence[float]) -> int:
    """Return how many decimals give the smallest time three digits, the largest at most five."""
    if not times:
        return 0
    most = 2 if max(times) < 100 else 1
    return min(most, max(0, 2 - math.floor(math.log10(min(times)))))
