"""The loop of a kernel in pure Python, on threads: what the GIL costs those who never leave Python.

One thread at a time runs bytecode.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

from gilfree.kernels.record import Loop


def run(loop: Loop, executor: Executor, workers: int) -> list[Any]:
    """Run the loop in pieces, on so many workers at once; return what each piece returns."""
    work, size = loop
    if workers == 1:
        return [work(0, size)]
    pieces = 8 * workers  # some take longer than others
    borders = [size * number // pieces for number in range(pieces + 1)]
    return list(executor.map(work, borders[:-1], borders[1:]))
