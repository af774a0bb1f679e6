"""The pytest plugin: inert until ``--gil``, the marker ``gil`` or a limit needs it.

Every pytest that finds gilfree installed imports this module. So it imports only pytest, and has no
hook that is called for each test: those are in `gilfree.suite`, and are registered if needed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from gilfree._arguments import seconds_of

if TYPE_CHECKING:
    from gilfree.recording.recording import Recording
    from gilfree.suite.measuring import Measuring

DEFAULT_MIN = 10e-3  # seconds; bytecode releases the GIL 5 ms after a request, so it is not shown
DEFAULT_COUNT = 10
MARKER = (
    'gil(max_hold="50ms", max_wait="100ms"): fail if the test holds the GIL for longer than '
    "max_hold at a stretch, or one of its threads waits for it for longer than max_wait."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and the ini keys."""
    group = parser.getgroup("gil", "which tests hold the GIL, and which wait for it (gilfree)")
    group.addoption(
        "--gil",
        action="store_true",
        help="show the tests that held the GIL longest, and those in which a thread waited longest",
    )
    group.addoption(
        "--gil-min",
        type=_time,
        default=DEFAULT_MIN,
        metavar="TIME",
        help="shortest time to show, such as 5ms (default: 10ms)",
    )
    group.addoption(
        "--gil-count",
        type=_count,
        default=DEFAULT_COUNT,
        metavar="N",
        help="how many tests to show, 0: all (default: 10)",
    )
    parser.addini("gil_max_hold", "max_hold of every test, as in the marker gil, such as 50ms")
    parser.addini("gil_max_wait", "max_wait of every test, as in the marker gil, such as 100ms")


def _time(text: str) -> float:
    try:
        return seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdecimal():
        msg = f"must be a number of tests, or 0 for all, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and measure if an option or the ini file is about all tests."""
    config.addinivalue_line("markers", MARKER)
    all_tests = (
        config.getoption("gil") or config.getini("gil_max_hold") or config.getini("gil_max_wait")
    )
    # pytest-xdist's controller collects no tests, so it can't know whether workers find markers.
    if all_tests or config.getoption("dist", "no") != "no":
        _measure(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Measure if a test has the marker, and check all markers."""
    marked = [item for item in session.items if item.get_closest_marker("gil") is not None]
    if marked:
        _measure(session.config).check(marked)


def _measure(config: pytest.Config) -> Measuring:
    """Register the plugin that measures, unless it is registered already."""
    from gilfree.suite.measuring import Measuring

    found = config.pluginmanager.get_plugin(Measuring.NAME)
    if not isinstance(found, Measuring):
        found = Measuring(config)
        config.pluginmanager.register(found, Measuring.NAME)
    return found


@pytest.fixture
def gil_record() -> Iterator[Recording]:
    """Record all threads until the figures are first read, or until the test has ended.

    A `gilfree.Recording`: ``gil_record.threads``, ``.stalls``, ``print(gil_record)``. The test is
    skipped if nothing can be recorded here.
    """
    from gilfree.suite.so_far import recorded_so_far

    with recorded_so_far() as recording:
        yield recording
