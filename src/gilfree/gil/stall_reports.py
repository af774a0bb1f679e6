"""Reports of stalls while they last, from now on until the process ends."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from gilfree.gil.recorder import make_recorder, recorder
from gilfree.gil.thread_names import listen, listen_no_more

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

SHORTEST = 1e-3  # a limit, in seconds: what is shorter hides in the gaps between two looks
LOOKS = 20  # within the limit
MOST_BETWEEN_LOOKS, LEAST_BETWEEN_LOOKS = 10e-3, 200e-6  # seconds

_lock = threading.Lock()
_reporter: Any = None


def report_stalls(seconds: float | None, file: FileDescriptorLike | None = None) -> None:
    """Report from now on each wait for the GIL that lasts as long, while it lasts.

    A report says who waits, who has the GIL, at which line of Python with its callers, and what all
    other threads do. A thread in C writes it at once, in one call and without the GIL: it is there
    even if the process hangs for good, or is killed. Threads that wait at the same time for the
    same thread are in one report; when the wait is over, a line says how long it took.

    It may stay on for months: it looks at the threads up to 100 times a second, more often only for
    a limit of less than 0.2 seconds, and keeps nothing of threads that have ended. A recording may
    be under way at the same time. A forked child reports nothing, until it calls this itself.

    Parameters
    ----------
    seconds : float or None
        The limit, at least 0.001. None: report no longer. It is an argument, and no function of
        its own, so that a setting that may be off can be passed on as it is.
    file : file object or int, default: sys.stderr
        Where to: a file with a descriptor, or that itself. It may be closed afterwards, reports
        still go there. A pipe that is full is not waited for: the next report says how many were
        lost. A later call takes the place of an earlier one.

    Raises
    ------
    NoSamplerError
        If this system or this Python does not tell what it takes; a RuntimeError, too.
    """
    global _reporter
    if seconds is not None:
        _check_seconds(seconds)
        module = recorder()
        output = _descriptor(sys.stderr if file is None else file)
    with _lock:
        _stop()
        if seconds is None:
            return
        interval = min(max(seconds / LOOKS, LEAST_BETWEEN_LOOKS), MOST_BETWEEN_LOOKS)
        made = make_recorder(module, interval=interval, limit=seconds, output=output)
        listen(_give_name)
        _reporter = made
        made.start()
    # The thread in C must not outlive the interpreter.
    atexit.register(made.stop)


def _stop() -> None:
    global _reporter
    listen_no_more(_give_name)
    if _reporter is not None:
        atexit.unregister(_reporter.stop)
        _reporter.stop()
    _reporter = None


def _forget() -> None:
    """Forget, in a forked child, what its parent reports."""
    global _lock
    _lock = threading.Lock()
    _stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _give_name(thread: threading.Thread) -> None:
    recorder().give_name(thread.native_id, thread.name)


def _check_seconds(seconds: object) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        msg = f"seconds must be a number or None, not {type(seconds).__name__}"
        raise TypeError(msg)
    if not SHORTEST <= seconds <= threading.TIMEOUT_MAX:
        msg = f"seconds must be from {SHORTEST} to {threading.TIMEOUT_MAX:.0f}, not {seconds}"
        raise ValueError(msg)


def _descriptor(file: FileDescriptorLike) -> int:
    """Return the number of a file that can be written to."""
    import fcntl  # which not every system has

    if not isinstance(file, int) and not hasattr(file, "fileno"):
        msg = f"file must be a file or its descriptor, not {type(file).__name__}"
        raise TypeError(msg)
    try:
        number = file if isinstance(file, int) else file.fileno()
        mode = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
    except (OSError, ValueError) as error:  # io.UnsupportedOperation, too
        msg = f"file must have an open descriptor, and {file!r} has none: {error}"
        raise ValueError(msg) from None
    if mode == os.O_RDONLY:
        msg = f"file must be open for writing, and {file!r} is not"
        raise ValueError(msg)
    return number
