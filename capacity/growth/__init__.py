"""Growth, events and forecasts of a series: arrays in, frozen dataclasses out; no clock, database or network.

`forecast`, `detect_events`, `growth` and `analyse` answer for one series, `forecast_many` and `analyse_many` for any
number of them in one process, `backtest` says how good forecasts were. Formulae and sources: docs/capacity.md
"""

from __future__ import annotations

from capacity.growth.analysis import (
    analyse,
    analyse_many,
    backtest,
    detect_events,
    forecast,
    forecast_many,
    growth,
)
from capacity.growth.types import Analysis, Backtest, Event, Forecast, Growth

__all__ = [
    "Analysis",
    "Backtest",
    "Event",
    "Forecast",
    "Growth",
    "analyse",
    "analyse_many",
    "backtest",
    "detect_events",
    "forecast",
    "forecast_many",
    "growth",
]
