"""The command line: read arguments, call the library, print what it returns."""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import itertools
import json
import os
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

import gilfree
from gilfree import kernels
from gilfree._system import cpu_model, environment, gil_enabled, usable_cpus
from gilfree.demo import STEPS, Setting, findings, story
from gilfree.demo.story import Row
from gilfree.explain import explain, names
from gilfree.gil.lazy import LazyCallError
from gilfree.gil.probe import Probing
from gilfree.gil.report import GilReport
from gilfree.gil.sampler import NoSamplerError
from gilfree.gil.statement import probing_of, show_own_traceback, without_collector
from gilfree.measure.limit import MOST_PROCESSES
from gilfree.show import files
from gilfree.survey import LIBRARIES, calls_of, survey

ARRAY_KERNELS = ("sum_of_squares", "polyval", "histogram", "sqeuclidean")
OTHER_KERNELS = ("mandelbrot", "monte_carlo_pi")


class UsageError(Exception):
    """Something the user can put right; its text is one line."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Leaves the lines of an epilog as they are; a description, of one line, is wrapped."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)


class _Parser(argparse.ArgumentParser):
    """Says what was wrong in one line, without the usage before it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Help, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that `arguments` name, by default those of the command line, and exit."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in sys.stdout, sys.stderr:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the terminal knows no × or ±
    try:
        options = _parser().parse_args(arguments or ["--help"])
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


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="gilfree",
        description=(gilfree.__doc__ or "").split("\n")[0],
        epilog=_examples(
            "gilfree demo --quick",
            'gilfree probe -s "import numpy as np; x = np.random.rand(10**6)" "np.sort(x)"',
        ),
    )
    parser.add_argument("--version", action="version", version=f"gilfree {gilfree.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="what is said about the GIL, measured on this machine",
        description="Measure what is said about the GIL, in seven steps: "
        + "; ".join(f"{step.number}. {step.title}" for step in STEPS)
        + ".",
        epilog=_examples("gilfree demo --only 3,5 --plot gil.png") + _statuses(),
    )
    demo.add_argument(
        "--quick",
        action="store_true",
        help="less work and fewer rounds: under 20 seconds (the default where CI is set)",
    )
    demo.add_argument("--only", type=_steps, metavar="N,N", help="only these steps, such as 3,5")
    demo.add_argument("--workers", type=_few_workers, metavar="N", help="the most workers to try")
    demo.add_argument(
        "--kernel",
        action="append",
        choices=[*ARRAY_KERNELS, *OTHER_KERNELS],
        metavar="NAME",
        help="only step 5 and this kernel; may be given again (%(choices)s)",
    )
    demo.add_argument(
        "--input", metavar="FILE.npy", help="only step 5, and the array kernels on this array"
    )
    demo.add_argument("--plot", metavar="FILE", help="draw step 5, as .png or .svg")
    demo.add_argument("--html", metavar="FILE", help="write tables and picture as one page")
    demo.add_argument("--json", action="store_true", help="print JSON instead of tables")
    demo.set_defaults(run=_demo)
    probe = commands.add_parser(
        "probe",
        help="does this statement release the GIL, and will threads help?",
        description="Run a statement many times, also on several threads at once, and tell whether "
        "it releases the GIL. Arguments are those of python -m timeit.",
        epilog=_examples('gilfree probe --max-held 0.1 -s "import zlib" "zlib.crc32(bytes(10**8))"')
        + _statuses(
            "the GIL was held for more than --max-held, or the output could not be written",
            "an argument is wrong, or the statement raised an exception",
        ),
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
        epilog=_examples("gilfree survey numpy scipy --markdown") + _statuses(),
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
        epilog=_examples("gilfree explain histogram") + _statuses(),
    )
    explain.add_argument(
        "name", metavar="NAME", nargs="?", help="a kernel; without it, all are listed"
    )
    explain.set_defaults(run=_explain)
    return parser


def _examples(*lines: str) -> str:
    """Return the part of a help text that says what to type."""
    heading = "example" if len(lines) == 1 else "examples"
    return "".join([f"{heading}:\n", *(f"  {line}\n" for line in lines)])


def _statuses(
    failed: str = "the output could not be written",
    wrong: str = "an argument is wrong, or a package is missing",
) -> str:
    """Return the part of a help text that says what the exit statuses mean."""
    meanings = {0: "done", 1: failed, 2: wrong, 130: "interrupted by Ctrl-C"}
    lines = (f"  {status:>3}  {meaning}\n" for status, meaning in meanings.items())
    return "".join(["\nexit status:\n", *lines])


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


def _few_workers(text: str) -> int:
    number, most = _workers(text), max(MOST_PROCESSES, usable_cpus())
    if number > most:
        msg = f"must be at most {most}, since each comes with a process, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number


def _steps(text: str) -> list[int]:
    known = [str(step.number) for step in STEPS]
    numbers = [number.strip() for number in text.split(",")]
    unknown = [number for number in numbers if number not in known]
    if unknown:
        msg = f"must name steps from 1 to {known[-1]}, as in 3,5, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return sorted({int(number) for number in numbers})


def _demo(options: argparse.Namespace) -> int:
    report = None if options.json else _report()
    data = _load(options.input)
    names = _kernel_names(options.kernel, data)
    only = options.only or ([5] if options.kernel or options.input else None)
    steps = [step for step in STEPS if only is None or step.number in only]
    with_kernels = any(step.number == 5 for step in steps)
    for option in "plot", "kernel", "input":
        if getattr(options, option) and not with_kernels:
            msg = f"--{option} is for step 5, which --only leaves out"
            raise UsageError(msg)
    _check_files(options, with_kernels)
    quick = options.quick or bool(os.environ.get("CI"))
    console: Any = None if report is None else report.console()
    done: list[dict[str, Any]] = []
    complete = True
    setting = Setting(quick, options.workers or usable_cpus(), names, data)
    _check_input(options.input, setting)
    with contextlib.closing(setting):
        for step in steps:
            with _progress() as show:
                name = f"{step.number}. {step.title}"
                rows, complete = findings(step, setting, functools.partial(show, name))
            machine = story.Machine(usable_cpus(), gil_enabled())
            sentence = story.sentence(step.number, rows, machine)
            done.append(
                {"number": step.number, "title": step.title, "rows": rows, "sentence": sentence}
            )
            if report is not None:
                if len(done) == 1:
                    console.print("\n".join(_about(report, quick)))
                shown = report.step(step.number, step.title, rows, sentence, console.width)
                console.print(shown)
            if not complete:
                break
    if report is None:
        result = {"environment": environment(), "quick": quick, "complete": complete, "steps": done}
        print(json.dumps(result, indent=2))
    if not complete:
        sys.stdout.flush()
        unwritten = " and ".join(filter(None, [options.plot, options.html]))
        unwritten = unwritten and f"; {unwritten} was not written"
        print(f"gilfree: interrupted: so much was measured so far{unwritten}", file=sys.stderr)
        return 130
    _write_files(options, done, quick)
    return 0


def _check_files(options: argparse.Namespace, with_kernels: bool) -> None:
    """Say what is wrong with a file to write, before anything is measured."""
    for option, path in ("--plot", options.plot), ("--html", options.html):
        if path is None:
            continue
        try:
            files.check(path)
        except OSError as error:
            msg = f"{option} {path} can't be written: {error.strerror}"
            raise UsageError(msg) from error
    if options.html:
        _report("")
        if options.plot and os.path.realpath(options.plot) == os.path.realpath(options.html):
            msg = "--plot and --html must name two files"
            raise UsageError(msg)
    if options.plot:
        try:
            _plot().form_of(options.plot)
        except ValueError as error:
            msg = f"--plot {error}"
            raise UsageError(msg) from error
    elif options.html and with_kernels:
        _plot()


def _write_files(options: argparse.Namespace, steps: list[Row], quick: bool) -> None:
    about = _about(_report(""), quick) if options.plot or options.html else []
    rows = next((step["rows"] for step in steps if step["number"] == 5), None)
    if options.plot:
        plot = _plot()
        picture = plot.picture(rows, ", ".join(about), plot.form_of(options.plot))
        _write(options.plot, picture)
    if options.html:
        from gilfree.show.page import page

        about.append(f"{time.strftime('%Y-%m-%d')}, {cpu_model()}")
        drawn = rows and _plot().picture(rows, "", "svg")
        text = page("What the GIL costs, and what releasing it buys", about, steps, drawn)
        _write(options.html, text.encode())


def _write(path: str, content: bytes) -> None:
    files.write(path, content)
    print(f"gilfree: wrote {path}", file=sys.stderr)


def _about(report: Any, quick: bool) -> list[str]:
    level = gilfree.build_info()["isa_level"]
    return [
        f"gilfree {gilfree.__version__}, loops compiled for {level}{', quick' if quick else ''}",
        report.environment_line(environment()),
    ]


def _check_input(source: str | None, setting: Setting) -> None:
    """Run each kernel once, so that input which one of them refuses is named before the others."""
    for name in setting.kernels if source else ():
        try:
            getattr(kernels, name)(*kernels.kernel(name).workload(setting.data, False), workers=1)
        except (TypeError, ValueError) as error:
            msg = f"{name} can't run on {source}: {error}"
            raise UsageError(msg) from error


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
    report, complete = _statement_report(options)
    if options.json:
        print(json.dumps({**report.to_dict(), "complete": complete}, indent=2))
    else:
        print(report)
    if not complete:
        sys.stdout.flush()
        print("gilfree: interrupted; what was known by then is above", file=sys.stderr)
        return 130
    return int(options.max_held is not None and (report.held or 0) > options.max_held)


def _statement_report(options: argparse.Namespace) -> tuple[GilReport, bool]:
    """Probe the statement; if it fails, show its own traceback and exit with 2.

    After Ctrl-C, the report has what was known by then, and is not complete.
    """
    sys.path.insert(0, "")  # as for python -m timeit: modules of the current folder can be imported
    probing: Probing | None = None
    try:
        with without_collector(), _status_line() as say:
            probing = probing_of(
                "\n".join(options.statement), "\n".join(options.setup), options.workers
            )
            return probing.run(say), True
    except KeyboardInterrupt:
        report = None if probing is None else probing.report()
        if report is None:
            raise
        return report, False
    except LazyCallError as error:
        raise UsageError(error) from error
    except NoSamplerError:
        raise
    except BaseException as error:
        show_own_traceback(error)
        sys.exit(2)


@contextlib.contextmanager
def _status_line() -> Iterator[Callable[[str], object]]:
    """Yield a function that says on a terminal what is under way, in a line that goes away.

    Nothing moves in between: what is measured is not to be disturbed, not even by a clock.
    """
    if not sys.stderr.isatty():
        yield str
        return

    def say(what: str) -> None:
        print(f"\r\x1b[Kprobe: {what} ...", end="", file=sys.stderr, flush=True)

    try:
        yield say
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _survey(options: argparse.Namespace) -> None:
    report = None if options.json else _report()
    unknown = [name for name in options.library if name not in LIBRARIES]
    if unknown:
        msg = f"unknown library {unknown[0]!r}: choose from {', '.join(LIBRARIES)}"
        raise UsageError(msg)
    libraries = list(dict.fromkeys(options.library)) or list(LIBRARIES)
    calls = len(calls_of(libraries))
    looked_at = itertools.count()
    with _progress() as show:
        result = survey(libraries, on_call=lambda name: show(name, next(looked_at) / calls))
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
    if options.name is None:
        print("\n".join(names()))
        return
    report = _report("")
    try:
        with _progress() as show:
            show("Cython", 0.0)
            parts = explain(options.name)
    except (ValueError, RuntimeError) as error:
        raise UsageError(error) from error
    console = report.console()
    console.print(report.explanation(parts, console.width), soft_wrap=True)


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
        from gilfree.show import terminal as report
    except ModuleNotFoundError as error:
        msg = f"this command needs {error.name}: pip install {error.name}{otherwise}"
        raise UsageError(msg) from error
    return report


def _plot() -> Any:
    """Return gilfree.plot, or say what it needs."""
    try:
        from gilfree.show import scaling as plot
    except ModuleNotFoundError as error:
        msg = f"a picture needs {error.name}: pip install {error.name}"
        raise UsageError(msg) from error
    return plot


def _progress() -> AbstractContextManager[Callable[[str, float], object]]:
    """Return a progress bar, where there is one to be had."""
    try:
        from gilfree.show.terminal import progress
    except ModuleNotFoundError:
        return contextlib.nullcontext(lambda *_: None)
    return progress()
