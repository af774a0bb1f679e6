"""Statements as text, as for ``python -m timeit``, made into callables."""

from __future__ import annotations

import contextlib
import gc
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from types import CodeType, TracebackType
from typing import Any

from gilfree.gil.probe import Probing
from gilfree.gil.report import GilReport

# The file names of statement and setup in tracebacks.
STATEMENT, SETUP = "<statement>", "<setup>"


def statement(
    source: str, setup: str = "", namespace: dict[str, Any] | None = None
) -> Callable[[], Any]:
    """Run `setup` once, and return a function that runs `source`.

    The function returns the value of an expression, and None for other statements. Its name is the
    source. Both run in `namespace`, which is empty by default.

    Raises
    ------
    SyntaxError
        If either is not valid Python.
    Exception
        Whatever `setup` raises.
    """
    namespace = {"__name__": "__main__"} if namespace is None else namespace
    code = _compile(source, STATEMENT)
    exec(_compile(setup, SETUP, "exec"), namespace)  # noqa: S102  what the user asked for

    run = _caller(code, namespace)
    run.__qualname__ = " ".join(source.split())
    return run


def _caller(code: CodeType, namespace: dict[str, Any]) -> Callable[[], Any]:
    def run() -> Any:
        return eval(code, namespace)  # noqa: S307  what the user asked for

    return run


def probing_of(
    source: str,
    setup: str = "",
    workers: int | None = None,
    namespace: dict[str, Any] | None = None,
) -> Probing:
    """Return a probe of a statement that has not run yet."""
    nothing = _caller(compile("None", "<nothing>", "eval"), {})
    run = statement(source, setup, namespace)
    return Probing(run, " ".join(source.split()), workers, harness=nothing)


def probe_statement(source: str, setup: str = "", workers: int | None = None) -> GilReport:
    """Probe a statement, with the garbage collector off, as ``python -m timeit`` does."""
    with without_collector():
        return probing_of(source, setup, workers).run()


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Switch the garbage collector off within the block."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _compile(source: str, name: str, mode: str = "eval") -> Any:
    # Tracebacks take their source lines from here.
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    if mode == "eval":
        try:
            return compile(source.strip(), name, "eval")
        except SyntaxError:
            pass  # not an expression; if not valid Python at all, the next line raises
    return compile(source, name, "exec")


def show_own_traceback(error: BaseException) -> None:
    """Print the traceback of what a statement raised, without the frames that led to it."""
    traceback.print_exception(type(error), error, own_traceback(error), file=sys.stderr)


def own_traceback(error: BaseException) -> TracebackType | None:
    """Return the traceback of what a statement raised, without the frames that led to it."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename not in (STATEMENT, SETUP):
        frames = frames.tb_next
    return frames
