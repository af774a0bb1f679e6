"""What several sentences and notes say, and what they take for a speedup."""

from __future__ import annotations

# Speedups that are taken for none at all, and for something.
NONE, SOME = 1.15, 1.2
NOTHING = "Nothing was measured."
BUSY = "Is the machine busy with other work?"
ABOVE = (
    "What is above the limit is not better than the machine: that was busy with other work, or its "
    "limit was measured too low."
)
ONE_CPU = "This process may use one CPU only, so nothing can run at the same time here."
TWO_MEDIANS = "Median ± half the interquartile range; speedup: one median over the other."


def times_as_fast(speedup: float) -> str:
    """Return how a speedup is said."""
    if speedup >= 1 / NONE:
        return f"{speedup:.2f} times as fast as"
    slower = 1 / speedup
    return f"{slower:.{0 if slower > 10 else 1}f} times slower than"


def up_to(lost: int, updates: int) -> str:
    """Return how many updates were lost at most: a share where that says something."""
    share = lost / updates
    if not lost:
        return "no updates"
    return f"up to {share:.0%} of the updates" if share >= 0.01 else f"up to {lost} updates"


def is_above(speedup: float, limit: float) -> bool:
    """Tell whether a speedup is above the machine's limit, as both are shown."""
    return round(speedup, 2) > round(limit, 2)
