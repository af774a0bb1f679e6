"""Each kernel against NumPy, SciPy or plain Python, on drawn arrays, workers and executors.

Chunks are made small here, so that small arrays have several. ``--hypothesis-profile=thorough``
tries a hundred times as many examples.
"""

from __future__ import annotations

import contextlib
import math
import pickle
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.polynomial import polynomial
from references import assert_numpys_histogram, native, plain_mandelbrot, plain_pi

import gilfree
from gilfree._chunks import Chunks
from gilfree.kernels import _sqeuclidean, chunks, pool
from gilfree.kernels import arrays as arrays_module

SEEDS = st.integers(0, 2**32 - 1)


pytestmark = pytest.mark.thread_unsafe(reason="makes chunks small for all threads of the process")


class Pickling(Executor):
    """Runs tasks in this thread, but on pickled copies, as another process would."""

    def submit(self, fn, /, *args):
        future = Future()
        try:
            fn, args = pickle.loads(pickle.dumps((fn, args)))
            future.set_result(pickle.loads(pickle.dumps(fn(*args))))
        except Exception as error:
            future.set_exception(error)
        return future


EXECUTORS = {"none": None, "threads": ThreadPoolExecutor(2), "copies": Pickling()}


@contextlib.contextmanager
def small_chunks(shortest, awake=False):
    """Make chunks cost about `shortest` nanoseconds, and share the work of every call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "MIN_CHUNK_NS", shortest)
        patch.setattr(chunks, "MIN_TASK_NS", shortest)
        patch.setattr(chunks, "MAX_CHUNK_NS", 2 * shortest)
        patch.setattr(arrays_module, "COPY_BLOCK", 7)
        patch.setattr(pool, "MAX_CHUNK_NS", 2 * shortest)
        patch.setattr(pool, "MIN_SHARED_NS", 0)
        patch.setattr(pool, "MIN_SENT_NS", 0)
        for name in "MIN_CHUNK_NS", "MAX_CHUNK_NS", "MAX_TILE_NS":
            patch.setattr(_sqeuclidean, name, shortest)
        patch.setattr(pool, "MIN_WAKE_NS", math.inf if awake else 0)
        yield


@st.composite
def hows(draw, **fixed):
    """Draw how to run a call: keywords for `small_chunks` and for the kernel."""
    return {
        "shortest": draw(st.sampled_from([10, 300])),
        "awake": draw(st.booleans()),
        "workers": draw(st.none() | st.integers(1, 5)),
        "nogil": draw(st.booleans()),
        "executor": draw(st.sampled_from(sorted(EXECUTORS))),
    } | fixed


def keywords(how):
    """Return the keywords of the kernel in `how`."""
    executor = EXECUTORS[how["executor"]]
    return {"workers": how["workers"], "nogil": how["nogil"], "executor": executor}


def bits(result):
    """Return the bits, shape and dtype of a result as bytes; all kinds of NaN count as one."""
    if isinstance(result, tuple):
        return tuple(map(bits, result))
    array = np.array(result)
    if array.dtype.kind == "f":
        array[np.isnan(array)] = np.nan
    return pickle.dumps(array)


def run(function, *args, how, **further):
    """Call a kernel as `how` says and on one worker; check that the bits are equal."""
    with small_chunks(how["shortest"], how["awake"]):
        alone = function(*args, workers=1)
        result = function(*args, **further, **keywords(how))
    assert type(result) is type(alone)
    assert bits(result) == bits(alone)
    return result


# ---------------------------------------------------------------- arrays of every kind


def sizes(how, cost, shortest=1):
    """Draw a size of up to three chunks and one element, often close to whole chunks."""
    chunk = max(int(how["shortest"] / cost), shortest, 1)
    edges = st.builds(lambda count, more: max(count * chunk + more, 0), *_COUNT_AND_MORE)
    return edges | st.integers(0, 3 * chunk + 1)


_COUNT_AND_MORE = st.integers(0, 3), st.integers(-1, 1)


@st.composite
def shapes(draw, size):
    """Draw a shape of up to three dimensions, with about `size` elements."""
    columns, depth = draw(st.integers(1, 9)), draw(st.integers(1, 3))
    return draw(
        st.sampled_from([(size,), (size // columns, columns), (depth, size // depth)])
        | st.just((size // (columns * depth), depth, columns))
    )


@st.composite
def dtypes(draw):
    kind = draw(st.sampled_from([*"fdefdefd", "g", "?", *"bhiqBHIQ"]))
    return np.dtype(kind).newbyteorder(draw(st.sampled_from("<>")))


@st.composite
def arrays(draw, shape, dtype=None, finite=None):
    """Draw an array of any values and memory layout."""
    dtype = draw(dtypes()) if dtype is None else dtype
    finite = draw(st.booleans()) if finite is None else finite
    return draw(laid_out(draw(values(shape, dtype, finite))))


@st.composite
def values(draw, shape, dtype, finite):
    rng = np.random.default_rng(draw(SEEDS))
    kind = draw(st.sampled_from(["normal", "few", "wide", "tiny"]))
    if dtype.kind in "iub":
        few = dtype.kind == "b" or kind == "few"
        low, high = (0, 1) if few else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        like = np.int64 if few else dtype.newbyteorder("=")
        return rng.integers(low, high, shape, like, endpoint=True).astype(dtype)
    info = np.finfo(dtype)
    if kind == "tiny":
        x = rng.integers(-20, 20, shape) * info.smallest_subnormal.astype(dtype.newbyteorder("="))
    elif kind == "few":
        x = rng.integers(-4, 5, shape) / 4
    else:
        most = 0 if kind == "normal" else min(info.maxexp, 1024) - 4
        x = np.ldexp(rng.uniform(-8, 8, shape), rng.integers(-most, most, shape, endpoint=True))
    x = np.asarray(x).astype(dtype)
    if dtype.char == "g":
        x = x * (1 + rng.integers(0, 9, shape) * info.eps)  # with bits that float64 lacks
    x = np.asarray(x, dtype)
    if not finite:
        special = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, float(np.finfo("f4").max)]
        for _ in range(draw(st.integers(0, 3)) if x.size else 0):
            with np.errstate(over="ignore"):  # the float32 maximum overflows float16
                x.flat[rng.integers(x.size)] = draw(st.sampled_from(special))
    return x


@st.composite
def laid_out(draw, x):
    """Draw a memory layout for the values of `x`, or for its first row, repeated."""
    layout = draw(st.sampled_from(["plain", "steps", "packed", "turned", "repeated"]))
    if layout == "steps":
        step = draw(st.sampled_from([1, 2, 3]))
        wide = np.zeros([side * step for side in x.shape], x.dtype)
        view = wide[tuple(slice(None, None, step) for _ in x.shape)]
        view = view[tuple(slice(None, None, draw(st.sampled_from([1, -1]))) for _ in x.shape)]
        view[...] = x
    elif layout == "packed":  # neither aligned nor contiguous
        view = np.zeros(x.shape, [("flag", "u1"), ("x", x.dtype)])["x"]
        view[...] = x
    elif layout == "turned":
        view = np.asfortranarray(x)
    elif layout == "repeated" and x.size:
        view = np.broadcast_to(x[:1], x.shape)  # a stride of 0, and read-only
    else:
        view = x.copy()
    if draw(st.booleans()):
        view.flags.writeable = False
    return view


# ---------------------------------------------------------------- the kernels


@given(st.data(), hows())
def test_sum_of_squares_is_the_exact_sum_but_for_rounding(data, how):
    x = data.draw(arrays((data.draw(sizes(how, 0.15)),)))
    with np.errstate(over="ignore"):  # a float32 may become infinite
        result = run(gilfree.sum_of_squares, x, how=how)
    like = native(x)
    assert type(result) is like.dtype.type
    if not np.isfinite(like).all():
        assert np.isnan(result) == np.isnan(like).any()
        assert not np.isfinite(result)
        return
    exact = sum((Fraction(value) ** 2 for value in like.tolist()), Fraction(0))
    # Each square and each addition rounds once, in float64. The result rounds once, in its own
    # dtype. An underflow is off by less than a subnormal.
    double, own = np.finfo(np.float64), np.finfo(like.dtype)
    off = exact * Fraction((len(like) + 1) * float(double.eps) + float(own.eps))
    off += Fraction(len(like) * float(double.smallest_subnormal) + float(own.smallest_subnormal))
    if np.isinf(result):
        assert exact + off >= Fraction(float(own.max))
    else:
        assert abs(Fraction(float(result)) - exact) <= off


@given(st.data(), hows(), st.integers(1, 11))
def test_polyval_has_numpys_bits(data, how, terms):
    c = data.draw(arrays((terms,)))
    x = data.draw(arrays(data.draw(shapes(data.draw(sizes(how, 0.1 * terms))))))
    with np.errstate(all="ignore"):
        expected = np.asarray(polynomial.polyval(native(x), native(c)))
    out = np.empty(x.shape, expected.dtype) if data.draw(st.booleans()) else None
    result = run(gilfree.polyval, x, c, how=how, out=out)
    assert out is None or result is out
    assert bits(result) == bits(np.array(expected, order="C"))


@given(st.data(), hows(), st.integers(1, 12) | st.sampled_from([300, 2000]))
def test_histogram_has_numpys_counts_and_edges(data, how, bins):
    size = data.draw(sizes(how, 1.0, shortest=8 * bins if bins < 100 else 1))
    x = data.draw(arrays(data.draw(shapes(size))))
    span = data.draw(st.none() | ranges(x))
    with np.errstate(all="ignore"):
        with contextlib.suppress(ValueError):
            # If the edges overflow, NumPy warns, and its counts are meaningless.
            assume(np.isfinite(np.histogram_bin_edges(native(x), bins, span)).all())
        with small_chunks(how["shortest"], how["awake"]):
            assert_numpys_histogram(x, bins, span, like=native(x), **keywords(how))
        with contextlib.suppress(ValueError):  # compared with NumPy's error above
            run(gilfree.histogram, x, bins, span, how=how)


@st.composite
def ranges(draw, x):
    """Draw a range, often between values of `x`, sometimes an invalid one."""
    finite = [0.0, 1.0, *(value for value in map(float, x.flat[:5]) if math.isfinite(value))]
    number = st.sampled_from(finite) | st.floats(-1e300, 1e300) | st.integers(-9, 9)
    if draw(st.booleans()):
        # Both ends or none: with a float32 and a float, NumPy rounds the last edge to float32, but
        # counts values up to the float.
        number = st.floats(-1e9, 1e9, width=32).map(np.float32)
    pair = [draw(number), draw(number)]
    return tuple(sorted(pair, key=float) if draw(st.integers(0, 9)) else pair)


@given(st.data(), hows(), st.integers(1, 9) | st.sampled_from([0, 63, 64, 65, 130]))
def test_sqeuclidean_is_the_exact_distance_but_for_rounding(data, how, columns):
    size = data.draw(sizes(how, 0.1 * max(columns, 1)))
    rows = data.draw(st.integers(1, max(size, 1)) | st.sampled_from([1, 2, 31, 32, 33]))
    X, Y = (data.draw(arrays((n, columns))) for n in (rows, size // rows))
    dtype = np.promote_types(native(X).dtype, native(Y).dtype)
    out = np.empty((len(X), len(Y)), dtype) if data.draw(st.booleans()) else None
    result = run(gilfree.sqeuclidean, X, Y, how=how, out=out)
    assert out is None or result is out
    assert result.dtype == dtype
    like_X, like_Y = (native(A).astype(dtype).astype(np.longdouble) for A in (X, Y))
    with np.errstate(all="ignore"):
        exact = ((like_X[:, None] - like_Y[None]) ** 2).sum(axis=-1)
        assert (np.isnan(exact) == np.isnan(result)).all()
        # The difference rounds once, which counts twice in its square. The square and each addition
        # round once more.
        info = np.finfo(dtype)
        off = exact * (columns + 2) * info.eps + columns * info.smallest_subnormal
        close = (np.abs(result - exact) <= off) | (result == exact) | np.isnan(exact)
        assert (close | (np.isinf(result) & (exact + off >= info.max))).all()


BORDERS = st.floats(-2, 2) | st.floats(allow_nan=False, allow_infinity=False) | st.just(0.0)


@given(
    hows(), st.integers(0, 15), st.integers(0, 15), st.tuples(*[BORDERS] * 4), st.integers(1, 40)
)
def test_mandelbrot_is_that_of_plain_python(how, rows, columns, extent, most):
    counts = run(gilfree.mandelbrot, (rows, columns), extent, most, how=how)
    assert counts.dtype == np.int32
    np.testing.assert_array_equal(counts, plain_mandelbrot((rows, columns), extent, most))


KINDS = [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64]


@given(st.data(), hows(), SEEDS, st.sampled_from(KINDS))
def test_monte_carlo_pi_is_that_of_numpys_streams(data, how, seed, kind):
    samples = data.draw(sizes(how, 2.5).filter(bool))

    def estimate(**how):
        return gilfree.monte_carlo_pi(samples, np.random.Generator(kind(seed)), **how)

    result = run(estimate, how=how)
    with small_chunks(how["shortest"]):
        assert result == plain_pi(samples, seed, kind)
        assert kind is not np.random.PCG64 or result == gilfree.monte_carlo_pi(samples, seed)


# ---------------------------------------------------------------- all kernels


@given(st.data(), hows())
def test_an_out_that_overlaps_an_input_is_refused_or_filled_as_any_other(data, how):
    numbers = np.random.default_rng(data.draw(SEEDS)).normal(size=120)
    before = numbers.copy()
    start, count, step = (data.draw(st.integers(*span)) for span in ((0, 60), (1, 30), (-2, 2)))
    x = np.lib.stride_tricks.as_strided(numbers[start:], (count,), (8 * max(step, 0),))
    x = numbers[start + count :: step][:count] if step < 0 else x
    place = data.draw(st.integers(0, 120 - len(x)))
    out = numbers[place : place + len(x)]
    for kernel, inputs, target in (
        (gilfree.polyval, (x, [1.0, 2.0, 3.0]), out),
        (gilfree.polyval, ([5.0] * len(x), x), out),
        (gilfree.sqeuclidean, (x[:, None], [[0.5]]), out[:, None]),
        (gilfree.sqeuclidean, ([[0.5]], x[:, None]), out[None]),
    ):
        expected = kernel(*inputs)
        with small_chunks(how["shortest"], how["awake"]):
            try:
                kernel(*inputs, target, **keywords(how))
            except ValueError:
                assert np.shares_memory(x, out)
                np.testing.assert_array_equal(numbers, before)
            else:  # coefficients may have been copied, so that they share no memory
                np.testing.assert_array_equal(target, expected)
                numbers[:] = before


@pytest.mark.parametrize(
    "call",
    [
        # Not sum_of_squares: SUM_BLOCK is compiled in, and test_kernels.py has several blocks.
        lambda: gilfree.polyval(np.ones((20, 10)), [1.0, 2.0], workers=3),
        lambda: gilfree.histogram(np.ones(200), 3, workers=3),
        lambda: gilfree.sqeuclidean(np.ones((20, 2)), np.ones((30, 2)), workers=3),
        lambda: gilfree.mandelbrot((15, 15), max_iterations=9, workers=3),
        lambda: gilfree.monte_carlo_pi(12, workers=3),
    ],
)
def test_small_arrays_have_several_chunks_here(call, monkeypatch):
    counts = []

    def counting(size, count):
        counts.append(Chunks(size, count).count)
        return Chunks(size, count)

    monkeypatch.setattr(pool, "Chunks", counting)
    with small_chunks(10):
        call()
    assert min(counts) > 1


def test_processes_have_the_same_properties(run_script):
    run_script(
        """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        from hypothesis import HealthCheck, settings
        from kernels import test_properties as properties

        if __name__ == "__main__":
            few = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
            with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
                properties.EXECUTORS.clear()
                properties.EXECUTORS["processes"] = executor
                for name in dir(properties):
                    test = getattr(properties, name)
                    if hasattr(test, "hypothesis"):
                        few(test)()
                        print(name)
        """,
        timeout=180,
    )
