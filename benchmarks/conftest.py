"""What a measurement depends on, for every benchmark; and the tables at the end of a run."""

from __future__ import annotations

import math
import os
import time

import pytest
from rich.box import SIMPLE_HEAD
from rich.table import Table

from gilfree._system import environment
from gilfree._words import environment_line
from gilfree.show import terminal as report


def cpu_seconds():
    """Return the CPU seconds of the whole machine, and of this process with its children."""
    with open("/proc/stat") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = ticks
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy, sum(os.times()[:4])


@pytest.fixture(autouse=True)
def others():
    """Note how many CPUs other processes use during a benchmark, where the system tells."""
    if not os.path.exists("/proc/stat"):
        yield
        return
    (all_before, own_before), start = cpu_seconds(), time.perf_counter()
    yield
    all_after, own_after = cpu_seconds()
    OTHERS.append((all_after - all_before - (own_after - own_before), time.perf_counter() - start))


# (CPU seconds of other processes, seconds) of each benchmark
OTHERS: list[tuple[float, float]] = []


class Medians(dict[tuple[str, str, int], float]):
    """Median seconds of each (kernel, mode, workers), in the order of the run."""

    def speedup(self, kernel, mode, workers):
        """Return how many times as fast as one worker, or None if either was not measured."""
        base = "released" if mode == "processes" else mode
        one, many = self.get((kernel, base, 1)), self.get((kernel, mode, workers))
        return one / many if one and many else None


MEDIANS = Medians()


@pytest.fixture(scope="session")
def medians():
    return MEDIANS


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info):
    machine_info["gilfree"] = environment()


# title -> (headings, rows): printed when all is measured, a benchmark may add to them
TABLES: dict[str, tuple[tuple[str, ...], list[tuple[str, ...]]]] = {}


@pytest.fixture(scope="session")
def tables():
    return TABLES


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    if MEDIANS:
        ways = "bytecode", "processes", "held", "released"
        times = "kernel", "workers", *(f"{way} ms" for way in ways)
        TABLES["times; of bytecode, for a part of the work"] = (
            times,
            list(release_rows(ways, False)),
        )
        speedups = "kernel", "workers", *ways
        TABLES["speedups over one worker"] = speedups, list(release_rows(ways, True))
    if OTHERS:
        cpus = sum(used for used, _ in OTHERS) / sum(seconds for _, seconds in OTHERS)
        terminalreporter.section("was the machine quiet?")
        terminalreporter.write_line(
            f"Other processes used {max(cpus, 0):.2f} of {os.cpu_count()} CPUs meanwhile."
        )
    for title, (headings, rows) in TABLES.items():
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="right" if number else "left", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        console = report.console()
        with console.capture() as text:
            console.print(table)
        terminalreporter.section(title)
        terminalreporter.write_line(environment_line(environment()))
        terminalreporter.write(text.get())


def release_rows(ways, as_speedup):
    for kernel, workers in dict.fromkeys((kernel, workers) for kernel, _, workers in MEDIANS):
        if as_speedup:
            values = [MEDIANS.speedup(kernel, way, workers) for way in ways]
        else:
            values = [1e3 * MEDIANS.get((kernel, way, workers), math.nan) for way in ways]
        yield kernel, str(workers), *(f"{value:.2f}" if value else "" for value in values)
