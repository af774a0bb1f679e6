"""The kernels against NumPy and SciPy: values, bits, dtypes, strides, edge cases and errors."""

from __future__ import annotations

import pickle
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from calls import CALLS, SIZE
from numpy.polynomial import polynomial
from references import assert_numpys_histogram, plain_mandelbrot, plain_pi
from scipy.spatial.distance import cdist

import gilfree
from gilfree import _kernels
from gilfree._chunks import Chunks
from gilfree._system import gil_enabled, usable_cpus
from gilfree.kernels import pool, record

FLOATS = [np.float32, np.float64]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def references(dtype):
    """Return the arguments, the expected result and the relative tolerance of each kernel."""
    rng = np.random.default_rng(3)
    x, c = rng.normal(size=SIZE).astype(dtype), rng.normal(size=5).astype(dtype)
    X, Y = rng.normal(size=(301, 19)).astype(dtype), rng.normal(size=(1003, 19)).astype(dtype)
    exact = x.astype(np.float64)
    return {
        "sum_of_squares": ((x,), np.dot(exact, exact), 2e-6),
        "polyval": ((x, c), polynomial.polyval(x, c), 0),
        "histogram": ((x, 33), np.histogram(x, 33), 0),
        "sqeuclidean": ((X, Y), cdist(X, Y, "sqeuclidean"), 1e-5),
    }


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("nogil", [False, True])
@pytest.mark.parametrize("name", ["sum_of_squares", "polyval", "histogram", "sqeuclidean"])
def test_agrees_with_numpy_and_scipy(name, nogil, dtype):
    args, expected, tolerance = references(dtype)[name]
    result = getattr(gilfree, name)(*args, nogil=nogil)
    if name == "histogram":
        for ours, numpys in zip(result, expected, strict=True):
            np.testing.assert_array_equal(ours, numpys, strict=True)
    else:
        assert result.dtype == dtype
        np.testing.assert_allclose(result, expected, rtol=tolerance)


@pytest.mark.parametrize("nogil", [False, True])
@pytest.mark.parametrize(
    ("shape", "extent", "max_iterations"),
    [
        ((61, 83), (-2.0, 1.0, -1.0, 1.0), 50),
        ((1, 17), (-0.75, -0.74, 0.1, 0.11), 300),
        ((17, 1), (1.0, -2.0, 3.0, -3.0), 1),
        ((0, 5), (0, 1, 0, 1), 10),
    ],
)
def test_mandelbrot_agrees_with_plain_python(shape, extent, max_iterations, nogil):
    counts = gilfree.mandelbrot(shape, extent, max_iterations, nogil=nogil)
    assert counts.dtype == np.int32
    np.testing.assert_array_equal(counts, plain_mandelbrot(shape, extent, max_iterations))


@pytest.mark.parametrize("nogil", [False, True])
@pytest.mark.parametrize("samples", [1, 1000, 300_007])
def test_monte_carlo_pi_agrees_with_numpys_streams(samples, nogil):
    assert gilfree.monte_carlo_pi(samples, 5, nogil=nogil) == plain_pi(samples, 5)


def test_monte_carlo_pi_comes_close():
    assert abs(gilfree.monte_carlo_pi(10_000_000, 1) - np.pi) < 5 * 1.64 / np.sqrt(1e7)


@pytest.mark.parametrize(
    "kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64]
)
def test_monte_carlo_pi_keeps_the_kind_of_generator_and_advances_it(kind):
    rng = np.random.Generator(kind(1))
    first, second = (gilfree.monte_carlo_pi(100_000, rng) for _ in range(2))
    assert first != second
    assert first == gilfree.monte_carlo_pi(100_000, np.random.Generator(kind(1)))
    assert abs(first - np.pi) < 0.03


# ---------------------------------------------------------------- the same bits


@pytest.mark.parametrize("nogil", [False, True])
@pytest.mark.parametrize("workers", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("name", CALLS)
def test_same_bits_for_any_number_of_workers(name, workers, nogil):
    call = CALLS[name]
    assert pickle.dumps(call(workers=workers, nogil=nogil)) == pickle.dumps(call(workers=1))


@pytest.mark.parametrize("name", CALLS)
def test_the_calls_of_these_tests_have_several_chunks(name, monkeypatch):
    counts = []

    def counting(size, count):
        counts.append(Chunks(size, count).count)
        return Chunks(size, count)

    monkeypatch.setattr(pool, "Chunks", counting)
    CALLS[name](workers=2)
    assert min(counts) > 1


# ---------------------------------------------------------------- the GIL


ENTRIES = {
    "sum_of_squares": lambda: (np.ones(2_000_000), np.empty(31), Chunks(31)),
    "polyval": lambda: (np.ones(10**6), np.ones(9), np.empty(10**6), Chunks(10**6)),
    "minmax": lambda: (np.ones(2_000_000), np.zeros(2), Chunks(2_000_000)),
    "histogram": lambda: (
        np.random.default_rng(0).random(1_000_000),
        np.linspace(0, 1, 11),
        10.0,
        1e-9,
        np.zeros((_kernels.COUNT_ROWS, 11), np.intp),
        Chunks(1_000_000),
    ),
    "sqeuclidean": lambda: (
        *(np.ones((1000, 30)), np.ones((1000, 30)), np.empty((1000, 1000))),
        *(1000, 1000, Chunks(1)),
    ),
    "mandelbrot": lambda: (
        *(0, 400, -2.0, 1.0, 3 / 400, 2 / 300, 100),
        *(np.empty(120_000, np.int32), Chunks(120_000)),
    ),
    "monte_carlo_pi": lambda: (np.random.PCG64(1), 2_000_000),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_one_entry_point_releases_the_gil_and_the_other_holds_it(name, releases_gil):
    held, released = (getattr(_kernels, f"{name}_{suffix}") for suffix in ("gil", "nogil"))
    of_held, of_released = ENTRIES[name](), ENTRIES[name]()  # chunks can only be taken once
    assert not releases_gil(lambda: held(*of_held))
    assert releases_gil(lambda: released(*of_released))


@pytest.mark.parametrize("nogil", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_nogil_chooses_the_entry_point(name, nogil, monkeypatch):
    picked = set()

    class Spy:
        def __getattr__(self, entry):
            picked.add(entry.rpartition("_")[2])
            return getattr(_kernels, entry)

    monkeypatch.setattr(record, "_kernels", Spy())
    CALLS[name](nogil=nogil)
    assert picked == {"nogil" if nogil else "gil"}


# ---------------------------------------------------------------- dtypes, strides, edge cases


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    ("values", "bins", "range_"),
    [
        (
            np.float32(1.4e-45) * np.array([-13, -7, -3, -2, -2, -2, 1, 10, 13], np.float32),
            11,
            None,
        ),
        (1e16 + 2.0 * np.arange(50), 60, None),
        (1e16 + 2.0 * np.arange(50), 61, (1e16, 1e16 + 99)),
        (1.7e18 + 256.0 * np.arange(9), 7, None),
    ],
)
def test_edges_that_rounding_moves_are_numpys_too(values, bins, range_, workers):
    assert_numpys_histogram(values, bins, range_, workers=workers)


@pytest.mark.slow
def test_large_strided_input_is_cut_into_the_same_chunks(rng):
    x = rng.normal(size=(SIZE // 500, 3, 1200))
    view = x.transpose(2, 0, 1)[::2, ::-1]
    assert_numpys_histogram(view, 50)
    np.testing.assert_array_equal(
        gilfree.polyval(view, [1.0, 2.0]), polynomial.polyval(view, [1.0, 2.0])
    )
    np.testing.assert_allclose(gilfree.sum_of_squares(x[:, 0, 5]), x[:, 0, 5] @ x[:, 0, 5])


@pytest.mark.parametrize("size", [2**16 - 1, 2**16, 2**16 + 1, 5 * 2**16 - 7, 3_000_003])
def test_a_sum_has_the_same_bits_in_any_layout(size, rng):
    x = rng.normal(size=size)
    expected = gilfree.sum_of_squares(x)
    assert gilfree.sum_of_squares(np.repeat(x, 2)[::2]) == expected
    assert gilfree.sum_of_squares(x.astype(x.dtype.newbyteorder())) == expected
    assert gilfree.sum_of_squares(x[::-1].copy()[::-1], workers=3) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="Linux gives the peak in KiB")
@pytest.mark.parametrize(
    ("call", "output"),
    [
        ("sum_of_squares(x[::-1])", 0),
        ("sum_of_squares(x)", 0),
        ("polyval(x[::-1], [1, 2, 3])", 8 * 2**24),
        ("histogram(x[::-1], 100)", 0),
        ("histogram(x, 100_000, (0, 9))", 0),
        ("sqeuclidean(x[:64000:4].reshape(-1, 4), x[:64000].reshape(-1, 16)[:, ::4])", 128 * 10**6),
        ("mandelbrot((1000, 2000), max_iterations=10)", 8 * 10**6),
        ("monte_carlo_pi(2**24)", 0),
    ],
)
def test_no_kernel_needs_more_than_32_mib(run_script, call, output):
    peak = run_script(f"""
        import resource, numpy as np, gilfree
        from gilfree import *
        x = np.arange(2**24, dtype=np.int16)
        for array in x[:4096], x:  # the first call starts threads and imports modules
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            result = (lambda x: {call})(array)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """)
    assert int(peak) * 1024 - output < 32 * 2**20


def test_unaligned_and_read_only_input(rng):
    raw = np.zeros(8 * 1000 + 1, np.uint8)
    x = raw[1:].view(np.float64)
    x[:] = rng.normal(size=1000)
    assert not x.flags.aligned
    x.flags.writeable = False
    aligned = x.copy()
    assert gilfree.sum_of_squares(x) == gilfree.sum_of_squares(aligned)
    np.testing.assert_array_equal(
        gilfree.polyval(x, [1.0, 2.0]), gilfree.polyval(aligned, [1.0, 2.0])
    )
    np.testing.assert_array_equal(gilfree.histogram(x)[0], gilfree.histogram(aligned)[0])
    X, Y = x.reshape(-1, 4), aligned.reshape(-1, 4)
    np.testing.assert_array_equal(gilfree.sqeuclidean(X, X), gilfree.sqeuclidean(Y, Y))


class Cluster(Executor):
    """Passes each array on at an unaligned address, as Dask may do."""

    def submit(self, fn, /, *args):
        future = Future()
        future.set_result(fn(*map(self.moved, args)))
        return future

    def moved(self, value):
        if not isinstance(value, np.ndarray):
            return value
        raw = np.empty(value.nbytes + 1, np.uint8)
        moved = np.frombuffer(raw[1:], value.dtype).reshape(value.shape)
        moved[...] = value
        assert not moved.flags.aligned or moved.dtype.itemsize == 1
        return moved


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("nogil", [True, False])
def test_a_loop_gets_aligned_arrays_even_on_a_cluster(name, nogil, monkeypatch):
    seen = []

    def spy(entry):
        def call(*arguments):
            arrays = [each for each in arguments if isinstance(each, np.ndarray)]
            seen.extend(array.flags.aligned for array in arrays)
            return entry(*arguments)

        return call

    expected = pickle.dumps(CALLS[name](nogil=nogil))
    loops = {entry: getattr(_kernels, entry) for entry in dir(_kernels)}
    spied = {entry: spy(loop) if "gil" in entry else loop for entry, loop in loops.items()}
    monkeypatch.setattr(record, "_kernels", SimpleNamespace(**spied))
    assert pickle.dumps(CALLS[name](nogil=nogil, executor=Cluster())) == expected
    assert all(seen)
    assert seen or name == "monte_carlo_pi"  # it takes no arrays


def test_empty_input_gives_what_numpy_gives():
    assert gilfree.sum_of_squares([]) == 0.0
    assert gilfree.polyval(np.empty((3, 0)), [1.0]).shape == (3, 0)
    assert_numpys_histogram(np.empty(0), 3)
    assert gilfree.sqeuclidean(np.empty((0, 3)), np.empty((4, 3))).shape == (0, 4)
    assert gilfree.sqeuclidean(np.empty((2, 3)), np.empty((0, 3))).shape == (2, 0)
    np.testing.assert_array_equal(gilfree.sqeuclidean(np.empty((2, 0)), np.empty((3, 0))), 0)
    assert gilfree.mandelbrot((0, 0)).shape == (0, 0)


def test_scalars_stay_scalars():
    assert gilfree.polyval(2.0, [1, 2]) == 5.0
    assert isinstance(gilfree.polyval(2.0, [1, 2]), np.float64)
    out = np.empty(())
    assert gilfree.polyval(2.0, [1, 2], out) is out
    assert out == 5.0
    np.testing.assert_array_equal(gilfree.histogram(2.0)[0], np.histogram(2.0)[0])


def test_nan_and_infinity_do_what_numpy_does():
    x = np.array([1.0, np.nan, np.inf, -np.inf, 2.0])
    with np.errstate(invalid="ignore"):
        for c in ([3.0], [3.0, 0.0], [1.0, 2.0, 3.0]):
            np.testing.assert_array_equal(gilfree.polyval(x, c), polynomial.polyval(x, c))
    assert np.isnan(gilfree.sum_of_squares(x))
    assert gilfree.sum_of_squares([np.inf, 1.0]) == np.inf
    for bad in ([1.0, np.nan], [np.inf, 1.0], [np.nan], [np.nan, np.inf]):
        with pytest.raises(ValueError, match="finite"):
            gilfree.histogram(bad)
    assert_numpys_histogram(x, 4, (0, 2))


# ---------------------------------------------------------------- histogram: values at the edges


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bins", [1, 2, 3, 7, 10, 64, 100, 1000, 9999, 10_000])
@pytest.mark.parametrize("range_", [None, (0.1, 0.7), (-1e-3, 1e5), (30.0, 31.0)])
def test_histogram_counts_edges_and_their_neighbours_as_numpy_does(dtype, bins, range_):
    low, high = range_ or (0.0, 1.0)
    edges = np.histogram_bin_edges(np.empty(0, dtype), bins, (low, high))
    x = np.concatenate(
        [
            edges,
            np.nextafter(edges, -np.inf, dtype=edges.dtype),
            np.nextafter(edges, np.inf, dtype=edges.dtype),
        ]
    ).astype(dtype)
    if range_ is None:
        x = x[(x >= low) & (x <= high)]
    assert_numpys_histogram(x, bins, range_)


@pytest.mark.parametrize("bins", [1, 10, 64, 10_000])
def test_histogram_of_ten_million_values(bins, rng):
    x = rng.random(10_000_000)
    np.testing.assert_array_equal(gilfree.histogram(x, bins)[0], np.histogram(x, bins)[0])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("low", [0.0, 1.0, -1e30])
@pytest.mark.parametrize("give_range", [False, True])
def test_more_bins_than_there_are_numbers_are_refused_as_numpy_does(dtype, low, give_range):
    low = dtype(low)
    high = np.nextafter(low, dtype(np.inf))
    x = np.array([high, low])
    for bins in 1, 2, 3:
        assert_numpys_histogram(x, bins, (float(low), float(high)) if give_range else None)


@pytest.mark.parametrize("range_", [(0.0, 5e-324), (0.0, 1e-310), (-5e-324, 5e-324)])
def test_histogram_of_subnormal_ranges(range_):
    x = np.array([0.0, 5e-324, -5e-324, 1e-310, 5e-311])
    assert_numpys_histogram(x, 1, range_)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("range_", [None, (1.0, 1.0 + 1e-6), (1.0, 1.0 + 1e-14)])
@pytest.mark.parametrize("low", [0.0, 1.0])
def test_histogram_of_more_bins_than_there_are_numbers(dtype, low, range_):
    narrow = low + 8 * np.finfo(dtype).smallest_subnormal if low == 0 else low + 4e-7
    assert_numpys_histogram(np.array([low, narrow], dtype), 100, range_)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "bad", [[1j], ["a"], [None], np.array(["2020"], "M8[Y]"), np.array([1], "m8[s]"), {}]
)
def test_dtypes_that_make_no_sense_are_type_errors(bad):
    for call in (
        lambda: gilfree.sum_of_squares(bad),
        lambda: gilfree.polyval(bad, [1.0]),
        lambda: gilfree.polyval([1.0], bad),
        lambda: gilfree.histogram(bad),
        lambda: gilfree.sqeuclidean(bad, [[1.0]]),
        lambda: gilfree.sqeuclidean([[1.0]], bad),
    ):
        with pytest.raises(TypeError, match="real numbers"):
            call()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: gilfree.sum_of_squares([[1.0]]), ValueError, r"x must be one-dim.*\(1, 1\)"),
        (lambda: gilfree.sum_of_squares(1.0), ValueError, r"x must be one-dimensional"),
        (lambda: gilfree.polyval([1.0], []), ValueError, r"c must be .*\(0,\)"),
        (lambda: gilfree.polyval([1.0], [[1.0]]), ValueError, r"c must be .*\(1, 1\)"),
        (lambda: gilfree.histogram([1.0], 0), ValueError, "bins must be at least 1, not 0"),
        (lambda: gilfree.histogram([1.0], 2.5), TypeError, "bins must be a whole number"),
        (lambda: gilfree.histogram([1.0], "auto"), TypeError, "bins must be a whole number"),
        (lambda: gilfree.histogram([1.0], 3, (2, 1)), ValueError, "range"),
        (lambda: gilfree.histogram([1.0], 3, (0, np.inf)), ValueError, "range"),
        (lambda: gilfree.histogram([1.0], 3, (0, 1, 2)), ValueError, "range must hold 2 numbers"),
        (
            lambda: gilfree.histogram([1.0], 3, ("a", "b")),
            TypeError,
            "range must hold real numbers",
        ),
        (lambda: gilfree.mandelbrot(extent=None), ValueError, "extent must hold 4 numbers"),
        (
            lambda: gilfree.mandelbrot(extent=["-2", "1", "-1", "1"]),
            TypeError,
            "extent must hold real",
        ),
        (lambda: gilfree.sqeuclidean([1.0], [[1.0]]), ValueError, r"X must be two-dim.*\(1,\)"),
        (lambda: gilfree.sqeuclidean([[1.0]], [1.0]), ValueError, r"Y must be two-dim.*\(1,\)"),
        (lambda: gilfree.sqeuclidean([[1.0]], [[1.0, 2.0]]), ValueError, "columns"),
        (lambda: gilfree.mandelbrot((-1, 2)), ValueError, "shape must be at least 0"),
        (lambda: gilfree.mandelbrot((1.5, 2)), TypeError, "shape must be a whole"),
        (lambda: gilfree.mandelbrot((1, 2, 3)), ValueError, "shape must hold 2 numbers"),
        (lambda: gilfree.mandelbrot(7), ValueError, "shape must hold 2 numbers"),
        (lambda: gilfree.mandelbrot(extent=(0, 1, 2)), ValueError, "extent must hold 4"),
        (lambda: gilfree.mandelbrot(extent=(0, 1, 2, np.nan)), ValueError, "extent .* finite"),
        (lambda: gilfree.mandelbrot(max_iterations=0), ValueError, "max_iterations must be from 1"),
        (lambda: gilfree.mandelbrot(max_iterations=10**7), ValueError, "max_iterations must be"),
        (lambda: gilfree.monte_carlo_pi(0), ValueError, "samples must be at least 1, not 0"),
        (lambda: gilfree.monte_carlo_pi(1e6), TypeError, "samples must be a whole number"),
        (lambda: gilfree.monte_carlo_pi(10, "seed"), TypeError, "."),
    ],
)
def test_errors_name_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("name", CALLS)
def test_every_kernel_checks_workers_and_executor(name):
    with pytest.raises(ValueError, match="workers must be at least 1, not 0"):
        CALLS[name](workers=0)
    with pytest.raises(TypeError, match="workers must be a whole number"):
        CALLS[name](workers=1.5)
    with pytest.raises(
        TypeError, match=r"executor must be a concurrent\.futures\.Executor, not int"
    ):
        CALLS[name](executor=3)
    with pytest.raises(TypeError, match="executor must be"):
        CALLS[name](executor=ThreadPoolExecutor)


def bad_outputs():
    x = np.arange(12.0)
    yield x, np.full(11, 7.0), ValueError, r"out must have shape \(12,\), not \(11,\)"
    yield x, np.full(12, 7, np.float32), ValueError, "out must have dtype float64, not float32"
    yield x, np.full(24, 7.0)[::2], ValueError, "out must be C-contiguous"
    read_only = np.full(12, 7.0)
    read_only.flags.writeable = False
    yield x, read_only, ValueError, "out must be C-contiguous, aligned and writeable"
    yield x, x, ValueError, "out must not share memory with x"
    both = np.full(20, 7.0)
    yield both[:12], both[8:], ValueError, "out must not share memory with x"
    yield x, [7.0] * 12, TypeError, "out must be a NumPy array, not list"
    yield x, np.full(12, 7.0, ">f8"), ValueError, "out must have dtype float64, not >f8"


@pytest.mark.parametrize(("x", "out", "error", "words"), list(bad_outputs()))
def test_a_wrong_out_is_refused_and_left_alone(x, out, error, words):
    before = np.array(out)
    with pytest.raises(error, match=words):
        gilfree.polyval(x, [1.0, 2.0], out)
    if isinstance(out, np.ndarray) and out.shape == x.shape:
        with pytest.raises(error):
            gilfree.sqeuclidean(x.reshape(-1, 1), np.ones((1, 1)), out.reshape(-1, 1))
    np.testing.assert_array_equal(out, before)


def test_nothing_is_written_before_all_arguments_are_checked():
    out = np.full(3, 7.0)
    for how in ({"workers": 0}, {"executor": "threads"}):
        with pytest.raises((TypeError, ValueError)):
            gilfree.polyval([1.0, 2.0, 3.0], [1.0], out, **how)
    np.testing.assert_array_equal(out, 7.0)


def test_histogram_of_a_narrow_range_and_many_bins():
    x = np.random.default_rng(0).random(100_000) * 1e-310
    assert_numpys_histogram(x, 20_000, (0, 1e-310))
    assert_numpys_histogram(x / 1e-310, 300_000)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_out_of_a_subclass_is_filled_and_returned():
    out = np.matrix([[0.0, 0.0]])
    assert gilfree.polyval([[1.0, 2.0]], [0.0, 1.0], out) is out
    np.testing.assert_array_equal(out, [[1.0, 2.0]])


def test_out_is_filled_and_returned():
    out = np.empty(3)
    assert gilfree.polyval([0.0, 1.0, 2.0], [1.0, 1.0], out) is out
    np.testing.assert_array_equal(out, [1.0, 2.0, 3.0])
    out = np.empty((1, 2))
    assert gilfree.sqeuclidean([[0.0]], [[1.0], [2.0]], out) is out
    np.testing.assert_array_equal(out, [[1.0, 4.0]])


# ---------------------------------------------------------------- the edges of lanes and blocks


@pytest.mark.parametrize("columns", [0, 1, 63, 64, 65, 127, 128, 129, 300])
@pytest.mark.parametrize("rows", [1, 2, 3, 31, 32, 33])
def test_sqeuclidean_of_shapes_around_its_lanes_and_blocks(rng, rows, columns):
    X, Y = rng.normal(size=(rows, columns)), rng.normal(size=(34 - rows, columns))
    for A, B in (X, Y), (X[::-1], np.asfortranarray(Y)):
        expected = ((A[:, None] - B) ** 2).sum(axis=2)
        np.testing.assert_allclose(gilfree.sqeuclidean(A, B), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [1, 1023, 1024, 1025])
def test_polyval_of_any_degree_has_numpys_bits(rng, size, dtype):
    x = rng.normal(size=size).astype(dtype)
    for terms in range(1, 12):
        c = rng.normal(size=terms).astype(dtype)
        assert gilfree.polyval(x, c).tobytes() == polynomial.polyval(x, c).tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
def test_minmax_sees_extremes_and_nan_at_any_place(rng, dtype):
    def minmax(x):
        out = np.array([np.inf, -np.inf], dtype)
        _kernels.minmax_nogil(x, out, Chunks(x.size, 3))
        return out.tolist()

    for size in range(1, 50):
        x = rng.normal(size=size).astype(dtype)
        assert minmax(x) == [x.min(), x.max()]
        for place in range(size):
            y = x.copy()
            y[place] = np.nan
            assert np.isnan(minmax(y)[0])


# ---------------------------------------------------------------- the race on purpose


def counted(count, times, threads=2):
    """Return the value of a shared counter after `threads` threads have counted concurrently."""
    counter = np.zeros(1, np.int64)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: count(counter, times), range(threads)))
    return int(counter[0])


@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, nothing guards the counter")
def test_the_gil_guards_the_counter():
    assert counted(_kernels.count_gil, 5_000_000) == 10_000_000


@pytest.mark.skipif(usable_cpus() < 2, reason="a race needs two CPUs")
def test_a_released_loop_on_a_shared_counter_loses_updates():
    counts = (counted(_kernels.count_nogil, 50_000_000) for _ in range(100))
    assert any(count < 100_000_000 for count in counts)  # usually the first one


def test_private_counts_lose_nothing():
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(_kernels.count_private_nogil, [5_000_000] * 4)) == 20_000_000


def test_there_must_be_a_counter():
    for count in _kernels.count_gil, _kernels.count_nogil:
        with pytest.raises(ValueError, match="at least one number"):
            count(np.zeros(0, np.int64), 1)


def test_counting_releases_the_gil_or_holds_it(releases_gil):
    counter = np.zeros(1, np.int64)
    assert not releases_gil(lambda: _kernels.count_gil(counter, 100_000))
    assert releases_gil(lambda: _kernels.count_nogil(counter, 100_000))
    assert releases_gil(lambda: _kernels.count_private_nogil(100_000))
