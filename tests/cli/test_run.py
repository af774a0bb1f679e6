"""``gilfree run``: the program runs as under python, and the report goes to stderr."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import needs
import pytest

pytestmark = [
    needs.recorder,
    pytest.mark.thread_unsafe(reason="starts processes, which gain nothing from threads"),
]
HOLDS = "import ctypes, threading, time; hold = ctypes.PyDLL(None).usleep; \
t = threading.Thread(target=hold, args=[300000], name='worker'); t.start(); time.sleep(0.01)"


def run(*arguments, **how):
    return subprocess.run(
        [sys.executable, "-m", "gilfree", "run", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **how,
    )


def test_a_script_its_arguments_and_its_neighbours(tmp_path):
    (tmp_path / "near.py").write_text("WORD = 'near'\n")
    (tmp_path / "script.py").write_text(
        "import sys, near, threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()\n"
        "print(__name__, near.WORD, sys.argv[1:], __file__ == sys.argv[0])\n"
        "sys.exit(7)\n"
    )
    done = run(tmp_path / "script.py", "-o", "--help")
    assert done.stdout == "__main__ near ['-o', '--help'] True\nlate\n"
    assert done.returncode == 7
    assert "MainThread" in done.stderr
    done = run("--", tmp_path / "script.py", "--")
    assert (done.stdout, done.returncode) == ("__main__ near ['--'] True\nlate\n", 7)


def test_numpy_and_its_threads_are_not_in_a_recording_of_a_program_without_it():
    done = run("-c", "import sys; print('numpy' in sys.modules)")
    assert done.stdout == "False\n"


def test_a_module_and_code(tmp_path):
    (tmp_path / "mod.py").write_text("import sys; print(__name__, sys.argv[1:])\n")
    assert run("-m", "mod", "-c", "x", cwd=tmp_path).stdout == "__main__ ['-c', 'x']\n"
    assert run("-m", "mod", "--", "x", cwd=tmp_path).stdout == "__main__ ['--', 'x']\n"
    done = run("-c", "import sys; print(sys.argv); class_ = 1", "-m")
    assert (done.stdout, done.returncode) == ("['-c', '-m']\n", 0)


def test_a_file_that_cannot_be_written_is_named_before_the_program_runs(tmp_path):
    done = run("-o", tmp_path / "nowhere" / "found.json", "-c", "print('ran')")
    assert (done.returncode, done.stdout) == (2, "")
    assert "found.json can't be written: No such file" in done.stderr


def test_without_matplotlib_a_picture_is_refused_before_the_program_runs(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['matplotlib'] = None")
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = run("-o", tmp_path / "x.png", "-c", "print('ran')", env=environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "gilfree: a picture needs matplotlib: pip install matplotlib\n"


def test_matplotlib_is_not_imported_before_the_program_runs(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "lanes.svg"
    done = run("-o", path, "-c", "import sys; print('matplotlib' in sys.modules)")
    assert (done.returncode, done.stdout) == (0, "False\n")
    assert path.read_bytes().startswith(b"<?xml")


def test_the_file_is_in_the_folder_where_the_command_was_run(tmp_path):
    (tmp_path / "away").mkdir()
    run("-o", "found.json", "-c", "import os; os.chdir('away')", cwd=tmp_path)
    assert json.loads((tmp_path / "found.json").read_text())["threads"]


def test_a_program_that_fails_shows_its_own_traceback():
    done = run("-c", "def f():\n    1 / 0\nf()")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == '  File "<string>", line 3, in <module>'
    assert "ZeroDivisionError: division by zero" in lines
    done = run("-c", "raise SystemExit('no luck')")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "no luck")


def test_threads_run_on_after_an_exception_and_are_recorded():
    thread = "threading.Thread(target=lambda: (time.sleep(0.2), print('late', file=sys.stderr)))"
    done = run("-c", f"import sys, threading, time; {thread}.start(); 1 / 0")
    assert done.returncode == 1
    order = [done.stderr.index(text) for text in ("ZeroDivisionError", "late", "MainThread ")]
    assert order == sorted(order)


def test_threads_that_start_others_at_the_end_are_recorded():
    code = "import sys, threading; left = [3]\n"
    code += "def tick():\n    left[0] -= 1\n    print('tick', left[0], file=sys.stderr)\n"
    code += "    if left[0]: threading.Timer(0.05, tick).start()\ntick()"
    done = run("-c", code)
    assert done.stderr.index("tick 0") < done.stderr.index("MainThread ")


def test_what_runs_at_exit_finds_the_modules_of_the_program(tmp_path):
    (tmp_path / "plug.py").write_text("print('found')\n")
    code = f"import atexit, sys; sys.path.append({str(tmp_path)!r})\n"
    code += "atexit.register(lambda: __import__('plug'))"
    assert run("-c", code).stdout == "found\n"


def test_ctrl_c_while_threads_run_on_after_exit_keeps_the_recording(tmp_path):
    path = tmp_path / "found.json"
    code = "import threading, time; threading.Thread(target=time.sleep, args=[60]).start()\n"
    code += "import sys; print('exits', flush=True); sys.exit(7)"
    arguments = [sys.executable, "-m", "gilfree", "run", "-o", str(path), "-c", code]
    with subprocess.Popen(arguments, stdout=-1, stderr=-1, text=True) as program:
        program.stdout.readline()
        time.sleep(0.2)
        program.send_signal(signal.SIGINT)
        while not path.exists():
            assert program.poll() is None
            time.sleep(0.01)
        program.kill()  # at exit, Python waits for the thread again
    assert json.loads(path.read_text())["threads"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("sys.stdout.close()", 0),
        ("sys.stdout = None", 0),
        ("sys.stderr.close()", 0),
        ("sys.stderr = None", 0),
        ("sys.stderr.close(); sys.exit('no')", 1),
        ("sys.stderr.close(); 1 / 0", 1),
    ],
)
def test_a_program_may_close_its_streams(tmp_path, code, status):
    path = tmp_path / "found.json"
    done = run("-o", path, "-c", f"import sys; {code}")
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert json.loads(path.read_text())["threads"]


def test_a_program_writes_the_bytes_that_it_writes_under_python():
    code = "import sys; print('a\\udcff'); print('\\udcff', file=sys.stderr)"
    environ = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", code]
    alone = subprocess.run(command, capture_output=True, check=True, env=environ)
    command[1:1] = ["-m", "gilfree", "run"]
    done = subprocess.run(command, capture_output=True, check=True, env=environ)
    assert done.stdout == alone.stdout == b"a\xff\n"
    assert done.stderr.startswith(alone.stderr)


def test_with_safe_path_nothing_is_removed_from_the_path(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "near.py").write_text("WORD = 'near'\n")
    folders = [str(tmp_path / "lib"), os.environ.get("PYTHONPATH", "")]
    environ = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(folders)}
    done = run("-c", "import near; print(near.WORD)", env=environ)
    assert (done.returncode, done.stdout) == (0, "near\n")


@needs.gil
def test_the_limits_for_ci_and_the_file(tmp_path):
    path = tmp_path / "found.json"
    done = run("-o", path, "--max-stall", "100ms", "--max-wait", "10%", "-c", HOLDS)
    assert done.returncode == 1
    # On a busy machine the recorder may get no CPU, and the report says so.
    assert done.stderr.startswith(("MainThread waited for the GIL for", "inconclusive: "))
    assert "more than the 100 ms of --max-stall" in done.stderr
    assert "more than the 10% of --max-wait" in done.stderr
    found = json.loads(path.read_text())
    assert found["stalls"][0]["waiter"] == "MainThread"
    assert found["stalls"][0]["holders"][0]["thread"] == "worker"
    done = run("--max-stall", "20s", "--max-wait", "1", "-c", HOLDS)
    assert done.returncode == (3 if done.stderr.startswith("inconclusive: ") else 0)


@needs.gil
@pytest.mark.parametrize("given", [True, False])
def test_in_a_workflow_lines_are_annotated_and_the_report_is_in_the_summary(tmp_path, given):
    summary = tmp_path / "summary"
    summary.write_text("what other steps wrote\n")
    held = "def held(seconds): hold(seconds)\n"  # a thread that runs only C code has no line
    (tmp_path / "app.py").write_text(held + HOLDS.replace("target=hold", "target=held"))
    environ = {**os.environ, "GITHUB_WORKSPACE": str(tmp_path)}
    environ |= {"GITHUB_STEP_SUMMARY": str(summary)} if given else {"GITHUB_STEP_SUMMARY": ""}
    code = "import os, runpy; os.chdir('/'); os.environ.clear(); runpy.run_path(f'{home}/app.py')"
    code = f"home = {str(tmp_path)!r}; {code}"
    done = run("--callers", "--format", "github", "-c", code, cwd=tmp_path, env=environ)
    assert done.returncode == 0
    assert "\n::warning file=app.py,line=1,title=MainThread waited for the GIL for " in done.stderr
    added = summary.read_text().partition("what other steps wrote\n")[2]
    assert added.startswith("### gilfree run\n\n") == given


@needs.no_gil
def test_the_limits_apply_to_suspended_threads():
    collects = HOLDS.replace("time.sleep(0.01)", "time.sleep(0.01); import gc")
    collects += "; threading.Thread(target=gc.collect).start(); sum(range(10**7))"
    done = run("--max-stall", "5ms", "--max-wait", "1%", "-c", collects)
    assert done.returncode == 1
    # Both threads delay the stopping of the world, and either may be suspended longest.
    assert re.match("this Python has no GIL: (MainThread|worker) was suspended for", done.stderr)
    assert "more than the 5 ms of --max-stall" in done.stderr
    assert "a thread was suspended for" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the program is missing: a script, -m MODULE or -c CODE"),
        (["-o", "x.txt", "-c", "1"], "argument -o: must end with .trace.json.gz, .trace.json, "),
        (["nowhere.py"], "can't run nowhere.py: No such file or directory"),
        (["-m", "nowhere.at.all"], "can't run nowhere.at.all: "),
        (["--max-stall", "soon", "-c", "1"], "must be a time such as 50ms"),
        (["--max-wait", "200%", "-c", "1"], "must be a number from 0 to 1, or a percentage"),
    ],
)
def test_a_wrong_argument_is_reported_in_one_line(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_program_that_leaves_an_executor_idle_ends():
    done = run(
        "-c",
        "from concurrent.futures import ThreadPoolExecutor as Pool; import time\n"
        "pool = Pool(2)\n"
        "pool.submit(lambda: (time.sleep(0.2), print('done')))",
    )
    assert (done.returncode, done.stdout) == (0, "done\n")
