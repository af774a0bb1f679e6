# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=True
# Without freethreading_compatible, importing this would enable the GIL in a free-threaded Python.
"""Every numeric loop of gilfree, and the one line that makes each of them use all cores.

Each section has three parts:

1. ``cdef ... _name(...) noexcept nogil`` is the loop, written once. It touches C values and the
   memory behind typed memoryviews, never a Python object, so it is *allowed* to run without the
   GIL. ``nogil`` here is a permission: it releases nothing. ``noexcept`` says that it raises
   nothing, so Cython need not acquire the GIL after a call to check for an exception.
2. ``name_gil`` calls the loop as it is. Every other Python thread waits until it returns.
3. ``name_nogil`` calls the same loop inside ``with nogil:``. **That is the one line that
   matters**: the GIL is released before the block and acquired again after it. In between, other
   threads run.

Several threads share a call. Each worker calls the same entry point with the same ``chunks``, and
the loop takes one chunk after the other, ``while chunks.take(&chunk)``, until none is left. Taking
a chunk needs no GIL (see ``_chunks.pyx``).

Three things make the release safe. Each memoryview was acquired while the GIL was held, and keeps
its array alive. The input is only read. Output memory belongs to one chunk or to one worker. (Only
``count_nogil`` breaks the last rule, to show the consequences.)

``kernels/`` passes arrays that are checked, native (float32 or float64), aligned and, except for
sqeuclidean, contiguous. Nothing here checks this again. A comment at the beginning of a loop states
what else it requires.

The sections, in order:

    Part 1, read these first
        empty               what the release costs
        sum_of_squares      a reduction
        count               a race, on purpose
        polyval             element by element
        monte_carlo_pi      random streams
        mandelbrot          unbalanced arithmetic
    Part 2, tuned until they beat other libraries; each begins with an equivalent plain loop
        minmax              another reduction
        histogram           scattered writes
        sqeuclidean         balanced arithmetic
    Helpers with one entry point
        add_in_order, edges, increasing, bin_scale, which hold the GIL
"""

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.float cimport DBL_EPSILON
from libc.math cimport NAN, fabs
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from gilfree._chunks cimport Chunk, Chunks

ctypedef fused real:
    float
    double

# Constants of several sections. The others are defined in the section that uses them.
cdef enum:
    # The compiler must not reorder floating-point additions, so it can't vectorise ``s += x[i]``.
    # It can vectorise LANES sums side by side. Their order is fixed, and so is every bit of the
    # result, on any CPU.
    LANES = 16
    # The number of values that polyval and histogram process at a time: they fit in the L1 cache.
    L1_BLOCK = 1024


# ================================================ Part 1: read these first


# ---------------------------------------------------------------- empty: what the release costs

cdef void _empty() noexcept nogil:
    pass


def empty_gil():
    _empty()


def empty_nogil():
    with nogil:
        _empty()


# ---------------------------------------------------------------- sum_of_squares: a reduction

cdef extern from "sum_block.h":
    enum: GILFREE_SUM_BLOCK

SUM_BLOCK = <int> GILFREE_SUM_BLOCK  # for kernels/, which cuts x only between blocks


cdef void _sum_of_squares(const real[::1] x, double[::1] sums, Chunks chunks) noexcept nogil:
    # A chunk is a range of blocks. Each block has its own sum, and add_in_order adds these up. So
    # the bits depend neither on the chunks nor on which worker takes which.
    cdef Chunk chunk
    cdef Py_ssize_t block, start
    while chunks.take(&chunk):
        for block in range(chunk.start, chunk.stop):
            start = block * GILFREE_SUM_BLOCK
            sums[block] = _add_squares(&x[start], min(GILFREE_SUM_BLOCK, x.shape[0] - start))


cdef double _add_squares(const real *x, Py_ssize_t size) noexcept nogil:
    cdef double[LANES] sums  # double for float32, too
    cdef Py_ssize_t i = 0, lane
    cdef double total = 0
    for lane in range(LANES):
        sums[lane] = 0
    while i + LANES <= size:
        for lane in range(LANES):
            sums[lane] += <double> x[i + lane] * x[i + lane]
        i += LANES
    for lane in range(size - i):
        sums[lane] += <double> x[i + lane] * x[i + lane]
    for lane in range(LANES):
        total += sums[lane]
    return total


def sum_of_squares_gil(
    const real[::1] x, double[::1] sums, Chunks chunks
):
    _sum_of_squares(x, sums, chunks)


def sum_of_squares_nogil(
    const real[::1] x, double[::1] sums, Chunks chunks
):
    with nogil:
        _sum_of_squares(x, sums, chunks)


# ---------------------------------------------------------------- count: a race, on purpose

cdef void _count(volatile int64_t *counter, int64_t times) noexcept nogil:
    # Three steps: read, add, write. A thread that writes between another's read and write loses
    # what that one has added. ``volatile`` keeps the compiler from making one addition of it all.
    cdef int64_t _
    for _ in range(times):
        counter[0] = counter[0] + 1


cdef int _check_counter(int64_t[::1] counter) except -1:
    # Fails before the release, while an exception can still be raised.
    if counter.shape[0] == 0:
        raise ValueError("counter must hold at least one number")
    return 0


def count_gil(int64_t[::1] counter, int64_t times):
    # Correct: no other thread runs until the loop ends. The GIL guards
    # reference counts in the same way. (Wrong without a GIL.)
    _check_counter(counter)
    _count(&counter[0], times)


def count_nogil(int64_t[::1] counter, int64_t times):
    # Wrong: concurrent writes to the same address lose updates.
    _check_counter(counter)
    with nogil:
        _count(&counter[0], times)


def count_private_nogil(int64_t times):
    # Correct and fast: each thread has its own count, and the caller
    # adds the counts up. histogram does the same.
    cdef int64_t count = 0
    with nogil:
        _count(&count, times)
    return count


# ---------------------------------------------------------------- polyval: element by element

cdef void _polyval(
    const real[::1] x, const real[::1] c, real[::1] out, Chunks chunks
) noexcept nogil:
    # out is as long as x, and shares no memory with x or c.
    cdef Chunk chunk
    cdef Py_ssize_t start
    while chunks.take(&chunk):
        start = chunk.start
        while start < chunk.stop:
            _evaluate(&x[start], c, &out[start], min(L1_BLOCK, chunk.stop - start))
            start += L1_BLOCK


cdef void _evaluate(const real *x, const real[::1] c, real *out, Py_ssize_t size) noexcept nogil:
    # Horner's rule, with NumPy's operations in NumPy's order, and so with NumPy's bits. It handles
    # four coefficients at a time, for a block of points that stays in the L1 cache. Zeros fill up
    # the first four coefficients. They change no bit, since NumPy begins with x * 0, too.
    cdef Py_ssize_t i, k, steps = (c.shape[0] + 2) // 4 * 4
    cdef real c0, c1, c2, c3, c4
    c0 = c[steps] if steps < c.shape[0] else 0
    for i in range(size):
        out[i] = c0 + x[i] * 0
    for k in range(steps, 0, -4):
        c1 = c[k - 1] if k - 1 < c.shape[0] else 0
        c2 = c[k - 2] if k - 2 < c.shape[0] else 0
        c3 = c[k - 3] if k - 3 < c.shape[0] else 0
        c4 = c[k - 4]
        for i in range(size):
            out[i] = c4 + (c3 + (c2 + (c1 + out[i] * x[i]) * x[i]) * x[i]) * x[i]


def polyval_gil(
    const real[::1] x, const real[::1] c, real[::1] out, Chunks chunks
):
    _polyval(x, c, out, chunks)


def polyval_nogil(
    const real[::1] x, const real[::1] c, real[::1] out, Chunks chunks
):
    with nogil:
        _polyval(x, c, out, chunks)


# ---------------------------------------------------------------- monte_carlo_pi: random streams

cdef extern from "numpy/random/bitgen.h":
    ctypedef struct bitgen_t:
        void *state
        uint64_t (*next_uint64)(void *state) noexcept nogil


cdef int64_t _monte_carlo_pi(bitgen_t *stream, int64_t samples) noexcept nogil:
    # A draw of 64 bits gives one point of the square: 32 bits for each coordinate. A draw changes
    # the stream, so a stream must belong to one thread.
    cdef int64_t _, hits = 0
    cdef uint64_t bits
    cdef double x, y
    for _ in range(samples):
        bits = stream.next_uint64(stream.state)
        x = <double> (bits >> 32) + 0.5
        y = <double> <uint32_t> bits + 0.5
        hits += x * x + y * y < 18446744073709551616.0  # 2**64
    return hits


cdef bitgen_t *_stream(bit_generator) except NULL:
    # Fails before the release, while an exception can still be raised.
    return <bitgen_t *> PyCapsule_GetPointer(bit_generator.capsule, "BitGenerator")


def monte_carlo_pi_gil(bit_generator, int64_t samples):
    cdef bitgen_t *stream = _stream(bit_generator)
    cdef int64_t hits
    hits = _monte_carlo_pi(stream, samples)
    return hits


def monte_carlo_pi_nogil(bit_generator, int64_t samples):
    cdef bitgen_t *stream = _stream(bit_generator)
    cdef int64_t hits
    with nogil:
        hits = _monte_carlo_pi(stream, samples)
    return hits


# ---------------------------------------------------------------- mandelbrot: unbalanced arithmetic

cdef void _mandelbrot(
    Py_ssize_t first, Py_ssize_t width, double left, double top, double dx, double dy,
    Py_ssize_t max_iterations, int32_t[::1] out, Chunks chunks
) noexcept nogil:
    # Pixels are numbered row by row in a picture of this width; out[0] is pixel number ``first``.
    cdef Chunk chunk
    cdef Py_ssize_t p
    while chunks.take(&chunk):
        p = chunk.start
        while p < chunk.stop:
            _escape(
                first + p, min(LANES, chunk.stop - p), width, left, top, dx, dy, max_iterations,
                &out[p]
            )
            p += LANES


cdef void _escape(
    Py_ssize_t first, Py_ssize_t size, Py_ssize_t width, double left, double top, double dx,
    double dy, Py_ssize_t max_iterations, int32_t *out
) noexcept nogil:
    # LANES pixels in lockstep. A pixel that has escaped goes on to infinity without being counted.
    cdef double[LANES] cr, ci, zr, zi
    cdef int64_t[LANES] counts
    cdef double rr, ii
    cdef int64_t inside, alive = True
    cdef Py_ssize_t lane, pixel, iteration = 0
    for lane in range(LANES):
        pixel = first + lane
        cr[lane] = left + (<double> (pixel % width) + 0.5) * dx
        ci[lane] = top - (<double> (pixel // width) + 0.5) * dy
        zr[lane] = zi[lane] = 0
        counts[lane] = 0
    while alive and iteration < max_iterations:
        alive = False
        for lane in range(LANES):
            rr = zr[lane] * zr[lane]
            ii = zi[lane] * zi[lane]
            zi[lane] = 2 * zr[lane] * zi[lane] + ci[lane]
            zr[lane] = rr - ii + cr[lane]
            inside = zr[lane] * zr[lane] + zi[lane] * zi[lane] <= 4
            counts[lane] += inside
            alive |= inside
        iteration += 1
    for lane in range(size):
        out[lane] = <int32_t> counts[lane]


def mandelbrot_gil(
    Py_ssize_t first, Py_ssize_t width, double left, double top,
    double dx, double dy, Py_ssize_t max_iterations,
    int32_t[::1] out, Chunks chunks
):
    _mandelbrot(
        first, width, left, top, dx, dy, max_iterations, out, chunks
    )


def mandelbrot_nogil(
    Py_ssize_t first, Py_ssize_t width, double left, double top,
    double dx, double dy, Py_ssize_t max_iterations,
    int32_t[::1] out, Chunks chunks
):
    with nogil:
        _mandelbrot(
            first, width, left, top, dx, dy, max_iterations, out, chunks
        )


# ================================================ Part 2: tuned until they beat other libraries

# ``pytest benchmarks/test_peers.py`` compares them, on all cores, with plain loops in OpenMP and
# numba, and with other libraries. Each section begins with a plain loop, and says how much faster
# its own loop is on one core: medians of two runs, interleaved with the plain loop, for float64,
# by GCC 12 for x86-64-v3, on a busy EPYC.


# ---------------------------------------------------------------- minmax: another reduction

# The smallest and the largest value. The plain loop:
#
#     low = high = x[0]
#     nan = False
#     for i in range(x.shape[0]):
#         low = x[i] if x[i] < low else low
#         high = x[i] if x[i] > high else high
#         nan |= x[i] != x[i]
#     out[0], out[1] = NAN if nan else low + 0, high + 0
#
# The loop below is 5.9 to 7.4 times as fast for 10⁵ values, 1.35 to 1.55 times for 10⁷.

cdef void _minmax(const real[::1] x, real[::1] out, Chunks chunks) noexcept nogil:
    # out belongs to this worker: the extremes of all chunks that it has taken. It begins as
    # infinity and -infinity. Once there is a NaN, out[0] is NaN and stays NaN.
    cdef Chunk chunk
    cdef real low, high
    while chunks.take(&chunk):
        _extremes(&x[chunk.start], chunk.stop - chunk.start, &low, &high)
        out[0] = low if low < out[0] or low != low else out[0]
        out[1] = high if high > out[1] else out[1]


cdef void _extremes(const real *x, Py_ssize_t size, real *least, real *greatest) noexcept nogil:
    # size is at least 1. NaN compares false with everything, so ``nans`` notes it separately.
    cdef real[LANES] low, high, nans
    cdef real value
    cdef Py_ssize_t i = 0, lane
    for lane in range(LANES):
        low[lane] = high[lane] = x[0]
        nans[lane] = 0
    while i + LANES <= size:
        for lane in range(LANES):
            value = x[i + lane]
            low[lane] = value if value < low[lane] else low[lane]
            high[lane] = value if value > high[lane] else high[lane]
            nans[lane] = nans[lane] if value == value else 1
        i += LANES
    for lane in range(size - i):
        value = x[i + lane]
        low[lane] = value if value < low[lane] else low[lane]
        high[lane] = value if value > high[lane] else high[lane]
        nans[lane] = nans[lane] if value == value else 1
    least[0], greatest[0] = low[0], high[0]
    for lane in range(LANES):
        least[0] = low[lane] if low[lane] < least[0] else least[0]
        greatest[0] = high[lane] if high[lane] > greatest[0] else greatest[0]
    # Whether -0.0 or 0.0 is found depends on where they are in x. Adding 0 makes both 0.0.
    least[0], greatest[0] = least[0] + 0, greatest[0] + 0
    for lane in range(LANES):
        if nans[lane]:
            least[0] = NAN


def minmax_gil(const real[::1] x, real[::1] out, Chunks chunks):
    _minmax(x, out, chunks)


def minmax_nogil(const real[::1] x, real[::1] out, Chunks chunks):
    with nogil:
        _minmax(x, out, chunks)


# ---------------------------------------------------------------- histogram: scattered writes

# counts[0, bin] is the number of values in a bin, as numpy.histogram counts them. The plain loop,
# where no position overflows:
#
#     for i in range(x.shape[0]):
#         bin = bins  # one more than there are, for values outside of all bins and NaN
#         if low <= x[i] <= high:
#             bin = min(<int> ((x[i] - low) * scale), bins - 1)
#             while x[i] < edges[bin]:  # rounding may give a bin too high or too low
#                 bin -= 1
#             while bin < bins - 1 and x[i] >= edges[bin + 1]:
#                 bin += 1
#         counts[0, bin] += 1
#
# The loop below is 2.5 to 3.6 times as fast for 10⁵ values in 64 bins, 2.3 to 2.8 times for 10⁷.

cpdef enum:
    # Neighbouring values are counted in different rows, which are added up at the end. In one row,
    # incrementing a count would often have to wait for the previous increment of the same count.
    COUNT_ROWS = 4

# From this tolerance on, edges are so close together, compared with their distance from 0, that
# rounding moves them and a position no longer tells the bin. The caller must not count them here.
MAX_TOLERANCE = 0.25


cdef void _histogram(
    const real[::1] x, const double[::1] edges, double scale, double tolerance,
    Py_ssize_t[:, ::1] counts, Chunks chunks
) noexcept nogil:
    # scale and tolerance are what bin_scale returns for the edges. counts belongs to this worker
    # and has up to COUNT_ROWS rows. Counts are added to the first row; the other rows are zeros on
    # entry and on return. A row is one longer than the number of bins: its last element counts NaN
    # and the values outside of all bins.
    cdef Chunk chunk
    cdef Py_ssize_t i, row, start, size
    cdef Py_ssize_t *rows[COUNT_ROWS]
    for row in range(COUNT_ROWS):
        rows[row] = &counts[row % counts.shape[0], 0]
    while chunks.take(&chunk):
        start = chunk.start
        while start < chunk.stop:
            size = min(L1_BLOCK, chunk.stop - start)
            _count_block(&x[start], size, edges, scale, tolerance, rows)
            start += L1_BLOCK
    for row in range(1, counts.shape[0]):
        for i in range(counts.shape[1]):
            counts[0, i] += counts[row, i]
            counts[row, i] = 0


cdef void _count_block(
    const real *x, Py_ssize_t size, const double[::1] edges, double scale, double tolerance,
    Py_ssize_t **rows
) noexcept nogil:
    # size is L1_BLOCK at most.
    #
    #   edge 0            edge 1            edge 2
    #     |---- bin 0 ----( | )---- bin 1 ----( | )---- bin 2 ---- ...
    #
    # position   (value - low) * scale: the distance from edge 0 in bins. It never decreases as the
    #            value grows.
    # tolerance  half the width of ( ): rounding moves the position of edge i no farther from i.
    # near_edge  whether some position of the block lies within ( ), so that values have to be
    #            compared with the edges. Outside of ( ), the bin is the integer part of a position.
    cdef int32_t[L1_BLOCK] bins
    cdef int32_t outside = edges.shape[0] - 1
    cdef Py_ssize_t i
    cdef double low = edges[0], high = edges[outside], value, position, rest
    cdef bint near_edge = False
    for i in range(size):
        value = x[i]
        position = (value - low) * scale
        position = position if position > 0 else 0
        position = position if position < outside else outside
        position = position if (value >= low) & (value <= high) else outside + 0.5
        bins[i] = <int32_t> position
        rest = position - bins[i]
        near_edge |= ((position >= 1) & (rest <= tolerance)) | (rest >= 1 - tolerance)
    if near_edge:
        _compare_with_edges(x, size, edges, scale, bins)
    i = 0
    while i < size - COUNT_ROWS + 1:
        rows[0][bins[i]] += 1
        rows[1][bins[i + 1]] += 1
        rows[2][bins[i + 2]] += 1
        rows[3][bins[i + 3]] += 1
        i += COUNT_ROWS
    for i in range(size - size % COUNT_ROWS, size):
        rows[0][bins[i]] += 1


cdef void _compare_with_edges(
    const real *x, Py_ssize_t size, const double[::1] edges, double scale, int32_t *bins
) noexcept nogil:
    # Sets the bin of each value of x.
    cdef int32_t outside = edges.shape[0] - 1, bin
    cdef Py_ssize_t i
    cdef double low = edges[0], high = edges[outside], value, position
    for i in range(size):
        value = x[i]
        # The value may lie on either side of the edge that is nearest to its position.
        position = (value - low) * scale + 0.5
        position = position if position > 0 else 0
        position = position if position < outside - 1 else outside - 1
        bin = <int32_t> position
        bin -= value < edges[bin]
        bins[i] = bin if (value >= low) & (value <= high) else outside


def histogram_gil(
    const real[::1] x, const double[::1] edges, double scale,
    double tolerance, Py_ssize_t[:, ::1] counts, Chunks chunks
):
    _histogram(x, edges, scale, tolerance, counts, chunks)


def histogram_nogil(
    const real[::1] x, const double[::1] edges, double scale,
    double tolerance, Py_ssize_t[:, ::1] counts, Chunks chunks
):
    with nogil:
        _histogram(x, edges, scale, tolerance, counts, chunks)


# ---------------------------------------------------------------- sqeuclidean: balanced arithmetic

# The squared distance of each point of X to each of Y. The plain loop, with the same bits:
#
#     for i in range(X.shape[0]):
#         for j in range(Y.shape[0]):
#             total = 0
#             for k in range(X.shape[1]):
#                 difference = X[i, k] - Y[j, k]
#                 total += difference * difference
#             out[i, j] = total
#
# The loop below is 3.7 times as fast for 10⁵ distances in 16 dimensions, 3.3 to 3.7 times for 10⁷.

cpdef enum:
    # Rows of Y in a tile. More than 16, since GCC unrolls loops of up to 16 rounds instead of
    # vectorising them.
    ROWS = 32
    # Tiles side by side, so that longer stretches of a row of the result are written.
    TILES = 4
    # Coordinates at a time, so that the tiles fit in the cache.
    DEPTH = 64
    # How many rows ahead of its writes the loop fetches the result into the cache.
    PREFETCH_ROWS = 4

cdef extern from *:
    """
    #if defined(__GNUC__)
        #define gilfree_prefetch_to_write(address) __builtin_prefetch(address, 1)
    #else
        #define gilfree_prefetch_to_write(address)
    #endif
    """
    void gilfree_prefetch_to_write(const void *address) noexcept nogil


cdef void _sqeuclidean(
    const real[:, :] X, const real[:, :] Y, real[:, :] out, Py_ssize_t height, Py_ssize_t width,
    Chunks chunks
) noexcept nogil:
    # X and Y have any strides. Each row of out is contiguous. out shares no memory with X or Y.
    #
    # A chunk is a range of rectangles of out. They have this height and width, except at the lower
    # and right border.
    cdef Chunk chunk
    cdef Py_ssize_t number, top, left, across = (Y.shape[0] + width - 1) // width
    while chunks.take(&chunk):
        for number in range(chunk.start, chunk.stop):
            top, left = number // across * height, number % across * width
            _distances(
                X[top:top + height], Y[left:left + width],
                out[top:top + height, left:left + width]
            )


cdef void _distances(const real[:, :] X, const real[:, :] Y, real[:, :] out) noexcept nogil:
    # Transposes TILES * ROWS rows of Y at a time, so that a vector holds one coordinate of several.
    cdef real[TILES][DEPTH][ROWS] tiles
    cdef Py_ssize_t i, j = 0, k, tile, lane, start, depth, width
    if X.shape[1] == 0:
        out[:, :] = 0
    while j < Y.shape[0]:
        width = min(TILES * ROWS, Y.shape[0] - j)
        start = 0
        while start < X.shape[1]:
            depth = min(DEPTH, X.shape[1] - start)
            for tile in range((width + ROWS - 1) // ROWS):
                for lane in range(ROWS):
                    i = j + min(tile * ROWS + lane, width - 1)
                    for k in range(depth):
                        tiles[tile][k][lane] = Y[i, start + k]
            _add_distances(X, start, depth, tiles, out, j, width)
            start += DEPTH
        j += TILES * ROWS


cdef void _add_distances(
    const real[:, :] X, Py_ssize_t start, Py_ssize_t depth,
    real[DEPTH][ROWS] *tiles, real[:, :] out, Py_ssize_t j, Py_ssize_t width
) noexcept nogil:
    # Adds to columns j to j + width of out what coordinates start to start + depth contribute to
    # the distances to the points in the tiles. With start 0 it sets the columns instead.
    #
    # The rows of out are not adjacent in memory, so the CPU can't predict where the next one is.
    # The loop prefetches it.
    cdef real[2][DEPTH] points
    cdef real[2][ROWS] edge
    cdef Py_ssize_t i, k, row, rows, tile, lane, count
    for i in range(0, X.shape[0], 2):
        rows = min(2, X.shape[0] - i)
        for row in range(i + PREFETCH_ROWS, min(i + PREFETCH_ROWS + 2, X.shape[0])):
            for lane in range(0, width, 8):
                gilfree_prefetch_to_write(&out[row, j + lane])
        for row in range(2):
            for k in range(depth):
                points[row][k] = X[i + min(row, rows - 1), start + k]
        for tile in range((width + ROWS - 1) // ROWS):
            lane = j + tile * ROWS
            count = min(ROWS, width - tile * ROWS)
            if rows == 2 and count == ROWS:
                _add_tile(points, tiles[tile], depth, start > 0, &out[i, lane], &out[i + 1, lane])
                continue
            for row in range(rows):
                for k in range(count):
                    edge[row][k] = out[i + row, lane + k]
            _add_tile(points, tiles[tile], depth, start > 0, edge[0], edge[1])
            for row in range(rows):
                for k in range(count):
                    out[i + row, lane + k] = edge[row][k]


cdef void _add_tile(
    real[DEPTH] *points, real[ROWS] *tile, Py_ssize_t depth, bint further, real *out1, real *out2
) noexcept nogil:
    # Adds to ROWS distances in out1 and out2 if ``further``, and sets them otherwise.
    #
    # Two points at a time, so that each vector of the tile is loaded once for both.
    cdef real[ROWS] one, two
    cdef real difference
    cdef Py_ssize_t k, lane
    for lane in range(ROWS):
        one[lane] = out1[lane] if further else 0
        two[lane] = out2[lane] if further else 0
    for k in range(depth):
        for lane in range(ROWS):
            difference = points[0][k] - tile[k][lane]
            one[lane] += difference * difference
            difference = points[1][k] - tile[k][lane]
            two[lane] += difference * difference
    for lane in range(ROWS):
        out1[lane] = one[lane]
    for lane in range(ROWS):
        out2[lane] = two[lane]


def sqeuclidean_gil(
    const real[:, :] X, const real[:, :] Y, real[:, :] out,
    Py_ssize_t height, Py_ssize_t width, Chunks chunks
):
    _sqeuclidean(X, Y, out, height, width, chunks)


def sqeuclidean_nogil(
    const real[:, :] X, const real[:, :] Y, real[:, :] out,
    Py_ssize_t height, Py_ssize_t width, Chunks chunks
):
    with nogil:
        _sqeuclidean(X, Y, out, height, width, chunks)


# ================================================ Helpers with one entry point

# They hold the GIL.

def add_in_order(const double[::1] sums):
    # _macros.c adds in this order, too. NumPy adds pairwise, and sum() compensates for rounding.
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(sums.shape[0]):
        total += sums[i]
    return total


# The remaining functions are NumPy's arithmetic for histogram without NumPy's checks, which take
# longer than counting a few thousand values.

def edges(double first, double last, real[::1] out):
    # The operations of numpy.linspace, in its order, so that the bits are the same.
    cdef Py_ssize_t i, bins = out.shape[0] - 1
    cdef real low = first, width = <real> last - low, step = width / bins
    for i in range(bins):
        out[i] = (i * step if step != 0 else i / <real> bins * width) + low
    out[bins] = last


def increasing(const double[::1] edges):
    cdef Py_ssize_t i
    for i in range(edges.shape[0] - 1):
        if not edges[i] < edges[i + 1]:
            return False
    return True


def bin_scale(const double[::1] edges):
    # Returns the bins per unit, and how far rounding moves the position of edge i from i at most:
    # NaN if a position overflows.
    cdef Py_ssize_t i, bins = edges.shape[0] - 1
    cdef double scale = bins / (edges[bins] - edges[0]), tolerance = 0, difference
    for i in range(bins + 1):
        difference = fabs((edges[i] - edges[0]) * scale - i)
        if difference != difference:
            return scale, difference
        tolerance = max(tolerance, difference)
    return scale, tolerance + DBL_EPSILON * bins
