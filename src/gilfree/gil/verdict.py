"""The verdict on a call: a stable code, the words for it, and the thresholds that decide."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Self

# The probe samples a call until the uncertainty of `held` is at most SURE.
SURE = 0.01
# With an uncertainty of at most CONCLUSIVE, `held` decides the verdict.
CONCLUSIVE = 2 * SURE
# `held` is at most RELEASED: the call releases the GIL. At least HELD: it holds the GIL.
RELEASED, HELD = 0.1, 0.9
MULTITHREADED = 1.2  # a call that keeps more CPUs busy is multithreaded itself
# Threads help if their speedup reaches the share HELPS of the limit, both beyond 1. From the share
# WELL on, contention for the GIL in the recording is no cause: it hardly slowed the clocked rounds.
HELPS, WELL = 1 / 3, 1 / 2
SLOWED = 0.7  # a speedup below this: threads slow each other down
ONE_CPU = 1.25  # a limit below this: the machine had no second CPU free
SLEEPS = 1 / 4  # a call that keeps fewer CPUs busy needs no CPU of its own
# A cause is named if it took at least the share MUCH of the concurrent threads' time, and at least
# the share MOST of the time that they lost.
MUCH, MOST = 0.2, 1 / 2
# At the measured speedup, threads need the GIL for `held * speedup` of the time. If that is more
# than IN_USE, waiting for it is expected, and not named as a cause.
IN_USE = 1 / 2
# Lost CPU time and time without a CPU count as contention for the GIL if the GIL changes threads
# more than OFTEN times a call, and the lost time is less than HANDOVER seconds for each change.
OFTEN, HANDOVER = 5, 20e-6
# A hold longer than EVIDENT wake-ups of a thread can be told from a wake-up.
EVIDENT = 5
# The longest stall over the time of a call that holds the GIL: above STALLS_IN_C it holds it in C,
# below STALLS_IN_BYTECODE in bytecode.
STALLS_IN_C, STALLS_IN_BYTECODE = 1 / 2, 1 / 4


class Kind(enum.Enum):
    """What a call does with the GIL, in one word: a coarser verdict."""

    HELD = "held"
    PARTLY = "partly"
    RELEASED = "released"
    INCONCLUSIVE = "inconclusive"
    NO_GIL = "no_gil"


class Verdict(enum.Enum):
    """Whether a call releases the GIL, and whether threads help.

    The value is a code that stays the same in all releases of gilfree.

    Attributes
    ----------
    kind : Kind
    text : str
        The verdict in a few words, which later releases may improve.
    """

    kind: Kind
    text: str

    def __new__(cls, code: str, kind: Kind, text: str) -> Self:
        """Make a member whose value is the code; the rest become attributes."""
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
        "releases and reacquires the GIL too often",
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
        "released; can't be called by several threads concurrently",
    )
    NO_SPEEDUP = "released_speedup_unknown", Kind.RELEASED, "released; speedup not measured"


def kind_of(held: float) -> Kind:
    """Return the kind of a call that holds the GIL for the share `held` of its time."""
    if held <= RELEASED:
        return Kind.RELEASED
    return Kind.HELD if held >= HELD else Kind.PARTLY


def of_hold(seconds: float, longest_stall: float | None, wakeup: float) -> Verdict:
    """Return the verdict on a call that holds the GIL.

    On request, bytecode releases the GIL long before the call ends. C code does not check requests.
    """
    if longest_stall is not None and seconds > EVIDENT * wakeup:
        if longest_stall > STALLS_IN_C * seconds:
            return Verdict.HOLDS_IN_C
        if longest_stall < STALLS_IN_BYTECODE * seconds:
            return Verdict.HOLDS_IN_BYTECODE
    return Verdict.HOLDS


def cause_of(lost: Mapping[Verdict | None, float]) -> Verdict | None:
    """Return the cause of most of the time that threads lost; None if they lost little.

    Parameters
    ----------
    lost : mapping
        Lost shares of their time, by cause; the key None is for an expected loss.
    """
    cause = max(lost, key=lambda cause: lost[cause], default=None)
    if cause is None or lost[cause] < max(MUCH, MOST * sum(lost.values())):
        return None
    return cause


def gains(share: float, speedup: float | None, limit: float | None) -> bool:
    """Tell whether threads reach this share of the limit, both beyond a speedup of 1."""
    if speedup is None or limit is None:
        return False
    return speedup > ONE_CPU and speedup - 1 >= share * (limit - 1)


def of_release(
    cpu: float | None, speedup: float | None, limit: float | None, cause: Verdict | None = None
) -> Verdict:
    """Return the verdict on a call that releases the GIL and that several threads may call."""
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
    if limit < ONE_CPU and cpu > SLEEPS:
        return Verdict.NO_CPU
    return Verdict.LITTLE
