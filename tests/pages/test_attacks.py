"""What people, stale tabs and scripts send to the forms: refused in words, nothing lost, no traceback."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django import forms
from django.utils import timezone

from capacity.models import TrafficEvent
from portal.errors import StaleState
from portal.runs.models import Standstill
from scaledown import services
from scaledown.forms import MomentField, RecordForm, SafetyForm
from tests.pages.test_pages import (  # noqa: F401
    PURPOSE,
    SAFETY,
    as_,
    drafted,
    here,
    page,
    started,
    submitted,
    url,
)

POOL = {"balancer_ids": ["71"], "target": "", "floor": "2", "order": "reverse_of_scale_up"}


def version_in(answer) -> str:
    """The version of the draft that a form carries."""
    found = re.search(r'name="seen" value="([0-9a-f]{24})"', answer.content.decode())
    assert found is not None
    return found[1]


# --- moments --------------------------------------------------------------------------------------------------


def moment(typed, zone="Europe/Stockholm"):
    field = MomentField()
    field.zone = ZoneInfo(zone)
    return field.clean(typed)


def test_an_hour_that_the_clock_skips_is_no_moment():
    with pytest.raises(forms.ValidationError, match="02:30 does not exist on this day in Europe/Stockholm"):
        moment("2027-03-28T02:30")
    assert moment("2027-03-28T03:00") == datetime(2027, 3, 28, 1, 0, tzinfo=UTC)


def test_an_hour_that_comes_twice_is_asked_for_again():
    with pytest.raises(forms.ValidationError, match="02:30 comes twice on this day"):
        moment("2027-10-31T02:30")
    assert moment("2027-10-31T03:00") == datetime(2027, 10, 31, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize("typed", ["0001-01-01T00:00", "9999-12-31T23:59", "1999-12-31T23:59"])
def test_a_year_that_no_plan_is_for_is_refused(typed):
    for zone in ("Europe/Stockholm", "America/Chicago", "Pacific/Kiritimati"):
        with pytest.raises(forms.ValidationError, match="Choose a year"):
            moment(typed, zone)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"min_drain_s": "10 min", "drain_limit_s": "2 min"}, "no drain could ever end"),
        ({"window_end": "2020-03-01T10:00"}, "That is over already"),
        ({"guard_share": "NaN"}, "Enter a number"),
        ({"guard_share": "inf"}, "Enter a number"),
        ({"soak_s": "1" * 10_000}, "at most 30 characters"),
        ({"soak_s": "🚀"}, "Write a length of time"),
        ({"drain_limit_s": "-5 min"}, "Write a length of time"),
    ],
)
def test_what_no_run_could_follow_is_refused_where_it_was_typed(fields, says):
    form = SafetyForm({**SAFETY, **fields}, zone=UTC)
    assert not form.is_valid()
    assert says in str(form.errors)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("web-01, id-1, 0001-01-01T00:00:00+14:00", "choose a year"),
        (f"{'x' * 256}, id-1, 2026-01-01 10:00", "at most 255 characters"),
        (f"web-01, {'y' * 65}, 2026-01-01 10:00", "at most 64"),
    ],
)
def test_a_line_of_a_record_that_cannot_be_kept_is_named(line, says):
    class Connection:
        ref = "c"
        name = "c"

    form = RecordForm({"connection": "c", "servers": f"\n{line}"}, connections=[Connection()])
    assert not form.is_valid()
    assert "Line 1" in str(form.errors) or "Line 2" in str(form.errors)
    assert says in str(form.errors)


# --- what is posted -------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_null_character_is_refused_on_every_page_and_nothing_is_kept(here, as_):  # noqa: F811
    run = started(here)
    browser = as_(here.manager)
    for address, fields in (
        (url("run-lesson", run), {"text": "a\x00b"}),
        (url("standstill", here.account), {"scope": "account", "reason": "\x00"}),
        (
            url("record-detail", here.event),
            {"connection": here.connection.ref, "servers": "a\x00,b,2026-01-01"},
        ),
        (url("plan-new", here.account), {**PURPOSE, "title": "a\x00"}),
    ):
        assert "invisible character" in page(browser.post(address, fields), 422)
    assert not Standstill.objects.exists()


@pytest.mark.django_db
def test_an_event_outside_the_calendar_is_refused_and_the_list_still_opens(here, as_):  # noqa: F811
    browser = as_(here.manager)
    events = TrafficEvent.objects.count()
    typed = {"name": "x", "starts_at": "0001-01-01T00:00", "ends_at": "9999-12-31T23:59"}
    assert "Choose a year" in page(browser.post(url("record-list", here.account), typed), 422)
    assert TrafficEvent.objects.count() == events
    page(browser.get(url("record-list", here.account)))


# --- two tabs -------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_of_two_tabs_with_one_draft_neither_loses_what_the_other_kept(here, as_):  # noqa: F811
    plan = drafted(here)
    browser = as_(here.manager)
    mine, theirs = (version_in(browser.get(url("plan-safety", plan))) for _tab in range(2))
    assert (
        browser.post(url("plan-safety", plan), {**SAFETY, "soak_s": "7 min", "seen": theirs}).status_code
        == 302
    )

    answer = browser.post(url("plan-safety", plan), {**SAFETY, "soak_s": "9 min", "seen": mine})
    shown = page(answer, 409)
    assert "This draft was changed since you opened this page" in shown
    assert "Kept now: 7 min. Send again to keep what you typed instead." in shown
    assert 'value="9 min"' in answer.content.decode()
    plan.refresh_from_db()
    assert services.choice_of(plan).soak_s == 420

    again = browser.post(url("plan-safety", plan), {**SAFETY, "soak_s": "9 min", "seen": version_in(answer)})
    assert again.status_code == 302
    plan.refresh_from_db()
    assert services.choice_of(plan).soak_s == 540


@pytest.mark.django_db
def test_a_change_of_another_step_is_no_conflict_and_is_kept(here, as_):  # noqa: F811
    plan = drafted(here)
    browser = as_(here.manager)
    safety = version_in(browser.get(url("plan-safety", plan)))
    pool = version_in(browser.get(url("plan-pool", plan)))
    assert browser.post(url("plan-pool", plan), {**POOL, "floor": "3", "seen": pool}).status_code == 302
    assert browser.post(url("plan-safety", plan), {**SAFETY, "seen": safety}).status_code == 302
    plan.refresh_from_db()
    assert services.choice_of(plan).floor == 3


@pytest.mark.django_db
def test_the_first_two_steps_notice_another_tab_too(here, as_):  # noqa: F811
    plan = drafted(here)
    browser = as_(here.manager)
    purpose = version_in(browser.get(url("plan-purpose", plan)))
    pool = version_in(browser.get(url("plan-pool", plan)))
    choice = services.choice_of(plan)
    services.edit_draft(plan, actor=here.manager, title="Another name")
    assert "Kept now: Another name" in page(
        browser.post(
            url("plan-purpose", plan),
            {"title": "Mine", "reason": choice.reason, "event": here.event.ref, "seen": purpose},
        ),
        409,
    )
    browser.post(url("plan-pool", plan), {**POOL, "floor": "3"})
    assert "Kept now: 3" in page(browser.post(url("plan-pool", plan), {**POOL, "seen": pool}), 409)


@pytest.mark.django_db
def test_what_is_submitted_is_what_was_seen(here, as_):  # noqa: F811
    plan = drafted(here)
    browser = as_(here.manager)
    seen = version_in(browser.get(url("plan-submit", plan)))
    browser.post(url("plan-safety", plan), {**SAFETY, "soak_s": "6 min"})
    assert "changed since you opened this page" in page(
        browser.post(url("plan-submit", plan), {"reason": "", "seen": seen}), 409
    )
    plan.refresh_from_db()
    assert plan.status == "draft"


@pytest.mark.django_db
def test_a_change_between_reading_and_saving_is_noticed(here):  # noqa: F811
    plan = drafted(here)
    read_at = plan.updated_at
    services.edit_draft(plan, actor=here.manager, title="Another name")
    with pytest.raises(StaleState, match="changed at the same moment"):
        services.edit_draft(plan, actor=here.manager, title="Mine", seen=read_at)


@pytest.mark.django_db
def test_no_browser_keeps_a_step_of_a_draft(here, as_):  # noqa: F811
    plan = drafted(here)
    for name in ("plan-purpose", "plan-pool", "plan-safety", "plan-preview", "plan-submit"):
        assert as_(here.manager).get(url(name, plan))["Cache-Control"] == "no-store"


@pytest.mark.django_db
def test_a_step_sent_twice_or_after_the_plan_was_submitted_says_so(here, as_):  # noqa: F811
    plan = submitted(here)
    browser = as_(here.manager)
    for name, fields in (
        ("plan-purpose", PURPOSE),
        ("plan-pool", POOL),
        ("plan-safety", SAFETY),
        ("plan-preview", {}),
        ("plan-submit", {"reason": ""}),
    ):
        assert "was submitted" in page(browser.post(url(name, plan), fields), 409)


@pytest.mark.django_db
def test_a_window_that_ends_after_now_is_taken(here, as_):  # noqa: F811
    plan = drafted(here)
    ends = (timezone.now() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M")
    assert as_(here.manager).post(url("plan-safety", plan), {**SAFETY, "window_end": ends}).status_code == 302
