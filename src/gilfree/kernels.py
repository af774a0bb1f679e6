"""The public kernels: check the arguments, cut the work into chunks, run them, join the results.

A result has the same bits for any number of workers, with the GIL held or released, on threads,
processes or a cluster: partial results are joined in the order of the chunks; and where it matters
to them where the chunks begin and end, that depends on the size of the input alone.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gilfree import _kernels
from gilfree.pool import SHARED, Pool, whole_number

__all__ = ["histogram", "mandelbrot", "monte_carlo_pi", "polyval", "sqeuclidean", "sum_of_squares"]

Real: TypeAlias = np.float32 | np.float64
RealArray: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
Seed: TypeAlias = (
    int
    | Sequence[int]
    | np.random.SeedSequence
    | np.random.BitGenerator
    | np.random.Generator
    | None
)

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
PLAIN = int, float, np.float32, np.float64

# To hand out a chunk costs some 5 µs, and 20 where the loop has driven Python out of the cache. So
# chunks grow with the root of the work: few where that matters, and many where workers who share
# them are to finish at about the same time. None is so long that Ctrl-C has to wait.
SHORTEST = SHARED / 2  # nanoseconds
FEW = 16  # chunks; so many, or more, end at about the same time whatever their number
LONGEST = 4e6  # nanoseconds
# What is not contiguous is copied for the loop, so much at a time: 512 KiB.
BLOCK = 2**16  # elements
SUMMED = 2**16  # elements that the loop of sum_of_squares adds up at a time: its bits depend on it


def sum_of_squares(
    x: ArrayLike,
    *,
    nogil: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
) -> Real:
    """Return the sum of the squares of `x`, as ``numpy.dot(x, x)`` does.

    Parameters
    ----------
    x : array_like, shape (n,)
        Real numbers. float32 and float64 are used as they are, others become float64.
    nogil : bool, default: True
        Release the GIL while the loop runs. False is there to compare.
    workers : int, optional
        How many threads work at once. By default one for each CPU that this process may use.
    executor : concurrent.futures.Executor, optional
        Where the chunks run, instead of on a thread pool that all calls share.

    Returns
    -------
    numpy.float32 or numpy.float64
        0 if `x` is empty.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers.
    ValueError
        If `x` is not one-dimensional, or `workers` is less than 1.

    Examples
    --------
    >>> gilfree.sum_of_squares([1.0, 2.0, 3.0])
    np.float64(14.0)
    """
    x, dtype = _real_array("x", x)
    if x.ndim != 1:
        msg = f"x must be one-dimensional, not of shape {x.shape}"
        raise ValueError(msg)
    pool = Pool(workers, executor, work=x.size * 0.15)
    chunks = ((nogil, dtype, x[piece]) for piece in _pieces(x.shape, cost=0.15))
    partials: list[float] = []
    pool.run(_sum_of_squares, chunks, partials.append)
    total: Real = dtype.type(_in_order(partials))
    return total


def _sum_of_squares(nogil: bool, dtype: np.dtype[Any], x: NDArray[Any]) -> float:
    kernel = _kernels.sum_of_squares_nogil if nogil else _kernels.sum_of_squares_gil
    if _is_ready(x, dtype):
        return kernel(x)
    blocks = (x[start : start + SUMMED] for start in range(0, x.size, SUMMED))
    return _in_order(kernel(_contiguous(block, dtype)) for block in blocks)


def _in_order(partials: Iterable[float]) -> float:
    return functools.reduce(operator.add, partials, 0.0)  # sum() compensates for rounding


def polyval(
    x: ArrayLike,
    c: ArrayLike,
    out: RealArray | None = None,
    *,
    nogil: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
) -> Any:
    """Evaluate a polynomial at each point of `x`, as ``numpy.polynomial.polynomial.polyval`` does.

    Parameters
    ----------
    x : array_like, any shape
        Real numbers.
    c : array_like, shape (degree + 1,)
        Coefficients, lowest degree first. The result is float32 if `x` and `c` both are, and
        float64 otherwise.
    out : ndarray, optional
        Where to put the result: C-contiguous, of the shape of `x` and the dtype of the result. It
        may not share memory with `x` or `c`.
    nogil, workers, executor
        As in `sum_of_squares`.

    Returns
    -------
    ndarray or scalar
        ``c[0] + c[1] * x + c[2] * x**2 + ...``, of the shape of `x`; `out` if it was given. For
        float32 and float64 the bits are those of NumPy's result.

    Raises
    ------
    TypeError
        If `x` or `c` do not hold real numbers.
    ValueError
        If `c` is empty or not one-dimensional, if `out` does not fit, or `workers` is less than 1.

    Examples
    --------
    >>> gilfree.polyval([0.0, 1.0, 2.0], [1, 0, 3])
    array([ 1.,  4., 13.])
    """
    x, x_dtype = _real_array("x", x)
    c, c_dtype = _real_array("c", c)
    if c.ndim != 1 or c.size == 0:
        msg = f"c must be one-dimensional and hold at least one coefficient, not of shape {c.shape}"
        raise ValueError(msg)
    dtype = np.promote_types(x_dtype, c_dtype)
    c = _contiguous(c, dtype)
    cost = 0.1 * c.size
    pool = Pool(workers, executor, work=x.size * cost)
    result = _output(out, x.shape, dtype, x=x, c=c)
    pieces = _pieces(x.shape, cost, alone=pool.alone)
    pool.fill(_polyval, ((nogil, x[piece], c, result[piece]) for piece in pieces))
    if out is not None:
        return out
    return result if result.ndim else result[()]


def _polyval(nogil: bool, x: NDArray[Any], c: RealArray, out: RealArray | None) -> RealArray:
    kernel = _kernels.polyval_nogil if nogil else _kernels.polyval_gil
    if out is None:
        out = np.empty(x.shape, c.dtype)
    c = _aligned(c, c.dtype)
    flat, start = out.reshape(-1), 0
    for block in _blocks(x, c.dtype):
        kernel(block, c, flat[start : start + block.size])
        start += block.size
    return out


def histogram(
    x: ArrayLike,
    bins: int = 10,
    range: tuple[float, float] | None = None,  # noqa: A002  NumPy's name
    *,
    nogil: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
) -> tuple[NDArray[np.intp], RealArray]:
    """Count the values of `x` in bins of equal width, as ``numpy.histogram`` does.

    For float32 and float64, counts and edges are NumPy's very own. Other dtypes become float64
    first.

    Parameters
    ----------
    x : array_like, any shape
        Real numbers.
    bins : int, default: 10
        The number of bins.
    range : (float, float), optional
        The lower and upper edge of all bins; values outside, and NaN, are not counted. By default
        the smallest and the largest value of `x`.
    nogil, workers, executor
        As in `sum_of_squares`.

    Returns
    -------
    counts : ndarray of intp, shape (bins,)
        How many values lie in each bin. A bin includes its lower edge; the last one both.
    edges : ndarray, shape (bins + 1,)
        The edges of the bins.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, or `bins` is not a whole number.
    ValueError
        If `bins` or `workers` is less than 1, if `range` is not finite or not increasing, or if
        there is no `range` and `x` holds NaN or infinity.

    Examples
    --------
    >>> gilfree.histogram([1.0, 2.0, 2.0, 4.0], bins=3)
    (array([1, 2, 1]), array([1., 2., 3., 4.]))
    """
    x, dtype = _real_array("x", x)
    bins = whole_number("bins", bins)
    if range is not None:
        range = tuple(_numbers("range", range, 2))  # noqa: A001
    pool = Pool(workers, executor, work=x.size * 1.0)

    def chunks() -> Iterator[tuple[Any, ...]]:
        # Each chunk counts for itself, so it is long beside its counts.
        for piece in _pieces(x.shape, cost=1.0, shortest=8 * bins, alone=pool.alone):
            yield nogil, dtype, x[piece]

    outer = np.empty(0, dtype)
    if range is None and x.size:
        extremes: list[RealArray] = []
        pool.run(_minmax, chunks(), extremes.append)
        outer = _outermost(extremes)
    edges = _edges(outer, bins, range)
    double_edges = np.asarray(edges, FLOAT64)
    scale, drift = _kernels.places(double_edges)
    partials: list[NDArray[np.intp]] = []

    def add(partial: NDArray[np.intp]) -> None:
        if partials:
            np.add(partials[0], partial, out=partials[0])
        else:
            partials.append(partial)

    pool.run(_histogram, ((*chunk, double_edges, scale, drift) for chunk in chunks()), add)
    return partials[0] if partials else np.zeros(bins, np.intp), edges


def _edges(
    outer: RealArray,
    bins: int,
    range: tuple[float, float] | None,  # noqa: A002
) -> RealArray:
    first, last = range or (outer if outer.size else (0.0, 0.0))
    if first < last and math.isfinite(last - first) and type(last - first) in PLAIN:
        # What NumPy does between its checks, which take longer than the count of some thousands.
        edges: RealArray = np.empty(bins + 1, np.result_type(first, last, 1.0))
        _kernels.edges(first, last, edges)
        edges = edges.astype(np.result_type(first, last, outer), copy=False)
        if _kernels.increasing(edges):
            return edges
    # NumPy says what is wrong, or makes the best of it.
    return np.histogram_bin_edges(outer, bins, range)


def _minmax(nogil: bool, dtype: np.dtype[Any], x: NDArray[Any]) -> RealArray:
    kernel = _kernels.minmax_nogil if nogil else _kernels.minmax_gil
    outer = []
    for block in _blocks(x, dtype):
        outer.append(np.empty(2, dtype))
        kernel(block, outer[-1])
    return _outermost(outer)


def _outermost(extremes: list[RealArray]) -> RealArray:
    """Return the least and the greatest of several such pairs; NaN if there is one."""
    if len(extremes) == 1:
        return extremes[0]
    lows, highs = np.transpose(extremes)
    return np.array([lows.min(), highs.max()])


def _histogram(
    nogil: bool,
    dtype: np.dtype[Any],
    x: NDArray[Any],
    edges: NDArray[np.float64],
    scale: float,
    drift: float,
) -> NDArray[np.intp]:
    kernel = _kernels.histogram_nogil if nogil else _kernels.histogram_gil
    edges = edges if edges.flags.aligned else edges.copy()
    # The loop takes several rows of counts, where they fit in the cache, and one bin more.
    counts = np.zeros((4 if edges.size < 1000 else 1, edges.size), np.intp)
    for block in _blocks(x, dtype):
        kernel(block, edges, scale, drift, counts)
    return counts[0, :-1]


def sqeuclidean(
    X: ArrayLike,
    Y: ArrayLike,
    out: RealArray | None = None,
    *,
    nogil: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
) -> RealArray:
    """Return the squared distance of each row of `X` to each row of `Y`.

    The same as ``scipy.spatial.distance.cdist(X, Y, "sqeuclidean")``, but float32 stays float32.

    Parameters
    ----------
    X : array_like, shape (m, k)
        m points of k real coordinates.
    Y : array_like, shape (n, k)
        n points of as many coordinates.
    out : ndarray, shape (m, n), optional
        Where to put the result: C-contiguous, of the dtype of the result. It may not share memory
        with `X` or `Y`.
    nogil, workers, executor
        As in `sum_of_squares`.

    Returns
    -------
    ndarray, shape (m, n)
        float32 if `X` and `Y` both are, and float64 otherwise; `out` if it was given.

    Raises
    ------
    TypeError
        If `X` or `Y` do not hold real numbers.
    ValueError
        If the shapes do not fit, if `out` does not fit, or `workers` is less than 1.

    Examples
    --------
    >>> gilfree.sqeuclidean([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0]])
    array([[ 0.],
           [25.]])
    """
    X, X_dtype = _real_array("X", X)
    Y, Y_dtype = _real_array("Y", Y)
    for name, points in ("X", X), ("Y", Y):
        if points.ndim != 2:
            msg = f"{name} must be two-dimensional, not of shape {points.shape}"
            raise ValueError(msg)
    if X.shape[1] != Y.shape[1]:
        msg = f"X and Y must have as many columns as each other, not {X.shape} and {Y.shape}"
        raise ValueError(msg)
    dtype = np.promote_types(X_dtype, Y_dtype)
    pair = 0.1 * max(X.shape[1], 1)  # what one distance costs
    pool = Pool(workers, executor, work=len(X) * len(Y) * pair)
    result = _output(out, (len(X), len(Y)), dtype, X=X, Y=Y)
    # The loop takes any strides, so only points of another dtype are copied as a whole.
    X, Y = _aligned(X, dtype), _aligned(Y, dtype)
    pieces = _squares(len(X), len(Y), _length(result.size, pair, pool.alone))
    pool.fill(_sqeuclidean, ((nogil, X[i], Y[j], result[i, j]) for i, j in pieces))
    return result if out is None else out


def _squares(rows: int, columns: int, length: int) -> Iterable[tuple[slice, slice]]:
    """Cut a matrix into chunks of about so many elements that are as nearly square as may be.

    Each chunk turns its rows of Y for the loop once, and that pays by the rows of X it has.
    """
    size = rows * columns
    if size < 2 * length:
        return [(slice(0, rows), slice(0, columns))] if size else []
    count = size // length
    side = math.sqrt(size / count)
    down = max(round(rows / side), 1)
    across = max(round(count / down), 1)
    return itertools.product(_evenly(rows, down), _evenly(columns, across))


def _sqeuclidean(nogil: bool, X: RealArray, Y: RealArray, out: RealArray | None) -> RealArray:
    kernel = _kernels.sqeuclidean_nogil if nogil else _kernels.sqeuclidean_gil
    if out is None:
        out = np.empty((len(X), len(Y)), X.dtype)
    kernel(_aligned(X, X.dtype), _aligned(Y, Y.dtype), out)
    return out


def mandelbrot(
    shape: tuple[int, int] = (600, 800),
    extent: tuple[float, float, float, float] = (-2.0, 1.0, -1.0, 1.0),
    max_iterations: int = 200,
    *,
    nogil: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
) -> NDArray[np.int32]:
    """Count, for each pixel c, the steps of ``z = z**2 + c`` from 0 that stay within ``|z| <= 2``.

    Parameters
    ----------
    shape : (int, int), default: (600, 800)
        Rows and columns of the picture.
    extent : (float, float, float, float), default: (-2, 1, -1, 1)
        Left, right, bottom and top border of the picture in the complex plane, as in
        ``matplotlib.pyplot.imshow``: the first row is at the top. c is the middle of its pixel.
    max_iterations : int, default: 200
        Where to stop counting: 1 to 1,000,000, so that no row of pixels is deaf to Ctrl-C.
    nogil, workers, executor
        As in `sum_of_squares`.

    Returns
    -------
    ndarray of int32, of shape `shape`
        `max_iterations` for points that never left, so for those of the set.

    Raises
    ------
    TypeError
        If `shape` or `max_iterations` are not whole numbers.
    ValueError
        If a number is out of bounds.

    Examples
    --------
    >>> gilfree.mandelbrot((2, 3), max_iterations=50)
    array([[ 2, 50,  4],
           [ 2, 50,  4]], dtype=int32)
    """
    rows, columns = (
        whole_number("shape", number, least=0) for number in _numbers("shape", shape, 2)
    )
    left, right, bottom, top = (float(border) for border in _numbers("extent", extent, 4))
    if not all(map(math.isfinite, (left, right, bottom, top))):
        msg = f"extent must hold four finite numbers, not {extent}"
        raise ValueError(msg)
    max_iterations = whole_number("max_iterations", max_iterations, most=1_000_000)
    cost = 0.3 * max_iterations
    pool = Pool(workers, executor, work=rows * columns * cost)
    result = np.empty((rows, columns), np.int32)
    dx, dy = (right - left) / max(columns, 1), (top - bottom) / max(rows, 1)
    flat = result.reshape(-1)
    picture = columns, left, top, dx, dy, max_iterations
    pieces = _pieces(flat.shape, cost, shortest=64, alone=pool.alone)
    pool.fill(_mandelbrot, ((nogil, p.start, p.stop, *picture, flat[p]) for (p,) in pieces))
    return result


def _mandelbrot(
    nogil: bool,
    start: int,
    stop: int,
    columns: int,
    left: float,
    top: float,
    dx: float,
    dy: float,
    max_iterations: int,
    out: NDArray[np.int32] | None,
) -> NDArray[np.int32]:
    kernel = _kernels.mandelbrot_nogil if nogil else _kernels.mandelbrot_gil
    if out is None:
        out = np.empty(stop - start, np.int32)
    kernel(start, columns, left, top, dx, dy, max_iterations, out)
    return out


def monte_carlo_pi(
    samples: int,
    rng: Seed = None,
    *,
    nogil: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
) -> float:
    """Estimate π from random points of a square: how many of them lie in its quarter circle.

    Parameters
    ----------
    samples : int
        The number of points.
    rng : optional
        What ``numpy.random.default_rng`` takes: None for another estimate at each call, a seed for
        the same one, or a Generator, whose kind is kept. Each chunk draws from a stream of its own,
        spawned from this one, so the estimate does not depend on the number of workers.
    nogil, workers, executor
        As in `sum_of_squares`.

    Returns
    -------
    float
        The estimate; its standard deviation is ``1.64 / sqrt(samples)``.

    Raises
    ------
    TypeError
        If `samples` is not a whole number, or `rng` can't spawn streams.
    ValueError
        If `samples` or `workers` is less than 1.

    Examples
    --------
    >>> gilfree.monte_carlo_pi(1_000_000, rng=1)
    3.1412
    """
    samples = whole_number("samples", samples)
    pool = Pool(workers, executor, work=samples * 2.5)
    kind, entropy, key = _spawn(rng)
    chunks = (
        (nogil, kind, entropy, (*key, number), cut.stop - cut.start)
        for number, (cut,) in enumerate(_pieces((samples,), cost=2.5))
    )
    hits: list[int] = []
    pool.run(_monte_carlo_pi, chunks, hits.append)
    return 4 * sum(hits) / samples


def _spawn(rng: Seed) -> tuple[type[np.random.BitGenerator], Any, tuple[int, ...]]:
    """Return the kind, entropy and key of a stream that `rng` spawns for this call alone."""
    if rng is None or isinstance(rng, int):  # what default_rng would do, in a third of the time
        return np.random.PCG64, np.random.SeedSequence(rng).entropy, (0,)
    bit_generator = np.random.default_rng(rng).bit_generator
    if not isinstance(bit_generator.seed_seq, np.random.SeedSequence):
        msg = f"rng must be able to spawn streams, which this {type(bit_generator).__name__} is not"
        raise TypeError(msg)
    (child,) = bit_generator.seed_seq.spawn(1)
    return type(bit_generator), child.entropy, child.spawn_key


def _monte_carlo_pi(
    nogil: bool,
    kind: type[np.random.BitGenerator],
    entropy: Any,
    key: tuple[int, ...],
    samples: int,
) -> int:
    kernel = _kernels.monte_carlo_pi_nogil if nogil else _kernels.monte_carlo_pi_gil
    # The child of that stream with this number, without making all those before it.
    return kernel(kind(np.random.SeedSequence(entropy, spawn_key=key)), samples)


# ---------------------------------------------------------------- what the kernels have in common


def _real_array(name: str, value: ArrayLike) -> tuple[NDArray[Any], np.dtype[Any]]:
    """Return `value` as an array, and the dtype in which its kernel works."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        msg = f"{name} must hold real numbers, not {array.dtype}"
        raise TypeError(msg)
    return array, FLOAT32 if array.dtype.type is np.float32 else FLOAT64


def _numbers(name: str, values: Sequence[Any], length: int) -> Sequence[Any]:
    """Return `values` if they are so many real numbers."""
    array = np.asarray(values)
    if array.shape != (length,):
        msg = f"{name} must hold {length} numbers, not {values!r}"
        raise ValueError(msg)
    if array.dtype.kind not in "fiu":
        msg = f"{name} must hold real numbers, not {values!r}"
        raise TypeError(msg)
    return values


def _contiguous(x: NDArray[Any], dtype: np.dtype[Any]) -> RealArray:
    """Return `x` in one dimension as the loops want it, copied only if it is not so already."""
    if not x.flags.c_contiguous:
        x = np.ascontiguousarray(x, dtype)
    return _aligned(x, dtype).reshape(-1)


def _is_ready(x: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    return x.dtype == dtype and x.flags.c_contiguous and x.flags.aligned


def _blocks(x: NDArray[Any], dtype: np.dtype[Any]) -> Iterable[RealArray]:
    """Return a chunk in parts that are small enough to be copied, if they must be."""
    if _is_ready(x, dtype):
        return (x.reshape(-1),)
    return (_contiguous(x[block], dtype) for block in _cut(x.shape, BLOCK))


def _aligned(x: NDArray[Any], dtype: np.dtype[Any]) -> RealArray:
    """Return `x` as the loops want it: what came by way of a cluster may begin at any address."""
    x = np.asarray(x, dtype)
    return x if x.flags.aligned else x.copy()


def _output(
    out: RealArray | None, shape: tuple[int, ...], dtype: np.dtype[Any], **inputs: NDArray[Any]
) -> RealArray:
    """Return the array to write to: a new one, or `out` if it fits."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        msg = f"out must be a NumPy array, not {type(out).__name__}"
        raise TypeError(msg)
    wrong = None
    if out.shape != shape:
        wrong = f"have shape {shape}, not {out.shape}"
    elif out.dtype != dtype:
        wrong = f"have dtype {dtype}, not {out.dtype}"
    elif not out.flags.carray:
        wrong = "be C-contiguous, aligned and writeable"
    for name, array in inputs.items():
        if wrong is None and np.shares_memory(out, array):
            wrong = f"not share memory with {name}"
    if wrong:
        msg = f"out must {wrong}"
        raise ValueError(msg)
    return np.asarray(out, dtype)  # of a subclass, too


def _pieces(
    shape: tuple[int, ...],
    cost: float,
    shortest: int = 1,
    alone: bool = False,
) -> Iterable[tuple[Any, ...]]:
    """Return the indices that cut an array of this shape into chunks, in C order.

    Parameters
    ----------
    shape : tuple of int
    cost : float
        What an element costs about, in nanoseconds on one core.
    shortest : int, optional
        Elements that a chunk has at the least.
    alone : bool, default: False
        Nobody shares the work, and where it is cut leaves no trace in the result.
    """
    size = math.prod(shape)
    if size * cost < 2 * SHORTEST and shape and size:
        return [(slice(0, shape[0]),)]
    return _cut(shape, max(_length(size, cost, alone), shortest))


def _length(size: int, cost: float, alone: bool = False) -> int:
    """Return how many of so many elements a chunk has at the least."""
    if alone:
        return max(int(LONGEST / cost), 1)
    count = int(size * cost / min(max(math.sqrt(size * cost * SHORTEST / 2), SHORTEST), LONGEST))
    if count < FEW:  # an odd one out would keep all but one worker waiting
        count = 1 << max(count.bit_length() - 1, 0)
    return max(size // count, 1)


def _cut(shape: tuple[int, ...], length: int) -> Iterable[tuple[Any, ...]]:
    """Return indices of pieces that have at least so many elements, and less than twice as many."""
    size = math.prod(shape)
    if size < 2 * length and len(shape) > 0:
        return [(slice(0, shape[0]),)] if size else []
    return _cut_further(shape, length)


def _cut_further(shape: tuple[int, ...], length: int) -> Iterator[tuple[Any, ...]]:
    if not shape:
        yield (...,)
        return
    row = math.prod(shape[1:])
    if row > length and len(shape) > 1:
        for index in range(shape[0]):
            for rest in _cut(shape[1:], length):
                yield (index, *rest)
    else:
        for piece in _evenly(shape[0], shape[0] * row // length):
            yield (piece,)


def _evenly(size: int, count: int) -> Iterator[slice]:
    """Return slices that cut so many elements into `count` pieces of about the same length."""
    borders = [size * number // count for number in range(count + 1)]
    return itertools.starmap(slice, itertools.pairwise(borders))
