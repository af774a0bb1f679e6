"""Releasing by CPython's macros: the same bits, and a released loop that responds to Ctrl-C."""

import os
import signal
import threading
import time

import numpy as np

import gilfree
from gilfree import _macros

x = np.random.default_rng(0).random(1_000_000)
same = gilfree.sum_of_squares(x) == _macros.sum_of_squares_nogil(x)
print(f"The same bits from Cython and from C by hand: {same}")

x = np.zeros(300_000_000)  # takes no memory until it is written to


def late(call):
    """Press Ctrl-C 10 ms into the call; return the milliseconds until Python raises."""

    def press():
        time.sleep(0.01)
        pressed.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    pressed = []
    threading.Thread(target=press).start()
    try:
        call(x)
        time.sleep(10)
    except KeyboardInterrupt:
        return (time.perf_counter() - pressed[0]) * 1e3


print("Ctrl-C was answered after")
print(f"  {late(_macros.sum_of_squares_nogil):6.1f} ms by a loop that never checks for it")
print(f"  {late(_macros.sum_of_squares_interruptible):6.1f} ms by one that checks regularly")
