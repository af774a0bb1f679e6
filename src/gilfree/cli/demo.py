"""``gilfree demo``: what is said about the GIL, measured on this machine."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gilfree
from gilfree import kernels
from gilfree._system import cpu_model, environment, gil_enabled, usable_cpus
from gilfree.cli.arguments import UsageError, examples, few_workers, statuses
from gilfree.cli.extras import progress, scaling, terminal
from gilfree.demo import STEPS, Setting, findings, story
from gilfree.demo.story import Row
from gilfree.show import files


def add_to(commands: Any) -> None:
    """Add the command to those of the parser."""
    parser = commands.add_parser(
        "demo",
        help="what is said about the GIL, measured on this machine",
        description="Measure what is said about the GIL, in seven steps: "
        + "; ".join(f"{step.number}. {step.title}" for step in STEPS)
        + ".",
        epilog=examples("gilfree demo --only 3,5 --plot gil.png") + statuses(),
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="less work and fewer rounds: under 20 seconds (the default where CI is set)",
    )
    parser.add_argument("--only", type=_steps, metavar="N,N", help="only these steps, such as 3,5")
    parser.add_argument("--workers", type=few_workers, metavar="N", help="the most workers to try")
    parser.add_argument(
        "--kernel",
        action="append",
        choices=kernels.__all__,
        metavar="NAME",
        help="only step 5 and this kernel; may be given again (%(choices)s)",
    )
    parser.add_argument(
        "--input", metavar="FILE.npy", help="only step 5, and the array kernels on this array"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw step 5, as .png or .svg")
    parser.add_argument("--html", metavar="FILE", help="write tables and picture as one page")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.set_defaults(run=run)


def _steps(text: str) -> list[int]:
    known = [str(step.number) for step in STEPS]
    numbers = [number.strip() for number in text.split(",")]
    unknown = [number for number in numbers if number not in known]
    if unknown:
        msg = f"must name steps from 1 to {known[-1]}, as in 3,5, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return sorted({int(number) for number in numbers})


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    report = None if options.json else terminal()
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
            with progress() as show:
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
        terminal("")
        if options.plot and os.path.realpath(options.plot) == os.path.realpath(options.html):
            msg = "--plot and --html must name two files"
            raise UsageError(msg)
    if options.plot:
        try:
            scaling().form_of(options.plot)
        except ValueError as error:
            msg = f"--plot {error}"
            raise UsageError(msg) from error
    elif options.html and with_kernels:
        scaling()


def _write_files(options: argparse.Namespace, steps: list[Row], quick: bool) -> None:
    about = _about(terminal(""), quick) if options.plot or options.html else []
    rows = next((step["rows"] for step in steps if step["number"] == 5), None)
    if options.plot:
        plot = scaling()
        picture = plot.picture(rows, ", ".join(about), plot.form_of(options.plot))
        _write(options.plot, picture)
    if options.html:
        from gilfree.show.page import page

        about.append(f"{time.strftime('%Y-%m-%d')}, {cpu_model()}")
        drawn = rows and scaling().picture(rows, "", "svg")
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
    names = list(dict.fromkeys(chosen or kernels.__all__))
    if data is None:
        return names
    useless = [name for name in names if not kernels.kernel(name).takes_array]
    if useless and chosen:
        msg = f"--input has no use for {' and '.join(useless)}, which take no array"
        raise UsageError(msg)
    return [name for name in names if name not in useless]


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
