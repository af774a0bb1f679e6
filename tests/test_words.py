"""Figures as text."""

from gilfree._words import counted, environment_line, exact_share, readable_time, share

ENVIRONMENT = {
    "implementation": "CPython",
    "python": "3.13.0",
    "gil_enabled": True,
    "cpus": 2,
    "switch_interval": 0.005,
}


def test_times_are_readable():
    values = (0, 5e-9, 1.5e-6, 0.0123, 0.9999, 12.3456, 3600.4)
    assert [readable_time(seconds) for seconds in values] == [
        "0 ns",
        "5 ns",
        "1.5 µs",
        "12.3 ms",
        "1 s",
        "12.3 s",
        "3,600 s",
    ]


def test_the_environment_fits_on_a_line():
    assert environment_line(ENVIRONMENT) == (
        "CPython 3.13.0 with the GIL, 2 CPUs, switch interval 5 ms"
    )
    assert "without a GIL" in environment_line({**ENVIRONMENT, "gil_enabled": False})


def test_a_share_that_is_not_quite_0_or_1_is_not_shown_as_that():
    values = (0, 0.001, 0.5, 0.999, 1)
    assert [exact_share(value) for value in values] == ["0%", "under 1%", "50%", "over 99%", "100%"]
    assert [share(value) for value in (None, 0.999)] == ["–", "100%"]


def test_things_are_counted_in_the_singular_and_the_plural():
    assert [counted(n, "sample") for n in (1, 2000)] == ["1 sample", "2,000 samples"]
