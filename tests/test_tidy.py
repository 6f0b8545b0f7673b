"""What is tidied once a minute."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from portal import celery
from portal.approvals.models import ApprovalRequest
from portal.models import IdempotentAnswer
from portal.tasks import tidy
from tests import factories as make


@pytest.mark.django_db
def test_expired_approvals_are_marked_and_old_answers_forgotten():
    account, now = make.account(), timezone.now()
    author = make.member(account, "editor")
    make.approval(account, author, expires_at=now - timedelta(seconds=1))
    make.approval(account, author, expires_at=now + timedelta(hours=1))
    for key in ("old", "fresh"):
        IdempotentAnswer.objects.create(actor="a", method="POST", path="/", key=key, body_digest="x")
    IdempotentAnswer.objects.filter(key="old").update(at=now - timedelta(hours=25))
    tidy()
    assert sorted(ApprovalRequest.objects.values_list("status", flat=True)) == ["expired", "open"]
    assert list(IdempotentAnswer.objects.values_list("key", flat=True)) == ["fresh"]


def test_beat_knows_both_the_sweep_and_the_tidying():
    celery.app.finalize()
    assert celery.app.conf.beat_schedule["portal-tidy"]["task"] == "portal.tasks.tidy"
    assert "runs-sweep" in celery.app.conf.beat_schedule
