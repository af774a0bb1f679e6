"""A recording as annotations of a GitHub workflow."""

from __future__ import annotations

import dataclasses

import made_up
import pytest

from gilfree.gil.facts import Caller, Holder, Stall
from gilfree.recording.github import commands
from gilfree.recording.recording import Recording


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    (folder / "src").mkdir(parents=True)
    for name in "app.py", "src/odd, 100%: name.py":
        (folder / name).touch()
    (tmp_path / "library.py").touch()
    return folder


def lines_of(checkout, *holders, seconds=0.1, folder=None, **how):
    stalls = tuple(
        Stall("main", 0.0, seconds / (n + 1), (each,), None) for n, each in enumerate(holders)
    )
    facts = dataclasses.replace(made_up.CASES["nothing"].facts, stalls=stalls)
    return list(commands(Recording(facts), folder or checkout, checkout, **how))


def holder(file, line=7, function="work", callers=None):
    return Holder("worker", 0.05, str(file), line, function, in_c=True, callers=callers)


def test_a_line_of_the_checkout(checkout):
    expected = [
        "::warning file=app.py,line=7,title=main waited for the GIL for 100 ms"
        "::worker held it for 50 ms in work (app.py:7), in one C call"
    ]
    assert lines_of(checkout, holder(checkout / "app.py")) == expected
    assert lines_of(checkout, holder("app.py")) == expected
    assert lines_of(checkout, holder("../app.py"), folder=checkout / "src") == expected
    assert lines_of(checkout, *[holder("app.py")] * 3) == expected


def test_characters_with_a_meaning_in_a_command_are_escaped(checkout):
    odd = holder("src/odd, 100%: name.py", function="a\r\nb: c, %d")
    (line,) = lines_of(checkout, odd)
    assert line.startswith("::warning file=src/odd%2C 100%25%3A name.py,line=7,title=")
    assert "in a%0D%0Ab: c, %25d (odd, 100%25: name.py:7)" in line
    assert "\n" not in line


def test_the_innermost_caller_in_the_checkout_is_annotated(checkout):
    library = checkout.parent / "library.py"
    callers = (Caller(str(library), 1, "f"), Caller("app.py", 3, "g"), Caller("app.py", 9, "h"))
    (line,) = lines_of(checkout, holder(library, callers=callers))
    assert line.startswith("::warning file=app.py,line=3,")
    (line,) = lines_of(checkout, holder(library))
    assert line.startswith(f"::warning file={library.as_posix()},line=7,")


def test_without_a_line_there_is_no_annotation(checkout):
    unknown = holder("app.py", line=None), holder("<string>"), holder("gone.py"), holder("x" * 300)
    assert lines_of(checkout, *unknown, Holder(None, 0.1, None, None, None, None)) == []


def test_short_stalls_are_left_out(checkout):
    both = holder("app.py", 1), holder("app.py", 2)
    assert len(lines_of(checkout, *both, longer_than=0.06)) == 1
    assert lines_of(checkout, *both, longer_than=0.1) == []
