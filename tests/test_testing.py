"""assert_releases_gil: passes if a call releases, fails if it holds, warns if it can't decide."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
import time
import warnings

import needs
import numpy as np
import pytest

import gilfree
from gilfree import testing
from gilfree._system import gil_enabled
from gilfree.gil.lazy import LazyCallError
from gilfree.gil.sampler import NoSamplerError
from gilfree.testing import GilWarning, assert_releases_gil, releases_gil

pytestmark = [
    needs.sampler,
    pytest.mark.thread_unsafe(reason="measures, and needs the CPUs for itself"),
]
hold = ctypes.PyDLL(None).usleep
release = ctypes.CDLL(None).usleep


def half():
    hold(5000)
    release(5000)


@contextlib.contextmanager
def decided():
    """Skip a test that can't be decided because other programs keep the CPUs busy."""
    try:
        yield
    except GilWarning as warning:
        pytest.skip(f"this machine is busy: {warning}")


@needs.gil
@pytest.mark.parametrize(
    "call",
    [
        lambda: release(10_000),
        lambda: time.sleep(0.01),
        lambda: np.sort(np.arange(300_000.0)[::-1]),
        lambda: gilfree.mandelbrot((100, 200), workers=1),
    ],
)
def test_a_call_that_releases_passes(call):
    with decided():
        report = assert_releases_gil(call, max_stall=0.5)
    assert report.held < 0.1
    assert report.speedup is None
    assert releases_gil(call)


@needs.gil
@pytest.mark.parametrize(
    "call",
    [
        lambda: hold(10_000),
        lambda: sorted(range(100_000, 0, -1)),
        lambda: sum(number for number in range(100_000)),
        lambda: gilfree.mandelbrot((100, 200), workers=1, nogil=False),
    ],
)
def test_a_call_that_holds_fails(call, monkeypatch):
    monkeypatch.setattr(testing, "TRY_SECONDS", 0.2)
    with pytest.raises(AssertionError, match="never releases the GIL") as caught:
        assert_releases_gil(call)
    message = str(caught.value)
    if "inconclusive" in message:
        pytest.skip(f"this machine is busy: {message}")
    assert "holds the GIL" in message
    assert "stretch" in message
    assert message.endswith("raise the bound.")
    assert max(map(len, message.splitlines())) <= 100


@needs.gil
def test_a_call_that_releases_too_little_fails():
    with decided(), pytest.raises(AssertionError, match=r"more than max_held=10%"):
        assert_releases_gil(half)
    with decided():
        report = assert_releases_gil(half, max_held=0.9)
    assert report.held == pytest.approx(0.5, abs=report.uncertainty + 0.1)
    assert assert_releases_gil(half, max_held=None) is None
    with pytest.raises(AssertionError, match=r"keeps another thread waiting .* max_stall=0.001 s"):
        assert_releases_gil(half, max_held=None, max_stall=1e-3)
    assert assert_releases_gil(half, max_held=None, max_stall=1).longest_stall < 1


async def coroutine():
    pass


@needs.gil
@pytest.mark.parametrize("call", [coroutine, lambda: coroutine(), lambda: (n for n in range(9))])
def test_a_call_that_runs_nothing_yet_is_refused(call):
    with pytest.raises(LazyCallError, match="none of its code runs in that call"):
        assert_releases_gil(call, max_held=None)


@needs.gil
def test_short_bytecode_is_not_called_c():
    with pytest.raises(AssertionError, match=r"holds the GIL|inconclusive") as caught:
        assert_releases_gil(lambda: sum(range(20)), max_held=0.1)
    assert "GIL in C" not in str(caught.value)
    report = assert_releases_gil(release, 1000, max_held=1)
    assert report is None or report.wakeup > 0


@needs.gil
def test_a_share_too_close_to_the_bound_warns(monkeypatch):
    report = testing._report("half", half)
    close = type(report)(**{**vars(report), "held": 0.5, "uncertainty": 0.2})
    monkeypatch.setattr(testing, "_report", lambda *args, **how: close)
    with pytest.warns(GilWarning, match="too close to max_held=40% to tell"):
        assert_releases_gil(half, max_held=0.4)


@needs.gil
@pytest.mark.parametrize(("held", "fails"), [((0.5, 0.0), False), ((0.5, 0.5, 0.5), True)])
def test_a_call_that_exceeds_once_is_measured_again(held, fails, monkeypatch):
    report = testing._report("release", lambda: release(1000))
    reports = [type(report)(**{**vars(report), "held": h, "uncertainty": 0.01}) for h in held]
    monkeypatch.setattr(testing, "_report", lambda *args, **how: reports.pop(0))
    if fails:
        with pytest.raises(AssertionError, match="more than max_held"):
            assert_releases_gil(release, 1000)
    else:
        assert assert_releases_gil(release, 1000).held == 0.0
    assert not reports


@pytest.mark.skipif(gil_enabled(), reason="this Python has a GIL")
def test_without_a_gil_it_warns():
    with pytest.warns(GilWarning, match="no GIL to release"):
        assert assert_releases_gil(time.sleep, 0.01) is None


@needs.gil
def test_an_exception_is_raised_and_the_switch_interval_restored():
    interval, threads = sys.getswitchinterval(), threading.active_count()
    with pytest.raises(LookupError, match="here"):
        assert_releases_gil(lambda: {}["here"])
    assert sys.getswitchinterval() == interval
    assert threading.active_count() == threads


@pytest.mark.parametrize("max_held", [-0.1, 1.1, float("nan")])
def test_a_share_is_from_0_to_1(max_held):
    with pytest.raises(ValueError, match="max_held must be from 0 to 1"):
        assert_releases_gil(abs, -1, max_held=max_held)


@needs.gil
@pytest.mark.slow
def test_threads_that_were_waiting_before_do_not_change_the_answer(monkeypatch):
    # Their requests must not make a call that holds the GIL look like one that releases it.
    monkeypatch.setattr(testing, "TRY_SECONDS", 0.1)
    stop = threading.Event()

    def restless():
        while not stop.is_set():
            time.sleep(1e-4)

    others = [threading.Thread(target=restless) for _ in range(4)]
    for other in others:
        other.start()
    try:
        for _ in range(20):
            assert not releases_gil(lambda: hold(5000))
    finally:
        stop.set()
        for other in others:
            other.join()


@needs.gil
def test_without_a_sampler_it_tells_whether_a_call_releases_at_all(monkeypatch):
    def no_sampler(*args, **kwargs):
        raise NoSamplerError("no sampler here")

    monkeypatch.setattr(testing, "TRY_SECONDS", 0.3)
    monkeypatch.setattr(testing, "sample_calls", no_sampler)
    assert assert_releases_gil(lambda: release(10_000), max_held=None) is None
    with pytest.raises(AssertionError, match=r"never releases the GIL\nWhat to do: "):
        assert_releases_gil(lambda: hold(1000), max_held=None)
    with pytest.raises(NoSamplerError):
        assert_releases_gil(lambda: release(10_000))


@needs.gil
@pytest.mark.slow
def test_no_false_verdict_while_all_cpus_are_busy(run_script):
    run_script(
        """
        import ctypes, multiprocessing, os, warnings
        from gilfree.testing import GilWarning, assert_releases_gil
        from gilfree import testing

        hold, release = ctypes.PyDLL(None).usleep, ctypes.CDLL(None).usleep

        def burn():
            while True:
                pass

        if __name__ == "__main__":
            testing.TRY_SECONDS = 0.05
            warnings.simplefilter("ignore", GilWarning)  # no decision is not a false one
            context = multiprocessing.get_context("spawn")
            burners = [context.Process(target=burn, daemon=True) for _ in range(os.cpu_count())]
            for burner in burners:
                burner.start()
            for _ in range(20):
                assert_releases_gil(release, 3000)
                try:
                    assert_releases_gil(hold, 3000)
                except AssertionError:
                    continue
                raise SystemExit("a call that holds has passed")
            for burner in burners:
                burner.kill()
        """,
        timeout=200,
    )


@needs.gil
def test_warnings_are_not_raised_for_clear_calls():
    with decided(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_releases_gil(release, 10_000)
