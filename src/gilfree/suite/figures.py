"""The longest hold of the GIL in each phase, and the longest wait of one of the test's threads."""

from __future__ import annotations

import bisect
import dataclasses
import operator
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from gilfree.gil.facts import Facts, Holder, Stall
from gilfree.recording.text import place_of
from gilfree.suite.phase import Phase

NAMELESS = "a thread without a name"
WOULD = "another thread would have waited"


class Figure(NamedTuple):
    """A hold or a wait.

    Attributes
    ----------
    seconds : float
        How long it took. A wait counts only while the holder is known: while no thread held the
        GIL, a thread that could acquire it got no CPU, and that may be the requester.
    text : str
        Which thread held the GIL, where, and which waited.
    in_bytecode : bool
        Whether a hold was in bytecode, which releases the GIL after the switch interval, unless its
        thread gets no CPU.
    """

    seconds: float = 0.0
    text: str = ""
    in_bytecode: bool = False


def figures_of(
    facts: Facts, phases: Sequence[Phase], strangers: Collection[int]
) -> dict[Phase, tuple[Figure, Figure]]:
    """Return the longest hold and the longest wait of each phase in which a thread waited.

    Parameters
    ----------
    facts : Facts
    phases : sequence of Phase
        In order of time, and within the recording.
    strangers : collection of int
        Native ids of threads that do not belong to the tests. Their waits show the tests' holds,
        but do not count as waits.

    Returns
    -------
    dict of Phase to tuple of Figure
        The hold and the wait.
    """
    strange = {i for i, one in enumerate(facts.threads) if one.native_id in strangers}
    found = {}
    for number, stalls in _stalls_within(facts, phases).items():
        own = [stall for stall in stalls if stall.index not in strange]
        found[phases[number]] = _longest_hold(stalls, own, strange), _longest_wait(own, strange)
    return found


def _stalls_within(facts: Facts, phases: Sequence[Phase]) -> dict[int, list[Stall]]:
    """Return the parts of stalls within each phase, by the number of the phase."""
    begin = facts.slices.begin / 1e9
    ends = [phase.end for phase in phases]
    within = defaultdict(list)
    for stall in facts.stalls:
        start, end = begin + stall.start, begin + stall.start + stall.seconds
        for number in range(bisect.bisect_right(ends, start), len(ends)):
            if phases[number].begin >= end:
                break
            first, last = max(start, phases[number].begin), min(end, ends[number])
            part = dataclasses.replace(stall, start=first, seconds=last - first)
            within[number].append(part)
    return within


def _longest_hold(stalls: list[Stall], own: list[Stall], strange: Collection[int]) -> Figure:
    holds = [hold for stall in stalls for hold in _holds(stall, strange)]
    if not holds:
        return Figure()
    seconds, holder, stall = max(holds, key=lambda hold: hold[0])
    waiters = (
        other
        for other in own
        if other.start < stall.start + stall.seconds
        and stall.start < other.start + other.seconds
        and any(each.index == holder.index for each in other.holders)
    )
    waiter = max(waiters, key=operator.attrgetter("seconds"), default=None)
    who = WOULD if waiter is None else _waited(waiter)
    return Figure(seconds, f"{_where(holder)}; {who}", in_bytecode=holder.in_c is False)


def _holds(stall: Stall, strange: Collection[int]) -> Iterator[tuple[float, Holder, Stall]]:
    """Yield how long each thread held the GIL in a stall, and where it held it longest."""
    by_thread: dict[int | None, list[Holder]] = defaultdict(list)
    for holder in stall.holders:
        if holder.index not in strange:
            by_thread[holder.index].append(holder)
    for holders in by_thread.values():
        seconds = sum(holder.seconds for holder in holders)
        yield min(seconds, stall.seconds), holders[0], stall


def _longest_wait(own: list[Stall], strange: Collection[int]) -> Figure:
    longest = Figure()
    for stall in own:
        holders = [holder for holder in stall.holders if holder.index not in strange]
        seconds = min(stall.seconds, sum(holder.seconds for holder in holders))
        if seconds > longest.seconds:
            longest = Figure(seconds, f"{_where(holders[0])}; {_waited(stall)}")
    return longest


def _where(holder: Holder) -> str:
    how = ", in bytecode" if holder.in_c is False else ""
    return f"{place_of(holder) or 'somewhere'} in {holder.thread or NAMELESS}{how}"


def _waited(stall: Stall) -> str:
    return f"{stall.waiter or NAMELESS} waited"
