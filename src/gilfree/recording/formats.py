"""The formats that a recording is saved in, by the suffix of the file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gilfree.recording.recording import Recording


def as_json(recording: Recording) -> bytes:
    """Return `Recording.to_dict` as text."""
    return (json.dumps(recording.to_dict(), indent=2) + "\n").encode()


def as_trace(recording: Recording) -> bytes:
    """Return a trace for ui.perfetto.dev."""
    from gilfree.recording.perfetto import trace  # imports NumPy, which a report does without

    return trace(recording)


def as_compressed_trace(recording: Recording) -> bytes:
    """Return the trace, compressed; the same trace gives the same bytes."""
    return gzip.compress(as_trace(recording), mtime=0)


def as_firefox_profile(recording: Recording) -> bytes:
    """Return a profile for profiler.firefox.com."""
    from gilfree.recording.firefox import profile  # imports NumPy

    return profile(recording)


def as_html(recording: Recording) -> bytes:
    """Return the page that shows the recording."""
    from gilfree.recording.page import page  # imports NumPy

    return page(recording).encode()


def as_markdown(recording: Recording) -> bytes:
    """Return the report as Markdown."""
    from gilfree.recording.markdown import page

    return page(recording).encode()


def as_svg(recording: Recording) -> bytes:
    """Return a lane for each thread, as a drawing."""
    from gilfree.recording.lanes import picture  # imports matplotlib, which is optional

    return picture(recording, "svg")


def as_png(recording: Recording) -> bytes:
    """Return a lane for each thread, as an image."""
    from gilfree.recording.lanes import picture

    return picture(recording, "png")


# The first suffix that fits counts: ".trace.json" stands before ".json".
FORMATS: dict[str, Callable[[Recording], bytes]] = {
    ".trace.json.gz": as_compressed_trace,
    ".trace.json": as_trace,
    ".firefox.json": as_firefox_profile,
    ".json": as_json,
    ".html": as_html,
    ".md": as_markdown,
    ".svg": as_svg,
    ".png": as_png,
}
PICTURES = as_svg, as_png  # these need matplotlib


def format_of(path: str | Path) -> Callable[[Recording], bytes]:
    """Return the function that makes the bytes of a file with this suffix.

    Raises
    ------
    ValueError
        If the suffix is not in `FORMATS`.
    """
    name = Path(path).name
    for suffix, encode in FORMATS.items():
        if name.endswith(suffix):
            return encode
    *others, last = FORMATS
    known = f"{', '.join(others)} or {last}" if others else last
    msg = f"must end with {known}, not {name!r}"
    raise ValueError(msg)
