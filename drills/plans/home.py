"""All drills that somebody may know of, of whatever account: the page *Drills*, the dashboard's part, the palette's finder."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from accounts.models import Team, User
from drills.after.freshness import with_freshness
from drills.plans import selectors
from drills.plans.models import Drill, DrillStatus
from drills.scenarios.words import KINDS
from portal.access import Permission, PortalView, seen_by_team, visible_to
from portal.lists import ListAsked
from portal.paging import keyset
from portal.palette import Entry
from portal.runs.types import RunStatus

MOST_TEAMS = 3
MOST_SHOWN = 20
_AWAITED = Q(status__in=(DrillStatus.AWAITING_APPROVAL, DrillStatus.APPROVED))
_LIVE = Q(held__isnull=False, held__result="")
STANDS: dict[str, tuple[str, Q]] = {
    "live": ("under way", _LIVE),
    "coming": ("coming", _AWAITED),
    "drafts": ("drafts", Q(status=DrillStatus.DRAFT)),
    "held": ("held", ~Q(held__result="") & Q(held__isnull=False)),
}


def known_to(user: User, permission: Permission = Permission.DRILL_VIEW) -> QuerySet[Drill]:
    """Return the drills of every account in which somebody holds a permission, less those that they must not know of."""
    return visible_to(user, selectors.drills_for(user), permission)


class DrillHome(PortalView):
    """The drills of all accounts, the newest first; the way to the scenarios."""

    permission = Permission.SIGNED_IN

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show them; filters stand in the address."""
        filters = {"stand": tuple(STANDS), "held": tuple(kind.value for kind in KINDS)}
        asked = ListAsked.of(request.GET, filters=filters, orders=("usual",))
        rows = known_to(self.user)
        for word in asked.text.split():
            rows = rows.filter(Q(title__icontains=word) | Q(account__name__icontains=word))
        if asked.filters["stand"]:
            rows = rows.filter(STANDS[asked.filters["stand"]][1])
        if asked.filters["held"]:
            rows = rows.filter(kind=asked.filters["held"])
        teams = list(
            seen_by_team(self.user, Team, Permission.SCENARIO_VIEW).order_by("name", "pk")[: MOST_TEAMS + 1]
        )
        page = keyset(rows, request, order="-id")
        with_freshness(page.rows)
        return self.render(
            "drills/home.html",
            page=page,
            asked=asked,
            is_narrowed=bool(asked.text or any(asked.filters.values())),
            stands=[(value, said) for value, (said, _) in STANDS.items()],
            held_choices=[(kind.value, said) for kind, said in KINDS.items()],
            teams=teams if len(teams) <= MOST_TEAMS else [],
            has_many_teams=len(teams) > MOST_TEAMS,
            nav_key="drills",
        )


def on_dashboard(user: Any) -> dict[str, Any] | None:
    """Return what is under way, waits for this person's yes, or may begin soon: halted ones first. Two queries, one where there is none."""
    now = timezone.now()
    rows = list(
        known_to(user)
        .filter(_LIVE | (_AWAITED & (Q(not_after__isnull=True) | Q(not_after__gt=now))))
        .order_by("not_before", "pk")[:200]
    )
    if not rows:
        return None
    deciding = set(
        visible_to(
            user, Drill.objects.filter(pk__in=[one.pk for one in rows]), Permission.PLAN_APPROVE
        ).values_list("pk", flat=True)
    )
    found = sorted((_next(one, one.pk in deciding) for one in rows), key=lambda one: one[0])
    return {"rows": [one[1:] for one in found[:MOST_SHOWN]]}


def _next(one: Drill, may_decide: bool) -> tuple[int, Drill, str, str, str]:
    """Return urgency, drill, state, address and what is next."""
    held = getattr(one, "held", None)
    if held is not None:
        is_halted = held.run.status == RunStatus.HALTED
        says = "It waits for a person." if is_halted else "It is under way. Anybody may stop it."
        return (
            (0 if is_halted else 1),
            one,
            held.run.status,
            reverse("drills:drill-live", args=[one.ref]),
            says,
        )
    url = reverse("drills:drill", args=[one.ref])
    if one.status == DrillStatus.AWAITING_APPROVAL:
        says = "Your approval is asked for." if may_decide else "It waits for the customer’s approval."
        return (2 if may_decide else 4), one, one.status, url, says
    return 3, one, one.status, url, "Approved; it may begin."


def find(user: Any, text: str, limit: int) -> list[Entry]:
    """Find drills by title, account or reference, for the palette."""
    rows = known_to(user).filter(
        Q(title__icontains=text) | Q(account__name__icontains=text) | Q(ref__startswith=text.lower())
    )
    return [
        Entry(one.title, reverse("drills:drill", args=[one.ref]), f"fire drill · {one.account}")
        for one in rows.order_by("-pk")[:limit]
    ]
