"""Calls that only make a generator or a coroutine, and run none of its code: nothing to probe."""

from __future__ import annotations

import contextlib
import functools
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
    """A call only makes an object whose code runs later, so there is nothing to probe."""

    def __init__(self, kind: str, name: str) -> None:
        call = name if name.endswith(")") else f"{name}(...)"
        super().__init__(
            f"{name} returns {'an' if kind[0] in 'aeiou' else 'a'} {kind}, and none of its code "
            f"runs in that call: probe {LAZY[kind][2].format(call)} instead"
        )


def refuse_lazy(function: Callable[..., Any]) -> None:
    """Raise `LazyCallError` for a function whose calls run none of its code."""
    for kind, (makes, _, _) in LAZY.items():
        # A class has the __call__ of its instances, but calling the class makes an instance.
        called = None if isinstance(function, type) else getattr(function, "__call__", None)  # noqa: B004
        if makes(function) or makes(called):
            raise LazyCallError(kind, name_of(function))


def refuse_lazy_result(result: Any, name: str) -> None:
    """Raise `LazyCallError` if a call has returned a new generator or coroutine, and close that.

    A generator that has begun was made elsewhere: then the call itself did its work.
    """
    for kind, (_, made, _) in LAZY.items():
        if not isinstance(result, made) or has_begun(result):
            continue
        if isinstance(result, types.GeneratorType | types.CoroutineType):
            result.close()  # an async generator that has not begun needs no close
        raise LazyCallError(kind, name)


def has_begun(lazy: Any) -> bool:
    """Tell whether some code of a generator or a coroutine has run."""
    if isinstance(lazy, types.GeneratorType):
        return inspect.getgeneratorstate(lazy) != inspect.GEN_CREATED
    if isinstance(lazy, types.CoroutineType):
        return inspect.getcoroutinestate(lazy) != inspect.CORO_CREATED
    return False


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a callable; for a partial, that of its function."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    for attribute in "__qualname__", "__name__":
        with contextlib.suppress(Exception):
            if name := getattr(function, attribute):
                return str(name)
    return f"{type(function).__qualname__} object"
