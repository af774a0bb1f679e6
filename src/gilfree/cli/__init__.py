"""The command line: one file for each command, which reads arguments, calls the library, prints."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import gilfree
from gilfree.cli import demo, explain, probe, survey
from gilfree.cli.arguments import Parser, UsageError, examples
from gilfree.gil.sampler import NoSamplerError


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that `arguments` name, by default those of the command line, and exit."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in sys.stdout, sys.stderr:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the terminal knows no × or ±
    try:
        options = parser().parse_args(arguments or ["--help"])
        status = options.run(options)
        sys.stdout.flush()
    except (UsageError, NoSamplerError) as error:
        print(f"gilfree: {error}", file=sys.stderr)
        status = 2
    except OSError as error:  # of the output: a closed pipe, a full disk
        if not isinstance(error, BrokenPipeError):
            what = f"can't write {error.filename}" if error.filename else "can't write"
            print(f"gilfree: {what}: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes once more as it exits
        status = 1
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def parser() -> Parser:
    """Return the parser of all commands."""
    whole = Parser(
        prog="gilfree",
        description=(gilfree.__doc__ or "").split("\n")[0],
        epilog=examples(
            "gilfree demo --quick",
            'gilfree probe -s "import numpy as np; x = np.random.rand(10**6)" "np.sort(x)"',
        ),
    )
    whole.add_argument("--version", action="version", version=f"gilfree {gilfree.__version__}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in demo, probe, survey, explain:
        command.add_to(commands)
    return whole
