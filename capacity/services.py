"""Entering what is known of a pool by hand: each change one function, on record in its transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from accounts.networks import networks_of
from capacity.counts import check_template
from capacity.models import (
    Baseline,
    Ceiling,
    CountSource,
    FineLoad,
    ForecastPeak,
    Objective,
    Probe,
)
from capacity.reference import WHOLE_SITE, Site, sizes_of
from portal.audit.services import record, snapshot
from portal.egress import check_url, rules_from_settings
from portal.errors import Refused, StaleState
from portal.rows import check_row

if TYPE_CHECKING:
    from accounts.models import Account, CloudConnection, User


def _keep(row: Any, what: str, actor: User | None, before: Mapping[str, Any] | None = None) -> None:
    check_row(row)
    row.save()
    record(what, actor=actor, account=row.account, subject=row, before=before, after=snapshot(row))


def _check_same_account(account: Account, connection: CloudConnection) -> None:
    if connection.account_id != account.pk:
        raise Refused("This cloud connection is of another account.", code="other_account")


@transaction.atomic
def enter_ceiling(
    account: Account,
    connection: CloudConnection,
    balancer_id: str,
    *,
    requests_per_s: float,
    source: str,
    at: datetime,
    actor: User | None,
) -> Ceiling:
    """Note the highest load that one node carries; older figures stay as history."""
    _check_same_account(account, connection)
    row = Ceiling(
        account=account,
        connection=connection,
        balancer_id=balancer_id,
        requests_per_s=requests_per_s,
        source=source,
        entered_by=actor,
        at=at,
    )
    _keep(row, "ceiling.entered", actor)
    return row


@transaction.atomic
def enter_forecast_peak(
    account: Account,
    connection: CloudConnection,
    balancer_id: str,
    *,
    requests_per_s: float,
    source: str,
    at: datetime,
    actor: User | None,
    expected_at: datetime | None = None,
) -> ForecastPeak:
    """Note the load that the pool is expected to see at its next peak; older figures stay as history."""
    _check_same_account(account, connection)
    row = ForecastPeak(
        account=account,
        connection=connection,
        balancer_id=balancer_id,
        requests_per_s=requests_per_s,
        expected_at=expected_at,
        source=source,
        entered_by=actor,
        at=at,
    )
    _keep(row, "forecast.entered", actor)
    return row


@transaction.atomic
def enter_fine_load(
    account: Account,
    connection: CloudConnection,
    balancer_id: str,
    *,
    requests_per_s: float,
    seen_at: datetime,
    source: str,
    at: datetime,
    actor: User | None,
) -> FineLoad:
    """Note a load per node under which the site was fine; the highest of the last 14 days counts."""
    _check_same_account(account, connection)
    row = FineLoad(
        account=account,
        connection=connection,
        balancer_id=balancer_id,
        requests_per_s=requests_per_s,
        seen_at=seen_at,
        source=source,
        entered_by=actor,
        at=at,
    )
    _keep(row, "fine_load.entered", actor)
    return row


@transaction.atomic
def enter_objective(
    account: Account,
    connection: CloudConnection,
    balancer_id: str,
    *,
    error_ratio: float | None,
    latency_ms: float | None,
    latency_share: float = 0.95,
    source: str,
    at: datetime,
    actor: User | None,
) -> Objective:
    """Note what the site promises; older promises stay as history."""
    _check_same_account(account, connection)
    row = Objective(
        account=account,
        connection=connection,
        balancer_id=balancer_id,
        error_ratio=error_ratio,
        latency_ms=latency_ms,
        latency_share=latency_share,
        source=source,
        entered_by=actor,
        at=at,
    )
    _keep(row, "objective.entered", actor)
    return row


@transaction.atomic
def enter_baseline(
    account: Account,
    connection: CloudConnection,
    balancer_id: str,
    *,
    measured_at: datetime,
    source: str,
    at: datetime,
    actor: User | None,
    probe: str = "",
    load_per_node_rps: float | None = None,
    latency_p50_ms: float | None = None,
    latency_p95_ms: float | None = None,
    error_ratio: float | None = None,
) -> Baseline:
    """Note what a probe of a pool was measured at; each load and each time is a row of its own."""
    _check_same_account(account, connection)
    of_pool = {"connection": connection, "balancer_id": balancer_id}
    if probe and not Probe.objects.filter(**of_pool, name=probe).exists():
        raise Refused(f"This pool has no probe “{probe}”.", code="no_such_probe")
    row = Baseline(
        account=account,
        **of_pool,
        probe=probe,
        load_per_node_rps=load_per_node_rps,
        latency_p50_ms=latency_p50_ms,
        latency_p95_ms=latency_p95_ms,
        error_ratio=error_ratio,
        measured_at=measured_at,
        source=source,
        entered_by=actor,
        at=at,
    )
    _keep(row, "baseline.entered", actor)
    return row


@transaction.atomic
def set_probe(
    account: Account,
    connection: CloudConnection,
    balancer_id: str,
    *,
    name: str,
    actor: User | None,
    **fields: Any,
) -> Probe:
    """Add a probe of a site, or change the one with this name."""
    _check_same_account(account, connection)
    if name == WHOLE_SITE:
        raise Refused(f"“{WHOLE_SITE}” is no probe: give it another name.", code="name_taken")
    row = Probe.objects.select_for_update().filter(
        connection=connection, balancer_id=balancer_id, name=name
    ).first() or Probe(account=account, connection=connection, balancer_id=balancer_id, name=name)
    before = snapshot(row) if row.pk else {}
    for field, value in fields.items():
        setattr(row, field, value)
    _keep(row, "probe.set", actor, before)
    return row


@transaction.atomic
def set_count_source(
    account: Account,
    connection: CloudConnection,
    balancer_id: str,
    *,
    kind: str,
    url_template: str,
    actor: User | None,
) -> CountSource:
    """Say where the connection count of each server of a pool is read; replaces the former one."""
    _check_same_account(account, connection)
    row = CountSource.objects.select_for_update().filter(
        connection=connection, balancer_id=balancer_id
    ).first() or CountSource(account=account, connection=connection, balancer_id=balancer_id)
    before = snapshot(row) if row.pk else {}
    row.kind, row.url_template = kind, url_template
    _keep(row, "count_source.set", actor, before)
    return row


def lock_known(connection: CloudConnection) -> None:
    """Let nobody else enter what is known of the account's pools until the transaction ends."""
    type(connection.account).objects.select_for_update(no_key=True).get(pk=connection.account_id)


def check_ceilings_seen(connection: CloudConnection, balancer_id: str, seen: str | None) -> None:
    """Raise StaleState where other ceilings count by now than those that were seen (`Sizes.version`); None asks nothing."""
    if seen is None:
        return
    lock_known(connection)
    now = sizes_of(connection.account, Site(connection.ref, balancer_id), timezone.now())
    if seen != now.version:
        counts = ", ".join(
            f"{one.requests_per_s:g} requests a second{f' of {one.flavor}' if one.flavor else ''} ({one.source})"
            for one in now.ceilings
        )
        raise StaleState(
            f"Somebody changed what one server carries meanwhile, so nothing was kept. Now it is: {counts or 'not known'}. "
            "Look at it, then press the button again to put yours in its place.",
            code="ceiling_changed",
        )


@transaction.atomic
def enter_known(
    connection: CloudConnection,
    balancer_id: str,
    given: Mapping[str, Any],
    *,
    actor: User,
    seen: str | None = None,
) -> None:
    """Enter what somebody typed about a pool (the names of `forms.PoolForm`); what is empty stays as it is.

    `seen` is the version of the ceilings that whoever typed another one saw; None asks nothing.
    """
    account, now = connection.account, timezone.now()
    if given.get("ceiling_rps"):
        check_ceilings_seen(connection, balancer_id, seen)
        enter_ceiling(
            account,
            connection,
            balancer_id,
            requests_per_s=given["ceiling_rps"],
            source=given["ceiling_source"],
            at=now,
            actor=actor,
        )
    if given.get("forecast_rps"):
        enter_forecast_peak(
            account,
            connection,
            balancer_id,
            requests_per_s=given["forecast_rps"],
            source=given["forecast_source"],
            expected_at=given.get("forecast_at"),
            at=now,
            actor=actor,
        )
    if given.get("count_kind"):
        check_template(given["count_url"], rules=rules_from_settings(networks_of(account)))
        set_count_source(
            account,
            connection,
            balancer_id,
            kind=given["count_kind"],
            url_template=given["count_url"],
            actor=actor,
        )
    if given.get("probe_name"):
        check_url(given["probe_url"], rules=rules_from_settings(networks_of(account)))
        set_probe(
            account,
            connection,
            balancer_id,
            name=given["probe_name"],
            url=given["probe_url"],
            latency_limit_ms=given.get("probe_latency_limit_ms"),
            actor=actor,
        )
    if given.get("fine_rps"):
        enter_fine_load(
            account,
            connection,
            balancer_id,
            requests_per_s=given["fine_rps"],
            seen_at=given.get("fine_seen_at") or now,
            source=given["fine_source"],
            at=now,
            actor=actor,
        )
    if given.get("objective_error_ratio") is not None or given.get("objective_latency_ms"):
        enter_objective(
            account, connection, balancer_id, **_promised(connection, balancer_id, given), at=now, actor=actor
        )
    if given.get("baseline_source"):
        enter_baseline(
            account,
            connection,
            balancer_id,
            probe=given.get("baseline_probe") or "",
            load_per_node_rps=given.get("baseline_load_rps"),
            latency_p50_ms=given.get("baseline_p50_ms"),
            latency_p95_ms=given.get("baseline_p95_ms"),
            error_ratio=given.get("baseline_error_ratio"),
            measured_at=given.get("baseline_measured_at") or now,
            source=given["baseline_source"],
            at=now,
            actor=actor,
        )
    size_anew(connection, balancer_id)


def _promised(connection: CloudConnection, balancer_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole promise: what is not given stays as it is, with where that was promised."""
    rows = Objective.objects.filter(connection=connection, balancer_id=balancer_id)
    was = rows.order_by("-at", "-pk").first()
    failed, takes = given.get("objective_error_ratio"), given.get("objective_latency_ms")
    share, source = given.get("objective_latency_share"), given["objective_source"]
    if was is not None:
        is_kept = (failed is None and was.error_ratio is not None) or (not takes and was.latency_ms)
        if is_kept and was.source not in source:
            source = f"{source}; the rest: {was.source}"[:200]
        failed = was.error_ratio if failed is None else failed
        if not takes:
            takes, share = was.latency_ms, was.latency_share if share is None else share
    return {
        "error_ratio": failed,
        "latency_ms": takes,
        "latency_share": 0.95 if share is None else share,
        "source": source,
    }


def size_anew(connection: CloudConnection, balancer_id: str) -> None:
    """Work out anew how long servers last, so that no page says two things. Imported late: it reads these figures."""
    from capacity.reports.short import judge_anew

    judge_anew(connection.pk, balancer_id)
