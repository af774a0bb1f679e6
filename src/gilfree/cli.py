"""The command line: read arguments, call the library, print what it returns."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

import gilfree
from gilfree import kernels
from gilfree.compare import Comparison, compare, environment, workload

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
    parser = _parser()
    try:
        options = parser.parse_args(arguments or ["demo"])
        sys.exit(options.run(options))
    except UsageError as error:
        print(f"gilfree: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gilfree", description=gilfree.__doc__.split("\n")[0])
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
    return parser


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
    report = _report()
    data = _load(options.input)
    names = list(dict.fromkeys(options.kernel or (*ARRAY_KERNELS, *OTHER_KERNELS)))
    if data is not None:
        names = [name for name in names if name in ARRAY_KERNELS]
        if not names:
            msg = f"--input has no use for {' and '.join(OTHER_KERNELS)}: they take no array"
            raise UsageError(msg)
    comparisons = []
    with report.progress(len(names)) as step:
        for name in names:
            step(name)
            try:
                comparisons.append(_compare(name, data, options.workers))
            except (TypeError, ValueError) as error:
                msg = f"{name} can't run on {options.input}: {error}"
                raise UsageError(msg) from error
    if options.json:
        results = [comparison.to_dict() for comparison in comparisons]
        print(json.dumps({"environment": environment(), "comparisons": results}, indent=2))
        return
    console = report.console()
    console.print(f"gilfree {gilfree.__version__}, {report.environment_line(environment())}")
    console.print(report.comparison_table(comparisons))
    console.print(report.comparison_sentence(comparisons))


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
    except (OSError, ValueError, EOFError) as error:
        msg = f"--input {path} is not a readable .npy file: {error}"
        raise UsageError(msg) from error
    if not isinstance(data, np.ndarray):
        msg = f"--input {path} holds several arrays; save one of them with numpy.save"
        raise UsageError(msg)
    if data.dtype.kind not in "fiub" or data.size == 0:
        msg = f"--input {path} must hold real numbers, not {data.dtype} of shape {data.shape}"
        raise UsageError(msg)
    return data


def _report() -> Any:
    """Return gilfree.report, which needs what the `cli` extra installs."""
    try:
        from gilfree import report
    except ModuleNotFoundError as error:
        msg = f"this command needs {error.name}: pip install 'gilfree[cli]'"
        raise UsageError(msg) from error
    return report
