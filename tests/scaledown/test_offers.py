"""Which commands are offered when, what they say that they leave, and what is refused with which sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.runs.types import RunStatus
from scaledown.offers import RULES, Situation, offers, refusal
from scaledown.planner import build_plan_data
from scaledown.progress import DrainWay, PutBack, new_progress, with_server
from scaledown.types import Phase
from tests.scaledown.planner_cases import CHOICE, NOW, known, pool

PLAN = build_plan_data(CHOICE, pool(), known())
PROGRESS = new_progress(PLAN, NOW)
FIRST = PROGRESS.servers[0]


def at(status=RunStatus.RUNNING, **first):
    return Situation(status, PLAN, with_server(PROGRESS, replace(FIRST, **first)))


def drain(**fields):
    return DrainWay(begun_at=NOW, seen_at=NOW, limit_at=NOW + timedelta(minutes=15), **fields)


def at_limit(**fields):
    return at(
        RunStatus.HALTED, phase=Phase.DRAINING, drain=drain(asked_person_at=NOW, connections=12, **fields)
    )


def names(now):
    return [offer.name for offer in offers(now)]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (at(RunStatus.SCHEDULED), {"abort"}),
        (at(), {"pause", "skip", "finish_here", "abort"}),
        (
            at(phase=Phase.DRAINING, drain=drain()),
            {"pause", "put_back", "skip", "finish_here", "roll_back", "abort"},
        ),
        (at(RunStatus.PAUSED), {"resume", "skip", "finish_here", "abort"}),
        (at_limit(), {"go_on", "wait", "resume", "put_back", "skip", "finish_here", "roll_back", "abort"}),
        (at(RunStatus.COMPLETED), set()),
        (at(RunStatus.ABORTED), set()),
    ],
)
def test_only_what_makes_sense_is_offered(now, expected):
    assert set(names(now)) == expected


@pytest.mark.parametrize("status", list(RunStatus))
@pytest.mark.parametrize("phase", list(Phase))
def test_everything_that_is_offered_is_also_taken(status, phase):
    now = at(status, phase=phase, drain=drain(asked_person_at=NOW, connections=3))
    for offer in offers(now):
        reason = "Because." if offer.needs_reason else ""
        assert refusal(offer.name, offer.args, reason, now) is None
        assert offer.leaves
        assert offer.customer_leaves
        assert offer.permission is RULES[offer.name].permission


@pytest.mark.parametrize("phase", list(Phase))
def test_a_server_can_be_put_back_from_draining_until_its_deletion_and_never_later(phase):
    now = at(phase=phase)
    why_not = refusal("put_back", {"server": FIRST.server_id}, "", now)
    alive = {Phase.DRAINING, Phase.REMOVING, Phase.VERIFYING, Phase.HELD, Phase.IMAGING}
    assert (why_not is None) == (phase in alive)


def test_a_server_on_its_way_back_is_not_put_back_again():
    now = at(phase=Phase.HELD, put_back=PutBack("traffic", Phase.RESTORED, NOW))
    assert "on its way back" in refusal("put_back", {"server": FIRST.server_id}, "", now)
    assert "put_back" not in names(now)


def test_finishing_here_says_that_a_server_on_its_way_back_goes_back():
    now = at(RunStatus.HALTED, phase=Phase.DRAINING, put_back=PutBack("traffic", Phase.RESTORED, NOW))
    offer = next(one for one in offers(now) if one.name == "finish_here")
    assert offer.leaves.startswith(f"{FIRST.name} goes back in service, then the run completes")


def test_waiting_promises_no_question_beyond_the_end_of_the_window():
    def leaves(window_s):
        now = at_limit()
        end = NOW + timedelta(seconds=window_s)
        now = replace(
            now, plan=replace(now.plan, window_end=end), progress=replace(now.progress, sighted_at=NOW)
        )
        return next(one for one in offers(now) if one.name == "wait").leaves

    assert "then you are asked again" in leaves(601)
    assert "until then, and goes back in service" in leaves(600)


def test_going_on_names_how_many_connections_are_cut_and_needs_a_reason():
    offer = next(one for one in offers(at_limit()) if one.name == "go_on")
    assert "12" in offer.label
    assert offer.args == {"connections": 12}
    assert offer.is_dangerous
    assert "reason" in refusal("go_on", offer.args, " ", at_limit())


def test_an_unknown_count_is_said_to_be_unknown_before_the_cut():
    now = at(RunStatus.HALTED, phase=Phase.DRAINING, drain=drain(asked_person_at=NOW))
    offer = next(one for one in offers(now) if one.name == "go_on")
    assert "unknown number" in offer.leaves
    assert offer.args == {}


def test_pausing_with_a_server_in_hand_offers_both_ways():
    now = at(phase=Phase.DRAINING, drain=drain())
    assert [one.args["when"] for one in offers(now) if one.name == "pause"] == ["after_this_server", "now"]


def test_pausing_now_promises_no_way_back_to_a_server_that_has_left_the_pool_already():
    found = [one for one in offers(at(phase=Phase.VERIFYING, drain=drain())) if one.name == "pause"]
    now = next(one for one in found if one.args == {"when": "now"})
    assert "back in service" not in f"{now.label} {now.leaves} {now.customer_leaves}"
    assert "web-06 stays out of service, alive" in now.leaves
    assert "web-06 stays out of service, alive" in now.customer_leaves


def test_pausing_after_a_server_that_is_on_its_way_back_does_not_say_that_it_is_finished():
    now = at(phase=Phase.DRAINING, drain=drain(), put_back=PutBack("asked", Phase.RESTORED, NOW))
    after = next(one for one in offers(now) if one.args == {"when": "after_this_server"})
    assert after.leaves == "web-06 goes back in service, then nothing more is sent."


@pytest.mark.parametrize("status", [RunStatus.PAUSED, RunStatus.HALTED])
@pytest.mark.parametrize("phase", [Phase.VERIFYING, Phase.HELD])
def test_finishing_a_run_that_rests_says_that_what_is_out_stays_out(status, phase):
    offer = next(one for one in offers(at(status, phase=phase, drain=drain())) if one.name == "finish_here")
    assert "web-06 stays out until the run is resumed or it is put back" in offer.leaves
    assert "brought to its end" not in offer.leaves


@pytest.mark.parametrize("status", [RunStatus.PAUSED, RunStatus.HALTED])
def test_finishing_a_run_that_rests_does_not_say_that_a_draining_server_stays_out(status):
    now = at(status, phase=Phase.DRAINING, drain=drain())
    offer = next(one for one in offers(now) if one.name == "finish_here")
    says = (
        "web-06 is brought to its end where the run is resumed in time, and goes back in service otherwise."
    )
    assert says in offer.leaves
    assert "stays out" not in offer.leaves


def test_finishing_here_says_of_a_held_server_that_it_is_deleted_all_the_same():
    offer = next(one for one in offers(at(phase=Phase.HELD, held_at=NOW)) if one.name == "finish_here")
    assert "web-06 is deleted once the hold is over" in offer.leaves


def test_an_abort_says_what_comes_back_and_what_stays_deleted():
    progress = with_server(
        with_server(PROGRESS, replace(FIRST, phase=Phase.RETIRED)),
        replace(PROGRESS.servers[1], phase=Phase.HELD),
    )
    offer = next(one for one in offers(Situation(RunStatus.RUNNING, PLAN, progress)) if one.name == "abort")
    assert "web-05 goes back" in offer.leaves
    assert "web-06 stays deleted" in offer.leaves


def test_pause_and_abort_say_of_a_server_that_is_being_deleted_that_nothing_stops_that():
    found = {one.name: one for one in offers(at(phase=Phase.DELETING))}
    for name in ("pause", "abort"):
        assert "web-06 is being deleted already, which nothing stops" in found[name].leaves
        assert "web-06 is being deleted already" in found[name].customer_leaves
    assert "No server is on its way out" not in found["pause"].leaves
    assert "stays deleted" not in found["abort"].leaves


def test_while_a_deletion_is_on_the_wire_nobody_is_promised_that_the_server_serves_again():
    now = replace(at(phase=Phase.HELD, held_at=NOW), deleting=FIRST.server_id)
    found = {one.name: one for one in offers(now)}
    sent = "The deletion of web-06 was sent and is not answered yet, which nothing stops."
    assert found["put_back"].leaves.startswith(f"{sent} Only if it did not happen: web-06 serves again")
    assert (
        found["abort"].leaves
        == f"The run ends; nothing more is changed. {sent} If it did not happen, the server goes back in service."
    )
    assert found["pause"].leaves == f"Nothing more is sent. {sent}"
    assert found["pause"].customer_leaves == found["pause"].leaves


def test_resuming_after_another_hand_names_what_was_changed():
    offer = next(
        one for one in offers(at(RunStatus.HALTED, by_hand="weight changed")) if one.name == "resume"
    )
    assert offer.args == {"confirm": True}
    assert "web-06" in offer.leaves


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("pause", {"when": "tomorrow"}),
        ("wait", {}),
        ("wait", {"seconds": 0}),
        ("wait", {"seconds": 86_401}),
        ("wait", {"seconds": True}),
        ("resume", {"confirm": "yes"}),
        ("resume", {"servers": 5}),
        ("resume", {"servers": [[]]}),
        ("resume", {"server": {"id": "srv-06"}}),
        ("pause", {"when": []}),
        ("pause", {"now": True}),
        ("go_on", {"connections": "abc"}),
        ("go_on", {"connections": -1}),
        ("go_on", {"connections": 1.5}),
        ("finish_here", {"anything": "x" * 300_000}),
        ("skip", {}),
        ("put_back", {"server": "nobody"}),
    ],
)
def test_arguments_that_make_no_sense_are_refused(name, args):
    status = RunStatus.RUNNING if name == "pause" else RunStatus.HALTED
    now = replace(at_limit(), status=status)
    assert refusal(name, args, "Because.", now)


@pytest.mark.parametrize("phase", [Phase.DRAINING, Phase.VERIFYING])
def test_in_a_standstill_no_pause_after_a_server_is_offered_that_comes_to_no_end(phase):
    now = at(phase=phase, drain=drain())
    whens = [one.args["when"] for one in offers(replace(now, stands_still=True)) if one.name == "pause"]
    assert whens == ["now"]
    # Putting back goes on in a standstill, and has its end.
    back = at(phase=phase, drain=drain(), put_back=PutBack("The run is aborted.", Phase.RESTORED, NOW))
    whens = [one.args["when"] for one in offers(replace(back, stands_still=True)) if one.name == "pause"]
    assert "after_this_server" in whens
