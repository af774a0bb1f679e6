"""Writes files completely or not at all, and checks before the work that they can be written."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path


def check(path: str) -> None:
    """Raise OSError if a file can't be written. Change nothing."""
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    if not _is_special(path):
        with tempfile.TemporaryFile(dir=_target(path).parent):
            pass


def write(path: str, content: bytes) -> None:
    """Write a file. An old file stays in place until the new one is complete.

    Raises
    ------
    OSError
        If the file can't be written; `path` is its ``filename``.
    """
    try:
        if _is_special(path):
            Path(path).write_bytes(content)
        else:
            _replace(_target(path), content)
    except OSError as error:
        error.filename = path
        raise


def _is_special(path: str) -> bool:
    """Tell whether the path is a device or a pipe, such as /dev/stdout, which can't be replaced."""
    return os.path.exists(path) and not os.path.isfile(path)


def _target(path: str) -> Path:
    """Return the path with symbolic links resolved, so that a link is kept."""
    return Path(os.path.realpath(path))


def _replace(target: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        name = file.name
    try:
        Path(name).write_bytes(content)
        os.chmod(name, target.stat().st_mode if target.exists() else _mode_of_new_files())
        os.replace(name, target)  # on Windows, neither of them may be open
    except BaseException:
        os.unlink(name)
        raise


def _mode_of_new_files() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
