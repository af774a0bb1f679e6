"""Types of the start line."""

class StartLine:
    """Where so many threads start together: awake, and each on a CPU of its own.

    No lock wakes them and none needs the GIL to get away. It can be used again and again, by the
    same number of threads.
    """

    def __init__(self, parties: int) -> None: ...
    def wait(self, spin: float = 0.0, timeout: float = 10.0) -> None:
        """Spin without the GIL until all parties are here, and for `spin` seconds more.

        The scheduler would take milliseconds to move threads apart that it woke on one CPU. So, on
        Linux, each keeps to a CPU of its own until the wait is over; elsewhere, `spin` for that
        long. Where there are fewer CPUs than parties, those without one give way as they spin.

        Raises
        ------
        threading.BrokenBarrierError
            In all of them, now and from now on, if some have not come within `timeout` seconds.
        """
