"""What the engine itself writes into a journal, for both of its readers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.runs import rules
from portal.runs.types import Action, Outcome, OutcomeKind

REMOVE = Action("remove_node", "srv-4", "Remove web-04 from front.", customer_says="web-04 leaves service")
OURS = ("node", "drain", "intent", "in doubt", "load balancer")


def test_a_customer_reads_in_plain_words_what_is_sent_next():
    entry = rules.intent_entry(REMOVE, 7)
    assert entry.says == "Remove web-04 from front."
    assert entry.customer_says == "The next change: web-04 leaves service."


@pytest.mark.parametrize("by_reading", [False, True])
@pytest.mark.parametrize("kind", OutcomeKind)
def test_a_customer_reads_in_plain_words_what_became_of_it(kind, by_reading):
    outcome = Outcome(kind, "422: immutable entity.", by_reading=by_reading)
    said = rules.outcome_entry(REMOVE, outcome, 7).customer_says
    assert said.endswith(": web-04 leaves service.")
    assert "immutable" not in said
    assert not [word for word in OURS if word in said.lower()]


def test_each_end_of_a_change_is_told_apart_in_the_customers_words():
    said = {rules.outcome_entry(REMOVE, Outcome(kind), 7).customer_says for kind in OutcomeKind}
    assert len(said) == len(OutcomeKind)


def test_a_stored_action_keeps_its_words_and_one_of_an_earlier_release_is_read():
    stored = rules.action_to_json(REMOVE)
    assert rules.action_from_json(stored).customer_says == "web-04 leaves service"
    del stored["customer_says"]
    old = rules.action_from_json(stored)
    assert old == REMOVE
    assert rules.intent_entry(old, 7).customer_says == "The next change: one step of this work."


A_WAIT = st.floats(0, 1e5)


@given(A_WAIT, st.floats(0, rules.MOST_WRITING_S))
def test_a_wait_counts_from_what_was_judged_and_not_from_when_it_was_written(wait_s, writing_s):
    assert writing_s + rules.due_in_s(wait_s, writing_s) == pytest.approx(max(wait_s, writing_s))


@given(A_WAIT, st.floats(-1e9, 1e9))
def test_a_clock_that_was_set_neither_puts_a_look_off_nor_brings_it_much_forward(wait_s, passed_s):
    due_in_s = rules.due_in_s(wait_s, passed_s)
    assert max(0.0, wait_s - rules.MOST_WRITING_S) <= due_in_s <= wait_s
