"""What if: the answer for a pool with something else tried out, the same for page and API."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from capacity.reports import wording
from capacity.reports.models import SizedPool
from capacity.reports.selectors import Sized, carries_by_flavor, prices_of, sized
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
    """Return the sizes that can be tried out: those with a price and those with a benchmark. Two queries."""
    known = {*prices_of(pool.account), *carries_by_flavor(pool)} - {pool.flavor}
    return [(one, one) for one in sorted(known)[:MOST_FLAVORS]]


def try_out(pool: SizedPool, tried: WhatIf, now: datetime) -> Tried:
    """Return the answer; arithmetic on what is known already, so it comes at once."""
    prices = prices_of(pool.account)
    as_it_is = sized(pool, now, prices)
    tried = _moved(tried, as_it_is)
    carries_from = ""
    if tried.carries_rps is not None:
        carries_from = "as typed"
    elif tried.flavor is not None and tried.flavor != pool.flavor:
        measured = carries_by_flavor(pool).get(tried.flavor)
        carries_from = (
            "a benchmark of this size, at least" if measured else "not known: type what one carries"
        )
        tried = replace(tried, carries_rps=measured, is_least=True)
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
    answer = Tried(as_it_is, found, wording.lasts_words(found.lasts, now), price, carries_from, None)
    return replace(answer, needed_cost=None if answer.needed is None else cost_a_month(answer.needed, price))
