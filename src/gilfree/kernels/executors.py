"""The chunks of a call as tasks of an executor whose workers do not share the caller's memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_on(
    executor: Executor,
    task: Callable[..., Result],
    pieces: Iterable[tuple[Any, tuple[Any, ...]]],
    receive: Callable[[Any, Result], object],
    most: float,
) -> None:
    """Call ``receive(place, task(*arguments))`` for each piece, in order; `most` are under way."""
    under_way: deque[tuple[Any, Future[Result]]] = deque()

    def receive_next() -> None:
        place, future = under_way.popleft()
        receive(place, future.result())

    try:
        for place, arguments in pieces:
            if len(under_way) == most:
                receive_next()
            under_way.append((place, executor.submit(task, *arguments)))
        while under_way:
            receive_next()
    except BrokenExecutor:
        # It ends all its futures itself. In Python 3.11.7, one that is cancelled meanwhile stops
        # it at that, and its other processes never end.
        raise
    except BaseException:
        for _, future in under_way:
            future.cancel()
        raise
