"""The command line: one file for each command, which reads arguments and prints results."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import gilfree
from gilfree.cli.arguments import Parser, UsageError, examples
from gilfree.cli.status import Status
from gilfree.cli.streams import replace_closed
from gilfree.gil.sampler import NoSamplerError

COMMANDS = "demo", "probe", "run", "survey", "explain"  # a module of this package each


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that `arguments` name, and exit; by default, `sys.argv` names it."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    replace_closed()
    # Some terminals can't show × or ±. The output of a program stays as the program writes it.
    if isinstance(sys.stdout, io.TextIOWrapper) and arguments[:1] != ["run"]:
        sys.stdout.reconfigure(errors="replace")
    try:
        status = _run(arguments or ["--help"])
        sys.stdout.flush()
    except (UsageError, NoSamplerError) as error:
        print(f"gilfree: {error}", file=sys.stderr)
        status = Status.FAILED if isinstance(error, UsageError) else Status.CANT_TELL
    except OSError as error:  # the output can't be written: a closed pipe, a full disk
        if not isinstance(error, BrokenPipeError):
            what = f"can't write {error.filename}" if error.filename else "can't write"
            print(f"gilfree: {what}: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes stdout again at exit
        status = Status.FAILED
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    except Exception:  # a bug in gilfree: Python would exit with 1, which means EXCEEDED here
        traceback.print_exc()
        status = Status.FAILED
    sys.exit(status)


def _run(arguments: list[str]) -> int:
    try:
        options = parser(arguments).parse_args(arguments)
    except SystemExit as end:  # from --help and --version: `main` still has to flush their text
        return int(end.code or 0)
    return int(options.run(options) or 0)


def parser(arguments: Sequence[str]) -> Parser:
    """Return the parser of the command that `arguments` name, or else of all commands.

    So `gilfree run` imports no NumPy, whose threads would appear in the recording.
    """
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
    for name in [name for name in COMMANDS if name in arguments[:1]] or COMMANDS:
        importlib.import_module(f"gilfree.cli.{name}").add_to(commands)
    return whole
