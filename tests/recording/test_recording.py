"""What a recording says about its figures: verdict, sentence, report."""

from __future__ import annotations

import dataclasses

import pytest

from gilfree.gil.facts import Facts, Holder, Stall, ThreadTimes
from gilfree.recording.recording import Recording
from gilfree.recording.verdict import RecordingVerdict

STATES = ("held", "waiting", "running", "blocked")


def times(name, waiting, seconds=10.0, **others):
    figures = dict.fromkeys(STATES, 0.0) | {"longest_hold": 0.0, "longest_wait": 0.0}
    blocked = seconds - (waiting or 0.0)
    figures |= {"name": name, "native_id": 7, "seconds": seconds, "waiting": waiting}
    return ThreadTimes(**(figures | {"blocked": blocked, "acquired": 1} | others))


def times_without_gil(name, suspended):
    """Return the times of a thread as a Python without a GIL has them."""
    none = dict.fromkeys(["held", "longest_hold", "longest_wait"])
    figures = {
        "attached": 10.0 - (suspended or 0.0),
        "longest_attached": 1.0,
        "longest_suspended": 0.5,
    }
    return times(name, None, blocked=0.0, suspended=suspended, **figures, **none)


def without_gil(suspended, *stalls, **others):
    threads = (times_without_gil("MainThread", suspended),)
    return Facts(10.0, threads, stalls, gil=False, **others)


HOLDER = Holder("worker", 2.0, "/srv/app.py", 41, "parse", in_c=True)


@pytest.mark.parametrize(
    ("facts", "verdict", "sentence"),
    [
        (Facts(0.0, (), ()), "nothing_recorded", "nothing was recorded in this process"),
        (
            Facts(10.0, (times("MainThread", 3.0),), (), missed=4.0),
            "inconclusive",
            "inconclusive: the recorder got no CPU for 4 s of 10 s",
        ),
        (
            Facts(10.0, (times("MainThread", 0.01),), ()),
            "no_wait",
            "hardly any thread waited for the GIL: MainThread longest, for under 1% of its time",
        ),
        (
            Facts(10.0, (times("MainThread", 0.05), *[times("short", 0.01, 0.02)] * 100), ()),
            "waited",
            "MainThread waited for the GIL for 50 ms of 10 s",
        ),
        (
            Facts(10.0, (times("MainThread", 0.05), *[times("idle", 0.01)] * 100), ()),
            "no_wait",
            "hardly any thread waited for the GIL: MainThread longest, for under 1% of its time",
        ),
        (
            Facts(10.0, (times("MainThread", 0.0),), ()),
            "no_wait",
            "no thread was seen to wait for the GIL",
        ),
        (
            Facts(10.0, (times("MainThread", 3.0),), ()),
            "waited",
            "MainThread waited for the GIL for 3 s of 10 s",
        ),
        (
            Facts(10.0, (times("MainThread", 3.0),), (Stall("MainThread", 1.0, 2.0, (HOLDER,)),)),
            "waited_for_c",
            "MainThread waited for the GIL for 3 s of 10 s, for the most part while worker was in "
            "parse (app.py:41)",
        ),
        (
            Facts(
                10.0,
                (times(None, 5.0),),
                (Stall(None, 1.0, 2.0, (Holder(None, 2.0, None, None, None, in_c=False),)),),
            ),
            "waited_for_bytecode",
            "thread 7 waited for the GIL for 5 s of 10 s, most often while a thread without a name "
            "held it",
        ),
        (
            without_gil(0.0),
            "no_gil",
            "this Python has no GIL, and no thread was seen to be suspended",
        ),
        (
            without_gil(3.0, Stall("MainThread", 1.0, 2.0, (HOLDER,))),
            "no_gil",
            "this Python has no GIL: MainThread was suspended for 3 s of 10 s, while the world was "
            "stopped, for the most part while worker was in parse (app.py:41)",
        ),
        (
            without_gil(None),
            "inconclusive",
            "inconclusive: this system does not report which threads are suspended",
        ),
    ],
)
def test_the_verdict_and_its_sentence(facts, verdict, sentence):
    recording = Recording(facts)
    assert recording.verdict is RecordingVerdict(verdict)
    assert recording.sentence == sentence
    assert sentence.split()[0] in str(recording)


def test_the_report_says_what_was_not_seen():
    facts = Facts(10.0, (times("MainThread", 3.0),), (), missed=0.5, largest_gap=0.2)
    text = str(Recording(dataclasses.replace(facts, unseen_threads=1, dropped_stalls=2)))
    assert "not seen: 500 ms in gaps of up to 200 ms between two samples; 1 thread that" in text
    assert "2 stalls" in text
    assert "not seen" not in str(Recording(dataclasses.replace(facts, missed=0.0)))


def test_without_a_gil_the_report_has_other_words():
    facts = without_gil(3.0, Stall("MainThread", 1.0, 2.0, ()), stopped=3.5, longest_stop=2.0)
    recording = Recording(facts)
    text = str(recording)
    assert "suspended attached  running  blocked" in text
    assert "the world was stopped, or about to be, for 3.5 s in all, 2 s at a stretch" in text
    assert "MainThread, at 1.000 s: not known who stopped the world" in text
    for word in "held", "wait", "not seen":
        assert word not in text
    saved = recording.to_dict()
    assert (saved["stopped"], saved["longest_stop"]) == (3.5, 2.0)
    assert saved["threads"][0]["suspended"] == 3.0
    assert saved["threads"][0]["held"] is saved["threads"][0]["waiting"] is None
    assert "switched the GIL on" in str(Recording(dataclasses.replace(facts, gil_came=True)))


def test_a_long_name_without_spaces_is_cut_and_not_left_out():
    facts = Facts(10.0, (times("IPythonHistorySavingThread", 3.0),), ())
    assert "\nIPythonHistorySavingTh…  " in str(Recording(facts))


def test_the_stalls_of_another_thread_of_the_same_name_do_not_count():
    other = dataclasses.replace(HOLDER, function="other")
    stalls = Stall("pool", 0.0, 2.0, (other,), index=1), Stall("pool", 3.0, 1.0, (HOLDER,), index=0)
    found = Recording(Facts(10.0, (times("pool", 3.0), times("pool", 2.0)), stalls))
    assert found.sentence.endswith("while worker was in parse (app.py:41)")
