"""The speed of each kernel from 1 element to 10⁸, beside its compiled loop: a table and a plot.

    python benchmarks/plot_sizes.py docs/sizes.svg

Three calls are timed, interleaved: the public function on one worker, the public function on all
CPUs, and the compiled loop on one thread. The plot shows what the public function adds to small
work, from which size on more threads are faster, and the speedup on large work. It takes some
minutes and 2 GB of memory.
"""

from __future__ import annotations

import functools
import statistics
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from test_hand_out import KERNELS
from timing import interleaved, interleaved_bursts

import gilfree
from gilfree._system import environment, usable_cpus
from gilfree._words import environment_line
from gilfree.kernels.pool import MIN_SHARED_NS

POINTS = [1, 8, 64, 512, *(round(10 ** (n / 4)) for n in range(12, 33))]
ROUNDS = 7


def measure(kernel):
    """Return the median seconds of loop, one worker and all CPUs: a row for each size."""
    rows = []
    for size in POINTS:
        args, (loop,) = kernel(size, 1)
        public = getattr(gilfree, kernel.__name__)
        calls = [
            loop,
            functools.partial(public, *args, workers=1),
            functools.partial(public, *args),
        ]
        once = sum(times[0] for times in interleaved(calls, 1))
        rounds = interleaved_bursts(calls, ROUNDS if once < 1 else 3)
        rows.append([statistics.median(times) for times in rounds])
        if sys.stderr.isatty():
            print(f"\r{kernel.__name__} {size:,}  ", end="", file=sys.stderr)
    return np.array(rows)


def table(name, seconds):
    """Yield the lines of a kernel's table: the times of each size."""
    yield f"{name:<15} {'loop':>12} {'1 worker':>12} {'all CPUs':>12} {'more, 1':>9} {'speedup':>9}"
    for size, (loop, one, every) in zip(POINTS, seconds * 1e6, strict=True):
        more = f"{one - loop:.1f} µs" if one - loop < 100 else f"{one / loop - 1:.1%}"
        times = f"{loop:9.1f} µs {one:9.1f} µs {every:9.1f} µs"
        yield f"{size:>15,} {times} {more:>9} {loop / every:>8.2f}×"


def plot(results, path):
    """Draw the speedup over the compiled loop, with a panel for each kernel."""
    mpl.rcParams.update({"svg.hashsalt": "gilfree", "font.size": 9})
    figure, panels = plt.subplots(2, 3, figsize=(9, 5.2), sharex=True, sharey=True)
    for panel, (name, seconds) in zip(panels.flat, results.items(), strict=True):
        loop, one, every = seconds.T
        allowed = loop / np.maximum(loop * 1.05, loop + 5e-6)
        panel.fill_between(POINTS, allowed, 1, color="0.85", label="5% or 5 µs slower")
        panel.axhline(1, color="0.4", linewidth=0.8)
        panel.plot(POINTS, loop / one, "--", color="#d55e00", label="one worker")
        panel.plot(POINTS, loop / every, "o-", color="#0072b2", markersize=3, label="all CPUs")
        paying = next(
            (n for n, t in zip(POINTS, loop, strict=True) if t >= MIN_SHARED_NS * 1e-9), None
        )
        if paying:
            panel.axvline(
                paying,
                color="0.4",
                linewidth=0.8,
                linestyle=":",
                label=f"{MIN_SHARED_NS / 1e3:.0f} µs of work",
            )
        panel.set(title=name, xscale="log", ylim=(0, usable_cpus() * 1.1))
    for panel in panels[1]:
        panel.set_xlabel("elements")
    for panel in panels[:, 0]:
        panel.set_ylabel("times as fast as\nthe loop itself")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)


def main(path):
    plt.figure()  # raises before the measurement if a library is missing
    plt.close()
    print(f"{environment_line(environment())}, {gilfree.build_info()['isa_level']}\n")
    results = {}
    for kernel in KERNELS:
        results[kernel.__name__] = measure(kernel)
        print("\n".join(table(kernel.__name__, results[kernel.__name__])), "\n", flush=True)
    plot(results, path)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].endswith((".svg", ".png")):
        sys.exit("usage: python benchmarks/plot_sizes.py FILE.svg (or .png)")
    main(sys.argv[1])
