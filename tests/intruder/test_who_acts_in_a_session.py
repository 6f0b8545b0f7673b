"""What somebody does in a browser is kept under their key: an erasure reaches it, as it does what a program did."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client
from django.utils.functional import SimpleLazyObject

from accounts.cases.models import CaseEntry
from accounts.erasure import erase_person
from portal.audit.models import AuditEntry
from portal.audit.subjects import named, subject_of
from portal.runs.models import JournalEntry
from tests import factories as make

pytestmark = pytest.mark.django_db
NAME = "Zoe Lazyname"


def test_the_user_of_a_session_is_a_person():
    user = make.user(NAME)
    wrapped = SimpleLazyObject(lambda: user)
    assert subject_of(wrapped) == subject_of(user)
    assert NAME not in named(wrapped)


def test_an_erasure_reaches_what_was_done_in_a_session():
    account = make.account()
    make.member(account, "admin")
    zoe = make.member(account, "editor", NAME)
    browser = Client()
    browser.force_login(zoe)
    make.prove(browser, zoe)
    opened = browser.post(
        f"/accounts/{account.ref}/cases/open/",
        {"summary": "It is slow", "text": "Since eight.", "severity": "safe_waiting"},
    )
    assert opened.status_code == 302, opened.content
    added = browser.post(
        f"/api/v1/accounts/{account.ref}/parties",
        {"kind": "agency", "name": "Studio", "email": "studio@x.example"},
        content_type="application/json",
        HTTP_IDEMPOTENCY_KEY=uuid.uuid4().hex,
    )
    assert added.status_code == 201, added.content
    changed = browser.patch(
        "/api/v1/me", {"name": "Zoe Othername"}, content_type="application/json", HTTP_IF_MATCH="*"
    )
    assert changed.status_code in (200, 412, 428), changed.content
    assert (
        browser.patch(f"/api/v1/accounts/{account.ref}", {}, content_type="application/json").status_code
        == 403
    )
    erase_person(zoe, actor=None, reason="asked")
    kept = [
        " ".join(map(str, (row.actor_name, row.subject_label, row.before, row.after, row.reason)))
        for row in AuditEntry.objects.all()
    ]
    assert any("case.opened" in row.what for row in AuditEntry.objects.all())
    kept += [f"{one.by_name} {one.text}" for one in CaseEntry.objects.all()]
    kept += [one.says for one in JournalEntry.objects.all()]
    assert "Lazyname" not in " ".join(kept)
    assert "Othername" not in " ".join(kept)
