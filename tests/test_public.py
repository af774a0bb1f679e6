"""The public names: each is available on first use, and nothing is imported before."""

import subprocess
import sys

import pytest

import gilfree
from gilfree import kernels


def test_all_public_names_exist_and_none_is_a_module():
    assert set(gilfree.__all__) <= set(dir(gilfree))
    assert set(kernels.__all__) < set(gilfree.__all__)
    namespace = {}
    exec("from gilfree import *", namespace)
    assert set(gilfree.__all__) <= namespace.keys()
    for name in gilfree.__all__:
        assert not isinstance(namespace[name], type(sys)), name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'gilfree' has no attribute 'histogramm'"):
        _ = gilfree.histogramm
    with pytest.raises(ImportError, match="nothing"):
        from gilfree import nothing  # noqa: F401


def test_what_is_not_used_is_not_imported():
    code = "import sys, gilfree; print(gilfree.__version__, *sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = done.stdout.split()
    assert "gilfree.kernels" in imported
    for name in "numpy", "IPython", "threading":
        assert name not in imported
    for name in "gilfree._kernels", "gilfree.gil", "gilfree.measure":
        assert name not in imported


RACE = """
import threading, gilfree
names = sorted(gilfree.__all__)
barrier = threading.Barrier(len(names))
def use(name):
    barrier.wait()
    getattr(gilfree, name)
threads = [threading.Thread(target=use, args=[name]) for name in names]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.thread_unsafe(reason="starts processes")
def test_threads_may_use_names_for_the_first_time_at_the_same_time():
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", RACE], capture_output=True, text=True)
        assert done.stderr == ""
