"""What support cases say of how accounts stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q, QuerySet
from django.urls import reverse

from accounts.cases.models import SupportCase
from accounts.cases.states import LIVE, Severity
from accounts.facts import Act, Fact, Finding, Grade, plural, register_fact
from accounts.models import Account

LONG_OPEN = timedelta(days=7)


@dataclass(frozen=True)
class CasesKnown:
    """The live support cases of one account: how many, how many of them grave, and since when the oldest one is open."""

    live: int
    in_danger: int
    today: int
    oldest: datetime | None


def gather_cases(accounts: QuerySet[Account], now: datetime) -> Mapping[int, CasesKnown]:
    """Return the live cases of each account, counted; two queries."""
    rows: Any = (
        SupportCase.objects.filter(account__in=accounts.values("pk"), status__in=LIVE)
        .order_by()
        .values("account")
        .annotate(
            live=Count("pk"),
            in_danger=Count("pk", filter=Q(severity=Severity.SITE_IN_DANGER)),
            today=Count("pk", filter=Q(severity=Severity.DECIDE_TODAY)),
            oldest=Min("created_at"),
        )
    )
    found = {row.pop("account"): CasesKnown(**row) for row in rows}
    none = CasesKnown(0, 0, 0, None)
    return {pk: found.get(pk, none) for pk in accounts.values_list("pk", flat=True)}


def judge_cases(known: CasesKnown | None, now: datetime) -> Finding:
    """A case with the site in danger is red; one to decide today, or open for a week, is amber, and any other live one too."""
    if known is None:
        return Finding(Grade.UNKNOWN, "Support cases could not be read.", "Unknown is never green.")
    parts = (("open", known.live), ("site in danger", known.in_danger), ("decide today", known.today))
    if known.live == 0:
        return Finding(Grade.GREEN, "No support case is open.", "No support case is open.", now, None, parts)
    says = f"{plural(known.live, 'support case is', 'support cases are')} open"
    if known.oldest is not None:
        days = (now - known.oldest).days
        says += f", the oldest for {plural(days, 'day') if days else 'less than a day'}"
    if known.in_danger:
        return Finding(
            Grade.RED,
            f"{says}; in {known.in_danger} the site is in danger.",
            "No site is in danger.",
            known.oldest,
            None,
            parts,
        )
    is_long = known.oldest is not None and now - known.oldest > LONG_OPEN
    rule = "A support case is solved within a week." if is_long else "No support case is open."
    return Finding(Grade.AMBER, f"{says}.", rule, known.oldest, None, parts)


def register() -> None:
    """Register it; called once when the app is ready."""
    register_fact(
        Fact(
            "cases",
            "Support cases",
            gather_cases,
            judge_cases,
            Act("Answer the support case", lambda account: reverse("accounts:case-list", args=[account.ref])),
            order=5,
            in_review=False,
        )
    )
