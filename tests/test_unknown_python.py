"""On a Python newer than the known ones, everything works except the probe and recordings.

No such Python exists, so the sampler and the recorder are compiled again with a macro that makes
them treat this Python as unknown.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import needs
import pytest

import gilfree

pytestmark = [
    needs.sampler,
    pytest.mark.slow,
    pytest.mark.thread_unsafe(reason="compiles, and starts processes"),
]

BUILD = """
import sys
from setuptools import Extension, setup
how = {
    "include_dirs": ["gilfree/_c"],
    "define_macros": [("GILFREE_TAKE_PYTHON_FOR_UNKNOWN", "1")],
}
names = ["_sampler", "_recorder"] if sys.platform == "linux" else ["_sampler"]
extensions = [
    Extension(f"gilfree.gil.{name}", [f"gilfree/gil/{name}.pyx", "gilfree/_c/layout.c"], **how)
    for name in names
]
setup(name="gilfree", packages=["gilfree", "gilfree.gil"], ext_modules=extensions)
"""
TESTS = Path(__file__).parent
# All tests that import the sampler, and those of the kernels, which do not need it.
MODULES = (
    "kernels/test_kernels",
    "gil/test_sampler",
    "gil/test_probe",
    "gil/test_recorder",
    "gil/test_stall_reports",
    "test_testing",
    "survey/test_survey",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that runs Python with a package that treats this Python as unknown."""
    pytest.importorskip("Cython")
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("unknown")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    package = folder / "gilfree"
    shutil.copytree(
        Path(gilfree.__file__).parent,
        package,
        ignore=shutil.ignore_patterns(
            "__pycache__", "_sampler*.so", "_sampler.c", "_recorder*.so", "_recorder.c"
        ),
    )
    (folder / "build_watch.py").write_text(BUILD)
    done = run("build_watch.py", "-q", "build_ext", "--inplace")
    assert list(package.glob("gil/_sampler*.so")), done.stderr
    return run


def test_the_kernels_run_and_the_probe_says_in_one_line_what_it_knows(run):
    done = run("-c", "import gilfree; print(gilfree.__file__, gilfree.sum_of_squares([3.0, 4.0]))")
    assert re.fullmatch(r".*unknown\d*/gilfree/__init__.py 25.0\n", done.stdout), done.stderr
    if sys.platform == "linux":
        done = run("-m", "gilfree", "run", "-c", "pass")
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == (
            "gilfree: recording supports CPython 3.11 to 3.15, and this is "
            f"{sys.version.split()[0]}: the kernels work here\n"
        )
    for command in ["probe", "pass"], ["survey", "stdlib"]:
        done = run("-m", "gilfree", *command)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == (
            "gilfree: the probe supports CPython 3.11 to 3.15, and this is "
            f"{sys.version.split()[0]}: the kernels work here\n"
        )


def test_what_needs_the_sampler_is_skipped_by_name_and_the_rest_passes(run):
    paths = [str(TESTS / f"{name}.py") for name in MODULES]
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={TESTS.parent}", *paths)
    assert done.returncode == 0, done.stdout
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])}
    assert counts.keys() == {"passed", "skipped", "deselected"}  # the slow ones are deselected
    assert counts["passed"] > 100
    assert "the probe supports CPython" in done.stdout
