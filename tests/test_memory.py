"""Repeated calls, valid and invalid ones, do not increase the memory in use.

GILFREE_CALLS sets the number of calls. ``nox -s memory`` makes 100,000, which detects a leak of 11
bytes a call. `probe` and `compare` take a second a call, so their parts that allocate memory are
tested instead: the sampler, the waiter and the statements.
"""

from __future__ import annotations

import array
import contextlib
import gc
import os
import threading
from threading import BrokenBarrierError

import needs
import numpy as np
import pytest
from needs import Watch

import gilfree
from gilfree import _kernels, _macros
from gilfree._chunks import Chunks
from gilfree._start_line import StartLine
from gilfree._system import usable_cpus
from gilfree.gil._waiter import Waiter
from gilfree.gil.statement import statement
from gilfree.kernels import _pool
from gilfree.kernels.pool import Workers

STATM = "/proc/self/statm"
pytestmark = [
    pytest.mark.skipif(not os.path.exists(STATM), reason="this system has no /proc"),
    pytest.mark.thread_unsafe(reason="measures the memory of the whole process"),
]

CALLS = int(os.environ.get("GILFREE_CALLS", "5000"))
MOST = 2**20  # bytes that the memory in use may grow by
X = np.sin(np.arange(50.0))
POINTS = X.reshape(-1, 2)
FLOATS = X.astype(np.float32)
STRIDED = np.sin(np.arange(100.0))[::2]
COUNTER = np.zeros(1, np.int64)
EDGES = np.linspace(-1.0, 1.0, 11)


def in_use():
    """Return the bytes of memory that this process has in use."""
    gc.collect()
    with open(STATM) as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(call, calls):
    """Return how many bytes memory grows in `calls` calls, after some calls to warm up.

    Allocators keep freed memory in pools that fill up slowly, so the least growth of three series
    counts.
    """
    for _ in range(min(calls, 2000)):
        call()
    least = float("inf")
    for _ in range(3):
        before = in_use()
        for _ in range(calls):
            call()
        least = min(least, in_use() - before)
        if least < MOST:
            break
    return least


def wrong(call, *arguments, error=(TypeError, ValueError), **options):
    """Return a callable that makes a call, which must raise, and catches the error."""

    def call_and_catch():
        with contextlib.suppress(error):
            call(*arguments, **options)
            pytest.fail("nothing was raised")

    return call_and_catch


def fail(_):
    raise ZeroDivisionError


def one_chunk():
    """Return new chunks for each call, since a chunk can only be taken once."""
    return Chunks(1)


def enter(entry, *arguments):
    entry(*(each() if each is one_chunk else each for each in arguments))


def run_pool(task=list, workers=2):
    Workers(workers).share(task, 3)


def run_statement(source="x + 1", setup="x = 1"):
    return statement(source, setup)()


KERNELS = {
    "sum_of_squares": (lambda **how: gilfree.sum_of_squares(X, **how), [["no number"]], [POINTS]),
    "polyval": (
        lambda **how: gilfree.polyval(X, [1.0, 2.0], **how),
        [X, []],
        [X, [1j]],
        [X, [1.0], np.empty(3)],
        [X, [1.0], X],
    ),
    "histogram": (
        lambda **how: gilfree.histogram(X, 5, **how),
        [X, 0],
        [X, 2.5],
        [[np.nan]],
        [X, 5, (1, 0)],
        [X, 5, (0, np.inf)],
    ),
    "sqeuclidean": (
        lambda **how: gilfree.sqeuclidean(POINTS, POINTS, **how),
        [X, POINTS],
        [POINTS, POINTS[:, :1]],
        [POINTS, POINTS, np.empty((25, 25), np.float32)],
    ),
    "mandelbrot": (
        lambda **how: gilfree.mandelbrot((5, 6), max_iterations=9, **how),
        [(5, -1)],
        [(5, "6")],
        [(5, 6), (0, 1, 0, np.nan)],
        [(5, 6), (0, 1, 0, 1), 0],
    ),
    "monte_carlo_pi": (
        lambda **how: gilfree.monte_carlo_pi(9, 1, **how),
        [0],
        [1.5],
        [9, "no seed"],
    ),
}
# Arguments of each entry point, valid and invalid ones. Invalid ones raise while views are held.
ENTRIES = {
    "sum_of_squares": ((X, np.empty(1), one_chunk), (POINTS, np.empty(1), one_chunk)),
    "polyval": ((X, X[:3], np.empty(50), one_chunk), (X, FLOATS, np.empty(50), one_chunk)),
    "minmax": ((X, np.zeros(2), one_chunk), (X, FLOATS, one_chunk)),
    "histogram": (
        (X, EDGES, 5.0, 1e-9, np.zeros((_kernels.COUNT_ROWS, 11), np.intp), one_chunk),
        (X, EDGES, 5.0, 1e-9, np.zeros((_kernels.COUNT_ROWS, 11), np.int32), one_chunk),
    ),
    "sqeuclidean": (
        (POINTS, POINTS, np.empty((25, 25)), 25, 25, one_chunk),
        (POINTS, POINTS, X, 25, 25, one_chunk),
    ),
    "mandelbrot": (
        (0, 5, 0.0, 0.0, 0.1, 0.1, 9, np.empty(30, np.int32), one_chunk),
        (0, 5, 0.0, 0.0, 0.1, 0.1, 9, np.empty(30, np.int64), one_chunk),
    ),
    "monte_carlo_pi": ((np.random.PCG64(1), 9), (np.random.RandomState(1), 9)),
    "count": ((COUNTER, 9), (np.zeros(0, np.int64), 9)),
    "empty": ((), None),
}


def cases():
    """Yield the name of each case, and a callable."""
    for name, (call, *bad) in KERNELS.items():
        yield name, call
        yield f"{name} held", lambda call=call: call(nogil=False)
        yield f"{name} wrong workers", wrong(call, workers=0)
        yield f"{name} wrong executor", wrong(call, executor="none")
        for number, arguments in enumerate(bad):
            yield f"{name} wrong {number}", wrong(getattr(gilfree, name), *arguments)
    for name, (good, bad) in ENTRIES.items():
        for suffix in "gil", "nogil":
            entry = getattr(_kernels, f"{name}_{suffix}")
            yield f"_{entry.__name__}", lambda entry=entry, good=good: enter(entry, *good)
            if bad is not None:
                errors = TypeError, ValueError, AttributeError
                yield f"_{entry.__name__} wrong", wrong(enter, entry, *bad, error=errors)
    yield "sum_of_squares copied", lambda: gilfree.sum_of_squares(STRIDED)
    yield "polyval copied", lambda: gilfree.polyval(STRIDED, FLOATS[:2])
    yield "_edges", lambda: _kernels.edges(0.0, 1.0, np.empty(9))
    yield "_bin_scale", lambda: _kernels.bin_scale(EDGES)
    yield "_count_private_nogil", lambda: _kernels.count_private_nogil(9)
    for suffix in "gil", "nogil", "interruptible":
        by_hand = getattr(_macros, f"sum_of_squares_{suffix}")
        doubles = array.array("d", X)
        yield f"macros {suffix}", lambda by_hand=by_hand, doubles=doubles: by_hand(doubles)
        for number, bad in enumerate(([1.0], POINTS, FLOATS, STRIDED, b"bytes")):
            yield f"macros {suffix} wrong {number}", wrong(by_hand, bad, error=Exception)
    yield "macros empty", _macros.empty_nogil
    yield "build_info", gilfree.build_info
    yield "usable_cpus", usable_cpus
    yield "statement", run_statement
    yield "statement wrong", wrong(run_statement, "1 +", error=SyntaxError)
    yield "statement that raises", wrong(run_statement, "y", error=NameError)
    yield "setup that raises", wrong(run_statement, "1", "y", error=NameError)
    yield "pool", run_pool
    yield "pool that raises", wrong(run_pool, fail, error=ZeroDivisionError)
    yield "chunks", lambda: list(Chunks(7, 3))
    yield "start line", lambda: StartLine(1).wait()
    yield "start line broken", wrong(StartLine(2).wait, 0.0, 0.0, error=BrokenBarrierError)
    if needs.HAS_SAMPLER:
        yield from cases_of_the_sampler()


def cases_of_the_sampler():
    def window():
        watch.begin()
        watch.end()
        watch.seen(), watch.forget()

    def watch_and_thread():
        """Make a token in a thread that ends, and one in this thread, by a Watch never started."""
        other = Watch()
        other.begin()
        thread = threading.Thread(target=other.begin)
        thread.start()
        thread.join()

    watch = Watch()
    watch.begin()
    yield "window", window
    yield "watch", lambda: Watch()
    yield "watch wrong", wrong(Watch, 0)
    yield "watch and thread", watch_and_thread
    yield "waiter", lambda: (waiter := Waiter(), waiter.begin(), waiter.stop(), waiter.wait())


CASES = dict(cases())


@pytest.fixture(autouse=True)
def few_threads(monkeypatch):
    """Limit the shared pool to four threads: it would slowly start 256, which take 10 MB."""
    monkeypatch.setattr(_pool, "MOST_THREADS", 4)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.slow
def test_memory_does_not_grow(name):
    assert growth(CASES[name], CALLS) < MOST


def test_a_leak_would_be_seen():
    leaked = []
    # Too large for memory that an earlier test has freed.
    assert growth(lambda: leaked.append(np.ones(5 * 10**6)), 1) > MOST
