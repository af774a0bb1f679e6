"""Checks of gilfree's HTML: every element is closed, and the CSS affects nothing else."""

from __future__ import annotations

import html.parser
import re

# A selector that only matches elements within an element of a gilfree class.
OURS = r"(\[data-jp-theme-light=\"\w+\"\] )?(\.gilfree[\w-]* |body\.gilfree-page|@media)"


class Structure(html.parser.HTMLParser):
    """Checks that each element is closed; collects the tags and the attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes


def foreign_selectors(text):
    """Return the outermost selectors of the CSS that may match elements of the page around."""
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)[1]
    style = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    depth, outermost = 0, ""
    for char in style:
        depth -= char == "}"
        outermost += char if depth == 0 else ""
        depth += char == "{"
    selectors = [part.strip() for part in re.findall(r"[^{}]+", outermost) if part.strip()]
    assert selectors
    return [one for one in selectors if not re.match(OURS, f"{one} ")]
