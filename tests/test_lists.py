"""Every list of the portal is paged and costs the same few queries for ten rows and for a thousand.

The addresses are found, not listed: a new GET address is visited here by itself. Every kind of row that there is in the
matrix's world is copied ten, sixty and a thousand times; no page may grow beyond a page of them.
"""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, models, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import resolve
from django.utils import timezone

from accounts.cases.models import CaseAttachment
from accounts.models import Account, ApiToken, CloudConnection, Contact
from accounts.reviews.models import ReviewItem
from portal.audit.models import AuditEntry
from portal.audit.subjects import named
from portal.runs.models import JournalEntry, Run
from scaledown.models import Plan
from tests import factories as make
from tests.access_table import ROWS
from tests.test_access_matrix import ROUTES, world  # noqa: F401 - the fixture

pytestmark = pytest.mark.django_db

# Besides the two of the session.
MOST = 4
# Pages that show several lists, each of a table of its own: none of the queries can be spared by asking better.
MORE = {
    # the account; a page of its plans with their runs; the live runs, and their servers; alarms and notices
    "scaledown:plan-list": 5,
    # the account; a page of versions with what came since; the pools; alarms and notices
    "capacity:baseline-list": 5,
    # the account; a page of events; their servers; prices, and which size a pool has; alarms and notices
    "scaledown:costs": 6,
    "api-event-costs": 5,
    # factors, tokens, organizations, activity; alarms and notices
    "me": 5,
    # the account, its members, the team, a page of invitations, its service tokens; alarms and notices
    "accounts:access": 6,
}
OF_SEALED_TEXTS = 'FROM "audit_subjectkey"'
# What keeps the session itself comes once in a while, whatever the page shows.
OF_THE_SESSION = ("SAVEPOINT", "RELEASE", "UPDATE", "INSERT")
WHO = "lead"
OURS = ("accounts", "capacity", "scaledown", "drills", "runs", "approvals", "audit", "notify")
# Not copied: who may do what would change with them, or they are not rows of a list.
NOT_COPIED = {"membership", "teammembership", "user", "team", "loginthrottle", "auditseal", "auditunsealed"}
# Of these there is a handful, and pages show them all: ten are enough here. An account's connections; the items of a
# review, which its template has; what was frozen with a case, by a few who know something.
CHOICES = {CloudConnection, ReviewItem, CaseAttachment}
# What has an end, though it is more than a page: how many rows at most. A form's choices, a whole list to confirm, a thread
# and weeks that are read in one piece.
ENDS_AT = {
    "accounts:contact-confirm-list": 200,
    "accounts:case-detail": 200,
    "accounts:case-order": 100,
    "accounts:review-begin": 100,
    "accounts:review-change": 100,
    # Each of fifty stands on every day that it lasts.
    "accounts:calendar": 150,
    "accounts:calendar-feeds": 200,
    "api-calendar": 500,
}
MUST_BE_COPIED = {Account, ApiToken, AuditEntry, Contact, JournalEntry, Plan, Run}


def unique_fields(model):
    names = {
        field.name for field in model._meta.local_concrete_fields if field.unique and not field.primary_key
    }
    for constraint in model._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint):
            names |= set(constraint.fields)
    return names


def copies_of(row, count, beginning):
    """`count` new rows like this one, told apart where the model wants them to be."""
    unique = unique_fields(type(row))
    for number in range(beginning, beginning + count):
        copy = type(row)()
        for field in row._meta.local_concrete_fields:
            value = getattr(row, field.attname)
            if field.primary_key:
                continue
            if isinstance(field, models.UUIDField) and (field.name == "ref" or field.name in unique):
                value = uuid.uuid4()
            elif field.name in unique and isinstance(field, models.CharField):
                value = f"{number:08}{uuid.uuid4().hex}{'0' * 24}"[: min(field.max_length or 64, 64)]
            elif field.name in unique and isinstance(field, models.IntegerField):
                value = 100_000 + number
            elif field.name == "next_tick_at" and value is not None:
                value = timezone.now() + timedelta(hours=1)
            setattr(copy, field.attname, value)
        yield copy


def fill(count, beginning):
    """Copy what there is; returns the models that could be."""
    done = set()
    for model in apps.get_models():
        if model._meta.app_label not in OURS or model._meta.model_name in NOT_COPIED:
            continue
        row = model._default_manager.order_by("pk").first()
        if row is None or (model in CHOICES and beginning):
            continue
        try:
            with transaction.atomic():
                model._default_manager.bulk_create(list(copies_of(row, count, beginning)))
        except (DatabaseError, ValueError):
            continue
        done.add(model)
    return done


def lists_of(world):  # noqa: F811
    """Every GET address with the references of the world's own rows."""
    for name, method, refs in ROUTES:
        row = ROWS[name, method]
        if method == "GET" and WHO in row.may and row.kind in {"account", "list", "personal"}:
            yield name, world.url(name, refs)


def visit(world, urls):  # noqa: F811
    found = {}
    browser = world.client(WHO)
    for name, url in urls:
        with CaptureQueriesContext(connection) as seen:
            answer = browser.get(url)
        if answer.status_code == 200 and not answer.streaming:
            queries = [
                one["sql"]
                for one in seen
                if not one["sql"].startswith(OF_THE_SESSION) and '"usersessions' not in one["sql"]
            ]
            found[name] = (len(queries), answer.content, queries)
    return found


def is_list(content):
    if b'rel="next"' in content:
        return True
    try:
        return "results" in json.loads(content)
    except (ValueError, TypeError):
        return False


def test_no_list_grows_with_its_rows_and_each_needs_at_most_four_queries(world):  # noqa: F811
    urls = list(lists_of(world))
    person = world.people[WHO]
    make.token(person)
    AuditEntry.objects.create(
        what="contact.changed",
        account_ref=world.account.ref,
        actor_ref=str(person.ref),
        actor_name=named(person),
    )
    Run.objects.filter(next_tick_at__lt=timezone.now()).update(
        next_tick_at=timezone.now() + timedelta(hours=1)
    )
    visit(world, urls)
    run = Run.objects.order_by("pk").first()
    JournalEntry.objects.create(
        run=run, seq=1, at=timezone.now(), kind="note", says=f"{named(person)} began.", token=1
    )
    missing = MUST_BE_COPIED - fill(10, 0)
    assert not missing
    ten = visit(world, urls)
    fill(50, 10)
    sixty = visit(world, urls)
    fill(940, 60)
    thousand = visit(world, urls)
    lists = {name for name in thousand if is_list(thousand[name][1])}
    assert len(lists) >= 12
    assert {
        "accounts:account-list",
        "accounts:contact-list",
        "accounts:activity",
        "api-accounts",
        "api-contacts",
    } <= lists
    # The keys of the people whom sealed texts name cost one query, which is counted like any other.
    assert any(OF_SEALED_TEXTS in sql for sql in thousand["api-run-journal"][2])
    wrong = []
    for name, (queries, content, sqls) in thousand.items():
        if name not in ten or name not in sixty:
            continue
        if queries > ten[name][0]:
            said = f"{name}: {ten[name][0]} queries for ten rows, {queries} for a thousand:\n"
            wrong.append(said + "\n".join(sqls))
        grows = ENDS_AT.get(name, 60) / 60
        if len(content) > (1.5 if grows == 1 else 1.1 * grows) * len(sixty[name][1]) + 2_000:
            wrong.append(f"{name}: {len(sixty[name][1])} bytes for sixty rows, {len(content)} for a thousand")
        if name in lists and queries - 2 > MORE.get(name, MOST):
            wrong.append(f"{name}: {queries - 2} queries besides the session's:\n" + "\n".join(sqls))
    assert not wrong, "\n".join(wrong)


def test_plans_and_runs_are_found_by_title_and_ordered_both_ways(world):  # noqa: F811
    list(lists_of(world))  # makes a plan and a run
    plan = Plan.objects.order_by("pk").first()
    Plan.objects.bulk_create(copies_of(plan, 3, 0))
    for number, row in enumerate(Plan.objects.order_by("pk")):
        Plan.objects.filter(pk=row.pk).update(title=f"Plan {number}")
    browser = world.client(WHO)
    url = f"/api/v1/accounts/{plan.account.ref}/plans"

    def titles(**params):
        answer = browser.get(url, params)
        assert answer.status_code == 200, answer.content
        return [row["title"] for row in answer.json()["results"]]

    count = Plan.objects.filter(account=plan.account).count()
    assert titles(order="created_at") == [f"Plan {number}" for number in range(count)]
    assert titles() == titles(order="-created_at") == list(reversed(titles(order="created_at")))
    assert titles(q="pLAN 2") == ["Plan 2"]
    wrong = (({"order": "digest"}, "bad-order", 400), ({"status": "sold"}, "bad-filter", 422))
    for params, code, status in wrong:
        for address in (url, "/api/v1/runs"):
            answer = browser.get(address, params)
            assert answer.status_code == status
            assert answer.json()["type"].endswith(code)


def test_every_list_of_the_api_refuses_what_it_does_not_know_and_names_what_it_does(world):  # noqa: F811
    browser = world.client(WHO)
    lists, wrong = 0, []
    for name, url in lists_of(world):
        # A stream is no list, and what it takes stands in its header.
        if not name.startswith("api-") or name == "api-run-events":
            continue
        known = getattr(resolve(url).func.cls.get, "known_parameters", None)
        if known is None:
            wrong.append(f"{name}: says nothing of its parameters")
            continue
        lists += "cursor" in known
        assert browser.get(f"{url}?fields=ref&fields=name").status_code == 400, name
        for asked in ("ordering=name", "expand=nothing", "nonsense=1"):
            answer = browser.get(f"{url}?{asked}")
            if answer.status_code != 400 or not all(f"`{one}`" in answer.json()["detail"] for one in known):
                wrong.append(f"{name}?{asked}: {answer.status_code}")
        if "order" in known:
            answer = browser.get(f"{url}?order=nonsense")
            if answer.status_code != 400 or not answer.json()["type"].endswith("bad-order"):
                wrong.append(f"{name}?order=nonsense: {answer.status_code}")
    assert not wrong, "\n".join(wrong)
    assert lists >= 30
