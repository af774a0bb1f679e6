"""The start line: threads leave it together and awake, and none waits for ever."""

from __future__ import annotations

import sys

import pytest

from gilfree._start_line import StartLine
from gilfree._system import usable_cpus

PRELUDE = """
    import os, threading, time
    from concurrent.futures import ThreadPoolExecutor
    from threading import BrokenBarrierError
    from gilfree._start_line import StartLine
"""


def test_no_thread_leaves_before_the_last_has_come(run_script):
    out = run_script(f"""{PRELUDE}
    line, order = StartLine(3), []

    def run(thread):
        for number in range(20):
            time.sleep(0.001 * thread)
            order.append(("came", number))
            line.wait()
            order.append(("left", number))

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(run, range(3)))
    for number in range(20):
        last_came = max(n for n, what in enumerate(order) if what == ("came", number))
        first_left = min(n for n, what in enumerate(order) if what == ("left", number))
        assert last_came < first_left
    print(len(order))
    """)
    assert out == "120\n"


def test_a_waiting_thread_does_not_hold_the_gil(run_script):
    out = run_script(f"""{PRELUDE}
    import sys
    sys.setswitchinterval(1000)  # so a thread releases the GIL only by itself
    line = StartLine(2)
    other = threading.Thread(target=line.wait)
    other.start()
    line.wait()
    other.join()
    print("both")
    """)
    assert out == "both\n"


def test_the_line_spins_on_after_the_last_has_come(run_script):
    out = run_script(f"""{PRELUDE}
    line = StartLine(2)

    def run(delay):
        time.sleep(delay)
        came, used = time.time(), time.thread_time()
        line.wait(spin=0.1)
        return came, time.time(), time.thread_time() - used

    with ThreadPoolExecutor(2) as threads:
        first, last = threads.map(run, [0.0, 0.05])
    assert first[1] - last[0] >= 0.1 and last[1] - last[0] >= 0.1
    assert first[2] > 0.01 and last[2] > 0.01  # CPU time: they were awake
    print("awake")
    """)
    assert out == "awake\n"


def test_one_that_never_comes_breaks_the_line_for_all(run_script):
    out = run_script(f"""{PRELUDE}
    line = StartLine(3)

    def run(_):
        try:
            line.wait(timeout=0.2)
        except BrokenBarrierError:
            return "broken"

    with ThreadPoolExecutor(2) as threads:
        print(*threads.map(run, range(2)))
    print(run(2))  # too late: raises immediately
    """)
    assert out == "broken broken\nbroken\n"


def test_either_all_start_or_none(run_script):
    # The last thread arrives at the moment when the first times out.
    out = run_script(f"""{PRELUDE}
    def run(line, delay, timeout):
        time.sleep(delay)
        try:
            line.wait(timeout=timeout)
        except BrokenBarrierError:
            return "broken"
        return "started"

    with ThreadPoolExecutor(2) as threads:
        for number in range(200):
            line = StartLine(2)
            moment = 0.0001 * (number % 20)
            first = threads.submit(run, line, 0.0, moment)
            second = threads.submit(run, line, moment, 1.0)
            assert first.result() == second.result(), number
    print("agreed")
    """)
    assert out == "agreed\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads stay where they are")
@pytest.mark.skipif(usable_cpus() < 2, reason="needs two CPUs")
def test_each_keeps_to_a_cpu_of_its_own_until_the_start(run_script):
    # Checked while they wait, since afterwards each has to wait for the GIL.
    out = run_script(f"""{PRELUDE}
    line, usual = StartLine(2), os.sched_getaffinity(0)
    for number in range(3):
        threads = [threading.Thread(target=line.wait, args=[0.5]) for _ in range(2)]
        for thread in threads:
            thread.start()
        own, deadline = [usual, usual], time.monotonic() + 10
        while usual in own and time.monotonic() < deadline:
            own = [os.sched_getaffinity(thread.native_id) for thread in threads]
        assert [len(cpus) for cpus in own] == [1, 1] and own[0] != own[1], own
        for thread in threads:
            thread.join()

    def roams(_):
        line.wait()
        return os.sched_getaffinity(0) == usual

    with ThreadPoolExecutor(2) as threads:
        print(*threads.map(roams, range(2)))
    """)
    assert out == "True True\n"


@pytest.mark.parametrize("parties", [1, 8])
def test_on_one_cpu_the_threads_yield_to_each_other(run_script, parties):
    out = run_script(f"""{PRELUDE}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
    line = StartLine({parties})
    with ThreadPoolExecutor({parties}) as threads:
        for _ in range(50):
            list(threads.map(line.wait, [0.0] * {parties}))
    print("through")
    """)
    assert out == "through\n"


@pytest.mark.parametrize("parties", [0, -1])
def test_a_line_without_parties_is_refused(parties):
    with pytest.raises(ValueError, match=f"parties must be at least 1, not {parties}"):
        StartLine(parties)
