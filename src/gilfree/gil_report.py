"""What the probe found out about one callable, and the sentence that says what it means."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from typing import Any

# An uncertainty of `held` that settles it.
SURE = 0.01
# An uncertainty with which a call that holds can still be told from one that releases.
CONCLUSIVE = 2 * SURE
# What the verdict goes by.
RELEASED, HELD = 0.1, 0.9  # at most, at least this share of the call
MULTITHREADED = 1.2  # CPUs that one call keeps busy
HELPS = 1 / 3  # of what the machine can give beyond one thread
SLOWED = 0.7  # a speedup below this: worse than one call after the other
NO_ROOM = 1.25  # a limit below this: the machine had no second CPU to give
DOUBTFUL = 1.1  # a speedup of so many times the limit, of a call that computes
# A hold this many times as long as it takes to wake a thread can be told from that.
EVIDENT = 5
# Another thread that waits for at least, at most so much of the hold: it is C, it is bytecode.
STALLS_IN_C, STALLS_IN_BYTECODE = 1 / 2, 1 / 4


@dataclasses.dataclass(frozen=True)
class GilReport:
    """What `probe` found out about one callable.

    Attributes
    ----------
    name : str
        What was called.
    gil_enabled : bool
        False on a free-threaded build: read "attached to the interpreter" for "held" then.
    seconds : float
        Median wall time of one call.
    calls : int
        How many calls the passive look saw.
    held : float or None
        Share of the call in which the calling thread held the GIL; None if no sample hit a call.
    uncertainty : float
        How far `held` may be off, for two standard deviations of the samples.
    longest_hold : float
        Seconds for which it held the GIL at a stretch, at the most.
    samples : int
        Samples of the passive look.
    largest_gap : float
        Seconds between two of them, at the most: what is shorter may have been missed.
    result : object
        What the first call returned.
    longest_stall : float or None
        Seconds for which another Python thread would have been kept waiting, at the most; None if
        that look was cut short.
        Bytecode gives way when asked; C code that holds the GIL does not.
    wakeup : float
        What `longest_stall` is where the GIL is released as soon as somebody asks: what it takes
        to wake a thread. A stall is known only as far as it is longer.
    release_cost : float
        Seconds that it costs to release the GIL once and to acquire it again.
    cpu : float or None
        CPUs that one call keeps busy: process CPU time over wall time.
    workers : int or None
        Threads that were tried.
    speedup : float or None
        That many calls one after the other, over the same calls at once: the least of several
        rounds on either side. None for one worker.
    limit : float or None
        The same for a loop that is known to release the GIL: what the machine can give, the most
        that was seen since this process began.
    cpu_at_once : float or None
        How busy the calls at once kept the CPUs, beside what the known loop did: less than 1 if
        threads wait for each other.
    only_here : str or None
        What the call raised in another thread than the one that asked, if it can't run there.
    only_alone : str or None
        What it raised when several ran at once, if it can only run one at a time.
    """

    name: str
    gil_enabled: bool
    seconds: float
    calls: int
    held: float | None
    uncertainty: float
    longest_hold: float
    samples: int
    largest_gap: float
    result: Any = dataclasses.field(repr=False, compare=False)
    longest_stall: float | None
    wakeup: float = 0.0
    release_cost: float = 0.0
    cpu: float | None = None
    workers: int | None = None
    speedup: float | None = None
    limit: float | None = None
    cpu_at_once: float | None = None
    only_here: str | None = None
    only_alone: str | None = None

    @property
    def conclusive(self) -> bool:
        """Whether `held` is known well enough to tell a call that holds from one that releases."""
        if self.held is None:
            return False
        if self.uncertainty <= CONCLUSIVE:
            return True
        low, high = self.held - self.uncertainty, self.held + self.uncertainty
        return _kind(low) == _kind(high)

    @property
    def summary(self) -> str:
        """The verdict in a few words."""
        if self.held is None or not self.conclusive:
            return "inconclusive"
        if not self.gil_enabled:
            return "no GIL in this build"
        kind = _kind(self.held)
        if kind == "released":
            return f"released; {self._summary_released}"
        if kind == "partly":
            return "releases the GIL in part"
        if self.longest_stall is not None and self.seconds > EVIDENT * self.wakeup:
            # Asked to give way, bytecode does so long before a hold is over, and C code never.
            if self.longest_stall > STALLS_IN_C * self.seconds:
                return "holds the GIL in C"
            if self.longest_stall < STALLS_IN_BYTECODE * self.seconds:
                return "holds the GIL in bytecode"
        return "holds the GIL"

    @property
    def _summary_released(self) -> str:
        cpu, speedup, limit = self.cpu, self.speedup, self.limit
        if self.only_here is not None:
            return "can't be called from another thread"
        if self.only_alone is not None:
            return "can't be called by several threads at once"
        if cpu is not None and cpu > MULTITHREADED:
            return "already multithreaded"
        if cpu is None or speedup is None or limit is None:
            return "speedup not measured"
        if speedup > NO_ROOM and speedup - 1 >= HELPS * (limit - 1):
            return "threads help"
        if speedup < SLOWED:
            return "threads slow each other down"
        if limit < NO_ROOM and cpu > 1 / 4:  # a call that sleeps needs none
            return "no other CPU was free"
        return "threads gain little"

    @property
    def verdict(self) -> str:
        """One plain sentence: whether the call releases the GIL, and whether threads help."""
        summary = self.summary
        if summary == "inconclusive" or self.held is None:
            return "; ".join([f"{summary}: {self._what_samples_tell}", *self._refusals()])
        kind = _kind(self.held)
        shown = _share(self.held)
        if not self.gil_enabled:
            parts = [f"attached to the interpreter for {shown} of the call"]
        else:
            parts = [f"held for {shown} of the call"]
        if kind == "partly" and self.gil_enabled:
            parts[0] += f", at most {readable_time(self.longest_hold)} at a stretch"
        parts += self._effect_on_threads(summary, kind)
        return f"{summary}: {'; '.join(parts)}"

    def _effect_on_threads(self, summary: str, kind: str) -> Iterator[str]:
        """Say what the call means for other threads, as far as it was seen."""
        if kind == "held" and self.gil_enabled:
            if summary == "holds the GIL in C":
                yield f"another thread waits for up to {readable_time(self.longest_stall or 0)}"
            elif summary == "holds the GIL in bytecode":
                yield "it gives way when another thread asks"
        if self.seconds < self.wakeup:
            yield (
                f"{readable_time(self.seconds)} is too short to share among threads: to wake one "
                f"takes {readable_time(self.wakeup)}, a release costs "
                f"{readable_time(self.release_cost)}"
            )
        if refusals := list(self._refusals()):
            yield from refusals
        elif kind == "held" and self.gil_enabled:
            yield "more threads bring no speedup"
        elif "multithreaded" in summary:
            yield f"one call keeps {self.cpu or 0:.1f} CPUs busy"
        if self.speedup is not None and not (kind == "held" and self.gil_enabled):
            gain = f"{self.workers} threads gain {self.speedup:.2f}×"
            yield f"{gain}, the machine could give {self.limit:.2f}×"
            if self.speedup > DOUBTFUL * (self.limit or 0) and (self.cpu or 0) > 1 / 2:
                yield "it can't give less than it gave: something else was at work meanwhile"

    def _refusals(self) -> Iterator[str]:
        if self.only_here is not None:
            yield f"in another thread it raises {self.only_here}"
        if self.only_alone is not None:
            yield f"several calls at once raise {self.only_alone}"

    @property
    def _what_samples_tell(self) -> str:
        samples = _counted(self.samples, "sample")
        if self.held is None:
            return f"{samples} of a call of {readable_time(self.seconds)}"
        low, high = max(self.held - self.uncertainty, 0), min(self.held + self.uncertainty, 1)
        return (
            f"held for {low:.0%} to {high:.0%} of the call, as far as {samples} "
            f"with gaps of up to {readable_time(self.largest_gap)} tell"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the result, for JSON."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["result"]
        return {**fields, "conclusive": self.conclusive, "verdict": self.verdict}

    @property
    def _stall_row(self) -> str:
        if self.longest_stall is None:
            return "not looked at"
        if self.longest_stall > 2 * self.wakeup:
            return f"another Python thread waits for at most {readable_time(self.longest_stall)}"
        wakeup = readable_time(max(self.wakeup, self.longest_stall))
        return f"another Python thread waits no longer than waking it takes, {wakeup}"

    def __str__(self) -> str:
        """Return the verdict and the figures, in lines of at most 80 columns."""
        held = "unknown" if self.held is None else f"{self.held:.1%} ± {self.uncertainty:.1%}"
        cpu = "" if self.cpu is None else f", which keeps {self.cpu:.2f} CPUs busy"
        rows = [
            ("time", f"{readable_time(self.seconds)} a call{cpu}"),
            (
                "held" if self.gil_enabled else "attached",
                f"{held} of the call, at most {readable_time(self.longest_hold)} at a stretch",
            ),
            ("stall", self._stall_row),
            (
                "samples",
                f"{self.samples:,} in {_counted(self.calls, 'call')}, "
                f"with gaps of up to {readable_time(self.largest_gap)}",
            ),
        ]
        if self.speedup is not None:
            limit = f"of the {self.limit:.2f}× this machine could give"
            rows.insert(3, ("speedup", f"{self.speedup:.2f}× on {self.workers} threads, {limit}"))
        lines = textwrap.wrap(f"{self.name}: {self.verdict}", 80, subsequent_indent="  ")
        return "\n".join([*lines, *(f"  {name:<9}{text}" for name, text in rows)])


def _share(held: float) -> str:
    """Return a share as a percentage; one that is not quite 0 or 1 is not shown as that."""
    if 0 < held < 0.005:
        return "under 1%"
    return "over 99%" if 0.995 <= held < 1 else f"{held:.0%}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _kind(held: float) -> str:
    if held <= RELEASED:
        return "released"
    return "held" if held >= HELD else "partly"


def readable_time(seconds: float) -> str:
    """Return a time to three digits, in the unit that suits it."""
    for unit, name in (1, "s"), (1e-3, "ms"), (1e-6, "µs"):
        if seconds >= 0.9995 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 1e-9:.0f} ns"
