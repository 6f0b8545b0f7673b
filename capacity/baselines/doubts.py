"""What came after a ceiling in force was measured, and speaks against it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from accounts.models import CloudConnection
from capacity import ceiling
from capacity.baselines.ceilings import (
    CeilingKnown,
    by_steps,
    promised_of,
    read_of,
    seen_at_events,
    sized_pool_of,
)
from capacity.benchmarks.models import Benchmark
from capacity.markers.models import Marker, MarkerKind
from capacity.models import Ceiling
from capacity.reference import UNTOLD, Figure, ceilings_of, counting_ceilings
from capacity.reports.models import SizedPool

LESS = 0.95
"""A newer benchmark that carried less than this share of a ceiling contradicts it."""


def doubts_about(
    connection: CloudConnection, balancer_id: str, figure: Figure, *, sizes: Collection[str] = ()
) -> tuple[str, ...]:
    """Return what came after the ceiling in force was measured and speaks against it, as sentences; () for nothing.

    Of all `sizes` in service, as a rule those that the pool is sized with: which of them carries the least rests on each of
    their figures. Seven queries, and six for each further size; of what was seen live five more.
    """
    promised, pool = promised_of(connection, balancer_id), sized_pool_of(connection, balancer_id)
    found = _doubts_about_one(connection, balancer_id, figure, promised, pool)
    in_service = sorted({one or UNTOLD for one in sizes} or (pool.sizes if pool is not None else ()))
    for size in in_service if len(in_service) > 1 else ():
        now = timezone.now()
        theirs = ceilings_of(connection.account, connection.ref, {balancer_id: size}, now).get(balancer_id)
        if theirs is None or theirs == figure:
            continue
        if theirs.mix and figure.mix and theirs.mix != figure.mix:
            found.append(
                f"What one server of {size} carries was measured with “{theirs.mix}”, this with “{figure.mix}”: which size "
                "carries the least of what visitors ask for is not known."
            )
        says = _doubts_about_one(connection, balancer_id, theirs, promised, pool)
        found += [f"Of {size}: {one}" for one in says if one not in found]
    return tuple(found)


def _doubts_about_one(
    connection: CloudConnection,
    balancer_id: str,
    figure: Figure,
    promised: ceiling.Promised,
    pool: SizedPool | None,
) -> list[str]:
    """Return what speaks against one figure: that its evidence says less by now, a newer one that counts no more, what came after."""
    of_pool = {"connection": connection, "balancer_id": balancer_id}
    kept, since = _kept_as(connection, balancer_id, figure)
    run = kept.benchmark if kept is not None else None
    found = []
    if run is not None:
        own = read_of(run, promised).says
        if (
            kept is not None
            and kept.rank == ceiling.Rank.STEPS
            and (own is None or own.rank is not ceiling.Rank.STEPS)
        ):
            found.append(
                f"By what is said of {run.title} now, it is no run by steps with a mix: alone it is no ceiling."
                + (f" {own.unproven}" if own is not None and run.mix else "")
            )
        carried = own.requests_per_s if own is not None else None
        if carried is not None and carried < LESS * figure.requests_per_s:
            found.append(
                f"By what is promised now one server carried {carried:,.1f} requests a second in {run.title}: "
                "the promise was another one when that was taken."
            )
    # When one that was let count long ago was measured was not kept: nothing can be held against it.
    if kept is not None and kept.rank == ceiling.Rank.LIVE and kept.measured_at is not None:
        live = seen_at_events(connection, balancer_id, promised, pool, at=since)
        found += _seen_less(live, figure, since)
    of_size = Q(flavor="") | Q(flavor__iexact=figure.flavor) if figure.flavor else Q()
    newer = (
        Ceiling.objects.filter(of_size, **of_pool, at__gt=figure.at)
        # One that counts, for another size or none, speaks for itself.
        .exclude(pk__in=counting_ceilings(timezone.now()).values("pk"))
        .select_related("benchmark")
        .defer("benchmark__result")
        .order_by("-at", "-pk")
        .first()
    )
    if newer is not None:
        # Else the older figure would come back in force without a word.
        found.append(
            f"A newer figure, {newer.requests_per_s:,.1f} requests a second by {newer.source}, counts no more, so this one from "
            f"{figure.at:%Y-%m-%d} does again."
        )
    software = None if kept is None else kept.software
    found += came_after(connection, balancer_id, figure, since, software, promised)
    return found


def _kept_as(
    connection: CloudConnection, balancer_id: str, figure: Figure
) -> tuple[Ceiling | None, datetime]:
    """Return the row of a figure in force, and when it was measured, else entered. One query."""
    rows = Ceiling.objects.filter(connection=connection, balancer_id=balancer_id, at=figure.at)
    kept = rows.select_related("benchmark").order_by("-pk").first()
    run = kept.benchmark if kept is not None else None
    return kept, (
        run.ran_at if run is not None else kept.measured_at if kept is not None else None
    ) or figure.at


def doubts_of(
    connection: CloudConnection, balancer_id: str, known: CeilingKnown
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what speaks against the figure in force, and what beside that against the one that would be let count."""
    in_force = tuple(says for one in known.counting for says in doubts_about(connection, balancer_id, one))
    taken = known.ranked.taken
    if taken is None:
        return in_force, ()
    after = came_after(connection, balancer_id, taken, taken.at, taken.software, known.promised)
    return in_force, tuple(says for says in after if says not in in_force)


def _seen_less(live: Sequence[ceiling.Evidence], figure: Figure, since: datetime) -> list[str]:
    """Return that what was seen live does not say a figure any more, by what is known and promised now; [] where it does."""
    best = max(live, key=lambda one: (not one.unproven, one.requests_per_s), default=None)
    if best is None:
        return [
            f"Nothing says any more that one server carried this on {since:%Y-%m-%d} and kept what is promised: its event was "
            "called off or is two years ago, its samples are others, or the promise is."
        ]
    if best.unproven:
        return [f"What was seen live on {since:%Y-%m-%d} proves nothing any more. {best.unproven}"]
    if best.requests_per_s < LESS * figure.requests_per_s:
        return [
            f"By what is known now of {since:%Y-%m-%d} one server carried {best.requests_per_s:,.1f} requests a second."
        ]
    return []


def came_after(
    connection: CloudConnection,
    balancer_id: str,
    figure: Figure | ceiling.Evidence,
    since: datetime,
    software: str | None,
    promised: ceiling.Promised,
) -> list[str]:
    """Return what came since a ceiling was measured and speaks against it. Three queries.

    The newest step benchmark of each mix, where it carried less, and a change of the software: a ceiling belongs to its version.
    """
    of_size = Q(flavor="") | Q(flavor__iexact=figure.flavor) if figure.flavor else Q()
    # Whatever is no run by steps of this size says nothing here, however many come after one that does; nor does one of
    # another mix say that what was carried with this one is more by now.
    later = Benchmark.objects.filter(
        of_size, connection=connection, balancer_id=balancer_id, ran_at__gt=since, node_count__gt=0
    )
    found: list[str] = []
    told: set[str] = set()
    for row in by_steps(later, promised):
        if row.mix in told:
            continue
        one = read_of(row, promised).says
        if one is None or one.invalid or one.rank is not ceiling.Rank.STEPS:
            continue
        if one.passed_nothing:
            found.append(
                f"{row.title}, {one.at:%Y-%m-%d}, kept what is promised under no load. {one.passed_nothing}"
            )
        elif one.is_least and one.requests_per_s < figure.requests_per_s:
            # It was not pushed as far: that speaks against nothing.
            continue
        elif one.requests_per_s < LESS * figure.requests_per_s:
            found.append(
                f"{row.title}, {one.at:%Y-%m-%d}: one server carried {one.requests_per_s:,.1f} requests a second."
            )
        told.add(row.mix)
    marker = (
        Marker.objects.filter(
            Q(connection=connection, balancer_id=balancer_id) | Q(connection=None),
            account=connection.account_id,
            at__gt=since,
        )
        .exclude(kind=MarkerKind.OTHER)
        .order_by("-at", "-pk")
        .first()
    )
    if marker is not None and (not marker.software or software is None or marker.software != software):
        found.append(
            f"{marker.software or marker.title} came on {marker.at:%Y-%m-%d}; what one server carries was measured before."
        )
    elif software:
        after = Benchmark.objects.filter(
            connection=connection, balancer_id=balancer_id, ran_at__gt=since, set_aside_at__isnull=True
        ).exclude(Q(software="") | Q(software__iexact=software))
        newest = after.order_by("-ran_at", "-pk").values_list("software", "ran_at").first()
        if newest is not None:
            found.append(
                f"{newest[0]} was benchmarked on {newest[1]:%Y-%m-%d}; what one server carries was measured with {software}."
            )
    return found
