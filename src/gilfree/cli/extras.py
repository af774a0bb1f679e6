"""Modules that need an optional package; if it is missing, an error says what to install."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from gilfree.cli.arguments import UsageError


def terminal(otherwise: str = ", or use --json") -> Any:
    """Return the module that writes to a terminal; a UsageError says what to install."""
    try:
        from gilfree.show import terminal as module
    except ModuleNotFoundError as error:
        msg = f"this command needs {error.name}: pip install {error.name}{otherwise}"
        raise UsageError(msg) from error
    return module


def scaling() -> Any:
    """Return the module that draws; a UsageError says what to install."""
    try:
        from gilfree.show import scaling as module
    except ModuleNotFoundError as error:
        msg = f"a picture needs {error.name}: pip install {error.name}"
        raise UsageError(msg) from error
    return module


def need_matplotlib() -> None:
    """Raise a UsageError if matplotlib is missing, without importing it into the user's program."""
    if importlib.util.find_spec("matplotlib") is None:
        msg = "a picture needs matplotlib: pip install matplotlib"
        raise UsageError(msg)


def progress() -> AbstractContextManager[Callable[[str, float], object]]:
    """Return a progress bar; without rich, a function that does nothing."""
    try:
        from gilfree.show.terminal import progress
    except ModuleNotFoundError:
        return contextlib.nullcontext(lambda *_: None)
    return progress()
