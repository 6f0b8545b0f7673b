"""The reads behind findings, and behind drills side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from accounts.models import Account, User
from accounts.reviews.models import ActionItem, ActionState
from accounts.reviews.origins import Origin
from drills import figures
from drills.after.comparing import HeldResult
from drills.after.freshness import out_of_date
from drills.after.models import DrillFinding
from drills.after.proposals import Proposal, proposed
from drills.plans.models import HeldDrill
from drills.plans.selectors import SOMEBODY, drills_for
from drills.scenarios.types import Role
from drills.scenarios.words import ROLES
from drills.types import DrillPlan, Progress, plan_from_plain, progress_from_plain
from portal.audit.subjects import open_rows, say_instead
from portal.runs.types import RunStatus


def findings() -> QuerySet[DrillFinding]:
    """Return findings as they are stored, with what is shown beside; `dressed` makes them readable."""
    return DrillFinding.objects.sealed().select_related(
        "held__drill__account__team", "held__drill__facilitator", "held__drill__author", "noted_by"
    )


def findings_for(user: User) -> QuerySet[DrillFinding]:
    """Return the findings of drills that somebody may know of."""
    return findings().filter(held__drill__in=drills_for(user).order_by().values("pk"))


def dressed(rows: Sequence[DrillFinding], *, with_names: bool) -> list[DrillFinding]:
    """Give each finding what readers see: its texts, `by` and `actions`. At most five queries for all of them.

    Without names the texts say *somebody*, and `by` is the role in which it was written.
    """
    if with_names:
        open_rows(rows, DrillFinding.sealed_fields)
    of: dict[int, list[ActionItem]] = {}
    given: Any = ActionItem.objects.filter(out_of_finding__finding__in=[one.pk for one in rows])
    for action in given.select_related("owner_user", "owner_contact", "out_of_finding").order_by(
        "due_on", "pk"
    ):
        of.setdefault(action.out_of_finding.finding_id, []).append(action)
    for row in rows:
        if not with_names:
            for name in DrillFinding.sealed_fields:
                setattr(row, name, say_instead(getattr(row, name), {}, SOMEBODY))
        shown: Any = row
        shown.by = str(row.noted_by) if with_names else _role_word(row.noted_as)
        shown.actions = of.get(row.pk, [])
    return list(rows)


def _role_word(role: str) -> str:
    return ROLES[Role(role)] if role else "somebody with access"


_WEIGHT = ("critical", "major", "minor", "good")


def findings_of(held: HeldDrill, *, with_names: bool) -> list[DrillFinding]:
    """Return a drill's findings, the weightiest first, withdrawn ones last."""
    rows = list(findings().filter(held=held).order_by("noted_at", "pk"))
    rows.sort(key=lambda one: (one.withdrawn_at is not None, _WEIGHT.index(one.severity)))
    return dressed(rows, with_names=with_names)


def still_open(rows: Sequence[Any]) -> int:
    """Return how many action items of these findings are open."""
    return sum(one.state == ActionState.OPEN for row in rows for one in row.actions)


def proposals_of(
    rows: Sequence[DrillFinding], plan: DrillPlan, progress: Progress, status: RunStatus
) -> list[Proposal]:
    """Return what the figures propose and nobody took over yet. What was withdrawn was judged, too."""
    taken = {one.proposal_key for one in rows}
    return [one for one in proposed(plan, progress, status) if one.key not in taken]


def origins(actions: Sequence[ActionItem], user: User) -> dict[int, Origin]:
    """Return out of which drill action items came, by their keys; one query. Only drills that the reader may know of."""
    from django.urls import reverse

    rows = findings_for(user).filter(action_links__action__in=[one.pk for one in actions])
    return {
        pk: Origin(
            f"Fire drill: {title}", f"{reverse('drills:drill-report', args=[drill])}#finding-{finding}"
        )
        for pk, title, drill, finding in rows.values_list(
            "action_links__action", "held__drill__title", "held__drill__ref", "ref"
        )
    }


MOST_COMPARED = 12


def held_of_scenario(account: Account, scenario_key: str, user: User) -> list[HeldResult]:
    """Return the newest drills of one scenario on one account that are over; three queries."""
    listed = (
        HeldDrill.objects.filter(
            drill__in=drills_for(user)
            .filter(account=account, scenario_key=scenario_key)
            .order_by()
            .values("pk"),
            ended_at__isnull=False,
        )
        .exclude(result="")
        .select_related("drill", "run")
        .order_by("-ended_at", "-pk")[:MOST_COMPARED]
    )
    rows = list(listed)
    stale = out_of_date(rows)
    found = []
    for row in rows:
        plan, progress = plan_from_plain(row.run.plan), progress_from_plain(row.run.progress)
        result = figures.result_of(plan, progress, RunStatus(row.run.status))
        if result is not None and row.ended_at is not None:
            found.append(
                HeldResult(str(row.drill.ref), row.drill.title, row.ended_at, result, stale.get(row.pk, ""))
            )
    return found
