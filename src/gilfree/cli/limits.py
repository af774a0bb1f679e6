"""Whether figures are within the limits given: they are, they are not, or it can't be told."""

from __future__ import annotations

from gilfree._words import readable_time
from gilfree.cli.status import Status
from gilfree.gil.report import GilReport
from gilfree.recording.recording import Recording
from gilfree.recording.verdict import RecordingVerdict

# With these verdicts, too little is known about waits.
UNKNOWN = RecordingVerdict.NOTHING, RecordingVerdict.INCONCLUSIVE


def of_held(report: GilReport, most: float) -> tuple[Status, str]:
    """Tell whether a call holds the GIL for at most a share of its time; if it doesn't, say why.

    If `most` is within the uncertainty of the figure, it can't be told.
    """
    limit = f"the {_percent(most)} of --max-held"
    if not report.gil_enabled:
        return Status.CANT_TELL, f"{limit} can't be checked: this Python has no GIL to hold"
    if report.held is None:
        return Status.CANT_TELL, f"{limit} can't be checked: no sample hit the call"
    held = f"held for {report.held:.1%} ± {report.uncertainty:.1%} of the call"
    if report.held - report.uncertainty > most:
        return Status.EXCEEDED, f"{held}, more than {limit}"
    if min(report.held + report.uncertainty, 1.0) > most:
        return Status.CANT_TELL, f"{held}, too close to {limit} to tell"
    return Status.DONE, ""


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"


def of_recording(
    recording: Recording, max_stall: float | None, max_wait: float | None
) -> tuple[Status, list[str]]:
    """Tell whether a recording is within the limits that are not None; say why not, line by line.

    The limits are seconds, and a share of the time.
    """
    checked = []
    if max_stall is not None:
        checked.append(_of_stall(recording, max_stall))
    if max_wait is not None:
        checked.append(_of_wait(recording, max_wait))
    found = {status for status, _ in checked}
    worst_first = Status.EXCEEDED, Status.CANT_TELL
    status = next((status for status in worst_first if status in found), Status.DONE)
    return status, [why for _, why in checked if why]


def _of_stall(recording: Recording, most: float) -> tuple[Status, str]:
    limit = f"the {readable_time(most)} of --max-stall"
    worst = max((thread.longest_stall or 0.0 for thread in recording.threads), default=0.0)
    if worst > most:
        why = f"the longest stall took {readable_time(worst)}, more than {limit}"
        return Status.EXCEEDED, why
    if recording.verdict in UNKNOWN:
        return Status.CANT_TELL, f"{limit} can't be checked: {recording.sentence}"
    if recording.facts.largest_gap > most:
        gap = readable_time(recording.facts.largest_gap)
        why = f"between two samples there was a gap of {gap}"
        return Status.CANT_TELL, f"{limit} can't be checked: {why}"
    return Status.DONE, ""


def _of_wait(recording: Recording, most: float) -> tuple[Status, str]:
    limit = f"the {_percent(most)} of --max-wait"
    waited = max((thread.stalled or 0.0 for thread in recording.threads), default=0.0)
    if waited > most * recording.seconds:
        what = "waited" if recording.facts.gil else "was suspended"
        share = _percent(waited / recording.seconds)
        return Status.EXCEEDED, f"a thread {what} for {share} of the time, more than {limit}"
    if recording.verdict in UNKNOWN:
        return Status.CANT_TELL, f"{limit} can't be checked: {recording.sentence}"
    return Status.DONE, ""
