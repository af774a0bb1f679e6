"""Every relative link in a page leads to a file or folder, and every #anchor to a heading of it.

On GitHub, that is: the site's own links are checked where it is built, by ``nox -s docs``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
FENCED = re.compile(r"^(`{3,})[^\n]*\n.*?^\1$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"(`+).+?\1", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)


def links_of(text):
    """Return the targets of the links that are no addresses of the web, also of pictures."""
    prose = CODE.sub("", FENCED.sub("", text))
    return [target for target in LINK.findall(prose) if not re.match(r"[a-z]+:", target)]


def anchors_of(text):
    """Return the anchors that GitHub makes of headings: a second one of a name gets a number."""
    anchors = []
    for heading in HEADING.findall(FENCED.sub("", text)):
        words = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        again = sum(
            re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", one) is not None for one in anchors
        )
        anchors.append(f"{anchor}-{again}" if again else anchor)
    return anchors


def dead_links(page):
    """Return the targets of a page that lead nowhere."""
    dead = []
    for target in links_of(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        leads = file.exists()
        if leads and anchor and file.suffix == ".md":  # lines of a source, #L10, are GitHub's own
            leads = anchor in anchors_of(file.read_text(encoding="utf-8"))
        if not leads:
            dead.append(target)
    return dead


@pytest.mark.skipif(not (ROOT / "src").exists(), reason="some links lead to the sources")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "other.md").write_text("# A title: `x` & more\n\n## Twice\n\n## Twice\n")
    good = "[a](other.md#a-title-x--more), [b](#here), [c](other.md#twice-1), [d](https://e.f/g)"
    code = "`[x](gone.md)`\n\n```text\n[y](gone.md)\n```\n"
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n\n{good}\n\n{code}\n")
    assert dead_links(page) == []
    page.write_text("[`e`](gone.md), ![f](gone.svg), [g](#twice), [h](other.md#twice-2)\n")
    assert dead_links(page) == ["gone.md", "gone.svg", "#twice", "other.md#twice-2"]
