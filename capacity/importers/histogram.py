"""Running figures of latencies in constant memory, and the series of a run.

Values are counted exactly while there are at most `EXACT_VALUES` different ones (whole milliseconds nearly always stay
there). Beyond, they are counted in buckets that grow by a constant factor, as in DDSketch (Masson, Rim and Lee 2019):
a percentile is then off by at most `ERROR_RATIO` of itself, whatever the number of values. Mean, least and most stay exact.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest

from capacity.importers.types import (
    POINT_PERCENTS,
    REST_S,
    Bucket,
    Latency,
    Percentile,
    Point,
    point_percentiles,
)

EXACT_VALUES = 4096
ERROR_RATIO = 0.005
POINT_ERROR_RATIO = 0.01
"""Of the points of a run, and of its steps: enough for a promise, and keeps 1,200 of them small."""
PERCENTS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)
_SMALLEST_MS = 1e-6
MAX_POINTS = 600


class Running:
    """Latencies as they come in. A percentile is the smallest value with at least that share of all values at or below it."""

    def __init__(self, error_ratio: float = ERROR_RATIO, exact_values: int = EXACT_VALUES) -> None:
        self.count = 0
        self.sum_ms = 0.0
        self.min_ms = math.inf
        self.max_ms = 0.0
        self._gamma = math.log((1 + error_ratio) / (1 - error_ratio))
        self.error_ratio = error_ratio
        self._room = exact_values
        self._exact: dict[float, int] | None = {}
        self._buckets: Counter[int] = Counter()

    def add(self, ms: float, times: int = 1) -> None:
        """Count a latency of `ms` (0 or more), `times` times."""
        self.count += times
        self.sum_ms += ms * times
        self.min_ms = min(self.min_ms, ms)
        self.max_ms = max(self.max_ms, ms)
        if self._exact is None:
            self._buckets[self._bucket(ms)] += times
            return
        self._exact[ms] = self._exact.get(ms, 0) + times
        if len(self._exact) > self._room:
            for value, count in self._exact.items():
                self._buckets[self._bucket(value)] += count
            self._exact = None

    def merge(self, other: Running) -> None:
        """Count all that `other` has counted; both must have the same error."""
        total_ms, least, most = (
            self.sum_ms + other.sum_ms,
            min(self.min_ms, other.min_ms),
            max(self.max_ms, other.max_ms),
        )
        if other._exact is None and self._exact is not None:
            for value, count in self._exact.items():
                self._buckets[self._bucket(value)] += count
            self._exact = None
        if other._exact is None:
            self._buckets.update(other._buckets)
            self.count += other.count
        else:
            for value, count in other._exact.items():
                self.add(value, count)
        self.sum_ms, self.min_ms, self.max_ms = total_ms, least, most

    def _bucket(self, ms: float) -> int:
        return math.ceil(math.log(max(ms, _SMALLEST_MS)) / self._gamma)

    def _value(self, bucket: int) -> float:
        # The point of a bucket from which both ends are equally far, as a share of it.
        upper = math.exp(bucket * self._gamma)
        return min(max(upper * (1 - self.error_ratio), self.min_ms), self.max_ms)

    def percentiles(self, percents: Iterable[float]) -> tuple[Percentile, ...]:
        """Return the percentiles, which must rise; none where nothing was counted."""
        if not self.count:
            return ()
        if self._exact is not None:
            pairs = sorted(self._exact.items())
        else:
            pairs = [(self._value(bucket), count) for bucket, count in sorted(self._buckets.items())]
        found, seen, index = [], pairs[0][1], 0
        for percent in percents:
            rank = max(1, math.ceil(self.count * percent / 100 - 1e-9))
            while seen < rank:
                index += 1
                seen += pairs[index][1]
            found.append(Percentile(percent, pairs[index][0]))
        return tuple(found)

    def latency(self, percents: Iterable[float] = PERCENTS) -> Latency:
        """Return all figures."""
        if not self.count:
            return Latency(counted=0)
        return Latency(
            counted=self.count,
            min_ms=self.min_ms,
            mean_ms=min(max(self.sum_ms / self.count, self.min_ms), self.max_ms),
            max_ms=self.max_ms,
            percentiles=self.percentiles(percents),
            error_ratio=0.0 if self._exact is not None else self.error_ratio,
        )

    def histogram(self) -> tuple[Bucket, ...]:
        """Return the counts in buckets, each a tenth wider than the one before; empty ones are left out."""
        if self._exact is not None:
            pairs = list(self._exact.items())
        else:
            pairs = [(self._value(bucket), count) for bucket, count in self._buckets.items()]
        grow, counts = math.log(1.1), Counter[int]()
        for value, count in pairs:
            counts[math.ceil(math.log(max(value, 0.001)) / grow - 1e-9)] += count
        return tuple(
            Bucket(math.exp((index - 1) * grow), math.exp(index * grow), count)
            for index, count in sorted(counts.items())
        )


def together(parts: Sequence[Running]) -> Running:
    """Return what all of these have counted, one at least, all of the same error: as if they had been one."""
    whole = Running(parts[0].error_ratio)
    for part in parts:
        whole.merge(part)
    return whole


class _Cell:
    """What came in within one stretch of a run, and until when the last of it was waited for."""

    def __init__(self) -> None:
        self.failures = 0
        self.until_s = -math.inf
        self.latencies = Running(POINT_ERROR_RATIO, 64)

    def merge(self, other: _Cell) -> None:
        self.failures += other.failures
        self.until_s = max(self.until_s, other.until_s)
        self.latencies.merge(other.latencies)


class Series:
    """The course of a run in at most 2 × `MAX_POINTS` stretches, one second each, doubled whenever there would be more."""

    def __init__(self) -> None:
        self.width_s = 1
        self._cells: dict[int, _Cell] = {}
        self._users: dict[int, int] = {}
        self._waiting = Counter[int]()

    def add(
        self, at_s: float, ms: float, *, failed: bool, users: int | None = None, is_end: bool = False
    ) -> None:
        """Count a request that started `at_s` (any origin; with `is_end` that ended then) and took `ms`. They may come in any order.

        `users` is how many were active when it ended: who waits long was one of fewer when it began.
        """
        cell = self._cell(at_s)
        cell.latencies.add(ms)
        cell.failures += failed
        ended_s = at_s if is_end else at_s + ms / 1000
        cell.until_s = max(cell.until_s, ended_s)
        if users is not None:
            self._note(ended_s, users)
            begun, ended = int(at_s // self.width_s), int(ended_s // self.width_s)
            if begun != ended:
                self._waiting[begun] += 1
                self._waiting[ended] -= 1

    def see_users(self, at_s: float, users: int) -> None:
        """Note how many users were active at a time at which nothing need have been asked."""
        self._cell(at_s)
        self._note(at_s, users)

    def _cell(self, at_s: float) -> _Cell:
        index = int(at_s // self.width_s)
        if index not in self._cells:
            self._cells[index] = _Cell()
            while len(self._cells) > 2 * MAX_POINTS:
                self._double()
        return self._cells[int(at_s // self.width_s)]

    def _note(self, at_s: float, users: int) -> None:
        index = int(at_s // self.width_s)
        self._users[index] = max(users, self._users.get(index, users))
        while len(self._users) > 2 * MAX_POINTS:
            self._double()

    def _double(self) -> None:
        self.width_s *= 2
        cells, self._cells = self._cells, {}
        for index, cell in cells.items():
            kept = self._cells.setdefault(index // 2, cell)
            if kept is not cell:
                kept.merge(cell)
        told, self._users = self._users, {}
        for index, users in told.items():
            self._users[index // 2] = max(users, self._users.get(index // 2, users))
        moves, self._waiting = self._waiting, Counter()
        for index, more in moves.items():
            self._waiting[index // 2] += more

    def points(self, start_s: float, end_s: float) -> tuple[Point, ...]:
        """Return the points from `start_s` to `end_s` (same origin). Each lasts until what was asked till then is answered.

        Users who wait for a site that hangs ask nothing: left out, that time would make a step shorter and its rate too high.
        So would that of users who think, where as many ask again within `REST_S`; where nobody does, it is a rest.
        """
        points = []
        cells, told = sorted(self._cells.items()), sorted(self._users)
        moves, waiting = deque(sorted(self._waiting.items())), 0
        waited_s, since = -math.inf, cells[0][0] if cells else 0
        for (index, cell), after in zip_longest(cells, cells[1:]):
            begin = max(index * self.width_s, start_s)
            while moves and moves[0][0] <= index:
                waiting += moves.popleft()[1]
            users = self._there(index, since, waiting, told)
            next_s = after[0] * self.width_s if after else max(end_s, begin)
            waited_s = max(waited_s, cell.until_s)
            ends = min(max((index + 1) * self.width_s, waited_s), next_s)
            if after and next_s - ends <= REST_S and self._users.get(after[0]) in (None, users):
                ends = next_s
            if after and ends < next_s:
                since = after[0]
            length = ends - begin
            # The last stretch may be a moment long, by which nobody should divide.
            rated = length >= self.width_s / 2
            found = cell.latencies.latency(POINT_PERCENTS.values())
            count = cell.latencies.count
            points.append(
                Point(
                    offset_s=max(0.0, begin - start_s),
                    length_s=length,
                    users=users,
                    requests=count,
                    failures=cell.failures,
                    requests_per_s=count / length if rated else None,
                    failures_per_s=cell.failures / length if rated else None,
                    mean_ms=found.mean_ms,
                    **point_percentiles(found.percentiles),
                    counted=cell.latencies,
                )
            )
        return tuple(points)

    def _there(self, index: int, since: int, waiting: int, told: Sequence[int]) -> int | None:
        """Return how many users were active in a stretch: as it tells, or as one before it that is not from before the last rest.

        Where more wait than were there then, or none is told, they are those told next: whoever hangs tells it at the end.
        """
        place = bisect_right(told, index)
        before = told[place - 1] if place else -math.inf
        if before < since or (before < index and waiting > self._users[told[place - 1]]):
            place = min(place + 1, len(told))
        return self._users[told[place - 1]] if place else None


def unjudged(points: Iterable[Point]) -> tuple[Point, ...]:
    """Return points of which nobody knows what failed."""
    return tuple(replace(point, failures=None, failures_per_s=None) for point in points)
