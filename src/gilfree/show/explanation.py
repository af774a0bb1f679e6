"""How a kernel releases the GIL: coloured source, with a ">" at lines that release or acquire."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.syntax import Syntax
from rich.text import Text

from gilfree.explain import Line, Part


def explanation(parts: Sequence[Part], width: int) -> Text:
    """Return source with line numbers, coloured, with a ">" at lines that release or acquire."""
    text = Text()
    for part in parts:
        text.append(f"{part.title}\n\n", style="bold")
        digits = max((len(str(line.number or "")) for line in part.lines), default=0)
        for line in part.lines:
            text.append_text(_source_line(line, part.language, digits, width))
        text.append("\n" if part.lines else "")
        text.append(textwrap.fill(part.note, width, initial_indent="  ", subsequent_indent="  "))
        text.append("\n\n" if part is not parts[-1] else "")
    return text


def _source_line(line: Line, language: str, digits: int, width: int) -> Text:
    number = f"{line.number or '':>{digits}} " if digits else ""
    margin = f"  {number}{'>' if line.marked else ' '} "
    indent = " " * (len(line.text) - len(line.text.lstrip()) + 4)
    wrapper = textwrap.TextWrapper(
        width - len(margin), subsequent_indent=indent, break_long_words=False
    )
    text = Text()
    for part in wrapper.wrap(line.text) or [""]:
        text.append(margin, style="bold red" if line.marked else "dim")
        source = Syntax(part, language, theme="ansi_dark").highlight(part)
        source.stylize("bold" if line.marked else "")
        text.append_text(source)
        text.rstrip()
        text.append("\n")
        margin = " " * len(margin)
    return text
