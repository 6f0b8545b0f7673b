"""What is asked of a provider's monitoring, and what its points are worth. Pure.

It keeps every measurement for two days, and averages over minutes to a day for longer; how long it keeps which is not
documented, so the finest one that still answers is looked for. An answer has at most 1,440 points.
Source: provider reference, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from portal.cloud.types import Plotted, Resolution

MOST_POINTS = 1440
FULL_KEPT = timedelta(days=2)
SPARE = timedelta(hours=1)
"""How much younger than `FULL_KEPT` must be what is asked for in full: the answer takes its time."""
JOIN = timedelta(hours=6)
"""By how much history goes on into full data, so that the next question, hours later perhaps, is one in full."""
PERIOD_S = 60
"""The period of a check that names none."""
MOST_GAP = 3
"""Over how many periods without a point a counter's growth still tells a rate."""


@dataclass(frozen=True)
class Stretch:
    """One question: both ends, and how fine."""

    begins: datetime
    ends: datetime
    resolution: Resolution


def stretch(
    reached: datetime,
    now: datetime,
    *,
    back_s: float,
    period_s: int | None,
    finest: Resolution = Resolution.MIN5,
) -> Stretch:
    """Return the next question on the way from `reached` to `now`, reaching back for what came late.

    What is older than full data is kept is asked for in `finest` (never FULL), from one point earlier, since a rate needs
    two; it is history, for which nothing comes late. `back_s` counts for full data only.
    """
    full_from = now - FULL_KEPT + SPARE
    if reached >= full_from:
        first = max(reached - timedelta(seconds=back_s), full_from)
        return Stretch(first, _end(first, now, period_s or PERIOD_S), Resolution.FULL)
    if finest is Resolution.FULL:
        raise ValueError("full data of that age is not kept")
    first = reached - timedelta(seconds=finest.width_s)
    return Stretch(first, _end(first, full_from + JOIN, finest.width_s), finest)


def ladder(reached: datetime, now: datetime, *, back_s: float, period_s: int | None) -> tuple[Stretch, ...]:
    """Return the next question, and the coarser ones of the same stretch to ask as long as no answer reaches back to its beginning.

    Of full data there is one only: where it has nothing, there is nothing.
    """
    first = stretch(reached, now, back_s=back_s, period_s=period_s)
    if first.resolution is Resolution.FULL:
        return (first,)
    return tuple(
        Stretch(reached - timedelta(seconds=one.width_s), first.ends, one)
        for one in Resolution
        if one.width_s
    )


def reaches_back(points: Sequence[Plotted], asked: Stretch) -> bool:
    """Whether an answer holds the beginning of what was asked for: finer points are kept less long than coarser ones."""
    width_s = asked.resolution.width_s
    return bool(points) and (points[0].at - asked.begins).total_seconds() <= (MOST_GAP + 1) * width_s


def completed(finer: Sequence[Plotted], coarser: Sequence[Plotted]) -> tuple[Plotted, ...]:
    """Return the finer points, and before the first of them the coarser ones."""
    first = finer[0].at if finer else None
    return (*(point for point in coarser if first is None or point.at < first), *finer)


def _end(first: datetime, last: datetime, width_s: int) -> datetime:
    """Return the last moment that an answer still has room for, a tenth kept free: checks run early now and then."""
    return max(first, min(last, first + timedelta(seconds=width_s * (MOST_POINTS * 9 // 10))))


def step_s(resolution: Resolution, period_s: int | None) -> int:
    """Return the seconds between two points."""
    return resolution.width_s or period_s or PERIOD_S


def rates(points: Sequence[Plotted], step_s: int, *, is_averaged: bool) -> tuple[Plotted, ...]:
    """Return by how much a cumulative counter grew each second, at the later point of each pair.

    A counter that fell began anew (a reboot): that pair tells nothing, and of averages the next one neither, since the
    average in which it began anew is made of both. Over a gap of more than `MOST_GAP` steps nothing is told.
    """
    found: list[Plotted] = []
    has_fallen = False
    for before, after in pairwise(points):
        seconds = (after.at - before.at).total_seconds()
        if seconds <= 0:
            raise ValueError("the points are not in order of time")
        fell = after.value < before.value
        if not fell and not (is_averaged and has_fallen) and seconds <= MOST_GAP * step_s:
            found.append(Plotted(after.at, (after.value - before.value) / seconds))
        has_fallen = fell
    return tuple(found)


@dataclass(frozen=True)
class Usual:
    """What a metric of the provider's is usually called here. No `name`: its own."""

    name: str = ""
    unit: str = ""
    kind: str = ""
    factor: float = 1.0
    is_counter: bool = False


def usual(check_type: str, metric: str) -> Usual:
    """Return how a metric of a check is usually kept: percentages as shares, counted bytes as bytes a second."""
    match check_type, metric.rpartition(".")[2]:
        case "agent.cpu", "usage_average":
            return Usual("cpu_share", factor=0.01)
        case "agent.network", ("rx_bytes" | "tx_bytes") as way:
            return Usual(f"{way}_per_s", "bytes/s", "throughput", is_counter=True)
        case "agent.network", way if way.startswith(("rx_", "tx_")):
            return Usual(f"{way}_per_s", "1/s", "throughput", is_counter=True)
        case "agent.memory", _:
            return Usual(unit="bytes")
        case _, "connections":
            return Usual("connections")
        case "remote.http", ("duration" | "tt_connect" | "tt_firstbyte"):
            return Usual(f"{metric.replace('.', '_')}_ms", "ms", "latency")
    return Usual()


def is_stale(newest: datetime | None, now: datetime, step_s: int) -> bool:
    """Whether the newest point says nothing of now: there is none, or it is more than `MOST_GAP` steps old."""
    return newest is None or (now - newest).total_seconds() > MOST_GAP * step_s
