"""Freezes of the account's calendar and scale-downs: what holds a run back, who overrode it, and windows in the calendar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.urls import reverse

from accounts.calendar.models import CalendarKind
from accounts.calendar.selectors import Freeze, Item, Source, freezes_at, register_source
from portal import access
from portal.access import Permission
from portal.audit.services import record
from portal.errors import NotPermitted, Refused
from portal.runs import journal
from portal.runs import services as runs
from portal.runs.models import Run
from portal.runs.types import Entry
from scaledown.models import FreezeOverride, Plan, PlanStatus
from scaledown.types import PlanData

if TYPE_CHECKING:
    from accounts.models import Account, User


def at(account: Account, moment: datetime) -> list[Freeze]:
    """Return the freezes of an account at a moment; the one that ends last comes last."""
    return freezes_at(account, moment)


def for_start(plan: Plan, data: PlanData, now: datetime) -> list[Freeze]:
    """Return the freezes into which a plan would start now, or when its window opens."""
    return at(plan.account, max(now, data.window_start or now))


def not_overridden(run: Run, now: datetime) -> list[Freeze]:
    """Return the freezes that hold a run back now; one query, a second one where there are any."""
    found = at(run.account, now)
    if not found:
        return []
    let = {ref for row in FreezeOverride.objects.filter(run=run) for ref in row.freezes}
    return [one for one in found if one.ref not in let]


def holding(run: Run, now: datetime) -> Freeze | None:
    """Return the freeze that holds a run back the longest; None if none does."""
    found = not_overridden(run, now)
    return found[-1] if found else None


def check_override(frozen: Sequence[Freeze], account: Account, actor: User, reason: str, act: str) -> None:
    """Raise Refused for a freeze that nobody overrides, NotPermitted for who may not. `act` is "Start it"."""
    says = frozen[-1].says
    if not access.can(actor, Permission.OVERRIDE, account):
        if reason.strip():
            raise NotPermitted(f"{says} Only a lead may override it.", code="not_permitted")
        raise Refused(f"{says} {act} after that, or have a lead override it.", code="freeze")
    if not reason.strip():
        raise Refused(
            f"{says} {act} after that, or say why it cannot wait: that overrides it.", code="freeze"
        )


def override(run: Run, frozen: Iterable[Freeze], *, actor: User, reason: str) -> None:
    """Let a run go on in these freezes, in its journal and on the record; in the caller's transaction."""
    listed = list(frozen)
    FreezeOverride.objects.create(run=run, freezes=[one.ref for one in listed], by=actor)
    author = runs.author_of(actor)
    until = max(one.ends_at for one in listed)
    journal.write(
        run,
        [
            Entry(
                "freeze_overridden",
                f"{author.name} overrode the freeze that is in force until {until:%Y-%m-%d %H:%M} UTC.",
                "A lead decided that this goes on although a freeze is in force.",
                detail={"freezes": [one.ref for one in listed]},
            )
        ],
        at=journal.database_now(),
        author=author,
    )
    record(
        "run.freeze_overridden",
        actor=actor,
        account=run.account,
        subject=run,
        after={"until": until, "freezes": [one.ref for one in listed]},
        reason=reason,
    )


def windows(accounts: QuerySet[Account], start: datetime, end: datetime) -> list[Item]:
    """Return the change windows of plans that are approved or wait for it; one query."""
    rows: Any = Plan.objects.filter(
        account__in=accounts.order_by().values("pk"),
        status__in=(PlanStatus.AWAITING_APPROVAL, PlanStatus.APPROVED),
        data__window_start__isnull=False,
    ).select_related("account")
    found = []
    for row in rows.only("ref", "title", "account", "updated_at", "data"):
        opens, closes = (_moment(row.data.get(name)) for name in ("window_start", "window_end"))
        if opens is None or closes is None or not (opens < end and closes > start):
            continue
        found.append(
            Item(
                opens,
                closes,
                CalendarKind.WINDOW.value,
                "Change window of a scale-down",
                row.account.time_zone,
                account=row.account,
                url=reverse("scaledown:plan-detail", args=[row.ref]),
                uid=f"plan-{row.ref}",
                sequence=int((row.updated_at - datetime(2020, 1, 1, tzinfo=UTC)).total_seconds()),
                changed_at=row.updated_at,
            )
        )
    return found


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def register() -> None:
    """Hand the windows to the calendar; called once when the app is ready."""
    register_source(Source("windows", windows))
