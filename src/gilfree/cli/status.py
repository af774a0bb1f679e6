"""The exit statuses, which are the same for every command; only this file has the numbers."""

from __future__ import annotations

import enum
import sys
import textwrap
from typing import Self


class Status(enum.IntEnum):
    """How a command ended.

    Attributes
    ----------
    text : str
        What the status means, for the help of each command.
    """

    text: str

    def __new__(cls, number: int, text: str) -> Self:
        """Make a member whose value is the number, with the text as an attribute."""
        status = int.__new__(cls, number)
        status._value_ = number
        status.text = text
        return status

    DONE = 0, "done, and within the limits that were given"
    EXCEEDED = 1, "beyond --max-held, --max-stall or --max-wait"
    FAILED = (
        2,
        "could not be run, or the output could not be written: an argument is wrong, a file or "
        "package is missing, the statement raised an exception",
    )
    CANT_TELL = (
        3,
        "can't tell: too little was seen to check the limit, this Python has no GIL to hold, or "
        "this system or Python does not show which thread holds it",
    )
    INTERRUPTED = 130, "interrupted by Ctrl-C"


def interrupted(unwritten: str = "") -> Status:
    """Say on stderr that results are incomplete, and which files were not written."""
    sys.stdout.flush()
    not_written = unwritten and f"; {unwritten} not written"
    print(f"gilfree: interrupted; results so far are above{not_written}", file=sys.stderr)
    return Status.INTERRUPTED


def statuses() -> str:
    """Return the part of a help text that says what the exit statuses mean."""
    lines = [
        textwrap.fill(
            status.text, 80, initial_indent=f"  {status:>3d}  ", subsequent_indent=" " * 7
        )
        for status in Status
    ]
    return "".join(["\nexit status:\n", *(f"{line}\n" for line in lines)])
