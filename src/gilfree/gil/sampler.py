"""The compiled sampler, or the reason why there is none here."""

from __future__ import annotations

import platform
import sys
from typing import Any


class NoSamplerError(RuntimeError):
    """There is no sampler for this system or this version of Python."""


def sampler() -> Any:
    """Return the module of the sampler, or say why there is none."""
    try:
        from gilfree.gil import _sampler as module
    except ImportError:
        msg = f"the probe needs Linux or macOS, and this is {sys.platform}"
        raise NoSamplerError(msg) from None
    if not module.KNOWS_PYTHON:
        msg = (
            f"the probe knows the thread states of CPython {module.KNOWN_PYTHONS}, and this is "
            f"{platform.python_version()}: all of gilfree works here but the probe"
        )
        raise NoSamplerError(msg)
    return module
