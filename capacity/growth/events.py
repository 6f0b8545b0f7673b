"""Stretches that leave the band of what that hour of that weekday does, and steps of the level that are no such stretch.

Everything rests on medians, so that an event does not hide itself: the level is a running median of daily medians, the
season a median over days and over weeks, the band the median absolute deviation of that slot. An event comes back to
where it came from; a shift of level does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from capacity.growth.clock import NONE, Clock, clock_of
from capacity.growth.smooth import NORMAL_PER_MAD, Numbers, medians, middle

ENTER = 5.5
"""Scales off the band at which a stretch begins to count. Noise that wanders passes 4.5 now and then, this hardly ever."""
STAY = 2.0
"""A stretch goes on while it is this far off."""
GAP_SHARE = 1 / 12
"""A stretch may come back into the band for this share of a day and go on."""
ALONE = 9.0
"""A single step counts from here on."""
LEAST_EXCESS = 0.15
"""Less than this share over the level is no event, however quiet the series is,"""
SMALL = 0.9 * STAY
"""and no more scales off than this: it neither begins a stretch nor goes on with one."""
LEVEL_DAYS = 7
FEW_DAYS = 4
"""In a series of months a "day" is a year, and of less than so many times the days of the running median the growth of five
years would be one level, and noise. Of a few days of hours steps and outages look like growth: there is no such line."""
TREND_DAYS = 3
IS_A_TREND = 1 / 3
"""A line is a trend where days lie off it, on average, by less than this share of what they lie off their middle."""
WIDE_DAYS = 29
LONG_ENTER = 5.0
LONGEST_DAYS = 14
GOES_ON_DAYS, DAY_OF_HOURS = 4, 12
"""What is still on at the end of the series is an event for so many days; after that it is the level. The running level
turns at the same age, and a sale that is on must not become the forecast of all times to come."""
HABIT_DAYS = 6
HABIT = 3
"""What comes back at the same hour of so many of the days around is no event but what that hour does now."""
SAME_LEVEL = 0.5
"""A stretch after which the level stays off by this share of the stretch's own height is a shift."""
TIE = 1.05
"""A season is a multiple of the level unless its distance from it varies less by more than this: while the level stays, both vary
the same but for noise, and then it doubles."""
LEAST_LEVEL = 1e-9
ROUNDS = 2
LOOKS = 3
"""How often the level near its steps is put right and what is off it looked for anew: hardly ever is a third one needed."""
PART_SEASONS = 6
WORTH_KNOWING = 0.3

Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Stretch:
    """One stretch, from step `begin` up to but without `end`.

    `peak_at` is the step farthest from what was expected, in units of the series; `multiple` the value there over what was
    expected, None where that is not above 0. `score` is how far off it was at most, in scales of that slot, negative below.
    """

    begin: int
    end: int
    peak_at: int
    score: float
    multiple: float | None


@dataclass(frozen=True)
class Normal:
    """What a series does without its events, each (steps,): expected values, level, scale of the noise, and the events.

    `is_ratio`: the season is a multiple of the level, else a distance from it.
    """

    expected: Numbers
    level: Numbers
    scale: Numbers
    stretches: tuple[Stretch, ...]
    is_event: NDArray[np.bool_]
    is_ratio: bool
    clock: Clock = NONE


def find_events(values: Numbers, first: int, second: int, known: Mask | None = None) -> Normal:
    """Return the events of one series, NaN for what is missing. `first` and `second` are seasons in steps, 1 for none.

    `known`, (steps,), is where people planned or named an event: a rise there is one however long it lasts, and what is
    expected is worked out without those steps. More than `WORTH_KNOWING` of the series is no event, whatever people say.

    Hours are held against the same hours of the clock on the wall: `clock` says where that was changed. A long series
    is looked at in parts of some of its longer seasons: what an hour did a year ago is not normal now.
    """
    clock = clock_of(_blocks(values, first)) if first > 1 else NONE
    if known is None or known.mean() > WORTH_KNOWING:
        known = np.zeros(len(values), dtype=bool)
    if not clock.changes:
        return _find_in_parts(values, first, second, known)
    known = np.nan_to_num(clock.as_now(known.astype(np.float64))) > 0.0
    found = _find_in_parts(clock.as_now(values), first, second, known)
    return replace(
        found,
        expected=clock.as_then(found.expected),
        level=clock.as_then(found.level),
        scale=clock.as_then(found.scale),
        is_event=clock.as_then(found.is_event),
        stretches=tuple(
            replace(
                one,
                begin=clock.then(one.begin),
                end=clock.then(one.end - 1) + 1,
                peak_at=clock.then(one.peak_at),
            )
            for one in found.stretches
        ),
        clock=clock,
    )


def _find_in_parts(values: Numbers, first: int, second: int, known: Mask) -> Normal:
    steps = len(values)
    seen = values[np.isfinite(values)]
    day = first if first > 1 else max(4, min(24, steps // 8))
    is_positive = len(seen) > 0 and float(seen.min()) >= 0.0 and middle(seen) > 0.0
    is_ratio = is_positive and _is_ratio(values, _level(values, day, LEVEL_DAYS), first)
    part = PART_SEASONS * max(first, second, 7 * day)
    if steps < 2 * part:
        return _find(values, first, second, day, is_ratio, is_positive, known)
    bounds = _worth_knowing([*range(0, steps - part + 1, part), steps], known)
    parts = [
        _find(values[begin:end], first, second, day, is_ratio, is_positive, known[begin:end])
        for begin, end in pairwise(bounds)
    ]
    if is_ratio and not all(one.is_ratio for one in parts):
        parts = [
            _find(values[begin:end], first, second, day, False, is_positive, known[begin:end])
            for begin, end in pairwise(bounds)
        ]
    expected = np.concatenate([one.expected for one in parts])
    found = [
        replace(one, begin=one.begin + by, end=one.end + by, peak_at=one.peak_at + by)
        for by, part_of in zip(bounds, parts, strict=False)
        for one in part_of.stretches
    ]
    return Normal(
        expected,
        np.concatenate([one.level for one in parts]),
        np.concatenate([one.scale for one in parts]),
        tuple(_whole(found, np.abs(values - expected))),
        np.concatenate([one.is_event for one in parts]),
        parts[0].is_ratio,
    )


def _worth_knowing(bounds: list[int], known: Mask) -> list[int]:
    """Return the bounds without those of a part that is mostly a known event: nothing would say what is normal in it."""
    bounds = list(bounds)
    while len(bounds) > 2:
        full = next(
            (
                at
                for at, (begin, end) in enumerate(pairwise(bounds))
                if known[begin:end].mean() > WORTH_KNOWING
            ),
            None,
        )
        if full is None:
            break
        # With what was before it, as long as there is anything.
        del bounds[full or 1]
    return bounds


def _whole(found: list[Stretch], off: Numbers) -> list[Stretch]:
    """Return stretches without the cuts between parts: two that touch there and go the same way are one."""
    whole: list[Stretch] = []
    for one in found:
        before = whole[-1] if whole else None
        if before is None or before.end != one.begin or before.score * one.score <= 0.0:
            whole.append(one)
            continue
        peak = max(before, one, key=lambda each: np.nan_to_num(off[each.peak_at]))
        score = max(before.score, one.score, key=abs)
        whole[-1] = Stretch(before.begin, one.end, peak.peak_at, score, peak.multiple)
    return whole


def _find(
    values: Numbers, first: int, second: int, day: int, is_ratio: bool, is_positive: bool, known: Mask
) -> Normal:
    mask = known
    found: list[Stretch] = []
    plain = values
    for turn in range(ROUNDS):
        clean = np.where(mask, np.nan, values)
        level = _level(clean, day, LEVEL_DAYS)
        if mask.any():
            # Of a week whose working days were an event the weekend alone is left: there, without the season.
            bare = _level(np.where(mask, np.nan, plain), day, LEVEL_DAYS)
            level = np.where(_near(mask, LEVEL_DAYS * day), bare, level)
        is_ratio = is_ratio and _is_above_nothing(level)
        relative = clean / level if is_ratio else clean - level
        profile = _profile(relative, first, second)
        scale = _scale(relative - profile, day if first > 1 else 1)
        plain = values / np.maximum(profile, 0.05) if is_ratio else values - profile
        # What hides in days that were held against the level of others is seen once they have their own.
        for _ in range(LOOKS):
            whole = (values / level if is_ratio else values - level) - profile
            height = np.where(np.isfinite(whole), whole / scale, 0.0)
            if is_positive:
                least = np.maximum(profile, 0.2) if is_ratio else np.maximum(profile + level, 0.2 * level)
                is_small = np.abs(whole) < LEAST_EXCESS * least
                height[is_small] = np.clip(height[is_small], -SMALL, SMALL)
            sure, spans = _of_known(_spans(height, day), known, day)
            spans = _rare(spans, height, first)
            events, steps = _coming_back(sorted(sure + spans), sure, plain, level, day)
            if is_ratio:
                # Nothing is a multiple of nothing.
                steps = [(span, own) for span, own in steps if own > LEAST_LEVEL * level.max()]
            if not steps:
                break
            for span, own in steps:
                level[span.begin : span.end] = own
        if turn == 0:
            events += _long(plain, events, day)
        mask = np.zeros(len(values), dtype=bool)
        for span in events:
            mask[span.begin : span.end] = True
        expected = profile * level if is_ratio else profile + level
        found = [_stretch(span, values, height, expected) for span in _joined(events, day)]
    # The mean of the season is 1, or 0: only then do levels of parts mean the same.
    usual = float(profile.mean())
    if is_ratio and usual > 0.0:
        level, scale = level * usual, scale * level
    elif not is_ratio:
        level = level + usual
    return Normal(expected, level, scale, tuple(found), mask, is_ratio)


def _near(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return which steps have one of the mask at most `reach` steps away."""
    counts = np.concatenate([[0], np.cumsum(mask)])
    at = np.arange(len(mask))
    found: NDArray[np.bool_] = (
        counts[np.minimum(at + reach + 1, len(mask))] > counts[np.maximum(at - reach, 0)]
    )
    return found


def daily_levels(values: Numbers, normal: Normal, day: int) -> tuple[Numbers, Numbers]:
    """Return the mean of each block of `day` steps without season and events, and the step in its middle.

    Blocks of which less than half was seen are left out. The last block may be a short one.
    """
    season = normal.expected / normal.level if normal.is_ratio else normal.expected - normal.level
    # Hours that are quiet by nature would be blown up one by one: the sum of a day over that of its season.
    plain = values if normal.is_ratio else values - season
    clean = _blocks(np.where(normal.is_event, np.nan, plain), day)
    seen = np.isfinite(clean)
    count = seen.sum(axis=1)
    sums = np.where(seen, clean, 0.0).sum(axis=1)
    if normal.is_ratio:
        share = np.where(seen, _blocks(season, day), 0.0).sum(axis=1)
        levels = sums / np.maximum(share, 1e-300)
    else:
        levels = sums / np.maximum(count, 1)
    length = np.full(len(clean), day)
    length[-1] = len(values) - (len(clean) - 1) * day
    is_good = count * 2 >= day
    centres = np.arange(len(clean)) * day + (length - 1) / 2.0
    return levels[is_good], centres[is_good]


def _is_ratio(values: Numbers, level: Numbers, first: int) -> bool:
    """Return whether the season grows with the level: its ratio to the level varies less than its distance from it."""
    if not _is_above_nothing(level):
        return False
    ratio, distance = values / level, values - level
    off_ratio = (ratio - _profile(ratio, first, 1)) * level
    off_distance = distance - _profile(distance, first, 1)
    sizes = [float(medians(np.abs(off)[None, :], 1)[0]) for off in (off_ratio, off_distance)]
    return sizes[0] <= TIE * sizes[1]


def _is_above_nothing(level: Numbers) -> bool:
    return bool((level > LEAST_LEVEL * np.abs(level).max()).all())


def _blocks(values: Numbers, size: int) -> Numbers:
    """Return the values as rows of one day, the last row filled up with NaN."""
    rows = -(-len(values) // size)
    whole = np.full(rows * size, np.nan)
    whole[: len(values)] = values
    return whole.reshape(rows, size)


def _running(values: Numbers, width: int) -> Numbers:
    """Return the median of the `width` values around each, of the nearest so many at both ends."""
    count = len(values)
    width = min(width, count)
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    middles = medians(windows, 1)
    at = np.clip(np.arange(count) - width // 2, 0, count - width)
    return middles[at]


def _filled(values: Numbers) -> Numbers:
    """Return the values with NaN replaced by what lies between their neighbours; 0 if there are none."""
    good = np.isfinite(values)
    if good.all():
        return values
    if not good.any():
        return np.zeros(len(values))
    at = np.arange(len(values))
    return np.interp(at, at[good], values[good])


def _level(values: Numbers, day: int, days: int) -> Numbers:
    rows = _blocks(values, day)
    daily = medians(rows, 1)
    # A day of which less than half was seen says little about the whole day.
    daily[np.isfinite(rows).sum(axis=1) < day / 2] = np.nan
    if not np.isfinite(daily).any():
        daily = medians(rows, 1)
    at = np.arange(len(values))
    centres = np.arange(len(daily)) * day + (day - 1) / 2.0
    is_of_months = day <= DAY_OF_HOURS and TREND_DAYS <= len(daily) < FEW_DAYS * days
    line = _trend(daily, centres, at) if is_of_months else None
    if line is not None:
        middles = _filled(_running(daily / np.interp(centres, at, line), days))
        return line * np.interp(at, centres, middles)
    return np.interp(at, centres, _filled(_running(daily, days)))


def _trend(daily: Numbers, centres: NDArray[np.floating[Any]], at: NDArray[np.int_]) -> Numbers | None:
    """Return the growth by a constant rate that most days lie near, at each step; None where they lie near none.

    The median of the slopes between any two days, in logarithms (Theil 1950, Sen 1968): a day of an event bends it little.
    """
    good = np.isfinite(daily)
    if good.sum() < TREND_DAYS or not (daily[good] > 0.0).all():
        return None
    rates, places = np.log(daily[good]), centres[good]
    one, other = np.triu_indices(len(rates), 1)
    slope = middle((rates[other] - rates[one]) / (places[other] - places[one]))
    start = middle(rates - slope * places)
    off_line = np.abs(rates - slope * places - start).mean()
    if off_line >= IS_A_TREND * np.abs(rates - middle(rates)).mean():
        return None
    line: Numbers = np.exp(start + slope * at)
    return line


def _profile(relative: Numbers, first: int, second: int) -> Numbers:
    """Return what each step's slot does: the median of the hour, corrected by that of the hour of the week."""
    steps = len(relative)
    at = np.arange(steps)
    if first <= 1 and second <= 1:
        usual = medians(relative[None, :], 1)[0]
        return np.full(steps, usual)
    whole = np.zeros(steps)
    rest = relative
    if first > 1:
        daily = _filled(medians(_blocks(rest, first), 0))
        whole = daily[at % first]
        rest = relative - whole
    if second > 1:
        rows = _blocks(rest, second)
        cycles = len(rows)
        reach = 2 if cycles < 5 else 1
        around = np.concatenate([np.roll(rows, shift, axis=1) for shift in range(-reach, reach + 1)])
        weekly = np.nan_to_num(medians(around, 0))
        left = rows - weekly
        if cycles >= 4:
            # What the same hour of each week does and its neighbours do not: a job that runs once a week.
            sharp = np.nan_to_num(medians(left, 0))
            noise = NORMAL_PER_MAD * medians(np.abs(left).reshape(1, -1), 1)[0]
            weekly = weekly + np.where(np.abs(sharp) > 4.0 * noise / np.sqrt(cycles), sharp, 0.0)
        whole = whole + weekly[at % second]
    return whole


def _scale(rest: Numbers, day: int) -> Numbers:
    """Return the scale of each step: the median deviation of its slot, smoothed over its neighbours, never nothing."""
    sizes = np.abs(rest)
    usual = NORMAL_PER_MAD * float(medians(sizes[None, :], 1)[0])
    is_mostly_one = not np.isfinite(usual) or usual <= 0.0
    if is_mostly_one:
        # Mostly the same value, as with what seldom happens: each time that it does would be far off the mean distance,
        # and a slot of the day in which it did not happen yet says nothing.
        seen = sizes[np.isfinite(sizes)]
        usual = float(np.sqrt(np.mean(seen**2))) if len(seen) else 0.0
    least = max(usual, 1e-12)
    if day <= 1 or is_mostly_one:
        return np.full(len(rest), least)
    slots = NORMAL_PER_MAD * np.nan_to_num(medians(_blocks(sizes, day), 0))
    reach = max(1, day // 12)
    smooth = np.mean([np.roll(slots, shift) for shift in range(-reach, reach + 1)], axis=0)
    scales: Numbers = np.maximum(smooth, 0.4 * least)[np.arange(len(rest)) % day]
    return scales


class _Span(NamedTuple):
    """A stretch that is off its band, from step `begin` up to but without `end`, to one `side`: 1 above, -1 below."""

    begin: int
    end: int
    side: int


def _spans(height: Numbers, day: int) -> list[_Span]:
    """Return where the height is off for long enough."""
    spans = []
    gap = max(1, round(day * GAP_SHARE))
    for side in (1, -1):
        signed = side * height
        is_off = signed >= STAY
        if not (signed >= ENTER).any():
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[0], is_off.astype(np.int8), [0]])))
        runs = edges.reshape(-1, 2).tolist()
        merged: list[list[int]] = []
        for begin, end in runs:
            # A break is bridged by what is as long as it: single steps of noise are no bridge.
            shorter = min(end - begin, merged[-1][1] - merged[-1][0]) if merged else 0
            if merged and begin - merged[-1][1] <= min(gap, max(2, shorter)):
                merged[-1][1] = end
            else:
                merged.append([begin, end])
        for begin, end in merged:
            part = signed[begin:end]
            # The core: what is joined on by a gap counts only if the whole is far off.
            if part.max() < ENTER:
                continue
            length = int((part >= STAY).sum())
            if part.max() >= ALONE or (length >= 2 and part.sum() / np.sqrt(len(part)) >= 1.6 * ENTER):
                spans.append(_Span(begin, end, side))
    return sorted(spans)


def _rare(spans: list[_Span], height: Numbers, first: int) -> list[_Span]:
    """Return the spans without those that come back at the same hour of the days around: that is a new habit."""
    if first <= 1 or len(spans) < HABIT:
        return spans
    sides = np.zeros(len(height), dtype=np.int8)
    for begin, end, side in (span for span in spans if span.end - span.begin < first):
        sides[begin:end] = side
    found = []
    for span in spans:
        begin, end, side = span
        again = 0
        if end - begin < first:
            for days in range(-HABIT_DAYS, HABIT_DAYS + 1):
                low, high = begin + days * first, end + days * first
                if days and low >= 0 and high <= len(height):
                    again += bool((sides[low:high] == side).mean() >= 0.5)
        if again < HABIT:
            found.append(span)
    return found


def _of_known(spans: list[_Span], known: Mask, day: int) -> tuple[list[_Span], list[_Span]]:
    """Return what is an event for people planned or named one there, and the rest.

    A rise may begin a day before and decay after; what goes on for as long as a level needs to be one is not of it.
    """
    if not known.any():
        return [], spans
    sure, others = [], []
    for span in spans:
        inside = np.flatnonzero(known[span.begin : span.end])
        if span.side < 0 or not len(inside):
            others.append(span)
            continue
        first, last = span.begin + int(inside[0]), span.begin + int(inside[-1]) + 1
        begin = span.begin if first - span.begin <= day else first
        end = span.end if span.end - last < _lasts(day) else last
        sure.append(_Span(begin, end, span.side))
        others += [one for one in (span._replace(end=begin), span._replace(begin=end)) if one.begin < one.end]
    return sure, others


def _lasts(day: int) -> int:
    """Return for how many steps what is still on at the end is an event; after that it is the level."""
    # Seasons of a few steps are quarters or months, where what has lasted for a year is no sale.
    return (GOES_ON_DAYS if day >= DAY_OF_HOURS else 1) * day


def _coming_back(
    spans: list[_Span], sure: list[_Span], values: Numbers, level: Numbers, day: int
) -> tuple[list[_Span], list[tuple[_Span, float]]]:
    """Return the spans that come back to where they came from, and steps of the level with what it was there.

    No season in `values`.

    `sure` are spans of which that is known. Spans less than a day apart are judged by what was before the first and after the last of them: an event that an
    outage cuts in two comes back once it is over, and what follows on it is no dip for being as it was before.
    """
    found: list[_Span] = []
    steps: list[tuple[_Span, float]] = []
    least = max(2, day // 6)
    for group in _near_each_other(spans, day):
        first, last = group[0].begin, max(span.end for span in group)
        outer = (
            _usual(values[max(0, first - day) : first], least),
            _usual(values[last : last + day], least),
        )
        free = values[max(0, first - day) : last + day].copy()
        since = max(0, first - day)
        for span in group:
            free[span.begin - since : span.end - since] = np.nan
        early: list[tuple[_Span, float]] = []
        late: list[tuple[_Span, float]] = []
        for span in group:
            if span in sure:
                found.append(span)
                continue
            height = middle(_seen(values[span.begin : span.end]))
            # Between two of them there may be enough of what is usual there.
            begin, end = span.begin - since, span.end - since
            was = _usual(free[max(0, begin - day) : begin], least)
            became = _usual(free[end : end + day], least)
            was, became = outer[0] if was is None else was, outer[1] if became is None else became
            if became is None:
                # What goes on with breaks goes on since its first part.
                same = [one for one in group if one.side == span.side]
                if max(one.end for one in same) - same[0].begin >= _lasts(day):
                    continue
                claimed = height - middle(level[span.begin : span.end])
                if was is not None and abs(height - was) <= SAME_LEVEL * abs(claimed):
                    early.append((span, was))
                    continue
            elif was is not None:
                rise, step = height - was, became - was
                # Like what was before it, and the running level came too early; or it stays where it went.
                if abs(rise) <= SAME_LEVEL * abs(step):
                    early.append((span, was))
                    continue
                if rise * step > 0.0 and abs(step) > SAME_LEVEL * abs(rise):
                    late.append((span, became))
                    continue
            found.append(span)
        # What is most of them is what the others of the group have to be judged by: at the next look.
        steps += max(early, late, key=lambda some: sum(one.end - one.begin for one, _ in some))
    return found, steps


def _near_each_other(spans: list[_Span], reach: int) -> list[list[_Span]]:
    """Return the spans, which are in order, in groups: the next one begins at most `reach` steps after what was before."""
    groups: list[list[_Span]] = []
    ends = 0
    for span in spans:
        if groups and span.begin - ends <= reach:
            groups[-1].append(span)
        else:
            groups.append([span])
        ends = max(ends, span.end)
    return groups


def _usual(values: Numbers, least: int) -> float | None:
    """Return the median of what was seen; None where that are fewer than `least`."""
    seen = _seen(values)
    return middle(seen) if len(seen) >= least else None


def _seen(values: Numbers) -> Numbers:
    return values[np.isfinite(values)]


def _long(values: Numbers, events: list[_Span], day: int) -> list[_Span]:
    """Return the stretches of several days, which the running median of a week takes for the level."""
    clean = values.copy()
    for span in events:
        clean[span.begin : span.end] = np.nan
    daily = _filled(medians(_blocks(clean, day), 1))
    if len(daily) < 10:
        return []
    rest = daily - _running(daily, WIDE_DAYS)
    scale = NORMAL_PER_MAD * middle(np.abs(rest))
    scale = max(scale, 0.05 * middle(np.abs(daily)), 1e-12)
    found = []
    for side in (1, -1):
        is_off = side * rest >= 0.6 * LONG_ENTER * scale
        edges = np.flatnonzero(np.diff(np.concatenate([[0], is_off.astype(np.int8), [0]]))).reshape(-1, 2)
        for begin, end in edges.tolist():
            if not 3 <= end - begin <= LONGEST_DAYS or begin < 2 or len(daily) - end < 2:
                continue
            height = middle(daily[begin:end])
            was, became = (
                middle(daily[max(0, begin - 4) : begin]),
                middle(daily[end : end + 4]),
            )
            rise = min(side * (height - was), side * (height - became))
            if rise >= LONG_ENTER * scale and abs(became - was) <= SAME_LEVEL * abs(height - was):
                found.append(_Span(begin * day, min(end * day, len(values)), side))
    return found


def _joined(events: list[_Span], day: int) -> list[_Span]:
    """Return the spans in order, those that touch as one, and those between which nothing lies but spans of the other side.

    An outage in the midst of a sale is a fall, and the sale is one event from before it to after it.
    """
    gap = max(1, round(day * GAP_SHARE))
    merged: list[_Span] = []
    for side in (1, -1):
        same: list[_Span] = []
        others = [span for span in events if span.side != side]
        for span in sorted(one for one in events if one.side == side):
            last = same[-1] if same else None
            if last is None:
                same.append(span)
                continue
            between = sum(max(0, min(one.end, span.begin) - max(one.begin, last.end)) for one in others)
            if span.begin - last.end <= (between + gap if between else 0):
                same[-1] = last._replace(end=max(span.end, last.end))
            else:
                same.append(span)
        merged += same
    return sorted(merged)


def _stretch(span: _Span, values: Numbers, height: Numbers, expected: Numbers) -> Stretch:
    begin, end, side = span
    part = side * height[begin:end]
    score = float(side * part.max())
    # What stands out the most in a quiet night may be less than any afternoon has.
    off = side * (values[begin:end] - expected[begin:end])
    peak_at = begin + int(np.nanargmax(off) if np.isfinite(off).any() else np.argmax(part))
    usual = float(expected[peak_at])
    multiple = float(values[peak_at]) / usual if usual > 0.0 and np.isfinite(values[peak_at]) else None
    return Stretch(begin, end, peak_at, score, multiple)
