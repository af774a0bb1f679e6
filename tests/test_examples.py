"""Each example is short, runs unchanged, and prints what it should show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import needs
import pytest

from gilfree._system import gil_enabled

pytestmark = pytest.mark.thread_unsafe(reason="starts processes")

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))

# Patterns that the output of each example contains on any machine.
SHOWN = {
    "01_bytecode_on_threads.py": ["on two threads", "times as fast"],
    "02_waiting_on_threads.py": ["8 requests", "on 8 threads", "times as fast"],
    "03_processes.py": ["two processes are ready", "0.0 MB to send", "80.0 MB to send"],
    "04_a_kernel_released.py": ["GIL held", "GIL released", "the machine's limit"],
    "05_race.py": [
        "one counter, GIL held",
        "one counter, GIL released",
        r"a counter each, GIL released +\d+ ms +0 updates lost",
    ],
    "06_macros.py": ["by hand: True", "ms by a loop that never", "ms by one that checks"],
    "07_probe.py": ["checksum: ", "adler32: "],
    "08_dask.py": [
        r"here, on one worker +\d+ ms +(3\.\d+)\n +Dask, small tasks +\d+ ms +\1\n",
        "Dask, one task a worker",
    ],
    "09_lanes.py": [
        r"GIL held: two threads are \d\.\d\d times",
        r"GIL released: \d\.\d\d times as fast; two processes could give \d\.\d\d\n",
        "no picture: " if needs.why_no_recorder() else "",
    ],
    "10_uvicorn_stalls.py": [
        r"sorted\ngilfree\[\d+\]: MainThread \(\d+\) has waited for the GIL for ",
        r"  held +asyncio_0 \(\d+\) for .*, in one C call",
    ],
    "11_dask_stalls.py": [
        r"gilfree\[\d+\]: .* has waited for the GIL for ",
        r"  held .*Dask-Default-Threads.*",
    ],
    "12_hand_out.py": [r"\n  100,000 +\d+\.\d\d ms +\d+\.\d\d ms\n", r"\n      100 "],
}


def test_they_are_numbered_and_all_listed_here():
    assert [example.name for example in EXAMPLES] == list(SHOWN)


@needs.posix  # one example sends signals, one probes
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
@pytest.mark.slow
def test_it_is_short_and_shows_what_it_says(example, tmp_path):
    if "uvicorn" in example.name:
        pytest.importorskip("uvicorn")
    if "stalls" in example.name and not needs.HAS_RECORDER:
        pytest.skip(needs.why_no_recorder())
    source = example.read_text()
    assert len(source.splitlines()) < 40
    assert source.startswith('"""')
    done = subprocess.run(
        [sys.executable, str(example)],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "dask" not in example.name:  # Dask may log to stderr that it closes connections
        assert done.stderr == ""
    shown = SHOWN[example.name]
    if example.name == "05_race.py" and gil_enabled():
        shown = [*shown, r"one counter, GIL held +\d+ ms +0 updates lost"]
    for words in shown:
        assert re.search(words, done.stdout), done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert not list(tmp_path.iterdir())
