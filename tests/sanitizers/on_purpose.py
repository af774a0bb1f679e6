"""Mistakes that the sanitizers must report, as a check that they report any.

``python on_purpose.py race`` is for ThreadSanitizer, ``overflow`` for AddressSanitizer and
``misaligned`` for UndefinedBehaviorSanitizer. Each reports the line of _kernels.pyx.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from gilfree import _kernels
from gilfree._chunks import Chunks


def race() -> None:
    """Add to one counter from two threads that have both released the GIL.

    The calls must overlap. If one thread acquired the GIL after the other's call, that would order
    the accesses, and there would be no race.
    """
    counter = np.zeros(1, np.int64)
    together = Barrier(2, timeout=60)

    def count(_: int) -> None:
        together.wait()
        _kernels.count_nogil(counter, 50_000_000)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(count, range(2)))


def overflow() -> None:
    """Pass arrays of different lengths to a loop that does not check them."""
    _kernels.polyval_nogil(np.ones(1000), np.ones(2), np.empty(500), Chunks(1000))


def misaligned() -> None:
    """Pass doubles whose address is not a multiple of eight."""
    doubles = np.zeros(81, np.uint8)[1:].view(np.float64)
    _kernels.sum_of_squares_nogil(doubles, np.empty(1), Chunks(1))


if __name__ == "__main__":
    {"race": race, "overflow": overflow, "misaligned": misaligned}[sys.argv[1]]()
