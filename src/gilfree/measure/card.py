"""A comparison as a card of a notebook: a sentence, each mode's speedup as a bar, all figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gilfree._html import Part, as_html, card, lane, legend
from gilfree._words import environment_line, readable_time

if TYPE_CHECKING:
    from gilfree.measure.compare import Comparison, Timing

HEADINGS = {
    "bytecode": "bytecode",
    "held": "GIL held",
    "released": "GIL released",
    "executor": "executor",
    "limit": "limit",
}
DOUBTFUL = 1.1  # speedup over limit, above which a note is shown
LOOKS = {"bytecode": "plain", "held": "held", "released": "gain", "executor": "elsewhere"}
LOOKS["limit"] = "unread"


def fragment(comparison: Comparison) -> str:
    """Return the card of a comparison, as HTML."""
    note = f"Medians of {comparison.repeat} rounds, lines from quartile to quartile. "
    limit = comparison.row("limit", comparison.workers[-1]).speedup
    if any(row.speedup > DOUBTFUL * limit for row in comparison.rows):
        note += "Speedups above the limit are due to other work on this machine. "
    note += environment_line(comparison.environment)
    return card(_sentence(comparison), _picture(comparison), _table(comparison), note)


def _sentence(comparison: Comparison) -> str:
    most = comparison.workers[-1]
    kernel = f"<code>{as_html(comparison.kernel)}</code>"
    if most == 1:
        return f"{kernel} on one worker: nothing to compare"
    held, released, limit = (
        f"{comparison.row(mode, most).speedup:.2f}" for mode in ("held", "released", "limit")
    )
    if not comparison.environment["gil_enabled"]:
        gains = f"without a GIL, {most} threads are <b>{released} times as fast</b> as one"
    else:
        gains = f"with the GIL released, {most} threads are <b>{released} times as fast</b> as one"
        gains += f", and {held} times with it held"
    return f"{kernel}: {gains}; the machine could give {limit}"


def _picture(comparison: Comparison) -> Iterator[str]:
    workers = comparison.workers[-1]
    rows = [comparison.row(mode, workers) for mode in comparison.modes]
    most = max(1.0, *(row.speedup_high for row in rows))
    for row in rows:
        heading = HEADINGS[row.mode]
        part = Part(LOOKS[row.mode], row.speedup / most, heading)
        spread = row.speedup_low / most, row.speedup_high / most
        yield lane(heading, [part], f"{row.speedup:.2f}×", spread=spread, mark=1 / most)
    yield legend([("mark", "one worker")])


def _table(comparison: Comparison) -> Iterator[str]:
    alone = comparison.workers[0]
    heads = (
        f'<th colspan="{1 + bool(seconds_of(comparison.row(mode, alone)))}">{HEADINGS[mode]}</th>'
        for mode in comparison.modes
    )
    yield f"<thead><tr><th>workers</th>{''.join(heads)}</tr></thead>\n<tbody>"
    for workers in comparison.workers:
        cells = "".join(_cells(comparison.row(mode, workers)) for mode in comparison.modes)
        yield f"<tr><th>{workers}</th>{cells}</tr>\n"
    yield "</tbody>"


def _cells(row: Timing) -> str:
    seconds = seconds_of(row)
    return (f"<td>{seconds}</td>" if seconds else "") + f"<td>{row.speedup:.2f}×</td>"


def seconds_of(row: Timing) -> str:
    """Return the time of one call, or nothing for modes whose times can't be compared."""
    # Bytecode does only a part of the work, and the limit's processes do the work several times.
    return "" if row.mode in ("bytecode", "limit") else readable_time(row.seconds)
