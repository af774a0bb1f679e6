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


def recorded(how, nogil):
    threads = [threading.Thread(target=work, args=[nogil], name=name) for name in NAMES]
    with gilfree.record() as recording:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    waited = recording.threads[0].stalled or 0  # of the thread that waited longest
    print(f"{how}: {recording.seconds * 1e3:.0f} ms; a thread waits for {waited * 1e3:.0f} ms")
    return how, recording, NAMES


gilfree.mandelbrot((1, 1))  # imports NumPy before the recording
try:
    both = [recorded("GIL held", False), recorded("GIL released", True)]
except RuntimeError as error:
    sys.exit(print("nothing to see:", error))
if len(sys.argv) > 1:
    from gilfree.recording import lanes  # private: the public save() draws one recording

    shown = [lanes.Shown(*each) for each in both]
    Path(sys.argv[1]).write_bytes(lanes.beside(shown, form=sys.argv[1][-3:]))
