"""Waiting is no problem: requests to a server that is late, one after the other and at once."""

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
from gilfree.demo.timing import Medians, Progress, in_turn
from gilfree.measure.clocking import seconds

REQUESTS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers(Timed):
    """All requests on so many threads, beside one; each is answered after `delay` seconds."""

    threads: int
    requests: int
    delay: float


def measure(setup: Setup, _: str, on_progress: Progress) -> list[Answers]:
    """Ask on one thread, and on one for each request."""
    delay = 0.02 if setup.quick else 0.1

    def ask(address: tuple[str, int]) -> bytes:
        with create_connection(address) as connection:
            return connection.recv(1)  # here the GIL is released

    with _late_server(delay) as address, ThreadPoolExecutor(REQUESTS) as threads:
        addresses = [address] * REQUESTS
        ways = {
            1: lambda: seconds(lambda: [ask(each) for each in addresses]),
            REQUESTS: lambda: seconds(lambda: list(threads.map(ask, addresses))),
        }
        taken = in_turn(ways, 2, on_progress)
    return [
        Answers(threads=n, requests=REQUESTS, delay=delay, times=Medians.of(taken[n], taken[1]))
        for n in ways
    ]


@contextlib.contextmanager
def _late_server(delay: float) -> Iterator[tuple[str, int]]:
    """Serve on this machine: each connection gets one byte after a delay."""

    class Late(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            time.sleep(delay)
            self.request.sendall(b"!")

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = REQUESTS

    with Server(("127.0.0.1", 0), Late) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server.server_address[0], server.server_address[1]  # type: ignore[misc]
        finally:
            server.shutdown()
            thread.join()


def columns(rows: Sequence[Answers]) -> list[Column]:
    """Show a line for each number of threads."""
    shown = Shown.of(rows)
    return [
        Column("threads", [str(row.threads) for row in rows]),
        Column("requests", [str(row.requests) for row in rows]),
        Column("answered after", [readable_time(row.delay) for row in rows]),
        Column("ms", [shown.ms(row) for row in rows]),
        Column("speedup", [shown.speedup(row) for row in rows]),
    ]


def sentence(rows: Sequence[Answers], _: Machine) -> str:
    """Say what it was worth to ask at once."""
    many, speedup = rows[-1], Shown.of(rows).ratio(rows[-1])
    seen = (
        f"{many.requests} requests at once were answered {times_as_fast(speedup)} one after "
        f"the other"
    )
    if speedup < many.requests / 2:
        return f"{seen}, and could have been {many.requests} times. {BUSY}"
    return f"{seen}: who waits lets go of the GIL."


STEP = Step(
    number=3,
    title="Waiting is no problem",
    measure=measure,
    columns=columns,
    sentence=sentence,
    note=TWO_MEDIANS,
)
