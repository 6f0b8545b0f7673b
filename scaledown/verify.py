"""Is traffic keeping up without this server? Pure: what was seen in a soak, held against the plan's limits.

Order of judgement (spec, *Is traffic keeping up?*): what fails at once (failed probes, load, the balancer's own view),
then what was not seen, then the next peak at this size, then whether answers are slower than they should be. Errors,
time-outs and missing data never pass. Under 30 % of the next peak load and latency are no evidence: probes, the health of
the nodes and the projection to the peak decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from math import isfinite
from statistics import median
from typing import Any

from capacity.stats import chance_of_so_many
from scaledown.comparing import BEFORE, Comparison, alpha_of, compare, mean_load
from scaledown.planner import share_of_ceiling
from scaledown.progress import BeforeWay, ProbeCounts, SoakWay
from scaledown.types import PlanData, Verdict
from scaledown.vital import VitalCompared, customer_says_low, says_low

MIN_PROBES = 3
"""Fewer known answers than this tell nothing."""
MAX_UNKNOWN_SHARE = 1 / 3
SHARE_FOR_LOAD_EVIDENCE = 0.3
"""Under this share of the peak, load figures are no evidence (spec, *Is traffic keeping up?*)."""
ALPHA_ERRORS = 0.01
"""More failures than allowed fail a soak once chance alone would give so many this rarely; until then it is not sure."""
ALL_PROBES = "probes"
SLOW_ALLOWED = 0.05
"""The share of answers that may take longer than their probe allows: one slow answer fails nothing."""


@dataclass(frozen=True)
class Judgement:
    """A verdict with its numbers, and the same said to both readers.

    `code` names what decided, "" for a pass. `is_danger`: the site itself is not well, its people are called.
    `goes_back`: a verdict that fails puts the server back.
    """

    verdict: Verdict
    says: str
    customer_says: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    is_danger: bool = False
    goes_back: bool = True


@dataclass(frozen=True)
class _Case:
    """All that one verdict is judged from."""

    soak: SoakWay
    plan: PlanData
    has_monitor: bool
    now: datetime
    share: float | None
    """Present traffic as a share of the next peak."""
    guard: float | None
    peak_share: float | None
    """The load per node at the next peak with the servers that serve now, as a share of the ceiling."""
    comparisons: tuple[Comparison, ...]
    has_before: bool
    vital: tuple[VitalCompared, ...] = ()

    @property
    def known(self) -> int:
        """Probes that gave an answer, of whatever kind."""
        return self.soak.probes_ok + self.soak.probes_failed + self.soak.probes_slow

    def each_and_all(self) -> Iterable[tuple[str, ProbeCounts]]:
        """Yield the counts of all probes together, then those of each: a bad one does not hide among good ones.

        A probe of the plan that was never looked at has none. What an earlier release kept has only the sums.
        """
        soak = self.soak
        yield (
            ALL_PROBES,
            ProbeCounts(soak.probes_ok, soak.probes_failed, soak.probes_slow, soak.probes_unknown),
        )
        if not soak.by_probe or len(self.plan.probes) < 2:
            return
        for probe in self.plan.probes:
            yield f"probes of {probe.name}", soak.by_probe.get(probe.name, ProbeCounts())

    @property
    def is_over_ceiling(self) -> bool:
        """Whether a server carried more than one can; False where that is not known."""
        ceiling, highest = self.plan.ceiling_rps, self.soak.load_highest
        return ceiling is not None and highest is not None and highest > ceiling

    @property
    def is_too_quiet(self) -> bool:
        """Whether load and latency are no evidence."""
        return self.share is not None and self.share < SHARE_FOR_LOAD_EVIDENCE


_Found = tuple[str, Verdict, str, str]


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


def is_latency_evidence(plan: PlanData, pool_rps: float | None) -> bool:
    """Return whether answers of now say anything about the next peak; where the share is unknown they do."""
    share = share_of_peak(pool_rps, plan.forecast_peak_rps)
    return share is None or share >= SHARE_FOR_LOAD_EVIDENCE


def judge(
    soak: SoakWay,
    plan: PlanData,
    *,
    has_monitor: bool,
    pool_rps: float | None,
    now: datetime,
    before: BeforeWay | None = None,
    serving: int | None = None,
    vital: tuple[VitalCompared, ...] = (),
) -> Judgement:
    """Return the verdict over one soak that is over.

    `pool_rps` is present traffic and `serving` the servers that serve now, None where unknown; `before` the stretch
    before the first server, `vital` the account's vital figures.
    """
    guard = plan.fine_load_rps if plan.ceiling_rps is None else plan.ceiling_rps * plan.guard_share
    case = _Case(
        soak,
        plan,
        has_monitor,
        now,
        share_of_peak(pool_rps, plan.forecast_peak_rps),
        guard,
        None if serving is None else share_of_ceiling(plan.forecast_peak_rps, serving, plan.ceiling_rps),
        compare(plan, before, soak, now),
        before is not None,
        vital,
    )
    numbers = _numbers(case)
    for code, verdict, says, customer in chain.from_iterable(look(case) for look in _LOOKS):
        is_danger = verdict is Verdict.FAILS and (
            code in _DANGERS or (code == "load" and case.is_over_ceiling)
        )
        return Judgement(verdict, says, customer, numbers, code, is_danger, code not in _STAYS_OUT)
    at = "" if case.share is None else f", at {case.share:.0%} of the next peak"
    return Judgement(
        Verdict.PASSES,
        f"Passes{at}: {', '.join(_good(case))}.",
        f"Your site keeps up{at}{_customer_latency(case)}.",
        numbers,
    )


_DANGERS = frozenset({"errors", "vital", "slow", "objective", "pool"})
"""What shows that the site is not well. Load over the guard does not, as long as it is under the ceiling."""
_STAYS_OUT = frozenset({"peak"})
"""Nothing is wrong yet: a person decides whether the server goes back before the peak."""


# --- what fails at once -----------------------------------------------------------------------------------------


def _errors(case: _Case) -> Iterable[_Found]:
    plan, customer = case.plan, "Checks of your site failed."
    allowed = plan.probe_failures_allowed
    promised = None if plan.objective is None else plan.objective.error_ratio
    found: list[_Found] = []
    for of, counts in case.each_and_all():
        failed, known = counts.failed, counts.known
        # One failed look at one of several probes is judged among all of them.
        if known < MIN_PROBES or failed < (1 if of == ALL_PROBES else 2):
            continue
        if promised is not None and _surely_more(failed, known, promised):
            says = f"{failed} of {known} {of} failed; the site promises at most {promised:.2%}."
            yield "errors", Verdict.FAILS, says, customer
        if failed / known > allowed:
            says = f"{failed} of {known} {of} failed; {allowed:.0%} are allowed."
            if _surely_more(failed, known, allowed):
                yield "errors", Verdict.FAILS, says, customer
            found.append(
                (
                    "errors",
                    Verdict.INCONCLUSIVE,
                    f"{says} So few may be chance.",
                    "A few checks of your site failed: we look longer.",
                )
            )
    yield from found


def _vital(case: _Case) -> Iterable[_Found]:
    found: list[_Found] = []
    for one in case.vital:
        if not (one.is_worse or one.is_low):
            continue
        says = says_low(one)
        if one.is_worse:
            yield "vital", Verdict.FAILS, says, customer_says_low(one.name)
        found.append(
            (
                "vital",
                Verdict.INCONCLUSIVE,
                f"{says} So little may be chance.",
                f"{one.name} is a little low: we look longer.",
            )
        )
    yield from found


def _vital_unseen(case: _Case) -> Iterable[_Found]:
    for one in case.vital:
        if one.is_missing:
            yield (
                "unseen",
                Verdict.INCONCLUSIVE,
                f"There is no sample of {one.name} since the server left the pool.",
                f"We cannot see {one.name} just now.",
            )
        elif one.is_too_small and not case.is_too_quiet:
            yield (
                "sample",
                Verdict.INCONCLUSIVE,
                f"{one.looks} samples of {one.name} are too few to see {_percent(one.must_see)} of it go"
                + (
                    f"; {one.needed} are needed."
                    if one.needed is not None
                    else ": it came too seldom in the hour before the first server."
                ),
                "There are not enough figures to tell yet.",
            )


def _surely_more(count: int, of: int, allowed: float) -> bool:
    return count / of > allowed and chance_of_so_many(count, of, allowed) < ALPHA_ERRORS


def _slow(case: _Case) -> Iterable[_Found]:
    found: list[_Found] = []
    for of, counts in case.each_and_all():
        slow, known = counts.slow, counts.known
        if known < MIN_PROBES or slow < 2 or slow / known <= SLOW_ALLOWED:
            continue
        answers = of.replace(ALL_PROBES, "answers", 1)
        says = f"{slow} of {known} {answers} took longer than their probe allows; {SLOW_ALLOWED:.0%} may."
        if _surely_more(slow, known, SLOW_ALLOWED):
            yield "slow", Verdict.FAILS, says, "Your site answers too slowly."
        found.append(
            (
                "slow",
                Verdict.INCONCLUSIVE,
                f"{says} So few may be chance.",
                "A few answers of your site were slow: we look longer.",
            )
        )
    yield from found


def _objective(case: _Case) -> Iterable[_Found]:
    promised = case.plan.objective
    if promised is None or promised.latency_ms is None:
        return
    for name, answers in sorted(case.soak.latency_ms.items()):
        over = sum(value > promised.latency_ms for value in answers)
        if over and chance_of_so_many(over, len(answers), 1.0 - promised.latency_share) < alpha_of(case.plan):
            yield (
                "objective",
                Verdict.FAILS,
                f"{over} of {len(answers)} answers of {name} took over {promised.latency_ms:g} ms; the site promises "
                f"that for at most {1.0 - promised.latency_share:.0%}.",
                "Your site answers more slowly than it promises.",
            )


def _load(case: _Case) -> Iterable[_Found]:
    soak, guard = case.soak, case.guard
    if guard is None:
        return
    if soak.load_over >= 2 and soak.load_highest is not None:
        of = (
            f"the {guard:g} that were fine in the last 14 days"
            if case.plan.ceiling_rps is None
            else f"{case.plan.guard_share:.0%} of the ceiling of {case.plan.ceiling_rps:g}"
        )
        yield (
            "load",
            Verdict.FAILS,
            f"Each remaining node carried up to {soak.load_highest:.1f} requests/s, over {of}.",
            "The remaining servers carry more than is safe.",
        )
    if soak.load_last is not None and soak.load_last > guard:
        yield (
            "load",
            Verdict.INCONCLUSIVE,
            f"The newest load is {soak.load_last:.1f} requests/s per node; {guard:.1f} is the most.",
            "The remaining servers carry a lot just now.",
        )


def _pool(case: _Case) -> Iterable[_Found]:
    if case.soak.pool_bad_in_row >= 2:
        yield (
            "pool",
            Verdict.FAILS,
            "The load balancer shows remaining nodes that do not serve.",
            "Some of the remaining servers do not answer.",
        )


# --- what was not seen ------------------------------------------------------------------------------------------


def _unseen(case: _Case) -> Iterable[_Found]:
    if case.soak.pool_looks == 0:
        yield "unseen", Verdict.INCONCLUSIVE, "The pool could not be looked at.", "We could not look yet."
    if not case.plan.probes:
        if not case.has_monitor:
            yield (
                "unseen",
                Verdict.INCONCLUSIVE,
                "There is no probe and no health monitor: nothing shows whether traffic keeps up.",
                "Nothing shows yet whether your site keeps up.",
            )
        return
    for of, counts in case.each_and_all():
        if counts.known < MIN_PROBES:
            yield (
                "unseen",
                Verdict.INCONCLUSIVE,
                f"Only {counts.known} {of} gave an answer; {MIN_PROBES} are needed.",
                "There are not enough checks to tell yet.",
            )
        total = counts.known + counts.unknown
        if total and counts.unknown / total > MAX_UNKNOWN_SHARE:
            yield (
                "unseen",
                Verdict.INCONCLUSIVE,
                f"{counts.unknown} of {total} {of} could not be made.",
                "Too many checks could not be made to tell yet.",
            )


def _load_unseen(case: _Case) -> Iterable[_Found]:
    if case.guard is not None and case.plan.measures_load and case.soak.load_looks == 0:
        yield (
            "unseen",
            Verdict.INCONCLUSIVE,
            "No load figure of the pool was complete: what each node carries is not known.",
            "We could not see yet how much the remaining servers carry.",
        )


# --- the next peak ----------------------------------------------------------------------------------------------


def _peak(case: _Case) -> Iterable[_Found]:
    share, plan = case.peak_share, case.plan
    if share is None:
        return
    approved = 1.0
    if plan.remaining_reason:
        # Both sides approved a size that the peak may be too much for, with a written reason.
        approved = max(1.0, share_of_ceiling(plan.forecast_peak_rps, plan.target, plan.ceiling_rps) or 1.0)
    if not isfinite(share):
        yield "peak", Verdict.FAILS, "No server serves now.", "No server is in service."
    if share > approved + 1e-9:
        yield (
            "peak",
            Verdict.FAILS,
            f"At the next peak of {plan.forecast_peak_rps:g} requests/s each of the servers that serve now would carry "
            f"{share:.0%} of the most it can.",
            "The servers that are left would be too few for your next peak.",
        )


def _quiet(case: _Case) -> Iterable[_Found]:
    if case.is_too_quiet and case.peak_share is None:
        yield (
            "traffic",
            Verdict.INCONCLUSIVE,
            f"Not enough traffic to tell yet: it is at {case.share:.0%} of the next peak, and what each server "
            "would carry at that peak is not known.",
            "There is not enough traffic yet to tell. Nothing for you to do.",
        )


# --- slower than it should be -----------------------------------------------------------------------------------


def _slower(case: _Case) -> Iterable[_Found]:
    if case.is_too_quiet:
        return
    for one in case.comparisons:
        if one.is_worse:
            yield (
                "slower" if one.against == BEFORE else "baseline",
                Verdict.FAILS,
                f"Answers of {one.probe} are {_percent(one.slower_by)} slower than {one.against} "
                f"({one.was_ms:.0f} ms then, {one.median_ms:.0f} ms now); {_explained(one)}.",
                "Your site answers clearly more slowly than before.",
            )
    if case.plan.slower_allowed is None or not case.plan.probes or not case.has_before:
        return
    held = {one.probe: one for one in case.comparisons if one.against == BEFORE}
    for probe in case.plan.probes:
        found = held.get(probe.name)
        if found is None:
            says = f"There are no answers of {probe.name} to compare with those {BEFORE}."
        elif found.is_too_small:
            says = (
                f"{found.looks} answers of {probe.name} are too few to see one that is "
                f"{_percent(found.must_see or 0.0)} slower"
                + (
                    f"; {found.needed} are needed."
                    if found.needed is not None
                    else f", however many more there are: too few were taken {BEFORE}."
                )
            )
        else:
            continue
        yield "sample", Verdict.INCONCLUSIVE, says, "There are not enough checks to tell yet."


def _explained(one: Comparison) -> str:
    if one.predicted < 0.005:
        return f"{_percent(one.allowed)} are allowed"
    return f"{_percent(one.predicted)} were to be expected from the load, and {_percent(one.allowed)} beyond that are allowed"


def _percent(share: float) -> str:
    return f"{share:.0%}"


_LOOKS: tuple[Callable[[_Case], Iterable[_Found]], ...] = (
    _errors,
    _vital,
    _slow,
    _objective,
    _load,
    _pool,
    _unseen,
    _load_unseen,
    _vital_unseen,
    _peak,
    _slower,
    _quiet,
)
"""In this order. The first thing that one of them finds is the verdict."""


# --- words and numbers ------------------------------------------------------------------------------------------


def _worst(case: _Case) -> Comparison | None:
    """Return the comparison with the stretch before that shows most slowness."""
    return max(
        (one for one in case.comparisons if one.against == BEFORE),
        key=lambda one: one.slower_by,
        default=None,
    )


def _good(case: _Case) -> Iterable[str]:
    soak = case.soak
    for one in case.vital:
        if one.fallen_by is not None:
            change = "no lower" if one.fallen_by <= 0.005 else f"{_percent(one.fallen_by)} lower"
            yield f"{one.name} {change} than to be expected ({_percent(one.allowed)} are allowed)"
    yield f"{soak.probes_ok} of {case.known} probes good" if case.plan.probes else "all nodes healthy"
    quiet = " (too little traffic for that to be evidence)" if case.is_too_quiet else ""
    yield (
        f"load unknown{quiet}"
        if soak.load_highest is None
        else f"at most {soak.load_highest:.1f} requests/s per node{quiet}"
    )
    worst = _worst(case)
    if worst is not None and not case.is_too_quiet:
        seen = (
            "" if worst.smallest_seen is None else f"; {_percent(worst.smallest_seen)} would have been seen"
        )
        yield f"answers {_change(worst.slower_by)} than {BEFORE} ({_explained(worst)}{seen})"
    if case.peak_share is not None:
        yield f"{case.peak_share:.0%} of the most that each can carry at the next peak"


def _change(slower_by: float) -> str:
    return f"{slower_by:.0%} slower" if slower_by >= 0 else f"{-slower_by:.0%} faster"


def _customer_latency(case: _Case) -> str:
    worst = _worst(case)
    if worst is None or case.is_too_quiet:
        return ""
    if worst.slower_by < 0.05:
        return " and answers as fast as before"
    return f" and answers {_change(worst.slower_by)} than before, which is fine"


def _numbers(case: _Case) -> dict[str, Any]:
    """Return what the verdict rests on, for the journal and the report."""
    soak, plan, known, worst = case.soak, case.plan, case.known, _worst(case)
    answers = [value for values in soak.latency_ms.values() for value in values] or list(soak.latencies_ms)
    load = mean_load(soak)
    return {
        "watched_s": round((case.now - soak.since).total_seconds() - soak.unwatched_s, 1),
        "probes_ok": soak.probes_ok,
        "probes_failed": soak.probes_failed,
        "probes_slow": soak.probes_slow,
        "probes_unknown": soak.probes_unknown,
        "failed_share": None if not known else round(soak.probes_failed / known, 4),
        "failed_share_allowed": plan.probe_failures_allowed,
        "failed_share_promised": None if plan.objective is None else plan.objective.error_ratio,
        "smallest_failed_share_seen": None
        if not known
        else round(smallest_error_share_seen(known) or 0.0, 4),
        "latency_ms_median": None if not answers else round(median(answers), 1),
        "load_mean_rps": None if load is None else round(load, 2),
        "load_highest_rps": None if soak.load_highest is None else round(soak.load_highest, 2),
        "load_guard_rps": None if case.guard is None else round(case.guard, 2),
        "share_of_peak": None if case.share is None else round(case.share, 3),
        "load_is_evidence": not case.is_too_quiet,
        # Nobody serves: no share.
        "peak_share_of_ceiling": None
        if case.peak_share is None or not isfinite(case.peak_share)
        else round(case.peak_share, 3),
        "slower_by": None if worst is None else round(worst.slower_by, 4),
        "slower_expected": None if worst is None else round(worst.predicted, 4),
        "slower_allowed": plan.slower_allowed,
        "smallest_slowness_seen": None
        if worst is None or worst.smallest_seen is None
        else round(worst.smallest_seen, 4),
        "comparisons": [one.numbers() for one in case.comparisons],
        **({"vital": [one.numbers() for one in case.vital]} if case.vital else {}),
    }
