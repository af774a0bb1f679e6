"""A call of each kernel, with enough input for several uneven chunks, to import in any process."""

import numpy as np

import gilfree

SIZE = 3_000_003
SINE = np.sin(np.arange(9973.0))

# Each takes more than a millisecond: a much shorter call would not wake a helper.
CALLS = {
    "sum_of_squares": lambda **how: gilfree.sum_of_squares(np.resize(SINE, 7_000_003), **how),
    "polyval": lambda **how: gilfree.polyval(np.resize(SINE, SIZE), [0.1, 0.2, 0.3, 0.4], **how),
    "histogram": lambda **how: gilfree.histogram(np.resize(SINE, SIZE), 77, **how),
    "sqeuclidean": lambda **how: gilfree.sqeuclidean(
        np.sin(np.arange(14_000)).reshape(-1, 7), np.cos(np.arange(8400)).reshape(-1, 7), **how
    ),
    "mandelbrot": lambda **how: gilfree.mandelbrot((151, 153), **how),
    "monte_carlo_pi": lambda **how: gilfree.monte_carlo_pi(600_007, 9, **how),
}
