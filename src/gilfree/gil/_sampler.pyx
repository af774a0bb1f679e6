# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=True
# Without freethreading_compatible, importing this would enable the GIL in a free-threaded Python.
"""The sampler: reads whether threads hold the GIL, without acquiring it.

`Watch` runs a plain C thread, the sampler thread. Every few microseconds it reads the thread states
of the watched threads. It has no thread state itself, so it never holds the GIL or waits for it.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.object cimport PyObject
from cpython.pystate cimport PyThreadState, PyThreadState_Get
from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.string cimport memset

from threading import get_ident
from gilfree.gil.seen import Seen

cdef extern from "atomic.h":
    # For variables that threads share without the mutex or the GIL.
    int64_t gilfree_load(const int64_t *place) noexcept nogil
    void gilfree_store(int64_t *place, int64_t value) noexcept nogil

cdef extern from "clock.h":
    int64_t gilfree_now() noexcept nogil
    void gilfree_sleep(int64_t nanoseconds) noexcept nogil
    int64_t gilfree_spin(int64_t until) noexcept nogil
    void gilfree_wake_on_time() noexcept nogil

cdef extern from "layout.h":
    struct gilfree_layout:
        uintptr_t shared_gil
        int interpreter_gil, gil_switches
    int gilfree_find_layout(gilfree_layout *layout)

cdef extern from "Python.h":
    void *PyInterpreterState_Get()

cdef extern from "sampler_thread.h":
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    const bint GILFREE_KNOWS_PYTHON
    const char *GILFREE_KNOWN_PYTHONS
    const int GILFREE_NOT_KNOWN
    bint gilfree_holds_gil(PyThreadState *state) noexcept nogil
    int gilfree_wants_gil(PyThreadState *state) noexcept nogil
    int64_t gilfree_cpu_time() noexcept nogil
    int gilfree_start(pthread_t *thread, void *(*run)(void *) noexcept nogil, void *argument)
    int pthread_join(pthread_t thread, void **result) nogil
    int pthread_mutex_init(pthread_mutex_t *mutex, void *attributes) nogil
    int pthread_mutex_lock(pthread_mutex_t *mutex) nogil
    int pthread_mutex_unlock(pthread_mutex_t *mutex) nogil
    int pthread_mutex_destroy(pthread_mutex_t *mutex) nogil
    int getpid() nogil
    PyObject *PyThreadState_GetDict()

# Whether gilfree can read the thread states of this Python, and the versions for which it can.
KNOWS_PYTHON = <bint> GILFREE_KNOWS_PYTHON
KNOWN_PYTHONS = GILFREE_KNOWN_PYTHONS.decode()

cdef gilfree_layout _layout
cdef bint _counts_handovers = gilfree_find_layout(&_layout) == 0


def handovers():
    """Return how often the GIL went to another thread; None if that can't be read."""
    cdef uintptr_t gil = _layout.shared_gil
    if not _counts_handovers:
        return None
    if not gil:
        gil = (<uintptr_t *> (<char *> PyInterpreterState_Get() + _layout.interpreter_gil))[0]
    return (<unsigned long *> (gil + <uintptr_t> _layout.gil_switches))[0]


cdef enum:
    # A gap between two samples counts as unknown if it is longer than LONG_GAP_INTERVALS intervals
    # and longer than LONG_GAP_NS, even if the state is the same before and after it. A sampler that
    # waits for a CPU does so while other threads run. So on busy CPUs it misses more holds than
    # sleeps: without this rule `held` was wrong by 0.3, with a small uncertainty.
    LONG_GAP_INTERVALS = 5
    LONG_GAP_NS = 200_000
    # The sampler spins between samples. If it slept, it would wake up in step with the watched
    # threads, and sample too many of their changes of state. But if it gets its CPU more than
    # LATE_NS late, other threads need the CPU: then it sleeps in the next BACKOFF intervals, and
    # four times as many each further time.
    LATE_NS = 1_000_000
    BACKOFF = 100
    # In the first SETTLING intervals it sleeps. A new thread starts on its creator's CPU, which
    # it must not share with the watched threads; a wake-up is what moves it to another CPU.
    SETTLING = 20


cdef struct Target:
    unsigned long thread
    PyThreadState *state  # NULL once the thread has ended
    int64_t open          # between begin and end; atomic, since the thread closes it unlocked
    bint sampled          # there is a sample in this window
    bint holds_gil        # in the last sample
    int64_t begun         # start of this window
    int64_t last          # time of the last sample, or of the window's start
    int64_t acquired      # when the current hold began
    # Sums over all windows, in nanoseconds.
    int64_t seconds
    int64_t held
    int64_t released
    int64_t unknown       # part of both: in long gaps, so that it is a guess
    int64_t unknown_held  # part of `unknown` that is counted as held
    int64_t unknown_gaps
    int64_t flips         # changes of state between two samples
    int64_t waiting       # part of `released`, if the version says that a thread waits
    int64_t longest_hold
    int64_t largest_gap
    int64_t samples


cdef struct Shared:
    # What the sampler thread shares with Python's threads. ``mutex`` guards all that changes, but
    # for what is atomic.
    pthread_mutex_t mutex
    int64_t interval
    int process           # a forked child has this memory, but no sampler that unlocks the mutex
    int owners            # the Watch and its Tokens; the last one frees the memory
    bint stop
    int64_t settled       # the first SETTLING intervals are over; atomic
    int64_t cpu           # CPU time of the sampler thread, written when it ends
    Py_ssize_t targets
    Target **target


cdef void _note_change(Target *target, int64_t time, bint holds_gil) noexcept nogil:
    if holds_gil:
        target.acquired = time
    elif target.holds_gil:
        target.longest_hold = max(target.longest_hold, time - target.acquired)


cdef void _account(Shared *shared, Target *target, int64_t gap, int64_t held) noexcept nogil:
    """Add a gap between two samples to the sums, of which `held` nanoseconds count as held."""
    target.held += held
    target.released += gap - held
    if gap > LONG_GAP_NS and gap > LONG_GAP_INTERVALS * shared.interval:
        target.unknown += gap
        target.unknown_held += held
        target.unknown_gaps += 1


cdef void _observe(
    Shared *shared, Target *target, int64_t now, bint holds_gil, int wants_gil
) noexcept nogil:
    """Account for the time since the last sample."""
    cdef int64_t gap = now - target.last
    cdef bint changed = target.sampled and holds_gil != target.holds_gil
    target.samples += 1
    target.largest_gap = max(target.largest_gap, gap)
    if changed:
        _account(shared, target, gap, gap // 2)
    elif holds_gil:
        _account(shared, target, gap, gap)
    else:
        _account(shared, target, gap, 0)
        if wants_gil != GILFREE_NOT_KNOWN and wants_gil:
            target.waiting += gap
    if changed:
        target.flips += 1
        _note_change(target, target.last + gap // 2, holds_gil)
    elif not target.sampled:
        _note_change(target, target.last, holds_gil)
    target.sampled = True
    target.holds_gil = holds_gil
    target.last = now


cdef void _close(Shared *shared, Target *target, int64_t now) noexcept nogil:
    """End a window. The time after its last sample counts as that sample's state."""
    cdef int64_t gap = now - target.last
    target.seconds += now - target.begun
    target.largest_gap = max(target.largest_gap, gap)
    if target.sampled:  # a window too short for a sample is left out: others like it have samples
        _account(shared, target, gap, gap if target.holds_gil else 0)
    if target.sampled and target.holds_gil:
        target.longest_hold = max(target.longest_hold, now - target.acquired)


cdef void *_sample(void *argument) noexcept nogil:
    """Run the sampler thread, until `shared.stop`."""
    cdef Shared *shared = <Shared *> argument
    cdef Target *target
    cdef Py_ssize_t i
    cdef bint stop = False
    cdef int64_t sleeps = SETTLING, backoff = BACKOFF
    cdef int64_t due
    cdef uint64_t random = 88172645463325252
    gilfree_wake_on_time()
    while not stop:
        # At random times, from half to one and a half intervals apart (Marsaglia's xorshift):
        # regular samples would fall into step with timers of the watched threads.
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        due = gilfree_now() + shared.interval // 2 + <int64_t> (random % <uint64_t> shared.interval)
        if sleeps:
            sleeps -= 1
            gilfree_sleep(due - gilfree_now())
            if sleeps == 0:
                gilfree_store(&shared.settled, True)
        elif gilfree_spin(due) > due + LATE_NS:
            sleeps = backoff
            backoff *= 4
        pthread_mutex_lock(&shared.mutex)
        for i in range(shared.targets):
            target = shared.target[i]
            if gilfree_load(&target.open):
                _observe(
                    shared,
                    target,
                    gilfree_now(),
                    gilfree_holds_gil(target.state),
                    gilfree_wants_gil(target.state),
                )
        stop = shared.stop
        pthread_mutex_unlock(&shared.mutex)
    shared.cpu += gilfree_cpu_time()
    return NULL


cdef bint _lock(Shared *shared) noexcept:
    """Lock the mutex and return True; in a forked child, where no sampler runs, return False."""
    if getpid() != shared.process:
        return False
    pthread_mutex_lock(&shared.mutex)
    return True


cdef void _disown(Shared *shared) noexcept:
    """Give up one ownership of the memory and unlock the mutex; the last owner frees it."""
    cdef Py_ssize_t i
    cdef bint owned
    shared.owners -= 1
    owned = shared.owners > 0
    pthread_mutex_unlock(&shared.mutex)
    if owned:  # from here on, another thread may free it at any time
        return
    for i in range(shared.targets):
        PyMem_RawFree(shared.target[i])
    PyMem_RawFree(shared.target)
    pthread_mutex_destroy(&shared.mutex)
    PyMem_RawFree(shared)


cdef class Token:
    """An object in the dict of each watched thread state: tells the sampler when the thread ends.

    CPython clears the dict before it frees the thread state. Then this object is freed, and takes
    the thread state from the sampler. The mutex ensures that the sampler is not reading it then.
    """

    cdef Shared *shared
    cdef Target *target

    def __dealloc__(self):
        if self.shared != NULL and _lock(self.shared):
            if gilfree_load(&self.target.open):
                gilfree_store(&self.target.open, False)
                _close(self.shared, self.target, gilfree_now())
            self.target.state = NULL
            _disown(self.shared)


cdef class Watch:
    """Watches threads, each between its own calls of `begin` and `end`.

    Any number of threads may call `begin`, `end`, `forget` and `seen` concurrently. One thread
    calls `start` and `stop`.

    Parameters
    ----------
    interval : float, default: 20e-6
        Mean time between two samples, in seconds.

    Raises
    ------
    RuntimeError
        On a Python whose thread states gilfree can't read.
    ValueError
        If `interval` is not from 1e-6 to 1 second.
    """

    cdef Shared *shared
    cdef pthread_t thread
    cdef bint running

    def __cinit__(self, double interval=20e-6):
        if not GILFREE_KNOWS_PYTHON:
            raise RuntimeError(f"the sampler supports CPython {KNOWN_PYTHONS}")
        if not 1e-6 <= interval <= 1:
            raise ValueError(f"interval must be from 1e-6 to 1 second, not {interval}")
        self.shared = <Shared *> PyMem_RawMalloc(sizeof(Shared))
        if self.shared == NULL:
            raise MemoryError
        memset(self.shared, 0, sizeof(Shared))
        pthread_mutex_init(&self.shared.mutex, NULL)
        self.shared.interval = <int64_t> (interval * 1e9)
        self.shared.process = getpid()
        self.shared.owners = 1

    def __dealloc__(self):
        if self.shared == NULL:
            return
        self.stop()
        self._tokens().pop(self._key(), None)  # of a begin() without start(), or after stop()
        if _lock(self.shared):
            _disown(self.shared)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    cpdef start(self):
        """Start the sampler thread, and wait until it is on a CPU of its own: a millisecond."""
        cdef int64_t deadline = gilfree_now() + 50_000_000
        if self.running:
            raise RuntimeError("this Watch is running already")
        self.shared.stop = False
        gilfree_store(&self.shared.settled, False)
        if gilfree_start(&self.thread, _sample, self.shared):
            raise RuntimeError("the system could not start a thread for the sampler")
        self.running = True
        with nogil:
            # Spin, so that this CPU is busy and the sampler wakes up on another one.
            while not gilfree_load(&self.shared.settled) and gilfree_now() < deadline:
                gilfree_spin(gilfree_now() + 1000)

    cpdef stop(self):
        """Stop the sampler thread, and drop the calling thread's Token."""
        if not self.running:
            return
        self.running = False
        if not _lock(self.shared):
            return
        self.shared.stop = True
        pthread_mutex_unlock(&self.shared.mutex)
        with nogil:
            pthread_join(self.thread, NULL)
        self._tokens().pop(self._key(), None)

    @property
    def cpu_seconds(self):
        """The CPU time of the sampler thread, in seconds; 0 until it is stopped."""
        return self.shared.cpu / 1e9

    cdef dict _tokens(self):
        return <dict> PyThreadState_GetDict()

    cdef object _key(self):
        return <size_t> self.shared

    def begin(self):
        """Open a window: the sampler samples the calling thread until `end`."""
        cdef Token token = self._tokens().get(self._key())
        if token is None:
            token = self._add()
        cdef Target *target = token.target
        if not _lock(self.shared):
            return
        gilfree_store(&target.open, True)
        target.sampled = target.holds_gil = False
        target.begun = target.last = gilfree_now()
        pthread_mutex_unlock(&self.shared.mutex)

    def end(self):
        """Close the window of the calling thread."""
        cdef Token token = self._tokens().get(self._key())
        cdef bint was_open
        cdef int64_t now
        if token is None:
            return
        # No sample is taken from now on, even if this thread waits for the mutex.
        was_open = gilfree_load(&token.target.open)
        gilfree_store(&token.target.open, False)
        now = gilfree_now()
        if not _lock(self.shared):
            return
        if was_open:
            # A sample that was under way may be later than `now`.
            _close(self.shared, token.target, max(now, token.target.last))
        pthread_mutex_unlock(&self.shared.mutex)

    def forget(self):
        """Reset the sums of the calling thread to 0."""
        cdef Token token = self._tokens().get(self._key())
        if token is None or not _lock(self.shared):
            return
        cdef Target *target = token.target
        target.seconds = target.held = target.released = target.unknown = target.waiting = 0
        target.longest_hold = target.largest_gap = target.samples = 0
        target.unknown_held = target.unknown_gaps = target.flips = 0
        pthread_mutex_unlock(&self.shared.mutex)

    cdef Token _add(self):
        """Add the calling thread to the watched ones."""
        cdef Token token = Token.__new__(Token)
        cdef Target *target = <Target *> PyMem_RawMalloc(sizeof(Target))
        cdef Target **more
        if target == NULL or not _lock(self.shared):
            PyMem_RawFree(target)
            raise MemoryError
        more = <Target **> PyMem_RawRealloc(
            self.shared.target, (self.shared.targets + 1) * sizeof(Target *)
        )
        if more == NULL:
            pthread_mutex_unlock(&self.shared.mutex)
            PyMem_RawFree(target)
            raise MemoryError
        memset(target, 0, sizeof(Target))
        target.thread = get_ident()
        target.state = PyThreadState_Get()
        more[self.shared.targets] = target
        self.shared.target = more
        self.shared.targets += 1
        self.shared.owners += 1
        pthread_mutex_unlock(&self.shared.mutex)
        token.shared = self.shared
        token.target = target
        self._tokens()[self._key()] = token
        return token

    def seen(self):
        """Return the sums of each thread, in the order of their first calls of `begin`.

        Returns
        -------
        list of Seen
        """
        cdef Py_ssize_t i = 0
        cdef Target target
        cdef int64_t known
        cdef double seconds
        cdef bint tells = gilfree_wants_gil(PyThreadState_Get()) != GILFREE_NOT_KNOWN
        seen = []
        # Make Python objects without the mutex: that may run the garbage collector, which may free
        # a Token, which locks the mutex.
        while self._copy(i, &target):
            i += 1
            known = target.held + target.released
            seconds = max(target.seconds, 1)  # nanoseconds
            seen.append(Seen(
                thread=target.thread,
                seconds=target.seconds / 1e9,
                samples=target.samples,
                largest_gap=target.largest_gap / 1e9,
                held=target.held / <double> known if known else None,
                waiting=target.waiting / <double> known if known and tells else None,
                unknown=target.unknown / seconds,
                unknown_held=target.unknown_held / seconds,
                unknown_gaps=target.unknown_gaps,
                flips=target.flips,
                longest_hold=target.longest_hold / 1e9,
            ))
        return seen

    cdef bint _copy(self, Py_ssize_t number, Target *target) noexcept:
        """Copy the sums of a thread; return whether there is a thread with this number."""
        cdef bint known
        if not _lock(self.shared):
            return False
        known = 0 <= number < self.shared.targets
        if known:
            target[0] = self.shared.target[number][0]
        pthread_mutex_unlock(&self.shared.mutex)
        return known
