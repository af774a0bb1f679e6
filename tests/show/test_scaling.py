"""The pictures of the demo, and the page that contains them."""

from __future__ import annotations

import base64
import dataclasses
import re
from html.parser import HTMLParser

import pytest
from rows import kernel, library, recording_of_a_kernel

from gilfree.demo import kernels, libraries, without_gil
from gilfree.demo.step import Result
from gilfree.show import page as page_module
from gilfree.show.page import page

plot = pytest.importorskip("gilfree.show.scaling", reason="matplotlib is not installed")
Figure = plot.Figure
pytestmark = pytest.mark.thread_unsafe(reason="matplotlib's settings are global")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_number_of_kernels_and_workers_can_be_drawn(count, workers):
    rows = [kernel(1.0, 1.9, 2.0, workers=workers) for _ in range(count)]
    picture = plot.picture(rows, "a machine", "svg").decode()
    assert picture.count(">mandelbrot<") == count
    assert "a machine" in picture
    assert "the machine's limit" in picture


def test_the_same_rows_give_the_same_file():
    rows = [kernel(1.0, 1.9, 2.0, held_share=None)]
    assert plot.picture(rows, "", "svg") == plot.picture(rows, "", "svg")
    assert plot.picture(rows, "", "png").startswith(b"\x89PNG")


def test_no_curve_is_cut_off():
    row = kernel(1.0, 1.9, 2.0)
    top = max(timing.speedup_high for timing in row.comparison.rows)
    panel = Figure().subplots()
    plot._speedups(panel, row.comparison, top)
    assert panel.get_ylim()[0] <= 0
    assert panel.get_ylim()[1] >= top


def test_ways_differ_in_more_than_colour():
    looks = [(look["linestyle"], look.get("marker")) for look in plot.LOOKS.values()]
    assert len(set(looks)) == len(looks)


@pytest.mark.parametrize("path", ["x.PNG", "a.b/x.svg"])
def test_the_form_follows_the_name(path):
    assert plot.form_of(path) in ("png", "svg")


@pytest.mark.parametrize("path", ["x", "x.jpg", "png"])
def test_other_forms_are_refused(path):
    with pytest.raises(ValueError, match=r"must end in \.png or \.svg"):
        plot.form_of(path)


class Checker(HTMLParser):
    """Checks that tags are balanced, and collects what the page would load."""

    def __init__(self):
        super().__init__()
        self.open, self.sources = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing():
    picture = plot.picture([kernel(1.0, 1.9, 2.0)], "", "svg")
    results = [
        Result(kernels.STEP, [kernel(1.0, 1.9, 2.0)], "a < b & c"),
        Result(
            dataclasses.replace(libraries.STEP, title="<b>"), [library("numpy", 0.01)], "`f(<)`"
        ),
        Result(without_gil.STEP, [], "no rows"),
    ]
    text = page("A title", ["one line", "another"], results, picture)
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert len(checker.sources) == 1
    assert base64.b64decode(checker.sources[0].partition("base64,")[2]) == picture
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert "a &lt; b &amp; c" in text
    assert "<h2>6. &lt;b&gt;</h2>" in text
    assert "<code>f(&lt;)</code>" in text
    assert "`" not in text
    assert text.count("<table>") == 2
    assert "<th>processes</th>" in text
    assert "pro-" not in text  # headings are hyphenated for a terminal only
    assert "1.90±" in text


def test_the_lanes_are_in_the_page_for_light_and_for_dark():
    recorded = recording_of_a_kernel()
    drawn = [plot.lanes(recorded, dark) for dark in (False, True)]
    assert drawn[0] != drawn[1]
    assert drawn == [plot.lanes(recorded, dark) for dark in (False, True)]
    results = [Result(kernels.STEP, [kernel(1.0, 1.9, 2.0)], "so")]
    text = page("A title", [], results, None, drawn)
    dark, light = (base64.b64encode(each).decode() for each in reversed(drawn))
    source, image = re.search("<picture>(<source .*?>)(<img .*?>)</picture>", text).groups()
    assert dark in source
    assert "(prefers-color-scheme: dark)" in source
    assert light in image
    assert "<picture>" not in page("A title", [], results, None)


def test_a_wide_table_scrolls_in_its_box():
    text = page("A title", [], [Result(libraries.STEP, [library("x", 0.1)], "so")], None)
    assert '<div class="wide" tabindex="0"><table>' in text
    box = text.partition(".wide {")[2].partition("}")[0]
    assert "overflow-x: auto" in box
    assert box.count(" scroll") == box.count(" local") == 2  # shadows, and what covers them


def test_figures_are_aligned_in_the_page():
    # U+2007 is a space as wide as a digit.
    assert page_module._padded("1.0± 2.5") == "1.0±\u20072.5"
    assert page_module._padded("310.0    ") == "310.0" + 4 * "\u2007"
    assert page_module._padded("no other CPU was free") == "no other CPU was free"
