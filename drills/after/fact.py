"""What drills know of how an account stands: what the last ones showed, when the next is due, whether the evidence still holds.

Gathered for many accounts in a constant number of queries, judged by a pure function. Where no drill was held in the portal, what
people answered by hand in reviews counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Count, QuerySet
from django.urls import reverse

from accounts.facts import Act, Fact, Finding, Grade, plural, register_fact
from accounts.known_facts import HandAnswer, gather_by_hand, judge_by_hand
from accounts.models import Account
from accounts.reviews.models import ActionState
from drills import figures
from drills.after.freshness import out_of_date
from drills.after.models import FindingAction
from drills.figures import Judged
from drills.plans.models import DrillResult, HeldDrill
from drills.scenarios.types import DrillKind
from portal.ui.states import LOOKS

SOON = timedelta(days=14)
RULE = (
    "A drill is held again by the rule of its scenario, sooner where it did not meet its hypothesis, and again when the pool has"
    " changed its size."
)


@dataclass(frozen=True)
class NewestOf:
    """The newest drill of one scenario that showed something. `out_of_date` is a sentence, "" where its evidence holds."""

    title: str
    result: Judged
    kind: DrillKind
    ended_at: datetime
    due_on: date
    out_of_date: str = ""


@dataclass(frozen=True)
class DrillsKnown:
    """The newest drill of each scenario, and what is open of their action items; without any, what people answered by hand."""

    newest: tuple[NewestOf, ...]
    open_actions: int
    by_hand: HandAnswer | None


def gather(accounts: QuerySet[Account], now: datetime) -> Mapping[int, DrillsKnown]:
    """Return the drills of each account; up to seven queries. One that proves nothing counts as none."""
    of = accounts.order_by().values("pk")
    rows = list(
        HeldDrill.objects.filter(drill__account__in=of, ended_at__isnull=False, began_at__isnull=False)
        .exclude(result__in=["", DrillResult.INVALID])
        .select_related("drill")
        .defer("drill__data")
        .order_by("drill__account", "drill__scenario_key", "-ended_at", "-pk")
        .distinct("drill__account", "drill__scenario_key")
    )
    stale = out_of_date(rows)
    found: dict[int, list[NewestOf]] = {}
    for row in rows:
        found.setdefault(row.drill.account_id, []).extend(_newest(row, stale.get(row.pk, "")))
    open_ones = dict(
        FindingAction.objects.filter(
            finding__held__drill__account__in=of, action__state=ActionState.OPEN, finding__withdrawn_at=None
        )
        .order_by()
        .values_list("finding__held__drill__account")
        .annotate(of=Count("pk"))
    )
    hand = gather_by_hand(accounts, now, ["fire_drill"])["fire_drill"]
    return {
        pk: DrillsKnown(tuple(found.get(pk, ())), open_ones.get(pk, 0), hand.get(pk))
        for pk in accounts.values_list("pk", flat=True)
    }


def _newest(row: HeldDrill, says: str) -> Iterable[NewestOf]:
    if row.ended_at is None:
        return
    result = Judged(row.result.removeprefix("drill_"))
    rule = row.drill.scenario
    due = figures.next_on(
        row.ended_at.date(),
        result,
        repeat_after_days=int(rule["repeat_after_days"]),
        repeat_after_failure_days=int(rule["repeat_after_failure_days"]),
    )
    yield NewestOf(str(rule["title"]), result, DrillKind(row.drill.kind), row.ended_at, due.on, says)


def due_of(newest: Sequence[NewestOf]) -> NewestOf:
    """Return the drill whose repetition is due first: the last that was held, or a scenario that did not meet its hypothesis.

    A scenario that once passed asks for no repetition of its own while drills of others are held.
    """
    last = max(newest, key=lambda one: one.ended_at)
    return min(
        (one for one in newest if one is last or one.result is not Judged.MET),
        key=lambda one: (one.due_on, one.ended_at),
    )


def judge(known: DrillsKnown | None, now: datetime) -> Finding:
    """Overdue is red; due within two weeks, failed and not repeated, or out of date is amber."""
    if known is None or not known.newest:
        return judge_by_hand(
            known.by_hand if known else None, now, why="No drill was held in the portal yet."
        )
    last = max(known.newest, key=lambda one: one.ended_at)
    due = due_of(known.newest)
    word = LOOKS[f"drill_{last.result.value}"].word
    parts: tuple[tuple[str, int | float | str], ...] = (
        ("last held", f"{last.ended_at:%Y-%m-%d}"),
        ("of", last.title),
        ("result", word),
        ("next due", f"{due.due_on:%Y-%m-%d}"),
        ("scenarios held", len(known.newest)),
        ("open action items", known.open_actions),
    )
    at = last.ended_at
    until = datetime.combine(due.due_on + timedelta(days=1), datetime.min.time(), now.tzinfo)
    said = f"Last held on {at:%Y-%m-%d}: {last.title}, {word}."
    days = (now.date() - due.due_on).days
    if days > 0:
        return Finding(
            Grade.RED,
            f"{said} The drill of “{due.title}” is {plural(days, 'day')} overdue.",
            RULE,
            at,
            until,
            parts,
        )
    stale = [one for one in known.newest if one.out_of_date]
    if stale:
        says = (
            stale[0].out_of_date
            if len(stale) == 1
            else f"The evidence of {len(stale)} scenarios is out of date."
        )
        return Finding(Grade.AMBER, f"{said} {says}", RULE, at, until, parts)
    failed = [one for one in known.newest if one.result is not Judged.MET]
    if failed:
        first = min(failed, key=lambda one: (one.due_on, one.ended_at))
        says = f"“{first.title}” is to be held again by {first.due_on:%Y-%m-%d}."
        return Finding(Grade.AMBER, f"{said} {says}", RULE, at, until, parts)
    if -days <= SOON.days:
        return Finding(
            Grade.AMBER, f"{said} The next one is due on {due.due_on:%Y-%m-%d}.", RULE, at, until, parts
        )
    return Finding(
        Grade.GREEN, f"{said} The next one is due on {due.due_on:%Y-%m-%d}.", RULE, at, until, parts
    )


def register() -> None:
    """Take the place of the answer by hand; called once when the app is ready."""
    register_fact(
        Fact(
            "fire_drill",
            "Fire drill",
            gather,
            judge,
            Act("Hold a drill", lambda account: reverse("drills:drill-list", args=[account.ref])),
            order=65,
        )
    )
