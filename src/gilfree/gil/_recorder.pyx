# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=True
# Without the last one, importing this would switch the GIL back on in a free-threaded Python.
"""A recorder that looks at all threads of the process, and never takes the GIL to do so.

The work is done by a thread in C, `recorder_thread.h`: this starts and stops it, hands over what it
has found, and hears from the interpreter which threads start.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_XINCREF, Py_XDECREF
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport strncmp

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
        int thread_wants_gil
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
        int thread, code, line, stayed, moved
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
    struct gilfree_recording:
        gilfree_thread **thread
        int threads
        int64_t unlisted, dropped
        gilfree_stall *stall
        int stalls
        gilfree_slice *slice
        int slices
        int64_t grain
        gilfree_codes codes
    struct gilfree_chain:
        gilfree_memory *memory
        gilfree_layout *layout
        void *link
        void *to
        void *from_ "from"
    struct gilfree_recorder:
        int64_t interval, started, stop
        gilfree_layout layout
        gilfree_memory memory
        gilfree_chain chain
        gilfree_recording all
        int64_t begin, end, looks, failed_looks, blind, largest_gap, cpu
        unsigned long long random
    int gilfree_find_layout(gilfree_layout *layout)
    int gilfree_make_recording(gilfree_recording *recording)
    void gilfree_free_recording(gilfree_recording *recording)
    const char *gilfree_what_is_missing(gilfree_recorder *recorder)
    void *gilfree_record(void *recorder) noexcept nogil
    int gilfree_start(pthread_t *thread, void *(*run)(void *) noexcept nogil, void *argument)

cdef extern from "Python.h":
    ctypedef int (*Py_AuditHookFunction)(const char *, PyObject *, void *) noexcept
    int PySys_AddAuditHook(Py_AuditHookFunction hook, void *data) except -1
    void *PyInterpreterState_Get()
    void *PyInterpreterState_Main()

cdef gilfree_layout _layout
# Whether gilfree knows where this Python keeps what a recording reads, and of which ones it does.
KNOWS_PYTHON = gilfree_find_layout(&_layout) == 0
KNOWN_PYTHONS = GILFREE_KNOWN_PYTHONS.decode()

# Called with each function that starts as a thread, while a recording is under way.
cdef PyObject *_on_start = NULL
cdef bint _listening = False


cdef int _hear(const char *event, PyObject *arguments, void *data) noexcept:
    """Be told of every audit event: of interest are the two by which a thread starts."""
    if _on_start == NULL or strncmp(event, b"_thread.start_", 14) != 0:
        return 0
    if PyInterpreterState_Get() != PyInterpreterState_Main():
        return 0  # whose objects are not ours to touch
    try:
        (<object> _on_start)((<tuple> arguments)[0])
    except Exception:  # a recording is no reason not to start a thread
        pass
    return 0


def listen(on_start):
    """Have a function called with what each new thread is to run; None: no longer."""
    global _on_start, _listening
    cdef PyObject *before = _on_start
    if on_start is None:
        _on_start = NULL
    else:
        if not _listening:  # such a hook stays for good; it costs a comparison for each event
            PySys_AddAuditHook(_hear, NULL)
            _listening = True
        _on_start = <PyObject *> on_start
        Py_XINCREF(_on_start)
    Py_XDECREF(before)


cdef class Recorder:
    """Records all threads of this process from `start` to `stop`.

    Parameters
    ----------
    interval : float, default: 200e-6
        Seconds between two looks, on average, as long as the threads are few and a CPU is free.

    Raises
    ------
    RuntimeError
        If this Python or this system does not tell what a recording needs.
    """

    cdef gilfree_recorder *recorder
    cdef pthread_t thread
    cdef bint running

    def __cinit__(self, double interval=200e-6):
        cdef const char *missing
        if not KNOWS_PYTHON:
            raise RuntimeError(f"the recorder knows CPython {KNOWN_PYTHONS} with a GIL, on Linux")
        if not 1e-5 <= interval <= 1e-2:
            raise ValueError(f"interval must be from 1e-5 to 1e-2 seconds, not {interval}")
        self.recorder = <gilfree_recorder *> calloc(1, sizeof(gilfree_recorder))
        if self.recorder == NULL or gilfree_make_recording(&self.recorder.all):
            raise MemoryError
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
            return  # in a forked child: the parent's thread was at work on this as it was copied
        gilfree_free_recording(&self.recorder.all)
        free(self.recorder.chain.link)
        free(self.recorder.chain.to)
        free(self.recorder.chain.from_)
        free(self.recorder)

    cpdef start(self):
        """Start to record, and wait for the first look: what comes after it is seen."""
        cdef int64_t deadline = gilfree_now() + 1_000_000_000
        if gilfree_start(&self.thread, gilfree_record, self.recorder):
            raise RuntimeError("the system has no thread to give for the recorder")
        self.running = True
        with nogil:
            while not gilfree_load(&self.recorder.started) and gilfree_now() < deadline:
                gilfree_sleep(50_000)

    cpdef bint stop(self):
        """Stop; tell whether there is a recording, which in a forked child there is not."""
        if self.running and getpid() == self.recorder.memory.process:
            gilfree_store(&self.recorder.stop, True)
            with nogil:
                pthread_join(self.thread, NULL)
            self.running = False
        return not self.running and self.recorder.looks > 0

    def facts(self):
        """Return figures of the recording as a whole, by name; times in seconds."""
        cdef gilfree_recorder *r = self.recorder
        return {
            "begin": r.begin / 1e9,
            "seconds": (r.end - r.begin) / 1e9,
            "looks": r.looks,
            "missed": r.blind / 1e9,
            "largest_gap": r.largest_gap / 1e9,
            "dropped_stalls": r.all.dropped,
            "unlisted_threads": r.all.unlisted,
            "grain": r.all.grain / 1e9,
            "cpu": r.cpu / 1e9,
        }

    def threads(self):
        """Return a dict for each thread, in the order in which they were seen first.

        None stands for what the system did not tell all the time.
        """
        cdef int i
        cdef gilfree_thread *one
        cdef bint waiting, rest
        found = []
        for i in range(self.recorder.all.threads):
            one = self.recorder.all.thread[i]
            rest = not one.ns[GILFREE_UNREAD]
            waiting = rest or self.recorder.layout.thread_wants_gil >= 0
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
        """Return of each stall the number of the thread, its start, seconds, and the holders.

        A holder is a tuple: number of the thread, seconds, file, function, line, looks at which it
        was at the same instruction as at the look before, looks at which it was not.
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
        """Return what each thread did when, and when the recording began, in nanoseconds.

        The former is an array of C structs, of which `gilfree.recording.timeline` has the twin.
        """
        cdef Py_ssize_t size = self.recorder.all.slices * sizeof(gilfree_slice)
        return (<char *> self.recorder.all.slice)[:size], self.recorder.begin

    cdef tuple _holder(self, gilfree_holder *one):
        cdef gilfree_code *code
        file = function = None
        if one.code != GILFREE_UNKNOWN:
            code = &self.recorder.all.codes.code[one.code]
            file = None if code.file == NULL else code.file.decode("utf-8", "replace")
            function = None if code.function == NULL else code.function.decode("utf-8", "replace")
        line = None if one.line == GILFREE_UNKNOWN else one.line
        return one.thread, one.ns / 1e9, file, function, line, one.stayed, one.moved
