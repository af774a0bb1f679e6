"""A thread whose share of the GIL is known: sleeps with and without it that clock themselves.

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
"""


@functools.cache
def sleeps():
    """Return two functions that sleep and return for how many seconds: with the GIL, without."""
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
        functions = ctypes.PyDLL(library).sleep_for, ctypes.CDLL(library).sleep_for
    for function in functions:
        function.argtypes = [ctypes.c_double]
        function.restype = ctypes.c_double
    return functions


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
