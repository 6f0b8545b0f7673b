"""What becomes of detected stretches from one analysis to the next, and who is told of which."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account
from capacity import tasks
from capacity.growth import Event
from capacity.metrics.models import Metric
from capacity.models import TrafficEvent
from capacity.reports import detected, services, short, sized
from capacity.reports.models import DetectedEvent, DetectedState, GrowthReport
from portal.notify.models import MailState, Message
from tests import factories as make
from tests.capacity.test_reports import browser_of, fill, hours, metric, sized_pool

HOURS = 1000


@pytest.fixture
def account(db) -> Account:
    found = make.account()
    make.launch_manager(found.team)
    return found


def manager(account: Account):
    return account.team.memberships.get().user


@pytest.fixture
def now() -> datetime:
    return timezone.now().replace(minute=0, second=0, microsecond=0)


def seen(one: Metric, now: datetime, *stretches: tuple[int, int, float, bool]) -> None:
    """Let an analysis find stretches: begin and end in hours before now, score, and whether it is over."""
    begins = now - timedelta(hours=HOURS)
    events = tuple(
        Event(HOURS - begin, HOURS - end, HOURS - begin, 900.0, 180.0, score, 5.0, 0, None, is_over)
        for begin, end, score, is_over in stretches
    )
    made = SimpleNamespace(
        begins=begins, ends=now, events=events, at=lambda step: begins + step * timedelta(hours=1)
    )
    detected.keep(one, made, now)


def waiting() -> list[str]:
    """Return the pages that the mails which wait to be sent lead to."""
    return list(
        Message.objects.filter(purpose="event_detected", mail_state=MailState.QUEUED)
        .order_by("pk")
        .values_list("url", flat=True)
    )


def page(row: DetectedEvent) -> str:
    return reverse("capacity:detected", args=[row.ref])


def orders(account: Account, **fields) -> Metric:
    return metric(account, name="orders_per_min", unit="", kind="other", **fields)


OUTAGE = (20, 0, -20.0, False)


def test_a_profile_is_kept_in_seconds_from_the_beginning_of_the_stretch(account, now):
    """Four times normal for a day that begins gently, and half of the excess is gone eight hours after its peak."""
    base = hours(multiple=0)
    times = np.concatenate([np.linspace(2.0, 5.0, 7), 1 + 4 * 0.5 ** (np.arange(1, 54) / 8)])
    base[-100:-40] *= times
    one = fill(metric(account), base, now)
    GrowthReport.objects.create(metric=one, asked_at=now)
    services.make_due(timezone.now())
    row = DetectedEvent.objects.get()
    assert row.starts_at == now - timedelta(hours=100)
    assert row.lead_in_s == (row.peak_at - row.starts_at).total_seconds()
    assert row.half_life_s == pytest.approx(8 * 3600, abs=2 * 3600)
    assert row.half_life_s % 3600 == 0


def test_what_is_seen_again_before_anybody_was_told_is_told(account, now):
    one = metric(account)
    for stretches in ([OUTAGE], [], [OUTAGE]):
        seen(one, now, *stretches)
        assert len(waiting()) == len(stretches)
    assert DetectedEvent.objects.get().state == DetectedState.PROPOSED


def test_what_people_were_told_of_and_is_seen_again_is_told_once(account, now):
    one = metric(account)
    seen(one, now, OUTAGE)
    Message.objects.update(mail_state=MailState.SENT)
    seen(one, now)
    seen(one, now, OUTAGE)
    assert not waiting()


def test_stretches_that_are_one_by_now_are_one(account, now):
    """The one that was longer goes on; the other is no longer seen, and its mail is taken back."""
    one = metric(account)
    seen(one, now, (86, 84, 20.0, True))
    seen(one, now, (90, 89, 20.0, True), (86, 84, 20.0, True))
    assert len(waiting()) == 2
    seen(one, now, (90, 84, 20.0, True))
    rows = {row.state: row for row in DetectedEvent.objects.all()}
    assert set(rows) == {DetectedState.PROPOSED, DetectedState.WITHDRAWN}
    whole = rows[DetectedState.PROPOSED]
    assert (whole.starts_at, whole.ends_at) == (now - timedelta(hours=90), now - timedelta(hours=84))
    assert waiting() == [page(whole)]


def test_a_fall_under_a_named_rise_is_asked_about_and_takes_nothing_of_it(account, now):
    one = metric(account)
    seen(one, now, (20, 15, 20.0, True))
    rise = DetectedEvent.objects.get()
    detected.name_detected(rise, name="Sale", actor=manager(account))
    seen(one, now, (20, 0, 20.0, False), (16, 10, -30.0, True))
    rise.refresh_from_db()
    fall = DetectedEvent.objects.get(score__lt=0)
    assert (rise.state, rise.event.name, rise.is_over) == (DetectedState.NAMED, "Sale", False)
    assert (fall.state, fall.event) == (DetectedState.PROPOSED, None)
    assert waiting() == [page(fall)]
    # The record of the event is of the whole of it, outage and all.
    assert TrafficEvent.objects.get().ends_at == now


def test_a_mail_leads_to_what_waits_to_be_decided(account, now):
    """Of two metrics that showed it one is withdrawn: its page is none any more, and people are asked about the other."""
    one, other = metric(account), orders(account)
    seen(one, now, (10, 5, 20.0, True))
    seen(other, now, (8, 4, 20.0, True))
    first, second = DetectedEvent.objects.order_by("pk")
    assert waiting() == [page(first)]
    seen(one, now)
    assert waiting() == [page(second)]
    assert browser_of(account).get(page(second)).status_code == 200
    detected.dismiss_detected(second, reason="a crawler", actor=manager(account))
    assert not waiting()


def test_a_mail_is_called_off_whenever_the_stretch_is_thought_to_have_begun(account, now):
    one = metric(account)
    seen(one, now, (2, 0, 20.0, False))
    seen(one, now, (26, 0, 20.0, False))
    detected.name_detected(DetectedEvent.objects.get(), name="Sale", actor=manager(account))
    assert not waiting()


def test_an_outage_is_told_though_another_one_of_the_day_was_decided(account, now):
    one, other = metric(account), orders(account)
    seen(other, now, (20, 18, -20.0, True))
    Message.objects.update(mail_state=MailState.SENT)
    detected.dismiss_detected(
        DetectedEvent.objects.get(), reason="the bank's maintenance", actor=manager(account)
    )
    seen(one, now, (5, 0, -40.0, False))
    assert waiting() == [page(DetectedEvent.objects.get(metric=one))]


@pytest.mark.parametrize(
    ("score", "resource", "mails"), [(20.0, "two", 1), (-20.0, "", 1), (-20.0, "two", 2)]
)
def test_the_same_happening_in_two_metrics_is_told_once_and_a_fall_for_each_resource(
    account, now, score, resource, mails
):
    seen(metric(account), now, (10, 0, score, False))
    seen(orders(account, resource=resource), now, (8, 0, score, False))
    assert len(waiting()) == mails


def test_what_goes_on_after_a_planned_event_is_told_whatever_else_was_told_of(account, now):
    one, other = metric(account), orders(account)
    make.event(account, starts_at=now - timedelta(hours=70), ends_at=now - timedelta(hours=16))
    seen(one, now, (17, 10, 20.0, False))
    assert DetectedEvent.objects.get().state == DetectedState.NAMED
    seen(other, now, (12, 11, 20.0, True))
    Message.objects.update(mail_state=MailState.SENT)
    other_row = DetectedEvent.objects.get(metric=other)
    detected.dismiss_detected(other_row, reason="an import", actor=manager(account))
    seen(one, now, (17, 0, 20.0, False))
    row = DetectedEvent.objects.get(metric=one)
    assert row.state == DetectedState.PROPOSED
    assert waiting() == [page(row)]


def test_what_the_portal_takes_for_a_planned_event_is_asked_about_no_more(account, now):
    one = metric(account)
    seen(one, now, (10, 5, 20.0, True))
    assert len(waiting()) == 1
    make.event(account, starts_at=now - timedelta(hours=12), ends_at=now - timedelta(hours=2))
    seen(one, now, (10, 5, 20.0, True))
    assert DetectedEvent.objects.get().state == DetectedState.NAMED
    assert not waiting()


def test_what_is_the_level_by_now_is_no_event_that_is_on(account, now):
    """Named while on it is an event for two weeks; after that, times its own multiple, it would ask for servers without end."""
    base, one = hours(multiple=0), metric(account)
    values = base[:-380].copy()
    values[-80:] *= 5.0
    fill(one, values, now - timedelta(hours=380))
    sized_pool(one, servers=14)
    services.make_due(now - timedelta(hours=380) + timedelta(minutes=1))
    row = DetectedEvent.objects.get()
    assert not row.is_over
    detected.name_detected(row, name="Sale", actor=manager(account))
    values = base.copy()
    values[-460:] *= 5.0
    fill(one, values, now)
    GrowthReport.objects.update(asked_at=now + timedelta(minutes=1))
    services.make_due(now + timedelta(minutes=1))
    row.refresh_from_db()
    assert (row.state, row.is_over) == (DetectedState.NAMED, True)
    assert list(DetectedEvent.objects.on_at(now).filter(metric=one.pk)) == []


def test_what_was_dismissed_while_on_and_becomes_much_more_is_asked_about_again(account, now):
    base, one = hours(multiple=0), metric(account)
    values = base[:-20].copy()
    values[-5:] *= 2.5
    fill(one, values, now - timedelta(hours=20))
    sized_pool(one, servers=12)
    services.make_due(now - timedelta(hours=19, minutes=59))
    row = DetectedEvent.objects.get()
    detected.dismiss_detected(row, reason="a crawler", actor=manager(account))
    values = base[:-15].copy()
    values[-10:] *= 2.7
    fill(one, values, now - timedelta(hours=15))
    GrowthReport.objects.update(asked_at=now - timedelta(hours=14))
    services.make_due(now - timedelta(hours=14))
    row.refresh_from_db()
    assert (row.state, row.is_over) == (DetectedState.DISMISSED, False), "it goes on as it was"
    values = base.copy()
    values[-25:-20] *= 2.5
    values[-20:] *= 8.0
    fill(one, values, now)
    GrowthReport.objects.update(asked_at=now)
    services.make_due(timezone.now())
    row.refresh_from_db()
    assert (row.state, row.reason, row.decided_by) == (DetectedState.PROPOSED, "", None)
    assert waiting() == [page(row)]
    assert [on.multiple for on in list(DetectedEvent.objects.on_at(now).filter(metric=one.pk))] == [
        pytest.approx(8.0, rel=0.25)
    ]


def test_what_is_named_in_another_metric_and_still_on_is_asked_about_no_more(account, now):
    """Another metric's report is made first each night: the record of the event follows only later."""
    one, other = metric(account), orders(account)
    seen(one, now, (29, 24, 20.0, False))
    detected.name_detected(DetectedEvent.objects.get(), name="Sale", actor=manager(account))
    seen(other, now, (28, 24, 20.0, False))
    row = DetectedEvent.objects.get(metric=other)
    assert (row.state, row.event.name) == (DetectedState.NAMED, "Sale")
    seen(other, now, (28, 0, 20.0, False))
    row.refresh_from_db()
    assert row.state == DetectedState.NAMED
    assert not waiting()


@pytest.mark.parametrize(("times", "asked"), [(1.0, 0), (1.05, 0), (4.0, 1), (0.0, 1)])
def test_what_leaves_its_forecast_by_day_has_its_report_made_before_the_night(account, now, times, asked):
    base, one = hours(multiple=0), metric(account)
    fill(one, base[:-6], now - timedelta(hours=6))
    pool = sized_pool(one, servers=6)
    services.make_due(now - timedelta(hours=6) + timedelta(minutes=1))
    assert not DetectedEvent.objects.exists()
    values = base.copy()
    values[-3:] *= times
    fill(one, values, now)
    at = now + timedelta(minutes=5)
    assert services.ask_where_off(at) == asked
    assert services.ask_where_off(at) == 0, "it is asked for already"
    if not asked:
        return
    services.make_due(timezone.now() + timedelta(minutes=10))
    row = DetectedEvent.objects.get()
    assert (row.is_rise, row.is_over) == (times > 1.0, False)
    pool.refresh_from_db()
    assert bool(pool.missing_on) is (times > 1.0)
    # While it is on each whole hour that is new is looked at, so that its end is seen, too.
    assert services.ask_where_off(at + timedelta(hours=1)) == 0
    fill(one, np.append(values, base[-24]), now + timedelta(hours=1))
    assert services.ask_where_off(at + timedelta(hours=1)) == 1


def test_a_site_that_breaks_under_a_sale_is_told_and_the_sale_is_on(account, now):
    values = hours(multiple=0)
    values[-20:] *= 5.0
    values[-6:] = 0.0
    one = fill(metric(account), values, now)
    pool = sized_pool(one, servers=40)
    services.make_due(timezone.now())
    rows = DetectedEvent.objects.order_by("starts_at")
    assert [(row.is_rise, row.is_over) for row in rows] == [(True, True), (False, False)]
    assert len(waiting()) == 2
    pool.refresh_from_db()
    (on,) = list(DetectedEvent.objects.on_at(now).filter(metric=one.pk))
    assert on.multiple == pytest.approx(5.0, rel=0.25)
    # The demand is back as soon as the site is.
    assert pool.surplus == 0


def test_an_event_of_a_series_that_ended_takes_nothing_of_what_comes_later(account, now):
    """Its row is still "on": weeks later another metric rises, and somebody is told."""
    one, other = metric(account), orders(account)
    seen(one, now - timedelta(days=40), (29, 0, 20.0, False))
    detected.name_detected(DetectedEvent.objects.get(), name="Sale", actor=manager(account))
    Message.objects.all().delete()
    seen(other, now, (10, 0, 20.0, False))
    row = DetectedEvent.objects.get(metric=other)
    assert row.state == DetectedState.PROPOSED
    assert waiting() == [page(row)]


def test_who_had_the_mail_gets_no_second_one_for_whoever_did_not_read_theirs(account, now):
    one = metric(account)
    make.launch_manager(account.team)
    seen(one, now, OUTAGE)
    first, second = Message.objects.filter(purpose="event_detected").order_by("pk")
    Message.objects.filter(pk=first.pk).update(mail_state=MailState.SENT)
    Message.objects.filter(pk=second.pk).update(mail_state=MailState.NONE)
    seen(one, now)
    seen(one, now, OUTAGE)
    told = Message.objects.filter(purpose="event_detected")
    assert told.filter(user=first.user).count() == 1
    assert told.filter(user=second.user, is_shown=True).count() == 1


def test_what_is_seen_and_not_seen_by_turns_is_one_notice(account, now):
    one = metric(account)
    for hour in range(12):
        seen(one, now + timedelta(hours=hour), *([] if hour % 2 else [(20 + hour, 0, -20.0, False)]))
        Message.objects.filter(mail_state=MailState.QUEUED).update(mail_state=MailState.NONE)
    assert Message.objects.filter(purpose="event_detected", is_shown=True).count() <= 1


def test_what_was_over_when_it_was_dismissed_stays_dismissed_whatever_is_expected_now(account, now):
    one, begins = metric(account), now - timedelta(hours=HOURS)

    def look(expected: float, multiple: float) -> None:
        event = Event(900, 910, 903, 900.0, expected, 20.0, multiple, 0, None, True)
        made = SimpleNamespace(
            begins=begins, ends=now, events=(event,), at=lambda step: begins + step * timedelta(hours=1)
        )
        detected.keep(one, made, now)

    look(600.0, 1.5)
    row = DetectedEvent.objects.get()
    detected.dismiss_detected(row, reason="an import", actor=manager(account))
    look(300.0, 3.0)
    row.refresh_from_db()
    assert (row.state, row.reason) == (DetectedState.DISMISSED, "an import")


def test_an_event_at_the_end_of_the_calendar_breaks_no_report(account, now):
    at = datetime(9999, 12, 25, tzinfo=UTC)
    make.event(account, starts_at=at, ends_at=at + timedelta(days=5), source="detected in the far future")
    assert detected.known_windows(metric(account), now) == [(at, at + timedelta(days=5))]


def test_a_report_that_cannot_be_looked_into_stands_in_nobodys_way(account, now, monkeypatch):
    one = fill(metric(account), hours(multiple=0)[:-6], now - timedelta(hours=6))
    pool = sized_pool(one, servers=6)
    services.make_due(now - timedelta(hours=6) + timedelta(minutes=1))
    fill(one, hours(multiple=0), now)
    monkeypatch.setattr(services, "unpacked", lambda *_: {})
    monkeypatch.setattr(sized, "look_at_stale", lambda _: 0)
    pool.refresh_from_db()
    before = pool.judged_at
    tasks.look_at_pools()
    pool.refresh_from_db()
    assert pool.judged_at > before


def test_a_pool_that_cannot_be_worked_out_stands_in_no_other_ones_way(account, monkeypatch):
    broken, whole = (sized_pool(metric(make.account())) for _ in range(2))
    real = short.sized

    def breaks(pool, *more):
        if pool.pk == broken.pk:
            raise ZeroDivisionError
        return real(pool, *more)

    monkeypatch.setattr(short, "sized", breaks)
    now = timezone.now()
    short.judge_all(now)
    whole.refresh_from_db()
    broken.refresh_from_db()
    assert (whole.judged_at, broken.judged_at is None) == (pytest.approx(now, abs=timedelta(minutes=1)), True)
    with pytest.raises(ZeroDivisionError):
        short.judge_anew(broken.connection_id, broken.balancer_id)
