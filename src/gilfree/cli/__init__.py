"""The command line: one file for each command, which reads arguments, calls the library, prints."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import gilfree
from gilfree.cli import demo, explain, probe, run, survey
from gilfree.cli.arguments import Parser, UsageError, examples
from gilfree.cli.status import Status
from gilfree.gil.sampler import NoSamplerError


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that `arguments` name, by default those of the command line, and exit."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _mend_streams()
    try:
        status = _run(arguments or ["--help"])
        sys.stdout.flush()
    except (UsageError, NoSamplerError) as error:
        print(f"gilfree: {error}", file=sys.stderr)
        status = Status.FAILED if isinstance(error, UsageError) else Status.CANT_TELL
    except OSError as error:  # of the output: a closed pipe, a full disk
        if not isinstance(error, BrokenPipeError):
            what = f"can't write {error.filename}" if error.filename else "can't write"
            print(f"gilfree: {what}: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes once more as it exits
        status = Status.FAILED
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    except Exception:  # a mistake of gilfree's own, which is not to pass for a limit exceeded
        traceback.print_exc()
        status = Status.FAILED
    sys.exit(status)


def _mend_streams() -> None:
    """See to it that what is written to a closed stream, or is no character there, does no harm."""
    for name in "stdout", "stderr":
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  for as long as this process
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the terminal knows no × or ±


def _run(arguments: list[str]) -> int:
    try:
        options = parser().parse_args(arguments)
    except SystemExit as end:  # of --help and --version, whose text may still fail to be written
        return int(end.code or 0)
    return int(options.run(options) or 0)


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
    for command in demo, probe, run, survey, explain:
        command.add_to(commands)
    return whole
