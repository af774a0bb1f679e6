"""Fixtures of several test modules: scripts in their own process, and a check for the GIL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from hypothesis import HealthCheck, settings

from gilfree import testing
from gilfree._system import gil_enabled

# Dask's profiler reads the frames of running threads. Without a GIL, this may crash the interpreter
# (CPython issue 152355). Processes that the tests start inherit the setting.
if not gil_enabled():
    os.environ["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] = "False"

# If a shell runs the tests in the background, they and their processes would ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests must not fail on a busy machine.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
# With --hypothesis-profile=thorough: a hundred times as many examples.
settings.register_profile("thorough", settings.get_profile("patient"), max_examples=10_000)


def pytest_collection_modifyitems(items):
    """Have pytest-run-parallel run tests with `run_script` on one thread."""
    alone = pytest.mark.thread_unsafe(reason="runs in its own process, with a deadline")
    for item in items:
        if "run_script" in getattr(item, "fixturenames", ()):
            item.add_marker(alone)


@pytest.fixture
def run_script(tmp_path):
    """Run Python source in a new process, which is killed if it hangs; return its output."""

    def run(source, timeout=60, quiet=True):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(source))
        done = subprocess.run(
            [sys.executable, str(script)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.path.dirname(__file__)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert not quiet or done.stderr == "", done.stderr
        return done.stdout

    return run


@pytest.fixture
def releases_gil(monkeypatch):
    """Return `testing.releases_gil`, with a shorter timeout than users get."""
    if not gil_enabled():
        pytest.skip("this Python has no GIL to hold")
    monkeypatch.setattr(testing, "TRY_SECONDS", 0.3)
    return testing.releases_gil
