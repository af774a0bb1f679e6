"""The page of ``gilfree demo --html``: one file that loads no others, and can be printed."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from gilfree.demo import kernels
from gilfree.demo.step import Result
from gilfree.demo.table import lines

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --dim: #5f5f5f; --line: #d5d5d5; --back: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --dim: #a5a5a5; --line: #444; --back: #16181b }
}
body { margin: 0 auto; padding: 2rem 1rem; max-width: 52rem; color: var(--ink);
  background: var(--back); font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
header p, .note { color: var(--dim); margin: .3rem 0; font-size: .9rem }
/* A shadow at an end that can be scrolled to: at the end itself, a gradient that scrolls with the
   table covers it. */
.wide { overflow-x: auto; max-width: max-content; background:
  linear-gradient(to right, var(--back) 40%, transparent) left / 3rem 100% no-repeat local,
  linear-gradient(to left, var(--back) 40%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(to right, var(--dim), transparent) left / 1.2rem 100% no-repeat scroll,
  linear-gradient(to left, var(--dim), transparent) right / 1.2rem 100% no-repeat scroll }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .8rem .25rem 0; text-align: right; white-space: pre }
th { border-bottom: 1px solid var(--line); vertical-align: bottom; font-weight: 600 }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
  background: var(--back) }
th:last-child, td:last-child { padding-right: 0 }
.sentence { margin: .7rem 0 }
img { display: block; width: 100%; background: #fff; margin-top: 1rem; border-radius: 4px }
picture img { background: none; border-radius: 0 }
@media print {
  :root { --ink: #000; --dim: #444; --line: #999; --back: #fff }
  body { padding: 0; max-width: none; font-size: 10pt }
  section { break-inside: avoid }
  .wide { background: none }
}
"""


def page(
    title: str,
    about: Sequence[str],
    results: Sequence[Result[Any]],
    picture: bytes | None,
    lanes: Sequence[bytes] = (),
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    title : str
    about : sequence of str
        Lines about the machine and the Python.
    results : sequence of Result
        The results of the steps.
    picture : bytes, optional
        The picture of the step that compares kernels, as SVG.
    lanes : sequence of bytes
        Which thread held the GIL when in that step, as SVG for a light page, and for a dark one.
    """
    drawn = (_scaling(picture) if picture else "") + (_lanes(*lanes) if lanes else "")
    sections = "".join(
        _section(result, drawn if result.step is kernels.STEP else "") for result in results
    )
    machine = "".join(f"<p>{_html(line)}</p>\n" for line in about)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{escape(title)}</h1>\n{machine}</header>\n{sections}</body>\n</html>\n"
    )


def _section(result: Result[Any], pictures: str) -> str:
    parts = [f"<h2>{_html(result.step.heading)}</h2>"]
    if result.rows:
        columns = result.step.columns(result.rows)
        # Headings are hyphenated for the narrow columns of a terminal only.
        headings = [column.heading.replace("-\n", "") for column in columns]
        # tabindex lets the keyboard scroll the table, too.
        parts.append(f'<div class="wide" tabindex="0"><table>{_line("th", headings)}')
        parts += [_line("td", line) for line in lines(columns)]
        parts.append("</table></div>")
        if result.step.note:
            parts.append(f'<p class="note">{_html(result.step.note)}</p>')
    parts.append(f'<p class="sentence">{_html(result.sentence)}</p>')
    if pictures:
        parts.append(pictures)
    return "<section>\n" + "\n".join(parts) + "\n</section>\n"


def _scaling(picture: bytes) -> str:
    alt = (
        "Speedup by number of workers, one panel for each kernel, and the share of a call that "
        "holds the GIL"
    )
    return f'<img alt="{alt}" src="{_data(picture)}">'


def _lanes(light: bytes, dark: bytes) -> str:
    alt = (
        "Which thread holds the GIL when: a lane for each of two threads, above with the GIL held, "
        "below with the GIL released"
    )
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{_data(dark)}">'
        f'<img alt="{alt}" src="{_data(light)}"></picture>'
    )


def _data(picture: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(picture).decode()}"


def _line(tag: str, texts: Sequence[str]) -> str:
    cells = (f"<{tag}>{_html(_padded(text)).replace(chr(10), '<br>')}</{tag}>" for text in texts)
    return f"<tr>{''.join(cells)}</tr>"


def _padded(text: str) -> str:
    """Return a cell whose spaces in place of digits are as wide as digits."""
    return re.sub("(?<=±) +| +$", lambda spaces: "\u2007" * len(spaces[0]), text)


def _html(text: str) -> str:
    """Return text as HTML, and text between backticks as code."""
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escape(text))
