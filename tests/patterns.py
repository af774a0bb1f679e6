"""Threads whose share of the GIL is known: sleeps with and without it that clock themselves.

They are compiled here, without any code of gilfree, and called through ctypes: `PyDLL` keeps the
GIL, `CDLL` releases it. What ctypes itself does around a sleep, some microseconds with the GIL, is
then no part of the time that was clocked without it.
"""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

SOURCE = """
#include <time.h>

double sleep_for(double seconds)
{
    const time_t whole = (time_t) seconds;
    const struct timespec pause = {whole, (long) (1e9 * (seconds - whole))};
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    nanosleep(&pause, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return end.tv_sec - start.tv_sec + 1e-9 * (end.tv_nsec - start.tv_nsec);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

/* These two say when they ended: called without the GIL, what Python needs from then on until it
   knows the time itself is its wait for the GIL. */
double sleep_until(double seconds)
{
    sleep_for(seconds);
    return now();
}

double spin_until(double seconds)
{
    const double end = now() + seconds;
    double time;
    while ((time = now()) < end)
        ;
    return time;
}
"""


@functools.cache
def libraries():
    """Return the compiled library twice: called with the GIL, called without."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    with tempfile.TemporaryDirectory() as folder:
        library = str(Path(folder, "sleeps.so"))
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-x", "c", "-o", library, "-"],
            input=SOURCE,
            text=True,
            check=True,
            # A sanitizer that is preloaded is not for the compiler.
            env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
        )
        both = ctypes.PyDLL(library), ctypes.CDLL(library)
    for one in both:
        for function in one.sleep_for, one.sleep_until, one.spin_until:
            function.argtypes = [ctypes.c_double]
            function.restype = ctypes.c_double
    return both


def sleeps():
    """Return two functions that sleep and return for how many seconds: with the GIL, without."""
    held, released = libraries()
    return held.sleep_for, released.sleep_for


def pattern(period, share, seconds=0.2, hold=None):
    """Hold the GIL for about this share of each period; return the true share."""
    sleep_held, sleep_released = sleeps()
    hold = hold or sleep_held
    released = 0.0
    begin = time.perf_counter()
    while (now := time.perf_counter()) < begin + seconds:
        if share:
            hold(period * share)
        if share < 1:
            released += sleep_released(period * (1 - share))
    return 1 - released / (now - begin)
