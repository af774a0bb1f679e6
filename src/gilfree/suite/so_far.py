"""The fixture ``gil_record``: a recording that ends when its figures are first read."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterator

import pytest

from gilfree.gil.facts import Facts, Holder, Stall
from gilfree.gil.recorder import Session
from gilfree.gil.sampler import NoSamplerError
from gilfree.recording.recording import Recording
from gilfree.suite import requester


class SoFar(Recording):
    """A recording that continues until its figures are first read."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    @property
    def facts(self) -> Facts:
        """All figures, from the start until they were first read."""
        if self._facts is None:
            found = self._session.finish()
            assert found is not None  # the session was started
            self._facts = without(found, requester.latest)
        return self._facts


@contextlib.contextmanager
def recorded_so_far() -> Iterator[SoFar]:
    """Record, or skip the test if nothing can be recorded here."""
    try:
        session = Session(beside=True)
        session.start()
    except NoSamplerError as error:
        pytest.skip(str(error))
    recording = SoFar(session)
    try:
        yield recording
    finally:
        _ = recording.facts


def without(facts: Facts, native_ids: Collection[int]) -> Facts:
    """Return the facts without some threads, which do not belong to the test."""
    kept = [i for i, thread in enumerate(facts.threads) if thread.native_id not in native_ids]
    place = {old: new for new, old in enumerate(kept)}

    def moved(holder: Holder) -> Holder:
        return dataclasses.replace(holder, index=_at(place, holder.index))

    def seen(stall: Stall) -> Stall:
        held = (holder for holder in stall.holders if holder.index in place)
        index = _at(place, stall.index)
        return dataclasses.replace(stall, index=index, holders=tuple(map(moved, held)))

    return dataclasses.replace(
        facts,
        threads=tuple(facts.threads[i] for i in kept),
        stalls=tuple(seen(stall) for stall in facts.stalls if stall.index in place),
        slices=facts.slices._replace(order=tuple(facts.slices.order[i] for i in kept)),
    )


def _at(place: dict[int, int], index: int | None) -> int | None:
    return None if index is None else place.get(index)
