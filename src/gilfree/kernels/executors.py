"""The work of a call as tasks of an executor whose workers share no memory with the caller."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_on(
    executor: Executor,
    task: Callable[..., Result],
    parts: Iterable[tuple[Any, tuple[Any, ...]]],
    receive: Callable[[Any, Result], object],
    most: float,
) -> None:
    """Call ``receive(place, task(*arguments))`` for each part, in order.

    At most `most` tasks are submitted and not received yet.
    """
    under_way: deque[tuple[Any, Future[Result]]] = deque()

    def receive_next() -> None:
        place, future = under_way.popleft()
        receive(place, future.result())

    try:
        for place, arguments in parts:
            if len(under_way) == most:
                receive_next()
            under_way.append((place, executor.submit(task, *arguments)))
        while under_way:
            receive_next()
    except BrokenExecutor:
        # The executor ends its futures itself. In Python 3.11.7, cancelling one of them meanwhile
        # would stop its cleanup, and its other processes would never end.
        raise
    except BaseException:
        for _, future in under_way:
            future.cancel()
        raise
