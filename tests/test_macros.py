"""The extension written by hand: the bits of the kernel, the release, Ctrl-C, and errors."""

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

VERSIONS = [
    _macros.sum_of_squares_gil,
    _macros.sum_of_squares_nogil,
    _macros.sum_of_squares_interruptible,
]


def by_cython(x):
    """Return the sum by the Cython loop, with the GIL held."""
    sums = np.empty(-(-x.size // _kernels.SUM_BLOCK))
    _kernels.sum_of_squares_gil(x, sums, Chunks(sums.size))
    return _kernels.add_in_order(sums)


def bits(number):
    return np.float64(number).tobytes()


@pytest.mark.parametrize("version", VERSIONS)
@given(hnp.arrays(np.float64, st.integers(0, 200), elements=st.floats(-1e100, 1e100)))
def test_the_bits_are_those_of_the_cython_kernel(version, x):
    assert bits(version(x)) == bits(by_cython(x))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("beyond", [-17, -1, 0, 1, 17])
def test_a_check_for_ctrl_c_changes_no_bits(version, beyond):
    between_checks = 2**24  # BETWEEN_LOOKS
    x = np.resize(np.random.default_rng(3).normal(size=99_991), between_checks + beyond)
    assert bits(version(x)) == bits(by_cython(x))
    np.testing.assert_allclose(version(x), np.dot(x, x), rtol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("version", VERSIONS)
def test_nan_and_infinity_come_through(version, value):
    assert bits(version(np.array([1.0, value]))) == bits(value)


@pytest.mark.parametrize("version", VERSIONS)
def test_any_buffer_of_doubles_is_accepted(version):
    assert version(array.array("d", [3, 4])) == 25
    assert version(memoryview(np.array([3.0, 4.0]))) == 25
    frozen = np.array([3.0, 4.0])
    frozen.flags.writeable = False
    assert version(frozen) == 25
    assert version(np.empty(0)) == 0
    # The format is '<d' here, or '>d' on big-endian CPUs.
    assert version((ctypes.c_double * 2)(3, 4)) == 25


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
@pytest.mark.parametrize("version", VERSIONS)
def test_other_arguments_raise_and_are_released(version, x, error, words):
    before = sys.getrefcount(x)
    with pytest.raises(error, match=words):
        version(x)
    assert sys.getrefcount(x) == before


@pytest.mark.parametrize("version", VERSIONS)
def test_the_buffer_is_released(version):
    x = array.array("d", range(100))
    version(x)
    x.append(1)  # BufferError if a view of it were left


def test_one_holds_the_gil_and_the_others_release_it(releases_gil):
    x = np.ones(100_000)
    held, released, interruptible = VERSIONS
    assert not releases_gil(lambda: held(x))
    assert releases_gil(lambda: released(x))
    assert releases_gil(lambda: interruptible(x))
    assert not releases_gil(_macros.empty_gil)
    assert not releases_gil(_kernels.empty_gil)


@needs.sampler
@needs.gil
def test_those_that_release_the_gil_hold_it_for_almost_no_time():
    x = np.zeros(60_000_000)
    for version in VERSIONS[1:]:
        try:
            assert_releases_gil(version, x)
        except GilWarning as warning:
            pytest.skip(f"this machine is busy: {warning}")


def test_many_threads_concurrently():
    x = np.random.default_rng(4).normal(size=1_000_003)
    for version in VERSIONS:
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(version, [x] * 40))) == 1


@needs.posix
@pytest.mark.slow
@pytest.mark.unsanitized(reason="measures times")
def test_ctrl_c_ends_an_interruptible_call_within_a_fifth_of_a_second(run_script):
    # Memory that was never written to is mapped to one page of zeros, so four tebibytes take almost
    # no memory. Reading them takes more than 30 s on any machine.
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
def test_a_subinterpreter_with_its_own_gil_can_import_it(run_script):
    run_script("""
        import textwrap
        import gilfree._macros, interpreters
        code = textwrap.dedent(f'''
            import array, importlib.util
            # By its path, since the package imports NumPy, which refuses subinterpreters.
            spec = importlib.util.spec_from_file_location(
                "gilfree._macros", {gilfree._macros.__file__!r})
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            assert module.sum_of_squares_nogil(array.array("d", [3, 4])) == 25
        ''')
        failed = interpreters.run_in_another(code, own_gil=True)
        assert not failed, failed
    """)
