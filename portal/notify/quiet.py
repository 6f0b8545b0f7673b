"""When a mail may go: quiet hours and working hours by the clock on the wall, whatever the clock changes do.

Pure functions. A mail that must wait goes at the first moment at which the clock on the person's wall shows
an allowed time; nothing in between is allowed. Times are aware.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from portal.notify.registry import Urgency

WORK_FROM, WORK_UNTIL = time(8), time(18)
_SATURDAY = 5
# A long weekend of closed hours, and a day that a zone leaves out, fit into this.
_LOOK_AHEAD = timedelta(days=9)


@dataclass(frozen=True)
class Quiet:
    """Quiet hours on the wall: from `start` up to, not including, `end`; past midnight where start > end.

    Equal times mean no quiet hours.
    """

    start: time
    end: time

    def holds_at(self, wall: time) -> bool:
        """Whether this time of day is quiet."""
        if self.start <= self.end:
            return self.start <= wall < self.end
        return wall >= self.start or wall < self.end


def may_go_at(now: datetime, urgency: Urgency, zone: str, quiet: Quiet | None) -> datetime:
    """Return the first moment from `now` on at which a mail of this urgency may go to a person in `zone`.

    TODAY waits for 8 to 18 on Monday to Friday as well, unless quiet hours leave nothing of those: then
    working hours alone decide.
    """
    if urgency is Urgency.NOW:
        return now

    def is_loud(wall: datetime) -> bool:
        return quiet is None or not quiet.holds_at(wall.time())

    def is_working(wall: datetime) -> bool:
        return wall.weekday() < _SATURDAY and WORK_FROM <= wall.time() < WORK_UNTIL

    edges = [WORK_FROM] if urgency is Urgency.TODAY else []
    if quiet is not None:
        edges.append(quiet.end)
    if urgency is Urgency.NORMAL:
        return _first(now, zone, is_loud, edges) or now
    both = _first(now, zone, lambda wall: is_loud(wall) and is_working(wall), edges)
    return both or _first(now, zone, is_working, edges) or now


def _first(
    now: datetime, zone_name: str, is_open: Callable[[datetime], bool], edges: list[time]
) -> datetime | None:
    """Return the first moment at which `is_open` holds on the wall; None if there is none in nine days."""
    zone = ZoneInfo(zone_name)
    if is_open(now.astimezone(zone)):
        return now
    # It can only become open at one of the edges, or where the clock itself jumps.
    moments = sorted({*_edges(now, zone, edges), *_jumps(now, zone)})
    return next((at for at in moments if at > now and is_open(at.astimezone(zone))), None)


def _edges(now: datetime, zone: ZoneInfo, edges: list[time]) -> Iterator[datetime]:
    today = now.astimezone(zone).date()
    for day in range(-1, _LOOK_AHEAD.days + 1):
        for edge in edges:
            for fold in (0, 1):
                wall = datetime.combine(today + timedelta(days=day), edge, zone).replace(fold=fold)
                yield wall.astimezone(UTC)


def _jumps(now: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the moments (to the second) at which the zone's offset changes."""
    hour = timedelta(hours=1)
    # Moments without microseconds: a change falls on a whole second.
    before = now.astimezone(UTC).replace(microsecond=0)
    end = before + _LOOK_AHEAD
    while before < end:
        after = before + hour
        offset = before.astimezone(zone).utcoffset()
        if after.astimezone(zone).utcoffset() != offset:
            low, high = before, after
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low).total_seconds() // 2)
                if middle.astimezone(zone).utcoffset() == offset:
                    low = middle
                else:
                    high = middle
            yield high
        before = after
