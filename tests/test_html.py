"""The cards of a probe and of a comparison in notebooks: complete, escaped and self-contained."""

from __future__ import annotations

import dataclasses
import re

import pytest
from markup import Structure, foreign_selectors

from gilfree.gil.report import GilReport
from gilfree.measure.compare import MODES, Comparison, Timing

HOSTILE = "</style></div><script>alert(1)</script><b title='\"&\udc80"
PROBED = GilReport(
    name="np.sort(x)",
    gil_enabled=True,
    seconds=0.02,
    calls=3,
    held=0.25,
    uncertainty=0.01,
    longest_hold=0.005,
    samples=1000,
    largest_gap=1e-4,
    result=None,
    longest_stall=1e-4,
    wakeup=1e-4,
    cpu=0.75,
    workers=4,
    speedup=2.0,
    limit=3.0,
    waiting=0.2,
    blocked=0.1,
    running=0.5,
    no_cpu=0.1,
)


def compared(workers=(1, 2, 4), gil=True, modes=MODES):
    facts = {"implementation": "CPython", "python": "3.15", "gil_enabled": gil, "cpus": 4}
    rows = [Timing(m, n, 1 / n, 1 / n, 2 / n, 0.9 * n, 0.8 * n, n) for m in modes for n in workers]
    return Comparison("polyval", 9, {**facts, "switch_interval": 0.005}, tuple(rows))


def changed(**values):
    return dataclasses.replace(PROBED, **values)


def widths(text):
    """Return the widths of parts and lines of each bar, in thousandths, by their CSS class."""
    found = []
    for bar in re.findall("<svg.*?</svg>", text):
        looks = dict(re.findall(r'<rect class="(\w+)" .*? width="([\d.]+)"', bar))
        for look, left, right in re.findall(r'<path class="(\w+)" d="M([\d.]+) \d+.([\d.]+)"', bar):
            looks[look] = float(right) - float(left) if look == "spread" else left
        found.append({look: round(float(width)) for look, width in looks.items()})
    return found


@pytest.mark.parametrize(
    "result",
    [
        PROBED,
        changed(name=HOSTILE, only_here=HOSTILE),
        changed(held=None),
        changed(gil_enabled=False),
        changed(speedup=None, limit=None, waiting=None, running=None, blocked=None, cpu=None),
        compared(),
        compared(workers=(1,)),
        compared(gil=False),
    ],
)
def test_a_card_is_well_formed_affects_only_itself_and_loads_nothing(result):
    text = result._repr_html_()
    text.encode()  # raises if there is a lone surrogate
    structure = Structure(text)
    assert {"html", "head", "body", "script", "link", "img"}.isdisjoint(structure.tags)
    names = {name for name, _ in structure.attributes}
    assert names.isdisjoint({"id", "src", "href", "srcset", "style", "onclick"})
    assert not re.search(r"https?:|url\(|@import", text)
    assert foreign_selectors(text) == []
    Structure(text + compared()._repr_html_())  # two outputs of one notebook


def test_the_sentence_comes_first_and_then_all_figures_of_the_text():
    text = PROBED._repr_html_()
    plain = " ".join(re.sub("<.*?>", "", text.partition("</style>")[2]).split())
    assert plain.startswith(f"np.sort(x): {PROBED.sentence}")
    for line in str(PROBED).splitlines():
        if re.match("  [a-z]", line) and line.split()[0] in text:
            assert line[11:].strip() in plain or "threads" in line
    assert "<b>releases the GIL in part</b>" in text


def test_bars_have_the_shares():
    one, at_once, speedup = widths(PROBED._repr_html_())
    assert one == {"held": 250, "running": 500, "unread": 250, "spread": 20}
    shares = {"held": 200, "waiting": 200, "running": 400, "unread": 100, "blocked": 100}
    assert at_once == shares
    assert speedup == {"gain": 667, "room": 333, "mark": 333}


def test_what_is_not_known_has_no_bar():
    assert widths(changed(held=None, waiting=None, speedup=None)._repr_html_()) == []
    assert widths(changed(cpu=None)._repr_html_())[0] == {"held": 250, "spread": 20}
    [bar] = widths(changed(held=None, waiting=None, speedup=3.5)._repr_html_())
    assert bar == {"gain": 1000, "room": 0, "mark": 286}


def test_a_comparison_has_each_mode_and_number_of_workers():
    text = compared()._repr_html_()
    assert "4 threads are <b>3.60 times as fast</b> as one, and 3.60 times with it held" in text
    assert text.count("<tr>") == 1 + 3
    for words in "bytecode", "GIL held", "GIL released", "executor", "limit", "250 ms":
        assert words in text
    assert [bar["spread"] for bar in widths(text)] == [200] * 5
    without = compared(gil=False)._repr_html_()
    assert "without a GIL, 4 threads are" in without
    assert "with it held" not in without
    assert "nothing to compare" in compared(workers=(1,))._repr_html_()
