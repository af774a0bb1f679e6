"""A recording as Markdown."""

from __future__ import annotations

import re

import made_up
import pytest

from gilfree.recording.markdown import page, plain


def cells(row):
    """Return the cells of a row of a table: a bar that is escaped ends none."""
    return re.split(r"(?<!\\)\|", row)[1:-1]


@pytest.mark.parametrize("name", made_up.CASES)
def test_tables_are_whole_whatever_threads_are_called(name):
    text = page(made_up.CASES[name])
    text.encode()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(cells(row)) for row in rows} <= {7, 4}
    assert not re.search(r"(?<!\\)<(?!br>)", text)
    assert max(map(len, text.splitlines())) < 3000


def test_it_says_what_the_report_says():
    recording = made_up.CASES["two of one name"]
    lines = page(recording).splitlines()
    assert lines[0] == f"**{plain(recording.sentence)}**"
    assert lines[2].startswith("| thread | waiting | held | running | blocked | longest wait |")
    assert lines[4].startswith("| worker | 20\N{NO-BREAK SPACE}ms | 20")
    assert "The longest of 3 stalls:" in lines
    assert any("someone had it for 10 ms in someone (someone.py:41), in one C" in x for x in lines)


def test_what_means_something_in_markdown_is_escaped():
    assert plain("__init__ <b> a|b\n`x`\t$y$") == r"\_\_init\_\_ \<b\> a\|b \`x\` \$y\$"
    assert plain("\\|") == r"\\\|"
    assert plain("\ud800é") == "?é"
    assert len(plain("x" * 5000)) < 500


def test_a_file_of_that_suffix(tmp_path):
    recording = made_up.CASES["two of one name"]
    recording.save(tmp_path / "found.md")
    assert (tmp_path / "found.md").read_text(encoding="utf-8") == page(recording)
