"""The figures of a recording: threads with their times, stalls, slices, and what was not seen."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple


@dataclasses.dataclass(frozen=True)
class ThreadTimes:
    """The times of one thread within a recording, in seconds.

    Attributes
    ----------
    name : str or None
        The name that `threading` gave it, else the system; None if neither did.
    native_id : int
        The system's number of the thread.
    seconds : float
        Its life within the recording: the sum of the next four.
    held : float or None
        Time in which it held the GIL. None without a GIL: see `attached`.
    waiting : float or None
        Time in which it waited for the GIL. None without a GIL: see `suspended`. `waiting`,
        `running` and `blocked` are None if the system did not tell the state in every sample.
    running : float or None
        Time in which it ran C code without the GIL, on a CPU or ready for one.
    blocked : float or None
        Time in which it slept: in a lock, in I/O.
    longest_hold, longest_wait : float or None
        The longest single hold, and the longest single wait.
    acquired : int
        How often it acquired the GIL, or attached. Holds that begin and end between two samples
        are not counted.
    attached : float or None
        Without a GIL, instead of `held`: time in which it was attached to the interpreter. Then it
        runs Python, or C code that may touch Python's objects; any number of threads may do so
        concurrently. None with a GIL.
    suspended : float or None
        Without a GIL, instead of `waiting`: time in which it slept because the world was stopped,
        for example by the garbage collector. It was stopped while it ran Python, or wanted to
        attach. Threads that stay in C are not suspended. None with a GIL.
    longest_attached, longest_suspended : float or None
        The longest single period of each.
    """

    name: str | None
    native_id: int
    seconds: float
    held: float | None
    waiting: float | None
    running: float | None
    blocked: float | None
    longest_hold: float | None
    longest_wait: float | None
    acquired: int
    attached: float | None = None
    suspended: float | None = None
    longest_attached: float | None = None
    longest_suspended: float | None = None

    @property
    def stalled(self) -> float | None:
        """Time in which it wanted to run Python and could not: it was waiting, or suspended."""
        return self.suspended if self.waiting is None else self.waiting

    @property
    def longest_stall(self) -> float | None:
        """The longest single period of that."""
        return self.longest_suspended if self.longest_wait is None else self.longest_wait


class Caller(NamedTuple):
    """A caller's place in Python; None for what could not be read."""

    file: str | None
    line: int | None
    function: str | None


@dataclasses.dataclass(frozen=True)
class Holder:
    """A thread that held the GIL during a part of a stall, and its place in Python.

    Without a GIL: the thread that stopped the world; or, until the world had stopped, a thread that
    was still attached.

    Attributes
    ----------
    thread : str or None
        Name of the thread.
    seconds : float
        Time in which it held the GIL at this place, or was attached, within the stall.
    file, function : str or None
        Its place in Python; None if that could not be read.
    line : int or None
        The line in that file.
    in_c : bool or None
        Whether it was in one call of C code: it stayed at one instruction, and did not release the
        GIL on request, as bytecode does. None if that is unknown: it was in only one sample, or
        released the GIL after the switch interval, as a loop around short calls does.
    index : int or None
        Index of the thread in `Recording.threads`: names may repeat.
    callers : tuple of Caller, or None
        Its callers, the nearest first, at most 16. None if the recording keeps no callers, or
        if it has too many different ones.
    """

    thread: str | None
    seconds: float
    file: str | None
    line: int | None
    function: str | None
    in_c: bool | None
    index: int | None = dataclasses.field(default=None, compare=False)
    callers: tuple[Caller, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Stall:
    """A wait for the GIL of a millisecond or more; without a GIL, a suspension.

    Attributes
    ----------
    waiter : str or None
        Name of the thread that waited.
    start : float
        Seconds from the beginning of the recording.
    seconds : float
        Length of the wait.
    holders : tuple of Holder
        The threads that held the GIL during the wait, longest first. If their times add up to less,
        no thread held it for the rest, or the holder is unknown.
    index : int or None
        Index of the waiting thread in `Recording.threads`: names may repeat.
    """

    waiter: str | None
    start: float
    seconds: float
    holders: tuple[Holder, ...]
    index: int | None = dataclasses.field(default=None, compare=False)


class Slices(NamedTuple):
    """The states of each thread over time, as the recorder stored them.

    Attributes
    ----------
    found : bytes
        An array of `timeline.SLICE`, ordered by the end of the slices.
    begin : int
        Start of the recording, in nanoseconds.
    order : tuple of int
        For each thread of the recording, its number in `found`.
    grain : float
        Neighbouring slices of a thread shorter than `grain` seconds together were joined; 0: none.
    """

    found: bytes
    begin: int
    order: tuple[int, ...]
    grain: float


NO_SLICES = Slices(b"", 0, (), 0.0)


@dataclasses.dataclass(frozen=True)
class Facts:
    """All figures of a recording.

    Attributes
    ----------
    seconds : float
        Length of the recording.
    threads : tuple of ThreadTimes
        The threads, those that waited longest first.
    stalls : tuple of Stall
        The stalls, longest first.
    looks : int
        Number of samples.
    missed, largest_gap : float
        Seconds in gaps between two samples too long to tell what happened in them; and the longest
        gap.
    dropped_stalls, unlisted_threads : int
        Stalls and threads beyond those that a recording can keep.
    unseen_threads : int
        Threads that `threading` started and that ended before the next sample.
    slices : Slices
        The states of each thread over time.
    process : int
        The process id.
    started : float
        Start of the recording, in seconds since 1970.
    callers : bool
        Whether the recording kept callers.
    gil : bool
        Whether this Python had a GIL when the recording began. Without one, threads were attached
        instead of holding it, and suspended instead of waiting for it.
    gil_came : bool
        Whether the import of a module switched the GIL on during the recording. From then on,
        attached threads held the GIL, and suspended ones waited for it.
    stopped, longest_stop : float or None
        Seconds in which a thread stopped the world or prepared to, and the longest single stop. A
        stop that begins and ends between two samples is not counted. None with a GIL, and if
        gilfree was compiled for another layout of Python's structures.
    """

    seconds: float
    threads: tuple[ThreadTimes, ...]
    stalls: tuple[Stall, ...]
    looks: int = 0
    missed: float = 0.0
    largest_gap: float = 0.0
    dropped_stalls: int = 0
    unlisted_threads: int = 0
    unseen_threads: int = 0
    slices: Slices = NO_SLICES
    process: int = 0
    started: float = 0.0
    callers: bool = False
    gil: bool = True
    gil_came: bool = False
    stopped: float | None = None
    longest_stop: float | None = None
