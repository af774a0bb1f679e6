"""Wheels are built for the versions of Python that the classifiers name."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_wheels_are_built_for_the_pythons_that_the_classifiers_name():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    name = "Programming Language :: Python :: 3."
    minors = [
        int(text.removeprefix(name))
        for text in pyproject["project"]["classifiers"]
        if text.startswith(name)
    ]
    # CPython officially supports free threading since 3.14.
    wanted = {f"cp3{n}-*" for n in minors} | {f"cp3{n}t-*" for n in minors if n >= 14}
    assert set(pyproject["tool"]["cibuildwheel"]["build"]) == wanted
    assert pyproject["project"]["requires-python"] == f">=3.{minors[0]}"
