"""Checks of arguments that several modules take."""

from __future__ import annotations

import contextlib
import math
import operator

UNITS = {"ms": 1e-3, "us": 1e-6, "µs": 1e-6, "s": 1.0}


def whole_number(name: str, value: int, least: int = 1, most: int | None = None) -> int:
    """Return `value` as an int from `least` to `most`, or raise for the argument `name`."""
    try:
        number = operator.index(value)
    except TypeError:
        msg = f"{name} must be a whole number, not {type(value).__name__}"
        raise TypeError(msg) from None
    if number < least or (most is not None and number > most):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        msg = f"{name} must be {bounds}, not {number}"
        raise ValueError(msg)
    return number


def seconds_of(time: object) -> float:
    """Return a time in seconds, given as a number of seconds or as text with a unit."""
    number = -1.0
    if isinstance(time, str):
        unit = next((unit for unit in UNITS if time.endswith(unit)), "")
        with contextlib.suppress(ValueError):
            number = float(time.removesuffix(unit)) * UNITS.get(unit, 1.0)
    elif isinstance(time, int | float) and not isinstance(time, bool):
        number = float(time)
    if not 0 <= number < math.inf:
        msg = f"must be a time such as 50ms, 0.05s or 200us, or a number of seconds, not {time!r}"
        raise ValueError(msg)
    return number
