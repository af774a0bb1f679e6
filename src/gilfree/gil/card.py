"""What a notebook shows of a probe: the sentence, bars for the call and its threads, figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gilfree._html import SEEN, Part, as_html, card, lane, legend
from gilfree._words import exact_share

if TYPE_CHECKING:
    from gilfree.gil.report import GilReport

# The legend of a thread's states, with a GIL and without.
STATES = {
    True: {
        "held": "holds the GIL",
        "waiting": "waits for the GIL",
        "running": "runs without the GIL",
    },
    False: {"held": "is attached", "waiting": "is suspended", "running": "runs detached"},
}
REST = {"unread": "has no CPU", "blocked": "blocked: a lock, I/O"}


def fragment(report: GilReport, rows: Sequence[tuple[str, str]]) -> str:
    """Return the card of a report as HTML.

    Parameters
    ----------
    report : GilReport
    rows : sequence of tuple of str
        Names and figures, as text.
    """
    verdict = report.verdict.text
    rest = report.sentence.removeprefix(verdict)
    name = f"<code>{as_html(report.name)}</code>"
    sentence = f"{name}: <b>{as_html(verdict)}</b>{as_html(rest)}"
    table = (
        f'<tr><th>{as_html(head)}</th><td class="words">{as_html(text)}</td></tr>\n'
        for head, text in rows
    )
    return card(sentence, _picture(report), table)


def _picture(report: GilReport) -> Iterator[str]:
    words = STATES[report.gil_enabled] | REST
    seen: dict[str, str] = {}

    def states(shares: dict[str, float]) -> list[Part]:
        seen.update((state, words[state]) for state, share in shares.items() if share > SEEN)
        return [Part(s, share, f"{words[s]}: {exact_share(share)}") for s, share in shares.items()]

    if report.held is not None:
        spread = report.held - report.uncertainty, report.held + report.uncertainty
        had = "held" if report.gil_enabled else "attached"
        value = f"{exact_share(report.held)} {had}"
        yield lane("one call", states(_alone(report)), value, spread=spread)
    if shares := _together(report):
        wait = "waiting" if report.gil_enabled else "suspended"
        value = f"{exact_share(shares['waiting'])} {wait}"
        yield lane(f"{report.workers} together", states(shares), value)
    if report.speedup is not None and report.limit is not None:
        most = max(report.speedup, report.limit, 1.0)
        gain, limit = f"{report.speedup:.2f}×", f"{report.limit:.2f}×"
        parts = [
            Part("gain", report.speedup / most, f"speedup: {gain}"),
            Part("room", max(report.limit - report.speedup, 0) / most, f"limit: {limit}"),
        ]
        yield lane("speedup", parts, f"{gain} of {limit}", mark=1 / most)
        seen["mark"] = "one thread"
    order = [*words, "mark"]
    if seen:
        yield legend((state, seen[state]) for state in order if state in seen)


def _alone(report: GilReport) -> dict[str, float]:
    """Return the shares of one call; "unread" is all time off a CPU, also if it was blocked."""
    held = report.held or 0.0
    if report.cpu is None:
        return {"held": held}
    no_cpu = min(max(1 - report.cpu, 0), 1 - held)
    return {"held": held, "running": 1 - held - no_cpu, "unread": no_cpu}


def _together(report: GilReport) -> dict[str, float]:
    """Return the shares of concurrent threads; empty if they were not recorded."""
    waiting, running, blocked = report.waiting, report.running, report.blocked
    if waiting is None or running is None or blocked is None:
        return {}
    no_cpu = min(report.no_cpu or 0.0, running)
    held = max(1 - waiting - running - blocked, 0)
    return {
        "held": held,
        "waiting": waiting,
        "running": running - no_cpu,
        "unread": no_cpu,
        "blocked": blocked,
    }
