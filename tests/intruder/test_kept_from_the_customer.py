"""What the team keeps from its customer, and where the customer's people might read it all the same."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.calendar import services
from accounts.models import Membership
from portal.errors import Refused
from portal.events.models import Event
from tests import factories as make

pytestmark = pytest.mark.django_db


class Drill:
    """An unannounced drill of an account, as its launch manager enters it."""

    def __init__(self):
        self.account = make.account("Lindgren Outdoor")
        self.manager = make.launch_manager(self.account.team)
        self.admin = make.member(self.account, "admin", "Ada Admin")

    def enter(self, **fields):
        now = timezone.now().replace(microsecond=0)
        values = {"kind": "drill", "time_zone": "UTC", "starts_at": now, "ends_at": now + timedelta(hours=2)}
        values |= {"title": "Pull the plug", "notes": "Nobody knows", "is_team_only": True, **fields}
        return services.enter(values, account=self.account, actor=self.manager)

    def read(self, user, query=""):
        """Return the account's record as `user` reads it: by the API, on the page and as both files."""
        bearer = make.bearer(make.token(user))
        browser = Client()
        browser.force_login(user)
        api = f"/api/v1/accounts/{self.account.ref}/audit"
        page = f"/accounts/{self.account.ref}/activity/"
        answers = [
            Client().get(f"{api}{query}", **bearer),
            browser.get(f"{page}{query}"),
            Client().post(
                f"{api}/export",
                {"reason": "Look"},
                content_type="application/json",
                HTTP_IDEMPOTENCY_KEY="k",
                **bearer,
            ),
            browser.post(f"{page}download/", {"reason": "Look"}),
        ]
        assert [one.status_code for one in answers] == [200] * 4
        return [b"".join(_sync(one)).decode() if one.streaming else one.content.decode() for one in answers]


def _sync(response):
    from asgiref.sync import async_to_sync

    async def whole():
        return [part async for part in response.streaming_content]

    return async_to_sync(whole)() if response.is_async else list(response.streaming_content)


@pytest.fixture
def drill():
    return Drill()


SECRET = ("Pull the plug", "Nobody knows", "Moved to May", "Too early", "Calendar entry of the team")


@pytest.mark.django_db(transaction=True)
def test_an_unannounced_drill_stands_in_no_record_that_the_customer_reads(drill):
    entry = drill.enter()
    services.change_entry(entry, {"title": "Moved to May"}, actor=drill.manager)
    services.cancel_entry(entry, reason="Too early", actor=drill.manager)
    for text in drill.read(drill.admin):
        assert not any(word in text for word in SECRET)
        assert str(entry.ref) not in text
    for text in drill.read(drill.manager):
        assert "Pull the plug" in text
        assert "Moved to May" in text
        assert "Too early" in text
    assert not Event.objects.filter(subject_ref=str(entry.ref)).exists()


def test_asking_for_its_kind_or_its_reference_finds_an_unannounced_drill_for_the_team_alone(drill):
    entry = drill.enter()
    api = f"/api/v1/accounts/{drill.account.ref}/audit"
    for query in ("what=team_calendar", f"subject={entry.ref}", "q=calendar", f"actor={drill.manager.ref}"):
        found = {
            user: Client().get(f"{api}?{query}", **make.bearer(make.token(user))).json()["results"]
            for user in (drill.admin, drill.manager)
        }
        assert found[drill.admin] == [], query
        assert [one["subject_label"] for one in found[drill.manager]] == ["Pull the plug"], query


def test_once_it_is_opened_the_customer_reads_it_from_there_on_and_not_what_it_was(drill):
    entry = drill.enter()
    services.change_entry(
        entry, {"title": "Drill in June", "notes": "", "is_team_only": False}, actor=drill.manager
    )
    found = Client().get(
        f"/api/v1/accounts/{drill.account.ref}/audit?what=calendar", **make.bearer(make.token(drill.admin))
    )
    assert "Pull the plug" not in found.content.decode()
    assert "Nobody knows" not in found.content.decode()
    assert [(one["what"], one["after"]["title"]) for one in found.json()["results"]] == [
        ("calendar.entered", "Drill in June")
    ]
    told = Event.objects.filter(subject_ref=str(entry.ref))
    assert list(told.values_list("type", flat=True)) == ["calendar.entered"]


def test_once_it_is_hidden_the_customer_reads_that_it_is_gone_and_not_what_became_of_it(drill):
    entry = drill.enter(is_team_only=False)
    services.change_entry(
        entry, {"title": "Moved to May", "notes": "Nobody", "is_team_only": True}, actor=drill.manager
    )
    found = Client().get(
        f"/api/v1/accounts/{drill.account.ref}/audit?what=calendar", **make.bearer(make.token(drill.admin))
    )
    assert "Moved to May" not in found.content.decode()
    assert [(one["what"], one["subject_label"]) for one in found.json()["results"]] == [
        ("calendar.withdrawn", "Pull the plug"),
        ("calendar.entered", "Pull the plug"),
    ]


def test_who_is_of_the_team_no_more_reads_it_not_even_among_the_own_activity(drill):
    drill.enter()
    browser = Client()
    browser.force_login(drill.manager)
    assert "Pull the plug" in browser.get("/me/").content.decode()
    drill.manager.team_memberships.all().delete()
    Membership.objects.create(account=drill.account, user=drill.manager, role="admin")
    assert "Pull the plug" not in browser.get("/me/").content.decode()


def test_what_a_team_enters_for_all_its_accounts_is_not_kept_from_them(drill):
    now = timezone.now()
    values = {"kind": "freeze", "title": "No changes", "time_zone": "UTC", "is_team_only": True}
    with pytest.raises(Refused, match="seen by them"):
        services.enter(
            {**values, "starts_at": now, "ends_at": now + timedelta(hours=1)},
            team=drill.account.team,
            actor=drill.manager,
        )
