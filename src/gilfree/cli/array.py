"""The array that ``gilfree demo --input`` names, and the kernels that can run on it."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gilfree import kernels
from gilfree.cli.arguments import UsageError


def load(path: str | None) -> NDArray[Any] | None:
    """Return the array in a .npy file, or raise a UsageError that says what is wrong."""
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            data = np.load(file, allow_pickle=False)
    except OSError as error:
        msg = f"--input {path} can't be read: {error.strerror or error}"
        raise UsageError(msg) from error
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        msg = f"--input {path} is not a .npy file of numbers, as numpy.save writes it"
        raise UsageError(msg) from error
    if not isinstance(data, np.ndarray):
        msg = f"--input {path} contains several arrays; save one of them with numpy.save"
        raise UsageError(msg)
    if data.dtype.kind not in "fiub":
        msg = f"--input {path} must contain real numbers, not {data.dtype}"
        raise UsageError(msg)
    if data.size == 0 or data.ndim == 0:
        msg = f"--input {path} must contain an array with elements, not shape {data.shape}"
        raise UsageError(msg)
    return data


def kernels_for(data: NDArray[Any] | None, chosen: Sequence[str] | None) -> list[str]:
    """Return the kernels to run; raise a UsageError if a chosen one takes no array."""
    names = list(dict.fromkeys(chosen or kernels.__all__))
    if data is None:
        return names
    without_array = [name for name in names if not kernels.kernel(name).takes_array]
    if without_array and chosen:
        verb = "takes" if len(without_array) == 1 else "take"
        msg = f"--input can't be used: {' and '.join(without_array)} {verb} no array"
        raise UsageError(msg)
    return [name for name in names if name not in without_array]


def check(source: str, data: NDArray[Any] | None, names: Sequence[str]) -> None:
    """Run each kernel once: input that one of them refuses is reported before any is measured."""
    for name in names:
        kernel = kernels.kernel(name)
        try:
            kernel.function(*kernel.workload(data), workers=1)
        except (TypeError, ValueError) as error:
            msg = f"{name} can't run on {source}: {error}"
            raise UsageError(msg) from error
