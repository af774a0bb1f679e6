"""A phase of a test, timed by the recorder's clock."""

from __future__ import annotations

import time
from typing import NamedTuple


class Phase(NamedTuple):
    """The setup, call or teardown of a test; begin and end in seconds of the recorder's clock."""

    test: str
    name: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long the phase took."""
        return self.end - self.begin


def now() -> float:
    """Return the recorder's time; libraries that freeze time in tests do not patch this clock."""
    if hasattr(time, "CLOCK_MONOTONIC"):
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic()
