"""What several test modules use: scripts in a process of their own, and a look at the GIL."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

import pytest

from gilfree.pool import gil_enabled


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
def lets_go():
    """Tell, without a clock, whether a call lets another thread have the GIL.

    Nobody asks the holder to give way within the huge switch interval, so the other thread can
    run only if the call itself let go. It needs some time to wake up, so there are many calls.
    """
    if not gil_enabled():
        pytest.skip("this Python has no GIL to hold")

    def lets_go(call):
        gate, ran = threading.Lock(), []
        gate.acquire()
        other = threading.Thread(target=lambda: (gate.acquire(), ran.append(True)))
        other.start()
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1000)
        try:
            gate.release()
            for _ in range(20):
                call()
                if ran:
                    return True
            return False
        finally:
            sys.setswitchinterval(interval)
            other.join()

    return lets_go
