"""Fetching samples: entering what is fetched, trying it, switching it off; and one turn of a worker.

    add(account, {...}, actor=user) -> Pull           add_monitored(connection, {...}, actor=user) -> [Pull, …]
    switch(pull, on=False, actor=user), remove(pull, actor=user)
    pull_due(now) -> how many were asked               ask_once(pull) -> Found (a try, nothing is kept)

The first four raise Refused with a sentence; `pull_due` never does: what went wrong stands at the pull.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from django.db import transaction
from django.utils import timezone

from accounts.changes import apply_changes, check_active, check_no_pin
from accounts.members import lock_account
from accounts.models import Account, AccountStatus, CloudConnection
from accounts.networks import networks_of
from capacity.metrics import services as metrics
from capacity.metrics.kinds import USUAL, why_unlike
from capacity.metrics.reading import Limits
from capacity.pulls import monitoring
from capacity.pulls.lateness import again_s, late_s, newest_of, remembered_s
from capacity.pulls.models import Pull, PullSource
from capacity.pulls.plots import usual
from capacity.pulls.prometheus import MOST_POINTS, MOST_SERIES, Asked, Found, address_of, read_answer
from portal import egress
from portal.audit.services import record, snapshot
from portal.cloud.types import Monitored, MonitoredCheck
from portal.errors import Refused, Trouble
from portal.rows import check_row

if TYPE_CHECKING:
    from accounts.models import User

log = structlog.get_logger(__name__)

FIELDS = (
    "name",
    "resource_label",
    "unit",
    "kind",
    "base_url",
    "query",
    "step_s",
    "backfill_days",
    "token",
)
CHOSEN = ("entity_id", "check_id", "metric")
MONITORED_FIELDS = ("name", "resource", "unit", "kind", "is_counter", "factor", "backfill_days")
MOST_OF_ACCOUNT = 50
MOST_BYTES = 32 * 1024 * 1024
LEAST_BYTES = 1024 * 1024
BYTES_OF_POINT = 64
ANSWER_S = 30.0
SHORTEST_S = 60
"""No pull is asked more often."""
LONGEST_REST_S = 3600
LATE = timedelta(seconds=30)
"""The newest points are not asked for: scrapes may still come in."""
TURN_S = 45.0
_LEASE = timedelta(seconds=ANSWER_S + 30)


@transaction.atomic
def add(account: Account, fields: Mapping[str, Any], *, actor: User) -> Pull:
    """Enter a query; it is due at once. Raises Refused for an address that the portal does not ask."""
    locked = lock_account(account)
    check_active(locked)
    row = Pull(account=locked, made_by=actor, next_at=timezone.now())
    apply_changes(row, {name: value for name, value in fields.items() if value is not None}, FIELDS)
    row.query = " ".join(row.query.split())
    egress.check_url(row.base_url, rules=egress.rules_from_settings(networks_of(locked)))
    if "?" in row.base_url or "#" in row.base_url:
        raise Refused(
            "The address ends before a question mark or hash: the query is typed apart.", code="bad_address"
        )
    _check_apart(row)
    return _enter(row, actor)


def add_monitored(
    connection: CloudConnection, fields: Mapping[str, Any], *, actor: User, everywhere: bool = False
) -> list[Pull]:
    """Enter a metric of the provider's monitoring: `entity_id`, `check_id` and `metric`, and what it is called here.

    What is left out is as is usual for such a metric. Asks the provider whether it measures that. `everywhere` enters it of
    every other server that has such a check and measures the metric there, too; what is fetched already stays as it is.
    The first of the list is the chosen one. Raises Refused for what is not measured, and the provider's troubles.
    """
    check_active(connection.account)
    entity_id, check_id, metric = (str(fields[name]) for name in CHOSEN)
    entities = monitoring.choice(connection)
    entity = next((one for one in entities if one.id == entity_id), None)
    check = next((one for one in entity.checks if one.id == check_id), None) if entity else None
    if (
        entity is None
        or check is None
        or metric not in monitoring.metrics_of(connection, entity_id, check_id)
    ):
        raise Refused(
            "The provider's monitoring does not measure this. Choose from what it does.", code="not_monitored"
        )
    wanted = [(entity, check)]
    if everywhere:
        if fields.get("resource"):
            raise Refused(
                "Leave the resource empty: of all servers each is called as the provider calls it.",
                code="one_resource",
            )
        alike = monitoring.alike(entities, entity, check)
        if len(alike) >= MOST_OF_ACCOUNT:
            raise Refused(
                f"{len(alike) + 1} servers have such a check, and an account has at most {MOST_OF_ACCOUNT} queries.",
                code="too_many",
            )
        wanted += monitoring.measuring(connection, alike, metric)
    rows = [_monitored(connection, *one, metric, fields, actor) for one in wanted]
    with transaction.atomic():
        locked = lock_account(connection.account)
        check_active(locked)
        known = set(
            Pull.objects.filter(account=locked, source=PullSource.MONITORING).values_list("name", "resource")
        )
        for number, row in enumerate(rows):
            row.account = locked
            # The chosen one is refused with its reason where it is there already; of the others it is no news.
            if number == 0 or (row.name, row.resource) not in known:
                _enter(row, actor)
                known.add((row.name, row.resource))
    return [row for row in rows if row.pk is not None]


def _monitored(
    connection: CloudConnection,
    entity: Monitored,
    check: MonitoredCheck,
    metric: str,
    fields: Mapping[str, Any],
    actor: User,
) -> Pull:
    """Return the row of a metric of one check, not kept yet."""
    known = usual(check.type, metric)
    given = {name: value for name, value in fields.items() if name not in CHOSEN and value not in (None, "")}
    row = Pull(
        source=PullSource.MONITORING,
        connection=connection,
        entity_id=entity.id,
        entity_label=entity.label[:300],
        check_id=check.id,
        check_label=" ".join(dict.fromkeys(filter(None, (check.type, check.target)))).strip()[:300],
        metric=metric,
        made_by=actor,
        next_at=timezone.now(),
    )
    row.name, row.resource = known.name or metric[:100], entity.label[:200]
    row.is_counter, row.factor = known.is_counter, known.factor
    row.step_s = min(max(check.period_s or 60, 10), 86_400)
    apply_changes(row, given, MONITORED_FIELDS)
    check_no_pin(row.name, row.resource, row.unit)
    if row.name == known.name:
        row.unit, row.kind = row.unit or known.unit, row.kind or known.kind
    return row


def _enter(row: Pull, actor: User) -> Pull:
    """Keep a new pull of a locked account."""
    if Pull.objects.filter(account=row.account).count() >= MOST_OF_ACCOUNT:
        raise Refused(f"An account has at most {MOST_OF_ACCOUNT} queries. Remove one first.", code="too_many")
    if why := why_unlike(row.name, row.unit, row.kind):
        raise Refused(why, code="other_unit")
    unit, kind = USUAL.get(row.name, ("", ""))
    row.unit, row.kind = row.unit or unit, row.kind or kind
    check_row(row)
    row.save(force_insert=True)
    record("pull.added", actor=actor, account=row.account, subject=row, after=snapshot(row))
    return row


def _check_apart(row: Pull) -> None:
    """Refuse a second query whose series would be the first one's: each would overwrite what the other fetched."""
    if row.resource_label:
        return
    others = Pull.objects.filter(account=row.account, name=row.name, resource_label="", source=row.source)
    if others.exclude(base_url=row.base_url, query=row.query).exists():
        raise Refused(
            f"Another query fetches {row.name} already, and nothing would tell their series apart. "
            "Name a label that does, or another metric.",
            code="same_series",
        )


@transaction.atomic
def switch(pull: Pull, *, on: bool, actor: User) -> Pull:
    """Ask it from now on, or no more; what was fetched stays."""
    row = _locked(pull)
    if on:
        check_active(row.account)
    if row.is_on != on:
        row.next_at = timezone.now() if on else None
        row.failures, row.problem = 0, ""
        row.save(update_fields=["next_at", "failures", "problem"])
        record(
            "pull.switched_on" if on else "pull.switched_off", actor=actor, account=row.account, subject=row
        )
    return row


@transaction.atomic
def remove(pull: Pull, *, actor: User) -> None:
    """Forget a query and its token; what was fetched stays."""
    row = _locked(pull)
    record("pull.removed", actor=actor, account=row.account, subject=row, before=snapshot(row))
    row.delete()


def _locked(pull: Pull) -> Pull:
    return (
        Pull.objects.select_for_update(of=("self",))
        .select_related("account", "made_by", "connection")
        .get(pk=pull.pk)
    )


def ask_once(pull: Pull, now: datetime | None = None) -> Found:
    """Ask for the last points, keep nothing: whether address, token and query are right. Raises the four kinds of trouble."""
    now = now or timezone.now()
    limits = metrics.limits_at(now, pull.source)
    if pull.is_of_provider:
        return monitoring.last(pull, now, limits)
    return _ask(pull, now - 10 * timedelta(seconds=pull.step_s), now, limits)


def pull_due(now: datetime | None = None) -> int:
    """Ask the pulls that are due, one after the other, for at most `TURN_S`; return how many were asked.

    Each is taken with a short lease, so that two workers never ask the same one; what a worker that died had not kept is asked again.
    """
    began = timezone.now()
    asked = 0
    while (timezone.now() - began).total_seconds() < TURN_S:
        pull = _take(now or timezone.now())
        if pull is None:
            break
        _pull(pull, now or timezone.now())
        asked += 1
    return asked


@transaction.atomic
def _take(now: datetime) -> Pull | None:
    due = Pull.objects.filter(next_at__lte=now, account__status=AccountStatus.ACTIVE)
    pull = (
        due.select_for_update(of=("self",), skip_locked=True)
        .select_related("account", "made_by", "connection")
        .order_by("next_at", "pk")
        .first()
    )
    if pull is not None:
        pull.next_at, pull.asked_at = now + _LEASE, now
        pull.save(update_fields=["next_at", "asked_at"])
    return pull


def _pull(pull: Pull, now: datetime) -> None:
    try:
        fetched = _fetch(pull, now)
        found, ends = fetched.found, fetched.ends
        with transaction.atomic():
            taken = (
                metrics.take_in(pull.account, found.rows, keep_good=True, actor=pull.made_by)
                if found.rows
                else None
            )
            _note(
                pull,
                reached_at=ends,
                answered_at=now,
                series=0 if fetched.is_stale else found.series,
                **(_lateness(pull, found, fetched.begins, ends) if fetched.is_full else {}),
                samples=pull.samples + (taken.written if taken is not None else 0),
                failures=0,
                # What one of the samples lacks first, then what the server says of them all.
                problem=" ".join(
                    filter(None, (taken.problems[0].says if taken and taken.problems else "", fetched.says))
                )[:500],
                # There is more to fetch: the next one follows at once.
                next_at=now if fetched.has_more else now + _rest(pull),
            )
    except Trouble as trouble:
        failures = pull.failures + 1
        rest = min(SHORTEST_S * 2 ** min(failures, 10), LONGEST_REST_S)
        # A provider that says when it wants to be asked again is not asked before.
        rest = max(rest, getattr(trouble, "after_s", 0.0) or 0.0)
        # Where no sample was good, what is wrong with the first says more than how many there were.
        wrong = trouble.taken.problems if isinstance(trouble, metrics.SamplesRefused) else ()
        says = wrong[0].says if wrong else str(trouble)
        _note(pull, failures=failures, problem=says[:500], next_at=now + timedelta(seconds=rest))
        log.warning("pull_failed", pull=str(pull.ref), failures=failures, code=getattr(trouble, "code", ""))


@dataclass(frozen=True)
class _Fetched:
    """What one turn brought; `has_more`: the next one follows at once; `says`: what a person should know of it."""

    found: Found
    begins: datetime
    ends: datetime
    has_more: bool
    is_full: bool = True
    is_stale: bool = False
    says: str = ""


def _fetch(pull: Pull, now: datetime) -> _Fetched:
    limits = metrics.limits_at(now, pull.source)
    if pull.is_of_provider:
        got = monitoring.read(pull, now, limits)
        says = (
            "Nothing newer comes from the provider's monitoring: is the agent of the server running?"
            if got.is_stale
            else ""
        )
        return _Fetched(got.found, got.begins, got.ends, got.ends < now, got.is_full, got.is_stale, says)
    begins, ends = span(pull, now)
    found = _ask(pull, max(begins, limits.begins), ends, limits)
    return _Fetched(found, begins, ends, ends < now - LATE - timedelta(seconds=pull.step_s), says=found.says)


def span(pull: Pull, now: datetime) -> tuple[datetime, datetime]:
    """Return from when to when a pull is asked: on from where it was, at most `MOST_POINTS` steps at once.

    Both ends lie on whole steps since 1970, as Prometheus evaluates them, so the same moment is asked for twice.
    """
    step = timedelta(seconds=pull.step_s)
    if pull.reached_at:
        # What comes late is asked for once more.
        again = again_s(pull.late_s, pull.step_s, pull.series or 1)
        first = pull.reached_at - timedelta(seconds=again)
    else:
        first = now - timedelta(days=pull.backfill_days)
    begins = _floor(first, pull.step_s)
    ends = max(_floor(now - LATE, pull.step_s), begins)
    return begins, min(ends, begins + (MOST_POINTS - 1) * step)


def _lateness(pull: Pull, found: Found, begins: datetime, ends: datetime) -> dict[str, Any]:
    """Return the columns that say how late a pull's series come, after an answer."""
    newest = newest_of(pull.newest, found.newest, ends.timestamp())
    seen_s = late_s((datetime.fromtimestamp(at_s, tz=UTC) for at_s in newest.values()), begins, ends)
    return {"newest": newest, "late_s": round(remembered_s(pull.late_s, seen_s))}


def _floor(at: datetime, step_s: int) -> datetime:
    return datetime.fromtimestamp(at.timestamp() // step_s * step_s, tz=at.tzinfo)


def _rest(pull: Pull) -> timedelta:
    return timedelta(seconds=max(pull.step_s, SHORTEST_S))


def _note(pull: Pull, **values: Any) -> None:
    """Write how it went; one that a person switched off or removed meanwhile stays so."""
    Pull.objects.filter(pk=pull.pk, next_at__isnull=False).update(**values)


def _ask(pull: Pull, begins: datetime, ends: datetime, limits: Limits) -> Found:
    headers = {"Accept": "application/json"}
    if pull.token:
        headers["Authorization"] = f"Bearer {pull.token}"
    rules = egress.rules_from_settings(networks_of(pull.account))
    points = min(MOST_POINTS, int((ends - begins).total_seconds() // pull.step_s) + 1)

    async def once() -> egress.Response:
        try:
            return await egress.fetch(
                address_of(pull.base_url, pull.query, begins, ends, pull.step_s),
                headers=headers,
                timeout_s=ANSWER_S,
                max_bytes=min(MOST_BYTES, LEAST_BYTES + points * MOST_SERIES * BYTES_OF_POINT),
                rules=rules,
            )
        finally:
            await egress.close()

    answer = asyncio.run(once())
    if answer.status in (401, 403):
        raise Refused(
            f"Prometheus does not let the portal in (HTTP {answer.status}): check the token.", code="no_entry"
        )
    asked = Asked(pull.name, pull.source, pull.resource_label, pull.unit, pull.kind, points)
    return read_answer(
        answer.status, answer.body, is_cut=answer.is_cut, asked=asked, limits=limits, secret=pull.token or ""
    )
