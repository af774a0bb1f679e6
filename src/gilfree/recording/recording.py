"""Record a block of code, and say what the figures mean."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilfree import _files
from gilfree._words import exact_share, readable_time
from gilfree.gil.facts import Facts, Holder, Stall, ThreadTimes
from gilfree.gil.recorder import Session
from gilfree.recording.formats import format_of
from gilfree.recording.text import name_of, place_of, report
from gilfree.recording.verdict import RecordingVerdict

if TYPE_CHECKING:  # the timeline imports NumPy, which a report does without
    from gilfree.recording.timeline import Timeline

NO_WAIT_SHARE = 0.01  # a thread that waits for less of its lifetime counts as not waiting
MOST_SHARE = 1 / 2  # more of a wait than this is most of it
MAX_MISSED_SHARE = 1 / 4  # if gaps cover more of the recording, it has no verdict


class Recording:
    """What `record` found: which threads held the GIL, which waited for it, and for which holder.

    Without a GIL: which threads were attached, which were suspended, and which stopped the world.

    The figures exist once the ``with`` block has ended; before, reading them raises a RuntimeError.

    Attributes
    ----------
    threads : tuple of ThreadTimes
        All threads of the process; those that waited, or were suspended, longest come first.
    stalls : tuple of Stall
        The stretches in which a thread waited, or was suspended, longest first.
    seconds : float
        How long the recording took.
    verdict : RecordingVerdict
        What the figures mean, as a code.
    sentence : str
        What the figures mean, in words.
    """

    def __init__(self, facts: Facts | None = None) -> None:
        self._facts = facts

    @property
    def facts(self) -> Facts:
        """All figures, including how much was not seen."""
        if self._facts is None:
            msg = "the recording is still under way: read its figures after the with block"
            raise RuntimeError(msg)
        return self._facts

    @property
    def threads(self) -> tuple[ThreadTimes, ...]:
        """All threads; those that waited longest come first."""
        return self.facts.threads

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """The stalls, longest first."""
        return self.facts.stalls

    @property
    def seconds(self) -> float:
        """How long the recording took."""
        return self.facts.seconds

    @functools.cached_property
    def timeline(self) -> Timeline:
        """What each thread did when."""
        from gilfree.recording.timeline import Timeline

        return Timeline.of(self.facts.slices)

    @property
    def verdict(self) -> RecordingVerdict:
        """What the figures mean, as a code."""
        facts = self.facts
        if not facts.threads:
            return RecordingVerdict.NOTHING
        if facts.missed > MAX_MISSED_SHARE * facts.seconds:
            return RecordingVerdict.INCONCLUSIVE
        waiter = facts.threads[0]
        if waiter.stalled is None:
            return RecordingVerdict.INCONCLUSIVE
        if waiter.waiting is None:
            return RecordingVerdict.NO_GIL
        # Many short threads may wait, each for less time than the first one.
        waits = (each.waiting or 0.0 for each in facts.threads if _waits(each))
        if not _waits(waiter) and sum(waits) <= NO_WAIT_SHARE * facts.seconds:
            return RecordingVerdict.NO_WAIT
        in_c = self._blamed_on_c()
        if in_c is None:
            return RecordingVerdict.WAITED
        return RecordingVerdict.WAITED_FOR_C if in_c else RecordingVerdict.WAITED_FOR_BYTECODE

    def _blamed_on_c(self) -> bool | None:
        """Tell whether holders were mostly in C calls; None if that is unknown for most stalls."""
        seconds: dict[bool | None, float] = defaultdict(float)
        for stall in self.stalls:
            for holder in stall.holders:
                seconds[holder.in_c] += holder.seconds
        known = seconds[True] + seconds[False]
        if known <= MOST_SHARE * (known + seconds[None]):
            return None
        return seconds[True] > seconds[False]

    @property
    def sentence(self) -> str:
        """What the recording means: one sentence about the thread that waited longest."""
        facts, verdict = self.facts, self.verdict
        if verdict is RecordingVerdict.NOTHING:
            return f"{verdict.text} in this process"
        waiter = facts.threads[0]
        if waiter.stalled is None:
            what = "wait for the GIL" if facts.gil else "are suspended"
            return f"{verdict.text}: this system does not report which threads {what}"
        if verdict is RecordingVerdict.INCONCLUSIVE:
            return (
                f"{verdict.text}: the recorder got no CPU for {readable_time(facts.missed)} of "
                f"{readable_time(facts.seconds)}"
            )
        name = name_of(waiter)
        if waiter.waiting is None:
            if not waiter.stalled:
                return f"{verdict.text}, and no thread was seen to be suspended"
            text = f"{verdict.text}: {name} was suspended for {readable_time(waiter.stalled)} of "
            text += f"{readable_time(waiter.seconds)}, while the world was stopped"
            return text + self._meanwhile(waiter, waiter.stalled)
        if verdict is RecordingVerdict.NO_WAIT:
            if not waiter.waiting:
                return "no thread was seen to wait for the GIL"
            share = exact_share(waiter.waiting / waiter.seconds)
            return f"{verdict.text}: {name} longest, for {share} of its time"
        text = f"{name} waited for the GIL for {readable_time(waiter.waiting)} of "
        text += readable_time(waiter.seconds)
        return text + self._meanwhile(waiter, waiter.waiting)

    def _meanwhile(self, waiter: ThreadTimes, waiting: float) -> str:
        """Say where others held the GIL, or stopped the world, for most of the time `waiting`."""
        places: dict[Holder, float] = defaultdict(float)
        for stall in self.stalls:
            own = stall.waiter == waiter.name and stall.index in (0, None)  # names may repeat
            for holder in stall.holders if own else ():
                place = dataclasses.replace(holder, seconds=0.0, in_c=None, callers=None)
                places[place] += holder.seconds
        if not places:
            return ""
        place, seconds = max(places.items(), key=lambda item: item[1])
        how = "for the most part" if seconds > MOST_SHARE * waiting else "most often"
        who = place.thread or "a thread without a name"
        where = place_of(place)
        if where:
            return f", {how} while {who} was in {where}"
        return f", {how} while {who} {'held it' if self.facts.gil else 'was attached'}"

    def to_dict(self) -> dict[str, Any]:
        """Return the recording for JSON; None stands for what is not known.

        Threads have the same keys on every Python. With a GIL, these are None: "attached",
        "suspended" and their longest, and "stopped" and "longest_stop", which say how long the
        world was stopped. Without a GIL, "held", "waiting" and their longest are None.

        Returns
        -------
        dict
            Times are in seconds.
        """
        return {
            "seconds": self.seconds,
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "stopped": self.facts.stopped,
            "longest_stop": self.facts.longest_stop,
            "threads": [dataclasses.asdict(thread) for thread in self.threads],
            "stalls": [
                {**_figures(stall), "holders": [*map(self._holder, stall.holders)]}
                for stall in self.stalls
            ],
        }

    def _holder(self, holder: Holder) -> dict[str, Any]:
        found = _figures(holder)
        callers = found.pop("callers")
        if self.facts.callers:
            found["callers"] = callers and [caller._asdict() for caller in callers]
        return found

    def save(self, path: str | Path) -> None:
        """Write the recording to a file, in the format that its suffix names.

        ``.html``: a page to look at. ``.md``: the report as Markdown. ``.svg`` or ``.png``: a
        picture, which needs matplotlib. ``.json``: what `to_dict` returns. ``.trace.json`` or
        ``.trace.json.gz``: what each thread did when, for ui.perfetto.dev or chrome://tracing.
        ``.firefox.json``: the same, for profiler.firefox.com. If a recording is too long for a
        viewer, short slices are joined.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        ValueError
            If the suffix is none of these.
        ModuleNotFoundError
            If the suffix is that of a picture, and matplotlib is missing.
        OSError
            If the file can't be written; an existing file then stays as it was.
        """
        try:
            encode = format_of(path)
        except ValueError as error:
            msg = f"path {error}"
            raise ValueError(msg) from None
        _files.write(str(path), encode(self))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: which thread held the GIL when, to zoom into."""
        from gilfree.recording.page import fragment

        return fragment(self)

    def __str__(self) -> str:
        """Return the report: sentence, threads, longest stalls, what was not seen; 80 columns."""
        return report(self.sentence, self.facts)


def _waits(thread: ThreadTimes) -> bool:
    """Tell whether a thread waited for more than a small share of its time."""
    return (thread.waiting or 0.0) > NO_WAIT_SHARE * thread.seconds


def _figures(one: Stall | Holder) -> dict[str, Any]:
    """Return the fields of a stall or a holder, except its index: readers of JSON have the name."""
    return {name: value for name, value in vars(one).items() if name != "index"}


@contextlib.contextmanager
def record(*, callers: bool = False) -> Iterator[Recording]:
    """Record all threads of this process while the ``with`` block runs.

    The recorder, a thread in C, samples all threads up to 5,000 times a second. It never
    acquires the GIL, so no thread waits for it and it waits for none. Times are those of system
    threads: the greenlets of gevent count for the thread that runs them. A forked child is not
    recorded, and may record itself.

    Thread safety: one recording at a time in a process.

    Parameters
    ----------
    callers : bool, default: False
        Also record the callers of each function that held the GIL while others waited. Samples
        then take longer, and there are fewer of them.

    Yields
    ------
    Recording
        Its figures exist after the block. Print it for a report.

    Raises
    ------
    RuntimeError
        If a recording is already running.
    NoSamplerError
        If this system or this Python does not report what the recorder reads. It is a RuntimeError.

    Examples
    --------
    >>> import gilfree
    >>> with gilfree.record() as recording:
    ...     work()
    >>> print(recording)
    """
    recording, session = Recording(), Session(callers=callers)
    try:  # Ctrl-C may interrupt as soon as the session has started
        session.start()
        yield recording
    finally:
        recording._facts = session.finish()
