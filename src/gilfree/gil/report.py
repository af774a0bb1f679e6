"""The probe's report on one callable: the figures, the verdict, and both in words."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from typing import Any

from gilfree._words import counted, exact_share, readable_time
from gilfree.gil.card import fragment
from gilfree.gil.verdict import (
    CONCLUSIVE,
    HANDOVER,
    HELD,
    IN_USE,
    OFTEN,
    ONE_CPU,
    WELL,
    Kind,
    Verdict,
    cause_of,
    gains,
    kind_of,
    of_hold,
    of_release,
)

# The sampler samples every 20 µs. With a gap longer than BUSY_GAP, it had to wait for a CPU.
BUSY_GAP = 1e-3  # seconds
# A call that computes can't gain more than the limit. DOUBTFUL times the limit is an error.
DOUBTFUL = 1.1


@dataclasses.dataclass(frozen=True)
class GilReport:
    """What `probe` found out about one callable.

    Attributes
    ----------
    name : str
        Name of the callable.
    gil_enabled : bool
        False on a Python without a GIL: then "held" means "attached to the interpreter".
    seconds : float
        Median wall time of one call.
    calls : int
        Number of sampled calls.
    held : float or None
        Share of the call in which the calling thread held the GIL; None if no sample hit a call.
    uncertainty : float
        By how much `held` may be wrong: two standard deviations, and what gaps may hide.
    longest_hold : float or None
        The longest single hold, in seconds.
    samples : int
        Number of samples.
    largest_gap : float
        The longest time between two samples, in seconds: what is shorter may have been missed.
    result : object
        What the first call returned.
    longest_stall : float or None
        The longest time for which the call made another Python thread wait, in seconds. Bytecode
        releases the GIL on request; C code that holds the GIL does not. None if the probe was
        interrupted before this measurement.
    wakeup : float
        `longest_stall` of a call that releases the GIL immediately: the wake-up of a thread, in
        seconds. Only longer stalls can be told from it.
    release_cost : float
        Seconds that releasing and acquiring the GIL once costs.
    cpu : float or None
        CPUs that one call keeps busy: process CPU time over wall time.
    workers : int or None
        Number of threads for the speedup.
    speedup : float or None
        Time of `workers` calls one after the other, over that of the same calls concurrently; each
        is the shortest of several rounds. None for one worker.
    limit : float or None
        The same for a loop that is known to release the GIL: what the machine can give. It is the
        largest since this process began.
    waiting, blocked, running : float or None
        Shares of the time of concurrent threads, by a recording: they waited for the GIL; they
        slept, in a lock or in I/O; they ran C code without the GIL, or were ready to. For the rest
        they held it. None if nothing can be recorded, or a recording is under way already.
    no_cpu : float or None
        Share in which they neither waited nor were blocked, and had no CPU.
    handovers : float or None
        How often the GIL went from one thread to another in concurrent calls, for each call.
    cpu_growth : float or None
        CPU time of a concurrent call over that of a call alone, divided by the same ratio for the
        loop of `limit`.
    only_here : str or None
        The exception that the call raised in other threads, if it works only in the calling one.
    only_alone : str or None
        The exception that concurrent calls raised, if only one can run at a time.
    """

    name: str
    gil_enabled: bool
    seconds: float
    calls: int
    held: float | None
    uncertainty: float
    longest_hold: float | None
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
    waiting: float | None = None
    blocked: float | None = None
    running: float | None = None
    no_cpu: float | None = None
    handovers: float | None = None
    cpu_growth: float | None = None
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
        return kind_of(low) is kind_of(high)

    @property
    def verdict(self) -> Verdict:
        """What the figures mean, as a code."""
        cause = self._cause
        if self.held is None or not self.conclusive:
            # The GIL is contended, whether the call releases it in part or for all of its time.
            released = self.held is not None and self.held + self.uncertainty < HELD
            return cause if released and cause is Verdict.FOUGHT_OVER else Verdict.INCONCLUSIVE
        if not self.gil_enabled:
            return Verdict.NO_GIL
        kind = kind_of(self.held)
        if kind is Kind.HELD:
            return of_hold(self.seconds, self.longest_stall, self.wakeup)
        if kind is Kind.PARTLY:
            return cause if cause is Verdict.FOUGHT_OVER else Verdict.PARTLY
        if self.only_here is not None:
            return Verdict.ONLY_HERE
        if self.only_alone is not None:
            return Verdict.ONLY_ALONE
        return of_release(self.cpu, self.speedup, self.limit, cause)

    @property
    def _cause(self) -> Verdict | None:
        cause = cause_of(self._lost)
        contended = cause is Verdict.FOUGHT_OVER
        return None if contended and gains(WELL, self.speedup, self.limit) else cause

    @property
    def _lost(self) -> dict[Verdict | None, float]:
        """Shares of the concurrent threads' time that was lost, by cause."""
        if (
            self.waiting is None
            or self.blocked is None
            or self.no_cpu is None
            or not self.speedup
            or not self.workers
        ):
            return {}
        on_cpu = max(1 - self.waiting - self.blocked - self.no_cpu, 0)
        growth = max(self.cpu_growth or 1, 1)
        grown = on_cpu * (1 - 1 / growth)
        # A call that sleeps when alone also sleeps beside others: that time is not lost.
        asleep = max(1 - (self.cpu or 0), 0) * self.speedup / self.workers
        lost: dict[Verdict | None, float] = {
            Verdict.FOUGHT_OVER: self.waiting,
            Verdict.LOCKED: max(self.blocked - asleep, 0),
            Verdict.MEMORY: grown,
            Verdict.NO_CPU: self.no_cpu,
        }
        handovers = self.handovers or 0
        seconds = self.seconds * self.workers / self.speedup
        if handovers > OFTEN and (grown + self.no_cpu) * seconds < HANDOVER * handovers:
            # That little time for each handover is the handover itself. Threads without a CPU, or
            # with slow memory, lose more.
            lost[Verdict.FOUGHT_OVER] += lost.pop(Verdict.MEMORY) + lost.pop(Verdict.NO_CPU)
        elif (self.held or 0) * self.speedup > IN_USE:
            lost[None] = lost.pop(Verdict.FOUGHT_OVER)
        return lost

    @property
    def disturbed(self) -> bool:
        """Whether `speedup` is more than the machine can give: other work disturbed it."""
        if self.speedup is None or self.limit is None:
            return False
        return self.speedup > DOUBTFUL * self.limit and (self.cpu or 0) > 1 / 2

    @property
    def sentence(self) -> str:
        """The verdict in words, with its figures: one plain sentence."""
        verdict = self.verdict
        if verdict is Verdict.INCONCLUSIVE or self.held is None:
            return "; ".join([f"{verdict.text}: {self._what_samples_tell}", *self._refusals()])
        shown = exact_share(self.held)
        if verdict is Verdict.NO_GIL:
            parts = [f"attached to the interpreter for {shown} of the call"]
        else:
            parts = [f"held for {shown} of the call"]
        if verdict is Verdict.PARTLY:
            parts[0] += f", at most {readable_time(self.longest_hold or 0)} at a stretch"
        parts += self._effect_on_threads(verdict)
        return f"{verdict.text}: {'; '.join(parts)}"

    def _effect_on_threads(self, verdict: Verdict) -> Iterator[str]:
        """Say what the call means for other threads, as far as it was measured."""
        if verdict is Verdict.HOLDS_IN_C:
            yield f"another thread waits for up to {readable_time(self.longest_stall or 0)}"
        elif verdict is Verdict.HOLDS_IN_BYTECODE:
            yield "it releases the GIL when another thread requests it"
        if self.seconds < self.wakeup:
            yield (
                f"{readable_time(self.seconds)} is too short to share among threads: waking one "
                f"takes {readable_time(self.wakeup)}, a release costs "
                f"{readable_time(self.release_cost)}"
            )
        if refusals := list(self._refusals()):
            yield from refusals
        elif verdict.kind is Kind.HELD:
            yield "more threads bring no speedup"
            if (self.speedup or 0) > ONE_CPU:
                yield f"the measured {self.speedup:.2f}× came from other work on this machine"
        elif verdict is Verdict.MULTITHREADED:
            yield f"one call keeps {self.cpu or 0:.1f} CPUs busy"
        else:
            yield from self._evidence(verdict)
        if self.speedup is not None and verdict.kind is not Kind.HELD:
            gain = f"{self.workers} threads gain {self.speedup:.2f}×"
            yield f"{gain}, the machine could give {self.limit:.2f}×"
            if self.disturbed:
                yield "other work on this machine disturbed the measurement"

    def _evidence(self, verdict: Verdict) -> Iterator[str]:
        """Name the figures that show the cause."""
        share = f"{self._lost.get(verdict, 0):.0%} of the time"
        if verdict is Verdict.FOUGHT_OVER and self.handovers is not None:
            yield f"threads wait for the GIL or hand it over for {share}"
            yield f"it goes to another thread {counted(round(self.handovers), 'time')} a call"
        elif verdict is Verdict.LOCKED:
            yield f"threads are blocked for {share}, by a lock or the like"
        elif verdict is Verdict.MEMORY:
            yield f"a concurrent call needs {self.cpu_growth:.2f}× the CPU time"
        elif verdict is self._cause:  # no CPU
            yield f"threads have no CPU for {share}"

    def _refusals(self) -> Iterator[str]:
        if self.only_here is not None:
            yield f"in another thread it raises {self.only_here}"
        if self.only_alone is not None:
            yield f"concurrent calls raise {self.only_alone}"

    @property
    def _what_samples_tell(self) -> str:
        samples = counted(self.samples, "sample")
        if self.held is None:
            return f"{samples} of a call of {readable_time(self.seconds)}"
        low, high = max(self.held - self.uncertainty, 0), min(self.held + self.uncertainty, 1)
        advice = "probe a call that takes longer"
        if self.largest_gap > BUSY_GAP:
            advice = "other programs kept the CPUs busy: probe again when they have less to do"
        return (
            f"held for {low:.0%} to {high:.0%} of the call, by {samples} "
            f"with gaps of up to {readable_time(self.largest_gap)}; {advice}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the result, for JSON."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["result"]
        return {
            **fields,
            "conclusive": self.conclusive,
            "verdict": self.verdict.value,
            "sentence": self.sentence,
        }

    @property
    def _stall_row(self) -> str:
        if self.longest_stall is None:
            return "not measured"
        if self.longest_stall > 2 * self.wakeup:
            return f"another Python thread waits for at most {readable_time(self.longest_stall)}"
        wakeup = readable_time(max(self.wakeup, self.longest_stall))
        return f"another Python thread waits no longer than its wake-up takes, {wakeup}"

    @property
    def _rows(self) -> list[tuple[str, str]]:
        """Names and figures, as text."""
        held = "unknown" if self.held is None else f"{self.held:.1%} ± {self.uncertainty:.1%}"
        stretch = ""
        if self.longest_hold is not None:
            stretch = f", at most {readable_time(self.longest_hold)} at a stretch"
        cpu = "" if self.cpu is None else f", which keeps {self.cpu:.2f} CPUs busy"
        rows = [
            ("time", f"{readable_time(self.seconds)} a call{cpu}"),
            (
                "held" if self.gil_enabled else "attached",
                f"{held} of the call{stretch}",
            ),
            ("stall", self._stall_row),
            (
                "samples",
                f"{self.samples:,} in {counted(self.calls, 'call')}, "
                f"with gaps of up to {readable_time(self.largest_gap)}",
            ),
        ]
        if self.speedup is not None:
            limit = f"of the {self.limit:.2f}× this machine could give"
            rows.insert(3, ("speedup", f"{self.speedup:.2f}× on {self.workers} threads, {limit}"))
        if None not in (self.waiting, self.blocked, self.no_cpu):
            shares = (
                f"waiting for the GIL {self.waiting:.0%}, blocked {self.blocked:.0%}, "
                f"without a CPU {self.no_cpu:.0%}"
            )
            rows.insert(4, ("together", shares))
        return rows

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return fragment(self, self._rows)

    def __str__(self) -> str:
        """Return the verdict and the figures, in lines of at most 80 columns."""
        lines = textwrap.wrap(f"{self.name}: {self.sentence}", 80, subsequent_indent="  ")
        return "\n".join([*lines, *(f"  {name:<9}{text}" for name, text in self._rows)])
