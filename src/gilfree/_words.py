"""Figures as text: times, shares, speedups, counts."""

from __future__ import annotations


def readable_time(seconds: float) -> str:
    """Return a time to three digits, in the unit that suits it."""
    for unit, name in (1, "s"), (1e-3, "ms"), (1e-6, "µs"):
        if seconds >= 0.9995 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 1e-9:.0f} ns"


def share(value: float | None) -> str:
    """Return a share as text of at most four characters."""
    return "–" if value is None else f"{value:.0%}"


def exact_share(value: float) -> str:
    """Return a share as a percentage; one that is not quite 0 or 1 is not shown as that."""
    if 0 < value < 0.005:
        return "under 1%"
    return "over 99%" if 0.995 <= value < 1 else f"{value:.0%}"


def counted(number: int, noun: str) -> str:
    """Return a number of things, in the singular or plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
