"""The survey: its calls are well-formed and run; missing libraries and failures are named."""

from __future__ import annotations

import importlib.metadata
import json
from collections import Counter

import needs
import pytest
from rows import library

from gilfree import survey
from gilfree._system import environment
from gilfree.gil.statement import statement
from gilfree.show import survey as view
from gilfree.show.terminal import console as make_console
from gilfree.survey import LIBRARIES, Entry, Survey, calls_of
from gilfree.survey.calls import CALLS, GROUPS, Call

pytestmark = needs.sampler

QUICK = (
    Call("stdlib", "sleep", "import time", "time.sleep(0.005)"),
    Call("stdlib", "sum", "", "sum(range(10_000))"),
    Call("stdlib", "broken", "", "1 / 0"),
)


def test_there_are_many_calls_and_none_twice():
    assert len(CALLS) >= 60
    assert LIBRARIES == ("numpy", "scipy", "pandas", "numba", "stdlib")
    names = Counter((call.library, call.name) for call in CALLS)
    assert max(names.values()) == 1
    assert max(len(call.name) for call in CALLS) <= 34


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_every_call_is_python(call):
    compile(call.setup, call.name, "exec")
    compile(call.statement, call.name, "exec")


def test_a_call_runs_as_its_setup_says():
    call = next(call for call in CALLS if call.name == "json.loads")
    assert statement(call.statement, call.setup)()


@pytest.mark.slow
def test_failures_and_missing_libraries_are_named(monkeypatch):
    known = importlib.metadata.version

    def version(name):
        if name == "scipy":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(survey, "CALLS", QUICK)
    monkeypatch.setattr(importlib.metadata, "version", version)
    names = []
    result = survey.survey(["scipy", "stdlib"], on_call=names.append)
    assert names == [call.name for call in QUICK] == [call.name for call in calls_of(["stdlib"])]
    assert result.skipped == ("scipy",)
    assert result.versions.keys() == {"stdlib"}
    assert [entry.call.name for entry in result.entries][-1] == "broken"
    assert result.entries[-1].error == "ZeroDivisionError: division by zero"
    held = [entry.report.held for entry in result.entries[:-1]]
    assert held == sorted(held, reverse=True)
    assert json.loads(json.dumps(result.to_dict()))["skipped"] == ["scipy"]

    sentence = view.sentence(result)
    assert sentence.startswith("Of 3 calls, ")
    assert "1 could not be run" in sentence
    assert sentence.endswith("Not installed, so skipped: scipy.")
    console = make_console()
    with console.capture() as text:
        console.print(view.table(result))
    assert "could not be run: ZeroDivisionError" in " ".join(text.get().split())
    page = view.markdown(result)
    assert "| sleep | `import time` | `time.sleep(0.005)` |" in page
    assert page.startswith("# Who releases the GIL?")


def test_a_survey_of_libraries_that_are_not_installed_says_so():
    nothing = Survey(environment(), {}, ("scipy",), ())
    assert view.sentence(nothing) == "No call was probed. Not installed, so skipped: scipy."


def test_names_and_messages_are_shown_as_they_are():
    call = Call("stdlib", "x[mask] __call__", "", "x[mask]")
    found = Survey(environment(), {"stdlib": "3"}, (), (Entry(call, None, "E: a|b [/usr/lib]"),))
    console = make_console()
    with console.capture() as text:
        console.print(view.table(found))
    shown = " ".join(text.get().split())
    assert "x[mask] __call__" in shown
    assert "E: a|b [/usr/lib]" in shown
    row = view.markdown(found).splitlines()[-1]
    assert row.startswith(r"| x\[mask\] \_\_call\_\_ | ")
    assert row.endswith(r"E: a\|b \[/usr/lib\] |")


def test_ctrl_c_keeps_what_was_found(monkeypatch):
    def interrupt(name):
        if name == interrupted_by:
            raise KeyboardInterrupt

    monkeypatch.setattr(survey, "CALLS", QUICK)
    interrupted_by = "sum"
    result = survey.survey(["stdlib"], on_call=interrupt)
    assert [entry.call.name for entry in result.entries] == ["sleep"]
    assert result.complete is result.to_dict()["complete"] is False
    assert view.sentence(result).startswith("Of 1 call")
    interrupted_by = "sleep"
    with pytest.raises(KeyboardInterrupt):
        survey.survey(["stdlib"], on_call=interrupt)


def rows_of(setup, statement, **figures):
    """Return the rows of the page for one call of NumPy with this report."""
    call = Call("numpy", "f", GROUPS["numpy"].setup + setup, statement)
    entry = Entry(call, library("numpy", 0.0, **figures).report)
    page = view.markdown(Survey(environment(), {"numpy": "2"}, (), (entry,)))
    assert f"```text\n{GROUPS['numpy'].setup}```\n" in page
    return [line for line in page.splitlines() if line.startswith("| f |")]


def test_the_page_shows_code_line_by_line_and_its_own_setup_alone():
    assert rows_of("if x:\n    y = a | b", "f(y)") == [
        "| f | `if x:`<br>`    y = a \\| b` | `f(y)` | 0% | 1 ms | 1.90× of 1.95× |"
        " released; threads help |"
    ]
    (row,) = rows_of("", "f('`')")
    assert row.startswith("| f |  | `` f('`') `` |")


def test_a_speedup_that_the_machine_cannot_give_is_doubted():
    (row,) = rows_of("", "f()", speedup=2.1)
    assert "| 2.10× of 1.95× |" in row
    (row,) = rows_of("", "f()", speedup=2.2)
    assert "| 2.20× of 1.95× ? |" in row


def test_an_odd_count_of_bars_does_not_break_the_markdown(monkeypatch):
    monkeypatch.setattr(survey, "CALLS", (Call("stdlib", "or", "", "1 | 2"),))
    rows = [
        line for line in view.markdown(survey.survey(["stdlib"])).splitlines() if "| or" in line
    ]
    assert rows[0].replace("\\|", "").count("|") == 8
