"""Recordings made by hand, from slices that the tests choose."""

from __future__ import annotations

import numpy as np

from gilfree.gil.facts import Facts, Holder, Slices, Stall, ThreadTimes
from gilfree.recording.recording import Recording
from gilfree.recording.timeline import SLICE, STATES, WHOLE

HOSTILE = '"\\\n\t\x00\x7f\ud800 </script> ünï \N{SNAKE}' + "x" * 5000


def recording(*lives, stalls=(), grain=0.0, ids=None):
    """Make a recording of threads.

    A life is a tuple of a thread's name, its start in seconds, and its slices. A slice is a tuple
    of its seconds, and a state or a dict of shares by state.
    """
    found, threads = [], []
    for number, (name, start, slices) in enumerate(lives):
        seconds = dict.fromkeys(STATES, 0.0)
        time = round(start * 1e9)
        for length, shares in slices:
            mix = shares if isinstance(shares, dict) else {shares: 1.0}
            ns = round(length * 1e9)
            found.append((time, ns, number, [round(mix.get(s, 0.0) * WHOLE) for s in STATES]))
            time += ns
            for state, share in mix.items():
                seconds[state] += length * share
        del seconds["unread"]
        native_id = 100 + number if ids is None else ids[number]
        rest = {"longest_hold": 0.0, "longest_wait": 0.0, "acquired": 1}
        total = time / 1e9 - start
        threads.append(ThreadTimes(name, native_id, total, **seconds, **rest))
    found.sort(key=lambda one: one[0] + one[1])
    slices = Slices(np.array(found, SLICE).tobytes(), 0, tuple(range(len(lives))), grain)
    end = max((one[0] + one[1] for one in found), default=0) / 1e9
    facts = Facts(end, tuple(threads), stalls, slices=slices, process=100, started=1.7e9)
    return Recording(facts)


def stall(waiter, start, seconds, *holders, name="someone"):
    """Make a stall, from the index of the thread that waits and the indices of the holders."""
    made = (
        Holder(name, seconds / 2, f"/srv/{name}.py", 41, name, in_c=True, index=index)
        for index in holders
    )
    return Stall(name, start, seconds, tuple(made), waiter)


MIX = {"held": 0.25, "waiting": 0.5, "running": 0.125, "blocked": 0.125}
CASES = {
    "nothing": recording(),
    "a thread without slices": recording(("main", 0, [])),
    "two of one name": recording(
        ("worker", 0, [(0.01, "held"), (0.02, "waiting"), (0.01, "held")]),
        ("worker", 0, [(0.01, "waiting"), (0.02, "held"), (0.01, "waiting")]),
        stalls=(stall(0, 0.01, 0.02, 1), stall(1, 0.0, 0.01, 0), stall(1, 0.03, 0.01, 0)),
    ),
    "no names": recording(
        (None, 0, [(0.01, "held"), (0.01, "blocked")]),
        (None, 0.005, [(0.005, "waiting"), (0.01, "held")]),
        stalls=(stall(1, 0.005, 0.0025, 0, name=None), stall(1, 0.0075, 0.0025)),
    ),
    "hostile names": recording(
        (HOSTILE, 0, [(0.01, "held")]),
        ("", 0, [(0.01, "waiting")]),
        stalls=(stall(1, 0.0, 0.01, 0, name=HOSTILE),),
    ),
    "joined": recording(
        ("a", 0, [(0.01, "held"), (0.04, MIX), (0.01, "waiting"), (0.000_000_1, "running")]),
        ("b", 0, [(0.02, MIX), (0.03, "blocked"), (0.01, "held")]),
        ("c", 0, [(0.06, {"waiting": 0.99999, "held": 0.00001})]),
        stalls=(stall(0, 0.012, 0.004, 1), stall(0, 0.02, 0.002, 1), stall(0, 0.05, 0.01, 1)),
        grain=1e-3,
    ),
    "unread": recording(
        ("a", 0, [(0.01, "unread"), (0.01, "held"), (0.01, "blocked"), (0.01, "unread")]),
        ("b", 0, [(0.04, "unread")]),
    ),
    "a number given out twice": recording(
        ("first", 0, [(0.01, "held")]),
        ("second", 0.005, [(0.005, "waiting"), (0.01, "held")]),
        ("third", 0.005, [(0.01, "waiting")]),
        ids=(7, 7, 7),
        stalls=(stall(1, 0.005, 0.005, 0), stall(2, 0.005, 0.01, 1)),
    ),
    "interpreters with a GIL each": recording(
        ("main", 0, [(0.04, "held")]),
        ("other", 0.01, [(0.01, "held"), (0.01, "running")]),
    ),
    "facts that name no index": recording(
        ("a", 0, [(0.01, "waiting")]), stalls=(stall(None, 0.0, 0.01, None),)
    ),
}
