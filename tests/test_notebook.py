"""``%gil`` and ``%%gil``: what they show and return, and that a cell runs like any other."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import needs
import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("IPython") is None, reason="needs IPython")
NOTEBOOK = Path(__file__).parent.parent / "examples" / "notebook.ipynb"

# A shell that leaves no files behind; `run` returns the value, exception and output of a cell.
SHELL = """
import os, sys, tempfile, types
os.environ["IPYTHONDIR"] = tempfile.mkdtemp()
os.environ.pop("VIRTUAL_ENV", None)  # IPython warns if it names another environment
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config
settings = Config()
settings.HistoryManager.enabled = False
settings.InteractiveShell.colors = "nocolor"
shell = InteractiveShell.instance(config=settings)
names = shell.user_ns

def run(cell):
    with capture_output() as shown:
        done = shell.run_cell(cell)
    error = done.error_before_exec or done.error_in_exec
    text = shown.stdout + shown.stderr + "".join(o.data["text/plain"] for o in shown.outputs)
    html = ["text/html" in output.data for output in shown.outputs]
    return types.SimpleNamespace(value=done.result, error=error, text=text, html=html)

assert run("%load_ext gilfree").error is None
"""


def test_the_extension_can_be_loaded_again(run_script):
    code = """
assert run("%reload_ext gilfree").error is None
found = [str(one) for one in shell.input_transformers_cleanup]
assert sum("begin_in_cell" in one for one in found) == 1
assert "record which threads wait" in run("%%gil?").text
"""
    run_script(SHELL + code)


@needs.sampler
def test_a_statement_is_probed_with_the_variables_of_the_shell(run_script):
    code = """
run("numbers = list(range(1000))")
shown = run("%gil sum(numbers)  # a comment")
assert shown.text.startswith("sum(numbers)"), shown.text
assert shown.html == [True]
assert shown.value is None

done = run("report = %gil -o --workers 1 sum(numbers)")
assert (done.text, done.error) == ("", None)
assert type(names["report"]).__name__ == "GilReport"
assert (names["report"].workers, names["report"].result) == (1, 499500)

assert run("%gil -o sum(numbers)").value.name == "sum(numbers)"
inner = "def look(local):\\n    report = %gil -o --workers 1 [local]\\n    return report.result"
assert run(f"{inner}\\nlook(7)").value == [7]
assert run("%gil --workers 1 lost = 1").error is None
assert "lost" not in names
"""
    run_script(SHELL + code)


@needs.sampler
def test_an_exception_of_a_statement_has_its_own_traceback(run_script):
    code = """
failed = run("%gil 1 / 0")
assert type(failed.error) is ZeroDivisionError
assert "<statement>:1" in failed.text
assert "probe.py" not in failed.text and "notebook.py" not in failed.text, failed.text
assert type(run("%gil 1 +").error) is SyntaxError
assert run("1 + 1").value == 2
"""
    run_script(SHELL + code)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%gil", "needs a statement"),
        ("%gil --workers some 1", "must be a whole number, at least 1, not 'some'"),
        ("%gil --workers 0 1", "must be a whole number, at least 1, not '0'"),
        ("%gil --what 1", "option --what not recognized"),
        pytest.param("%gil (i for i in [])", "returns a generator", marks=needs.sampler),
        ("%%gil two names\n1", "takes the name of a variable"),
        pytest.param(
            "import gilfree\nwith gilfree.record():\n    %gil -o 1\n    "
            "get_ipython().run_cell_magic('gil', '', '\\n')",
            "under way already",
            marks=needs.recorder,
        ),
    ],
)
def test_an_error_is_one_sentence(run_script, line, words):
    code = f"""
failed = run({line!r})
assert type(failed.error).__name__ == "UsageError", failed
assert {words!r} in failed.text and "Traceback" not in failed.text, failed.text
"""
    run_script(SHELL + code)


@needs.recorder
def test_a_cell_runs_like_any_other_and_then_its_recording_is_shown(run_script):
    code = """
run("import time")
done = run("%%gil found\\nprint('printed')\\ntime.sleep(0.01)\\nanswer = 41\\nanswer + 1")
assert (done.value, names["answer"], done.error) == (42, 41, None)
assert done.text.index("printed") < done.text.index("MainThread"), done.text
assert done.html[-1:] == [True]
assert names["found"].seconds > 0.01
assert run("%%gil").error is None
assert run("%%gil\\n").error is None
"""
    run_script(SHELL + code)


@needs.recorder
def test_a_cell_fails_like_any_other_and_its_recording_is_shown(run_script):
    code = """
failed = run("%%gil\\nbefore = 1\\nbefore / 0")
assert type(failed.error) is ZeroDivisionError
assert failed.text.count("Traceback") == 1 and "----> 3 before / 0" in failed.text, failed.text
assert failed.html == [True]
assert type(run("%%gil\\nno python(").error) is SyntaxError
assert run("%%gil\\n'and the next one is recorded'").html == [True]
"""
    run_script(SHELL + code)


@needs.recorder
def test_a_cell_may_await(run_script):
    code = """
done = run("%%gil found\\nimport asyncio\\nawait asyncio.sleep(0.02, 'slept')")
assert (done.value, done.error, done.html) == ("slept", None, [True]), done
assert names["found"].seconds > 0.02
"""
    run_script(SHELL + code)


@needs.recorder
def test_cells_within_a_cell_do_not_end_its_recording(run_script):
    code = """
done = run("%%gil found\\nimport time\\nget_ipython().run_cell('1')\\ntime.sleep(0.02)")
assert names["found"].seconds > 0.02
assert done.html == [True]
"""
    run_script(SHELL + code)


@needs.recorder
@pytest.mark.parametrize("cell", ["%%time\n%%gil\n7", "%%gil\n%%time\n7"])
def test_it_works_together_with_other_magics(run_script, cell):
    code = f"""
done = run({cell!r})
assert done.error is None and "Wall time" in done.text, done.text
assert True in done.html
"""
    run_script(SHELL + code)


def test_a_terminal_waits_for_the_rest_of_the_cell(run_script):
    code = """
complete = shell.input_transformer_manager.check_complete
assert complete("%%gil\\n")[0] == complete("%%gil\\n1 + 1")[0] == "incomplete"
assert complete("%%gil\\n1 + 1\\n\\n")[0] == "complete"
"""
    run_script(SHELL + code)


def test_the_notebook_is_kept_without_its_outputs():
    cells = [one for one in json.loads(NOTEBOOK.read_text())["cells"] if "outputs" in one]
    assert cells
    for cell in cells:
        assert (cell["outputs"], cell["execution_count"]) == ([], None)


RUN = """
import json, sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.mark.slow
@needs.recorder
@pytest.mark.thread_unsafe(reason="starts a kernel")
def test_the_notebook_runs(tmp_path):
    for name in "nbclient", "ipykernel":
        pytest.importorskip(name)
    path = tmp_path / "done.ipynb"
    command = [sys.executable, "-c", RUN, str(NOTEBOOK), str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    cells = [one for one in json.loads(path.read_text())["cells"] if "outputs" in one]
    shown = ["".join(json.dumps(one) for one in cell["outputs"]) for cell in cells]
    for number, words in enumerate(
        ["", "np.sort(x)", "sorted(numbers)", "Verdict", "MainThread", "RecordingVerdict"]
    ):
        assert words in shown[number]
    assert "both are done" in shown[6]
    assert "mandelbrot" in shown[7]
    assert [text.count("text/html") for text in shown] == [0, 1, 1, 0, 1, 0, 1, 1]
