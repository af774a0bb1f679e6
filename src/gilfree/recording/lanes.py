"""A recording as a picture: a lane for the GIL, and below it one for each thread.

Waiting is yellow, holding the GIL vermilion, and running without it sky blue. The colours are from
the palette by Okabe and Ito, which colour-blind readers can tell apart, and differ in lightness
when printed in grey. A lane consists of columns one pixel wide. The states of a thread within one
column share its height, so an hour can be drawn as well as a tenth of a second.
"""

from __future__ import annotations

import contextlib
import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from gilfree._words import counted, exact_share, readable_time
from gilfree.gil.facts import Stall, ThreadTimes
from gilfree.recording.text import name_of, place_of
from gilfree.recording.timeline import HELD, STATES, Lane

if TYPE_CHECKING:
    from gilfree.recording.recording import Recording

Floats = npt.NDArray[np.floating[Any]]
ThreadLane = tuple[ThreadTimes, Lane]

# States that share a column are stacked in this order, from below. WORDS names them in the legend,
# with a GIL and without.
ORDER = "held", "waiting", "running", "unread", "blocked"
LAYERS = [STATES.index(state) for state in ORDER]
UNREPORTED, BLOCKS = "not reported by the system", "blocked: in a lock, in I/O"
WORDS = {
    True: ("holding the GIL", "waiting for it", "running without it", UNREPORTED, BLOCKS),
    False: ("attached: running Python", "suspended", "running detached", UNREPORTED, BLOCKS),
}
FIRST_LANE = {True: "the GIL", False: "any thread"}
UNREAD, BLOCKED = map(STATES.index, ("unread", "blocked"))
LIGHT = {"held": "#d55e00", "waiting": "#f0e442", "running": "#56b4e9", "unread": "#c4c4c4"}
LIGHT |= {"blocked": "#ebebeb", "paper": "white", "ink": "#1a1a1a", "dim": "#5f5f5f"}
LIGHT |= {"line": "#d0d0d0"}
DARK = {"held": "#d55e00", "waiting": "#f0e442", "running": "#56b4e9", "unread": "#5c5c5c"}
DARK |= {"blocked": "#2c2f34", "paper": "#16181b", "ink": "#e6e6e6", "dim": "#a5a5a5"}
DARK |= {"line": "#484848"}
STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "gilfree",  # makes the file of a picture reproducible
    "svg.fonttype": "none",
}
SMALL, LARGE = 8, 10  # points

DPI = 150
# Lengths of the page, in inches.
WIDE, NARROW, MARGIN = 9.0, 7.2, 0.2
LINE = 0.175  # the height of a line
WAITED = 0.62  # the width of the column at the right
MARK = 0.19  # the size of the number of a stall
MOST_TALL_LANES, MOST_LANES = 16, 40  # more threads get lower lanes; even more are left out
MOST_MARKS, MOST_LINES = 5, 4  # stalls that are numbered; lines of a text
TITLE_LENGTH, NOTE_LENGTH, NAME_LENGTH, PLACE_LENGTH = 104, 128, 24, 50  # characters
LEVELS = 32  # the height of a share is rounded to a multiple of 1 / LEVELS
MOST_RECTANGLES = 7000  # an SVG with more of them contains an image, to stay below 1 MB

# Units of the time axis: from how many seconds on, seconds per unit, name.
UNITS = (
    (7200.0, 3600.0, "hours"),
    (120.0, 60.0, "minutes"),
    (1.0, 1.0, "seconds"),
    (1e-3, 1e-3, "milliseconds"),
    (0.0, 1e-6, "microseconds"),
)


class Shown(NamedTuple):
    """One of several recordings in a picture, and which of its threads are drawn.

    Attributes
    ----------
    title : str
    recording : Recording
    names : tuple of str
        The names of the threads, in the order of their lanes.
    """

    title: str
    recording: Recording
    names: tuple[str, ...]

    @property
    def lanes(self) -> list[ThreadLane]:
        """The threads of these names, with their lanes."""
        found = _lanes_of(self.recording)
        return [each for name in self.names for each in found if each[0].name == name]


def picture(recording: Recording, form: str) -> bytes:
    """Return the picture of a recording, with its longest stalls and what was left out.

    Parameters
    ----------
    recording : Recording
    form : {"png", "svg"}
    """
    with _style():
        return _saved(draw(recording), form)


def beside(recordings: Sequence[Shown], form: str, dark: bool = False) -> bytes:
    """Return a picture of recordings, one below the other on the same time axis.

    Parameters
    ----------
    recordings : sequence of Shown
    form : {"png", "svg"}
    dark : bool, default: False
        Use the colours for a dark page.
    """
    with _style():
        lanes = [each for shown in recordings for each in shown.lanes]
        seconds = max(shown.recording.seconds for shown in recordings)
        page = _Page(NARROW, DARK if dark else LIGHT, lanes, seconds)
        page.legend(lanes, recordings[0].recording.facts.gil)
        for shown in recordings:
            page.y += 0.08
            page.text(MARGIN, shown.title, weight="bold", size=LARGE)
            page.y += 0.25
            page.panel(shown.recording, shown.lanes, labelled=shown is recordings[-1])
        for shown in recordings:
            for note in _not_seen(shown.recording, f", {shown.title}"):
                page.lines(note, NOTE_LENGTH * 3 // 4, "dim", size=SMALL)
        return _saved(page.finished(), form)


def draw(recording: Recording) -> Figure:
    """Return the figure of a recording."""
    lanes = _lanes_of(recording)
    shown = lanes[:MOST_LANES]
    page = _Page(WIDE, LIGHT, shown, recording.seconds)
    page.lines(recording.sentence, TITLE_LENGTH, weight="bold", size=LARGE)
    page.y += 0.1
    page.legend(shown, recording.facts.gil)
    tops, height = page.panel(recording, shown)
    page.marks(recording.stalls, shown, tops, height)
    page.y += LINE / 2
    for note in _notes(recording, page, len(lanes) - len(shown)):
        page.lines(note, NOTE_LENGTH, "dim", size=SMALL)
    return page.finished()


def _style() -> Any:
    """Use this module's style, also in a program that has chosen another one."""
    return mpl.style.context(["default", STYLE])


def _lanes_of(recording: Recording) -> list[ThreadLane]:
    return list(zip(recording.threads, recording.timeline.lanes, strict=True))


def _notes(recording: Recording, page: _Page, left_out: int) -> Iterator[str]:
    """Say what the picture does not show."""
    if page.mixed:
        width = readable_time(recording.seconds / page.columns)
        yield f"The states of a thread within {width} share the height of its lane there."
    if recording.timeline.grain:
        grain = readable_time(recording.timeline.grain)
        yield f"Slices of a thread that together took less than {grain} were joined."
    if left_out:
        yield f"Left out: {counted(left_out, 'thread')} that waited no longer than these."
    yield from _not_seen(recording)


def _not_seen(recording: Recording, of: str = "") -> Iterator[str]:
    if recording.facts.missed:
        missed, whole = map(readable_time, (recording.facts.missed, recording.seconds))
        yield f"Not seen{of}: {missed} of {whole}, in gaps between two samples."


def _printable(text: str) -> str:
    """Replace characters that would break the layout, or that XML does not allow."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _saved(figure: Figure, form: str) -> bytes:
    file = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else None
    with _no_glyph_warnings():
        figure.savefig(file, format=form, dpi=DPI, metadata=metadata)
    # With smooth edges, the background would show between neighbouring rectangles.
    return file.getvalue().replace(b'<g id="lane-', b'<g shape-rendering="crispEdges" id="lane-')


@contextlib.contextmanager
def _no_glyph_warnings() -> Iterator[None]:
    """Do not warn of characters that the font lacks: matplotlib draws boxes for them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph|Matplotlib currently does not", UserWarning)
        yield


def _short(text: str, length: int = NAME_LENGTH) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _name(thread: ThreadTimes) -> str:
    return _short(name_of(thread))


def _waited(thread: ThreadTimes) -> str:
    return "?" if thread.stalled is None else exact_share(thread.stalled / (thread.seconds or 1.0))


def _explained(stall: Stall) -> str:
    """Say which thread waited for which, and where the longest holder was."""
    waiter = _short(stall.waiter or "a thread without a name")
    text = f"{readable_time(stall.seconds)}: {waiter} waited"
    if not stall.holders:
        return f"{text}; not known for whom"
    holder = stall.holders[0]
    who = _short(holder.thread or "a thread without a name")
    where = _short(place_of(holder), PLACE_LENGTH)
    return f"{text} while {who} was in {where}" if where else f"{text} for {who}"


def _with_sharp_edges(rows: Floats) -> Floats:
    """Where one state fills the column before and another the one after, fill this one, too.

    The column gets the state that has the larger share of it.
    """
    before, here, after = rows[:, :-2], rows[:, 1:-1], rows[:, 2:]
    whole = 1 - 1 / LEVELS
    edge = (before.max(axis=2) > whole) & (after.max(axis=2) > whole) & (here.max(axis=2) < 1)
    edge &= (here * np.maximum(before, after)).sum(axis=2) > whole  # no third state is here
    sharp = rows.copy()
    sharp[:, 1:-1][edge] = np.eye(len(STATES))[here.argmax(axis=2)[edge]]
    return sharp


class _Page:
    """A figure that is written from top to bottom, in inches; `y` is where to write next."""

    def __init__(
        self, across: float, look: dict[str, str], lanes: Sequence[ThreadLane], seconds: float
    ) -> None:
        self.across, self.look = across, look
        self.seconds = seconds or 1.0
        self.figure = Figure(figsize=(across, 1), dpi=DPI, facecolor=look["paper"])
        canvas: Any = FigureCanvasAgg(self.figure)
        self.renderer = canvas.get_renderer()
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.y = MARGIN
        names = [*FIRST_LANE.values(), *(_name(thread) for thread, _ in lanes)]
        widest = max(self.width(name, weight="bold") for name in names)
        self.right = across - MARGIN - WAITED
        self.columns = round((self.right - MARGIN - widest - 0.1) * DPI)
        self.left = self.right - self.columns / DPI
        self.rectangles, self.mixed = 0, False

    def finished(self) -> Figure:
        """Return the figure, cut to the height of what was written."""
        height = self.y + MARGIN / 2
        self.figure.set_size_inches(self.across, height)
        self.axes.set(xlim=(0, self.across), ylim=(height, 0))
        for patch in self.axes.patches:
            patch.set_rasterized(self.rectangles > MOST_RECTANGLES)
        return self.figure

    def width(self, text: str, **how: Any) -> float:
        """Return the width of a line of text."""
        line = Text(0, 0, _printable(text), parse_math=False, **how)
        line.set_figure(self.figure)
        with _no_glyph_warnings():
            return float(line.get_window_extent(self.renderer).width) / DPI

    def text(self, x: float, text: str, color: str = "ink", **how: Any) -> None:
        """Write a line at `self.y`, or at another height."""
        look: dict[str, Any] = {"va": "top", "color": self.look[color], "parse_math": False}
        how = look | {"y": self.y} | how
        self.axes.text(x, s=_printable(text), **how)

    def lines(self, text: str, length: int, color: str = "ink", **how: Any) -> None:
        """Write text that may need several lines."""
        text = _printable(text)
        for line in textwrap.wrap(text, length, max_lines=MOST_LINES, placeholder=" …"):
            self.text(MARGIN, line, color, **how)
            self.y += LINE * how["size"] / SMALL

    def x_of(self, seconds: float) -> float:
        """Return the position of a time on the time axis."""
        return self.left + (self.right - self.left) * seconds / self.seconds

    def legend(self, lanes: Sequence[ThreadLane], gil: bool) -> None:
        """Name the four states, and "unread" if a lane has it."""
        unread = any(lane.shares[:, UNREAD].any() for _, lane in lanes)
        x = MARGIN
        for state, words in zip(ORDER, WORDS[gil], strict=True):
            if state != "unread" or unread:
                self.fill(state, np.array([[x, x + 0.2, self.y, self.y + 0.14]]), "legend")
                self.text(x + 0.26, words, y=self.y + 0.068, va="center", size=SMALL)
                x += 0.26 + self.width(words, size=SMALL) + 0.2
        self.y += 0.3

    def panel(
        self, recording: Recording, shown: Sequence[ThreadLane], labelled: bool = True
    ) -> tuple[Floats, float]:
        """Draw lanes above a time axis; return the tops of the threads' lanes, and their height."""
        height, gap = (0.32, 0.04) if len(shown) <= MOST_TALL_LANES else (0.18, 0.02)
        top = round(self.y * DPI) / DPI
        tops = top + height + 3 * gap + (height + gap) * np.arange(len(shown))
        beside: dict[str, Any] = {"x": self.right + 0.1, "va": "center", "size": SMALL}
        gil = recording.facts.gil
        self.text(MARGIN, FIRST_LANE[gil], y=top + height / 2, va="center", weight="bold")
        self.text(text="waited" if gil else "suspended", color="dim", y=top + height / 2, **beside)
        self.cells(_with_sharp_edges(self.shares_of_gil(recording)), np.array([top]), height, "gil")
        for (thread, _), each in zip(shown, tops, strict=True):
            self.text(MARGIN, _name(thread), y=each + height / 2, va="center")
            self.text(text=_waited(thread), y=each + height / 2, **beside)
        if shown:
            rows = [lane.between(0.0, self.seconds, self.columns) for _, lane in shown]
            self.cells(_with_sharp_edges(np.stack(rows)), tops, height, "threads")
        self.y = top + height + 3 * gap + (height + gap) * len(shown)
        self.ticks(top - gap, labelled)
        return tops, height

    def shares_of_gil(self, recording: Recording) -> Floats:
        """Return the share of each column in which any thread held the GIL; the rest is blocked."""
        shares = np.zeros((1, self.columns, len(STATES)))
        for lane in recording.timeline.lanes:
            shares[0, :, HELD] += lane.between(0.0, self.seconds, self.columns)[:, HELD]
        ends = np.linspace(0.0, self.seconds, self.columns + 1)
        recorded = np.diff(np.minimum(ends, recording.seconds)) * self.columns / self.seconds
        shares[0, :, HELD] = np.minimum(shares[0, :, HELD], recorded)
        shares[0, :, BLOCKED] = recorded - shares[0, :, HELD]
        return shares

    def cells(self, rows: Floats, tops: Floats, height: float, what: str) -> None:
        """Draw the shares of lanes by column and state; equal columns become one rectangle."""
        borders = np.zeros((*rows.shape[:2], len(ORDER) + 1))
        borders[:, :, 1:] = np.rint(np.cumsum(rows[:, :, LAYERS], axis=2) * LEVELS) / LEVELS
        begins = np.any(np.diff(borders, axis=1, prepend=np.nan) != 0, axis=2)
        lane, begin = np.nonzero(begins)
        end = np.append(begin[1:], 0)
        end[end == 0] = self.columns  # the next rectangle begins another lane
        left, right = self.left + begin / DPI, self.left + end / DPI
        bottom = tops[lane] + height
        for layer, state in enumerate(ORDER):
            low, high = borders[lane, begin, layer], borders[lane, begin, layer + 1]
            boxes = np.stack([left, right, bottom - height * high, bottom - height * low], axis=1)
            if (there := high > low).any():
                self.fill(state, boxes[there], what)
        self.mixed |= bool((np.count_nonzero(np.diff(borders, axis=2), axis=2) > 1).any())

    def fill(self, state: str, boxes: Floats, what: str) -> None:
        """Draw rectangles in the colour of a state: left, right, top and bottom of each."""
        corners = boxes[:, [[0, 2], [1, 2], [1, 3], [0, 3], [0, 2]]].reshape(-1, 2)
        codes = [Path.MOVETO, *3 * [Path.LINETO], Path.CLOSEPOLY] * len(boxes)
        patch = PathPatch(Path(corners, codes), facecolor=self.look[state], linewidth=0)
        patch.set(antialiased=False, snap=True)
        patch.set_gid(f"lane-{len(self.axes.patches)}-{what}-{state}")
        if state == "unread":
            patch.set(hatch=6 * "/", edgecolor=self.look["dim"])
        self.axes.add_artist(patch)  # add_patch would compute limits, which takes long
        self.rectangles += len(boxes)

    def ticks(self, top: float, labelled: bool) -> None:
        """Draw the time axis, with lines from `top` down to `self.y`."""
        unit, name = next((unit, name) for least, unit, name in UNITS if self.seconds >= least)
        most = self.seconds / unit
        ticks = np.asarray(MaxNLocator(9, steps=[1, 2, 5, 10]).tick_values(0, most))
        below = self.y + 0.03
        for tick in ticks[(ticks >= 0) & (ticks <= most)]:
            x = self.x_of(tick * unit)
            self.axes.plot([x, x], [top, below], color=self.look["line"], linewidth=0.7, zorder=0)
            if labelled:
                self.text(x, f"{tick:g}", "dim", y=below + 0.03, ha="center", size=SMALL)
        self.y = below + 0.05
        if labelled:
            middle = (self.left + self.right) / 2
            self.text(middle, name, "dim", y=below + 0.19, ha="center", size=SMALL)
            self.y = below + 0.42

    def marks(
        self, stalls: Sequence[Stall], shown: Sequence[ThreadLane], tops: Floats, height: float
    ) -> None:
        """Put numbers on the longest stalls, where they don't overlap, and explain them below."""
        taken: list[tuple[float, float]] = []
        for stall in stalls:
            if len(taken) == MOST_MARKS:
                return
            lane = stall.index
            if lane is None or lane >= len(shown):
                continue
            x, y = self.x_of(stall.start + stall.seconds / 2), tops[lane] + height / 2
            if any(abs(x - left) < MARK and abs(y - top) < MARK for left, top in taken):
                continue
            taken.append((x, y))
            self.mark(x, y, len(taken))
            self.mark(MARGIN + MARK / 2, self.y + LINE / 2, len(taken))
            self.text(MARGIN + 1.5 * MARK, _explained(stall), y=self.y + LINE / 2, va="center")
            self.y += 1.2 * LINE

    def mark(self, x: float, y: float, number: int) -> None:
        """Draw a number in a circle."""
        look = {"facecolor": self.look["paper"], "edgecolor": self.look["ink"], "linewidth": 0.8}
        circle = {"boxstyle": "circle,pad=0.18"} | look
        self.text(x, str(number), y=y, ha="center", va="center", size=6.5, bbox=circle)
