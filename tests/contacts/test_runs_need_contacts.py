"""A plan that asks for somebody to call begins only while there is somebody, or a lead says why not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.contacts.coverage_services import give_override
from accounts.contacts.selectors import can_begin, coverage_seen
from accounts.models import Contact
from portal.access import permissions_on
from portal.audit.models import AuditEntry
from portal.errors import Refused
from portal.runs import charge, registry
from portal.runs.models import Run
from portal.runs.types import RunStatus
from scaledown import driver, live, services
from scaledown.canonical import digest
from scaledown.models import PlanStatus
from tests import factories as make
from tests.pages.test_pages import approved, drafted, url
from tests.scaledown.machine_cases import Desk as Machine
from tests.scaledown.rows import desk

pytestmark = pytest.mark.django_db


@pytest.fixture
def here():
    if registry.registered(services.KIND) is None:
        registry.register_kind(services.KIND, lambda: None)
    return desk()


def start(plan, actor):
    return services.start_run(plan, actor=actor, seen_digest=plan.digest)


def proven(account, **fields):
    return make.proven(make.contact(account, hours="around_the_clock", **fields))


def test_it_does_not_begin_while_nobody_could_be_called(here):
    plan = approved(here, needs_contacts=True)
    with pytest.raises(Refused, match="only while there is somebody to call") as refused:
        start(plan, here.manager)
    assert refused.value.code == "nobody_to_call"
    plan.refresh_from_db()
    assert (plan.status, Run.objects.count()) == (PlanStatus.APPROVED, 0)


def test_it_begins_once_a_primary_and_a_backup_are_proven(here):
    Contact.objects.filter(account=here.account).delete()
    proven(here.account, name="Maja", roles=["primary"])
    plan = approved(here, needs_contacts=True)
    with pytest.raises(Refused):
        start(plan, here.manager)
    proven(here.account, name="Astrid", email="a@x.example", phone="+46701234560", roles=["technical"])
    assert start(plan, here.manager).pk


def test_one_proven_person_behind_an_unproven_primary_is_not_two(here):
    Contact.objects.filter(account=here.account).delete()
    make.contact(here.account, name="Ada", roles=["primary"], hours="around_the_clock", escalation_order=2)
    maja = {"name": "Maja", "email": "m@x.example", "phone": "+46701234560", "roles": ["primary"]}
    proven(here.account, **maja, escalation_order=3)
    plan = approved(here, needs_contacts=True)
    with pytest.raises(Refused, match="backup contact proven"):
        start(plan, here.manager)
    now = timezone.now()
    seen = coverage_seen(here.account, now)
    assert (seen["may_begin"], [gap.code for gap in seen["begin_gaps"]]) == (False, ["unproven_backup"])
    assert [gap.code for gap in can_begin(here.account, now).gaps] == ["unproven_backup"]


def test_a_lead_lets_it_begin_with_a_reason(here):
    plan = approved(here, needs_contacts=True)
    lead = make.launch_manager(here.account.team, "Lea Lead", role="lead")
    give_override(
        here.account,
        reason="The customer sits beside me.",
        expires_at=timezone.now() + timedelta(hours=4),
        actor=lead,
    )
    assert start(plan, here.manager).pk


def test_a_plan_that_does_not_ask_begins_as_before_and_what_was_approved_is_the_same(here):
    plan = approved(here)
    assert digest(services.data_of(plan)) == plan.digest
    assert "needs_contacts" not in plan.data
    assert start(plan, here.manager).pk


def resting(here, status="paused", **changes):
    """A run of a plan that asks for somebody, begun while two could be called, at rest while nobody can."""
    for name, role, number in (("Maja", "primary", "1"), ("Astrid", "technical", "2")):
        proven(
            here.account, name=name, email=f"{number}@x.example", phone=f"+4670123456{number}", roles=[role]
        )
    run = start(approved(here, needs_contacts=True), here.manager)
    Contact.objects.filter(account=here.account).delete()
    Run.objects.filter(pk=run.pk).update(status=status, **changes)
    run.refresh_from_db()
    return run


def resume(run, actor, **more):
    return services.command(run, "resume", actor=actor, **more)


def shown_by(run, actor):
    return live.live_run(run, granted=permissions_on(actor, run.account))


@pytest.mark.parametrize("name", ["resume", "go_on", "wait"])
def test_it_does_not_go_on_while_nobody_could_be_called(here, name, monkeypatch):
    run = resting(here)
    monkeypatch.setattr(services.offers, "refusal", lambda *args: None)
    with pytest.raises(Refused, match="goes on only while there is somebody to call") as refused:
        services.command(run, name, actor=here.manager, reason="It is late.")
    assert refused.value.code == "nobody_to_call"
    assert not run.commands.exists()


def test_it_goes_on_once_somebody_can_be_called_and_not_before_it_is_offered(here):
    run = resting(here)
    live = shown_by(run, here.manager)
    assert "resume" not in [offer.name for offer in live.offers]
    assert "somebody to call" in live.cannot_go_on
    for name, role in (("Maja", "primary"), ("Astrid", "technical")):
        proven(here.account, name=name, email=f"{name}@x.example", phone="+46701234567", roles=[role])
    live = shown_by(run, here.manager)
    assert ("resume" in [offer.name for offer in live.offers], live.cannot_go_on) == (True, "")
    assert resume(run, here.manager).pk


def test_a_lead_lets_it_go_on_as_at_the_start(here):
    run = resting(here)
    lead = make.launch_manager(here.account.team, "Lea Lead", role="lead")
    give_override(
        here.account,
        reason="The customer sits beside me.",
        expires_at=timezone.now() + timedelta(hours=4),
        actor=lead,
    )
    assert resume(run, here.manager).pk
    assert AuditEntry.objects.filter(what="coverage.overridden").exists()


def test_the_worker_refuses_what_was_commanded_before_somebody_was_lost(here):
    run = resting(here)
    assert "somebody to call" in driver.facts(run)["nobody_to_call"]
    Run.objects.filter(pk=run.pk).update(status="running", progress={**run.progress, "preflight_due": False})
    run.refresh_from_db()
    # A run in full swing is let be.
    assert "nobody_to_call" not in driver.facts(run)


def test_taking_charge_of_a_run_that_waits_for_it_asks_too(here):
    run = resting(here, "running", in_charge=None)
    with pytest.raises(Refused, match="goes on only while there is somebody to call"):
        charge.take(run, actor=here.manager)
    assert "somebody to call" in shown_by(run, here.manager).cannot_take_charge
    # One that rests does not go on by it: somebody can take charge, and is asked at the resume.
    Run.objects.filter(pk=run.pk).update(status="paused")
    run.refresh_from_db()
    assert charge.take(run, actor=here.manager).in_charge == here.manager


def test_the_page_shows_the_resume_that_would_be_refused_with_its_reason(here):
    run = resting(here)
    browser = Client()
    browser.force_login(here.manager)
    shown = browser.get(url("run-detail", run)).content.decode()
    assert "goes on only while there is somebody to call" in shown
    assert "/commands/resume/?" not in shown


def test_a_run_that_waits_for_its_window_does_not_begin_either():
    machine = Machine()
    machine.nobody_to_call = "There is nobody to call."
    machine.look()
    assert (machine.status, machine.progress.waiting.code) == (RunStatus.SCHEDULED, "nobody_to_call")
    machine.nobody_to_call = ""
    machine.look()
    assert machine.status is RunStatus.RUNNING


def test_the_start_that_would_be_refused_is_shown_with_its_reason_and_the_way_to_what_is_missing(here):
    plan = approved(here, needs_contacts=True)
    browser = Client()
    browser.force_login(here.manager)
    shown = browser.get(url("plan-detail", plan)).content.decode()
    assert "begins only while there is somebody to call" in shown
    assert url("plan-start", plan) not in shown
    shown = browser.get(url("plan-start", plan)).content.decode()
    assert f"/accounts/{here.account.ref}/coverage/" in shown
    assert "Take out and delete" not in shown
    proven(here.account, name="Maja", email="m@x.example", phone="+46701234561", roles=["primary"])
    proven(here.account, name="Astrid", email="a@x.example", phone="+46701234562", roles=["technical"])
    assert url("plan-start", plan) in browser.get(url("plan-detail", plan)).content.decode()


def test_it_is_asked_for_in_the_step_about_safety(here):
    browser = Client()
    browser.force_login(here.manager)
    shown = browser.get(url("plan-safety", drafted(here))).content.decode()
    assert "Begins only while there is somebody to call" in shown
