"""Special interpreters: one without a GIL, and a second one in the same process."""

from __future__ import annotations

import sys

import needs
import pytest

import gilfree
from gilfree._isa import VARIABLE
from gilfree._system import gil_enabled


@pytest.mark.skipif(gil_enabled(), reason="this Python has a GIL")
@pytest.mark.parametrize("level", gilfree.build_info()["isa_levels"])
def test_importing_everything_leaves_the_gil_off(run_script, level):
    # Importing a module that does not declare that it needs no GIL enables the GIL, with a warning.
    out = run_script(f"""
        import importlib, os, pkgutil, sys, warnings
        warnings.simplefilter("error")
        os.environ[{VARIABLE!r}] = {level!r}
        before = sys._is_gil_enabled()
        import gilfree
        for module in pkgutil.walk_packages(gilfree.__path__, "gilfree."):
            # matplotlib may need the GIL; IPython may not be installed
            others = "gilfree.__main__", "gilfree.show.scaling", "gilfree.notebook"
            if module.name not in others:
                importlib.import_module(module.name)
        print(before, sys._is_gil_enabled(), gilfree.build_info()["isa_level"])
        print(*sorted(name for name in sys.modules if name.startswith("gilfree.")))
    """)
    gil, names = out.splitlines()
    assert gil == f"False False {level}"
    wanted = {
        *("_chunks", "_cpu", "_kernels", "_macros", "_start_line"),
        *("cli", "gil._waiter", "kernels._pool"),
    }
    if needs.HAS_SAMPLER:
        wanted.add("gil._sampler")
    assert {f"gilfree.{name}" for name in wanted} <= set(names.split())


# NumPy does not support subinterpreters, so the import must fail completely.
TRY_TO_IMPORT = """
try:
    import gilfree
except ImportError as error:
    print(error)
else:
    print("imported")
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="one GIL for all interpreters until 3.12")
def test_a_subinterpreter_with_a_gil_of_its_own_is_refused(run_script):
    out = run_script(f"""
        import interpreters
        interpreters.run_in_another({TRY_TO_IMPORT!r}, own_gil=True)
    """)
    assert out == "module gilfree._cpu does not support loading in subinterpreters\n"


def test_a_second_interpreter_is_refused_and_the_first_goes_on(run_script):
    out = run_script(f"""
        import gilfree, interpreters
        interpreters.run_in_another({TRY_TO_IMPORT!r}, own_gil=False)
        print(gilfree.sum_of_squares([3.0, 4.0]))
    """)
    refusal, result = out.splitlines()
    assert "can only be loaded into one interpreter per process" in refusal
    assert result == "25.0"
