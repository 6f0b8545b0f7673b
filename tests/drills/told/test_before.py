"""Who is told before a drill, when, and with which entry for the calendar; and who must not be told."""

from __future__ import annotations

from datetime import timedelta
from email import message_from_bytes
from email.policy import default

import pytest
from django.utils import timezone
from icalendar import Calendar

from accounts.models import Account, Contact
from drills.plans import around, hooks, services
from drills.plans.ladder import Held
from drills.plans.models import Drill
from drills.scenarios.types import DrillKind, Environment
from drills.told import before
from drills.told.models import DrillNotice
from portal.notify import news
from portal.notify.models import MailState, Message
from portal.notify.sending import _mail_of
from portal.runs.models import Run
from portal.runs.registry import Change
from tests.drills.rows import approved, started, submitted

pytestmark = pytest.mark.django_db


def times(days):
    start = timezone.now().replace(microsecond=0) + timedelta(days=days)
    return {"not_before": start, "not_after": start + timedelta(hours=2)}


def unannounced(monkeypatch):
    passed = [Held(DrillKind.ANNOUNCED, Environment.TEST, "drill_met")]
    monkeypatch.setattr(services, "held_before", lambda account, key: passed)
    return {"kind": DrillKind.UNANNOUNCED}


def told(purpose, period=""):
    rows = Message.objects.filter(purpose=purpose, period=period).select_related("user").order_by("pk")
    return sorted(row.user.name if row.user else row.address for row in rows)


def mail_to(purpose, who):
    row = next(
        row
        for row in Message.objects.filter(purpose=purpose).select_related("user", "account")
        if who in (row.user.name if row.user else row.address)
    )
    address = row.user.email if row.user else row.address
    raw = _mail_of(row, address).as_bytes()
    # Each try sends the same bytes.
    assert (
        _mail_of(Message.objects.select_related("user", "account").get(pk=row.pk), address).as_bytes() == raw
    )
    return message_from_bytes(raw, policy=default)


def entry_of(mail):
    (part,) = [part for part in mail.walk() if part.get_content_type() == "text/calendar"]
    found = Calendar.from_ical(part.get_payload(decode=True))
    (event,) = found.walk("VEVENT")
    assert part.get_param("method") == str(found["method"])
    assert part.get_filename() == "appointment.ics"
    return found, event


def withdrawn(here, drill):
    return services.withdraw(drill, actor=here.manager, reason="Not now.")


def test_an_approved_drill_invites_who_takes_part_watches_and_leads_once(here):
    drill = approved(here, observers=[here.editor], **times(9))
    submitted(here, **times(9))
    assert before.tell_due(timezone.now()) == 1
    assert before.tell_due(timezone.now()) == 0
    assert told("drill_invited") == ["Editor", "Manager", "ada@example.com"]
    mail = mail_to("drill_invited", "ada@")
    assert mail["Subject"].strip().startswith("FIRE DRILL on ")
    text = mail.get_body(("plain",)).get_content()
    assert "FIRE DRILL, not a real incident" in text
    assert "You take part in it" in text
    # Contacts have no log-in, so no page of the portal is named to them.
    assert str(drill.ref) not in text
    assert str(drill.ref) in mail_to("drill_invited", "Editor").get_body(("plain",)).get_content()


def test_the_invitation_is_an_entry_for_the_calendar(here):
    drill = approved(here, **times(9))
    before.tell_due(timezone.now())
    calendar, event = entry_of(mail_to("drill_invited", "ada@"))
    assert str(calendar["method"]) == "REQUEST"
    assert str(event["uid"]).startswith(f"drill-{drill.ref}@")
    assert event["dtstart"].dt == drill.not_before
    assert event["dtend"].dt == drill.not_after
    assert str(event["summary"]).startswith("FIRE DRILL: ")
    assert str(event["attendee"]) == "mailto:ada@example.com"
    assert str(event["organizer"]).startswith("mailto:")
    assert (str(event["status"]), event["dtstamp"].dt.tzinfo is not None) == ("CONFIRMED", True)
    # Who else is invited does not stand in it.
    assert "manager@" not in calendar.to_ical().decode()


def test_the_entry_is_the_one_of_the_feed(here):
    drill = approved(here, **times(9))
    before.tell_due(timezone.now())
    _, event = entry_of(mail_to("drill_invited", "Manager"))
    now = timezone.now()
    items = around.coming(Account.objects.filter(pk=here.account.pk), now, now + timedelta(days=30))
    (item,) = [one for one in items if one.uid == f"drill-{drill.ref}"]
    assert (str(event["uid"]).partition("@")[0], event["sequence"]) == (item.uid, item.sequence)


def test_a_drill_that_is_withdrawn_takes_its_entry_back_and_reminds_nobody(here):
    drill = approved(here, **times(9))
    before.tell_due(timezone.now())
    _, first = entry_of(mail_to("drill_invited", "ada@"))
    withdrawn(here, drill)
    assert before.tell_due(timezone.now()) == 1
    assert before.tell_due(timezone.now()) == 0
    calendar, event = entry_of(mail_to("drill_off", "ada@"))
    assert (str(calendar["method"]), str(event["status"])) == ("CANCEL", "CANCELLED")
    assert event["uid"] == first["uid"]
    assert event["sequence"] > first["sequence"]
    # An invitation that still waited for somebody's morning does not go out after it.
    assert not Message.objects.filter(purpose="drill_invited", mail_state=MailState.QUEUED).exists()
    before.tell_due(drill.not_before - timedelta(minutes=30))
    assert told("drill_reminder", "day") == told("drill_reminder", "hour") == []


def test_a_drill_that_nobody_was_invited_to_is_not_called_off(here):
    withdrawn(here, approved(here, **times(9)))
    assert before.tell_due(timezone.now()) == 0
    assert not Message.objects.filter(purpose__startswith="drill_").exists()


@pytest.mark.parametrize(
    ("before_start", "day", "hour"),
    [
        (timedelta(hours=24, minutes=1), 0, 0),
        (timedelta(hours=24), 2, 0),
        (timedelta(hours=1, minutes=1), 0, 0),
        (timedelta(hours=1), 0, 2),
        (timedelta(0), 0, 0),
    ],
)
def test_a_reminder_comes_a_day_and_an_hour_before_each_once(here, before_start, day, hour):
    drill = approved(here, **times(9))
    before.tell_due(timezone.now())
    for _ in range(2):
        before.tell_due(drill.not_before - before_start)
    assert (len(told("drill_reminder", "day")), len(told("drill_reminder", "hour"))) == (day, hour)


def test_both_reminders_come_one_after_the_other(here):
    drill = approved(here, **times(9))
    before.tell_due(timezone.now())
    for minutes in (24 * 60, 23 * 60, 60, 30, 5):
        before.tell_due(drill.not_before - timedelta(minutes=minutes))
    assert told("drill_reminder", "day") == told("drill_reminder", "hour") == ["Manager", "ada@example.com"]
    assert "FIRE DRILL" in mail_to("drill_reminder", "ada@")["Subject"]


def test_who_was_invited_shortly_before_is_not_reminded_of_what_was_just_read(here):
    drill = approved(here, **times(0.5))
    before.tell_due(timezone.now())
    assert told("drill_reminder", "day") == []
    before.tell_due(drill.not_before - timedelta(minutes=59))
    assert told("drill_reminder", "hour") == ["Manager", "ada@example.com"]


def test_an_unannounced_drill_is_told_to_who_leads_watches_and_decides_and_to_nobody_else(here, monkeypatch):
    drill = approved(here, observers=[here.editor], **unannounced(monkeypatch), **times(9))
    for minutes in (9 * 24 * 60 - 1, 24 * 60 - 5, 59):
        before.tell_due(drill.not_before - timedelta(minutes=minutes))
    expected = ["Admin", "Approver", "Editor", "Manager"]
    assert (
        told("drill_invited") == told("drill_reminder", "day") == told("drill_reminder", "hour") == expected
    )
    assert "Tell nobody" in mail_to("drill_invited", "Editor").get_body(("plain",)).get_content()
    withdrawn(here, drill)
    before.tell_due(timezone.now())
    assert told("drill_off") == expected
    assert not any("ada@" in (row.address or "") for row in Message.objects.all())


def test_nobody_who_reacts_hears_that_an_unannounced_drill_has_begun(here, monkeypatch):
    held = started(here, observers=[here.editor], **unannounced(monkeypatch))
    Run.objects.filter(pk=held.run_id).update(status="running")
    run = Run.objects.get(pk=held.run_id)
    assert hooks.is_untold(run)
    news.run_changed(run, Change(1, starts=True))
    assert told("run_started", "1") == ["Manager"]
    Run.objects.filter(pk=held.run_id).update(status="completed", ended_at=timezone.now(), next_tick_at=None)
    run = Run.objects.get(pk=held.run_id)
    news.run_changed(run, Change(2, is_over=True))
    assert "Viewer" in told("run_ended", "2")


def test_everybody_hears_that_an_announced_drill_has_begun(here):
    held = started(here)
    news.run_changed(Run.objects.get(pk=held.run_id), Change(1, starts=True))
    assert "Viewer" in told("run_started", "1")


def test_contacts_without_a_mail_that_works_are_left_out_and_the_others_told(here):
    Contact.objects.filter(account=here.account).update(disowned_at=timezone.now())
    approved(here, **times(9))
    before.tell_due(timezone.now())
    assert told("drill_invited") == ["Manager"]


def test_a_drill_that_has_begun_or_ran_out_reminds_and_invites_nobody(here):
    held = started(here)
    assert before.tell_due(timezone.now()) == 0
    assert not DrillNotice.objects.exists()
    drill = approved(here, **times(2))
    before.tell_due(timezone.now())
    Drill.objects.filter(pk=drill.pk).update(status="expired")
    # It ran out: there is nothing left to call off.
    before.tell_due(drill.not_after + timedelta(minutes=1))
    assert told("drill_off") == []
    assert held.drill.ref != drill.ref
