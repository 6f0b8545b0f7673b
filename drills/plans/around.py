"""What drills hand in to the calendar and to a team's quarter."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from accounts.calendar.models import CalendarKind
from accounts.calendar.selectors import Item, Source, register_source
from accounts.models import Account, Team
from accounts.reviews.quarter import Figure, Part, Shown, gather_drills, register_part
from drills.plans.models import Drill, DrillResult, DrillStatus, HeldDrill
from drills.scenarios.types import DrillKind
from portal.frozen import replace

_COUNTED_FROM = datetime(2020, 1, 1, tzinfo=UTC)


def sequence_of(drill: Drill) -> int:
    """Return the number by which calendars know a newer version of a drill's entry: it rises with each change."""
    return int((drill.updated_at - _COUNTED_FROM).total_seconds())


def coming(accounts: QuerySet[Account], start: datetime, end: datetime) -> list[Item]:
    """Return the drills that are approved or wait for it; one query. Unannounced ones are the team's alone: who reacts must not read them."""
    rows: Any = Drill.objects.filter(
        account__in=accounts.order_by().values("pk"),
        status__in=(DrillStatus.AWAITING_APPROVAL, DrillStatus.APPROVED),
        not_before__lt=end,
        not_after__gt=start,
    ).select_related("account")
    return [
        Item(
            row.not_before,
            row.not_after,
            CalendarKind.DRILL.value,
            "Fire drill",
            row.account.time_zone,
            account=row.account,
            is_team_only=row.kind == DrillKind.UNANNOUNCED.value,
            url=reverse("drills:drill", args=[row.ref]),
            uid=f"drill-{row.ref}",
            sequence=sequence_of(row),
            changed_at=row.updated_at,
        )
        for row in rows.only("ref", "kind", "account", "updated_at", "not_before", "not_after")
    ]


def quarter(team: Team, since: datetime, until: datetime) -> Shown:
    """Return the drills that a team's accounts held, beside what reviews say of them. One query more."""
    results = list(
        HeldDrill.objects.filter(
            drill__account__team=team, began_at__isnull=False, ended_at__gte=since, ended_at__lt=until
        ).values_list("result", flat=True)
    )
    answered = gather_drills(team, since, until)
    held = (
        Figure("Drills held", len(results), note="begun, and over in this quarter"),
        Figure("of which met their hypothesis", results.count(DrillResult.MET.value)),
    )
    return replace(answered, figures=(*held, *answered.figures))


def register() -> None:
    """Hand them in; called once when the app is ready."""
    register_source(Source("drills", coming))
    register_part(Part("drills", "Drills", quarter, order=40))
