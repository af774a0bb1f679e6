"""The command line: read arguments, call the library, print what it returns."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

import gilfree
from gilfree import kernels
from gilfree.compare import Comparison, compare, environment, workload
from gilfree.explain import explain
from gilfree.gil_report import GilReport
from gilfree.statement import probe_statement, show_own_traceback
from gilfree.survey import LIBRARIES, calls_of, survey

ARRAY_KERNELS = ("sum_of_squares", "polyval", "histogram", "sqeuclidean")
OTHER_KERNELS = ("mandelbrot", "monte_carlo_pi")
# What a kernel's rounds may take in all, so that the whole demo stays under a minute.
BUDGET = 6.0  # seconds


class UsageError(Exception):
    """Something the user can put right; its text is one line."""


class _Parser(argparse.ArgumentParser):
    """Says what was wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that `arguments` name, by default those of the command line, and exit."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in sys.stdout, sys.stderr:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the terminal knows no × or ±
    try:
        options = _parser().parse_args(arguments or ["demo"])
        status = options.run(options)
        sys.stdout.flush()
    except UsageError as error:
        print(f"gilfree: {error}", file=sys.stderr)
        status = 2
    except OSError as error:  # of the output: a closed pipe, a full disk
        if not isinstance(error, BrokenPipeError):
            print(f"gilfree: can't write: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes once more as it exits
        status = 1
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gilfree", description=(gilfree.__doc__ or "").split("\n")[0])
    parser.add_argument("--version", action="version", version=f"gilfree {gilfree.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="each kernel with the GIL held and released, beside the machine's limit",
        description="Run each kernel with the GIL held and released on 1, 2, 4 ... workers, and in "
        "as many independent processes: the machine's limit.",
    )
    demo.add_argument(
        "--kernel",
        action="append",
        choices=[*ARRAY_KERNELS, *OTHER_KERNELS],
        metavar="NAME",
        help="only this kernel; may be given again (%(choices)s)",
    )
    demo.add_argument("--workers", type=_workers, metavar="N", help="the most workers to try")
    demo.add_argument("--input", metavar="FILE.npy", help="run the array kernels on this array")
    demo.add_argument("--json", action="store_true", help="print JSON instead of a table")
    demo.set_defaults(run=_demo)
    probe = commands.add_parser(
        "probe",
        help="does this statement release the GIL, and will threads help?",
        description="Run a statement many times, also on several threads at once, and tell whether "
        "it releases the GIL. Arguments are those of python -m timeit.",
    )
    probe.add_argument(
        "-s",
        "--setup",
        action="append",
        default=[],
        metavar="SETUP",
        help="run once before; may be given again for further lines",
    )
    probe.add_argument("statement", nargs="+", help="what to look at, a line an argument")
    probe.add_argument("--workers", type=_workers, metavar="N", help="threads to try")
    probe.add_argument(
        "--max-held",
        type=_share,
        metavar="SHARE",
        help="exit with 1 if it holds the GIL for more than this share of the call, as 0.1",
    )
    probe.add_argument("--json", action="store_true", help="print JSON instead of a report")
    probe.set_defaults(run=_probe)
    survey = commands.add_parser(
        "survey",
        help="the probe over many calls of well-known libraries",
        description="Probe a choice of calls of each library that is installed.",
    )
    survey.add_argument(
        "library",
        nargs="*",
        metavar="LIBRARY",
        help=f"by default all: {', '.join(LIBRARIES)}",
    )
    output = survey.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON instead of a table")
    output.add_argument("--markdown", action="store_true", help="print a page of Markdown instead")
    survey.set_defaults(run=_survey)
    explain = commands.add_parser(
        "explain",
        help="how a kernel releases the GIL: in Cython, in the C made of it, and by hand",
        description="Show the two entry points of a kernel in Cython, the C that the installed "
        "Cython makes of the released one, and the same with CPython's macros.",
    )
    explain.add_argument(
        "name", metavar="NAME", nargs="?", default="", help="a kernel; without it, all are listed"
    )
    explain.set_defaults(run=_explain)
    return parser


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        msg = f"must be a number from 0 to 1, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return share


def _workers(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        msg = f"must be a whole number of at least 1, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number


def _demo(options: argparse.Namespace) -> None:
    report = None if options.json else _report()
    data = _load(options.input)
    names = _kernel_names(options.kernel, data)
    comparisons = []
    with _progress(len(names)) as step:
        for name in names:
            step(name)
            try:
                comparisons.append(_compare(name, data, options.workers))
            except (TypeError, ValueError) as error:
                msg = f"{name} can't run on {options.input}: {error}" if options.input else error
                raise UsageError(msg) from error
    if report is None:
        results = [comparison.to_dict() for comparison in comparisons]
        print(json.dumps({"environment": environment(), "comparisons": results}, indent=2))
        return
    console = report.console()
    level = gilfree.build_info()["isa_level"]
    console.print(f"gilfree {gilfree.__version__}, loops compiled for {level}")
    console.print(report.environment_line(environment()))
    console.print(report.comparison_table(comparisons))
    console.print(report.comparison_sentence(comparisons))


def _kernel_names(chosen: list[str] | None, data: NDArray[Any] | None) -> list[str]:
    """Return the kernels to run, or say which of the chosen ones has no use for the data."""
    if data is None:
        return list(dict.fromkeys(chosen or (*ARRAY_KERNELS, *OTHER_KERNELS)))
    useless = [name for name in chosen or () if name in OTHER_KERNELS]
    if useless:
        msg = f"--input has no use for {' and '.join(useless)}, which take no array"
        raise UsageError(msg)
    return list(dict.fromkeys(chosen or ARRAY_KERNELS))


def _probe(options: argparse.Namespace) -> int:
    report = _statement_report(options)
    if options.json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        print(report)
    return int(options.max_held is not None and (report.held or 0) > options.max_held)


def _statement_report(options: argparse.Namespace) -> GilReport:
    """Probe the statement; if it fails, show its own traceback and exit with 2."""
    sys.path.insert(0, "")  # as for python -m timeit: modules of the current folder can be imported
    try:
        return probe_statement(
            "\n".join(options.statement), "\n".join(options.setup), options.workers
        )
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, RuntimeError) and "the probe needs" in str(error):
            raise UsageError(error) from error
        show_own_traceback(error)
        sys.exit(2)


def _survey(options: argparse.Namespace) -> None:
    report = None if options.json else _report()
    unknown = [name for name in options.library if name not in LIBRARIES]
    if unknown:
        msg = f"unknown library {unknown[0]!r}: choose from {', '.join(LIBRARIES)}"
        raise UsageError(msg)
    libraries = list(dict.fromkeys(options.library)) or list(LIBRARIES)
    with _progress(len(calls_of(libraries))) as step:
        result = survey(libraries, on_call=step)
    if report is None:
        print(json.dumps(result.to_dict(), indent=2))
    elif options.markdown:
        print(report.survey_markdown(result))
    else:
        console = report.console()
        console.print(f"gilfree {gilfree.__version__}, {report.environment_line(environment())}")
        console.print(report.survey_table(result))
        console.print(report.survey_sentence(result))


def _explain(options: argparse.Namespace) -> None:
    report = _report("")
    try:
        with _progress(1) as step:
            step("Cython")
            parts = explain(options.name)
    except (ValueError, RuntimeError) as error:
        raise UsageError(error) from error
    console = report.console()
    console.print(report.explanation(parts, console.width), soft_wrap=True)


def _compare(name: str, data: NDArray[Any] | None, workers: int | None) -> Comparison:
    """Compare one kernel, in as many rounds as fit into the budget."""
    kernel: Callable[..., Any] = getattr(kernels, name)
    args = workload(name, data)
    start = time.perf_counter()
    kernel(*args, workers=1)
    seconds = time.perf_counter() - start
    ways = 6  # held, released and processes, on one worker and on all
    return compare(
        kernel, *args, workers=workers, repeat=min(max(int(BUDGET / (ways * seconds)), 3), 15)
    )


def _load(path: str | None) -> NDArray[Any] | None:
    """Return the array in a .npy file, or say what is wrong with it."""
    if path is None:
        return None
    try:
        data = np.load(Path(path), allow_pickle=False)
    except OSError as error:
        msg = f"--input {path} can't be read: {error.strerror or error}"
        raise UsageError(msg) from error
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        msg = f"--input {path} is no .npy file of numbers, as numpy.save writes it"
        raise UsageError(msg) from error
    if not isinstance(data, np.ndarray):
        msg = f"--input {path} holds several arrays; save one of them with numpy.save"
        raise UsageError(msg)
    if data.dtype.kind not in "fiub":
        msg = f"--input {path} must hold real numbers, not {data.dtype}"
        raise UsageError(msg)
    if data.size == 0 or data.ndim == 0:
        msg = f"--input {path} must hold a list of numbers or more, not shape {data.shape}"
        raise UsageError(msg)
    return data


def _report(otherwise: str = ", or use --json") -> Any:
    """Return gilfree.report, or say what it needs."""
    try:
        from gilfree import report
    except ModuleNotFoundError as error:
        msg = f"this command needs {error.name}: pip install {error.name}{otherwise}"
        raise UsageError(msg) from error
    return report


def _progress(total: int) -> AbstractContextManager[Callable[[str], object]]:
    """Return a progress bar, where there is one to be had."""
    try:
        from gilfree.report import progress
    except ModuleNotFoundError:
        return contextlib.nullcontext(str)
    return progress(total)
