"""Types of the compiled loops. Each pair runs the same loop, with the GIL held or released."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# All real arrays of one call have the same dtype.
RealArray: TypeAlias = NDArray[np.float32] | NDArray[np.float64]

def sum_of_squares_gil(x: RealArray) -> float: ...
def sum_of_squares_nogil(x: RealArray) -> float: ...
def polyval_gil(x: RealArray, c: RealArray, out: RealArray) -> None: ...
def polyval_nogil(x: RealArray, c: RealArray, out: RealArray) -> None: ...
def minmax_gil(x: RealArray, out: RealArray) -> None: ...
def minmax_nogil(x: RealArray, out: RealArray) -> None: ...
def histogram_gil(
    x: RealArray,
    edges: NDArray[np.float64],
    scale: float,
    drift: float,
    counts: NDArray[np.intp],
) -> None: ...
def histogram_nogil(
    x: RealArray,
    edges: NDArray[np.float64],
    scale: float,
    drift: float,
    counts: NDArray[np.intp],
) -> None: ...
def sqeuclidean_gil(X: RealArray, Y: RealArray, out: RealArray) -> None: ...
def sqeuclidean_nogil(X: RealArray, Y: RealArray, out: RealArray) -> None: ...
def mandelbrot_gil(
    first: int,
    width: int,
    left: float,
    top: float,
    dx: float,
    dy: float,
    max_iterations: int,
    out: NDArray[np.int32],
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
) -> None: ...
def monte_carlo_pi_gil(bit_generator: np.random.BitGenerator, samples: int) -> int: ...
def monte_carlo_pi_nogil(bit_generator: np.random.BitGenerator, samples: int) -> int: ...
