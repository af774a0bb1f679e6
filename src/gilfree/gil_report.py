"""What the probe found out about one callable, and the sentence that says what it means."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any

# An uncertainty of `held` that settles it.
SURE = 0.01
# What the verdict goes by.
RELEASED, HELD = 0.1, 0.9  # at most, at least this share of the call
MULTITHREADED = 1.2  # CPUs that one call keeps busy
SCALES = 0.7  # of what the machine can give
SLOWED = 0.7  # a speedup below this: worse than one call after the other
IMPOSSIBLE = 1.25  # a limit above so many times the workers: the calls in turn were disturbed
NO_ROOM = 1.25  # a limit below this: the machine had no second CPU to give
WAITS = 0.75  # CPU time at once over CPU time in turn and times workers: less, and calls wait


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
    longest_stall : float
        Seconds for which another Python thread would have been kept waiting, at the most.
        Bytecode gives way when asked; C code that holds the GIL does not.
    cpu : float or None
        CPUs that one call keeps busy: process CPU time over wall time.
    workers : int or None
        Threads that were tried.
    speedup : float or None
        That many calls one after the other, over the same calls at once. None for one worker.
    limit : float or None
        The same for a loop that is known to release the GIL: what the machine had to give.
    cpu_at_once : float or None
        How busy the calls at once kept the CPUs, beside what the known loop did: less than 1 if
        threads wait for each other.
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
    longest_stall: float
    cpu: float | None = None
    workers: int | None = None
    speedup: float | None = None
    limit: float | None = None
    cpu_at_once: float | None = None

    @property
    def conclusive(self) -> bool:
        """Whether `held` is known well enough to tell a call that holds from one that releases."""
        if self.held is None:
            return False
        if self.uncertainty <= 2 * SURE:
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
        # Asked to give way, bytecode does so long before a hold is over, and C code never.
        in_c = self.longest_stall > self.longest_hold / 5
        return "holds the GIL in C" if in_c else "holds the GIL in bytecode"

    @property
    def _summary_released(self) -> str:
        cpu, speedup, limit, busy = self.cpu, self.speedup, self.limit, self.cpu_at_once
        if cpu is not None and cpu > MULTITHREADED:
            return "already multithreaded"
        if cpu is None or speedup is None or limit is None or busy is None:
            return "speedup not measured"
        if limit > IMPOSSIBLE * (self.workers or 1):
            return "the machine was too busy to tell whether it scales"
        if speedup > NO_ROOM and speedup - 1 >= SCALES * (limit - 1):
            return "scales"
        if speedup < SLOWED:  # the GIL or a lock taken too often, pages, shared cache lines
            return "threads slow each other down"
        if limit < NO_ROOM and cpu > 1 / 4:  # a call that sleeps needs none
            return "no other CPU was free"
        if cpu < 1 / 2 or busy < WAITS:
            return "something other than the GIL serialises it"
        return "bound by memory"

    @property
    def verdict(self) -> str:
        """One plain sentence: whether the call releases the GIL, and whether threads help."""
        summary = self.summary
        if summary == "inconclusive" or self.held is None:
            gap, seconds = readable_time(self.largest_gap), readable_time(self.seconds)
            return (
                f"{summary}: {self.samples} samples at gaps of up to {gap} are too few for a call "
                f"of {seconds}"
            )
        share = f"{self.held:.0%} of the call"
        details = {
            "holds the GIL in C": (
                f"another thread waits for up to {readable_time(self.longest_stall)}, "
                "and more threads bring no speedup"
            ),
            "holds the GIL in bytecode": (
                "it gives way when another thread asks, but more threads bring no speedup"
            ),
            "releases the GIL in part": (
                f"held for {share}, at most {readable_time(self.longest_hold)} at a stretch"
            ),
            "released; already multithreaded": f"one call keeps {self.cpu or 0:.1f} CPUs busy",
            "no GIL in this build": f"attached to the interpreter for {share}",
        }
        parts = [details[summary]] if summary in details else []
        if not summary.startswith("holds") and self.speedup is not None:
            parts.append(f"{self.workers} threads are {self.speedup:.2f} times as fast as one")
        return f"{summary}: {'; '.join(parts)}" if parts else summary

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the result, for JSON."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["result"]
        return {**fields, "conclusive": self.conclusive, "verdict": self.verdict}

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
            (
                "stall",
                f"another Python thread waits for at most {readable_time(self.longest_stall)}",
            ),
            (
                "samples",
                f"{self.samples} in {self.calls} calls, "
                f"with gaps of up to {readable_time(self.largest_gap)}",
            ),
        ]
        if self.speedup is not None:
            limit = f"of the {self.limit:.2f}× this machine could give"
            rows.insert(3, ("speedup", f"{self.speedup:.2f}× on {self.workers} threads, {limit}"))
        lines = textwrap.wrap(f"{self.name}: {self.verdict}", 80, subsequent_indent="  ")
        return "\n".join([*lines, *(f"  {name:<9}{text}" for name, text in rows)])


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
