"""What a report says, in one sentence and in parts. Pure; dates as people say them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from capacity.sizing import EventNeed, Lasts, Runway, Sizing
from portal.ui.charts import number

_SOON = timedelta(days=300)
"""Further off than this a month is told with its year."""
_SAME_FOR = timedelta(days=30)
"""Peaks of one name closer together than this are of one event: the same name a year later is another one."""


@dataclass(frozen=True)
class Peak:
    """The peak of one stretch that left its band, and its multiple of normal. `name` is that of its event, "" where nobody named it."""

    at: datetime
    multiple: float
    name: str = ""


def sentence(
    growth: tuple[float, float, float] | None,
    peaks: Sequence[Peak],
    servers: int | None,
    runway: Runway | None,
    now: datetime,
) -> str:
    """Return organic growth, the last event and how long the servers last as one sentence.

    `growth` is a fraction a month with its bounds; None is *not known*. `peaks` are rises, the newest last.
    """
    parts = [_growth(growth), *_peaks(peaks, now)]
    if servers is not None and runway is not None:
        lasts = _lasts(servers, runway, now)
        if lasts:
            parts.append(lasts)
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def percent(share: float) -> str:
    """Return a fraction as a signed percentage with one digit: +4.1, −0.3, 0.0."""
    text = f"{abs(share) * 100:.1f}"
    return text if text == "0.0" else f"{'+' if share > 0 else '−'}{text}"


def _growth(growth: tuple[float, float, float] | None) -> str:
    if growth is None:
        return "organic growth is not known yet"
    mid, low, high = growth
    within = f"{percent(low)} to {percent(high)}"
    if low > 0:
        within = within.replace("+", "")
    return f"organic {percent(mid)} % a month ({within})"


def _peaks(peaks: Sequence[Peak], now: datetime) -> list[str]:
    if not peaks:
        return []
    events = _events(peaks)
    last = events[-1]
    what = f"the {day(last.at, now)} peak{f' ({last.name})' if last.name else ''}"
    told = [f"{what} was {number(last.multiple)} times normal and is not growth"]
    others = len(events) - 1
    if others:
        told.append(f"{others} more event{'s' if others > 1 else ''} left out likewise")
    return told


def _events(peaks: Sequence[Peak]) -> list[Peak]:
    """Return the highest peak of each event, the newest event last.

    The load of one event leaves its band, comes back for the night and leaves it again: several stretches of one name.
    """
    found: list[list[Peak]] = []
    open_events: dict[str, list[Peak]] = {}
    for one in peaks:
        stretches = open_events.get(one.name) if one.name else None
        if stretches is not None and one.at - stretches[-1].at < _SAME_FOR:
            stretches.append(one)
            # It is as new as its last stretch.
            found.append(found.pop(next(n for n, known in enumerate(found) if known is stretches)))
            continue
        stretches = [one]
        found.append(stretches)
        if one.name:
            open_events[one.name] = stretches
    return [max(stretches, key=lambda one: one.multiple) for stretches in found]


def _lasts(servers: int, runway: Runway, now: datetime) -> str:
    count = f"{servers} server{'' if servers == 1 else 's'}"
    is_one = servers == 1
    if told := exceeded(runway):
        peak, carried = told
        if runway.limit_rps is not None:
            return f"the usual peak of {peak} requests a second is already more than the pool’s own limit ({carried} requests a second), and more servers do not raise it"
        return f"the usual peak of {peak} requests a second is already more than the {carried} that {count} carr{'ies' if is_one else 'y'}"
    if runway.limit_rps is not None and runway.state is Lasts.OVER:
        return f"{_limit(runway.limit_rps)} leaves less free at the usual peak than it should already, and more servers do not raise it"
    if runway.limit_rps is not None and runway.state is Lasts.ENDS and runway.at is not None:
        return f"at this rate {_limit(runway.limit_rps)} is met by {when_words(runway, now)}, and more servers do not raise it"
    if runway.state is Lasts.OVER:
        return f"{count} leave{'s' if is_one else ''} less free at the usual peak than should be already"
    if runway.state is Lasts.LONG:
        early = f" ({month(runway.earliest, now)} at the earliest)" if runway.earliest else ""
        return f"at this rate {count} last{'s' if is_one else ''} for five years and more{early}"
    if runway.state is Lasts.ENDS and runway.at is not None:
        least = " at least" if runway.is_least else ""
        return f"at this rate {count} last{'s' if is_one else ''}{least} until {when_words(runway, now)}"
    if runway.is_least:
        return f"whether {count} carr{'ies' if is_one else 'y'} the usual peak with what should stay free is not known: of what one carries only a lower bound is"
    return ""


def _limit(rps: float) -> str:
    return f"the pool’s own limit ({rps:,.0f} requests a second)"


def on_words(sizing: Sizing) -> str:
    """Return what a peak that is on needs, where servers are missing for it; "" else."""
    need = sizing.missing_on
    if need is None:
        return ""
    if need.is_over_limit:
        return f" {need.event.name} does not fit under the pool’s own limit: more servers do not help, look for what sets it."
    up_to = "up to " if need.is_beyond_seen else ""
    return f" {need.event.name} needs {up_to}{need.servers} servers, {need.more} more than there are.{height_words(need)}"


def height_words(need: EventNeed) -> str:
    """Return how high what is on was so far, and what it would be at the busiest hour; "" where nothing was seen of it."""
    if need.event.peak_rps is None:
        return ""
    says = f" Its highest hour so far had {_rate(need.event.peak_rps)} requests a second"
    if need.is_beyond_seen and need.peak_rps is not None:
        says += f"; at the busiest hour of a week it would be up to {_rate(need.peak_rps)}"
    return f"{says}."


def _rate(rps: float) -> str:
    return f"{rps:,.0f}" if rps >= 10.0 else f"{rps:.2g}"


def exceeded(runway: Runway) -> tuple[str, str] | None:
    """Return the usual peak and what is carried where the peak is the greater one, with the digits that tell them apart."""
    if runway.peak_rps is None or runway.carried_rps is None:
        return None
    for digits in range(4):
        peak, carried = f"{runway.peak_rps:,.{digits}f}", f"{runway.carried_rps:,.{digits}f}"
        if peak != carried:
            return peak, carried
    return f"{runway.peak_rps:g}", f"{runway.carried_rps:g}"


def _range(runway: Runway, now: datetime) -> str:
    if runway.earliest is None:
        return ""
    early = month(runway.earliest, now)
    if runway.latest is None:
        return f" ({early} at the earliest)"
    late = month(runway.latest, now)
    return "" if early == late else f" ({early} to {late})"


def lasts_words(runway: Runway, now: datetime) -> str:
    """Return until when servers last, in a few words."""
    match runway.state:
        case Lasts.ENDS:
            by_limit = ", by the pool’s own limit" if runway.limit_rps is not None else ""
            return f"{'at least ' if runway.is_least else ''}{when_words(runway, now)}{by_limit}"
        case Lasts.OVER if told := exceeded(runway):
            by = "the pool’s own limit of" if runway.limit_rps is not None else "all that its servers carry,"
            return f"already over: the usual peak of {told[0]} req/s is more than {by} {told[1]} req/s"
        case Lasts.OVER if runway.limit_rps is not None:
            return "already over: the pool’s own limit leaves less free at the usual peak than it should"
        case Lasts.OVER:
            return "already over: less is free at the usual peak than should be"
        case Lasts.LONG:
            early = f" ({month(runway.earliest, now)} at the earliest)" if runway.earliest else ""
            return f"five years from now or longer{early}"
        case Lasts.UNKNOWN if runway.is_least:
            return (
                "not known: only a lower bound of what one server carries is, and the usual peak needs more"
            )
    return "not known"


def when_words(runway: Runway, now: datetime) -> str:
    """Return when what the servers carry is met, in a few words that do not say by what; "" where that is no date to come."""
    if runway.state is not Lasts.ENDS or runway.at is None:
        return ""
    return f"about {part_of_month(runway.at, now)}{_range(runway, now)}"


def day(at: datetime, now: datetime) -> str:
    """Return 12 November, with its year where it is another one."""
    year = "" if at.year == now.year else f" {at.year}"
    return f"{at.day} {at:%B}{year}"


def month(at: datetime, now: datetime) -> str:
    """Return the month, with its year where it is far off."""
    return f"{at:%B}" if abs(at - now) < _SOON else f"{at:%B %Y}"


def part_of_month(at: datetime, now: datetime) -> str:
    """Return early May, mid-May or late May."""
    which = "early " if at.day <= 10 else "mid-" if at.day <= 20 else "late "
    return which + month(at, now)
