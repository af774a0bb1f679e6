"""The picture of a recording: each state is drawn where it was, whatever the threads' names."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from rows import recording_of

from gilfree.gil.facts import Facts, Holder, Stall
from gilfree.recording.recording import Recording
from gilfree.recording.timeline import STATES

lanes = pytest.importorskip("gilfree.recording.lanes", reason="matplotlib is not installed")
pytestmark = pytest.mark.thread_unsafe(reason="matplotlib's settings are global")

HELD, WAITING, RUNNING, BLOCKED, UNREAD = STATES
HOLDER = Holder("worker", 0.3, "/srv/app.py", 41, "parse", in_c=True)


def recording(threads, stalls=(), grain=0.0):
    facts = recording_of(threads).facts
    slices = facts.slices._replace(grain=grain)
    return Recording(dataclasses.replace(facts, stalls=tuple(stalls), slices=slices))


def boxes(figure, what, state):
    """Return left, right, top and bottom of each rectangle of a state, in inches."""
    found = [
        patch.get_path().vertices.reshape(-1, 5, 2)
        for patch in figure.axes[0].patches
        if re.fullmatch(rf"lane-\d+-{what}-{state}", patch.get_gid() or "")
    ]
    corners = np.concatenate([*found, np.empty((0, 5, 2))])
    x, y = corners[:, :, 0], corners[:, :, 1]
    return np.stack([x.min(1), x.max(1), y.min(1), y.max(1)], axis=1)


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def place_of(figure, words):
    return next(t.get_position() for t in figure.axes[0].texts if t.get_text() == words)


def axis_of(figure):
    """Return where the time axis begins, and how long it is."""
    left, right, *_ = boxes(figure, "gil", "(held|blocked)").T
    return left.min(), right.max() - left.min()


def two():
    first = ("worker", [(HELD, 0.4), (RUNNING, 0.6)])
    return [("MainThread", [(BLOCKED, 0.1), (WAITING, 0.3), (HELD, 0.6)]), first]


def test_lanes_are_drawn_where_they_belong():
    figure = lanes.draw(recording(two()))
    left, length = axis_of(figure)
    pixel = 1.01 / lanes.DPI / length
    for state, name, begin, end in [
        (BLOCKED, "MainThread", 0.0, 0.1),
        (WAITING, "MainThread", 0.1, 0.4),
        (HELD, "MainThread", 0.4, 1.0),
        (HELD, "worker", 0.0, 0.4),
        (RUNNING, "worker", 0.4, 1.0),
    ]:
        middle = place_of(figure, name)[1]
        there = [b for b in boxes(figure, "threads", state) if b[2] < middle < b[3]]
        assert len(there) == 1, (state, name)
        assert (there[0][:2] - left) / length == pytest.approx([begin, end], abs=pixel)
        assert there[0][3] - there[0][2] == pytest.approx(0.32)
    (gil,) = boxes(figure, "gil", HELD)
    assert gil[:2] == pytest.approx([left, left + length])
    assert not len(boxes(figure, ".*", UNREAD))  # nor in the legend


def test_states_within_a_pixel_share_the_height():
    turns = [(HELD, 0.001), (WAITING, 0.003)] * 2500
    figure = lanes.draw(recording([("worker", turns)], grain=0.0005))
    for state, share in (HELD, 0.25), (WAITING, 0.75):
        left, right, top, bottom = boxes(figure, "threads", state).T
        area = ((right - left) * (bottom - top)).sum()
        assert area / axis_of(figure)[1] / 0.32 == pytest.approx(share, abs=0.02)
    said = " ".join(texts(figure))
    assert "share the height of its lane" in said
    assert "Slices of a thread that together took less than 500 µs were joined." in said
    assert "share the height" not in " ".join(texts(lanes.draw(recording(two()))))


def test_forty_threads_are_drawn_and_the_others_are_counted():
    threads = [(f"worker-{number}", [(BLOCKED, 1.0)]) for number in range(43)]
    figure = lanes.draw(recording(threads))
    assert [text for text in texts(figure) if text.startswith("worker-")] == [
        f"worker-{number}" for number in range(40)
    ]
    assert "Left out: 3 threads that waited no longer than these." in texts(figure)
    tops = np.sort(boxes(figure, "threads", BLOCKED)[:, 2])
    assert np.diff(tops).min() > 0.18  # the height of one
    assert tops[-1] < figure.get_size_inches()[1]


def an_hour(count=40, seed=1):
    """Return threads that change their state at random, every half second on average."""
    drawn = np.random.default_rng(seed)
    for number in range(count):
        lengths = drawn.exponential(size=7200)
        states = drawn.choice(STATES, 7200)
        yield f"worker-{number}", list(zip(states, lengths * 3600 / lengths.sum(), strict=True))


def test_an_hour_is_drawn_in_minutes_and_its_svg_is_bounded():
    hour = recording([*an_hour()])
    figure = lanes.draw(hour)
    assert {"minutes", "0", "10", "60"} <= {*texts(figure)}
    svg = lanes.picture(hour, "svg")
    assert len(svg) < 1e6
    assert ET.fromstring(svg).tag.endswith("svg")
    one_thread = lanes.picture(recording([*an_hour(count=1)]), "svg")
    assert len(one_thread) < 1e6
    assert b"<image" in svg
    assert b"<image" not in one_thread  # it has fewer than MOST_RECTANGLES


@pytest.mark.parametrize(
    ("seconds", "unit"),
    [
        (2e-4, "microseconds"),
        (0.1, "milliseconds"),
        (1.5, "seconds"),
        (600.0, "minutes"),
        (9000.0, "hours"),
    ],
)
def test_the_axis_has_units_that_fit(seconds, unit):
    figure = lanes.draw(recording([("worker", [(HELD, seconds)])]))
    ticks = [float(text) for text in texts(figure) if re.fullmatch(r"[\d.]+", text)]
    assert unit in texts(figure)
    assert 3 <= len(ticks) <= 10
    assert ticks[-1] <= 200


HOSTILE = ["$x^2$", "a\x00b\x1b[31m\n\u202e", "<b>&]]>", "\ud800\ufffe", "漢字" * 500, None, "$"]


def test_hostile_names_are_only_text():
    threads = [(name, [(WAITING, 0.5), (HELD, 0.5)]) for name in HOSTILE]
    holder = Holder("$\\frac", 0.3, "/srv/$a$.py", 1, "f\x07" * 200, in_c=True)
    stalls = [Stall(name, 0.1, 0.3, (holder,), index) for index, name in enumerate(HOSTILE)]
    made = recording(threads, stalls)
    svg = lanes.picture(made, "svg")
    words = [node.text or "" for node in ET.fromstring(svg).iter() if node.text]
    assert "$x^2$" in words
    assert "<b>&]]>" in words
    assert "a�b�[31m��" in words
    assert max(map(len, words[1:])) < 140
    assert lanes.picture(made, "png").startswith(b"\x89PNG")


def test_the_longest_stalls_are_marked_without_overlap():
    stalls = [
        Stall("MainThread", 0.1 + 0.01 * number, 0.2 - number / 1000, (HOLDER,), 0)
        for number in range(20)
    ]
    figure = lanes.draw(recording(two(), stalls))
    said = [text for text in texts(figure) if "waited while" in text]
    assert said[0] == "200 ms: MainThread waited while worker was in parse (app.py:41)"
    marks = [t for t in figure.axes[0].texts if t.get_bbox_patch() is not None]
    assert 2 <= len(said) <= 5
    assert len(marks) == 2 * len(said)  # on the lane, and before its explanation
    figure.draw_without_rendering()
    extents = [mark.get_bbox_patch().get_window_extent() for mark in marks]
    for number, one in enumerate(extents):
        assert not any(one.overlaps(other) for other in extents[number + 1 :])


def test_a_stall_is_marked_on_the_lane_that_waited():
    pool = [("pool", [(WAITING, 0.5), (HELD, 0.5)]), ("pool", [(HELD, 0.5), (WAITING, 0.5)])]
    figure = lanes.draw(recording(pool, [Stall("pool", 0.6, 0.3, (), 1)]))
    second = [t.get_position()[1] for t in figure.axes[0].texts if t.get_text() == "pool"][1]
    mark = next(t for t in figure.axes[0].texts if t.get_bbox_patch() is not None)
    assert mark.get_position()[1] == second
    assert "300 ms: pool waited; not known for whom" in texts(figure)


def test_states_differ_in_lightness_too():
    for look in lanes.LIGHT, lanes.DARK:
        light = []
        for state in HELD, WAITING, RUNNING, BLOCKED, "paper":
            red, green, blue = lanes.mpl.colors.to_rgb(look[state])
            light.append(0.299 * red + 0.587 * green + 0.114 * blue)
        assert np.diff(np.sort(light)).min() > 0.06


def test_what_the_system_did_not_report_is_hatched():
    figure = lanes.draw(recording([("worker", [(UNREAD, 1.0)])]))
    assert "not reported by the system" in texts(figure)
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    assert len(hatched) == 2  # the lane, and its entry of the legend


@pytest.mark.parametrize("facts", [Facts(0.0, (), ()), Facts(1.0, (), ())])
def test_an_empty_recording_can_be_drawn(facts):
    assert lanes.picture(Recording(facts), "svg").startswith(b"<?xml")


def test_the_style_of_a_program_changes_nothing():
    plain = lanes.picture(recording(two()), "svg")
    with lanes.mpl.style.context(["dark_background", {"text.usetex": True, "font.size": 30}]):
        assert lanes.picture(recording(two()), "svg") == plain


def test_two_recordings_share_a_time_axis():
    long, short = recording(two()), recording([("worker", [(RUNNING, 0.5)])])
    shown = [lanes.Shown("held $1$", long, ("worker",)), lanes.Shown("freed", short, ("worker",))]
    for dark in False, True:
        svg = lanes.beside(shown, "svg", dark)
        found = [node.text for node in ET.fromstring(svg).iter() if node.text]
        assert found.count("worker") == 2
        assert found.count("milliseconds") + found.count("seconds") == 1
        assert "MainThread" not in found
        assert "held $1$" in found
        ids = re.findall(rb' id="(lane[^"]+)"', svg)
        assert len(ids) == len({*ids})
