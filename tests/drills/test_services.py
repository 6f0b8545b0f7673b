"""Drills from the draft to the start: what is frozen, what both sides approve, what keeps one from beginning."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Membership, TeamMembership
from accounts.reach.models import Reach, ReachTry
from accounts.reach.services import log_outcome
from drills.plans import hooks, selectors, services
from drills.plans.ladder import Held
from drills.plans.models import HeldDrill
from drills.scenarios.types import DrillKind, Environment, InjectionKind, Role
from drills.types import Ending, progress_to_plain
from portal.approvals.models import Verdict
from portal.audit.subjects import open_values
from portal.errors import NotPermitted, Refused, StaleState
from portal.frozen import replace
from portal.runs import registry
from portal.runs.models import Run
from portal.runs.types import Decision, RunStatus
from tests import factories as make
from tests.drills.rows import a_choice, approved, draft, fresh_pool, ready, started, submitted


def refusal(call, *args, **kwargs):
    with pytest.raises(Refused) as caught:
        call(*args, **kwargs)
    return caught.value


def test_what_is_submitted_is_frozen_and_named_by_its_digest(here):
    drill = submitted(here)
    plan = services.data_of(drill)
    assert plan.targets[0].name == "web-06"
    assert [one.node_id for one in plan.targets[0].nodes] == ["406"]
    assert (plan.pool_size, plan.injection) == (6, InjectionKind.NODE_OUT)
    assert [one.name for one in plan.probes] == ["home"]
    assert len(drill.digest) == 64
    with pytest.raises(StaleState):
        services.change(drill, title="Other", choice=a_choice(), actor=here.manager)
    with pytest.raises(StaleState):
        services.take_part(drill, contacts=[], observers=[], actor=here.manager)


def test_both_sides_approve_exactly_what_was_seen(here):
    drill = submitted(here)
    with pytest.raises(StaleState):
        services.decide(drill, Verdict.APPROVE, actor=here.approver, seen_digest="0" * 64)
    with pytest.raises(NotPermitted):
        services.decide(drill, Verdict.APPROVE, actor=here.manager, seen_digest=drill.digest)
    drill = services.decide(drill, Verdict.APPROVE, actor=here.approver, seen_digest=drill.digest)
    assert drill.status == "approved"


def test_a_customer_draws_up_and_does_not_submit(here):
    drill = draft(here, actor=here.editor)
    with pytest.raises(NotPermitted):
        services.submit(drill, actor=here.approver, pool=fresh_pool())


def test_who_leads_is_of_the_team_and_does_not_watch(here):
    drill = draft(here)
    assert (
        refusal(
            services.change,
            drill,
            title="t",
            choice=a_choice(),
            actor=here.manager,
            connection=here.connection,
            facilitator=here.editor,
        ).code
        == "bad_facilitator"
    )
    assert (
        refusal(services.take_part, drill, contacts=[], observers=[here.manager], actor=here.manager).code
        == "bad_observer"
    )
    assert (
        refusal(services.take_part, drill, contacts=[], observers=[here.stranger], actor=here.manager).code
        == "bad_observer"
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"not_before": None}, "no_times"),
        ({"server_ids": ()}, "no_targets"),
        ({"server_ids": ("srv-9",)}, "not_in_pool"),
        ({"balancer_ids": ()}, "no_pool"),
        ({"emergency_plan": " "}, "no_plan"),
        ({"floor": 6}, "below_floor"),
    ],
)
def test_a_draft_may_lack_what_a_submitted_drill_may_not(here, changes, code):
    assert refusal(submitted, here, **changes).code == code


def test_a_pool_without_a_monitor_is_not_drilled(here):
    assert refusal(submitted, here, pool=fresh_pool(monitor=False)).code == "pool_not_fit"


def test_what_is_down_already_does_not_count(here):
    assert refusal(submitted, here, pool=fresh_pool(down=4)).code == "below_floor"


def test_a_protected_server_is_left_alone(here):
    from scaledown.records import protect_server

    protect_server(
        account=here.account,
        connection=here.connection,
        server_id="srv-6",
        server_name="web-06",
        reason="It holds the sessions.",
        actor=here.manager,
    )
    found = refusal(submitted, here)
    assert (found.code, "sessions" in found.says) == ("protected", True)


def test_the_ladder(here):
    assert refusal(submitted, here, environment=Environment.PRODUCTION).code == "ladder"
    assert refusal(submitted, here, kind=DrillKind.UNANNOUNCED).code == "ladder"
    held = started(here)
    HeldDrill.objects.filter(pk=held.pk).update(result="drill_not_met")
    Run.objects.filter(pk=held.run_id).update(status="aborted", next_tick_at=None, ended_at=timezone.now())
    assert refusal(submitted, here, environment=Environment.PRODUCTION).code == "ladder"
    HeldDrill.objects.filter(pk=held.pk).update(result="drill_met")
    assert submitted(here, environment=Environment.PRODUCTION).status == "awaiting_approval"
    assert submitted(here, kind=DrillKind.UNANNOUNCED).status == "awaiting_approval"


def test_a_table_top_touches_nothing_and_needs_no_pool(here):
    drill = submitted(here, kind=DrillKind.TABLE_TOP, server_ids=(), balancer_ids=())
    plan = services.data_of(drill)
    assert (plan.injection, plan.targets, plan.stops) == (InjectionKind.TALK, (), None)
    assert not plan.hits
    assert plan.attested == ()


def test_it_begins_only_once_everything_is_attested(here):
    drill = approved(here)
    assert refusal(services.start, drill, actor=here.manager, seen_digest=drill.digest).code == "not_ready"
    plan = services.data_of(drill)
    assert refusal(services.attest, drill, "no_such", says="", actor=here.manager).code == "unknown_check"
    assert (
        refusal(services.attest, drill, "carries_load", says=" ", actor=here.manager).code == "words_missing"
    )
    for check in plan.attested:
        with pytest.raises(NotPermitted):
            services.attest(drill, check, says="words", actor=here.approver)
        services.attest(drill, check, says="words", actor=here.manager)
    held = services.start(drill, actor=here.manager, seen_digest=drill.digest)
    assert held.run.kind == "drill"
    assert sorted(held.run.claims.values_list("resource_key", flat=True)) == [
        f"drill:{here.account.ref}",
        "rackspace:123456:DFW:lb:71",
        "rackspace:123456:DFW:server:srv-6",
    ]
    with pytest.raises(StaleState):
        services.start(drill, actor=here.manager, seen_digest=drill.digest)


def test_what_was_attested_yesterday_is_said_anew(here):
    drill = ready(here)
    drill.attestations.update(at=timezone.now() - timedelta(hours=25))
    assert "Not attested" in refusal(services.start, drill, actor=here.manager, seen_digest=drill.digest).says


def test_outside_of_the_time_agreed_it_does_not_begin(here):
    later = timezone.now() + timedelta(hours=1)
    drill = ready(here, not_before=later, not_after=later + timedelta(hours=1))
    assert "agreed" in refusal(services.start, drill, actor=here.manager, seen_digest=drill.digest).says


def test_a_freeze_keeps_it_from_beginning_and_ends_it_later(here):
    from accounts.calendar.services import enter

    held = started(here)
    assert hooks.facts(held.run)["freeze"] == ""
    now = timezone.now()
    enter(
        {
            "kind": "freeze",
            "title": "Closing of the books",
            "starts_at": now,
            "ends_at": now + timedelta(hours=1),
            "time_zone": "UTC",
        },
        actor=here.manager,
        account=here.account,
    )
    assert "freeze is in force" in hooks.facts(held.run)["freeze"]
    Run.objects.filter(pk=held.run_id).update(status="aborted", next_tick_at=None, ended_at=now)
    held.run.claims.all().delete()
    assert refusal(started, here).code == "not_ready"


def test_a_removed_approver_is_a_problem_of_the_run(here):
    held = started(here)
    assert hooks.facts(held.run)["approval_problem"] == ""
    Membership.objects.filter(user=here.approver).delete()
    assert hooks.facts(held.run)["approval_problem"]


@pytest.mark.parametrize("who", ["viewer", "editor", "approver", "admin", "manager", "lead"])
def test_anybody_who_sees_it_may_stop_it(here, who):
    held = started(here)
    given = services.command(held, "stop", actor=getattr(here, who), reason="It hurts.")
    assert given.name == "stop"
    services.command(held, "real", actor=getattr(here, who))
    services.command(held, "note", actor=getattr(here, who), reason="The shop is slow.")


def test_only_who_leads_says_that_a_step_is_done_and_strangers_nothing(here):
    held = started(here)
    for who in (here.approver, here.viewer):
        with pytest.raises(NotPermitted):
            services.command(held, "step_done", actor=who, args={"number": 1})
    with pytest.raises(NotPermitted):
        services.command(held, "stop", actor=here.stranger)
    assert refusal(services.command, held, "pause", actor=here.manager).code == "unknown_command"


def test_its_end_is_written_with_its_result(here):
    held = started(here)
    kind = services.new_progress(services.data_of(held.drill))
    progress = replace(kind, ending=Ending.STOPPED, ending_says="It was stopped.", ended_at=timezone.now())
    run = held.run
    run.status = RunStatus.ABORTED
    hooks.project(run, Decision(progress_to_plain(progress)), {})
    held.refresh_from_db()
    assert held.result == "drill_invalid"
    assert any("Nothing was injected" in one for one in held.reasons)
    hooks.project(run, Decision(progress_to_plain(progress)), {})


def test_an_escalation_drill_calls_the_contacts_as_a_drill(here, monkeypatch):
    passed = [Held(DrillKind.TABLE_TOP, Environment.PRODUCTION, "drill_met")]
    monkeypatch.setattr(services, "held_before", lambda account, key: passed)
    held = started(here, "nobody_answers", server_ids=(), balancer_ids=(), environment=Environment.PRODUCTION)
    plan = services.data_of(held.drill)
    progress = replace(services.new_progress(plan), calls=True, began_at=timezone.now())
    hooks.project(held.run, Decision(progress_to_plain(progress)), {})
    held.refresh_from_db()
    assert held.reach is not None or held.reach_says
    called = hooks.facts(held.run)["called"]
    assert called.says
    if held.reach is not None:
        assert "FIRE DRILL" in held.reach.message


def test_who_answered_is_known_by_place_and_noted_without_a_name(here, monkeypatch):
    passed = [Held(DrillKind.TABLE_TOP, Environment.PRODUCTION, "drill_met")]
    monkeypatch.setattr(services, "held_before", lambda account, key: passed)
    held = started(here, "nobody_answers", server_ids=(), balancer_ids=(), environment=Environment.PRODUCTION)
    calling = replace(services.new_progress(services.data_of(held.drill)), calls=True)
    hooks.project(held.run, Decision(progress_to_plain(calling)), {})
    asked = ReachTry.objects.select_related("step__contact").get(step__reach__account=here.account)
    log_outcome(asked, "reached", actor=here.manager)
    called = hooks.facts(held.run)["called"]
    assert (called.is_over, called.says) == (True, f"Answered: number {asked.step.place} in the order.")
    assert called.answered_at is not None
    assert called.answered_by
    assert asked.step.contact.name not in called.answered_by
    assert list(open_values([called.answered_by])) == [asked.step.contact.name]


def test_who_takes_part_as_a_contact_has_that_role_in_the_portal_too(here):
    mine = make.contact(here.account, "Vera", email=here.viewer.email.upper())
    drill = draft(here, contacts=[mine], observers=[here.editor])
    roles = selectors.roles_in(drill)
    assert roles[str(here.viewer.pk)] is Role.PARTICIPANT
    assert roles[str(here.editor.pk)] is Role.OBSERVER
    assert roles[str(here.manager.pk)] is Role.FACILITATOR
    assert str(here.approver.pk) not in roles


@pytest.mark.parametrize(
    ("ending", "state", "left"),
    [
        (Ending.STOPPED, "running", [("test", "stopped")]),
        (Ending.REAL, "running", [("test", "stopped"), ("call", "running")]),
        # Whoever answered it answered a drill.
        (Ending.REAL, "answered", [("test", "answered"), ("call", "running")]),
    ],
)
def test_the_calls_end_with_the_drill_and_go_on_without_the_word_where_it_became_real(
    here, monkeypatch, ending, state, left
):
    passed = [Held(DrillKind.TABLE_TOP, Environment.PRODUCTION, "drill_met")]
    monkeypatch.setattr(services, "held_before", lambda account, key: passed)
    held = started(here, "nobody_answers", server_ids=(), balancer_ids=(), environment=Environment.PRODUCTION)
    now, run = timezone.now(), held.run
    calling = replace(services.new_progress(services.data_of(held.drill)), calls=True, began_at=now)
    hooks.project(run, Decision(progress_to_plain(calling)), {})
    if state == "answered":
        Reach.objects.update(state=state, ended_at=now, next_at=None)
    run.status = RunStatus.ABORTED
    over = replace(calling, ending=ending, ending_says="It ends.", ended_at=now)
    hooks.project(run, Decision(progress_to_plain(over)), progress_to_plain(calling))
    reaches = list(Reach.objects.filter(account=here.account).order_by("pk"))
    assert [(one.kind, one.state) for one in reaches] == left
    assert "FIRE DRILL" in reaches[0].message
    if ending is Ending.REAL:
        assert "FIRE DRILL" not in reaches[1].message
        assert reaches[1].message.startswith("This is REAL")
    # Told twice, it is done once.
    hooks.project(run, Decision(progress_to_plain(over)), progress_to_plain(over))
    assert Reach.objects.filter(account=here.account).count() == len(left)


def test_a_copy_lacks_the_times(here):
    drill = approved(here)
    made = services.copy(drill, actor=here.manager)
    assert (made.status, made.not_before, made.copied_from) == ("draft", None, drill)
    TeamMembership.objects.filter(user=here.manager).delete()
    with pytest.raises(NotPermitted):
        services.copy(drill, actor=here.manager)


def test_a_draft_and_an_approved_one_are_withdrawn_with_a_reason(here):
    assert refusal(services.withdraw, draft(here), actor=here.manager, reason=" ").code == "reason_missing"
    assert services.withdraw(draft(here), actor=here.manager, reason="Not now.").status == "voided"
    assert services.withdraw(approved(here), actor=here.manager, reason="Not now.").status == "voided"


@pytest.mark.parametrize(
    ("key", "says"), [("node_lost", "goes on bringing back"), ("reboot_soft", "Nothing more is sent")]
)
def test_a_halted_drill_says_who_is_asked_and_what_silence_means(here, key, says):
    held = started(here, key)
    asked = registry.asked_by(held.run)
    assert asked is not None
    assert "Who leads the drill" in asked.who
    assert says in asked.otherwise
    assert asked.until is None
