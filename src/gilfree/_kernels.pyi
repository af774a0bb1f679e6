"""Types of the compiled loops. Each pair runs the same loop, with the GIL held or released."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", np.float32, np.float64)

def sum_of_squares_gil(x: NDArray[Real]) -> float: ...
def sum_of_squares_nogil(x: NDArray[Real]) -> float: ...
def polyval_gil(x: NDArray[Real], c: NDArray[Real], out: NDArray[Real]) -> None: ...
def polyval_nogil(x: NDArray[Real], c: NDArray[Real], out: NDArray[Real]) -> None: ...
def minmax_gil(x: NDArray[Real], out: NDArray[Real]) -> None: ...
def minmax_nogil(x: NDArray[Real], out: NDArray[Real]) -> None: ...
def histogram_gil(
    x: NDArray[Real],
    edges: NDArray[np.float64],
    scale: float,
    drift: float,
    counts: NDArray[np.intp],
) -> None: ...
def histogram_nogil(
    x: NDArray[Real],
    edges: NDArray[np.float64],
    scale: float,
    drift: float,
    counts: NDArray[np.intp],
) -> None: ...
def sqeuclidean_gil(X: NDArray[Real], Y: NDArray[Real], out: NDArray[Real]) -> None: ...
def sqeuclidean_nogil(X: NDArray[Real], Y: NDArray[Real], out: NDArray[Real]) -> None: ...
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
