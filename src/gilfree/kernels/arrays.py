"""Checks and conversion of arguments: the loops take native, aligned, mostly contiguous arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real: TypeAlias = np.float32 | np.float64
RealArray: TypeAlias = NDArray[np.float32] | NDArray[np.float64]

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
# An array that the loops can't take is copied for them block by block.
COPY_BLOCK = 2**16  # elements: 512 KiB of float64
COPY_NS = 1.0  # nanoseconds to copy an element, about
PLAIN_TYPES = {int, float}


def real_array(name: str, value: ArrayLike) -> tuple[NDArray[Any], np.dtype[Any]]:
    """Return `value` as an array, and the dtype that the kernel computes in."""
    array = np.asarray(value)
    dtype = array.dtype
    if dtype.kind not in "fiub":
        msg = f"{name} must hold real numbers, not {dtype}"
        raise TypeError(msg)
    return array, FLOAT32 if dtype.type is np.float32 else FLOAT64


def real_numbers(name: str, values: Sequence[Any], length: int) -> Sequence[Any]:
    """Return `values` if they are `length` real numbers."""
    plain = type(values) is tuple and PLAIN_TYPES.issuperset(map(type, values))
    if plain and len(values) == length:
        return values  # the checks below take longer than a small loop
    array = np.asarray(values)
    if array.shape != (length,):
        msg = f"{name} must hold {length} numbers, not {values!r}"
        raise ValueError(msg)
    if array.dtype.kind not in "fiu":
        msg = f"{name} must hold real numbers, not {values!r}"
        raise TypeError(msg)
    return values


def is_ready(x: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Tell whether the loops can take an array as it is."""
    flags = x.flags
    return x.dtype == dtype and flags.c_contiguous and flags.aligned


def flat(x: NDArray[Any], part: slice, dtype: np.dtype[Any]) -> RealArray:
    """Return elements `part` of `x`, flattened in C order, ready for the loops."""
    if is_ready(x, dtype):
        return x.reshape(-1)[part]
    start, stop, _ = part.indices(x.size)
    copy = np.empty(stop - start, dtype)
    _copy(x, start, copy)
    return copy


def blocks(
    x: NDArray[Any], dtype: np.dtype[Any], chunks: Iterable[slice]
) -> Iterator[tuple[slice, RealArray]]:
    """Yield each block of each chunk of `x`, as a slice and as an array ready for the loops."""
    for chunk in chunks:
        for start in range(chunk.start, chunk.stop, COPY_BLOCK):
            part = slice(start, min(start + COPY_BLOCK, chunk.stop))
            yield part, flat(x, part, dtype)


def _copy(x: NDArray[Any], start: int, copy: RealArray) -> None:
    """Fill `copy` with the elements of `x` in C order, from number `start` on."""
    if x.ndim < 2:
        copy[:] = x[start : start + copy.size] if x.ndim else x
        return
    row = math.prod(x.shape[1:])
    number, within = divmod(start, row)
    head = min(-start % row, copy.size)
    if head:  # the end of a row
        _copy(x[number], within, copy[:head])
        number += 1
    rows, tail = divmod(copy.size - head, row)
    copy[head : copy.size - tail].reshape(rows, *x.shape[1:])[...] = x[number : number + rows]
    if tail:  # the beginning of a row
        _copy(x[number + rows], 0, copy[copy.size - tail :])


def aligned(x: NDArray[Any], dtype: np.dtype[Any]) -> RealArray:
    """Return `x` aligned and of this dtype: an array sent by a cluster may begin at any address."""
    x = np.asarray(x, dtype)
    return x if x.flags.aligned else x.copy()


def output(
    out: RealArray | None, shape: tuple[int, ...], dtype: np.dtype[Any], **inputs: NDArray[Any]
) -> RealArray:
    """Return the array to write to: `out` if it is valid, or a new one if it is None."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        msg = f"out must be a NumPy array, not {type(out).__name__}"
        raise TypeError(msg)
    wrong = None
    if out.shape != shape:
        wrong = f"have shape {shape}, not {out.shape}"
    elif out.dtype != dtype:
        wrong = f"have dtype {dtype}, not {out.dtype}"
    elif not out.flags.carray:
        wrong = "be C-contiguous, aligned and writeable"
    for name, array in inputs.items():
        if wrong is None and _share_memory(out, array):
            wrong = f"not share memory with {name}"
    if wrong:
        msg = f"out must {wrong}"
        raise ValueError(msg)
    return np.asarray(out, dtype)  # the base class, if out is of a subclass


def _share_memory(one: NDArray[Any], other: NDArray[Any]) -> bool:
    # Two arrays that own their memory share none. NumPy's answer takes five times as long.
    if one is not other and one.flags.owndata and other.flags.owndata:
        return False
    return np.shares_memory(one, other)
