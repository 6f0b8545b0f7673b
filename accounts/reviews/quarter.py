"""What a team did in a quarter, for its leads: figures that the apps hand in, each with where it comes from.

    register_part(Part("scaledown", "Scale-downs", gather, order=20))

`gather(team, since, until)` returns a `Shown`. A figure that nobody can know yet is None and says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

from django.db.models import Count, Q

from accounts.facts import ask, fact_of
from accounts.models import Account, AccountStatus, Team
from accounts.reviews.grades import WORST_FIRST
from accounts.reviews.models import ActionItem, ActionState, ReviewSnapshot
from portal.runs.models import JournalEntry, Run

WITHOUT_SHOWN = 50


@dataclass(frozen=True)
class Figure:
    """One number with its unit and its source; None is unknown and `note` says why."""

    label: str
    value: float | None
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Shown:
    """One part of the page: figures, and counts by name (`rows`)."""

    figures: tuple[Figure, ...] = ()
    rows: tuple[tuple[str, int], ...] = ()
    rows_title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Part:
    """What one app knows of a team's quarter."""

    key: str
    title: str
    gather: Callable[[Team, datetime, datetime], Shown] = field(compare=False)
    order: int = 50


_parts: dict[str, Part] = {}


def register_part(part: Part) -> None:
    """Add or replace a part."""
    _parts[part.key] = part


@dataclass(frozen=True)
class Quarter:
    """A quarter as it is shown; `previous` and `next` are its neighbours, the latter "" for the present one."""

    name: str
    since: date
    until: date
    previous: str
    next: str
    parts: tuple[tuple[Part, Shown], ...]
    without_review: tuple[Account, ...]
    without_count: int
    accounts: int


def is_quarter(name: str) -> bool:
    """Whether this names a quarter, like "2026-4". Pure."""
    year, _, number = name.partition("-")
    is_year = year.isascii() and year.isdigit() and len(year) == 4 and 2000 <= int(year) < 9000
    return is_year and number in {"1", "2", "3", "4"}


def bounds(name: str, today: date) -> tuple[str, date, date]:
    """Return a quarter ("2026-4") as its name, first day and the day after its last; today's for anything else. Pure."""
    year, _, number = name.partition("-")
    if not is_quarter(name):
        year, number = str(today.year), str((today.month - 1) // 3 + 1)
    first = date(int(year), int(number) * 3 - 2, 1)
    after = date(first.year + (first.month == 10), (first.month + 2) % 12 + 1, 1)
    return f"{first.year}-{number}", first, after


def neighbour(name: str, step: int) -> str:
    """Return the name of the quarter before (-1) or after (1). Pure."""
    year, number = (int(part) for part in name.split("-"))
    place = year * 4 + number - 1 + step
    return f"{place // 4}-{place % 4 + 1}"


def quarter_of(team: Team, now: datetime, name: str = "") -> Quarter:
    """Return a team's quarter: a constant number of queries, however many accounts it has."""
    known, first, after = bounds(name, now.date())
    since, until = (datetime.combine(day, time(), UTC) for day in (first, after))
    parts = sorted(_parts.values(), key=lambda part: (part.order, part.title))
    active = Account.objects.filter(team=team, status=AccountStatus.ACTIVE)
    without = active.exclude(review_snapshots__signed_at__gte=since, review_snapshots__signed_at__lt=until)
    without = without.order_by("name", "pk")
    return Quarter(
        known,
        first,
        after,
        neighbour(known, -1),
        "" if until > now else neighbour(known, 1),
        tuple((part, part.gather(team, since, until)) for part in parts),
        tuple(without[:WITHOUT_SHOWN]),
        without.count(),
        active.count(),
    )


# --- what accounts and the engine know themselves ----------------------------------------------------------


def gather_runs(team: Team, since: datetime, until: datetime) -> Shown:
    """Return the runs that began in a quarter by how they stand, and the halts by their reason; three queries."""
    began = Run.objects.filter(
        account__team=team, is_rehearsal=False, created_at__gte=since, created_at__lt=until
    )
    by_status = dict(began.order_by().values("status").annotate(of=Count("pk")).values_list("status", "of"))
    halts: Any = JournalEntry.objects.filter(
        run__account__team=team, run__is_rehearsal=False, kind="halted", at__gte=since, at__lt=until
    ).order_by()
    by_code = list(
        halts.values("detail__code")
        .annotate(of=Count("pk"))
        .order_by("-of")
        .values_list("detail__code", "of")
    )
    danger = halts.filter(detail__rank="site_in_danger").count()
    return Shown(
        figures=(
            Figure("Runs begun", sum(by_status.values()), note="without rehearsals"),
            Figure("Completed", by_status.get("completed", 0)),
            Figure("Ended early", by_status.get("aborted", 0) + by_status.get("rolled_back", 0)),
            Figure("Halts", sum(of for _, of in by_code)),
            Figure("Halts with the site in danger", danger, note="the rank of the halt"),
        ),
        rows=tuple((str(code or "no reason on record").replace("_", " "), of) for code, of in by_code),
        rows_title="Halts by reason",
    )


def gather_reviews(team: Team, since: datetime, until: datetime) -> Shown:
    """Return what was signed in a quarter, and how action items went; two queries."""
    signed = ReviewSnapshot.objects.filter(account__team=team, signed_at__gte=since, signed_at__lt=until)
    counted = ActionItem.objects.filter(account__team=team).aggregate(
        added=Count("pk", filter=Q(created_at__gte=since, created_at__lt=until)),
        done=Count("pk", filter=Q(state=ActionState.DONE, closed_at__gte=since, closed_at__lt=until)),
        open=Count("pk", filter=Q(state=ActionState.OPEN)),
    )
    return Shown(
        figures=(
            Figure("Reviews signed by both sides", signed.count()),
            Figure("Action items added", counted["added"]),
            Figure("Action items done", counted["done"]),
            Figure("Action items open now", counted["open"]),
        )
    )


def gather_drills(team: Team, since: datetime, until: datetime) -> Shown:
    """Return how the accounts stand with drills: by those that were held, else as people answered it in reviews."""
    fact = fact_of("fire_drill")
    found = ask(Account.objects.filter(team=team, status=AccountStatus.ACTIVE), until, keys={"fire_drill"})
    of = [findings["fire_drill"].grade for findings in found.values() if "fire_drill" in findings]
    words = {"red": "red", "amber": "amber", "unknown": "not known, or over", "green": "green"}
    return Shown(
        figures=(
            Figure(
                "Accounts whose drill is due",
                None if fact is None else sum(1 for grade in of if grade.value != "green"),
                note="by the drills held here, else as signed reviews say; not known counts as due",
            ),
        ),
        rows=tuple((words[grade.value], of.count(grade)) for grade in WORST_FIRST if grade in of),
        rows_title="The item “Fire drill” of the accounts, at the end of the quarter",
    )


def register() -> None:
    """Register what accounts know; called once when the app is ready."""
    register_part(Part("runs", "Runs", gather_runs, order=10))
    register_part(Part("drills", "Drills", gather_drills, order=40))
    register_part(Part("reviews", "Reviews", gather_reviews, order=50))
