"""What needs a package that is not always there: if it is missing, an error says which."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from gilfree.cli.arguments import UsageError


def terminal(otherwise: str = ", or use --json") -> Any:
    """Return the module that writes to a terminal, or say what it needs."""
    try:
        from gilfree.show import terminal as module
    except ModuleNotFoundError as error:
        msg = f"this command needs {error.name}: pip install {error.name}{otherwise}"
        raise UsageError(msg) from error
    return module


def scaling() -> Any:
    """Return the module that draws, or say what it needs."""
    try:
        from gilfree.show import scaling as module
    except ModuleNotFoundError as error:
        msg = f"a picture needs {error.name}: pip install {error.name}"
        raise UsageError(msg) from error
    return module


def need_matplotlib() -> None:
    """Say so if it is missing; import nothing, as a program is about to run that may care."""
    if importlib.util.find_spec("matplotlib") is None:
        msg = "a picture needs matplotlib: pip install matplotlib"
        raise UsageError(msg)


def progress() -> AbstractContextManager[Callable[[str, float], object]]:
    """Return a progress bar, where there is one to be had."""
    try:
        from gilfree.show.terminal import progress
    except ModuleNotFoundError:
        return contextlib.nullcontext(lambda *_: None)
    return progress()
