"""Profiles of recordings, read by the types of the Firefox Profiler's processed format."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict

import made_up
import needs
import planted
import pytest

import gilfree
from gilfree.recording import firefox

NUMBER = (int, float)
META = {
    "interval": NUMBER,
    "startTime": NUMBER,
    "processType": int,
    "product": str,
    "stackwalk": int,
    "version": int,
    "preprocessedProfileVersion": int,
    "markerSchema": list,
    "categories": list,
}
THREAD = {
    "processType": str,
    "processStartupTime": NUMBER,
    "processShutdownTime": (*NUMBER, type(None)),
    "registerTime": NUMBER,
    "unregisterTime": (*NUMBER, type(None)),
    "pausedRanges": list,
    "name": str,
    "isMainThread": bool,
    "pid": str,
    "tid": int,
    "samples": dict,
    "markers": dict,
}
SHARED = {
    "stackTable": {"frame", "prefix"},
    "frameTable": {
        *("address", "inlineDepth", "category", "subcategory", "func", "nativeSymbol"),
        *("innerWindowID", "line", "column"),
    },
    "funcTable": {
        *("name", "isJS", "relevantForJS", "resource", "source", "lineNumber", "columnNumber"),
    },
    "resourceTable": {"lib", "name", "host", "type"},
    "nativeSymbols": {"libIndex", "address", "name", "functionSize"},
    "sources": {"id", "filename"},
}
COLORS = {"grey", "green", "purple"}
FORMATS = {"string": str, "tid": int, "milliseconds": NUMBER, "integer": int, "file-path": str}
FORMATS |= {"percentage": NUMBER}


def check(recording):
    """Read the profile of a recording, and check what the format and its viewer require."""
    profile = json.loads(firefox.profile(recording), parse_constant=pytest.fail)
    assert profile.keys() == {"meta", "libs", "threads", "shared"}
    meta, shared = profile["meta"], profile["shared"]
    for key, kind in META.items():
        assert isinstance(meta[key], kind), key
    assert all(0 <= index < len(profile["threads"]) for index in meta["initialVisibleThreads"])
    assert any(category["color"] == "grey" for category in meta["categories"])
    for category in meta["categories"]:
        assert category["color"] in COLORS
        assert category["subcategories"][0] == "Other"
    schemas = {schema["name"]: schema for schema in meta["markerSchema"]}
    assert len(schemas) == len(meta["markerSchema"])
    for schema in schemas.values():
        assert {field["format"] for field in schema["fields"]} <= FORMATS.keys()
        assert all(field["key"] for field in schema["fields"])
    assert shared.keys() == SHARED.keys() | {"stringArray"}
    for name, columns in SHARED.items():
        assert shared[name] == {column: [] for column in columns} | {"length": 0}
    assert len(profile["threads"]) == len(recording.threads)
    assert sum(thread["isMainThread"] for thread in profile["threads"]) <= 1
    assert len({thread["tid"] for thread in profile["threads"]}) == len(profile["threads"])
    for thread in profile["threads"]:
        for key, kind in THREAD.items():
            assert isinstance(thread[key], kind), key
        assert thread["samples"]["length"] == len(thread["samples"]["stack"]) == 0
        check_markers(thread, schemas, shared["stringArray"], len(meta["categories"]))
    return profile


def check_markers(thread, schemas, strings, categories):
    markers = thread["markers"]
    columns = {"data", "name", "startTime", "endTime", "phase", "category"}
    assert markers.keys() == columns | {"length"}
    assert {len(markers[column]) for column in columns} == {markers["length"]}
    assert markers["startTime"] == sorted(markers["startTime"])
    spans = defaultdict(list)
    for data, name, start, end, phase, category in zip(
        *(markers[key] for key in ("data", "name", "startTime", "endTime", "phase", "category")),
        strict=True,
    ):
        assert 0 <= name < len(strings)
        assert 0 <= category < categories
        assert phase == 1  # an interval
        assert start < end
        assert thread["registerTime"] - 1e-3 <= start
        assert end <= thread["unregisterTime"] + 1e-3
        assert data["type"] == strings[name].replace(" ", "")
        for field in schemas[data["type"]]["fields"]:
            if field["key"] in data:
                assert isinstance(data[field["key"]], FORMATS[field["format"]])
        spans[strings[name]].append((start, end))
    for name, track in spans.items():
        for (_, end), (start, _) in itertools.pairwise(track):
            assert end <= start, name
    states = sorted(span for name in STATES for span in spans[name])
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(states))
    without = [span for name in STATES[1:4] for span in spans[name]]
    total = sum(end - start for start, end in without)
    assert sum(end - start for start, end in spans["No GIL"]) == pytest.approx(total)


STATES = "Has GIL", "Waiting for GIL", "On CPU", "Off CPU", "Mixed"


@pytest.mark.parametrize("case", made_up.CASES)
def test_profiles_of_recordings_made_by_hand_follow_the_format(case):
    profile = check(made_up.CASES[case])
    types = [data["type"] for thread in profile["threads"] for data in thread["markers"]["data"]]
    known = sum(stall.index is not None for stall in made_up.CASES[case].stalls)
    assert types.count("Stall") == known


def markers_of(thread, profile):
    table, strings = thread["markers"], profile["shared"]["stringArray"]
    rows = zip(table["name"], table["startTime"], table["endTime"], table["data"], strict=True)
    return [(strings[name], start, end, data) for name, start, end, data in rows]


def test_markers_have_the_names_that_cpython_gives_them():
    recording = made_up.recording(
        ("a", 0, [(0.01, "held"), (0.02, "running"), (0.03, "blocked"), (0.01, "waiting")])
    )
    profile = check(recording)
    found = [marker[:3] for marker in markers_of(profile["threads"][0], profile)]
    assert sorted(found) == [
        ("Has GIL", 0, 10),
        ("No GIL", 10, 70),
        ("Off CPU", 30, 60),
        ("On CPU", 10, 30),
        ("Waiting for GIL", 60, 70),
    ]
    data = profile["threads"][0]["markers"]["data"][0]
    assert data == {"type": "HasGIL", "duration": 10, "tid": 100}


def test_a_stall_names_its_holder_and_the_line():
    profile = check(made_up.CASES["two of one name"])
    (stall,) = (one for one in markers_of(profile["threads"][0], profile) if one[0] == "Stall")
    assert stall[1:3] == (10, 30)
    where = {"function": "someone", "file": "/srv/someone.py", "line": 41, "in_c": "one C call"}
    assert stall[3] == {"type": "Stall", "thread": "worker", "tid": 101, "ms": 10.0} | where


def test_the_profile_says_which_slices_were_joined():
    about = check(made_up.CASES["joined"])["meta"]["extra"][0]["entries"]
    assert any("less than 1 ms" in entry["value"] for entry in about)


def test_a_long_recording_is_joined_until_it_has_few_slices(monkeypatch):
    monkeypatch.setattr(firefox, "MOST_SLICES", 50)
    short = [(0.001, ("held", "blocked")[number % 2]) for number in range(500)]
    profile = check(made_up.recording(("a", 0, short)))
    assert 2 < profile["threads"][0]["markers"]["length"] <= 50


@needs.recorder
@needs.gil
@pytest.mark.thread_unsafe(reason="only one recording of a process can run at a time")
@pytest.mark.parametrize("make", [planted.hog_victim_cruncher, planted.many_waiters])
def test_a_program_whose_holds_are_known(make, tmp_path):
    with gilfree.record() as recording:
        make(0.4).run()
    profile = check(recording)
    recording.save(tmp_path / "found.firefox.json")
    assert json.loads((tmp_path / "found.firefox.json").read_text("utf-8")) == profile
    lines = planted.lines_of_holds()
    stalls = [
        data
        for thread in profile["threads"]
        for name, _, _, data in markers_of(thread, profile)
        if name == "Stall" and thread["name"].startswith("victim")
    ]
    assert any(data["thread"] == "hog" and data["line"] in lines for data in stalls)
    (main,) = (thread for thread in profile["threads"] if thread["isMainThread"])
    assert main["name"] == "MainThread"
    assert str(main["tid"]) == main["pid"]
