"""What a submitted plan was before it was made less: step by step, and whether what was approved covers what it is.

The steps are written by lessening.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from portal.errors import Refused
from scaledown.canonical import digest, plan_from_plain
from scaledown.less import Changed, changes, is_less
from scaledown.models import LessStep
from scaledown.planner import so_many_servers

if TYPE_CHECKING:
    from portal.approvals.models import ApprovalRequest
    from scaledown.models import Plan
    from scaledown.types import PlanData


@dataclass(frozen=True)
class Step:
    """One step with the plan before and after it."""

    row: LessStep
    old: PlanData
    new: PlanData


@dataclass(frozen=True)
class LessShown:
    """One step for people: what is less since, who made it so, when and why. Both digests are whole."""

    at: datetime
    by_name: str
    reason: str
    was: str
    became: str
    changes: tuple[Changed, ...]


def steps_of(plan: Plan, request: ApprovalRequest | None) -> tuple[Step, ...]:
    """Return how a plan was made less, oldest first. One query, none for a plan that is as it was submitted."""
    if request is None or not request.lessened_from or plan.data is None:
        return ()
    rows = list(LessStep.objects.filter(plan=plan).select_related("by"))
    plans = [*(plan_from_plain(row.data) for row in rows), plan_from_plain(plan.data)]
    return tuple(Step(row, plans[place], plans[place + 1]) for place, row in enumerate(rows))


def shown(step: Step, *, for_customer: bool) -> LessShown:
    """Return a step for people."""
    row = step.row
    return LessShown(
        at=row.at,
        by_name=str(row.by),
        reason=row.reason,
        was=row.was,
        became=row.became,
        changes=changes(step.old, step.new, for_customer=for_customer),
    )


def of_what(digest: str, steps: Sequence[Step]) -> str:
    """Return of what a decision was with this digest where the plan is less since, else ""."""
    for step in steps:
        if step.row.was == digest:
            was, now = len(step.old.servers), len(steps[-1].new.servers)
            if was == now:
                return "before it was changed to less"
            return f"{so_many_servers(was)}; less since: {now}"
    return ""


def check_steps(plan: Plan, request: ApprovalRequest) -> None:
    """Raise Refused unless what was approved covers the plan as it is: each recorded step is to less, and they lead here."""
    steps = steps_of(plan, request)
    way = [*request.lessened_from, request.digest]
    leads_here = [step.row.was for step in steps] == way[:-1] and way[-1] == plan.digest
    is_sound = all(
        digest(step.old) == step.row.was
        and digest(step.new) == step.row.became
        and is_less(step.old, step.new)
        for step in steps
    )
    if not leads_here or not is_sound:
        raise Refused(
            "What the plan became is not less than what was approved, so it was not started. Tell the operator of the portal.",
            code="digest_broken",
        )
