"""A drill that restores or takes over data: how old the newest is, and whether it is whole, by a check chosen beforehand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from drills.machine import decide
from drills.plans import services
from drills.types import Facts, Look, Mark, MarkKind, People, new_progress, progress_to_plain
from portal.errors import Refused
from portal.frozen import replace
from portal.runs.models import RunCommand
from portal.runs.types import Command, RunStatus
from tests.drills.rows import started, submitted

pytestmark = pytest.mark.django_db
CHECK = "The orders until noon add up to the sum that the bank has."


def restored(here, **changes):
    return started(here, "restore_from_backup", data_lost_s=86_400.0, completeness=CHECK, **changes)


def asked(plan, reason="", **args):
    now = timezone.now()
    progress = replace(
        new_progress(plan),
        began_at=now - timedelta(minutes=2),
        marks=(Mark(MarkKind.INJECTED, now - timedelta(minutes=1), says="The disruption begins."),),
    )
    command = Command(1, 1, "mark", args, "7", "Ada", reason, now - timedelta(seconds=5))
    done = decide(plan, progress, Look(now), People(RunStatus.RUNNING, (command,)), Facts(), now)
    return done.progress.mark(MarkKind.COMPLETE), done.answers[0]


def test_without_a_check_chosen_beforehand_no_restore_is_submitted(here):
    with pytest.raises(Refused) as refused:
        submitted(here, "restore_from_backup", data_lost_s=86_400.0)
    assert refused.value.code == "no_completeness"
    drill = submitted(here, "restore_from_backup", data_lost_s=86_400.0, completeness=f" {CHECK} ")
    assert services.data_of(drill).completeness == CHECK


def test_what_the_check_showed_is_noted_and_a_failure_says_what_is_missing(here):
    plan = services.data_of(restored(here).drill)
    found, answer = asked(plan, kind="complete", outcome="passed")
    assert (answer.accepted, found.passed) == (True, True)
    found, answer = asked(plan, "The orders of Monday.", kind="complete", outcome="failed")
    assert (answer.accepted, found.passed) == (True, False)
    for reason, args in (("", {"outcome": "failed"}), ("", {}), ("", {"outcome": "perhaps"})):
        found, answer = asked(plan, reason, kind="complete", **args)
        assert (answer.accepted, found) == (False, None)


def test_where_none_was_chosen_nobody_says_that_one_passed(here):
    found, answer = asked(services.data_of(started(here).drill), kind="complete", outcome="passed")
    assert (answer.accepted, found) == (False, None)
    assert "No check of completeness" in answer.says


def test_the_live_page_asks_both_and_reads_the_time_by_the_readers_wall(here, client):
    held = restored(here)
    plan = services.data_of(held.drill)
    held.run.progress = progress_to_plain(replace(new_progress(plan), began_at=timezone.now()))
    held.run.status = "running"
    held.run.save(update_fields=["progress", "status"])
    here.manager.time_zone = "Europe/Berlin"
    here.manager.save(update_fields=["time_zone"])
    client.force_login(here.manager)
    page = client.get(reverse("drills:drill-live", args=[held.drill.ref])).content.decode()
    assert CHECK in page
    assert "The newest data found is of (Europe/Berlin)" in page
    say = reverse("drills:drill-command", args=[held.drill.ref, "mark"])
    client.post(say, {"kind": "newest_data", "value_wall": "2026-01-05T09:30"})
    client.post(say, {"kind": "complete", "outcome": "failed", "reason": "Monday is missing."})
    given = [one.args for one in RunCommand.objects.filter(run=held.run).order_by("pk")]
    assert given == [
        {"kind": "newest_data", "value_at": "2026-01-05T09:30:00+01:00"},
        {"kind": "complete", "outcome": "failed"},
    ]
    told = client.post(say, {"kind": "newest_data", "value_wall": "yesterday"}, follow=True).content.decode()
    assert "Say the newest data" in told
    assert RunCommand.objects.filter(run=held.run).count() == 2


def test_a_drill_that_restores_nothing_asks_for_neither(here, client):
    held = started(here)
    client.force_login(here.manager)
    page = client.get(reverse("drills:drill-live", args=[held.drill.ref])).content.decode()
    assert "The newest data found is of" not in page
    assert "The check passed" not in page
