"""What a recording means, as a code."""

from __future__ import annotations

import enum
from typing import Self


class RecordingVerdict(enum.Enum):
    """Whether threads waited for the GIL, and for what; `NO_GIL` where there is none.

    The value of a member is a code that stays the same in every release.

    Attributes
    ----------
    text : str
        The verdict in a few words, which may change between releases.
    """

    text: str

    def __new__(cls, code: str, text: str) -> Self:
        """Make a member whose value is the code, with the text as an attribute."""
        verdict = object.__new__(cls)
        verdict._value_ = code
        verdict.text = text
        return verdict

    NOTHING = "nothing_recorded", "nothing was recorded"
    INCONCLUSIVE = "inconclusive", "inconclusive"
    NO_WAIT = "no_wait", "hardly any thread waited for the GIL"
    WAITED = "waited", "threads waited for the GIL"
    WAITED_FOR_C = "waited_for_c", "threads waited for C code that holds the GIL"
    NO_GIL = "no_gil", "this Python has no GIL"
    WAITED_FOR_BYTECODE = "waited_for_bytecode", "threads waited for each other's bytecode"
