"""A recording as one page of HTML: what each thread did when, to zoom into, and tables.

Without JavaScript the page shows the tables, and a picture of the whole recording that is drawn
here. The script, `page.js`, replaces the picture by one that can be zoomed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gilfree._html import as_html, style
from gilfree._words import counted, readable_time
from gilfree.gil.facts import Facts, Stall
from gilfree.recording.text import (
    MOST_HOLDERS,
    NOT_KNOWN,
    cell,
    columns_of,
    holder_text,
    name_of,
    place_of,
    unseen,
)
from gilfree.recording.timeline import HELD, STATES, Floats, Lane

if TYPE_CHECKING:
    from gilfree.recording.recording import Recording

MOST_LANES = 100  # threads that are drawn and listed
MOST_LISTED = 30  # stalls in the table; the picture shows all of them
MOST_SLICES = 160_000  # of all lanes together; each takes 12 characters of the page, so 2 MB
MOST_BINS, MOST_BINS_IN_ALL = 200, 8000  # in the picture without the script: per lane, in all
LEVELS = 20  # heights of a share in that picture
LONGEST_NAME = 120  # characters of a name that a program chose
TICK = 1e-6  # seconds; times are multiples of it, or of a larger tick if they need over 32 bits
# The words of the last two states, in the legend and in a tip.
IN_LEGEND = "is blocked: in a lock, in I/O", "not reported by the system"
IN_TIP = "is blocked", "did what the system does not report"
LEGEND = {
    True: ("holds the GIL", "waits for the GIL", "runs without it", *IN_LEGEND),
    False: ("is attached", "is suspended", "runs detached", *IN_LEGEND),
}
# What the script says in a tip, with a GIL and without.
TIPS = {
    True: {
        "lane": "the GIL",
        "states": ("holds the GIL", "waits for the GIL", "runs without the GIL", *IN_TIP),
        "waited": "waited for the GIL",
        "held": "held it",
        "unknown": NOT_KNOWN[True],
        "none": "no thread held the GIL",
        "other": "a thread that is not drawn held the GIL",
    },
    False: {
        "lane": "any attached",
        "states": ("is attached", "is suspended", "runs detached", *IN_TIP),
        "waited": "was suspended",
        "held": "was attached",
        "unknown": NOT_KNOWN[False],
        "none": "no thread was attached",
        "other": "a thread that is not drawn was attached",
    },
}
ZOOMS = ("out", "−", "zoom out"), ("in", "+", "zoom in"), ("all", "reset", "show all")
KEYS = "Arrow keys move, plus and minus zoom, 0 shows all."
HINT = (
    "Drag to move; drag along the axis, or with Shift, to zoom into a span. After a click on the "
    "picture, the wheel zooms, and the keys + − ← → 0 work."
)


def page(recording: Recording) -> str:
    """Return the whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{as_html(recording.sentence)}</title>\n"
        '</head>\n<body class="gilfree-page">\n'
        f"{fragment(recording)}</body>\n</html>\n"
    )


def fragment(recording: Recording) -> str:
    """Return what a notebook shows: its style affects nothing else, and it has no identifiers."""
    facts = recording.facts
    figures = [readable_time(facts.seconds), counted(len(facts.threads), "thread")]
    figures += [counted(len(facts.stalls), "stall"), counted(facts.looks, "sample")]
    parts = [f"<h1>{as_html(recording.sentence)}</h1>", f'<p class="note">{", ".join(figures)}</p>']
    if facts.threads and recording.timeline.lanes:
        parts += _chart(recording)
    if facts.threads:
        parts += ['<div class="tables">', *_threads(facts), *_stalls(facts), "</div>"]
    if texts := "; ".join(unseen(facts)):
        parts.append(f'<p class="note">Not seen: {as_html(texts)}.</p>')
    here = Path(__file__)
    looks = style() + here.with_suffix(".css").read_text(encoding="utf-8")
    script = here.with_suffix(".js").read_text(encoding="utf-8")
    body = "\n".join(parts)
    return (
        f"<style>\n{looks}</style>\n"
        f'<div class="gilfree gilfree-recording">\n{body}\n</div>\n<script>\n{script}</script>\n'
    )


def _chart(recording: Recording) -> Iterator[str]:
    """Draw a lane for the GIL and one for each thread; add the slices, which the script draws."""
    timeline, seconds = recording.timeline, recording.seconds
    gil = recording.facts.gil
    names = [
        str(TIPS[gil]["lane"]),
        *(_short(name_of(thread)) for thread in recording.threads[:MOST_LANES]),
    ]
    whole = [_gil_lane(timeline.lanes), *timeline.lanes[:MOST_LANES]]
    lanes, grain = _joined(whole)
    yield '<div class="bar"><ul class="legend">'
    seen = zip(STATES, LEGEND[gil], _occurring(whole), strict=True)
    yield from (f'<li><i class="{state}"></i>{words}</li>' for state, words, some in seen if some)
    if recording.stalls:
        yield '<li><i class="stall"></i>a stall</li>'
    yield '</ul><div class="zoom" hidden><output></output>'
    for name, label, title in ZOOMS:
        yield f'<button type="button" data-zoom="{name}" title="{title}">{label}</button>'
    yield "</div></div>"
    many = " many" if len(names) > 25 else ""
    yield f'<div class="chart{many}" role="group" aria-label="What each thread did when. {KEYS}">'
    end = readable_time(seconds)
    yield '<div class="head"><div class="axis"><b></b><div class="track">'
    yield f"<p>0<span>{end}</span></p></div></div>"
    for number, (name, lane) in enumerate(zip(names, whole, strict=True)):
        text = as_html(name)
        yield f'<div class="lane" data-lane="{number}"><b title="{text}">{text}</b>'
        bins = min(MOST_BINS, MOST_BINS_IN_ALL // len(whole))
        yield f'<div class="track">{_picture(lane.between(0.0, seconds, bins))}</div></div>'
        if number == 0:
            yield "</div>"
    yield '<div class="cursor" hidden></div><div class="tip" role="status" hidden></div></div>'
    dropped = sum(len(lane.shares) for lane in whole[1:])
    dropped -= sum(len(lane.shares) for lane in lanes[1:])
    yield f'<p class="note keys" hidden>{HINT}</p>'
    if limits := " ".join(_limits(recording, dropped, grain)):
        yield f'<p class="note">{limits}</p>'
    yield f'<script type="application/json">{_data(recording, names, lanes)}</script>'


def _limits(recording: Recording, dropped: int, grain: float) -> Iterator[str]:
    """Say what the picture leaves out."""
    if len(recording.threads) > MOST_LANES:
        hidden = counted(len(recording.threads) - MOST_LANES, "thread")
        what = "waited" if recording.facts.gil else "were suspended"
        yield f"{hidden} that {what} no longer than these: drawn in the first lane only."
    longest = max(grain if dropped else 0.0, recording.timeline.grain)
    if longest:
        how_many = f" ({dropped:,} on this page)" if dropped else ""
        yield f"Slices of a thread that together are shorter than {readable_time(longest)} are"
        yield f"joined{how_many}: where several states share the height of a lane, the heights are"
        yield "their shares of the time."


def _occurring(lanes: Sequence[Lane]) -> list[bool]:
    """Tell for each state whether any lane has it."""
    return [any(lane.shares[:, state].any() for lane in lanes) for state in range(len(STATES))]


def _gil_lane(lanes: Sequence[Lane]) -> Lane:
    """Return a lane that is held whenever any thread held the GIL."""
    starts = np.concatenate([lane.edges[:-1] for lane in lanes])
    ends = np.concatenate([lane.edges[1:] for lane in lanes])
    held = np.concatenate([lane.shares[:, HELD] for lane in lanes])
    some = held > 0
    times = np.concatenate([starts[some], ends[some]])
    edges, place = np.unique(times, return_inverse=True)
    changes = np.bincount(place, np.concatenate([held[some], -held[some]]), len(edges))
    shares = np.zeros((max(len(edges) - 1, 0), len(STATES)))
    shares[:, HELD] = np.clip(np.cumsum(changes)[:-1].round(6), 0.0, 1.0)
    return Lane(edges if len(edges) else np.zeros(1), shares)


def _joined(lanes: Sequence[Lane]) -> tuple[Sequence[Lane], float]:
    """Join short slices until there are at most MOST_SLICES; return lanes and final grain."""
    grain = TICK
    lanes = [_join(lane, grain) for lane in lanes]
    while sum(len(lane.shares) for lane in lanes) > MOST_SLICES:
        grain *= 2
        lanes = [_join(lane, grain) for lane in lanes]
    return lanes, grain


def _join(lane: Lane, grain: float) -> Lane:
    """Join neighbours that begin within the same multiple of `grain`, unless one is that long."""
    edges, lengths = lane.edges, np.diff(lane.edges)
    kept = np.ones(len(edges), bool)
    kept[1:-1] = np.diff(np.floor(edges[:-1] / grain)) > 0
    kept[1:-1] |= (lengths[1:] >= grain) | (lengths[:-1] >= grain)
    if kept.all():
        return lane
    sums = np.zeros((len(edges), len(STATES)))
    np.cumsum(lengths[:, None] * lane.shares, axis=0, out=sums[1:])
    fewer = edges[kept]
    return Lane(fewer, np.diff(sums[kept], axis=0) / np.maximum(np.diff(fewer), 1e-12)[:, None])


def _picture(shares: Floats) -> str:
    """Draw the shares of a lane over time, stacked in the order of STATES, held at the bottom."""
    tops = np.zeros((len(shares), len(STATES) + 1), int)
    tops[:, 1:] = np.minimum(np.cumsum(shares, axis=1) * LEVELS + 0.5, LEVELS)
    paths = []
    for number, state in enumerate(STATES):
        bands = np.stack(
            [LEVELS - tops[:, number + 1], tops[:, number + 1] - tops[:, number]], axis=1
        )
        # One rectangle for each run of equal bins.
        starts = np.flatnonzero(np.any(np.diff(bands, axis=0, prepend=-1), axis=1)).tolist()
        ends = [*starts[1:], len(bands)]
        runs = zip(starts, ends, bands[starts].tolist(), strict=True)
        if d := "".join(f"M{i} {y}H{j}v{h}H{i}z" for i, j, (y, h) in runs if h):
            paths.append(f'<path class="{state}" d="{d}"/>')
    box = f'viewBox="0 0 {len(shares)} {LEVELS}" preserveAspectRatio="none"'
    return f'<svg {box} aria-hidden="true">{"".join(paths)}</svg>'


def _data(recording: Recording, names: Sequence[str], lanes: Sequence[Lane]) -> str:
    """Return what the script draws, as JSON that is safe within HTML."""
    tick = TICK * max(1, -(-recording.seconds // (TICK * 2**31)))
    texts: dict[str, int] = {}

    def numbered(text: str) -> int:
        return texts.setdefault(_short(text), len(texts))

    stalls = [
        [
            _lane_of(stall),
            round(stall.start, 6),
            round(stall.seconds, 6),
            len(stall.holders),
            *(
                [
                    numbered(one.thread or "a thread without a name"),
                    round(one.seconds, 6),
                    numbered(place_of(one)),
                    one.in_c,
                ]
                for one in stall.holders[:MOST_HOLDERS]
            ),
        ]
        for stall in recording.stalls
    ]
    data = {
        "seconds": recording.seconds,
        "words": TIPS[recording.facts.gil],
        "tick": tick,
        "lanes": [[name, *_encoded(lane, tick)] for name, lane in zip(names, lanes, strict=True)],
        "stalls": stalls,
        "texts": list(texts),
    }
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _encoded(lane: Lane, tick: float) -> tuple[str, str]:
    """Return a lane's edges, as steps in ticks, and its shares, in 255ths; both in base 64."""
    steps = np.diff(np.rint(lane.edges / tick), prepend=0).astype("<u4")
    shares = np.rint(lane.shares * 255).astype("u1")
    return base64.b64encode(steps.tobytes()).decode(), base64.b64encode(shares.tobytes()).decode()


def _lane_of(stall: Stall) -> int:
    """Return the number of the waiting thread's lane, after that of the GIL; -1: not drawn."""
    if stall.index is None or stall.index >= MOST_LANES:
        return -1
    return stall.index + 1


def _threads(facts: Facts) -> Iterator[str]:
    threads, columns = facts.threads, columns_of(facts)
    yield '<section><h2>Threads</h2><div class="wide" tabindex="0"><table>'
    yield "<thead><tr><th>thread</th>"
    yield (
        "".join(f"<th>{column.replace('_', ' ')}</th>" for column in columns)
        + "</tr></thead><tbody>"
    )
    for thread in threads[:MOST_LANES]:
        times = (getattr(thread, column) for column in columns)
        cells = "".join(f"<td>{cell(time)}</td>" for time in times)
        yield f"<tr><th>{as_html(_short(name_of(thread)))}</th>{cells}</tr>"
    yield "</tbody></table></div>"
    if len(threads) > MOST_LANES:
        more = counted(len(threads) - MOST_LANES, "thread")
        what = "waited" if facts.gil else "were suspended"
        yield f'<p class="note">And {more} that {what} no longer than these.</p>'
    yield "</section>"


def _stalls(facts: Facts) -> Iterator[str]:
    stalls = facts.stalls
    if not stalls:
        return
    yield "<section><h2>The longest stalls</h2>"
    yield '<div class="wide" tabindex="0"><table class="stalls">'
    heads = "stall", "at", "thread", "meanwhile"
    yield f"<thead><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead><tbody>"
    for number, stall in enumerate(stalls[:MOST_LISTED]):
        yield f'<tr><td><button type="button" data-stall="{number}" disabled title="zoom to it">'
        yield f"{readable_time(stall.seconds)}</button></td>"
        yield f"<td>{_moment(stall.start, facts.seconds)}</td>"
        yield f"<td>{as_html(_short(stall.waiter or 'a thread without a name'))}</td>"
        shown = stall.holders[:MOST_HOLDERS]
        texts = [as_html(_short(holder_text(one, gil=facts.gil))) for one in shown]
        if len(stall.holders) > MOST_HOLDERS:
            texts.append(f"{len(stall.holders) - MOST_HOLDERS} more")
        yield f"<td>{'<br>'.join(texts) or NOT_KNOWN[facts.gil]}</td></tr>"
    yield "</tbody></table></div>"
    if len(stalls) > MOST_LISTED:
        more = counted(len(stalls) - MOST_LISTED, "stall")
        yield f'<p class="note">And {more} that took no longer than these.</p>'
    yield "</section>"


def _moment(time: float, seconds: float) -> str:
    """Return a time of a recording in the format of the script's axis."""
    if seconds < 120:
        return f"{time * 1e3:.1f} ms" if seconds < 1 else f"{time:.3f} s"
    whole, ms = divmod(round(time * 1e3), 1000)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}.{ms:03}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"
