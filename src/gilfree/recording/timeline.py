"""What each thread of a recording did when: slices of time, for pictures and traces."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from gilfree.gil.facts import Slices

# The states of a thread, as the recorder numbers them; unread: the system did not report it.
STATES = "held", "waiting", "running", "blocked", "unread"
HELD = STATES.index("held")
WAITING = STATES.index("waiting")
FIRST_GRAIN = 50e-6  # seconds
WHOLE = 65535  # GILFREE_WHOLE of recording.h; SLICE is its struct gilfree_slice
SLICE = np.dtype(
    [("start", "i8"), ("ns", "i8"), ("thread", "i4"), ("share", "u2", len(STATES))], align=True
)

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Lane:
    """The life of one thread, as slices without gaps between them.

    Attributes
    ----------
    edges : ndarray of float64, shape (n + 1,)
        Where each slice begins, and where the last one ends, in seconds from the beginning of the
        recording.
    shares : ndarray of float64, shape (n, 5)
        The share of each of `STATES` in each slice: one share is 1 and the others 0, unless the
        recording was so long that short slices were joined.
    """

    edges: Floats
    shares: Floats

    def between(self, begin: float, end: float, bins: int) -> Floats:
        """Return the share of each state within bins of equal length.

        Parameters
        ----------
        begin, end : float
            Seconds from the beginning of the recording.
        bins : int
            How many bins.

        Returns
        -------
        ndarray of float64, shape (bins, 5)
            A row adds up to less than 1 if the thread began or ended within that bin.
        """
        grid = np.linspace(begin, end, bins + 1)
        if not len(self.shares):
            return np.zeros((bins, len(STATES)))
        seconds = np.diff(self.edges)[:, None] * self.shares
        so_far = np.vstack([np.zeros(len(STATES)), np.cumsum(seconds, axis=0)])
        at_grid = np.stack([np.interp(grid, self.edges, column) for column in so_far.T], axis=1)
        within: Floats = np.diff(at_grid, axis=0) * (bins / (end - begin))
        return within


@dataclasses.dataclass(frozen=True, eq=False)
class Timeline:
    """The lanes of all threads, in the order of `Recording.threads`.

    Attributes
    ----------
    lanes : tuple of Lane
    grain : float
        Neighbouring slices that together were shorter than this many seconds were joined; 0 if no
        slices were joined.
    """

    lanes: tuple[Lane, ...] = ()
    grain: float = 0.0

    @classmethod
    def of(cls, slices: Slices) -> Self:
        """Make a timeline of what the recorder found."""
        found: npt.NDArray[Any] = np.frombuffer(slices.found, SLICE)
        found = found[np.argsort(found["thread"], kind="stable")]
        ends = np.searchsorted(found["thread"], slices.order, side="right")
        starts = np.searchsorted(found["thread"], slices.order, side="left")
        bounds = zip(starts, ends, strict=True)
        lanes = tuple(_lane(found[i:j], slices.begin) for i, j in bounds)
        return cls(lanes, slices.grain)

    def coarser(self, most: int) -> Self:
        """Return a timeline of at most `most` slices, for which short slices are joined."""
        lanes, grain = self.lanes, self.grain
        while sum(len(lane.shares) for lane in lanes) > max(most, len(lanes)):
            grain = 2 * grain or FIRST_GRAIN
            lanes = tuple(_joined(lane, grain) for lane in self.lanes)
        return dataclasses.replace(self, lanes=lanes, grain=grain)


def _joined(lane: Lane, grain: float) -> Lane:
    """Join neighbours shorter than `grain` / 2 that begin in the same cell of that width."""
    seconds = np.diff(lane.edges)
    short = seconds < grain / 2
    cell = np.floor(lane.edges[:-1] / (grain / 2))
    first = np.ones(len(seconds), bool)
    first[1:] = ~(short[1:] & short[:-1] & (cell[1:] == cell[:-1]))
    at = np.flatnonzero(first)
    if len(at) == len(seconds):
        return lane
    sums = np.add.reduceat(seconds[:, None] * lane.shares, at)
    edges = np.append(lane.edges[at], lane.edges[-1])
    return Lane(edges, sums / np.diff(edges)[:, None])


def _lane(slices: npt.NDArray[Any], begin: int) -> Lane:
    if not len(slices):
        return Lane(np.zeros(1), np.zeros((0, len(STATES))))
    last = slices["start"][-1:] + slices["ns"][-1:]
    edges = (np.concatenate([slices["start"], last]) - begin) / 1e9
    return Lane(edges, slices["share"] / WHOLE)
