"""The limit of the machine: independent processes that run one kernel concurrently."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from typing import IO, Any, Self

from gilfree import kernels
from gilfree._system import same_imports
from gilfree.measure.clocking import AWAKE_SECONDS

# Each process has a copy of the arguments in memory.
MOST_PROCESSES = 64


class Processes:
    """A context manager with `count` processes that run one kernel, on one thread each.

    They don't use ``multiprocessing``, which would import the user's script in each of them.
    """

    def __init__(
        self, count: int, kernel: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._work = pickle.dumps((kernel, args, kwargs), protocol=5)
        self._count = count
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start the processes, and have each run the kernel once."""
        command = [sys.executable, "-P", "-c", "from gilfree.measure.limit import serve; serve()"]
        try:
            for number in range(self._count):
                child = subprocess.Popen(
                    [*command, str(number)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=same_imports(),
                    start_new_session=True,  # Ctrl-C is for the parent alone
                )
                self._children.append(child)
            for child in self._children:
                _send(child, self._work)
            self.seconds(1, self._count)
        except BaseException:
            self.__exit__()
            raise
        return self

    def seconds(self, calls: int, count: int) -> float:
        """Have the first `count` processes run the kernel concurrently, `calls` times each.

        Returns
        -------
        float
            Seconds from the first start to the last end, divided by `calls`.

        Raises
        ------
        RuntimeError
            If a process has died.
        """
        children = self._children[:count]
        # All processes read the same clock. They start at the same time, when all have their order.
        order = f"{calls} {time.perf_counter() + AWAKE_SECONDS}\n".encode()
        for child in children:
            _send(child, order)
        times = [_pipe(child.stdout).readline().split() for child in children]
        if not all(times):
            msg = "a process that measures the machine's limit has died"
            raise RuntimeError(msg)
        first, last = min(float(start) for start, _ in times), max(float(end) for _, end in times)
        return (last - first) / calls

    def __exit__(self, *_: object) -> None:
        """Kill the processes."""
        for child in self._children:
            child.kill()
        for child in self._children:
            child.wait()
            with contextlib.suppress(BrokenPipeError):
                _pipe(child.stdin).close()
            _pipe(child.stdout).close()


def _send(child: subprocess.Popen[bytes], order: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # a process that has died sends no times, either
        _pipe(child.stdin).write(order)
        _pipe(child.stdin).flush()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def serve() -> None:
    """Run in a child: read the kernel and its arguments, then run it as each line of stdin orders.

    A line has the number of calls and the time to start at.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    number = int(sys.argv[1])
    with contextlib.suppress(EOFError):  # the parent has ended
        name, args, kwargs = pickle.load(sys.stdin.buffer)  # noqa: S301  written by the parent
        kernel = getattr(kernels, name)
        for line in sys.stdin.buffer:
            calls, moment = line.split()
            _await(float(moment), number)
            start = time.perf_counter()
            for _ in range(int(calls)):
                kernel(*args, **kwargs, workers=1)
            sys.stdout.write(f"{start} {time.perf_counter()}\n")
            sys.stdout.flush()


def _await(moment: float, number: int) -> None:
    """Spin until `moment`, on a CPU that processes of other numbers do not use."""
    usual = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
    if usual:
        os.sched_setaffinity(0, [sorted(usual)[number % len(usual)]])
    while time.perf_counter() < moment:
        pass
    if usual:
        os.sched_setaffinity(0, usual)
