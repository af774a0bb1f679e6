"""Record a block of code; what it has found, and what that means."""

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

if TYPE_CHECKING:  # it takes NumPy, which a report does not
    from gilfree.recording.timeline import Timeline

LITTLE = 0.01  # a share of its lifetime that a thread may wait without being named for it
MOST = 1 / 2  # of a wait, from which on it was spent so for the most part
UNSURE = 1 / 4  # of the recording: with more of it unseen, no verdict


class Recording:
    """What `record` has found out: who had the GIL, who waited for it, and for whom.

    Without a GIL: who was attached, who was suspended, and who stopped the world meanwhile.

    It is there once the ``with`` block is over.

    Attributes
    ----------
    threads : tuple of ThreadTimes
        All threads of the process, those that waited, or were suspended, longest first.
    stalls : tuple of Stall
        The stretches in which a thread waited, or was suspended, longest first.
    seconds : float
        How long the recording took.
    verdict : RecordingVerdict
        What it means, as a code.
    sentence : str
        What it means, in words.
    """

    def __init__(self, facts: Facts | None = None) -> None:
        self._facts = facts

    @property
    def facts(self) -> Facts:
        """All figures, also of what was not seen."""
        if self._facts is None:
            msg = "the recording is still under way: its figures are there after the with block"
            raise RuntimeError(msg)
        return self._facts

    @property
    def threads(self) -> tuple[ThreadTimes, ...]:
        """All threads, those that waited longest first."""
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
        if facts.missed > UNSURE * facts.seconds:
            return RecordingVerdict.INCONCLUSIVE
        waiter = facts.threads[0]
        if waiter.stalled is None:
            return RecordingVerdict.INCONCLUSIVE
        if waiter.waiting is None:
            return RecordingVerdict.NO_GIL
        if waiter.waiting <= LITTLE * waiter.seconds:
            return RecordingVerdict.NO_WAIT
        in_c = self._blamed_on_c()
        if in_c is None:
            return RecordingVerdict.WAITED
        return RecordingVerdict.WAITED_FOR_C if in_c else RecordingVerdict.WAITED_FOR_BYTECODE

    def _blamed_on_c(self) -> bool | None:
        """Tell whether stalls were due to C calls, if it is known of most of their time."""
        seconds: dict[bool | None, float] = defaultdict(float)
        for stall in self.stalls:
            for holder in stall.holders:
                seconds[holder.in_c] += holder.seconds
        known = seconds[True] + seconds[False]
        if known <= MOST * (known + seconds[None]):
            return None
        return seconds[True] > seconds[False]

    @property
    def sentence(self) -> str:
        """What the recording means: one plain sentence that leads with waiting."""
        facts, verdict = self.facts, self.verdict
        if verdict is RecordingVerdict.NOTHING:
            return f"{verdict.text} in this process"
        waiter = facts.threads[0]
        if waiter.stalled is None:
            what = "wait for the GIL" if facts.gil else "are suspended"
            return f"{verdict.text}: the system does not tell here which threads {what}"
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
        """Say where others had the GIL, or stopped the world, while a thread waited for so long."""
        places: dict[Holder, float] = defaultdict(float)
        for stall in self.stalls:
            for holder in stall.holders if stall.waiter == waiter.name else ():
                place = dataclasses.replace(holder, seconds=0.0, in_c=None, callers=None)
                places[place] += holder.seconds
        if not places:
            return ""
        place, seconds = max(places.items(), key=lambda item: item[1])
        how = "for the most part" if seconds > MOST * waiting else "most often"
        who = place.thread or "a thread without a name"
        where = place_of(place)
        if where:
            return f", {how} while {who} was in {where}"
        return f", {how} while {who} {'had it' if self.facts.gil else 'was attached'}"

    def to_dict(self) -> dict[str, Any]:
        """Return the recording for JSON; what is not known is None.

        Threads have all keys on every Python. On one with a GIL, "attached", "suspended" and the
        longest of these are None, and so are "stopped" and "longest_stop" of the whole: for how
        long the world was stopped. On one without a GIL "held", "waiting" and their longest are.
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
        picture, which takes matplotlib. ``.json``: what `to_dict` returns. ``.trace.json`` or
        ``.trace.json.gz``: what each thread did when, for ui.perfetto.dev or chrome://tracing.
        ``.firefox.json``: the same, for profiler.firefox.com. Of a recording that is too long for a
        viewer, short slices are joined.

        Raises
        ------
        ValueError
            If the suffix is another one.
        ModuleNotFoundError
            If a picture is asked for, and matplotlib is missing.
        OSError
            If it can't be written; what was there stays.
        """
        try:
            encode = format_of(path)
        except ValueError as error:
            msg = f"path {error}"
            raise ValueError(msg) from None
        _files.write(str(path), encode(self))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: who had the GIL when, to zoom into."""
        from gilfree.recording.page import fragment

        return fragment(self)

    def __str__(self) -> str:
        """Return sentence, threads, the worst stalls, and what was not seen, in 80 columns."""
        return report(self.sentence, self.facts)


def _figures(one: Stall | Holder) -> dict[str, Any]:
    """Return what is known of a stall or a holder but its index, which the names stand for."""
    return {name: value for name, value in vars(one).items() if name != "index"}


@contextlib.contextmanager
def record(*, callers: bool = False) -> Iterator[Recording]:
    """Record all threads of this process for as long as the ``with`` block takes.

    A thread in C looks at them several thousand times a second. It never takes the GIL, so it waits
    for nobody and nobody waits for it. Times are those of threads of the system: all greenlets of a
    thread, as gevent makes them, are in its times. A forked child is not recorded, and may record
    itself.

    Parameters
    ----------
    callers : bool, default: False
        Of who had the GIL while others waited, take down the callers, too. Each look then takes
        longer, and so there are fewer.

    Yields
    ------
    Recording
        Its figures are there after the block. To print it gives a report.

    Raises
    ------
    RuntimeError
        If a recording is under way already.
    NoSamplerError
        If this system or this Python does not tell what it takes; a RuntimeError, too.

    Examples
    --------
    >>> import gilfree
    >>> with gilfree.record() as recording:
    ...     work()
    >>> print(recording)
    """
    recording, session = Recording(), Session(callers=callers)
    try:  # Ctrl-C may come as soon as it has started
        session.start()
        yield recording
    finally:
        recording._facts = session.finish()
