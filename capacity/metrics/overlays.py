"""What is drawn beside a series: traffic events, and moments such as deployments that other parts of the app know.

    register_moments("deployments", deployments_in)

A source is asked for the moments of one account in a stretch of time, and answers in order. Events are the account's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from capacity.models import TrafficEvent

if TYPE_CHECKING:
    from accounts.models import Account

MOST = 50
"""So many of each are drawn, the latest ones."""


@dataclass(frozen=True)
class Moment:
    """Something that happened at one moment. `label` is short, `url` where there is more about it."""

    at: datetime
    label: str
    url: str = ""


@dataclass(frozen=True)
class Event:
    """A stretch of exceptional traffic; `multiple` of normal, None where nobody knows.

    `is_detected`: it is on record as no event; it was seen in the series, which leaves it out of growth all the same.
    """

    begins: datetime
    ends: datetime
    label: str
    multiple: float | None = None
    url: str = ""
    is_detected: bool = False


Source = Callable[["Account", datetime, datetime], Iterable[Moment]]
_sources: dict[str, Source] = {}


def register_moments(name: str, source: Source) -> None:
    """Add or replace a source of moments."""
    _sources[name] = source


def forget_moments(name: str) -> None:
    """Take a source away again (tests)."""
    _sources.pop(name, None)


def moments_in(account: Account, begins: datetime, ends: datetime) -> list[Moment]:
    """Return what happened in [begins, ends), in order; one query for each source at most."""
    found = [one for source in _sources.values() for one in islice(source(account, begins, ends), MOST)]
    return sorted(found, key=lambda one: (one.at, one.label))[-MOST:]


def events_in(account: Account, begins: datetime, ends: datetime) -> list[Event]:
    """Return the account's traffic events that touch [begins, ends), in order; one query."""
    rows = TrafficEvent.objects.filter(account=account, starts_at__lt=ends, ends_at__gt=begins)
    return [
        Event(row.starts_at, row.ends_at, row.name, row.expected_multiple)
        for row in reversed(rows.order_by("-starts_at", "-pk")[:MOST])
    ]


def as_plain(events: Iterable[Event], moments: Iterable[Moment]) -> dict[str, Any]:
    """Return them as the chart's script takes them: times in seconds since 1970."""
    return {
        "events": [
            {
                "from": one.begins.timestamp(),
                "to": one.ends.timestamp(),
                "label": one.label,
                "detected": one.is_detected,
            }
            for one in events
        ],
        "moments": [{"at": one.at.timestamp(), "label": one.label} for one in moments],
    }
