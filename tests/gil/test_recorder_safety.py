"""Recordings of programs that do unusual things, and on systems that forbid system calls or files.

Each runs in its own process, with a timeout. GILFREE_EXITS is the number of exits during a
recording; ``nox -s faults`` sets it to 1,000.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import needs
import pytest

import gilfree

pytestmark = [
    needs.recorder,
    pytest.mark.thread_unsafe(reason="runs in its own process, with a deadline"),
]

SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
EXITS = int(os.environ.get("GILFREE_EXITS", "20"))
TESTS = Path(__file__).parents[1]
READY = "print('ready', flush=True); import time; time.sleep(60)"


def start(*arguments, **how):
    return subprocess.Popen(
        [*map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def finish(process):
    """Return what it printed to stdout and to stderr; kill it if it hangs."""
    with process:
        try:
            return process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def run(*arguments, **how):
    process = start(sys.executable, "-m", "gilfree", "run", *arguments, **how)
    out, error = finish(process)
    assert process.returncode == 0, error
    return out, error


# ---------------------------------------------------------------- many threads


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "together", "seconds"),
    [
        (10_000, 50, 0.0),  # most start and end between two samples
        (17_000, 500, 0.03),  # more than a recording lists
    ],
)
@pytest.mark.unsanitized(reason="takes long")
def test_each_of_many_threads_is_listed_or_counted(run_script, count, together, seconds):
    run_script(
        f"""
        import threading, time, gilfree
        threading.stack_size(2**18)
        with gilfree.record() as recording:
            for _ in range({count // together}):
                go_on = threading.Event()
                threads = [threading.Thread(target=go_on.wait) for _ in range({together})]
                for thread in threads:
                    thread.start()
                time.sleep({seconds})
                go_on.set()
                for thread in threads:
                    thread.join()
            others = [threading.Thread(target=time.sleep, args=[0.2]) for _ in range(3)]
            for thread in others:
                thread.start()
            for thread in others:
                thread.join()
            time.sleep(0.05)
        facts = recording.facts
        counted = len(facts.threads), facts.unseen_threads, facts.unlisted_threads
        assert sum(counted) == 1 + {count} + 3, counted
        assert facts.unlisted_threads <= max(0, {count} + 4 - 16384), counted
        str(recording)
        """,
        timeout=120,
    )


def output_of(name, folder):
    """Compile a C program with the recorder's headers, run it, and return its output."""
    source, program = Path(__file__).with_name(f"{name}.c"), folder / name
    headers = Path(gilfree.__file__).parent / "_c", sysconfig.get_paths()["include"]
    options = ["-O2", "-w", "-pthread", *(f"-I{each}" for each in headers)]
    # Without a preloaded sanitizer: it must not check the compiler.
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(["cc", *options, source, "-o", program, "-lm"], check=True, env=plain)
    done = subprocess.run([program], check=True, env=plain, stdout=subprocess.PIPE, text=True)
    return done.stdout


needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


@needs_compiler
def test_the_rules_by_which_the_recorder_interprets_samples(tmp_path):
    assert output_of("recorder_rules", tmp_path) == ""


@pytest.mark.slow
@needs_compiler
@pytest.mark.unsanitized(reason="takes long")
def test_an_hour_of_forty_threads_is_kept_in_little_memory(tmp_path):
    samples, changes, slices, error, missing, stalls, kept, dropped, slowest, grain, most = map(
        float, output_of("long_recording", tmp_path).split()
    )
    assert samples > 1e6
    assert changes > 5e6
    assert 2**18 / 2 < slices <= 2**19
    assert error < 1e-4
    assert missing == 0
    assert kept == 4096
    assert kept + dropped == stalls
    assert 0 < grain < 5
    assert 0 < most < 100
    sys.stderr.write(f"joining slices took up to {1e3 * slowest:.1f} ms; all of it {most:.0f} MiB")


# ---------------------------------------------------------------- exits


EXIT = """
import ctypes, os, random, signal, sys, threading, time, gilfree

def in_bytecode():
    while True:
        sum(range(99))

def in_c():
    while True:
        time.sleep(0.001)

def starting():
    while True:
        one = threading.Thread(target=in_c, daemon=True, name="one of many")
        try:
            one.start()
        except RuntimeError:  # an exiting Python starts no threads
            return
        time.sleep(0.002)

ending, begun, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
for target in in_bytecode, in_c, starting:
    threading.Thread(target=target, daemon=True).start()
recorder = gilfree.record()
if begun == "left":
    recorder.__enter__()
    time.sleep(pause)
    exec(ending)
else:
    with recorder:
        time.sleep(pause)
        exec(ending)
"""
ENDINGS = {  # with the exit status of each
    "pass": 0,
    "sys.exit(3)": 3,
    "os._exit(4)": 4,
    "1 / 0": 1,
    "os.kill(os.getpid(), signal.SIGKILL)": -signal.SIGKILL,
    "os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)": -signal.SIGTERM,
    "os.kill(os.getpid(), signal.SIGINT); time.sleep(9)": -signal.SIGINT,
    "os.execv('/bin/sh', ['sh', '-c', 'exit 5'])": 5,
    "print('kill', flush=True); time.sleep(9)": -signal.SIGKILL,  # the test kills it
}


@pytest.mark.slow
@pytest.mark.unsanitized(reason="takes long")
def test_an_exit_during_a_recording_is_the_same_as_without(tmp_path):
    script = tmp_path / "exit.py"
    script.write_text(EXIT)

    def end(number):
        ending = list(ENDINGS)[number % len(ENDINGS)]
        begun = random.choice(["left", "with"])
        process = start(sys.executable, script, ending, begun, random.random() * 0.03)
        if "print" in ending:
            process.stdout.readline()
            process.kill()
        out, error = finish(process)
        quiet = error == "" or ending == "1 / 0" or "SIGINT" in ending
        return ending, begun, process.returncode == ENDINGS[ending] and quiet, out, error

    with ThreadPoolExecutor(2) as pool:
        failed = [run for run in pool.map(end, range(EXITS)) if not run[2]]
    assert not failed, f"{len(failed)} of {EXITS}: {failed[:3]}"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_program_ends_immediately_and_leaves_no_file(tmp_path, number):
    command = "-m", "gilfree", "run", "-o", tmp_path / "found.json", "-c", READY
    process = start(sys.executable, *command)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.wait(timeout=30) == -number
    finish(process)
    assert list(tmp_path.iterdir()) == []


def test_an_exec_during_a_recording_works():
    code = "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'print(1)'])"
    assert run("-c", code) == ("1\n", "")


# ---------------------------------------------------------------- forks


@needs.fork
def test_a_forked_child_of_run_leaves_the_report_to_its_parent(tmp_path):
    # The child ends after its parent: its exit must not overwrite the parent's report.
    code = (
        "import os, sys, time, gilfree, warnings; warnings.simplefilter('ignore')\n"
        "if not os.fork():\n"
        "    time.sleep(0.5)\n"
        "    with gilfree.record() as own:\n"
        "        time.sleep(0.05)\n"
        "    own.save('own.json')\n"
        "    sys.exit(7)\n"
    )
    _, error = run("-o", "found.json", "-c", code, cwd=tmp_path)  # also waits for the child
    assert error.count("longest") == 2, error  # one table
    assert "nothing" not in error
    threads = {
        name: [each["name"] for each in json.loads((tmp_path / name).read_text())["threads"]]
        for name in ("found.json", "own.json")
    }
    assert "MainThread" in threads["found.json"]
    assert "MainThread" in threads["own.json"]


@needs.fork
def test_multiprocessing_by_fork(run_script):
    run_script(
        """
        import multiprocessing, time, warnings, gilfree
        warnings.simplefilter("ignore", DeprecationWarning)

        def work(number):
            with gilfree.record() as own:
                time.sleep(0.02)
            return number, [thread.name for thread in own.threads]

        with gilfree.record() as recording:
            with multiprocessing.get_context("fork").Pool(2) as pool:
                results = pool.map(work, range(6))
        assert [number for number, _ in results] == list(range(6))
        assert all("MainThread" in names for _, names in results), results
        assert "MainThread" in [thread.name for thread in recording.threads]
        """
    )


def test_repeated_recordings_take_no_memory_that_they_do_not_write_to(run_script):
    code = """
from pathlib import Path
import gilfree
sizes = []
for _ in range(6):
    with gilfree.record():
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        sizes.append(resident * 4096 >> 20)
assert sizes[-1] - sizes[1] < 8, sizes
"""
    run_script(code)


def test_a_refused_second_recording_does_not_change_the_first(run_script):
    run_script(
        """
        import threading, time, gilfree
        refusals = []
        def second():
            try:
                with gilfree.record():
                    raise SystemExit("two recordings?")
            except RuntimeError as error:
                refusals.append(str(error))
        with gilfree.record() as recording:
            begin = time.monotonic()
            threads = [threading.Thread(target=second) for _ in range(20)]
            threads.append(threading.Thread(target=time.sleep, args=[0.05], name="late"))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds = time.monotonic() - begin
        assert refusals == ["a recording of this process is under way already"] * 20, refusals
        late = {thread.name: thread for thread in recording.threads}["late"]
        assert 0.04 < late.seconds < recording.seconds
        assert recording.seconds >= seconds - 0.02
        """
    )


# ---------------------------------------------------------------- greenlets, interpreters


@pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")
@pytest.mark.parametrize("patch", ["from gevent import monkey; monkey.patch_all()", ""])
def test_greenlets_are_in_the_times_of_their_thread(run_script, patch):
    run_script(
        f"""
        {patch or "pass"}
        import time, gevent, gilfree
        def work():
            end = time.monotonic() + 0.05
            while time.monotonic() < end:
                sum(range(999))
            gevent.sleep(0.02)
        with gilfree.record() as recording:
            gevent.joinall([gevent.spawn(work) for _ in range(6)])
        main = {{thread.name: thread for thread in recording.threads}}["MainThread"]
        assert main.held + main.waiting > 0.2, recording
        assert main.seconds > 0.3, recording
        str(recording)
        """
    )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="one GIL for all interpreters until 3.12")
@needs.gil
def test_a_holder_of_another_gil_is_not_blamed(run_script):
    run_script(
        """
        import threading, time, gilfree, interpreters, planted
        create, rest = interpreters.create, interpreters._interpreters
        code = "import time; end = time.monotonic() + 0.6\\nwhile time.monotonic() < end: pass"
        ready, go_on = threading.Event(), threading.Event()

        def use():
            # Up to Python 3.12, the interpreter's thread state belongs to the thread that made it.
            other = create(True)
            ready.set()
            go_on.wait()
            rest.run_string(other, code)
            rest.destroy(other)

        apart = threading.Thread(target=use, name="apart")
        apart.start()
        ready.wait()
        with gilfree.record() as recording:
            go_on.set()
            planted.hog_victim_cruncher(0.5).run()
            apart.join()
        blamed = {}
        for stall in recording.stalls:
            for holder in stall.holders:
                blamed[holder.thread] = blamed.get(holder.thread, 0) + holder.seconds
        assert blamed["hog"] > 10 * blamed.get("apart", 0), blamed
        found = {thread.name: thread for thread in recording.threads}
        assert found["apart"].held > 0.2, recording
        """
    )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="one GIL for all interpreters until 3.12")
@needs.gil
def test_a_thread_waits_for_the_gil_of_the_interpreter_that_it_is_in(run_script):
    run_script(
        """
        import threading, time, gilfree, interpreters
        create, rest = interpreters.create, interpreters._interpreters
        code = (
            "import threading, time\\nend = time.monotonic() + 0.6\\n"
            "def spin():\\n while time.monotonic() < end: pass\\n"
            "thread = threading.Thread(target=spin)\\nthread.start()\\nspin()\\nthread.join()"
        )

        ready = threading.Event()

        def use():
            other = create(True)
            ready.set()
            rest.run_string(other, code)
            rest.destroy(other)

        with gilfree.record() as recording:
            apart = threading.Thread(target=use, name="apart")
            apart.start()
            ready.wait()  # to create an interpreter needs the GIL of this one
            while apart.is_alive():  # holds the GIL of this interpreter
                pass
        number = [thread.native_id for thread in recording.threads].index(apart.native_id)
        assert recording.threads[number].waiting > 0.15, recording
        own = [stall for stall in recording.stalls if stall.index == number]
        spun = [one.start for one in own for each in one.holders if each.function == "spin"]
        blamed = {True: 0, False: 0}
        for stall in own:
            if min(spun) <= stall.start <= max(spun):  # before and after, it waits for both GILs
                for holder in stall.holders:
                    blamed[holder.thread == "MainThread"] += holder.seconds
        assert blamed[False] > 4 * blamed[True], blamed
        """
    )


@pytest.mark.slow
def test_there_may_be_many_interpreters(run_script):
    run_script(
        """
        import time, gilfree, interpreters
        made = [interpreters.create(False) for _ in range(70)]
        with gilfree.record() as recording:
            time.sleep(0.1)
        assert recording.facts.looks > 5, recording
        for one in made:
            interpreters._interpreters.destroy(one)
        """
    )


# ---------------------------------------------------------------- a system that tells less


def in_own_mounts(*options, commands):
    """Run a shell with its own mounts."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here")
    process = start("unshare", "-rm", *options, "sh", "-c", " && ".join(["echo begun", *commands]))
    out, error = finish(process)
    if "begun" not in out or "mount:" in error:
        pytest.skip(f"this system allows no private mounts: {error.strip()}")
    return process.returncode, out.removeprefix("begun\n"), error


RECORD = (
    "import time, gilfree\nwith gilfree.record() as r: time.sleep(0.05)\nprint(r.threads[0].name)"
)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer needs /proc itself")
def test_without_proc_the_error_is_one_sentence():
    program = f"exec {sys.executable} -m gilfree run -c 'print(1)'"
    status, out, error = in_own_mounts(commands=["mount -t tmpfs none /proc", program])
    assert (status, out) == (3, ""), error
    assert error == (
        "gilfree: nothing can be recorded: /proc/self/task/*/syscall can't be read here\n"
    )


def test_a_proc_that_hides_other_processes_is_enough(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(RECORD)
    commands = ["mount -o remount,hidepid=2,subset=pid /proc", f"exec {sys.executable} {script}"]
    result = in_own_mounts("-pf", "--mount-proc", commands=commands)
    assert result == (0, "MainThread\n", "")


def test_a_proc_that_disappears_during_a_recording(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import subprocess, threading, time, gilfree\n"
        "with gilfree.record() as recording:\n"
        "    subprocess.run(['mount', '-t', 'tmpfs', 'none', '/proc'], check=True)\n"
        "    threads = [threading.Thread(target=time.sleep, args=[0.05]) for _ in range(9)]\n"
        "    for thread in threads: thread.start()\n"
        "    for thread in threads: thread.join()\n"
        "facts = recording.facts\n"
        "print(len(facts.threads) + facts.unseen_threads >= 10)\n"
        "print({thread.name: thread for thread in facts.threads}['MainThread'].blocked > 0.03)\n"
    )
    result = in_own_mounts(commands=[f"exec {sys.executable} {script}"])
    assert result == (0, "True\nTrue\n", "")


# In /proc, the files of a process that may not be traced belong to root, and only root reads them.
UNTRACED = """
import ctypes, os, sys, threading, time, gilfree
from gilfree.gil.sampler import NoSamplerError
prctl = ctypes.CDLL(None).prctl
with gilfree.record() as recording:  # imports all modules
    time.sleep(0.01)
str(recording)
if os.getuid() == 0:
    os.setuid(65534)
    prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which setuid has set to 0
"""


def test_a_process_that_may_not_be_traced_says_so(run_script):
    run_script(
        UNTRACED
        + """
prctl(4, 0, 0, 0, 0)
try:
    with gilfree.record():
        pass
except NoSamplerError as error:
    assert str(error) == (
        "nothing can be recorded: /proc/self/task/*/syscall can't be read here"
    ), error
else:
    raise SystemExit("it could be read?")
"""
    )


def test_states_that_can_no_longer_be_read_are_unknown_and_not_blocked(run_script):
    run_script(
        UNTRACED
        + """
with gilfree.record() as recording:
    time.sleep(0.02)
    prctl(4, 0, 0, 0, 0)
    thread = threading.Thread(target=time.sleep, args=[0.1], name="late")
    thread.start()
    thread.join()
late = {each.name: each for each in recording.threads}["late"]
assert late.seconds > 0.08, late
assert late.running is None and late.blocked is None, late
line = next(line for line in str(recording).splitlines() if line.startswith("late"))
assert "?" in line, line
assert "marked with ?" in str(recording)
"""
    )


# Makes one system call, given by its number on each machine, fail with EPERM.
FORBID = """
import ctypes, platform, struct, sys
def forbid(**numbers):
    steps = [
        (0x20, 0, 0, 0),
        (0x15, 0, 1, numbers[platform.machine()]),
        (0x06, 0, 0, 0x00050001),
        (0x06, 0, 0, 0x7FFF0000),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p, *[ctypes.c_ulong] * 2]
    if prctl(38, 1, None, 0, 0) or prctl(22, 2, program, 0, 0):
        print("no seccomp here")
        sys.exit()
"""


def run_forbidding(run_script, source):
    if run_script(FORBID + source) == "no seccomp here\n":
        pytest.skip("this system allows no filters of system calls")


@needs.gil
def test_where_process_vm_readv_is_forbidden_the_recorder_reads_proc_mem(run_script):
    run_forbidding(
        run_script,
        """
forbid(x86_64=310, aarch64=270)  # process_vm_readv
import planted, gilfree
with gilfree.record() as recording:
    planted.hog_victim_cruncher(0.5).run()
assert recording.facts.looks > 20
assert recording.stalls[0].holders[0].function == "Program.hog"
""",
    )


def test_where_memory_can_not_be_read_the_error_is_one_sentence(run_script):
    run_forbidding(
        run_script,
        UNTRACED
        + """
forbid(x86_64=310, aarch64=270)  # process_vm_readv
prctl(4, 0, 0, 0, 0)
try:
    with gilfree.record():
        pass
except NoSamplerError as error:
    assert "both process_vm_readv and /proc/self/mem are forbidden here" in str(error), error
else:
    raise SystemExit("it could be read?")
""",
    )


def test_files_of_the_program_are_left_alone_where_the_recorder_has_no_table_of_its_own(
    run_script,
):
    # As before Linux 5.9. The program closes all files, and opens others with the same numbers.
    run_forbidding(
        run_script,
        """
import os, threading, time, gilfree
forbid(x86_64=436, aarch64=436)  # close_range
with gilfree.record() as recording:
    stop = threading.Event()
    others = [threading.Thread(target=stop.wait) for _ in range(20)]
    for thread in others:
        thread.start()
    time.sleep(0.05)
    os.closerange(3, 100)
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(60)]
    time.sleep(0.02)
    stop.set()
    for thread in others:
        thread.join()
    time.sleep(0.05)
for file in files:
    os.fstat(file)
assert recording.facts.looks > 2
assert all(thread.blocked is not None for thread in recording.threads), recording.threads
""",
    )


@needs.gil
def test_without_a_table_of_its_own_reports_go_to_no_other_file(run_script):
    run_forbidding(
        run_script,
        """
import os, threading, time, gilfree, patterns
forbid(x86_64=436, aarch64=436)  # close_range
held, _ = patterns.sleeps()

def stall():
    thread = threading.Thread(target=held, args=[0.4])
    thread.start()
    while thread.is_alive():
        time.sleep(0.005)

with open("reports", "w") as reports:
    gilfree.report_stalls(0.1, reports)
# The recorder opens a file of /proc for a moment in each sample.
before = min(len(os.listdir("/proc/self/fd")) for _ in range(50))
stall()
gilfree.report_stalls(None)
assert len(os.listdir("/proc/self/fd")) == before - 1  # the duplicate of the output
with open("reports", "a") as reports:
    gilfree.report_stalls(0.1, reports)
seen = os.stat("reports").st_size
assert seen
os.closerange(3, 100)
files = [os.open(f"file {number}", os.O_CREAT | os.O_WRONLY) for number in range(20)]
stall()
gilfree.report_stalls(None)
assert [os.fstat(file).st_size for file in files] == [0] * 20
assert os.stat("reports").st_size == seen
""",
    )


@pytest.mark.parametrize(
    ("before", "during", "known"), [("limit(16)", "", True), ("", "limit(0)", False)]
)
def test_few_files_are_enough_and_without_any_states_are_unknown(run_script, before, during, known):
    run_script(
        f"""
        import resource, threading, time, gilfree

        def limit(files):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        with gilfree.record():  # imports all modules
            pass
        {before or "pass"}
        with gilfree.record() as recording:
            {during or "pass"}
            threads = [threading.Thread(target=time.sleep, args=[0.2]) for _ in range(40)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        found = {{each.name: each for each in recording.threads}}
        named = [found[thread.name] for thread in threads]
        assert [each.blocked is not None for each in named] == [{known}] * 40, named
        assert not {known} or min(each.blocked for each in named) > 0.1, named
        """
    )


def test_a_program_that_closes_all_files_is_recorded_further(run_script):
    run_script("""
        import os, threading, time, gilfree
        with gilfree.record() as recording:
            os.closerange(0, 4096)
            thread = threading.Thread(target=time.sleep, args=[0.1], name="late")
            thread.start()
            thread.join()
        late = {each.name: each for each in recording.threads}["late"]
        if not late.blocked > 0.05:
            os._exit(1)
    """)


# ---------------------------------------------------------------- memory that is read


def test_threads_that_wait_as_a_recording_begins(run_script):
    run_script("""
        import threading, time, gilfree
        def work():
            while not over:
                sum(range(9999))
        over = False
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            with gilfree.record() as recording:
                time.sleep(0.01)
            str(recording)
        over = True
    """)


@needs.gil
def test_an_invalid_name_is_not_copied(run_script):
    # As if the string had been freed and its memory reused: its length is invalid, and four times
    # the length overflows to 4. Python must not use the string until the length is restored.
    run_script("""
        import ctypes, threading, time, types, gilfree
        def hold():
            ctypes.PyDLL(None).usleep(60000)
        name = "\\U0001f40d" * 3
        code = hold.__code__.replace(co_filename=name)
        length = ctypes.c_ssize_t.from_address(id(name) + 16)
        assert length.value == 3
        thread = threading.Thread(target=types.FunctionType(code, globals()), name="holder")
        with gilfree.record() as recording:
            length.value = 2**62 + 1
            thread.start()
            time.sleep(0.02)
            thread.join()
            length.value = 3
        holders = [holder for stall in recording.stalls for holder in stall.holders]
        assert {each.file for each in holders if each.function == "hold"} == {None}, holders
    """)


@needs.gil
def test_names_in_any_script(run_script):
    names = "ascii", "größe", "функция", "函数", "𝕏𝕐"
    assert not any(name.isascii() for name in names[1:])
    output = run_script(f"""
        import ctypes, threading, time, types, gilfree
        def hold():
            ctypes.PyDLL(None).usleep(20000)
        with gilfree.record() as recording:
            for name in {names!r}:
                code = hold.__code__.replace(co_qualname=name, co_filename=name + ".py")
                function = types.FunctionType(code, globals())
                thread = threading.Thread(target=function, name=name)
                thread.start()
                time.sleep(0.005)
                thread.join()
        holders = [holder for stall in recording.stalls for holder in stall.holders]
        for name in {names!r}:
            assert any(
                (each.thread, each.function, each.file) == (name, name, name + ".py")
                for each in holders
            ), (name, holders)
    """)
    assert output == ""
