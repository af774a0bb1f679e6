"""How a kernel releases the GIL: its Cython, the C that Cython makes from it, the macros by hand.

The sources are read from the package, and the installed Cython translates them on demand. So the C
that is shown is what this version of Cython makes.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

CYTHON_SOURCE = files("gilfree") / "_kernels.pyx"
C_SOURCE = files("gilfree") / "_macros.c"

RELEASE = re.compile(r"with nogil:|Py(_BEGIN_ALLOW_THREADS|_UNBLOCK_THREADS|Eval_SaveThread)")
ACQUIRE = re.compile(r"Py(_END_ALLOW_THREADS|_BLOCK_THREADS|Eval_RestoreThread)")


@dataclass(frozen=True)
class Line:
    """A line of source, with its number in its file."""

    text: str
    number: int | None = None

    @property
    def marked(self) -> bool:
        """Whether this line releases or acquires the GIL."""
        return bool(RELEASE.search(self.text) or ACQUIRE.search(self.text))


@dataclass(frozen=True)
class Part:
    """One way to write the release: a title, lines of source, and a note about them."""

    title: str
    language: Literal["cython", "c"]
    lines: Sequence[Line]
    note: str = ""


def names() -> list[str]:
    """Return the names that `explain` knows: those with an entry point of each kind."""
    entries = re.findall(
        r"^def (\w+?)_(gil|nogil)\(", CYTHON_SOURCE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return [name for name, way in entries if way == "gil" and (name, "nogil") in entries]


def explain(name: str) -> list[Part]:
    """Show how the kernel `name` releases the GIL, in three languages.

    Parameters
    ----------
    name : str
        One of `names()`.

    Returns
    -------
    list of Part
        The two entry points in Cython; the C that the installed Cython makes from the one that
        releases the GIL; and the release by hand, with CPython's macros. Without Cython, the second
        part has no lines, and its note says what to install.

    Raises
    ------
    ValueError
        If there is no such kernel.
    RuntimeError
        If the installed Cython can't translate the packaged source.
    """
    if name not in names():
        msg = f"unknown kernel {name!r}: choose from {', '.join(names())}"
        raise ValueError(msg)
    source = CYTHON_SOURCE.read_text(encoding="utf-8").splitlines()
    held, released = (_function(source, f"def {name}_{way}(") for way in ("gil", "nogil"))
    (release,) = (line for line in released if line.marked)
    inside = itertools.takewhile(lambda line: line.startswith(8 * " "), source[release.number :])
    call = textwrap.dedent("\n".join(inside))
    return [
        Part(
            f"In Cython: {CYTHON_SOURCE.name}",
            "cython",
            [*held, Line(""), *released],
            "The two entry points differ in the marked line. It releases the GIL, and the end of "
            "its block acquires the GIL again.",
        ),
        _made_by_cython(release),
        _by_hand(name, call),
    ]


def _function(source: Sequence[str], start: str, above: int = 0) -> list[Line]:
    """Return the lines of the function that begins with `start`, and `above` lines before it."""
    first = next(number for number, line in enumerate(source) if line.startswith(start))
    end = first + 1
    while end < len(source) and (source[end] == "" or source[end][0] in " ){}"):
        end += 1
    while source[end - 1] == "":
        end -= 1
    first -= above
    return [Line(text, number) for number, text in enumerate(source[first:end], first + 1)]


def _made_by_cython(release: Line) -> Part:
    try:
        version = importlib.metadata.version("cython")
    except importlib.metadata.PackageNotFoundError:
        return Part("In C, as Cython writes it", "c", [], "To see it: pip install cython")
    code = _block(_translate(), release.number or 0)
    return Part(
        f"In C, as Cython {version} writes line {release.number}",
        "c",
        [Line(text) for text in textwrap.dedent(code).splitlines()],
        "_save is the state of this thread. Without a GIL, the same lines detach and attach the "
        "thread.",
    )


def _translate() -> str:
    """Return the C that the installed Cython makes from the packaged source."""
    with as_file(CYTHON_SOURCE) as source, tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "_kernels.c")
        command = [sys.executable, "-P", "-m", "cython", "-3", str(source), "-o", str(made)]
        # -P: don't run a cython.py in the current folder
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            msg = f"Cython can't translate {source}:\n{done.stderr}"
            raise RuntimeError(msg)
        return made.read_text(encoding="utf-8")


def _block(code: str, number: int) -> str:
    """Return the C block made from the ``with`` statement at a line, without Cython's comments.

    Before the C of each statement, Cython writes a comment with the file, line and text of the
    statement. Statements from other files have such comments, too, so the name of the file must
    match. A function for float and double has two versions; this returns the last, for double.
    """
    name = re.escape(CYTHON_SOURCE.name)
    place = rf'/\* "[^"]*\b{name}":{number}\n(?: \*.*\n)*? ?\*/\n'
    *_, match = re.finditer(rf"{place}(?P<block>( *)\{{\n(?:.*\n)*?\2\}}\n)", code)
    return re.sub(r'\n? */\* "[^"]*":\d+\n(?: \*.*\n)*? ?\*/\n', "", match["block"])


def _by_hand(name: str, call: str) -> Part:
    source, start = C_SOURCE.read_text(encoding="utf-8").splitlines(), f"{name}_nogil("
    note = (
        "The first macro is { PyThreadState *_save; _save = PyEval_SaveThread(); and the second "
        "is PyEval_RestoreThread(_save); }"
    )
    if any(line.startswith(start) for line in source):
        lines = _function(source, start, above=1)  # the line above is the function's type
        return Part(f"By hand, with CPython's macros: {C_SOURCE.name}", "c", lines, note)
    block = f"Py_BEGIN_ALLOW_THREADS\n{call};\nPy_END_ALLOW_THREADS"
    return Part(
        "By hand, with CPython's macros, it would be:",
        "c",
        [Line(text) for text in block.splitlines()],
        f"{note}. {C_SOURCE.name} is a whole extension with these macros: see sum_of_squares.",
    )
