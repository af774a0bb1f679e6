"""Types of the chunks of a call."""

from collections.abc import Iterator

class Chunks(Iterator[slice]):
    """The elements of one call, in `count` chunks. Each chunk is taken by one worker.

    Safe to share between threads.

    Parameters
    ----------
    size : int
        Number of elements.
    count : int, default: 1
        Number of chunks. `size` is used if it is less.

    Raises
    ------
    ValueError
        If `size` is negative, or `count` less than 1.
    """

    def __init__(self, size: int, count: int = 1) -> None: ...
    @property
    def count(self) -> int:
        """The number of chunks."""
    @property
    def left(self) -> bool:
        """Whether there are chunks that no worker has taken."""
    def stop(self) -> None:
        """Mark all chunks as taken, so that workers finish."""
    def __next__(self) -> slice: ...
