"""The array that ``gilfree demo --input`` names, and the kernels that can run on it."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gilfree import kernels
from gilfree.cli.arguments import UsageError


def load(path: str | None) -> NDArray[Any] | None:
    """Return the array in a .npy file, or say what is wrong with it."""
    if path is None:
        return None
    try:
        data = np.load(Path(path), allow_pickle=False)
    except OSError as error:
        msg = f"--input {path} can't be read: {error.strerror or error}"
        raise UsageError(msg) from error
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        msg = f"--input {path} is no .npy file of numbers, as numpy.save writes it"
        raise UsageError(msg) from error
    if not isinstance(data, np.ndarray):
        msg = f"--input {path} holds several arrays; save one of them with numpy.save"
        raise UsageError(msg)
    if data.dtype.kind not in "fiub":
        msg = f"--input {path} must hold real numbers, not {data.dtype}"
        raise UsageError(msg)
    if data.size == 0 or data.ndim == 0:
        msg = f"--input {path} must hold a list of numbers or more, not shape {data.shape}"
        raise UsageError(msg)
    return data


def kernels_for(data: NDArray[Any] | None, chosen: Sequence[str] | None) -> list[str]:
    """Return the kernels to run, or say which of the chosen ones has no use for the data."""
    names = list(dict.fromkeys(chosen or kernels.__all__))
    if data is None:
        return names
    useless = [name for name in names if not kernels.kernel(name).takes_array]
    if useless and chosen:
        msg = f"--input has no use for {' and '.join(useless)}, which take no array"
        raise UsageError(msg)
    return [name for name in names if name not in useless]


def check(source: str, data: NDArray[Any] | None, names: Sequence[str]) -> None:
    """Run each kernel once, so that input which one of them refuses is named before the others."""
    for name in names:
        kernel = kernels.kernel(name)
        try:
            kernel.function(*kernel.workload(data), workers=1)
        except (TypeError, ValueError) as error:
            msg = f"{name} can't run on {source}: {error}"
            raise UsageError(msg) from error
