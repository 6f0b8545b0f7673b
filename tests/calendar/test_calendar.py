"""Calendars on the database: who sees what, what holds changes back, pages, API and feeds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from icalendar import Calendar

from accounts.calendar import selectors, services
from accounts.calendar.ical import calendar_of, without_people
from accounts.calendar.models import CalendarEntry, CalendarFeed
from accounts.calendar.selectors import Item, freezes_at, next_freeze
from accounts.erasure import erase_contact
from accounts.models import Account, AccountStatus, Membership, TeamMembership
from accounts.reviews.models import ReviewSchedule
from portal.errors import NotPermitted, Refused, StaleState
from portal.events.models import Event
from tests import factories as make

pytestmark = pytest.mark.django_db


class Here:
    def __init__(self):
        self.account = make.account("Lindgren Outdoor", time_zone="Europe/Stockholm")
        self.manager = make.launch_manager(self.account.team)
        self.admin = make.member(self.account, "admin", "Ada Admin")


@pytest.fixture
def here():
    return Here()


def fields(**more):
    now = timezone.now().replace(microsecond=0)
    values = {"kind": "freeze", "title": "No changes", "time_zone": "UTC"}
    return {**values, "starts_at": now, "ends_at": now + timedelta(hours=2), **more}


def as_(user):
    client = Client()
    client.force_login(user)
    return client


def text(response):
    return " ".join(response.content.decode().split())


def page(name, *refs):
    return reverse(f"accounts:{name}", args=[getattr(ref, "ref", ref) for ref in refs])


# --- what holds changes back --------------------------------------------------------------------------------


def test_freezes_come_from_the_account_its_team_and_its_provider(here):
    now = timezone.now()
    other = make.account(of=here.account.team)
    make.connection(here.account, provider="rackspace", region="DFW")
    for entry, holds in (
        ({"account": here.account}, True),
        ({"account": other}, False),
        ({"team": here.account.team}, True),
        ({"team": make.team()}, False),
        ({"team": here.account.team, "provider": "rackspace", "region": "DFW", "kind": "maintenance"}, True),
        ({"team": here.account.team, "provider": "rackspace", "kind": "maintenance"}, True),
        ({"team": here.account.team, "provider": "rackspace", "region": "ORD", "kind": "maintenance"}, False),
        ({"account": here.account, "kind": "event"}, False),
        ({"account": here.account, "cancelled_at": now}, False),
    ):
        row = make.calendar_entry(**entry)
        assert bool(freezes_at(here.account, now + timedelta(minutes=1))) is holds, entry
        CalendarEntry.objects.filter(pk=row.pk).delete()
    assert freezes_at(other, now) == []


def test_a_freeze_holds_from_its_first_moment_to_before_its_last(here):
    entry = services.enter(fields(), actor=here.admin, account=here.account)
    assert freezes_at(here.account, entry.starts_at)
    assert freezes_at(here.account, entry.ends_at - timedelta(seconds=1))
    assert freezes_at(here.account, entry.ends_at) == []
    assert freezes_at(here.account, entry.starts_at - timedelta(seconds=1)) == []
    early = entry.starts_at - timedelta(days=1)
    assert next_freeze(here.account, early, early + timedelta(days=2)).title == "No changes"
    assert next_freeze(here.account, early, early + timedelta(hours=20)) is None
    assert next_freeze(here.account, entry.starts_at, entry.ends_at) is None


def test_a_weekly_freeze_holds_every_week_at_its_own_time_of_day(here):
    begins = datetime(2026, 3, 22, 8, tzinfo=UTC)
    make.calendar_entry(
        account=here.account,
        starts_at=begins,
        ends_at=begins + timedelta(hours=1),
        time_zone="Europe/Berlin",
        repeats_until=datetime(2026, 6, 1).date(),
    )
    assert freezes_at(here.account, datetime(2026, 3, 29, 7, 30, tzinfo=UTC))
    assert not freezes_at(here.account, datetime(2026, 3, 29, 8, 30, tzinfo=UTC))
    assert next_freeze(
        here.account, datetime(2026, 3, 30, tzinfo=UTC), datetime(2026, 4, 30, tzinfo=UTC)
    ).starts_at == datetime(2026, 4, 5, 7, tzinfo=UTC)


# --- entering -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        {"title": "  "},
        {"title": "x" * 121},
        {"ends_at": timezone.now() - timedelta(days=1)},
        {"ends_at": timezone.now() + timedelta(days=400)},
        {"starts_at": datetime(2050, 1, 1, tzinfo=UTC), "ends_at": datetime(2050, 1, 2, tzinfo=UTC)},
        {"repeats_until": datetime(2030, 1, 1).date()},
        {"provider": "rackspace"},
        {"time_zone": "Mars/Olympus"},
        {"nonsense": 1},
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(here, bad):
    with pytest.raises(Refused) as refused:
        services.enter(fields(**bad), actor=here.admin, account=here.account)
    assert refused.value.says
    assert not CalendarEntry.objects.exists()


def test_an_unannounced_drill_is_seen_by_the_team_alone(here):
    hidden = services.enter(
        fields(kind="drill", title="Host failure", is_team_only=True),
        actor=here.manager,
        account=here.account,
    )
    with pytest.raises(NotPermitted):
        services.enter(fields(kind="drill", is_team_only=True), actor=here.admin, account=here.account)
    with pytest.raises(Refused, match="both sides"):
        services.enter(fields(is_team_only=True), actor=here.manager, account=here.account)
    assert not Event.objects.filter(subject_ref=str(hidden.ref)).exists()
    assert "Host failure" in text(as_(here.manager).get(page("calendar", here.account)))
    assert "Host failure" not in text(as_(here.admin).get(page("calendar", here.account)))
    assert as_(here.admin).get(page("calendar-entry", hidden)).status_code == 404
    api = f"/api/v1/calendar-entries/{hidden.ref}"
    assert Client().get(api, **make.bearer(make.token(here.admin))).status_code == 404
    # Who manages another account is a customer here.
    elsewhere = make.account()
    TeamMembership.objects.create(team=elsewhere.team, user=here.admin, role="launch_manager")
    accounts = Account.objects.filter(pk=here.account.pk)
    now = timezone.now()
    assert selectors.items_for(accounts, now, now + timedelta(days=1), viewer=here.admin) == []


def test_changing_raises_the_sequence_and_calling_off_ends_it(here):
    entry = services.enter(fields(), actor=here.admin, account=here.account)
    same = services.change_entry(entry, {"title": "No changes"}, actor=here.admin)
    assert same.sequence == 0
    assert services.change_entry(entry, {"title": "None"}, actor=here.admin).sequence == 1
    with pytest.raises(Refused, match="Say why"):
        services.cancel_entry(entry, reason=" ", actor=here.admin)
    off = services.cancel_entry(entry, reason="Moved.", actor=here.admin)
    assert (off.sequence, bool(off.cancelled_at)) == (2, True)
    assert services.cancel_entry(entry, reason="Again.", actor=here.admin).sequence == 2
    with pytest.raises(StaleState):
        services.change_entry(entry, {"title": "x"}, actor=here.admin)
    assert {"calendar.entered", "calendar.changed", "calendar.cancelled"} <= set(
        Event.objects.values_list("type", flat=True)
    )


def test_an_archived_accounts_calendar_is_not_changed(here):
    Account.objects.filter(pk=here.account.pk).update(status=AccountStatus.ARCHIVED)
    with pytest.raises(Refused, match="archived"):
        services.enter(fields(), actor=here.admin, account=here.account)


def test_who_stands_in_a_title_can_be_erased(here):
    contact = make.contact(here.account, "Maja Lindgren")
    services.enter(fields(title="Maja Lindgren is away"), actor=here.admin, account=here.account)
    assert "Maja" not in CalendarEntry.objects.sealed().get().title
    assert CalendarEntry.objects.get().title == "Maja Lindgren is away"
    erase_contact(here.account, contact.ref, actor=here.admin, reason="Asked.")
    assert "Maja" not in CalendarEntry.objects.get().title


def test_an_entry_at_a_provider_is_told_to_the_accounts_that_it_touches(here):
    other = make.account(of=here.account.team)
    make.connection(here.account, region="DFW")
    services.enter(
        fields(kind="maintenance", provider="rackspace", region="DFW"),
        actor=here.manager,
        team=here.account.team,
    )
    told = set(Event.objects.filter(type="calendar.entered").values_list("account_ref", flat=True))
    assert told == {here.account.ref}
    assert other.ref not in told
    with pytest.raises(Refused, match="provider"):
        services.enter(fields(kind="maintenance"), actor=here.manager, team=here.account.team)


# --- pages and API ------------------------------------------------------------------------------------------


def test_the_agenda_shows_entries_clock_changes_and_reviews_that_are_due(here):
    admin = as_(here.admin)
    kept = admin.post(
        page("calendar-add", here.account),
        {
            "kind": "freeze",
            "title": "Quiet <week>",
            "first_day": "2027-03-27",
            "last_day": "2027-03-29",
            "time_zone": "Europe/Stockholm",
        },
    )
    assert kept.status_code == 302
    entry = CalendarEntry.objects.get()
    # Three days, of which one has 23 hours.
    assert entry.ends_at - entry.starts_at == timedelta(hours=71)
    ReviewSchedule.objects.create(account=here.account, next_on=datetime(2027, 4, 1).date())
    shown = text(admin.get(page("calendar", here.account), {"from": "2027-03-22"}))
    assert "Quiet &lt;week&gt;" in shown
    assert "Clocks change: 02:00 becomes 03:00." in shown
    assert "Steady-state review due" in shown
    assert "Week of 22 March 2027" in shown
    assert text(admin.get(page("calendar", here.account), {"from": "nonsense"}))
    form = admin.get(page("calendar-entry", entry))
    assert form.context["form"].initial["last_day"] == datetime(2027, 3, 29).date()


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"begins": "10:00"}, "both times"),
        ({"last_day": "2027-03-01"}, "first day or later"),
        ({"begins": "10:00", "over": "09:00"}, "ends after it begins"),
        ({"title": ""}, "required"),
    ],
)
def test_a_form_says_what_is_wrong_with_its_times(here, more, word):
    body = {
        "kind": "freeze",
        "title": "x",
        "first_day": "2027-03-27",
        "last_day": "2027-03-27",
        "time_zone": "UTC",
    }
    answer = as_(here.admin).post(page("calendar-add", here.account), {**body, **more})
    assert answer.status_code == 422
    assert word in text(answer)


def test_a_team_enters_maintenance_once_and_each_account_shows_it(here):
    make.connection(here.account, region="DFW")
    manager = as_(here.manager)
    manager.post(
        page("team-calendar-add", here.account.team),
        {
            "kind": "maintenance",
            "title": "Core routers",
            "first_day": str(timezone.now().date()),
            "last_day": str(timezone.now().date()),
            "time_zone": "UTC",
            "provider": "rackspace",
            "region": "DFW",
        },
    )
    entry = CalendarEntry.objects.get()
    assert "Core routers" in text(manager.get(page("team-calendar", here.account.team)))
    shown = text(as_(here.admin).get(page("calendar", here.account)))
    assert "Core routers" in shown
    assert "Nothing is changed now" in shown
    assert page("team-calendar-entry", entry) not in shown
    manager.post(page("team-calendar-entry-cancel", entry), {"reason": "Moved."})
    assert "Core routers" not in text(as_(here.admin).get(page("calendar", here.account)))


def test_the_dashboard_has_the_coming_weeks_at_a_constant_cost(here):
    client = as_(here.manager)

    def cost():
        client.get(reverse("dashboard"))
        with CaptureQueriesContext(connection) as seen:
            shown = text(client.get(reverse("dashboard")))
        return len(seen), shown

    make.calendar_entry("Sale", account=here.account)
    few, shown = cost()
    assert "The coming weeks" in shown
    assert "Sale" in shown
    for number in range(6):
        make.calendar_entry(f"Entry {number}", account=make.account(of=here.account.team))
    assert cost()[0] == few


def test_a_calendar_by_the_api(here):
    client, auth = Client(), make.bearer(make.token(here.admin))
    base = f"/api/v1/accounts/{here.account.ref}/calendar"
    body = json.dumps({**fields(), "title": "Frozen"}, default=str)
    made = client.post(base, body, content_type="application/json", **auth)
    assert made.status_code == 201, made.content
    read = client.get(base, {"start": "2027-03-01T00:00:00Z", "end": "2027-04-01T00:00:00Z"}, **auth).json()
    assert read["clock_changes"] == [{"at": "2027-03-28T01:00:00Z", "before": "02:00", "after": "03:00"}]
    assert [one["title"] for one in client.get(base, **auth).json()["items"]] == ["Frozen"]
    assert client.get(base, {"start": "yesterday"}, **auth).status_code == 422
    assert client.get(base, {"end": "2030-01-01T00:00:00Z"}, **auth).status_code == 422
    entry = f"/api/v1/calendar-entries/{made.json()['ref']}"
    patch = {"content_type": "application/json", **auth}
    changed = client.patch(entry, json.dumps({"title": "More"}), HTTP_IF_MATCH=made["ETag"], **patch)
    assert (changed.json()["title"], changed.json()["sequence"]) == ("More", 1)
    assert (
        client.patch(entry, json.dumps({"title": "x"}), HTTP_IF_MATCH=made["ETag"], **patch).status_code
        == 412
    )


# --- feeds --------------------------------------------------------------------------------------------------


def feed_url(token):
    return reverse("accounts:calendar-feed", args=[token])


def read_feed(token, **more):
    return Client().get(feed_url(token), **more)


def test_a_feed_is_read_by_its_address_alone_and_says_all_that_a_program_needs(here):
    contact = make.contact(here.account, "Maja Lindgren")
    services.enter(
        fields(title="Maja Lindgren, ärendet; påsk \N{RABBIT}" + " lång" * 12),
        actor=here.admin,
        account=here.account,
    )
    off = services.enter(fields(title="Moved"), actor=here.admin, account=here.account)
    services.cancel_entry(off, reason="x", actor=here.admin)
    make.calendar_entry("Of another", account=make.account())
    _, token = services.make_feed(here.admin, here.account)
    answer = read_feed(token)
    assert answer["Content-Type"].startswith("text/calendar")
    raw = answer.content
    assert all(len(line) <= 75 for line in raw.split(b"\r\n"))
    assert raw.count(b"\r\n") == raw.count(b"\n")
    assert b"Maja" not in raw
    assert b"Ada" not in raw
    assert contact.email.encode() not in raw
    events = {str(one["summary"]): one for one in Calendar.from_ical(raw).walk("VEVENT")}
    assert len(events) == 2
    (title,) = [name for name in events if name.startswith("somebody, ärendet; påsk \N{RABBIT}")]
    first = events[title]
    assert first.decoded("dtstart").utcoffset() == timedelta(0)
    assert raw.count(b"DTSTART:20") == 2
    assert str(first["status"]) == "CONFIRMED"
    moved = events["Moved (Lindgren Outdoor)"]
    assert (str(moved["status"]), int(moved["sequence"])) == ("CANCELLED", 1)
    assert str(moved["uid"]).startswith(f"{off.ref}@")
    assert CalendarFeed.objects.get().last_used_at is not None


def test_a_changed_entry_keeps_its_uid_and_has_a_higher_sequence(here):
    entry = services.enter(fields(), actor=here.admin, account=here.account)
    _, token = services.make_feed(here.admin, here.account)

    def event():
        (found,) = Calendar.from_ical(read_feed(token).content).walk("VEVENT")
        return str(found["uid"]), int(found["sequence"])

    before = event()
    services.change_entry(entry, {"title": "Other"}, actor=here.admin)
    after = event()
    assert after[0] == before[0]
    assert after[1] == before[1] + 1


def test_a_weekly_entry_stands_in_the_feed_once_a_week_in_utc(here):
    begins = timezone.now().replace(microsecond=0)
    make.calendar_entry(
        "Window",
        account=here.account,
        kind="window",
        starts_at=begins,
        ends_at=begins + timedelta(hours=1),
        repeats_until=(begins + timedelta(days=15)).date(),
    )
    _, token = services.make_feed(here.admin)
    uids = [str(one["uid"]) for one in Calendar.from_ical(read_feed(token).content).walk("VEVENT")]
    assert len(set(uids)) == 3


def test_a_feed_ends_when_it_is_revoked_or_its_maker_loses_access(here):
    feed, token = services.make_feed(here.admin, here.account)
    _, everything = services.make_feed(here.admin)
    services.enter(fields(), actor=here.manager, account=here.account)
    assert read_feed(token).status_code == 200
    assert b"VEVENT" in read_feed(everything).content
    Membership.objects.filter(user=here.admin).delete()
    assert read_feed(token).status_code == 404
    assert b"VEVENT" not in read_feed(everything).content
    here.admin.is_active = False
    here.admin.save()
    assert read_feed(everything).status_code == 404
    again = make.member(here.account, "viewer")
    feed, token = services.make_feed(again, here.account)
    assert read_feed(token).status_code == 200
    services.revoke_feed(feed, actor=again)
    assert read_feed(token).status_code == 404
    assert read_feed("ssf_never_made").status_code == 404


def test_a_feed_that_is_read_too_often_is_asked_to_wait(here, monkeypatch):
    _, token = services.make_feed(here.admin, here.account)
    monkeypatch.setattr("accounts.calendar.views.count", lambda names, keep_s: [61, 1])
    answer = read_feed(token)
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0


def test_the_address_is_shown_once_and_only_its_hash_is_kept(here):
    admin = as_(here.admin)
    make.prove(admin, here.admin)
    made = admin.post(reverse("accounts:calendar-feeds"), {"account": str(here.account.ref)})
    address = made.context["address"]
    token = address.rpartition("/")[2].removesuffix(".ics")
    assert made["Cache-Control"] == "no-store"
    assert token not in text(admin.get(reverse("accounts:calendar-feeds")))
    feed = CalendarFeed.objects.get()
    assert token not in {feed.digest, feed.prefix}
    assert read_feed(token).status_code == 200
    assert (
        admin.post(reverse("accounts:calendar-feeds"), {"account": str(make.account().ref)}).status_code
        == 404
    )
    admin.post(page("calendar-feed-revoke", feed))
    assert read_feed(token).status_code == 404
    client, auth = Client(), make.bearer(make.token(here.admin))
    sent = {"content_type": "application/json", "HTTP_IDEMPOTENCY_KEY": "one", **auth}
    first = client.post("/api/v1/me/calendar-feeds", "{}", **sent).json()
    assert first["address"].endswith(".ics")
    assert client.post("/api/v1/me/calendar-feeds", "{}", **sent).json()["address"] is None


def test_whole_days_are_dates_in_a_feed():
    stockholm = ZoneInfo("Europe/Stockholm")
    # Over the end of summer time: two days there, 49 hours.
    days = datetime(2026, 10, 24, tzinfo=stockholm), datetime(2026, 10, 26, tzinfo=stockholm)
    item = Item(*(day.astimezone(UTC) for day in days), "freeze", "x", "Europe/Stockholm", is_all_day=True)
    raw = calendar_of(
        [item], name="n", domain="d", base_url="https://d", now=datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert b"DTSTART;VALUE=DATE:20261024\r\n" in raw
    assert b"DTEND;VALUE=DATE:20261026\r\n" in raw


def test_names_in_titles_are_left_out_of_a_feed():
    token = "⟦" + "a" * 32 + ".Abc_-=⟧"
    assert without_people(f"Ask {token} first") == "Ask somebody first"
    item = Item(
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC), "event", "x\r\nEND:VEVENT", "UTC"
    )
    raw = calendar_of(
        [item], name="n", domain="d", base_url="https://d", now=datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert len(Calendar.from_ical(raw).walk("VEVENT")) == 1


def test_an_entry_whose_maker_is_gone_can_still_be_changed(here):
    entry = make.calendar_entry(account=here.account)
    assert entry.created_by is None
    assert services.change_entry(entry, {"title": "Still here"}, actor=here.admin).title == "Still here"


def test_whole_days_begin_and_end_at_midnight_of_their_zone(here):
    fields = {"kind": "freeze", "title": "Sale", "time_zone": "Europe/Berlin", "is_all_day": True}
    day = datetime(2026, 12, 7, 23, tzinfo=UTC)
    with pytest.raises(Refused, match="midnight in Europe/Berlin"):
        services.enter(
            {**fields, "starts_at": day + timedelta(hours=11), "ends_at": day + timedelta(days=2)},
            account=here.account,
            actor=here.admin,
        )
    made = services.enter(
        {**fields, "starts_at": day, "ends_at": day + timedelta(days=5)},
        account=here.account,
        actor=here.admin,
    )
    assert made.is_all_day


def test_a_freeze_of_days_shows_its_last_one(here):
    starts = (timezone.now() + timedelta(days=3)).replace(hour=0, minute=0, second=0, microsecond=0)
    services.enter(
        {
            "kind": "freeze",
            "title": "Sale",
            "time_zone": "UTC",
            "is_all_day": True,
            "starts_at": starts,
            "ends_at": starts + timedelta(days=5),
        },
        account=here.account,
        actor=here.admin,
    )
    here.account.time_zone = "UTC"
    here.account.save(update_fields=["time_zone"])
    page = as_(here.admin).get(reverse("accounts:calendar", args=[here.account.ref])).content.decode()
    assert f"{starts:%Y-%m-%d} to {starts + timedelta(days=4):%Y-%m-%d}, whole days" in page


def test_an_address_that_only_takes_a_press_says_so(here):
    answer = as_(here.admin).get(
        reverse("accounts:case-reply", args=[make.case(here.account, here.admin).ref])
    )
    assert answer.status_code == 405
    assert "when a button is pressed" in answer.content.decode()
    assert answer["Allow"]
