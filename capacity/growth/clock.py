"""Clocks that are put forward or back: from one day on the whole day comes an hour earlier or later.

Traffic follows the clock on the wall, samples follow UTC. What was before the change is moved by that hour, so that an hour
is held against the same hour of the wall. Where the change was is read from the series itself: a customer's visitors need
not live in the zone that the account names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from capacity.growth.smooth import NORMAL_PER_MAD, Numbers, medians, row_means

Steps: TypeAlias = NDArray[np.int64]
Told = TypeVar("Told", bound=np.generic)

HOURS = 24
SIDES = (14, 7)
"""Whole weeks on both sides of a change, so that weekdays do not look like one."""
NEAR_AN_HOUR = 0.35
SURE_T = 5.0
LEFT_OVER = 0.6
"""The day moved by an hour must leave less than this share of the difference."""
MOST_CHANGES = 8
NEAR_DAYS = 3


@dataclass(frozen=True)
class Clock:
    """Where the clock was changed: the first step after each change, and by how many steps days came later from then on.

    In order of time. `as_now` and `as_then` take and return one value a step, (steps,).
    """

    changes: tuple[tuple[int, int], ...] = ()

    def as_now(self, values: Numbers) -> Numbers:
        """Return the values as if the last clock had always been in force; NaN where there was no such hour."""
        found = values
        for cut, by in self.changes:
            moved = np.full(cut, np.nan)
            if by > 0:
                moved[by:] = found[: cut - by]
            else:
                moved[:by] = found[-by:cut]
            found = np.concatenate([moved, found[cut:]])
        return found

    def as_then(self, values: NDArray[Told]) -> NDArray[Told]:
        """Return what was told of each step of `as_now` for the steps as they were; the nearest for a lost hour."""
        steps = np.arange(len(values))
        told: NDArray[Told] = values[np.clip(self._now(steps), 0, len(values) - 1)]
        return told

    def then(self, step: int) -> int:
        """Return the step that lies at `step` of `as_now`."""
        return max(0, step - sum(by for cut, by in self.changes if step < cut))

    def _now(self, steps: Steps) -> Steps:
        found = steps.copy()
        for cut, by in self.changes:
            # What lies right before the change is moved past it by no more than up to it.
            found = np.where(steps < cut, np.minimum(found + by, max(cut - 1, 0)), found)
        return found


NONE = Clock()


def clock_of(rows: Numbers) -> Clock:
    """Return the clock of a series whose days are `rows` (days, steps a day); NaN where unknown.

    Only days whose steps are an hour or a whole part of it have clocks that are changed.
    """
    days, day = rows.shape
    if day % HOURS or days < 2 * SIDES[-1]:
        return NONE
    hour = day // HOURS
    level = row_means(rows)[:, None]
    shapes = rows / level if (level > 0.0).all() else rows - level
    usual = _usual(shapes)
    phases = _phases(shapes, usual - usual.mean(), hour)
    if phases is None:
        return NONE
    found: list[tuple[int, int]] = []
    _search(shapes, phases, hour, 0, days, found)
    return Clock(tuple(sorted(found)))


def _usual(rows: Numbers) -> Numbers:
    return np.nan_to_num(medians(rows, 0))


def _phases(rows: Numbers, usual: Numbers, hour: int) -> Numbers | None:
    """Return by how many hours each day comes later than the usual one, NaN where it says nothing; None if none does.

    The top of the parabola through how well the usual day, an hour earlier, as it is and an hour later, goes with it.
    """
    filled = np.nan_to_num(rows)
    scores = filled @ np.stack([np.roll(usual, by) for by in (-hour, 0, hour)], axis=1)
    bend = 2.0 * scores[:, 1] - scores[:, 0] - scores[:, 2]
    least = 2.0 * (usual @ usual - usual @ np.roll(usual, hour))
    if least <= 0.0:
        return None
    is_good = (bend > 0.3 * least) & (np.isfinite(rows).mean(axis=1) > 0.8)
    with np.errstate(divide="ignore", invalid="ignore"):
        phases = np.where(is_good, (scores[:, 2] - scores[:, 0]) / (2.0 * bend), np.nan)
    return np.clip(phases, -2.0, 2.0)


def _search(
    rows: Numbers, phases: Numbers, hour: int, begin: int, end: int, found: list[tuple[int, int]]
) -> None:
    """Add the change between two days that is surest, then those before and after it."""
    if len(found) >= MOST_CHANGES:
        return
    for side in SIDES:
        if end - begin >= 2 * side:
            cut, by = _surest(phases[begin:end], side, hour)
            cut += begin
            if by and _explains(rows[max(begin, cut - side) : cut], rows[cut : min(end, cut + side)], by):
                found.append((_moment_of(rows, cut, side, by), by))
                _search(rows, phases, hour, begin, cut, found)
                _search(rows, phases, hour, cut, end, found)
                return


def _surest(phases: Numbers, side: int, hour: int) -> tuple[int, int]:
    """Return the day at which the days on both sides part by an hour most surely, and by how many steps; 0 for none."""
    windows = np.lib.stride_tricks.sliding_window_view(phases, side)
    seen = np.isfinite(windows).sum(axis=1) >= 0.7 * side
    middles, spreads = np.zeros(len(windows)), np.full(len(windows), np.inf)
    middles[seen] = medians(windows[seen], 1)
    spreads[seen] = NORMAL_PER_MAD * medians(np.abs(windows[seen] - middles[seen, None]), 1)
    steps = middles[side:] - middles[:-side]
    noise = np.maximum((spreads[side:] + spreads[:-side]) / 2.0, 0.02) * np.sqrt(2.0 / side)
    sure = np.where(np.abs(np.abs(steps) - 1.0) <= NEAR_AN_HOUR, np.abs(steps) / noise, 0.0)
    at = int(np.argmax(sure))
    if sure[at] < SURE_T:
        return 0, 0
    # Medians part all the same some days beside the change: the day is where the days' own sides part best.
    near = np.nan_to_num(phases[at : at + 2 * side], nan=(middles[at] + middles[at + side]) / 2.0)
    gains = np.abs(near - middles[at]) - np.abs(near - middles[at + side])
    later = np.concatenate([[0.0], np.cumsum(gains)])
    day = at + int(np.argmin(later[1:-1])) + 1
    return day, hour if steps[at] > 0 else -hour


def _explains(before: Numbers, after: Numbers, by: int) -> bool:
    """Return whether the usual day before, moved by so many steps, is the one after, and unmoved is not."""
    one, two = _usual(before), _usual(after)
    moved = float(np.abs(np.roll(one, by) - two).mean())
    return moved < LEFT_OVER * float(np.abs(one - two).mean())


def _moment_of(rows: Numbers, cut: int, side: int, by: int) -> int:
    """Return the step of the change, within a few days of the day `cut`: where steps begin to be like those after it.

    Each day is held against its own weekday on both sides, on the clock of before and on that of after.
    """
    day = rows.shape[1]
    low, high = max(0, cut - NEAR_DAYS), min(len(rows), cut + NEAR_DAYS + 1)
    gains = []
    for at in range(low, high):
        others = [at + 7 * weeks for weeks in range(-side // 7 - 1, side // 7 + 2) if weeks]
        others = [
            one
            for one in others
            if cut - side <= one < min(cut + side, len(rows)) and abs(one - cut) > NEAR_DAYS
        ]
        alike = [rows[one] if one < cut else np.roll(rows[one], -by) for one in others]
        before = _usual(np.array(alike)) if alike else _usual(rows[max(0, cut - side) : cut])
        after = np.roll(before, by)
        gains.append(np.abs(rows[at] - before) - np.abs(rows[at] - after))
    later = np.concatenate([[0.0], np.cumsum(np.nan_to_num(np.concatenate(gains)))])
    return int(low * day + np.argmin(later))
