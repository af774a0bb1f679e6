"""The loop of a kernel in pure Python, on threads: it shows what the GIL costs bytecode."""

from __future__ import annotations

from concurrent.futures import Executor
from operator import itemgetter
from typing import Any

from gilfree._chunks import Chunks
from gilfree.kernels.record import Loop


def run(loop: Loop, executor: Executor, workers: int) -> list[Any]:
    """Run the loop in chunks on this many of the executor's workers; return each chunk's result."""
    work, size = loop
    if workers == 1:
        return [work(0, size)]
    chunks = Chunks(size, 8 * workers)  # some take longer than others

    def take_chunks() -> list[tuple[int, Any]]:
        return [(chunk.start, work(chunk.start, chunk.stop)) for chunk in chunks]

    futures = [executor.submit(take_chunks) for _ in range(workers)]
    results = [result for future in futures for result in future.result()]
    return [result for _, result in sorted(results, key=itemgetter(0))]
