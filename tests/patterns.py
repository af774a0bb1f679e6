"""Threads that hold the GIL for a known share of time: sleeps that measure their own time.

They are compiled here, without code of gilfree, and called through ctypes: `PyDLL` holds the GIL,
`CDLL` releases it. The sleeps measure their time in C. So the time measured without the GIL does
not include the microseconds that ctypes needs before and after, with the GIL held.
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
#ifdef __linux__
    #include <sys/prctl.h>
#endif
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

/* These two functions note the times of their start, their due end and their end. From the due end
   to the end, the thread waits for a CPU. If they run without the GIL, the thread waits for the GIL
   from the end until Python reads the clock. */
void sleep_noting(double seconds, double times[3])
{
#ifdef __linux__
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);  /* otherwise a sleep may take 50 us longer */
#endif
    times[0] = now();
    times[1] = times[0] + seconds;
    const time_t whole = (time_t) times[1];
    const struct timespec due = {whole, (long) (1e9 * (times[1] - whole))};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    times[2] = now();
}

void spin_noting(double seconds, double times[3])
{
    times[0] = now();
    times[1] = times[0] + seconds;
    while ((times[2] = now()) < times[1])
        ;
}
"""


def compiled(source):
    """Return a compiled C library twice: called with the GIL held, and with it released."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    with tempfile.TemporaryDirectory() as folder:
        library = str(Path(folder, "library.so"))
        subprocess.run(
            ["cc", "-O1", "-shared", "-fPIC", "-pthread", "-x", "c", "-o", library, "-"],
            input=source,
            text=True,
            check=True,
            # A preloaded sanitizer must not run in the compiler.
            env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
        )
        return ctypes.PyDLL(library), ctypes.CDLL(library)


@functools.cache
def libraries():
    """Return the library of sleeps twice: called with the GIL held, and with it released."""
    both = compiled(SOURCE)
    for one in both:
        one.sleep_for.argtypes = [ctypes.c_double]
        one.sleep_for.restype = ctypes.c_double
        for function in one.sleep_noting, one.spin_noting:
            function.argtypes = [ctypes.c_double, ctypes.POINTER(ctypes.c_double)]
            function.restype = None
    return both


def sleeps():
    """Return two functions that sleep and return the seconds: with the GIL held, and released."""
    held, released = libraries()
    return held.sleep_for, released.sleep_for


def pattern(period, share, seconds=0.2, hold=None):
    """Hold the GIL for about `share` of each period; return the true share."""
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
