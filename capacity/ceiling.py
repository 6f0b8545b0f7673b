"""The highest load that one server carries within its objective: what is evidence for it, and how strong. Pure.

The highest step of a benchmark that still passes comes first: it was seen. The Universal Scalability Law is the detail
beside it (N. J. Gunther, *Guerrilla Capacity Planning*, Springer 2007, chapter 4): with N users the pool answers

    X(N) = λ N / (1 + σ (N − 1) + κ N (N − 1))      requests per second,

λ being what one user alone gets, σ the share that waits in line, κ what the users cost each other. With N / X = d + b N +
c N (N − 1) the three bounds (λ > 0, 0 ≤ σ ≤ 1, κ ≥ 0) are d, b, c ≥ 0, so that each step of Gauss and Newton is a least
squares problem of three unknowns that are not negative, solved exactly. SciPy is the oracle of the tests.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import product

import numpy as np
from numpy.typing import NDArray

from portal.ui.charts import number

Numbers = NDArray[np.float64]

SHORTEST_STEP_S = 60.0
"""A step that lasts less says nothing of what a server carries: caches, pools of connections and queues are not yet as they stay."""
LATE_S = 5.0
"""A first or last step may be told so much shorter than it was: one line of Locust's history."""
WELL_UNDER = 0.9
"""Below this share of the rate that was asked for, the generator made another load than that."""
BEYOND = 10
"""A percentile needs so many requests that took longer: of fewer it is chance."""
FEWEST_POINTS = 5
"""Three unknowns and two to spare: with fewer different loads no curve is drawn."""
DRAWS = 400
RISES_NO_MORE = 1.10
"""A quarter more servers that carry less than this much more together: something behind them is the limit."""
MORE_SERVERS = 1.25


class Rank(StrEnum):
    """What a ceiling rests on."""

    LIVE = "live"
    STEPS = "steps"
    SIMPLE = "simple"


@dataclass(frozen=True)
class Promised:
    """What the site promises. None is *not promised*; `latency_share` of the answers take at most `latency_ms`."""

    error_ratio: float | None = None
    latency_ms: float | None = None
    latency_share: float = 0.95


@dataclass(frozen=True)
class Step:
    """What all servers together did under one load: so many users, or so many requests a second asked for.

    `latency_ms` is that of the promised share. None is *not told*. `thin` says why it is too short, or has too few requests,
    or was not sent as asked, to pass; "" where it has enough.
    """

    users: int | None
    requests_per_s: float
    latency_ms: float | None
    error_ratio: float | None
    asked_per_s: float | None = None
    thin: str = ""


def why_thin(
    length_s: float | None, requests: float | None, promised: Promised, asked_per_s: float | None = None
) -> str:
    """Return why a step cannot show that it kept what is promised, "" where it can; what is not told is taken for enough."""
    if length_s is not None and length_s < SHORTEST_STEP_S - LATE_S:
        return f"It lasted {length_s:.0f} s; a step counts from {SHORTEST_STEP_S:.0f} s on."
    if asked_per_s and length_s and requests is not None and requests < WELL_UNDER * asked_per_s * length_s:
        return f"Of {number(asked_per_s)} requests a second that were asked for, it sent {number(requests / length_s)}."
    fewest = round(BEYOND / (1.0 - promised.latency_share))
    if promised.latency_ms is not None and requests is not None and requests < fewest:
        return f"It had {requests:.0f} requests; how long {promised.latency_share:.0%} take is told by {fewest} or more."
    return ""


@dataclass(frozen=True)
class Passing:
    """The highest step that passes, after which none passes any more. None: the lowest one does not.

    `fails_at` is the first that does not, with the reason; None: the load was never high enough to tell where it ends.
    """

    step: Step | None
    fails_at: Step | None
    why: str


def why_it_fails(step: Step, promised: Promised) -> str:
    """Return why a step is not inside what is promised, "" if it is. What is not told never passes."""
    if promised.error_ratio is None and promised.latency_ms is None:
        return "Nothing is promised, so nothing can be inside of it."
    if promised.error_ratio is not None:
        if step.error_ratio is None:
            return "How many failed is not told."
        if step.error_ratio > promised.error_ratio:
            return f"{step.error_ratio:.2%} failed, {promised.error_ratio:.2%} may."
    if promised.latency_ms is not None:
        if step.latency_ms is None:
            return "How long the promised share took is not told."
        if step.latency_ms > promised.latency_ms:
            return f"{promised.latency_share:.0%} took up to {step.latency_ms:.0f} ms, {promised.latency_ms:.0f} ms are promised."
    return ""


def exceeds(step: Step, promised: Promised) -> bool:
    """Return whether a step is known to be outside of what is promised; what is not told, or not promised, says nothing."""
    fails, takes = step.error_ratio, step.latency_ms
    too_many = promised.error_ratio is not None and fails is not None and fails > promised.error_ratio
    return too_many or (promised.latency_ms is not None and takes is not None and takes > promised.latency_ms)


def highest_passing(steps: Sequence[Step], promised: Promised) -> Passing:
    """Return the highest step that passes. The first that fails ends it: what passes above was luck."""
    ordered = sorted(steps, key=lambda one: (one.users or one.asked_per_s or 0, one.requests_per_s))
    best: Step | None = None
    for step in ordered:
        why = why_it_fails(step, promised)
        if why:
            return Passing(best, step, why)
        if best is None or step.requests_per_s >= best.requests_per_s:
            best = step
    return Passing(best, None, "")


# --- the Universal Scalability Law ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Usl:
    """One curve: `rate` is λ (requests per second of one user alone), `contention` σ, `crosstalk` κ."""

    rate: float
    contention: float
    crosstalk: float

    def at(self, users: float) -> float:
        """Return the requests per second of all servers with so many users."""
        slowed = 1.0 + self.contention * (users - 1.0) + self.crosstalk * users * (users - 1.0)
        return self.rate * users / slowed

    @property
    def peak_users(self) -> float:
        """Return with how many users it carries most; infinite where more users never carry less."""
        if self.crosstalk <= 0.0:
            return math.inf
        return math.sqrt(max(0.0, 1.0 - self.contention) / self.crosstalk)

    @property
    def most(self) -> float:
        """Return the most that it carries, in requests per second; infinite where nothing holds it."""
        if self.crosstalk > 0.0:
            return self.at(max(1.0, self.peak_users))
        return self.rate / self.contention if self.contention > 0.0 else math.inf


@dataclass(frozen=True)
class Band:
    """The curve at one load, with the 95 % interval of the curve."""

    users: float
    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Fit:
    """A curve through measured loads. `most_low` and `most_high` are the 95 % interval of what it carries at most.

    `is_beyond`: the most lies beyond every load that was measured, so the curve only guesses it. `left_over` is the
    standard deviation of what the curve does not explain, in requests per second.
    """

    curve: Usl
    most_low: float
    most_high: float
    left_over: float
    points: int
    is_beyond: bool
    band: tuple[Band, ...]


def fit(users: Sequence[float], requests_per_s: Sequence[float], *, seed: int = 1) -> Fit | str:
    """Return the curve through the measured loads, or the sentence why there is none.

    The interval is a parametric bootstrap: 400 sets of points drawn around the curve, each with a deviation that is
    itself drawn (left over × √(f / χ²), f = points − 3), since few points do not tell it well.
    """
    n, x = np.asarray(users, dtype=np.float64), np.asarray(requests_per_s, dtype=np.float64)
    usable = np.isfinite(n) & np.isfinite(x) & (n >= 1.0) & (x > 0.0)
    n, x = n[usable], x[usable]
    if len(np.unique(n)) < FEWEST_POINTS:
        return (
            f"Too few loads for a curve: {len(np.unique(n))} different ones were measured, "
            f"{FEWEST_POINTS} are needed."
        )
    best = _least_squares(n, x[None, :])[0]
    free = len(n) - 3
    middle = n / _slowed(n, best)
    left_over = math.sqrt(float(((x - middle) ** 2).sum()) / free)
    dice = np.random.default_rng(seed)
    deviations = left_over * np.sqrt(free / dice.chisquare(free, (DRAWS, 1)))
    drawn = np.maximum(middle + deviations * dice.standard_normal((DRAWS, len(n))), x.min() * 1e-3)
    found = _least_squares(n, drawn)
    most = np.asarray([_curve(one).most for one in found])
    low, high = np.quantile(most, (0.025, 0.975), method="inverted_cdf")
    curve = _curve(best)
    grid = np.unique(np.concatenate([np.linspace(max(1.0, n.min() * 0.5), n.max() * 1.15, 40), n]))
    curves = grid / np.stack([_slowed(grid, one) for one in found])
    lows, highs = np.quantile(curves, (0.025, 0.975), axis=0)
    return Fit(
        curve,
        float(low),
        float(high),
        left_over,
        len(n),
        curve.peak_users > n.max(),
        tuple(
            Band(float(at), float(a), curve.at(float(at)), float(b))
            for at, a, b in zip(grid, lows, highs, strict=True)
        ),
    )


def _curve(found: Numbers) -> Usl:
    d, b, c = (float(one) for one in found)
    return Usl(1.0 / (d + b), b / (d + b), c / (d + b))


def _slowed(n: Numbers, found: Numbers) -> Numbers:
    """Return N / X: what one more request costs, in seconds of a user's time."""
    slowed: Numbers = found[0] + found[1] * n + found[2] * n * (n - 1.0)
    return slowed


def _least_squares(n: Numbers, x: Numbers) -> Numbers:
    """Return (d, b, c) for each row of `x`, that together have the least squares of X. Gauss-Newton, halved where it overshoots."""
    columns = np.stack([np.ones_like(n), n, n * (n - 1.0)], axis=1)
    scale = columns.max(axis=0)
    columns = columns / scale
    # The start is the straight problem N / X = d + b N + c N (N − 1), weighted as X itself is.
    found = _not_negative(columns, n / x, (x * x / n) ** 2)
    squares = _squares(columns, found, n, x)
    moving = np.arange(len(found))
    for _ in range(60):
        now, seen = found[moving], x[moving]
        g = np.einsum("ij,kj->ki", columns, now)
        wanted = g - (seen - n / g) * g * g / n
        step = _not_negative(columns, wanted, (n / (g * g)) ** 2) - now
        before = squares[moving].copy()
        waits = np.ones(len(moving), dtype=bool)
        for halved in range(12):
            rows = moving[waits]
            tried = now[waits] + step[waits] / 2.0**halved
            better = _squares(columns, tried, n, seen[waits])
            taken = better < squares[rows]
            found[rows[taken]], squares[rows[taken]] = tried[taken], better[taken]
            waits[np.flatnonzero(waits)[taken]] = False
            if not waits.any():
                break
        # Rows whose squares hardly fall any more have arrived.
        moving = moving[before - squares[moving] > 1e-10 * before]
        if not len(moving):
            break
    scaled: Numbers = found / scale
    return scaled


def _squares(columns: Numbers, found: Numbers, n: Numbers, x: Numbers) -> Numbers:
    g = np.einsum("ij,kj->ki", columns, found)
    with np.errstate(divide="ignore"):
        missed = ((x - n / np.maximum(g, 0.0)) ** 2).sum(axis=1)
    squares: Numbers = np.where(g.min(axis=1) > 0.0, missed, np.inf)
    return squares


def _not_negative(columns: Numbers, wanted: Numbers, weights: Numbers) -> Numbers:
    """Return for each row the unknowns, none below 0, with the least weighted squares: the best of all choices of zeros."""
    weights = weights / weights.max(axis=1, keepdims=True)
    rows = len(wanted)
    best, least = np.zeros((rows, columns.shape[1])), np.full(rows, np.inf)
    for used in product((False, True), repeat=columns.shape[1]):
        # A curve needs λ: d or b.
        if not (used[0] or used[1]):
            continue
        part = columns[:, used]
        normal = np.einsum("ij,ki,il->kjl", part, weights, part)
        right = np.einsum("ij,ki,ki->kj", part, weights, wanted)
        tiny = 1e-12 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(part.shape[1])
        solved = np.linalg.solve(normal + tiny, right[:, :, None])[:, :, 0]
        missed = (weights * (np.einsum("ij,kj->ki", part, solved) - wanted) ** 2).sum(axis=1)
        taken = (solved.min(axis=1) >= 0.0) & (missed < least)
        least[taken] = missed[taken]
        best[taken] = 0.0
        best[np.ix_(taken, used)] = solved[taken]
    return best


@dataclass(frozen=True)
class LatencyCurve:
    """How long the promised share of answers takes, as the curve of throughput says: `scale` × N / X(N) + `offset`, in ms.

    By Little's law N / X is a user's whole round, answer and pause; a percentile is taken as a straight line of it.
    """

    scale: float
    offset: float

    def at(self, curve: Usl, users: float) -> float:
        """Return the latency in ms with so many users; never below 0."""
        return max(0.0, self.scale * 1000.0 * users / curve.at(users) + self.offset)


def latency_curve(curve: Usl, users: Sequence[float], latency_ms: Sequence[float]) -> LatencyCurve | None:
    """Return the line through measured latencies, None for fewer than three, or where they do not rise with the round."""
    if len(users) < 3:
        return None
    rounds = np.asarray([1000.0 * each / curve.at(each) for each in users])
    taken = np.asarray(latency_ms, dtype=np.float64)
    off = rounds - rounds.mean()
    across = float((off**2).sum())
    scale = float((off * (taken - taken.mean())).sum()) / across if across > 1e-9 else 0.0
    if scale <= 0.0:
        return None
    return LatencyCurve(scale, float(taken.mean() - scale * rounds.mean()))


# --- evidence ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evidence:
    """One thing that speaks for a ceiling, in requests per second of one server. `ref` names what it was taken from.

    `is_least`: it carried that much and may carry more. `invalid` says why it does not count, "" where it does; `unproven`
    what is missing, where it never counts alone. `passed_nothing`: no load kept what is promised, and why; it then carried 0
    within it. A size, software or mix of "" is not said.
    """

    rank: Rank
    requests_per_s: float
    at: datetime
    source: str
    ref: str
    flavor: str
    software: str
    mix: str
    is_least: bool
    invalid: str = ""
    passed_nothing: str = ""
    unproven: str = ""

    @property
    def told(self) -> str:
        """Where it comes from, with its mix."""
        return with_mix(self.source, self.mix)


def with_mix(source: str, mix: str) -> str:
    """Return where a figure comes from, with the mix of requests that it was measured with where that is said."""
    return f"{source}; measured with {mix}" if mix else source


@dataclass(frozen=True)
class Ranked:
    """All evidence, the one that counts first. `taken` None: none is strong enough, and `why` says so."""

    taken: Evidence | None
    listed: tuple[Evidence, ...]
    why: str


def ranked(
    evidence: Sequence[Evidence],
    *,
    flavor: str = "",
    software: str = "",
    mix: str = "",
    not_flavors: Collection[str] = (),
) -> Ranked:
    """Return the evidence in order, and what counts as the ceiling for this size, software and mix ("" is any).

    Nothing of `not_flavors` (in lower case) counts, nor a benchmark of another mix.

    The newest step benchmark counts; one that was never pushed to where a step fails takes the place of none that carried
    more. What was seen live counts where it is higher (it was carried, so no ceiling is below it) or where there is nothing
    else; it is of whatever size or software nobody said. One that is older than a step benchmark that failed below it counts
    over that only where both are said to be of one software: the site may have become slower. A simple benchmark never counts
    alone: it says nothing of real visits. Where the newest step benchmark kept what is promised under no load, what was
    measured before it counts no more.
    """

    def is_of(said: str, asked: str, rank: Rank) -> bool:
        return not asked or said.lower() == asked.lower() or (rank is Rank.LIVE and not said)

    now = [
        one
        for one in evidence
        if not one.invalid
        and not (one.unproven and one.rank is Rank.LIVE)
        and is_of(one.flavor, flavor, one.rank)
        and one.flavor.lower() not in not_flavors
        and is_of(one.software, software, one.rank)
        and (not mix or one.mix == mix or one.rank is Rank.LIVE)
    ]
    passed_over = {
        one: replace(
            one,
            unproven=f"It asked for another mix of requests than “{mix}”: it counts only where somebody chooses that.",
        )
        for one in evidence
        if mix and one.rank is Rank.STEPS and one.mix != mix and not (one.invalid or one.unproven)
    }
    strong = sorted((one for one in now if one.rank is Rank.STEPS), key=lambda one: one.at, reverse=True)
    failed = next((one for one in strong if not one.is_least), None)
    passed_over |= {one: replace(one, unproven=why) for one in now if (why := _why_outdated(one, failed))}
    now = [one for one in now if one not in passed_over]
    live = sorted(
        (one for one in now if one.rank is Rank.LIVE), key=lambda one: one.requests_per_s, reverse=True
    )
    newest = strong[0] if strong else None
    taken, why = _of_steps(strong)
    if newest is not None and newest.passed_nothing:
        taken, live = None, [one for one in live if one.at > newest.at]
    if live and (taken is None or live[0].requests_per_s > taken.requests_per_s):
        why = (
            "It was carried at a real event, so it is at least that."
            if taken is None
            else "A real event carried more than the step benchmark says."
        )
        taken = live[0]
    if taken is None and newest is not None:
        why = (
            f"The newest step benchmark ({newest.source}) kept what is promised under no load. {newest.passed_nothing} "
            "What was measured before says nothing of the site as it is now: find what changed, then measure again."
        )
    elif taken is None:
        simple = any(one.rank is Rank.SIMPLE for one in now)
        why = (
            "A simple benchmark is no ceiling by itself: it does not ask as visitors do."
            if simple
            else "Nothing was measured for this size, software and mix."
        )
    order = {Rank.STEPS: 0, Rank.LIVE: 1, Rank.SIMPLE: 2}
    counting = set(now)
    rest = sorted(
        (passed_over.get(one, one) for one in evidence if one is not taken),
        key=lambda one: (one not in counting, order[one.rank], -one.at.timestamp()),
    )
    return Ranked(taken, (taken, *rest) if taken is not None else tuple(rest), why)


def carried_by_mix(evidence: Sequence[Evidence], flavor: str = "") -> dict[str, Evidence | None]:
    """Return what says how much one server of a size carried with each mix of requests: its step benchmarks, whatever the software.

    None where the newest one of a mix kept what is promised under no load.
    """
    runs: dict[str, list[Evidence]] = {}
    for one in sorted(evidence, key=lambda one: one.at, reverse=True):
        is_of_size = not flavor or one.flavor.lower() in ("", flavor.lower())
        if one.rank is Rank.STEPS and one.mix and not one.invalid and is_of_size:
            runs.setdefault(one.mix, []).append(one)
    return {mix: None if of[0].passed_nothing else _of_steps(of)[0] for mix, of in runs.items()}


def _why_outdated(one: Evidence, failed: Evidence | None) -> str:
    """Return why what was seen live does not count over a step benchmark that failed below it later, "" where it does."""
    if one.rank is not Rank.LIVE or failed is None or one.at >= failed.at:
        return ""
    is_same = bool(one.software) and one.software.lower() == failed.software.lower()
    if is_same or one.requests_per_s <= failed.requests_per_s:
        return ""
    return (
        f"{failed.source} failed below it later, and that both are of one software is not known: "
        "the site may have become slower since."
    )


def _of_steps(strong: Sequence[Evidence]) -> tuple[Evidence | None, str]:
    """Return which of the step benchmarks, the newest first, says what one server carries, and why."""
    if not strong:
        return None, ""
    bounds: list[Evidence] = []
    for one in strong:
        if one.is_least:
            bounds.append(one)
            continue
        if not bounds:
            of_mix = f" of “{one.mix}”" if one.mix else ""
            return one, f"The highest step that passed, of the newest step benchmark{of_mix}."
        if one.requests_per_s > max(each.requests_per_s for each in bounds):
            # A run that was not pushed as far speaks against nothing.
            return one, (
                f"The highest step that passed, of {one.source}. The newest step benchmark ({strong[0].source}) was never "
                f"pushed to where it fails: its {number(strong[0].requests_per_s)} requests a second do not speak against that."
            )
        break
    return max(bounds, key=lambda one: one.requests_per_s), (
        "The highest step that was tried passed: where it fails is not known."
    )


@dataclass(frozen=True)
class Carried:
    """The most that a pool of so many servers carried together in one benchmark."""

    node_count: int
    requests_per_s: float


def pool_limit(carried: Sequence[Carried]) -> Carried | None:
    """Return where the pool's own limit shows: more servers that together carry hardly more. None: it does not show.

    Adding servers does not raise it; it lies in what they share (database, cache, a partner, bandwidth).
    """
    found = None
    for fewer, more in product(carried, carried):
        is_more = more.node_count >= MORE_SERVERS * fewer.node_count
        if is_more and more.requests_per_s <= RISES_NO_MORE * fewer.requests_per_s:
            top = max(more.requests_per_s, fewer.requests_per_s)
            if found is None or top > found.requests_per_s:
                found = Carried(more.node_count, top)
    return found


# --- was the generator the limit? -------------------------------------------------------------------------------

BUSY = 0.90
"""A load generator whose processor was this busy measured itself."""
OWN_SOCKETS = (
    "cannot assign requested address",
    "can't assign requested address",
    "eaddrnotavail",
    "address not available",
    "too many open files",
    "emfile",
    "enfile",
    "no buffer space",
    "enobufs",
    "only one usage of each socket address",
    "lacked sufficient buffer space",
    "address already in use",
    "eaddrinuse",
    "bindexception",
    "no socket was left",
)
"""What a system, or who read a tool's text, says when no socket is left for another request: the site was never asked."""


def generator_was_the_limit(
    errors: Sequence[tuple[str, int | None]],
    *,
    cpu_share: float | None = None,
    addresses: int | None = None,
    is_tied_to_address: bool | None = None,
) -> str:
    """Return why the load generator, not the site, was the limit; "" where nothing shows that.

    `is_tied_to_address`: session persistence by address, or a limit for each address, was in force.
    """
    if cpu_share is not None and cpu_share >= BUSY:
        return f"The load generator’s own processor was {cpu_share:.0%} busy."
    # What begins with a status is an answer: the site itself may have run out of them.
    unanswered = [kind.casefold() for kind, count in errors if count != 0 and not kind[:3].isdecimal()]
    if any(word in kind for kind in unanswered for word in OWN_SOCKETS):
        return "The load generator had no socket left for some requests: the site was never asked."
    if addresses == 1 and is_tied_to_address:
        return "All requests came from one address, and the pool ties an address to one server or limits it."
    return ""
