"""A recording in the processed format of the Firefox Profiler, for profiler.firefox.com.

Markers show what a thread did. Markers of the GIL have the names that CPython's own sampling
profiler uses, so that tools for its profiles can read these.
"""

from __future__ import annotations

import io
import platform
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gilfree import __version__
from gilfree.recording.text import WITH_GIL, WITHOUT_GIL, place_of, states_of
from gilfree.recording.traces import (
    MIXED,
    MOST_HOLDERS,
    MOST_SLICES,
    as_json,
    names_of,
    numbers_of,
    plain,
    remarks,
    slices_of,
    who_and_where,
)

if TYPE_CHECKING:
    from gilfree.recording.recording import Recording

GECKO_VERSION, PROCESSED_VERSION = 32, 60  # in 60, threads share all tables except markers
MOST_VISIBLE = 20  # threads shown when the profile is opened
INTERVAL = 1  # the phase of a marker that has a start and an end
CATEGORIES = {"Other": "grey", "GIL": "green", "CPU": "purple"}
GIL, CPU = 1, 2

# The names of markers, each with its category. CPython's profiler has the same names, except
# Attached, Suspended, Mixed and Stall.
MARKERS = {
    "Has GIL": GIL,
    "No GIL": GIL,
    "Waiting for GIL": GIL,
    "Attached": GIL,
    "Suspended": GIL,
    "On CPU": CPU,
    "Off CPU": CPU,
    "Mixed": GIL,
    "Stall": GIL,
}
NAMES = tuple(MARKERS)
MARKER_OF = {
    "held": "Has GIL",
    "waiting": "Waiting for GIL",
    "attached": "Attached",
    "suspended": "Suspended",
    "running": "On CPU",
    "blocked": "Off CPU",
    MIXED: "Mixed",
}
STALL_FIELDS = {
    "thread": "string",
    "tid": "tid",
    "ms": "milliseconds",
    "function": "string",
    "file": "file-path",
    "line": "integer",
    "in_c": "string",
    "others": "string",
}
# The tables of sampled stacks, which the format requires: there are no stacks.
EMPTY_TABLES = {
    "stackTable": ("frame", "prefix"),
    "frameTable": (
        *("address", "inlineDepth", "category", "subcategory", "func", "nativeSymbol"),
        *("innerWindowID", "line", "column"),
    ),
    "funcTable": (
        *("name", "isJS", "relevantForJS", "resource", "source", "lineNumber", "columnNumber"),
    ),
    "resourceTable": ("lib", "name", "host", "type"),
    "nativeSymbols": ("libIndex", "address", "name", "functionSize"),
    "sources": ("id", "filename"),
}

Marker = tuple[int, int, str, dict[str, Any]]  # start and end in microseconds, name, data


def profile(recording: Recording) -> bytes:
    """Return the file."""
    maker = _Profile(recording)
    shared = {"stringArray": NAMES} | {
        name: dict.fromkeys(columns, ()) | {"length": 0} for name, columns in EMPTY_TABLES.items()
    }
    file = io.BytesIO()
    file.write(f'{{"meta":{as_json(maker.meta())},\n"libs":[],"threads":['.encode())
    for number, thread in enumerate(maker.threads()):
        file.write(b",\n" if number else b"\n")
        file.write(as_json(thread).encode())
    file.write(f'\n],\n"shared":{as_json(shared)}}}\n'.encode())
    return file.getvalue()


class _Profile:
    """The parts of the file."""

    def __init__(self, recording: Recording) -> None:
        timeline = recording.timeline.coarser(MOST_SLICES)
        self.recording, self.lanes = recording, timeline.lanes
        self.names, self.numbers = names_of(recording), numbers_of(recording)
        self.remarks = remarks(recording.facts, timeline.grain)

    def meta(self) -> dict[str, Any]:
        """Return what is known of the recording as a whole."""
        facts = self.recording.facts
        return {
            "interval": 1e3 * facts.seconds / facts.looks if facts.looks else 1.0,
            "startTime": 1e3 * facts.started,
            "profilingStartTime": 0,
            "profilingEndTime": 1e3 * facts.seconds,
            "processType": 0,
            "product": "Python",
            "importedFrom": f"gilfree {__version__}",
            "platform": platform.system(),
            "oscpu": platform.machine(),
            "stackwalk": 0,
            "symbolicated": True,
            "version": GECKO_VERSION,
            "preprocessedProfileVersion": PROCESSED_VERSION,
            "categories": [
                {"name": name, "color": color, "subcategories": ["Other"]}
                for name, color in CATEGORIES.items()
            ],
            "markerSchema": list(_schemas()),
            "keepProfileThreadOrder": True,
            "initialVisibleThreads": self._visible(),
            "extra": [
                {
                    "label": "Recording",
                    "entries": [
                        {"label": label, "format": "string", "value": str(value)}
                        for label, value in self.remarks.items()
                    ],
                }
            ],
        }

    def _visible(self) -> list[int]:
        """Return the threads to show first: those that held the GIL or waited longest."""
        threads = self.recording.threads
        holds = (thread.held or thread.attached or 0.0 for thread in threads)
        busy = [
            -(held + (thread.stalled or 0.0)) for held, thread in zip(holds, threads, strict=True)
        ]
        return sorted(sorted(range(len(threads)), key=busy.__getitem__)[:MOST_VISIBLE])

    def threads(self) -> Iterator[dict[str, Any]]:
        """Yield each thread, with its markers."""
        process = self.recording.facts.process
        stalls = self._stalls()
        for index, (name, tid) in enumerate(zip(self.names, self.numbers, strict=True)):
            edges = self.lanes[index].edges * 1e3
            markers = sorted(
                [*self._states(index), *stalls.pop(index, ())], key=lambda marker: marker[:2]
            )
            yield {
                "name": name,
                "isMainThread": tid == process,
                "processName": "Python",
                "processType": "default",
                "pid": str(process),
                "tid": tid,
                "processStartupTime": 0,
                "processShutdownTime": None,
                "registerTime": round(edges[0], 3),
                "unregisterTime": round(edges[-1], 3),
                "pausedRanges": [],
                "showMarkersInTimeline": True,
                "samples": {
                    "stack": [],
                    "time": [],
                    "weight": None,
                    "weightType": "samples",
                    "length": 0,
                },
                "markers": _table(markers),
            }

    def _states(self, index: int) -> Iterator[Marker]:
        """Yield a marker for each slice of a thread, and one for each time without the GIL."""
        without = None  # start of the time without the GIL
        end = 0
        names = states_of(self.recording.facts)
        for start, end, state, shares in slices_of(self.lanes[index], names):
            if not self.recording.facts.gil:
                pass  # "No GIL" would cover the whole thread
            elif state in {"waiting", "running", "blocked"}:
                without = start if without is None else without
            elif without is not None:
                yield self._marker(index, without, start, "No GIL")
                without = None
            if state in MARKER_OF:  # "unread" has no marker
                yield self._marker(index, start, end, MARKER_OF[state], **shares)
        if without is not None:
            yield self._marker(index, without, end, "No GIL")

    def _marker(self, index: int, start: int, end: int, name: str, **others: Any) -> Marker:
        data = {"type": _type(name), "duration": (end - start) / 1e3, "tid": self.numbers[index]}
        return start, end, name, data | others

    def _stalls(self) -> dict[int, list[Marker]]:
        """Return markers for the stalls of each thread, by its index."""
        markers: dict[int, list[Marker]] = {}
        for stall in self.recording.stalls:
            if stall.index is None:
                continue
            data: dict[str, Any] = {"type": "Stall"}
            known = [who_and_where(each, self.names, self.numbers) for each in stall.holders]
            for first in known[:1]:
                data |= first
                if "in_c" in first:
                    data["in_c"] = "one C call" if first["in_c"] else "bytecode"
            others = zip(known[1:MOST_HOLDERS], stall.holders[1:], strict=False)
            if also := "; ".join(f"{one.get('thread')} {place_of(each)}" for one, each in others):
                data["others"] = plain(also)
            start, end = stall.start, stall.start + stall.seconds
            marker = round(start * 1e6), round(end * 1e6), "Stall", data
            markers.setdefault(stall.index, []).append(marker)
        return markers


def _type(name: str) -> str:
    """Return the type of a marker's data, named as CPython's profiler does."""
    return name.replace(" ", "")


def _schemas() -> Iterator[dict[str, Any]]:
    """Yield for each kind of marker how the viewer shows it."""
    for name in NAMES:
        fields = dict.fromkeys(WITH_GIL + WITHOUT_GIL[:2], "percentage") if name == "Mixed" else {}
        fields = STALL_FIELDS if name == "Stall" else fields
        label = "{marker.data.thread}: {marker.data.function}, line {marker.data.line}"
        label = label if name == "Stall" else "{marker.name}"
        yield {
            "name": _type(name),
            "display": ["marker-chart", "marker-table", "timeline-overview"],
            "tooltipLabel": "{marker.name}",
            "tableLabel": label,
            "chartLabel": label,
            "fields": [{"key": key, "label": key, "format": kind} for key, kind in fields.items()],
        }


def _table(markers: list[Marker]) -> dict[str, Any]:
    starts, ends, names, data = zip(*markers, strict=True) if markers else ((), (), (), ())
    return {
        "data": data,
        "name": [NAMES.index(name) for name in names],
        "startTime": [start / 1e3 for start in starts],
        "endTime": [end / 1e3 for end in ends],
        "phase": [INTERVAL] * len(markers),
        "category": [MARKERS[name] for name in names],
        "length": len(markers),
    }
