# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=True
# Without the last one, importing this would switch the GIL back on in a free-threaded Python.
"""A sampler that reads which thread has the GIL, and never takes it.

`Watch` runs a plain C thread that looks every few microseconds at the thread states of the threads
under watch. It has no thread state of its own, so it could not take the GIL if it wanted to, and
neither disturbs what it watches nor waits for it.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.object cimport PyObject
from cpython.pystate cimport PyThreadState, PyThreadState_Get
from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.string cimport memset

from threading import get_ident
from gilfree.gil.seen import Seen

cdef extern from "atomic.h":
    # For what one thread writes while another looks, and neither has the mutex, nor both the GIL.
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
    bint gilfree_has_gil(PyThreadState *state) noexcept nogil
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

# Whether gilfree can read the thread states of this version of Python, and of which ones it can.
KNOWS_PYTHON = <bint> GILFREE_KNOWS_PYTHON
KNOWN_PYTHONS = GILFREE_KNOWN_PYTHONS.decode()

cdef gilfree_layout _layout
cdef bint _counts_handovers = gilfree_find_layout(&_layout) == 0


def handovers():
    """Return how often a thread took the GIL after another one; None if that can't be read."""
    cdef uintptr_t gil = _layout.shared_gil
    if not _counts_handovers:
        return None
    if not gil:
        gil = (<uintptr_t *> (<char *> PyInterpreterState_Get() + _layout.interpreter_gil))[0]
    return (<unsigned long *> (gil + <uintptr_t> _layout.gil_switches))[0]


cdef enum:
    # A gap between two samples of more than so many intervals, and more than so many nanoseconds,
    # tells nothing of what was within it, even if the thread was in the same state before and
    # after. For a sampler that has to wait for a CPU waits while others are at work: where all CPUs
    # are busy it missed holds more often than sleeps, and was off by 0.3 while it felt sure.
    BLIND_INTERVALS = 5
    BLIND_NS = 200_000
    # The sampler spins: a thread that sleeps wakes up when others do, and so sees too much of the
    # moments in which they change. But once it had to wait so many nanoseconds for a CPU, somebody
    # else has use for it, and it sleeps for so many intervals; each further time, for four times
    # as many.
    LATE = 1_000_000
    MODESTY = 100
    # It sleeps so many intervals at first: a new thread starts on the CPU of its creator, which it
    # is to watch, and waking up is how it gets to another one.
    SETTLING = 20


cdef struct Target:
    unsigned long thread
    PyThreadState *state  # NULL once the thread has ended
    int64_t open          # between begin and end; atomic, for the thread closes it unlocked
    bint sampled          # in this window
    bint has_gil          # at the last sample
    int64_t begun         # of this window
    int64_t last          # time of the last sample, or of the window's begin
    int64_t taken         # when it took the GIL that it has
    # Sums over all windows, in nanoseconds.
    int64_t seconds
    int64_t held
    int64_t released
    int64_t unknown       # of both: in gaps of which the samples tell nothing, so it is a guess
    int64_t unknown_held  # of that, taken for held
    int64_t unknown_gaps
    int64_t flips         # changes of state between two samples
    int64_t waiting       # of the time released: it wanted the GIL; where the version tells
    int64_t longest_hold
    int64_t largest_gap
    int64_t samples


cdef struct Shared:
    # What the sampler shares with Python's threads. ``mutex`` guards all that changes but what is
    # atomic.
    pthread_mutex_t mutex
    int64_t interval
    int process           # a forked child has this memory, but no sampler to unlock the mutex
    int owners            # the Watch and its Tokens; the last one frees the memory
    bint stop
    int64_t settled       # the sampler has found itself a CPU; atomic
    int64_t cpu           # CPU time of the sampler, which it notes as it ends
    Py_ssize_t targets
    Target **target


cdef void _note_change(Target *target, int64_t time, bint has_gil) noexcept nogil:
    if has_gil:
        target.taken = time
    elif target.has_gil:
        target.longest_hold = max(target.longest_hold, time - target.taken)


cdef void _account(Shared *shared, Target *target, int64_t gap, int64_t held) noexcept nogil:
    """Count a gap between two samples, of which so much is taken for held."""
    target.held += held
    target.released += gap - held
    if gap > BLIND_NS and gap > BLIND_INTERVALS * shared.interval:
        target.unknown += gap
        target.unknown_held += held
        target.unknown_gaps += 1


cdef void _observe(
    Shared *shared, Target *target, int64_t now, bint has_gil, int wants_gil
) noexcept nogil:
    """Account for the time since the last sample."""
    cdef int64_t gap = now - target.last
    cdef bint changed = target.sampled and has_gil != target.has_gil
    target.samples += 1
    target.largest_gap = max(target.largest_gap, gap)
    if changed:
        _account(shared, target, gap, gap // 2)
    elif has_gil:
        _account(shared, target, gap, gap)
    else:
        _account(shared, target, gap, 0)
        if wants_gil != GILFREE_NOT_KNOWN and wants_gil:
            target.waiting += gap
    if changed:
        target.flips += 1
        _note_change(target, target.last + gap // 2, has_gil)
    elif not target.sampled:
        _note_change(target, target.last, has_gil)
    target.sampled = True
    target.has_gil = has_gil
    target.last = now


cdef void _close(Shared *shared, Target *target, int64_t now) noexcept nogil:
    """End a window. What came after its last sample is taken to be as at that sample."""
    cdef int64_t gap = now - target.last
    target.seconds += now - target.begun
    target.largest_gap = max(target.largest_gap, gap)
    if target.sampled:  # or the window was too short to be seen; others like it were
        _account(shared, target, gap, gap if target.has_gil else 0)
    if target.sampled and target.has_gil:
        target.longest_hold = max(target.longest_hold, now - target.taken)


cdef void *_sample(void *argument) noexcept nogil:
    """Be the sampler thread."""
    cdef Shared *shared = <Shared *> argument
    cdef Target *target
    cdef Py_ssize_t i
    cdef bint stop = False
    cdef int64_t sleeps = SETTLING, modesty = MODESTY
    cdef int64_t due
    cdef uint64_t random = 88172645463325252
    gilfree_wake_on_time()
    while not stop:
        # At random times, from half to one and a half intervals apart (Marsaglia's xorshift): even
        # ones fall into step with the timers of what is watched, and see it in one phase only.
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        due = gilfree_now() + shared.interval // 2 + <int64_t> (random % <uint64_t> shared.interval)
        if sleeps:
            sleeps -= 1
            gilfree_sleep(due - gilfree_now())
            if sleeps == 0:
                gilfree_store(&shared.settled, True)
        elif gilfree_spin(due) > due + LATE:
            sleeps = modesty
            modesty *= 4
        pthread_mutex_lock(&shared.mutex)
        for i in range(shared.targets):
            target = shared.target[i]
            if gilfree_load(&target.open):
                _observe(
                    shared,
                    target,
                    gilfree_now(),
                    gilfree_has_gil(target.state),
                    gilfree_wants_gil(target.state),
                )
        stop = shared.stop
        pthread_mutex_unlock(&shared.mutex)
    shared.cpu += gilfree_cpu_time()
    return NULL


cdef bint _lock(Shared *shared) noexcept:
    """Lock the mutex, except in a forked child: there is nothing to guard there."""
    if getpid() != shared.process:
        return False
    pthread_mutex_lock(&shared.mutex)
    return True


cdef void _disown(Shared *shared) noexcept:
    """Unlock the mutex; if nobody else owns the memory any more, free it."""
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
    """Lies in the dict of a thread state, for as long as that is under watch.

    CPython clears the dict of a thread that ends before it frees the thread's state. So this is
    where the sampler is told to look no more. The mutex makes it certain that it is not looking
    right now.
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
    """Watch threads that say so, by `begin` and `end` in the thread itself.

    Parameters
    ----------
    interval : float, default: 20e-6
        Seconds between two looks at the thread states.

    Raises
    ------
    RuntimeError
        On a Python whose thread states gilfree does not know how to read.
    ValueError
        If `interval` is not between a microsecond and a second.
    """

    cdef Shared *shared
    cdef pthread_t thread
    cdef bint running

    def __cinit__(self, double interval=20e-6):
        if not GILFREE_KNOWS_PYTHON:
            raise RuntimeError(f"the sampler knows the thread states of CPython {KNOWN_PYTHONS}")
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
        """Start the sampler, and wait until it has settled on a CPU: a millisecond."""
        cdef int64_t deadline = gilfree_now() + 50_000_000
        if self.running:
            raise RuntimeError("this Watch is running already")
        self.shared.stop = False
        gilfree_store(&self.shared.settled, False)
        if gilfree_start(&self.thread, _sample, self.shared):
            raise RuntimeError("the system has no thread to give for the sampler")
        self.running = True
        with nogil:
            # Busy, not asleep: so the sampler wakes up on another CPU.
            while not gilfree_load(&self.shared.settled) and gilfree_now() < deadline:
                gilfree_spin(gilfree_now() + 1000)

    cpdef stop(self):
        """Stop the sampler, and forget the calling thread's Token."""
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
        """The CPU time that the sampler has taken, once it is stopped."""
        return self.shared.cpu / 1e9

    cdef dict _tokens(self):
        return <dict> PyThreadState_GetDict()

    cdef object _key(self):
        return <size_t> self.shared

    def begin(self):
        """Open a window: the calling thread is under watch from now on."""
        cdef Token token = self._tokens().get(self._key())
        if token is None:
            token = self._add()
        cdef Target *target = token.target
        if not _lock(self.shared):
            return
        gilfree_store(&target.open, True)
        target.sampled = target.has_gil = False
        target.begun = target.last = gilfree_now()
        pthread_mutex_unlock(&self.shared.mutex)

    def end(self):
        """Close the window of the calling thread."""
        cdef Token token = self._tokens().get(self._key())
        cdef bint was_open
        cdef int64_t now
        if token is None:
            return
        # The sampler looks no more as of now, even if this thread has to wait for the mutex.
        was_open = gilfree_load(&token.target.open)
        gilfree_store(&token.target.open, False)
        now = gilfree_now()
        if not _lock(self.shared):
            return
        if was_open:
            # The sampler may be looking just now.
            _close(self.shared, token.target, max(now, token.target.last))
        pthread_mutex_unlock(&self.shared.mutex)

    def forget(self):
        """Forget what was seen of the calling thread so far."""
        cdef Token token = self._tokens().get(self._key())
        if token is None or not _lock(self.shared):
            return
        cdef Target *target = token.target
        target.seconds = target.held = target.released = target.unknown = target.waiting = 0
        target.longest_hold = target.largest_gap = target.samples = 0
        target.unknown_held = target.unknown_gaps = target.flips = 0
        pthread_mutex_unlock(&self.shared.mutex)

    cdef Token _add(self):
        """Put the calling thread under watch."""
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
        """Return what was seen of each thread, in the order in which they were put under watch.

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
        # Python's objects are made unlocked: to make one may free a Token, which locks.
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
        """Copy what is known of one thread; tell whether there is one of this number."""
        cdef bint known
        if not _lock(self.shared):
            return False
        known = 0 <= number < self.shared.targets
        if known:
            target[0] = self.shared.target[number][0]
        pthread_mutex_unlock(&self.shared.mutex)
        return known
