"""``pytest --gil``, its marker, its limits and its fixture, tried on small suites."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import needs
import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.thread_unsafe(reason="runs suites in processes of their own")
measures = [needs.recorder, needs.gil]

BEGINNING = """
import ctypes, threading, time, pytest
hold = ctypes.PyDLL(None).usleep  # takes microseconds, and holds the GIL
"""
HOLDS = """
def test_hold():
    hold(300_000)

def test_wait():
    worker = threading.Thread(target=hold, args=[200_000], name="worker")
    worker.start()
    time.sleep(0.01)
    worker.join()

def test_nothing():
    pass
"""
LIMITS = """
@pytest.mark.gil(max_hold="50ms")
def test_hold():
    hold(400_000)

@pytest.mark.gil(max_wait=0.05)
def test_wait():
    worker = threading.Thread(target=hold, args=[400_000], name="worker")
    worker.start()
    time.sleep(0.01)
    worker.join()
"""

LARGE_GAP = """
import dataclasses
from gilfree.suite.batch import Batch
finish = Batch.finish
def finish_with_a_large_gap(self):
    found = finish(self)
    return dataclasses.replace(found, facts=dataclasses.replace(found.facts, largest_gap=9.0))
Batch.finish = finish_with_a_large_gap
"""


def plugin():
    """Return the plugin's name for ``-p``: the module if gilfree is not installed."""
    installed = importlib.metadata.entry_points(group="pytest11", name="gil")
    return "gil" if installed else "gilfree.pytest_plugin"


@pytest.fixture
def suite(pytester, monkeypatch):
    """Run a suite, with warnings as errors, in a process that is killed when it hangs."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # only plugins of -p are loaded

    def run(source, *options, **files):
        pytester.makepyfile(test_it=BEGINNING + source, **files)
        if not Path("tox.ini").exists():
            pytester.makeini("[pytest]")  # otherwise pytest looks for one in the folders above
        options = ["-p", plugin(), "-W", "error", *options]
        result = pytester.runpytest_subprocess(*options, timeout=60)
        if "conftest" not in files and "between two samples there was" in result.stdout.str():
            pytest.skip("the recorder got no CPU for too long to tell")
        return result

    return run


# ---------------------------------------------------------------- unless it is needed


def test_the_plugin_alone_imports_no_numpy_and_nothing_that_measures():
    code = "import sys, gilfree.pytest_plugin; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = done.stdout.split()
    assert "gilfree.pytest_plugin" in imported
    for name in "numpy", "gilfree.gil", "gilfree.recording", "gilfree.suite", "gilfree.testing":
        assert name not in imported


SPY = """
import sys
def pytest_unconfigure(config):
    loaded = sorted(n for n in sys.modules if n.startswith("gilfree."))
    print("loaded", *loaded)
    plugin = sys.modules["gilfree.pytest_plugin"]
    print("hooks", *sorted(h.name for h in config.pluginmanager.get_hookcallers(plugin)))
"""


def test_a_suite_that_does_not_use_the_plugin_has_no_hook_for_each_test(suite):
    result = suite("def test_it(): pass", "--strict-markers", conftest=SPY)
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines(
        [
            r"loaded gilfree\._arguments gilfree\._cpu gilfree\._isa gilfree\._lazy "
            r"gilfree\.kernels gilfree\.pytest_plugin$",
            r"hooks pytest_addoption pytest_collection_finish pytest_configure$",
        ]
    )


def test_help_and_markers_name_it(suite):
    suite("", "--help").stdout.fnmatch_lines(["*(gilfree):", "  --gil *", "  gil_max_hold*"])
    suite("", "--markers").stdout.fnmatch_lines(["@pytest.mark.gil(max_hold=*, max_wait=*): *"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--gil-min=fast", "*--gil-min: must be a time such as 50ms*, not 'fast'"),
        ("--gil-count=-1", "*--gil-count: must be a number of tests, or 0 for all, not '-1'"),
        ("--override-ini=gil_max_wait=3h", "*gil_max_wait must be a time such as 50ms*not '3h'"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_expected(suite, option, message):
    result = suite("def test_it(): pass", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("max_hold='fast'", "*::test_it: in the marker gil, max_hold must be a time *'fast'"),
        ("max_held='1s'", "*::test_it: the marker gil takes max_hold and max_wait, by name"),
        ("'1s'", "*::test_it: the marker gil takes max_hold and max_wait, by name"),
    ],
)
def test_a_wrong_marker_is_named_with_its_test(suite, arguments, message):
    result = suite(f"@pytest.mark.gil({arguments})\ndef test_it(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


# ---------------------------------------------------------------- what is shown


class TestMeasured:
    """Tests that need a recorder, and a GIL."""

    pytestmark = measures

    def test_the_longest_holds_and_waits_are_shown_with_their_lines(self, suite):
        result = suite(HOLDS, "--gil", "--gil-min=50ms")
        result.assert_outcomes(passed=3)
        result.stdout.re_match_lines(
            [
                "=+ longest holds of the GIL =+",
                r"0\.\d{3} s call     test_it.py::test_hold  test_hold \(test_it.py:\d+\) in "
                "MainThread; another thread would have waited",
                r"0\.\d{3} s call     test_it.py::test_wait  .* in worker; MainThread waited",
                "=+ longest waits for the GIL =+",
                r"0\.\d{3} s call     test_it.py::test_wait  .* in worker; MainThread waited",
            ],
        )

    def test_setup_and_teardown_are_phases_of_their_own(self, suite):
        source = """
        @pytest.fixture
        def slow():
            hold(400_000)
            yield
            hold(250_000)

        def test_it(slow):
            pass
        """
        result = suite(source.replace("\n        ", "\n"), "--gil", "--gil-min=100ms")
        result.stdout.re_match_lines(
            [
                r"0\.\d{3} s setup    test_it.py::test_it  slow .*",
                r"0\.\d{3} s teardown test_it.py::test_it  slow .*",
            ],
            consecutive=True,
        )

    def test_a_few_are_shown_or_all(self, suite):
        source = "@pytest.mark.parametrize('i', range(4))\ndef test_it(i): hold(200_000)"
        few = suite(source, "--gil", "--gil-count=1", "--gil-min=20ms")
        # On a busy machine fewer are seen, or holds outside of tests are.
        few.stdout.re_match_lines(
            [r"0\.\d{3} s \w+ ", r"\(\d more of 20 ms or longer: --gil-count 0\)"],
            consecutive=True,
        )
        everything = suite(source, "--gil", "--gil-count=0", "--gil-min=20ms").stdout
        everything.re_match_lines([r"0\.\d{3} s \w+ "] * 2, consecutive=True)
        everything.no_re_match_line(".* more of ")

    def test_without_long_holds_the_summary_says_so(self, suite):
        result = suite("def test_it(): pass", "--gil", "--gil-min=30s")
        result.stdout.fnmatch_lines(["*GIL: no test held the GIL for 30 s or longer*"])

    def test_if_no_test_ran_there_is_no_summary(self, suite):
        for options in ["nowhere.py"], ["-k", "nothing"]:
            result = suite("def test_it(): pass", "--gil", *options)
            result.stdout.no_fnmatch_line("*no test held the GIL*")

    # ------------------------------------------------------------ limits

    @pytest.mark.parametrize("options", [["-rA"], ["-rA", "--gil"]])
    def test_a_test_that_exceeds_its_limit_fails_with_the_report(self, suite, options):
        result = suite(LIMITS, *options)
        result.assert_outcomes(failed=2)
        result.stdout.re_match_lines(
            [
                r"test_it.py GG .*",
                r"held the GIL for \d+ ms, more than max_hold = 50 ms: test_hold .* in MainThread; "
                "another thread would have waited",
                "another thread is gilfree's own, which requests the GIL all the time",
                r"waited for the GIL for \d+ ms, more than max_wait = 50 ms: .* in worker; "
                "MainThread waited",
                r"GIL test_it.py::test_hold - .*held the.*",
                r"GIL test_it.py::test_wait - .*waited.*",
            ]
        )

    def test_a_test_within_its_limit_passes_and_a_failing_test_fails_as_usual(self, suite):
        source = """
            import unittest

            @pytest.mark.gil(max_hold="20s", max_wait="20s")
            def test_kept():
                hold(100_000)

            @pytest.mark.gil(max_wait="50ms")
            def test_hold_without_a_waiter():
                pass

            @pytest.mark.gil(max_hold="1ms")
            def test_own():
                hold(50_000)
                assert 0

            @pytest.mark.xfail(strict=True)
            @pytest.mark.gil(max_hold="50ms")
            def test_expected():
                hold(400_000)

            class TestCase(unittest.TestCase):
                @pytest.mark.gil(max_hold="50ms")
                def test_unit(self):
                    hold(400_000)
        """
        result = suite(source.replace("\n            ", "\n"), "-rA")
        result.assert_outcomes(passed=2, failed=2, xfailed=1)
        result.stdout.fnmatch_lines(
            ["FAILED *::test_own - assert 0", "GIL *::test_unit - *"], consecutive=False
        )

    def test_the_ini_file_limits_all_tests_and_a_marker_overrides_it(self, suite, pytester):
        pytester.makeini("[pytest]\ngil_max_hold = 50ms")
        source = """
            def test_all():
                hold(400_000)

            @pytest.mark.gil(max_hold=None)
            def test_free():
                hold(400_000)

            def test_nothing():
                pass
        """
        result = suite(source.replace("\n            ", "\n"), "-rf")
        result.assert_outcomes(passed=2, failed=1)
        result.stdout.fnmatch_lines(["GIL *::test_all - *"])

    def test_a_figure_too_close_to_a_limit_is_a_warning(self, suite):
        result = suite(LIMITS, conftest=LARGE_GAP)
        result.assert_outcomes(passed=2, warnings=2)
        result.stdout.fnmatch_lines(["*GilWarning: * too close to max_hold = 50 ms to tell: *9 s"])

    # ------------------------------------------------------------ the fixture

    @pytest.mark.parametrize("options", [[], ["--gil"]])
    def test_the_fixture_records_until_its_figures_are_read(self, suite, options):
        source = """
            import gilfree

            def test_it(gil_record):
                before = threading.active_count()
                worker = threading.Thread(target=hold, args=[200_000], name="worker")
                worker.start()
                time.sleep(0.01)
                worker.join()
                names = {thread.name for thread in gil_record.threads}
                assert names == {"MainThread", "worker"}
                assert gil_record.stalls[0].waiter == "MainThread"
                assert gil_record.stalls[0].holders[0].thread == "worker"
                seconds = gil_record.seconds
                time.sleep(0.01)
                assert gil_record.seconds == seconds
                assert before == threading.active_count() == 1

            def test_with_a_second_recording(gil_record):
                with gilfree.record() as own:
                    hold(50_000)
                assert own.threads
                assert gil_record.threads

            def test_without_reading_any(gil_record):
                pass
        """
        result = suite(source.replace("\n            ", "\n"), *options)
        result.assert_outcomes(passed=3)

    # ------------------------------------------------------------ forks, clocks, plugins

    @needs.fork
    def test_a_test_may_fork(self, suite):
        source = """
            import os

            @pytest.mark.gil(max_hold="20s")
            def test_it():
                child = os.fork()
                if not child:
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0

            def test_again():
                test_it()
        """
        result = suite(source.replace("\n            ", "\n"), "--gil")
        result.assert_outcomes(passed=2)

    def test_frozen_clocks_do_not_change_the_times(self, suite):
        source = """
            @pytest.fixture(autouse=True)
            def frozen(monkeypatch):
                for name in "time", "monotonic", "perf_counter", "sleep":
                    monkeypatch.setattr(time, name, lambda *_: 0.0)

            def test_it():
                hold(300_000)
        """
        result = suite(source.replace("\n            ", "\n"), "--gil")
        result.stdout.re_match_lines([r"0\.[23]\d\d s call     test_it.py::test_it .*"])

    @pytest.mark.parametrize(
        ("module", "options", "source"),
        [
            (
                "pytest_asyncio.plugin",
                ["-o", "asyncio_default_fixture_loop_scope=function"],  # unset, it warns
                "@pytest.mark.asyncio\nasync def test_it(): hold(300_000)",
            ),
            (
                "anyio.pytest_plugin",
                [],
                "@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
                "@pytest.mark.anyio\nasync def test_it(): hold(300_000)",
            ),
            (
                "pytest_run_parallel.plugin",
                ["--parallel-threads=2"],
                "def test_it(): hold(300_000)",
            ),
            ("pytest_cov.plugin", ["--cov=."], "def test_it(): hold(300_000)"),
        ],
    )
    def test_other_plugins(self, suite, module, options, source):
        pytest.importorskip(module)
        result = suite(source, "-p", module, "--gil", *options)
        assert result.parseoutcomes()["passed"] == 1
        result.stdout.re_match_lines([r"0\.\d{3} s call     test_it.py::test_it  test_it .*"])

    def test_subtests_do_not_end_the_recording_of_their_test(self, suite):
        source = """
            import unittest

            class TestCase(unittest.TestCase):
                @pytest.mark.gil(max_hold="50ms")
                def test_it(self):
                    time.sleep(1.1)  # longer than a recording of several tests
                    with self.subTest("first"):
                        hold(400_000)
                    with self.subTest("second"):
                        pass
        """
        result = suite(source.replace("\n            ", "\n"), "--gil", "-rA")
        result.stdout.fnmatch_lines(["0.* s call * test_it.py::TestCase::test_it *"])
        result.stdout.fnmatch_lines(["GIL *::test_it - *held the GIL for *"])

    def test_a_rerun_does_not_count_as_failed(self, suite):
        pytest.importorskip("pytest_rerunfailures")
        source = """
            runs = []

            @pytest.mark.gil(max_hold="50ms")
            def test_it():
                runs.append(1)
                hold(400_000 if len(runs) == 1 else 0)
        """
        source = source.replace("\n            ", "\n")
        result = suite(source, "-p", "pytest_rerunfailures", "--reruns=1")
        result.assert_outcomes(passed=1)
        assert result.parseoutcomes()["rerun"] == 1

    def test_the_rows_of_xdist_workers_are_shown(self, suite):
        pytest.importorskip("xdist")
        result = suite(
            HOLDS + LIMITS.replace("def test_", "def test_limit_"),
            "-p",
            "xdist.plugin",
            "-n2",
            "--gil",
        )
        result.assert_outcomes(passed=3, failed=2)
        result.stdout.fnmatch_lines(
            [
                "0.* s call * test_it.py::test_hold  test_hold *",
                "0.* s call * test_it.py::test_wait  *in worker; MainThread waited",
            ]
        )

    def test_an_xdist_worker_reports_exceeded_limits_without_a_summary(self, suite):
        pytest.importorskip("xdist")
        result = suite(LIMITS, "-p", "xdist.plugin", "-n2", "-rf")
        result.assert_outcomes(failed=2)
        result.stdout.fnmatch_lines_random(["GIL *::test_hold - *", "GIL *::test_wait - *"])


# ---------------------------------------------------------------- if nothing can be measured


@needs.recorder
def test_the_fixture_needs_no_gil(suite):
    source = """
def test_it(gil_record):
    worker = threading.Thread(target=time.sleep, args=[0.05], name="worker")
    worker.start()
    worker.join()
    assert {"MainThread", "worker"} <= {thread.name for thread in gil_record.threads}
    assert str(gil_record) == str(gil_record)
"""
    suite(source).assert_outcomes(passed=1)


def test_if_nothing_can_be_recorded_the_fixture_skips(suite):
    conftest = """
from gilfree.gil.sampler import NoSamplerError
from gilfree.suite import so_far
def nothing(**options):
    raise NoSamplerError("recording needs Linux")
so_far.Session = nothing
"""
    result = suite("def test_it(gil_record): pass", "-rs", conftest=conftest)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * recording needs Linux"])


NO_GIL = """
from gilfree.suite import measuring
measuring.gil_enabled = lambda: False
"""


def test_a_limit_that_cannot_be_checked_is_a_warning_even_if_warnings_are_errors(suite):
    source = "@pytest.mark.gil(max_hold='1ms')\ndef test_it(): time.sleep(0.1)"
    result = suite(source, conftest=NO_GIL)
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(
        ["*test_it.py:*: GilWarning: its limits can't be checked: this Python has no GIL"]
    )
    ignored = suite(source, "-W", "ignore::gilfree.testing.GilWarning", conftest=NO_GIL)
    ignored.assert_outcomes(passed=1)


def test_without_a_gil_the_summary_says_so(suite):
    result = suite("def test_it(): pass", "--gil", conftest=NO_GIL)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*GIL: nothing was measured: this Python has no GIL*"])
