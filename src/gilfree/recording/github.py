"""A recording as annotations: workflow commands that GitHub shows beside lines of code."""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gilfree._words import readable_time
from gilfree.gil.facts import Caller, Holder
from gilfree.recording.text import MOST_STALLS, holder_text

if TYPE_CHECKING:
    from gilfree.recording.recording import Recording

TITLE = {True: "waited for the GIL", False: "was suspended"}


def commands(
    recording: Recording, folder: Path, workspace: Path, longer_than: float = 0.0
) -> Iterator[str]:
    """Yield an annotation for the line of the longest holder in each of the longest stalls.

    If the holder's callers are known, the innermost line in the workspace is annotated: GitHub
    can't show a line of a library. A line is annotated once, for its longest stall.

    Parameters
    ----------
    recording : Recording
    folder : Path
        The folder that the program was started in, to which its relative paths refer.
    workspace : Path
        The checkout, to which the paths of annotations are relative.
    longer_than : float, default: 0
        Only annotate stalls longer than this, in seconds.

    Yields
    ------
    str
        A line to print.
    """
    workspace, seen = workspace.resolve(), set()
    gil = recording.facts.gil
    for stall in recording.stalls[:MOST_STALLS]:
        place = _place(stall.holders[0], folder, workspace) if stall.holders else None
        if stall.seconds <= longer_than or place is None or place in seen:
            continue
        seen.add(place)
        waiter = stall.waiter or "a thread without a name"
        title = f"{waiter} {TITLE[gil]} for {readable_time(stall.seconds)}"
        path, line = place
        yield (
            f"::warning file={_property(path)},line={line},title={_property(title)}"
            f"::{_data(holder_text(stall.holders[0], gil=gil))}"
        )


def _place(holder: Holder, folder: Path, workspace: Path) -> tuple[str, int] | None:
    """Return the innermost line in the workspace, else the innermost line of an existing file."""
    stack: list[Holder | Caller] = [holder, *(holder.callers or ())]
    places = [_shown(each, folder, workspace) for each in stack]
    known = [place for place in places if place is not None]
    inside = [place for place in known if not Path(place[0]).is_absolute()]
    return next(iter(inside or known), None)


def _shown(one: Holder | Caller, folder: Path, workspace: Path) -> tuple[str, int] | None:
    """Return file and line for an annotation; None if not known, or if the file does not exist."""
    if one.file is None or one.line is None:
        return None
    path = (folder / one.file).resolve()
    if not os.path.isfile(path):  # <string>, <frozen importlib._bootstrap>
        return None
    inside = path.is_relative_to(workspace)
    return (path.relative_to(workspace) if inside else path).as_posix(), one.line


def _data(text: str) -> str:
    """Escape a text for the message of a command: a line break would end it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape a text for the value of a property: a comma or a colon would end it."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
