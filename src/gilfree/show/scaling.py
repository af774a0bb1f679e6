"""The pictures of the demo: how ways to run a kernel scale, and which thread holds the GIL when.

They fit the width of a README. Lines differ in colour (from the palette by Okabe and Ito, which
colour-blind readers can tell apart), in dashes and in marks, so they can be told apart in black and
white.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gilfree._words import share
from gilfree.demo.kernels import NAMES, Compared, Recorded
from gilfree.measure.compare import Comparison, Mode
from gilfree.recording.lanes import Shown, beside

LOOKS: dict[Mode, dict[str, Any]] = {
    "limit": {"label": "the machine's limit", "color": "0.55", "linestyle": "-", "linewidth": 5},
    "released": {"label": "GIL released", "color": "#0072b2", "linestyle": "-", "marker": "o"},
    "executor": {"label": "processes", "color": "#009e73", "linestyle": "-.", "marker": "s"},
    "held": {"label": "GIL held", "color": "#d55e00", "linestyle": "--", "marker": "^"},
    "bytecode": {"label": "Python threads", "color": "black", "linestyle": ":", "marker": "x"},
}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.markersize": 5,
    "svg.hashsalt": "gilfree",  # makes the file of a picture reproducible
    "svg.fonttype": "none",
}


def picture(rows: Sequence[Compared], caption: str, form: str) -> bytes:
    """Return the picture of the kernels that the demo has compared.

    Parameters
    ----------
    rows : sequence of Compared
        The kernels, at least one.
    caption : str
        The line below the picture: the machine and the Python.
    form : {"png", "svg"}
    """
    columns = min(len(rows), 3)
    bands = -(-len(rows) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.1 + 2.3 * columns, 0.9 + 2.75 * bands), layout="constrained")
        grid = figure.subplots(2 * bands, columns, squeeze=False, height_ratios=[1, 0.2] * bands)
        top = max(timing.speedup_high for row in rows for timing in row.comparison.rows)
        for number, row in enumerate(rows):
            band, column = divmod(number, columns)
            _speedups(grid[2 * band, column], row.comparison, top)
            _shares(grid[2 * band + 1, column], row)
            if column == 0:
                grid[2 * band, column].set_ylabel("times as fast\nas one worker")
        for panel in grid[:, columns - (columns * bands - len(rows)) :][-2:].flat:
            if not panel.has_data():
                panel.set_axis_off()
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
        figure.supxlabel(caption, fontsize=8, color="0.35")
        file = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else None
        figure.savefig(file, format=form, dpi=150, metadata=metadata)
    return file.getvalue()


def _speedups(panel: Axes, comparison: Comparison, top: float) -> None:
    counts = comparison.workers
    for mode, look in LOOKS.items():
        points = [comparison.row(mode, workers) for workers in counts]
        speedups = [point.speedup for point in points]
        below = [point.speedup - point.speedup_low for point in points]
        above = [point.speedup_high - point.speedup for point in points]
        if mode == "limit":
            panel.plot(counts, speedups, **look, alpha=0.5, solid_capstyle="round")
        else:
            panel.errorbar(counts, speedups, (below, above), **look, linewidth=1.5, elinewidth=1)
    panel.set_title(comparison.kernel, fontsize=9, fontweight="bold")
    panel.set(xlim=(0.9, counts[-1] + 0.1), ylim=(0, 1.08 * top), xticks=counts)
    panel.set_xlabel("workers", labelpad=1)


def _shares(panel: Axes, row: Compared) -> None:
    """Draw the share of a call in which the GIL is held, below the speedup that it explains."""
    shares: dict[Mode, float | None] = {"released": row.released_share, "held": row.held_share}
    for height, (mode, value) in enumerate(shares.items()):
        look = LOOKS[mode]
        panel.barh(height, 1, height=0.6, color="none", edgecolor="0.8", linewidth=0.8)
        panel.barh(height, value or 0, height=0.6, color=look["color"])
        panel.text(1.03, height, share(value), va="center", fontsize=8)
    panel.set(yticks=[0, 1], yticklabels=["released", "held"], xticks=[], xlim=(0, 1.25))
    panel.tick_params(length=0, labelsize=8)
    panel.set_xlabel("share of a call that holds the GIL", fontsize=8, labelpad=1)
    panel.spines[:].set_visible(False)


def lanes(recorded: Recorded, dark: bool) -> bytes:
    """Return which thread held the GIL when, as SVG: above GIL held, below GIL released."""
    titles = f"{recorded.kernel} on two threads, GIL held", "the same, GIL released"
    recordings = recorded.held, recorded.released
    shown = [Shown(*each, NAMES) for each in zip(titles, recordings, strict=True)]
    return beside(shown, "svg", dark)


def form_of(path: str | os.PathLike[str]) -> str:
    """Return the form of a picture, "png" or "svg", by the suffix of its file.

    Raises
    ------
    ValueError
        If the suffix is another one.
    """
    form = os.path.splitext(path)[1].lower().lstrip(".")
    if form not in ("png", "svg"):
        msg = f"{os.fspath(path)} must end in .png or .svg"
        raise ValueError(msg)
    return form
