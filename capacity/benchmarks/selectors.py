"""What pages and API read of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet, Value
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from accounts.models import Account, CloudConnection
from capacity.baselines import evidence
from capacity.baselines.compared import ran
from capacity.baselines.models import BaselineStatus, MeasuredBaseline
from capacity.benchmarks.models import Benchmark
from capacity.models import Ceiling, CountSource, ForecastPeak, Probe
from capacity.pool_names import named
from capacity.reports.models import SizedPool
from portal.ui.charts import Point, Series


def whole() -> QuerySet[Benchmark]:
    """Return benchmarks with everything that is shown of one."""
    return Benchmark.objects.select_related("account", "connection", "taken_in_by", "set_aside_by").defer(
        "connection__api_key"
    )


def listed() -> QuerySet[Benchmark]:
    """Return benchmarks as lists show them: without their results, but for what may make one worth nothing."""
    rows = whole().defer("result", "connection__api_key")
    return rows.annotate(
        told_invalid=KeyTextTransform("invalid", "result"), told_errors=KeyTransform("errors", "result")
    )


def invalid_because(row: Benchmark) -> str:
    """Return why a benchmark of `listed` or `whole` proves nothing, "" where nothing speaks against it."""
    is_listed = "result" in row.get_deferred_fields()
    told = {"invalid": row.told_invalid, "errors": row.told_errors} if is_listed else row.result  # type: ignore[attr-defined]
    return evidence.invalid_because(told, ran(row))


def force_of(row: Benchmark) -> set[str]:
    """Return what rests on a benchmark that counts, each with the sentence for when it does so no more. Two queries."""
    found = set()
    taken = list(Ceiling.objects.filter(benchmark=row).values_list("void_at", "flavor"))
    void = [at for at, _ in taken]
    if (None, "") in taken or None not in void:
        found.add(
            "The ceiling that was taken from this benchmark counted for servers of any size. Now it counts for those of the size that "
            "is said here, if that is how the provider calls it; for others the one before it does."
        )
    if None in void:
        found.add(
            "The ceiling was taken from this benchmark as it was described before, and counts no more: the one before it does, "
            "if there is one. Look at “What one server carries”, and press “Let it count” there."
        )
    if (void or resting_on(row)) and not evidence.invalid_because(row.result, ran(row)):
        found.add(
            "It proves nothing as it is described now: neither a ceiling nor a baseline that rests on it is read by plans."
        )
    return found


def resting_on(row: Benchmark) -> list[MeasuredBaseline]:
    """Return the baselines made from it that are approved or wait for that, the newest first. One query."""
    rows = row.baselines.filter(status__in=(BaselineStatus.AWAITING, BaselineStatus.APPROVED))
    return list(rows.defer("content").order_by("-version"))


def pools_of(account: Account) -> list[tuple[str, str]]:
    """Return the pools that anything is known of, as (key, words), by name. One query."""
    columns = ("connection__ref", "connection__name", "balancer_id")
    rows = Benchmark.objects.filter(account=account, connection__isnull=False).exclude(balancer_id="")
    known = rows.order_by().values_list(*columns, Value(""))
    for model in (Ceiling, ForecastPeak, Probe, CountSource):
        rows_of = model._default_manager.filter(account=account).order_by()
        known = known.union(rows_of.values_list(*columns, Value("")))
    # Only a pool that is sized has a name of its own; that it is sized makes none known.
    known = known.union(SizedPool.objects.filter(account=account).order_by().values_list(*columns, "name"))
    found = list(known)
    names = {(ref, balancer): name for ref, _, balancer, name in found if name}
    return [
        (f"{ref}:{balancer}", f"{connection}, {named(names.get((ref, balancer), ''), balancer)}")
        for ref, connection, balancer, name in sorted(found, key=lambda row: (row[1], row[2]))
        if not name
    ]


def connection_of(account: Account, key: str) -> tuple[CloudConnection | None, str]:
    """Return connection and load balancer behind a key of `pools_of`; None and "" for no key of this account's."""
    ref, _, balancer_id = key.partition(":")
    rows = CloudConnection.objects.filter(account=account).defer("api_key")
    connection = rows.filter(ref=ref).first() if ref else None
    return connection, balancer_id if connection is not None else ""


@dataclass(frozen=True)
class Course:
    """How a run went, as lines of charts, each of one unit; empty where the file has no times, or only one."""

    load: tuple[Series, ...] = ()
    users: tuple[Series, ...] = ()
    latency: tuple[Series, ...] = ()


def course_of(result: Mapping[str, Any], began: datetime | None) -> Course:
    """Return the course of a run. Without a beginning there is no time axis, so there is none."""
    points: Sequence[Mapping[str, Any]] = result.get("points") or ()
    if began is None or len(points) < 2:
        return Course()

    def lines(*keys: tuple[str, str, str]) -> tuple[Series, ...]:
        found = []
        for label, key, tone in keys:
            values: list[Point] = [
                (began + timedelta(seconds=float(point["offset_s"])), point.get(key)) for point in points
            ]
            if any(value is not None for _, value in values):
                found.append(Series(label, values, tone))
        return tuple(found)

    return Course(
        lines(("requests a second", "requests_per_s", "1"), ("failures a second", "failures_per_s", "4")),
        lines(("users", "users", "2")),
        lines(
            ("95 of 100 within", "p95_ms", "1"), ("50 of 100 within", "p50_ms", "2"), ("mean", "mean_ms", "3")
        ),
    )


def spelt(account: Account, mix: str, *, but: Benchmark | None = None) -> str:
    """Return a mix of requests as the benchmarks of an account spell it, `but` one; itself where none does. Two queries at most.

    What differs in capitals and blanks alone is no other mix: its ceiling would ask for a choice that is none.
    """
    mix = " ".join(mix.split())
    if not mix:
        return ""
    others = Benchmark.objects.filter(account=account, mix__iexact=mix)
    if but is not None:
        others = others.exclude(pk=but.pk)
    # Rows from before spellings were joined may differ in that alone: each can be named.
    if others.filter(mix=mix).exists():
        return mix
    return others.order_by("pk").values_list("mix", flat=True).first() or mix
