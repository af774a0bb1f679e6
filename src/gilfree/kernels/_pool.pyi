"""Types of the calls and their helpers."""

from collections.abc import Callable

from gilfree._chunks import Chunks

MOST_THREADS: int

class Call:
    """One call of a kernel, with its workers.

    Parameters
    ----------
    work : callable
        ``work(chunks)`` takes chunks until none is left. Each worker calls it, and calls it again
        if it returns while chunks are left.
    chunks : Chunks
    """

    def __init__(self, work: Callable[[Chunks], object], chunks: Chunks) -> None: ...
    @property
    def chunks(self) -> Chunks: ...
    def run(self, submit: Callable[[Callable[[], None]], object] | None, helpers: int) -> None:
        """Do the work in this thread and in helpers; return when all of them have finished.

        Parameters
        ----------
        submit : callable, optional
            ``submit(help)`` has some thread call `help`, as ``Executor.submit`` does. By default
            the helpers are threads that all calls share.
        helpers : int
            The most helpers.

        Raises
        ------
        BaseException
            The first exception of `work` in any thread, or ``KeyboardInterrupt``.
        """
    def help(self) -> None:
        """Work, in a helper, unless the call is over."""

def in_a_row() -> bool:
    """Tell whether a helper is awake, or this function was last called a moment ago."""
