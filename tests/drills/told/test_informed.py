"""Who was informed in a drill, and when, stands on the axis."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from drills import figures
from drills.machine import decide
from drills.plans import services
from drills.types import (
    Facts,
    Look,
    Mark,
    MarkKind,
    People,
    new_progress,
    progress_from_plain,
    progress_to_plain,
)
from portal.frozen import replace
from portal.runs.types import Command, RunStatus
from tests.drills.rows import started

pytestmark = pytest.mark.django_db


def asked(plan, **args):
    now = timezone.now()
    at = now - timedelta(seconds=5)
    progress = replace(
        new_progress(plan),
        began_at=now - timedelta(minutes=2),
        marks=(Mark(MarkKind.INJECTED, now - timedelta(minutes=1), says="The disruption begins."),),
    )
    command = Command(1, 1, "mark", args, "7", "Ada", "", at)
    done = decide(plan, progress, Look(now), People(RunStatus.RUNNING, (command,)), Facts(), now)
    return done.progress, done.answers[0]


@pytest.mark.parametrize(
    ("whom", "said"),
    [
        ("status_page", "(the status page)"),
        ("management", "(the customer’s management)"),
        ("service_desk", "(the service desk)"),
    ],
)
def test_the_axis_says_who_was_told(here, whom, said):
    plan = services.data_of(started(here).drill)
    progress, answer = asked(plan, kind="informed", whom=whom)
    assert answer.accepted
    (moment,) = [one for one in figures.axis(plan, progress) if one.kind == "informed"]
    assert said in moment.says
    assert "Ada" not in moment.says


@pytest.mark.parametrize(
    "args", [{"kind": "informed", "whom": "everybody"}, {"kind": "mitigated", "whom": "management"}]
)
def test_nobody_else_is_said_to_have_been_told(here, args):
    progress, answer = asked(services.data_of(started(here).drill), **args)
    assert (answer.accepted, progress.mark(MarkKind.INFORMED), progress.mark(MarkKind.MITIGATED)) == (
        False,
        None,
        None,
    )


def test_told_without_saying_whom_it_is_told_all_the_same(here):
    plan = services.data_of(started(here).drill)
    progress, answer = asked(plan, kind="informed")
    assert (answer.accepted, progress.mark(MarkKind.INFORMED).whom) == (True, "")


def test_a_run_from_before_is_read(here):
    plan = services.data_of(started(here).drill)
    progress, _ = asked(plan, kind="informed", whom="management")
    plain = progress_to_plain(progress)
    for mark in plain["marks"]:
        del mark["whom"]
    assert progress_from_plain(plain).mark(MarkKind.INFORMED).whom == ""


def test_the_live_page_asks_whom(here, client):
    held = started(here)
    client.force_login(here.viewer)
    page = client.get(reverse("drills:drill-live", args=[held.drill.ref])).content.decode()
    assert "the customer’s management" in page
    address = reverse("drills:drill-command", args=[held.drill.ref, "mark"])
    client.post(address, {"kind": "informed", "whom": "status_page"})
    assert held.run.commands.get().args == {"kind": "informed", "whom": "status_page"}
