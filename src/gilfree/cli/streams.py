"""Standard output and errors, which a caller or a program may have closed."""

from __future__ import annotations

import os
import sys


def replace_closed() -> None:
    """Discard what is written to a closed stream, as Python does at exit, instead of failing."""
    for name in "stdout", "stderr":
        stream = getattr(sys, name)
        if stream is None or getattr(stream, "closed", False):
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  stays open until exit
