"""Types of those who work on a call."""

from collections.abc import Callable

from gilfree._chunks import Chunks

MOST_THREADS: int

class Call:
    """A call under way.

    Parameters
    ----------
    work : callable
        ``work(chunks)`` works until no chunk is left. The caller calls it, and every helper once.
    chunks : Chunks
    """

    def __init__(self, work: Callable[[Chunks], object], chunks: Chunks) -> None: ...
    @property
    def chunks(self) -> Chunks: ...
    def run(self, call_helper: Callable[[Callable[[], None]], object] | None, helpers: int) -> None:
        """Work, with so many helpers at most; return when all is done and none is at work any more.

        Parameters
        ----------
        call_helper : callable, optional
            Takes `help`, and has a thread call it, such as ``submit`` of an executor. By default
            threads help that all calls share.
        helpers : int

        Raises
        ------
        BaseException
            The first that `work` raised in any of the threads, or ``KeyboardInterrupt``.
        """
    def help(self) -> None:
        """Work, in a helper, unless the call is over."""

def in_a_row() -> bool:
    """Tell whether a helper is awake, or the last call that asked was made a moment ago."""
