"""gilfree: release the GIL from C and Cython, measure the gain, and use it.

The kernels run on every core::

    import gilfree
    counts, edges = gilfree.histogram(x, bins=64)

``gilfree.compare`` measures the same work with the GIL held and released. ``gilfree.probe`` tells
whether a callable of your own releases it. ``gilfree.record`` records a whole program: which thread
waits for the GIL, and which thread holds it meanwhile.

Public are the names in ``gilfree.__all__``, ``gilfree.testing``, the command line, the magics of
``%load_ext gilfree``, the inputs of the GitHub action, and what the pytest plugin adds to pytest.
Everything else, including all folders, is private and may change in any release. Of the private
modules, ``gilfree._kernels`` and ``gilfree._macros`` are meant to be read and run, as the guide
does.

PYTEST_DONT_REWRITE: ``gilfree run -m pytest`` imports this package before pytest finds its plugin
here. Without this word, pytest would warn that it can no longer rewrite assertions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilfree import _isa, kernels
from gilfree._isa import build_info
from gilfree._lazy import attributes_of

if TYPE_CHECKING:
    from gilfree.gil.probe import probe
    from gilfree.gil.report import GilReport
    from gilfree.gil.stall_reports import report_stalls
    from gilfree.gil.verdict import Verdict
    from gilfree.kernels import *  # noqa: F403
    from gilfree.measure.compare import Comparison, compare
    from gilfree.recording.recording import Recording, record
    from gilfree.recording.verdict import RecordingVerdict

__version__ = "0.1.0"

__all__ = ["Comparison", "GilReport", "Recording", "RecordingVerdict", "Verdict"]
__all__ += ["build_info", "compare", "probe", "record", "report_stalls"]
__all__ += kernels.__all__

_isa.use_level(__path__)  # noqa: F405

# Imported on first use, so that ``import gilfree`` does not import NumPy.
if not TYPE_CHECKING:
    __getattr__ = attributes_of(
        __name__,
        {
            "Comparison": "measure.compare",
            "GilReport": "gil.report",
            "Recording": "recording.recording",
            "RecordingVerdict": "recording.verdict",
            "Verdict": "gil.verdict",
            "compare": "measure.compare",
            "load_ipython_extension": "notebook",  # what %load_ext gilfree calls
            "probe": "gil.probe",
            "record": "recording.recording",
            "report_stalls": "gil.stall_reports",
            **dict.fromkeys(kernels.__all__, "kernels"),
        },
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
