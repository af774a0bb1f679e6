"""A recording of some phases of tests in a row, and what it found of each.

To start and end a recording takes some milliseconds, which is more than most tests take. So one
goes on for many phases, and is cut into them by the clock.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection

from gilfree._words import readable_time
from gilfree.gil.facts import Facts
from gilfree.gil.recorder import Session
from gilfree.recording.recording import Recording
from gilfree.suite.asker import Asker
from gilfree.suite.figures import Figure, figures_of
from gilfree.suite.phase import Phase, now

ASKER = "another thread"  # what the asker is called in a report


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found: the figures of each phase, and the facts of all."""

    begin: float
    phases: list[Phase]
    figures: dict[Phase, tuple[Figure, Figure]]
    facts: Facts

    def of(self, phase: Phase) -> tuple[Figure, Figure]:
        """Return the longest hold and the longest wait."""
        return self.figures.get(phase, (Figure(), Figure()))

    def report(self, phase: Phase) -> str:
        """Return the report of the recording, and what is to be known of it."""
        lines = [str(Recording(self.facts)), ""]
        if len(self.phases) > 1:
            before = readable_time(phase.begin - self.begin)
            lines.append(f"recorded from {before} before the test on")
        lines.append(f"{ASKER} is gilfree's, which asks for the GIL all the time")
        return "\n".join(lines)


class Piece:
    """Such a recording, with a thread beside it that asks for the GIL all the time.

    Parameters
    ----------
    strangers : collection of int
        Native ids of threads that are not the tests'.
    """

    def __init__(self, strangers: Collection[int] = ()) -> None:
        self._strangers = strangers
        self._process = os.getpid()
        self._session = Session(beside=True)
        self._asker = Asker()
        self._asker.start()
        try:
            self._session.start()
        except RuntimeError:
            self._asker.stop()
            raise
        self.begin = now()
        self.phases: list[Phase] = []

    @property
    def is_here(self) -> bool:
        """Whether it is under way in this process, and not in the one that has forked it."""
        return self._process == os.getpid()

    def finish(self) -> Found:
        """End it."""
        if self.is_here:
            self._asker.stop()
        facts = self._session.finish()
        assert facts is not None  # it has started
        asker = self._asker.native_id
        figures = figures_of(facts, self.phases, {asker, *self._strangers})
        return Found(self.begin, self.phases, figures, _named(facts, asker))


def _named(facts: Facts, asker: int) -> Facts:
    """Return the facts with a name for the asker."""
    index = next((i for i, one in enumerate(facts.threads) if one.native_id == asker), None)
    if index is None:
        return facts
    threads = list(facts.threads)
    threads[index] = dataclasses.replace(threads[index], name=ASKER)
    stalls = (
        dataclasses.replace(stall, waiter=ASKER) if stall.index == index else stall
        for stall in facts.stalls
    )
    return dataclasses.replace(facts, threads=tuple(threads), stalls=tuple(stalls))
