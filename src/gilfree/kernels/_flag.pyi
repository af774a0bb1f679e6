"""Types of what has to be compiled where threads wait for each other."""

from collections.abc import Callable

class Flag:
    """Set by one thread; seen, and lowered again, by the one other that waits for it."""

    def set(self) -> bool:
        """Set it, if the other thread has not left; return whether that now sees it."""
    def wait(self, timeout: float) -> bool:
        """Return whether the flag is set within so many seconds."""
    def linger(self, done: Flag, timeout: float) -> bool:
        """Release the GIL, set `done`, and `wait`; leave this flag for good if it is not set."""

def insist(action: Callable[[], object]) -> BaseException | None:
    """Call `action` until it goes through, and return the last exception that kept it from that.

    Nothing comes in between: a loop in Python has moments that no ``try`` covers.
    """
