"""`gilfree explain` shows lines of the packaged sources, and the output of the installed Cython."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys

import pytest

from gilfree import _kernels, _macros, explain

pytestmark = pytest.mark.thread_unsafe(reason="starts processes")


@pytest.fixture(scope="module")
def made_by_cython(tmp_path_factory):
    """Return the C code that Cython generates from the kernels, once for all tests."""
    pytest.importorskip("Cython")
    return explain._translate()


@pytest.fixture
def parts_of(made_by_cython, monkeypatch):
    monkeypatch.setattr(explain, "_translate", lambda: made_by_cython)
    return explain.explain


def test_the_names_are_all_pairs_of_entry_points():
    pairs = {name[:-4] for name in dir(_kernels) if name.endswith("_gil")}
    assert set(explain.names()) == pairs
    assert {"sum_of_squares", "monte_carlo_pi", "count", "empty"} <= pairs


@pytest.mark.parametrize("name", explain.names())
def test_the_lines_are_those_of_the_files_and_the_release_is_marked(name, parts_of):
    in_cython, in_c, by_hand = parts_of(name)
    for part, path in (in_cython, explain.CYTHON_SOURCE), (by_hand, explain.C_SOURCE):
        source = path.read_text().splitlines()
        numbered = [line for line in part.lines if line.number]
        assert [line.text for line in numbered] == [source[line.number - 1] for line in numbered]
    text = "\n".join(line.text for line in in_cython.lines)
    assert text.startswith(f"def {name}_gil(")
    assert f"\n\ndef {name}_nogil(" in text
    assert [line.text.strip() for line in in_cython.lines if line.marked] == ["with nogil:"]
    for part in in_c, by_hand:
        marked = [number for number, line in enumerate(part.lines) if line.marked]
        assert len(marked) == 2
        between = " ".join(line.text for line in part.lines[marked[0] : marked[1]])
        loop = "add_squares" if part is by_hand and name == "sum_of_squares" else f"_{name}"
        assert loop in between or name == "empty"
    assert (
        in_c.title
        == f"In C, as Cython {importlib.metadata.version('cython')} writes line "
        + str(next(line.number for line in in_cython.lines if line.marked))
    )
    assert in_c.lines[0].text == "{"
    assert in_c.lines[-1].text == "}"
    assert "_kernels.pyx" not in "".join(line.text for line in in_c.lines)


def test_the_c_shown_is_the_version_for_double(parts_of):
    text = " ".join(line.text for line in parts_of("polyval")[1].lines)
    assert "fuse_1" in text  # version 0 is for float, version 1 for double
    assert "fuse_0" not in text


def test_by_hand_holds_the_call_of_the_kernel(parts_of):
    assert [line.text for line in parts_of("polyval")[2].lines] == [
        "Py_BEGIN_ALLOW_THREADS",
        "_polyval(x, c, out, chunks);",
        "Py_END_ALLOW_THREADS",
    ]


def test_by_hand_holds_a_call_of_several_lines(parts_of):
    assert [line.text for line in parts_of("mandelbrot")[2].lines] == [
        "Py_BEGIN_ALLOW_THREADS",
        "_mandelbrot(",
        "    first, width, left, top, dx, dy, max_iterations, out, chunks",
        ");",
        "Py_END_ALLOW_THREADS",
    ]


def test_by_hand_shows_the_compiled_function_if_there_is_one(parts_of):
    for name in explain.names():
        numbered = all(line.number for line in parts_of(name)[2].lines)
        assert numbered == hasattr(_macros, f"{name}_nogil")


@pytest.mark.parametrize("end", [" */", "*/"], ids=["Cython 3.0", "Cython 3.2"])
def test_a_block_is_found_in_the_c_of_any_version_of_cython(end):
    comment = '/* "gilfree/_kernels.pyx":{}\n * some\n *     with nogil:   # <<<<\n' + f"{end}\n"
    code = (
        f"  {comment.format(7)}  wrong;\n  {comment.format(7)}"
        "  {\n    Py_UNBLOCK_THREADS\n"
        f"\n    {comment.format(8)}    call();\n    {{\n    }}\n"
        "  }\n  later;\n  {\n  }\n"
        '  /* "View.MemoryView":7\n * other\n'
        f"{end}\n  {{\n    of_another_file();\n  }}\n"
    )
    assert explain._block(code, 7) == (
        "  {\n    Py_UNBLOCK_THREADS\n    call();\n    {\n    }\n  }\n"
    )


def test_without_cython_a_line_says_what_to_install(monkeypatch):
    def missing(_):
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "version", missing)
    in_cython, in_c, by_hand = explain.explain("polyval")
    assert in_c.note == "To see it: pip install cython"
    assert not in_c.lines
    assert in_cython.lines
    assert by_hand.lines


def test_a_cython_that_fails_is_quoted(monkeypatch):
    pytest.importorskip("Cython")
    monkeypatch.setattr(explain, "CYTHON_SOURCE", explain.C_SOURCE)
    with pytest.raises(RuntimeError, match=r"(?s)can't translate .*_macros\.c"):
        explain._translate()


@pytest.mark.slow
def test_what_lies_in_the_current_folder_is_not_run(tmp_path, monkeypatch):
    pytest.importorskip("Cython")
    (tmp_path / "cython.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    assert explain.explain("empty")[1].lines


def test_an_unknown_name_is_refused():
    with pytest.raises(
        ValueError, match="unknown kernel 'fft': choose from empty, sum_of_squares, "
    ):
        explain.explain("fft")


def test_no_line_of_cython_is_cut_in_two_at_80_columns(parts_of):
    for name in explain.names():
        for line in parts_of(name)[0].lines:
            assert len(line.text) <= 72, line


def run_explain(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "gilfree", "explain", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def test_the_command_without_a_name_lists_them():
    assert run_explain().stdout.split() == explain.names()


@pytest.mark.parametrize("name", ["sum_of_squares", "monte_carlo_pi"])
@pytest.mark.slow
def test_the_command_prints_plain_text_of_80_columns(name):
    pytest.importorskip("Cython")
    done = run_explain(name)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line != line.rstrip()]
    arrows = [line for line in lines if re.match(r" +\d* ?> ", line)]
    release = explain.RELEASE, explain.RELEASE, explain.ACQUIRE, explain.RELEASE, explain.ACQUIRE
    for line, what in zip(arrows, release, strict=True):
        assert what.search(line)
    source = explain.CYTHON_SOURCE.read_text().splitlines()
    number = re.match(r" +(\d+) > +with nogil:", arrows[0])[1]
    assert source[int(number) - 1].strip() == "with nogil:"
