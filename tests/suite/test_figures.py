"""The longest hold and the longest wait of each phase, in recordings made by hand."""

from __future__ import annotations

import dataclasses

import made_up
import pytest

from gilfree._arguments import seconds_of
from gilfree.suite.figures import Figure, figures_of
from gilfree.suite.phase import Phase
from gilfree.suite.so_far import without

REQUESTER = 102
LIVES = [
    ("main", 0, [(1.0, "held")]),
    ("worker", 0, [(1.0, "blocked")]),
    ("requester", 0, [(1.0, "waiting")]),
]
FIRST, SECOND = Phase("a", "call", 0.0, 0.5), Phase("b", "call", 0.5, 1.0)


def facts(*stalls):
    return made_up.recording(*LIVES, stalls=stalls).facts


def stall(waiter, start, seconds, holder, held):
    """Make a stall during which a thread held the GIL; both threads are given by their index."""
    one = made_up.stall(waiter, start, seconds, holder, name=LIVES[waiter][0])
    name = LIVES[holder][0]
    holders = tuple(dataclasses.replace(h, seconds=held, thread=name) for h in one.holders)
    return dataclasses.replace(one, holders=holders)


def test_a_hold_for_which_only_the_requester_waited_says_that_another_thread_would_have():
    found = figures_of(facts(stall(2, 0.1, 0.2, 0, 0.19)), [FIRST, SECOND], {REQUESTER})
    where = "requester (requester.py:41) in main"  # made_up.stall names the place like the waiter
    text = f"{where}; another thread would have waited"
    assert found == {FIRST: (Figure(0.19, text), Figure())}


def test_a_hold_for_which_a_thread_waited_names_it_and_is_a_wait_too():
    stalls = stall(2, 0.1, 0.2, 0, 0.2), stall(1, 0.15, 0.1, 0, 0.1)
    hold, wait = figures_of(facts(*stalls), [FIRST], {REQUESTER})[FIRST]
    assert hold.seconds == 0.2
    assert hold.text.endswith("in main; worker waited")
    assert wait.seconds == pytest.approx(0.1)
    assert wait.text.endswith("in main; worker waited")


def test_a_stall_across_two_phases_counts_in_each_for_its_part():
    found = figures_of(facts(stall(1, 0.4, 0.3, 0, 0.3)), [FIRST, SECOND], {REQUESTER})
    assert [[round(one.seconds, 9) for one in found[phase]] for phase in (FIRST, SECOND)] == [
        [0.1, 0.1],
        [0.2, 0.2],
    ]


def test_what_is_between_two_phases_counts_in_none():
    between = [Phase("a", "call", 0.0, 0.1), Phase("b", "call", 0.5, 1.0)]
    assert figures_of(facts(stall(1, 0.2, 0.2, 0, 0.2)), between, {REQUESTER}) == {}


def test_the_requester_does_not_count_as_a_holder():
    hold, wait = figures_of(facts(stall(1, 0.1, 0.1, 2, 0.1)), [FIRST], {REQUESTER})[FIRST]
    assert hold == wait == Figure()


def test_a_wait_counts_only_while_its_holder_is_known():
    _, wait = figures_of(facts(stall(1, 0.1, 0.3, 0, 0.05)), [FIRST], {REQUESTER})[FIRST]
    assert wait.seconds == 0.05


def test_a_hold_in_bytecode_says_so():
    one = stall(2, 0.1, 0.2, 0, 0.2)
    holders = (dataclasses.replace(one.holders[0], in_c=False),)
    one = dataclasses.replace(one, holders=holders)
    hold, _ = figures_of(facts(one), [FIRST], {REQUESTER})[FIRST]
    assert hold.in_bytecode
    assert "in main, in bytecode; " in hold.text


def test_facts_without_a_thread_keep_the_others():
    found = without(facts(stall(2, 0.1, 0.2, 1, 0.2), stall(1, 0.3, 0.1, 2, 0.1)), {100})
    assert [thread.name for thread in found.threads] == ["worker", "requester"]
    assert [(one.index, one.holders[0].index) for one in found.stalls] == [(1, 0), (0, 1)]
    assert found.slices.order == (1, 2)
    alone = without(found, {REQUESTER})
    assert [(one.waiter, one.holders) for one in alone.stalls] == [("worker", ())]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("50ms", 0.05),
        ("0.05s", 0.05),
        ("200us", 2e-4),
        ("200µs", 2e-4),
        ("1s", 1),
        ("2", 2),
        (3, 3),
    ],
)
def test_times_have_units(given, seconds):
    assert seconds_of(given) == pytest.approx(seconds)


@pytest.mark.parametrize("given", ["", "ms", "-1ms", "nan", "inf", "1h", True, [], -1])
def test_other_values_are_not_times(given):
    with pytest.raises(ValueError, match="must be a time such as 50ms"):
        seconds_of(given)
