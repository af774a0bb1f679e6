"""The record of a kernel, and what the kernels' files share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gilfree import _kernels

# A Python function that works on elements start to stop, and the number of elements.
Loop: TypeAlias = tuple[Callable[[int, int], Any], int]


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel, and what the rest of gilfree needs to run it.

    Attributes
    ----------
    function : callable
        The public function.
    bytecode : callable
        Takes the arguments of the function and returns its loop in pure Python. That loop is some
        hundred times slower than the compiled one, so it does only a part of the work.
    workload : callable
        ``workload(data=None, quick=False)`` returns arguments of the function that keep one core
        busy for 5 to 100 ms, or less with `quick`. They use the array `data` if it is given and
        the kernel takes an array.
    takes_array : bool
        Whether `workload` uses `data`.
    """

    function: Callable[..., Any]
    bytecode: Callable[..., Loop]
    workload: Callable[..., tuple[Any, ...]]
    takes_array: bool

    @property
    def name(self) -> str:
        """The name of the function and of its loops."""
        return self.function.__name__


def entry_point(name: str, nogil: bool) -> Callable[..., Any]:
    """Return the entry point of a loop that releases the GIL (`nogil`) or holds it."""
    loop: Callable[..., Any] = getattr(_kernels, f"{name}_{'nogil' if nogil else 'gil'}")
    return loop


def first_numbers(x: ArrayLike, most: int) -> list[float]:
    """Return the first `most` numbers of an array, as Python floats."""
    flat: list[float] = np.ravel(x)[:most].astype(float).tolist()
    return flat


def random_numbers(
    quick: bool,
    shape: int | tuple[int, ...] = 10_000_000,
    quick_shape: int | tuple[int, ...] = 5_000_000,
) -> NDArray[np.float64]:
    """Return random numbers from 0 to 1, the same at each call.

    They exceed the cache of a usual CPU, even with `quick`. Otherwise the limit would be too low: N
    processes with an array each would miss a cache that N threads with one array fit in.
    """
    return np.random.default_rng(20).random(quick_shape if quick else shape)
