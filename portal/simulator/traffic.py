"""The arithmetic of traffic: demand with a daily season, open connections, latency and errors under load.

Everything is closed-form, so that a world can jump any distance at the same cost and reads change nothing.
Demand is a sum of complex exponentials, `D(t) = Re sum(A * exp(z * t))`; a class of connections with mean life
`tau` obeys `dn/dt = arrivals - n / tau`, whose solution for such arrivals is exact.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

DAY_S = 86_400.0

Terms = tuple[tuple[complex, complex], ...]


@dataclass(frozen=True)
class Demand:
    """Requests per second that visitors want: `level * (1 + season * cos(omega * t + phase))`."""

    level_rps: float
    season: float
    omega: float
    phase: float

    def at(self, t: float) -> float:
        return self.level_rps * (1.0 + self.season * math.cos(self.omega * t + self.phase))

    def most(self) -> float:
        return self.level_rps * (1.0 + abs(self.season))

    def between(self, begins: float, ends: float) -> float:
        """Return how many requests visitors want from `begins` to `ends`."""
        even = self.level_rps * (ends - begins)
        if not self.season or not self.omega:
            return even * (1.0 + self.season * math.cos(self.phase))
        swing = math.sin(self.omega * ends + self.phase) - math.sin(self.omega * begins + self.phase)
        return even + self.level_rps * self.season * swing / self.omega

    def terms(self, anchor_t: float) -> Terms:
        """Return the exponentials (amplitude, exponent per second) counted from `anchor_t`."""
        flat: tuple[complex, complex] = (complex(self.level_rps), 0j)
        if not self.season or not self.omega:
            level = self.at(anchor_t)
            return ((complex(level), 0j),)
        swing = self.level_rps * self.season * cmath.exp(1j * (self.omega * anchor_t + self.phase))
        return (flat, (swing, 1j * self.omega))


def season_of(level_rps: float, season: float, peak_hour: float, start_hour: float, speed: float) -> Demand:
    """Return the demand of a day that peaks at `peak_hour` (UTC), `start_hour` being the hour at world time 0."""
    omega = 2.0 * math.pi * speed / DAY_S
    phase = 2.0 * math.pi * (start_hour - peak_hour) / 24.0
    return Demand(level_rps, season, omega, phase)


def value(terms: Terms, u: float, damping: float = 0.0) -> float:
    """Return the sum `u` seconds after the anchor, times exp(-damping * u)."""
    return sum((a * cmath.exp((z - damping) * u)).real for a, z in terms)


def total(terms: Terms, u: float, damping: float = 0.0) -> float:
    """Return the integral of `value` from the anchor to `u` seconds after it."""
    result = 0.0
    for a, z in terms:
        rate = z - damping
        if abs(rate) * u < 1e-6:
            result += (a * u * (1.0 + rate * u / 2.0)).real
        else:
            result += (a * (cmath.exp(rate * u) - 1.0) / rate).real
    return result


def answer(terms: Terms, u: float, life_s: float, damping: float = 0.0) -> float:
    """Return what arrivals of 1 x `value` since the anchor have left open after `u` seconds, mean life `life_s`."""
    fade = math.exp(-u / life_s)
    result = 0.0
    for a, z in terms:
        rate = z - damping
        pole = rate + 1.0 / life_s
        if abs(pole) < 1e-9:
            result += (a * u * fade).real
        else:
            result += (a * (cmath.exp(rate * u) - fade) / pole).real
    return result


KNEE = 0.9
"""The share of its capacity from which a server begins to fail requests."""

EDGE_ERRORS = 0.05
"""The share of failed requests of a server at exactly its capacity."""

SLOWEST = 25.0
"""Latency never grows by more than this factor: beyond it requests fail instead."""


def latency_factor(load: float) -> float:
    """Return by how much latency grows at `load` (requests per second over capacity); 1.0 when idle."""
    if load <= 0.0:
        return 1.0
    if load >= 1.0:
        return SLOWEST
    return min(SLOWEST, 1.0 + 0.6 * load**3 / (1.0 - load))


def error_ratio(load: float) -> float:
    """Return the share of requests that fail at `load`: none to the knee, then rising; excess fails for sure."""
    if load <= KNEE:
        return 0.0
    if load <= 1.0:
        return EDGE_ERRORS * (load - KNEE) / (1.0 - KNEE)
    return EDGE_ERRORS + (1.0 - EDGE_ERRORS) * (1.0 - 1.0 / load)
