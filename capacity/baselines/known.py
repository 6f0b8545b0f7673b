"""What baselines say of how accounts stand: worse than before, too old, older than the software. And who is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from accounts.facts import Act, Fact, Finding, Grade, last_day, plural, register_fact
from accounts.known_facts import HandAnswer, gather_by_hand, judge_by_hand
from accounts.models import Account, AccountStatus
from capacity.baselines import selectors
from capacity.baselines.compared import (
    READ,
    compare_stretch,
    live_baselines,
    people_of,
    standing_of,
    the_newest,
)
from capacity.baselines.models import BaselineComparison, BaselineStatus, MeasuredBaseline
from capacity.pool_names import pool_named
from capacity.reference import proves_nothing
from portal.notify.registry import Kind, Purpose, register_purpose
from portal.notify.services import tell_all

log = structlog.get_logger(__name__)

SOON = timedelta(days=14)
PURPOSES = (
    Purpose("baseline_worse", Kind.NOTICE, "A site does worse than its baseline"),
    Purpose("baseline_old", Kind.REMINDER, "A baseline is too old, or will be"),
)


@dataclass(frozen=True)
class PoolStanding:
    """The baseline that counts of one pool. `changed_since` says what makes it older than the software, "" if nothing does."""

    version: int
    measured_at: datetime
    valid_until: datetime
    is_worse: bool
    looks_worse: bool
    changed_since: str
    is_without_run: bool
    """Whether its benchmark was set aside, or proves nothing after what was said of it: plans do not read it any more."""


@dataclass(frozen=True)
class BaselinesKnown:
    """The baselines of an account, one a pool; without any, what people answered by hand."""

    pools: tuple[PoolStanding, ...]
    by_hand: HandAnswer | None


def counting(rows: QuerySet[MeasuredBaseline]) -> list[MeasuredBaseline]:
    """Return those of `rows` that count: of each pool the approved version with the highest number. One query."""
    approved = rows.filter(status=BaselineStatus.APPROVED)
    return list(
        approved.order_by("connection", "balancer_id", "-version").distinct("connection", "balancer_id")
    )


def gather_baselines(accounts: QuerySet[Account], now: datetime) -> Mapping[int, BaselinesKnown]:
    """Return the baselines of each account; six queries."""
    of = accounts.order_by().values("pk")
    rows = counting(
        MeasuredBaseline.objects.filter(account__in=of)
        .select_related("benchmark")
        .defer("content", "benchmark__result")
    )
    compared: dict[int, list[BaselineComparison]] = {row.pk: [] for row in rows}
    newest = the_newest(BaselineComparison.objects.filter(baseline__in=list(compared)))
    for one in newest.iterator():
        if len(compared[one.baseline_id]) < READ:
            compared[one.baseline_id].append(one)
    changed = selectors.changed_since(rows)
    hand = gather_by_hand(accounts, now, ["baseline"])["baseline"]
    pools: dict[int, list[PoolStanding]] = {}
    for row in rows:
        stands = standing_of(compared[row.pk])
        pools.setdefault(row.account_id, []).append(
            PoolStanding(
                row.version,
                row.measured_at,
                row.valid_until,
                stands.is_confirmed,
                stands.verdict == "worse",
                changed.get(row.pk, ""),
                proves_nothing(row, now),
            )
        )
    return {
        pk: BaselinesKnown(tuple(pools.get(pk, ())), hand.get(pk))
        for pk in accounts.values_list("pk", flat=True)
    }


def judge_baselines(known: BaselinesKnown | None, now: datetime) -> Finding:
    """Worse and confirmed is red; past its last day, without its benchmark, or older than the software, is amber.

    What is worse than a baseline whose benchmark proves nothing is not red: nothing says that the baseline was ever reached.
    """
    if known is None or not known.pools:
        return judge_by_hand(
            known.by_hand if known else None, now, why="No baseline is approved; a benchmark can become one."
        )
    rule = "A baseline is approved, not past its last day, of a run that counts and this software, and no two measurements are worse."
    oldest = min(one.measured_at for one in known.pools)
    until = min(one.valid_until for one in known.pools)
    parts = (("baselines", len(known.pools)), ("oldest measured", f"{oldest:%Y-%m-%d}"))
    worse = [one for one in known.pools if one.is_worse and not one.is_without_run]
    if worse:
        of = plural(len(worse), "pool")
        says = f"Worse than the baseline, confirmed by a second measurement ({of})."
        return Finding(Grade.RED, says, rule, oldest, None, parts)
    if until <= now:
        return Finding(
            Grade.AMBER, f"A baseline was valid until {last_day(until)}.", rule, oldest, until, parts
        )
    if any(one.is_without_run for one in known.pools):
        says = "A baseline rests on a benchmark that does not count any more."
        return Finding(Grade.AMBER, says, rule, oldest, until, parts)
    if any(one.changed_since for one in known.pools):
        return Finding(Grade.AMBER, "A baseline is older than the software.", rule, oldest, until, parts)
    says = f"{plural(len(known.pools), 'baseline')}, the oldest measured {(now - oldest).days} days ago."
    if any(one.looks_worse for one in known.pools):
        says += " One newer measurement is worse; a second one would confirm it."
    return Finding(Grade.GREEN, says, rule, oldest, until, parts)


def tend(now: datetime) -> tuple[int, int]:
    """Compare what came in with baselines from series, tell of old ones; return how many were compared and told."""
    compared = told = 0
    for one in live_baselines():
        with _by_itself(one):
            compared += _compared(one, now)
    for one, says, period in _old(now):
        with _by_itself(one):
            told += _tell_old(one, says, period)
    return compared, told


@contextmanager
def _by_itself(baseline: MeasuredBaseline) -> Iterator[None]:
    """Let one that cannot be read stand in the way of no other one."""
    try:
        yield
    except Exception:
        log.exception("baseline_not_tended", baseline=str(baseline.ref))


@transaction.atomic
def _compared(baseline: MeasuredBaseline, now: datetime) -> bool:
    return compare_stretch(baseline, now) is not None


def _old(now: datetime) -> Iterable[tuple[MeasuredBaseline, str, str]]:
    rows = MeasuredBaseline.objects.exclude(account__status=AccountStatus.ARCHIVED)
    listed = counting(rows.select_related("account", "owner").defer("content"))
    changed = selectors.changed_since(listed)
    for one in listed:
        if one.valid_until <= now:
            yield one, f"It was valid until {last_day(one.valid_until)}.", f"over:{one.version}"
        elif one.valid_until <= now + SOON:
            yield one, f"It is valid until {last_day(one.valid_until)}.", f"soon:{one.version}"
        elif one.pk in changed:
            yield one, f"It is older than the software: {changed[one.pk]} since.", f"software:{one.version}"


def _tell_old(baseline: MeasuredBaseline, says: str, period: str) -> int:
    people = people_of(baseline)[:1]
    told = tell_all(
        "baseline_old",
        people,
        subject_ref=f"baseline:{baseline.ref}",
        period=period,
        account=baseline.account,
        context={
            "account_name": baseline.account.name,
            "pool": pool_named(baseline.connection, baseline.balancer_id),
            "version": baseline.version,
            "because": says,
            "url": reverse("capacity:baseline", args=[baseline.ref]),
        },
        reason="a baseline is too old",
    )
    return len(told)


def register() -> None:
    """Register fact and purposes; called once when the app is ready."""
    for purpose in PURPOSES:
        register_purpose(purpose)
    register_fact(
        Fact(
            "baseline",
            "Baseline",
            gather_baselines,
            judge_baselines,
            Act("See the baselines", lambda account: reverse("capacity:baseline-list", args=[account.ref])),
            order=60,
        )
    )
