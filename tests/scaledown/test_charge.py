"""Taking charge of a run: by whom, refused to whom, what each side sees, and what waits while nobody has it."""

from __future__ import annotations

import uuid

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.access import permissions_on
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused
from portal.runs import charge
from portal.runs.models import Run
from portal.runs.types import RunStatus
from scaledown.live import live_run
from tests.scaledown.rows import desk, fresh_pool
from tests.scaledown.test_api import Caller
from tests.scaledown.test_services import started

pytestmark = pytest.mark.django_db
OVER = [status for status in RunStatus if status.is_over]


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr("scaledown.api.read_pool", lambda connection, balancer_ids: fresh_pool())
    return desk()


@pytest.fixture
def run(here) -> Run:
    return started(here)


def ended(run: Run, status: RunStatus = RunStatus.COMPLETED) -> Run:
    Run.objects.filter(pk=run.pk).update(status=status, ended_at=timezone.now(), next_tick_at=None)
    run.refresh_from_db()
    return run


def of_nobody(run: Run) -> Run:
    Run.objects.filter(pk=run.pk).update(in_charge=None, status=RunStatus.RUNNING)
    run.refresh_from_db()
    return run


def in_charge_of(run: Run):
    return Run.objects.get(pk=run.pk).in_charge


def path(run: Run) -> str:
    return f"/runs/{run.ref}/charge"


@pytest.mark.parametrize("status", OVER)
def test_of_a_run_that_is_over_nobody_takes_charge(here, run, status):
    with pytest.raises(Refused) as refusal:
        charge.take(ended(run, status), actor=here.lead)
    assert refusal.value.code == "run_over"
    assert in_charge_of(run) == here.manager
    assert not run.journal.filter(kind="in_charge").exists()


@pytest.mark.parametrize("who", ["viewer", "editor", "approver", "admin", "stranger"])
def test_who_may_not_command_a_run_takes_no_charge_of_it(here, run, who):
    with pytest.raises(NotPermitted):
        charge.take(run, actor=getattr(here, who))
    assert in_charge_of(run) == here.manager


@pytest.mark.parametrize(("who", "status"), [("approver", 403), ("admin", 403), ("stranger", 404)])
def test_the_api_refuses_who_may_not(here, run, who, status):
    Caller(getattr(here, who)).post(path(run), status=status)
    assert in_charge_of(run) == here.manager


def test_the_api_says_that_the_run_is_over(here, run):
    answer = Caller(here.lead).post(path(ended(run)), status=422)
    assert answer["type"].endswith("run-over")
    assert answer["detail"] == "The run is over; nobody needs to be in charge of it."


def test_sent_twice_or_under_another_key_it_is_taken_once(here, run):
    lead, key = Caller(here.lead), str(uuid.uuid4())
    answers = [lead.post(path(run), key=k)["in_charge"] for k in (key, key, None)]
    assert answers == ["Lead"] * 3
    assert run.journal.filter(kind="in_charge").count() == 1
    assert AuditEntry.objects.filter(what="run.taken_charge").count() == 1


def test_without_a_key_nothing_is_taken(here, run):
    assert Caller(here.lead).ask("post", path(run)).status_code == 428
    assert in_charge_of(run) == here.manager


@pytest.mark.parametrize("who", ["manager", "viewer", "approver"])
def test_each_side_sees_who_took_it_and_whom_from(here, run, who):
    Caller(here.lead).post(path(run))
    reader = Caller(getattr(here, who))
    assert reader.get(f"/runs/{run.ref}")["in_charge"] == "Lead"
    lines = reader.get(f"/runs/{run.ref}/journal")["results"]
    says = next(line["says"] for line in lines if line["kind"] == "in_charge")
    assert says == (
        "Lead is in charge now (Manager was before)." if who == "manager" else "Lead is in charge now."
    )


def test_the_page_offers_it_only_to_who_may_and_has_not(here, run, client):
    def offers(person):
        client.force_login(person)
        html = client.get(reverse("scaledown:run-detail", args=[run.ref])).content.decode()
        return ">Take charge</button>" in html

    assert [offers(p) for p in (here.lead, here.manager, here.viewer, here.approver)] == [
        True,
        False,
        False,
        False,
    ]
    ended(run)
    assert not offers(here.lead)


def test_the_page_says_why_it_was_not_taken(here, run, client):
    client.force_login(here.lead)
    answer = client.post(reverse("scaledown:run-charge", args=[ended(run).ref]), follow=True)
    assert "The run is over; nobody needs to be in charge of it." in answer.content.decode()
    assert in_charge_of(run) == here.manager


def test_a_run_that_nobody_has_says_so_and_goes_on_once_it_is_taken(here, run):
    of_nobody(run)
    granted = permissions_on(here.lead, here.account)
    assert live_run(run, granted=granted).in_charge is None
    assert charge.waits_for_somebody(run, timezone.now())
    taken = charge.take(run, actor=here.lead)
    assert not charge.waits_for_somebody(taken, timezone.now())
    assert live_run(run, granted=granted).in_charge == "Lead"
    line = taken.journal.get(kind="in_charge")
    assert line.says == "Lead is in charge now."
