"""A recording of some phases of tests in a row, and what it found of each.

To start and end a recording takes some milliseconds, which is more than most tests take. So one
goes on for many phases, and is cut into them by the clock.
"""

from __future__ import annotations

import bisect
import dataclasses
import os
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import NamedTuple

from gilfree._words import readable_time
from gilfree.gil.facts import Facts, Holder, Stall
from gilfree.gil.recorder import Session
from gilfree.recording.recording import Recording
from gilfree.recording.text import place_of
from gilfree.suite.asker import Asker
from gilfree.suite.phase import Phase, now

ASKER = "another thread"  # what the asker is called
NAMELESS = "a thread without a name"


class Figure(NamedTuple):
    """The longest hold within a phase, or the longest wait.

    Attributes
    ----------
    seconds : float
    text : str
        Who had the GIL, where, and who waited.
    """

    seconds: float = 0.0
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found: of each phase the longest hold and the longest wait, and the facts of all."""

    begin: float
    phases: list[Phase]
    figures: dict[Phase, tuple[Figure, Figure]]
    facts: Facts

    def of(self, phase: Phase) -> tuple[Figure, Figure]:
        """Return the longest hold and the longest wait."""
        return self.figures.get(phase, (Figure(), Figure()))

    def report(self, phase: Phase) -> str:
        """Return the report of the recording, with what is to be known of it."""
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
        Native ids of threads that are none of the tests': whether they wait is of no interest.
    """

    def __init__(self, strangers: Collection[int] = ()) -> None:
        self._strangers = strangers
        self._process = os.getpid()
        self._session = Session(beside=True)
        self._asker = Asker()
        self._session.start()
        self._asker.start()
        self.begin = now()
        self.phases: list[Phase] = []

    @property
    def is_here(self) -> bool:
        """Whether it is under way in this process, and not in one that has forked this."""
        return self._process == os.getpid()

    def finish(self) -> Found:
        """End it."""
        if self.is_here:
            self._asker.stop()
        facts = self._session.finish()
        assert facts is not None  # it has started
        facts = _named(facts, self._asker.native_id)
        return Found(self.begin, self.phases, dict(self._figures(facts)), facts)

    def _figures(self, facts: Facts) -> Iterator[tuple[Phase, tuple[Figure, Figure]]]:
        begin = facts.slices.begin / 1e9
        ends = [phase.end for phase in self.phases]
        within: dict[int, list[Stall]] = defaultdict(list)
        for stall in facts.stalls:
            start, end = begin + stall.start, begin + stall.start + stall.seconds
            for number in range(bisect.bisect_right(ends, start), len(ends)):
                phase = self.phases[number]
                if phase.begin >= end:
                    break
                first = max(start, phase.begin)
                part = dataclasses.replace(stall, start=first, seconds=min(end, phase.end) - first)
                within[number].append(part)
        for number, stalls in within.items():
            yield self.phases[number], (self._hold(facts, stalls), self._wait(facts, stalls))

    def _hold(self, facts: Facts, stalls: list[Stall]) -> Figure:
        """Return for how long a thread had the GIL while somebody wanted it."""
        holds = [hold for stall in stalls for hold in self._holds(facts, stall)]
        if not holds:
            return Figure()
        seconds, holder, stall = max(holds, key=lambda hold: hold[0])
        meanwhile = [
            other
            for other in self._own(facts, stalls)
            if other.start < stall.start + stall.seconds
            and stall.start < other.start + other.seconds
            and any(each.index == holder.index for each in other.holders)
        ]
        waiter = max(meanwhile, key=lambda other: other.seconds, default=None)
        who = f"{ASKER} would have waited" if waiter is None else f"{_waiter(waiter)} waited"
        return Figure(seconds, f"{_where(holder)}; {who}")

    def _holds(self, facts: Facts, stall: Stall) -> Iterator[tuple[float, Holder, Stall]]:
        """Yield for how long each thread had the GIL in a stall, and where for most of that."""
        by_thread: dict[int | None, list[Holder]] = defaultdict(list)
        for holder in stall.holders:
            if not self._is_strange(facts, holder.index):
                by_thread[holder.index].append(holder)
        for holders in by_thread.values():
            seconds = sum(holder.seconds for holder in holders)
            yield min(seconds, stall.seconds), holders[0], stall

    def _wait(self, facts: Facts, stalls: list[Stall]) -> Figure:
        """Return for how long one of the test's own threads waited."""
        stall = max(self._own(facts, stalls), key=lambda one: one.seconds, default=None)
        if stall is None:
            return Figure()
        where = _where(stall.holders[0]) if stall.holders else "not known who had it"
        return Figure(stall.seconds, f"{where}; {_waiter(stall)} waited")

    def _own(self, facts: Facts, stalls: list[Stall]) -> Iterator[Stall]:
        return (stall for stall in stalls if not self._is_strange(facts, stall.index))

    def _is_strange(self, facts: Facts, index: int | None) -> bool:
        """Tell whether a thread is none of the tests'."""
        if index is None:
            return False
        native_id = facts.threads[index].native_id
        return native_id == self._asker.native_id or native_id in self._strangers


def _named(facts: Facts, native_id: int) -> Facts:
    """Return the facts with a name for the asker."""
    index = next((i for i, one in enumerate(facts.threads) if one.native_id == native_id), None)
    if index is None:
        return facts
    threads = list(facts.threads)
    threads[index] = dataclasses.replace(threads[index], name=ASKER)
    stalls = (
        dataclasses.replace(stall, waiter=ASKER) if stall.index == index else stall
        for stall in facts.stalls
    )
    return dataclasses.replace(facts, threads=tuple(threads), stalls=tuple(stalls))


def _where(holder: Holder) -> str:
    how = ", in bytecode" if holder.in_c is False else ""
    return f"{place_of(holder) or 'somewhere'} in {holder.thread or NAMELESS}{how}"


def _waiter(stall: Stall) -> str:
    return stall.waiter or NAMELESS
