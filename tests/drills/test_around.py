"""Drills in the calendar, and in a team's quarter."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Account
from drills.plans import around, services
from drills.plans.ladder import Held
from drills.plans.models import HeldDrill
from drills.scenarios.types import DrillKind, Environment
from tests.drills.rows import approved, draft, started, submitted

pytestmark = pytest.mark.django_db


def items(here, days=1):
    now = timezone.now()
    return around.coming(Account.objects.filter(pk=here.account.pk), now, now + timedelta(days=days))


def test_what_is_approved_or_waits_for_it_stands_in_the_calendar(here):
    draft(here)
    assert items(here) == []
    waits, stands = submitted(here), approved(here)
    assert {one.uid for one in items(here)} == {f"drill-{waits.ref}", f"drill-{stands.ref}"}
    assert not any(one.is_team_only for one in items(here))
    services.withdraw(waits, actor=here.manager, reason="Not now.")
    assert [one.uid for one in items(here)] == [f"drill-{stands.ref}"]


def test_an_unannounced_drill_is_in_no_calendar_of_who_reacts(here, monkeypatch):
    passed = [Held(DrillKind.ANNOUNCED, Environment.TEST, "drill_met")]
    monkeypatch.setattr(services, "held_before", lambda account, key: passed)
    submitted(here, kind=DrillKind.UNANNOUNCED)
    (one,) = items(here)
    assert one.is_team_only


def test_the_quarter_counts_what_was_held(here):
    held = started(here)
    now = timezone.now()
    HeldDrill.objects.filter(pk=held.pk).update(began_at=now, ended_at=now, result="drill_met")
    shown = around.quarter(here.account.team, now - timedelta(days=1), now + timedelta(days=1))
    assert [(one.label, one.value) for one in shown.figures[:2]] == [
        ("Drills held", 1),
        ("of which met their hypothesis", 1),
    ]
    before = around.quarter(here.account.team, now - timedelta(days=9), now - timedelta(days=8))
    assert before.figures[0].value == 0
