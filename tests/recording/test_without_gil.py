"""Reports, pages and traces of a Python without a GIL say attached and suspended."""

from __future__ import annotations

import dataclasses
import json
import re

import made_up
import pytest

from gilfree.gil.recorder import WITHOUT_GIL
from gilfree.recording import firefox, page, perfetto
from gilfree.recording.recording import Recording


def without_gil(recording):
    """Return a recording as a Python without a GIL would have made it."""
    threads = [
        dataclasses.replace(
            thread,
            **{new: getattr(thread, old) for old, new in WITHOUT_GIL.items()},
            **dict.fromkeys(WITHOUT_GIL),
        )
        for thread in recording.threads
    ]
    return Recording(dataclasses.replace(recording.facts, threads=tuple(threads), gil=False))


CASES = {name: without_gil(case) for name, case in made_up.CASES.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_nothing_mentions_a_gil(case):
    events = json.loads(perfetto.trace(case))["traceEvents"]
    states = {event["name"] for event in events if event["ph"] == "X"}
    assert states <= {"attached", "suspended", "running", "blocked", "unread", "mixed"}
    profile = json.loads(firefox.profile(case))
    names = profile["shared"]["stringArray"]
    used = {names[name] for each in profile["threads"] for name in each["markers"]["name"]}
    assert used <= {"Attached", "Suspended", "On CPU", "Off CPU", "Mixed", "Stall"}
    drawn = re.sub(r"<(script|style)>.*?</\1>", "", page.page(case), flags=re.DOTALL)
    said = [json.dumps(events), str(case), drawn]
    for text in said:
        text = text.replace("this Python has no GIL", "").replace("switched the GIL", "")
        assert not re.search(r"\bGIL\b|\bheld\b(?!\")|wait(s|ed|ing) for the", text), text[:500]
