"""Range queries of Prometheus: which address to ask, and what the answer says. Pure.

Source: Prometheus HTTP API, "Range queries" (`GET /api/v1/query_range`): `query`, `start` and `end` in seconds since 1970,
`step` in seconds; an answer `{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {label: value},
"values": [[seconds, "number"], …]}]}}`, or `{"status": "error", "errorType": …, "error": …}`. A good answer may have
`"warnings": ["text", …]` beside its data. Numbers are texts, among them "NaN", "+Inf" and "-Inf". More than 11,000 points a series are refused there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from capacity.metrics.reading import MOST_VALUE, Key, Limits, Problem, Reading
from portal.errors import ProviderFailed, Refused
from portal.texts import is_sound

MOST_POINTS = 5000
"""Points of a series that are asked for at once."""
MOST_SERIES = 200
SPARE_POINTS = 10
_LONGEST_RESOURCE = 200
# A shorter token may be part of a name that has nothing to do with it.
_LONG_SECRET = 8
_US = 1_000_000
_TOLD_WARNINGS = 2


@dataclass(frozen=True)
class Asked:
    """What a series is to be called: `name`, `unit` and `kind` of the metric, the label whose value is the resource, the source.

    `points` are those that were asked for of each series, at most.
    """

    name: str
    source: str
    label: str = ""
    unit: str = ""
    kind: str = ""
    points: int = MOST_POINTS


@dataclass(frozen=True)
class Found:
    """What an answer says. `unknown` counts points that are no number (NaN, Inf): no data, never zero.

    `newest` is the last sample of each series that has one, in seconds since 1970. `says` is what the server warns of: an
    answer with a warning (a store of several was away) is kept all the same, and may hold less than there was.
    """

    rows: tuple[Reading | Problem, ...]
    series: int
    unknown: int
    newest: Mapping[str, float] = field(default_factory=dict)
    says: str = ""


def address_of(base_url: str, query: str, begins: datetime, ends: datetime, step_s: int) -> str:
    """Return the address of one range query, both ends included. `base_url` is the server's, with or without a path."""
    asked = {
        "query": query,
        "start": f"{begins.timestamp():.3f}",
        "end": f"{ends.timestamp():.3f}",
        "step": str(step_s),
    }
    return f"{base_url.rstrip('/')}/api/v1/query_range?{urlencode(asked)}"


def read_answer(
    status: int, body: bytes, *, is_cut: bool, asked: Asked, limits: Limits, secret: str = ""
) -> Found:
    """Return the samples of an answer; those outside of `limits` are left out.

    `secret` is taken out of the server's own word and of its labels, which are shown to whoever may see the pull: it may
    say our token back.

    Raises Refused where the query itself is wrong (the server's own word is in the sentence), ProviderFailed for an answer that
    is cut off, none of Prometheus, or of several series that would be the same one.
    """
    if is_cut:
        raise ProviderFailed(
            "The answer is larger than the portal reads at once. Ask for fewer series, or with a longer step.",
            code="too_large",
        )
    # Counted before it is read: small brackets and braces become large objects.
    if max(body.count(b"["), body.count(b"{")) > MOST_SERIES * (asked.points + SPARE_POINTS):
        raise _more_than_asked(asked)
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or answer.get("status") not in ("success", "error"):
        raise ProviderFailed(f"This is no answer of Prometheus (HTTP {status}).", code="not_prometheus")
    if answer["status"] == "error":
        says = _sound(answer.get("error"), secret)
        if status in (400, 422):
            raise Refused(f"Prometheus refuses the query: {says}", code="bad_query")
        raise ProviderFailed(f"Prometheus could not answer (HTTP {status}): {says}", code="prometheus_failed")
    data = answer.get("data")
    result = data.get("result") if isinstance(data, dict) and data.get("resultType") == "matrix" else None
    if not isinstance(result, list):
        raise ProviderFailed(
            "This is no range of Prometheus: a range query answers a matrix.", code="not_prometheus"
        )
    if len(result) > MOST_SERIES:
        raise ProviderFailed(
            f"The query answers {len(result)} series; {MOST_SERIES} are taken. Add them up in it, or name fewer.",
            code="too_many_series",
        )
    rows: list[Reading | Problem] = []
    unknown = 0
    seen: set[str] = set()
    newest: dict[str, float] = {}
    for number, series in enumerate(result, start=1):
        resource, values = _series(series, asked)
        if len(secret) >= _LONG_SECRET:
            resource = resource.replace(secret, "[token]")
        if resource in seen:
            raise ProviderFailed(
                f"Two series of the answer would both be “{resource or asked.name}”. Name the label that tells them apart, or add "
                "them up in the query.",
                code="same_series",
            )
        seen.add(resource)
        if len(values) > asked.points + SPARE_POINTS:
            raise _more_than_asked(asked)
        if len(resource) > _LONGEST_RESOURCE or not is_sound(resource) or not resource.isprintable():
            rows.append(Problem(number, "The label's value is longer than 200 characters, or not printable."))
            continue
        for at_us, value in _points(values):
            if value is None:
                unknown += 1
            elif _inside(at_us, limits):
                key = Key(asked.name, resource, asked.source)
                rows.append(Reading(number, key, at_us, value, asked.unit, asked.kind))
                newest[resource] = max(at_us / _US, newest.get(resource, 0.0))
    return Found(tuple(rows), len(result), unknown, newest, _warned(answer.get("warnings"), secret))


def _warned(warnings: Any, secret: str) -> str:
    """Return a sentence of an answer's warnings, the first few; empty without any. They never make an answer fail."""
    if not isinstance(warnings, list) or not warnings:
        return ""
    says = "; ".join(_sound(one, secret) for one in warnings[:_TOLD_WARNINGS])
    more = f" (and {len(warnings) - _TOLD_WARNINGS} more)" if len(warnings) > _TOLD_WARNINGS else ""
    return f"Prometheus warns, and its answer may not be whole: {says}{more}"


def _more_than_asked(asked: Asked) -> ProviderFailed:
    return ProviderFailed(
        f"The answer has more points than were asked for ({asked.points:,} of each series), so none was taken in. Is this "
        "address a Prometheus?",
        code="more_than_asked",
    )


def _series(series: Any, asked: Asked) -> tuple[str, list[Any]]:
    metric = series.get("metric") if isinstance(series, dict) else None
    values = series.get("values") if isinstance(series, dict) else None
    if not isinstance(metric, Mapping) or not isinstance(values, list):
        raise ProviderFailed("A series of the answer has no labels or no values.", code="not_prometheus")
    return (str(metric.get(asked.label, "")).strip() if asked.label else ""), values


def _points(values: list[Any]) -> Iterator[tuple[int, float | None]]:
    for point in values:
        try:
            at, text = point
            at_us, value = round(float(at) * _US), float(text)
        except (TypeError, ValueError, OverflowError):
            raise ProviderFailed(
                "A point of the answer is no moment with a number.", code="not_prometheus"
            ) from None
        yield at_us, value if math.isfinite(value) and abs(value) <= MOST_VALUE else None


def _inside(at_us: int, limits: Limits) -> bool:
    return limits.begins.timestamp() * _US <= at_us <= limits.ends.timestamp() * _US


def _sound(text: Any, secret: str) -> str:
    """Return a foreign server's word, short and on one line, without the secret."""
    said = str(text or "it does not say why")
    said = " ".join((said.replace(secret, "[token]") if secret else said).split())[:200]
    return said if is_sound(said) and said.isprintable() else "it does not say why"
