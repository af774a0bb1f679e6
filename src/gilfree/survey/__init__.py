"""Probe many calls of well-known libraries, to show which of them release the GIL."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import platform
from collections.abc import Callable, Sequence
from typing import Any

from gilfree._system import environment
from gilfree.gil.report import GilReport
from gilfree.gil.sampler import sampler
from gilfree.gil.statement import probe_statement
from gilfree.survey.calls import CALLS, Call

LIBRARIES = tuple(dict.fromkeys(call.library for call in CALLS))


@dataclasses.dataclass(frozen=True)
class Entry:
    """What the probe found about a call, or why the call could not be run."""

    call: Call
    report: GilReport | None
    error: str | None = None


@dataclasses.dataclass(frozen=True)
class Survey:
    """What `survey` found.

    Attributes
    ----------
    environment : dict
        Python, its GIL, CPUs and switch interval.
    versions : dict
        The version of each library that was probed.
    skipped : tuple of str
        Libraries that are not installed.
    entries : tuple of Entry
        The calls; those that hold the GIL for the largest share of their time come first.
    complete : bool
        False if Ctrl-C ended the survey before the last call.
    """

    environment: dict[str, Any]
    versions: dict[str, str]
    skipped: tuple[str, ...]
    entries: tuple[Entry, ...]
    complete: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, strings and numbers, for JSON."""
        entries = [
            {
                **entry.call._asdict(),
                "report": entry.report and entry.report.to_dict(),
                "error": entry.error,
            }
            for entry in self.entries
        ]
        return {
            "environment": self.environment,
            "complete": self.complete,
            "versions": self.versions,
            "skipped": list(self.skipped),
            "entries": entries,
        }


def calls_of(libraries: Sequence[str]) -> list[Call]:
    """Return the calls of these libraries, if they are installed."""
    installed = _versions(libraries)
    return [call for call in CALLS if call.library in installed]


def _versions(libraries: Sequence[str]) -> dict[str, str]:
    """Return the versions of these libraries that are installed."""
    versions = {}
    for library in libraries:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[library] = (
                platform.python_version()
                if library == "stdlib"
                else importlib.metadata.version(library)
            )
    return versions


def survey(
    libraries: Sequence[str] = LIBRARIES, *, on_call: Callable[[str], object] | None = None
) -> Survey:
    """Probe the calls of each of the given libraries that is installed.

    Parameters
    ----------
    libraries : sequence of str
        Some of `LIBRARIES`.
    on_call : callable, optional
        Called with the name of each call before it is probed, to show progress.

    Returns
    -------
    Survey

    Raises
    ------
    NoSamplerError
        On a system or a Python whose thread states gilfree can't read.
    KeyboardInterrupt
        If Ctrl-C comes before the first call is probed; later, the calls so far are returned.
    """
    sampler()  # raises before the first call
    versions, calls = _versions(libraries), calls_of(libraries)
    entries: list[Entry] = []
    try:
        for call in calls:
            if on_call is not None:
                on_call(call.name)
            entries.append(probe_call(call))
    except KeyboardInterrupt:
        if not entries:
            raise
    return Survey(
        environment=environment(),
        versions=versions,
        skipped=tuple(library for library in libraries if library not in versions),
        entries=tuple(sorted(entries, key=_held, reverse=True)),
        complete=len(entries) == len(calls),
    )


def _held(entry: Entry) -> float:
    return -1.0 if entry.report is None or entry.report.held is None else entry.report.held


def probe_call(call: Call) -> Entry:
    """Probe one call; if it fails, the entry says why."""
    try:
        return Entry(call, probe_statement(call.statement, call.setup))
    except Exception as error:  # another version of the library may lack the call
        return Entry(call, None, f"{type(error).__name__}: {error}")
