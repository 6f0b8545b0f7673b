"""What programs of the account read of a drill: of an unannounced one nothing before its end."""

from __future__ import annotations

import pytest
from django.utils import timezone

from drills.plans import hooks, services
from drills.plans.ladder import Held
from drills.scenarios.types import DrillKind, Environment
from drills.types import new_progress, progress_to_plain
from portal.events.models import Event
from portal.frozen import replace
from portal.runs.events import run_changed
from portal.runs.types import Decision
from tests.drills.rows import started

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("kind", [DrillKind.ANNOUNCED, DrillKind.UNANNOUNCED])
def test_of_an_unannounced_drill_nothing_is_said_before_its_end(here, monkeypatch, kind):
    passed = [Held(DrillKind.ANNOUNCED, Environment.TEST, "drill_met")]
    monkeypatch.setattr(services, "held_before", lambda account, key: passed)
    held = started(here, kind=kind)
    run = held.run

    def said():
        names = Event.objects.order_by("pk").values_list("type", flat=True)
        return [one for one in names if one.startswith("run.") or one in {"drill.began", "drill.ended"}]

    began = replace(new_progress(services.data_of(held.drill)), began_at=timezone.now())
    run.status = "running"
    hooks.project(run, Decision(progress_to_plain(began)), {})
    run_changed(run)
    before = ["run.scheduled", "drill.began", "run.running"]
    assert said() == ([] if kind is DrillKind.UNANNOUNCED else before)
    run.status = "completed"
    over = replace(began, ended_at=timezone.now())
    hooks.project(run, Decision(progress_to_plain(over)), progress_to_plain(began))
    run_changed(run)
    last = ["drill.ended", "run.completed"]
    assert said() == (["drill.began", *last] if kind is DrillKind.UNANNOUNCED else [*before, *last])
