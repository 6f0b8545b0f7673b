"""What a benchmark or a stretch of series says of a site, as measurements and as steps; and a baseline's content. Pure.

A run of steps is one measurement a step, so that a baseline and a newer run meet at the same load of a server.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from capacity import ceiling
from capacity.comparing import (
    KIND_OF,
    Environment,
    Figure,
    LoadKind,
    LoadOf,
    Measurement,
    Tolerance,
)
from capacity.importers.types import POINT_PERCENTS, POINT_SHARES, Format, settled
from capacity.stats import percentile_of_all
from portal.ui.charts import number

FORMAT = 1
LATENCIES = {0.5: "p50_ms", 0.95: "p95_ms", 0.99: "p99_ms"}
FEWEST_STEPS = 3
"""A step benchmark has at least three loads; below, it is a simple one."""
MOST_STRETCHES = 60
MOST_FAILED = 0.05
"""Without an objective a run in which more failed is a failed run."""


@dataclass(frozen=True)
class Ran:
    """What people said of a run: where it ran, what the load generator was, whether it counts."""

    environment: Environment
    at: datetime | None
    set_aside_because: str = ""
    is_set_aside: bool = False
    was_aborted: bool = False
    generator_cpu: float | None = None
    generator_addresses: int | None = None
    tied_to_address: bool | None = None


def invalid_because(result: Mapping[str, Any], ran: Ran) -> str:
    """Return why a run proves nothing, "" where nothing speaks against it."""
    if ran.is_set_aside:
        return f"It was set aside: {ran.set_aside_because}"
    if ran.was_aborted:
        return "It was stopped before its end."
    if result.get("invalid"):
        return str(result["invalid"])
    errors = [(str(one.get("kind", "")), one.get("count")) for one in result.get("errors") or ()]
    return ceiling.generator_was_the_limit(
        errors,
        cpu_share=ran.generator_cpu,
        addresses=ran.generator_addresses,
        is_tied_to_address=ran.tied_to_address,
    )


@dataclass(frozen=True)
class Stretch:
    """A part of a run under one load, or the whole run (`users` None where they are not told).

    `asked_per_s` is the rate that was set for it, in all: of requests that come at a rate that goes by steps.
    """

    users: int | None
    points: tuple[Mapping[str, Any], ...]
    requests: int | None
    failures: int | None
    requests_per_s: float | None
    latencies: Mapping[str, float]
    asked_per_s: float | None = None
    length_s: float | None = None


EVERY = tuple(LATENCIES.values())


def stretches_of(result: Mapping[str, Any], keys: Collection[str] = EVERY) -> tuple[Stretch, ...]:
    """Return the steps of a run, or the whole run as one stretch where it has fewer than two loads.

    Their latencies are those of `keys`: each costs time where it is put together from many points.
    """
    steps: Sequence[Mapping[str, Any]] = result.get("steps") or ()
    points: Sequence[Mapping[str, Any]] = result.get("points") or ()
    if len({(one["users"], one.get("asked_per_s")) for one in steps}) >= 2:
        found = []
        for one in steps:
            ends = one["offset_s"] + one["length_s"]
            of = [each for each in points if one["offset_s"] <= each["offset_s"] < ends]
            found.append(_step(one, of, keys))
        return tuple(found)
    whole = {
        f"p{each['percent']:g}_ms": float(each["ms"])
        for each in (result.get("latency") or {}).get("percentiles") or ()
        if each["percent"] in (50, 95, 99)
    }
    return (
        Stretch(
            result.get("users"),
            tuple(points),
            result.get("requests"),
            result.get("failures"),
            result.get("requests_per_s"),
            {**_latencies(points, [key for key in keys if key not in whole]), **whole},
        ),
    )


def _step(step: Mapping[str, Any], points: Sequence[Mapping[str, Any]], keys: Collection[str]) -> Stretch:
    steady = settled(points, [one["length_s"] for one in points])
    counted = _counted(step, steady)
    return Stretch(
        step["users"],
        tuple(steady),
        step.get("requests"),
        step.get("failures"),
        _rate(step, steady),
        # What was counted of each request is right whatever the answers are like; benchmarks from before have none of it.
        {**_latencies(steady, [key for key in keys if key not in counted]), **counted},
        step.get("asked_per_s"),
        step.get("length_s"),
    )


def _rate(step: Mapping[str, Any], steady: Sequence[Mapping[str, Any]]) -> float | None:
    """Return what was answered over all of these points: a site that hung for a part of them did not carry the rest throughout."""
    told = [each["requests"] for each in steady if each.get("requests") is not None]
    lasted = sum(each["length_s"] for each in steady)
    if not lasted or len(told) < len(steady):
        rate: float | None = step.get("requests_per_s")
        return rate
    return sum(told) / lasted


def _counted(step: Mapping[str, Any], steady: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    told = sum(one.get("p95_ms") is not None for one in steady)
    found = {key: step.get(f"settled_{key}") for key in LATENCIES.values()}
    # A step of which half of the points had no answer tells no percentile.
    return {key: value for key, value in found.items() if value is not None and told * 2 > len(steady)}


def _latencies(points: Iterable[Mapping[str, Any]], keys: Iterable[str]) -> dict[str, float]:
    listed = list(points)
    found = {}
    for key in keys:
        told = [one for one in listed if one.get(key) is not None]
        # A percentile that half of the points do not tell is not told.
        if told and len(told) * 2 > len(listed):
            found[key] = latency_of(told, key)
    return found


def latency_of(points: Sequence[Mapping[str, Any]], key: str) -> float:
    """Return one percentile of all requests of these points, each of which tells its own: `stats.percentile_of_all`."""
    known = [[one.get(name) for name in POINT_PERCENTS] for one in points]
    share = POINT_PERCENTS[key] / 100.0
    return percentile_of_all(known, POINT_SHARES, share, weights_of(points))


def weights_of(points: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return how many requests each point stands for, or how many a second; alike where that is not told of one."""
    for name in ("requests", "requests_per_s"):
        told = [float(one[name]) for one in points if one.get(name) is not None]
        if len(told) == len(points) and sum(told) > 0.0:
            return told
    return [1.0] * len(points)


def measurements_of(result: Mapping[str, Any], ran: Ran) -> tuple[Measurement, ...]:
    """Return what a run measured, one for each load, the lowest first."""
    invalid = invalid_because(result, ran)
    found = [_measured(one, result, ran, invalid) for one in stretches_of(result)]
    return tuple(sorted(found, key=lambda one: one.load.per_node if one.load else 0.0))


def _measured(stretch: Stretch, result: Mapping[str, Any], ran: Ran, invalid: str) -> Measurement:
    nodes = ran.environment.node_count
    figures = []
    if stretch.requests_per_s is not None and nodes:
        rates = [one.get("requests_per_s") for one in stretch.points]
        figures.append(
            Figure("requests_per_s_per_node", stretch.requests_per_s / nodes, few(rates, 1.0 / nodes))
        )
    figures += [
        Figure(key, value, few([one.get(key) for one in stretch.points]))
        for key, value in stretch.latencies.items()
    ]
    if stretch.failures is not None and stretch.requests:
        share = stretch.failures / stretch.requests
        figures.append(Figure("error_ratio", share, (), stretch.failures, stretch.requests))
    return Measurement(ran.at, ran.environment, _load(stretch, result, nodes), tuple(figures), invalid)


def _load(stretch: Stretch, result: Mapping[str, Any], nodes: int | None) -> LoadOf | None:
    if not nodes:
        return None
    if result.get("load") == "open":
        rate = stretch.asked_per_s or result.get("asked_per_s") or stretch.requests_per_s
        return None if not rate else LoadOf(LoadKind.OPEN, rate / nodes)
    return None if not stretch.users else LoadOf(LoadKind.CLOSED, stretch.users / nodes)


def few(values: Sequence[float | None], factor: float = 1.0) -> tuple[float, ...]:
    """Return the values that are told, means of neighbours where there are more than 60: they are kept with the baseline."""
    told = [float(one) * factor for one in values if one is not None]
    if len(told) <= MOST_STRETCHES:
        return tuple(told)
    size = -(-len(told) // MOST_STRETCHES)
    return tuple(statistics.fmean(told[at : at + size]) for at in range(0, len(told), size))


def nearest(found: Sequence[Measurement], load: LoadOf | None) -> Measurement | None:
    """Return the measurement whose load lies nearest to `load`; of runs without a load the first. None of none."""
    if not found:
        return None
    if load is None:
        return found[0]
    alike = [one for one in found if one.load is not None and one.load.kind is load.kind]
    return min(alike or found, key=lambda one: abs((one.load.per_node if one.load else 0.0) - load.per_node))


# --- the ceiling -------------------------------------------------------------------------------------------------


def steps_of(result: Mapping[str, Any], promised: ceiling.Promised) -> tuple[ceiling.Step, ...]:
    """Return the loads of a run as steps, with the latency that the objective speaks of (None: not told)."""
    key = LATENCIES.get(promised.latency_share, "")
    steps = (
        ceiling.Step(
            one.users,
            one.requests_per_s or 0.0,
            one.latencies.get(key),
            one.failures / one.requests if one.failures is not None and one.requests else None,
            one.asked_per_s,
            ceiling.why_thin(one.length_s, one.requests, promised, one.asked_per_s),
        )
        for one in stretches_of(result, (key,) if key else ())
    )
    # A site that hangs answers nothing for most of a step: its rate is none, and it failed all the same.
    return tuple(one for one in steps if one.requests_per_s or ceiling.exceeds(one, promised))


def counting(
    result: Mapping[str, Any], ran: Ran, promised: ceiling.Promised
) -> tuple[ceiling.Rank, tuple[ceiling.Step, ...]]:
    """Return how strong a run is, and those of its steps that count.

    Three loads make steps, each of a minute and with enough requests, with a mix that is one; everything else is a simple
    benchmark, which says what it can. A step that is known to fail ends it however short it is: thin ones only cannot pass.
    """
    steps = steps_of(result, promised)
    loads = {(one.users, one.asked_per_s) for one in steps if not one.thin}
    if len(loads) < FEWEST_STEPS or _why_no_mix(result, ran):
        return ceiling.Rank.SIMPLE, steps
    counts = tuple(one for one in steps if not one.thin or ceiling.exceeds(one, promised))
    return ceiling.Rank.STEPS, counts


def rank_of(result: Mapping[str, Any], ran: Ran, promised: ceiling.Promised | None = None) -> ceiling.Rank:
    """Return how strong a run is."""
    return counting(result, ran, promised or ceiling.Promised())[0]


def evidence_of(
    result: Mapping[str, Any],
    ran: Ran,
    promised: ceiling.Promised,
    *,
    source: str,
    ref: str,
    counted: tuple[ceiling.Rank, tuple[ceiling.Step, ...]] | None = None,
) -> ceiling.Evidence | None:
    """Return what a run says of a ceiling; None where it says nothing (no servers, no time, nothing promised or told).

    `counted` is what `counting` returns of it, where that is known.
    """
    nodes = ran.environment.node_count
    rank, steps = counted or counting(result, ran, promised)
    found = ceiling.highest_passing(steps, promised)
    if not nodes or ran.at is None:
        return None
    passed_nothing = ""
    if found.step is None:
        if found.fails_at is None or not ceiling.exceeds(found.fails_at, promised):
            return None
        each = found.fails_at.requests_per_s / nodes
        passed_nothing = f"Already at {each:,.1f} requests a second on each server: {found.why}"
    return ceiling.Evidence(
        rank,
        found.step.requests_per_s / nodes if found.step else 0.0,
        ran.at,
        source,
        ref,
        ran.environment.flavor,
        ran.environment.software,
        ran.environment.mix,
        is_least=found.fails_at is None,
        invalid=invalid_because(result, ran),
        passed_nothing=passed_nothing,
        unproven="" if rank is ceiling.Rank.STEPS else _why_simple(steps, _why_no_mix(result, ran)),
    )


def _why_no_mix(result: Mapping[str, Any], ran: Ran) -> str:
    """Return why a run did not ask as visitors do, as far as is known, "" where nothing speaks against it.

    The mix of a file is what people say of it, that of a load of the portal's own its profile: one address is none.
    """
    if not ran.environment.mix:
        return "What was asked for, its mix, is not said."
    is_own = (result.get("provenance") or {}).get("format") == Format.PORTAL
    parts = result.get("parts") or ()
    read = {one["name"] for one in parts if one.get("method") != "HEAD"}
    # Whoever asks for the head of a page that is read asks for that page.
    pages = [one for one in parts if one.get("method") != "HEAD" or one["name"] not in read]
    if is_own and len(pages) < 2:
        return "It asked for one address alone: what visitors ask for is a mix of two or more."
    return ""


def _why_simple(steps: Sequence[ceiling.Step], no_mix: str) -> str:
    """Return what a run with three loads or more lacks to be one by steps, "" of one with fewer."""
    if len({(one.users, one.asked_per_s) for one in steps}) < FEWEST_STEPS:
        return ""
    thin = next((one.thin for one in steps if one.thin), "")
    return no_mix or thin


def why_failed(measured: Measurement, result: Mapping[str, Any], promised: ceiling.Promised) -> str:
    """Return why a run cannot become a baseline, "" where it can. A failed run never does."""
    if measured.invalid:
        return measured.invalid
    missed = [one["expression"] for one in result.get("thresholds") or () if not one.get("held")]
    if missed:
        return f"A condition of its script was missed: {missed[0]}."
    sent, load = measured.figure("requests_per_s_per_node"), measured.load
    asked = load.per_node if load is not None and load.kind is LoadKind.OPEN else 0.0
    if sent is not None and sent.value < ceiling.WELL_UNDER * asked:
        # Held against the load that was asked for, every run that keeps it would be worse.
        return f"Of {number(asked)} requests a second that were asked of one server, {number(sent.value)} were sent."
    failed = measured.figure("error_ratio")
    most = MOST_FAILED if promised.error_ratio is None else promised.error_ratio
    if failed is not None and failed.value > most:
        return f"{failed.value:.2%} of its requests failed; {most:.2%} may."
    key = LATENCIES.get(promised.latency_share, "")
    slow = measured.figure(key)
    if promised.latency_ms is not None and slow is not None and slow.value > promised.latency_ms:
        return f"{KIND_OF[key].label} {slow.value:.0f} ms; {promised.latency_ms:.0f} ms are promised."
    if not any(one.key != "requests_per_s_per_node" for one in measured.figures):
        return "It tells neither a latency nor how many requests failed."
    return ""


# --- a baseline's content ----------------------------------------------------------------------------------------


def to_plain(measured: Measurement, tolerances: Sequence[Tolerance]) -> dict[str, Any]:
    """Return a measurement with its tolerances as JSON takes it."""
    agreed = {one.key: one for one in tolerances}
    load = measured.load
    return {
        "at": measured.at.isoformat() if measured.at else None,
        "environment": {
            "node_count": measured.environment.node_count,
            "flavor": measured.environment.flavor,
            "software": measured.environment.software,
            "mix": measured.environment.mix,
        },
        "load": None if load is None else {"kind": load.kind.value, "per_node": load.per_node},
        "figures": [
            {
                "key": one.key,
                "value": one.value,
                "low": one.spread[0] if one.spread else None,
                "high": one.spread[1] if one.spread else None,
                "stretches": list(one.stretches),
                "count": one.count,
                "of": one.of,
                "tolerance": agreed[one.key].ratio,
                "floor": agreed[one.key].floor,
                "learnt_from": agreed[one.key].learnt_from,
            }
            for one in measured.figures
        ],
    }


def from_plain(plain: Mapping[str, Any]) -> tuple[Measurement, tuple[Tolerance, ...]]:
    """Return the measurement and its tolerances, as `to_plain` wrote them."""
    load, where = plain["load"], plain["environment"]
    figures, tolerances = [], []
    for one in plain["figures"]:
        figures.append(Figure(one["key"], one["value"], tuple(one["stretches"]), one["count"], one["of"]))
        tolerances.append(Tolerance(one["key"], one["tolerance"], one["floor"], one["learnt_from"]))
    measured = Measurement(
        datetime.fromisoformat(plain["at"]) if plain["at"] else None,
        Environment(where["node_count"], where["flavor"], where["software"], where["mix"]),
        None if load is None else LoadOf(LoadKind(load["kind"]), load["per_node"]),
        tuple(figures),
    )
    return measured, tuple(tolerances)


def digest_of(plain: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what is approved, over its one spelling as JSON."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
