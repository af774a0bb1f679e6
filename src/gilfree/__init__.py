"""gilfree: release the GIL from C and Cython, measure what that buys, and use it.

The kernels run on every core::

    import gilfree
    counts, edges = gilfree.histogram(x, bins=64)

``gilfree.compare`` measures the same work with the GIL held and released, and ``gilfree.probe``
tells whether a callable of your own releases it. ``gilfree.record`` looks at a whole program: who
waits for the GIL, and for whom.

Public is what ``gilfree.__all__`` names, ``gilfree.testing``, the command line, and what the plugin
of pytest adds to its own. Everything else, all folders among it, is private and may change in any
release. To be studied and run beside the guide are the loops themselves, ``gilfree._kernels`` and
``gilfree._macros``.

(PYTEST_DONT_REWRITE, as pytest wants it said: ``gilfree run -m pytest`` has imported this before
pytest comes to know that it has a plugin in here, and pytest would warn of that.)
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

# Each is imported on first use: none of NumPy, before somebody needs it.
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
