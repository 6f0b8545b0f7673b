"""What capacity knows of how accounts stand: an event soon, and whether anybody stands behind the first contact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q, QuerySet
from django.urls import reverse

from accounts.calendar.models import CalendarKind
from accounts.calendar.selectors import Item, Source, register_source
from accounts.contacts.selectors import STALE_AFTER
from accounts.facts import Act, Fact, Finding, Grade, plural, register_fact
from accounts.models import Account, Contact, ContactRole
from capacity.models import TrafficEvent

AHEAD = timedelta(days=10)
RED_AHEAD = timedelta(days=3)


@dataclass(frozen=True)
class EventKnown:
    """The next event of one account, and who can be called during it: contacts for emergencies, confirmed in 180 days."""

    starts_at: datetime | None
    callable: int


def gather_events(accounts: QuerySet[Account], now: datetime) -> Mapping[int, EventKnown]:
    """Return the next event of each account and who could be called; three queries."""
    of = accounts.values("pk")
    starts = dict(
        TrafficEvent.objects.filter(account__in=of, ends_at__gt=now, starts_at__lte=now + AHEAD)
        .order_by()
        .values("account")
        .annotate(first=Min("starts_at"))
        .values_list("account", "first")
    )
    if not starts:
        return {pk: EventKnown(None, 0) for pk in accounts.values_list("pk", flat=True)}
    called = Q(roles__overlap=[ContactRole.PRIMARY, ContactRole.TECHNICAL, ContactRole.EMERGENCY])
    people = dict(
        Contact.objects.filter(called, account__in=list(starts), confirmed_on__gte=now.date() - STALE_AFTER)
        .order_by()
        .values("account")
        .annotate(of=Count("pk"))
        .values_list("account", "of")
    )
    return {pk: EventKnown(starts.get(pk), people.get(pk, 0)) for pk in accounts.values_list("pk", flat=True)}


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
    if known.callable < 2:
        grade = Grade.RED if known.callable == 0 or known.starts_at - now <= RED_AHEAD else Grade.AMBER
        who = "nobody" if known.callable == 0 else "no backup contact"
        return Finding(grade, f"An event {when}, and {who} is confirmed.", rule, now, None, parts)
    return Finding(
        Grade.GREEN,
        f"An event {when}; {plural(known.callable, 'person', 'people')} can be called.",
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
            url=reverse("accounts:account-detail", args=[row.account.ref]),
            uid=f"event-{row.ref}",
            changed_at=row.created_at,
        )
        for row in rows
    ]


def register() -> None:
    """Register both; called once when the app is ready."""
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
