"""Phrases that several sentences and notes use, and what counts as a speedup."""

from __future__ import annotations

# A slowdown up to NONE counts as no change; a speedup counts from SOME on.
NONE, SOME = 1.15, 1.2
NOTHING = "Nothing was measured."
BUSY = "Is the machine busy with other work?"
ABOVE = (
    "Figures above the limit don't beat the machine: it was busy with other work, or its limit was "
    "measured too low."
)
ONE_CPU = "This process may use only one CPU, so nothing can run concurrently here."
TWO_MEDIANS = "Median ± half the interquartile range; speedup: one median over the other."


def times_as_fast(speedup: float) -> str:
    """Return a speedup in words."""
    if speedup >= 1 / NONE:
        return f"{speedup:.2f} times as fast as"
    slower = 1 / speedup
    return f"{slower:.{0 if slower > 10 else 1}f} times slower than"


def up_to(lost: int, updates: int) -> str:
    """Return how many updates were lost at most: as a share if that is at least 1%."""
    share = lost / updates
    if not lost:
        return "no updates"
    return f"up to {share:.0%} of the updates" if share >= 0.01 else f"up to {lost} updates"


def is_above(speedup: float, limit: float) -> bool:
    """Tell whether a speedup is above the machine's limit, both rounded as in the table."""
    return round(speedup, 2) > round(limit, 2)
