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
        As `threading` has it, else the system; None if neither gave it one.
    native_id : int
        Its number in the system.
    seconds : float
        For how long it lived within the recording: the sum of the next four.
    held : float or None
        It had the GIL. None on a Python without: see `attached`.
    waiting : float or None
        It wanted the GIL. None on a Python without: see `suspended`; and None, as the next two, if
        the system did not tell all the time.
    running : float or None
        It ran C code without the GIL, on a CPU or in wait of one.
    blocked : float or None
        It slept: in a lock, in I/O.
    longest_hold, longest_wait : float or None
        For how long it had the GIL, or waited for it, at a stretch.
    acquired : int
        How often it acquired the GIL, or attached, at least: what is over between two looks is not
        seen.
    attached : float or None
        Without a GIL, instead of `held`: it had its thread state, and so ran Python, or C code that
        may touch Python's objects; any number of threads may at once. None with a GIL.
    suspended : float or None
        Without a GIL, instead of `waiting`: it was stopped amid Python, or wanted to attach, and
        had to sleep since the world was stopped, for the garbage collector for one. (A thread that
        ran or slept in C meanwhile and wanted nothing of Python is not meant.)
    longest_attached, longest_suspended : float or None
        The same at a stretch.
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
        """For how long it wanted to run Python and could not: it was waiting, or suspended."""
        return self.suspended if self.waiting is None else self.waiting

    @property
    def longest_stall(self) -> float | None:
        """The same at a stretch."""
        return self.longest_suspended if self.longest_wait is None else self.longest_wait


class Caller(NamedTuple):
    """A place in Python that was called from; None for what could not be read."""

    file: str | None
    line: int | None
    function: str | None


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who had the GIL during a part of a stall, and where.

    Without a GIL: who stopped the world; or, until it had stopped, who was still attached.

    Attributes
    ----------
    thread : str or None
        Name of the thread.
    seconds : float
        For how long it had the GIL there, or was attached, within the stall.
    file, function : str or None
        Where it was in Python; None where that could not be read.
    line : int or None
        In that file.
    in_c : bool or None
        Whether it was in one call of C code: at the same instruction all the time, and not giving
        way when it was asked to, as bytecode does. None if that can't be told: it was seen there
        only once, or gave way after the switch interval, as a loop around short calls does.
    index : int or None
        Of the thread in `Recording.threads`: names may repeat.
    callers : tuple of Caller, or None
        File, line and function of its caller, of the caller of that, and so on, at most 16. None if
        nobody asked for them, or if there was no room for more.
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
    """A stretch of a millisecond or more in which a thread waited for the GIL, or was suspended.

    Attributes
    ----------
    waiter : str or None
        Name of the thread.
    start : float
        Seconds from the beginning of the recording.
    seconds : float
        For how long it waited.
    holders : tuple of Holder
        Who had the GIL meanwhile, longest first. Their times may add up to less: for the rest,
        nobody had it, or it is not known who.
    index : int or None
        Of the thread in `Recording.threads`: names may repeat.
    """

    waiter: str | None
    start: float
    seconds: float
    holders: tuple[Holder, ...]
    index: int | None = dataclasses.field(default=None, compare=False)


class Slices(NamedTuple):
    """What each thread did when, as the recorder found it.

    Attributes
    ----------
    found : bytes
        An array of `timeline.SLICE`, in the order in which they ended.
    begin : int
        When the recording began, in nanoseconds.
    order : tuple of int
        Of each thread of the recording, the number that it has in `found`.
    grain : float
        Slices of a thread that together were shorter than so many seconds were joined; 0 if none.
    """

    found: bytes
    begin: int
    order: tuple[int, ...]
    grain: float


NO_SLICES = Slices(b"", 0, (), 0.0)


@dataclasses.dataclass(frozen=True)
class Facts:
    """All that a recording has found.

    Attributes
    ----------
    seconds : float
        How long it took.
    looks : int
        How often the recorder looked at all threads.
    missed, largest_gap : float
        Seconds in gaps between two looks that were so long that little is known of them; and the
        longest gap of all.
    dropped_stalls, unlisted_threads : int
        What there was no room for.
    unseen_threads : int
        Threads that `threading` started and that ended before they were looked at.
    slices : Slices
        What each thread did when.
    process : int
        Its number in the system.
    started : float
        When the recording began, in seconds since 1970.
    callers : bool
        Whether somebody asked for them.
    gil : bool
        Whether this Python had a GIL when the recording began. Without, threads were attached or
        suspended instead of holding it or waiting for it.
    gil_came : bool
        It was switched on meanwhile, by the import of a module that is not fit to run without. From
        then on, who was attached held it, and who was suspended waited for it.
    stopped, longest_stop : float or None
        Seconds in which a thread stopped the world, or was about to, and the longest of it at a
        stretch; None with a GIL, and where Python's insides are not those of its headers. What is
        over between two looks is not seen.
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
