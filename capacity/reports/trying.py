"""What if: the answer for a pool with something else tried out, the same for page and API."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.utils import timezone

from capacity.baselines.doubts import doubts_about
from capacity.reference import Site, Sizes, sizes_of
from capacity.reports import wording
from capacity.reports.models import SizedPool
from capacity.reports.selectors import Sized, carried_of, measured_flavors, prices_of, sized
from capacity.sizing import Cost, Lasts, Price, Runway, Sizing, WhatIf, cost_a_month, what_if

MOST_FLAVORS = 50


@dataclass(frozen=True)
class Tried:
    """The answer beside what is. `carries_from` says where the ceiling of another size comes from, "" if as it is."""

    now: Sized
    sizing: Sizing
    lasts: str
    price: Price | None
    carries_from: str
    doubts: tuple[str, ...]
    """What speaks against what one server carries, of the size that is tried out."""
    needed_cost: Cost | None
    """A month of the servers that are needed at the forecast peak; None where that is not known."""

    @property
    def needed(self) -> int | None:
        """Servers for now and for the forecast peak, whichever are more; None where neither is known, or the series ended."""
        if self.now.has_ended:
            return None
        known = [one for one in (self.sizing.needed_now, self.sizing.needed_peak) if one is not None]
        return max(known) if known else None


def _moved(tried: WhatIf, as_it_is: Sized) -> WhatIf:
    """Return what is tried out without what only says, rounded as pages show it, what is there already."""
    growth = None if as_it_is.demand is None else as_it_is.demand.growth
    if tried.growth is not None and growth is not None and round(tried.growth, 3) == round(growth, 3):
        tried = replace(tried, growth=None)
    if tried.headroom is not None and round(tried.headroom, 2) == round(as_it_is.rules.headroom, 2):
        tried = replace(tried, headroom=None)
    return tried


def flavors_of(pool: SizedPool) -> list[tuple[str, str]]:
    """Return the sizes that can be tried out: those with a price, a ceiling or a benchmark. Four queries."""
    ceilings = {one.flavor for one in _sizes_of(pool, timezone.now()).ceilings}
    listed = sorted({*measured_flavors(pool), *ceilings}) + sorted(prices_of(pool.account))
    # However it is written: as its price is, else that would not be found.
    known = {one.lower(): one for one in listed if one and one.lower() != pool.flavor.lower()}
    return [(one, one) for one in sorted(known.values())[:MOST_FLAVORS]]


def _sizes_of(pool: SizedPool, now: datetime) -> Sizes:
    return sizes_of(pool.account, Site(pool.connection.ref, pool.balancer_id), now)


def _of_another_size(
    pool: SizedPool, tried: WhatIf, flavor: str, mix: str, now: datetime
) -> tuple[WhatIf, str, tuple[str, ...]]:
    """Return what is tried out with what one server of another size carries, where that is from, and what speaks against it.

    `mix` is that of the ceiling in force: what was carried with another one is not as good, and is named.
    """
    for one in _sizes_of(pool, now).ceilings:
        if one.flavor.lower() == flavor.lower():
            known = replace(tried, carries_rps=one.requests_per_s, is_least=one.is_least)
            doubts = doubts_about(pool.connection, pool.balancer_id, one)
            return known, f"in force for this size: {one.source}{_other_mix(one.mix, mix)}", doubts
    carried = carried_of(pool, flavor, mix)
    if carried is None:
        return tried, "not known: type what one carries", ()
    known = replace(tried, carries_rps=carried.requests_per_s, is_least=carried.is_least)
    of_mix = _other_mix(carried.mix, mix)
    return known, f"within what is promised, by a benchmark of this size: {carried.source}{of_mix}", ()


def _other_mix(mix: str, counting: str) -> str:
    """Return that it was carried with another mix than the ceiling in force; "" where both are one, or one is not said."""
    return (
        f", with another mix of requests ({mix}) than counts now"
        if counting and mix and mix != counting
        else ""
    )


def try_out(pool: SizedPool, tried: WhatIf, now: datetime) -> Tried:
    """Return the answer; arithmetic on what is known already, so it comes at once."""
    prices = prices_of(pool.account)
    as_it_is = sized(pool, now, prices)
    tried = _moved(tried, as_it_is)
    carries_from = ""
    doubts: tuple[str, ...] = (pool.doubt,) if pool.doubt else ()
    if tried.carries_rps is not None:
        carries_from, doubts = "as typed", ()
    elif tried.flavor is not None and tried.flavor != pool.flavor:
        mix = as_it_is.ceiling.mix if as_it_is.ceiling else ""
        tried, carries_from, doubts = _of_another_size(pool, tried, tried.flavor, mix, now)
    price = prices.get(pool.flavor if tried.flavor is None else tried.flavor)
    found = what_if(
        as_it_is.provider_pool,
        as_it_is.demand,
        as_it_is.rules,
        now,
        tried,
        next_peak_rps=as_it_is.sizing.peak_next_rps,
        price=price,
    )
    if as_it_is.sizing.on is not None:
        # What is tried out is a usual week; nothing goes out before the peak that is on is over.
        surplus = None if found.surplus is None else 0
        unknown = Runway(Lasts.UNKNOWN)
        found = replace(found, on=as_it_is.sizing.on, surplus=surplus, saving=None, lasts_without=unknown)
    answer = Tried(as_it_is, found, wording.lasts_words(found.lasts, now), price, carries_from, doubts, None)
    return replace(answer, needed_cost=None if answer.needed is None else cost_a_month(answer.needed, price))
