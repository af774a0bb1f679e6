"""Reports of stalls while they last, until the process ends."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from gilfree.gil.recorder import make_recorder, recorder
from gilfree.gil.thread_names import listen, stop_listening

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

SHORTEST = 1e-3  # the least limit, in seconds: samples would miss shorter stalls
SAMPLES = 20  # within the limit, as far as the bounds of the interval allow
SHORTEST_INTERVAL, LONGEST_INTERVAL = 200e-6, 10e-3  # between two samples, in seconds

_lock = threading.Lock()
_reporter: Any = None


def report_stalls(seconds: float | None, file: FileDescriptorLike | None = None) -> None:
    """Report each wait for the GIL that lasts longer than a limit, while it lasts.

    A report names the waiting thread, the thread that holds the GIL with its line of Python and its
    callers, and the states of all other threads. A thread in C writes it immediately, in one call
    and without the GIL, so it survives if the process hangs or is killed. Threads that wait for the
    same hold are in one report. If the GIL goes to another thread during the wait, and that one
    holds it longer than the limit, there is a report of it, too. When the wait is over, a line says
    how long it took.

    Reports may stay on for months: a C thread samples the threads at most 100 times a second, more
    often only for a limit below 0.2 seconds, and keeps nothing of ended threads. A recording may be
    under way concurrently. A forked child reports nothing until it calls this function itself.
    Any thread may call it; a later call replaces an earlier one.

    Parameters
    ----------
    seconds : float or None
        The limit, at least 0.001. None: stop the reports.
    file : file object or int, default: sys.stderr
        A file with a descriptor, or a descriptor. It may be closed afterwards: reports still go
        there. If a pipe is full, the report is dropped, and the next one says how many were.

    Raises
    ------
    NoSamplerError
        A `RuntimeError`: on a system or a Python whose thread states gilfree can't read.
    TypeError
        If `seconds` is not a number, or `file` is neither a file nor a descriptor.
    ValueError
        If `seconds` is less than 0.001, or `file` is not open for writing.
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
        interval = min(max(seconds / SAMPLES, SHORTEST_INTERVAL), LONGEST_INTERVAL)
        made = make_recorder(module, interval=interval, limit=seconds, output=output)
        listen(_give_name)
        _reporter = made
        made.start()
    # The recorder's thread must not outlive the interpreter.
    atexit.register(made.stop)


def _stop() -> None:
    global _reporter
    stop_listening(_give_name)
    if _reporter is not None:
        atexit.unregister(_reporter.stop)
        _reporter.stop()
    _reporter = None


def _forget() -> None:
    """Forget the parent's reporter, in a forked child."""
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
    """Return the descriptor of a file that is open for writing."""
    import fcntl  # here, since Windows lacks it

    if not isinstance(file, int) and not hasattr(file, "fileno"):
        msg = f"file must be a file or its descriptor, not {type(file).__name__}"
        raise TypeError(msg)
    try:
        number = file if isinstance(file, int) else file.fileno()
        mode = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
    except (OSError, ValueError) as error:  # io.UnsupportedOperation is both
        msg = f"file must have an open descriptor, and {file!r} has none: {error}"
        raise ValueError(msg) from None
    if mode == os.O_RDONLY:
        msg = f"file must be open for writing, and {file!r} is not"
        raise ValueError(msg)
    return number
