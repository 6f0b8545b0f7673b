"""How many queries each page of scale-down costs: stated here, and the same however many rows there are."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from capacity.models import Probe, TrafficEvent
from portal.runs.models import JournalEntry, Run, Standstill
from scaledown.less import Less
from scaledown.lessening import lessen_plan
from scaledown.models import Lesson, Plan, ProtectedServer, ScaleUpRecord
from tests.pages.test_pages import approved, as_, drafted, here, started, url  # noqa: F401

pytestmark = pytest.mark.django_db

# The most that each page may take, as the launch manager. A page that needs more says why in its commit.
MOST = {
    "dashboard": 29,
    "account": 50,
    "palette": 10,
    "plan-list": 13,
    "plan-new": 13,
    "plan-purpose": 13,
    "plan-pool": 33,
    "plan-safety": 10,
    "plan-preview": 12,
    "plan-submit": 13,
    "plan-detail": 13,
    "plan-detail-less": 34,
    "plan-less": 9,
    "plan-void": 9,
    "run-detail": 16,
    "run-charge": 12,
    "run-journal": 10,
    "run-report": 16,
    "run-command": 16,
    "protected": 11,
    "record-list": 12,
    "record-detail": 14,
    "standstill": 14,
    "pool-known": 17,
}


def addresses(here, run: Run, draft: Plan, less: Plan) -> dict[str, str]:  # noqa: F811
    """Every page, by the name that `MOST` has for it."""
    plan = Plan.objects.get(ref=run.plan_ref)
    account = here.account
    found = {
        name: url(name, ref)
        for name, ref in (
            ("plan-list", account),
            ("plan-new", account),
            ("plan-purpose", draft),
            ("plan-pool", draft),
            ("plan-safety", draft),
            ("plan-preview", draft),
            ("plan-submit", draft),
            ("plan-detail", plan),
            ("plan-void", draft),
            ("plan-less", less),
            ("run-detail", run),
            ("run-charge", run),
            ("run-journal", run),
            ("run-report", run),
            ("protected", account),
            ("record-list", account),
            ("record-detail", here.event),
            ("standstill", account),
        )
    }
    return found | {
        "dashboard": "/",
        "account": f"/accounts/{account.ref}/",
        "palette": "/palette?q=black",
        "run-command": url("run-command", run, "abort"),
        "plan-detail-less": url("plan-detail", less),
        "pool-known": f"/connections/{here.connection.ref}/pools/71/",
    }


def costs(browser, pages: dict[str, str]) -> dict[str, int]:
    """Open each page twice and count the second time: what is remembered between requests is remembered."""
    found = {}
    for name, address in pages.items():
        # A run that is overdue is told of on every page, by queries of its own: on a slow machine one of these was.
        Run.objects.filter(next_tick_at__isnull=False).update(next_tick_at=timezone.now())
        browser.get(address)
        with CaptureQueriesContext(connection) as asked:
            answer = browser.get(address)
        assert answer.status_code == 200, (name, answer.status_code)
        found[name] = len(asked)
    return found


def made_less(plan: Plan, here, **asked) -> Plan:  # noqa: F811
    return lessen_plan(plan, actor=here.manager, asked=Less(**asked), seen_digest=plan.digest)


def many(here, run: Run, less: Plan) -> None:  # noqa: F811
    """Add what months of use add."""
    now = timezone.now()
    for n in range(12):
        less = made_less(less, here, soak_s=900.0 + n)
        drafted(here)
        event = TrafficEvent.objects.create(
            account=here.account,
            name=f"Event {n}",
            starts_at=now - timedelta(days=n + 2),
            ends_at=now - timedelta(days=n + 1),
        )
        record = ScaleUpRecord.objects.create(
            account=here.account, event=event, connection=here.connection, recorded_by=here.manager
        )
        record.entries.create(position=1, server_id=f"old-{n}", server_name=f"old-{n}", added_at=now)
        ProtectedServer.objects.create(
            account=here.account,
            connection=here.connection,
            server_id=f"kept-{n}",
            server_name=f"kept-{n}",
            reason="the only one",
            marked_by=here.manager,
        )
        Probe.objects.create(
            account=here.account,
            connection=here.connection,
            balancer_id="71",
            name=f"page {n}",
            url="https://www.example.com/",
        )
        Standstill.objects.create(
            scope=f"account:{here.account.ref}",
            reason="a test",
            by=here.manager,
            lifted_at=now,
            lifted_by=here.lead,
            lift_reason="over",
        )
        Lesson.objects.create(run=run, text="Look first.", written_by=here.manager)
        JournalEntry.objects.create(
            run=run, seq=1000 + n, at=now, kind="note", says=f"line {n}", actor_name="Manager"
        )


def test_every_page_costs_what_is_stated_and_no_more_with_many_rows(here, as_):  # noqa: F811
    run = started(here)
    draft = drafted(here)
    browser = as_(here.manager)
    less = made_less(approved(here), here, target=4)
    pages = addresses(here, run, draft, less)
    assert set(pages) == set(MOST)
    cache.clear()
    few = costs(browser, pages)
    many(here, run, less)
    lots = costs(browser, pages)
    assert {name: (few[name], lots[name]) for name in pages if few[name] != lots[name]} == {}
    assert {name: cost for name, cost in lots.items() if cost > MOST[name]} == {}
