"""What the steps run on, and the process pool that they share."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from gilfree import kernels
from gilfree._system import usable_cpus

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclasses.dataclass
class Setup:
    """What the steps run on, and the process pool that they share.

    Attributes
    ----------
    quick : bool
        Less work, and fewer rounds: all steps take less than 30 seconds.
    workers : int
        The largest number of workers to try.
    kernels : sequence of str
        The kernels of the step that compares them.
    data : ndarray, optional
        The input of array kernels, instead of random numbers.
    """

    quick: bool = False
    workers: int = dataclasses.field(default_factory=usable_cpus)
    kernels: Sequence[str] = tuple(kernels.__all__)
    data: NDArray[Any] | None = None

    def rounds(self, usual: int) -> int:
        """Return how many rounds to clock: as many as usual, or 3 if `quick`."""
        return 3 if self.quick else usual

    def work(self, kernel: str) -> tuple[Any, ...]:
        """Return arguments for a kernel: its usual work, or less if `quick`."""
        return kernels.kernel(kernel).workload(self.data, self.quick)

    @functools.cached_property
    def processes(self) -> ProcessPoolExecutor:
        """A pool with a process for each worker; all processes have started."""
        pool = ProcessPoolExecutor(self.workers, get_context("spawn"))
        with _children_ignore_sigint():
            ready = [pool.submit(_be_ready, 0.05) for _ in range(self.workers)]
        for future in ready:
            future.result()
        return pool

    def close(self) -> None:
        """End the processes, if they were started."""
        if "processes" in self.__dict__:
            self.processes.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _children_ignore_sigint() -> Iterator[None]:
    """Let processes that start here ignore Ctrl-C, which a terminal sends to them as well."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _be_ready(seconds: float) -> None:
    time.sleep(seconds)  # so that no process runs the task of one that is still starting
