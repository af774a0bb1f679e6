"""The compiled sampler, or the reason why it is missing."""

from __future__ import annotations

import platform
import sys
from typing import Any


class NoSamplerError(RuntimeError):
    """gilfree can't read thread states on this system or this version of Python."""


def sampler() -> Any:
    """Return the compiled module of the sampler.

    Raises
    ------
    NoSamplerError
        On a system or a Python without a sampler.
    """
    try:
        from gilfree.gil import _sampler as module
    except ImportError:
        msg = f"the probe needs Linux or macOS, and this is {sys.platform}"
        raise NoSamplerError(msg) from None
    if not module.KNOWS_PYTHON:
        msg = (
            f"the probe supports CPython {module.KNOWN_PYTHONS}, and this is "
            f"{platform.python_version()}: the kernels work here"
        )
        raise NoSamplerError(msg)
    return module
