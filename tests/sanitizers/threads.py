"""What gilfree's compiled code does on several threads concurrently. No sanitizer may report it.

``nox -s tsan`` runs this against a build with ThreadSanitizer, once for each build of the loops.
ThreadSanitizer reports two accesses if no lock orders them. The GIL orders calls that do not
overlap. So the threads begin together, and each calls many times.
"""

from __future__ import annotations

import array
import contextlib
import faulthandler
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from calls import CALLS

import gilfree
from gilfree import _kernels, _macros
from gilfree._chunks import Chunks
from gilfree._start_line import StartLine
from gilfree.gil._sampler import Watch
from gilfree.gil._waiter import Waiter
from gilfree.kernels.pool import MIN_WAKE_NS, Workers

HANG = 120  # seconds for one part; the slowest took 20 on a busy machine


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Make each call in its own thread, all starting together; return their results."""
    barrier = threading.Barrier(len(calls), timeout=HANG)

    def call_with_others(call: Callable[[], Any]) -> Any:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(call_with_others, calls))


def same(ours: Any, theirs: Any) -> bool:
    """Compare results, which may be tuples of arrays."""
    if isinstance(ours, tuple):
        return all(map(np.array_equal, ours, theirs))
    return np.array_equal(ours, theirs)


# ---------------------------------------------------------------- the loops


def kernels_on_shared_threads() -> None:
    for call in CALLS.values():
        expected = call(workers=1)
        for nogil in True, False:
            assert same(call(workers=3, nogil=nogil), expected)


def kernels_called_together() -> None:
    for call in CALLS.values():
        first, *rest = together(*[functools.partial(call, workers=2)] * 3)
        assert all(same(first, other) for other in rest)


def sum_of_squares(x: np.ndarray[Any, Any]) -> float:
    """Return the sum of squares of one block, computed without the GIL."""
    sums = np.empty(1)
    _kernels.sum_of_squares_nogil(x, sums, Chunks(1))
    return float(sums[0])


def calls_of_each_loop(dtype: type, suffix: str) -> list[Callable[[], Any]]:
    """Return a call of each entry point with this suffix; each call writes to its own array."""
    x = np.sin(np.arange(30_000)).astype(dtype)
    matrix, edges = x.reshape(-1, 5), np.linspace(-0.5, 0.5, 11)
    picture = -2.0, 1.0, 0.03, 0.03, 99
    arguments: dict[str, Callable[[], tuple[Any, ...]]] = {
        "sum_of_squares": lambda: (x, np.empty(1), Chunks(1)),
        "polyval": lambda: (x, x[:6], np.empty_like(x), Chunks(x.size, 9)),
        "minmax": lambda: (x, np.zeros(2, dtype), Chunks(x.size, 9)),
        "histogram": lambda: (
            x,
            edges,
            *_kernels.bin_scale(edges),
            np.zeros((_kernels.COUNT_ROWS, 11), np.intp),
            Chunks(x.size, 9),
        ),
        "sqeuclidean": lambda: (
            *(matrix[:150], matrix, np.empty((150, len(matrix)), dtype)),
            *(50, 2000, Chunks(9, 9)),
        ),
        "mandelbrot": lambda: (0, 80, *picture, np.empty(4000, np.int32), Chunks(4000, 9)),
        "monte_carlo_pi": lambda: (np.random.PCG64(1), 30_000),
        "empty": lambda: (),
    }

    def call(name: str) -> None:
        for _ in range(10):
            getattr(_kernels, f"{name}_{suffix}")(*arguments[name]())

    return [functools.partial(call, name) for name in arguments]


def held_and_released_together() -> None:
    """Call each loop on two threads that release the GIL, and on one that holds it."""
    for dtype in np.float32, np.float64:
        released, held = (calls_of_each_loop(dtype, suffix) for suffix in ("nogil", "gil"))
        for one, other in zip(released, held, strict=True):
            together(one, one, other)


def counts_that_are_right() -> None:
    """Count as on_purpose.py does, but correctly: with the GIL held, or with private counts."""
    counter = np.zeros(1, np.int64)
    together(*[lambda: _kernels.count_gil(counter, 10_000)] * 3)
    assert counter[0] == 30_000
    assert together(*[lambda: _kernels.count_private_nogil(10_000)] * 3) == [10_000] * 3


def macros_together() -> None:
    x = array.array("d", np.sin(np.arange(100_000.0)))
    versions = (
        _macros.sum_of_squares_gil,
        _macros.sum_of_squares_nogil,
        _macros.sum_of_squares_interruptible,
    )
    calls = [functools.partial(version, x) for version in versions * 2]
    for _ in range(30):
        assert len(set(together(*calls))) == 1
    for _ in range(30):
        together(_macros.empty_nogil, _macros.empty_gil, _macros.empty_nogil)


# ---------------------------------------------------------------- the pool


def fill(out: np.ndarray[Any, Any], chunks: Iterable[slice]) -> None:
    """Write to parts of an array that the caller reads after the call."""
    for chunk in chunks:
        for number in range(chunk.start, chunk.stop):
            x = np.full(out.shape[1], float(number))
            _kernels.polyval_nogil(x, np.ones(2), out[number], Chunks(x.size))


def pool_of_threads(executor: ThreadPoolExecutor | None, workers: int) -> None:
    out = np.zeros((40, 500))
    Workers(workers, executor).share(functools.partial(fill, out), len(out))
    assert (out == np.arange(1.0, 41.0)[:, None]).all()


def calls_in_a_row() -> None:
    """Helpers that are awake are used again, go to sleep, and are woken."""
    for workers in 2, 3:
        for _ in range(100):
            pool_of_threads(None, workers)
        time.sleep(0.01)
        pool_of_threads(None, workers)


def brief_calls_in_a_row() -> None:
    met = set()
    for _ in range(1000):
        out = np.zeros((4, 2000))

        def work(chunks: Iterable[slice], out: np.ndarray[Any, Any] = out) -> None:
            met.add(threading.get_ident())
            fill(out, chunks)

        Workers(2, work=MIN_WAKE_NS / 2).share(work, len(out))
        assert (out == np.arange(1.0, 5.0)[:, None]).all()
    assert len(met) > 1


def nested_calls() -> None:
    def nest(depth: int) -> float:
        if depth == 0:
            return gilfree.sum_of_squares(np.ones(1000), workers=2)
        results: list[float] = []
        Workers(3).share(lambda chunks: results.extend(nest(depth - 1) for _ in chunks), 3)
        return sum(results)

    assert together(*[lambda: nest(4)] * 2) == [81_000.0] * 2


class Boom(Exception):
    """The exception of a chunk."""


def fill_or_fail(bad: int, out: np.ndarray[Any, Any], chunks: Iterable[slice]) -> None:
    for chunk in chunks:
        if chunk.start == bad:
            raise Boom
        fill(out, [chunk])


def exceptions_in_chunks() -> None:
    """When the caller gets the exception, no thread may write to the array."""
    for bad in [0, 1, 7, 39] * 20:
        out = np.zeros((40, 500))
        try:
            Workers(3).share(functools.partial(fill_or_fail, bad, out), len(out))
        except Boom:
            _kernels.minmax_nogil(out.reshape(-1), np.zeros(2), Chunks(out.size))
        else:
            raise AssertionError("nothing was raised")


def late_helpers() -> None:
    """Keep the executor busy, so that helpers start only after the caller has done all work."""
    blocked = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(blocked.wait, 60)
        for _ in range(20):
            pool_of_threads(executor, 4)
        blocked.set()
        pool_of_threads(executor, 4)


def executor_of_the_user() -> None:
    with ThreadPoolExecutor(2) as executor:
        together(*[lambda: pool_of_threads(executor, 3)] * 3)


def chunks_taken_together() -> None:
    """Each chunk is taken by one thread only, in Python and in the loops."""
    for _ in range(50):
        chunks, x, out = Chunks(3000, 300), np.ones(3000), np.zeros(3000)
        in_python, _, _ = together(
            lambda chunks=chunks: list(chunks),
            *[functools.partial(_kernels.polyval_nogil, x, np.ones(2), out, chunks)] * 2,
        )
        assert (out == 2).sum() + 10 * len(in_python) == 3000


def start_lines() -> None:
    """One thread writes before the start; the others read after it."""
    for _ in range(100):
        line, data = StartLine(3), np.zeros(100)

        def write(line: StartLine = line, data: np.ndarray[Any, Any] = data) -> None:
            _kernels.polyval_nogil(np.ones(100), np.ones(1), data, Chunks(100))
            line.wait(1e-5)
            line.wait()

        def read(line: StartLine = line, data: np.ndarray[Any, Any] = data) -> None:
            line.wait(1e-5)
            assert sum_of_squares(data) == 100
            line.wait()

        together(write, read, read)


# ---------------------------------------------------------------- the sampler


def watched_threads() -> None:
    """Threads begin and end windows, and read the results, while the sampler runs."""
    with Watch(interval=2e-6) as watch:

        def be_watched() -> None:
            for _ in range(300):
                watch.begin()
                _kernels.count_private_nogil(2000)
                watch.end()
            watch.begin()  # the thread ends within the window

        def ask() -> None:
            for _ in range(300):
                watch.seen()
                time.sleep(1e-5)

        def begin_again() -> None:
            for _ in range(100):
                watch.begin()
                watch.forget()
                watch.end()

        for _ in range(3):
            together(be_watched, be_watched, begin_again, ask)
        seen = watch.seen()
    assert len(seen) == 9
    assert sum(each.samples for each in seen) > 1000


def samplers_that_come_and_go() -> None:
    """Stop a Watch, start it again, and free it while threads still have its tokens."""

    def stopped_and_started() -> None:
        watch = Watch(interval=1e-5)
        for _ in range(5):
            with watch:
                watch.begin()
                _kernels.count_private_nogil(10_000)
            watch.end()

    def left_to_others() -> None:
        with Watch(interval=1e-5) as watch:
            others = [threading.Thread(target=watch.begin) for _ in range(3)]
            for thread in others:
                thread.start()
            for thread in others:
                thread.join()

    for _ in range(5):
        together(stopped_and_started, stopped_and_started, left_to_others)


def waiter() -> None:
    waiter = Waiter()

    def work() -> None:
        try:
            while not waiter.requests:
                time.sleep(1e-4)
            waiter.begin()
            enough = waiter.requests + 50
            while waiter.requests < enough:
                _kernels.count_private_nogil(10_000)
            waiter.end()
        finally:
            waiter.stop()

    together(waiter.wait, work)
    assert waiter.longest_wait > 0


def probe() -> None:
    """Use the sampler and the waiter as the probe does."""
    report = gilfree.probe(_kernels.count_private_nogil, 300_000, workers=2)
    assert report.samples > 0
    assert report.held is not None


# ---------------------------------------------------------------- the recorder


def recordings() -> None:
    """Start and stop recordings while threads start and end, and another recording is refused."""
    enough = threading.Event()

    def record() -> None:
        try:
            for _ in range(15):
                with gilfree.record() as recording:
                    time.sleep(0.02)
                assert recording.facts.looks
                str(recording), recording.to_dict()
        finally:
            enough.set()

    def come_and_go() -> None:
        number = 0
        while not enough.is_set():
            work = threading.Thread(
                target=_kernels.count_private_nogil, args=[20_000], name=f"work {number}"
            )
            work.start()
            work.join()
            number += 1

    def be_refused() -> None:
        while not enough.is_set():
            with contextlib.suppress(RuntimeError), gilfree.record():
                pass
            time.sleep(0.001)

    together(record, come_and_go, come_and_go, come_and_go)
    enough.clear()
    together(be_refused, be_refused, come_and_go, lambda: (time.sleep(0.5), enough.set()))


PARTS = (
    kernels_on_shared_threads,
    kernels_called_together,
    held_and_released_together,
    counts_that_are_right,
    macros_together,
    calls_in_a_row,
    brief_calls_in_a_row,
    nested_calls,
    exceptions_in_chunks,
    late_helpers,
    executor_of_the_user,
    chunks_taken_together,
    start_lines,
    watched_threads,
    samplers_that_come_and_go,
    waiter,
    probe,
    recordings,
)


def main() -> None:
    """Run the parts named on the command line, or all."""
    wanted = sys.argv[1:] or [part.__name__ for part in PARTS]
    for part in PARTS:
        if part.__name__ in wanted:
            faulthandler.dump_traceback_later(HANG, exit=True)
            start = time.monotonic()
            part()
            print(f"{part.__name__}: {time.monotonic() - start:.1f} s", flush=True)
    print(f"{len(wanted)} parts, loops for {gilfree.build_info()['isa_level']}")


if __name__ == "__main__":
    main()
