"""Directives for texts that are generated while the site is built, from the version it describes.

``printed`` shows what a command prints; with ``:part:``, only the lines from the first that begins
with these words to the next empty one. ``docstring`` shows a docstring without a signature, for
magics and fixtures.
"""

import inspect
import os
import pkgutil
import shlex
import subprocess
import sys
import textwrap
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

WIDTH = 80
PLAIN = {"COLUMNS": str(WIDTH), "NO_COLOR": "1", "PYTHON_COLORS": "0", "PYTEST_ADDOPTS": ""}


class Printed(SphinxDirective):
    """Shows the output of a module's command line."""

    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = {"part": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Run the command, where no pyproject.toml gives pytest options."""
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(self.arguments[0])],
            cwd=sys.prefix,
            env=os.environ | PLAIN,
            stdout=subprocess.PIPE,
            check=True,
            encoding="utf-8",
        )
        text = part_of(done.stdout, self.options["part"]) if self.options else done.stdout
        return [nodes.literal_block(text, text, language="text")]


def part_of(text: str, start: str) -> str:
    """Return the lines from the one that begins with `start` to the next empty one, wrapped."""
    lines = iter(text.splitlines())
    first = next((line for line in lines if line.lstrip().startswith(start)), None)
    if first is None:
        msg = f"no line of the output begins with {start!r}"
        raise ValueError(msg)
    found = [first]
    for line in lines:
        if not line.strip():
            break
        found.append(line)
    wrapped = (textwrap.fill(line, WIDTH, subsequent_indent="    ") for line in found)
    return textwrap.dedent("\n".join(wrapped))


class Docstring(SphinxDirective):
    """Shows the docstring of what a dotted name leads to."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse it, as the reStructuredText that it is."""
        text = inspect.getdoc(pkgutil.resolve_name(self.arguments[0])) or ""
        return self.parse_text_to_nodes(text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("printed", Printed)
    app.add_directive("docstring", Docstring)
    return {"parallel_read_safe": True}
