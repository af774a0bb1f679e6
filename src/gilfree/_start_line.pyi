"""Types of the start line."""

class StartLine:
    """A barrier whose threads start together: awake, and each on a CPU of its own.

    Unlike `threading.Barrier`, it wakes no thread by a lock, and no thread needs the GIL to start.
    It can be reused by the same number of threads.

    Parameters
    ----------
    parties : int
        Number of threads that start together.

    Raises
    ------
    ValueError
        If `parties` is less than 1.
    """

    def __init__(self, parties: int) -> None: ...
    def wait(self, spin: float = 0.0, timeout: float = 10.0) -> None:
        """Spin without the GIL until all parties have arrived, and for `spin` seconds more.

        The scheduler may take milliseconds to move apart threads that it woke on one CPU. So on
        Linux each thread is bound to a CPU of its own while it waits. On other systems, pass a
        `spin` of some milliseconds. With fewer CPUs than parties, the threads without a CPU of
        their own yield while they spin.

        Parameters
        ----------
        spin : float, default: 0.0
            Seconds to spin after all parties have arrived.
        timeout : float, default: 10.0
            Seconds to wait for the other parties.

        Raises
        ------
        threading.BrokenBarrierError
            In all parties, in this and every later start, if not all arrive within `timeout`.
        """
