"""``gilfree explain``: how a kernel releases the GIL, in three languages."""

from __future__ import annotations

import argparse
from typing import Any

from gilfree.cli.arguments import UsageError, examples
from gilfree.cli.extras import progress, terminal
from gilfree.cli.status import statuses
from gilfree.explain import explain, names


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "explain",
        help="how a kernel releases the GIL: in Cython, in the C made from it, and by hand",
        description="Show the two entry points of a kernel in Cython, the C that the installed "
        "Cython makes from NAME_nogil, and the same with CPython's macros.",
        epilog=examples("gilfree explain histogram") + statuses(),
    )
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="a kernel; without it, list all kernels"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    if options.name is None:
        print("\n".join(names()))
        return
    report = terminal("")
    try:
        with progress() as show:
            show("Cython", 0.0)
            parts = explain(options.name)
    except (ValueError, RuntimeError) as error:
        raise UsageError(error) from error
    from gilfree.show.explanation import explanation

    console = report.console()
    console.print(explanation(parts, console.width), soft_wrap=True)
