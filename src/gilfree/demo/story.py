"""What the steps of the demo say: a table of text, and a sentence made of what was measured.

A sentence never says what should have come out, only what did. Where that is not what one expects
(one CPU, a loaded machine, no GIL), the sentence says so.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from gilfree._words import readable_time, share
from gilfree.gil.verdict import RELEASED, Verdict

Row: TypeAlias = dict[str, Any]

# Speedups that are taken for none at all, and for something.
NONE, SOME = 1.15, 1.2
NOTHING = "Nothing was measured."
BUSY = "Is the machine busy with other work?"
DOUBT = "the machine was busy with other work, so measure again."
ABOVE = (
    "What is above the limit is not better than the machine: that was busy with other work, or its "
    "limit was measured too low."
)
LITTLE = 1e-3  # seconds
ONE_CPU = "This process may use one CPU only, so nothing can run at the same time here."


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a sentence has to know of where it was measured."""

    cpus: int
    gil: bool


@dataclasses.dataclass(frozen=True)
class Story:
    """How to show the rows of one step.

    Attributes
    ----------
    columns : tuple of (str, callable)
        The heading of each column, in one line or two, and its cell in a row: text, or a figure.
    lines : callable
        Split a row of the step into rows of the table.
    sentence : callable
        Say what the rows mean.
    """

    columns: tuple[tuple[str, Callable[[Row], str | Figure]], ...]
    sentence: Callable[[Sequence[Row], Machine], str]
    lines: Callable[[Row], list[Row]] = lambda row: [row]

    def cells(self, rows: Sequence[Row]) -> list[list[str]]:
        """Return the texts of the table."""
        lines = [line for row in _as_shown(rows) for line in self.lines(row)]
        columns = [_aligned([cell(line) for line in lines]) for _, cell in self.columns]
        return [list(line) for line in zip(*columns, strict=True)]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number in a column and, if it is a median, half the interquartile range."""

    value: float
    spread: float | None = None
    decimals: int = 2


def _aligned(cells: Sequence[str | Figure]) -> list[str]:
    """Return the texts of a column, with the points of all its figures below each other."""
    spreads = [
        f"{cell.spread:.{cell.decimals}f}"
        for cell in cells
        if isinstance(cell, Figure) and cell.spread is not None
    ]
    width = max(map(len, spreads), default=-1)

    def text(cell: str | Figure) -> str:
        if isinstance(cell, str):
            return cell
        end = "" if cell.spread is None else f"±{cell.spread:>{width}.{cell.decimals}f}"
        return f"{cell.value:.{cell.decimals}f}{end:{width + 1}}"

    return [text(cell) for cell in cells]


TIMES = "seconds", "base", "start"


def _as_shown(rows: Sequence[Row]) -> list[Row]:
    """Settle to how many decimals times are shown, and divide them as they are shown.

    So whoever divides two of them finds the speedup that stands beside them.
    """
    decimals = _decimals([row[name] * 1e3 for row in rows for name in TIMES if row.get(name)])

    def shown(row: Row) -> Row:
        if "base" not in row:
            return {**row, "decimals": decimals}
        own, base = (round(row[name] * 1e3, decimals) for name in ("seconds", "base"))
        return {**row, "decimals": decimals, "speedup": base / own if own else row["speedup"]}

    return [shown(row) for row in rows]


def _decimals(times: Sequence[float]) -> int:
    """Return how many decimals to show: three digits of the least, five of the greatest."""
    if not times:
        return 0
    most = 2 if max(times) < 100 else 1
    return min(most, max(0, 2 - math.floor(math.log10(min(times)))))


def _ms(row: Row, name: str = "seconds") -> Figure:
    return _figure(row, name, 1e3, row["decimals"])


def _speedup(row: Row) -> Figure:
    return _figure(row, "speedup")


def _figure(row: Row, name: str, unit: float = 1.0, decimals: int = 2) -> Figure:
    """Return what a row has of this name, with its spread where it has quartiles."""
    spread = None
    if f"{name}_low" in row:
        spread = (row[f"{name}_high"] - row[f"{name}_low"]) / 2 * unit
    return Figure(row[name] * unit, spread, decimals)


def _times(speedup: float) -> str:
    """Return how a speedup is said."""
    if speedup >= 1 / NONE:
        return f"{speedup:.2f} times as fast as"
    slower = 1 / speedup
    return f"{slower:.{0 if slower > 10 else 1}f} times slower than"


def _range(values: Sequence[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def sentence(number: int, rows: Sequence[Row], machine: Machine) -> str:
    """Say what the rows of a step mean."""
    if not rows and number not in MAY_BE_EMPTY:
        return NOTHING
    return STORIES[number].sentence(_as_shown(rows), machine)


# ---------------------------------------------------------------- 1 to 4


def _bytecode(rows: Sequence[Row], machine: Machine) -> str:
    if len(rows) < 2:
        return ONE_CPU if machine.cpus == 1 else "One thread alone shows no speedup."
    speedup, workers = rows[-1]["speedup"], rows[-1]["workers"]
    seen = f"{workers} threads ran the same bytecode {_times(speedup)} one"
    if machine.gil and speedup < 1 / SOME:
        return f"{seen}: with the GIL they take turns, and to hand it over takes time. {BUSY}"
    if machine.gil and speedup < SOME:
        return f"{seen}: with the GIL, they take turns."
    if machine.gil:
        return f"{seen}, which the GIL does not allow: was the machine busy while one ran alone?"
    if speedup < SOME:
        return f"{seen}, though there is no GIL. {ONE_CPU if machine.cpus == 1 else BUSY}"
    return f"{seen}: without a GIL, they run at once."


WAYS = {
    "held": "one counter, GIL held",
    "released": "one counter, GIL released",
    "private": "a counter each, GIL released",
}


def _counter(rows: Sequence[Row], machine: Machine) -> str:
    held, released, private = rows
    if released["lost"]:
        seen = f"Without the lock, {_lost(released)} were lost"
    else:
        seen = (
            "Without the lock, no update was lost this time, since the threads hardly met: that "
            "is luck, and no guarantee"
        )
    if held["lost"]:
        seen += f"; with it, too, {_lost(held)}"
        seen += ", since this Python has none" if not machine.gil else ""
    else:
        seen += "; with it, none can be lost"
    faster = _times(private["speedup"])
    return (
        f"{seen}. A counter for each thread needs no lock, and was {faster} one counter with the "
        f"GIL held."
    )


def _lost(row: Row) -> str:
    """Return how many updates were lost at most: a share where that says something."""
    share = row["lost"] / row["updates"]
    if not row["lost"]:
        return "no updates"
    return f"up to {share:.0%} of the updates" if share >= 0.01 else f"up to {row['lost']} updates"


def _waiting(rows: Sequence[Row], _: Machine) -> str:
    many = rows[-1]
    seen = (
        f"{many['requests']} requests at once were answered {_times(many['speedup'])} one after "
        f"the other"
    )
    if many["speedup"] < many["requests"] / 2:
        return f"{seen}, and could have been {many['requests']} times. {BUSY}"
    return f"{seen}: who waits lets go of the GIL."


def _processes(rows: Sequence[Row], machine: Machine) -> str:
    start, *works = rows
    sentence = f"To start {start['workers']} processes took {readable_time(start['start'])}."
    for row in works:
        amount = "next to nothing" if row["sent"] < 1e5 else f"{row['sent'] / 1e6:.0f} MB"
        sentence += (
            f" With {amount} to send, they were {_times(row['speedup'])} one thread that has the "
            f"data already."
        )
    if works and max(row["speedup"] for row in works) < SOME:
        sentence += " Processes gained nothing, even without anything to send. "
        sentence += ONE_CPU if machine.cpus == 1 else BUSY
    return sentence


def _work_name(row: Row) -> str:
    if row["work"] == "start":
        return f"start {row['workers']} processes"
    return str(row["work"])


# ---------------------------------------------------------------- 5


def way(row: Row, mode: str, workers: int) -> Row | None:
    """Return the figures of one way to run a kernel, where it was run."""
    for figures in row["rows"]:
        if (figures["mode"], figures["workers"]) == (mode, workers):
            return dict(figures)
    return None


def worker_counts(row: Row) -> list[int]:
    """Return the numbers of workers that a kernel was run on."""
    return sorted({figures["workers"] for figures in row["rows"]})


def _kernel_lines(row: Row) -> list[Row]:
    counts = worker_counts(row)
    return [
        {**row, "workers": n, "name": row["kernel"] if n == counts[:2][-1] else ""}
        for n in counts
        if n > 1 or len(counts) == 1
    ]


def _way_cell(mode: str, form: Callable[[Row], Figure] = _speedup) -> Callable[[Row], str | Figure]:
    def cell(line: Row) -> str | Figure:
        figures = way(line, mode, line["workers"])
        return "" if figures is None else form(figures)

    return cell


def _kernels(rows: Sequence[Row], machine: Machine) -> str:
    many = worker_counts(rows[0])[-1]
    if many == 1:
        said = ONE_CPU if machine.cpus == 1 else "One worker alone shows no speedup."
    else:
        said = _kernels_on(rows, many, machine)
    above = any(_above_limit(line) for row in rows for line in _kernel_lines(row))
    return f"{said} {ABOVE}" if above else said


def _kernels_on(rows: Sequence[Row], many: int, machine: Machine) -> str:
    held, released, limit = (
        [round(figures["speedup"], 2) for row in rows if (figures := way(row, mode, many))]
        for mode in ("held", "released", "limit")
    )
    shares = [own / possible for own, possible in zip(released, limit, strict=True)]
    seen = (
        f"With the GIL released, {many} workers were {_range(released, '.2f')} times as fast as "
        f"one, {_range([100 * share for share in shares], '.0f')}% of what {many} independent "
        f"processes reach here; with the GIL held, {_range(held, '.2f')} times."
    )
    if not machine.gil:
        return f"{seen} This Python has no GIL, so the held loops run at once as well."
    slowest = max(figures["seconds"] for row in rows if (figures := way(row, "released", 1)))
    if slowest < LITTLE:
        return f"{seen} A call of {readable_time(slowest)} is too little work to share."
    if statistics.median(limit) < SOME:
        return f"{seen} The machine itself had next to nothing to give. {BUSY}"
    if max(held) > SOME or max(limit) > many * SOME or max(shares) > SOME or min(shares) < 1 / 2:
        return f"{seen} Not all of this can be: {DOUBT}"
    return seen


def _above_limit(line: Row) -> bool:
    """Tell whether a line of the table shows a speedup above the machine's limit."""
    limit = way(line, "limit", line["workers"])
    ways = ("bytecode", "executor", "held", "released")
    speedups = [
        figures["speedup"] for mode in ways if (figures := way(line, mode, line["workers"]))
    ]
    return limit is not None and round(max(speedups), 2) > round(limit["speedup"], 2)


# ---------------------------------------------------------------- 6 and 7


def _report_cell(name: str, form: Callable[[Any], str | Figure]) -> Callable[[Row], str | Figure]:
    def cell(row: Row) -> str | Figure:
        report = row["report"]
        return "" if report is None or report[name] is None else form(report[name])

    return cell


def _summary(row: Row) -> str:
    if row["report"] is None:
        return f"could not be run: {row['error']}"
    return Verdict(row["report"]["verdict"]).text


def _libraries(rows: Sequence[Row], machine: Machine) -> str:
    if not rows:
        return "Neither NumPy, pandas nor numba has a call here that could be looked at."
    held = {
        row["library"]: row["report"]["held"]
        for row in rows
        if row["report"] and row["report"]["held"] is not None
    }
    low = [name for name, held_share in held.items() if held_share < RELEASED]
    others = [f"{name} for {share(value)}" for name, value in held.items() if name not in low]
    held_it = "held the GIL" if machine.gil else "kept its thread attached"
    seen = f"{_listed(low)} {held_it} for less than a tenth of the call" if low else ""
    if others:
        seen += f"{'; ' if seen else ''}{_listed(others)} of it"
    said = f"{seen or 'What was run could not be seen'}."
    if any(_report_above_limit(row["report"]) for row in rows if row["report"]):
        said += f" {ABOVE}"
    return f"{said} `gilfree survey` looks at many more calls."


def _report_above_limit(report: Row) -> bool:
    speedup, limit = report["speedup"], report["limit"]
    return None not in (speedup, limit) and round(speedup, 2) > round(limit, 2)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _without_gil(rows: Sequence[Row], machine: Machine) -> str:
    if machine.gil:
        return (
            "This Python has a GIL. Run the demo by one without, python3.14t or python3.13t, and "
            "this step shows what changes."
        )
    if len(rows) < 2:
        return NOTHING
    locked, free = rows
    return (
        f"On {free['workers']} threads and with the GIL switched on, bytecode was "
        f"{locked['bytecode']:.2f} times and the held loop {locked['held']:.2f} times as fast as "
        f"on one; without it, {free['bytecode']:.2f} and {free['held']:.2f} times. The counter "
        f"that relied on the GIL lost {_lost(locked)} with it, and {_lost(free)} without."
    )


STORIES: dict[int, Story] = {
    1: Story(
        (
            ("threads", lambda row: str(row["workers"])),
            ("ms", _ms),
            ("speedup", _speedup),
        ),
        _bytecode,
    ),
    2: Story(
        (
            ("how", lambda row: WAYS[row["way"]]),
            ("threads", lambda row: str(row["workers"])),
            ("ms", _ms),
            ("updates", lambda row: f"{row['updates']:,}"),
            ("most lost", lambda row: f"{row['lost']:,}"),
        ),
        _counter,
    ),
    3: Story(
        (
            ("threads", lambda row: str(row["threads"])),
            ("requests", lambda row: str(row["requests"])),
            ("answered after", lambda row: readable_time(row["delay"])),
            ("ms", _ms),
            ("speedup", _speedup),
        ),
        _waiting,
    ),
    4: Story(
        (
            ("what", _work_name),
            ("MB sent", lambda row: f"{row['sent'] / 1e6:.1f}" if "sent" in row else ""),
            ("one thread\nms", lambda row: _ms(row, "base") if "base" in row else ""),
            ("processes\nms", lambda row: _ms(row, "seconds" if "base" in row else "start")),
            ("speedup", lambda row: _speedup(row) if "speedup" in row else ""),
        ),
        _processes,
    ),
    5: Story(
        (
            ("kernel", lambda line: line["name"]),
            ("workers", lambda line: str(line["workers"])),
            ("Python\nthreads", _way_cell("bytecode", lambda row: Figure(row["speedup"]))),
            ("pro-\ncesses", _way_cell("executor", lambda row: Figure(row["speedup"]))),
            ("GIL\nheld", _way_cell("held")),
            ("its\nshare", lambda line: share(line["held_share"])),
            ("GIL\nreleased", _way_cell("released")),
            ("its\nshare", lambda line: share(line["released_share"])),
            ("machine\nlimit", _way_cell("limit")),
        ),
        _kernels,
        _kernel_lines,
    ),
    6: Story(
        (
            ("library", lambda row: row["library"]),
            ("call", lambda row: row["call"]),
            ("held", _report_cell("held", share)),
            ("speedup", _report_cell("speedup", Figure)),
            ("limit", _report_cell("limit", Figure)),
            ("verdict", _summary),
        ),
        _libraries,
    ),
    7: Story(
        (
            ("this Python", lambda row: "with its GIL on" if row["gil"] else "without a GIL"),
            ("threads", lambda row: str(row["workers"])),
            ("bytecode\nspeedup", lambda row: Figure(row["bytecode"])),
            ("held loop\nspeedup", lambda row: Figure(row["held"])),
            ("counter\nupdates lost", lambda row: f"{row['lost']:,}"),
        ),
        _without_gil,
    ),
}

MAY_BE_EMPTY = 6, 7
TWO_MEDIANS = "Median ± half the interquartile range; speedup: one median over the other."
NOTES = {
    1: TWO_MEDIANS,
    3: TWO_MEDIANS,
    4: TWO_MEDIANS,
    5: "Speedup over one worker: median ± half the interquartile range; of processes, over "
    "one thread of this one. Share: of one call, in which its thread has the GIL.",
}
