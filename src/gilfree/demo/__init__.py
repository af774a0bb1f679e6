"""TELL: the seven steps of ``gilfree demo``, statements about the GIL that it measures.

A step is one file: what it measures, its typed row, its table and its sentence. What steps share is
in ``step`` (what a step is, and how one is run), ``setup`` (what they run on), ``timing``
(interleaved timings), ``table`` (rows, columns and figures) and ``phrases``.
"""

from __future__ import annotations

from typing import Any

from gilfree.demo import bytecode, counter, kernels, libraries, processes, waiting, without_gil
from gilfree.demo.step import Step

STEPS: tuple[Step[Any], ...] = (
    bytecode.STEP,
    counter.STEP,
    waiting.STEP,
    processes.STEP,
    kernels.STEP,
    libraries.STEP,
    without_gil.STEP,
)
