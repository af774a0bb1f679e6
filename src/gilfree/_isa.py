"""Which build of the loops is in use: the one for the widest vectors that this CPU has.

``setup.py`` compiles the same ``_kernels.pyx`` for each instruction set level of x86-64 that pays:
the baseline; v3, with AVX2; v4, with AVX-512. The latter two lie in folders of their own, named by
their level. `use_level`, which the package calls before it imports the rest, puts the folder of the
best that the CPU can run in front of the package's search path. So for whoever imports it,
``gilfree._kernels`` is that one. The bits of all results are the same.
"""

from __future__ import annotations

import os
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any

from gilfree import _cpu

VARIABLE = "GILFREE_ISA_LEVEL"


def _baseline() -> str:
    if _cpu.x86_64_level():
        return "x86-64"
    import platform  # it takes its time, and no x86-64 needs it

    return platform.machine()


def _levels() -> dict[str, str]:
    """Return the folder of each build that this CPU can run, by ascending level."""
    package = os.path.dirname(__file__)
    levels = {BASELINE: package}
    for number in 3, 4:
        name = f"x86-64-v{number}"
        files = (os.path.join(package, name, f"_kernels{end}") for end in EXTENSION_SUFFIXES)
        if _cpu.x86_64_level() >= number and any(map(os.path.exists, files)):
            levels[name] = os.path.join(package, name)
    return levels


def _chosen(levels: dict[str, str]) -> str:
    level = os.environ.get(VARIABLE) or list(levels)[-1]
    if level not in levels:
        known = f"one of {', '.join(levels)}, built and known to this CPU"
        msg = f"{VARIABLE} must be {known}; not {level!r}"
        raise ImportError(msg)
    return level


BASELINE = _baseline()
LEVELS = _levels()
LEVEL = _chosen(LEVELS)


def use_level(search_path: list[str]) -> None:
    """Have the package of this search path find the loops of `LEVEL` first."""
    if LEVEL != BASELINE:
        search_path.insert(0, LEVELS[LEVEL])


def build_info() -> dict[str, Any]:
    """Return how the loops were compiled that are in use.

    Returns
    -------
    dict
        ``isa_level``: the instruction set level of the loops, such as ``"x86-64-v3"``.
        ``isa_levels``: all those that were built and that this CPU can run, ascending. The last
        is taken, or what the environment variable ``GILFREE_ISA_LEVEL`` names at import.
        ``compiler``: its name and version.

    Examples
    --------
    >>> gilfree.build_info()["isa_level"]  # doctest: +SKIP
    'x86-64-v4'
    """
    return {"isa_level": LEVEL, "isa_levels": list(LEVELS), "compiler": _cpu.compiler()}
