"""The GitHub Action: its steps, run as a runner would, except that pip installs nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import needs
import pytest

yaml = pytest.importorskip("yaml")
pytestmark = [
    needs.posix,
    pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash"),
    pytest.mark.thread_unsafe(reason="starts processes"),
]
ACTION = Path(__file__).parent.parent / "action.yml"
# Replaces Python: it prints the arguments of pip, and runs everything else.
PYTHON = """#!/bin/sh
if [ "$2" = pip ]; then echo "pip: $*"; else exec {python} "$@"; fi
"""
SECTION = "===== longest holds of the GIL ====="
PLUGIN = f"""
def pytest_addoption(parser):
    parser.addoption("--gil", action="store_true")

def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line("{SECTION}")
"""


@pytest.fixture
def run_action(tmp_path):
    """Return a function that runs all steps with given inputs: status, output, summary."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(PYTHON.format(python=sys.executable))
    (tmp_path / "bin" / "python").chmod(0o755)
    (tmp_path / "work").mkdir()
    summary = tmp_path / "summary"
    summary.touch()

    def run(**inputs):
        action = yaml.safe_load(ACTION.read_text())
        given = {name: inputs.get(name, each["default"]) for name, each in action["inputs"].items()}
        assert inputs.keys() <= given.keys()
        output = ""
        for step in action["runs"]["steps"]:
            condition = re.fullmatch(r"inputs\.(\w+) != ''", step.get("if", "inputs.all != ''"))
            if not {**given, "all": "x"}[condition[1]]:
                continue
            script = tmp_path / "step.sh"
            script.write_text(step["run"])
            done = subprocess.run(
                # The command of a runner for `shell: bash`.
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
                cwd=tmp_path / "work",
                env={
                    **os.environ,
                    "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
                    "GITHUB_ACTION_PATH": "/the action",
                    "GITHUB_STEP_SUMMARY": str(summary),
                    "GITHUB_WORKSPACE": str(tmp_path / "work"),
                    "RUNNER_TEMP": str(tmp_path),
                    **{name: filled(text, given) for name, text in step["env"].items()},
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=120,
                check=False,
            )
            output += done.stdout
            if done.returncode:
                return done.returncode, output, summary.read_text()
        return 0, output, summary.read_text()

    run.folder = tmp_path / "work"
    return run


def filled(text, inputs):
    return re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: inputs[match[1]], text)


@needs.recorder
@needs.gil
def test_a_program_is_run_and_its_report_is_in_the_summary(run_action):
    (run_action.folder / "app.py").write_text(
        "import ctypes, sys, threading, time\n"
        "def hold():\n"
        "    ctypes.PyDLL(None).usleep(300_000)\n"
        "threading.Thread(target=hold, name=sys.argv[1]).start()\n"
        "time.sleep(0.01)\n"
    )
    status, output, summary = run_action(run="--max-stall 100ms app.py 'a | worker'")
    assert status == 1
    assert re.search(r"^::warning file=app\.py,line=3,title=MainThread waited for", output, re.M)
    assert summary.startswith("### gilfree run\n\n- the longest stall took ")
    assert r"| a \| worker | " in summary
    assert "pip: -m pip install -- /the action\n" in output


@needs.recorder
def test_what_a_shell_would_expand_is_taken_as_it_is(run_action):
    hostile = "-c 'import sys; print(sys.argv[1:])' '$(touch a)' `touch b` ';' \"'\""
    status, output, _ = run_action(run=hostile, version="1.2; touch c")
    assert status == 0, output
    assert "['$(touch a)', '`touch', 'b`', ';', \"'\"]\n" in output
    assert "pip: -m pip install -- gilfree==1.2; touch c\n" in output
    assert list(run_action.folder.iterdir()) == []


def test_tests_are_run_and_the_report_is_in_the_summary(run_action, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # including the real plugin
    (run_action.folder / "conftest.py").write_text(PLUGIN)
    (run_action.folder / "test_it.py").write_text(
        "def test_a():\n    pass\ndef test_b():\n    assert 0\n"
    )
    status, output, summary = run_action(pytest="-q -k 'test_a or test_b'")
    assert status == 1
    assert "1 failed, 1 passed" in output
    assert summary.startswith(f"### pytest --gil\n\n~~~~~~~~text\n{SECTION}\n")
    assert "FAILED test_it.py::test_b" in summary
    assert "def test_b" not in summary
    assert summary.endswith("~~~~~~~~\n")
    assert run_action(pytest="-k test_a")[0] == 0


def test_nothing_to_do_is_an_error(run_action):
    status, output, summary = run_action()
    assert (status, summary) == (2, "")
    assert output.startswith("::error title=gilfree::nothing to do")


def test_inputs_are_documented_and_never_part_of_a_script():
    action = yaml.safe_load(ACTION.read_text())
    assert all(each["description"] for each in action["inputs"].values())
    assert not [step for step in action["runs"]["steps"] if "${{" in step["run"]]
