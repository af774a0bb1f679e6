"""RUN: from the arguments of a kernel to chunks, to workers, and to the joined result.

Each kernel has one file, with its public function, its loop in pure Python and its workload in one
`Kernel`. A new kernel needs such a file, two lines here, and a loop in ``_kernels.pyx``.

A result has the same bits for any number of workers, with the GIL held or released, on threads,
processes or a cluster. It depends neither on where chunks begin and end nor on which worker takes
which. For that, floating-point sums are added up in fixed blocks, and random samples come from
separate streams. The blocks and streams depend on the size of the input alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gilfree._lazy import attributes_of

if TYPE_CHECKING:
    from gilfree.kernels._histogram import histogram as histogram
    from gilfree.kernels._mandelbrot import mandelbrot as mandelbrot
    from gilfree.kernels._monte_carlo_pi import monte_carlo_pi as monte_carlo_pi
    from gilfree.kernels._polyval import polyval as polyval
    from gilfree.kernels._sqeuclidean import sqeuclidean as sqeuclidean
    from gilfree.kernels._sum_of_squares import sum_of_squares as sum_of_squares
    from gilfree.kernels.record import Kernel

__all__ = [  # noqa: RUF022  in the order in which the demo shows them
    "sum_of_squares",
    "polyval",
    "histogram",
    "sqeuclidean",
    "mandelbrot",
    "monte_carlo_pi",
]


def kernel(name: str) -> Kernel:
    """Return the record of a kernel."""
    record: Kernel = importlib.import_module(f"gilfree.kernels._{name}").KERNEL
    return record


if not TYPE_CHECKING:
    __getattr__ = attributes_of(__name__, {name: f"_{name}" for name in __all__})
