"""A recording in the Chrome trace event format, for ui.perfetto.dev or chrome://tracing.

Each thread has a track of slices, and the GIL has one that names its holders. A counter shows how
many threads wait. An arrow leads from each stall to the slice in which its holder held the GIL.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from gilfree import __version__
from gilfree.recording.text import WITH_GIL, states_of
from gilfree.recording.timeline import HELD, WAITING, Lane
from gilfree.recording.traces import (
    BEYOND_THREADS,
    MIXED,
    MOST_HOLDERS,
    MOST_SLICES,
    Micros,
    as_json,
    edges_of,
    names_of,
    numbers_of,
    remarks,
    slices_of,
    who_and_where,
)

if TYPE_CHECKING:
    from gilfree.recording.recording import Recording

GIL_TRACK = BEYOND_THREADS  # the number of the GIL's track, which no thread has
Event = dict[str, Any]


def trace(recording: Recording) -> bytes:
    """Return the file."""
    recorder = {"recorder": f"gilfree {__version__}"}
    file, maker = io.BytesIO(), _Trace(recording)
    file.write(b'{"traceEvents":[')
    for number, event in enumerate(maker.events()):
        file.write(b",\n" if number else b"\n")
        file.write(as_json(event).encode())
    about = as_json(recorder | maker.remarks)
    file.write(f'\n],\n"otherData":{about}}}\n'.encode())
    return file.getvalue()


class _Trace:
    """The events of a recording.

    In each event, ``args`` comes last and contains no lists: older versions of Perfetto read events
    from the left to find the times, and stop at a list.
    """

    def __init__(self, recording: Recording) -> None:
        timeline = recording.timeline.coarser(MOST_SLICES)
        self.recording, self.lanes = recording, timeline.lanes
        self.edges = [edges_of(lane) for lane in self.lanes]
        self.names, self.numbers = names_of(recording), numbers_of(recording)
        self.remarks = remarks(recording.facts, timeline.grain)
        self.pid = recording.facts.process

    def events(self) -> Iterator[Event]:
        """Yield all events; slices come before the arrows that begin or end in them."""
        arrows, notes = self._stalls()
        yield from self._names()
        for index, lane in enumerate(self.lanes):
            yield from self._slices(index, lane, notes)
        if self.recording.facts.gil:
            yield from self._gil_slices()
        yield from self._counter()
        yield from arrows

    def _event(self, phase: str, tid: int, time: int, **others: Any) -> Event:
        return {"ph": phase, "pid": self.pid, "tid": tid, "ts": time, **others}

    def _names(self) -> Iterator[Event]:
        def about(what: str, tid: int, **args: Any) -> Event:
            return self._event("M", tid, 0, name=what, args=args)

        labels = self.remarks.get("joined")
        yield about("process_name", self.pid, name="Python")
        if labels:
            yield about("process_labels", self.pid, labels=f"joined: {labels}")
        if self.recording.facts.gil:
            yield about("thread_name", GIL_TRACK, name="GIL")
            yield about("thread_sort_index", GIL_TRACK, sort_index=-1)
        for index, (name, tid) in enumerate(zip(self.names, self.numbers, strict=True)):
            yield about("thread_name", tid, name=name)
            yield about("thread_sort_index", tid, sort_index=index)

    def _slices(
        self, index: int, lane: Lane, notes: dict[tuple[int, int], Event]
    ) -> Iterator[Event]:
        tid, names = self.numbers[index], states_of(self.recording.facts)
        for start, end, state, shares in slices_of(lane, names):
            args = {**shares, **notes.get((index, start), {})}
            others = {"args": args} if args else {}
            yield self._event("X", tid, start, dur=end - start, name=state, **others)

    def _gil_slices(self) -> Iterator[Event]:
        """Yield a slice for each hold; if there are several GILs, the latest holder counts."""
        # The threads in a slice in which they held the GIL: throughout (True), or in part (False).
        active: dict[bool, dict[int, None]] = {True: {}, False: {}}
        current, since = None, 0
        for time, changes in itertools.groupby(self._holds(), key=lambda change: change[0]):
            for _, begins, index, throughout in changes:
                if begins:
                    active[throughout][index] = None
                else:
                    del active[throughout][index]
            holder = next(reversed(active[True]), -1 if active[False] else None)
            if holder == current:
                continue
            if current is not None:
                name = MIXED if current < 0 else self.names[current]
                yield self._event("X", GIL_TRACK, since, dur=time - since, name=name)
            current, since = holder, time

    def _holds(self) -> list[tuple[int, bool, int, bool]]:
        """Return, sorted, for each edge of a slice with the GIL: time, begins, thread, throughout.

        `throughout` tells whether the thread held the GIL in the whole slice.
        """
        changes = []
        for index, lane in enumerate(self.lanes):
            for start, end, state, shares in slices_of(lane, WITH_GIL):
                if state == "held" or "held" in shares:
                    changes.append((start, True, index, not shares))
                    changes.append((end, False, index, not shares))
        return sorted(changes)

    def _counter(self) -> Iterator[Event]:
        """Yield how many threads wait, at each change; a mixed slice counts for its share."""
        times = [edges[side] for edges in self.edges for side in (np.s_[:-1], np.s_[1:])]
        steps = [sign * lane.shares[:, WAITING] for lane in self.lanes for sign in (1, -1)]
        if not times:
            return
        at, where = np.unique(np.concatenate(times), return_inverse=True)
        waiting = np.cumsum(np.bincount(where, np.concatenate(steps), len(at))).round(3)
        changes = np.flatnonzero(np.diff(waiting, prepend=-1.0))
        what = "waiting for the GIL" if self.recording.facts.gil else "suspended"
        for time, count in zip(at[changes].tolist(), waiting[changes].tolist(), strict=True):
            args = {what: int(count) if count == int(count) else count}
            yield self._event("C", self.pid, time, name="threads", args=args)

    def _stalls(self) -> tuple[list[Event], dict[tuple[int, int], Event]]:
        """Return an arrow for each stall, and its holders as notes, by thread and start of slice.

        The arrow leads to the thread that held the GIL longest, at the start of its longest hold.
        """
        arrows: list[Event] = []
        notes: dict[tuple[int, int], Event] = {}
        for number, stall in enumerate(self.recording.stalls, 1):
            if stall.index is None or not stall.holders:
                continue
            begin, end = round(stall.start * 1e6), round((stall.start + stall.seconds) * 1e6)
            waiter, holder = stall.index, stall.holders[0].index
            wait = self._longest(waiter, WAITING, begin, end)
            if wait is None:
                continue
            holders = [
                who_and_where(one, self.names, self.numbers) for one in stall.holders[:MOST_HOLDERS]
            ]
            # A joined slice may contain several stalls: the note is of the first, the longest.
            slice_start, begin, end = wait
            notes.setdefault(
                (waiter, slice_start),
                {f"holder {place}": one for place, one in enumerate(holders, 1)},
            )
            hold = None if holder is None else self._longest(holder, HELD, begin, end)
            if hold is None or holder is None:
                continue
            same = {"id": number, "name": "waits for", "cat": "stall"}
            tid, to = self.numbers[waiter], self.numbers[holder]
            arrows.append(self._event("s", tid, begin, **same, args=holders[0]))
            arrows.append(self._event("f", to, hold[1], **same, bp="e", args=holders[0]))
        return arrows, notes

    def _longest(self, index: int, state: int, begin: int, end: int) -> tuple[int, int, int] | None:
        """Find the slice in which a thread was in a state longest, between two times.

        Returns
        -------
        tuple of int, or None
            Start of the slice; start and end of its part between the two times; in microseconds.
        """
        edges: Micros = self.edges[index]
        first = max(int(np.searchsorted(edges, begin, "right")) - 1, 0)
        last = int(np.searchsorted(edges, end, "left"))
        starts = np.maximum(edges[first:last], begin)
        stops = np.minimum(edges[first + 1 : last + 1], end)
        shares = self.lanes[index].shares[first:last, state]
        lengths = np.where(shares > 0, stops - starts[: len(stops)], 0)
        if not len(lengths) or lengths.max() <= 0:
            return None
        best = int(lengths.argmax())
        return int(edges[first + best]), int(starts[best]), int(stops[best])
