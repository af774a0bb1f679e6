"""Rows of the demo's steps with figures that tests choose, expected and unexpected ones."""

from __future__ import annotations

import numpy as np

from gilfree.demo.bytecode import OnThreads
from gilfree.demo.counter import Count
from gilfree.demo.kernels import NAMES, Compared, Recorded
from gilfree.demo.libraries import Probed
from gilfree.demo.processes import Start, Work
from gilfree.demo.timing import Medians
from gilfree.demo.waiting import Answers
from gilfree.demo.without_gil import Switched
from gilfree.gil.facts import Facts, Slices, ThreadTimes
from gilfree.gil.report import GilReport
from gilfree.measure.compare import Comparison, Timing
from gilfree.recording.recording import Recording
from gilfree.recording.timeline import SLICE, STATES, WHOLE


def figures(seconds, speedup, **others):
    figures = {"seconds": seconds, "seconds_low": 0.9 * seconds, "seconds_high": 1.1 * seconds}
    figures |= {"speedup": speedup}
    figures |= {"speedup_low": 0.95 * speedup, "speedup_high": 1.05 * speedup}
    return {**figures, **others}


def medians(seconds, speedup, **others):
    return Medians(base=seconds * speedup, **figures(seconds, speedup, **others))


def on_threads(workers, times):
    return OnThreads(workers=workers, times=times)


def bytecode(*speedups):
    return [on_threads(n, medians(0.1, speedup)) for n, speedup in enumerate(speedups, 1)]


def counter(held=0, released=30, private=2.0):
    lost = {"held": held, "released": released, "private": 0}
    speedups = {"held": 1.0, "released": 0.5, "private": private}
    return [
        Count(way=way, workers=2, updates=1000, lost=lost[way], times=medians(0.1, speedups[way]))
        for way in lost
    ]


def waiting(speedup):
    return [
        Answers(threads=n, requests=8, delay=0.1, times=medians(0.8 / s, s))
        for n, s in ((1, 1.0), (8, speedup))
    ]


def start(seconds=0.31):
    return Start(workers=2, start=seconds)


def work(times, sent=9):
    return Work(work="polyval", workers=2, sent=sent, times=times)


def processes(*works):
    return [start(), *(work(medians(0.1, speedup), sent) for sent, speedup in works)]


def kernel(held, released, limit, workers=2, seconds=0.1, held_share=1.0, recorded=""):
    modes = {"bytecode": 1.0, "held": held, "released": released, "executor": 0.1, "limit": limit}
    timings = [
        Timing(mode=mode, workers=n, **figures(seconds, speedup if n > 1 else 1.0))
        for mode, speedup in modes.items()
        for n in range(1, workers + 1)
    ]
    comparison = Comparison("mandelbrot", 3, {"cpus": 2}, tuple(timings))
    shares = {"held_share": held_share, "released_share": 0.004}
    return Compared(comparison=comparison, recorded=recorded, **shares)


def recording_of(threads):
    """Make a recording from (name, slices) of each thread, where a slice is (state, seconds)."""
    found, times = [], []
    for number, (name, slices) in enumerate(threads):
        sums, start = dict.fromkeys(STATES, 0.0), 0.0
        for state, length in slices:
            share = tuple(WHOLE * (state == each) for each in STATES)
            found.append((round(start * 1e9), round(length * 1e9), number, share))
            start += length
            sums[state] += length
        sums.pop("unread")
        longest = {"longest_hold": 0.0, "longest_wait": 0.0, "acquired": 1}
        times.append(ThreadTimes(name=name, native_id=number, seconds=start, **sums, **longest))
    slices = Slices(np.array(found, SLICE).tobytes(), 0, tuple(range(len(threads))), 0.0)
    seconds = max(each.seconds for each in times)
    return Recording(Facts(seconds, tuple(times), (), slices=slices))


def recording_of_a_kernel():
    """Return the recordings of a kernel: with the GIL held in alternation, and with it released."""
    turns = [("held", 0.3), ("waiting", 0.3)]
    held = recording_of(list(zip(NAMES, (turns, turns[::-1]), strict=True)))
    released = recording_of([(name, [("running", 0.3)]) for name in NAMES])
    return Recorded("mandelbrot", held, released)


def library(name, held, speedup=1.9, limit=1.95):
    report = GilReport(
        name="f",
        gil_enabled=True,
        seconds=0.1,
        calls=10,
        held=held,
        uncertainty=0.005,
        longest_hold=1e-3,
        samples=1000,
        largest_gap=1e-5,
        result=None,
        longest_stall=1e-4,
        cpu=1.0,
        workers=2,
        speedup=speedup,
        limit=limit,
    )
    return Probed(library=name, call="f", statement="f()", report=report, error=None)


def broken_library(name, error):
    return Probed(library=name, call="f", statement="f()", report=None, error=error)


def without_gil(gil, bytecode, held, lost):
    return Switched(gil=gil, workers=2, bytecode=bytecode, held=held, updates=1000, lost=lost)
