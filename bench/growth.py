"""How good forecasts, intervals, growth and events are, and how many series a second, beside statsmodels.

Accuracy is measured by rolling origin: each forecast is made anew from the values before its origin alone. The series are
made up (`bench/made_up.py`, twelve kinds, nothing was tuned on them), real hours (`bench/real_hours.py`), and what
statsmodels brings. The
peers are what a team would take from the shelf: Holt-Winters and STL of statsmodels, on the same series.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.made_up import KINDS, many
from bench.real_hours import windows
from capacity.growth import Forecast, analyse_many, forecast, forecast_many
from capacity.growth.events import find_events
from capacity.growth.highest import highest

Numbers: TypeAlias = NDArray[np.float64]

EACH = int(os.environ.get("GROWTH_EACH", "20"))
"""Series of each kind; 20 make 240."""
HOURS = 30 * 24
MONTH_H = 28 * 24
HIGHEST_EACH = 10
HORIZON = 48
ORIGINS = (HOURS - 96, HOURS - 48 - 11, HOURS)
"""Three origins a series, at different hours of the day."""
SPEED_SERIES = int(os.environ.get("GROWTH_SERIES", "1000"))
PEER_SERIES = 24
PEERS = ((24, "estimated"), (168, "heuristic"))
"""As they come, and as somebody who knows them would set them for hours: the first state of 168 hours is not fitted."""
LEVELS = ("50", "80", "95")


def growth(say: Callable[[str], None]) -> dict[str, float]:
    """Measure in a process of its own, say its tables, and return the figures."""
    # One thread for everybody: with more, those of the peers' optimiser stand in each other's way.
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "bench.growth"], env=env, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        last = ""
        for line in child.stdout:
            if last:
                say(last)
            last = line.rstrip("\n")
    if child.returncode:
        raise SystemExit(f"bench.growth ended with {child.returncode}.")
    figures: dict[str, float] = json.loads(last)
    return figures


def measure(say: Callable[[str], None]) -> dict[str, float]:
    """Measure everything and return the figures."""
    figures = _accuracy(say) | _real_hours(say) | _highest(say) | _real(say) | _found(say) | _speed(say)
    return {name: round(value, 4) for name, value in figures.items()}


# --- accuracy ----------------------------------------------------------------------------------------------------


def _naive(known: Numbers, season: int, horizon: int) -> Numbers:
    last = known[-season:].copy()
    back = known[:-season]
    while np.isnan(last).any() and len(back) >= season:
        last = np.where(np.isnan(last), back[-season:], last)
        back = back[:-season]
    return np.where(np.isnan(last), np.nanmedian(known), last)[np.arange(horizon) % season]


def _scaled(point: Numbers, known: Numbers, real: Numbers, season: int) -> float:
    scale = float(np.nanmean(np.abs(known[season:] - known[:-season])))
    return float(np.nanmean(np.abs(point - real))) / scale


def _inside(made: Forecast, real: Numbers) -> list[float]:
    seen = np.isfinite(real)
    return [
        float(
            ((real >= getattr(made, f"lower{level}")) & (real <= getattr(made, f"upper{level}")))[seen].mean()
        )
        for level in LEVELS
    ]


def _accuracy(say: Callable[[str], None]) -> dict[str, float]:
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    rates: dict[str, list[list[float]]] = defaultdict(list)
    named = 0
    series = list(many(EACH, HOURS + HORIZON))
    for origin in ORIGINS:
        made = forecast_many((one.values[:origin] for one in series), HORIZON)
        for one, found in zip(series, made, strict=True):
            known, real = one.values[:origin], one.values[origin : origin + HORIZON]
            if not np.isfinite(real).any():
                continue
            of = scores[one.kind]
            of["ours"].append(_scaled(found.point, known, real, 24))
            for season in (24, 168):
                of[f"naive_{season}"].append(_scaled(_naive(known, season, HORIZON), known, real, 24))
            rates[one.kind].append(_inside(found, real))
            named += found.model.startswith("seasonal naive")
    say(f"{len(series)} made-up series, {len(ORIGINS)} origins each, {HORIZON} hours ahead; MASE (a day):")
    say(f"{'kind':<10} {'ours':>7} {'naive 24':>9} {'naive 168':>10}   inside 50 %, 80 %, 95 %")
    for kind, of in scores.items():
        inside = np.mean(rates[kind], axis=0)
        say(
            f"{kind:<10} {np.mean(of['ours']):>7.3f} {np.mean(of['naive_24']):>9.3f} {np.mean(of['naive_168']):>10.3f}"
            f"   {inside[0]:.3f} {inside[1]:.3f} {inside[2]:.3f}"
        )
    whole = {name: [score for of in scores.values() for score in of[name]] for name in scores["calm"]}
    inside = np.mean([rate for kind in rates.values() for rate in kind], axis=0)
    best = np.minimum(whole["naive_24"], whole["naive_168"])
    figures = {f"growth_mase_{name}": float(np.mean(found)) for name, found in whole.items()}
    figures["growth_series"] = float(len(series))
    figures["growth_better_than_naive_share"] = float(np.mean(np.array(whole["ours"]) < best))
    figures["growth_naive_named_share"] = named / len(whole["ours"])
    return figures | {
        f"growth_inside_{level}": float(rate) for level, rate in zip(LEVELS, inside, strict=True)
    }


def _peers() -> tuple[Any, Any] | None:
    """Return Holt-Winters and STL of statsmodels; None where it is not installed."""
    try:
        smoothing = importlib.import_module("statsmodels.tsa.holtwinters").ExponentialSmoothing
        stl = importlib.import_module("statsmodels.tsa.seasonal").STL
    except ImportError:
        return None
    return smoothing, stl


REAL_EACH, REAL_SEED = 16, 3


def _real_hours(say: Callable[[str], None]) -> dict[str, float]:
    """Real hourly series, each window forecast once from its end, as in the M4 competition."""
    found = list(windows(REAL_EACH, HORIZON, REAL_SEED))
    if not found:
        say("requirements/bench-data.txt is not installed: no real hourly series.")
        return {}
    scores: dict[str, list[list[float]]] = defaultdict(list)
    made = forecast_many((known for _, known, _ in found), HORIZON)
    for (source, known, real), one in zip(found, made, strict=True):
        points = one.point, _naive(known, 24, HORIZON), _naive(known, 168, HORIZON)
        scores[source].append([*(_scaled(point, known, real, 24) for point in points), *_inside(one, real)])
    say(f"{len(found)} windows of real hours, {HORIZON} ahead; MASE (a day):")
    say(f"{'source':<30} {'ours':>7} {'naive 24':>9} {'naive 168':>10}   inside 50 %, 80 %, 95 %")
    for source, rows in scores.items():
        mean = np.mean(rows, axis=0)
        say(
            f"{source:<30} {mean[0]:>7.3f} {mean[1]:>9.3f} {mean[2]:>10.3f}   {mean[3]:.3f} {mean[4]:.3f} {mean[5]:.3f}"
        )
    whole = np.array([row for rows in scores.values() for row in rows])
    figures = {"growth_hours_series": float(len(whole))}
    figures["growth_hours_better_than_naive_share"] = float(
        np.mean(whole[:, 0] < np.minimum(whole[:, 1], whole[:, 2]))
    )
    names = ("mase_ours", "mase_naive_24", "mase_naive_168", "inside_50", "inside_80", "inside_95")
    return figures | {
        f"growth_hours_{name}": float(value) for name, value in zip(names, whole.mean(axis=0), strict=True)
    }


def _real(say: Callable[[str], None]) -> dict[str, float]:
    """The real series that statsmodels brings, by rolling origin."""
    found = list(_packaged())
    if not found:
        say("statsmodels is not installed: no real series, and no peer.")
        return {}
    ours, naive, rates = [], [], []
    for name, values, season, horizon in found:
        last = len(values) - horizon
        of_ours, of_naive, inside = [], [], []
        for origin in np.linspace(max(last // 2, 3 * season), last, 6).astype(int).tolist():
            known, real = values[:origin], values[origin : origin + horizon]
            if np.isfinite(real).sum() == 0:
                continue
            made = forecast(known, horizon, (season,))
            of_ours.append(_scaled(made.point, known, real, season))
            of_naive.append(_scaled(_naive(known, season, horizon), known, real, season))
            inside.append(_inside(made, real))
        say(
            f"real: {name:<22} season {season:>2}, {horizon:>2} ahead: {np.mean(of_ours):.3f}, naive {np.mean(of_naive):.3f}"
        )
        ours.append(float(np.mean(of_ours)))
        naive.append(float(np.mean(of_naive)))
        rates.append(np.mean(inside, axis=0))
    return {
        "growth_real_series": float(len(found)),
        "growth_real_mase_ours": float(np.mean(ours)),
        "growth_real_mase_naive": float(np.mean(naive)),
    } | {
        f"growth_real_inside_{level}": float(rate)
        for level, rate in zip(LEVELS, np.mean(rates, axis=0), strict=True)
    }


def _packaged() -> Iterator[tuple[str, Numbers, int, int]]:
    try:
        sets = importlib.import_module("statsmodels.datasets")
    except ImportError:
        return
    weekly = sets.co2.load().data["co2"].to_numpy(float)
    yield "CO2, weeks", weekly[-600:], 52, 26
    months = weekly[: len(weekly) // 4 * 4].reshape(-1, 4)
    yield "CO2, every 4th week", months[:, 0], 13, 13
    yield "sea surface, months", sets.elnino.load().data.iloc[:, 1:].to_numpy(float).ravel(), 12, 12
    yield "sunspots, years", sets.sunspots.load().data["SUNACTIVITY"].to_numpy(float), 11, 11
    yield "the Nile, years", sets.nile.load().data["volume"].to_numpy(float), 1, 6
    macro = sets.macrodata.load().data
    for name in ("realgdp", "realcons", "realinv", "cpi", "m1", "tbilrate", "unemp", "pop", "infl"):
        yield f"economy: {name}", macro[name].to_numpy(float), 4, 8
    copper = sets.copper.load().data
    for name in copper.columns[:3]:
        yield f"copper: {name}", copper[name].to_numpy(float), 1, 4


# --- growth and events -------------------------------------------------------------------------------------------


def _highest(say: Callable[[str], None]) -> dict[str, float]:
    """How often the highest hour of a week, and of four weeks, lay in its 80 % interval; and in that of the likeliest hour."""
    lay: dict[str, list[bool]] = defaultdict(list)
    for _source, known, came in windows(HIGHEST_EACH, MONTH_H, REAL_SEED):
        made = forecast(known, MONTH_H)
        normal = find_events(known, 24, 168)
        for name, steps in (("week", 168), ("month", MONTH_H)):
            real, likeliest = float(came[:steps].max()), int(np.argmax(made.point[:steps]))
            found = highest(known, normal, made, steps)
            lay[name].append(found.low <= real <= found.high)
            lay[f"{name}_of_likeliest"].append(
                bool(made.lower80[likeliest] <= real <= made.upper80[likeliest])
            )
    for name, inside in lay.items():
        say(f"highest hour of a {name.replace('_', ' ')}: {np.mean(inside):.0%} of {len(inside)} inside 80 %")
    return {f"growth_highest_{name}_inside_80": float(np.mean(inside)) for name, inside in lay.items()}


def _found(say: Callable[[str], None]) -> dict[str, float]:
    """Growth that was put in, and events that were put in."""
    series = list(many(EACH, 60 * 24))
    inside, off, hits, put_in, right, told = [], [], 0, 0, 0, 0
    for one, found in zip(series, analyse_many((one.values for one in series), 1), strict=True):
        rate = found.growth
        # A level that wanders, or counts of nothing by night, has no growth that was put in.
        if one.kind != "wandering" and rate.percent_low is not None and rate.percent_high is not None:
            inside.append(rate.percent_low <= one.percent_a_month <= rate.percent_high)
            off.append(abs((rate.percent_a_month or 0.0) - one.percent_a_month))
        if one.kind in ("sales", "calm", "sticky", "counts"):
            windows = [(event.begin, event.end) for event in found.events]
            put_in += len(one.events)
            told += len(windows)
            hits += sum(any(begin < b and a < end for a, b in windows) for begin, end in one.events)
            right += sum(any(begin < b and a < end for begin, end in one.events) for a, b in windows)
    figures = {
        "growth_percent_inside_95": float(np.mean(inside)),
        "growth_percent_off_median": float(np.median(off)),
        "growth_events_found_share": hits / put_in,
        "growth_events_right_share": right / told,
    }
    say(
        f"growth: {figures['growth_percent_inside_95']:.0%} of 95 % intervals hold what was put in; events: "
        f"{hits} of {put_in} found, {told} told"
    )
    return figures


# --- speed -------------------------------------------------------------------------------------------------------


def _speed(say: Callable[[str], None]) -> dict[str, float]:
    """Events, growth and forecast of many series of 30 days, and the peers on some of the same.

    A second is one of processor time, on one thread: what else the machine does makes nobody slower.
    """
    kinds = len(KINDS)
    rows = [one.values for one in many(-(-PEER_SERIES // kinds), HOURS + HORIZON)]
    known = [row[:HOURS] for row in rows]

    def endless(count: int) -> Iterator[Numbers]:
        for number in range(count):
            yield known[number % len(known)] * (1.0 + number / count)

    for _ in analyse_many(endless(64), HORIZON):  # what is loaded and reserved once
        pass
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    for _ in analyse_many(endless(SPEED_SERIES), HORIZON):
        pass
    took = time.process_time() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    figures = {
        "growth_series_per_s": SPEED_SERIES / took,
        "growth_memory_mb_over_first_64_series": grown / 1024.0,
    }
    say(
        f"{SPEED_SERIES} series of {HOURS} hours, events and growth and forecast: {SPEED_SERIES / took:.0f} a second"
    )
    peers = _peers()
    if peers is None:
        return figures
    made = list(forecast_many(iter(known), HORIZON))
    ours = [_scaled(one.point, row[:HOURS], row[HOURS:], 24) for one, row in zip(made, rows, strict=True)]
    figures["growth_mase_on_peer_series"] = float(np.mean(ours))
    say(f"statsmodels on {len(rows)} of them, where our MASE is {np.mean(ours):.3f}:")
    for season, first_state in PEERS:
        took, score = _peer(peers, rows, season, first_state)
        figures |= {
            f"growth_peer_{season}_series_per_s": len(rows) / took,
            f"growth_over_peer_{season}": figures["growth_series_per_s"] * took / len(rows),
            f"growth_peer_{season}_mase": score,
        }
        say(
            f"  Holt-Winters (season {season}, first state {first_state}) and STL: {len(rows) / took:.1f} a second, "
            f"MASE {score:.3f}"
        )
    figures["growth_over_peer"] = min(figures[f"growth_over_peer_{season}"] for season, _ in PEERS)
    return figures


def _peer(peers: tuple[Any, Any], rows: list[Numbers], season: int, first_state: str) -> tuple[float, float]:
    """Return the seconds that the peers take over all rows, and the mean scaled error of Holt-Winters."""
    smoothing, stl = peers
    scores, began = [], time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in rows:
            # They take no missing values.
            at = np.arange(HOURS)
            seen = np.isfinite(row[:HOURS])
            whole = np.interp(at, at[seen], row[:HOURS][seen])
            stl(whole, period=season).fit()
            model = smoothing(
                whole,
                trend="add",
                damped_trend=True,
                seasonal="add",
                seasonal_periods=season,
                initialization_method=first_state,
            )
            scores.append(_scaled(np.asarray(model.fit().forecast(HORIZON)), row[:HOURS], row[HOURS:], 24))
    return time.process_time() - began, float(np.mean(scores))


if __name__ == "__main__":
    print(json.dumps(measure(print)))
