"""Short and longer calls of every kernel, which tests make at random and check.

Scripts of the tests import this. A call takes from 20 µs to some milliseconds.
"""

import functools
import pickle

import numpy as np

import gilfree

SINE = np.resize(np.sin(np.arange(9973.0)), 300_003)


def _calls(size):
    x, single = SINE[:size], SINE[: 2 * size : 2].astype(np.float32)
    points = np.resize(SINE, (size // 300 + 1, 3))
    return {
        f"sum_of_squares {size}": lambda **how: gilfree.sum_of_squares(x[::-1], **how),
        f"polyval {size}": lambda **how: gilfree.polyval(single, [0.1, 0.2, 0.3, 0.4], **how),
        f"histogram {size}": lambda **how: gilfree.histogram(x, 77, **how),
        f"sqeuclidean {size}": lambda **how: gilfree.sqeuclidean(points, points[::-1], **how),
        f"mandelbrot {size}": lambda **how: gilfree.mandelbrot((size // 3000 + 1, 31), **how),
        f"monte_carlo_pi {size}": lambda **how: gilfree.monte_carlo_pi(size, 9, **how),
    }


CALLS = _calls(1000) | _calls(30_000) | _calls(300_000)


@functools.cache
def expected(name):
    """Return the pickled result of the call on one worker."""
    return pickle.dumps(CALLS[name](workers=1))


def check(rng, executors=(None,)):
    """Make a random call with random options, and compare its result with the expected one."""
    name = rng.choice(list(CALLS))
    how = {
        "workers": rng.choice([None, 1, 2, 3, 5]),
        "nogil": rng.random() < 0.7,
        "executor": rng.choice(executors),
    }
    assert pickle.dumps(CALLS[name](**how)) == expected(name), (name, how)
