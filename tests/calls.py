"""A call of each kernel with input enough for several uneven chunks, in any process."""

import numpy as np

import gilfree

SIZE = 3_000_003

CALLS = {
    "sum_of_squares": lambda **how: gilfree.sum_of_squares(np.sin(np.arange(SIZE)), **how),
    "polyval": lambda **how: gilfree.polyval(np.sin(np.arange(SIZE)), [0.1, 0.2, 0.3], **how),
    "histogram": lambda **how: gilfree.histogram(np.sin(np.arange(SIZE)), 77, **how),
    "sqeuclidean": lambda **how: gilfree.sqeuclidean(
        np.sin(np.arange(7000)).reshape(-1, 7), np.cos(np.arange(4900)).reshape(-1, 7), **how
    ),
    "mandelbrot": lambda **how: gilfree.mandelbrot((101, 103), **how),
    "monte_carlo_pi": lambda **how: gilfree.monte_carlo_pi(300_007, 9, **how),
}
