"""Made-up traffic, hourly: what is in it is known. The generators that the models were tuned on are others."""

from __future__ import annotations

import numpy as np

HOURS = 30 * 24
MONTH_HOURS = 365.25 / 12 * 24


def traffic(seed, *, hours=HOURS, percent_a_month=0.0, noise=0.05, correlated=0.5, level=1000.0):
    """Working days with a morning and an evening peak, quieter weekends, compound growth, noise with a memory."""
    rng = np.random.default_rng(seed)
    at = np.arange(hours)
    hour, weekday = at % 24, at // 24 % 7
    day = (
        0.35
        + np.exp(-((hour - rng.uniform(9, 12)) ** 2) / 14)
        + 0.8 * np.exp(-((hour - rng.uniform(18, 21)) ** 2) / 8)
    )
    week = np.where(weekday >= 5, rng.uniform(0.6, 0.9), 1.0)
    growth = (1 + percent_a_month / 100) ** (at / MONTH_HOURS)
    wander = np.empty(hours)
    now = 0.0
    for step, shock in enumerate(rng.normal(size=hours)):
        now = correlated * now + np.sqrt(1 - correlated**2) * shock
        wander[step] = now
    return level * day * week * growth * (1 + noise * wander)


def with_event(values, begin, hours, multiple):
    """Lay an event over it: up within a sixth of its time, then down slowly; the peak is `multiple` times normal."""
    found = values.copy()
    up = max(1, hours // 6)
    shape = np.concatenate([np.linspace(0.5, 1, up), np.linspace(1, 0.3, hours - up)])
    found[begin : begin + hours] *= 1 + (multiple - 1) * shape
    return found
