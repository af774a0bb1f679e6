"""The hooks of pytest that measure each test, check its limits, and show what was found."""

from __future__ import annotations

import operator
import threading
import warnings
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest

from gilfree._arguments import seconds_of
from gilfree._system import gil_enabled
from gilfree._words import readable_time
from gilfree.suite.phase import Phase, now

if TYPE_CHECKING:  # it imports the recorder, which pytest-xdist's controller does not need
    from gilfree.suite.batch import Batch, Found

LONGEST_BATCH = 1.0  # seconds; ending one recording and starting the next takes a hundredth
# Seconds; a test with the limits of the ini file may begin in a recording of at most this age.
FRESH = 0.1
NOTE = "note"
KINDS = {"hold": "longest holds of the GIL", "wait": "longest waits for the GIL"}


class Row(NamedTuple):
    """A line of the summary. Workers of pytest-xdist send it to their controller as a list."""

    kind: str  # a key of KINDS; or NOTE, which has a text only
    text: str
    seconds: float = 0.0
    phase: str = ""
    test: str = ""


class Limits(NamedTuple):
    """The limits of a test, in seconds; None: no limit."""

    max_hold: float | None = None
    max_wait: float | None = None

    @property
    def smaller(self) -> float | None:
        """The smaller limit: a shorter test can't exceed either."""
        return min((limit for limit in self if limit is not None), default=None)


class Measuring:
    """The plugin that measures; registered if ``--gil``, a marker or a limit needs it."""

    NAME: ClassVar = "gil-measuring"

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._all: bool = config.getoption("gil")
        keys = (f"gil_{name}" for name in Limits._fields)
        self._limits = Limits(*(_limit(config.getini(key) or None, key) for key in keys))
        self._batch: Batch | None = None
        self._within = False  # a phase that is measured
        self._impossible = ""  # why nothing can be recorded
        self._exceeded = False  # a limit, in the test that is reported next
        self._pending: list[Row] = []  # rows that the next report takes along
        self._rows: list[Row] = []
        self._any_test = False  # was run, here or by a worker
        # Threads that are older than the tests, such as those of pytest-xdist.
        self._strangers = {
            thread.native_id
            for thread in threading.enumerate()
            if thread is not threading.current_thread() and thread.native_id is not None
        }

    # ---------------------------------------------------------------- limits

    def check(self, items: Iterable[pytest.Item]) -> None:
        """Raise a UsageError if a test has a wrong marker."""
        for item in items:
            self._limits_of(item)

    def _limits_of(self, item: pytest.Item) -> Limits:
        """Return the limits of the closest marker, and from the ini file those it does not name."""
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
        """Fail the test if it exceeds a limit; warn if that can't be decided."""
        gap = found.facts.largest_gap
        for name, limit, figure in zip(limits._fields, limits, found.of(phase), strict=True):
            if limit is None or figure.seconds + gap <= limit:
                continue
            seen, most = readable_time(figure.seconds), f"{name} = {readable_time(limit)}"
            if figure.seconds - gap > limit and not figure.in_bytecode:
                self._exceeded = True
                what = "held the GIL" if name == "max_hold" else "waited for the GIL"
                msg = f"{what} for {seen}, more than {most}: {figure.text}\n\n{found.report(phase)}"
                pytest.fail(msg, pytrace=False)
            why = f"between two samples there was a gap of {readable_time(gap)}"
            if figure.in_bytecode:
                why = "bytecode releases the GIL sooner, unless its thread gets no CPU"
            _warn(item, f"{seen} were seen, too close to {most} to tell: {why}")

    # ---------------------------------------------------------------- measuring

    # The innermost wrappers, so that the work of other plugins is not measured.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Measure the setup."""
        return (yield from self._measured(item, "setup", Limits()))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Measure the test itself, to which the limits apply."""
        return (yield from self._measured(item, "call", self._limits_of(item)))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Measure the teardown."""
        return (yield from self._measured(item, "teardown", Limits()))

    def _measured(self, item: pytest.Item, name: str, limits: Limits) -> Generator[None, Any, Any]:
        if not self._all and limits.smaller is None:
            return (yield)
        if limits.smaller is not None:
            self._end_batch(older_than=0 if item.get_closest_marker("gil") else FRESH)
        batch = self._running_batch()
        begin = now()
        self._within = True
        try:
            result = yield
        finally:
            self._within = False
            phase = Phase(item.nodeid, name, begin, now())
            if batch is not None:
                batch.phases.append(phase)
        if limits.smaller is not None and phase.seconds > limits.smaller:
            found = self._end_batch()
            if found is not None:
                self._judge(item, limits, phase, found)
            else:
                _warn(item, f"its limits can't be checked: {self._impossible}")
        return result

    def _running_batch(self) -> Batch | None:
        """Return the running recording, or start one; None if nothing can be recorded here."""
        if self._batch is not None and not self._batch.is_here:
            self._batch = None  # this process was forked by a test
        if self._batch is None and not self._impossible:
            try:
                self._batch = _start_batch(self._strangers)
            except RuntimeError as error:
                self._impossible = str(error)
                self._pending.append(Row(NOTE, f"nothing was measured: {error}"))
        if self._batch is not None:
            _ignore_warnings_of_forks()
        return self._batch

    def _end_batch(self, older_than: float = 0.0) -> Found | None:
        """End the recording if it is older than that; keep its rows for the summary."""
        if self._batch is None or now() - self._batch.begin < older_than:
            return None
        found = self._batch.finish()
        self._batch = None
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
        """Add to a report whether a limit was exceeded, and the rows found so far."""
        report = yield
        if self._exceeded:
            vars(report)["gil_exceeded"] = True
            self._exceeded = False
        if not self._within:  # pytest also makes a report of each subtest
            self._end_batch(older_than=LONGEST_BATCH)
        if self._pending:
            vars(report)["gil_rows"] = [list(row) for row in self._pending]
            self._pending.clear()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the rows of a report, also of one from a worker of pytest-xdist."""
        self._any_test = True
        self._take(getattr(report, "gil_rows", ()))

    def pytest_sessionfinish(self) -> None:
        """Keep the remaining rows; a worker of pytest-xdist sends them to its controller."""
        self._end_batch()
        rest = [list(row) for row in self._pending]
        self._pending.clear()
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["gil_rows"] = rest
        else:
            self._take(rest)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the remaining rows of a worker."""
        self._take(getattr(node, "workeroutput", {}).get("gil_rows", ()))

    def _take(self, rows: Iterable[Iterable[Any]]) -> None:
        self._rows += [Row(*row) for row in rows]

    def pytest_unconfigure(self) -> None:
        """End the recording of an interrupted run."""
        self._end_batch()

    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Give a test that has exceeded a limit its own letter and word."""
        # An expected failure is skipped, and pytest-rerunfailures runs a failed test again.
        if report.outcome == "failed" and getattr(report, "gil_exceeded", False):
            return "failed", "G", ("GIL", {"red": True})
        return None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the longest holds and waits."""
        if not self._all or self._config.getoption("collectonly"):
            return
        least = readable_time(self._config.getoption("gil_min"))
        for kind, title in KINDS.items():
            rows = [row for row in self._rows if row.kind == kind]
            rows.sort(key=operator.attrgetter("seconds"), reverse=True)
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
        if self._any_test and not self._rows:
            notes = [f"no test held the GIL for {least} or longer"]
        for note in notes:
            terminalreporter.write_sep("=", f"GIL: {note}")


def _start_batch(strangers: set[int]) -> Batch:
    """Start a recording, or raise a RuntimeError that says why nothing can be recorded here."""
    if not gil_enabled():
        msg = "this Python has no GIL"
        raise RuntimeError(msg)
    from gilfree.suite.batch import Batch

    return Batch(strangers)


def _limit(time: object, what: str) -> float | None:
    try:
        return None if time is None else seconds_of(time)
    except ValueError as error:
        msg = f"{what} {error}"
        raise pytest.UsageError(msg) from None


def _ignore_warnings_of_forks() -> None:
    """Ignore Python's warning about a fork with threads: they may be gilfree's only."""
    warnings.filterwarnings("ignore", r"This process .* is multi-threaded", DeprecationWarning)


def _warn(item: pytest.Item, text: str) -> None:
    """Warn; if warnings are errors, let pytest show this one as a warning nevertheless."""
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
