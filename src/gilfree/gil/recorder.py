"""Record a whole program: which threads hold the GIL, which wait for it, and where holders are.

Without a GIL: which threads are attached, which are suspended, and which stopped the world.
"""

from __future__ import annotations

import atexit
import os
import platform
import sys
import threading
import time
from typing import Any, ClassVar

from gilfree._system import gil_enabled
from gilfree.gil.facts import Caller, Facts, Holder, Slices, Stall, ThreadTimes
from gilfree.gil.sampler import NoSamplerError
from gilfree.gil.thread_names import Names

# Names of the recorder's figures of a thread, with a GIL and without.
WITHOUT_GIL = {
    "held": "attached",
    "waiting": "suspended",
    "longest_hold": "longest_attached",
    "longest_wait": "longest_suspended",
}


def recorder() -> Any:
    """Return the compiled module of the recorder.

    Raises
    ------
    NoSamplerError
        On a system or a Python without a recorder.
    """
    try:
        from gilfree.gil import _recorder as module
    except ImportError:
        msg = f"recording needs Linux, and this is {sys.platform}"
        raise NoSamplerError(msg) from None
    if module.KNOWS_PYTHON:
        return module
    msg = (
        f"recording supports CPython {module.KNOWN_PYTHONS}, and this is "
        f"{platform.python_version()}: the kernels work here"
    )
    raise NoSamplerError(msg)


def make_recorder(module: Any, **options: Any) -> Any:
    """Return a recorder that has not started.

    Raises
    ------
    NoSamplerError
        If the system forbids what a recording needs.
    """
    try:
        return module.Recorder(**options)
    except RuntimeError as error:
        msg = f"nothing can be recorded: {error}"
        raise NoSamplerError(msg) from None


class Session:
    """One recording, from its start to its end.

    Parameters
    ----------
    callers : bool, default: False
        Also keep the callers of each holder of a stall.
    beside : bool, default: False
        Allow others concurrently: it is one of gilfree's own, not one of the program's.
    """

    under_way: Session | None = None
    _all: ClassVar[set[Session]] = set()  # all that are under way, including those beside it
    _lock = threading.Lock()

    def __init__(self, *, callers: bool = False, beside: bool = False) -> None:
        self._module = recorder()
        self._callers = callers
        self._beside = beside
        self._gil = gil_enabled()
        self._names: Names | None = None
        self._recorder: Any = None

    def start(self) -> None:
        """Start the recorder's thread."""
        with Session._lock:
            if Session.under_way is not None and not self._beside:
                msg = "a recording of this process is under way already"
                raise RuntimeError(msg)
            self._recorder = make_recorder(self._module, callers=self._callers)
            self._names = Names()
            self._recorder.start()
            Session._all.add(self)
            if not self._beside:
                Session.under_way = self
        # The recorder's thread must not outlive the interpreter, even if `finish` is never called.
        atexit.register(self._abandon)

    def _abandon(self) -> None:
        """Stop the recorder at exit, and discard what it found: `finish` then returns None."""
        self._recorder.stop()
        self._recorder = None

    def finish(self) -> Facts | None:
        """Stop the recorder; return what it has found, or None if it never started."""
        if self._recorder is None:
            return None
        atexit.unregister(self._abandon)
        there_is_one = self._recorder.stop()
        with Session._lock:
            Session._all.discard(self)
            if Session.under_way is self:
                Session.under_way = None
        names = self._names.finish() if self._names is not None else {}
        # In a forked child, there is no recorder.
        if not there_is_one:
            return Facts(0.0, (), (), callers=self._callers)
        return facts_of(self._recorder, names, gil=self._gil, callers=self._callers)

    @classmethod
    def forget(cls) -> None:
        """Forget the parent's recordings, in a forked child."""
        cls._lock = threading.Lock()
        for session in cls._all:
            if session._names is not None:
                session._names.finish()
        cls._all.clear()
        cls.under_way = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Session.forget)


def facts_of(recorder: Any, names: dict[int, list[str]], *, gil: bool, callers: bool) -> Facts:
    """Convert the recorder's results, with the names of the threads."""
    threads, unnamed = _threads(recorder.threads(), names, gil)
    order = sorted(range(len(threads)), key=lambda number: -(threads[number].stalled or 0.0))
    index = {number: place for place, number in enumerate(order)}
    stalls = [
        Stall(threads[one].name, start, seconds, _holders(threads, index, holders), index[one])
        for one, start, seconds, holders in recorder.stalls()
    ]
    figures = recorder.facts()
    # Names without a thread: it is unlisted, or it started and ended between two samples.
    unseen = max(0, unnamed - figures["unlisted_threads"])
    found, begin = recorder.slices()
    kept = ["seconds", "looks", "missed", "largest_gap", "dropped_stalls", "unlisted_threads"]
    if not gil:
        kept += ["stopped", "longest_stop"]
    return Facts(
        threads=tuple(threads[number] for number in order),
        stalls=tuple(sorted(stalls, key=lambda stall: -stall.seconds)),
        slices=Slices(found, begin, tuple(order), figures["grain"]),
        unseen_threads=unseen,
        process=os.getpid(),
        started=time.time() - time.monotonic() + figures["begin"],
        callers=callers,
        gil=gil,
        gil_came=gil_enabled() and not gil,
        **{name: figures[name] for name in kept},
    )


def _threads(
    found: list[dict[str, Any]], names: dict[int, list[str]], gil: bool
) -> tuple[list[ThreadTimes], int]:
    """Return the threads with their names, and the number of names that are left over."""
    # On Linux a thread inherits its system name from the thread that started it, so a thread
    # without a name of its own has that of the main thread.
    inherited = {each["system_name"] for each in found if each["native_id"] == os.getpid()}
    left = {number: list(some) for number, some in names.items()}
    threads = []
    for each in found:
        known = left.get(each["native_id"])
        given = each.pop("system_name")
        name: str | None = None if given in {"", *inherited} else given
        name = known.pop(0) if known else name
        if not gil:
            for old, new in WITHOUT_GIL.items():
                each[new], each[old] = each[old], None
        threads.append(ThreadTimes(name=name, **each))
    return threads, sum(map(len, left.values()))


def _holders(
    threads: list[ThreadTimes], index: dict[int, int], found: list[Any]
) -> tuple[Holder, ...]:
    holders = [
        Holder(
            thread=threads[number].name,
            seconds=seconds,
            file=file,
            line=line,
            function=function,
            in_c=in_c,
            index=index[number],
            callers=None if callers is None else tuple(Caller(*each) for each in callers),
        )
        for number, seconds, in_c, (file, line, function), callers in found
    ]
    return tuple(sorted(holders, key=lambda holder: -holder.seconds))
