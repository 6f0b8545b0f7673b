"""Whom typed words name: erased, they stand nowhere any more but in what people can still edit."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import connection as database
from django.utils import timezone

from accounts.erasure import erase_contact
from accounts.tokens import make_service_token
from portal.access import permissions_on
from portal.audit.models import AuditEntry
from portal.runs import services as runs
from portal.runs.models import JournalEntry, Run, RunCommand, Standstill
from scaledown.models import Lesson, Plan
from scaledown.selectors import plan_page
from tests import factories as make
from tests.scaledown.rows import desk, fresh_pool
from tests.scaledown.test_api import Caller, approved, draft

pytestmark = pytest.mark.django_db
ASK = "Ask Zelda Quibblex about it"
# What people can still edit, or what somebody approved by its digest (docs/decisions/0034).
LEFT = {"accounts_apitoken", "accounts_cloudconnection", "scaledown_plan", "webhooks_endpoint"}


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr("scaledown.api.read_pool", lambda connection, balancer_ids: fresh_pool())
    return desk()


def tables_with(word):
    with database.cursor() as cursor:
        names = database.introspection.table_names(cursor)
        found = set()
        for name in names:
            cursor.execute(f'SELECT EXISTS (SELECT FROM "{name}" t WHERE strpos(t::text, %s) > 0)', [word])
            if cursor.fetchone()[0]:
                found.add(name)
    return found


def shown_reason(here, plan):
    row, seen = Plan.objects.get(ref=plan["ref"]), permissions_on(here.manager, here.account)
    return plan_page(row, viewer=here.manager, granted=seen).status_reason


def test_whom_typed_words_name_is_not_kept_in_the_clear(here):
    contact = make.contact(here.account, "Zelda Quibblex", email="zelda@home.example")
    manager, lead, approver, admin = map(Caller, (here.manager, here.lead, here.approver, here.admin))
    base = f"/accounts/{here.account.ref}"

    # Stopped, and let go on: the account and its whole team.
    for scope in ("account", "team"):
        put = manager.post(f"{base}/standstills", {"scope": scope, "reason": ASK}, status=201)
        assert put["reason"] == ASK
        lifted = lead.post(f"/standstills/{put['ref']}/lift", {"reason": f"{ASK} again"})
        assert lifted["lift_reason"] == f"{ASK} again"

    # A plan turned down, one withdrawn, one made less and run, with a command and a lesson.
    turned_down = draft(manager, here)
    manager.post(f"/plans/{turned_down['ref']}/submit", {"reason": ASK})
    seen = approver.get(f"/plans/{turned_down['ref']}")
    approver.post(f"/plans/{turned_down['ref']}/reject", {"digest": seen["digest"], "reason": ASK})
    assert shown_reason(here, turned_down) == ASK
    asked = approver.get("/approvals")["results"][0]
    assert (asked["closed_reason"], {one["reason"] for one in asked["decisions"]}) == (ASK, {ASK})
    plan = approved(here)
    plan = manager.post(
        f"/plans/{plan['ref']}/less", {"digest": plan["digest"], "soak_s": 900, "reason": ASK}
    )
    assert [step["reason"] for step in plan["less"]] == [ASK]
    withdrawn = draft(manager, here)
    manager.post(f"/plans/{withdrawn['ref']}/submit", {})
    manager.post(f"/plans/{withdrawn['ref']}/void", {"reason": ASK})
    run = manager.post(
        f"/plans/{plan['ref']}/runs", {"status": "approved", "digest": plan["digest"]}, status=201
    )
    row = Run.objects.get(ref=run["ref"])
    given = runs.give_command(row, "pause", actor=here.manager, reason=ASK)
    assert given.reason == ASK
    stopped = manager.post(f"{base}/standstills", {"scope": "account", "reason": ASK}, status=201)
    lead.post(f"/standstills/{stopped['ref']}/lift", {"reason": ASK})
    told = manager.post(f"/runs/{run['ref']}/lessons", {"text": ASK}, status=201)
    assert [one["text"] for one in told["lessons"]] == [ASK]
    assert ASK in " ".join(one.says for one in JournalEntry.objects.filter(run=row))
    assert ASK in str(manager.get(f"/runs/{run['ref']}/commands"))

    # What is titled as people like.
    hook = admin.post(
        f"{base}/webhooks",
        {"url": "https://hooks.shop.example/in", "description": "For Zelda Quibblex"},
        status=201,
    )
    make_service_token(
        here.account,
        actor=here.admin,
        name="Token of Zelda Quibblex",
        role="viewer",
        scopes=["contacts:read"],
        expires_at=timezone.now() + timedelta(days=9),
    )
    renamed = lead.ask("patch", f"/connections/{here.connection.ref}", {"name": ASK}, **{"If-Match": "*"})
    assert renamed.status_code == 200, renamed.content
    assert hook["description"] == "For Zelda Quibblex"
    titled = manager.post(
        f"{base}/plans",
        {
            "title": ASK,
            "connection": str(here.connection.ref),
            "choice": {"balancer_ids": ["71"], "reason": ASK},
        },
        status=201,
    )
    assert Plan.objects.get(ref=titled["ref"]).title == ASK

    for what in ("standstill.put", "standstill.lifted", "lesson.written", "webhook.added", "token.made"):
        entries = AuditEntry.objects.filter(what=what)
        assert any("Zelda Quibblex" in f"{one.subject_label} {one.after}" for one in entries), what
    erase_contact(here.account, contact.ref, actor=here.admin, reason="asked")

    kept = [
        one
        for one in AuditEntry.objects.sealed()
        if "Quibblex" in f"{one.subject_label} {one.reason} {one.before} {one.after}"
    ]
    assert [one.what for one in kept] == []
    assert tables_with("Quibblex") == LEFT
    assert {one.text for one in Lesson.objects.all()} == {
        f"Ask erased person {contact.ref.hex[:4].upper()} about it"
    }
    assert not Plan.objects.exclude(ref=titled["ref"]).filter(status_reason__contains="Quibblex").exists()
    assert "erased person" in Standstill.objects.first().reason
    assert "erased person" in RunCommand.objects.get().reason
    assert "erased person" in shown_reason(here, turned_down)


def test_the_words_of_the_whole_portals_standstill_are_kept_as_a_teams_are(here):
    contact = make.contact(here.account, "Zelda Quibblex")
    put = runs.put_standstill("all", reason=ASK, actor=here.lead)
    assert "Quibblex" not in Standstill.objects.sealed().get(pk=put.pk).reason
    assert Standstill.objects.get(pk=put.pk).reason == ASK
    erase_contact(here.account, contact.ref, actor=here.admin, reason=str(uuid.uuid4()))
    assert "erased person" in Standstill.objects.get(pk=put.pk).reason
