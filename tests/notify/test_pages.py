"""The bell, the list of notices, how one is told, and a desk's mailbox."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Membership
from portal.notify.models import Message, Preference
from portal.notify.sending import send_due
from portal.notify.services import forget_person, set_preference, tell
from tests import factories as make

pytestmark = pytest.mark.django_db
WHAT = {
    "who": "<b>Maja</b>",
    "what": "A plan",
    "says": 'No such mailbox "><script>alert(1)</script>',
    "url": "/accounts/",
}


@pytest.fixture
def maja():
    return make.member(make.account("Lindgren"), "viewer", "Maja")


@pytest.fixture
def desk(maja):
    client = Client()
    client.force_login(maja)
    return client


def account_of(user):
    return user.memberships.get().account


def told(user, subject="plan:1", purpose="test_notice", **more):
    return tell(purpose, to=user, subject_ref=subject, context=WHAT, account=account_of(user), **more)


def test_the_bell_counts_what_is_unread_on_every_page(desk, maja):
    for number in range(3):
        told(maja, f"plan:{number}")
    page = desk.get("/me/").content.decode()
    assert '<span class="bell-count">3' in page
    desk.post(reverse("notice-read", args=[Message.objects.first().ref]))
    assert '<span class="bell-count">2' in desk.get("/me/").content.decode()
    desk.post(reverse("notices-read-all"))
    assert "bell-count" not in desk.get("/me/").content.decode()


def test_the_list_costs_the_same_for_one_notice_and_for_twenty(desk, maja, django_assert_num_queries):
    told(maja)
    desk.get("/me/notices/")
    with django_assert_num_queries(5):  # session, user, notices, keys of the names in them; what is amiss
        desk.get("/me/notices/")
    for number in range(20):
        told(maja, f"more:{number}")
    with django_assert_num_queries(5):
        assert b"more" not in desk.get("/me/notices/").content


def test_many_notices_come_in_pages(desk, maja):
    for number in range(30):
        told(maja, f"plan:{number}")
    first = desk.get("/me/notices/?limit=20").context["page"]
    second = desk.get(f"/me/notices/{first.next_url}").context["page"]
    assert (len(first.rows), len(second.rows), second.next_url) == (20, 10, None)


def test_who_lost_the_account_sees_its_notices_no_more_and_gets_no_mail_about_it(desk, maja):
    row = told(maja)
    Membership.objects.all().delete()
    assert row.title not in desk.get("/me/notices/").content.decode()
    assert "bell-count" not in desk.get("/me/").content.decode()
    assert desk.post(reverse("notice-read", args=[row.ref])).status_code == 404
    # At whatever hour this runs.
    Message.objects.update(urgency="now", due_at="2020-01-01T00:00Z")
    assert send_due().withdrawn == 1
    row.refresh_from_db()
    assert row.mail_state == "withdrawn"


def test_a_notice_shows_nothing_of_a_person_as_markup(desk, maja):
    told(maja)
    page = desk.get("/me/notices/").content.decode()
    assert "<b>Maja</b>" not in page
    assert "&lt;b&gt;Maja&lt;/b&gt;" in page


def test_a_person_chooses_what_comes_where(desk, maja):
    page = desk.get("/me/notices/preferences/")
    assert b'name="mail_notice"' in page.content
    assert b'name="mail_emergency"' not in page.content
    chosen = {"quiet_from": "22:30", "quiet_until": "06:15", "mail_halt": "on", "portal_notice": "on"}
    assert desk.post("/me/notices/preferences/", chosen).status_code == 302
    kept = Preference.objects.get(user=maja)
    assert kept.mail_off == ["notice", "reminder"]
    assert kept.portal_off == ["halt", "reminder"]
    assert str(kept.quiet_from) == "22:30:00"
    wrong = desk.post("/me/notices/preferences/", {"quiet_from": "25:00", "quiet_until": "06:00"})
    assert wrong.status_code == 422


def test_new_quiet_hours_hold_for_what_waits_already(maja):
    row = told(maja)
    Message.objects.update(due_at="2100-01-01T07:00Z")
    set_preference(maja, quiet_from="00:00", quiet_until="00:00")
    assert send_due().sent == 1
    row.refresh_from_db()
    assert row.mail_state == "sent"


def test_the_api_does_the_same(maja):
    row = told(maja)
    client = Client()
    headers = make.bearer(make.token(maja))
    listed = client.get("/api/v1/me/notices?show=unread", **headers).json()
    assert [one["ref"] for one in listed["results"]] == [str(row.ref)]
    read = client.post(f"/api/v1/me/notices/{row.ref}/read", content_type="application/json", **headers)
    assert read.json() == {"marked": 1}
    assert client.get("/api/v1/me/notices?show=unread", **headers).json()["results"] == []

    def change(**body):
        return client.patch(
            "/api/v1/me/notice-preferences", json.dumps(body), content_type="application/json", **headers
        )

    assert change(mail_off=["reminder"]).json()["mail_off"] == ["reminder"]
    assert change(quiet_from="23:00").json()["mail_off"] == ["reminder"]
    assert change(mail_off=["emergency"]).status_code == 422
    assert change(mail_off=["weather"]).status_code == 422


def test_the_mailbox_of_a_desk_opens_without_a_log_in_and_its_links_can_be_clicked():
    row = tell("test_personal", address="new@lindgren.example", subject_ref="invitation:1", context=WHAT)
    stranger = Client()
    assert row.title in stranger.get("/desk/mail/").content.decode().replace("&lt;", "<").replace("&gt;", ">")
    send_due()
    page = stranger.get(f"/desk/mail/{row.ref}/")
    assert '<a href="http://localhost:8000/accounts/">' in page.content.decode()
    assert "<script>alert" not in page.content.decode()
    assert "frame-src 'self'" in page["Content-Security-Policy"]


def test_the_html_of_a_mail_is_shown_under_a_policy_that_lets_nothing_run():
    row = tell("test_personal", address="new@lindgren.example", subject_ref="invitation:1", context=WHAT)
    shown = Client().get(f"/desk/mail/{row.ref}/html")
    policy = shown["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert "frame-ancestors 'self'" in policy
    assert "<script>" not in shown.content.decode()


@pytest.mark.parametrize("path", ["", "{ref}/", "{ref}/html"])
def test_the_mailbox_is_for_a_desk_and_for_the_machine_itself_only(path, settings):
    row = tell("test_personal", address="new@lindgren.example", subject_ref="invitation:1", context=WHAT)
    url = "/desk/mail/" + path.format(ref=row.ref)
    assert Client().get(url).status_code == 200
    assert Client(REMOTE_ADDR="192.0.2.7").get(url).status_code == 404
    assert Client(HTTP_X_FORWARDED_FOR="127.0.0.1").get(url).status_code == 404
    settings.DESK_MODE = False
    assert Client().get(url, secure=True).status_code == 404


def test_erasing_a_person_leaves_nothing_of_what_they_were_told(maja):
    told(maja)
    tell("test_notice", address="maja@lindgren.example", subject_ref="plan:1", context=WHAT)
    assert forget_person(user=maja) == 1
    assert forget_person(address="Maja@Lindgren.example") == 1
    assert not Message.objects.exists()
