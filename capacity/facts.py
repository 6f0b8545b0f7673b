"""What capacity knows of how accounts stand: an event soon, who can be called during it, and what was detected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import Count, FilteredRelation, OuterRef, Q, QuerySet, Subquery
from django.urls import reverse

from accounts.calendar.models import CalendarKind
from accounts.calendar.selectors import Item, Source, register_source
from accounts.contacts.selectors import STALE_AFTER
from accounts.facts import Act, Fact, Finding, Grade, plural, register_fact
from accounts.models import Account, Contact, ContactRole
from capacity.metrics.kinds import MANNERS, Good, MetricKind
from capacity.metrics.models import Metric
from capacity.models import TrafficEvent
from capacity.reports.models import ENDED_AFTER, DetectedState, GrowthReport
from capacity.reports.selectors import ended_words

AHEAD = timedelta(days=10)
RED_AHEAD = timedelta(days=3)
NEEDED = 2
UNUSUAL_FOR = timedelta(days=14)
"""As long people are called for what was detected: what is older waits in its list alone."""


@dataclass(frozen=True)
class EventKnown:
    """The event of one account that needs people most, and who can be called during it, confirmed in 180 days.

    These are the contacts that the event names (`is_named`), else the account's for emergencies.
    """

    starts_at: datetime | None
    callable: int
    is_named: bool = False

    @property
    def rank(self) -> tuple[int, datetime]:
        """Of several events the one with the fewest people counts, and of these the first."""
        assert self.starts_at is not None
        return min(self.callable, NEEDED), self.starts_at


def gather_events(accounts: QuerySet[Account], now: datetime) -> Mapping[int, EventKnown]:
    """Return the events of each account that are on or soon, and who could be called; two queries, one where none is soon."""
    fresh = now.date() - STALE_AFTER
    is_soon = Q(traffic_events__ends_at__gt=now, traffic_events__starts_at__lte=now + AHEAD)
    soon = list(
        Account.objects.filter(pk__in=accounts.order_by().values("pk"))
        .annotate(_soon=FilteredRelation("traffic_events", condition=is_soon))
        .order_by()
        .values("pk", "_soon__pk")
        .annotate(
            _named=Count("_soon__contacts"),
            _fresh=Count("_soon__contacts", filter=Q(_soon__contacts__confirmed_on__gte=fresh)),
        )
        .values_list("pk", "_soon__starts_at", "_named", "_fresh")
    )
    people: dict[int, int] = {}
    if unnamed := {pk for pk, starts_at, named, _ in soon if starts_at is not None and not named}:
        called = Q(roles__overlap=[ContactRole.PRIMARY, ContactRole.TECHNICAL, ContactRole.EMERGENCY])
        people = dict(
            Contact.objects.filter(called, account__in=unnamed, confirmed_on__gte=fresh)
            .order_by()
            .values("account")
            .annotate(of=Count("pk"))
            .values_list("account", "of")
        )
    found: dict[int, EventKnown] = {}
    for pk, starts_at, named, confirmed in soon:
        if starts_at is None:
            found[pk] = EventKnown(None, 0)
            continue
        one = EventKnown(starts_at, confirmed if named else people.get(pk, 0), bool(named))
        if pk not in found or one.rank < found[pk].rank:
            found[pk] = one
    return found


def judge_events(known: EventKnown | None, now: datetime) -> Finding:
    """An event within ten days needs a contact and a backup, both confirmed; within three days it is red."""
    if known is None:
        return Finding(Grade.UNKNOWN, "Events could not be read.", "Unknown is never green.")
    rule = "Ten days before an event two people can be called: a contact and a backup."
    if known.starts_at is None:
        return Finding(Grade.GREEN, "No event within ten days.", rule, now)
    parts = (("can be called", known.callable), ("event begins", f"{known.starts_at:%Y-%m-%d %H:%M} UTC"))
    days = max(0, (known.starts_at - now).days)
    when = "is on" if known.starts_at <= now else f"begins in {plural(days, 'day')}"
    why = "" if known.is_named else " It names no contacts, so the account’s count."
    if known.callable < NEEDED:
        grade = Grade.RED if known.callable == 0 or known.starts_at - now <= RED_AHEAD else Grade.AMBER
        who = "nobody" if known.callable == 0 else "no backup contact"
        of = " of those named for it" if known.is_named else ""
        return Finding(grade, f"An event {when}, and {who}{of} is confirmed.{why}", rule, now, None, parts)
    of = " of those named for it" if known.is_named else ""
    return Finding(
        Grade.GREEN,
        f"An event {when}; {plural(known.callable, 'person', 'people')}{of} can be called.{why}",
        rule,
        now,
        None,
        parts,
    )


def events_in(accounts: QuerySet[Account], start: datetime, end: datetime) -> list[Item]:
    """Return the traffic events of accounts in [start, end) for their calendars; one query."""
    rows = TrafficEvent.objects.filter(
        account__in=accounts.order_by().values("pk"), starts_at__lt=end, ends_at__gt=start
    ).select_related("account")
    return [
        Item(
            row.starts_at,
            max(row.ends_at, row.starts_at + timedelta(minutes=1)),
            CalendarKind.EVENT.value,
            row.name,
            row.account.time_zone,
            account=row.account,
            url=reverse("capacity:traffic-event", args=[row.ref]),
            uid=f"event-{row.ref}",
            # A feed that has it already takes a higher number for the newer one.
            sequence=int((row.updated_at - row.created_at).total_seconds()),
            changed_at=row.updated_at,
        )
        for row in rows
    ]


@dataclass(frozen=True)
class Stretch:
    """What left its band and nobody decided; `is_bad`: it went where it should not, and is still there."""

    seen_in: str
    starts_at: datetime
    is_rise: bool
    is_bad: bool


@dataclass(frozen=True)
class Unusual:
    """What was detected in one account, the newest first, and up to when its figures are known."""

    known_until: datetime | None
    waiting: tuple[Stretch, ...] = ()


def gather_unusual(accounts: QuerySet[Account], now: datetime) -> Mapping[int, Unusual]:
    """Return what was detected in each account and nobody decided; one query."""
    waits = Q(
        detected_events__state=DetectedState.PROPOSED.value, detected_events__ends_at__gt=now - UNUSUAL_FOR
    )
    newest = GrowthReport.objects.filter(metric__account=OuterRef("pk"), analysed_until__isnull=False)
    rows = (
        Account.objects.filter(pk__in=accounts.order_by().values("pk"))
        .annotate(
            _waits=FilteredRelation("detected_events", condition=waits),
            _until=Subquery(newest.order_by("-analysed_until").values("analysed_until")[:1]),
        )
        .order_by("-_waits__starts_at", "-_waits__pk")
        .values_list(
            "pk",
            "_until",
            "_waits__starts_at",
            "_waits__ends_at",
            "_waits__score",
            "_waits__is_over",
            "_waits__metric__name",
            "_waits__metric__resource",
            "_waits__metric__kind",
        )
    )
    found: dict[int, Unusual] = {}
    for pk, until, begins, ends, score, is_over, name, resource, kind in rows:
        known = found.setdefault(pk, Unusual(until))
        if begins is not None:
            is_rise, is_on = score > 0, not is_over and ends > now - ENDED_AFTER
            is_bad = is_on and is_rise is (MANNERS[MetricKind(kind)].good is Good.LESS)
            one = Stretch(str(Metric(name=name, resource=resource)), begins, is_rise, is_bad)
            found[pk] = replace(known, waiting=(*known.waiting, one))
    return found


def judge_unusual(known: Unusual | None, now: datetime) -> Finding:
    """What fell and is still low is red until somebody says what happened, and what is better low while it is high; else what waits to be named or dismissed is amber."""
    never_green = "Unknown is never green."
    if known is None:
        return Finding(Grade.UNKNOWN, "What was detected could not be read.", never_green)
    rule = "What leaves its band is named or dismissed."
    if bad := [one for one in known.waiting if one.is_bad]:
        first = bad[-1]
        went, where = ("risen", "high") if first.is_rise else ("fallen", "low")
        says = f"{first.seen_in} has {went} since {first.starts_at:%Y-%m-%d %H:%M} UTC and is still {where}. Look at the site, and dismiss it with what happened."
        return Finding(Grade.RED, says, rule, known.known_until, None, (("still on", len(bad)),))
    if known.waiting:
        newest, others = known.waiting[0], len(known.waiting) - 1
        what = "rose" if newest.is_rise else "fell"
        more = f", and {others} more" if others else ""
        says = (
            f"{newest.seen_in} {what} on {newest.starts_at:%Y-%m-%d %H:%M} UTC{more}: name it or dismiss it."
        )
        return Finding(Grade.AMBER, says, rule, known.known_until, None, (("waiting", len(known.waiting)),))
    if known.known_until is None or ended_words(known.known_until, now):
        says = (
            "No report of any figure yet."
            if known.known_until is None
            else f"No figure was measured since {known.known_until:%Y-%m-%d}."
        )
        return Finding(Grade.UNKNOWN, says, never_green)
    return Finding(
        Grade.GREEN,
        "Nothing that was detected waits for a decision.",
        rule,
        known.known_until,
        known.known_until + ENDED_AFTER,
    )


def register() -> None:
    """Register all of it; called once when the app is ready."""
    register_source(Source("events", events_in))
    register_fact(
        Fact(
            "event_soon",
            "Event soon",
            gather_events,
            judge_events,
            Act(
                "Name a backup contact", lambda account: reverse("accounts:contact-list", args=[account.ref])
            ),
            order=15,
            in_review=False,
        )
    )
    register_fact(
        Fact(
            "unusual",
            "Unusual traffic",
            gather_unusual,
            judge_unusual,
            Act("Name or dismiss it", lambda account: reverse("capacity:detected-list", args=[account.ref])),
            order=18,
            in_review=False,
        )
    )
