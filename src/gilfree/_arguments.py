"""What an argument must be, whoever takes it."""

from __future__ import annotations

import operator


def whole_number(name: str, value: int, least: int = 1, most: int | None = None) -> int:
    """Return `value` as an int within its bounds, or say what is wrong with the argument `name`."""
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
