"""What capacity and scale-down know of how accounts stand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.facts import Grade, ask
from accounts.models import Account
from capacity.facts import EventKnown, judge_events
from portal.runs.models import Run
from scaledown.facts import ScaleBackKnown, gather_quarter, judge_scale_back
from scaledown.models import Retirement, ScaleUpEntry, ScaleUpRecord
from tests import factories as make

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def back(ended_days=5, left=2, recorded=4, **more):
    ended = NOW - timedelta(days=ended_days)
    values = {"plans_waiting": 0, "plans_ready": 0, "runs_live": 0, "runs_halted": 0, "halted_since": None}
    return ScaleBackKnown(ended, True, recorded, left, ended, **{**values, **more})


@pytest.mark.parametrize(
    ("seen", "grade", "word"),
    [
        (None, Grade.UNKNOWN, ""),
        (back(runs_halted=1), Grade.RED, "halted"),
        (back(ended_days=3), Grade.GREEN, "still there"),
        (back(ended_days=1), Grade.GREEN, "ended 1 day ago"),
        (back(ended_days=0.5), Grade.GREEN, "ended less than a day ago"),
        (back(ended_days=4), Grade.AMBER, "No plan was drawn up"),
        (back(ended_days=15, plans_waiting=1), Grade.RED, "A plan waits"),
        (back(ended_days=15, runs_live=1), Grade.AMBER, "A run is taking them out"),
        (back(left=0), Grade.GREEN, "out again"),
        (ScaleBackKnown(None, False, 0, 0, None, 0, 0, 0, 0, None), Grade.GREEN, "No event"),
        (ScaleBackKnown(NOW, False, 0, 0, NOW, 0, 0, 0, 0, None), Grade.UNKNOWN, "Nobody wrote down"),
    ],
)
def test_the_way_back_after_an_event_is_judged_by_what_is_left(seen, grade, word):
    found = judge_scale_back(seen, NOW)
    assert found.grade is grade
    assert word in found.says


@pytest.mark.parametrize(
    ("days", "people", "grade"),
    [(9, 2, Grade.GREEN), (9, 1, Grade.AMBER), (9, 0, Grade.RED), (3, 1, Grade.RED), (-1, 1, Grade.RED)],
)
def test_an_event_soon_needs_a_contact_and_a_backup(days, people, grade):
    assert judge_events(EventKnown(NOW + timedelta(days=days), people), NOW).grade is grade


def test_no_event_soon_needs_nobody():
    assert judge_events(EventKnown(None, 0), NOW).grade is Grade.GREEN
    assert judge_events(None, NOW).grade is Grade.UNKNOWN


@pytest.mark.django_db
def test_what_an_event_left_is_found_by_what_runs_took_out():
    now = timezone.now()
    account = make.account()
    manager = make.launch_manager(account.team)
    cloud = make.connection(account)
    event = make.event(account, starts_at=now - timedelta(days=7), ends_at=now - timedelta(days=6))
    record = ScaleUpRecord.objects.create(account=account, connection=cloud, event=event)
    for place in (1, 2, 3):
        ScaleUpEntry.objects.create(
            record=record, position=place, server_id=f"s{place}", server_name=f"web-{place}", added_at=now
        )
    values = {"account": account, "kind": "scaledown", "title": "x", "plan": {}, "digest": "a" * 64}
    over = {"status": "completed", "ended_at": now, "created_by": manager}
    done = Run.objects.create(**values, plan_ref=uuid4(), **over)
    rehearsal = Run.objects.create(**values, plan_ref=uuid4(), is_rehearsal=True, **over)
    out = {"position": 1, "phase": "retired", "phase_since": now - timedelta(hours=10)}
    Retirement.objects.create(run=done, server_id="s1", server_name="web-1", **out)
    Retirement.objects.create(run=rehearsal, server_id="s2", server_name="web-2", **out)
    found = ask(Account.objects.all(), now, keys={"scale_back", "event_soon"})[account.pk]
    parts = dict(found["scale_back"].parts)
    assert (parts["servers added for events that are over"], parts["still there"]) == (3, 2)
    assert found["scale_back"].grade is Grade.AMBER
    shown = gather_quarter(account.team, now - timedelta(days=20), now + timedelta(days=20))
    figures = {one.label: one for one in shown.figures}
    assert figures["Servers taken out"].value == 1
    assert figures["Server-hours saved"].value == pytest.approx(10, abs=0.1)
    assert figures["Servers left of events that are over"].value == 2
    # Nobody watched: unknown is not none.
    assert figures["Runs with harm seen"].value is None
