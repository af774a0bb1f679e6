"""Figures as text: times, shares, counts, and the environment of a measurement."""

from __future__ import annotations

from typing import Any


def readable_time(seconds: float) -> str:
    """Return a time with three significant digits and a unit; from 1,000 s on, with all digits."""
    if seconds >= 999.5:
        return f"{seconds:,.0f} s"
    for unit, name in (1, "s"), (1e-3, "ms"), (1e-6, "µs"):
        if seconds >= 0.9995 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 1e-9:.0f} ns"


def share(value: float | None) -> str:
    """Return a share as text of at most four characters."""
    return "–" if value is None else f"{value:.0%}"


def exact_share(value: float) -> str:
    """Return a share as a percentage that is only 0% or 100% if the share is exactly 0 or 1."""
    if 0 < value <= 0.005:
        return "under 1%"
    return "over 99%" if 0.995 <= value < 1 else f"{value:.0%}"


def counted(number: int, noun: str) -> str:
    """Return a number and a noun, in the singular or plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def environment_line(environment: dict[str, Any]) -> str:
    """Return the environment of a measurement in one line."""
    gil = "with the GIL" if environment["gil_enabled"] else "without a GIL"
    cpus = "1 CPU" if environment["cpus"] == 1 else f"{environment['cpus']} CPUs"
    return (
        f"{environment['implementation']} {environment['python']} {gil}, {cpus}, "
        f"switch interval {environment['switch_interval'] * 1e3:g} ms"
    )
