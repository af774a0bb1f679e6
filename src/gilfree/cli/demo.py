"""``gilfree demo``: common statements about the GIL, measured on this machine."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import gilfree
from gilfree import _files as files
from gilfree import kernels
from gilfree._system import cpu_model, environment, usable_cpus
from gilfree._words import environment_line
from gilfree.cli import array
from gilfree.cli.arguments import UsageError, examples, few_workers
from gilfree.cli.extras import progress, scaling, terminal
from gilfree.cli.status import Status, interrupted, statuses
from gilfree.demo import STEPS, waiting
from gilfree.demo.kernels import STEP as KERNELS
from gilfree.demo.kernels import Recorded, recorded_of
from gilfree.demo.setup import Setup
from gilfree.demo.step import Result, Step, run_step

# An example for --only. The kernels are in it, since the example also uses --plot.
SOME_STEPS = f"{waiting.STEP.number},{KERNELS.number}"


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    step = f"step {KERNELS.number}"
    parser = commands.add_parser(
        "demo",
        help="common statements about the GIL, measured on this machine",
        description="Measure common statements about the GIL, in seven steps: "
        + "; ".join(each.heading for each in STEPS)
        + ".",
        epilog=examples(f"gilfree demo --only {SOME_STEPS} --plot gil.png") + statuses(),
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="less work and fewer rounds: under 30 seconds (the default where CI is set)",
    )
    parser.add_argument(
        "--only", type=_steps, metavar="N,N", help=f"run only these steps, such as {SOME_STEPS}"
    )
    parser.add_argument(
        "--workers",
        type=few_workers,
        metavar="N",
        help="measure up to N workers (default: one for each CPU)",
    )
    parser.add_argument(
        "--kernel",
        action="append",
        choices=kernels.__all__,
        metavar="NAME",
        help=f"run only {step}, with this kernel; may be repeated (%(choices)s)",
    )
    parser.add_argument(
        "--input", metavar="FILE.npy", help=f"run only {step}, with the array in this file"
    )
    parser.add_argument("--plot", metavar="FILE", help=f"draw {step} to a .png or .svg file")
    parser.add_argument("--html", metavar="FILE", help="write tables and pictures as one page")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.set_defaults(run=run)


def _steps(text: str) -> list[int]:
    known = [str(step.number) for step in STEPS]
    numbers = [number.strip() for number in text.split(",")]
    unknown = [number for number in numbers if number not in known]
    if unknown:
        msg = f"must name steps from 1 to {known[-1]}, as in {SOME_STEPS}, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return sorted({int(number) for number in numbers})


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    report = None if options.json else terminal()
    data = array.load(options.input)
    names = array.kernels_for(data, options.kernel)
    steps = _chosen(options)
    _check_files(options, KERNELS in steps)
    if options.input:
        array.check(options.input, data, names)
    quick = options.quick or bool(os.environ.get("CI"))
    console: Any = None if report is None else report.console()
    results: list[Result[Any]] = []
    with contextlib.closing(Setup(quick, options.workers or usable_cpus(), names, data)) as setup:
        for result in _results(steps, setup):
            if report is not None:
                if not results:
                    console.print("\n".join(_about(quick)))
                console.print(report.step(result, console.width))
            results.append(result)
    complete = all(result.complete for result in results)
    if report is None:
        about = {"environment": environment(), "quick": quick, "complete": complete}
        print(json.dumps({**about, "steps": [each.to_dict() for each in results]}, indent=2))
    if not complete:
        return interrupted(" and ".join(filter(None, [options.plot, options.html])))
    _write_files(options, results, quick)
    return Status.DONE


def _chosen(options: argparse.Namespace) -> list[Step[Any]]:
    """Return the steps to run; raise a UsageError if an option is for a step that is left out."""
    only = options.only or ([KERNELS.number] if options.kernel or options.input else None)
    steps = [step for step in STEPS if only is None or step.number in only]
    for option in "plot", "kernel", "input":
        if getattr(options, option) and KERNELS not in steps:
            msg = f"--{option} is for step {KERNELS.number}, which --only leaves out"
            raise UsageError(msg)
    return steps


def _results(steps: Sequence[Step[Any]], setup: Setup) -> Iterator[Result[Any]]:
    """Run the steps, with a progress bar for each, up to the first that is interrupted."""
    for step in steps:
        with progress() as show:
            result = run_step(step, setup, functools.partial(show, step.heading))
        yield result
        if not result.complete:
            return


def _check_files(options: argparse.Namespace, with_kernels: bool) -> None:
    """Check the files to write before anything is measured."""
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
            msg = "--plot and --html must name different files"
            raise UsageError(msg)
    if options.plot:
        try:
            scaling().form_of(options.plot)
        except ValueError as error:
            msg = f"--plot {error}"
            raise UsageError(msg) from error
    elif options.html and with_kernels:
        scaling()


def _write_files(options: argparse.Namespace, results: Sequence[Result[Any]], quick: bool) -> None:
    about = _about(quick) if options.plot or options.html else []
    rows = next((result.rows for result in results if result.step is KERNELS), None)
    if options.plot:
        plot = scaling()
        picture = plot.picture(rows, ", ".join(about), plot.form_of(options.plot))
        _write(options.plot, picture)
    if options.html:
        from gilfree.show.page import page

        about.append(f"{time.strftime('%Y-%m-%d')}, {cpu_model()}")
        drawn = scaling().picture(rows, "", "svg") if rows else None
        recorded = recorded_of(rows or [])
        lanes = (
            [scaling().lanes(recorded, dark) for dark in (False, True)]
            if isinstance(recorded, Recorded)
            else []
        )
        text = page("What the GIL costs, and what releasing it buys", about, results, drawn, lanes)
        _write(options.html, text.encode())


def _write(path: str, content: bytes) -> None:
    files.write(path, content)
    print(f"gilfree: wrote {path}", file=sys.stderr)


def _about(quick: bool) -> list[str]:
    level = gilfree.build_info()["isa_level"]
    return [
        f"gilfree {gilfree.__version__}, loops compiled for {level}{', quick' if quick else ''}",
        environment_line(environment()),
    ]
