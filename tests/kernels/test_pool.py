"""The pool: order, helpers, executors, exceptions, Ctrl-C, fork and exit."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import gc
import math
import os
import threading
import time
import traceback
import weakref
from concurrent.futures import ThreadPoolExecutor

import needs
import numpy as np
import pytest

import gilfree
from gilfree import _kernels
from gilfree._chunks import Chunks
from gilfree._system import gil_enabled
from gilfree.kernels import pool
from gilfree.kernels.pool import Workers


class Boom(Exception):
    """The exception of a task."""


def each(task, count, receive, workers=None, executor=None, work=math.inf):
    """Have workers call ``receive(number, task(number))`` for each number: one chunk each."""

    def take(chunks):
        for chunk in chunks:
            receive(chunk.start, task(chunk.start))

    pool = Workers(workers, executor, work)
    if pool.elsewhere:
        pool.send(task, ((number, (number,)) for number in range(count)), receive)
    else:
        pool.share(take, count)


def collect(task, count, *how):
    """Return the results of `task` for each number, in order."""
    results = {}
    each(task, count, results.__setitem__, *how)
    return [results[number] for number in range(count)]


# ---------------------------------------------------------------- chunks


@pytest.mark.parametrize("size", [0, 1, 2, 7, 100, 10**15 + 3])
@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_chunks_are_even_and_cover_all_elements(size, count):
    chunks = Chunks(size, count)
    assert chunks.count == min(size, count)
    assert chunks.left == (size > 0)
    taken = list(chunks)
    assert not chunks.left
    assert len(taken) == chunks.count
    assert [chunk.start for chunk in taken] == [0, *(chunk.stop for chunk in taken)][: len(taken)]
    assert not taken or taken[-1].stop == size
    lengths = {chunk.stop - chunk.start for chunk in taken}
    assert max(lengths, default=0) - min(lengths, default=0) <= 1


def test_no_chunk_is_taken_after_a_stop():
    chunks = Chunks(10, 10)
    assert next(chunks) == slice(0, 1)
    chunks.stop()
    assert not chunks.left
    assert list(chunks) == []


@pytest.mark.parametrize("wrong", [(-1, 1), (1, 0), (1, -1)])
def test_invalid_chunks_are_refused(wrong):
    with pytest.raises(ValueError, match="must not be negative and count at least 1"):
        Chunks(*wrong)


def test_each_chunk_is_taken_once_by_any_thread(run_script):
    out = run_script("""
        from concurrent.futures import ThreadPoolExecutor
        import numpy as np
        from gilfree import _kernels
        from gilfree._chunks import Chunks

        with ThreadPoolExecutor(4) as threads:
            for turn in range(300):
                chunks = Chunks(50_000, 5000)
                x, outs = np.ones(50_000), np.zeros((4, 50_000))
                list(threads.map(
                    lambda out: _kernels.polyval_nogil(x, np.ones(2), out, chunks), outs
                ))
                assert (outs.sum(axis=0) == 2).all()
        print("each once")
    """)
    assert out == "each once\n"


# ---------------------------------------------------------------- workers


@pytest.mark.parametrize("workers", [None, 1, 2, 7, 64])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 100])
def test_any_number_of_workers_does_all_work(workers, count):
    def task(number):
        time.sleep(0.0001 * (number % 3))
        return number * number

    assert collect(task, count, workers) == [n * n for n in range(count)]


def test_as_many_threads_work_concurrently_as_there_are_workers():
    # Every chunk waits for the others, so this ends only if all of them run concurrently.
    barrier = threading.Barrier(5, timeout=30)
    threads = collect(lambda _: (barrier.wait(), threading.get_ident())[1], 5, 5)
    assert len(set(threads)) == 5


def test_each_helper_enters_once_and_the_caller_works_too():
    entered, here = [], threading.get_ident()
    together = threading.Barrier(3, timeout=30)
    pixels = np.empty(640, np.int32)  # 40 times 16 that take some milliseconds

    def work(chunks):
        first = threading.get_ident() not in entered
        entered.append(threading.get_ident())
        if first:
            together.wait()
        _kernels.mandelbrot_nogil(0, 1, -0.5, 0.0, 1e-3, 1e-3, 600_000, pixels, chunks)

    Workers(3).share(work, pixels.size, 16)
    helpers = [thread for thread in entered if thread != here]
    assert here in entered
    assert len(helpers) == len(set(helpers)) == 2


def test_only_the_caller_returns_regularly_to_check_for_ctrl_c():
    entered, caller = [], threading.get_ident()

    def work(chunks):
        entered.append(threading.get_ident())
        if entered.count(caller) > 2 and len(entered) > entered.count(caller):
            chunks.stop()
        _kernels.mandelbrot_nogil(0, 1, -0.5, 0.0, 1e-3, 1e-3, 600_000, pixels, chunks)

    pixels = np.empty(16 * 10**5, np.int32)  # 16 of them take some milliseconds
    Workers(2).share(work, pixels.size, 16)
    assert entered.count(caller) > 2
    assert len(entered) - entered.count(caller) == 1


def test_one_worker_and_one_chunk_stay_in_the_calling_thread():
    here = threading.get_ident()
    assert set(collect(lambda _: threading.get_ident(), 20, 1)) == {here}
    assert set(collect(lambda _: threading.get_ident(), 1, 8)) == {here}


def test_the_caller_does_not_wait_for_a_helper_that_has_not_started():
    blocked = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(blocked.wait)
        try:
            assert collect(abs, 50, 4, executor) == list(range(50))
        finally:
            blocked.set()


def test_an_executor_helps_and_is_not_shut_down():
    with ThreadPoolExecutor(2, thread_name_prefix="mine") as executor:
        barrier = threading.Barrier(2, timeout=30)
        names = collect(
            lambda _: (barrier.wait(), threading.current_thread().name)[1], 2, 2, executor
        )
        assert any(name.startswith("mine") for name in names)
        assert executor.submit(abs, -1).result() == 1


def test_an_executor_that_was_shut_down_says_so():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        collect(abs, 5, 2, executor)


class OneByOne(concurrent.futures.Executor):
    """An executor that only has `submit`, which runs the task immediately."""

    def __init__(self):
        self.most = self.under_way = 0

    def submit(self, fn, /, *args, **kwargs):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        outer = self

        class Result(concurrent.futures.Future):
            def result(self, timeout=None):
                outer.under_way -= 1
                return super().result(timeout)

        future = Result()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def test_any_executor_is_accepted_and_workers_limits_the_submitted_tasks():
    x = np.sin(np.arange(6_000_003.0))
    executor = OneByOne()
    assert gilfree.sum_of_squares(x, executor=executor) == gilfree.sum_of_squares(x)
    assert executor.most > 3
    executor = OneByOne()
    assert gilfree.sum_of_squares(x, executor=executor, workers=3) == gilfree.sum_of_squares(x)
    assert executor.most == 3
    out = np.empty_like(x)
    assert gilfree.polyval(x, [1.0, 2.0], out, executor=OneByOne()) is out
    np.testing.assert_array_equal(out, gilfree.polyval(x, [1.0, 2.0]))


# ---------------------------------------------------------------- exceptions


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("executor", [None, OneByOne])
@pytest.mark.parametrize("bad", [0, 3, 99])
def test_the_first_exception_stops_the_rest_and_keeps_its_traceback(workers, executor, bad):
    done = []

    def task(number):
        if number == bad:
            raise Boom(number)
        time.sleep(0.001)
        done.append(number)

    with pytest.raises(Boom, match=str(bad)) as caught:
        collect(task, 100, workers, executor and executor())
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "task"
    assert bad == 99 or len(done) < 99
    assert collect(abs, 3, workers) == [0, 1, 2]


def test_no_task_is_running_when_the_exception_arrives():
    running = []

    def task(number):
        running.append(number)
        try:
            if number == 1:
                raise Boom
            time.sleep(0.05)
        finally:
            running.remove(number)

    with pytest.raises(Boom):
        collect(task, 8, 4)
    assert running == []


@pytest.mark.thread_unsafe(reason="switches the garbage collector off for all threads")
@pytest.mark.parametrize("kind", [contextlib.nullcontext, ThreadPoolExecutor])
def test_an_exception_keeps_no_array_once_it_is_handled(kind):
    class Argument:
        pass

    def fail(_, chunks):
        for chunk in chunks:
            time.sleep(0.001)
            if chunk.start:
                raise Boom

    gone = []
    gc.disable()
    try:
        for _ in range(10):
            argument = Argument()
            gone.append(weakref.ref(argument))
            with kind() as executor, contextlib.suppress(Boom):
                Workers(3, executor).share(functools.partial(fail, argument), 5)
            del argument
        deadline = time.monotonic() + 20
        while any(ref() for ref in gone) and time.monotonic() < deadline:
            time.sleep(0.001)  # a helper may not have dropped the call yet
            if not gil_enabled():  # a thread's objects are freed when the thread next runs Python
                collect(lambda _: time.sleep(0.001), 8, 4)
        assert [ref() for ref in gone] == [None] * 10
    finally:
        gc.enable()


# ---------------------------------------------------------------- what could hang


@needs.posix
def test_no_task_is_running_when_ctrl_c_arrives_however_often(run_script):
    run_script("""
        import os, signal, threading, time
        from gilfree.kernels.pool import Workers

        at_work = set()

        def task(chunks):
            for chunk in chunks:
                number = chunk.start, threading.get_ident()
                at_work.add(number)
                time.sleep(0.03)
                at_work.discard(number)

        def press():
            for _ in range(5):
                time.sleep(0.011)
                os.kill(os.getpid(), signal.SIGINT)  # it interrupts a wait, too
            pressed.append(True)

        for _ in range(20):
            pressed = []
            threading.Thread(target=press).start()
            try:
                try:
                    Workers(3).share(task, 1000)
                finally:
                    late = None
                    while late is None:  # since the next Ctrl-C may come here
                        try:
                            late = [n for n in at_work if n[1] != threading.get_ident()]
                        except KeyboardInterrupt:
                            pass
            except KeyboardInterrupt:
                assert not late, late
            over = False
            while not over:
                try:
                    while not pressed:  # not join: 3.11 would think the thread ended
                        time.sleep(0.001)
                    over = True
                except KeyboardInterrupt:
                    pass
            at_work.clear()
    """)


def test_a_call_near_the_limit_of_recursion_raises(run_script):
    run_script("""
        import sys
        from gilfree.kernels.pool import Workers

        def pad(count, call):
            return call() if not count else pad(count - 1, call)

        def deeper():
            Workers(2).share(list, 9)
            pad(8, deeper)

        sys.setrecursionlimit(300)
        for offset in range(10):
            try:
                pad(offset, deeper)
            except RecursionError:
                pass
            else:
                raise SystemExit("no limit?")
        Workers(2).share(list, 9)
    """)


def test_nested_calls_on_a_subclass_of_the_thread_pool(run_script):
    run_script("""
        import numpy as np, gilfree
        from concurrent.futures import ThreadPoolExecutor
        class Mine(ThreadPoolExecutor): pass
        with Mine(1) as executor:
            call = executor.submit(gilfree.sum_of_squares, np.ones(10**7), executor=executor)
            assert call.result() == 10**7
    """)


def test_nested_calls_do_not_deadlock(run_script):
    run_script("""
        from concurrent.futures import ThreadPoolExecutor
        from gilfree.kernels.pool import Workers

        def nest(depth, executor):
            if depth == 0:
                return 1
            results = []
            Workers(4, executor).share(
                lambda chunks: results.extend(nest(depth - 1, executor) for _ in chunks), 3
            )
            return sum(results)

        assert nest(5, None) == 3**5
        with ThreadPoolExecutor(1) as executor:
            assert nest(5, executor) == 3**5
            # Also from a worker of the same executor.
            assert executor.submit(nest, 4, executor).result() == 3**4
    """)


def test_many_threads_may_call_concurrently(run_script):
    run_script("""
        import numpy as np, gilfree
        from concurrent.futures import ThreadPoolExecutor
        x = np.resize(np.sin(np.arange(9973.0)), 8_000_003)
        expected = gilfree.sum_of_squares(x, workers=1)
        with ThreadPoolExecutor(16) as executor:
            results = executor.map(lambda _: gilfree.sum_of_squares(x, workers=4), range(200))
            assert set(results) == {expected}
    """)


# ---------------------------------------------------------------- helpers that stay awake


def test_a_helper_that_is_awake_is_used_again(run_script):
    out = run_script("""
        import threading, time
        from gilfree.kernels.pool import Workers

        together = threading.Barrier(2, timeout=20)
        threads = set()

        def task(chunks):
            for _ in chunks:
                together.wait()  # a helper must take part
                threads.add(threading.get_ident())

        for _ in range(300):
            Workers(2).share(task, 2)
        print(len(threads) < 20)
        time.sleep(0.02)  # until the helper sleeps
        Workers(2).share(task, 2)
    """)
    assert out == "True\n"


def test_every_call_gets_its_helpers_at_any_moment(run_script):
    out = run_script(
        """
        import random, threading, time
        from gilfree.kernels.pool import Workers

        def calls(seed):
            rng = random.Random(seed)
            for _ in range(400):
                time.sleep(rng.random() * 400e-6)  # up to twice IDLE_SPIN
                workers = rng.choice([2, 3, 5])
                together = threading.Barrier(workers, timeout=20)
                Workers(workers).share(lambda chunks: [together.wait() for _ in chunks], workers)

        threads = [threading.Thread(target=calls, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("all")
        """,
        timeout=120,
    )
    assert out == "all\n"


def test_calls_that_end_before_their_helpers_begin_start_no_more_of_them(run_script):
    out = run_script("""
        import sys, threading, time
        from gilfree._system import gil_enabled
        from gilfree.kernels.pool import Workers

        def helpers():
            return sum(thread.name.startswith("gilfree") for thread in threading.enumerate())

        least = 4 if gil_enabled() else 1
        sys.setswitchinterval(100)  # so no helper acquires the GIL while this thread calls
        for _ in range(100):
            Workers(5).share(list, 9)
        sys.setswitchinterval(0.005)
        deadline = time.monotonic() + 20
        while helpers() < least and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)  # a further one would come soon
        print(helpers())
    """)
    assert int(out) == 4 or (not gil_enabled() and 0 < int(out) <= 4)


def test_a_brief_call_wakes_no_helper_unless_it_follows_another(run_script):
    out = run_script("""
        import threading, time
        from gilfree.kernels.pool import MIN_WAKE_NS, MIN_SHARED_NS, Workers

        def helpers():
            return sum(thread.name.startswith("gilfree") for thread in threading.enumerate())

        def call(work):
            Workers(2, work=work).share(list, 9)

        for _ in range(100):
            call(MIN_SHARED_NS / 2)
        for _ in range(3):
            time.sleep(0.01)
            call(MIN_WAKE_NS / 2)
        print(helpers())
        while not helpers():
            call(MIN_WAKE_NS / 2)
        print("in a row")
    """)
    assert out == "0\nin a row\n"


@pytest.mark.thread_unsafe(reason="other tests would use the helpers")
def test_a_helper_that_is_awake_keeps_no_object_of_the_call():
    class Result:
        pass

    seen = []

    def task(_):
        result = Result()
        seen.append(weakref.ref(result))
        return result

    assert len(collect(task, 8, 4)) == 8
    deadline = time.monotonic() + 30
    # Without a GIL, a thread's objects are freed when the thread next runs Python.
    while not gil_enabled() and any(ref() for ref in seen) and time.monotonic() < deadline:
        collect(lambda _: time.sleep(0.001), 128, 64)  # on all helpers
    assert [ref() for ref in seen] == [None] * 8


@needs.fork
def test_a_forked_child_gets_its_own_helpers(run_script):
    out = run_script("""
        import os, threading, warnings
        from gilfree.kernels.pool import Workers
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads: what is tested

        def call(task):
            seen = []
            Workers(3).share(lambda chunks: seen.extend(task(c.start) for c in chunks), 9)
            return sorted(seen)

        for _ in range(50):
            assert call(abs) == list(range(9))
            child = os.fork()
            if not child:
                together = threading.Barrier(3, timeout=20)  # helpers must take part
                os._exit(0 if call(lambda n: together.wait() * 0 + n) == list(range(9)) else 1)
            assert os.waitpid(child, 0)[1] == 0
        print("done")
    """)
    assert out == "done\n"


@needs.fork
def test_a_forked_child_can_call(run_script):
    run_script("""
        import os, warnings, numpy as np, gilfree
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads: what is tested
        x = np.resize(np.sin(np.arange(9973.0)), 8_000_003)
        expected = gilfree.sum_of_squares(x, workers=4)
        for _ in range(20):
            child = os.fork()
            if child == 0:
                os._exit(0 if gilfree.sum_of_squares(x, workers=4) == expected else 1)
            assert os.waitpid(child, 0)[1] == 0
        assert gilfree.sum_of_squares(x, workers=4) == expected
    """)


@needs.fork
@pytest.mark.parametrize("helps", ["call", "executor"])
def test_a_child_forked_during_a_call_says_that_its_helpers_are_lost(run_script, helps):
    out = run_script(f"""
        import os, signal, threading, warnings
        from concurrent.futures import ThreadPoolExecutor
        from gilfree.kernels.pool import Workers
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads: what is tested

        child = None
        here, together = threading.get_ident(), threading.Barrier(2, timeout=20)
        forked = threading.Event()

        def fork(*_):
            global child
            child = os.fork()
            forked.set()
            if not child:
                signal.alarm(20)  # so that the child can't hang

        def task(chunks):
            for _ in chunks:
                together.wait()
                if threading.get_ident() == here:
                    os.kill(os.getpid(), signal.SIGUSR1)
                forked.wait(20)

        signal.signal(signal.SIGUSR1, fork)
        executor = ThreadPoolExecutor(1) if {helps == "executor"} else None
        try:
            Workers(2, executor).share(task, 2)
        except RuntimeError as error:
            print(error, flush=True)
            os._exit(0 if not child else 1)
        _, status = os.waitpid(child, 0)
        print(status)
    """)
    assert out == "forked during a call: the child does not have its helpers\n0\n"


def test_a_call_while_the_interpreter_exits(run_script):
    out = run_script("""
        import atexit, threading, numpy as np, gilfree
        x = np.resize(np.sin(np.arange(9973.0)), 8_000_003)
        expected = gilfree.sum_of_squares(x)

        def check(where):
            assert gilfree.sum_of_squares(x, workers=4) == expected
            print(where)

        atexit.register(check, "atexit")
        def late():
            threading.main_thread().join()
            check("after the main thread")
        threading.Thread(target=late).start()
    """)
    assert "atexit" in out
    assert "after the main thread" in out


def test_daemon_threads_may_end_during_a_call(run_script):
    run_script("""
        import threading, time, gilfree
        def forever():
            while True:
                gilfree.mandelbrot((300, 400), workers=2)
        for _ in range(4):
            threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.3)
    """)


@needs.posix
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("nogil", [True, False])
def test_ctrl_c_ends_a_long_call_soon(run_script, nogil, workers):
    out = run_script(f"""
        import os, signal, threading, time, gilfree

        def press(pressed):
            time.sleep(0.2)
            pressed.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        def seconds_late():
            pressed = []
            threading.Thread(target=press, args=[pressed]).start()
            try:
                gilfree.mandelbrot((20_000, 20_000), workers={workers}, nogil={nogil})
            except KeyboardInterrupt:
                return time.perf_counter() - pressed[0]
            raise SystemExit("not interrupted")

        gilfree.mandelbrot((1, 1))  # Ctrl-C should come during the call, not during an import
        print(min(seconds_late() for _ in range(3)))
        assert gilfree.mandelbrot((1, 1), (-1, 1, -1, 1)) == 200
    """)
    assert float(out) < 0.2  # the whole call takes many seconds


@pytest.mark.slow
def test_stdlib_processes_give_the_same_bits(run_script):
    run_script(
        """
        import multiprocessing, pickle, numpy as np, gilfree
        from calls import CALLS
        from concurrent.futures import ProcessPoolExecutor

        if __name__ == "__main__":
            with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
                for call in CALLS.values():
                    expected = pickle.dumps(call(workers=1))
                    for nogil in True, False:
                        for workers in None, 1, 2, 3, 7, 64:
                            ours = call(executor=executor, workers=workers, nogil=nogil)
                            assert pickle.dumps(ours) == expected
                # An exception is raised here, and the executor still works.
                try:
                    gilfree.histogram(np.full(1_000_003, np.nan), executor=executor)
                except ValueError:
                    pass
                else:
                    raise SystemExit("NaN went through")
                assert executor.submit(abs, -1).result() == 1
        """,
        timeout=120,
    )


@needs.posix
def test_a_worker_process_that_dies_is_named(run_script):
    run_script("""
        import multiprocessing, os, signal, numpy as np, gilfree
        from concurrent.futures import BrokenExecutor, ProcessPoolExecutor

        if __name__ == "__main__":
            executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
            executor.submit(os.getpid).result()
            executor.submit(os.kill, executor.submit(os.getpid).result(), signal.SIGKILL)
            try:
                gilfree.sum_of_squares(np.ones(1_000_003), executor=executor)
            except BrokenExecutor:
                assert gilfree.sum_of_squares(np.ones(1_000_003)) == 1_000_003
            else:
                raise SystemExit("not noticed")
            executor.shutdown()  # otherwise 3.11 may print an error about the broken pipe at exit
    """)


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_bits(run_script):
    run_script(
        """
        import pickle
        from calls import CALLS
        from distributed import Client, LocalCluster

        if __name__ == "__main__":
            with LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
            ) as cluster, Client(cluster) as client:
                executor = client.get_executor(pure=False)
                for call in CALLS.values():
                    expected = pickle.dumps(call(workers=1))
                    for nogil in True, False:
                        for workers in None, 1, 2, 3, 7, 64:
                            ours = call(executor=executor, workers=workers, nogil=nogil)
                            assert pickle.dumps(ours) == expected
        """,
        timeout=180,
        quiet=False,  # Dask may log during its shutdown
    )


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_usable_cpus_follows_the_affinity(run_script):
    out = run_script("""
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        from gilfree._system import usable_cpus
        print(usable_cpus())
    """)
    assert int(out) == 1
    assert pool.usable_cpus() >= 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_helper_keeps_the_affinity_that_the_user_set_while_it_slept(run_script):
    out = run_script("""
        import os, threading, time
        from gilfree.kernels.pool import Workers

        def helper():
            together, where = threading.Barrier(2, timeout=20), {}

            def task(chunks):
                for _ in chunks:
                    together.wait()
                    where[threading.get_native_id()] = os.sched_getaffinity(0)

            Workers(2).share(task, 2)
            del where[threading.get_native_id()]
            return where.popitem()

        thread, usual = helper()
        for cpus in {min(usual)}, {max(usual)}, usual:
            time.sleep(0.02)  # until the helper sleeps
            os.sched_setaffinity(thread, cpus)
            assert helper() == (thread, cpus)
        print("there")
    """)
    assert out == "there\n"
