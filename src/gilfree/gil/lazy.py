"""Calls that run nothing yet, but return a generator or a coroutine: there is nothing to see."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

LAZY: dict[str, tuple[Callable[[Any], bool], type, str]] = {
    "generator": (inspect.isgeneratorfunction, types.GeneratorType, "list({})"),
    "coroutine": (inspect.iscoroutinefunction, types.CoroutineType, "asyncio.run({})"),
    "async generator": (
        inspect.isasyncgenfunction,
        types.AsyncGeneratorType,
        "asyncio.run() of a coroutine that iterates over {}",
    ),
}


class LazyCallError(TypeError):
    """A call only makes an object whose code runs later: there is nothing to see yet."""

    def __init__(self, kind: str, name: str) -> None:
        call = name if name.endswith(")") else f"{name}(...)"
        super().__init__(
            f"{name} returns {'an' if kind[0] in 'aeiou' else 'a'} {kind}, and none of its code "
            f"runs in that call: probe {LAZY[kind][2].format(call)} instead"
        )


def refuse_lazy(function: Callable[..., Any]) -> None:
    """Raise `LazyCallError` for a function whose calls run none of its code."""
    for kind, (makes, _, _) in LAZY.items():
        if makes(function) or makes(getattr(function, "__call__", None)):  # noqa: B004
            raise LazyCallError(kind, name_of(function))


def refuse_lazy_result(result: Any, name: str) -> None:
    """Raise `LazyCallError` if a call has returned a generator or a coroutine, and close that."""
    for kind, (_, made, _) in LAZY.items():
        if isinstance(result, made):
            if hasattr(result, "close"):  # an async generator that has not begun needs none
                result.close()
            raise LazyCallError(kind, name)


def name_of(function: Callable[..., Any]) -> str:
    """Return what a callable calls itself."""
    for attribute in "__qualname__", "__name__":
        if name := getattr(function, attribute, None):
            return str(name)
    return repr(function)
