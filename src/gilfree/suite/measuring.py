"""The hooks of pytest that measure each test, judge it by its limits, and show what was found."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest

from gilfree._arguments import seconds_of
from gilfree._system import gil_enabled
from gilfree._words import readable_time
from gilfree.suite.phase import Phase, now

if TYPE_CHECKING:  # it takes the recorder, which pytest-xdist's controller has no use for
    from gilfree.suite.piece import Found, Piece

LONG = 1.0  # seconds, after which a recording ends: to end one and start another takes a hundredth
# As long as a recording may have been going on when a test begins that has the limits of all tests.
FRESH = 0.1
NOTE = "note"
KINDS = {"hold": "longest holds of the GIL", "wait": "longest waits for the GIL"}


class Row(NamedTuple):
    """A line of the summary; as a list, it goes from a worker of pytest-xdist to its controller."""

    kind: str  # of KINDS; or NOTE, with a text alone
    text: str
    seconds: float = 0.0
    phase: str = ""
    test: str = ""


class Limits(NamedTuple):
    """What a test may do, in seconds; None: anything."""

    max_hold: float | None = None
    max_wait: float | None = None

    @property
    def least(self) -> float | None:
        """The smaller one: a test that is over by then has kept both."""
        return min((limit for limit in self if limit is not None), default=None)


class Measuring:
    """What is registered if somebody asks."""

    NAME: ClassVar = "gil-measuring"

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._all: bool = config.getoption("gil")
        keys = (f"gil_{name}" for name in Limits._fields)
        self._limits = Limits(*(_limit(config.getini(key) or None, key) for key in keys))
        self._piece: Piece | None = None
        self._impossible = ""  # why there is none
        self._exceeded = False  # by the test that is about to be reported
        self._pending: list[Row] = []  # that no report has taken along yet
        self._rows: list[Row] = []
        self._any = False  # test that was run, here or by a worker
        # Those through which pytest-xdist talks, for one.
        self._strangers = {
            thread.native_id
            for thread in threading.enumerate()
            if thread is not threading.current_thread() and thread.native_id is not None
        }

    # ---------------------------------------------------------------- limits

    def check(self, items: Iterable[pytest.Item]) -> None:
        """Say what is wrong with the marker of a test."""
        for item in items:
            self._limits_of(item)

    def _limits_of(self, item: pytest.Item) -> Limits:
        """Return those of the closest marker, and what it leaves open from the ini file."""
        marker = item.get_closest_marker("gil")
        if marker is None:
            return self._limits
        if marker.args or not marker.kwargs.keys() <= set(Limits._fields):
            msg = f"{item.nodeid}: the marker gil takes max_hold and max_wait, by name"
            raise pytest.UsageError(msg)
        what = f"{item.nodeid}: in the marker gil, "
        given = {name: _limit(time, what + name) for name, time in marker.kwargs.items()}
        return self._limits._replace(**given)

    def _judge(self, item: pytest.Item, limits: Limits, phase: Phase, found: Found) -> None:
        """Fail the test if it exceeds a limit, warn if that can't be told."""
        gap = found.facts.largest_gap
        for name, limit, figure in zip(limits._fields, limits, found.of(phase), strict=True):
            if limit is None or figure.seconds + gap <= limit:
                continue
            seen, most = readable_time(figure.seconds), f"{name} = {readable_time(limit)}"
            if figure.seconds - gap > limit and not figure.in_bytecode:
                self._exceeded = True
                what = "kept the GIL" if name == "max_hold" else "waited for the GIL"
                msg = f"{what} for {seen}, more than {most}: {figure.text}\n\n{found.report(phase)}"
                pytest.fail(msg, pytrace=False)
            why = f"the recorder looked away for up to {readable_time(gap)}"
            if figure.in_bytecode:
                why = "bytecode gives way sooner, but may have had no CPU"
            _warn(item, f"{seen} were seen, too close to {most} to tell: {why}")

    # ---------------------------------------------------------------- measuring

    # As close to the test as can be: what other plugins do around it is none of it.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Measure the setup."""
        return (yield from self._measured(item, "setup", Limits()))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Measure the test itself, which has the limits."""
        return (yield from self._measured(item, "call", self._limits_of(item)))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Measure the teardown."""
        return (yield from self._measured(item, "teardown", Limits()))

    def _measured(self, item: pytest.Item, name: str, limits: Limits) -> Generator[None, Any, Any]:
        if not self._all and limits.least is None:
            return (yield)
        if limits.least is not None:
            self._end_piece(older_than=0 if item.get_closest_marker("gil") else FRESH)
        piece = self._start_piece()
        begin = now()
        try:
            result = yield
        finally:
            phase = Phase(item.nodeid, name, begin, now())
            if piece is not None:
                piece.phases.append(phase)
        if limits.least is not None and phase.seconds > limits.least:
            found = self._end_piece()
            if found is not None:
                self._judge(item, limits, phase, found)
            else:
                _warn(item, f"its limits can't be told: {self._impossible}")
        return result

    def _start_piece(self) -> Piece | None:
        """Return the recording that is under way, or about to be; or None if there can be none."""
        if self._piece is not None and not self._piece.is_here:
            self._piece = None  # in a child that a test has forked
        if self._piece is None and not self._impossible:
            try:
                self._piece = _piece(self._strangers)
            except RuntimeError as error:
                self._impossible = str(error)
                self._pending.append(Row(NOTE, f"nothing was measured: {error}"))
        if self._piece is not None:
            _ignore_warnings_of_forks()
        return self._piece

    def _end_piece(self, older_than: float = 0.0) -> Found | None:
        """End the recording; keep what is to be shown."""
        if self._piece is None or now() - self._piece.begin < older_than:
            return None
        found = self._piece.finish()
        self._piece = None
        least = self._config.getoption("gil_min")
        for phase in found.phases if self._all else ():
            for kind, figure in zip(KINDS, found.of(phase), strict=True):
                if figure.seconds and figure.seconds >= least:
                    self._pending.append(
                        Row(kind, figure.text, figure.seconds, phase.name, phase.test)
                    )
        return found

    # ---------------------------------------------------------------- reporting

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Have a report say that a limit was exceeded, and take along what was found so far."""
        report = yield
        if self._exceeded:
            vars(report)["gil_exceeded"] = report.failed  # it may be expected to
            self._exceeded = False
        self._end_piece(older_than=LONG)
        if self._pending:
            vars(report)["gil_rows"] = [list(row) for row in self._pending]
            self._pending.clear()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what it brings, also from a worker of pytest-xdist."""
        self._any = True
        self._take(getattr(report, "gil_rows", ()))

    def pytest_sessionfinish(self) -> None:
        """Send the rest with what a worker sends at its end, or keep it."""
        self._end_piece()
        rest = [list(row) for row in self._pending]
        self._pending.clear()
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["gil_rows"] = rest
        else:
            self._take(rest)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the rest of a worker."""
        self._take(getattr(node, "workeroutput", {}).get("gil_rows", ()))

    def _take(self, rows: Iterable[Iterable[Any]]) -> None:
        self._rows += [Row(*row) for row in rows]

    def pytest_unconfigure(self) -> None:
        """End what an interrupted run has left."""
        self._end_piece()

    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Give a test that has exceeded a limit its own letter and word."""
        if getattr(report, "gil_exceeded", False):
            return "failed", "G", ("GIL", {"red": True})
        return None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the longest holds and waits."""
        if not self._all or self._config.getoption("collectonly"):
            return
        least = readable_time(self._config.getoption("gil_min"))
        for kind, title in KINDS.items():
            rows = sorted((row for row in self._rows if row.kind == kind), key=_shortest_last)
            shown = rows[: self._config.getoption("gil_count") or None]
            if not rows:
                continue
            terminalreporter.write_sep("=", title)
            for row in shown:
                head = f"{row.seconds:.3f} s {row.phase:8} {row.test}"
                terminalreporter.write_line(f"{head}  {row.text}")
            if len(shown) < len(rows):
                more = len(rows) - len(shown)
                terminalreporter.write_line(f"({more} more of {least} or longer: --gil-count 0)")
        notes = sorted({row.text for row in self._rows if row.kind == NOTE})
        if self._any and not self._rows:
            notes = [f"no test kept the GIL for {least} or longer"]
        for note in notes:
            terminalreporter.write_sep("=", f"GIL: {note}")


def _piece(strangers: set[int]) -> Piece:
    """Start a recording, or say why there can be none."""
    if not gil_enabled():
        msg = "this Python has no GIL"
        raise RuntimeError(msg)
    from gilfree.suite.piece import Piece

    return Piece(strangers)


def _limit(time: object, what: str) -> float | None:
    try:
        return None if time is None else seconds_of(time)
    except ValueError as error:
        msg = f"{what} {error}"
        raise pytest.UsageError(msg) from None


def _shortest_last(row: Row) -> float:
    return -row.seconds


def _ignore_warnings_of_forks() -> None:
    """Have Python not warn of a fork amid threads: those may be ours alone."""
    warnings.filterwarnings("ignore", r"This process .* is multi-threaded", DeprecationWarning)


def _warn(item: pytest.Item, text: str) -> None:
    """Warn; where warnings are errors, have pytest show this one all the same."""
    from gilfree.testing import GilWarning

    path, line = str(item.path), (item.location[1] or 0) + 1
    try:
        warnings.warn_explicit(text, GilWarning, path, line)
    except GilWarning as warning:
        message = warnings.WarningMessage(warning, GilWarning, path, line)
        item.ihook.pytest_warning_recorded.call_historic(
            kwargs={
                "warning_message": message,
                "when": "runtest",
                "nodeid": item.nodeid,
                "location": None,
            }
        )
