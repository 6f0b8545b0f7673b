"""Reads of Rackspace's Cloud Monitoring: what is measured, and the points of one metric. Nothing is changed there.

What it answers is opened by the pure functions at the end. Source: provider reference, sections 4 and 9. Times on the
wire are milliseconds since 1970.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

from portal.cloud.rackspace_answers import Unreadable, json_object, need, objects, parse_address
from portal.cloud.rackspace_faults import trouble_of_monitoring
from portal.cloud.rackspace_wire import MONITORING, Call, Wire, unreadable
from portal.cloud.types import (
    AlarmState,
    Judged,
    Monitored,
    MonitoredAlarm,
    MonitoredCheck,
    Plot,
    Plotted,
    Resolution,
)

MOST_POINTS = 1440
"""Points that one answer has at most."""
PAGE = 100
MOST_PAGES = 200
_PARTS = ("checks", "alarms", "latest_alarm_states")
_LEAST_MS = 10**11
"""As milliseconds a moment of 1973, as seconds one of the year 5138."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)

T = TypeVar("T")


class Monitoring:
    """What one provider account's monitoring says. Raises TryLater or ProviderFailed, as every read of a cloud does."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def monitored(self) -> tuple[Monitored, ...]:
        """Return everything that is monitored with its checks, all pages, or raise: never a part."""
        found: dict[str, Monitored] = {}
        for entity in await self._pages("/views/overview", {}, parse_overview):
            found[entity.id] = entity
        return tuple(found.values())

    async def metrics(self, entity_id: str, check_id: str) -> tuple[str, ...]:
        """Return the names of what a check measures, all pages, sorted."""
        path = f"/entities/{_part(entity_id)}/checks/{_part(check_id)}/metrics"
        return tuple(sorted(set(await self._pages(path, {}, parse_metrics))))

    async def plot(
        self,
        entity_id: str,
        check_id: str,
        metric: str,
        *,
        begins: datetime,
        ends: datetime,
        resolution: Resolution,
    ) -> Plot:
        """Return the averages of a metric between two moments, all pages.

        Points that lie outside, have no number or stand for nothing measured are `unknown`.
        """
        path = f"/entities/{_part(entity_id)}/checks/{_part(check_id)}/metrics/{_part(metric)}/plot"
        asked = {
            "from": str(_ms(begins)),
            "to": str(_ms(ends)),
            "resolution": resolution.value,
            "select": "average",
        }
        found: dict[datetime, Plotted] = {}
        unknown = 0
        earliest = begins - timedelta(seconds=resolution.width_s)
        for point in await self._pages(path, asked, parse_plot, limit=MOST_POINTS):
            if point is None or not earliest <= point.at <= ends:
                unknown += 1
            else:
                found[point.at] = point
        return Plot(tuple(found[at] for at in sorted(found)), unknown)

    async def _pages(
        self,
        path: str,
        params: Mapping[str, str],
        parse: Callable[[list[dict[str, Any]]], list[T]],
        *,
        limit: int = PAGE,
    ) -> list[T]:
        found: list[T] = []
        seen: set[str] = set()
        marker: str | None = None
        for _ in range(MOST_PAGES):
            asked = {**params, "limit": str(limit), **({} if marker is None else {"marker": marker})}
            answer = await self._wire.read(Call(MONITORING, "GET", path, params=asked))
            values, marker = self._wire.understood(
                answer, lambda body: _opened(body, parse), trouble_of_monitoring
            )
            found += values
            if marker is None:
                return found
            if marker in seen:
                raise unreadable("The provider's monitoring names the same next page again")
            seen.add(marker)
        raise unreadable("The provider's monitoring names ever more pages")


def _opened(body: bytes, parse: Callable[[list[dict[str, Any]]], list[T]]) -> tuple[list[T], str | None]:
    """Return what a page holds and the marker of the next one, if there is one. Raises Unreadable."""
    data = json_object(body)
    values = parse(objects(need(data, "values", list), "values"))
    metadata = data.get("metadata")
    marker = metadata.get("next_marker") if isinstance(metadata, dict) else None
    if marker is None or marker == "":
        return values, None
    if isinstance(marker, bool) or not isinstance(marker, str | int):
        raise Unreadable("no marker")
    return values, str(marker)


def parse_overview(values: list[dict[str, Any]]) -> list[Monitored]:
    """Return a page of `/views/overview`. An entity that does not say what it is is Unreadable."""
    return [
        _entity(need(value, "entity", dict), *(_part_of(value, name) for name in _PARTS)) for value in values
    ]


def _part_of(value: dict[str, Any], name: str) -> list[Any]:
    return [] if value.get(name) is None else need(value, name, list)


def _entity(entity: dict[str, Any], checks: list[Any], alarms: list[Any], states: list[Any]) -> Monitored:
    addresses = entity.get("ip_addresses")
    uri = entity.get("uri")
    return Monitored(
        id=need(entity, "id", str),
        label=str(entity.get("label") or ""),
        server_id=server_of(uri) if isinstance(uri, str) else None,
        agent_id=_text(entity.get("agent_id")),
        addresses=tuple(
            dict.fromkeys(parse_address(text) for text in addresses.values() if isinstance(text, str))
        )
        if isinstance(addresses, dict)
        else (),
        checks=tuple(_check(check) for check in objects(checks, "check")),
        alarms=tuple(_alarm(alarm) for alarm in objects(alarms, "alarm")),
        states=tuple(_judged(state) for state in objects(states, "state of an alarm")),
    )


def _alarm(alarm: dict[str, Any]) -> MonitoredAlarm:
    return MonitoredAlarm(need(alarm, "id", str), str(alarm.get("label") or ""), bool(alarm.get("disabled")))


def _judged(state: dict[str, Any]) -> Judged:
    said, at_ms = need(state, "state", str), state.get("timestamp")
    known = said if said in AlarmState.__members__ else AlarmState.UNKNOWN
    return Judged(
        need(state, "alarm_id", str),
        need(state, "check_id", str),
        AlarmState(known),
        _moment(at_ms) if isinstance(at_ms, int) and not isinstance(at_ms, bool) else None,
    )


def _moment(at_ms: int) -> datetime | None:
    """Return a moment; None for one that no calendar has. The example in the API's document counts seconds, not milliseconds."""
    try:
        return _EPOCH + (at_ms if at_ms >= _LEAST_MS else 1000 * at_ms) * _MS
    except OverflowError:
        return None


def _check(check: dict[str, Any]) -> MonitoredCheck:
    period = check.get("period")
    details = check.get("details")
    target = details.get("target") if isinstance(details, dict) else None
    return MonitoredCheck(
        id=need(check, "id", str),
        label=str(check.get("label") or ""),
        type=need(check, "type", str),
        period_s=period if isinstance(period, int) and not isinstance(period, bool) and period > 0 else None,
        target=_text(target) or _text(check.get("target_alias")) or _text(check.get("target_hostname")),
        is_disabled=bool(check.get("disabled")),
    )


def server_of(uri: str) -> str | None:
    """Return the id of the server that an entity's `uri` names; None for anything else than a server."""
    before, _, last = uri.rstrip("/").rpartition("/")
    return last if last and (before == "" or before.endswith("/servers")) else None


def parse_metrics(values: list[dict[str, Any]]) -> list[str]:
    """Return a page of names of metrics."""
    return [need(value, "name", str) for value in values]


def parse_plot(values: list[dict[str, Any]]) -> list[Plotted | None]:
    """Return a page of points; None for each that says nothing: without a number, or of no measurement."""
    return [_point(value) for value in values]


def _point(value: dict[str, Any]) -> Plotted | None:
    at_ms, average, measured = need(value, "timestamp", int), value.get("average"), value.get("numPoints")
    # A span in which nothing was measured has an average of 0 that means nothing.
    if measured is not None and (isinstance(measured, bool) or measured == 0):
        return None
    if isinstance(average, bool) or not isinstance(average, int | float):
        return None
    try:
        number = float(average)
        at = _EPOCH + at_ms * _MS
    except OverflowError:
        return None
    return Plotted(at, number) if math.isfinite(number) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // _MS


def _part(name: str) -> str:
    """Return an id or a metric's name as part of a path: plugins name their metrics as they like."""
    if name in {"", ".", ".."}:
        raise ValueError("not a name in a path")
    return quote(name, safe="")
