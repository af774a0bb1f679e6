"""Types of the compiled loops. Each pair runs the same loop, with the GIL held or released.

All workers of a call pass the same `chunks`. The entry point takes one chunk after the other until
none is left.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gilfree._chunks import Chunks

# All real arrays of one call have the same dtype.
RealArray: TypeAlias = NDArray[np.float32] | NDArray[np.float64]

SUM_BLOCK: int
COUNT_ROWS: int
ROWS: int
TILES: int
MAX_TOLERANCE: float

def empty_gil() -> None: ...
def empty_nogil() -> None: ...
def sum_of_squares_gil(x: RealArray, sums: NDArray[np.float64], chunks: Chunks) -> None: ...
def sum_of_squares_nogil(x: RealArray, sums: NDArray[np.float64], chunks: Chunks) -> None: ...
def count_gil(counter: NDArray[np.int64], times: int) -> None: ...
def count_nogil(counter: NDArray[np.int64], times: int) -> None: ...
def count_private_nogil(times: int) -> int: ...
def polyval_gil(x: RealArray, c: RealArray, out: RealArray, chunks: Chunks) -> None: ...
def polyval_nogil(x: RealArray, c: RealArray, out: RealArray, chunks: Chunks) -> None: ...
def monte_carlo_pi_gil(bit_generator: np.random.BitGenerator, samples: int) -> int: ...
def monte_carlo_pi_nogil(bit_generator: np.random.BitGenerator, samples: int) -> int: ...
def mandelbrot_gil(
    first: int,
    width: int,
    left: float,
    top: float,
    dx: float,
    dy: float,
    max_iterations: int,
    out: NDArray[np.int32],
    chunks: Chunks,
) -> None: ...
def mandelbrot_nogil(
    first: int,
    width: int,
    left: float,
    top: float,
    dx: float,
    dy: float,
    max_iterations: int,
    out: NDArray[np.int32],
    chunks: Chunks,
) -> None: ...
def minmax_gil(x: RealArray, out: RealArray, chunks: Chunks) -> None: ...
def minmax_nogil(x: RealArray, out: RealArray, chunks: Chunks) -> None: ...
def histogram_gil(
    x: RealArray,
    edges: NDArray[np.float64],
    scale: float,
    tolerance: float,
    counts: NDArray[np.intp],
    chunks: Chunks,
) -> None: ...
def histogram_nogil(
    x: RealArray,
    edges: NDArray[np.float64],
    scale: float,
    tolerance: float,
    counts: NDArray[np.intp],
    chunks: Chunks,
) -> None: ...
def sqeuclidean_gil(
    X: RealArray, Y: RealArray, out: RealArray, height: int, width: int, chunks: Chunks
) -> None: ...
def sqeuclidean_nogil(
    X: RealArray, Y: RealArray, out: RealArray, height: int, width: int, chunks: Chunks
) -> None: ...
def add_in_order(sums: NDArray[np.float64]) -> float: ...
def edges(first: float, last: float, out: RealArray) -> None: ...
def increasing(edges: NDArray[np.float64]) -> bool: ...
def bin_scale(edges: NDArray[np.float64]) -> tuple[float, float]: ...
