"""The errors of a recording, whether it finds every stall, and its cost for the program.

    pytest benchmarks/test_recorder.py

The truth comes from ctypes (``tests/planted.py``): threads hold the GIL in C, wait for it, compute
without it, or sleep, and note when they began to wait. The errors are of shares of a thread's
lifetime, and of the longest hold and wait in milliseconds: medians of five runs.

Other tools sample the same program from outside, interleaved with ``gilfree run``. Their figure is
the number of samples of a thread times the sampling period. A tool may change how the program runs,
so the true share of each tool's runs stands beside it.

The cost compares the same work with and without a recording, interleaved.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import needs
import numpy as np
import planted
import pytest

import gilfree

pytestmark = needs.recorder

STATES = ("held", "waiting", "running", "blocked")
PROGRAMS = {
    **{
        f"{hold * 1e3:g} ms held, 1 wants": functools.partial(
            planted.hog_victim_cruncher, hold=hold
        )
        for hold in (2e-3, 8e-3, 20e-3, 50e-3)
    },
    "20 ms held, 6 want": planted.many_waiters,
    "2 ms held, 6 want": functools.partial(planted.many_waiters, hold=2e-3),
}


def recorded(make, seconds):
    with gilfree.record() as recording:
        begin = time.monotonic()
        truth = make(seconds).run()
    return recording, truth, begin


def errors_of(recording, truth):
    """Yield the error of each figure, for each thread whose truth is known."""
    found = {thread.name: thread for thread in recording.threads}
    for name, true in truth.items():
        seen = found[name]
        for state in STATES:
            share = getattr(true, state) / true.seconds
            yield (name, state), getattr(seen, state) / seen.seconds - share
        if true.waits:
            yield (name, "longest wait"), 1e3 * (seen.longest_wait - true.longest_wait)
        if true.longest_hold:
            yield (name, "longest hold"), 1e3 * (seen.longest_hold - true.longest_hold)


def stalls_found(recording, truth, begin, least=2e-3):
    """Return the numbers of waits, of those found, and of those found with the right line."""
    lines = planted.lines_of_holds()
    there = found = right = 0
    for name, true in truth.items():
        stalls = [stall for stall in recording.stalls if stall.waiter == name]
        for start, end in true.waits:
            if end - start < least:
                continue
            there += 1
            over = [
                stall
                for stall in stalls
                if begin + stall.start < end and begin + stall.start + stall.seconds > start
            ]
            found += bool(over)
            firsts = [stall.holders[0] for stall in over if stall.holders]
            right += any(each.thread == "hog" and each.line in lines for each in firsts)
    return there, found, right


@pytest.mark.parametrize("name", PROGRAMS)
def test_error(benchmark, tables, name):
    runs, counts, gaps, cpu = [], [], [], []

    def run():
        recording, truth, begin = recorded(PROGRAMS[name], 0.2 if benchmark.disabled else 2.0)
        runs.append(dict(errors_of(recording, truth)))
        counts.append(stalls_found(recording, truth, begin))
        gaps.append(recording.facts.largest_gap)
        cpu.append(recording.facts.looks / recording.seconds)

    benchmark.pedantic(run, rounds=5)
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    headings = "thread", *STATES, "longest wait ms", "longest hold ms"
    _, rows = tables.setdefault(f"errors, {name}", (headings, []))
    for thread in dict.fromkeys(thread for thread, _ in medians):
        cells = [f"{medians[thread, state]:+.4f}" for state in STATES]
        for kind in "longest wait", "longest hold":
            error = medians.get((thread, kind))
            cells.append("" if error is None else f"{error:+.2f}")
        rows.append((thread, *cells))
    headings = "program", "stalls", "found", "line", "samples/s", "gap ms"
    _, rows = tables.setdefault("stalls of 2 ms or more", (headings, []))
    sums = [str(sum(column)) for column in zip(*counts, strict=True)]
    gap = f"{1e3 * statistics.median(gaps):.1f}"
    rows.append((name, *sums, f"{statistics.median(cpu):.0f}", gap))


# The program with holds of 8 ms. It writes each thread's native id, hold time and lifetime.
SCRIPT = """
import json, sys, time
sys.path.append(sys.argv[1])
import planted
seconds = float(sys.argv[2])
time.sleep(seconds)  # a tool that fell behind during the imports can catch up now
truth = (program := planted.hog_victim_cruncher(seconds, hold=8e-3)).run()
found = {t.name: (t.native_id, truth[t.name].held, truth[t.name].seconds) for t in program.threads}
json.dump(found, open("truth.json", "w"))
"""
RATE = 1000  # samples per second of the other tools
PY_SPY = shutil.which("py-spy", path=sysconfig.get_path("scripts")) or shutil.which("py-spy")
SAMPLING = f"-m profiling.sampling run -a --mode gil --collapsed -r {RATE} -o held.json"
SPYING = f"record --gil -t -r {RATE} -f raw -o held.json --"
# tool -> (why it can't run, or an empty string; its command)
TOOLS = {
    "gilfree": ("", [sys.executable, "-m", "gilfree", "run", "-o", "held.json"]),
    "py-spy": ("" if PY_SPY else "not installed", [PY_SPY, *SPYING.split(), sys.executable]),
    "profiling": (
        "" if sys.version_info >= (3, 15) else "needs Python 3.15",
        [sys.executable, *SAMPLING.split()],
    ),
}


def held_of(output):
    """Return how long each thread held the GIL, by its native id, from the output of a tool."""
    if output.startswith("{"):
        return Counter({each["native_id"]: each["held"] for each in json.loads(output)["threads"]})
    held = Counter()
    # Lines of py-spy begin with "thread (17)", those of profiling with "tid:17". Both end with a
    # count.
    for thread, count in re.findall(r"^(?:thread \(|tid:)(\d+)\b.* (\d+)$", output, re.MULTILINE):
        held[int(thread)] += int(count) / RATE
    return held


def held_shares(tool, seconds):
    """Return {thread: (the tool's share, the true share)}, or a short reason why there is none."""
    missing, command = TOOLS[tool]
    if missing:
        return missing
    command = [*command, "script.py", str(Path(planted.__file__).parent), str(seconds)]
    with tempfile.TemporaryDirectory() as folder:
        script, truth, output = (Path(folder, n) for n in ("script.py", "truth.json", "held.json"))
        script.write_text(SCRIPT)
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:
            return "not done in 60 s"
        if done.returncode or not output.exists() or not truth.exists():
            lines = done.stderr.strip().splitlines() or ["failed"]
            said = next((line for line in lines if "Error" in line), lines[-1])
            return said.removeprefix("Error: ")[:19]  # the table has 80 columns
        held, threads = held_of(output.read_text()), json.loads(truth.read_text())
    if not any(held[native_id] for native_id, _, _ in threads.values()):
        return "saw no thread"
    return {name: (held[id_] / lived, true / lived) for name, (id_, true, lived) in threads.items()}


@needs.gil
def test_held_by_tools(benchmark, tables):
    runs = {tool: [] for tool in TOOLS}

    def run():
        for tool, found in runs.items():
            found.append(held_shares(tool, 0.2 if benchmark.disabled else 2.0))

    benchmark.pedantic(run, rounds=5)
    headings = "tool", "hog", "of", "victim", "of", "cruncher", "of", "runs"
    _, rows = tables.setdefault("errors of held by tool, 8 ms held, 1 wants", (headings, []))
    for tool, found in runs.items():
        shares = [each for each in found if isinstance(each, dict)]
        cells = [] if shares else [""] * 6
        for thread in ("hog", "victim", "cruncher") if shares else ():
            pairs = [each[thread] for each in shares]
            cells.append(f"{statistics.median(seen - true for seen, true in pairs):+.4f}")
            cells.append(f"{statistics.median(true for _, true in pairs):.3f}")
        rows.append((tool, *cells, f"{len(shares)} of {len(found)}" if shares else found[0]))


def bytecode(count=600_000):
    sum(i * i for i in range(count))


def numpy_sorts():
    for _ in range(5):
        np.sort(np.random.default_rng(1).random(600_000))


def fight():
    """Run eight threads that all want the GIL all the time."""
    threads = [threading.Thread(target=bytecode, args=[100_000]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def on_one_cpu():
    """Restrict this process, including the recorder's thread, to one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize("cpus", [contextlib.nullcontext, on_one_cpu], ids=["free", "none"])
@pytest.mark.parametrize("work", [bytecode, numpy_sorts, fight])
def test_cost(benchmark, tables, work, cpus):
    ratios = []

    def timed():
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def recorded():
        with gilfree.record():
            work()  # not timed: meanwhile the recorder measures what a sample costs
            return timed()

    def run():
        # In both orders, so that a drift affects both sides alike.
        without, once = timed(), recorded()
        again, without_again = recorded(), timed()
        ratios.append((once + again) / (without + without_again))

    with cpus():
        benchmark.pedantic(run, rounds=1 if benchmark.disabled else 41)
    # The ranks that bound the true median with 95% confidence are `off` from the middle.
    off = math.ceil(0.98 * math.sqrt(len(ratios)))
    ordered, middle = sorted(ratios), len(ratios) // 2
    bounds = ordered[max(middle - off, 0)], ordered[min(middle + off, len(ratios) - 1)]
    headings = "program", "a CPU is free", "cost, median", "at least", "at most"
    _, rows = tables.setdefault(
        "cost of a recording, with the median's bounds at 95%", (headings, [])
    )
    cells = [f"{ratio - 1:+.1%}" for ratio in (statistics.median(ratios), *bounds)]
    rows.append((work.__name__, "no" if cpus is on_one_cpu else "yes", *cells))
