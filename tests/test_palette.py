"""The command palette finds accounts, plans and runs by name, and only those that one may see."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.runs.models import Run
from scaledown.models import Plan
from tests import factories as make

pytestmark = pytest.mark.django_db


def make_plan(account):
    return Plan.objects.create(
        account=account,
        connection=make.connection(account),
        title="web: back to 3",
        author=make.launch_manager(account.team),
    )


def asked(user, text):
    browser = Client()
    browser.force_login(user)
    answer = browser.get(reverse("palette"), {"q": text})
    assert answer.status_code == 200
    return answer.json()["items"]


@pytest.fixture
def account():
    return make.account("Lindgren Outdoor")


def test_an_account_is_found_by_a_part_of_its_name(account):
    found = asked(make.launch_manager(account.team), "outdoor")
    assert found == [
        {
            "label": "Lindgren Outdoor",
            "url": reverse("accounts:account-detail", args=[account.ref]),
            "hint": "account",
        }
    ]


def test_a_plan_is_found_by_its_name_and_by_the_beginning_of_its_reference(account):
    plan = make_plan(account)
    manager = make.launch_manager(account.team)
    url = reverse("scaledown:plan-detail", args=[plan.ref])
    assert url in [one["url"] for one in asked(manager, plan.title[:5])]
    assert [one["url"] for one in asked(manager, str(plan.ref)[:10])] == [url]


def test_a_run_is_found_and_customers_read_its_state_in_plain_words(account):
    run = Run.objects.create(
        kind="scaledown",
        account=account,
        plan_ref=make_plan(account).ref,
        title="web after the launch",
        status="halted",
        halt_code="probe_failed",
        halt_rank="decide_today",
        halt_says="front page fails.",
        halted_at=timezone.now(),
        next_tick_at=timezone.now(),
        plan={},
        created_by=make.launch_manager(account.team),
    )
    url = reverse("scaledown:run-detail", args=[run.ref])
    manager, viewer = make.launch_manager(account.team), make.member(account)
    assert (url, "run, halted · Lindgren Outdoor") in [
        (one["url"], one["hint"]) for one in asked(manager, "AFTER the")
    ]
    assert "run, paused for safety · Lindgren Outdoor" in [one["hint"] for one in asked(viewer, "web after")]


def test_nothing_of_another_customer_is_found(account):
    make_plan(account)
    other = make.account("Harbor Books")
    for stranger in (make.member(other), make.launch_manager(other.team), make.user(is_operator=True)):
        assert asked(stranger, "lindgren") == []


@pytest.mark.parametrize("text", ["", "  ", "%", "x" * 5000])
def test_odd_text_finds_nothing_and_breaks_nothing(account, text):
    assert asked(make.launch_manager(account.team), text) == []


def test_every_page_knows_where_to_ask(account):
    browser = Client()
    assert "data-palette-url" not in browser.get("/login/").content.decode()
    browser.force_login(make.member(account))
    assert 'data-palette-url="/palette"' in browser.get("/").content.decode()
