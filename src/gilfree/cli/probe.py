"""``gilfree probe``: whether a statement releases the GIL, and whether threads help."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from gilfree.cli.arguments import UsageError, examples, share, workers
from gilfree.cli.limits import of_held
from gilfree.cli.status import Status, interrupted, statuses
from gilfree.gil.lazy import LazyCallError
from gilfree.gil.probe import Probing
from gilfree.gil.report import GilReport
from gilfree.gil.sampler import NoSamplerError
from gilfree.gil.statement import probing_of, show_own_traceback, without_collector


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "probe",
        help="does this statement release the GIL, and will threads help?",
        description="Run a statement many times, also on several threads concurrently, and tell "
        "whether it releases the GIL. SETUP and statement are as for python -m timeit.",
        epilog=examples('gilfree probe --max-held 0.1 -s "import zlib" "zlib.crc32(bytes(10**8))"')
        + statuses(),
    )
    parser.add_argument(
        "-s",
        "--setup",
        action="append",
        default=[],
        metavar="SETUP",
        help="run this once before; repeat it for further lines",
    )
    parser.add_argument("statement", nargs="+", help="the statement; each argument is a line")
    parser.add_argument(
        "--workers",
        type=workers,
        metavar="N",
        help="how many threads to try (default: one for each CPU)",
    )
    parser.add_argument(
        "--max-held",
        type=share,
        metavar="SHARE",
        help="exit with 1 if a call holds the GIL for more than this share of its time, such as "
        "0.1 or 10%%",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a report")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    report, complete = _statement_report(options)
    if options.json:
        print(json.dumps({**report.to_dict(), "complete": complete}, indent=2))
    else:
        print(report)
    if not complete:
        return interrupted()
    if options.max_held is None:
        return Status.DONE
    status, why = of_held(report, options.max_held)
    if why:
        sys.stdout.flush()
        print(f"gilfree: {why}", file=sys.stderr)
    return status


def _statement_report(options: argparse.Namespace) -> tuple[GilReport, bool]:
    """Probe the statement; return the report, and whether it is complete.

    If the statement fails, show its own traceback and exit with 2. After Ctrl-C, the report
    contains what was found until then.
    """
    sys.path.insert(0, "")  # like python -m timeit: the statement may import from this folder
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
        sys.exit(Status.FAILED)


@contextlib.contextmanager
def _status_line() -> Iterator[Callable[[str], object]]:
    """Yield a function that shows on a terminal what is measured next, in a line that vanishes.

    Nothing else updates the line: a clock in it would disturb the measurement.
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
