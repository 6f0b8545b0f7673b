"""The functions that callers use: `forecast`, `detect_events`, `growth`, `analyse`, for many series, and `backtest`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, repeat

import numpy as np

from capacity.growth.combine import Combined, Scale, combine
from capacity.growth.events import Mask, Normal, Stretch, find_events
from capacity.growth.series import checked, checked_seasons, guessed_seasons, kept_seasons
from capacity.growth.smooth import Numbers
from capacity.growth.trend import Days, aligned, day_length, days_of, growth_of
from capacity.growth.types import Analysis, Backtest, Event, Forecast, Growth

AT_ONCE = 32
"""Series that go through time together; memory is that of so many, however many there are."""
MOST_AT_ONCE = 16_000
"""Series times horizon that are held at once: each step ahead is held for each member and origin."""
MOST_HORIZON = 10_000
WORTH_MASKING = 0.3
"""Where more than this share of the steps counts as events, what is normal is not known, and nothing is masked."""
SHORT_IS_WIDER = 1.5
HISTORY_SEASONS = 14
HISTORY_STEPS = 4_000
HISTORY_LEAST = 1_000
LEAST_FOR_ROOTS = 30
"""Of fewer values nobody knows how much they vary, and the square of a wide guess is none."""
LEAST_SEASONS = 5
"""The forecast reads so much of the end of a series: more says little of what comes next, and costs time."""


def forecast(
    values: Sequence[float] | Numbers,
    horizon: int,
    seasons: Sequence[int] = (24, 168),
    *,
    mask_events: bool = True,
    known: Mask | None = None,
) -> Forecast:
    """Return what comes in the next `horizon` steps, with 50, 80 and 95 % intervals and the name of the model.

    `values` are evenly spaced, oldest first, NaN for what is missing. `seasons` are up to two lengths in steps (24 and
    168 for hourly traffic; () or 1 for none); one that the series is too short for is left out, with a note. Events are
    masked, so that neither level nor season learns them; intervals are for times without new events. A series that
    never was below 0 is forecast as its square roots, and not below 0; any other one times a and plus b, and still below
    0 at times, is forecast at a times the forecast plus b. `known` as for `analyse`. Raises ValueError with a sentence: fewer than 8 values, infinite ones, a horizon or season out of range.
    Method and sources: docs/capacity.md
    """
    first, second = _checked_question(horizon, seasons)
    return next(_batches(_looked_at([values], first, second, mask_events, [known]), horizon))[1]


def forecast_many(
    rows: Iterable[Sequence[float] | Numbers],
    horizon: int,
    seasons: Sequence[int] = (24, 168),
    *,
    mask_events: bool = True,
) -> Iterator[Forecast]:
    """Yield `forecast` of each series, in order. They are read in batches: memory does not grow with their number."""
    first, second = _checked_question(horizon, seasons)
    for _, made in _batches(_looked_at(rows, first, second, mask_events), horizon):
        yield made


def detect_events(
    values: Sequence[float] | Numbers, seasons: Sequence[int] | None = None
) -> tuple[Event, ...]:
    """Return the stretches that left the band of their hour and weekday and came back, in order of time.

    `values` as for `forecast`; `seasons` None looks for them. What stays where it went is a shift of level and no
    event; what happens in each season is the season. Raises ValueError.
    """
    series = checked(values)
    first, second = guessed_seasons(series) if seasons is None else checked_seasons(seasons)
    first, second, _ = kept_seasons(len(series), first, second)
    return _events(series, find_events(series, first, second))


def growth(
    values: Sequence[float] | Numbers, seasons: Sequence[int] = (24, 168), *, steps_a_day: float = 24.0
) -> Growth:
    """Return how the series grows without season and events: percent a month with a 95 % interval. Raises ValueError."""
    series = checked(values)
    first, second, _ = kept_seasons(len(series), *checked_seasons(seasons))
    if not 0.0 < steps_a_day < np.inf:
        raise ValueError("The steps of a day are a number above 0.")
    day = day_length(len(series), first, steps_a_day)
    return growth_of(days_of(series, find_events(series, first, second), day), day, steps_a_day)


def analyse(
    values: Sequence[float] | Numbers,
    horizon: int,
    seasons: Sequence[int] = (24, 168),
    *,
    steps_a_day: float = 24.0,
    known: Mask | None = None,
) -> Analysis:
    """Return events, growth and forecast of one series; see `forecast`, `detect_events` and `growth`.

    `known`, one truth a step, is where people planned or named an event: a rise there is one however long it lasts.
    """
    return next(analyse_many([values], horizon, seasons, steps_a_day=steps_a_day, known=[known]))


def analyse_many(
    rows: Iterable[Sequence[float] | Numbers],
    horizon: int,
    seasons: Sequence[int] = (24, 168),
    *,
    steps_a_day: float = 24.0,
    known: Iterable[Mask | None] = repeat(None),
) -> Iterator[Analysis]:
    """Yield events, growth and forecast of each series, in order: the one function for many series in one process.

    `rows` may be a generator of any length: it is read in batches of 32 (fewer for a long horizon), and memory does not grow with their number.
    Each series is an array of evenly spaced values, NaN for what is missing; all share `horizon` (steps), `seasons`
    (steps) and `steps_a_day`. What is answered for a series does not depend on the others beside it. Raises ValueError
    at the first series that cannot be analysed, with its number.
    """
    first, second = _checked_question(horizon, seasons)
    if not 0.0 < steps_a_day < np.inf:
        raise ValueError("The steps of a day are a number above 0.")
    for looked, made in _batches(_looked_at(rows, first, second, True, known), horizon):
        yield Analysis(_events(looked.values, looked.normal), _growth(looked, steps_a_day), made)


def backtest(
    values: Sequence[float] | Numbers,
    horizon: int,
    seasons: Sequence[int] = (24, 168),
    *,
    origins: int = 6,
    known: Mask | None = None,
) -> Backtest:
    """Return how `forecast` did from earlier origins, each made anew from nothing but the values before it.

    Origins are spread over the last half of the series. MASE is scaled by the seasonal naive error within what was
    known at the origin (shorter season), as in the M4 competition. What events did is left out: forecasts are without
    them. `known` as for `analyse`. Raises ValueError, also for a series too short.
    """
    series = checked(values)
    first, second = _checked_question(horizon, seasons)
    kept = kept_seasons(len(series), first, second)[:2]
    usual = np.where(find_events(series, *kept, known).is_event, np.nan, series)
    begin = max(len(series) // 2, 2 * max(first, second, 4), 8)
    last = len(series) - horizon
    if origins < 1 or last < begin:
        raise ValueError(
            f"To test a forecast over {horizon} steps, {begin + horizon} values are needed, and there are {len(series)}."
        )
    at = np.unique(np.linspace(begin, last, min(origins, last - begin + 1)).round().astype(int)).tolist()
    scores, naive_scores, inside = [], [], []
    for origin in at:
        past, real = series[:origin], usual[origin : origin + horizon]
        if np.isfinite(past).sum() < 8 or not np.isfinite(real).any():
            continue
        made = forecast(past, horizon, seasons, known=None if known is None else known[:origin])
        changes = np.abs(past[first:] - past[:-first])
        scale = float(np.nanmean(changes)) if np.isfinite(changes).any() else 0.0
        naive = _naive(past, first, horizon)
        if scale > 0.0:
            scores.append(float(np.nanmean(np.abs(made.point - real))) / scale)
            naive_scores.append(float(np.nanmean(np.abs(naive - real))) / scale)
        bounds = ((made.lower50, made.upper50), (made.lower80, made.upper80), (made.lower95, made.upper95))
        seen = np.isfinite(real)
        inside.append([float(((real >= low) & (real <= high))[seen].mean()) for low, high in bounds])
    if not scores:
        raise ValueError("The series never differs from its last season, or has no values to test with.")
    rates = np.mean(inside, axis=0)
    return Backtest(
        tuple(at),
        horizon,
        float(np.mean(scores)),
        float(np.mean(naive_scores)),
        (float(rates[0]), float(rates[1]), float(rates[2])),
    )


# --- parts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Looked:
    """One series, what is normal in it, and what of it the models read: no events, scaled to a size near 1.

    What never was below 0 is read as its square roots: loads and counts vary more where they are larger, in proportion
    to their roots (Bartlett 1936), and their seasons grow with them. `step` is the seasonal naive error of one season.
    """

    values: Numbers
    normal: Normal
    days: Days | None
    first: int
    second: int
    notes: tuple[str, ...]
    read: Numbers
    middle: float
    size: float
    is_positive: bool
    is_root: bool
    step: float

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.read), self.first, self.second


def _checked_question(horizon: int, seasons: Sequence[int]) -> tuple[int, int]:
    if not 1 <= horizon <= MOST_HORIZON or int(horizon) != horizon:
        raise ValueError(f"A horizon is a whole number of steps, from 1 to {MOST_HORIZON:,}.")
    return checked_seasons(seasons)


def _looked_at(
    rows: Iterable[Sequence[float] | Numbers],
    first: int,
    second: int,
    mask_events: bool,
    known: Iterable[Mask | None] = repeat(None),
) -> Iterator[_Looked]:
    for number, (row, mask) in enumerate(zip(rows, known, strict=False), start=1):
        try:
            yield _look(checked(row), first, second, mask_events, mask)
        except ValueError as problem:
            if number == 1:
                raise
            raise ValueError(f"Series {number}: {problem}") from problem


def _look(values: Numbers, first: int, second: int, mask_events: bool, known: Mask | None) -> _Looked:
    # What comes before the first value is no history.
    begin = int(np.flatnonzero(np.isfinite(values))[0])
    series = values[begin:]
    first, second, notes = kept_seasons(len(series), first, second)
    normal = find_events(series, first, second, None if known is None else known[begin:])
    is_event = normal.is_event
    days = days_of(series, normal, first) if len(series) >= 4 * first > 4 else None
    read = aligned(series, normal, days, first).copy() if days else series.copy()
    season = max(first, second)
    if mask_events and season > 1 and len(series) >= 3 * first and is_event.mean() <= WORTH_MASKING:
        read[is_event] = np.nan
    elif is_event.mean() > WORTH_MASKING and season > 1:
        notes = (*notes, "So much of the series is off its usual band that nothing is masked as an event.")
    read = normal.clock.as_now(read)
    most = max(LEAST_SEASONS * season, min(HISTORY_SEASONS * season, HISTORY_STEPS), HISTORY_LEAST)
    read = read[-most:]
    if not np.isfinite(read).any():
        raise ValueError(f"The last {most} steps have no value outside of events.")
    changes = np.abs(read[first:] - read[:-first])
    step = float(np.nanmean(changes)) if np.isfinite(changes).any() else 0.0
    is_positive = bool(np.nanmin(series) >= 0.0)
    is_root = is_positive and len(read) >= LEAST_FOR_ROOTS and bool(np.nanmax(read) > np.nanmin(read))
    if is_root:
        read = np.sqrt(np.maximum(read, 0.0))
    seen = read[np.isfinite(read)]
    middle = float(np.median(seen))
    size = float(np.mean(np.abs(seen - middle)))
    if size <= 1e-12 * abs(middle):
        size = 0.0
    if begin:
        normal = _moved(normal, begin)
        days = None
    scaled = (read - middle) / size if size > 0.0 else read
    return _Looked(
        values, normal, days, first, second, notes, scaled, middle, size, is_positive, is_root, step
    )


def _growth(one: _Looked, steps_a_day: float) -> Growth:
    day = day_length(len(one.values), one.first, steps_a_day)
    days = one.days if one.days is not None and day == one.first else days_of(one.values, one.normal, day)
    return growth_of(days, day, steps_a_day)


def _moved(normal: Normal, by: int) -> Normal:
    """Return it for a series with `by` missing values before its first one."""

    def later(values: Numbers) -> Numbers:
        return np.concatenate([np.full(by, values[0]), values])

    return replace(
        normal,
        expected=later(normal.expected),
        level=later(normal.level),
        scale=later(normal.scale),
        is_event=np.concatenate([np.zeros(by, dtype=bool), normal.is_event]),
        stretches=tuple(
            replace(one, begin=one.begin + by, end=one.end + by, peak_at=one.peak_at + by)
            for one in normal.stretches
        ),
    )


def _batches(looked: Iterator[_Looked], horizon: int) -> Iterator[tuple[_Looked, Forecast]]:
    """Yield series with their forecasts, in order. Those of one shape in a batch go through time together."""
    at_once = max(1, min(AT_ONCE, MOST_AT_ONCE // horizon))
    while some := list(islice(looked, at_once)):
        alike: dict[tuple[int, int, int], list[int]] = {}
        for number, one in enumerate(some):
            alike.setdefault(one.shape, []).append(number)
        made: dict[int, Forecast] = {}
        for numbers in alike.values():
            made |= zip(numbers, _forecasts([some[number] for number in numbers], horizon), strict=True)
        for number, one in enumerate(some):
            yield one, made[number]


def _forecasts(batch: list[_Looked], horizon: int) -> list[Forecast]:
    first, second = batch[0].first, batch[0].second
    moving = [one for one in batch if one.size > 0.0]
    made = (
        combine(np.stack([one.read for one in moving]), horizon, first, second, _scale_of(moving))
        if moving
        else None
    )
    found, number = [], 0
    for one in batch:
        if made is not None and one.size > 0.0:
            found.append(_forecast(one, made, number))
            number += 1
        else:
            found.append(_constant(one, horizon))
    return found


def _scale_of(batch: list[_Looked]) -> Scale:
    """Return how what the models read is told in the units of the series."""
    return Scale(
        np.array([one.middle for one in batch]),
        np.array([one.size for one in batch]),
        np.array([one.is_root for one in batch]),
    )


def _forecast(one: _Looked, made: Combined, number: int) -> Forecast:
    wider = SHORT_IS_WIDER if one.notes else 1.0
    scale = _scale_of([one])

    def real(values: Numbers) -> Numbers:
        told: Numbers = scale.real(values[None])[0]
        return np.maximum(told, 0.0) if one.is_positive else told

    at = made.point[number]
    bounds = [(real(at - wider * half), real(at + wider * half)) for half in made.half[:, number]]
    is_tested = made.tests > 0 and one.step > 0.0
    covered = made.covered[:, number]
    return Forecast(
        _name(one, made, number),
        tuple(length for length in (one.first, one.second) if length > 1),
        real(at),
        *bounds[0],
        *bounds[1],
        *bounds[2],
        mase=float(made.error[number]) / one.step if is_tested else None,
        naive_mase=float(made.naive_error[number]) / one.step if is_tested else None,
        covered=(float(covered[0]), float(covered[1]), float(covered[2])) if is_tested else None,
        tests=made.tests,
        notes=one.notes,
    )


def _name(one: _Looked, made: Combined, number: int) -> str:
    seasons = " and ".join(str(length) for length in (one.first, one.second) if length > 1)
    where = f" (seasons {seasons})" if one.second > 1 else f" (season {seasons})" if seasons else ""
    if made.is_naive[number]:
        return made.families[-1] + where
    parts = [
        f"{name} {share:.0%}"
        for name, share in zip(made.families, made.share[number], strict=True)
        if share >= 0.005
    ]
    return (
        f"average of {', '.join(parts)}{where}"
        if len(parts) > 1
        else made.families[int(np.argmax(made.share[number]))] + where
    )


def _constant(one: _Looked, horizon: int) -> Forecast:
    flat = _scale_of([one]).real(np.zeros((1, horizon)))[0]
    notes = (*one.notes, "The series never changes: nothing says how it could.")
    return Forecast(
        "constant", (), flat, flat, flat, flat, flat, flat, flat, None, None, None, tests=0, notes=notes
    )


def _events(values: Numbers, normal: Normal) -> tuple[Event, ...]:
    return tuple(_event(values, normal, one) for one in normal.stretches)


def _event(values: Numbers, normal: Normal, one: Stretch) -> Event:
    real, usual = values[one.peak_at :], normal.expected[one.peak_at :]
    is_ratio = bool((usual > 0.0).all()) and float(np.nanmin(values)) >= 0.0
    excess = real / usual - 1.0 if is_ratio else real - usual
    excess = excess if one.score > 0 else -excess
    gone = np.flatnonzero(excess <= excess[0] / 2.0)
    return Event(
        one.begin,
        one.end,
        one.peak_at,
        float(values[one.peak_at]),
        float(normal.expected[one.peak_at]),
        one.score,
        one.multiple,
        one.peak_at - one.begin,
        int(gone[0]) if len(gone) else None,
        one.end < len(values),
    )


def _naive(values: Numbers, season: int, horizon: int) -> Numbers:
    """Return the last season again; a missing value is that of the season before."""
    last = values[-season:].copy()
    back = values[:-season]
    while np.isnan(last).any() and len(back) >= season:
        last = np.where(np.isnan(last), back[-season:], last)
        back = back[:-season]
    last = np.where(np.isnan(last), np.nanmedian(values), last)
    return last[np.arange(horizon) % season]
