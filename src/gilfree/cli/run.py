"""``gilfree run``: run a program, and report which threads held the GIL and which waited."""

from __future__ import annotations

import argparse
import contextlib
import os
import runpy
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from gilfree import _files
from gilfree._words import readable_time
from gilfree.cli.arguments import UsageError, duration, examples, share
from gilfree.cli.extras import need_matplotlib
from gilfree.cli.limits import of_recording
from gilfree.cli.status import statuses
from gilfree.cli.streams import replace_closed
from gilfree.gil.stall_reports import SHORTEST, report_stalls
from gilfree.recording.formats import FORMATS, PICTURES, format_of
from gilfree.recording.github import commands
from gilfree.recording.markdown import page, plain
from gilfree.recording.recording import Recording, record

PROGRAM_FIRST = "\nIf the program's exit status is not 0, it is that of the command, too. Else:\n"


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "run",
        help="run a program: which threads hold the GIL, which wait for it, and for which?",
        usage="gilfree run [options] (SCRIPT | -m MODULE | -c CODE) [ARGUMENT ...]",
        description="Run a program as python does, and report to stderr which threads held the "
        "GIL, which waited for it and how long, and at which line its holders were. Without a GIL: "
        "which threads were attached, and which were suspended while the world was stopped.",
        epilog=examples(
            "gilfree run app.py --port 8000", "gilfree run --max-stall 100ms -m pytest tests"
        )
        + PROGRAM_FIRST
        + statuses(),
    )
    parser.add_argument(
        "-o",
        dest="outputs",
        action="append",
        default=[],
        type=output,
        metavar="FILE",
        help=f"also write the recording to this file: {', '.join(FORMATS)}; may be repeated",
    )
    parser.add_argument(
        "--stall",
        type=stall,
        metavar="TIME",
        help="report each wait that lasts longer than TIME, such as 1s, during the wait, with the "
        "holder's stack",
    )
    parser.add_argument(
        "--callers",
        action="store_true",
        help="show the callers of the functions that held the GIL while others waited",
    )
    parser.add_argument(
        "--max-stall",
        type=duration,
        metavar="TIME",
        help="exit with 1 if a thread waited, or was suspended, for longer than TIME at a stretch, "
        "such as 100ms",
    )
    parser.add_argument(
        "--max-wait",
        type=share,
        metavar="SHARE",
        help="exit with 1 if a thread waited, or was suspended, for more than this share of the "
        "time, such as 10%%",
    )
    parser.add_argument(
        "--format",
        choices=["text", "github"],
        default="text",
        help="github: also annotate the lines that held the GIL while others waited, and add the "
        "report to the summary of the job",
    )
    rest = argparse.REMAINDER
    parser.add_argument("-m", dest="module", nargs=rest, help="run a module")
    parser.add_argument("-c", dest="code", nargs=rest, help="run code")
    parser.add_argument("script", nargs=rest, help="the program and its arguments")
    parser.set_defaults(run=run)


def output(path: str) -> str:
    """Read the name of a file for the recording; its suffix must be one of FORMATS."""
    try:
        format_of(path)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return path


def stall(text: str) -> float:
    """Read the shortest wait to report; the recorder can't report waits below SHORTEST."""
    seconds = duration(text)
    if seconds < SHORTEST:
        msg = f"must be at least {readable_time(SHORTEST)}, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return seconds


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    # argparse gives the script what follows --, also after -m and -c.
    program = [*(options.module or options.code or ()), *options.script]
    if options.script and program[0] == "--":  # as `python -- script.py`
        del program[0]
    if not program:
        msg = "the program is missing: a script, -m MODULE or -c CODE"
        raise UsageError(msg)
    outputs = checked_outputs(options.outputs)
    process, github = os.getpid(), GitHub() if options.format == "github" else None
    with record(callers=options.callers) as recording:
        if options.stall is not None:
            report_stalls(options.stall)
        status = status_of(options, program)
    replace_closed()
    if os.getpid() != process:  # a child that the program forked: its parent reports
        return status
    if options.stall is not None:
        report_stalls(None)
    with contextlib.suppress(BrokenPipeError):
        print(recording, file=sys.stderr)
    for path in outputs:
        recording.save(path)
    limits, reasons = of_recording(recording, options.max_stall, options.max_wait)
    for why in reasons:
        print(f"gilfree: {why}", file=sys.stderr)
    if github is not None:
        github.tell(recording, reasons, options.max_stall or 0.0)
    return status or limits


def checked_outputs(paths: list[str]) -> list[str]:
    """Return absolute paths of the files, or raise a UsageError if one can't be written.

    This is checked first: the program may run for hours, and may change the current folder.
    """
    outputs = [os.path.abspath(path) for path in paths]
    for path in outputs:
        try:
            _files.check(path)
        except OSError as error:
            msg = f"-o {path} can't be written: {error.strerror}"
            raise UsageError(msg) from error
        if format_of(path) in PICTURES:
            need_matplotlib()
    return outputs


class GitHub:
    """The GitHub workflow; its variables are read before the program can change them."""

    def __init__(self) -> None:
        self._folder = Path.cwd()
        self._workspace = Path(os.environ.get("GITHUB_WORKSPACE") or self._folder)
        self._summary = os.environ.get("GITHUB_STEP_SUMMARY")

    def tell(self, recording: Recording, reasons: list[str], longer_than: float) -> None:
        """Annotate lines in the log, and add to the summary of the job."""
        for line in commands(recording, self._folder, self._workspace, longer_than):
            print(line, file=sys.stderr)
        if self._summary:
            said = "".join(f"- {plain(why)}\n" for why in reasons)
            with open(self._summary, "a", encoding="utf-8") as file:
                file.write(f"### gilfree run\n\n{said}\n{page(recording)}\n")


def status_of(options: argparse.Namespace, program: list[str]) -> int:
    """Run the program until it and its threads have ended; return its exit status."""
    before = sys.argv, sys.path[:1], sys.modules["__main__"]
    try:
        try:
            run_program(options, program)
            status = 0
        except SystemExit as error:
            status = status_of_exit(error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            status = status_of_error(error, program[0])
        wait_for_threads()
    except KeyboardInterrupt:
        return 130
    finally:
        sys.argv, sys.path[:1], sys.modules["__main__"] = before
    return status


def run_program(options: argparse.Namespace, program: list[str]) -> None:
    """Run a module, code or a script as python does."""
    if options.module:
        use_arguments(program, os.getcwd())
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    elif options.code:
        use_arguments(["-c", *program[1:]], "")
        module = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(program[0], "<string>", "exec"), module.__dict__)  # noqa: S102
    else:
        use_arguments(program, os.path.dirname(os.path.abspath(program[0])))
        runpy.run_path(program[0], run_name="__main__")


def use_arguments(arguments: list[str], folder: str) -> None:
    """Set `sys.argv`, and the folder from which the program imports first, unless -P forbids it."""
    sys.argv = arguments
    if not sys.flags.safe_path:
        sys.path[0] = folder


def wait_for_threads() -> None:
    """Wait for all threads for which the interpreter waits at exit.

    First run the calls that the interpreter runs before that: they end idle threads of executors.
    """
    exit_calls: list[Callable[[], object]] = getattr(threading, "_threading_atexits", [])
    while exit_calls:
        try:
            exit_calls.pop()()
        except Exception:  # as at exit, it is shown, and no more
            traceback.print_exc()
    here = threading.current_thread()
    while others := [
        thread
        for thread in threading.enumerate()
        if thread is not here and not thread.daemon and thread.is_alive()
    ]:
        for thread in others:  # which may start others
            thread.join()


def status_of_exit(error: SystemExit) -> int:
    """Return the exit status that the interpreter gives to a SystemExit, and print its message."""
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    replace_closed()
    print(error.code, file=sys.stderr)
    return 1


def status_of_error(error: BaseException, program: str) -> int:
    """Print an exception of the program; raise a UsageError if the program could not be run."""
    frames = frames_of_program(error)
    if frames is None and isinstance(error, (ImportError, OSError)):
        msg = f"can't run {program}: {getattr(error, 'strerror', None) or error}"
        raise UsageError(msg) from error
    replace_closed()
    traceback.print_exception(type(error), error, frames, file=sys.stderr)
    return 1


def frames_of_program(error: BaseException) -> TracebackType | None:
    """Return the traceback from the program's first frame on; None if no frame is the program's."""
    frames = error.__traceback__
    own = __file__, runpy.__file__, "<frozen runpy>"
    while frames is not None and frames.tb_frame.f_code.co_filename in own:
        frames = frames.tb_next
    return frames
