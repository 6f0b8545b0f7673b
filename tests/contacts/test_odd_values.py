"""What one account holds takes no page and no list of another down, and what cannot be read is no name."""

from __future__ import annotations

from datetime import date

import pytest
from django.test import Client
from django.utils import timezone

from accounts.contacts import roster_services
from accounts.contacts.models import Rotation, RotationMember
from accounts.names import person_name
from accounts.reviews import standing
from accounts.reviews.models import Standing, StandingLook
from portal.errors import Refused
from tests import factories as make

pytestmark = pytest.mark.django_db
WEEKLY = [{"day": 0, "at": "09:00"}]


@pytest.mark.parametrize("starts_on", [date(1, 1, 1), date(9999, 12, 31), date(1999, 12, 31)])
def test_a_rotation_begins_on_a_day_that_people_mean(starts_on):
    account = make.account()
    admin = make.member(account, "admin")
    with pytest.raises(Refused, match="three years ahead"):
        roster_services.set_rotation(
            account,
            {"name": "nights", "time_zone": "UTC", "starts_on": starts_on, "hand_overs": WEEKLY},
            members=[make.contact(account)],
            roles=["emergency"],
            actor=admin,
        )
    assert not Rotation.objects.exists()


def test_a_rotation_that_is_there_with_an_odd_day_takes_no_page_down():
    account = make.account()
    admin = make.member(account, "admin")
    row = Rotation.objects.create(account=account, name="nights", starts_on=date(1, 1, 1), hand_overs=WEEKLY)
    RotationMember.objects.create(rotation=row, place=0, contact=make.contact(account))
    row.role_duties.create(account=account, role="emergency")
    browser = Client()
    browser.force_login(admin)
    for path in ("", "duties/", "coverage/", "contacts/"):
        assert browser.get(f"/accounts/{account.ref}/{path}").status_code == 200
    assert browser.get("/").status_code == 200


def test_one_account_that_cannot_be_looked_at_keeps_no_other_from_it(monkeypatch):
    accounts = [make.account(f"Customer {number}") for number in range(5)]
    ask = standing.ask

    def broken(rows, now):
        if rows.filter(pk=accounts[2].pk).exists():
            raise OverflowError("date value out of range")
        return ask(rows, now)

    monkeypatch.setattr(standing, "ask", broken)
    standing.look_at_all(timezone.now())
    looked_at = set(Standing.objects.values_list("account", flat=True))
    assert looked_at == {one.pk for one in accounts} - {accounts[2].pk}
    assert StandingLook.objects.exists()


@pytest.mark.parametrize("name", ["\u200b", " ", "...", "\u2060\u200d"])
def test_a_name_has_letters_that_can_be_read(name):
    with pytest.raises(Refused, match="letters that can be read"):
        person_name(name)
    assert person_name("Åsa  Öst") == "Åsa Öst"


@pytest.mark.parametrize(
    ("first", "last"),
    [("0001-01-01", "0001-01-02"), ("9999-12-30", "9999-12-31"), ("2026-11-27", "9999-12-31")],
)
def test_a_day_that_no_calendar_means_is_refused_beside_the_field(first, last):
    account = make.account()
    browser = Client()
    browser.force_login(make.member(account, "admin"))
    said = {
        "kind": "event",
        "title": "Sale",
        "first_day": first,
        "last_day": last,
        "time_zone": "Europe/Berlin",
    }
    answer = browser.post(f"/accounts/{account.ref}/calendar/add/", said)
    assert answer.status_code == 422
    assert "A date within three years of today." in answer.content.decode()
