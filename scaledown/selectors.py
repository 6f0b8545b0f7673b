"""The reads behind the pages and the API of plans, as plain frozen values; those of a live run are in live.py.

    plan_page(plan, viewer=user, granted=self.granted) -> PlanPage
    live_run(run, granted=self.granted) -> LiveRun         (live.py)
    report(run) -> Report                                  (report.py)

Each takes a row that `portal.access` let the caller find, and costs a constant number of queries (stated at
the function and held by a test). A viewer without RUN_START is a customer and reads the plainer words:
`says` is already in the viewer's words. Unknown is None. Times are aware UTC, durations seconds, rates
requests per second, shares 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.utils import timezone

from portal.access import Permission
from portal.approvals import services as approvals
from portal.approvals.models import Side
from portal.audit.subjects import open_values
from portal.runs.models import Run
from scaledown import freezes, lessened, services
from scaledown.candidates import Choice
from scaledown.canonical import from_plain
from scaledown.lessened import LessShown
from scaledown.models import Plan, PlanStatus
from scaledown.preview import Preview
from scaledown.types import PlanData

if TYPE_CHECKING:
    from accounts.models import User


def is_customer(granted: frozenset[Permission]) -> bool:
    """Whether somebody with these permissions reads the customer's words."""
    return Permission.RUN_START not in granted


@dataclass(frozen=True)
class DecisionShown:
    """What one person said for one side."""

    side: str
    decision: str
    by_name: str
    role: str
    reason: str
    at: datetime
    rests_on: str = ""
    """Where the right to decide came from, if it came from the provider's side."""
    about: str = "plan"
    """What was decided: the plan, or that its run grows again (growth)."""
    of: str = ""
    """Of what it was, where the plan is less since; "" where it is of the plan as it is."""


@dataclass(frozen=True)
class PlanPage:
    """Everything that a plan's page shows. `data` is None while it is a draft; `preview` until one was made.

    `may_decide` says whether the viewer can decide for the customer now, `why_not_decide` the sentence
    otherwise. `acts` are the names of what makes sense now and the viewer may do: edit, preview, submit,
    approve, reject, start, less, rehearse, void, copy.
    """

    ref: str
    title: str
    status: str
    status_label: str
    status_reason: str
    account_name: str
    connection_name: str
    connection_ref: str
    event_name: str
    event_ref: str
    author_name: str
    created_at: datetime
    submitted_at: datetime | None
    approved_at: datetime | None
    expires_at: datetime | None
    digest: str
    choice: Choice
    data: PlanData | None
    preview: Preview | None
    decisions: tuple[DecisionShown, ...]
    missing_sides: tuple[str, ...]
    may_decide: bool
    why_not_decide: str
    approval_problem: str
    """Why an approval that was given no longer counts, or ""."""
    acts: tuple[str, ...]
    run_ref: str | None
    run_status: str | None
    rehearsal_ref: str | None
    copied_from_ref: str | None
    why_not_start: str = ""
    """Why an approved plan cannot be started now by the viewer, who may start runs; "" otherwise."""
    cases: tuple[str, ...] = ()
    """A sentence for each severe support case that holds the start of an approved plan."""
    needed: tuple[str, ...] = ()
    """What needs the servers by now and did not stand in the preview, a sentence each, while the plan waits or can be started."""
    held_version: str = ""
    """Of what it would start into: whoever overrides it sends it along, as what they read; "" while nothing holds it back."""
    less: tuple[LessShown, ...] = ()
    """How it was made less after it was submitted, oldest first."""


def status_now(plan: Plan, at: datetime) -> str:
    """Return the plan's status, *expired* as soon as its time is over, marked or not."""
    waits = plan.status in {PlanStatus.AWAITING_APPROVAL, PlanStatus.APPROVED}
    if waits and plan.expires_at is not None and plan.expires_at <= at:
        return PlanStatus.EXPIRED
    return plan.status


def preview_of(plan: Plan) -> Preview | None:
    """Return the preview that is kept with a plan, or None."""
    if plan.preview is None:
        return None
    kept = from_plain(Preview, plan.preview)
    assert isinstance(kept, Preview)
    return kept


def plan_page(plan: Plan, *, viewer: User, granted: frozenset[Permission]) -> PlanPage:
    """Return what a plan's page shows to `viewer`. At most 14 queries, whatever the plan holds; 12 more where they may start it,
    two more where it was made less, and while it waits those of `freezes.for_start`.
    """
    now = timezone.now()
    whole = Plan.objects.select_related("account", "connection", "event", "author", "copied_from").get(
        pk=plan.pk
    )
    request = services.request_of(whole)
    decisions = list(request.decisions.all()) if request is not None else []
    approved = {decision.side for decision in decisions if decision.decision == "approve"}
    started = list(
        Run.objects.filter(kind=services.KIND, plan_ref=whole.ref)
        .order_by("-pk")
        .values_list("ref", "status", "is_rehearsal")
    )
    run = next((row for row in started if not row[2]), None)
    rehearsal = next((row for row in started if row[2]), None)
    status = status_now(whole, now)
    why_not = ""
    if request is not None and status == PlanStatus.AWAITING_APPROVAL:
        why_not = approvals.may_decide(request, viewer, Side.CUSTOMER, at=now)
    problem = ""
    if request is not None and status == PlanStatus.APPROVED:
        removed = approvals.rests_on_removed(request)
        if removed:
            problem = f"The approval rests on {', '.join(removed)}, who may no longer approve."
    data = services.data_of(whole)
    waits = status in {PlanStatus.AWAITING_APPROVAL, PlanStatus.APPROVED}
    held = freezes.for_start(whole, data, now) if waits and data is not None else []
    why_not_start = ""
    if status == PlanStatus.APPROVED and Permission.RUN_START in granted and not problem and data is not None:
        why_not_start = services.why_not_start(whole, data, held, actor=viewer, at=now)
    steps = lessened.steps_of(whole, request)
    may_decide = status == PlanStatus.AWAITING_APPROVAL and request is not None and not why_not
    return PlanPage(
        ref=str(whole.ref),
        title=whole.title,
        status=status,
        status_label=PlanStatus(status).label,
        status_reason=open_values([whole.status_reason])[0],
        account_name=str(whole.account),
        connection_name=str(whole.connection),
        connection_ref=str(whole.connection.ref),
        event_name=str(whole.event) if whole.event else "",
        event_ref=str(whole.event.ref) if whole.event else "",
        author_name=str(whole.author),
        created_at=whole.created_at,
        submitted_at=whole.submitted_at,
        approved_at=whole.approved_at,
        expires_at=whole.expires_at,
        digest=whole.digest,
        choice=services.choice_of(whole),
        data=data,
        preview=preview_of(whole),
        decisions=tuple(
            DecisionShown(
                one.side,
                one.decision,
                one.by_name,
                one.role,
                one.reason,
                one.at,
                one.rests_on,
                of=lessened.of_what(one.digest, steps),
            )
            for one in decisions
        ),
        missing_sides=tuple(side for side in (request.sides if request else []) if side not in approved),
        may_decide=may_decide,
        why_not_decide=why_not,
        approval_problem=problem,
        acts=_acts(status, granted, may_decide=may_decide, sound=not problem and not why_not_start),
        why_not_start=why_not_start,
        needed=tuple(
            # An event has a name; what else needs the servers has none.
            one.says if one.is_open_ended else f"“{one.title}”: {one.says}"
            for one in held
            if isinstance(one, freezes.InTheWay) and one.kind != "case"
        ),
        # Whether one says yes is no question of how the site is today.
        cases=tuple(one.says for one in held if one.kind == "case" and status == PlanStatus.APPROVED),
        held_version=freezes.version(held),
        run_ref=str(run[0]) if run else None,
        run_status=run[1] if run else None,
        less=tuple(lessened.shown(step, for_customer=is_customer(granted)) for step in steps),
        rehearsal_ref=str(rehearsal[0]) if rehearsal else None,
        copied_from_ref=str(whole.copied_from.ref) if whole.copied_from else None,
    )


_ACTS: Sequence[tuple[str, Permission, frozenset[str]]] = (
    ("edit", Permission.PLAN_DRAFT, frozenset({PlanStatus.DRAFT})),
    ("preview", Permission.PLAN_DRAFT, frozenset({PlanStatus.DRAFT})),
    ("submit", Permission.PLAN_SUBMIT, frozenset({PlanStatus.DRAFT})),
    ("approve", Permission.PLAN_APPROVE, frozenset({PlanStatus.AWAITING_APPROVAL})),
    ("reject", Permission.PLAN_APPROVE, frozenset({PlanStatus.AWAITING_APPROVAL})),
    ("start", Permission.RUN_START, frozenset({PlanStatus.APPROVED})),
    ("less", Permission.PLAN_DRAFT, frozenset({PlanStatus.AWAITING_APPROVAL, PlanStatus.APPROVED})),
    (
        "rehearse",
        Permission.RUN_START,
        frozenset({PlanStatus.DRAFT, PlanStatus.AWAITING_APPROVAL, PlanStatus.APPROVED}),
    ),
    (
        "void",
        Permission.PLAN_DRAFT,
        frozenset({PlanStatus.DRAFT, PlanStatus.AWAITING_APPROVAL, PlanStatus.APPROVED}),
    ),
    ("copy", Permission.PLAN_DRAFT, frozenset(PlanStatus.values) - {PlanStatus.DRAFT}),
)


def _acts(status: str, granted: frozenset[Permission], *, may_decide: bool, sound: bool) -> tuple[str, ...]:
    names = [name for name, needed, statuses in _ACTS if status in statuses and needed in granted]
    if not may_decide:
        names = [name for name in names if name not in {"approve", "reject"}]
    if not sound:
        names = [name for name in names if name != "start"]
    return tuple(names)
