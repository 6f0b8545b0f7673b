"""No run begins or goes on from rest while a support case says that a site of the account is in danger."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.cases import services as cases
from accounts.cases.models import SupportCase
from portal.errors import Refused, StaleState
from portal.runs.models import JournalEntry, Run
from portal.runs.registry import Change
from portal.runs.types import HaltRank, RunStatus
from scaledown import driver, freezes, services
from scaledown.types import Phase
from tests import factories as make
from tests.pages.test_pages import page, url
from tests.scaledown.machine_cases import Desk, a_plan
from tests.scaledown.rows import desk, read_of
from tests.scaledown.test_services import approved, drafted, started

pytestmark = pytest.mark.django_db
REASON = "The case is about the mail server, which is none of these."


@pytest.fixture
def here():
    return desk()


def opened(here, severity="site_in_danger"):
    return cases.open_case(here.account, actor=here.viewer, summary="Checkout is down", severity=severity)


def ended(here, case, status="solved"):
    return cases.set_status(case, status, actor=here.manager)


def at_rest(run, status="halted", **fields):
    if status == "halted":
        fields = {
            "halt_code": "probes_fail",
            "halt_rank": HaltRank.DECIDE_TODAY,
            "halt_says": "Stopped.",
        } | fields
        fields |= {"halted_at": timezone.now(), "halt_customer_says": "Paused for safety."}
    Run.objects.filter(pk=run.pk).update(status=status, **fields)
    run.refresh_from_db()
    return run


def test_a_plan_does_not_start_while_a_severe_case_is_open(here):
    plan, case = approved(here), opened(here)
    with pytest.raises(
        Refused, match=rf"Support case {case.short} has been open since .*, with a site in danger"
    ) as no:
        services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    assert no.value.code == "freeze"
    assert not Run.objects.exists()
    ended(here, case)
    assert services.start_run(plan, actor=here.manager, seen_digest=plan.digest).status == "scheduled"


@pytest.mark.parametrize("severity", ["decide_today", "safe_waiting"])
def test_a_case_of_another_rank_holds_nothing(here, severity):
    opened(here, severity)
    assert started(here).status == "scheduled"


def test_a_case_of_another_account_holds_nothing(here):
    case = opened(here)
    SupportCase.objects.filter(pk=case.pk).update(account=make.account())
    assert started(here).status == "scheduled"


def test_a_lead_starts_into_the_cases_that_were_shown_and_into_no_later_one(here):
    plan, case = approved(here), opened(here)
    given = {"actor": here.lead, "seen_digest": plan.digest, "override_reason": REASON}
    read = read_of(plan)
    later = opened(here)
    with pytest.raises(StaleState, match=later.short):
        services.start_run(plan, **given, seen_held=read)
    ended(here, later)
    run = services.start_run(plan, **given, seen_held=read)
    assert "freeze" not in driver.facts(run)
    assert case.short in JournalEntry.objects.sealed().get(run=run, kind="freeze_overridden").says
    newest = opened(here)
    facts = driver.facts(run)
    assert newest.short in facts["freeze"]
    assert case.short not in facts["freeze"], "that one was overridden"
    assert facts["freeze_until"] is None, "nobody knows how long a case stays open"


@pytest.mark.parametrize("status", ["paused", "halted"])
def test_a_run_at_rest_is_not_resumed_into_a_severe_case(here, status):
    run = at_rest(started(here), status)
    case = opened(here)
    with pytest.raises(Refused, match=case.short):
        services.command(run, "resume", actor=here.manager)
    assert case.short in services.what_holds_back(run, timezone.now())["freeze"]
    assert case.short in driver.facts(run)["freeze"], (
        "one that was given just before the case is refused as well"
    )
    read = freezes.holding(run, timezone.now(), resumes=True).version
    services.command(run, "resume", actor=here.lead, reason=REASON, seen_held=read)
    assert "freeze" not in driver.facts(run)


def test_going_back_is_never_held_by_a_case(here):
    run = at_rest(started(here))
    opened(here)
    services.command(run, "abort", actor=here.manager, reason="What is out goes back.")


def test_what_is_rolled_back_is_resumed_whatever_case_is_open(here):
    """It only makes the pool larger again."""
    run = started(here)
    run.progress |= {"rolling_back": "Rolled back by Manager.", "preflight_due": False}
    at_rest(run, progress=run.progress)
    opened(here)
    assert services.what_holds_back(run, timezone.now()) == {}
    services.command(run, "resume", actor=here.manager)


def test_one_that_waits_to_begin_halts_after_half_an_hour_so_that_people_know():
    desk = Desk(a_plan(floor=2))
    desk.freeze = "Support case A1B2C3D4 has been open since 2026-12-01 05:03 UTC, with a site in danger."
    desk.look()
    assert desk.status is RunStatus.SCHEDULED
    assert "unless a lead lets it" in desk.progress.says
    desk.until(lambda: desk.status is RunStatus.HALTED, most=100, after_s=30.0)
    assert (desk.halt.code, desk.halt.rank) == ("waited_for_preflight", HaltRank.SAFE_WAITING)
    assert "A1B2C3D4" in desk.halt.says
    desk.freeze = ""
    assert desk.command("resume").accepted
    desk.until_phase(Phase.DRAINING)


def test_a_run_in_full_swing_is_not_held_by_a_case(here):
    """A case is asked for before something begins: what is under way is brought to where the site is safe by the checks."""
    run = started(here)
    opened(here)
    assert "freeze" in driver.facts(run)
    run.progress["preflight_due"] = False
    at_rest(run, "running", progress=run.progress)
    assert "freeze" not in driver.facts(run)
    run.progress["preflight_due"] = True
    at_rest(run, "running", progress=run.progress)
    assert "freeze" in driver.facts(run)


def test_the_case_that_a_halt_opened_holds_every_run_but_that_one(here):
    run = at_rest(started(here), halt_rank=HaltRank.SITE_IN_DANGER, halt_says="Six of six probes fail.")
    case = cases.open_for_halted_run(run, Change(7, halts=HaltRank.SITE_IN_DANGER))
    assert services.what_holds_back(run, timezone.now())["freeze"] == ""
    services.command(run, "resume", actor=here.manager)
    other = Run.objects.get(pk=run.pk)
    other.ref = case.ref  # a run that the case is not about
    assert case.short in freezes.holding(other, timezone.now(), begins=True).says


def test_a_case_that_a_person_opens_about_a_run_holds_that_run(here):
    run = at_rest(started(here))
    case = cases.open_case(
        here.account,
        actor=here.viewer,
        summary="Nothing answers since this run",
        severity="site_in_danger",
        about_kind="run",
        about_ref=str(run.ref),
    )
    with pytest.raises(Refused, match=case.short):
        services.command(run, "resume", actor=here.manager)


def test_a_rehearsal_changes_nothing_and_asks_for_no_case(here):
    opened(here)
    run = services.rehearse(drafted(here), actor=here.manager, pool=here.pool)
    assert "freeze" not in driver.facts(run)


def test_pages_say_that_a_case_is_in_the_way(here, client):
    plan, case = approved(here), opened(here)

    def read(person, name):
        client.force_login(person)
        return page(client.get(url(name, plan)))

    says = f"A severe support case is open Support case {case.short} has been open since"
    told = read(here.manager, "plan-detail")
    assert says in told
    assert "It starts once that is over, or a lead starts it all the same" in told
    told = read(here.manager, "plan-start")
    assert says in told
    assert "Take out and delete" not in told
    assert "Take out and delete 3 servers" in read(here.lead, "plan-start")
    shown = client.get(url("plan-start", plan)).content.decode()
    assert f'href="{cases.url_of(case)}"' in shown


def test_an_approver_decides_about_a_plan_and_not_about_today(here, client):
    plan = services.submit_plan(drafted(here), actor=here.manager, pool=here.pool)
    opened(here)
    client.force_login(here.approver)
    assert "A severe support case is open" not in page(client.get(url("plan-detail", plan)))


def test_a_window_that_opens_later_is_held_once_it_opens(here):
    opens = timezone.now() + timedelta(days=2)
    plan = approved(here, window_start=opens, window_end=opens + timedelta(hours=4))
    run = services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    case = opened(here)
    assert case.short in driver.facts(run)["freeze"]
