"""Drills by the API: what the pages can, with answers that say what is missing."""

from __future__ import annotations

import pytest

from drills.plans import services
from drills.plans.models import Drill
from portal.approvals.models import Verdict
from tests.drills.rows import approved, fresh_pool, started
from tests.scaledown.test_api import Caller

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider(monkeypatch):
    monkeypatch.setattr("drills.plans.views.read_pool", lambda connection, ids: fresh_pool())


def body(here, **choice):
    return {
        "title": "One node lost",
        "scenario_key": "node_lost",
        "connection": str(here.connection.ref),
        "choice": {
            "objective": "Nobody notices.",
            "kind": "announced",
            "environment": "test",
            "balancer_ids": ["71"],
            "server_ids": ["srv-6"],
            "emergency_plan": "Page 3.",
            "p95_factor": None,
            "not_before": "2026-11-01T00:00:00Z",
            "not_after": "2026-11-01T01:00:00Z",
            **choice,
        },
    }


def test_a_drill_goes_all_the_way(here, provider):
    from django.utils import timezone

    caller = Caller(here.manager)
    now = timezone.now()
    until = now.replace(microsecond=0) + timezone.timedelta(hours=2)
    times = {"not_before": now.isoformat(), "not_after": until.isoformat()}
    made = caller.post(f"/accounts/{here.account.ref}/drills", body(here, **times), status=201)
    assert (made["status"], made["run"], made["result"]) == ("draft", None, "")
    assert made["choice"]["acknowledged_s"] is not None
    ref = made["ref"]
    caller.get(f"/drills/{ref}/run", status=404)
    asked = caller.post(f"/drills/{ref}/submit", {}, status=200)
    assert (asked["status"], asked["checks"]) == ("awaiting_approval", ["alarms_on", "carries_load"])
    drill = Drill.objects.get()
    services.decide(drill, Verdict.APPROVE, actor=here.approver, seen_digest=drill.digest)
    refused = caller.post(f"/drills/{ref}/start", {"digest": drill.digest}, status=422)
    assert "Not attested" in str(refused)
    for check in ("alarms_on", "carries_load"):
        caller.post(f"/drills/{ref}/attestations", {"check_key": check, "says": "words"}, status=200)
    begun = caller.post(f"/drills/{ref}/start", {"digest": drill.digest}, status=201)
    assert begun["run"]
    state = caller.get(f"/drills/{ref}/run")
    assert (state["status"], state["is_disrupted"]) == ("scheduled", False)
    given = caller.post(f"/drills/{ref}/commands", {"name": "stop", "reason": "It hurts."}, status=202)
    assert (given["name"], given["accepted"]) == ("stop", None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "no_such"},
        {"floor": 0},
        {"hold_s": -1},
        {"stop_error_ratio": 7},
        {"server_ids": ["a"] * 50},
        {"error_ratio": "NaN"},
        {"objective": ""},
    ],
)
def test_what_makes_no_sense_is_said(here, wrong):
    Caller(here.manager).post(f"/accounts/{here.account.ref}/drills", body(here, **wrong), status=422)
    assert not Drill.objects.exists()


@pytest.mark.parametrize(
    "ids", [{"balancer_ids": ["../../servers?x"]}, {"server_ids": ["a/b"]}, {"server_ids": [" "]}]
)
def test_what_is_no_id_at_the_provider_is_refused_before_anything_is_asked_there(here, ids):
    said = Caller(here.manager).post(f"/accounts/{here.account.ref}/drills", body(here, **ids), status=422)
    assert "no such id" in str(said) or "may not be blank" in str(said)
    assert not Drill.objects.exists()


def test_a_draft_is_changed_together_with_its_people_or_not_at_all(here):
    caller = Caller(here.manager)
    made = caller.post(f"/accounts/{here.account.ref}/drills", body(here), status=201)
    mine = {**body(here), "title": "Half of it", "observers": [str(here.manager.ref)]}
    answer = caller.ask("put", f"/drills/{made['ref']}", mine, **{"If-Match": "*"})
    assert (answer.status_code, "does not watch it" in str(answer.json())) == (422, True)
    assert Drill.objects.get().title == "One node lost"


@pytest.mark.parametrize(
    "args",
    [
        {"at": "yesterday"},
        {"at": "2026-11-28T10:00:00"},
        {"value_at": "0001-01-01T00:00:00+14:00"},
        {"value_at": "9999-12-31T23:59:59-14:00"},
        {"number": "1"},
        {"number": True},
        {"server": ["srv-6"]},
        {"passed": "services"},
        {"other": 1},
        {"kind": "x" * 200},
    ],
)
def test_arguments_of_another_shape_reach_no_run(here, args):
    held = started(here)
    Caller(here.manager).post(
        f"/drills/{held.drill.ref}/commands", {"name": "mark", "args": args}, status=422
    )
    assert not held.run.commands.exists()


def test_who_watches_stops_it_and_leads_nothing(here):
    held = started(here)
    caller = Caller(here.viewer)
    caller.post(f"/drills/{held.drill.ref}/commands", {"name": "real"}, status=202)
    caller.post(
        f"/drills/{held.drill.ref}/commands", {"name": "step_done", "args": {"number": 1}}, status=403
    )


def test_who_is_named_to_watch_does_not_acknowledge(here):
    held = started(here, observers=[here.viewer])
    address = f"/drills/{held.drill.ref}/commands"
    asked = {"name": "mark", "args": {"kind": "acknowledged"}}
    refused = Caller(here.viewer).post(address, asked, status=403)
    assert refused["type"] == "urn:steady-state:problem:not-permitted"
    Caller(here.viewer).post(address, {"name": "mark", "args": {"kind": "detected"}}, status=202)
    Caller(here.editor).post(address, asked, status=202)
    assert [one.by for one in held.run.commands.order_by("seq")] == [here.viewer, here.editor]


def test_a_draft_is_changed_and_a_frozen_one_is_not(here):
    caller = Caller(here.manager)
    made = caller.post(f"/accounts/{here.account.ref}/drills", body(here), status=201)
    assert caller.get(f"/drills/{made['ref']}")["title"] == "One node lost"
    done = approved(here)
    assert [one["ref"] for one in caller.get(f"/accounts/{here.account.ref}/drills")["results"]] == [
        str(done.ref),
        made["ref"],
    ]
    withdrawn = caller.post(f"/drills/{made['ref']}/withdraw", {"reason": "Not now."}, status=200)
    assert withdrawn["status"] == "voided"
