"""A submitted plan is made less: its approvals stay, the run takes the less, and anything more is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import connections
from django.utils import timezone

from portal.approvals.models import ApprovalRequest
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused, StaleState
from portal.events.models import Event
from portal.notify import sending
from portal.notify.models import Message
from portal.runs.models import Run
from scaledown import driver, services
from scaledown.less import Less
from scaledown.lessening import More, lessen_plan
from scaledown.models import LessStep, Plan, PlanLook
from scaledown.selectors import plan_page
from tests.scaledown.planner_cases import CHOICE, balancer, node
from tests.scaledown.rows import desk, fresh_pool
from tests.scaledown.test_services import approved, submitted

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def here():
    return desk()


def windowed(here, **changes):
    now = timezone.now().replace(microsecond=0)
    return approved(here, window_start=now + HOUR, window_end=now + 9 * HOUR, **changes)


def lessened(plan, here, *, actor=None, reason="", **asked):
    return lessen_plan(
        plan, actor=actor or here.manager, asked=Less(**asked), seen_digest=plan.digest, reason=reason
    )


def as_kept(plan):
    plan = Plan.objects.get(pk=plan.pk)
    return plan.data, plan.digest, plan.inputs, plan.preview, plan.status, plan.updated_at


LESS = [
    {"target": 4},
    {"target": 4, "floor": 4},
    {"floor": 3},
    {"drain_limit_s": 1800.0},
    {"soak_s": 900.0},
    {"hold_s": 3600.0},
    {"pause_between_s": 600.0},
    {"window_start": 3 * HOUR},
]


def test_a_later_start_of_a_window_of_several_days_is_later_on_each(here):
    plan = windowed(here, window_days=3, window_weekends=True)
    was = services.data_of(plan)
    plan = lessened(plan, here, window_start=was.window_start + 3 * HOUR)
    now = services.data_of(plan)
    assert plan.status == "approved"
    for before, after in zip(was.later_windows, now.later_windows, strict=True):
        assert (after.starts_at, after.ends_at) == (before.starts_at + 3 * HOUR, before.ends_at)


@pytest.mark.parametrize("asked", LESS, ids=lambda asked: "_".join(asked))
def test_less_keeps_the_approval_and_the_run_takes_the_less(here, asked):
    plan = windowed(here)
    was = plan.digest
    if "window_start" in asked:
        asked = {"window_start": services.data_of(plan).window_start + asked["window_start"]}
    plan = lessened(plan, here, **asked)
    assert plan.status == "approved"
    assert plan.digest != was
    assert services.digest(services.data_of(plan)) == plan.digest
    request = services.request_of(plan)
    assert (request.status, request.digest, request.lessened_from) == ("approved", plan.digest, [was])
    assert {decision.digest for decision in request.decisions.all()} == {was}
    run = services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    for name, value in asked.items():
        assert getattr(services.data_of(plan), name) == value
    assert run.plan == plan.data
    assert run.digest == plan.digest
    assert driver._approval_problem(run) == ""


def test_the_run_takes_only_the_servers_that_are_left_in_the_plan(here):
    plan = lessened(approved(here), here, target=5)
    run = services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    assert [one["server_id"] for one in run.progress["servers"]] == ["srv-06"]
    assert [one["name"] for one in run.plan["servers"]] == ["web-06"]
    assert {one["name"] for one in run.plan["remaining"]} == {f"web-0{n}" for n in range(1, 6)}


def test_preview_and_choice_follow_and_say_truly_when_it_was_looked_at(here):
    plan = approved(here)
    before = plan.preview
    plan = lessened(plan, here, target=5, soak_s=900.0)
    assert plan.preview["looked_at"] == before["looked_at"]
    assert [step["server_name"] for step in plan.preview["steps"]] == ["web-06"]
    assert (plan.preview["target"], plan.preview["serving_now"]) == (5, 6)
    assert plan.preview["server_hours_saved_per_month"] < before["server_hours_saved_per_month"]
    choice = services.choice_of(services.copy_plan(plan, actor=here.manager))
    assert (choice.target, choice.soak_s) == (5, 900.0)


def test_less_twice_is_two_steps_and_still_what_was_approved(here):
    plan = lessened(approved(here), here, target=4)
    plan = lessened(plan, here, actor=here.editor, target=5, reason="One more for the sale.")
    assert [(row.by, row.reason) for row in plan.less_steps.all()] == [
        (here.manager, ""),
        (here.editor, "One more for the sale."),
    ]
    assert services.start_run(plan, actor=here.manager, seen_digest=plan.digest).digest == plan.digest


def test_what_was_left_out_does_not_come_back(here):
    plan = lessened(approved(here), here, target=5)
    with pytest.raises(More):
        lessened(plan, here, target=4)


@pytest.mark.parametrize(
    "asked",
    [
        {"target": 2},
        {"floor": 1},
        {"drain_limit_s": 60.0},
        {"soak_s": 1.0},
        {"pause_between_s": 0.0},
        {"target": 4, "soak_s": 1.0},
        {"window_start": -HOUR},
        {"window_start": 20 * HOUR},
    ],
    ids=lambda asked: "_".join(asked),
)
def test_more_is_refused_and_nothing_changes(here, asked):
    plan = windowed(here)
    if "window_start" in asked:
        asked = {"window_start": services.data_of(plan).window_start + asked["window_start"]}
    before = as_kept(plan)
    with pytest.raises(More, match="approval of its own") as refusal:
        lessened(plan, here, **asked)
    assert set(refusal.value.fields) <= set(asked)
    assert as_kept(plan) == before
    assert not LessStep.objects.exists()
    assert not AuditEntry.objects.filter(what__endswith=".lessened").exists()
    assert services.start_run(plan, actor=here.manager, seen_digest=plan.digest)


def test_a_plan_that_would_not_fit_into_its_window_any_more_is_refused(here):
    plan = windowed(here)
    with pytest.raises(Refused, match="Not even one server fits") as refusal:
        lessened(plan, here, soak_s=10 * 3600.0)
    assert refusal.value.code == "blocked"


def test_a_floor_that_one_balancer_could_not_keep_is_refused(here):
    both = fresh_pool(
        balancers=(
            balancer([node(n) for n in range(1, 7)]),
            balancer([node(n) for n in (1, 2, 6)], id="72", name="api"),
        )
    )
    both = replace(both, holders=dict.fromkeys(both.holders, ("71", "72")))
    plan = services.draft_plan(
        account=here.account,
        connection=here.connection,
        actor=here.manager,
        title="Both",
        choice=replace(CHOICE, balancer_ids=("71", "72")),
        event=here.event,
    )
    plan = services.submit_plan(plan, actor=here.manager, pool=both)
    with pytest.raises(Refused, match="Load balancer api would keep 2 servers") as refusal:
        lessened(plan, here, floor=3)
    assert refusal.value.code == "below_floor"


def test_the_same_as_before_changes_nothing(here):
    plan = approved(here)
    before = as_kept(plan)
    lessened(plan, here, target=3, floor=2, soak_s=300.0)
    lessened(plan, here)
    assert as_kept(plan) == before


def test_asked_again_with_the_digest_before_gives_the_same_answer(here):
    plan = approved(here)
    old = plan.digest
    plan = lessened(plan, here, soak_s=900.0)
    again = lessen_plan(plan, actor=here.manager, asked=Less(soak_s=900.0), seen_digest=old)
    assert again.digest == plan.digest
    assert LessStep.objects.count() == 1
    with pytest.raises(StaleState, match="changed since you were shown it"):
        lessen_plan(plan, actor=here.manager, asked=Less(soak_s=1800.0), seen_digest=old)


def test_while_it_waits_the_customer_approves_what_it_is_now(here):
    plan = submitted(here)
    old = plan.digest
    plan = lessened(plan, here, target=5)
    assert plan.status == "awaiting_approval"
    with pytest.raises(StaleState, match="not what you were shown"):
        services.approve_plan(plan, actor=here.approver, seen_digest=old)
    plan = services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest)
    assert plan.status == "approved"
    assert services.start_run(plan, actor=here.manager, seen_digest=plan.digest)


def test_who_approved_more_gets_the_same_answer_when_they_approve_it_again(here):
    plan = approved(here)
    old = plan.digest
    plan = lessened(plan, here, target=5)
    assert services.approve_plan(plan, actor=here.approver, seen_digest=old).status == "approved"
    with pytest.raises(StaleState):
        services.approve_plan(plan, actor=here.admin, seen_digest=old)


def test_who_made_it_less_may_approve_it(here):
    """It is less than what somebody else drew up."""
    plan = lessened(submitted(here), here, actor=here.approver, target=5)
    assert services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest).status == "approved"


@pytest.mark.parametrize("role", ["viewer", "stranger"])
def test_who_may_not_draft_may_not_make_it_less(here, role):
    plan = approved(here)
    with pytest.raises(NotPermitted):
        lessened(plan, here, actor=getattr(here, role), target=5)


def test_after_the_start_the_run_decides(here):
    plan = approved(here)
    services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    with pytest.raises(StaleState, match="A run of this plan was started"):
        lessened(plan, here, target=5)
    assert not LessStep.objects.exists()


def test_a_draft_a_withdrawn_and_an_expired_plan_are_not_made_less(here):
    draft = services.copy_plan(approved(here), actor=here.manager)
    with pytest.raises(StaleState, match="is a draft"):
        lessened(draft, here, target=5)
    gone = services.void_plan(approved(here), actor=here.manager, reason="Too early.")
    with pytest.raises(StaleState, match="is voided by now"):
        lessened(gone, here, target=5)
    late = approved(here)
    Plan.objects.filter(pk=late.pk).update(expires_at=timezone.now() - HOUR)
    with pytest.raises(StaleState, match="is expired by now"):
        lessened(late, here, target=5)


def test_a_start_after_the_approval_ends_is_refused(here):
    plan = approved(here)
    with pytest.raises(More, match="Its approval ends"):
        lessened(plan, here, window_start=plan.expires_at + HOUR)


def test_a_plan_whose_look_was_not_kept_or_cannot_be_read_is_copied_instead(here):
    plan = approved(here)
    for change in ({"known": {"what": "is no more"}}, None):
        looks = PlanLook.objects.filter(plan=plan)
        looks.update(**change) if change else looks.delete()
        with pytest.raises(Refused, match="was not kept") as refusal:
            lessened(plan, here, soak_s=900.0)
        assert refusal.value.code == "no_look"


def test_a_plan_that_is_not_less_by_its_steps_does_not_start(here):
    plan = lessened(approved(here), here, target=5)
    more = services.data_of(submitted(here, drain_limit_s=1200.0))
    forged = services.digest(more)
    # Whoever writes another plan into the database, with a step to it and a request that follows it.
    LessStep.objects.create(
        plan=plan, was=plan.digest, became=forged, data=plan.data, by=here.manager, at=timezone.now()
    )
    request = ApprovalRequest.objects.get(subject_ref=plan.ref)
    request.lessened_from, request.digest = [*request.lessened_from, plan.digest], forged
    request.save()
    Plan.objects.filter(pk=plan.pk).update(data=services.plan_to_plain(more), digest=forged)
    plan.refresh_from_db()
    with pytest.raises(Refused, match="not less than what was approved") as refusal:
        services.start_run(plan, actor=here.manager, seen_digest=forged)
    assert refusal.value.code == "digest_broken"
    assert not Run.objects.exists()


def test_it_is_noted_and_told_to_who_approved(here):
    plan = lessened(approved(here), here, actor=here.editor, target=5, reason="Ask Approver first.")
    noted = AuditEntry.objects.get(what="plan.lessened")
    assert noted.after["inputs"]["target"] == 5
    event = Event.objects.get(type="plan.lessened")
    assert event.data["digest"] == plan.digest
    assert event.data["was"] == LessStep.objects.get().was
    rows = Message.objects.filter(purpose="approval_lessened").order_by("pk")
    assert {row.user for row in rows} == {here.manager, here.approver}
    text = sending.render(rows.get(user=here.approver)).text
    assert "Editor changed “After Black Friday” to less" in text
    assert "Servers that come out: 1 (web-05, web-04 in service as before), not 3" in text
    assert "It stays approved" in text
    assert "Ask Approver first." in text


def test_while_it_waits_whoever_is_asked_is_told_too(here):
    lessened(submitted(here), here, target=5)
    told = {row.user for row in Message.objects.filter(purpose="approval_lessened")}
    assert told == {here.approver, here.admin}


def test_the_page_says_what_is_less_since_and_of_what_the_approvals_are(here):
    plan = lessened(approved(here), here, target=5, soak_s=900.0, reason="A sale.")
    seen = plan_page(plan, viewer=here.viewer, granted=frozenset())
    (step,) = seen.less
    assert (step.by_name, step.reason) == ("Manager", "A sale.")
    assert [one.label for one in step.changes] == ["Servers that come out", "Watch time"]
    assert [one.of for one in seen.decisions] == ["3 servers; less since: 1"] * 2


@pytest.mark.django_db(transaction=True)
def test_less_and_an_approval_at_once_end_in_one_of_the_two_orders(here):
    plan = submitted(here)
    at_once = Barrier(2)
    said = {}

    def both(name, act):
        at_once.wait()
        try:
            said[name] = act()
        except StaleState as late:
            said[name] = late.code
        finally:
            connections.close_all()

    acts = {
        "less": lambda: lessened(Plan.objects.get(pk=plan.pk), here, target=5).digest,
        "yes": lambda: (
            services.approve_plan(
                Plan.objects.get(pk=plan.pk), actor=here.approver, seen_digest=plan.digest
            ).status
        ),
    }
    threads = [Thread(target=both, args=one) for one in acts.items()]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    plan.refresh_from_db()
    assert said["less"] == plan.digest
    assert (said["yes"], plan.status) in {
        ("approved", "approved"),
        ("digest_mismatch", "awaiting_approval"),
    }
    assert services.request_of(plan).digest == plan.digest
