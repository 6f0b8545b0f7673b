"""How many servers a load needs, how long they last, what is more than needed and what that costs. Pure.

    sizing = size(Pool(servers=6, carries_rps=90.0), demand, Rules(headroom=0.2), now, events=planned, price=price)
    sizing.needed_now, sizing.needed_peak, sizing.lasts.at, sizing.surplus, sizing.saving

Rates are requests per second, shares 0 to 1, growth a fraction a month of 30.44 days. Unknown is None. Formulae: docs/capacity.md
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from math import ceil, isfinite, log, log1p

MONTH = timedelta(days=365.25 / 12)
HOURS_A_MONTH = Decimal("730.5")
"""365.25 days of 24 hours over twelve months."""
FAR = timedelta(days=5 * 365.25)
"""No date is told beyond this: what grows for five years is guessed, not forecast."""
SLACK = 1e-9
"""A load that is a whole number of servers but for rounding needs no further one."""
AHEAD_MONTHS = 28 * 24 / float(HOURS_A_MONTH)
"""How far the forecast peak looks ahead: four weeks."""
MOST_LISTED = 20
"""So many events are listed of all that are sized: half of them the next ones, the other half those that need most."""
MOST_SERVERS = 1_000_000
MOST_MULTIPLE = 1_000.0
"""No event is more times the usual traffic than this: beyond, somebody mistyped."""


@dataclass(frozen=True)
class Range:
    """A figure with the bounds that it probably lies in."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True)
class Demand:
    """What a pool must carry without events: the usual highest hour of a week at `as_of`, and how it grows.

    `peak_low_rps` and `peak_high_rps` bound that hour; growth is a fraction a month (0.041 is 4.1 %), with the bounds of its
    95 % interval, None where it is not known: then nothing is said of later.
    """

    peak_rps: float
    peak_low_rps: float
    peak_high_rps: float
    as_of: datetime
    growth: float | None = None
    growth_low: float | None = None
    growth_high: float | None = None

    def at(self, moment: datetime) -> Range | None:
        """Return the usual highest hour of a week around a moment; None where growth is not known."""
        if self.growth is None or self.growth_low is None or self.growth_high is None:
            return None
        months = max(0.0, (moment - self.as_of) / MONTH)
        # Whatever the caller gives, a middle that lies outside of its bounds is none.
        mid = _grown(self.peak_rps, self.growth, months)
        low = min(mid, _grown(self.peak_low_rps, self.growth_low, months))
        return Range(low, mid, max(mid, _grown(self.peak_high_rps, self.growth_high, months)))


@dataclass(frozen=True)
class Rules:
    """`headroom` is the share of what the servers carry that stays free at any peak; `fewest` are never gone below."""

    headroom: float = 0.2
    fewest: int = 2

    def __post_init__(self) -> None:
        if not 0.0 <= self.headroom < 1.0:
            raise ValueError("Headroom is a share from 0 to below 1.")
        if self.fewest < 1:
            raise ValueError("At least one server stays.")


@dataclass(frozen=True)
class Pool:
    """Servers in service and the most that one of them carries; None is unknown. `carries_rps` belongs to `flavor`.

    `is_least`: one was seen to carry that much and may carry more. What is needed is at most so much then, and nothing
    shows that they carry too little.

    `limit_rps` is what the pool carries at most however many servers it has (a database, a partner); None where nobody
    said so.

    `hosts` names the physical host of each server by a number, in the order in which they would leave; those that have one
    number fail together. Where it is not known each is taken to be alone on its host.
    """

    servers: int | None
    carries_rps: float | None
    flavor: str = ""
    limit_rps: float | None = None
    is_least: bool = False
    hosts: tuple[int, ...] = ()

    def carries(self) -> float | None:
        """Return what the servers carry together, in requests per second: never more than the pool's own limit."""
        if self.servers is None or self.carries_rps is None:
            return None
        together = self.servers * self.carries_rps
        return together if self.limit_rps is None else min(together, self.limit_rps)

    @property
    def may_carry_more(self) -> bool:
        """Whether `carries` is a lower bound: at the pool's own limit it is none."""
        return self.is_least and self.carries() != self.limit_rps


@dataclass(frozen=True)
class Planned:
    """A planned event and the multiple of normal that is expected; None where nobody said."""

    name: str
    starts_at: datetime
    multiple: float | None
    is_on: bool = False
    """It was not planned: it was seen in the traffic, and is still on."""
    peak_rps: float | None = None
    """The most that was seen of it: whatever its multiple, it needs no less."""
    is_dismissed: bool = False
    """Somebody said that it is no event. While it is on its servers are needed all the same; it alarms nobody."""


@dataclass(frozen=True)
class Price:
    """What one server costs an hour."""

    an_hour: Decimal
    currency: str


@dataclass(frozen=True)
class Cost:
    """Server-hours, and the money where a price is known. Always an estimate: discounts and traffic are not in it."""

    server_hours: Decimal
    money: Decimal | None = None
    currency: str = ""


class Lasts(StrEnum):
    """What is known of how long the servers last."""

    ENDS = "ends"
    OVER = "over"
    """The usual peak is above what they carry less what stays free."""
    LONG = "long"
    """Demand does not grow so far within five years."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Runway:
    """When forecast demand meets capacity: `at`, probably from `earliest` to `latest`. None: beyond five years, or unknown.

    `limit_rps` is the pool's own limit where that is what is met: more servers do not move the date then. `peak_rps` and
    `carried_rps` are the usual peak and all that is carried, where the peak is the greater one: nothing is free at it.
    `is_least`: only a lower bound of what a server carries is known, so they last until then at least; unknown where the
    usual peak needs more than that bound.
    """

    state: Lasts
    at: datetime | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    limit_rps: float | None = None
    peak_rps: float | None = None
    carried_rps: float | None = None
    is_least: bool = False


@dataclass(frozen=True)
class EventNeed:
    """Servers that one planned event needs; None where its multiple or the ceiling is not known."""

    event: Planned
    peak_rps: float | None
    servers: int | None
    more: int | None
    """How many must be added for it; 0 for none."""
    is_over_limit: bool = False
    """The pool's own limit is less than it needs: no number of servers carries it."""

    @property
    def is_beyond_seen(self) -> bool:
        """Whether nobody saw so much of what is on yet: it is what the usual week's busiest hour would come to."""
        return (
            self.event.peak_rps is not None
            and self.peak_rps is not None
            and self.peak_rps > self.event.peak_rps
        )


@dataclass(frozen=True)
class Sizing:
    """What a pool needs. None is *unknown*, which is never 0.

    `headroom_now` is the share of what the servers carry that is free at the usual peak; below 0 they carry too little. Of a
    lower bound (`Pool.is_least`) it is at least that, and unknown below 0; servers needed are at most so many.
    `surplus` are servers in service beyond what now, the forecast peak, the loss of one physical host at it and `fewest` ask for;
    planned events are told apart (`asks_for_more`). `kept_for_host` are those that would be more than needed but for that
    loss. `on` is a peak or a planned event that is on and needs more than that, or nobody knows how many:
    nothing is surplus before it is over. `is_over_limit`: now or at the forecast peak the pool's own limit is less than is needed.
    `lasts_without`: until when the servers last that stay once the surplus is out.
    """

    pool: Pool
    rules: Rules
    peak_now_rps: float | None
    peak_next_rps: float | None
    needed_now: int | None
    needed_peak: int | None
    events: tuple[EventNeed, ...]
    headroom_now: float | None
    lasts: Runway
    surplus: int | None
    saving: Cost | None
    is_over_limit: bool = False
    lasts_without: Runway = Runway(Lasts.UNKNOWN)
    on: EventNeed | None = None
    kept_for_host: int = 0
    is_host_too_much: bool = False
    """Whether not even all that there are carry the peak should the host with most of them fail."""

    @property
    def left(self) -> int | None:
        """Servers that stay once the surplus is out; None where that is not known."""
        known = self.pool.servers is not None and self.surplus is not None
        return (self.pool.servers or 0) - (self.surplus or 0) if known else None

    @property
    def listed(self) -> tuple[EventNeed, ...]:
        """The events to show, in order: of more than `MOST_LISTED` the next ones and those that need most."""
        if len(self.events) <= MOST_LISTED:
            return self.events
        places = range(len(self.events))
        kept = {at for at in places if self.events[at].event.is_on} | set(places[: MOST_LISTED // 2])
        most = sorted(
            (at for at in places if at not in kept),
            key=lambda at: (-(self.events[at].peak_rps or 0.0), -(self.events[at].event.multiple or 0.0)),
        )
        return tuple(self.events[at] for at in sorted(kept | set(most[: MOST_LISTED // 2])))

    @property
    def missing_on(self) -> EventNeed | None:
        """The peak that is on, as the traffic shows, where servers are missing for it; None else.

        Where only a lower bound of what one carries says so, nobody knows whether they are.
        """
        if self.on is None or not self.on.event.is_on or self.on.event.is_dismissed or not self.on.more:
            return None
        return self.on if self._is_known(self.on) else None

    @property
    def missing_planned(self) -> EventNeed | None:
        """The first planned event for which servers are missing, or that no number of them carries; None for none.

        Those for which only a lower bound of what one carries says so are told apart (`may_miss_planned`).
        """
        planned = (one for one in self.events if not one.event.is_on and self._is_known(one))
        return next((one for one in planned if one.more or one.is_over_limit), None)

    @property
    def missing_most(self) -> EventNeed | None:
        """The planned event that asks for more still than the first one: which no number of servers carries, else for which the
        most are missing; None for none.
        """
        first = self.missing_planned
        if first is None or first.is_over_limit:
            return None
        planned = [one for one in self.events if not one.event.is_on and self._is_known(one)]
        most = max(planned, key=lambda one: (one.is_over_limit, one.more or 0), default=first)
        return most if most.is_over_limit or (most.more or 0) > (first.more or 0) else None

    @property
    def may_miss_planned(self) -> EventNeed | None:
        """The first planned event for which servers may be missing, at most `more`; None for none."""
        planned = (one for one in self.events if not one.event.is_on and not self._is_known(one))
        return next((one for one in planned if one.more), None)

    def _is_known(self, need: EventNeed) -> bool:
        """Whether it needs what is told: by a lower bound it is at most so much, by the pool's own limit no less."""
        return not self.pool.is_least or need.is_over_limit

    @property
    def peak_over_limit(self) -> float | None:
        """The usual peak, else the next one, where it is more than the pool's own limit with nothing free; None else."""
        limit = float("inf") if self.pool.limit_rps is None else self.pool.limit_rps * (1.0 + SLACK)
        peaks = (self.peak_now_rps, self.peak_next_rps)
        return next((one for one in peaks if one is not None and one > limit), None)

    @property
    def asks_for_more(self) -> EventNeed | None:
        """The first planned event for which servers would be missing, or may be, once the surplus is out; None for none."""
        if not self.surplus or self.pool.servers is None:
            return None
        left = self.left or 0
        return next((one for one in self.events if one.servers is None or one.servers > left), None)


def servers_for(load_rps: float, carries_rps: float, rules: Rules) -> int:
    """Return the fewest servers that carry `load_rps` and keep the headroom free. Raises ValueError for what cannot be."""
    if not (isfinite(load_rps) and load_rps >= 0.0 and isfinite(carries_rps) and carries_rps > 0.0):
        raise ValueError("A load is 0 or more, and a server carries more than 0 requests per second.")
    exact = load_rps / (carries_rps * (1.0 - rules.headroom))
    if exact > MOST_SERVERS:
        raise ValueError(f"That is more than {MOST_SERVERS:,} servers.")
    return max(rules.fewest, ceil(exact * (1.0 - SLACK)))


def headroom_of(load_rps: float, carried_rps: float) -> float:
    """Return the share of what the servers carry together that is free under a load; below 0 where they carry too little."""
    return 1.0 - load_rps / carried_rps


def runway(demand: Demand, pool: Pool, rules: Rules, now: datetime) -> Runway:
    """Return when the usual peak of a week meets what the servers carry less headroom; unknown where that is unknown.

    The range comes from the highest peak with the fastest growth and the lowest peak with the slowest: both at their
    bounds is rarer than either, so it is a wide one.
    """
    usual, carried = demand.at(now), pool.carries()
    if usual is None or not carried:
        return Runway(Lasts.UNKNOWN)
    if pool.may_carry_more:
        return _at_least(demand, pool, rules, now)
    usable = carried * (1.0 - rules.headroom)
    limit = pool.limit_rps if pool.limit_rps == carried else None
    earliest, at, latest = (
        _meets(peak, growth, usable, now)
        for peak, growth in (
            (usual.high, demand.growth_high),
            (usual.mid, demand.growth),
            (usual.low, demand.growth_low),
        )
    )
    if at is not None and at <= now:
        exceeded = (usual.mid, carried) if usual.mid > carried * (1.0 + SLACK) else (None, None)
        return Runway(Lasts.OVER, now, now, latest, limit, *exceeded)
    if at is None:
        return Runway(Lasts.LONG, None, earliest, None, limit)
    first, last = at if earliest is None else min(earliest, at), latest and max(latest, at)
    return Runway(Lasts.ENDS, at, first, last, limit)


def _at_least(demand: Demand, pool: Pool, rules: Rules, now: datetime) -> Runway:
    """Return how long servers last that may carry more than is known: never that they are too few, unless the pool's own limit is."""
    found = replace(runway(demand, replace(pool, is_least=False), rules, now), is_least=True)
    if found.state is not Lasts.OVER:
        return found
    if pool.limit_rps is not None:
        by_limit = runway(demand, Pool(1, pool.limit_rps, limit_rps=pool.limit_rps), rules, now)
        if by_limit.state is Lasts.OVER:
            return by_limit
    return Runway(Lasts.UNKNOWN, is_least=True)


def size(
    pool: Pool,
    demand: Demand | None,
    rules: Rules,
    now: datetime,
    *,
    next_peak_rps: float | None = None,
    events: Sequence[Planned] = (),
    price: Price | None = None,
) -> Sizing:
    """Return what a pool needs now, at the forecast peak and for each planned event, and what is more than that.

    `next_peak_rps` is the forecast peak of the whole pool without events. What is not known leaves unknown what rests on it,
    and nothing else. Raises ValueError for a ceiling that is not above 0.
    """
    range_now = None if demand is None else demand.at(now)
    peak_now = range_now.mid if range_now is not None else None if demand is None else demand.peak_rps
    carries, servers = pool.carries_rps, pool.servers

    def needed(load: float | None) -> int | None:
        if load is None or carries is None:
            return None
        # A figure that somebody mistyped is answered with more servers than anybody has, and breaks nothing.
        most = carries * (1.0 - rules.headroom) * MOST_SERVERS * (1.0 - SLACK)
        return servers_for(min(load, most), carries, rules)

    def is_over(load: float | None) -> bool:
        usable = None if pool.limit_rps is None else pool.limit_rps * (1.0 - rules.headroom)
        return load is not None and usable is not None and load > usable * (1.0 + SLACK)

    needed_now, needed_peak = needed(peak_now), needed(next_peak_rps)
    needs = tuple(_event_need(one, demand, needed, is_over, servers) for one in events)
    carried = pool.carries()
    free = None if peak_now is None or not carried else headroom_of(peak_now, carried)
    surplus, on, kept, too_much = None, None, 0, False
    if servers is not None and needed_now is not None:
        usual = max(needed_now, needed_peak or 0, rules.fewest)
        # Of several what is seen and no one dismissed is told, and of those the one that needs most.
        on = max(
            (
                one
                for one in needs
                if (one.event.is_on or one.event.starts_at < now)
                and (one.servers is None or one.servers > usual)
            ),
            key=lambda one: (one.event.is_on and not one.event.is_dismissed, one.servers or 0),
            default=None,
        )
        # Nothing goes out while more than usual comes in.
        beyond = 0 if on else max(0, servers - usual)
        peak = max(peak_now or 0.0, next_peak_rps or 0.0)
        kept, too_much = _kept_for_host(pool, servers, beyond, peak)
        surplus = beyond - kept
    return Sizing(
        pool=pool,
        rules=rules,
        peak_now_rps=peak_now,
        peak_next_rps=next_peak_rps,
        needed_now=needed_now,
        needed_peak=needed_peak,
        events=needs,
        headroom_now=None if free is not None and free < 0.0 and pool.may_carry_more else free,
        lasts=Runway(Lasts.UNKNOWN) if demand is None else runway(demand, pool, rules, now),
        surplus=surplus,
        saving=None if not surplus else cost_a_month(surplus, price),
        is_over_limit=is_over(peak_now) or is_over(next_peak_rps),
        on=on,
        lasts_without=Runway(Lasts.UNKNOWN)
        if demand is None or servers is None or not surplus
        else runway(demand, replace(pool, servers=servers - surplus), rules, now),
        kept_for_host=kept,
        is_host_too_much=too_much,
    )


@dataclass(frozen=True)
class WhatIf:
    """What is tried out; None leaves it as it is. `growth` is a fraction a month, `multiple` that of an event to come."""

    growth: float | None = None
    multiple: float | None = None
    headroom: float | None = None
    servers: int | None = None
    carries_rps: float | None = None
    flavor: str | None = None
    is_least: bool = False
    """Of `carries_rps`: it may carry more."""


def what_if(
    pool: Pool,
    demand: Demand | None,
    rules: Rules,
    now: datetime,
    tried: WhatIf,
    *,
    next_peak_rps: float | None = None,
    event_at: datetime | None = None,
    price: Price | None = None,
) -> Sizing:
    """Return the sizing with something else tried out. Another growth keeps the width of its interval.

    The one event of the answer is at `event_at` (now if not given). Another flavor's ceiling is the caller's to give: one
    that belongs to another size says nothing of it, so without `carries_rps` it is unknown.
    """
    if tried.growth is not None and demand is not None:
        by = 0.0 if demand.growth is None else tried.growth - demand.growth
        low = tried.growth if demand.growth_low is None else demand.growth_low + by
        high = tried.growth if demand.growth_high is None else demand.growth_high + by
        demand = replace(demand, growth=tried.growth, growth_low=low, growth_high=high)
        if next_peak_rps is not None:
            usual, scaled = demand.at(now), _with_growth(next_peak_rps, tried.growth - by, tried.growth)
            # The forecast damps the growth that it takes away here whole: without a fall nothing comes below what is.
            least = 0.0 if usual is None or tried.growth < 0.0 else min(next_peak_rps, usual.mid)
            next_peak_rps = max(scaled, least)
    if tried.headroom is not None:
        rules = replace(rules, headroom=tried.headroom)
    is_other = tried.flavor is not None and tried.flavor != pool.flavor
    pool = Pool(
        pool.servers if tried.servers is None else tried.servers,
        tried.carries_rps if tried.carries_rps is not None else None if is_other else pool.carries_rps,
        pool.flavor if tried.flavor is None else tried.flavor,
        pool.limit_rps,
        tried.is_least if tried.carries_rps is not None else pool.is_least and not is_other,
        # Where other servers would stand nobody knows.
        () if is_other or tried.servers is not None else pool.hosts,
    )
    events = () if tried.multiple is None else (Planned("", event_at or now, tried.multiple),)
    return size(pool, demand, rules, now, next_peak_rps=next_peak_rps, events=events, price=price)


def _with_growth(next_peak_rps: float, growth: float, other: float) -> float:
    """Return the forecast peak with another growth: the highest hour lies at the end of what grows, and now in what shrinks."""
    return float(next_peak_rps * ((1.0 + max(0.0, other)) / (1.0 + max(0.0, growth))) ** AHEAD_MONTHS)


def cost_a_month(servers: int, price: Price | None) -> Cost:
    """Return what so many servers cost in a month of 730.5 hours."""
    return _cost(HOURS_A_MONTH * servers, price)


@dataclass(frozen=True)
class Stay:
    """One server from its creation to its deletion; `deleted_at` None: it is still there."""

    created_at: datetime
    deleted_at: datetime | None


def cost_of(stay: Stay, price: Price | None, now: datetime) -> Cost:
    """Return what one server cost from creation to deletion, or until now."""
    seconds = max(0.0, ((stay.deleted_at or now) - stay.created_at).total_seconds())
    return _cost(Decimal(round(seconds)) / 3600, price)


def total_of(costs: Iterable[Cost]) -> Cost:
    """Return the sum. Money that is unknown for one, or in several currencies, is unknown for all."""
    listed = list(costs)
    hours = sum((one.server_hours for one in listed), Decimal(0))
    currencies = {one.currency for one in listed}
    if not listed or len(currencies) != 1 or any(one.money is None for one in listed):
        return Cost(hours)
    return Cost(hours, sum((one.money or Decimal(0) for one in listed), Decimal(0)), currencies.pop())


# --- parts -------------------------------------------------------------------------------------------------------


def _grown(rps: float, growth: float, months: float) -> float:
    # Shrinking by all there is leaves nothing, at once.
    return rps * max(0.0, 1.0 + growth) ** months if months else rps


def _meets(peak_rps: float, growth: float | None, usable_rps: float, now: datetime) -> datetime | None:
    """Return when a peak that grows from `now` on meets what is usable; None for never, or not within five years."""
    if peak_rps >= usable_rps * (1.0 - SLACK):
        return now
    if growth is None or growth <= 0.0 or peak_rps <= 0.0:
        return None
    # Growth may be as small as a float goes.
    a_month, needed = log1p(growth), log(usable_rps / peak_rps)
    return now + needed / a_month * MONTH if a_month * (FAR / MONTH) >= needed else None


def peak_of(usual_rps: float | None, multiple: float | None, seen_rps: float | None) -> float | None:
    """Return what an event comes to in requests per second: its multiple of the usual peak, and no less than was seen of it.

    What is on at an hour that usually has nothing has no multiple. None where nothing of it is known.
    """
    told = None if usual_rps is None or multiple is None else usual_rps * min(multiple, MOST_MULTIPLE)
    return max((one for one in (told, seen_rps) if one is not None), default=None)


def _kept_for_host(pool: Pool, servers: int, beyond: int, peak_rps: float) -> tuple[int, bool]:
    """Return how many of the `beyond` stay, so that at each size on the way down the rest carries the peak without any one host.

    And whether not even all of them do.

    As the planner of scale-downs judges it: one server after another leaves, and what is left after the loss has nothing free.
    """
    carries = pool.carries_rps or 0.0

    def is_enough(left: int) -> bool:
        return left > 0 and peak_rps <= left * carries * (1.0 + SLACK)

    if not servers:
        return 0, False
    is_told = len(pool.hosts) == servers
    if not beyond:
        return 0, not is_enough(servers - (max(Counter(pool.hosts).values()) if is_told else 1))
    if not is_told:
        fewest = max(1, ceil(peak_rps / carries * (1.0 - SLACK))) + 1 if carries else servers
        return max(0, beyond - max(0, servers - fewest)), fewest > servers
    left = Counter(pool.hosts)
    too_much = not is_enough(servers - max(left.values()))
    for out in range(beyond):
        left[pool.hosts[out]] -= 1
        if not is_enough(servers - out - 1 - max(left.values())):
            return beyond - out, too_much
    return 0, too_much


def _event_need(
    event: Planned,
    demand: Demand | None,
    needed: Callable[[float | None], int | None],
    is_over: Callable[[float | None], bool],
    servers: int | None,
) -> EventNeed:
    usual = None if demand is None else demand.at(event.starts_at)
    normal = usual.mid if usual is not None else None if demand is None else demand.peak_rps
    peak = peak_of(normal, event.multiple, event.peak_rps)
    asked = needed(peak)
    more = None if asked is None or servers is None else max(0, asked - servers)
    return EventNeed(event, peak, asked, more, is_over(peak))


def _cost(hours: Decimal, price: Price | None) -> Cost:
    hours = hours.quantize(Decimal("0.01"), ROUND_HALF_UP)
    if price is None:
        return Cost(hours)
    return Cost(hours, (hours * price.an_hour).quantize(Decimal("0.01"), ROUND_HALF_UP), price.currency)
