"""Every button of the live page: what is pressed is what the run is told."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from django.db import transaction
from django.utils import timezone

from portal.access import permissions_on
from portal.runs.models import Run, RunCommand
from portal.runs.types import RunStatus
from scaledown import standstills, wording
from scaledown.canonical import plan_from_plain
from scaledown.live import live_run
from scaledown.progress import new_progress, progress_to_plain
from scaledown.types import Phase
from tests.pages.test_pages import as_, here, page, started, url  # noqa: F401  (fixtures)

pytestmark = pytest.mark.django_db

FORM = re.compile(
    r'<form method="post" action="([^"]*/commands?/[^"]*|[^"]*command[^"]*)"(.*?)</form>', re.DOTALL
)
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
LINK = re.compile(r'<a class="btn[^"]*" href="([^"]*(?:abort|go-on|finish)[^"]*)"')


def in_mid_drain(here) -> Run:  # noqa: F811
    run = started(here)
    now = timezone.now()
    progress = new_progress(plan_from_plain(run.plan), now)
    first = replace(progress.servers[0], phase=Phase.DRAINING, since=now)
    progress = replace(progress, started_at=now, servers=(first, *progress.servers[1:]))
    Run.objects.filter(pk=run.pk).update(
        status=RunStatus.RUNNING, progress=progress_to_plain(progress), started_at=now
    )
    run.refresh_from_db()
    return run


def told(browser, address: str, fields: dict[str, str]) -> tuple[str, dict]:
    """Send what a button sends; return what the run was told, and take it back."""
    with transaction.atomic():
        answer = browser.post(address, fields)
        assert answer.status_code == 302, answer.content.decode()[:2000]
        command = RunCommand.objects.latest("pk")
        found = command.name, command.args
        transaction.set_rollback(True)
    return found


def test_each_button_of_the_live_page_sends_exactly_what_it_offers(here, as_):  # noqa: F811
    run, browser = in_mid_drain(here), as_(here.manager)
    body = browser.get(url("run-detail", run)).content.decode()
    forms = [
        (html.unescape(action), dict(HIDDEN.findall(inner)))
        for action, inner in FORM.findall(body)
        if "standstill" not in action
    ]
    live = live_run(run, granted=permissions_on(here.manager, here.account))
    offered = [*live.offers, *(offer for lane in live.lanes for offer in lane.offers)]
    plain = [offer for offer in offered if not (offer.is_dangerous or offer.needs_reason)]
    sent = [
        told(browser, action, {k: v for k, v in fields.items() if k != "csrfmiddlewaretoken"})
        for action, fields in forms
    ]
    key = lambda one: (one[0], sorted(one[1].items()))  # noqa: E731
    assert sorted(sent, key=key) == sorted(((offer.name, dict(offer.args)) for offer in plain), key=key)
    assert ("pause", {"when": "now"}) in sent
    assert ("pause", {"when": "after_this_server"}) in sent
    assert ("skip", {"server": live.lanes[1].server_id}) in sent


def test_a_button_pressed_on_a_run_that_has_moved_on_does_nothing(here, as_):  # noqa: F811
    run, browser = in_mid_drain(here), as_(here.manager)
    body = browser.get(url("run-detail", run)).content.decode()
    action = next(
        html.unescape(action) for action, _ in FORM.findall(body) if "when=now" in html.unescape(action)
    )
    Run.objects.filter(pk=run.pk).update(
        status=RunStatus.HALTED, halt_code="x", halt_rank="safe_waiting", halt_says="x"
    )
    assert browser.post(action).status_code == 409
    assert not RunCommand.objects.exists()


def test_while_everything_is_stopped_no_server_is_said_to_be_going_down(here, as_):  # noqa: F811
    run = in_mid_drain(here)
    plan = plan_from_plain(run.plan)
    progress = new_progress(plan, timezone.now())
    says = f"{progress.servers[0].name} is going down: 5 connections open (measured)."
    first = replace(progress.servers[0], phase=Phase.DRAINING, since=timezone.now(), says=says)
    progress = replace(progress, started_at=timezone.now(), servers=(first, *progress.servers[1:]))
    Run.objects.filter(pk=run.pk).update(progress=progress_to_plain(progress))
    browser = as_(here.manager)
    assert says in page(browser.get(url("run-detail", run)))
    standstills.put_standstill("account", account=here.account, actor=here.manager, reason="A test.")
    shown = page(browser.get(url("run-detail", run)))
    assert f"Before the stop: {says}" in shown
    assert shown.count(says) == 1
    assert "Nothing is sent but putting servers back, until a person lifts it" in shown
    assert wording.standstill("Everything is stopped by Ada: A test.").says == (
        "Everything is stopped by Ada: A test."
    )
