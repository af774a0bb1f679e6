"""The builds of the loops: which exist, which is chosen, and that all give the same bits."""

import hashlib
import json
import os
import pickle
import platform
import subprocess
import sys

import pytest

import gilfree
from gilfree import _kernels
from gilfree._isa import BASELINE, VARIABLE

pytestmark = pytest.mark.thread_unsafe(reason="starts processes")

LEVELS = gilfree.build_info()["isa_levels"]


def run(source, level):
    environ = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    environ.pop(VARIABLE, None)
    if level is not None:
        environ[VARIABLE] = level
    return subprocess.run(
        [sys.executable, "-c", source],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_build_info_can_be_written_as_json():
    info = gilfree.build_info()
    assert json.loads(json.dumps(info)) == info
    assert info["isa_level"] in info["isa_levels"]
    assert info["isa_levels"][0] == BASELINE
    assert info["compiler"]


@pytest.mark.skipif(
    "GCC 1" not in gilfree.build_info()["compiler"] or platform.machine() != "x86_64",
    reason="other compilers and architectures may have the baseline alone",
)
def test_gcc_built_all_that_this_cpu_can_run():
    from gilfree import _cpu

    wanted = ["x86-64", "x86-64-v3", "x86-64-v4"][: {1: 1, 3: 2, 4: 3}[_cpu.x86_64_level()]]
    assert wanted == LEVELS


def test_the_loops_in_use_are_those_of_the_level():
    folder = os.path.basename(os.path.dirname(_kernels.__file__))
    level = gilfree.build_info()["isa_level"]
    assert folder == ("gilfree" if level == BASELINE else level)
    assert _kernels.__name__ == "gilfree._kernels"


DIGEST = """
import hashlib, pickle, gilfree
from calls import CALLS
results = [call(workers=2) for call in CALLS.values()]
print(gilfree.build_info()["isa_level"], hashlib.sha256(pickle.dumps(results)).hexdigest())
"""


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_gives_the_same_bits(level):
    from calls import CALLS

    done = run(DIGEST, level)
    assert done.returncode == 0, done.stderr
    results = [call(workers=2) for call in CALLS.values()]
    expected = hashlib.sha256(pickle.dumps(results)).hexdigest()
    assert done.stdout.split() == [level, expected]


@pytest.mark.parametrize("level", [None, ""])
def test_the_highest_level_is_used_by_default(level):
    done = run("import gilfree; print(gilfree.build_info()['isa_level'])", level)
    assert done.stdout.strip() == LEVELS[-1], done.stderr


def test_an_unknown_level_is_refused_and_the_known_ones_are_named():
    done = run("import gilfree", "x86-64-v99")
    assert done.returncode == 1
    assert f"ImportError: {VARIABLE} must be one of {', '.join(LEVELS)}" in done.stderr
    assert "'x86-64-v99'" in done.stderr
