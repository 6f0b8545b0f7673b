"""The call sheet and the API of reaching people."""

from __future__ import annotations

import json

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.contacts.services import change_contact, remove_contact
from accounts.reach import services
from accounts.reach.api import Outcome
from accounts.reach.models import Reach, ReachTry
from tests import factories as make
from tests.reach.test_reaching import pass_time, start

pytestmark = pytest.mark.django_db
FORM = {
    "kind": "test",
    "role": "emergency",
    "reason": "Before the campaign",
    "message": "Please press the button.",
    "wait_minutes": "5",
    "tries": "2",
}


@pytest.fixture
def account():
    account = make.account("Lindgren Outdoor")
    make.contact(
        account,
        name="Maja Lindgren",
        email="maja@x.example",
        phone="+46701234561",
        roles=["emergency"],
        time_zone="Asia/Tokyo",
    )
    return account


@pytest.fixture
def jonas(account):
    return make.launch_manager(account.team, "Jonas Berg")


@pytest.fixture
def browser(jonas):
    client = Client()
    client.force_login(jonas)
    return client


def test_it_begins_by_form_and_the_call_sheet_shows_number_hour_and_words(browser, account):
    page = browser.post(f"/accounts/{account.ref}/reach/start/", FORM, follow=True).content.decode()
    assert "+46701234561" in page
    assert "asked now" in page
    assert "Please press the button." in page
    assert "hours not known" in page
    for label in ("Reached", "Voicemail", "No answer", "Wrong number", "Refused"):
        assert label in page


@pytest.mark.parametrize(("zone", "clock"), [("Asia/Tokyo", "Fri 09:53"), ("America/New_York", "Thu 19:53")])
@time_machine.travel("2026-11-27T00:53:00Z", tick=False)
def test_the_call_sheet_shows_the_hour_where_they_are(browser, account, zone, clock):
    account.contacts.update(time_zone=zone)
    page = browser.post(f"/accounts/{account.ref}/reach/start/", FORM, follow=True).content.decode()
    assert f'data-label="Time there"><span class="num">{clock}<' in page


def test_what_is_wrong_is_said_beside_what_was_typed(browser, account):
    page = browser.post(f"/accounts/{account.ref}/reach/start/", {**FORM, "role": "billing"})
    assert page.status_code == 422
    assert "Nobody can be asked as billing contact" in page.content.decode()
    assert "Before the campaign" in page.content.decode()
    page = browser.post(f"/accounts/{account.ref}/reach/start/", {"kind": "test"})
    assert page.status_code == 422


def test_each_button_of_the_call_sheet_does_what_it_says(browser, account, jonas):
    reach = start(account, jonas)
    one = ReachTry.objects.get(step__reach=reach)
    url = f"/reach-tries/{one.ref}/outcome/"
    assert browser.post(url, {"outcome": "nonsense"}).status_code == 422
    page = browser.post(url, {"outcome": "voicemail"}, follow=True).content.decode()
    assert "voicemail, says Jonas Berg" in page
    page = browser.post(url, {"outcome": "reached"}, follow=True).content.decode()
    assert "number 1 on the list, answered" in page
    late = browser.post(url, {"outcome": "refused"})
    assert late.status_code == 409
    assert "decided meanwhile" in late.content.decode()


def test_a_stop_is_one_button(browser, account, jonas):
    reach = start(account, jonas)
    page = browser.post(f"/reaches/{reach.ref}/stop/", follow=True).content.decode()
    assert "Jonas Berg stopped it" in page
    assert "Wrong number" not in page


def test_a_viewer_follows_it_and_sees_no_button(account, jonas):
    reach = start(account, jonas)
    client = Client()
    client.force_login(make.member(account, "viewer"))
    page = client.get(f"/reaches/{reach.ref}/").content.decode()
    assert "Maja Lindgren" in page
    assert "Wrong number" not in page
    assert "Stop, ask nobody" not in page


def test_a_second_press_is_told_that_the_first_one_counted_and_no_more(account, jonas):
    reach = start(account, jonas)
    path = f"/reach/{services.answer_token(ReachTry.objects.get(step__reach=reach))}/"
    pass_time(reach, seconds=42)
    Client().post(path)
    reach.refresh_from_db()
    assert reach.state == "answered"
    again = Client().post(path).content.decode()
    assert "Your answer is noted" in again
    assert "Maja" not in again
    assert Client().post(f"{path[:-2]}x/").status_code == 404


def test_the_page_behind_the_link_names_nobody_to_a_stranger(account, jonas):
    reach = start(account, jonas)
    token = services.answer_token(ReachTry.objects.get(step__reach=reach))
    page = Client().get(f"/reach/{token}/")
    assert page["Cache-Control"] == "no-store"
    assert "Maja" not in page.content.decode()
    for wrong in (token[:-2], "x", f"{token}x"):
        assert Client().get(f"/reach/{wrong}/").status_code == 404
    services.stop_reach(reach, actor=jonas)
    over = Client().get(f"/reach/{token}/")
    assert over.status_code == 404
    assert "Lindgren" not in over.content.decode()


def test_the_link_of_an_archived_account_tells_nothing_and_takes_no_answer(account, jonas):
    reach = start(account, jonas)
    path = f"/reach/{services.answer_token(ReachTry.objects.get(step__reach=reach))}/"
    type(account).objects.filter(pk=account.pk).update(status="archived")
    for answer in (Client().get(path), Client().post(path)):
        assert answer.status_code == 404
        assert account.name not in answer.content.decode()
    assert not services.answer_by_gateway(
        ReachTry.objects.get(step__reach=reach).ref, outcome=Outcome.ACKNOWLEDGED
    )
    reach.refresh_from_db()
    assert reach.state == "running"


def test_the_pages_take_the_same_queries_for_one_person_and_for_many(
    browser, account, jonas, django_assert_num_queries
):
    for n in range(8):
        make.contact(account, name=f"P {n}", email=f"p{n}@x.example", roles=["emergency"])
    reach = start(account, jonas)
    with django_assert_num_queries(9):
        browser.get(f"/reaches/{reach.ref}/")


def test_a_program_starts_follows_and_logs_it(account, jonas):
    bearer = make.bearer(make.token(jonas))

    def post(url, body, **headers):
        return Client().post(url, json.dumps(body), "application/json", **bearer, **headers)

    body = {
        "kind": "call",
        "role": "emergency",
        "reason": "Site is down",
        "message": "Call us.",
        "wait_s": 60,
    }
    url = f"/api/v1/accounts/{account.ref}/reaches"
    assert post(url, body).status_code == 428
    made = post(url, body, HTTP_IDEMPOTENCY_KEY="a")
    assert made.status_code == 201, made.content
    assert post(url, body, HTTP_IDEMPOTENCY_KEY="a").json()["ref"] == made.json()["ref"]
    assert post(url, body, HTTP_IDEMPOTENCY_KEY="b").status_code == 409
    reach = Reach.objects.get()
    pass_time(reach, seconds=42)
    (person,) = made.json()["people"]
    assert (person["name"], person["tries"][0]["outcome"]) == ("Maja Lindgren", "waiting")
    one = person["tries"][0]["ref"]
    done = post(f"/api/v1/reach-tries/{one}/outcome", {"outcome": "reached"}, HTTP_IDEMPOTENCY_KEY="c")
    assert done.json()["state"] == "answered"
    assert 42 <= done.json()["people"][0]["after_s"] < 60
    got = Client().get(f"/api/v1/reaches/{reach.ref}", **bearer).json()
    assert got["people"][0]["tries"][0]["by_name"] == "Jonas Berg"
    assert Client().get(url, **bearer).json()["results"][0]["ref"] == str(reach.ref)
    assert timezone.now() >= reach.started_at


@pytest.mark.parametrize("how", ["removed", "corrected"])
def test_the_link_of_an_address_that_is_nobodys_any_more_tells_and_decides_nothing(account, jonas, how):
    reach = start(account, jonas)
    one = ReachTry.objects.select_related("step__contact").get(step__reach=reach)
    path = f"/reach/{services.answer_token(one)}/"
    pass_time(reach, seconds=42)
    if how == "removed":
        remove_contact(one.step.contact, actor=jonas)
    else:
        change_contact(one.step.contact, {"email": "right@x.example"}, actor=jonas)
    for answer in (Client().get(path), Client().post(path)):
        assert answer.status_code == 404
        assert account.name not in answer.content.decode()
    reach.refresh_from_db()
    assert reach.state == "running"
