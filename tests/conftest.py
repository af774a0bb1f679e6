"""What several test modules use: scripts in a process of their own, and a look at the GIL."""

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

# Dask's profiler reads the frames of threads that run. Without a GIL that may crash the interpreter
# (CPython issue 152355). Every process that a test starts inherits this.
if not gil_enabled():
    os.environ["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] = "False"

# A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no reason to fail.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
# Chosen by --hypothesis-profile: a hundred times as many examples.
settings.register_profile("thorough", settings.get_profile("patient"), max_examples=10_000)


def pytest_collection_modifyitems(items):
    """Keep from many threads at once, under pytest-run-parallel, what a process runs anyway."""
    alone = pytest.mark.thread_unsafe(reason="runs in a process of its own, and has a deadline")
    for item in items:
        if "run_script" in getattr(item, "fixturenames", ()):
            item.add_marker(alone)


@pytest.fixture
def run_script(tmp_path):
    """Run Python source in a fresh interpreter that is killed when it hangs; return its output."""

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
def lets_go(monkeypatch):
    """Return `testing.releases_gil`, with fewer seconds of tries than users get."""
    if not gil_enabled():
        pytest.skip("this Python has no GIL to hold")
    monkeypatch.setattr(testing, "TRY_SECONDS", 0.3)
    return testing.releases_gil
