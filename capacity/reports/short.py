"""Pools whose servers will not last: worked out by the hour, the fact on scorecard and Monday list, and the notice."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts.facts import Act, Fact, Finding, Grade, plural, register_fact
from accounts.models import Account, AccountStatus
from capacity.baselines.doubts import doubts_about
from capacity.reference import Site, counting_size
from capacity.reports import notices
from capacity.reports.models import SizedPool
from capacity.reports.selectors import ended_words, pools, sized
from capacity.reports.wording import exceeded, lasts_words, when_words
from capacity.sizing import Lasts, Runway

log = structlog.get_logger(__name__)

SOON = timedelta(days=90)
"""Time enough to order, build and test servers."""
VERY_SOON = timedelta(days=30)
PLANNED_SOON = timedelta(days=14)
"""Servers for a planned event are built and tested by then."""
OLD = timedelta(days=3)
"""It is worked out by the hour: an older answer means that nobody works it out."""


def judge_pools(rows: QuerySet[SizedPool], now: datetime, *, is_job: bool = False) -> int:
    """Work out how long the servers of these pools last, and tell of those that will not; returns of how many was told.

    In a job one that cannot be worked out stands in the way of no other one, of whatever account; else it is raised.
    """
    told, began = 0, time.monotonic()
    for pk in list(rows.order_by("pk").values_list("pk", flat=True)):
        # Of many the last one comes long after the first: what was entered meanwhile counts, and was perhaps judged meanwhile.
        try:
            told += _judge(pk, now + timedelta(seconds=time.monotonic() - began))
        except Exception:
            if not is_job:
                raise
            log.exception("pool_not_judged", pool=pk)
    return told


@transaction.atomic
def _judge(pk: int, now: datetime) -> bool:
    # Locked before anything is read: whoever enters something at this moment judges the pool, too, and knows more.
    judged = SizedPool.objects.select_for_update(no_key=True).filter(pk=pk).values_list("judged_at").first()
    if judged is None:
        return False
    # Never earlier than whoever it waited for: whichever clock was ahead, what that one entered is read, too.
    now = max(now, judged[0] or now)
    pool = pools().get(pk=pk)
    if len(pool.sizes) > 1:
        # What is known of each size may be something else since the look.
        site = Site(pool.connection.ref, pool.balancer_id)
        pool.flavor = counting_size(pool.account, site, pool.sizes, now)
    found = sized(pool, now, {})
    doubts = doubts_about(pool.connection, pool.balancer_id, found.ceiling) if found.ceiling else ()
    lasts, missing, planned = found.sizing.lasts, found.sizing.missing_on, found.sizing.missing_planned
    may = found.sizing.may_miss_planned
    # One alone is told: the earlier one.
    ahead = min((one for one in (planned, may) if one), key=lambda one: one.event.starts_at, default=None)
    most = found.sizing.missing_most if ahead is planned else None
    planned, may = (planned if ahead is planned else None), (may if ahead is may else None)
    SizedPool.objects.filter(pk=pk).update(
        flavor=pool.flavor,
        lasts=lasts.state.value,
        lasts_until=lasts.at,
        lasts_earliest=lasts.earliest,
        lasts_latest=lasts.latest,
        lasts_limit_rps=lasts.limit_rps,
        lasts_peak_rps=lasts.peak_rps,
        lasts_carried_rps=lasts.carried_rps,
        lasts_is_least=lasts.is_least,
        needed_now=found.sizing.needed_now,
        needed_peak=found.sizing.needed_peak,
        surplus=found.sizing.surplus,
        missing_on=missing.more if missing else None,
        missing_limit_rps=found.sizing.pool.limit_rps if missing and missing.is_over_limit else None,
        missing_planned=None if planned is None else 0 if planned.is_over_limit else planned.more,
        may_miss_planned=may.more if may else None,
        missing_planned_at=ahead.event.starts_at if ahead else None,
        missing_most=None if most is None else 0 if most.is_over_limit else most.more,
        missing_most_at=most.event.starts_at if most else None,
        sentence=found.sentence[:500],
        doubt=" ".join(doubts)[:500],
        judged_at=now,
    )
    is_told = is_short(lasts, now, SOON)
    if is_told:
        notices.tell_short(pool, lasts, lasts=when_words(lasts, now), month=f"{now:%Y-%m}")
    else:
        unknown = "It is not known any more how long the servers last."
        # Short by a lower bound alone is not short, and not known to last either.
        is_unknown = lasts.state is Lasts.UNKNOWN or _ends_within(lasts, now, SOON)
        says = unknown if is_unknown else "By what is known now the servers last."
        notices.call_off_short(pool, says=says)
    return is_told


def judge_anew(connection: int, balancer_id: str) -> None:
    """Work it out anew for a pool of which something that sizes it was entered, so that no page says two things."""
    rows = pools().filter(connection=connection, balancer_id=balancer_id, metric__isnull=False)
    judge_pools(rows, timezone.now())


def judge_account(account: Account) -> None:
    """Work it out anew for all pools of an account of which something that holds for each of them was said."""
    judge_pools(pools().filter(account=account, metric__isnull=False), timezone.now())


def judge_all(now: datetime) -> int:
    """Work it out for every pool of an active account that is sized by a metric."""
    rows = pools().filter(account__status=AccountStatus.ACTIVE, metric__isnull=False)
    return judge_pools(rows, now, is_job=True)


def is_short(lasts: Runway, now: datetime, within: timedelta) -> bool:
    """Whether servers are known not to last so long: what they last at least does not say so."""
    return not lasts.is_least and _ends_within(lasts, now, within)


def _ends_within(lasts: Runway, now: datetime, within: timedelta) -> bool:
    return lasts.state is Lasts.OVER or (
        lasts.state is Lasts.ENDS and lasts.at is not None and lasts.at < now + within
    )


@dataclass(frozen=True)
class PoolKnown:
    """How long one pool's servers last, and what speaks against the ceiling that says so, as worked out at `judged_at`."""

    name: str
    servers: int | None
    lasts: Runway
    judged_at: datetime | None
    doubt: str = ""
    missing_on: int | None = None
    """How many servers more the peak that is on needs."""
    missing_limit_rps: float | None = None
    """The pool's own limit where that peak does not fit under it."""
    missing_planned: int | None = None
    """How many servers more the first planned event needs for which any are missing; 0: no number of them carries it."""
    may_miss_planned: int | None = None
    """How many servers more the first one may need at most, by a lower bound of what one carries; None where it is known."""
    missing_planned_at: datetime | None = None
    missing_most: int | None = None
    """How many more a later one needs, where that is more still (0: no number carries it), and when it begins."""
    missing_most_at: datetime | None = None
    ended: str = ""
    """The sentence that nothing more comes from its series; "" while samples do."""


def gather_runways(accounts: QuerySet[Account], now: datetime) -> Mapping[int, list[PoolKnown]]:
    """Return the sized pools of each account; two queries, however many accounts."""
    found: dict[int, list[PoolKnown]] = {pk: [] for pk in accounts.values_list("pk", flat=True)}
    rows = SizedPool.objects.filter(account__in=accounts.values("pk")).order_by("pk")
    for row in rows.annotate(known_until=F("metric__growth_report__analysed_until")):
        found[row.account_id].append(
            PoolKnown(
                row.name,
                row.servers,
                row.runway,
                row.judged_at,
                row.doubt,
                row.missing_on,
                row.missing_limit_rps,
                row.missing_planned,
                row.may_miss_planned,
                row.missing_planned_at,
                row.missing_most,
                row.missing_most_at,
                ended_words(row.known_until, now),
            )
        )
    return found


def judge_runways(known: list[PoolKnown] | None, now: datetime) -> Finding:
    """Servers that last less than three months are amber, less than one red; what is not known is never green."""
    rule = "Servers last three months at least: time to order, build and test more."
    never_green = "Unknown is never green."
    if known is None:
        return Finding(Grade.UNKNOWN, "How long servers last could not be read.", never_green)
    if not known:
        return Finding(Grade.UNKNOWN, "No pool is sized by its traffic yet.", never_green)
    told = [one for one in known if one.judged_at is not None and one.judged_at >= now - OLD]
    if missing := max(
        (one for one in told if one.missing_on), key=lambda one: one.missing_on or 0, default=None
    ):
        return _missing(missing, rule)
    if planned := _planned(told, now + PLANNED_SOON, is_known=True):
        return _missing_planned(planned, now, Grade.RED)
    short = [one for one in told if is_short(one.lasts, now, SOON)]
    if short:
        worst = min(short, key=lambda one: one.lasts.at or now)
        words = lasts_words(worst.lasts, now)
        parts = (("servers", worst.servers or 0), ("last until", words))
        grade = Grade.RED if is_short(worst.lasts, now, VERY_SOON) else Grade.AMBER
        return Finding(grade, _says_short(worst, now), rule, worst.judged_at, None, parts)
    if planned := _planned(told, now + SOON):
        return _missing_planned(planned, now, Grade.AMBER)
    unknown = [
        one
        for one in known
        if one not in told
        or one.lasts.state is Lasts.UNKNOWN
        or (one.lasts.is_least and _ends_within(one.lasts, now, SOON))
    ]
    if unknown:
        why = unknown[0].ended or _why_unknown(unknown[0].lasts, now)
        says = f"How long the servers of {unknown[0].name} last is not known. {why}"
        return Finding(Grade.UNKNOWN, says, never_green)
    if doubtful := next((one for one in known if one.doubt), None):
        says = f"What one server of {doubtful.name} carries is doubtful, and with it how long they last. {doubtful.doubt}"
        return Finding(Grade.AMBER, says, rule, doubtful.judged_at)
    first = min(known, key=lambda one: one.lasts.at.timestamp() if one.lasts.at else float("inf"))
    words = lasts_words(first.lasts, now)
    judged = first.judged_at
    return Finding(
        Grade.GREEN,
        f"Servers last until {words}.",
        rule,
        judged,
        None if judged is None else judged + OLD,
        (("servers", first.servers or 0), ("last until", words)),
    )


_ONLY_LEAST = "Of what one server carries only a lower bound is known: a step benchmark that goes on until a step fails says more."


def _why_unknown(lasts: Runway, now: datetime) -> str:
    if not lasts.is_least:
        return "A report, a ceiling or a look is missing."
    until = f"They do until {lasts_words(lasts, now)}. " if lasts.state is Lasts.ENDS else ""
    return f"{until}{_ONLY_LEAST}"


def _missing(pool: PoolKnown, rule: str) -> Finding:
    """Return what is said of a pool whose peak that is on needs more than it has."""
    servers, more = pool.servers or 0, pool.missing_on or 0
    if pool.missing_limit_rps is not None:
        limit = f"{pool.missing_limit_rps:,.0f} requests a second"
        says = f"The peak that is on does not fit under the own limit of {pool.name}, {limit}. More servers do not raise it: look for what sets it."
        parts: tuple[tuple[str, int | float | str], ...] = (("servers", servers), ("own limit", limit))
    else:
        says = f"{pool.name} has {plural(servers, 'server')}, and the peak that is on needs up to {more} more at the busiest hour of a week."
        parts = (("servers", servers), ("missing", more))
    return Finding(Grade.RED, says, rule, pool.judged_at, None, parts)


def _planned(told: list[PoolKnown], before: datetime, *, is_known: bool = False) -> list[PoolKnown]:
    """Return the pools that miss servers for a planned event, or may unless it `is_known`: whose begins first, then who misses most."""
    found = (
        one
        for one in told
        if one.missing_planned_at is not None
        and one.missing_planned_at < before
        and (one.missing_planned is not None or not is_known)
    )

    def order(one: PoolKnown) -> tuple[datetime, int]:
        return one.missing_planned_at or before, -(one.missing_planned or one.may_miss_planned or 0)

    return sorted(found, key=order)


def _missing_planned(pools: list[PoolKnown], now: datetime, grade: Grade) -> Finding:
    """Return what is said of pools that have too few servers for a planned event: of the first, and how many more there are."""
    pool, others = pools[0], len(pools) - 1
    servers, may, at = pool.servers or 0, pool.may_miss_planned, pool.missing_planned_at or now
    when = "that is on" if at <= now else f"of {at:%Y-%m-%d}"
    if more := may or pool.missing_planned or 0:
        needs = f"may need up to {more} more. {_ONLY_LEAST}" if may else f"needs {more} more."
        says = f"{pool.name} has {plural(servers, 'server')}, and the planned event {when} {needs}"
        parts: tuple[tuple[str, int | float | str], ...] = (("servers", servers), ("missing", more))
    else:
        says = (
            f"The planned event {when} does not fit under the own limit of {pool.name}. More servers do not raise it: look "
            "for what sets it."
        )
        parts = (("servers", servers),)
    if pool.missing_most_at is not None:
        needs = (
            f"needs {pool.missing_most} more"
            if pool.missing_most
            else "does not fit under the pool’s own limit"
        )
        says += f" That of {pool.missing_most_at:%Y-%m-%d} {needs}."
    if others:
        says += f" So {'has' if others == 1 else 'have'} {plural(others, 'other pool')} too few for one."
    rule = "Servers for a planned event are there two weeks before it begins."
    return Finding(grade, says, rule, pool.judged_at, None, parts)


def _says_short(pool: PoolKnown, now: datetime) -> str:
    is_over, when = pool.lasts.state is Lasts.OVER, when_words(pool.lasts, now)
    told = exceeded(pool.lasts)
    if pool.lasts.limit_rps is not None:
        # Whoever reads that the servers carry too little orders servers.
        limit = f"own limit of {pool.lasts.limit_rps:,.0f} requests a second"
        no_help = "More servers do not raise it: look for what sets it."
        if told:
            return f"The usual peak of {pool.name}, {told[0]} requests a second, is more than its own limit of {told[1]}. {no_help}"
        if is_over:
            return (
                f"The usual peak of {pool.name} leaves less free below its {limit} than it should. {no_help}"
            )
        return f"{pool.name} meets its {limit} by {when}. {no_help}"
    count = plural(pool.servers or 0, "server")
    if told:
        carry = "carries" if pool.servers == 1 else "carry"
        return f"The usual peak of {pool.name}, {told[0]} requests a second, is more than the {told[1]} that {count} {carry}."
    if is_over:
        return f"The usual peak is more than the {count} of {pool.name} should carry."
    return f"{count} of {pool.name} last until {when}."


def register() -> None:
    """Register the fact; called once when the app is ready."""
    register_fact(
        Fact(
            "growth",
            "Growth and runway",
            gather_runways,
            judge_runways,
            Act(
                "See what is needed", lambda account: reverse("capacity:growth-overview", args=[account.ref])
            ),
            order=35,
        )
    )
