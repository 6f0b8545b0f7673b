"""What pages show of baselines and ceilings: values made ready, so that templates decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from accounts.facts import last_day
from accounts.models import Account
from capacity import ceiling, comparing
from capacity.baselines import ceilings, evidence, selectors, services, stretches
from capacity.baselines.compared import READ, ran, the_newest
from capacity.baselines.models import BaselineComparison, MeasuredBaseline
from capacity.benchmarks.models import Benchmark
from capacity.benchmarks.selectors import pools_of as known_pools
from portal.ui.charts import CurvePoint, Dot, Pair, curve_zoom, number

COMPARISONS_SHOWN = 20
POOLS_SHOWN = 25


@dataclass(frozen=True)
class Pool:
    """A pool of the account: its words, and the two parts of its address."""

    words: str
    connection_ref: UUID
    balancer_id: str


def pools_of(account: Account) -> list[Pool]:
    """Return the pools that anything is known of, by name. One query."""
    found = []
    for key, words in known_pools(account):
        ref, _, balancer_id = key.partition(":")
        found.append(Pool(words, UUID(ref), balancer_id))
    return found


def value_of(key: str, value: float | None) -> str:
    """Return one value of a figure with its unit; shares as percentages."""
    if value is None:
        return "unknown"
    kind = comparing.KIND_OF[key]
    if kind.unit == "share":
        return f"{number(value * 100, 2)} %"
    return f"{number(value, 0 if kind.unit == 'ms' and value >= 10 else 1)} {kind.unit}"


@dataclass(frozen=True)
class FigureShown:
    """One figure of a baseline, with its spread, and from when another value counts."""

    label: str
    value: str
    spread: str
    counts: str
    learnt: str


def figures_of(
    measured: comparing.Measurement, tolerances: Sequence[comparing.Tolerance]
) -> list[FigureShown]:
    """Return the figures of a measurement as rows."""
    agreed = {one.key: one for one in tolerances}
    found = []
    for figure in measured.figures:
        tolerance, spread = agreed[figure.key], figure.spread
        floor = value_of(figure.key, tolerance.floor).replace(" %", " points")
        found.append(
            FigureShown(
                comparing.KIND_OF[figure.key].label,
                value_of(figure.key, figure.value),
                ""
                if spread is None
                else f"{value_of(figure.key, spread[0])} to {value_of(figure.key, spread[1])}",
                f"{number(tolerance.ratio * 100)} % and {floor}",
                f"from {tolerance.learnt_from} runs" if tolerance.learnt_from else "",
            )
        )
    return found


def load_words(load: comparing.LoadOf | None) -> str:
    """Return a load of one server in words."""
    if load is None:
        return ""
    unit = "users" if load.kind is comparing.LoadKind.CLOSED else "requests a second"
    return f"{number(load.per_node)} {unit} on each server"


@dataclass(frozen=True)
class LoadShown:
    """One load of a benchmark that could become the baseline; `why_not` says why it cannot."""

    value: str
    words: str
    is_chosen: bool
    why_not: str


def loads_of(row: Benchmark, source: services.Source) -> list[LoadShown]:
    """Return the loads of a benchmark, for the choice of one; none where it has a single one."""
    loads = services.loads_of(row)
    if len(loads) < 2:
        return []
    promised = ceilings.promised_of(row.connection, row.balancer_id)
    return [
        LoadShown(
            f"{one.load.per_node:g}",
            load_words(one.load),
            one.load == source.measured.load,
            evidence.why_failed(one, row.result, promised),
        )
        for one in loads
        if one.load is not None
    ]


@dataclass(frozen=True)
class ComparedShown:
    """One figure of a comparison as a row."""

    label: str
    baseline: str
    newer: str
    change: str
    confidence: str
    verdict: str
    looks: str


@dataclass(frozen=True)
class MeasuredShown:
    """One later measurement, how it lies to the baseline, figure by figure."""

    row: BaselineComparison
    figures: list[ComparedShown]
    pairs: list[Pair]


def _sure(change: float, confidence: float | None) -> str:
    if change == 0:
        return "no difference"
    return "not known" if confidence is None else f"{number(min(confidence, 0.999) * 100)} %"


def _compared(row: BaselineComparison) -> MeasuredShown:
    figures, pairs = [], []
    for one in row.found["figures"]:
        key = one["key"]
        sign = "+" if one["change"] > 0 else "−" if one["change"] < 0 else "±"
        size = value_of(key, abs(one["change"])).replace(" %", " points")
        share = "" if one["ratio"] is None else f" ({sign}{number(abs(one['ratio']) * 100)} %)"
        confidence = one["confidence"]
        figures.append(
            ComparedShown(
                comparing.KIND_OF[key].label,
                value_of(key, one["baseline"]),
                value_of(key, one["newer"]),
                f"{sign}{size}{share}",
                _sure(one["change"], confidence),
                one["verdict"],
                one["looks"] if one["looks"] != one["verdict"] else "",
            )
        )
        if comparing.KIND_OF[key].unit == "ms":
            pairs.append(Pair(comparing.KIND_OF[key].label, one["baseline"], one["newer"]))
    return MeasuredShown(row, figures, pairs)


ALONG = "users on each server"


@dataclass(frozen=True)
class Drawn:
    """Throughput and latency against the users of one server, with the curves through them. Empty without steps.

    `share` says of how many requests the latency is: "95 of 100".
    """

    throughput: list[CurvePoint]
    throughput_dots: list[Dot]
    latency: list[CurvePoint]
    latency_dots: list[Dot]
    promised_ms: float | None
    share: str
    why_no_curve: str
    most: str
    is_beyond: bool

    @property
    def throughput_zoom(self) -> dict[str, Any]:
        """What the chart of the throughput zooms into."""
        return curve_zoom(self.throughput, self.throughput_dots, x_unit=ALONG, unit="req/s")

    @property
    def latency_zoom(self) -> dict[str, Any]:
        """What the chart of the latency zooms into."""
        return curve_zoom(self.latency, self.latency_dots, x_unit=ALONG, unit="ms", limit=self.promised_ms)


def drawn(
    steps: Sequence[ceiling.Step],
    fit: ceiling.Fit | None,
    latency: ceiling.LatencyCurve | None,
    nodes: int | None,
    promised: ceiling.Promised,
) -> Drawn | None:
    """Return what the charts of a step benchmark on `nodes` servers draw, of one server; None where there is nothing to draw."""
    with_users = [one for one in steps if one.users]
    if not nodes or len(with_users) < 2:
        return None
    curve: list[CurvePoint] = []
    slow: list[CurvePoint] = []
    most = ""
    if fit is not None:
        curve = [
            CurvePoint(one.users / nodes, one.middle / nodes, one.low / nodes, one.high / nodes)
            for one in fit.band
        ]
        low, high = fit.most_low / nodes, fit.most_high / nodes
        until = number(high) if high < float("inf") else "no end that the loads show"
        most = (
            f"{number(fit.curve.most / nodes)} req/s ({number(low)} to {until})"
            if fit.curve.most < float("inf")
            else ""
        )
        if latency is not None:
            slow = [CurvePoint(one.users / nodes, latency.at(fit.curve, one.users)) for one in fit.band]
    why_not = "" if fit is not None else ceilings.fitted(steps)[1]

    def tone(one: ceiling.Step) -> str:
        return "bad" if ceiling.why_it_fails(one, promised) else "1"

    return Drawn(
        curve,
        [Dot((one.users or 0) / nodes, one.requests_per_s / nodes, tone(one)) for one in with_users],
        slow,
        [
            Dot((one.users or 0) / nodes, one.latency_ms, tone(one))
            for one in with_users
            if one.latency_ms is not None
        ],
        promised.latency_ms,
        f"{number(promised.latency_share * 100)} of 100",
        why_not,
        most,
        bool(fit is not None and fit.is_beyond),
    )


@dataclass(frozen=True)
class Detail:
    """Everything that the page of one version shows beside its row."""

    measured: comparing.Measurement
    load: str
    figures: list[FigureShown]
    standing: selectors.Standing
    is_current: bool
    is_over: bool
    last_day: date
    changed_since: str
    compared: list[MeasuredShown]
    newest: MeasuredShown | None
    versions: list[Any]
    drawn: Drawn | None
    events: list[stretches.Overlap]
    replaced: selectors.Replaced | None
    invalid: str
    """Why its benchmark, which counts, proves nothing after what was said of it since; "" where it does."""
    why_none_later: str
    """Why no later stretch of series can be held against it; "" where one can."""


def detail_of(row: MeasuredBaseline, now: datetime) -> Detail:
    """Return what the page of one version shows."""
    measured, tolerances = evidence.from_plain(row.content["measured"])
    rows = selectors.comparisons().filter(baseline=row)
    # The newest of all, as people look for the one of today; and those that say how the site stands, however old.
    known = {one.pk: one for one in rows.order_by("-measured_at", "-pk")[:COMPARISONS_SHOWN]}
    known |= {one.pk: one for one in the_newest(rows)[:READ]}
    kept = sorted(known.values(), key=lambda one: (one.measured_at, one.pk), reverse=True)
    compared = [_compared(one) for one in kept]
    versions = list(
        MeasuredBaseline.objects.filter(connection=row.connection_id, balancer_id=row.balancer_id)
        .only("ref", "version", "status", "measured_at", "software", "balancer_id")
        .order_by("-version")[:COMPARISONS_SHOWN]
    )
    counting = next((one.pk for one in versions if one.status == "approved"), None)
    picture, invalid = None, ""
    if row.benchmark is not None:
        if row.benchmark.set_aside_at is None:
            invalid = evidence.invalid_because(row.benchmark.result, ran(row.benchmark))
        promised = ceilings.promised_of(row.connection, row.balancer_id)
        # The result is deferred: one query more, on this page alone.
        steps = evidence.steps_of(row.benchmark.result, promised)
        fit, _, latency = ceilings.fitted(steps)
        # By the servers that were approved, whatever is said of the benchmark since.
        picture = drawn(steps, fit, latency, measured.environment.node_count, promised)
    changed = selectors.changed_since([row]).get(row.pk, "")
    return Detail(
        measured,
        load_words(measured.load),
        figures_of(measured, tolerances),
        selectors.standing(kept),
        row.pk == counting,
        row.valid_until <= now,
        last_day(row.valid_until),
        changed,
        compared,
        next((one for one in compared if one.figures), None),
        versions,
        picture,
        [
            stretches.Overlap(
                one["name"],
                datetime.fromisoformat(one["starts_at"]),
                datetime.fromisoformat(one["ends_at"]),
            )
            for one in row.content["source"].get("events", ())
        ],
        selectors.replaced_of(row),
        invalid,
        ""
        if row.begins_at is None
        else stretches.why_none_later(
            row.account_id, row.resource, row.connection_id, row.balancer_id, row.begins_at
        ),
    )
