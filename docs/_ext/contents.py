"""Gives each README.md the contents of its folder, so that a new page appears by itself.

A README stands for its folder, here as on GitHub, which would show a toctree in it as code.
"""

from pathlib import PurePosixPath
from typing import Any

from sphinx.application import Sphinx

TOCTREE = "\n\n```{{toctree}}\n:hidden:\n\n{}\n```\n"


def add_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """Append a toctree to the text of a README."""
    page = PurePosixPath(docname)
    if page.name == "README":
        names = [f"/{name}" for name in contents_of(page.parent, app.env.found_docs)]
        source[0] += TOCTREE.format("\n".join(names))


def contents_of(folder: PurePosixPath, found: set[str]) -> list[str]:
    """Return the pages below the README of a folder: numbered ones are the first.

    Below that of the root are the folders, too: the guide before those within it.
    """
    pages = [PurePosixPath(name) for name in sorted(found)]
    inner = [p for p in pages if p.parent == folder and p.name != "README"]
    if folder == PurePosixPath():
        inner = [p for p in pages if p.parent != folder and p.name == "README"] + inner
    return [str(page) for page in inner]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", add_contents)
    return {"parallel_read_safe": True}
