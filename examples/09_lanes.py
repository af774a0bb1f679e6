"""Which thread holds the GIL when? Drawn to a file by: python 09_lanes.py lanes.svg."""

import sys
import threading
from pathlib import Path

import gilfree

NAMES, TOGETHER = ("thread 1", "thread 2"), threading.Barrier(2)


def work(nogil):
    TOGETHER.wait()
    for _ in range(6):
        gilfree.mandelbrot((400, 600), workers=1, nogil=nogil)


def recorded(nogil):
    threads = [threading.Thread(target=work, args=[nogil], name=name) for name in NAMES]
    with gilfree.record() as recording:
        for step in threading.Thread.start, threading.Thread.join:
            for thread in threads:
                step(thread)
    return recording


row = gilfree.compare(gilfree.mandelbrot, (400, 600), workers=2, repeat=25).row
held, released, limit = (row(mode, 2).speedup for mode in ("held", "released", "limit"))
print(one := f"GIL held: two threads are {held:.2f} times as fast as one")
print(two := f"GIL released: {released:.2f} times as fast; two processes could give {limit:.2f}")
try:
    both = (one, recorded(nogil=False)), (two, recorded(nogil=True))
except RuntimeError as error:
    sys.exit(print("no picture:", error))
if len(sys.argv) > 1:
    from gilfree.recording import lanes  # private: the public save() draws one recording

    shown = [lanes.Shown(*each, NAMES) for each in both]
    Path(sys.argv[1]).write_bytes(lanes.beside(shown, form=sys.argv[1][-3:]))
