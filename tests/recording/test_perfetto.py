"""Traces of recordings, read by the rules of the Chrome trace event format."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import defaultdict

import made_up
import needs
import numpy as np
import planted
import pytest

import gilfree
from gilfree.recording import perfetto, traces
from gilfree.recording.recording import Recording
from gilfree.recording.timeline import STATES


def read(content):
    """Read a trace as strictly as its viewers, and return its events by phase."""
    text = content.decode()
    assert "\\u" not in text  # some viewers can't read this escape
    trace = json.loads(text, parse_constant=pytest.fail)
    assert trace.keys() == {"traceEvents", "otherData"}
    events = defaultdict(list)
    needed = {
        "M": {"args"},
        "X": {"dur"},
        "C": {"args"},
        "s": {"id", "cat", "args"},
        "f": {"id", "cat", "bp", "args"},
    }
    for event in trace["traceEvents"]:
        keys = {"ph", "pid", "tid", "ts", "name"} | needed[event["ph"]]
        assert keys - {"args"} <= event.keys() - {"args"} <= keys
        assert all(type(event[key]) is int for key in keys & {"pid", "tid", "ts", "dur", "id"})
        assert event["ts"] >= 0
        assert event["name"]
        assert "args" not in event or list(event)[-1] == "args"
        assert not any(isinstance(value, list) for value in event.get("args", {}).values())
        events[event["ph"]].append(event)
    return events, trace["otherData"]


def check(recording):
    """Read the trace of a recording, and check what viewers rely on."""
    events, about = read(perfetto.trace(recording))
    named = {event["tid"]: event["args"] for event in events["M"] if event["name"] == "thread_name"}
    assert len(named) == len(recording.threads) + 1
    slices = defaultdict(list)
    for event in events["X"]:
        assert event["tid"] in named
        assert event["dur"] > 0
        assert event["pid"] == recording.facts.process
        slices[event["tid"]].append((event["ts"], event["ts"] + event["dur"], event))
    for track in slices.values():
        for (_, end, _), (start, _, _) in itertools.pairwise(track):
            assert end <= start
    check_arrows(events, slices)
    check_counter(events["C"], [track for tid, track in slices.items() if tid != GIL])
    check_gil(slices, named)
    return events, about


GIL = perfetto.GIL_TRACK


def within(slices, event):
    return [one for start, end, one in slices[event["tid"]] if start <= event["ts"] < end]


def check_arrows(events, slices):
    assert [event["id"] for event in events["s"]] == [event["id"] for event in events["f"]]
    assert len({event["id"] for event in events["s"]}) == len(events["s"])
    for begin, end in zip(events["s"], events["f"], strict=True):
        assert begin["ts"] <= end["ts"]
        assert (begin["name"], begin["cat"]) == (end["name"], end["cat"])
        (waiter,), (holder,) = within(slices, begin), within(slices, end)
        assert waiter["name"] == "waiting" or waiter["args"]["waiting"] > 0
        assert holder["name"] == "held" or holder["args"]["held"] > 0
        assert end["args"]["tid"] == end["tid"]
        assert "holder 1" in waiter["args"]


def check_counter(counts, tracks):
    """Compare the counter with the slices, in the middle between two changes."""
    times = [event["ts"] for event in counts]
    assert times == sorted(set(times))
    edges = {edge for track in tracks for start, end, _ in track for edge in (start, end)}
    grid = sorted(edges | set(times))
    for begin, end in itertools.pairwise(grid):
        middle = (begin + end) / 2
        waiting = sum(
            1 if one["name"] == "waiting" else one.get("args", {}).get("waiting", 0)
            for track in tracks
            for start, stop, one in track
            if start < middle < stop and one["name"] in {"waiting", "mixed"}
        )
        shown = [event for event in counts if event["ts"] < middle]
        (value,) = shown[-1]["args"].values() if shown else [0]
        assert value == pytest.approx(waiting, abs=2e-3)


def check_gil(slices, named):
    """Compare the GIL's track with those of threads.

    The holder it names holds the GIL in its own track, and it has no gap while any thread does.
    """
    holds = [
        (start, end, named[tid]["name"])
        for tid, track in slices.items()
        for start, end, one in track
        if tid != GIL and one["name"] == "held"
    ]
    for start, end, one in slices[GIL]:
        if one["name"] != "mixed":
            assert any(a <= start and end <= b and one["name"] == who for a, b, who in holds)
    for start, end, _ in holds:
        covered = sum(
            min(end, b) - max(start, a) for a, b, _ in slices[GIL] if min(end, b) > max(start, a)
        )
        assert covered == end - start


@pytest.mark.parametrize("case", made_up.CASES)
def test_traces_of_recordings_made_by_hand_follow_the_format(case):
    recording = made_up.CASES[case]
    events, _ = check(recording)
    arrows = {"two of one name": 3, "no names": 1, "hostile names": 1, "joined": 2}
    arrows["a number given out twice"] = 2
    assert len(events["s"]) == arrows.get(case, 0)


def test_each_thread_has_its_slices_by_its_own_number():
    events, _ = check(made_up.CASES["two of one name"])
    states = [(one["tid"], one["name"], one["ts"], one["dur"]) for one in events["X"]]
    assert states[:3] == [
        (100, "held", 0, 10_000),
        (100, "waiting", 10_000, 20_000),
        (100, "held", 30_000, 10_000),
    ]
    first = events["s"][0], events["f"][0]
    assert [(one["tid"], one["ts"]) for one in first] == [(100, 10_000), (101, 10_000)]
    where = {"function": "someone", "file": "/srv/someone.py", "line": 41, "in_c": True}
    assert first[0]["args"] == {"thread": "worker", "tid": 101, "ms": 10.0} | where


def test_a_joined_slice_has_the_shares_of_its_states():
    events, about = check(made_up.CASES["joined"])
    mixed = [one for one in events["X"] if one["name"] == "mixed" and one["tid"] != GIL]
    assert {key: mixed[0]["args"][key] for key in made_up.MIX} == pytest.approx(
        made_up.MIX, abs=1e-3
    )
    assert "less than 1 ms" in about["joined"]
    assert "joined" not in check(made_up.CASES["unread"])[1]


def test_the_track_of_the_gil_names_the_latest_holder():
    events, _ = check(made_up.CASES["interpreters with a GIL each"])
    track = [(one["name"], one["ts"], one["dur"]) for one in events["X"] if one["tid"] == GIL]
    assert track == [("main", 0, 10_000), ("other", 10_000, 10_000), ("main", 20_000, 20_000)]


@pytest.mark.parametrize("case", made_up.CASES)
def test_a_compressed_trace_is_the_same_each_time(case, tmp_path):
    recording = made_up.CASES[case]
    paths = [tmp_path / "a.trace.json.gz", tmp_path / "b.trace.json.gz", tmp_path / "c.trace.json"]
    for path in paths:
        recording.save(path)
    first, second, plain = [path.read_bytes() for path in paths]
    assert first == second
    assert first[4:8] == bytes(4)  # gzip's time stamp
    assert gzip.decompress(first) == plain


def test_a_long_recording_is_joined_until_it_has_few_slices(monkeypatch):
    monkeypatch.setattr(perfetto, "MOST_SLICES", 50)
    short = [(0.001, STATES[number % 4]) for number in range(500)]
    recording = made_up.recording(("a", 0, [*short, (0.2, "held")]), ("b", 0, short))
    events, about = check(recording)
    own = [one for one in events["X"] if one["tid"] != GIL]
    assert 2 < len(own) <= 50
    assert own[-1]["ts"] + own[-1]["dur"] == 500_000
    assert "joined" in about
    assert any(one["name"] == "held" and one["dur"] >= 200_000 for one in own)
    lanes, coarse = recording.timeline.lanes, recording.timeline.coarser(50).lanes
    for lane, other in zip(lanes, coarse, strict=True):
        assert np.diff(other.edges) @ other.shares == pytest.approx(
            np.diff(lane.edges) @ lane.shares
        )


def test_threads_with_the_same_native_id_do_not_share_a_track():
    assert traces.numbers_of(made_up.CASES["a number given out twice"]) == [7, GIL + 1, GIL + 2]


@needs.recorder
@needs.gil
@pytest.mark.thread_unsafe(reason="only one recording of a process can run at a time")
@pytest.mark.parametrize("make", [planted.hog_victim_cruncher, planted.many_waiters])
def test_a_program_whose_holds_are_known(make, tmp_path):
    with gilfree.record() as recording:
        make(0.4).run()
    events, _ = check(recording)
    names = {event["args"].get("name"): event["tid"] for event in events["M"]}
    lines = planted.lines_of_holds()
    to_hog = [event for event in events["f"] if event["tid"] == names["hog"]]
    assert any(event["args"].get("line") in lines for event in to_hog)
    assert len(to_hog) > len(events["s"]) / 2
    ids = {thread.name: thread.native_id for thread in recording.threads}
    assert all(names[name] == ids[name] for name in ("hog", "MainThread"))
    recording.save(tmp_path / "found.trace.json.gz")
    content = gzip.decompress((tmp_path / "found.trace.json.gz").read_bytes())
    assert content == perfetto.trace(recording)


@needs.recorder
def test_a_report_imports_no_numpy(run_script):
    run_script("""
        import sys, time, gilfree
        with gilfree.record() as recording:
            time.sleep(0.02)
        str(recording), recording.save("found.json")
        assert "numpy" not in sys.modules
        recording.save("found.trace.json")
    """)


def test_json_has_no_index_of_threads():
    recording = made_up.CASES["two of one name"]
    assert isinstance(recording, Recording)
    (first, *_) = recording.to_dict()["stalls"]
    assert list(first) == ["waiter", "start", "seconds", "holders"]
    keys = ["thread", "seconds", "file", "line", "function", "in_c"]
    assert [list(holder) for holder in first["holders"]] == [keys]
