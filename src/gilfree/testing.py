"""``assert_releases_gil``, for the test suites of other projects."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

from gilfree._system import gil_enabled
from gilfree.gil.active import Costs, longest_stall
from gilfree.gil.lazy import name_of, refuse_lazy, refuse_lazy_result
from gilfree.gil.passive import sample_calls
from gilfree.gil.report import GilReport
from gilfree.gil.sampler import NoSamplerError
from gilfree.gil.verdict import CONCLUSIVE

# A call that releases the GIL only briefly may acquire it again before the other thread wakes up.
# So it is called at least TRIES times, and for at least TRY_SECONDS.
TRIES = 3
TRY_SECONDS = 2.0
HUGE = 1000.0  # seconds; a switch interval that never ends
# A busy system may stop a thread while it holds the GIL. So a call fails only if it exceeds
# `max_held` in this many measurements, one after the other.
MEASUREMENTS = 3

ADVICE = (
    "What to do: put the long loops between Py_BEGIN_ALLOW_THREADS and Py_END_ALLOW_THREADS, or\n"
    "in Cython into a `with nogil:` block. If you mean to hold the GIL, raise the bound."
)


class GilWarning(UserWarning):
    """An assertion about the GIL could not be decided."""


def assert_releases_gil(
    function: Callable[..., Any],
    *args: Any,
    max_held: float | None = 0.1,
    max_stall: float | None = None,
    **kwargs: Any,
) -> GilReport | None:
    """Assert that ``function(*args, **kwargs)`` releases the GIL.

    It checks first that the call releases the GIL at all, which needs no clock, and then for which
    share of its time the call holds it. The function is called several times.

    Thread safety: one assertion at a time, since it sets the switch interval of the process.

    Parameters
    ----------
    function : callable
    *args, **kwargs
        Its arguments.
    max_held : float or None, default: 0.1
        The largest share of its time in which the call may hold the GIL. None: any share, if the
        call releases the GIL at all.
    max_stall : float, optional
        The longest time, in seconds, for which the call may make another Python thread wait.

    Returns
    -------
    GilReport or None
        What was measured, without a speedup. None if `max_held` and `max_stall` are None, or if
        this Python has no GIL.

    Raises
    ------
    AssertionError
        If the call never releases the GIL, or exceeds a bound.
    NoSamplerError
        If `max_held` or `max_stall` is given, on a system or a Python without a sampler. It is a
        RuntimeError.
    LazyCallError
        If the call returns a generator or a coroutine, which has run no code yet. It is a
        TypeError.
    ValueError
        If `max_held` is not from 0 to 1, or `max_stall` is negative.
    Exception
        Whatever the function raises.

    Warns
    -----
    GilWarning
        If the assertion can't be decided: this Python has no GIL, or the samples do not suffice to
        tell whether `max_held` is exceeded. The assertion then passes.

    Examples
    --------
    >>> def test_my_extension_releases_the_gil():
    ...     assert_releases_gil(my_extension.work, data)
    """
    __tracebackhide__ = True
    if max_held is not None and not 0 <= max_held <= 1:
        msg = f"max_held must be from 0 to 1, not {max_held}"
        raise ValueError(msg)
    if max_stall is not None and not max_stall >= 0:
        msg = f"max_stall must be a number of seconds, 0 or more, not {max_stall}"
        raise ValueError(msg)
    name = name_of(function)
    refuse_lazy(function)

    def call() -> Any:
        return function(*args, **kwargs)

    if not gil_enabled():
        warnings.warn(f"{name}: this Python has no GIL to release", GilWarning, stacklevel=2)
        return None
    refuse_lazy_result(call(), name)
    if not releases_gil(call):
        msg = f"{name} never releases the GIL"
        with contextlib.suppress(NoSamplerError):
            msg += f"\n{_report(name, call)}"
        msg += f"\n{ADVICE}"
        raise AssertionError(msg)
    if max_held is None and max_stall is None:
        return None
    report = _report(name, call, bound=max_held)
    for _ in range(MEASUREMENTS - 1):
        if not _exceeds(report, max_held):
            break
        report = _report(name, call, bound=max_held)
    if max_held is not None:
        shown = f"held for {report.held or 0:.1%} ± {report.uncertainty:.1%} of the call"
        if _exceeds(report, max_held):
            msg = f"{name}: {shown}, more than max_held={max_held:.0%}\n{report}\n{ADVICE}"
            raise AssertionError(msg)
        if report.held is None or report.held + report.uncertainty > max_held:
            msg = f"{name}: {shown}, too close to max_held={max_held:.0%} to tell\n{report}"
            warnings.warn(msg, GilWarning, stacklevel=2)
    if max_stall is not None and (report.longest_stall or 0) > max_stall:
        msg = (
            f"{name} keeps another thread waiting for {report.longest_stall:.3g} s, more than "
            f"max_stall={max_stall:g} s\n{report}\n{ADVICE}"
        )
        raise AssertionError(msg)
    return report


def _exceeds(report: GilReport, max_held: float | None) -> bool:
    if max_held is None or report.held is None:
        return False
    return report.held - report.uncertainty > max_held


def releases_gil(call: Callable[[], Any]) -> bool:
    """Tell, without a clock, whether a call releases the GIL at all.

    Within the huge switch interval no thread requests the GIL, so another thread can acquire it
    only if the call itself releases it. The answer is never True for a call that does not. It may
    be False for a call that releases the GIL for some microseconds only.
    """
    gate = threading.Lock()
    ran: list[bool] = []

    def run_after_gate() -> None:
        gate.acquire()
        ran.append(True)

    other = threading.Thread(target=run_after_gate, name="gilfree-other")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(HUGE)
    try:
        gate.acquire()
        other.start()
        # Threads that were waiting already still request the GIL after the old interval.
        time.sleep(min(2 * interval, 1))
        gate.release()  # from here on, only the call can release the GIL
        start, tries = time.perf_counter(), 0
        while not ran and (tries < TRIES or time.perf_counter() < start + TRY_SECONDS):
            call()
            tries += 1
        return bool(ran)
    finally:
        sys.setswitchinterval(interval)
        other.join()


def _report(name: str, call: Callable[[], Any], bound: float | None = None) -> GilReport:
    """Sample the call until it is clear whether it exceeds `bound`, and what its verdict is."""

    def sure(held: float, uncertainty: float) -> bool:
        clear = bound is None or abs(held - bound) > uncertainty
        return clear and uncertainty <= CONCLUSIVE

    passive = sample_calls(call, sure=sure)
    return GilReport(
        name=name,
        gil_enabled=True,
        longest_stall=longest_stall(call, passive.seconds),
        **Costs.measured()._asdict(),
        **vars(passive),
    )
