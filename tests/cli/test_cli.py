"""The command line as its users meet it: output, errors in one line, exit status."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import needs
import numpy as np
import pytest

from gilfree import build_info, cli, survey
from gilfree._system import cpu_model

pytestmark = pytest.mark.thread_unsafe(reason="starts processes, which gain nothing from threads")


def gilfree(*arguments, **how):
    return subprocess.run(
        [sys.executable, "-m", "gilfree", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **how,
    )


@pytest.fixture
def run_here(capsys):
    """Return a function that runs gilfree in this process, which takes no time to start."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(run_here):
    """Return a function that gives gilfree wrong arguments, and returns its line about them."""

    def run(*arguments):
        status, out, err = run_here(*arguments)
        assert (status, out) == (2, "")
        assert len(err.splitlines()) == 1
        return err

    return run


@pytest.fixture
def array(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(1000, 3)))
    return path


@pytest.mark.slow
def test_demo_prints_a_table_and_a_sentence(array):
    done = gilfree("demo", "--quick", "--input", array, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    level = build_info()["isa_level"]
    for words in level, "CPython 3.", "switch interval", "sum_of_squares", "sqeuclidean", "machine":
        assert words in done.stdout
    assert "mandelbrot" not in done.stdout  # it takes no array
    assert "\n5. C code that releases the GIL" in done.stdout
    assert "6. " not in done.stdout
    assert "2 workers were" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout


@pytest.mark.slow
def test_demo_as_json(array):
    arguments = "--input", array, "--kernel", "polyval", "--kernel", "histogram", "--json"
    results = json.loads(gilfree("demo", "--quick", *arguments, "--workers", 1).stdout)
    assert results["environment"]["python"] == sys.version.split()[0]
    assert results["complete"] is True
    (step,) = results["steps"]
    assert step["number"] == 5
    assert [row["kernel"] for row in step["rows"]] == ["polyval", "histogram"]
    assert "sentence" in step


def test_demo_runs_the_steps_that_are_asked_for():
    done = gilfree("demo", "--quick", "--only", "3, 1", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(\d)\. ", done.stdout, re.MULTILINE) == ["1", "3"]
    assert "8 concurrent requests were answered" in done.stdout
    assert ", quick\n" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.slow
def test_demo_writes_a_picture_and_a_page(array, tmp_path):
    pytest.importorskip("matplotlib")
    picture, page = tmp_path / "gil.png", tmp_path / "gil.html"
    page.write_text("what was there before")
    arguments = "--input", array, "--kernel", "polyval", "--workers", 2, "--quick"
    done = gilfree("demo", *arguments, "--plot", picture, "--html", page)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"gilfree: wrote {picture}\ngilfree: wrote {page}\n"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "5. C code that releases the GIL" in page.read_text()
    assert f"<p>{time.strftime('%Y-')}" in page.read_text()
    assert f", {cpu_model()}</p>" in page.read_text()
    assert sorted(tmp_path.iterdir()) == sorted([array, picture, page])


@needs.posix  # other systems have other error messages
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--plot", "x.jpg"], "--plot x.jpg must end in .png or .svg"),
        (["--plot", "nowhere/x.png"], "--plot nowhere/x.png can't be written: No such file"),
        (["--html", "."], "--html . can't be written: Is a directory"),
        (["--html", "x.npy/x.html"], "can't be written: Not a directory"),
        (["--only", "1", "--plot", "x.png"], "--plot is for step 5, which --only leaves out"),
        (["--only", "1", "--kernel", "polyval"], "--kernel is for step 5, which"),
        (["--plot", "x.svg", "--html", "x.svg"], "--plot and --html must name different files"),
        (["--html", "link.html"], "--html link.html can't be written: No such file"),
        (["--workers", "5000"], "--workers: must be at most"),
        (["--only", "1,8"], "must name steps from 1 to 7, as in 3,5, not '1,8'"),
        (["--only", ""], "must name steps from 1 to 7, as in 3,5, not ''"),
    ],
)
def test_a_wrong_file_is_named_before_anything_is_measured(
    array, arguments, words, refused, monkeypatch
):
    pytest.importorskip("matplotlib")
    link = array.parent / "link.html"
    link.symlink_to("nowhere/x.html")
    monkeypatch.chdir(array.parent)
    assert words in refused("demo", *arguments)  # and the first step has printed nothing
    link.unlink()
    assert list(array.parent.iterdir()) == [array]


def test_without_a_command_the_help_is_shown():
    done = gilfree()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == gilfree("--help").stdout
    epilog = done.stdout.partition("\nexamples:\n")[2]
    assert [line.split()[:2] for line in epilog.splitlines()] == [
        ["gilfree", "demo"],
        ["gilfree", "probe"],
    ]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_help_of_a_command_ends_with_an_example_and_the_exit_statuses(
    command, run_here, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run_here(command, "--help")
    text, _, statuses = out.partition("\nexit status:\n")
    assert re.findall(r"^ +(\d+)  \w", statuses, re.MULTILINE) == ["0", "1", "2", "3", "130"]
    text, _, example = re.split(r"\nexample(s?):\n", text)
    words = shlex.split(example.splitlines()[0])
    assert words[0] == "gilfree"
    assert cli.parser(words[1:]).parse_args(words[1:]).run is getattr(cli, command).run
    description = text.partition("\n\n")[2].partition("\n\n")[0]
    assert max(map(len, description.splitlines())) <= 80


@pytest.mark.slow
def test_modules_of_the_current_folder_are_not_run(tmp_path):
    (tmp_path / "gilfree.py").write_text("raise SystemExit('this is not gilfree')")
    command = [sys.executable, "-P", "-m", "gilfree", "demo", "--quick", "--json", "--workers", "1"]
    command += ["--only", "5,7", "--kernel", "mandelbrot"]  # these start processes
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def save(path, what):
    if what == "text":
        path.write_text("1, 2, 3")
    elif what == "zip":
        path.write_bytes(b"PK\3\4 and no more")
    elif what == "pickle":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    elif what == "cut":
        np.save(path, np.ones(1000))
        path.write_bytes(path.read_bytes()[:500])
    elif what == "npz":
        with path.open("wb") as file:
            np.savez(file, a=[1])
    elif what != "missing":
        np.save(path, np.array(what))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing", "No such file"),
        ("text", "is not a .npy file"),
        ("zip", "is not a .npy file"),
        ("pickle", "is not a .npy file"),
        ("cut", "is not a .npy file"),
        ("npz", "several arrays"),
        ([1j], "must contain real numbers, not complex128"),
        ([], "not shape (0,)"),
        (1.0, "not shape ()"),
        ([1.0, np.nan], "histogram can't run on"),
    ],
)
def test_a_wrong_file_gets_one_line_and_status_2(tmp_path, refused, what, words):
    path = tmp_path / "x.npy"
    save(path, what)
    assert words in refused("demo", "--input", path, "--kernel", "histogram")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", "--kernel", "fft"], "invalid choice: 'fft'"),
        (["demo", "--workers", "0"], "--workers: must be a whole number of at least 1, not '0'"),
        (["demo", "--workers", "two"], "must be a whole number of at least 1, not 'two'"),
        (["demo", "--input"], "expected one argument"),
        (["dance"], "invalid choice: 'dance'"),
        (["--loud"], "required"),
        (["probe"], "required: statement"),
        (["probe", "--max-held", "2", "pass"], "--max-held: must be a number from 0 to 1, or"),
        (["explain", "fft"], "unknown kernel 'fft': choose from empty, sum_of_squares"),
        (["survey", "nompy"], "unknown library 'nompy': choose from numpy, scipy"),
    ],
)
def test_a_wrong_argument_gets_one_line_and_status_2(arguments, words, refused):
    assert words in refused(*arguments)


@pytest.mark.slow
def test_a_terminal_that_cannot_show_a_character_gets_another(array):
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    arguments = "--quick", "--input", array, "--kernel", "polyval", "--workers", 1
    done = gilfree("demo", *arguments, env=environ)
    assert done.returncode == 0, done.stderr


def test_input_and_a_kernel_that_takes_no_array(array, refused):
    said = refused("demo", "--input", array, "--kernel", "mandelbrot")
    assert "--input can't be used: mandelbrot takes no array" in said


@needs.posix
@pytest.mark.parametrize(
    ("seconds", "arguments"),
    [(0.2, []), (4, []), (4, ["--only", "5", "--json"]), (9, ["--json"])],
)
@pytest.mark.slow
def test_ctrl_c_shows_what_was_finished_and_exits_with_130(arguments, seconds):
    process = subprocess.Popen(
        [sys.executable, "-m", "gilfree", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CI": ""},
        start_new_session=True,
    )
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)  # a terminal, too, sends it to the whole group
    try:
        out, err = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if seconds == 0.2 and process.returncode < 0:
        return  # Python itself was still starting
    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert err in ("", "gilfree: interrupted; results so far are above\n")
    if seconds > 1 and arguments:
        assert json.loads(out)["complete"] is False
    elif seconds > 1:
        assert "1. Only one thread at a time runs bytecode" in out


@pytest.mark.slow
def test_without_rich_one_line_says_what_to_install(tmp_path):
    (tmp_path / "rich.py").write_text("raise ModuleNotFoundError(name='rich')")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = gilfree("demo", env=environ)
    assert done.returncode == 2
    assert done.stderr == "gilfree: this command needs rich: pip install rich, or use --json\n"
    arguments = "--quick", "--json", "--kernel", "polyval", "--workers", 1
    done = gilfree("demo", *arguments, env=environ)
    assert done.returncode == 0


def test_without_matplotlib_one_line_says_what_to_install(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError(name='matplotlib')")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for option in ["--plot", "x.png"], ["--html", "x.html"]:
        done = gilfree("demo", *option, env=environ, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr == "gilfree: a picture needs matplotlib: pip install matplotlib\n"
    done = gilfree("demo", "--only", "3", "--quick", "--html", "x.html", env=environ, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "<img" not in (tmp_path / "x.html").read_text()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full disk to offer")
@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_named(tmp_path):
    done = gilfree("demo", "--only", "3", "--quick", "--html", "/dev/full")
    assert done.returncode == 2
    assert done.stderr == "gilfree: can't write /dev/full: No space left on device\n"
    assert os.path.exists("/dev/full")
    assert not os.path.isfile("/dev/full")
    folder = tmp_path / "read only"
    folder.mkdir(mode=0o500)
    done = gilfree("demo", "--only", "3", "--quick", "--html", folder / "x.html")
    assert (done.returncode == 0) == os.access(folder, os.W_OK)  # root may


def on_a_terminal(*arguments, interrupt_at=None, status=0, **streams):
    """Run gilfree on a terminal, except for the given streams; return what the terminal shows.

    When it shows `interrupt_at`, gilfree gets the signal of Ctrl-C.
    """
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gilfree", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=streams.get("stdout", theirs),
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            more = os.read(ours, 4096)
        except OSError:
            break
        if not more:
            break
        shown += more
        if interrupt_at is not None and interrupt_at in shown:
            process.send_signal(signal.SIGINT)
            interrupt_at = None
    os.close(ours)
    assert process.wait(timeout=60) == status
    return shown.decode()


@pytest.mark.slow
def test_progress_is_shown_on_a_terminal_only(array):
    arguments = ["demo", "--quick", "--input", array, "--workers", 1, "--kernel", "histogram"]
    assert gilfree(*arguments).stderr == ""
    shown = on_a_terminal(*arguments, stdout=subprocess.DEVNULL)
    assert "5. C code that releases the GIL" in shown  # progress is of the step, not of its parts
    assert "histogram" not in shown


@pytest.mark.slow
def test_an_explanation_is_coloured_on_a_terminal():
    shown = on_a_terminal("explain", "polyval")
    assert re.search(r"\x1b\[[0-9;]+mdef\x1b", shown)
    assert "PyEval_SaveThread" in shown or "pip install cython" in shown


# ---------------------------------------------------------------- probe and survey


@needs.sampler
def test_probe_prints_a_report():
    done = gilfree("probe", "-s", "import time", "-s", "seconds = 0.01", "time.sleep(seconds)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("time.sleep(seconds): ")
    assert "gaps of up to" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@needs.sampler
def test_probe_takes_statements_of_several_lines_and_modules_of_the_folder(tmp_path):
    (tmp_path / "mine.py").write_text("def work(): return 42")
    done = gilfree(
        "probe", "-s", "import mine", "for _ in range(9):", "    mine.work()", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@needs.sampler
def test_probe_as_json_with_a_bound():
    holds = ["-s", "import ctypes; f = ctypes.PyDLL(None).usleep", "f(5000)"]
    done = gilfree("probe", "--json", "--workers", 1, *holds)
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["workers"] == 1
    assert report["held"] > 0.5
    if report["gil_enabled"]:
        assert gilfree("probe", "--max-held", 0.1, "--workers", 1, *holds).returncode == 1
        assert gilfree("probe", "--max-held", "100%", "--workers", 1, *holds).returncode == 0


@needs.sampler
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["1 / 0"], "ZeroDivisionError"),
        (["-s", "import nowhere", "pass"], "ModuleNotFoundError"),
        (["for"], "SyntaxError"),
        (["-s", "def", "pass"], "SyntaxError"),
        (["raise SystemExit(0)"], "SystemExit"),
    ],
)
def test_a_statement_that_fails_shows_its_own_traceback(arguments, words):
    done = gilfree("probe", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(words)
    assert "gilfree" not in done.stderr
    if words == "ZeroDivisionError":
        assert "    1 / 0\n" in done.stderr


@needs.sampler
def test_a_lazy_call_gets_one_line():
    setup = ["-s", "def count(n): yield from range(n)", "-s", "async def wait(): pass"]
    for statement, words in (
        ("count(3)", "returns a generator, and none of its code runs in that call: probe list("),
        (
            "wait()",
            "returns a coroutine, and none of its code runs in that call: probe asyncio.run(",
        ),
    ):
        done = gilfree("probe", *setup, statement)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"gilfree: {statement} {words}{statement}) instead")
        assert len(done.stderr.splitlines()) == 1


@needs.sampler
@pytest.mark.parametrize("options", [[], ["--json"], ["--markdown"]])
def test_ctrl_c_in_a_survey_shows_what_was_found(options, run_here, monkeypatch):
    first, second = survey.calls_of(["stdlib"])[:2]

    def probe(call):
        if call == second:
            raise KeyboardInterrupt
        return survey.Entry(call, None, "ValueError: of the test")

    monkeypatch.setattr(survey, "probe_call", probe)
    status, out, err = run_here("survey", "stdlib", *options)
    assert (status, err) == (130, "gilfree: interrupted; results so far are above\n")
    assert first.name in out
    assert second.name not in out


@needs.sampler
@pytest.mark.slow
def test_a_long_probe_says_what_it_measures_and_ctrl_c_shows_results_so_far():
    statement = "-s", "import time", "time.sleep(1.5)"
    out = on_a_terminal("probe", *statement, interrupt_at=b"one took", status=130)
    assert "probe: one call ..." in out
    assert re.search(r"probe: one took 1\.5\d* s; .* together: \S+ s to \S+ s ...", out)
    report = out[out.index("time.sleep(1.5): ") :]
    assert "speedup not measured" in report
    assert "in 1 call" in report
    assert "interrupted; results so far are above" in report
