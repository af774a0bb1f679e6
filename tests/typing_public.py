"""The types of the public names, for mypy and pyright to check. It is never run."""

import sys
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import gilfree
from gilfree.testing import assert_releases_gil

x = np.ones(9)
counts, _ = gilfree.histogram(x, bins=3)
assert_type(counts, NDArray[np.intp])
assert_type(gilfree.sum_of_squares(x), np.float32 | np.float64)
assert_type(gilfree.sqeuclidean([[1.0]], [[2.0]]), NDArray[np.float32] | NDArray[np.float64])
assert_type(gilfree.mandelbrot((2, 3), nogil=False, workers=1), NDArray[np.int32])
assert_type(gilfree.monte_carlo_pi(9, rng=1), float)
assert_type(gilfree.polyval(x, [1.0]), Any)
report = gilfree.probe(sum, [1, 2], workers=1)
assert_type(report, gilfree.GilReport)
assert_type(report.verdict, gilfree.Verdict)
assert_type(report.verdict.value, Any)
assert_type(report.held, float | None)
assert_type(gilfree.compare(gilfree.histogram, x), gilfree.Comparison)
with gilfree.record(callers=True) as recording:
    assert_type(recording, gilfree.Recording)
assert_type(gilfree.report_stalls(1, sys.stderr), None)
assert_type(gilfree.report_stalls(None), None)
assert_type(gilfree.build_info(), dict[str, Any])
assert_type(assert_releases_gil(sum, [1]), gilfree.GilReport | None)
_ = gilfree.nothing  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
