"""The sampler against sleeps that hold or release the GIL: by ctypes, without gilfree's code."""

from __future__ import annotations

import ctypes
import gc
import statistics
import sys
import threading
import time

import needs
import pytest
from needs import Watch
from patterns import pattern

from gilfree._system import gil_enabled
from gilfree.gil._waiter import Waiter

pytestmark = [
    needs.sampler,
    pytest.mark.thread_unsafe(reason="measures times, and so needs the CPUs for itself"),
]
hold = ctypes.PyDLL(None).usleep  # sleeps and holds the GIL; without a GIL, sleeps attached
release = ctypes.CDLL(None).usleep  # sleeps without the GIL; without a GIL, sleeps detached


def watched(work):
    with Watch() as watch:
        watch.begin()
        result = work()
        watch.end()
        return result, watch.seen()[0]


def undisturbed(work, gap, count=5):
    """Watch the work until `count` runs have no gap of `gap` seconds or more.

    Longer gaps show that the sampler had to wait for a CPU: such a run proves nothing about it.
    """
    runs = []
    for _ in range(5 * count):
        result, seen = watched(work)
        if seen.largest_gap < gap:
            runs.append((result, seen))
        if len(runs) == count:
            return runs
    pytest.skip(f"this machine is busy: gaps of {seen.largest_gap * 1e3:.1f} ms between samples")


@pytest.mark.parametrize("period", [10e-3, 1e-3, 300e-6])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 1])
@pytest.mark.slow
@pytest.mark.unsanitized(reason="measures times")
def test_held_is_within_a_hundredth_of_the_truth(period, share):
    for _ in range(3):
        runs = undisturbed(lambda: pattern(period, share), gap=1e-3)
        errors = [seen.held - truth for truth, seen in runs]
        if abs(statistics.median(errors)) <= 0.01:
            return
    pytest.fail(f"off by {errors}, three times")


@pytest.mark.parametrize("seconds", [0.3e-3, 1e-3, 10e-3, 50e-3])
@pytest.mark.unsanitized(reason="measures times")
def test_the_longest_hold_is_found(seconds):
    def work():
        truth = []
        for _ in range(3):
            release(2000)
            start = time.perf_counter()
            hold(int(seconds * 1e6))
            truth.append(time.perf_counter() - start)
        release(2000)
        return max(truth)

    runs = undisturbed(work, gap=max(0.5 * seconds, 300e-6))
    errors = [abs(seen.longest_hold - truth) for truth, seen in runs]
    assert min(errors) <= max(0.1 * seconds, 100e-6)


def test_a_window_is_as_long_as_the_watched_work():
    start = time.monotonic()
    _, seen = watched(lambda: pattern(10e-3, 0.5))
    end = time.monotonic()
    assert seen.flips > 20
    assert seen.thread == threading.get_ident()
    assert 0.2 <= seen.seconds <= end - start
    assert 0 < seen.largest_gap < 0.2


def test_several_threads_are_watched_concurrently():
    def work(share):
        watch.begin()
        truths[threading.get_ident()] = pattern(5e-3, share)
        watch.end()

    truths = {}
    with Watch() as watch:
        threads = [threading.Thread(target=work, args=[share]) for share in (0, 0.2, 0.4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seen = {each.thread: each for each in watch.seen()}
    assert seen.keys() == truths.keys()
    if gil_enabled():  # only one thread holds the GIL at any time
        assert sum(each.held for each in seen.values()) < 1.05
    held = [seen[thread.ident].held for thread in threads]
    assert held[0] < 0.1
    assert held[0] < held[1] < held[2]


def test_windows_are_added_up_and_can_be_forgotten():
    with Watch() as watch:
        start = time.perf_counter()
        watch.begin()
        hold(20_000)
        watch.end()
        between = time.perf_counter()
        release(50_000)  # outside of both windows
        between -= time.perf_counter()
        watch.begin()
        release(20_000)
        watch.end()
        inside = time.perf_counter() - start + between
        (seen,) = watch.seen()
        assert 0.04 <= seen.seconds <= inside
        assert 0.3 < seen.held < 0.7
        watch.forget()
        assert watch.seen()[0].held is None
        watch.begin()
        release(5_000)
        watch.end()
        assert watch.seen()[0].held < 0.2


def test_a_thread_that_ends_while_it_is_watched(run_script):
    # Freed memory is overwritten immediately, so that a read of it would be noticed, or crash.
    run_script("""
        import threading, time
        from gilfree.gil._sampler import Watch
        with Watch(interval=1e-6) as watch:
            for _ in range(20):
                threads = [threading.Thread(target=watch.begin) for _ in range(50)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                junk = [bytearray(b"\\xff" * size) for size in range(200, 700, 2)]
            seen = watch.seen()
            assert len(seen) == 1000
            before = [each.samples for each in seen]
            time.sleep(0.05)
            assert [each.samples for each in watch.seen()] == before
    """)


def test_a_watch_that_is_dropped_stops_and_leaves_no_thread(run_script):
    run_script("""
        import gc, os, time
        from gilfree.gil._sampler import Watch
        def threads():
            return len(os.listdir("/proc/self/task")) if os.path.exists("/proc") else 1
        before = threads()
        for _ in range(100):
            watch = Watch()
            watch.start()
            watch.begin()
            del watch
        gc.collect()
        assert threads() == before
    """)


@pytest.mark.slow
def test_fork_and_exit_while_watching(run_script):
    run_script("""
        import os, sys, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from gilfree.gil._sampler import Watch
        watch = Watch()
        watch.start()
        for _ in range(50):
            watch.begin()
            child = os.fork()
            watch.end()
            if child == 0:
                watch.seen(), watch.forget(), watch.stop()
                del watch
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
        watch.begin()  # exit within a window
    """)


@pytest.mark.parametrize("interval", [0, -1, 2, float("nan")])
def test_a_wrong_interval_is_refused(interval):
    with pytest.raises(ValueError, match="interval must be from 1e-6 to 1 second"):
        Watch(interval)


def test_start_twice_and_end_without_begin():
    with Watch() as watch:
        watch.end()
        watch.forget()
        assert watch.seen() == []
        with pytest.raises(RuntimeError, match="running already"):
            watch.start()
    watch.stop()
    gc.collect()


@needs.gil
def test_a_waiter_waits_as_long_as_the_gil_is_held():
    def longest(work):
        waiter = Waiter()
        thread = threading.Thread(target=waiter.wait)
        thread.start()
        while not waiter.requests:
            time.sleep(1e-3)
        waiter.begin()
        work()
        waiter.end()
        waiter.stop()
        thread.join()
        return waiter.longest_wait

    assert 0.04 < longest(lambda: hold(50_000)) < 0.5
    # The shortest of several: the system may make any thread wait.
    assert min(longest(lambda: release(50_000)) for _ in range(5)) < 0.01
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        assert min(longest(lambda: sum(i for i in range(1_000_000))) for _ in range(5)) < 0.01
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.slow
def test_shares_stay_shares_while_threads_wait_for_a_cpu(run_script):
    # On one CPU the sampler often runs while the thread is about to close its window.
    run_script("""
        import ctypes, os, time
        from gilfree.gil._sampler import Watch
        release = ctypes.CDLL(None).usleep
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        with Watch(interval=1e-6) as watch:
            end = time.monotonic() + 3
            while time.monotonic() < end:
                watch.begin()
                release(20)
                watch.end()
                seen = watch.seen()[0]
                watch.forget()
                assert seen.held is None or 0 <= seen.held <= 1, seen
                assert 0 <= seen.unknown <= 1, seen
                assert seen.longest_hold <= seen.seconds, seen
    """)
