"""A recording as annotations: commands to a GitHub workflow, which shows them beside the lines."""

from __future__ import annotations

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
    """Yield an annotation for each line at which others were, most of the time, in a long stall.

    Of its callers, if they are known, and itself the innermost in the workspace is taken: a line of
    a library can't be shown beside the code. A line is annotated once, for the longest stall.

    Parameters
    ----------
    recording : Recording
    folder : Path
        That the program was started in, and that its relative paths are meant from.
    workspace : Path
        The checkout, that paths of annotations are relative to.
    longer_than : float, default: 0
        Leave out stalls of at most so many seconds.
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
    """Return where to show it: the innermost line in the workspace, else the innermost there is."""
    stack: list[Holder | Caller] = [holder, *(holder.callers or ())]
    places = [_shown(each, folder, workspace) for each in stack]
    known = [place for place in places if place is not None]
    inside = [place for place in known if not Path(place[0]).is_absolute()]
    return next(iter(inside or known), None)


def _shown(one: Holder | Caller, folder: Path, workspace: Path) -> tuple[str, int] | None:
    """Return file and line as an annotation has them; None if not known, or if there is no file."""
    if one.file is None or one.line is None:
        return None
    path = (folder / one.file).resolve()
    if not path.is_file():  # <string>, <frozen importlib._bootstrap>
        return None
    inside = path.is_relative_to(workspace)
    return (path.relative_to(workspace) if inside else path).as_posix(), one.line


def _data(text: str) -> str:
    """Return a text as the message of a command, which ends with its line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Return a text as the value of a property, which ends with a comma or a colon."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
