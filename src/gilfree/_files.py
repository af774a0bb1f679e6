"""Files that a command writes: as a whole or not at all, and checked before any work is done."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path


def check(path: str) -> None:
    """Raise OSError if a file can't be written, and leave no trace."""
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    if not _is_special(path):
        with tempfile.TemporaryFile(dir=_target(path).parent):
            pass


def write(path: str, content: bytes) -> None:
    """Write a file; what was there stays until all of it is written.

    Raises
    ------
    OSError
        With `path` as its ``filename``, if it can't be written.
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
    """Tell whether it is a device or a pipe, such as /dev/stdout: to write to, not to replace."""
    return os.path.exists(path) and not os.path.isfile(path)


def _target(path: str) -> Path:
    """Return the file itself, where the path is a link to it."""
    return Path(os.path.realpath(path))


def _replace(target: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.chmod(file.name, target.stat().st_mode if target.exists() else _mode_of_new_files())
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise


def _mode_of_new_files() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
