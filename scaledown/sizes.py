"""How many servers a pool has after a scale-down, for whoever rests on its size (`capacity.pool_sizes`)."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Count, F, Func, IntegerField, Q, QuerySet

from accounts.models import Account
from capacity.pool_sizes import SizeSeen, register_sizes
from portal.runs.models import OVER, Run
from scaledown.models import Plan
from scaledown.services import KIND
from scaledown.types import Phase

OUT = (
    Phase.REMOVING.value,
    Phase.VERIFYING.value,
    Phase.HELD.value,
    Phase.IMAGING.value,
    Phase.DELETING.value,
    Phase.CONFIRMING.value,
    Phase.RETIRED.value,
    Phase.GONE.value,
    Phase.LEFT_OUT.value,
)


def _count(of: str) -> Func:
    return Func(F(of), function="jsonb_array_length", output_field=IntegerField())


def after_runs(accounts: QuerySet[Account]) -> Iterable[SizeSeen]:
    """Return the size that each finished run left behind, grown again or not; two queries."""
    runs = (
        Run.objects.filter(
            account__in=accounts.order_by().values("pk"), kind=KIND, status__in=OVER, is_rehearsal=False
        )
        .annotate(
            planned=_count("plan__servers"),
            stayed=_count("plan__remaining"),
            out=Count("retirements", filter=Q(retirements__phase__in=OUT)),
        )
        .values_list("account", "plan_ref", "plan__balancer_ids", "planned", "stayed", "out", "ended_at")
    )
    known = list(runs)
    connections = dict(
        Plan.objects.filter(ref__in=[row[1] for row in known]).values_list("ref", "connection")
    )
    for account, plan, balancers, planned, stayed, out, at in known:
        for balancer in balancers or ():
            if plan in connections and at is not None:
                yield SizeSeen(account, connections[plan], str(balancer), planned + stayed - out, at)


def register() -> None:
    """Hand them in; called once when the app is ready."""
    register_sizes(after_runs)
