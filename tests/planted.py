"""Programs of several threads that note when each thread held the GIL and when it waited."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import threading
import time

from patterns import libraries

now = time.monotonic
Times = ctypes.c_double * 3  # when something began, was to end, ended
# If the GIL is requested while C code holds it, the thread releases it before its next line. Then
# more than this time passes until that line: bytecode alone takes less.
RELEASE_SECONDS = 100e-6


@dataclasses.dataclass
class Truth:
    """What a planted thread notes about its own time."""

    begin: float = 0.0
    seconds: float = 0.0
    waiting: float = 0.0
    running: float = 0.0
    blocked: float = 0.0
    longest_hold: float = 0.0
    waits: list[tuple[float, float]] = dataclasses.field(default_factory=list)  # from, until

    @property
    def held(self):
        """The rest of its lifetime."""
        return self.seconds - self.waiting - self.running - self.blocked

    @property
    def longest_wait(self):
        return max((end - begin for begin, end in self.waits), default=0.0)

    def waited(self, begin, end):
        self.waiting += end - begin
        self.waits.append((begin, end))

    def slept(self, gone, back):
        """Count a sleep without the GIL, by its noted times, and the wait for the GIL after it."""
        self.blocked += gone[1] - gone[0]
        self.running += gone[2] - gone[1]
        self.waited(gone[2], back)


class Program:
    """Threads that run for `seconds`, and the truth about each by its name."""

    def __init__(self, seconds):
        self.held, self.released = libraries()
        self.end = now() + seconds
        self.truth = {}
        self.threads = []
        self.lock = threading.Lock()

    def add(self, name, function, *arguments):
        def run():
            truth = self.truth[name] = Truth(begin=now())
            function(truth, *arguments)
            truth.seconds = now() - truth.begin

        self.threads.append(threading.Thread(target=run, name=name))

    def run(self):
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()
        return self.truth

    def hog(self, truth, hold, away):
        """Hold the GIL in C, then sleep without it, again and again."""
        held, gone = Times(), Times()
        back = now()  # when this thread acquired the GIL
        while now() < self.end:
            self.held.sleep_noting(hold, held)  # the hold
            self.released.sleep_noting(away, gone)
            was_released = gone[0] - held[2] > RELEASE_SECONDS
            release = held[2] if was_released else gone[0]
            truth.longest_hold = max(truth.longest_hold, release - back)
            back = now()
            if was_released:
                truth.waited(held[2], gone[0])
            truth.slept(gone, back)

    def victim(self, truth, away):
        """Sleep without the GIL and acquire it again, over and over."""
        gone = Times()
        while now() < self.end:
            self.released.sleep_noting(away, gone)
            truth.slept(gone, now())

    def cruncher(self, truth, seconds):
        """Compute without the GIL, and acquire it in between."""
        gone = Times()
        while now() < self.end:
            self.released.spin_noting(seconds, gone)
            back = now()
            truth.running += gone[2] - gone[0]
            truth.waited(gone[2], back)

    def sleeper(self, truth):
        """Wait in a lock until the end."""
        begin = now()
        self.lock.acquire(timeout=self.end - begin)
        truth.blocked += now() - begin

    def reader(self, truth):
        """Wait in `read` until the end."""
        begin = now()
        source, sink = os.pipe()
        writer = threading.Timer(self.end - begin, os.write, [sink, b"x"])
        writer.start()
        os.read(source, 1)
        truth.blocked += now() - begin
        writer.join()
        os.close(source)
        os.close(sink)

    def spawner(self, truth, seconds):
        """Start short-lived threads, one after the other."""
        number = 0
        begin = now()
        while now() < self.end:
            name = f"short {number}"
            one = threading.Thread(target=self.short, args=[name, seconds], name=name)
            one.start()
            one.join()
            number += 1
        truth.blocked += now() - begin  # includes the time to start threads

    def short(self, name, seconds):
        truth = self.truth[name] = Truth(begin=now())
        gone = Times()
        self.released.sleep_noting(seconds, gone)
        truth.slept(gone, now())
        truth.seconds = now() - truth.begin


def hog_victim_cruncher(seconds, hold=8e-3):
    """One thread holds the GIL, one wants it, one computes without it."""
    program = Program(seconds)
    program.add("hog", program.hog, hold, 12e-3)
    program.add("victim", program.victim, 1e-3)
    program.add("cruncher", program.cruncher, 5e-3)
    return program


def many_waiters(seconds, hold=20e-3):
    """One thread holds the GIL, six want it, one is in a lock, one in `read`."""
    program = Program(seconds)
    program.add("hog", program.hog, hold, 10e-3)
    for number in range(6):
        program.add(f"victim {number}", program.victim, 2e-3)
    program.add("sleeper", program.sleeper)
    program.add("reader", program.reader)
    program.lock.acquire()
    return program


def short_lives(seconds):
    """Threads that live for 5 ms, beside one that holds the GIL."""
    program = Program(seconds)
    program.add("hog", program.hog, 3e-3, 4e-3)
    program.add("spawner", program.spawner, 5e-3)
    return program


def lines_of_holds():
    """Return the line numbers of this file that hold the GIL in C."""
    with open(__file__, encoding="utf-8") as lines:
        return {number for number, line in enumerate(lines, 1) if line.endswith("# the hold\n")}
