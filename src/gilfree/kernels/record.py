"""What gilfree knows of a kernel, in one record; and what such records have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gilfree import _kernels

# The bytecode for elements start to stop of the work, and how many elements there are.
Loop: TypeAlias = tuple[Callable[[int, int], Any], int]


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One kernel.

    Attributes
    ----------
    function : callable
        The public function.
    bytecode : callable
        Takes the arguments of the function and returns its loop in pure Python. That is some
        hundred times slower than the compiled loop, and so does a part of the work.
    workload : callable
        ``workload(data=None, quick=False)`` returns arguments of the function that keep one core
        busy for some 5 to 100 ms, or for less if it is to be quick; those of an array, where one is
        given and the kernel takes one.
    takes_array : bool
    """

    function: Callable[..., Any]
    bytecode: Callable[..., Loop]
    workload: Callable[..., tuple[Any, ...]]
    takes_array: bool

    @property
    def name(self) -> str:
        """What the function and the loops are called."""
        return self.function.__name__


def entry_point(name: str, nogil: bool) -> Callable[..., Any]:
    """Return the compiled loop of this name that releases the GIL, or its twin that holds it."""
    loop: Callable[..., Any] = getattr(_kernels, f"{name}_{'nogil' if nogil else 'gil'}")
    return loop


def first_numbers(x: ArrayLike, most: int) -> list[float]:
    """Return the first numbers of an array as Python has them."""
    flat: list[float] = np.ravel(x)[:most].astype(float).tolist()
    return flat


def random_numbers(
    quick: bool,
    shape: int | tuple[int, ...] = 10_000_000,
    quick_shape: int | tuple[int, ...] = 5_000_000,
) -> NDArray[np.float64]:
    """Return numbers from 0 to 1 to work on, the same at each call.

    More than the caches of usual CPUs hold, even if it is to be quick: N processes with numbers of
    their own would else need more of the cache than N threads, and show too low a limit.
    """
    return np.random.default_rng(20).random(quick_shape if quick else shape)
