"""gilfree: release the GIL from C and Cython, measure what that buys, and use it.

The kernels run on every core::

    import gilfree
    counts, edges = gilfree.histogram(x, bins=64)

``gilfree.compare`` measures the same work with the GIL held and released, and ``gilfree.probe``
tells whether a callable of your own releases it.
"""

from gilfree.build import build_info  # first: it chooses the build of _kernels
from gilfree.compare import Comparison, compare
from gilfree.gil_report import GilReport
from gilfree.kernels import (
    histogram,
    mandelbrot,
    monte_carlo_pi,
    polyval,
    sqeuclidean,
    sum_of_squares,
)
from gilfree.probe import probe

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "GilReport",
    "build_info",
    "compare",
    "histogram",
    "mandelbrot",
    "monte_carlo_pi",
    "polyval",
    "probe",
    "sqeuclidean",
    "sum_of_squares",
]
