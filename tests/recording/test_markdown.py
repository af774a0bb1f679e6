"""A recording as Markdown."""

from __future__ import annotations

import re

import made_up
import pytest

from gilfree.recording.markdown import page, plain


def cells(row):
    """Return the cells of a row of a table; an escaped bar is part of its cell."""
    return re.split(r"(?<!\\)\|", row)[1:-1]


@pytest.mark.parametrize("name", made_up.CASES)
def test_no_thread_name_breaks_a_table(name):
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
    assert any("someone held it for 10 ms in someone (someone.py:41), in one C" in x for x in lines)


def test_characters_with_a_meaning_in_markdown_are_escaped():
    assert plain("__init__ <b> a|b\n`x`\t$y$") == r"\_\_init\_\_ \<b\> a\|b \`x\` \$y\$"
    assert plain("\\|") == r"\\\|"
    assert plain("\ud800é") == "?é"
    assert len(plain("x" * 5000)) < 500


def test_a_file_with_the_suffix_md_is_markdown(tmp_path):
    recording = made_up.CASES["two of one name"]
    recording.save(tmp_path / "found.md")
    assert (tmp_path / "found.md").read_text(encoding="utf-8") == page(recording)
