"""What holds a scale-down back, who overrode it, and windows in the calendar.

Freezes of the account's calendar do, and traffic events that need the servers and that the plan's approvers did not see so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.urls import reverse

from accounts.calendar.models import CalendarKind
from accounts.calendar.selectors import Freeze, Item, Source, freezes_at, register_source
from capacity.models import TrafficEvent
from capacity.reports.models import DetectedEvent
from portal import access
from portal.access import Permission
from portal.audit.services import record
from portal.errors import NotPermitted, Refused
from portal.runs import journal
from portal.runs import services as runs
from portal.runs.models import Run
from portal.runs.types import Entry
from scaledown import ahead
from scaledown.canonical import from_plain, plan_from_plain
from scaledown.known import event_known, peaks
from scaledown.models import FreezeOverride, Plan, PlanStatus
from scaledown.types import PlanData

if TYPE_CHECKING:
    from accounts.models import Account, User

RISE = "The peak that is on"
UNSHOWN = "its preview did not show that"
NEAR = "it is near by now"
RISE_LASTS = timedelta(hours=1)
"""When it is looked at anew: nobody knows until when it is on."""


@dataclass(frozen=True)
class NeededFor(Freeze):
    """What needs more servers than a plan leaves: a traffic event, or a rise that is on. It holds as a freeze does.

    Its sentence does not name it, as a freeze's does not give its title.
    """

    sentence: str = ""
    needed: int | None = None
    """How many servers it needs; None where that is not known."""

    @property
    def says(self) -> str:
        """The sentence for people."""
        return self.sentence

    @property
    def what(self) -> str:
        """What it is, at the beginning of a sentence."""
        return "What needs the servers"


def for_start(plan: Plan, data: PlanData, now: datetime) -> list[Freeze]:
    """Return what a plan would start into now, or when its window opens; what ends last comes last.

    Three queries, and those of `known.peaks` where an event is not as it was in the preview or a rise is on.
    """
    begins = max(now, data.window_start or now)
    found = [*freezes_at(plan.account, begins), *needs_of(plan, data, now)]
    return sorted(found, key=lambda one: one.ends_at)


def needs_of(plan: Plan, data: PlanData, now: datetime) -> list[NeededFor]:
    """Return what needs the servers when a plan would start, and did not stand in its preview. Two queries, or more as above."""
    return _needs(plan.account, max(now, data.window_start or now), now, lambda: (plan, data))


def _needs(
    account: Account,
    moment: datetime,
    now: datetime,
    drawn: Callable[[], tuple[Plan, PlanData] | None],
) -> list[NeededFor]:
    """Return what needs more servers than they knew of who approved the plan. Two queries where there is nothing."""
    near = TrafficEvent.objects.filter(
        account=account, ends_at__gt=moment, starts_at__lte=moment + ahead.AHEAD
    ).order_by("starts_at", "pk")
    rows = list(near)
    rises = DetectedEvent.objects.filter(account=account).on_at(now).order_by("starts_at", "pk")
    rising = rises.values_list("ref", flat=True).first()
    found = drawn() if rows or rising else None
    if found is None or found[0].submitted_at is None or found[0].preview is None:
        return []
    plan, data = found
    shown, looked_at = _shown(found[0].preview)
    then = max(looked_at, data.window_start or looked_at)

    def is_nearer(row: TrafficEvent) -> bool:
        return ahead.is_nearer(row, shown[str(row.ref)], then=then, at=moment)

    changed = [
        row for row in rows if str(row.ref) not in shown or row.updated_at > looked_at or is_nearer(row)
    ]
    if not changed and not rising:
        return []
    usual, on = peaks(plan.connection, data.balancer_ids, now)
    needed = []
    for row in changed:
        event = event_known(row, usual.requests_per_s if usual else None)
        before = shown.get(event.ref)
        if ahead.is_carried(event.peak_rps, data):
            continue
        if before is None or ahead.needs_more(event.peak_rps, before, data):
            needed.append(_needed(event.ref, event, event.name, event.peak_rps, data))
        elif is_nearer(row):
            needed.append(_needed(event.ref, event, event.name, event.peak_rps, data, why=NEAR))
    if on is not None and ahead.is_higher(on.requests_per_s, data):
        lasts = ahead.EventShown("", on.at, now + RISE_LASTS, None)
        needed.append(_needed(str(rising), lasts, RISE, on.requests_per_s, data))
    return needed


def _shown(preview: Mapping[str, Any]) -> tuple[dict[str, ahead.EventShown], datetime]:
    """Return the events that a kept preview showed, by reference, and when it was made."""
    events = [from_plain(ahead.EventShown, one) for one in preview.get("events", ())]
    return {one.ref: one for one in events}, datetime.fromisoformat(preview["looked_at"])


def _needed(
    ref: str, lasts: ahead.Lasting, name: str, peak_rps: float | None, data: PlanData, *, why: str = UNSHOWN
) -> NeededFor:
    what = f"A traffic event from {lasts.starts_at:%Y-%m-%d %H:%M} to {lasts.ends_at:%Y-%m-%d %H:%M} UTC"
    if name is RISE:
        what = "A rise in the traffic is on that"
    says = f"{what} {ahead.needs(peak_rps, data)}; {why}."
    needed = ahead.needed_for(peak_rps, data)
    return NeededFor(ref, name, "event", "account", lasts.starts_at, lasts.ends_at, says, needed)


def not_overridden(run: Run, now: datetime) -> list[Freeze]:
    """Return what holds a run back now; three queries, more where an event is near or anything is found."""

    def drawn() -> tuple[Plan, PlanData] | None:
        plan = Plan.objects.select_related("connection__account").filter(ref=run.plan_ref).first()
        return None if plan is None else (plan, plan_from_plain(run.plan))

    found = sorted(
        [*freezes_at(run.account, now), *_needs(run.account, now, now, drawn)], key=lambda one: one.ends_at
    )
    if not found:
        return []
    let = list(FreezeOverride.objects.filter(run=run))
    return [one for one in found if not any(_lets(row, one) for row in let)]


def _lets(override: FreezeOverride, one: Freeze) -> bool:
    """Whether somebody let a run go on in this: in a freeze, or in what needs no more servers than it did then."""
    if one.ref not in override.freezes:
        return False
    if not isinstance(one, NeededFor):
        return True
    then = override.needed.get(one.ref)
    return then is None or (one.needed is not None and one.needed <= then)


@dataclass(frozen=True)
class Held:
    """What holds a run back, in a sentence each, and until when."""

    says: str
    ends_at: datetime


def says_of(found: Sequence[Freeze]) -> str:
    """Return a sentence for each: whoever lets a run go on in them must have read of all. What needs the servers comes first."""
    return " ".join(one.says for one in sorted(found, key=lambda one: not isinstance(one, NeededFor)))


def holding(run: Run, now: datetime) -> Held | None:
    """Return what holds a run back; None if nothing does."""
    found = not_overridden(run, now)
    return Held(says_of(found), found[-1].ends_at) if found else None


def check_override(frozen: Sequence[Freeze], account: Account, actor: User, reason: str, act: str) -> None:
    """Raise Refused for a freeze that nobody overrides, NotPermitted for who may not. `act` is "Start it"."""
    says = says_of(frozen)
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
    FreezeOverride.objects.create(
        run=run,
        freezes=[one.ref for one in listed],
        needed={one.ref: one.needed for one in listed if isinstance(one, NeededFor)},
        by=actor,
    )
    author = runs.author_of(actor)
    until = max(one.ends_at for one in listed)
    journal.write(
        run,
        [
            Entry(
                "freeze_overridden",
                f"{author.name} overrode this: {says_of(listed)}",
                f"A lead decided that this goes on all the same. {says_of(listed)}",
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
