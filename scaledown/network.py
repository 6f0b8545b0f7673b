"""Whether the network of a draining server has gone quiet: evidence that is worked out, not counted. Pure.

Nothing here counts connections. A server that serves nobody sends next to nothing; so its traffic is held against its own before
the drain (spec, *When are the connections gone?*: "the server's network rate near idle"). What it cannot see is a connection on
which nothing is sent, and it says nothing where hardly anything was sent before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from portal.cloud.types import Interface, NetworkRate
from scaledown.types import NetworkSeen

BEFORE_S = 900.0
"""How much of the time before the drain it is held against."""
FEWEST_BEFORE = 3
FEWEST_QUIET = 3
"""As many figures running as there are looks for a counted zero."""
QUIET_SHARE = 0.02
"""Up to this share of what it carried before, a server is near idle: monitors and the agent itself go on."""
LEAST_BEFORE = 5_000.0
"""Bytes per second: whoever carried less than this before shows nothing by falling silent."""
MOST_PERIODS_OLD = 3
"""How old the newest figure may be, in periods of its check."""


@dataclass(frozen=True)
class Quiet:
    """What the network of a server says. Bytes per second over all interfaces; None is unknown.

    `is_quiet`: it carries next to nothing in each of the newest `figures` figures. `problem`: why nothing can be told.
    """

    is_quiet: bool
    before: float | None = None
    now: float | None = None
    figures: int = 0
    at: datetime | None = None
    problem: str = ""

    @property
    def evidence(self) -> str:
        """By what it counts as quiet, as the rest of a sentence."""
        return (
            f"its network carries {_per_second(self.now or 0.0)} in {self.figures} figures running, "
            f"{_per_second(self.before or 0.0)} before the drain (the provider's agent.network); connections on which nothing is "
            "sent do not show"
        )

    @property
    def says(self) -> str:
        """What is known, as a sentence."""
        if self.is_quiet:
            return f"{self.evidence[:1].upper()}{self.evidence[1:]}."
        if self.problem:
            return f"Its network tells nothing: {self.problem.rstrip('.')}."
        before = _per_second(self.before or 0.0)
        if self.now is None:
            return f"Its network carried {before} before; the next figures of it are awaited."
        return f"Its network carries {_per_second(self.now)}, {before} before the drain."


def _per_second(rate: float) -> str:
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if rate >= size:
            return f"{rate / size:.1f} {unit}/s"
    return f"{rate:.0f} bytes/s"


def judged(seen: NetworkSeen | None, *, begun_at: datetime, from_at: datetime, now: datetime) -> Quiet | None:
    """Return what the network of a server says of its drain, or None where nothing measures it.

    `begun_at` is when it began to drain, `from_at` from when on quiet counts: the shortest drain time is over.
    """
    if seen is None or (not seen.problem and not seen.interfaces):
        return None
    if seen.problem:
        return Quiet(False, problem=seen.problem)
    before = [one for each in seen.interfaces if (one := _before(each, begun_at)) is not None]
    if len(before) < len(seen.interfaces):
        return Quiet(False, problem="too few network figures from before the drain")
    carried = sum(before)
    if carried < LEAST_BEFORE:
        return Quiet(False, carried, problem="it carried too little before the drain to tell")
    since = [[rate for rate in each.rates if rate.begins >= from_at] for each in seen.interfaces]
    newest = [rates[-1] for rates in since if rates]
    if len(newest) < len(since):
        return Quiet(False, carried)
    for each, last in zip(seen.interfaces, newest, strict=True):
        age_s = (now - last.ends).total_seconds()
        if not 0 <= age_s <= MOST_PERIODS_OLD * each.period_s + seen.slack_s:
            return Quiet(False, carried, problem="its network figures are too old")
    # Each interface at its busiest of these figures: their moments differ.
    carries = sum(max(rate.bytes_per_s for rate in rates[-FEWEST_QUIET:]) for rates in since)
    figures = min(len(_running(rates)) for rates in since)
    return Quiet(
        figures >= FEWEST_QUIET and carries <= QUIET_SHARE * carried,
        carried,
        sum(rate.bytes_per_s for rate in newest),
        min(figures, FEWEST_QUIET),
        min(rate.ends for rate in newest),
    )


def _before(interface: Interface, begun_at: datetime) -> float | None:
    earliest = begun_at - timedelta(seconds=BEFORE_S)
    rates = [
        rate.bytes_per_s for rate in interface.rates if earliest <= rate.begins and rate.ends <= begun_at
    ]
    return median(rates) if len(rates) >= FEWEST_BEFORE else None


def _running(rates: list[NetworkRate]) -> list[NetworkRate]:
    """Return the newest of these figures between which none is missing, newest first."""
    found: list[NetworkRate] = []
    for rate in reversed(rates):
        if found and found[-1].begins != rate.ends:
            break
        found.append(rate)
    return found
