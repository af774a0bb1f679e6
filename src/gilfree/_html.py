"""Results as HTML: text that stays text, and the card that a notebook shows of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT = 1000, 20  # of a bar in its own units; it is as wide as there is room
SEEN = 0.005  # a share of the bar that can be seen


class Part(NamedTuple):
    """A piece of a bar: a class of the style, its share of the bar's width, what it stands for."""

    look: str
    share: float
    words: str


def style() -> str:
    """Return the style of cards, and the colours of all else that is of the class ``gilfree``.

    It follows the theme of the notebook, or what the browser prefers where there is none.
    """
    return Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def as_html(text: str) -> str:
    """Return text as HTML; half a surrogate pair, which names of files may hold, as its number."""
    return escape(text.encode("utf-8", "backslashreplace").decode())


def card(sentence: str, picture: Iterable[str], table: Iterable[str], note: str = "") -> str:
    """Return what a notebook shows of a result, without script: it styles nothing but itself.

    Without its style, as where a notebook is not trusted, sentence and table are still there.

    Parameters
    ----------
    sentence : str
        What the result means, as HTML.
    picture : iterable of str
        From `lane` and `legend`.
    table : iterable of str
        Its rows, as HTML.
    note : str
        What it depends on, as text.
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
        Between which shares of the width the end of the first part may lie.
    mark : float, optional
        At which share of it there is a line.
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
    """Return where a share of the width ends, within the bar."""
    return min(max(share, 0.0), 1.0) * WIDTH


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Return what the looks in a picture stand for."""
    items = (f'<span><i class="{look}"></i>{as_html(words)}</span>' for look, words in entries)
    return f'<p class="legend">{" ".join(items)}</p>'
