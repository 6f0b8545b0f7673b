"""The reads behind calendars: what is when, for whom, and what holds changes back.

Apps hand in what they know is coming (`register_source`): traffic events, change windows. A source returns its items for
many accounts in a constant number of queries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, When, Window
from django.db.models.functions import RowNumber
from django.urls import reverse

from accounts.calendar.models import (
    HOLDS_BACK,
    CalendarEntry,
    CalendarFeed,
    CalendarKind,
    CalendarScope,
)
from accounts.calendar.times import HasTime, repeated
from accounts.models import Account, AccountStatus, CloudConnection
from accounts.reviews.models import ReviewSchedule
from portal.access import Permission, visible_to
from portal.compiled import Compiled

MOST_ITEMS = 2000
SHARE = 100
SHARE_OF_PAGE = 4
LONGEST_ENTRY = timedelta(days=366)


@dataclass(frozen=True)
class Item(HasTime):
    """One thing in a calendar, once. `account` is None for what holds for many; `uid` and `sequence` are for feeds."""

    kind: str
    title: str
    time_zone: str
    scope: str = CalendarScope.ACCOUNT.value
    account: Any = None
    is_all_day: bool = False
    is_team_only: bool = False
    is_cancelled: bool = False
    url: str = ""
    uid: str = ""
    sequence: int = 0
    changed_at: datetime | None = None
    entry: Any = None

    @property
    def last_moment(self) -> datetime:
        """The last moment that is in it: of whole days, one of the last day."""
        return self.ends_at - timedelta(microseconds=1)

    @property
    def kind_says(self) -> str:
        """The word for people."""
        return CalendarKind(self.kind).label


@dataclass(frozen=True)
class Source:
    """What one app knows is coming for accounts: `gather(accounts, start, end)`."""

    key: str
    gather: Callable[[QuerySet[Account], datetime, datetime], Iterable[Item]] = field(compare=False)


_sources: dict[str, Source] = {}


def register_source(source: Source) -> None:
    """Add or replace a source."""
    _sources[source.key] = source


# --- what is when ------------------------------------------------------------------------------------------


def entries_for(accounts: QuerySet[Account]) -> QuerySet[CalendarEntry]:
    """Return the entries that hold for any of these accounts: own, team-wide, and those of their providers."""
    of = accounts.order_by().values("pk")
    teams = accounts.order_by().values("team")
    reached = CloudConnection.objects.filter(
        account__in=of, account__team=OuterRef("team"), provider=OuterRef("provider")
    )
    return CalendarEntry.objects.filter(
        Q(account__in=of)
        | Q(scope=CalendarScope.TEAM, team__in=teams)
        | (
            Q(scope=CalendarScope.PROVIDER, team__in=teams)
            & (Q(Exists(reached.filter(region=OuterRef("region")))) | Q(region="") & Q(Exists(reached)))
        )
    )


def entries_of(account: Account) -> QuerySet[CalendarEntry]:
    """As `entries_for`, for one account, whose team is known: asked often, so the query is short."""
    return _entries_of(account.pk, account.team_id)


def _entries_of(account: Any, team: Any) -> QuerySet[CalendarEntry]:
    reached = CloudConnection.objects.filter(account=account, provider=OuterRef("provider"))
    return CalendarEntry.objects.filter(
        Q(account=account)
        | Q(scope=CalendarScope.TEAM, team=team)
        | (
            Q(scope=CalendarScope.PROVIDER, team=team)
            & (Q(Exists(reached.filter(region=OuterRef("region")))) | Q(region="") & Q(Exists(reached)))
        )
    )


def touching(rows: QuerySet[CalendarEntry], start: datetime, end: datetime) -> QuerySet[CalendarEntry]:
    """Return those that may be on at some moment of [start, end): weekly ones are looked at in their zones after."""
    return _touching(rows, start, end, _week_before(start))


def _week_before(start: datetime) -> date:
    return (start - timedelta(days=1)).date() - LONGEST_ENTRY


def _touching(
    rows: QuerySet[CalendarEntry], start: Any, end: Any, week_before: Any
) -> QuerySet[CalendarEntry]:
    return rows.filter(starts_at__lt=end).filter(
        Q(repeats_until__isnull=True, ends_at__gt=start)
        | Q(repeats_until__isnull=False, repeats_until__gte=week_before)
    )


def expanded(rows: Iterable[CalendarEntry], start: datetime, end: datetime) -> list[Item]:
    """Return entries as items, each time that a weekly one is on in [start, end)."""
    found = []
    for row in rows:
        for begins, over in repeated(
            row.starts_at, row.ends_at, row.time_zone, row.repeats_until, start, end
        ):
            suffix = f"-{begins:%Y%m%d}" if row.repeats_until is not None else ""
            found.append(
                Item(
                    begins,
                    over,
                    row.kind,
                    row.title,
                    row.time_zone,
                    row.scope,
                    row.account,
                    row.is_all_day,
                    row.is_team_only,
                    row.cancelled_at is not None,
                    _url_of(row),
                    f"{row.ref}{suffix}",
                    row.sequence,
                    row.updated_at,
                    row,
                )
            )
    return found


def _url_of(row: CalendarEntry) -> str:
    if row.account is not None:
        return reverse("accounts:calendar-entry", args=[row.ref])
    return reverse("accounts:team-calendar-entry", args=[row.ref])


def items_for(
    accounts: QuerySet[Account],
    start: datetime,
    end: datetime,
    *,
    viewer: Any,
    with_cancelled_since: datetime | None = None,
    is_sealed: bool = False,
    share: int | None = None,
) -> list[Item]:
    """Return everything in the calendars of these accounts in [start, end), by its beginning; a constant number of queries.

    What only the team sees is there for a `viewer` of that team. What was called off is left out, or with `with_cancelled_since` kept if that was
    later. `is_sealed` keeps people as tokens. Where calendars of many stand together, `share` is how many entries one of
    them has there at most, freezes first: nobody fills the page of all.
    """
    rows = touching(entries_for(accounts), start, end).select_related("account")
    shown = Q(cancelled_at__isnull=True)
    if with_cancelled_since is not None:
        shown |= Q(cancelled_at__gte=with_cancelled_since)
    rows = rows.filter(shown)
    rows = rows.filter(
        Q(is_team_only=False) | Q(account__in=visible_to(viewer, Account, Permission.TEAM_NOTES).values("pk"))
    )
    if is_sealed:
        rows = rows.sealed()  # type: ignore[attr-defined]
    if share is not None:
        held = Case(When(kind__in=HOLDS_BACK, then=0), default=1)
        rank = Window(
            RowNumber(), partition_by=[F("account"), F("team")], order_by=[held, F("starts_at"), F("pk")]
        )
        rows = rows.annotate(rank=rank).filter(rank__lte=share)
    items = expanded(rows.order_by("starts_at", "pk")[:MOST_ITEMS], start, end)
    for source in _sources.values():
        items += source.gather(accounts, start, end)
    return sorted(items, key=lambda item: (item.starts_at, item.ends_at, item.uid))


def coming(user: Any, now: datetime, *, weeks: int, limit: int) -> Coming:
    """Return what is coming for all accounts that the user sees, by its beginning; and how much more there is of whom.

    Where there is more than `limit`: first what holds changes back and what is of a whole team, then `SHARE_OF_PAGE` of each
    account, then the others, each by its beginning. So no account keeps another's, or the team's freeze, from the page.
    """
    accounts = visible_to(user, Account, Permission.CALENDAR_VIEW).filter(status=AccountStatus.ACTIVE)
    items = items_for(accounts, now, now + timedelta(weeks=weeks), viewer=user, share=SHARE)
    counted: Counter[Any] = Counter()
    ranked = []
    for item in sorted(items, key=lambda one: (not _is_first(one), one.starts_at)):
        counted[item.account] += item.account is not None
        is_over = counted[item.account] > SHARE_OF_PAGE
        # An account's own freezes have a share too: else 20 of them would hide the team's.
        ranked.append((2 * is_over + (not _is_first(item)), item))
    ranked.sort(key=lambda pair: pair[0])
    shown = sorted(
        (item for _, item in ranked[:limit]), key=lambda one: (one.starts_at, one.ends_at, one.uid)
    )
    left = Counter(item.account for _, item in ranked[limit:])
    return Coming(
        shown,
        [(account, number) for account, number in left.items() if account is not None],
        len(ranked[limit:]),
    )


@dataclass(frozen=True)
class Coming:
    """What is shown of the coming weeks; `more_of` is how many more each account has, `more` how many there are in all."""

    items: list[Item]
    more_of: list[tuple[Account, int]]
    more: int


def _is_first(item: Item) -> bool:
    return item.account is None or item.kind in HOLDS_BACK


def reviews_due(accounts: QuerySet[Account], start: datetime, end: datetime) -> list[Item]:
    """Return the days on which accounts are to be reviewed; one query."""
    rows = ReviewSchedule.objects.filter(
        account__in=accounts.order_by().values("pk"), next_on__gte=start.date(), next_on__lt=end.date()
    ).select_related("account")
    found = []
    for row in rows:
        assert row.next_on is not None
        at = datetime.combine(row.next_on, time(), UTC)
        found.append(
            Item(
                at,
                at + timedelta(days=1),
                CalendarKind.REVIEW.value,
                "Steady-state review due",
                "UTC",
                account=row.account,
                is_all_day=True,
                url=reverse("accounts:review-list", args=[row.account.ref]),
                uid=f"review-{row.account.ref}",
                sequence=int((row.updated_at - datetime(2020, 1, 1, tzinfo=UTC)).total_seconds()),
                changed_at=row.updated_at,
            )
        )
    return found


# --- what holds changes back -------------------------------------------------------------------------------


_WHAT = {
    CalendarKind.FREEZE: "A freeze",
    CalendarKind.MAINTENANCE: "The provider's maintenance",
    CalendarKind.LOCK: "A change lock",
}


@dataclass(frozen=True)
class Freeze:
    """A time in which nothing is to be changed: a freeze, the provider's maintenance, a change lock. Times are aware UTC."""

    ref: str
    title: str
    kind: str
    scope: str
    starts_at: datetime
    ends_at: datetime

    @property
    def says(self) -> str:
        """The sentence for people. It stands in journals, so the title, in which somebody may be named, is not in it."""
        return f"{self.what} is in force until {self.ends_at:%Y-%m-%d %H:%M} UTC."

    @property
    def what(self) -> str:
        """What it is, at the beginning of a sentence."""
        return _WHAT[CalendarKind(self.kind)]


def freezes_between(account: Account, start: datetime, end: datetime) -> list[Freeze]:
    """Return what holds changes back at some moment of [start, end) for an account, the earliest first; one query or two."""
    found = _HOLDING.rows(account.pk, account.team_id, start, end, _week_before(start))
    if not found:
        return []
    rows = CalendarEntry.objects.filter(pk__in=[pk for (pk,) in found])
    listed = rows.select_related("account").order_by("starts_at", "pk")
    return sorted(
        (
            Freeze(str(item.entry.ref), item.title, item.kind, item.scope, item.starts_at, item.ends_at)
            for item in expanded(listed, start, end)
        ),
        key=lambda one: (one.starts_at, one.ends_at),
    )


def _holding(account: Any, team: Any, start: Any, end: Any, week_before: Any) -> QuerySet[CalendarEntry, Any]:
    rows = _entries_of(account, team).filter(kind__in=HOLDS_BACK, cancelled_at__isnull=True)
    return _touching(rows, start, end, week_before).order_by("starts_at", "pk").values_list("pk")


# Each tick of a run asks it, and mostly there is none.
_HOLDING: Compiled[CalendarEntry] = Compiled(_holding, int, int, datetime, datetime, date)


def freezes_at(account: Account, at: datetime) -> list[Freeze]:
    """Return what holds changes back for an account at a moment; the one that ends last comes last."""
    found = freezes_between(account, at, at + timedelta(microseconds=1))
    return sorted(found, key=lambda one: one.ends_at)


def next_freeze(account: Account, at: datetime, until: datetime) -> Freeze | None:
    """Return the first freeze that begins after `at` and before `until`; None if none does."""
    return next((one for one in freezes_between(account, at, until) if one.starts_at > at), None)


def entries_read_by(user: Any) -> QuerySet[CalendarEntry]:
    """Return the entries of accounts that somebody may know of: what only the team sees is not there for anybody else."""
    of_team = visible_to(user, Account, Permission.TEAM_NOTES).order_by().values("pk")
    return CalendarEntry.objects.filter(scope="account").filter(
        Q(is_team_only=False) | Q(account__in=of_team)
    )


# --- feeds -------------------------------------------------------------------------------------------------


def feeds_of(user: Any) -> QuerySet[CalendarFeed]:
    """Return a user's feeds that are not revoked."""
    return (
        CalendarFeed.objects.filter(user=user, revoked_at__isnull=True)
        .select_related("account")
        .order_by("-pk")
    )
