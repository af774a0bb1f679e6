"""The verdict on a call: a stable code, the words for it, and the thresholds that decide."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Self

# An uncertainty of `held` that settles it.
SURE = 0.01
# An uncertainty with which a call that holds can still be told from one that releases.
CONCLUSIVE = 2 * SURE
# At most, at least this share of the call: released, held.
RELEASED, HELD = 0.1, 0.9
MULTITHREADED = 1.2  # CPUs that one call keeps busy
# Of what the machine can give beyond one thread: threads help; they do, although they fight for the
# GIL in a recording, for that may not break out in the rounds that are clocked, or in some.
HELPS, WELL = 1 / 3, 1 / 2
SLOWED = 0.7  # a speedup below this: worse than one call after the other
NO_ROOM = 1.25  # a limit below this: the machine had no second CPU to give
SLEEPS = 1 / 4  # CPUs that one call keeps busy: with less it needs no CPU of its own
# A cause is named if it took at least so much of the time of threads at once, and so much of that
# part of it in which they did not get on with the work.
MUCH, MOST = 0.2, 1 / 2
# Waiting for the GIL is as it should be if threads, as fast as they get on, have a use for it for
# so much of the time or more.
IN_USE = 1 / 2
# Time that passes on a CPU, or before there is one, is the GIL's if that goes to another thread so
# many times a call, at least, and it is so many seconds each time, at most.
OFTEN, HANDOVER = 5, 20e-6
# A hold this many times as long as it takes to wake a thread can be told from that.
EVIDENT = 5
# Another thread that waits for at least, at most so much of the hold: it is C, it is bytecode.
STALLS_IN_C, STALLS_IN_BYTECODE = 1 / 2, 1 / 4


class Kind(enum.Enum):
    """What a call does with the GIL, in one word: most of what a verdict says."""

    HELD = "held"
    PARTLY = "partly"
    RELEASED = "released"
    INCONCLUSIVE = "inconclusive"
    NO_GIL = "no_gil"


class Verdict(enum.Enum):
    """Whether a call releases the GIL, and whether threads help.

    The value is a code that stays the same from release to release.

    Attributes
    ----------
    kind : Kind
    text : str
        The verdict in a few words, which may become better ones.
    """

    kind: Kind
    text: str

    def __new__(cls, code: str, kind: Kind, text: str) -> Self:
        """Make a member of its code alone, with the rest as attributes."""
        verdict = object.__new__(cls)
        verdict._value_ = code
        verdict.kind = kind
        verdict.text = text
        return verdict

    INCONCLUSIVE = "inconclusive", Kind.INCONCLUSIVE, "inconclusive"
    NO_GIL = "no_gil", Kind.NO_GIL, "no GIL in this build"
    HOLDS = "holds", Kind.HELD, "holds the GIL"
    HOLDS_IN_C = "holds_in_c", Kind.HELD, "holds the GIL in C"
    HOLDS_IN_BYTECODE = "holds_in_bytecode", Kind.HELD, "holds the GIL in bytecode"
    PARTLY = "partly", Kind.PARTLY, "releases the GIL in part"
    HELP = "released_threads_help", Kind.RELEASED, "released; threads help"
    LITTLE = "released_threads_gain_little", Kind.RELEASED, "released; threads gain little"
    SLOWED = (
        "released_threads_slow_down",
        Kind.RELEASED,
        "released; threads slow each other down",
    )
    FOUGHT_OVER = (
        "released_taken_back_too_often",
        Kind.RELEASED,
        "releases the GIL, and takes it back too often",
    )
    LOCKED = "released_threads_block", Kind.RELEASED, "released; threads wait for each other"
    MEMORY = "released_memory_or_core", Kind.RELEASED, "released; threads share memory or a core"
    NO_CPU = "released_no_cpu", Kind.RELEASED, "released; no other CPU was free"
    MULTITHREADED = "released_multithreaded", Kind.RELEASED, "released; already multithreaded"
    ONLY_HERE = (
        "released_this_thread_only",
        Kind.RELEASED,
        "released; can't be called from another thread",
    )
    ONLY_ALONE = (
        "released_one_at_a_time",
        Kind.RELEASED,
        "released; can't be called by several threads at once",
    )
    NO_SPEEDUP = "released_speedup_unknown", Kind.RELEASED, "released; speedup not measured"


def kind_of(held: float) -> Kind:
    """Return what a share of the call in which the GIL is held makes it."""
    if held <= RELEASED:
        return Kind.RELEASED
    return Kind.HELD if held >= HELD else Kind.PARTLY


def of_hold(seconds: float, longest_stall: float | None, wakeup: float) -> Verdict:
    """Return the verdict on a call that holds the GIL.

    Asked to give way, bytecode does so long before a hold is over, and C code never.
    """
    if longest_stall is not None and seconds > EVIDENT * wakeup:
        if longest_stall > STALLS_IN_C * seconds:
            return Verdict.HOLDS_IN_C
        if longest_stall < STALLS_IN_BYTECODE * seconds:
            return Verdict.HOLDS_IN_BYTECODE
    return Verdict.HOLDS


def cause_of(lost: Mapping[Verdict | None, float]) -> Verdict | None:
    """Return what kept threads from their work for most of the time lost, if that was much.

    Parameters
    ----------
    lost : mapping
        Shares of their time by cause; None is for what is as it should be.
    """
    cause = max(lost, key=lambda cause: lost[cause], default=None)
    if cause is None or lost[cause] < max(MUCH, MOST * sum(lost.values())):
        return None
    return cause


def gains(share: float, speedup: float | None, limit: float | None) -> bool:
    """Tell whether threads gain such a share of what the machine can give beyond one thread."""
    if speedup is None or limit is None:
        return False
    return speedup > NO_ROOM and speedup - 1 >= share * (limit - 1)


def of_release(
    cpu: float | None, speedup: float | None, limit: float | None, cause: Verdict | None = None
) -> Verdict:
    """Return the verdict on a call that releases the GIL and bears several threads."""
    if cpu is not None and cpu > MULTITHREADED:
        return Verdict.MULTITHREADED
    if cpu is None or speedup is None or limit is None:
        return Verdict.NO_SPEEDUP
    if gains(HELPS, speedup, limit) and cause is not Verdict.FOUGHT_OVER:
        return Verdict.HELP
    if cause is not None:
        return cause
    if speedup < SLOWED:
        return Verdict.SLOWED
    if limit < NO_ROOM and cpu > SLEEPS:
        return Verdict.NO_CPU
    return Verdict.LITTLE
