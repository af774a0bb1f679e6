"""What handing out chunks costs: a release of the GIL for each chunk, or for each worker."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gilfree._chunks import Chunks
from gilfree._kernels import polyval_nogil

x = np.random.default_rng(0).random(1_000_000)
c, out = np.arange(1.0, 9.0), np.empty_like(x)


def once_a_chunk(chunks):
    for chunk in chunks:  # with the GIL
        polyval_nogil(x[chunk], c, out[chunk], Chunks(chunk.stop - chunk.start))


def once_a_worker(chunks):
    polyval_nogil(x, c, out, chunks)  # takes all chunks without the GIL


def milliseconds(work, count):
    """Return the median time of the work in `count` chunks, on a thread for each CPU."""
    times = []
    for _ in range(50):
        start, chunks = time.perf_counter(), Chunks(x.size, count)
        list(pool.map(work, [chunks] * os.cpu_count()))
        times.append(time.perf_counter() - start)
    return sorted(times)[25] * 1e3


with ThreadPoolExecutor() as pool:
    print("chunks of    a release each   one a worker")
    for count in 10, 100, 1000, 10_000:
        each, once = milliseconds(once_a_chunk, count), milliseconds(once_a_worker, count)
        print(f"{x.size // count:>9,} {each:13.2f} ms {once:11.2f} ms")
