"""For all benchmarks: the environment, the load by other processes, and the tables at the end."""

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
    """Return the CPU seconds used by the whole machine, and by this process and its children."""
    with open("/proc/stat") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = ticks
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy, sum(os.times()[:4])


@pytest.fixture(autouse=True)
def others():
    """Measure how many CPUs other processes use during a benchmark, if the system tells."""
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
    """Median seconds by (kernel, mode, workers), in the order of the run."""

    def speedup(self, kernel, mode, workers):
        """Return the speedup over one worker, or None if either was not measured."""
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


# title -> (headings, rows). Benchmarks add rows; the tables are printed at the end of the run.
TABLES: dict[str, tuple[tuple[str, ...], list[tuple[str, ...]]]] = {}


@pytest.fixture(scope="session")
def tables():
    return TABLES


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    if MEDIANS:
        modes = "bytecode", "processes", "held", "released"
        times = "kernel", "workers", *(f"{mode} ms" for mode in modes)
        TABLES["times; bytecode does a part of the work"] = times, list(release_rows(modes, False))
        speedups = "kernel", "workers", *modes
        TABLES["speedups over one worker"] = speedups, list(release_rows(modes, True))
    if OTHERS:
        cpus = sum(used for used, _ in OTHERS) / sum(seconds for _, seconds in OTHERS)
        terminalreporter.section("was the machine quiet?")
        terminalreporter.write_line(
            f"Other processes used {max(cpus, 0):.2f} of {os.cpu_count()} CPUs during the run."
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


def release_rows(modes, as_speedup):
    for kernel, workers in dict.fromkeys((kernel, workers) for kernel, _, workers in MEDIANS):
        if as_speedup:
            values = [MEDIANS.speedup(kernel, mode, workers) for mode in modes]
        else:
            values = [1e3 * MEDIANS.get((kernel, mode, workers), math.nan) for mode in modes]
        yield kernel, str(workers), *(f"{value:.2f}" if value else "" for value in values)
