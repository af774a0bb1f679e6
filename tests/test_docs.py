"""Every Python block of the README and the docs runs, so that none rots."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import gilfree
from gilfree import kernels

ROOT = Path(__file__).parent.parent


def blocks():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text()
        for match in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            line = text[: match.start()].count("\n") + 1
            yield pytest.param(match[1], id=f"{page.name}:{line}")


@pytest.mark.parametrize("source", list(blocks()))
def test_python_block_runs(source, run_script):
    run_script(source, timeout=120, quiet=False)


def test_the_examples_in_docstrings_are_true():
    failed, tried = doctest.testmod(kernels, extraglobs={"gilfree": gilfree})
    assert (failed, tried) == (0, 6)


def test_the_readme_has_its_two_commands_within_the_first_40_lines():
    lines = (ROOT / "README.md").read_text().splitlines()[:40]
    commands = [line for line in lines if line.startswith("python3 -m venv .venv && ")]
    assert [command.split()[-1] for command in commands] == ["demo", "pytest"]
