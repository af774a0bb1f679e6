"""The directive ``printed``: what a command prints, run while the site is built.

So a help text on the site is the one of the version that it describes. With ``:part:``, only the lines
from the one that begins so to the next empty one.
"""

import os
import shlex
import subprocess
import sys
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PLAIN = {"COLUMNS": "80", "NO_COLOR": "1", "PYTHON_COLORS": "0", "PYTEST_ADDOPTS": ""}


class Printed(SphinxDirective):
    """Shows the output of a module's command line."""

    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = {"part": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Run the command, without the configuration of the folder we are in."""
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(self.arguments[0])],
            cwd=os.path.dirname(sys.executable),
            env=os.environ | PLAIN,
            stdout=subprocess.PIPE,
            check=True,
            encoding="utf-8",
        )
        text = part_of(done.stdout, self.options["part"]) if self.options else done.stdout
        return [nodes.literal_block(text, text, language="text")]


def part_of(text: str, start: str) -> str:
    """Return the lines from the one that begins with `start` to the next empty one."""
    lines = iter(text.splitlines())
    found = [next(line for line in lines if line.lstrip().startswith(start))]
    for line in lines:
        if not line.strip():
            break
        found.append(line)
    return "\n".join(found)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("printed", Printed)
    return {"parallel_read_safe": True}
