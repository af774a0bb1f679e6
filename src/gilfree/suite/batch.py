"""A recording of several phases of tests, and what it found in each.

Starting and ending a recording takes some milliseconds, longer than most tests. So one recording
covers many phases, and the times of the phases divide it.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection

from gilfree._words import readable_time
from gilfree.gil.facts import Facts
from gilfree.gil.recorder import Session
from gilfree.recording.recording import Recording
from gilfree.suite.figures import Figure, figures_of
from gilfree.suite.phase import Phase, now
from gilfree.suite.requester import Requester

REQUESTER = "another thread"  # the name of the requester in a report


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found: the figures of each phase, and the facts of the whole recording."""

    begin: float
    phases: list[Phase]
    figures: dict[Phase, tuple[Figure, Figure]]
    facts: Facts

    def of(self, phase: Phase) -> tuple[Figure, Figure]:
        """Return the longest hold and the longest wait of a phase."""
        return self.figures.get(phase, (Figure(), Figure()))

    def report(self, phase: Phase) -> str:
        """Return the report of the recording, with notes that explain it."""
        lines = [str(Recording(self.facts)), ""]
        if len(self.phases) > 1:
            before = readable_time(phase.begin - self.begin)
            lines.append(f"the recording began {before} before the test")
        lines.append(f"{REQUESTER} is gilfree's own, which requests the GIL all the time")
        return "\n".join(lines)


class Batch:
    """Such a recording, with a thread beside the tests that requests the GIL all the time.

    Parameters
    ----------
    strangers : collection of int
        Native ids of threads that do not belong to the tests.
    """

    def __init__(self, strangers: Collection[int] = ()) -> None:
        self._strangers = strangers
        self._process = os.getpid()
        self._session = Session(beside=True)
        self._requester = Requester()
        self._requester.start()
        try:
            self._session.start()
        except RuntimeError:
            self._requester.stop()
            raise
        self.begin = now()
        self.phases: list[Phase] = []

    @property
    def is_here(self) -> bool:
        """Whether this process started the recording, and not the parent that forked it."""
        return self._process == os.getpid()

    def finish(self) -> Found:
        """End the recording, and return what it found."""
        if self.is_here:
            self._requester.stop()
        facts = self._session.finish()
        assert facts is not None  # the session was started
        requester = self._requester.native_id
        figures = figures_of(facts, self.phases, {requester, *self._strangers})
        return Found(self.begin, self.phases, figures, _named(facts, requester))


def _named(facts: Facts, requester: int) -> Facts:
    """Return the facts with a name for the requester."""
    index = next((i for i, one in enumerate(facts.threads) if one.native_id == requester), None)
    if index is None:
        return facts
    threads = list(facts.threads)
    threads[index] = dataclasses.replace(threads[index], name=REQUESTER)
    stalls = (
        dataclasses.replace(stall, waiter=REQUESTER) if stall.index == index else stall
        for stall in facts.stalls
    )
    return dataclasses.replace(facts, threads=tuple(threads), stalls=tuple(stalls))
