"""What events cost, and the way from a pool's size to a plan that is filled in."""

from __future__ import annotations

import csv
import io
import re
import uuid
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from asgiref.sync import async_to_sync
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from capacity.metrics.models import Metric
from capacity.reports.models import DetectedEvent, ServerPrice, SizedPool
from capacity.reports.views import plan_url_of
from capacity.sizing import Cost, Lasts, Runway
from portal.runs.models import Run
from scaledown import costs
from scaledown.models import Plan, Retirement, ScaleUpRecord
from scaledown.panels import plan_url
from scaledown.services import choice_of
from tests import factories as make
from tests.scaledown.test_api import Caller

pytestmark = pytest.mark.django_db


@pytest.fixture
def record():
    """Three servers were added a hundred hours ago."""
    account = make.account()
    event = make.event(account)
    now = timezone.now()
    connection = make.connection(account)
    made = ScaleUpRecord.objects.create(account=account, event=event, connection=connection)
    for position in (1, 2, 3):
        made.entries.create(
            position=position,
            server_id=f"s{position}",
            server_name=f"web-{position}",
            added_at=now - timedelta(hours=100),
        )
    return made


def delete_first(record, *, is_rehearsal=False):
    """A run deleted the first server forty hours ago."""
    run = Run.objects.create(
        account=record.account,
        kind="scaledown",
        title="Back to three",
        plan_ref=uuid.uuid4(),
        plan={},
        is_rehearsal=is_rehearsal,
        digest="a" * 64,
        created_by=make.launch_manager(record.account.team),
        next_tick_at=timezone.now(),
        status="running",
    )
    Retirement.objects.create(
        run=run,
        position=1,
        server_id="s1",
        server_name="web-1",
        phase="retired",
        phase_since=timezone.now() - timedelta(hours=40),
    )


def price(record, flavor="general1-4", an_hour="0.5") -> ServerPrice:
    return ServerPrice.objects.create(
        account=record.account, flavor=flavor, an_hour=Decimal(an_hour), currency="EUR", at=timezone.now()
    )


def cost(record):
    (found,) = costs.costs_of(record.account, [record], timezone.now())
    return found


def test_servers_cost_from_creation_to_deletion_and_those_that_are_there_until_now(record):
    delete_first(record)
    price(record)
    found = cost(record)
    assert (found.servers, found.left) == (3, 2)
    assert found.total.server_hours == pytest.approx(Decimal(60 + 100 + 100), abs=1)
    assert found.total.money == pytest.approx(Decimal(130), abs=1)
    assert found.total.currency == "EUR"


def test_without_a_price_hours_are_told_and_which_of_two_sizes_it_was_is_not_guessed(record):
    assert cost(record).total.money is None
    price(record)
    price(record, flavor="general1-8", an_hour="1")
    assert cost(record).total.money is None
    SizedPool.objects.create(
        account=record.account,
        connection=record.connection,
        balancer_id="71",
        name="web",
        flavor="general1-8",
    )
    assert cost(record).total.money == pytest.approx(Decimal(300), abs=1)


def test_a_rehearsal_deletes_nothing(record):
    delete_first(record, is_rehearsal=True)
    assert cost(record).left == 3


def test_page_file_and_api_tell_the_same(record):
    delete_first(record)
    price(record)
    browser = Client()
    browser.force_login(make.member(record.account, "viewer"))
    page = browser.get(reverse("scaledown:costs", args=[record.account.ref])).content.decode()
    assert record.event.name in page
    assert "EUR" in page
    answer = browser.get(reverse("scaledown:cost-csv", args=[record.account.ref]))

    async def whole():
        return b"".join([part async for part in answer.streaming_content])

    rows = list(csv.DictReader(io.StringIO(async_to_sync(whole)().decode())))
    assert [row["server"] for row in rows] == ["web-1", "web-2", "web-3"]
    assert [bool(row["deleted at"]) for row in rows] == [True, False, False]
    caller = make.bearer(make.token(make.member(record.account, "viewer")))
    (told,) = Client().get(reverse("api-event-costs", args=[record.account.ref]), **caller).json()["results"]
    assert (told["servers"], told["left"], told["currency"]) == (3, 2, "EUR")
    total = sum(Decimal(row["server-hours"]) for row in rows)
    assert Decimal(told["server_hours"]) == pytest.approx(total, abs=Decimal("0.1"))


# --- from a size to a plan ---------------------------------------------------------------------------------------


def test_a_plan_that_comes_from_a_size_is_filled_in_and_keeps_it():
    account = make.account()
    connection = make.connection(account)
    browser = Client()
    browser.force_login(make.member(account, "editor"))
    address = plan_url(account, str(connection.ref), "71", 4, "Sizing: 4 for the usual peak.")
    page = browser.get(address).content.decode()
    assert "Down to 4 servers" in page
    assert "down to 4 servers" in page
    asked = {
        "title": "Down to 4",
        "connection": str(connection.ref),
        "event": "",
        "reason": "",
        "pool": "71",
        "target": "4",
        "because": "Sizing: 4 for the usual peak.",
        "connection_of_pool": str(connection.ref),
    }
    assert browser.post(address.split("?")[0], asked).status_code == 302
    choice = choice_of(Plan.objects.get())
    assert (choice.balancer_ids, choice.target) == (("71",), 4)
    assert choice.target_reason == "Sizing: 4 for the usual peak."


@pytest.mark.parametrize(
    "wrong", [{"target": "0"}, {"target": "four"}, {"pool": "../x"}, {"target": "99999"}]
)
def test_what_does_not_fit_fills_in_nothing(wrong):
    account = make.account()
    connection = make.connection(account)
    browser = Client()
    browser.force_login(make.member(account, "editor"))
    asked = {"connection": str(connection.ref), "pool": "71", "target": "4", **wrong}
    page = browser.get(reverse("scaledown:plan-new", args=[account.ref]), asked)
    assert page.status_code == 200
    assert "Down to" not in page.content.decode()


def test_the_button_stands_where_something_is_more_than_needed():
    account = make.account()
    connection = make.connection(account)
    pool = SizedPool(account=account, connection=connection, balancer_id="71", name="web", servers=6)

    class Found:
        sizing = SimpleNamespace(
            surplus=2,
            needed_now=4,
            needed_peak=3,
            saving=Cost(Decimal(1)),
            asks_for_more=None,
            kept_for_host=0,
            lasts_without=Runway(Lasts.UNKNOWN),
        )

    Found.pool = pool
    assert "target=4&because=Sizing" in plan_url_of(Found)
    Found.sizing.kept_for_host = 1
    assert "1+more+by+load%2C+kept+for+the+loss" in plan_url_of(Found)
    Found.sizing.surplus = 0
    assert plan_url_of(Found) == ""


def test_a_detected_event_says_how_many_servers_were_added_for_it(record):
    account = record.account
    manager = make.launch_manager(account.team)
    metric = Metric.objects.create(account=account, name="requests_per_s")
    begins = timezone.now() - timedelta(hours=100)

    def detected(days: int, event=None) -> DetectedEvent:
        return DetectedEvent.objects.create(
            account=account,
            metric=metric,
            event=event,
            state="named" if event else "proposed",
            starts_at=begins - timedelta(days=days),
            ends_at=begins - timedelta(days=days - 1),
            peak_at=begins - timedelta(days=days),
            peak=600.0,
            expected=200.0,
            multiple=3.0,
            score=9.0,
            lead_in_s=3600,
            is_over=True,
            found_at=timezone.now(),
        )

    rows = [detected(1, record.event), detected(3, make.event(account, name="Spring sale")), detected(5)]
    other = make.connection(account, name="other")
    second = ScaleUpRecord.objects.create(account=account, event=record.event, connection=other)
    second.entries.create(position=1, server_id="o1", server_name="api-1", added_at=begins)
    address = f"/accounts/{account.ref}/detected-events"
    with CaptureQueriesContext(database) as asked:
        listed = Caller(manager).get(address)["results"]
    told = {row["ref"]: (row["servers_added"], row["scale_up_records"]) for row in listed}
    assert [told[str(row.ref)] for row in rows] == [
        (4, [str(record.ref), str(second.ref)]),
        (None, []),
        (None, []),
    ]
    assert sum("traffic" in one["sql"] or "detected" in one["sql"] for one in asked) <= 2
    browser = Client()
    browser.force_login(make.member(account, "viewer"))
    pages = [browser.get(reverse("capacity:detected", args=[row.ref])).content.decode() for row in rows]
    leads = [
        f'href="{reverse("scaledown:record-detail", args=[row.event.ref])}"' if row.event else "Servers added"
        for row in rows
    ]
    assert re.search(r"<dt>Servers added</dt><dd>4 <a", pages[0])
    assert re.search(
        r"<dt>Servers added</dt><dd><span class=\"unknown\">not written down</span> <a", pages[1]
    )
    assert [lead in page for lead, page in zip(leads, pages, strict=True)] == [True, True, False]
