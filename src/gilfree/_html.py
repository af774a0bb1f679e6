"""Results as HTML: escaped text, and the card of a result in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT = 1000, 20  # of a bar, in units of its SVG; the page scales it to the space it has
SEEN = 0.005  # the smallest share of a bar that is visible


class Part(NamedTuple):
    """A part of a bar: its CSS class, its share of the bar's width, and what it stands for."""

    look: str
    share: float
    words: str


def style() -> str:
    """Return the CSS of cards, and the colours of every element of the class ``gilfree``.

    They follow the theme of the notebook, or the preference of the browser where there is none.
    """
    return Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def as_html(text: str) -> str:
    """Return text as HTML. Lone surrogates, which file names may hold, become backslash escapes."""
    return escape(text.encode("utf-8", "backslashreplace").decode())


def card(sentence: str, picture: Iterable[str], table: Iterable[str], note: str = "") -> str:
    """Return the card of a result in a notebook. It has no script, and its CSS affects only itself.

    If a notebook removes the CSS, as an untrusted one may, the sentence and the table still show.

    Parameters
    ----------
    sentence : str
        What the result means, as HTML.
    picture : iterable of str
        Bars and a legend, from `lane` and `legend`.
    table : iterable of str
        The rows of the table, as HTML.
    note : str
        What the result depends on, as text.
    """
    noted = f'<p class="note">{as_html(note)}</p>\n' if note else ""
    drawn = "\n".join(picture)
    return (
        f'<style>\n{style()}</style>\n<div class="gilfree gilfree-card">\n'
        f'<p class="sentence">{sentence}</p>\n{drawn}\n'
        f'<div class="wide" tabindex="0"><table>\n{"".join(table)}</table></div>\n{noted}</div>\n'
    )


def lane(
    name: str,
    parts: Sequence[Part],
    value: str,
    *,
    spread: tuple[float, float] | None = None,
    mark: float | None = None,
) -> str:
    """Return a bar between its name and its value.

    Parameters
    ----------
    name, value : str
    parts : sequence of Part
        From left to right.
    spread : tuple of float, optional
        The interval in which the end of the first part lies, in shares of the width.
    mark : float, optional
        The position of a vertical line, as a share of the width.
    """
    drawn, left = [], 0.0
    for part in parts:
        x, end = _x(left), _x(left + part.share)
        box = f'x="{x:.1f}" y="0" width="{end - x:.1f}" height="{HEIGHT}"'
        drawn.append(f'<rect class="{part.look}" {box}/>')
        left += part.share
    if mark is not None:
        drawn.append(f'<path class="mark" d="M{_x(mark):.1f} 0V{HEIGHT}"/>')
    if spread is not None and spread[1] - spread[0] > SEEN:
        low, high = map(_x, spread)
        drawn.append(f'<path class="spread" d="M{low:.1f} {HEIGHT // 2}H{high:.1f}"/>')
    told = as_html(", ".join(part.words for part in parts if part.share > SEEN))
    return (
        f'<div class="lane" title="{told}"><span>{as_html(name)}</span> '
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{told}">{"".join(drawn)}</svg> <span>{as_html(value)}</span></div>'
    )


def _x(share: float) -> float:
    """Return a share of the width in units of the SVG, limited to the bar."""
    return min(max(share, 0.0), 1.0) * WIDTH


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Return the legend of a picture, from pairs of a CSS class and its meaning."""
    items = (f'<span><i class="{look}"></i>{as_html(words)}</span>' for look, words in entries)
    return f'<p class="legend">{" ".join(items)}</p>'
