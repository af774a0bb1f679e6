"""Chooses the build of the loops with the widest vectors that this CPU has.

On x86-64, ``setup.py`` compiles ``_kernels.pyx`` for several instruction set levels: the baseline,
v3 with AVX2, and v4 with AVX-512. The builds for v3 and v4 are in folders named by their level.
`use_level`, which the package calls before any other import, puts the folder of the highest level
that the CPU supports first on the package's search path. So ``import gilfree._kernels`` finds that
build. The bits of all results are the same.
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
    import platform  # slow to import, and not needed on x86-64

    return platform.machine()


def _levels() -> dict[str, str]:
    """Return the levels of the builds that this CPU can run, ascending, with their folders."""
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
    """Put the folder of `LEVEL` first on the search path of the package."""
    if LEVEL != BASELINE:
        search_path.insert(0, LEVELS[LEVEL])


def build_info() -> dict[str, Any]:
    """Return how the loops in use were compiled.

    Returns
    -------
    dict
        ``isa_level``: the instruction set level of the loops, such as ``"x86-64-v3"``.
        ``isa_levels``: all levels that were built and that this CPU can run, ascending. The last
        one is used, unless the environment variable ``GILFREE_ISA_LEVEL`` names another at import.
        ``compiler``: its name and version.

    Examples
    --------
    >>> gilfree.build_info()["isa_level"]  # doctest: +SKIP
    'x86-64-v4'
    """
    return {"isa_level": LEVEL, "isa_levels": list(LEVELS), "compiler": _cpu.compiler()}
