"""The exit statuses of every command: within a limit, beyond it, could not run, can't tell."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from pathlib import Path

import made_up
import pytest
from rows import library

from gilfree import cli
from gilfree.cli import probe
from gilfree.cli.arguments import share
from gilfree.cli.limits import of_recording
from gilfree.cli.status import Status
from gilfree.gil.facts import Facts
from gilfree.gil.sampler import NoSamplerError
from gilfree.recording.recording import Recording

ARGUMENTS = {"probe": ["pass"], "run": ["-c", "pass"]}
WAITED = made_up.recording(("main", 0, [(0.06, "held"), (0.04, "waiting")]))


def report(held, uncertainty=0.01, **fields):
    whole = library("numpy", 0.0).report
    return dataclasses.replace(whole, held=held, uncertainty=uncertainty, **fields)


def recording(**facts):
    """Make a recording of 100 ms of one thread, which waited for 40 ms at a stretch."""
    (thread,) = WAITED.threads
    threads = (dataclasses.replace(thread, longest_wait=0.04),)
    return Recording(dataclasses.replace(WAITED.facts, threads=threads, **facts))


@pytest.mark.parametrize(
    ("report", "most", "status", "words"),
    [
        (report(0.05), 0.1, 0, ""),
        (report(0.5), 0.1, 1, "held for 50.0% ± 1.0% of the call, more than the 10% of"),
        (report(0.105), 0.1, 3, "held for 10.5% ± 1.0% of the call, too close to the 10% of"),
        (report(0.095), 0.1, 3, "too close"),
        (report(1.0), 1.0, 0, ""),
        (report(0.3, 0.2), 0.6, 0, ""),
        (report(None, 1.0), 0.1, 3, "no sample hit the call"),
        (report(1.0, gil_enabled=False), 0.1, 3, "this Python has no GIL"),
    ],
)
def test_a_held_share_is_within_its_limit_beyond_it_or_too_close_to_tell(
    report, most, status, words, monkeypatch, capsys
):
    monkeypatch.setattr(probe, "_statement_report", lambda _: (report, True))
    with pytest.raises(SystemExit) as ended:
        cli.main(["probe", "--max-held", str(most), "pass"])
    assert ended.value.code == status
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("found", "max_stall", "max_wait", "status", "words"),
    [
        (recording(), None, None, 0, ""),
        (recording(), 0.05, 0.5, 0, ""),
        (recording(), 0.03, 0.3, 1, "took 40 ms, more than the 30 ms of --max-stall"),
        (recording(), 0.03, 0.3, 1, "waited for 40% of the time, more than the 30% of"),
        (recording(largest_gap=0.06), 0.05, 0.5, 3, "there was a gap of 60 ms"),
        (recording(largest_gap=0.06), 0.03, 0.5, 1, "took 40 ms"),
        (recording(missed=0.05), 0.05, 0.5, 3, "got no CPU for 50 ms of 100 ms"),
        (recording(missed=0.05), 0.03, 0.3, 1, "more than"),
        (Recording(Facts(0.0, (), ())), 0.05, 0.5, 3, "nothing was recorded"),
    ],
)
def test_a_stall_is_within_its_limit_beyond_it_or_possibly_not_seen(
    found, max_stall, max_wait, status, words
):
    found_status, reasons = of_recording(found, max_stall, max_wait)
    assert found_status == status
    assert words in "; ".join(reasons)
    assert bool(reasons) == bool(words)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_without_a_sampler_every_command_exits_with_3(command, monkeypatch, capsys):
    def refuse(_):
        msg = "not here"
        raise NoSamplerError(msg)

    monkeypatch.setattr(f"gilfree.cli.{command}.run", refuse)
    with pytest.raises(SystemExit) as ended:
        cli.main([command, *ARGUMENTS.get(command, [])])
    assert (ended.value.code, capsys.readouterr().err) == (3, "gilfree: not here\n")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ZeroDivisionError()])
def test_a_bug_in_gilfree_is_not_an_exceeded_limit(error, monkeypatch, capsys):
    def fail(_):
        raise error

    monkeypatch.setattr("gilfree.cli.explain.run", fail)
    monkeypatch.setattr(os, "dup2", lambda *_: None)  # it would redirect the output of the tests
    with pytest.raises(SystemExit) as ended:
        cli.main(["explain"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.strip()


def test_a_share_is_a_number_or_a_percentage():
    assert (share("0.25"), share("25%"), share("1"), share("0%")) == (0.25, 0.25, 1, 0)
    for text in "2", "200%", "-1", "nan", "%", "much":
        with pytest.raises(argparse.ArgumentTypeError, match="from 0 to 1, or a percentage"):
            share(text)


def test_the_guide_lists_all_exit_statuses():
    text = (Path(__file__).parents[2] / "docs" / "08-how-to-check-it.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ", text, re.MULTILINE)
    assert [int(number) for number in rows] == [*Status]
