"""The sentence says what was measured, also when that is not what one expects."""

from __future__ import annotations

import pytest

from gilfree import report
from gilfree.compare import Comparison, Row


def comparison(held, released, limit, workers=2, gil=True):
    rows = [
        Row(mode, 1, 0.1, 0.1, 0.1, 1.0, 1.0, 1.0) for mode in ("held", "released", "processes")
    ]
    if workers > 1:
        speedups = zip(("held", "released", "processes"), (held, released, limit), strict=True)
        rows += [Row(mode, workers, 0.1, 0.09, 0.12, s, s, s) for mode, s in speedups]
    environment = {
        "implementation": "CPython",
        "python": "3.13.0",
        "gil_enabled": gil,
        "cpus": 2,
        "switch_interval": 0.005,
    }
    return Comparison("mandelbrot", 5, environment, tuple(rows))


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ([comparison(1.0, 1.8, 2.0)], "2 workers were 1.80 times as fast as one, 90% of what 2"),
        (
            [comparison(0.98, 1.8, 2.0), comparison(1.0, 1.9, 1.9)],
            "1.80 to 1.90 times as fast as one, 90 to 100% of what 2 independent processes reach "
            "here; with the GIL held, 0.98 to 1.00 times.",
        ),
        ([comparison(1.0, 1.0, 1.05)], "next to nothing to give"),
        ([comparison(1.8, 1.8, 1.9, gil=False)], "has no GIL"),
        ([comparison(1, 1, 1, workers=1)], "One worker alone shows no speedup"),
    ],
)
def test_the_sentence_follows_the_figures(seen, words):
    assert words in report.comparison_sentence(seen)


def test_the_table_shows_times_with_their_spread_and_speedups():
    console = report.console()
    with console.capture() as text:
        console.print(report.comparison_table([comparison(1.0, 1.85, 1.95)]))
    last = [line for line in text.get().splitlines() if line.split()[:1] == ["2"]]
    assert " ".join(last[0].split()) == "2 100±15 100±15 1.00±0.00 1.85±0.00 1.95±0.00"


def test_the_environment_fits_on_a_line():
    environment = comparison(1, 1, 1).environment
    assert report.environment_line(environment) == (
        "CPython 3.13.0 with the GIL, 2 CPUs, switch interval 5 ms"
    )
    assert "without a GIL" in report.environment_line({**environment, "gil_enabled": False})
