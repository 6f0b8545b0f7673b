"""What every store of runs must do; each sentence is checked in memory and on PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from portal.errors import Refused, StaleState
from portal.runs import rules
from portal.runs.types import (
    Action,
    Answer,
    Decision,
    Entry,
    Halt,
    HaltRank,
    LeaseLost,
    Outcome,
    OutcomeKind,
    RunStatus,
    Sample,
)

ADD = Action("add", "1", "Count to 1.", {"by": 1})
BACK = Action("add", "0", "Take one away again.", {"by": -1}, is_put_back=True)
DONE = Outcome(OutcomeKind.DONE)


def claimed(desk, ref, lease_s=15.0, holder="w1"):
    view = desk.store.claim(ref, holder=holder, lease_s=lease_s)
    assert view is not None
    return view


def noted(desk, view, action=ADD, **progress):
    return desk.store.note_intent(
        view, Decision(progress, action=action, status=RunStatus.RUNNING), deadline_s=3.0, lease_s=8.0
    )


def sent(desk, ref, action=ADD):
    view = claimed(desk, ref)
    intent = noted(desk, view, action)
    assert desk.store.check(view, intent, deadline_s=3.0).ok
    return view, intent


def test_a_new_run_is_due_at_once_and_belongs_to_one_worker_only(desk):
    ref = desk.create()
    view = claimed(desk, ref)
    assert (view.ref, view.status, view.token) == (ref, RunStatus.SCHEDULED, 1)
    assert view.plan == {"target": 3}
    assert view.scopes == ("all",)
    assert view.facts == {"approval_stands": True}
    assert desk.store.claim(ref, holder="w2", lease_s=15) is None
    assert desk.store.claim_due(holder="w2", limit=10, lease_s=15) == []


def test_due_runs_are_taken_the_longest_due_first_and_no_more_than_asked(desk):
    refs = []
    for _ in range(3):
        refs.append(desk.create())
        desk.pass_time(1)
    views = desk.store.claim_due(holder="w1", limit=2, lease_s=15)
    assert {view.ref for view in views} == set(refs[:2])
    assert [v.ref for v in desk.store.claim_due(holder="w2", limit=2, lease_s=15)] == refs[2:]


def test_a_run_can_be_claimed_shortly_before_it_is_due_and_says_when(desk):
    ref = desk.create()
    desk.store.release(claimed(desk, ref), look_again_s=10.0)
    assert desk.store.claim_due(holder="w1", limit=5, lease_s=15) == []
    assert desk.store.claim_due(holder="w1", limit=5, lease_s=15, ahead_s=5.0) == []
    (view,) = desk.store.claim_due(holder="w1", limit=5, lease_s=15, ahead_s=10.0)
    assert view.due_in_s == pytest.approx(10.0, abs=1.0)
    # Nobody else has it meanwhile, not even for what is due by then.
    desk.pass_time(11)
    assert desk.store.claim_due(holder="w2", limit=5, lease_s=15) == []


def test_what_is_due_or_late_waits_for_nothing(desk):
    desk.create()
    desk.pass_time(3)
    (view,) = desk.store.claim_due(holder="w1", limit=5, lease_s=15, ahead_s=0.02)
    assert view.due_in_s == 0.0


def test_a_worker_leaves_kinds_that_it_does_not_know_to_others(desk):
    desk.create()
    assert desk.store.claim_due(holder="w1", limit=5, lease_s=15, kinds=["other"]) == []
    assert desk.store.next_due_s(["other"]) is None
    assert len(desk.store.claim_due(holder="w1", limit=5, lease_s=15, kinds=["toy"])) == 1


def test_each_claim_raises_the_token_and_the_old_holder_can_write_nothing_more(desk):
    ref = desk.create()
    old = claimed(desk, ref)
    desk.pass_time(16)
    new = claimed(desk, ref, holder="w2")
    assert new.token == old.token + 1
    for write in (
        lambda: desk.store.renew(old, lease_s=15),
        lambda: noted(desk, old),
        lambda: desk.store.commit(old, Decision({"by": "old"})),
        lambda: desk.store.release(old, look_again_s=1),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert desk.row(ref)["progress"] == {}
    desk.store.commit(new, Decision({"by": "new"}))
    assert desk.row(ref)["progress"] == {"by": "new"}


def test_a_lease_that_has_run_out_lets_nothing_new_be_decided(desk):
    ref = desk.create()
    view = claimed(desk, ref)
    desk.pass_time(16)
    for write in (
        lambda: desk.store.renew(view, lease_s=15),
        lambda: noted(desk, view),
        lambda: desk.store.commit(view, Decision({"by": "old"})),
    ):
        with pytest.raises(LeaseLost):
            write()


def test_a_renewed_lease_lasts_on(desk):
    ref = desk.create()
    view = claimed(desk, ref)
    desk.pass_time(10)
    renewed = desk.store.renew(view, lease_s=15)
    assert renewed.token == view.token
    desk.pass_time(10)
    assert desk.store.claim(ref, holder="w2", lease_s=15) is None
    desk.store.commit(renewed, Decision({"still": "mine"}))


def test_a_released_run_waits_for_its_time(desk):
    ref = desk.create()
    desk.store.commit(claimed(desk, ref), Decision({}, look_again_s=30))
    assert desk.store.claim(ref, holder="w1", lease_s=15) is None
    assert desk.due_in_s(ref) == pytest.approx(30, abs=1)
    assert desk.store.next_due_s() == pytest.approx(30, abs=1)
    desk.pass_time(31)
    assert desk.store.next_due_s() == 0
    assert claimed(desk, ref).token == 2


def test_a_look_is_due_from_what_was_judged_on_and_not_from_when_it_was_written(desk):
    ref = desk.create()
    view = claimed(desk, ref)
    judged = replace(view, now=view.now - timedelta(seconds=0.2))
    desk.store.commit(judged, Decision({}, look_again_s=0.2))
    assert desk.due_in_s(ref) <= 0
    ahead = claimed(desk, ref)
    # The database's clock was set back by an hour since the claim.
    desk.store.commit(replace(ahead, now=ahead.now + timedelta(hours=1)), Decision({}, look_again_s=30))
    assert desk.due_in_s(ref) == pytest.approx(30, abs=1)


def running(desk, **options):
    """Return a run that has started, with the view of a fresh claim."""
    ref = desk.create(**options)
    desk.store.commit(claimed(desk, ref), Decision({}, status=RunStatus.RUNNING, look_again_s=0))
    return ref, claimed(desk, ref)


def test_a_kept_run_is_gone_on_with_under_the_same_token_and_is_nobody_elses(desk):
    ref, view = running(desk)
    desk.pass_time(10)
    kept = desk.store.commit(view, Decision({"n": 1}, look_again_s=0.1), keep_s=15.0)
    assert (kept.token, kept.failures) == (view.token, 0)
    desk.pass_time(10)
    assert desk.store.claim(ref, holder="w2", lease_s=15) is None
    assert desk.store.commit(kept, Decision({"n": 2}, look_again_s=0)) is None
    assert claimed(desk, ref, holder="w2").progress == {"n": 2}


def test_a_kept_run_whose_worker_dies_is_due_once_its_lease_has_run_out(desk):
    ref, view = running(desk)
    assert desk.store.commit(view, Decision({}, look_again_s=0.1), keep_s=5.0) is not None
    assert desk.store.next_due_s() == pytest.approx(5, abs=1)
    desk.pass_time(5.1)
    assert claimed(desk, ref, holder="w2").token == view.token + 1


def test_an_outcome_may_keep_the_lease_too(desk):
    ref, view = running(desk)
    intent = noted(desk, view)
    assert desk.store.check(view, intent, deadline_s=3.0).ok
    kept = desk.store.settle(view, intent, DONE, Decision({"n": 1}, look_again_s=0.1), keep_s=15.0)
    assert desk.store.claim(ref, holder="w2", lease_s=15) is None
    assert noted(desk, kept) != intent


def test_a_command_or_a_standstill_that_came_in_keeps_nothing(desk):
    for happens in (lambda ref: desk.command(ref, "pause"), lambda ref: desk.put_standstill("all")):
        ref, view = running(desk)
        happens(ref)
        assert desk.store.commit(view, Decision({}, look_again_s=60), keep_s=15.0) is None
        assert claimed(desk, ref).command_seq == view.command_seq + 1


def test_a_look_that_wants_facts_read_lets_the_run_go_to_whoever_claims_it_next(desk):
    ref, view = running(desk)
    decision = Decision({"n": 1}, look_again_s=0.0, reads_facts=True)
    assert desk.store.commit(view, decision, keep_s=15.0) is None
    again = claimed(desk, ref)
    assert (again.token, again.progress) == (view.token + 1, {"n": 1})


@pytest.mark.parametrize(
    "decision",
    [
        Decision({}, status=RunStatus.PAUSED),
        Decision({}, halt=Halt("odd", HaltRank.SAFE_WAITING, "Odd.", "Paused for safety.", ())),
        Decision({}, status=RunStatus.COMPLETED),
    ],
    ids=["paused", "halted", "over"],
)
def test_a_run_whose_status_changes_is_let_go(desk, decision):
    ref, view = running(desk)
    assert desk.store.commit(view, decision, keep_s=15.0) is None
    assert desk.row(ref)["status"] == (decision.status or RunStatus.HALTED).value
    assert desk.store.next_due_s() in (None, pytest.approx(1.0, abs=1.0))


def test_the_next_due_time_of_a_run_in_hand_is_the_end_of_its_lease(desk):
    claimed(desk, desk.create(), lease_s=15)
    assert desk.store.next_due_s() == pytest.approx(15, abs=1)


def test_progress_is_stored_as_it_is_given_whatever_of_it_was_given_before(desk):
    ref = desk.create()
    shared = {"nodes": [{"id": 1, "seen": None}, {"id": 2, "seen": True}], "says": "Waits."}
    given = [
        {"way": shared, "looks": 1},
        {"way": shared, "looks": 1.5},
        {"way": {**shared, "nodes": [*shared["nodes"], {"id": 3}]}, "looks": True, "more": RunStatus.RUNNING},
        {"way": {**shared, "says": "Goes on."}, "looks": (1, 2)},
        {"way": None},
    ]
    stored = json.loads(json.dumps(given))
    for progress, as_stored in zip(given, stored, strict=True):
        desk.store.commit(claimed(desk, ref), Decision(progress, look_again_s=0.0))
        row = desk.row(ref)["progress"]
        assert json.dumps(row, sort_keys=True) == json.dumps(as_stored, sort_keys=True)


def test_a_decision_leaves_progress_journal_samples_and_answers(desk):
    ref = desk.create()
    desk.command(ref, "pause", reason="lunch")
    view = claimed(desk, ref)
    assert [(c.name, c.reason) for c in view.commands] == [("pause", "lunch")]
    decision = Decision(
        {"seen": 1},
        status=RunStatus.RUNNING,
        journal=(Entry("toy", "Seen.", subject="web-1"),),
        samples=(
            Sample("connections", 3.0, view.now),
            Sample("connections", None, view.now),
            Sample("serving", 3, view.now, {"source": "a “page”", "problem": None}),
        ),
        answers=(Answer(view.commands[0].id, False, "Nothing runs yet."),),
    )
    desk.store.commit(view, decision)
    row = desk.row(ref)
    assert (row["status"], row["progress"], row["is_started"]) == ("running", {"seen": 1}, True)
    assert row["samples"] == [("connections", 3.0), ("connections", None), ("serving", 3.0)]
    assert row["sample_details"] == [{}, {}, {"source": "a “page”", "problem": None}]
    assert row["answers"] == [("pause", False)]
    kinds = [kind for _, kind, _, _ in desk.journal(ref)]
    assert kinds == ["created", "command", "command_refused", "toy", "status"]
    assert desk.projected == [decision]
    desk.pass_time(2)
    assert claimed(desk, ref).commands == ()


def test_the_journal_counts_without_gaps_and_names_the_token(desk):
    ref = desk.create()
    view, intent = sent(desk, ref)
    desk.store.settle(view, intent, DONE, Decision({}, journal=(Entry("toy", "One."),)))
    desk.command(ref, "pause")
    desk.store.commit(claimed(desk, ref), Decision({}, journal=(Entry("toy", "Two."),)))
    lines = desk.journal(ref)
    assert [seq for seq, *_ in lines] == list(range(1, len(lines) + 1))
    assert [token for _, kind, _, token in lines if kind == "toy"] == [1, 2]
    assert [token for _, kind, _, token in lines if kind == "command"] == [None]


def test_every_change_has_a_line_before_and_a_line_after_it(desk):
    ref = desk.create()
    view, intent = sent(desk, ref)
    assert desk.journal(ref)[-1][1:3] == ("intent", "Count to 1.")
    desk.store.settle(view, intent, DONE, Decision({}))
    assert desk.journal(ref)[-1][1] == "outcome"
    assert desk.intents(ref) == [("1", True, "done")]


def test_an_intent_is_written_with_its_progress_before_anything_is_sent(desk):
    ref = desk.create()
    view = claimed(desk, ref)
    noted(desk, view, asked=1)
    assert desk.row(ref)["progress"] == {"asked": 1}
    assert desk.intents(ref) == [("1", False, "")]


def test_a_second_intent_is_refused_while_one_has_no_outcome(desk):
    view = claimed(desk, desk.create())
    noted(desk, view)
    with pytest.raises(Exception, match=r"intent"):
        noted(desk, view)


def test_the_check_passes_once(desk):
    view, intent = sent(desk, desk.create())
    with pytest.raises(ValueError, match="never withdrawn"):
        desk.store.check(view, intent, deadline_s=3.0)


def test_the_check_refuses_when_the_lease_is_too_short_for_the_call(desk):
    ref = desk.create()
    view = claimed(desk, ref, lease_s=6.0)
    intent = desk.store.note_intent(view, Decision({}, action=ADD), deadline_s=3.0, lease_s=6.0)
    desk.pass_time(1.5)
    refused = desk.store.check(view, intent, deadline_s=3.0)
    assert (refused.ok, refused.why) == (False, "the lease is too short for the call")
    assert desk.intents(ref) == [("1", False, "")]


def test_the_check_refuses_whoever_lost_the_lease(desk):
    ref = desk.create()
    view = claimed(desk, ref)
    intent = noted(desk, view)
    desk.pass_time(16)
    claimed(desk, ref, holder="w2")
    assert desk.store.check(view, intent, deadline_s=3.0).why == "the lease is lost"


def test_the_check_refuses_after_a_command_that_the_look_did_not_know(desk):
    ref = desk.create()
    view = claimed(desk, ref)
    intent = noted(desk, view)
    assert desk.command(ref, "pause") == ""
    refused = desk.store.check(view, intent, deadline_s=3.0)
    assert (refused.ok, refused.why) == (False, "a person's command came in")


@pytest.mark.parametrize("scope", ["all", "connection:c1"])
def test_the_check_refuses_under_a_standstill_of_any_of_the_runs_scopes(desk, scope):
    ref = desk.create(scopes=["connection:c1"])
    view = claimed(desk, ref)
    intent = noted(desk, view)
    assert desk.put_standstill(scope) == []
    assert not desk.store.check(view, intent, deadline_s=3.0).ok


def test_the_check_refuses_under_a_standstill_that_the_look_knew(desk):
    ref = desk.create()
    desk.put_standstill("all")
    view = claimed(desk, ref)
    assert view.standstill is not None
    intent = noted(desk, view)
    assert not desk.store.check(view, intent, deadline_s=3.0).ok


def test_a_standstill_elsewhere_stops_nothing_here(desk):
    ref = desk.create(scopes=["connection:c1"])
    desk.put_standstill("connection:c2")
    view = claimed(desk, ref)
    assert view.standstill is None
    assert desk.store.check(view, noted(desk, view), deadline_s=3.0).ok


def test_a_lifted_standstill_lets_work_go_on(desk):
    ref = desk.create()
    desk.put_standstill("all")
    desk.lift_standstill("all")
    view = claimed(desk, ref)
    assert view.standstill is None
    assert desk.store.check(view, noted(desk, view), deadline_s=3.0).ok


def test_a_put_back_passes_commands_and_standstill_but_not_the_fence(desk):
    ref = desk.create()
    view = claimed(desk, ref)
    intent = noted(desk, view, BACK)
    desk.command(ref, "pause")
    desk.put_standstill("all")
    assert desk.store.check(view, intent, deadline_s=3.0).ok
    desk.lift_standstill("all")
    other = desk.create()
    view = claimed(desk, other)
    intent = noted(desk, view, BACK)
    desk.pass_time(16)
    claimed(desk, other, holder="w2")
    assert not desk.store.check(view, intent, deadline_s=3.0).ok


def test_a_command_names_what_was_on_the_wire(desk):
    ref = desk.create()
    view, intent = sent(desk, ref)
    assert desk.command(ref, "pause") == "Count to 1."
    assert desk.put_standstill("all") == ["Count to 1."]
    desk.store.settle(view, intent, DONE, Decision({}))
    assert desk.command(ref, "abort") == ""


def test_a_command_in_mid_tick_is_looked_at_at_once(desk):
    ref = desk.create()
    view = claimed(desk, ref)
    desk.command(ref, "pause")
    desk.store.commit(view, Decision({}, look_again_s=60))
    assert [c.name for c in claimed(desk, ref).commands] == ["pause"]


def test_a_command_wakes_a_run_that_was_waiting(desk):
    ref = desk.create()
    desk.store.commit(claimed(desk, ref), Decision({}, look_again_s=60))
    desk.command(ref, "pause")
    assert claimed(desk, ref).command_seq == 1


def test_what_was_sent_without_an_outcome_is_in_doubt_for_the_next_holder(desk):
    ref = desk.create()
    _, intent = sent(desk, ref)
    desk.pass_time(16)
    doubt = claimed(desk, ref, holder="w2").doubt
    assert (doubt.intent_id, doubt.action, doubt.looks) == (intent, ADD, ())
    assert doubt.settled_after - doubt.sent_at == pytest.approx(
        timedelta(seconds=15 + 3), abs=timedelta(seconds=1)
    )


def test_what_was_noted_and_never_sent_is_no_doubt(desk):
    ref = desk.create()
    intent = noted(desk, claimed(desk, ref), asked=1)
    desk.pass_time(16)
    view = claimed(desk, ref, holder="w2")
    assert view.doubt is None
    assert (view.unsent.intent_id, view.unsent.action) == (intent, ADD)
    desk.store.settle(view, intent, Outcome(OutcomeKind.NOT_APPLIED, code="not_sent"), Decision({"asked": 0}))
    assert desk.intents(ref) == [("1", False, "not_applied")]
    desk.pass_time(2)
    assert claimed(desk, ref).unsent is None


def test_a_doubt_of_a_living_worker_stays_open_and_can_be_read_after_the_calls_deadline(desk):
    ref = desk.create()
    view, intent = sent(desk, ref)
    desk.store.settle(view, intent, Outcome(OutcomeKind.IN_DOUBT, "Lost."), Decision({}, look_again_s=0))
    assert desk.intents(ref) == [("1", True, "")]
    assert desk.journal(ref)[-1][1] == "in_doubt"
    next_view = claimed(desk, ref)
    wait = next_view.doubt.settled_after - next_view.now
    assert wait == pytest.approx(timedelta(seconds=3), abs=timedelta(seconds=1))


def test_the_looks_at_a_doubt_are_kept(desk):
    ref = desk.create()
    sent(desk, ref)
    desk.pass_time(16)
    view = claimed(desk, ref)
    desk.store.look(view, view.doubt.intent_id, (True,))
    desk.store.commit(view, Decision({}, look_again_s=0))
    assert claimed(desk, ref).doubt.looks == (True,)


def test_an_outcome_may_be_written_twice_and_counts_once(desk):
    ref = desk.create()
    view, intent = sent(desk, ref)
    desk.store.settle(view, intent, DONE, Decision({"n": 1}))
    lines = len(desk.journal(ref))
    desk.store.settle(view, intent, DONE, Decision({"n": 2}))
    assert desk.row(ref)["progress"] == {"n": 1}
    assert len(desk.journal(ref)) == lines


def test_an_outcome_is_still_taken_after_the_lease_if_nobody_looked_since(desk):
    ref = desk.create()
    view, intent = sent(desk, ref)
    desk.pass_time(16)
    desk.store.settle(view, intent, DONE, Decision({"n": 1}))
    assert desk.row(ref)["progress"] == {"n": 1}


def test_an_outcome_is_refused_once_somebody_else_holds_the_run(desk):
    ref = desk.create()
    view, intent = sent(desk, ref)
    desk.pass_time(16)
    claimed(desk, ref, holder="w2")
    with pytest.raises(LeaseLost):
        desk.store.settle(view, intent, DONE, Decision({"n": 1}))
    assert desk.intents(ref) == [("1", True, "")]


def test_a_halt_is_kept_with_its_reason_and_cleared_by_going_on(desk):
    ref = desk.create()
    halt = Halt("toy", HaltRank.SITE_IN_DANGER, "It broke.", "Paused for safety.", ("resume",))
    desk.store.commit(claimed(desk, ref), Decision({}, halt=halt, look_again_s=0))
    assert desk.row(ref)["halt_code"] == "toy"
    view = claimed(desk, ref)
    assert (view.status, view.halt) == (RunStatus.HALTED, halt)
    desk.store.commit(view, Decision({}, status=RunStatus.RUNNING, look_again_s=0))
    view = claimed(desk, ref)
    assert (view.status, view.halt) == (RunStatus.RUNNING, None)
    assert desk.row(ref)["halt_code"] == ""


def test_a_halt_that_stays_the_same_is_journalled_once(desk):
    ref = desk.create()
    halt = Halt("toy", HaltRank.SAFE_WAITING, "It broke.", "Paused for safety.")
    for _ in range(3):
        desk.store.commit(claimed(desk, ref), Decision({}, halt=halt, look_again_s=0))
    assert [kind for _, kind, _, _ in desk.journal(ref)].count("halted") == 1


def test_a_move_that_is_not_allowed_changes_nothing(desk):
    ref = desk.create()
    view = claimed(desk, ref)
    with pytest.raises(ValueError, match="cannot go"):
        desk.store.commit(view, Decision({"n": 1}, status=RunStatus.ROLLED_BACK))
    assert desk.row(ref)["progress"] == {}
    assert desk.row(ref)["status"] == "scheduled"


def test_a_run_that_is_over_gives_its_claims_back_answers_everyone_and_is_never_due(desk):
    ref = desk.create(resource_keys=["lb:1", "lb:2"])
    view = claimed(desk, ref)
    desk.command(ref, "pause")
    desk.store.commit(view, Decision({}, status=RunStatus.ABORTED))
    row = desk.row(ref)
    assert (row["status"], row["is_ended"], row["has_lease"]) == ("aborted", True, False)
    assert row["answers"] == [("pause", False)]
    assert desk.claims() == set()
    assert desk.due_in_s(ref) is None
    desk.pass_time(3600)
    assert desk.store.claim(ref, holder="w1", lease_s=15) is None
    with pytest.raises(Refused):
        desk.command(ref, "resume")


@pytest.mark.parametrize("status", [RunStatus.PAUSED, RunStatus.HALTED])
def test_claims_are_held_while_paused_and_halted(desk, status):
    ref = desk.create(resource_keys=["lb:1"])
    halt = Halt("toy", HaltRank.SAFE_WAITING, "It broke.", "") if status is RunStatus.HALTED else None
    desk.store.commit(claimed(desk, ref), Decision({}, status=RunStatus.RUNNING, look_again_s=0))
    desk.store.commit(claimed(desk, ref), Decision({}, status=status, halt=halt))
    assert desk.claims() == {"lb:1"}


def test_two_runs_cannot_touch_the_same_thing(desk):
    desk.create(resource_keys=["lb:1", "lb:2"], title="Down to three")
    with pytest.raises(Refused, match="Down to three"):
        desk.create(resource_keys=["lb:0", "lb:2"])
    assert desk.claims() == {"lb:1", "lb:2"}
    desk.create(resource_keys=["lb:0"])


def test_a_plan_starts_one_run_and_may_be_rehearsed_before(desk):
    plan_ref = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
    rehearsed = desk.create(plan_ref=plan_ref, rehearsal=True)
    assert claimed(desk, rehearsed).is_rehearsal
    desk.create(plan_ref=plan_ref)
    with pytest.raises(StaleState):
        desk.create(plan_ref=plan_ref)


def test_nothing_starts_under_a_standstill(desk):
    desk.put_standstill("all")
    with pytest.raises(Refused):
        desk.create()


def test_failed_ticks_are_counted_until_one_succeeds(desk):
    ref = desk.create()
    desk.store.release(claimed(desk, ref), look_again_s=0, failed=True)
    desk.store.release(claimed(desk, ref), look_again_s=0, failed=True)
    view = claimed(desk, ref)
    assert view.failures == 2
    desk.store.commit(view, Decision({}, look_again_s=0))
    assert claimed(desk, ref).failures == 0


def test_a_halt_can_be_written_without_the_kinds_own_tables(desk):
    ref = desk.create(progress={"value": 1})
    view = claimed(desk, ref)
    desk.store.halt(view, rules.internal_halt(3), look_again_s=4.0)
    row = desk.row(ref)
    assert (row["status"], row["halt_code"], row["progress"]) == ("halted", "internal_error", {"value": 1})
    assert (row["failures"], row["has_lease"]) == (1, False)
    assert desk.projected == []
    assert 3.0 < desk.due_in_s(ref) <= 4.0
