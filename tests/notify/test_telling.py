"""One row for each thing told to each person, whatever happens in between."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection, transaction

from portal.errors import Refused
from portal.notify import registry
from portal.notify.checks import check_templates
from portal.notify.models import MailState, Message, Preference
from portal.notify.registry import Kind, Purpose, Recipient, Urgency
from portal.notify.sending import send_due
from portal.notify.services import tell, tell_all
from tests import factories as make

pytestmark = pytest.mark.django_db
WHAT = {"who": "Maja", "what": "A plan", "says": "No such mailbox (550).", "url": "/accounts/"}


def told(purpose="test_notice", **more):
    values = {"subject_ref": "plan:1", "context": WHAT, **more}
    return tell(purpose, **values)


def test_the_same_thing_is_told_once_and_the_row_comes_back():
    maja = make.user("Maja")
    first = told(to=maja)
    assert told(to=maja) == first
    assert told(to=maja, period="2026-W48") != first
    assert Message.objects.count() == 2


def test_an_address_is_known_by_its_hash_and_nowhere_in_plain_text():
    row = told(address="Maja@Lindgren.Example")
    assert told(address="maja@lindgren.example") == row
    with connection.cursor() as cursor:
        cursor.execute("SELECT notify_message::text FROM notify_message")
        stored = cursor.fetchone()[0].lower()
    assert "lindgren" not in stored
    assert "no such mailbox" not in stored


def test_what_is_rolled_back_was_never_told():
    with pytest.raises(RuntimeError), transaction.atomic():
        told(to=make.user())
        raise RuntimeError
    assert not Message.objects.exists()


def test_an_unknown_purpose_is_an_error():
    with pytest.raises(ValueError, match="not registered"):
        told("no_such_purpose", to=make.user())


def test_a_mail_leads_into_the_portal_only():
    for url in ("https://elsewhere.example/", "//elsewhere.example/x", "javascript:alert(1)", "/a\nb"):
        with pytest.raises(ValueError, match="portal only"):
            told(to=make.user(), context={**WHAT, "url": url})


def test_what_is_no_address_is_refused():
    for address in ("maja", "maja@x.example\r\nBcc: all@x.example", "a b@x.example"):
        with pytest.raises(Refused):
            told(address=address)


def test_a_contact_who_is_a_user_too_is_told_once():
    maja = make.user("Maja", email="maja@lindgren.example")
    rows = tell_all(
        "test_notice",
        [Recipient(address="MAJA@lindgren.example"), Recipient(user=maja), Recipient(user=maja)],
        subject_ref="plan:1",
        context=WHAT,
    )
    assert [row.user for row in rows] == [maja]


def test_telling_many_costs_as_many_queries_as_telling_one(django_assert_num_queries):
    people = [Recipient(user=make.user()) for _ in range(20)]
    with django_assert_num_queries(6):  # keys, preferences, insert, read, and a savepoint around
        assert len(tell_all("test_notice", people, subject_ref="plan:1", context=WHAT)) == 20


def test_what_a_person_turned_off_is_not_sent_and_what_is_always_on_is():
    maja = make.user("Maja")
    Preference.objects.create(user=maja, mail_off=["notice"], portal_off=["reminder"])
    by_portal, by_mail = told("test_notice", to=maja), told("test_reminder", to=maja)
    assert (by_portal.mail_state, by_portal.is_shown) == (MailState.NONE, True)
    assert (by_mail.mail_state, by_mail.is_shown) == (MailState.QUEUED, False)
    Preference.objects.update(portal_off=["reminder", "notice"], mail_off=["notice", "halt", "reminder"])
    assert told("test_notice", to=maja, subject_ref="plan:2") is None
    emergency = told("test_emergency", to=maja)
    assert (emergency.mail_state, emergency.is_shown) == (MailState.QUEUED, True)


@pytest.mark.parametrize(
    ("purpose", "urgency", "due"),
    [
        ("test_notice", Urgency.NORMAL, "2026-11-28T07:00"),
        ("test_halt", Urgency.TODAY, "2026-11-30T08:00"),
        ("test_halt", Urgency.NOW, "2026-11-28T02:00"),
        ("test_emergency", Urgency.NORMAL, "2026-11-28T02:00"),
        ("test_personal", Urgency.NORMAL, "2026-11-28T02:00"),
    ],
)
def test_only_what_must_wakes_a_person(purpose, urgency, due):
    zone = ZoneInfo("Europe/Stockholm")
    night = datetime(2026, 11, 28, 2, 0, tzinfo=zone)
    with time_machine.travel(night, tick=False):
        row = told(purpose, to=make.user(time_zone="Europe/Stockholm"), urgency=urgency)
    assert row.due_at == datetime.fromisoformat(due).replace(tzinfo=zone)


def test_on_a_desk_the_mail_goes_into_the_mailbox_and_its_link_works_there():
    row = told("test_personal", address="maja@lindgren.example")
    assert send_due().sent == 1
    row.refresh_from_db()
    assert row.mail_state == MailState.SENT
    assert "/accounts/" in row.text


def test_in_production_a_link_that_opens_something_is_destroyed_once_it_was_sent(settings):
    row = told("test_personal", address="maja@lindgren.example")
    settings.DESK_MODE = False
    from portal.notify.transport import Mailbox

    assert send_due(transport=Mailbox()).sent == 1
    row.refresh_from_db()
    assert (row.text, row.html, row.context) == (None, None, None)


def test_every_purpose_has_its_templates_and_one_without_is_found_at_start():
    assert check_templates(None) == []
    registry.register_purpose(Purpose("never_written", Kind.NOTICE, "Never written"))
    try:
        assert "never_written.subject.txt is missing" in check_templates(None)[0].msg
    finally:
        registry.forget_purpose("never_written")
