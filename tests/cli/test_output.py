"""Output that can't be written, and output that nobody reads."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import needs
import pytest

pytestmark = pytest.mark.thread_unsafe(reason="starts processes, which gain nothing from threads")

full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")


@full_device
@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_that_cannot_be_written_is_an_error(argument):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "gilfree", argument]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"gilfree: can't write")


@needs.posix
@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_closed_stream_does_no_harm(closed):
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m gilfree explain {closed}>&-', sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@full_device
@pytest.mark.slow
def test_output_that_cannot_be_written():
    options = "--quick", "--json", "--only", "1", "--workers", "1"
    arguments = [sys.executable, "-m", "gilfree", "demo", *options]
    with open("/dev/full", "w") as full:
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "gilfree: can't write: No space left on device\n"
    closed = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    closed.stdout.close()
    assert closed.wait(timeout=60) == 2
    assert closed.stderr.read() == ""
    closed.stderr.close()


COMMANDS = [
    "demo --quick --only 1 --workers 1",
    "demo --quick --only 1 --workers 1 --json",
    "probe pass --workers 1",
    "probe pass --workers 1 --json",
    "survey stdlib",
    "survey stdlib --json",
    "survey stdlib --markdown",
    "explain polyval",
    "--help",
    "demo --help",
    "--version",
]

# Reduces the survey to one call.
MAIN = """
from gilfree import cli, survey
survey.CALLS = [call for call in survey.CALLS if call.name == "json.loads"]
cli.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_whose_reader_leaves_ends_quietly(command):
    def read(lines):
        ours, theirs = os.pipe()
        with (
            open(ours) as output,
            subprocess.Popen(
                [sys.executable, "-c", MAIN, *command.split()],
                stdout=theirs,
                stderr=subprocess.PIPE,
                text=True,
            ) as process,
        ):
            os.close(theirs)
            for _ in range(lines):
                assert output.readline()
            output.close()
            assert process.communicate(timeout=120)[1] == ""
            assert process.returncode in (0, 2)

    with ThreadPoolExecutor(2) as readers:  # one leaves before the output, one within it
        list(readers.map(read, [0, 1]))
