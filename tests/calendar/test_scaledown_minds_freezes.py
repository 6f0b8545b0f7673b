"""Scale-downs mind the account's calendar: warned of, not started, not resumed, unless a lead overrides it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.calendar import selectors
from accounts.models import Account
from portal.access import permissions_on
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused
from portal.runs import registry
from portal.runs.models import JournalEntry, Run
from portal.runs.types import RunStatus
from scaledown import driver, freezes, services
from scaledown.live import live_run
from scaledown.models import FreezeOverride, PlanStatus
from scaledown.offers import Situation, offers
from scaledown.types import Phase
from tests import factories as make
from tests.pages.test_pages import approved, drafted, page, url
from tests.scaledown.machine_cases import Desk as Machine
from tests.scaledown.rows import desk, read_of

REASON = "The contract ends tonight."

IN_HAND = ("draining", "retired", "skipped")


@pytest.fixture
def here(db):
    if registry.registered(services.KIND) is None:
        registry.register_kind(services.KIND, lambda: None)
    return desk()


def freeze(here, *, hours=2, ahead=0, **fields):
    now = timezone.now()
    starts = now + timedelta(hours=ahead, minutes=-1)
    return make.calendar_entry(
        account=here.account, starts_at=starts, ends_at=starts + timedelta(hours=hours), **fields
    )


def lead_of(here):
    return make.launch_manager(here.account.team, "Lea Lead", role="lead")


def start(plan, actor, **more):
    return services.start_run(plan, actor=actor, seen_digest=plan.digest, seen_held=read_of(plan), **more)


def warned(here):
    plan = services.submit_plan(drafted(here), actor=here.manager, pool=here.pool)
    return {one["code"]: one["says"] for one in plan.preview["warnings"]}


@pytest.mark.django_db
@pytest.mark.parametrize(("ahead", "code"), [(0, "freeze_on"), (48, "freeze_coming"), (24 * 20, None)])
def test_the_preview_warns_of_a_freeze_that_is_on_or_comes_up(here, ahead, code):
    assert not {"freeze_on", "freeze_coming"} & set(warned(here))
    freeze(here, ahead=ahead, title="Secret title")
    found = warned(here)
    assert {"freeze_on", "freeze_coming"} & set(found) == ({code} if code else set())
    assert "Secret title" not in str(found)


@pytest.mark.django_db
def test_nothing_starts_into_a_freeze_unless_a_lead_says_why(here):
    plan = approved(here)
    freeze(here)
    with pytest.raises(Refused, match="A freeze is in force") as refused:
        start(plan, here.manager)
    assert refused.value.code == "freeze"
    with pytest.raises(NotPermitted):
        start(plan, here.manager, override_reason=REASON)
    lead = lead_of(here)
    with pytest.raises(Refused, match="say why"):
        start(plan, lead)
    plan.refresh_from_db()
    assert (plan.status, Run.objects.count()) == (PlanStatus.APPROVED, 0)
    run = start(plan, lead, override_reason=REASON)
    assert FreezeOverride.objects.get().run == run
    entry = AuditEntry.objects.get(what="run.freeze_overridden")
    assert entry.reason == REASON
    assert JournalEntry.objects.filter(run=run, kind="freeze_overridden").exists()
    assert "freeze" not in driver.facts(run)


@pytest.mark.django_db
def test_what_counts_is_the_moment_at_which_the_window_opens(here):
    freeze(here, hours=1)
    later = timezone.now() + timedelta(hours=3)
    plan = approved(here, window_start=later, window_end=later + timedelta(hours=6))
    assert start(plan, here.manager).status == RunStatus.SCHEDULED


@pytest.mark.django_db
def test_a_window_that_opens_into_a_freeze_is_refused_at_the_start(here):
    later = timezone.now() + timedelta(hours=3)
    plan = approved(here, window_start=later, window_end=later + timedelta(hours=6))
    freeze(here, ahead=2, hours=4)
    with pytest.raises(Refused, match="A freeze is in force"):
        start(plan, here.manager)


@pytest.mark.django_db
def test_a_freeze_entered_meanwhile_holds_a_run_that_has_not_begun_and_one_that_rests(here):
    run = start(approved(here), here.manager)
    assert "freeze" not in driver.facts(run)
    entry = freeze(here)
    held = driver.facts(run)
    assert "A freeze is in force" in held["freeze"]
    assert held["freeze_until"] == entry.ends_at
    running = {**run.progress, "preflight_due": False}
    Run.objects.filter(pk=run.pk).update(status="running", progress=running)
    run.refresh_from_db()
    assert "freeze" in driver.facts(run)
    phases = [
        {**way, "phase": phase, "nodes": [{**node, "asked": "DRAINING"} for node in way["nodes"]]}
        for way, phase in zip(running["servers"], IN_HAND, strict=True)
    ]
    Run.objects.filter(pk=run.pk).update(progress={**running, "servers": phases})
    run.refresh_from_db()
    # Nothing is left that could begin or be ended: what is on its way is finished.
    held = driver.facts(run)
    assert "freeze" not in held
    assert held["freeze_unread"]
    Run.objects.filter(pk=run.pk).update(status="paused")
    run.refresh_from_db()
    assert "freeze" in driver.facts(run)
    with pytest.raises(Refused, match="Resume it after that"):
        services.command(run, "resume", actor=here.manager)
    lead = lead_of(here)
    with pytest.raises(Refused, match="say why"):
        services.command(run, "resume", actor=lead)
    read = freezes.holding(run, timezone.now()).version
    services.command(run, "resume", actor=lead, reason=REASON, seen_held=read)
    assert "freeze" not in driver.facts(run)
    # Overridden is this freeze, and not the next one.
    freeze(here, title="Another")
    assert "freeze" in driver.facts(run)


@pytest.mark.django_db
def test_who_lets_a_run_go_on_in_a_weekly_freeze_does_so_for_this_time_of_it(here):
    entry = freeze(here, repeats_until=(timezone.now() + timedelta(weeks=8)).date())
    plan = approved(here)
    run = start(plan, lead_of(here), override_reason=REASON)
    assert freezes.not_overridden(run, timezone.now()) == []
    assert freezes.not_overridden(run, timezone.now() + timedelta(weeks=1))[0].ref == str(entry.ref)


@pytest.mark.django_db
def test_going_on_in_a_freeze_is_offered_to_who_may_override_it_and_to_others_with_the_reason_why_not(
    here, client
):
    run = start(approved(here), here.manager)
    Run.objects.filter(pk=run.pk).update(status="paused")
    freeze(here)
    client.force_login(here.manager)
    shown = page(client.get(url("run-detail", run)))
    assert "A lead may override it, with a reason." in shown
    lead = lead_of(here)
    granted = permissions_on(lead, here.account)
    offer = next(one for one in live_run(run, granted=granted).offers if one.name == "resume")
    assert offer.needs_reason
    client.force_login(lead)
    assert "You override it" in page(client.get(url("run-command", run, "resume")))
    body = {"confirmed": "1", "reason": REASON}
    address = f"{url('run-command', run, 'resume')}?seen_held={freezes.holding(run, timezone.now()).version}"
    assert client.post(address, body).status_code == 302
    assert FreezeOverride.objects.get().by == lead


@pytest.mark.django_db
def test_the_page_of_the_start_says_what_is_in_the_way(here, client):
    plan = approved(here)
    freeze(here, title="Black Friday")
    client.force_login(here.manager)
    shown = page(client.get(url("plan-start", plan)))
    assert "A freeze is in the way" in shown
    assert "“Black Friday”" in shown
    assert "Take out and delete" not in shown
    plan_page = client.get(url("plan-detail", plan)).content.decode()
    assert "have a lead override it" in plan_page
    assert url("plan-start", plan) not in plan_page
    body = {"digest": plan.digest, "typed_name": "3 servers"}
    refused = client.post(url("plan-start", plan), body)
    assert "Nothing was started" in page(refused, 422)
    client.force_login(lead_of(here))
    assert url("plan-start", plan) in client.get(url("plan-detail", plan)).content.decode()
    assert "Take out and delete" in page(client.get(url("plan-start", plan)))
    body |= {"reason": REASON, "held": read_of(plan)}
    assert client.post(url("plan-start", plan), body).status_code == 302


@pytest.mark.django_db
def test_the_calendar_shows_events_and_change_windows(here):
    later = timezone.now() + timedelta(hours=3)
    approved(here, window_start=later, window_end=later + timedelta(hours=6))
    accounts = Account.objects.filter(pk=here.account.pk)
    now = timezone.now()
    shown = selectors.items_for(accounts, now, now + timedelta(days=2), viewer=here.manager)
    assert [(one.kind, one.starts_at) for one in shown] == [("window", later)]
    approved(
        here, window_start=later, window_end=later + timedelta(hours=6), window_days=2, window_weekends=True
    )
    days = selectors.items_for(accounts, now, now + timedelta(days=2), viewer=here.manager)
    assert {one.starts_at for one in days} == {later, later + timedelta(days=1)}
    assert len({one.uid for one in days}) == len(days) == 3
    event = here.event
    past = selectors.items_for(
        accounts, event.starts_at, event.starts_at + timedelta(minutes=5), viewer=here.manager
    )
    assert ("event", event.name) in {(one.kind, one.title) for one in past}


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["go_on", "wait"])
def test_an_answer_at_the_drain_limit_does_not_let_a_run_go_on_in_a_freeze(here, monkeypatch, name):
    run = start(approved(here), here.manager)
    Run.objects.filter(pk=run.pk).update(status="paused")
    freeze(here)
    monkeypatch.setattr(services.offers, "refusal", lambda *args: None)
    for actor in (here.manager, lead_of(here)):
        with pytest.raises(Refused, match="have a lead resume") as refused:
            services.command(run, name, actor=actor, reason=REASON)
        assert refused.value.code == "freeze"
    assert not run.commands.exists()


# --- the machine, without a database ------------------------------------------------------------------------


def frozen(machine):
    plain = machine.facts
    until = machine.now + timedelta(hours=1)
    machine.facts = lambda: replace(plain(), freeze="A freeze is in force until then.", freeze_until=until)
    return until


def test_a_run_waits_for_the_end_of_a_freeze_before_its_first_change_and_then_begins():
    machine = Machine()
    until = frozen(machine)
    machine.look()
    assert machine.status is RunStatus.SCHEDULED
    assert machine.progress.waiting.code == "freeze"
    assert machine.progress.waiting.until == until
    assert machine.progress.started_at is None
    del machine.facts
    machine.look()
    assert machine.status is RunStatus.RUNNING


@pytest.mark.parametrize(("name", "args"), [("go_on", {"connections": 9}), ("wait", {"seconds": 600})])
def test_at_the_drain_limit_of_a_halted_run_a_freeze_lets_nothing_go_on_but_what_goes_back(name, args):
    machine = Machine().until_phase(Phase.DRAINING)
    machine.connections["srv-6"] = 4
    machine.until(lambda: machine.status is RunStatus.HALTED)
    rests = Situation(machine.status, machine.plan, machine.progress)
    assert name in {offer.name for offer in offers(rests)}
    assert name not in {offer.name for offer in offers(replace(rests, freeze="A freeze."))}
    frozen(machine)
    assert not machine.command(name, **args).accepted
    assert machine.status is RunStatus.HALTED
    assert machine.command("put_back").accepted
