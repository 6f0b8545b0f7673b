"""What speaks for a ceiling: runs, what was seen live, which mix of requests counts, the pool’s own limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import Lower, RowNumber
from django.utils import timezone

from accounts.models import CloudConnection
from capacity import ceiling
from capacity.baselines import evidence, seen_live
from capacity.baselines.compared import ran
from capacity.baselines.models import PoolLimit
from capacity.benchmarks.models import Benchmark
from capacity.models import Ceiling, FineLoad, Objective, TrafficEvent
from capacity.reference import Figure, Site, Sizes, counting_ceilings, sizes_of
from capacity.reports.models import SizedPool
from capacity.versions import version_of

MOST_EVIDENCE = 40
NEWEST_BY_STEPS = 10
"""Of each mix and size,"""
OLDEST_BY_STEPS = 60
"""and back to one of so many that proves where it ends."""
MOST_BY_STEPS = 300
MOST_MIXES = 20


def promised_of(connection: CloudConnection | None, balancer_id: str) -> ceiling.Promised:
    """Return what a pool's site promises now; nothing where nobody entered it."""
    row = None
    if connection is not None:
        row = (
            Objective.objects.filter(connection=connection, balancer_id=balancer_id)
            .order_by("-at", "-pk")
            .first()
        )
    if row is None:
        return ceiling.Promised()
    return ceiling.Promised(row.error_ratio, row.latency_ms, row.latency_share)


def runs_of(
    connection: CloudConnection, balancer_id: str, promised: ceiling.Promised, *, flavor: str = ""
) -> list[Benchmark]:
    """Return the newest benchmarks of a pool whose servers and time are said, the newest first; of one size if given.

    Runs by steps of each mix and size are among them however many others came since. Two queries.
    """
    rows = Benchmark.objects.filter(connection=connection, balancer_id=balancer_id).exclude(
        Q(ran_at=None) | Q(node_count=None)
    )
    if flavor:
        rows = rows.filter(flavor__iexact=flavor)
    newest = rows.order_by("-ran_at", "-pk").values("pk")[:MOST_EVIDENCE]
    # What is in force stands against more of another mix, however much came after it.
    counts = counting_ceilings(timezone.now()).filter(connection=connection, balancer_id=balancer_id)
    in_force = counts.exclude(benchmark=None).order_by("-at", "-pk").values("benchmark")[:NEWEST_BY_STEPS]
    found = {one.pk: one for one in rows.filter(Q(pk__in=newest) | Q(pk__in=in_force))}
    found |= {one.pk: one for one in by_steps(rows, promised)}
    return _newest_first(found.values())


def _newest_first(runs: Iterable[Benchmark]) -> list[Benchmark]:
    dated = [(one.ran_at, one.pk, one) for one in runs if one.ran_at is not None]
    return [one for _, _, one in sorted(dated, key=lambda each: each[:2], reverse=True)]


def by_steps(rows: QuerySet[Benchmark], promised: ceiling.Promised) -> list[Benchmark]:
    """Return those of a pool's benchmarks that may be runs by steps: the newest of each mix and size, the newest first. One query.

    What is set aside or was broken off says nothing, so that it takes no other one's place. Where none of the newest proves where
    it ends, older ones are among them back to one that does: it stands against what was never pushed that far.
    """
    may_be = rows.filter(
        set_aside_at__isnull=True, was_aborted=False, long_steps__gte=evidence.FEWEST_STEPS
    ).exclude(mix="")
    each: list[Any] = [F("mix"), F("size")]
    numbered = may_be.annotate(size=Lower("flavor")).annotate(
        newer=Window(RowNumber(), partition_by=each, order_by=("-ran_at", "-pk"))
    )
    read = numbered.filter(newer__lte=OLDEST_BY_STEPS).order_by("newer", "-ran_at", "-pk")[:MOST_BY_STEPS]
    of_group: dict[tuple[str, str], list[Benchmark]] = {}
    for run in read:
        of_group.setdefault((run.mix, run.flavor.lower()), []).append(run)
    found: list[Benchmark] = []
    for of in of_group.values():
        first, older = of[:NEWEST_BY_STEPS], of[NEWEST_BY_STEPS:]
        known = any(_is_known(one, promised) for one in first)
        found += first
        for one in older if not known else ():
            found.append(one)
            if _is_known(one, promised):
                break
    return _newest_first(found)


@dataclass(frozen=True)
class Read:
    """A benchmark as it speaks for a ceiling: how strong, by which steps, and what it says; None where it says nothing."""

    rank: ceiling.Rank
    steps: tuple[ceiling.Step, ...]
    says: ceiling.Evidence | None


def read_of(run: Benchmark, promised: ceiling.Promised) -> Read:
    """Return how a run speaks for a ceiling. Worked out once for each row in hand: it takes milliseconds, and is asked again and again."""
    kept: dict[ceiling.Promised, Read] = run.__dict__.setdefault("_read_by_promise", {})
    if promised not in kept:
        counted = evidence.counting(run.result, ran(run), promised)
        source = run.title if run.ran_at is None else f"{run.title}, {run.ran_at:%Y-%m-%d}"
        says = evidence.evidence_of(
            run.result, ran(run), promised, source=source, ref=str(run.ref), counted=counted
        )
        kept[promised] = Read(*counted, says)
    return kept[promised]


def _is_known(run: Benchmark, promised: ceiling.Promised) -> bool:
    """Whether a run says where it ends: what is older says no more of its mix."""
    one = read_of(run, promised).says
    return one is not None and not one.invalid and one.rank is ceiling.Rank.STEPS and not one.is_least


def sized_pool_of(connection: CloudConnection, balancer_id: str) -> SizedPool | None:
    """Return how a pool is sized, None where it is not. One query."""
    rows = SizedPool.objects.filter(connection=connection, balancer_id=balancer_id).select_related("metric")
    return rows.first()


def evidence_of(
    connection: CloudConnection,
    balancer_id: str,
    runs: Sequence[Benchmark],
    promised: ceiling.Promised,
    pool: SizedPool | None,
) -> list[ceiling.Evidence]:
    """Return all that speaks for a pool's ceiling: its benchmarks, what was measured at events, and loads that people typed as fine."""
    found = [one for row in runs if (one := read_of(row, promised).says) is not None]
    live = seen_at_events(connection, balancer_id, promised, pool)
    return found + [seen_live.of_size_then(one, pool) for one in live]


def seen_at_events(
    connection: CloudConnection,
    balancer_id: str,
    promised: ceiling.Promised,
    pool: SizedPool | None,
    *,
    at: datetime | None = None,
) -> list[ceiling.Evidence]:
    """Return what was measured at events and what people typed as fine at one, of the software of then; of no size yet.

    With `at`, at the events that were on at that moment. Five queries.
    """
    now = timezone.now()
    events = TrafficEvent.objects.filter(account=connection.account_id, starts_at__lte=now)
    typed = FineLoad.objects.filter(connection=connection, balancer_id=balancer_id)
    if at is not None:
        events, typed = events.filter(starts_at__lte=at, ends_at__gte=at), typed.filter(seen_at=at)
    on = list(seen_live.with_hours(events, pool).order_by("-starts_at")[: seen_live.MOST_EVENTS])
    live = [one for one, _ in seen_live.measured_at_events(on, pool, promised, now)]
    for fine in typed.order_by("-at")[:MOST_EVIDENCE]:
        event = next((one for one in on if one.starts_at <= fine.seen_at <= one.ends_at), None)
        if event is not None:
            live.append(
                ceiling.Evidence(
                    ceiling.Rank.LIVE,
                    fine.requests_per_s,
                    fine.seen_at,
                    f"typed as a load that was fine at {event.name[:100]}, {fine.seen_at:%Y-%m-%d} ({fine.source})",
                    str(fine.ref),
                    "",
                    "",
                    "",
                    is_least=True,
                )
            )
    if not live:
        return []
    versions = seen_live.Versions(connection, balancer_id)
    return [replace(one, software=versions.at(one.at)) for one in live]


def _speaking(runs: Sequence[Benchmark], flavor: str, promised: ceiling.Promised) -> Benchmark | None:
    """Return the run whose size, software and mix are those that a ceiling is asked for: the newest by steps.

    Of the size that the pool's servers have where that is known, and of the newest software. A quick run of another mix in
    between, or one that proves nothing, does not hide it; nor does one of another mix that was never pushed to where it fails
    and carried less.
    """
    sound = [one for one in runs if not evidence.invalid_because(one.result, ran(one))]
    of_size = [one for one in sound if not flavor or one.flavor.lower() in ("", flavor.lower())]
    newest = next((one for one in of_size if one.software), None)
    bound: tuple[Benchmark, float] | None = None
    for one in of_size:
        is_newest = newest is None or one.software in ("", newest.software)
        if not is_newest or read_of(one, promised).rank is not ceiling.Rank.STEPS:
            continue
        says = read_of(one, promised).says
        if bound is None:
            if says is None or not says.is_least:
                return one
            bound = (one, says.requests_per_s)
        elif says is not None and not says.is_least:
            return one if says.requests_per_s > bound[1] else bound[0]
    if bound is not None:
        return bound[0]
    # What a size that nobody has carries says nothing of the servers in service.
    return next(iter(of_size if flavor else sound), None)


def ranked_of(
    connection: CloudConnection, balancer_id: str, *, mix: str = "", size: str = ""
) -> ceiling.Ranked:
    """Return what speaks for a pool's ceiling, for the software of `_speaking` and the size as which it is sized.

    `mix` is the one that somebody chooses now; without it, see `_of_mixes`. `size` is another size of its servers.
    """
    promised = promised_of(connection, balancer_id)
    runs = runs_of(connection, balancer_id, promised)
    pool = sized_pool_of(connection, balancer_id)
    size = size or ("" if pool is None else pool.flavor)
    found = evidence_of(connection, balancer_id, runs, promised, pool)
    speaks = _speaking(runs, size, promised)
    if mix:
        if _is_broken(found, speaks):
            return _ranked(found, runs, speaks, size)
        return _of_mix(found, runs, speaks, size, mix, promised)
    return _of_mixes(found, runs, speaks, size, chosen_of(connection, balancer_id, size), promised)[0]


def _is_broken(found: Sequence[ceiling.Evidence], speaks: Benchmark | None) -> bool:
    """Whether the run that speaks kept the promise under no load: that says it of the site, whatever was asked for before."""
    return speaks is not None and any(one.passed_nothing for one in found if one.ref == str(speaks.ref))


def _of_mix(
    found: Sequence[ceiling.Evidence],
    runs: Sequence[Benchmark],
    speaks: Benchmark | None,
    size: str,
    mix: str,
    promised: ceiling.Promised,
) -> ceiling.Ranked:
    """Return what speaks for the ceiling of one mix, of the newest software that it was measured with by steps."""
    steps = {one.ref for one in found if one.rank is ceiling.Rank.STEPS and one.mix == mix}
    with_it = _speaking([one for one in runs if str(one.ref) in steps], size, promised)
    return _ranked(found, runs, with_it or speaks, size, mix)


def chosen_of(connection: CloudConnection, balancer_id: str, size: str = "") -> tuple[str, datetime | None]:
    """Return the mix of requests that somebody chose last for the servers of a size, and when; "" for none. One query.

    Who chose one for another size did not see what that means for this one.
    """
    rows = Ceiling.objects.filter(connection=connection, balancer_id=balancer_id).exclude(chosen_mix="")
    if size:
        rows = rows.filter(Q(flavor="") | Q(flavor__iexact=size))
    found = rows.order_by("-at", "-pk").values_list("chosen_mix", "at").first()
    return found or ("", None)


def _of_mixes(
    found: Sequence[ceiling.Evidence],
    runs: Sequence[Benchmark],
    speaks: Benchmark | None,
    size: str,
    chosen: tuple[str, datetime | None],
    promised: ceiling.Promised,
) -> tuple[ceiling.Ranked, ceiling.Ranked | None]:
    """Return what speaks for a pool's ceiling, and what would where a person chooses the mix that was measured last.

    Of the mix that a person chose and of all that were handed in since, the one counts that carried the least; of all there are
    where nobody chose. A page from the cache costs less than an order, and a server carries more of them.
    """
    newest = _ranked(found, runs, speaks, size)
    if newest.taken is None or speaks is None:
        return newest, None
    mix, since = chosen
    came = {str(one.ref) for one in runs if since is None or one.taken_in_at > since}
    by_mix = {
        one: 0.0 if said is None else said.requests_per_s
        for one, said in ceiling.carried_by_mix(
            [one for one in found if one.mix == mix or one.ref in came], size
        ).items()
        # One that was not pushed to where it fails speaks against nothing that is known.
        if not mix or one == mix or said is None or not said.is_least
    }
    # Where nothing of the chosen one counts any more, nobody chose what is left.
    is_left = mix in by_mix or not mix
    least = min(by_mix, key=lambda one: (by_mix[one], one != speaks.mix), default=speaks.mix)
    kept = least if is_left else mix
    of_mix = _why_mix(kept, mix, len(by_mix))
    if kept == speaks.mix:
        return replace(newest, why=f"{newest.why}{of_mix}"), None
    ours = _of_mix(found, runs, speaks, size, kept, promised)
    lost = f"The mix “{mix}” was chosen, and no step benchmark of it counts any more: another one counts only where somebody chooses it."
    ours = replace(ours, why=f"{ours.why}{of_mix}" if is_left or ours.taken else lost)
    is_more = ours.taken is None or newest.taken.requests_per_s > ours.taken.requests_per_s
    return ours, newest if is_more else None


def _why_mix(kept: str, chosen: str, count: int) -> str:
    """Return why it is this mix of `count` that is asked about, as a further sentence; "" where there is no other one."""
    if count < 2:
        return ""
    if not chosen:
        return f" Nobody chose a mix of requests: of those that were measured, “{kept}” carried the least."
    if kept == chosen:
        return f" “{kept}” is the mix that was chosen."
    return f" Of the mix that was chosen, “{chosen}”, and those that were handed in since, “{kept}” carried the least."


def is_higher_of_another_mix(taken: ceiling.Evidence, replaced: Figure | None) -> bool:
    """Return whether more, carried of another mix, would take the place of a figure that is known."""
    if replaced is None or not taken.mix or replaced.mix == taken.mix:
        return False
    return taken.requests_per_s > replaced.requests_per_s


def _ranked(
    found: Sequence[ceiling.Evidence],
    runs: Sequence[Benchmark],
    of: Benchmark | None,
    size: str = "",
    mix: str = "",
) -> ceiling.Ranked:
    return ceiling.ranked(
        found,
        # A run that does not say its size does not speak for runs of another size than the pool's.
        not_flavors=frozenset(
            one.flavor.lower() for one in runs if size and one.flavor.lower() not in ("", size.lower())
        )
        if of is not None and not of.flavor
        else frozenset(),
        flavor=of.flavor if of else size,
        software=of.software if of else "",
        mix=mix or (of.mix if of else ""),
    )


@dataclass(frozen=True)
class OtherMix:
    """What would count where a person chooses its mix, and the version of that (`taken_version`)."""

    taken: ceiling.Evidence
    version: str


@dataclass(frozen=True)
class CeilingKnown:
    """What is known of a pool's ceiling: the evidence in order, the curve of the run that counts, the pool's own limit.

    `in_force` are the figures that plans and sizes are held against, by size of server: what was let count, or entered.
    `size` is the one that is looked at, `sizes` are those of the servers in service.
    `other` is what would speak for it where a person chooses the mix that was measured since, of which more was carried.
    """

    ranked: ceiling.Ranked
    promised: ceiling.Promised
    run: Benchmark | None
    steps: tuple[ceiling.Step, ...]
    passing: ceiling.Passing | None
    fit: ceiling.Fit | None
    why_no_fit: str
    latency: ceiling.LatencyCurve | None
    limits: tuple[PoolLimit, ...]
    shown_limit: ceiling.Carried | None
    in_force: tuple[Figure, ...]
    size: str = ""
    other: ceiling.Ranked | None = None
    sizes: tuple[str, ...] = ()
    other_mixes: tuple[OtherMix, ...] = ()
    """What else a person may choose."""

    @property
    def other_mix(self) -> ceiling.Evidence | None:
        """What was carried with another mix since, where it is more: it counts only if a person chooses it."""
        return None if self.other is None else self.other.taken

    @property
    def counting(self) -> tuple[Figure, ...]:
        """The figure in force for the servers that the pool is sized with: the newest of their size, or of any."""
        fit = (one for one in self.in_force if not self.size or one.flavor.lower() in ("", self.size.lower()))
        newest = max(fit, key=lambda one: one.at, default=None)
        return () if newest is None else (newest,)

    @property
    def replaced(self) -> Figure | None:
        """The figure that counts by now for the servers of which `ranked.taken` would; None for none, or where it is that one."""
        taken = self.ranked.taken
        found = None if taken is None else replaced_figure(self.in_force, taken, self.size)
        if found is None or taken is None:
            return None
        is_same = found.source == taken.source[:200] and found.requests_per_s == taken.requests_per_s
        return None if is_same else found

    @property
    def is_weaker(self) -> bool:
        """Whether what would be let count is a lower bound below a higher figure that is known."""
        taken = self.ranked.taken
        return taken is not None and is_weaker(taken, self.replaced)

    @property
    def own_limit(self) -> PoolLimit | None:
        """The least of the pool's own limits, which counts; None where nobody entered one."""
        return next(iter(self.limits), None)

    @property
    def version(self) -> str:
        """A text that is another one once the figures in force or the pool's own limits are others."""
        return version_of(
            limits_version(self.limits),
            Sizes(self.in_force).version,
            *(taken_version(one) for one in (self.ranked, self.other) if one is not None),
        )


def replaced_figure(in_force: Iterable[Figure], taken: ceiling.Evidence, size: str) -> Figure | None:
    """Return the figure in force for the servers that `taken` is of: those of its size, else those that the pool has."""
    of = (taken.flavor or size).lower()
    fit = (one for one in in_force if not of or one.flavor.lower() in ("", of))
    return max(fit, key=lambda one: one.at, default=None)


def is_weaker(taken: ceiling.Evidence, replaced: Figure | None) -> bool:
    """Return whether a lower bound would take the place of a figure that is known and no lower."""
    if replaced is None or replaced.is_least or not taken.is_least:
        return False
    return replaced.requests_per_s >= taken.requests_per_s


def taken_version(ranked: ceiling.Ranked) -> str:
    """Return a text that is another one once something else, or another figure of it, would be let count."""
    one = ranked.taken
    return version_of(
        "taken", *([] if one is None else [one.ref, f"{one.requests_per_s:.6g}", one.flavor, one.is_least])
    )


def ceiling_of(connection: CloudConnection, balancer_id: str, *, size: str = "") -> CeilingKnown:
    """Return what is known of a pool's ceiling, of a size of its servers: as a rule the one as which it is sized.

    Ten queries; of what was seen at events three more.
    """
    promised = promised_of(connection, balancer_id)
    runs = runs_of(connection, balancer_id, promised)
    pool = sized_pool_of(connection, balancer_id)
    sizes = () if pool is None else tuple(sorted(pool.sizes))
    size = size or ("" if pool is None else pool.flavor)
    speaks = _speaking(runs, size, promised)
    in_force = sizes_of(connection.account, Site(connection.ref, balancer_id), timezone.now()).ceilings
    chosen = chosen_of(connection, balancer_id, size)
    speaking = evidence_of(connection, balancer_id, runs, promised, pool)
    found, other = _of_mixes(speaking, runs, speaks, size, chosen, promised)
    run = next((one for one in runs if found.taken and str(one.ref) == found.taken.ref), None)
    if run is None and speaks is not None and read_of(speaks, promised).rank is ceiling.Rank.STEPS:
        run = speaks
    steps = read_of(run, promised).steps if run is not None else ()
    fit, why, latency = fitted(steps)
    carried = [
        ceiling.Carried(row.node_count or 0, max(one.requests_per_s for one in of))
        for row in runs
        # Orders by six servers and pages from the cache by four say nothing together.
        if run is not None and (row.mix, row.flavor.lower()) == (run.mix, run.flavor.lower())
        if not evidence.invalid_because(row.result, ran(row)) and (of := _steps_of(row, promised))
    ]
    return CeilingKnown(
        found,
        promised,
        run,
        steps,
        ceiling.highest_passing(steps, promised) if steps else None,
        fit,
        why,
        latency,
        limits_of(connection.pk, balancer_id),
        ceiling.pool_limit(carried),
        in_force,
        size,
        other,
        sizes,
        tuple(
            OtherMix(one.taken, taken_version(one))
            for mix in ([] if _is_broken(speaking, speaks) else _other_mixes(speaking, size, found, other))
            if (one := _of_mix(speaking, runs, speaks, size, mix, promised)).taken is not None
            and one.taken.mix == mix
        ),
    )


def _other_mixes(
    found: Sequence[ceiling.Evidence], size: str, ranked: ceiling.Ranked, other: ceiling.Ranked | None
) -> list[str]:
    """Return the mixes of which a step benchmark carried something, without the one that counts and the one that is offered."""
    shown = {one.taken.mix for one in (ranked, other) if one is not None and one.taken is not None}
    carried = ceiling.carried_by_mix(found, size)
    return sorted(mix for mix, one in carried.items() if one is not None and mix not in shown)[:MOST_MIXES]


def _steps_of(row: Benchmark, promised: ceiling.Promised) -> tuple[ceiling.Step, ...]:
    read = read_of(row, promised)
    return read.steps if read.rank is ceiling.Rank.STEPS else ()


def kept_for(
    connection: CloudConnection, balancer_id: str, taken: ceiling.Evidence, size: str
) -> ceiling.Evidence:
    """Return evidence as it is kept: with the size that was named, or looked at where the pool has several. One query, or none.

    A run that does not say its size would count for servers of the other sizes as well, of which nobody looked at anything.
    """
    if taken.flavor:
        return taken
    pool = None if size else sized_pool_of(connection, balancer_id)
    if pool is not None and len(pool.sizes) > 1:
        size = pool.flavor
    return replace(taken, flavor=size)


def limits_of(connection_pk: int, balancer_id: str) -> tuple[PoolLimit, ...]:
    """Return what was last entered of each kind of a pool's own limits, the least first; not what was taken back. One query."""
    rows = PoolLimit.objects.filter(connection=connection_pk, balancer_id=balancer_id)
    newest = rows.select_related("entered_by").order_by("kind", "-at", "-pk").distinct("kind")
    return tuple(
        sorted((one for one in newest if one.void_at is None), key=lambda one: (one.requests_per_s, one.kind))
    )


def limits_version(limits: Sequence[PoolLimit]) -> str:
    """Return a text that is another one once somebody entered or took back one of a pool's own limits."""
    return version_of("limits", *sorted(one.pk for one in limits))


def own_limit_of(connection_pk: int, balancer_id: str) -> PoolLimit | None:
    """Return what a pool carries at most however many servers it has; None where nobody entered anything. One query.

    The least of all kinds: a cache that carries more does not make the database's limit go away.
    """
    return next(iter(limits_of(connection_pk, balancer_id)), None)


def fitted(
    steps: Sequence[ceiling.Step],
) -> tuple[ceiling.Fit | None, str, ceiling.LatencyCurve | None]:
    """Return the curve through the steps, or the sentence why there is none; and the one of the latency."""
    known = [one for one in steps if one.users]
    found = ceiling.fit([float(one.users or 0) for one in known], [one.requests_per_s for one in known])
    if isinstance(found, str):
        return None, found, None
    told = [one for one in known if one.latency_ms is not None]
    latency = ceiling.latency_curve(
        found.curve, [float(one.users or 0) for one in told], [one.latency_ms or 0.0 for one in told]
    )
    return found, "", latency
