"""Traffic events as people plan them: changed, called off, with contacts and a freeze of their own; and what facts say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.calendar import services as calendar
from accounts.calendar.locks import locks_on
from accounts.calendar.models import CalendarEntry
from accounts.calendar.selectors import freezes_at, items_for
from accounts.contacts.services import remove_contact
from accounts.erasure import erase_contact
from accounts.facts import Grade, ask
from accounts.models import Account
from capacity.events import add_event, change_event, remove_event
from capacity.models import TrafficEvent
from capacity.reports import detected, selectors, services
from capacity.reports.models import DetectedEvent, DetectedState, GrowthReport, SizedPool
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused, StaleState
from portal.events.models import Event
from portal.notify.models import Message
from scaledown.models import Plan, ScaleUpRecord
from tests import factories as make
from tests.capacity.test_detected import seen
from tests.capacity.test_reports import fill, hours, metric, sized_pool

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Here:
    def __init__(self):
        self.now = timezone.now().replace(second=0, microsecond=0)
        self.account = make.account("Lindgren Outdoor")
        self.manager = make.launch_manager(self.account.team)
        self.editor = make.member(self.account, "editor", "Ed Editor")
        self.maja = make.contact(self.account, "Maja Lindgren")

    def add(self, begins=5, lasts=1, **more):
        at = self.now + begins * DAY
        values = {"name": "Autumn launch", "starts_at": at, "ends_at": at + lasts * DAY, **more}
        return add_event(self.account, **{"actor": self.manager, **values})


@pytest.fixture
def here():
    return Here()


def as_(user):
    client = Client()
    client.force_login(user)
    return client


def page(event, name="traffic-event"):
    return reverse(f"capacity:{name}", args=[event.ref])


def api(event):
    return reverse("api-traffic-event", args=[event.ref])


def moved_to(now):
    return {"starts_at": now + 10 * DAY, "ends_at": now + 12 * DAY}


def typed(event, **more):
    return {
        "name": event.name,
        "starts_at": f"{event.starts_at:%Y-%m-%dT%H:%M}",
        "ends_at": f"{event.ends_at:%Y-%m-%dT%H:%M}",
        "freeze_hours_before": event.freeze_hours_before,
        "freeze_hours_after": event.freeze_hours_after,
        "seen": event.updated_at.isoformat(),
        **more,
    }


# --- changed and called off ---------------------------------------------------------------------------------------


def test_a_planned_event_is_moved_on_its_page_and_that_is_on_record(here):
    event = here.add()
    later = event.ends_at + DAY
    answer = as_(here.editor).post(page(event), typed(event, ends_at=f"{later:%Y-%m-%dT%H:%M}"))
    assert answer.status_code == 302
    event.refresh_from_db()
    assert event.ends_at == later
    entry = AuditEntry.objects.get(what="event.changed")
    assert (entry.actor_name, set(entry.after)) == ("Ed Editor", {"ends_at"})
    assert Event.objects.get(type="event.changed").data["ends_at"] == later.isoformat()


def test_of_two_who_change_it_the_second_reads_what_is_there_now(here):
    event = here.add()
    was = typed(event, name="Mine")
    change_event(event, {"name": "Theirs", "expected_multiple": 3.0}, actor=here.manager)
    answer = as_(here.editor).post(page(event), was)
    assert answer.status_code == 409
    assert "Now it is “Theirs”" in answer.content.decode()
    again = typed(TrafficEvent.objects.get(), name="Mine")
    assert as_(here.editor).post(page(event), again).status_code == 302
    assert TrafficEvent.objects.get().name == "Mine"


def test_the_api_changes_and_calls_off_with_the_version_that_was_read(here):
    event = here.add(contacts=[here.maja], expected_multiple=2.0)
    browser = as_(here.manager)
    read = browser.get(api(event))
    assert read.json()["contacts"] == [str(here.maja.ref)]
    assert browser.patch(api(event), {"name": "x"}, "application/json").status_code == 428
    tag = {"If-Match": read.headers["ETag"]}
    changed = browser.patch(
        api(event), {"expected_multiple": None, "contacts": []}, "application/json", headers=tag
    )
    assert (changed.status_code, changed.json()["expected_multiple"], changed.json()["contacts"]) == (
        200,
        None,
        [],
    )
    assert browser.patch(api(event), {"name": "x"}, "application/json", headers=tag).status_code == 412
    assert browser.delete(api(event), headers=tag).status_code == 412
    assert browser.delete(api(event)).status_code == 428
    assert browser.delete(api(event), headers={"If-Match": changed.headers["ETag"]}).status_code == 204
    assert not TrafficEvent.objects.exists()
    assert AuditEntry.objects.filter(what="event.removed").exists()
    assert Event.objects.filter(type="event.removed").exists()


def test_a_change_of_nothing_leaves_no_trace(here):
    event = here.add()
    assert as_(here.editor).post(page(event), typed(event)).status_code == 302
    assert not AuditEntry.objects.filter(what="event.changed").exists()


def test_what_is_over_is_corrected_in_name_and_multiple_alone(here):
    event = here.add(begins=-5)
    done = change_event(event, {"name": "Spring sale", "expected_multiple": 4.0}, actor=here.manager)
    assert (done.name, done.expected_multiple) == ("Spring sale", 4.0)
    for change in ({"ends_at": here.now}, {"contacts": [here.maja]}, {"has_freeze": True}):
        with pytest.raises(Refused, match="is over"):
            change_event(event, change, actor=here.manager)
    shown = as_(here.editor).get(page(event)).content.decode()
    assert 'name="starts_at"' not in shown
    assert 'name="expected_multiple"' in shown
    assert as_(here.editor).post(page(event), typed(done, name="Sale")).status_code == 302


def test_what_was_measured_keeps_when_it_was(here):
    one = metric(here.account)
    seen(one, here.now.replace(minute=0), (20, 0, 20.0, False))
    row = detected.name_detected(DetectedEvent.objects.get(), name="Sale", actor=here.manager)
    with pytest.raises(Refused, match="is over and stays as it was"):
        change_event(row.event, {"starts_at": here.now - 2 * DAY}, actor=here.manager)
    with pytest.raises(Refused, match="1 detected stretch rests on it"):
        remove_event(row.event, actor=here.manager)


def test_what_something_rests_on_stays_and_says_what_that_is(here):
    event = here.add(begins=1)
    cloud = make.connection(here.account)
    ScaleUpRecord.objects.create(account=here.account, event=event, connection=cloud)
    for title in ("One", "Two"):
        Plan.objects.create(
            account=here.account, connection=cloud, event=event, title=title, author=here.manager
        )
    answer = as_(here.manager).post(page(event, "traffic-event-remove"))
    assert answer.status_code == 422
    assert "2 plans and 1 scale-up record rest on it. Let it end now" in answer.content.decode()
    refused = as_(here.manager).delete(api(event), headers={"If-Match": "*"})
    assert (refused.status_code, refused.json()["type"].rsplit(":")[-1]) == (422, "event-in-use")
    assert not Event.objects.filter(type="event.removed").exists()


def test_nobody_changes_what_was_called_off_meanwhile(here):
    event = here.add()
    remove_event(event, actor=here.manager)
    event.account = here.account
    with pytest.raises(StaleState, match="called off meanwhile"):
        change_event(event, {"name": "x"}, actor=here.manager)


# --- contacts -----------------------------------------------------------------------------------------------------


def test_contacts_are_of_the_account_and_go_with_the_person(here):
    stranger = make.contact(make.account(), "Someone Else")
    with pytest.raises(Refused, match="another account"):
        here.add(contacts=[stranger])
    bad = as_(here.manager).post(
        reverse("api-traffic-events", args=[here.account.ref]),
        {
            "name": "x",
            "starts_at": here.now.isoformat(),
            "ends_at": (here.now + DAY).isoformat(),
            "contacts": [str(stranger.ref)],
        },
        "application/json",
    )
    assert (bad.status_code, "no such contact" in bad.content.decode()) == (422, True)
    other = make.contact(here.account, "Per Olsson")
    event = here.add(contacts=[here.maja, other])
    assert "Maja" not in str(AuditEntry.objects.get(what="event.added").after), "on record by reference"
    shown = as_(here.editor).get(page(event)).content.decode()
    assert "Maja Lindgren, Per Olsson" in shown
    assert "Someone Else" not in shown
    remove_contact(here.maja, actor=here.manager)
    erase_contact(here.account, other.ref, actor=make.member(here.account, "admin"), reason="Asked.")
    assert not event.contacts.exists()


def test_the_form_names_contacts_and_forgets_them(here):
    event = here.add()
    as_(here.editor).post(page(event), typed(event, contacts=[str(here.maja.ref)]))
    assert list(event.contacts.all()) == [here.maja]
    as_(here.editor).post(page(event), typed(TrafficEvent.objects.get()))
    assert not event.contacts.exists()


def test_an_event_soon_is_judged_by_whom_it_names(here):
    make.contact(here.account, "Per Olsson", roles=["technical"], confirmed_on=here.now.date())
    make.contact(here.account, "Eva Berg", roles=["emergency"], confirmed_on=here.now.date())
    event = here.add(begins=2)

    def judged():
        with CaptureQueriesContext(
            connection,
        ) as asked:
            found = ask(Account.objects.all(), here.now, keys={"event_soon"})[here.account.pk]["event_soon"]
        assert len(asked) <= 3
        return found

    assert judged().grade is Grade.GREEN
    assert "It names no contacts, so the account’s count." in judged().says
    change_event(event, {"contacts": [here.maja]}, actor=here.manager)
    assert judged().grade is Grade.RED
    assert "nobody of those named for it is confirmed" in judged().says
    make.proven(here.maja)
    assert "no backup contact of those named for it" in judged().says
    here.add(begins=1, lasts=3, name="Another, with nobody named")
    assert "of those named for it" in judged().says, "the one that needs people counts"


# --- the freeze ---------------------------------------------------------------------------------------------------


def test_an_event_owns_its_freeze(here):
    event = here.add(begins=0, has_freeze=True, freeze_hours_before=6)
    (freeze,) = freezes_at(here.account, here.now)
    assert (freeze.title, freeze.starts_at, freeze.ends_at) == (
        "Freeze for Autumn launch",
        event.starts_at - 6 * HOUR,
        event.ends_at,
    )
    assert locks_on(here.account, here.now)
    change_event(event, {"ends_at": event.ends_at + DAY, "freeze_hours_after": 2}, actor=here.manager)
    (freeze,) = freezes_at(here.account, here.now)
    assert freeze.ends_at == event.ends_at + DAY + 2 * HOUR
    entry = CalendarEntry.objects.get()
    for act in (
        lambda: calendar.change_entry(entry, {"title": "x"}, actor=here.manager),
        lambda: calendar.cancel_entry(entry, reason="x", actor=here.manager),
    ):
        with pytest.raises(Refused, match="freeze of the event “Autumn launch”"):
            act()
    shown = as_(here.manager).get(reverse("accounts:calendar-entry", args=[entry.ref])).content.decode()
    assert page(event) in shown
    assert "Keep the changes" not in shown
    change_event(event, {"has_freeze": False}, actor=here.manager)
    assert not freezes_at(here.account, here.now)
    change_event(event, {"has_freeze": True}, actor=here.manager)
    assert freezes_at(here.account, here.now)
    remove_event(event, actor=here.manager)
    assert not freezes_at(here.account, here.now)
    assert not locks_on(here.account, here.now)


@pytest.mark.parametrize(
    ("change", "left_h"),
    [({"freeze_hours_after": 24}, 24), ({"freeze_hours_after": 0}, 0), ({"has_freeze": False}, 0)],
)
def test_the_freeze_of_an_event_that_is_over_ends_when_somebody_says_so(here, change, left_h):
    event = here.add(begins=-2, lasts=3, has_freeze=True, freeze_hours_after=336)
    ScaleUpRecord.objects.create(account=here.account, event=event, connection=make.connection(here.account))
    with pytest.raises(Refused, match="Let it end now instead, and its freeze"):
        remove_event(event, actor=here.manager)
    event = change_event(event, {"ends_at": here.now - HOUR}, actor=here.manager)
    assert freezes_at(here.account, here.now + 13 * DAY)
    for fixed in ({"freeze_hours_before": 2}, {"contacts": [here.maja]}, {"starts_at": here.now - DAY}):
        with pytest.raises(Refused, match="peak, source and the end of its freeze can be corrected"):
            change_event(event, fixed, actor=here.manager)
    shown = as_(here.manager).get(page(event)).content.decode()
    assert 'name="freeze_hours_after"' in shown
    assert 'name="freeze_hours_before"' not in shown
    there = as_(here.manager).get(reverse("accounts:calendar-entry", args=[event.freeze.ref]))
    assert "change or end it there" in there.content.decode()
    answer = as_(here.manager).patch(api(event), change, "application/json", headers={"If-Match": "*"})
    assert answer.status_code == 200
    assert bool(freezes_at(here.account, here.now)) is (left_h > 1)
    assert not freezes_at(here.account, here.now + 24 * HOUR)
    if left_h == 0:
        with pytest.raises(Refused, match="Its name, multiple, peak and source can"):
            change_event(
                event, {"has_freeze": not event.freeze_id, "freeze_hours_after": 5}, actor=here.manager
            )


def test_no_freeze_is_entered_for_an_event_that_is_over(here):
    event = here.add(begins=-2, lasts=3)
    for add in (
        lambda: here.add(begins=-3, has_freeze=True),
        lambda: change_event(event, {"ends_at": here.now - DAY, "has_freeze": True}, actor=here.manager),
    ):
        with pytest.raises(Refused, match="holds nothing back for an event that is over"):
            add()
    assert not CalendarEntry.objects.exists()


def test_who_may_not_change_the_calendar_asks_for_no_freeze_and_moves_none(here):
    with pytest.raises(NotPermitted, match="approver"):
        here.add(has_freeze=True, actor=here.editor)
    assert not TrafficEvent.objects.exists()
    event = here.add(has_freeze=True)
    assert "has_freeze" not in as_(here.editor).get(page(event)).content.decode()
    moved = typed(event, ends_at=f"{event.ends_at + DAY:%Y-%m-%dT%H:%M}")
    assert as_(here.editor).post(page(event), moved).status_code == 403
    assert as_(here.editor).post(page(event, "traffic-event-remove")).status_code == 403
    change_event(event, {"expected_multiple": 3.0}, actor=here.editor)
    assert TrafficEvent.objects.get().expected_multiple == 3.0


def test_a_token_that_may_not_write_the_calendar_moves_no_freeze(here):
    secret = make.token(here.manager, scopes=["scaledown:read", "capacity:write"])
    event = here.add(has_freeze=True)
    sends = {**make.bearer(secret), "HTTP_IF_MATCH": "*"}
    client = Client()
    for change in ({"name": "x"}, {"has_freeze": False}, {"ends_at": (event.ends_at + DAY).isoformat()}):
        answer = client.patch(api(event), change, "application/json", **sends)
        assert (answer.status_code, "calendar:write" in answer.content.decode()) == (403, True)
    assert client.delete(api(event), **sends).status_code == 403
    assert client.patch(api(event), {"expected_multiple": 3}, "application/json", **sends).status_code == 200
    over = here.add(begins=-2, lasts=3, has_freeze=True)
    change_event(over, {"ends_at": here.now - HOUR}, actor=here.manager)
    assert client.patch(api(over), {"name": "Sale"}, "application/json", **sends).status_code == 200


def test_the_calendar_leads_to_the_event_and_feeds_take_the_newer_one(here):
    event = here.add()
    TrafficEvent.objects.update(created_at=here.now - DAY)
    change_event(event, {"name": "Launch"}, actor=here.manager)
    of = Account.objects.filter(pk=here.account.pk)
    (item,) = items_for(of, here.now, here.now + 30 * DAY, viewer=here.manager)
    assert (item.title, item.url) == ("Launch", page(event))
    assert item.sequence > 0


# --- what an event is for pools -----------------------------------------------------------------------------------


def test_pools_are_sized_anew_when_an_event_comes_changes_or_goes(here):
    one = fill(metric(here.account), hours(multiple=0), here.now)
    pool = sized_pool(one)
    services.make_due(timezone.now())

    def kept_and_said():
        said = selectors.sized(selectors.pools().get(pk=pool.pk), timezone.now()).sizing.surplus
        return SizedPool.objects.get().surplus, said

    before = kept_and_said()
    event = here.add(begins=0, expected_multiple=20.0)
    soon = kept_and_said()
    assert before != soon
    assert soon[0] == soon[1]
    at = here.now + 400 * DAY
    change_event(event, {"starts_at": at, "ends_at": at + DAY}, actor=here.manager)
    assert kept_and_said() == before
    remove_event(event, actor=here.manager)
    assert kept_and_said() == before


def test_a_planned_event_gets_the_highest_hour_that_was_measured(here):
    one, other = metric(here.account), metric(here.account, resource="edge")
    orders = metric(here.account, name="orders_per_min", unit="", kind="other")
    at = here.now.replace(minute=0)
    event = here.add(begins=-2, lasts=3)
    seen(orders, at, (20, 15, 20.0, True))
    event.refresh_from_db()
    assert event.observed_peak_rps is None, "what is no request a second is no peak of requests"
    seen(one, at, (20, 15, 20.0, True))
    event.refresh_from_db()
    assert (event.observed_peak_rps, event.is_peak_measured) == (900.0, True)
    TrafficEvent.objects.update(observed_peak_rps=950.0)
    seen(other, at, (20, 15, 20.0, True))
    event.refresh_from_db()
    assert event.observed_peak_rps == 950.0, "never lowered"
    change_event(event, {"observed_peak_rps": 700.0}, actor=here.manager)
    seen(one, at, (20, 14, 20.0, True))
    event.refresh_from_db()
    assert event.observed_peak_rps == 700.0, "a person said so"


@pytest.mark.parametrize(
    ("leave", "left"),
    [
        (
            lambda here, row, one, at: detected.dismiss_detected(
                row, reason="A crawler.", actor=here.manager
            ),
            700.0,
        ),
        (lambda here, row, one, at: detected.name_detected(row, name="Crawl", actor=here.manager), 700.0),
        (lambda here, row, one, at: seen(one, at), 700.0),
        (lambda here, row, one, at: change_event(row.event, moved_to(here.now), actor=here.manager), None),
    ],
    ids=["dismissed", "named otherwise", "no longer seen", "moved"],
)
def test_an_event_keeps_no_measured_peak_of_what_is_not_its_own(here, leave, left):
    one, at = metric(here.account), here.now.replace(minute=0)
    event = here.add(begins=-2, lasts=3)
    for metric_of in (one, metric(here.account, resource="edge")):
        seen(metric_of, at, (20, 15, 20.0, True))
    DetectedEvent.objects.exclude(metric=one).update(peak=700.0)
    row = DetectedEvent.objects.select_related("event").get(metric=one)
    assert (row.event, row.event.observed_peak_rps) == (event, 900.0)
    leave(here, row, one, at)
    event.refresh_from_db()
    assert (event.observed_peak_rps, event.is_peak_measured) == (left, left is not None)
    row.refresh_from_db()
    assert row.event != event
    if left is None:
        assert "observed_peak_rps" in AuditEntry.objects.get(what="event.changed").after
        seen(one, at, (20, 15, 20.0, True))
        assert Message.objects.filter(purpose="event_detected").exists(), "people are asked what it was then"


def test_a_person_is_believed_about_the_peak_of_an_event_that_is_moved(here):
    event = here.add(begins=-2, lasts=3)
    seen(metric(here.account), here.now.replace(minute=0), (20, 15, 20.0, True))
    change_event(event, {**moved_to(here.now), "observed_peak_rps": 650.0}, actor=here.manager)
    event.refresh_from_db()
    assert (event.observed_peak_rps, event.is_peak_measured) == (650.0, False)


def test_an_event_is_called_off_though_the_portal_took_a_stretch_for_it(here):
    event = here.add(begins=-2, lasts=3)
    seen(metric(here.account), here.now.replace(minute=0), (20, 15, 20.0, True))
    remove_event(event, actor=here.manager)
    row = DetectedEvent.objects.get()
    assert (row.state, row.event) == (DetectedState.PROPOSED, None)


def test_what_a_person_says_of_the_peak_stays_while_a_named_event_goes_on(here):
    one, at = metric(here.account), here.now.replace(minute=0)
    seen(one, at, (20, 1, 20.0, False))
    event = detected.name_detected(DetectedEvent.objects.get(), name="Sale", actor=here.manager).event
    change_event(event, {"observed_peak_rps": 700.0}, actor=here.manager)
    seen(one, at, (20, 0, 20.0, False))
    event.refresh_from_db()
    assert (event.ends_at, event.observed_peak_rps) == (at, 700.0)


# --- what was detected --------------------------------------------------------------------------------------------


def test_unusual_traffic_waits_falls_or_is_decided(here):
    one, at = metric(here.account), here.now.replace(minute=0)

    def judged():
        with CaptureQueriesContext(connection) as asked:
            found = ask(Account.objects.all(), here.now, keys={"unusual"})[here.account.pk]["unusual"]
        assert len(asked) <= 2, "its own, and one that asks for the accounts"
        return found

    assert judged().grade is Grade.UNKNOWN
    GrowthReport.objects.create(
        metric=one, asked_at=at, made_at=at, state="made", analysed_until=at, analysed_from=at - 30 * DAY
    )
    assert judged().grade is Grade.GREEN
    seen(one, at, (20, 15, 20.0, True))
    found = judged()
    assert found.grade is Grade.AMBER
    assert f"requests_per_s rose on {at - 20 * HOUR:%Y-%m-%d %H:%M}" in found.says
    seen(one, at, (20, 15, 20.0, True), (3, 0, -20.0, False))
    found = judged()
    assert found.grade is Grade.RED
    assert "still low" in found.says
    for row in DetectedEvent.objects.filter(state=DetectedState.PROPOSED):
        detected.dismiss_detected(row, reason="A test.", actor=here.manager)
    assert judged().grade is Grade.GREEN
    GrowthReport.objects.update(analysed_until=at - 4 * DAY)
    assert judged().grade is Grade.UNKNOWN, "nothing was measured since"
    DetectedEvent.objects.update(
        state=DetectedState.PROPOSED, is_over=True, ends_at=at - 15 * DAY, starts_at=at - 16 * DAY
    )
    assert judged().grade is Grade.UNKNOWN, "what is older waits in its list"


@pytest.mark.parametrize(
    ("of", "score", "grade", "says"),
    [
        (("latency_p95_ms", "ms", "latency"), 20.0, Grade.RED, "has risen since"),
        (("error_ratio", "share", "errors"), 20.0, Grade.RED, "is still high"),
        (("latency_p95_ms", "ms", "latency"), -20.0, Grade.AMBER, "fell on"),
        (("error_ratio", "share", "errors"), -20.0, Grade.AMBER, "fell on"),
        (("orders_per_min", "", "other"), -20.0, Grade.RED, "is still low"),
        (("requests_per_s", "requests/s", "throughput"), 20.0, Grade.AMBER, "rose on"),
    ],
)
def test_what_is_better_low_is_red_while_it_is_high(here, of, score, grade, says):
    name, unit, kind = of
    seen(
        metric(here.account, name=name, unit=unit, kind=kind),
        here.now.replace(minute=0),
        (20, 0, score, False),
    )
    found = ask(Account.objects.all(), here.now, keys={"unusual"})[here.account.pk]["unusual"]
    assert found.grade is grade
    assert says in found.says


def test_facts_of_capacity_stand_on_the_scorecard(here):
    shown = (
        as_(here.manager).get(reverse("accounts:account-detail", args=[here.account.ref])).content.decode()
    )
    assert "Unusual traffic" in shown


def test_the_list_of_events_costs_the_same_however_many_there_are(here):
    address = reverse("api-traffic-events", args=[here.account.ref])
    browser = as_(here.manager)
    costs = []
    for _ in range(3):
        here.add(contacts=[here.maja], has_freeze=True)
        browser.get(address)
        with CaptureQueriesContext(connection) as asked:
            assert browser.get(address).status_code == 200
        costs.append(len(asked))
    assert len(set(costs)) == 1
    shown = browser.get(reverse("scaledown:record-list", args=[here.account.ref])).content.decode()
    assert "Who is called during it" in shown


def test_an_event_to_come_is_none_that_is_over(here):
    """The wizard of a scale-down offers what has begun: nothing was added for what has not."""
    make.connection(here.account)
    here.add(begins=-5, name="Spring sale")
    coming = here.add(begins=5, name="Christmas")
    address = reverse("scaledown:plan-new", args=[here.account.ref])
    shown = as_(here.manager).get(address).content.decode()
    assert "Spring sale" in shown
    assert "Christmas" not in shown
    asked = {"title": "x", "event": str(coming.ref), "connection": "x"}
    assert as_(here.manager).post(address, asked).status_code == 422
