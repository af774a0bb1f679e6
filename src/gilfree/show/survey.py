"""The survey: its table for a terminal, its sentence, and its page of Markdown."""

from __future__ import annotations

import itertools
from collections import Counter

from rich.box import SIMPLE_HEAD
from rich.table import Table

from gilfree._words import counted, environment_line, readable_time
from gilfree.gil.verdict import Kind
from gilfree.recording.markdown import plain
from gilfree.survey import Entry, Survey
from gilfree.survey.calls import GROUPS

KINDS = {
    Kind.RELEASED: "release the GIL",
    Kind.PARTLY: "release it in part",
    Kind.HELD: "hold it",
    Kind.INCONCLUSIVE: "are inconclusive",
    Kind.NO_GIL: "run without a GIL",
}


def table(survey: Survey) -> Table:
    """Return a table of all calls, in the order of the survey."""
    rows = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    rows.add_column("call")
    for heading in "held", "longest\nhold", "speedup":
        rows.add_column(heading, justify="right", no_wrap=True)
    rows.add_column("verdict")
    for entry in survey.entries:
        rows.add_row(entry.call.name, *_cells(entry))
    return rows


def _cells(entry: Entry) -> list[str]:
    report = entry.report
    if report is None:
        return ["", "", "", f"could not be run: {entry.error}"]
    return [
        "" if report.held is None else f"{report.held:.0%}",
        "" if report.longest_hold is None else readable_time(report.longest_hold),
        "" if report.speedup is None else f"{report.speedup:.2f}×",
        report.verdict.text,
    ]


def sentence(survey: Survey) -> str:
    """Say how many calls release the GIL, how many hold it, and which libraries were skipped."""
    kinds = Counter(entry.report.verdict.kind for entry in survey.entries if entry.report)
    counts = {words: kinds[kind] for kind, words in KINDS.items()}
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    failed = len(survey.entries) - kinds.total()
    if failed:
        parts.append(f"{failed} could not be run")
    of_all = f"Of {counted(len(survey.entries), 'call')}, {', '.join(parts)}."
    said = of_all if parts else "No call was probed."
    if survey.skipped:
        said += f" Not installed, so skipped: {', '.join(survey.skipped)}."
    return said


def markdown(survey: Survey) -> str:
    """Return a page with a table for each library."""
    versions = ", ".join(f"{name} {version}" for name, version in survey.versions.items())
    lines = [
        "# Who releases the GIL?",
        "",
        f"{environment_line(survey.environment)}; {versions}.",
        "",
        sentence(survey),
        "",
        "Made by `gilfree survey --markdown`. *Held* is the share of the call in which the calling",
        "thread held the GIL, *longest hold* its longest hold, and *speedup* the speedup of all",
        "CPUs over one, of what the machine could give; a ? marks one that it can't give: other",
        "work disturbed the measurement. If a call is in a loop, the loop counts, too. For other",
        "calls, and other data: `gilfree probe -s SETUP STATEMENT`.",
    ]
    by_library = sorted(
        survey.entries, key=lambda entry: list(survey.versions).index(entry.call.library)
    )
    for library, entries in itertools.groupby(by_library, key=lambda entry: entry.call.library):
        lines += ["", f"## {library} {survey.versions[library]}", ""]
        if shared := GROUPS[library].setup:
            lines += ["Before the setup of each call:", "", "```text", shared.rstrip(), "```", ""]
        lines += ["| call | setup | statement | held | longest hold | speedup | verdict |"]
        lines += ["|---|---|---|---:|---:|---:|---|"]
        for entry in entries:
            setup = entry.call.setup.removeprefix(GROUPS[library].setup)
            held, longest, speedup, verdict = _cells(entry)
            if speedup and entry.report and entry.report.limit is not None:
                speedup += f" of {entry.report.limit:.2f}×"
                speedup += " ?" if entry.report.disturbed else ""
            cells = [plain(entry.call.name), _code(setup), _code(entry.call.statement)]
            lines.append(f"| {' | '.join([*cells, held, longest, speedup, plain(verdict)])} |")
    return "\n".join(lines)


def _code(source: str) -> str:
    """Return Python source as code in a cell of a Markdown table, line by line."""
    fence = "`` {} ``" if "`" in source else "`{}`"
    lines = source.replace("|", "\\|").splitlines()
    return "<br>".join(fence.format(line) for line in lines if line.strip())
