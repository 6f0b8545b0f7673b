"""What the dashboard tells an operator, and only an operator."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from portal.installation import troubled_mail
from portal.notify.models import MailState, Message
from tests import factories as make

pytestmark = pytest.mark.django_db


def _mail(user, state, **fields):
    now = timezone.now()
    number = Message.objects.count()
    return Message.objects.create(
        purpose="approval_asked",
        kind="reminder",
        urgency="normal",
        recipient_key=f"user:{user.pk}",
        user=user,
        subject_ref=f"plan:{number}",
        message_id=f"{number}@portal.example",
        title="Please decide",
        created_at=fields.pop("created_at", now),
        mail_state=state,
        **fields,
    )


def _dashboard(user) -> str:
    browser = Client()
    browser.force_login(user)
    return browser.get("/").content.decode()


def test_an_operator_sees_each_part_of_the_installation():
    shown = _dashboard(make.user(is_operator=True))
    for said in (
        "PostgreSQL answers.",
        "Redis answers.",
        "The audit is sealed.",
        "Everything was delivered.",
    ):
        assert said in shown


def test_nobody_else_does():
    assert "PostgreSQL answers." not in _dashboard(make.user())
    assert "PostgreSQL answers." not in _dashboard(make.member(make.account(), "admin"))


def test_a_part_that_is_not_well_is_said(monkeypatch):
    monkeypatch.setattr("portal.health.sealer.unsealed_for_s", lambda: 240.0)
    shown = _dashboard(make.user(is_operator=True))
    assert "The audit has been unsealed for 240 s. Is beat running?" in shown
    assert "not well" in shown


def test_mail_that_an_operator_should_look_at_is_counted(django_assert_num_queries):
    user, now = make.user(), timezone.now()
    _mail(user, MailState.SENT)
    # waits for the morning
    _mail(user, MailState.QUEUED, due_at=now + timedelta(hours=8))
    _mail(user, MailState.FAILED, created_at=now - timedelta(days=8))
    with django_assert_num_queries(1):
        assert troubled_mail() == []
    _mail(user, MailState.QUEUED, due_at=now - timedelta(hours=1))
    _mail(user, MailState.FAILED)
    _mail(user, MailState.FAILED)
    _mail(user, MailState.UNKNOWN)
    assert troubled_mail() == [
        "1 should have been sent by now",
        "2 could not be delivered",
        "1 may not have been sent",
    ]
    assert "2 could not be delivered" in _dashboard(make.user(is_operator=True))
