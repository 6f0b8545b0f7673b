"""Proposing a baseline, deciding, withdrawing; letting evidence count as the ceiling. Each change is one function, in one transaction.

    propose(source, valid_until=…, reason="…", actor=user) -> MeasuredBaseline     the provider's approval
    decide(baseline, Verdict.APPROVE, actor=user, seen_digest="…") -> MeasuredBaseline   the customer's
    withdraw(baseline, actor=user, reason="…") -> MeasuredBaseline
    take_ceiling(connection, balancer_id, actor=user) -> Ceiling
    enter_limit(connection, balancer_id, kind="database", …) -> PoolLimit
    take_back_limit(connection, balancer_id, kind="database", …)

A source is `from_benchmark(benchmark, users=…)` or `from_series(…)`. All raise Refused, NotPermitted or StaleState with a
sentence for people. A version is never changed: a newer one is another version (docs/decisions/0041).
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from accounts.changes import check_active, check_no_pin
from accounts.facts import last_day
from accounts.models import Account
from capacity import comparing
from capacity.baselines import evidence, stretches
from capacity.baselines.ceilings import (
    chosen_of,
    is_higher_of_another_mix,
    is_weaker,
    kept_for,
    limits_of,
    limits_version,
    promised_of,
    ranked_of,
    replaced_figure,
    taken_version,
)
from capacity.baselines.compared import catch_up, ran
from capacity.baselines.models import BaselineSource, BaselineStatus, MeasuredBaseline, PoolLimit
from capacity.benchmarks.models import Benchmark
from capacity.benchmarks.selectors import spelt
from capacity.ceiling import Evidence
from capacity.models import Ceiling
from capacity.pool_names import pool_named
from capacity.reference import Figure, Site, sizes_of
from capacity.services import check_ceilings_seen, lock_known, size_anew
from portal import access
from portal.access import Permission
from portal.approvals import services as approvals
from portal.approvals.models import ApprovalRequest, ApprovalStatus, Side
from portal.approvals.models import Verdict as Decision
from portal.audit.services import record, snapshot
from portal.errors import NotPermitted, Refused, StaleState
from portal.rows import check_row
from portal.ui.charts import number

if TYPE_CHECKING:
    from accounts.models import CloudConnection, User

SUBJECT = "capacity.baseline"
LASTS = timedelta(days=180)
LONGEST = timedelta(days=730)
ASKED_FOR = timedelta(days=30)
LEARNS_FROM = 20
WIDEST, HIGHEST_FLOOR = 5.0, 1e6


@dataclass(frozen=True)
class Source:
    """What a baseline is made from, before anybody proposes it. `why_not` says why it cannot become one, "" where it can.

    `tolerances` are learnt from the account's own earlier runs where there are enough. `events` lie in a stretch of series.
    """

    account: Account
    connection: CloudConnection | None
    balancer_id: str
    measured: comparing.Measurement
    tolerances: tuple[comparing.Tolerance, ...]
    why_not: str
    told: Mapping[str, Any]
    benchmark: Benchmark | None = None
    resource: str = ""
    begins_at: datetime | None = None
    ends_at: datetime | None = None
    events: tuple[stretches.Overlap, ...] = ()
    why_none_later: str = ""
    """Why later weeks cannot be held against a stretch of series, "" where they can."""

    @property
    def kind(self) -> BaselineSource:
        """What it is measured by."""
        return BaselineSource.SERIES if self.benchmark is None else BaselineSource.BENCHMARK


def loads_of(benchmark: Benchmark) -> tuple[comparing.Measurement, ...]:
    """Return the loads of a benchmark, the lowest first: a baseline is one of them."""
    return evidence.measurements_of(benchmark.result, ran(benchmark))


def from_benchmark(benchmark: Benchmark, *, users_per_node: float | None = None) -> Source:
    """Return what a benchmark would be as a baseline. Without `users_per_node` it is the highest load that may become one."""
    loads = loads_of(benchmark)
    promised = promised_of(benchmark.connection, benchmark.balancer_id)
    if users_per_node is None:
        good = [one for one in loads if not evidence.why_failed(one, benchmark.result, promised)]
        measured = good[-1] if good else loads[0]
    else:
        measured = min(loads, key=lambda one: abs((one.load.per_node if one.load else 0.0) - users_per_node))
    why_not = (
        _what_is_missing(benchmark, measured)
        or _is_no_step(loads, measured, users_per_node)
        or evidence.why_failed(measured, benchmark.result, promised)
    )
    return Source(
        account=benchmark.account,
        connection=benchmark.connection,
        balancer_id=benchmark.balancer_id,
        measured=measured,
        tolerances=_learnt(benchmark, measured),
        why_not=why_not,
        told={"kind": "benchmark", "ref": str(benchmark.ref), "sha256": benchmark.sha256},
        benchmark=benchmark,
    )


def _is_no_step(
    loads: Sequence[comparing.Measurement], nearest: comparing.Measurement, asked: float | None
) -> str:
    """Return that a run has no step with the load that was asked for, "" where it has."""
    if asked is None or nearest.load is None or math.isclose(nearest.load.per_node, asked, rel_tol=0.01):
        return ""
    known = ", ".join(f"{one.load.per_node:g}" for one in loads if one.load is not None)
    return f"No step of the run has a load of {asked:g} for each server. There are: {known}."


def _what_is_missing(benchmark: Benchmark, measured: comparing.Measurement) -> str:
    if benchmark.connection is None or not benchmark.balancer_id:
        return "Say behind which load balancer it ran: a baseline is of one pool."
    if benchmark.ran_at is None:
        return "Say when it was run."
    missing = [
        words
        for words, value in (
            ("how many servers took part", benchmark.node_count),
            ("their size", benchmark.flavor),
            ("the version of the software", benchmark.software),
            ("what was asked for (the mix)", benchmark.mix),
        )
        if not value
    ]
    if missing:
        return f"Say first {', '.join(missing)}: later runs are held against the same."
    if measured.load is None:
        return "The file does not tell under which load it ran (users, or a rate)."
    return ""


def _learnt(benchmark: Benchmark, measured: comparing.Measurement) -> tuple[comparing.Tolerance, ...]:
    """Return the tolerances that earlier runs of the same pool, size, mix and load teach."""
    values: dict[str, list[float]] = {}
    if benchmark.connection_id and benchmark.balancer_id and benchmark.ran_at and measured.load is not None:
        rows = Benchmark.objects.filter(
            connection_id=benchmark.connection_id,
            balancer_id=benchmark.balancer_id,
            node_count=benchmark.node_count,
            flavor=benchmark.flavor,
            mix=benchmark.mix,
            set_aside_at__isnull=True,
            # What came after may be worse, and must not be taken for the usual spread.
            ran_at__lte=benchmark.ran_at,
        ).order_by("-ran_at", "-pk")[:LEARNS_FROM]
        for row in rows:
            found = evidence.nearest(evidence.measurements_of(row.result, ran(row)), measured.load)
            if found is None or comparing.why_not_comparable(replace(measured, invalid=""), found):
                continue
            for figure in found.figures:
                values.setdefault(figure.key, []).append(figure.value)
    return tuple(comparing.learnt_tolerance(one.key, values.get(one.key, ())) for one in measured.figures)


def from_series(
    account: Account,
    connection: CloudConnection,
    balancer_id: str,
    *,
    resource: str,
    begins_at: datetime,
    ends_at: datetime,
    node_count: int | None = None,
    flavor: str = "",
    software: str = "",
) -> Source:
    """Return what a stretch of normal series would be as a baseline."""
    if connection.account_id != account.pk:
        raise Refused("This cloud connection is of another account.", code="other_account")
    check_no_pin(flavor, software, resource)
    why_not = ""
    if not stretches.SHORTEST <= ends_at - begins_at <= stretches.LONGEST:
        why_not = "A stretch has half an hour to fourteen days."
    elif ends_at > timezone.now():
        why_not = "The stretch is not over yet."
    if why_not:
        measured = comparing.Measurement(
            begins_at, comparing.Environment(node_count, flavor, software, ""), None, ()
        )
    else:
        measured = stretches.measured(
            account,
            resource,
            begins_at,
            ends_at,
            node_count=node_count,
            flavor=flavor,
            software=software,
        )
    promised = promised_of(connection, balancer_id)
    events = () if why_not else stretches.events_in(account, begins_at, ends_at)
    if not why_not and not measured.figures:
        why_not = "Nothing was measured of this resource then."
    elif not why_not and measured.load is None:
        why_not = (
            "Requests a second and the number of servers are needed: the load of one server is not known."
        )
    elif not why_not and not (flavor and software):
        why_not = "Say first the size of the servers and the version of the software."
    return Source(
        account=account,
        connection=connection,
        balancer_id=balancer_id,
        measured=measured,
        tolerances=tuple(comparing.usual_tolerance(one.key) for one in measured.figures),
        why_not=why_not or evidence.why_failed(measured, {}, promised),
        told={
            "kind": "series",
            "resource": resource,
            "begins_at": begins_at.isoformat(),
            "ends_at": ends_at.isoformat(),
            # What the approvers read of it is part of what they approve.
            **({"events": [_event_as_plain(one) for one in events]} if events else {}),
        },
        events=events,
        why_none_later=stretches.why_none_later(account.pk, resource, connection.pk, balancer_id, begins_at),
        resource=resource,
        begins_at=begins_at,
        ends_at=ends_at,
    )


def _event_as_plain(one: stretches.Overlap) -> dict[str, str]:
    return {
        "name": one.name,
        "starts_at": one.starts_at.isoformat(),
        "ends_at": one.ends_at.isoformat(),
    }


@transaction.atomic
def propose(
    source: Source,
    *,
    valid_until: datetime,
    reason: str,
    actor: User,
    owner: User | None = None,
    tolerances: Mapping[str, float] | None = None,
    with_events: bool = False,
) -> MeasuredBaseline:
    """Propose the next version of a pool's baseline; it is the provider side's approval, the customer decides.

    `tolerances` are ratios by figure where somebody says another one than was learnt. `with_events` says that a stretch is
    normal traffic although an event reaches into it.
    """
    account = source.account
    check_active(account)
    if not access.can(actor, Permission.BASELINE_PROPOSE, account):
        raise NotPermitted(
            f"You may not {Permission.BASELINE_PROPOSE.says} for {account}. A launch manager can.",
            code="not_permitted",
        )
    # One version after the other; and a benchmark that is set aside, or described anew, in this moment is before or after this.
    Account.objects.select_for_update(no_key=True).get(pk=account.pk)
    if source.benchmark is not None:
        rows = Benchmark.objects.select_for_update(of=("self",)).select_related("account", "connection")
        fresh = rows.get(pk=source.benchmark.pk)
        load, why_not = source.measured.load, source.why_not
        source = from_benchmark(fresh, users_per_node=load.per_node if load else None)
        # That it has no such step is said of the load that was asked for, not of the nearest one.
        source = replace(source, why_not=source.why_not or why_not)
    if source.why_not:
        raise Refused(f"This cannot become a baseline. {source.why_not}", code="no_baseline")
    if source.events and not with_events:
        names = ", ".join(dict.fromkeys(one.name for one in source.events))
        raise Refused(
            f"The stretch overlaps an event ({names}). Choose one without, or confirm that it is normal traffic all the same.",
            code="overlaps_event",
        )
    reason = reason.strip()
    if not reason:
        raise Refused(
            "Say why this is what the site is held against: whoever approves it reads it.",
            code="reason_missing",
        )
    check_no_pin(reason)
    now, owner = timezone.now(), owner or actor
    # Its last day is that of UTC, for whoever reads it: one that ends tonight is no day to come.
    if not (last_day(valid_until) > now.date() and valid_until <= now + LONGEST):
        raise Refused("A baseline is valid until a day to come, at most two years.", code="bad_valid_until")
    if not access.can(owner, Permission.SAMPLE_VIEW, account):
        raise Refused(
            f"{owner} does not read this account, so cannot look after its baseline.", code="bad_owner"
        )
    agreed = _agreed(source.tolerances, tolerances or {})
    assert source.connection is not None
    of_pool = {"connection": source.connection, "balancer_id": source.balancer_id}
    waiting = MeasuredBaseline.objects.filter(**of_pool, status=BaselineStatus.AWAITING).first()
    if waiting is not None:
        raise StaleState(
            f"Version {waiting.version} of this pool’s baseline waits for approval already. Withdraw it first.",
            code="already_proposed",
        )
    last = MeasuredBaseline.objects.filter(**of_pool).aggregate(last=Max("version"))["last"] or 0
    measured = evidence.to_plain(source.measured, agreed)
    content = {
        "format": evidence.FORMAT,
        "account": str(account.ref),
        "connection": str(source.connection.ref),
        "balancer_id": source.balancer_id,
        "version": last + 1,
        "source": dict(source.told),
        "measured": measured,
        "valid_until": valid_until.isoformat(),
        "owner": str(owner.ref),
    }
    ref = uuid.uuid4()
    request = approvals.submit(
        account=account,
        subject_type=SUBJECT,
        subject_ref=ref,
        title=f"Baseline {last + 1} of {pool_named(source.connection, source.balancer_id)}",
        digest=evidence.digest_of(content),
        author=actor,
        actor=actor,
        at=now,
        expires_at=now + ASKED_FOR,
        reason=reason,
    )
    row = _row(source, content, ref=ref, request=request, reason=reason, valid_until=valid_until)
    row.owner, row.proposed_by, row.proposed_at = owner, actor, now
    check_row(row)
    row.save()
    record(
        "baseline.proposed", actor=actor, account=account, subject=row, after=_on_record(row), reason=reason
    )
    return row


def _agreed(
    learnt: tuple[comparing.Tolerance, ...], said: Mapping[str, float]
) -> tuple[comparing.Tolerance, ...]:
    unknown = set(said) - {one.key for one in learnt}
    if unknown:
        raise Refused(f"It has no figure {', '.join(sorted(unknown))}.", code="unknown_figure")
    if any(not math.isfinite(one) or not 0.0 < one <= WIDEST for one in said.values()):
        raise Refused("A tolerance lies above 0 and is at most 500 %.", code="bad_tolerance")
    return tuple(
        one
        if one.key not in said or said[one.key] == one.ratio
        else comparing.Tolerance(one.key, said[one.key], one.floor)
        for one in learnt
    )


def _row(source: Source, content: dict[str, Any], **fields: Any) -> MeasuredBaseline:
    measured = source.measured
    rate, p50, p95, failed = (
        measured.figure(key) for key in ("requests_per_s_per_node", "p50_ms", "p95_ms", "error_ratio")
    )
    is_rate = measured.load is not None and measured.load.kind is not comparing.LoadKind.CLOSED
    assert measured.at is not None
    return MeasuredBaseline(
        account=source.account,
        connection=source.connection,
        balancer_id=source.balancer_id,
        version=content["version"],
        source=source.kind,
        benchmark=source.benchmark,
        resource=source.resource,
        begins_at=source.begins_at,
        ends_at=source.ends_at,
        content=content,
        load_per_node_rps=rate.value
        if rate
        else measured.load.per_node
        if is_rate and measured.load
        else None,
        p50_ms=p50.value if p50 else None,
        p95_ms=p95.value if p95 else None,
        error_ratio=failed.value if failed else None,
        software=measured.environment.software,
        measured_at=measured.at,
        **fields,
    )


@transaction.atomic
def decide(
    baseline: MeasuredBaseline, verdict: Decision, *, actor: User, seen_digest: str, reason: str = ""
) -> MeasuredBaseline:
    """Approve or reject for the customer exactly what was seen. Repeated by the same person: the same answer."""
    approvals.decide(
        baseline.request,
        actor=actor,
        side=Side.CUSTOMER,
        decision=verdict,
        seen_digest=seen_digest,
        reason=reason,
        at=timezone.now(),
    )
    return _fresh(baseline)


@transaction.atomic
def withdraw(baseline: MeasuredBaseline, *, actor: User, reason: str) -> MeasuredBaseline:
    """End a proposal, or let an approved version count no more, with a reason; the one before counts again."""
    if not access.can(actor, Permission.BASELINE_PROPOSE, baseline.account):
        raise NotPermitted(
            f"You may not {Permission.BASELINE_PROPOSE.says} for {baseline.account}.", code="not_permitted"
        )
    check_active(baseline.account)
    check_no_pin(reason)
    approvals.withdraw(
        baseline.request,
        actor=actor,
        reason=reason,
        while_in=[ApprovalStatus.OPEN, ApprovalStatus.APPROVED],
    )
    catch_up(baseline.connection, baseline.balancer_id)
    return _fresh(baseline)


def was_decided(request: ApprovalRequest) -> None:
    """Note what became of a proposal; called in the deciding transaction. Approved, its run is the ceiling too."""
    row = (
        MeasuredBaseline.objects.select_for_update(of=("self",))
        .select_related("account", "connection", "benchmark", "proposed_by")
        .get(ref=request.subject_ref)
    )
    if request.status == ApprovalStatus.APPROVED:
        if evidence.digest_of(row.content) != request.digest:
            raise Refused(
                "What is stored is not what was shown, so nothing was approved. Tell the operator of the portal.",
                code="digest_broken",
            )
        if row.benchmark is not None:
            invalid = evidence.invalid_because(row.benchmark.result, ran(row.benchmark))
            if invalid:
                raise StaleState(
                    f"Its benchmark does not count any more. {invalid} Nothing was approved.",
                    code="does_not_count",
                )
    row.status, row.decided_at = request.status, timezone.now()
    row.save(update_fields=["status", "decided_at"])
    if request.status == ApprovalStatus.APPROVED and row.benchmark is not None:
        _take_ceiling_of(row, row.benchmark)
    if request.status == ApprovalStatus.APPROVED:
        catch_up(row.connection, row.balancer_id)


def _take_ceiling_of(row: MeasuredBaseline, benchmark: Benchmark) -> None:
    found = ranked_of(row.connection, row.balancer_id)
    if found.taken is None or found.taken.ref != str(benchmark.ref):
        return
    kept = kept_for(row.connection, row.balancer_id, found.taken, "")
    now_counts = _in_force(row.connection, row.balancer_id, kept)
    # Whoever approves a baseline said nothing of a ceiling that is known and higher, or lower and of another mix.
    if not is_weaker(kept, now_counts) and not is_higher_of_another_mix(kept, now_counts):
        _keep_ceiling(row.connection, row.balancer_id, kept, benchmark, actor=row.proposed_by)


def _in_force(connection: CloudConnection, balancer_id: str, taken: Evidence) -> Figure | None:
    known = sizes_of(connection.account, Site(connection.ref, balancer_id), timezone.now())
    return replaced_figure(known.ceilings, taken, known.sized_as)


@transaction.atomic
def take_ceiling(
    connection: CloudConnection,
    balancer_id: str,
    *,
    actor: User,
    seen: str | None = None,
    taken: str | None = None,
    for_higher: bool = False,
    mix: str = "",
    size: str = "",
) -> Ceiling:
    """Let what speaks for a pool's ceiling count from now on. Raises Refused where nothing is strong enough.

    `seen` is the version of the ceilings that counted as somebody looked, `taken` that of what they were shown to let
    count (`ceilings.taken_version`); None asks nothing. `for_higher`: a lower bound may take the place of a higher figure that
    is known. `mix` is the mix of requests whose evidence counts from now on; without it, the one that was chosen last goes on.
    `size` is the size of servers that it is of, where the pool has several; without it, the one as which the pool is sized.
    """
    check_active(connection.account)
    mix = spelt(connection.account, mix)
    lock_known(connection)
    check_ceilings_seen(connection, balancer_id, seen)
    # Somebody may correct one at this moment: its servers would change beneath the figure.
    runs = Benchmark.objects.filter(connection=connection, balancer_id=balancer_id).order_by("pk")
    list(runs.select_for_update(no_key=True).values_list("pk", flat=True))
    found = ranked_of(connection, balancer_id, mix=mix, size=size)
    if taken is not None and taken != taken_version(found):
        now = (
            "nothing"
            if found.taken is None
            else f"{number(found.taken.requests_per_s)} requests a second ({found.taken.source})"
        )
        raise StaleState(
            f"What would count is another figure meanwhile, so nothing was kept. Now it is: {now}. "
            "Look at it, then press the button again.",
            code="ceiling_changed",
        )
    if found.taken is None:
        raise Refused(f"There is no ceiling to take. {found.why}", code="no_ceiling")
    if mix and found.taken.mix != mix:
        raise Refused(
            f"No step benchmark with the mix “{mix}” is what would count, so nothing was kept.",
            code="no_ceiling",
        )
    kept = kept_for(connection, balancer_id, found.taken, size)
    now_counts = _in_force(connection, balancer_id, kept)
    if now_counts is not None and is_weaker(found.taken, now_counts) and not for_higher:
        raise Refused(
            f"What would count is only a lower bound, {number(found.taken.requests_per_s)} requests a second ({found.taken.source}), "
            f"and what counts by now is known and no lower: {number(now_counts.requests_per_s)} ({now_counts.source}). "
            "Nothing was kept. Say that it may take the place of the higher one, if that holds no more.",
            code="lower_bound",
        )
    benchmark = (
        Benchmark.objects.filter(account=connection.account, ref=found.taken.ref).first()
        if found.taken.rank != "live"
        else None
    )
    # Whoever lets the first one count chooses its mix, as whoever names one.
    chosen = mix or ("" if chosen_of(connection, balancer_id, kept.flavor)[0] else kept.mix)
    return _keep_ceiling(connection, balancer_id, kept, benchmark, actor=actor, chosen_mix=chosen)


def _keep_ceiling(
    connection: CloudConnection,
    balancer_id: str,
    taken: Any,
    benchmark: Benchmark | None,
    *,
    actor: User,
    chosen_mix: str = "",
) -> Ceiling:
    row = Ceiling(
        account=connection.account,
        connection=connection,
        balancer_id=balancer_id,
        requests_per_s=taken.requests_per_s,
        source=taken.source[:200],
        rank=taken.rank.value,
        is_least=taken.is_least,
        benchmark=benchmark,
        flavor=taken.flavor,
        software=taken.software,
        mix=taken.mix,
        chosen_mix=chosen_mix,
        entered_by=actor,
        measured_at=taken.at,
        at=timezone.now(),
    )
    check_row(row)
    row.save()
    record("ceiling.entered", actor=actor, account=row.account, subject=row, after=snapshot(row))
    size_anew(row.connection, row.balancer_id)
    return row


@transaction.atomic
def enter_limit(
    connection: CloudConnection,
    balancer_id: str,
    *,
    kind: str,
    requests_per_s: float,
    source: str,
    actor: User,
    seen: str | None = None,
) -> PoolLimit:
    """Note what a pool carries at most however many servers it has; older figures stay as history.

    `seen` is the version of the limits that somebody saw (`ceilings.limits_version`); None asks nothing.
    """
    check_active(connection.account)
    check_no_pin(source)
    _check_limits_seen(connection, balancer_id, seen)
    row = PoolLimit(
        account=connection.account,
        connection=connection,
        balancer_id=balancer_id,
        kind=kind,
        requests_per_s=requests_per_s,
        source=source,
        entered_by=actor,
        at=timezone.now(),
    )
    check_row(row)
    row.save()
    record("pool_limit.entered", actor=actor, account=row.account, subject=row, after=snapshot(row))
    size_anew(row.connection, row.balancer_id)
    return row


@transaction.atomic
def take_back_limit(
    connection: CloudConnection, balancer_id: str, *, kind: str, actor: User, seen: str | None = None
) -> None:
    """Take back what was entered of one kind: the least of the kinds that remain counts from now on.

    What was entered of that kind before does not come back: it was replaced as somebody knew better. `seen` as above.
    """
    check_active(connection.account)
    _check_limits_seen(connection, balancer_id, seen)
    row = next((one for one in limits_of(connection.pk, balancer_id) if one.kind == kind), None)
    if row is None:
        raise StaleState(
            "There is no such limit of this pool any more, so nothing was done.", code="no_limit"
        )
    before = snapshot(row)
    row.void_at = timezone.now()
    row.save(update_fields=["void_at"])
    record(
        "pool_limit.taken_back",
        actor=actor,
        account=row.account,
        subject=row,
        before=before,
        after=snapshot(row),
    )
    size_anew(connection, balancer_id)


def _check_limits_seen(connection: CloudConnection, balancer_id: str, seen: str | None) -> None:
    """Keep others from changing the limits until the transaction ends; raise StaleState where they are not those that were seen."""
    lock_known(connection)
    now = limits_of(connection.pk, balancer_id)
    if seen is not None and seen != limits_version(now):
        counts = ", ".join(
            f"{one.get_kind_display()} {one.requests_per_s:g} requests a second ({one.source})" for one in now
        )
        raise StaleState(
            f"Somebody changed the pool’s own limits meanwhile, so nothing was kept. Now known is: {counts or 'none'}. "
            "Look at it, then press the button again.",
            code="limits_changed",
        )


def _fresh(baseline: MeasuredBaseline) -> MeasuredBaseline:
    from capacity.baselines.selectors import whole

    return whole().get(pk=baseline.pk)


def _on_record(row: MeasuredBaseline) -> dict[str, Any]:
    return {name: value for name, value in snapshot(row).items() if name != "content"}
