"""A phase of a test, by the clock of the recorder."""

from __future__ import annotations

import time
from typing import NamedTuple


class Phase(NamedTuple):
    """The setup, call or teardown of a test, and when it was."""

    test: str
    name: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


def now() -> float:
    """Return the time by that clock, which libraries that freeze the time in tests leave alone."""
    if hasattr(time, "CLOCK_MONOTONIC"):
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic()
