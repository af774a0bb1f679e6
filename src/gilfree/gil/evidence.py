"""What concurrent threads spend their time on, by a recording: why they gain little."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import TypeVar

from gilfree.gil.facts import Facts
from gilfree.gil.recorder import Session
from gilfree.gil.sampler import NoSamplerError

Result = TypeVar("Result")

# A recording that missed a larger share of its time tells nothing.
MOST_MISSED = 1 / 4


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Shares of the time of concurrent threads; `GilReport` documents the fields."""

    waiting: float | None = None
    blocked: float | None = None
    running: float | None = None
    no_cpu: float | None = None


def recorded(run: Callable[[], Result]) -> tuple[Result, Facts | None]:
    """Run a function and record it; without facts if recording is impossible or already running."""
    try:
        session = Session()
    except NoSamplerError:
        return run(), None
    try:
        with contextlib.suppress(RuntimeError):
            session.start()
        result = run()
    finally:
        facts = session.finish()
    return result, facts


def evidence_of(facts: Facts | None, clocks: dict[int, tuple[float, float]]) -> Evidence:
    """Return the shares of the threads in `clocks`.

    Parameters
    ----------
    facts : Facts or None
        The recording.
    clocks : dict
        Wall and CPU seconds of each thread, by its native id.
    """
    if facts is None or facts.missed > MOST_MISSED * facts.seconds:
        return Evidence()
    threads = [thread for thread in facts.threads if thread.native_id in clocks]
    lived = sum(thread.seconds for thread in threads)
    known = [
        (thread.waiting, thread.blocked, thread.running)
        for thread in threads
        if thread.waiting is not None and thread.blocked is not None and thread.running is not None
    ]
    if len(known) < len(clocks) or not lived:
        return Evidence()
    waiting, blocked, running = (sum(times) / lived for times in zip(*known, strict=True))
    seconds, cpu = (sum(times) for times in zip(*clocks.values(), strict=True))
    no_cpu = max(1 - waiting - blocked - cpu / seconds, 0.0)
    return Evidence(waiting, blocked, running, no_cpu)
