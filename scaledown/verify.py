"""Is traffic keeping up without this server? Pure: what was seen in a soak, held against the plan's limits.

Order of judgement (spec, *Is traffic keeping up?*): probes and their error ratio first, then the load that
each remaining node carries, then the balancer's own view. Errors, time-outs and missing data never pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from scaledown.progress import SoakWay
from scaledown.types import PlanData, Verdict

MIN_PROBES = 3
"""Fewer known answers than this tell nothing."""
MAX_UNKNOWN_SHARE = 1 / 3
SHARE_FOR_LOAD_EVIDENCE = 0.3
"""Under this share of the peak, load figures are no evidence (spec, *Is traffic keeping up?*)."""


@dataclass(frozen=True)
class Judgement:
    """A verdict with its numbers, and the same said to both readers."""

    verdict: Verdict
    says: str
    customer_says: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


def smallest_error_share_seen(looks: int) -> float | None:
    """Return the smallest share of failing requests that `looks` probes would show with 95 % certainty.

    That is the share p at which no failure in n looks has a chance of 5 %: 1 - 0.05^(1/n).
    """
    return None if looks <= 0 else 1 - 0.05 ** (1 / looks)


def share_of_peak(pool_rps: float | None, peak_rps: float | None) -> float | None:
    """Return present traffic as a share of the forecast peak; None where either is unknown."""
    if pool_rps is None or not peak_rps:
        return None
    return pool_rps / peak_rps


def numbers_of(soak: SoakWay, plan: PlanData, pool_rps: float | None, now: datetime) -> dict[str, Any]:
    """Return what the verdict rests on, for the journal and the report."""
    known = soak.probes_ok + soak.probes_failed
    share = share_of_peak(pool_rps, plan.forecast_peak_rps)
    guard = None if plan.ceiling_rps is None else plan.ceiling_rps * plan.guard_share
    return {
        "watched_s": round((now - soak.since).total_seconds() - soak.unwatched_s, 1),
        "probes_ok": soak.probes_ok,
        "probes_failed": soak.probes_failed,
        "probes_unknown": soak.probes_unknown,
        "failed_share": None if not known else round(soak.probes_failed / known, 4),
        "failed_share_allowed": plan.probe_failures_allowed,
        "smallest_failed_share_seen": None
        if not known
        else round(smallest_error_share_seen(known) or 0.0, 4),
        "latency_ms_median": None if not soak.latencies_ms else round(median(soak.latencies_ms), 1),
        "load_highest_rps": None if soak.load_highest is None else round(soak.load_highest, 2),
        "load_guard_rps": None if guard is None else round(guard, 2),
        "share_of_peak": None if share is None else round(share, 3),
    }


def judge(
    soak: SoakWay, plan: PlanData, *, has_monitor: bool, pool_rps: float | None, now: datetime
) -> Judgement:
    """Return the verdict over one soak that is over. `pool_rps` is present traffic, None if unknown."""
    numbers = numbers_of(soak, plan, pool_rps, now)
    known = soak.probes_ok + soak.probes_failed
    share = numbers["share_of_peak"]
    at = "" if share is None else f", at {share:.0%} of the next peak"

    def result(verdict: Verdict, says: str, customer: str) -> Judgement:
        return Judgement(verdict, says, customer, numbers)

    if known >= MIN_PROBES and soak.probes_failed / known > plan.probe_failures_allowed:
        return result(
            Verdict.FAILS,
            f"{soak.probes_failed} of {known} probes failed; {plan.probe_failures_allowed:.0%} are allowed.",
            "Checks of your site failed.",
        )
    if soak.load_over >= 2 and soak.load_highest is not None and plan.ceiling_rps:
        return result(
            Verdict.FAILS,
            f"Each remaining node carried up to {soak.load_highest:.1f} requests/s, over "
            f"{plan.guard_share:.0%} of the ceiling of {plan.ceiling_rps:g}.",
            "The remaining servers carry more than is safe.",
        )
    guard = numbers["load_guard_rps"]
    if guard is not None and soak.load_last is not None and soak.load_last > guard:
        return result(
            Verdict.INCONCLUSIVE,
            f"The newest load is {soak.load_last:.1f} requests/s per node; {guard:.1f} is the most.",
            "The remaining servers carry a lot just now.",
        )
    if soak.pool_bad_in_row >= 2:
        return result(
            Verdict.FAILS,
            "The load balancer shows remaining nodes that do not serve.",
            "Some of the remaining servers do not answer.",
        )
    if soak.pool_looks == 0:
        return result(Verdict.INCONCLUSIVE, "The pool could not be looked at.", "We could not look yet.")
    total = known + soak.probes_unknown
    if plan.probes:
        if known < MIN_PROBES:
            return result(
                Verdict.INCONCLUSIVE,
                f"Only {known} probes gave an answer; {MIN_PROBES} are needed.",
                "There are not enough checks to tell yet.",
            )
        if soak.probes_unknown / total > MAX_UNKNOWN_SHARE:
            return result(
                Verdict.INCONCLUSIVE,
                f"{soak.probes_unknown} of {total} probes could not be made.",
                "Too many checks could not be made to tell yet.",
            )
    elif not has_monitor:
        return result(
            Verdict.INCONCLUSIVE,
            "There is no probe and no health monitor: nothing shows whether traffic keeps up.",
            "Nothing shows yet whether your site keeps up.",
        )
    if guard is not None and plan.count_kind is not None and soak.load_looks == 0:
        return result(
            Verdict.INCONCLUSIVE,
            "No load figure of the pool was complete: what each node carries is not known.",
            "We could not see yet how much the remaining servers carry.",
        )
    load = (
        "load unknown"
        if soak.load_highest is None
        else f"at most {soak.load_highest:.1f} requests/s per node"
    )
    if share is not None and share < SHARE_FOR_LOAD_EVIDENCE:
        load += " (too little traffic for that to be evidence)"
    probes = f"{soak.probes_ok} of {known} probes good, " if plan.probes else "all nodes healthy, "
    return result(Verdict.PASSES, f"Passes{at}: {probes}{load}.", f"Your site keeps up{at}.")
