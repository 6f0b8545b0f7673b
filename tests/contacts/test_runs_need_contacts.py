"""A plan that asks for somebody to call begins only while there is somebody, or a lead says why not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.contacts.coverage_services import give_override
from accounts.models import Contact
from portal.errors import Refused
from portal.runs import registry
from portal.runs.models import Run
from scaledown import services
from scaledown.canonical import digest
from scaledown.models import PlanStatus
from tests import factories as make
from tests.pages.test_pages import approved, drafted, url
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


def test_it_is_asked_for_in_the_step_about_safety(here):
    browser = Client()
    browser.force_login(here.manager)
    shown = browser.get(url("plan-safety", drafted(here))).content.decode()
    assert "Begins only while there is somebody to call" in shown
