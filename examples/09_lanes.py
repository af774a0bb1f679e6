"""Who has the GIL when, with it held and released: drawn to a file, as 09_lanes.py lanes.svg."""

import sys
import threading
from pathlib import Path

import gilfree

NAMES, BOTH_ARE_THERE = ("thread 1", "thread 2"), threading.Barrier(2)


def work(nogil):
    BOTH_ARE_THERE.wait()
    for _ in range(6):
        gilfree.mandelbrot((400, 600), workers=1, nogil=nogil)


def recorded(how, nogil):
    threads = [threading.Thread(target=work, args=[nogil], name=name) for name in NAMES]
    with gilfree.record() as recording:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    waited = recording.threads[0].stalled or 0  # of the one that waited longest
    print(f"{how}: {recording.seconds * 1e3:.0f} ms, in {waited * 1e3:.0f} of them a thread waits")
    return how, recording, NAMES


gilfree.mandelbrot((1, 1))  # imports NumPy, or one thread would while the other waits for it
try:
    both = [recorded("GIL held", False), recorded("GIL released", True)]
except RuntimeError as error:
    sys.exit(print("nothing to see:", error))
if len(sys.argv) > 1:
    from gilfree.recording import lanes  # private; a recording alone has its own save()

    shown = [lanes.Shown(*each) for each in both]
    Path(sys.argv[1]).write_bytes(lanes.beside(shown, form=sys.argv[1][-3:]))
