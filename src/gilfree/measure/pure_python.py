"""The loop of a kernel in pure Python, on threads: it shows what the GIL costs bytecode."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

from gilfree.kernels.record import Loop


def run(loop: Loop, executor: Executor, workers: int) -> list[Any]:
    """Run the loop in chunks on the executor's workers; return the result of each chunk."""
    work, size = loop
    if workers == 1:
        return [work(0, size)]
    chunks = 8 * workers  # some take longer than others
    borders = [size * number // chunks for number in range(chunks + 1)]
    return list(executor.map(work, borders[:-1], borders[1:]))
