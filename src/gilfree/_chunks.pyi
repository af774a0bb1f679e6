"""Types of the chunks of a call."""

from collections.abc import Iterator

class Chunks(Iterator[slice]):
    """The elements of one call, in `count` chunks; each is taken once, by whoever comes first.

    Parameters
    ----------
    size : int
        How many elements there are.
    count : int, default: 1
        How many chunks; as many as there are elements, at most.

    Raises
    ------
    ValueError
        If `size` is negative, or `count` less than 1.
    """

    def __init__(self, size: int, count: int = 1) -> None: ...
    @property
    def count(self) -> int:
        """How many chunks there are."""
    @property
    def left(self) -> bool:
        """Whether there are chunks that nobody has taken."""
    def stop(self) -> None:
        """Let no further chunk be taken."""
    def __next__(self) -> slice: ...
