"""The extension that is written by hand: the kernel's very bits, a release, Ctrl-C, its errors."""

from __future__ import annotations

import array
import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor

import needs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gilfree import _kernels, _macros
from gilfree._chunks import Chunks
from gilfree.testing import GilWarning, assert_releases_gil

WAYS = [
    _macros.sum_of_squares_gil,
    _macros.sum_of_squares_nogil,
    _macros.sum_of_squares_interruptible,
]


def by_cython(x):
    """Return the sum as the loop has it that holds the GIL."""
    sums = np.empty(-(-x.size // _kernels.SUM_BLOCK))
    _kernels.sum_of_squares_gil(x, sums, Chunks(sums.size))
    return _kernels.add_in_order(sums)


def bits(number):
    return np.float64(number).tobytes()


@pytest.mark.parametrize("way", WAYS)
@given(hnp.arrays(np.float64, st.integers(0, 200), elements=st.floats(-1e100, 1e100)))
def test_the_bits_are_those_of_the_cython_kernel(way, x):
    assert bits(way(x)) == bits(by_cython(x))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("beyond", [-17, -1, 0, 1, 17])
def test_a_look_at_ctrl_c_leaves_the_bits_alone(way, beyond):
    x = np.resize(
        np.random.default_rng(3).normal(size=99_991), 2**24 + beyond
    )  # a look every 2**24
    assert bits(way(x)) == bits(by_cython(x))
    np.testing.assert_allclose(way(x), np.dot(x, x), rtol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("way", WAYS)
def test_nan_and_infinity_come_through(way, value):
    assert bits(way(np.array([1.0, value]))) == bits(value)


@pytest.mark.parametrize("way", WAYS)
def test_any_buffer_of_doubles_will_do(way):
    assert way(array.array("d", [3, 4])) == 25
    assert way(memoryview(np.array([3.0, 4.0]))) == 25
    frozen = np.array([3.0, 4.0])
    frozen.flags.writeable = False
    assert way(frozen) == 25
    assert way(np.empty(0)) == 0
    assert (
        way((ctypes.c_double * 2)(3, 4)) == 25
    )  # its format is '<d', or '>d' where that is native


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.ones(3, np.float32), TypeError, r"doubles \(format 'd'\) in one dimension, not 'f' in"),
        (np.ones((2, 2)), TypeError, "one dimension, not 'd' in 2"),
        (np.array(1.0), TypeError, "one dimension, not 'd' in 0"),
        (b"bytes", TypeError, "not 'B' in 1"),
        (
            np.ones(3).astype(">f8" if sys.byteorder == "little" else "<f8"),
            TypeError,
            "not '[<>]d'",
        ),
        (memoryview(bytearray(81))[1:].cast("d"), TypeError, "must hold aligned doubles"),
        ([1.0, 2.0], TypeError, "bytes-like object is required, not 'list'"),
        (np.ones(6)[::2], (ValueError, BufferError), "contiguous"),
    ],
)
@pytest.mark.thread_unsafe(reason="counts references to arguments that threads would share")
@pytest.mark.parametrize("way", WAYS)
def test_anything_else_gets_an_error_and_is_let_go_of(way, x, error, words):
    before = sys.getrefcount(x)
    with pytest.raises(error, match=words):
        way(x)
    assert sys.getrefcount(x) == before


@pytest.mark.parametrize("way", WAYS)
def test_the_memory_is_given_back(way):
    x = array.array("d", range(100))
    way(x)
    x.append(1)  # BufferError if a view of it were left


def test_the_held_one_holds_and_the_others_let_go(lets_go):
    x = np.ones(100_000)
    held, released, interruptible = WAYS
    assert not lets_go(lambda: held(x))
    assert lets_go(lambda: released(x))
    assert lets_go(lambda: interruptible(x))
    assert not lets_go(_macros.empty_gil)
    assert not lets_go(_kernels.empty_gil)


@needs.sampler
@needs.gil
def test_the_released_ones_hold_the_gil_for_next_to_none_of_the_call():
    x = np.zeros(60_000_000)
    for way in WAYS[1:]:
        try:
            assert_releases_gil(way, x)
        except GilWarning as warning:
            pytest.skip(f"this machine is busy: {warning}")


def test_many_threads_at_once():
    x = np.random.default_rng(4).normal(size=1_000_003)
    for way in WAYS:
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(way, [x] * 40))) == 1


@needs.posix
@pytest.mark.slow
def test_ctrl_c_ends_an_interruptible_call_within_a_fifth_of_a_second(run_script):
    # Memory that was never written to is one page of zeros over and over, so four tebibytes of it
    # take no room; to read them takes any machine more than 30 s.
    out = run_script("""
        import mmap, os, signal, threading, time
        from gilfree import _macros

        def press(pressed):
            time.sleep(0.5)
            pressed.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        def seconds_late(x):
            pressed = []
            threading.Thread(target=press, args=[pressed]).start()
            try:
                _macros.sum_of_squares_interruptible(x)
            except KeyboardInterrupt:
                return time.perf_counter() - pressed[0]
            raise SystemExit("not interrupted")

        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        zeros = mmap.mmap(-1, 2**42, flags=flags, prot=mmap.PROT_READ)
        with memoryview(zeros) as view, view.cast("d") as x:
            print(min(seconds_late(x) for _ in range(3)))
        zeros.close()  # BufferError if an interrupted call had kept the memory
    """)
    assert float(out) < 0.2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="one GIL for all interpreters until 3.12")
def test_a_subinterpreter_with_a_gil_of_its_own_may_have_it(run_script):
    run_script("""
        import textwrap
        import gilfree._macros, interpreters
        code = textwrap.dedent(f'''
            import array, importlib.util
            # By its path: the package would import NumPy, which refuses subinterpreters.
            spec = importlib.util.spec_from_file_location(
                "gilfree._macros", {gilfree._macros.__file__!r})
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            assert module.sum_of_squares_nogil(array.array("d", [3, 4])) == 25
        ''')
        failed = interpreters.run_in_another(code, own_gil=True)
        assert not failed, failed
    """)
