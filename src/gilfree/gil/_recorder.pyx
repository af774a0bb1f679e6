# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=True
# Without freethreading_compatible, importing this would enable the GIL in a free-threaded Python.
"""The recorder: samples the states of all threads of the process, without acquiring the GIL.

A thread in C does the work: `recorder_thread.h`. This module starts and stops that thread, and
converts its results to Python objects.
"""

import sys

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

cdef extern from "atomic.h":
    int64_t gilfree_load(const int64_t *place) noexcept nogil
    void gilfree_store(int64_t *place, int64_t value) noexcept nogil

cdef extern from "clock.h":
    int64_t gilfree_now() noexcept nogil
    void gilfree_sleep(int64_t nanoseconds) noexcept nogil

cdef extern from "recorder_thread.h":
    ctypedef struct pthread_t:
        pass
    int pthread_join(pthread_t thread, void **result) nogil
    int getpid() nogil
    const char *GILFREE_KNOWN_PYTHONS
    const int GILFREE_UNKNOWN
    const int GILFREE_HELD
    const int GILFREE_WAITING
    const int GILFREE_RUNNING
    const int GILFREE_BLOCKED
    const int GILFREE_UNREAD

    struct gilfree_layout:
        int thread_wants_gil, wants_suspended, interpreter_stopper
    struct gilfree_memory:
        int process
    struct gilfree_code:
        char *file
        char *function
    struct gilfree_codes:
        gilfree_memory *memory
        gilfree_layout *layout
        gilfree_code *code
    struct gilfree_holder:
        int thread, code, line, stack, stayed, moved
        int64_t ns
    struct gilfree_stall:
        int thread, holders
        int64_t start, ns
        gilfree_holder *holder
    struct gilfree_slice:
        int64_t start, ns
        int thread
        unsigned short *share
    struct gilfree_thread:
        int task
        int64_t first, last, acquired
        int64_t *ns
        int64_t *longest
        char *name
    struct gilfree_stack:
        int depth
        int *code
        int *line
    struct gilfree_stacks:
        gilfree_stack *stack
    struct gilfree_recording:
        gilfree_thread **thread
        int threads
        int64_t unlisted, dropped
        gilfree_stall *stall
        int stalls
        gilfree_slice *slice
        int slices
        int64_t grain, switch_interval
        gilfree_codes codes
        gilfree_stacks stacks
    struct gilfree_chain:
        gilfree_memory *memory
        gilfree_layout *layout
        void *link
        void *to
        void *from_ "from"
    struct gilfree_recorder:
        int64_t interval, started, stop, made, limit
        int output
        gilfree_layout layout
        gilfree_memory memory
        gilfree_chain chain
        gilfree_recording all
        int64_t begin, end, samples, missed, largest_gap, cpu, stopped, longest_stop
        unsigned long long random
    int gilfree_find_layout(gilfree_layout *layout)
    int gilfree_make_recording(gilfree_recording *recording, int keeps, int callers)
    void gilfree_free_recording(gilfree_recording *recording)
    const char *gilfree_what_is_missing(gilfree_recorder *recorder)
    int gilfree_start_recorder(gilfree_recorder *recorder, pthread_t *thread)
    int gilfree_in_c(gilfree_recording *recording, gilfree_holder *entry)
    void gilfree_give_name(int task, const char *name, size_t size, int64_t time)

cdef gilfree_layout _layout
# Whether gilfree knows the memory layout of this Python, and the versions whose layout it knows.
KNOWS_PYTHON = gilfree_find_layout(&_layout) == 0
KNOWN_PYTHONS = GILFREE_KNOWN_PYTHONS.decode()


def give_name(int native_id, str name):
    """Set the name of a thread in all later reports."""
    cdef bytes encoded = name.encode("utf-8", "replace")
    gilfree_give_name(native_id, encoded, len(encoded), gilfree_now())


cdef class Recorder:
    """Records all threads of this process from `start` to `stop`, or reports their stalls.

    Call it from one thread at a time.

    Parameters
    ----------
    interval : float, default: 200e-6
        Mean time between two samples in seconds; it is longer with many threads or busy CPUs.
    callers : bool, default: False
        Also keep the callers of each holder of a stall.
    limit : float, default: 0
        Report each stall that lasts `limit` seconds, and keep nothing. 0: keep a recording.
    output : int, default: -1
        File descriptor for the reports.

    Raises
    ------
    RuntimeError
        If gilfree does not know this Python, or this system forbids to read thread states.
    ValueError
        If `interval` is not from 1e-5 to 1e-2 seconds.
    """

    cdef gilfree_recorder *recorder
    cdef pthread_t thread
    cdef bint running

    def __cinit__(
        self, double interval=200e-6, bint callers=False, double limit=0.0, int output=-1
    ):
        cdef const char *missing
        if not KNOWS_PYTHON:
            raise RuntimeError(f"the recorder supports CPython {KNOWN_PYTHONS} on Linux")
        if not 1e-5 <= interval <= 1e-2:
            raise ValueError(f"interval must be from 1e-5 to 1e-2 seconds, not {interval}")
        self.recorder = <gilfree_recorder *> calloc(1, sizeof(gilfree_recorder))
        if self.recorder == NULL or gilfree_make_recording(
            &self.recorder.all, limit == 0.0, callers
        ):
            raise MemoryError
        self.recorder.made = gilfree_now()
        self.recorder.all.switch_interval = <int64_t> (sys.getswitchinterval() * 1e9)
        self.recorder.limit = <int64_t> (limit * 1e9)
        self.recorder.output = output
        self.recorder.interval = <int64_t> (interval * 1e9)
        self.recorder.random = 88172645463325252
        gilfree_find_layout(&self.recorder.layout)
        self.recorder.chain.layout = self.recorder.all.codes.layout = &self.recorder.layout
        self.recorder.chain.memory = self.recorder.all.codes.memory = &self.recorder.memory
        missing = gilfree_what_is_missing(self.recorder)
        if missing != NULL:
            raise RuntimeError((<bytes> missing).decode())

    def __dealloc__(self):
        if self.recorder == NULL:
            return
        if not self.stop() and self.running:
            return  # in a forked child: fork copied this while the parent's thread changed it
        gilfree_free_recording(&self.recorder.all)
        free(self.recorder.chain.link)
        free(self.recorder.chain.to)
        free(self.recorder.chain.from_)
        free(self.recorder)

    cpdef start(self):
        """Start the recorder's thread, and wait for its first sample, for at most a second."""
        cdef int64_t deadline = gilfree_now() + 1_000_000_000
        if gilfree_start_recorder(self.recorder, &self.thread):
            raise RuntimeError("the system could not start a thread for the recorder")
        self.running = True
        with nogil:
            while not gilfree_load(&self.recorder.started) and gilfree_now() < deadline:
                gilfree_sleep(50_000)

    cpdef bint stop(self):
        """Stop; tell whether there is a recording: in a forked child, there is none."""
        if self.running and getpid() == self.recorder.memory.process:
            gilfree_store(&self.recorder.stop, True)
            with nogil:
                pthread_join(self.thread, NULL)
            self.running = False
        return not self.running and self.recorder.samples > 0

    def facts(self):
        """Return figures of the whole recording, by name; times are in seconds."""
        cdef gilfree_recorder *r = self.recorder
        cdef bint tells = r.layout.interpreter_stopper >= 0
        return {
            "begin": r.begin / 1e9,
            "seconds": (r.end - r.begin) / 1e9,
            "looks": r.samples,
            "missed": r.missed / 1e9,
            "largest_gap": r.largest_gap / 1e9,
            "dropped_stalls": r.all.dropped,
            "unlisted_threads": r.all.unlisted,
            "grain": r.all.grain / 1e9,
            "cpu": r.cpu / 1e9,
            "stopped": r.stopped / 1e9 if tells else None,
            "longest_stop": r.longest_stop / 1e9 if tells else None,
        }

    def threads(self):
        """Return a dict for each thread, in the order in which the recorder found them.

        A time is None if the system did not tell it in every sample. Without a GIL, "held" is the
        time in which the thread was attached, and "waiting" the time in which it was suspended.
        """
        cdef int i
        cdef gilfree_thread *one
        cdef bint waiting, rest
        cdef gilfree_layout *layout = &self.recorder.layout
        cdef bint says_so = layout.thread_wants_gil >= 0 or layout.wants_suspended >= 0
        found = []
        for i in range(self.recorder.all.threads):
            one = self.recorder.all.thread[i]
            rest = not one.ns[GILFREE_UNREAD]
            waiting = rest or says_so
            found.append({
                "native_id": one.task,
                "system_name": one.name.decode("utf-8", "replace"),
                "seconds": (one.last - one.first) / 1e9,
                "held": one.ns[GILFREE_HELD] / 1e9,
                "waiting": one.ns[GILFREE_WAITING] / 1e9 if waiting else None,
                "running": one.ns[GILFREE_RUNNING] / 1e9 if rest else None,
                "blocked": one.ns[GILFREE_BLOCKED] / 1e9 if rest else None,
                "longest_hold": one.longest[GILFREE_HELD] / 1e9,
                "longest_wait": one.longest[GILFREE_WAITING] / 1e9 if waiting else None,
                "acquired": one.acquired,
            })
        return found

    def stalls(self):
        """Return a tuple for each stall: number of the waiting thread, start, seconds, holders.

        A holder is a tuple: number of the thread, seconds, whether it was in one C call (None if
        unknown), its place, and the places of its callers (None if not kept). A place is a tuple of
        file, line and function, each of which may be None.
        """
        cdef int i, j
        cdef gilfree_stall *one
        found = []
        for i in range(self.recorder.all.stalls):
            one = &self.recorder.all.stall[i]
            holders = [self._holder(&one.holder[j]) for j in range(one.holders)]
            start = (one.start - self.recorder.begin) / 1e9
            found.append((one.thread, start, one.ns / 1e9, holders))
        return found

    def slices(self):
        """Return the slices of all threads, and the time at which the recording began, in ns.

        The slices are the bytes of an array of `gilfree_slice`; `timeline.SLICE` in
        `gilfree.recording` is the NumPy type of one.
        """
        cdef Py_ssize_t size = self.recorder.all.slices * sizeof(gilfree_slice)
        return (<char *> self.recorder.all.slice)[:size], self.recorder.begin

    cdef tuple _holder(self, gilfree_holder *one):
        cdef gilfree_stack *stack
        cdef int known = gilfree_in_c(&self.recorder.all, one)
        callers, in_c = None, None if known == GILFREE_UNKNOWN else bool(known)
        if one.stack != GILFREE_UNKNOWN:
            stack = &self.recorder.all.stacks.stack[one.stack]
            places = [self._place(stack.code[i], stack.line[i]) for i in range(stack.depth)]
            callers = tuple(places)
        place = self._place(one.code, one.line)
        return one.thread, one.ns / 1e9, in_c, place, callers

    cdef tuple _place(self, int number, int at):
        cdef gilfree_code *code
        file = function = None
        if number != GILFREE_UNKNOWN:
            code = &self.recorder.all.codes.code[number]
            file = None if code.file == NULL else code.file.decode("utf-8", "replace")
            function = None if code.function == NULL else code.function.decode("utf-8", "replace")
        return file, None if at == GILFREE_UNKNOWN else at, function
