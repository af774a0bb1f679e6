"""``gilfree survey``: probe many calls of well-known libraries."""

from __future__ import annotations

import argparse
import itertools
import json
from types import ModuleType
from typing import Any

import gilfree
from gilfree._system import environment
from gilfree._words import environment_line
from gilfree.cli.arguments import UsageError, examples
from gilfree.cli.extras import progress, terminal
from gilfree.cli.status import Status, interrupted, statuses
from gilfree.survey import LIBRARIES, Survey, calls_of, survey


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "survey",
        help="probe many calls of well-known libraries",
        description="Probe selected calls of each library that is installed.",
        epilog=examples("gilfree survey numpy scipy --markdown") + statuses(),
    )
    parser.add_argument(
        "library",
        nargs="*",
        metavar="LIBRARY",
        help=f"libraries to probe (default: all of {', '.join(LIBRARIES)})",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON instead of a table")
    output.add_argument("--markdown", action="store_true", help="print a page of Markdown instead")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    report = None if options.json else terminal()
    unknown = [name for name in options.library if name not in LIBRARIES]
    if unknown:
        msg = f"unknown library {unknown[0]!r}: choose from {', '.join(LIBRARIES)}"
        raise UsageError(msg)
    libraries = list(dict.fromkeys(options.library)) or list(LIBRARIES)
    calls = len(calls_of(libraries))
    number = itertools.count()
    with progress() as show:
        result = survey(libraries, on_call=lambda name: show(name, next(number) / calls))
    if report is None:
        print(json.dumps(result.to_dict(), indent=2))
    else:
        _show(result, report, markdown=options.markdown)
    return Status.DONE if result.complete else interrupted()


def _show(result: Survey, report: ModuleType, *, markdown: bool) -> None:
    from gilfree.show import survey as view  # needs rich, which JSON does not

    if markdown:
        print(view.markdown(result))
        return
    console = report.console()
    console.print(f"gilfree {gilfree.__version__}, {environment_line(environment())}")
    console.print(view.table(result))
    console.print(view.sentence(result))
