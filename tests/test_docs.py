"""Every block of the README and the guide runs, in order, so that all stay correct.

The tests follow each page as a reader would, in its own folder. A block is

- saved, if its first line is a comment with a file name: ``# setup.py``, ``/* lines.c */``;
- run, if it is ``python`` or ``sh``, except for the README's two commands (``nox -s readme``),
  commands that install something, which other sessions run, and commands that only run an example,
  which ``test_examples.py`` does;
- compared with the output of the block before it, if it is ``output``.

A ``text`` block shows a run on some machine, whose figures differ, ``yaml`` a part of a workflow,
and ``toml`` a part of the settings, which must be TOML. Any other block of C or Cython must be in
the sources of the package, word for word.
"""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.resources import files
from pathlib import Path

import needs
import pytest

import gilfree
from gilfree import kernels

pytestmark = pytest.mark.thread_unsafe(reason="starts processes")

ROOT = Path(__file__).parent.parent
FOLDERS = ROOT / "docs", ROOT / "docs" / "design"  # docs/api is for Sphinx
PAGES = [ROOT / "README.md", *(page for folder in FOLDERS for page in sorted(folder.glob("*.md")))]
SOURCES = {"cython": "_kernels.pyx", "c": "_macros.c"}
NAME = re.compile(r"^(?:# |/\* )([\w.-]+\.(?:py|pyx|c))(?: \*/)?$")
ELSEWHERE = re.compile(r"pip install|pytest|^python examples/\w+\.py\n$")


def blocks(page):
    """Yield the language, the text and the line number of each fenced block."""
    text = page.read_text()
    for match in re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield match[1], match[2], text[: match.start()].count("\n") + 1


def environment(folder):
    """Return environment variables with which a shell finds this `python`, its scripts and `cc`."""
    scripts = folder / ".venv"
    scripts.mkdir()
    (scripts / "bin").symlink_to(sysconfig.get_path("scripts"))
    path = [os.path.dirname(sys.executable), sysconfig.get_path("scripts"), os.environ["PATH"]]
    return {**os.environ, "PATH": os.pathsep.join(path)}


def run(command, folder, environ):
    done = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout


@needs.posix
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.slow
def test_a_page_can_be_followed(page, tmp_path):
    if "cythonize" in page.read_text() and shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    for name in "examples", "benchmarks":
        (tmp_path / name).symlink_to(ROOT / name)
    environ = environment(tmp_path)
    printed = ""
    for path in re.findall(r"\b(?:examples|benchmarks)/[\w.]+", page.read_text()):
        assert (ROOT / path.rstrip(".")).exists(), path
    for language, text, line in blocks(page):
        where = f"{page.name}:{line}"
        name = NAME.match(text.splitlines()[0])
        if name:
            (tmp_path / name[1]).write_text(text)
        elif language in SOURCES:
            assert in_source(text, language), f"{where} is not in {SOURCES[language]}"
        elif language == "output":
            assert text == printed, where
        elif language == "python":
            (tmp_path / "block.py").write_text(text)
            status, printed = run([sys.executable, "block.py"], tmp_path, environ)
            assert status == 0, f"{where}\n{printed}"
        elif language == "sh" and not ELSEWHERE.search(text):
            status, printed = run(["bash", "-euo", "pipefail", "-c", text], tmp_path, environ)
            assert status == 0, f"{where}\n{printed}"
        elif language == "toml":
            tomllib.loads(text)
        else:
            assert language in ("sh", "text", "yaml"), f"{where}: a block of what?"


OF_OTHERS = "fastmath", "close_range"  # names of numba and of Linux on the design pages


def in_source(text, language):
    """Tell whether a block is in the sources, as whole lines."""
    return f"\n{text}" in f"\n{(files('gilfree') / SOURCES[language]).read_text()}"


def test_the_readme_has_its_two_commands_within_the_first_40_lines():
    lines = (ROOT / "README.md").read_text().splitlines()[:40]
    commands = [line for line in lines if line.startswith("python3 -m venv .venv && ")]
    assert [command.split()[-1] for command in commands] == ["demo", "pytest"]


def test_the_reference_has_all_that_is_public():
    text = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    found = re.findall(r"^\.\. auto(?:function|class):: (?:gilfree\.)?([\w.]+)", text, re.MULTILINE)
    assert "testing.assert_releases_gil" in found
    assert sorted(name for name in found if "." not in name) == sorted(gilfree.__all__)


@pytest.mark.skipif(not (ROOT / "src").exists(), reason="some names are those of sources")
def test_design_pages_name_what_the_sources_have():
    paths = list((ROOT / "src").rglob("*.*"))
    texts = [path.read_text() for path in paths if path.suffix in (".py", ".pyx", ".h", ".c")]
    sources = "\n".join([*map(str, paths), *texts])
    for page in (ROOT / "docs" / "design").glob("*.md"):
        text = page.read_text()
        for name in re.findall(r"`(gilfree_\w+|[A-Z][A-Z_]{3,}|\w+/_?\w+\.\w+)`", text):
            assert (ROOT / name).exists() or name in sources, f"{page.name}: {name}"
        for name in re.findall(r"`(?:\w+\.)?([a-z_]\w+)(?:\([^`]*\))?`", text):
            assert name in OF_OTHERS or re.search(rf"\b{name}\b", sources), f"{page.name}: {name}"


def test_pages_import_public_names_only():
    public = rf"gilfree|gilfree import ({'|'.join(gilfree.__all__)})|gilfree.testing import \w+"
    for page in PAGES:
        for _, text, line in blocks(page):
            for imported in re.findall(r"^ *(?:from|import) (gilfree\b.*)", text, re.M):
                assert re.fullmatch(public, imported), f"{page.name}:{line}: {imported}"


def test_the_examples_in_docstrings_are_true():
    for name in kernels.__all__:
        module = sys.modules[kernels.kernel(name).function.__module__]
        failed, tried = doctest.testmod(module, extraglobs={"gilfree": gilfree})
        assert (failed, tried) == (0, 1)
