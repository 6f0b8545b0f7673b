"""Holding what is measured against the baseline that counts, and telling people once a second run says the same.

    follow(benchmark)                            in the transaction that changes what is known of it
    compare_stretch(baseline, now)               the newest whole stretch of series, for a baseline from series

Not in here: how two measurements are compared (`capacity/comparing.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from capacity import comparing
from capacity.baselines import evidence, stretches
from capacity.baselines.models import BaselineComparison, BaselineSource, BaselineStatus, MeasuredBaseline
from capacity.comparing import Comparison, FigureCompared, Measurement, Verdict
from capacity.pool_names import pool_named
from capacity.reference import proves_nothing
from capacity.services import size_anew
from portal.access import Permission, can
from portal.events.services import emit
from portal.notify.registry import Recipient, Urgency, audience
from portal.notify.services import tell_all

if TYPE_CHECKING:
    from accounts.models import CloudConnection
    from capacity.benchmarks.models import Benchmark

READ = 12
"""How many comparisons are looked at to tell whether worse is confirmed: two that count, and what lies between."""
CAUGHT_UP = 60
"""So many of the newest runs are held against a baseline that counts from now on."""


def ran(benchmark: Benchmark) -> evidence.Ran:
    """Return what people said of a benchmark, as the pure parts take it."""
    return evidence.Ran(
        comparing.Environment(benchmark.node_count, benchmark.flavor, benchmark.software, benchmark.mix),
        benchmark.ran_at,
        benchmark.set_aside_because,
        benchmark.set_aside_at is not None,
        benchmark.was_aborted,
        benchmark.generator_cpu,
        benchmark.generator_addresses,
        benchmark.tied_to_address,
    )


def current(connection_id: int | None, balancer_id: str) -> MeasuredBaseline | None:
    """Return the baseline of a pool that counts: the approved one with the highest version."""
    if connection_id is None or not balancer_id:
        return None
    rows = (
        MeasuredBaseline.objects.select_related("account", "owner", "benchmark")
        .defer("benchmark__result")
        .filter(connection_id=connection_id, balancer_id=balancer_id, status=BaselineStatus.APPROVED)
    )
    return rows.order_by("-version").first()


def follow(benchmark: Benchmark) -> None:
    """Draw what follows of a benchmark that is new, or of which something else is known, for its pool."""
    _alarm(_compare(benchmark))
    baseline = current(benchmark.connection_id, benchmark.balancer_id)
    if benchmark.connection is not None and baseline is not None and baseline.benchmark_id == benchmark.pk:
        # Where it proves something again, what came since is told of that was not.
        catch_up(benchmark.connection, benchmark.balancer_id)
    if benchmark.connection is not None:
        # It may speak against the ceiling that says how long servers last.
        size_anew(benchmark.connection, benchmark.balancer_id)


def catch_up(connection: CloudConnection, balancer_id: str) -> None:
    """Hold what was measured since against the baseline that counts by now: before, it was held against another one, or none.

    People are told of the newest alone, and once.
    """
    # Imported late: what takes benchmarks in calls here.
    from capacity.benchmarks.models import Benchmark

    baseline = current(connection.pk, balancer_id)
    if baseline is None:
        return
    found = []
    if baseline.source == BaselineSource.SERIES:
        found.append(_compare_stretch(baseline, timezone.now()))
    later = Benchmark.objects.filter(
        connection=connection, balancer_id=balancer_id, ran_at__gt=baseline.measured_at
    )
    found += [_compare(row) for row in later.order_by("-ran_at", "-pk")[:CAUGHT_UP]]
    worse = [one for one in found if one is not None and one.verdict == Verdict.WORSE]
    _alarm(max(worse, key=lambda one: (one.measured_at, one.pk), default=None))


def _compare(benchmark: Benchmark) -> BaselineComparison | None:
    """Hold a benchmark against the baseline of its pool; None where there is none, or it ran before that."""
    baseline = current(benchmark.connection_id, benchmark.balancer_id)
    if baseline is None:
        return None
    held, tolerances = evidence.from_plain(baseline.content["measured"])
    newer = evidence.nearest(evidence.measurements_of(benchmark.result, ran(benchmark)), held.load)
    own = baseline.benchmark
    until = _ended(baseline.measured_at, own.duration_s if own else None)
    if newer is None or benchmark.ran_at is None or benchmark.ran_at <= until:
        # It is the baseline's own run or an older one. What was found while it was thought to be newer holds no more.
        baseline.comparisons.filter(benchmark=benchmark).delete()
        return None
    return _keep(
        baseline,
        comparing.compare(held, newer, tolerances),
        newer,
        measured_at=benchmark.ran_at,
        lasted_s=benchmark.duration_s,
        software=benchmark.software,
        benchmark=benchmark,
    )


def _ended(began: datetime, lasted_s: float | None) -> datetime:
    return began + timedelta(seconds=lasted_s or 0.0)


def compare_stretch(baseline: MeasuredBaseline, now: datetime) -> BaselineComparison | None:
    """Hold the newest whole stretch of series against a baseline from series: the same hours of a later day."""
    row = _compare_stretch(baseline, now)
    _alarm(row)
    return row


def _compare_stretch(baseline: MeasuredBaseline, now: datetime) -> BaselineComparison | None:
    found = stretches.later(baseline, now)
    if found is None:
        return None
    begins, newer = found
    held, tolerances = evidence.from_plain(baseline.content["measured"])
    compared = comparing.compare(held, newer, tolerances)
    said = baseline.comparisons.filter(begins_at=begins).exclude(verdict=Verdict.NOT_COMPARABLE.value)
    if compared.verdict is Verdict.NOT_COMPARABLE and said.exists():
        # A look since shows another number of servers, or is too late for that hour: no answer to what was found.
        return None
    return _keep(
        baseline,
        compared,
        newer,
        measured_at=newer.at or begins,
        software=newer.environment.software,
        begins_at=begins,
    )


def _keep(
    baseline: MeasuredBaseline,
    found: Comparison,
    newer: Measurement,
    *,
    measured_at: datetime,
    software: str,
    lasted_s: float | None = None,
    **which: Any,
) -> BaselineComparison:
    row, _ = BaselineComparison.objects.update_or_create(
        baseline=baseline,
        **which,
        defaults={
            "measured_at": measured_at,
            "verdict": found.verdict.value,
            "found": {
                **_as_plain(found),
                "load_per_node": newer.load.per_node if newer.load else None,
                "lasted_s": lasted_s,
            },
            "software": software,
            "compared_at": timezone.now(),
        },
    )
    return row


def _as_plain(found: Comparison) -> dict[str, Any]:
    return {
        "why": list(found.why),
        "figures": [
            {
                "key": one.key,
                "baseline": one.baseline,
                "newer": one.newer,
                "change": one.change,
                "ratio": one.ratio,
                "counts_from": one.counts_from,
                "confidence": one.confidence,
                "looks": one.looks.value,
                "verdict": one.verdict.value,
            }
            for one in found.figures
        ],
    }


def comparison_of(row: BaselineComparison) -> Comparison:
    """Return a kept comparison as the pure parts take it."""
    figures = tuple(
        FigureCompared(**{**one, "looks": Verdict(one["looks"]), "verdict": Verdict(one["verdict"])})
        for one in row.found["figures"]
    )
    return Comparison(Verdict(row.verdict), figures, tuple(row.found["why"]))


def the_newest(rows: QuerySet[BaselineComparison]) -> QuerySet[BaselineComparison]:
    """Return comparisons with the newest first, and after all that count those which could not be compared.

    However many of these come: they do not make what was found before go away.
    """
    is_none = ExpressionWrapper(Q(verdict=Verdict.NOT_COMPARABLE.value), BooleanField())
    return rows.order_by(is_none, "-measured_at", "-pk")


def _runs_of(rows: Iterable[BaselineComparison]) -> list[list[BaselineComparison]]:
    """Return the comparisons that count by the run that they are of, the oldest first.

    What overlaps in time is one: two files of a run, or two generators at once, confirm nothing to each other.
    """
    counted = (one for one in rows if one.verdict != Verdict.NOT_COMPARABLE)
    runs: list[list[BaselineComparison]] = []
    until: datetime | None = None
    for one in sorted(counted, key=lambda one: (one.measured_at, one.pk)):
        ended = _ended(one.measured_at, one.found.get("lasted_s"))
        if until is not None and one.measured_at <= until:
            runs[-1].append(one)
        else:
            runs.append([one])
        until = max(until or ended, ended)
    return runs


def standing_of(rows: Iterable[BaselineComparison]) -> comparing.Standing:
    """Return how a site stands to its baseline by the kept comparisons, in whatever order they come; one of each run counts."""
    return comparing.standing([comparison_of(run[-1]) for run in _runs_of(rows)])


def _alarm(row: BaselineComparison | None) -> None:
    """Say that the site does worse, once a second comparable run says so; each such run says it once."""
    if row is None or row.verdict != Verdict.WORSE:
        return
    baseline = row.baseline
    newest = list(the_newest(baseline.comparisons.all())[:READ])
    stands = standing_of(newest)
    is_newest = next((one for one in newest if one.verdict != Verdict.NOT_COMPARABLE), row).pk == row.pk
    if not stands.is_confirmed or not is_newest or proves_nothing(baseline, timezone.now()):
        return
    if any(_was_told(one) for one in _runs_of(newest)[-1]):
        return
    BaselineComparison.objects.filter(pk=row.pk).update(told_at=timezone.now())
    figures = sorted(stands.figures)
    tell_all(
        "baseline_worse",
        people_of(baseline),
        subject_ref=f"baseline:{baseline.ref}",
        period=str(row.ref),
        account=baseline.account,
        urgency=Urgency.NORMAL,
        context={
            "account_name": baseline.account.name,
            "pool": pool_named(baseline.connection, baseline.balancer_id),
            "figures": ", ".join(comparing.KIND_OF[key].label.lower() for key in figures),
            "version": baseline.version,
            "url": reverse("capacity:baseline", args=[baseline.ref]),
        },
        reason="the site does worse than its baseline",
    )
    # Whoever listens to events hears of it, though every person may have turned such mails off.
    emit(
        "baseline.worse",
        account=baseline.account,
        subject_type="baseline",
        subject_ref=baseline.ref,
        data={"version": baseline.version, "figures": figures, "comparison": str(row.ref)},
    )


def _was_told(row: BaselineComparison) -> bool:
    """Return whether it was told of this measurement before, against this version or another one of the pool.

    Set aside and counted again, or held against a version of the very same run: nothing new was measured.
    """
    of_pool = {
        "baseline__connection": row.baseline.connection_id,
        "baseline__balancer_id": row.baseline.balancer_id,
        "told_at__isnull": False,
    }
    if row.benchmark_id is not None:
        return BaselineComparison.objects.filter(**of_pool, benchmark=row.benchmark_id).exists()
    return BaselineComparison.objects.filter(
        **of_pool, begins_at=row.begins_at, baseline__resource=row.baseline.resource
    ).exists()


def people_of(baseline: MeasuredBaseline) -> list[Recipient]:
    """Return who is told of a baseline: its owner first, then the account's launch managers, each once."""
    managers = list(audience("launch_managers", baseline.account))
    known = {one.user.pk: one for one in managers}
    owner = known.pop(baseline.owner_id, None)
    if owner is None and baseline.owner.is_active and _reads_account(baseline):
        owner = Recipient(user=baseline.owner, is_customer=True)
    return [*([owner] if owner else []), *known.values()]


def _reads_account(baseline: MeasuredBaseline) -> bool:
    """Return whether the owner still reads the account: whoever left it is told nothing of it."""
    return can(baseline.owner, Permission.SAMPLE_VIEW, baseline.account)


def live_baselines() -> Iterable[MeasuredBaseline]:
    """Return the baselines from series that count, of every account."""
    rows = MeasuredBaseline.objects.filter(status=BaselineStatus.APPROVED).select_related("account", "owner")
    newest: dict[tuple[int, str], MeasuredBaseline] = {}
    for row in rows.order_by("version").iterator():
        newest[(row.connection_id, row.balancer_id)] = row
    return [one for one in newest.values() if one.source == BaselineSource.SERIES]
