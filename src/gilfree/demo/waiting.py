"""Waiting is no problem: requests to a slow server, one after the other and concurrently."""

from __future__ import annotations

import contextlib
import dataclasses
import socketserver
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from socket import create_connection

from gilfree._words import readable_time
from gilfree.demo.phrases import BUSY, TWO_MEDIANS, times_as_fast
from gilfree.demo.setup import Setup
from gilfree.demo.step import Machine, Step
from gilfree.demo.table import Column, Shown, Timed
from gilfree.demo.timing import Medians, Progress, interleaved
from gilfree.measure.clocking import seconds

REQUESTS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers(Timed):
    """All requests on `threads` threads, compared with one; each answer takes `delay` seconds."""

    threads: int
    requests: int
    delay: float


def measure(setup: Setup, _: str, on_progress: Progress) -> list[Answers]:
    """Send the requests on one thread, and on one thread for each."""
    delay = 0.02 if setup.quick else 0.1

    def request(address: tuple[str, int]) -> bytes:
        with create_connection(address) as connection:
            return connection.recv(1)  # releases the GIL

    with _slow_server(delay) as address, ThreadPoolExecutor(REQUESTS) as threads:
        addresses = [address] * REQUESTS
        ways = {
            1: lambda: seconds(lambda: [request(each) for each in addresses]),
            REQUESTS: lambda: seconds(lambda: list(threads.map(request, addresses))),
        }
        taken = interleaved(ways, 2, on_progress)
    return [
        Answers(threads=n, requests=REQUESTS, delay=delay, times=Medians.of(taken[n], taken[1]))
        for n in ways
    ]


@contextlib.contextmanager
def _slow_server(delay: float) -> Iterator[tuple[str, int]]:
    """Run a server on this machine that sends one byte to each connection, after a delay."""

    class Slow(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            time.sleep(delay)
            self.request.sendall(b"!")

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = REQUESTS

    with Server(("127.0.0.1", 0), Slow) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server.server_address[0], server.server_address[1]  # type: ignore[misc]
        finally:
            server.shutdown()
            thread.join()


def columns(rows: Sequence[Answers]) -> list[Column]:
    """Show a row for each number of threads."""
    shown = Shown.of(rows)
    return [
        Column("threads", [str(row.threads) for row in rows]),
        Column("requests", [str(row.requests) for row in rows]),
        Column("answered after", [readable_time(row.delay) for row in rows]),
        Column("ms", [shown.ms(row) for row in rows]),
        Column("speedup", [shown.speedup(row) for row in rows]),
    ]


def sentence(rows: Sequence[Answers], _: Machine) -> str:
    """Say what concurrent requests gained."""
    many, speedup = rows[-1], Shown.of(rows).ratio(rows[-1])
    seen = (
        f"{many.requests} concurrent requests were answered {times_as_fast(speedup)} one after "
        f"the other"
    )
    if speedup < many.requests / 2:
        return f"{seen}; {many.requests} times as fast would be possible. {BUSY}"
    return f"{seen}: a thread that waits for an answer releases the GIL."


STEP = Step(
    number=3,
    title="Waiting is no problem",
    measure=measure,
    columns=columns,
    sentence=sentence,
    note=TWO_MEDIANS,
)
