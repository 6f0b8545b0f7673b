"""What a run of the portal's own measured, in the form of every benchmark. Pure."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from capacity.ceiling import WELL_UNDER
from capacity.importers.histogram import MAX_POINTS, Running
from capacity.importers.types import (
    POINT_PERCENTS,
    BenchmarkResult,
    ErrorKind,
    Format,
    Load,
    Part,
    Point,
    Provenance,
    StatusCode,
    point_percentiles,
)
from capacity.loads.profile import LoadUnit, Profile, Shape, ShapeKind

HELD_SHARE = 0.05
MOST_REDIRECTED = 0.5
_WHOLE_S = 0.5


def file_of(head: Mapping[str, Any], seconds: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the run as a file: a line of JSON of what it was, then one for each second."""
    lines = [json.dumps(one, sort_keys=True, ensure_ascii=False) for one in (head, *seconds)]
    return ("\n".join(lines) + "\n").encode()


def busy_share(seconds: Sequence[Mapping[str, Any]]) -> float | None:
    """Return how busy the generator's processor was in its busiest seconds (the 95th percentile); None where no whole second is."""
    shares = sorted(one["cpu"] for one in seconds if one["length_s"] >= _WHOLE_S)
    return shares[min(len(shares) - 1, int(len(shares) * 0.95))] if shares else None


def invalid_because(profile: Profile, seconds: Sequence[Mapping[str, Any]]) -> str:
    """Return why the load was not the one asked for, "" where it was: the generator, not the site, was the limit.

    Step by step: users who were held back are others in any step; of rates, those that were not sent count for nothing
    (`ceiling.why_thin`), and the run where none was.
    """
    if (redirected := redirects(seconds)) > MOST_REDIRECTED:
        return f"{redirected:.0%} of the answers were redirects, which are not followed: what they lead to was never asked."
    if not seconds:
        return ""
    steps = _steps(profile.shape, seconds)
    if profile.shape.unit == LoadUnit.USERS:
        if any(_was_held(profile, one) for one in steps):
            return f"The profile’s limit of {profile.max_requests_per_s:g} requests a second held the users back."
        return ""
    missed = [_why_not_sent(one) for one in steps]
    return missed[-1] if all(missed) else ""


def _steps(shape: Shape, seconds: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Return the seconds of each step; all of them together where the load does not go by steps."""
    if shape.kind != ShapeKind.STEPS:
        return [list(seconds)]
    found: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for one in seconds:
        found[min(int(one["t"] / shape.duration_s * shape.steps), shape.steps - 1)].append(one)
    return list(found.values())


def _was_held(profile: Profile, seconds: Sequence[Mapping[str, Any]]) -> bool:
    lasted = sum(one["length_s"] for one in seconds)
    held = sum(one["length_s"] for one in seconds if one["requests"] and _at_limit(profile, one))
    return bool(lasted and held / lasted > HELD_SHARE)


def _why_not_sent(seconds: Sequence[Mapping[str, Any]]) -> str:
    asked = sum((one["asked"] or 0.0) * one["length_s"] for one in seconds)
    # What was on its way at the end was sent, though nothing is known of its answer.
    sent = sum(one["requests"] for one in seconds) + seconds[-1].get("under_way", 0)
    if asked >= 1 and sent < WELL_UNDER * asked:
        missed = sum(one["missed"] for one in seconds)
        why = "all users waited for answers" if missed else "the generator was too slow"
        return f"Of {asked:.0f} requests that the profile asked for, {sent} were sent: {why}."
    return ""


def redirects(seconds: Sequence[Mapping[str, Any]]) -> float:
    """Return the share of the answers that sent visitors elsewhere."""
    codes = Counter[str]()
    for one in seconds:
        codes.update(one["codes"])
    answers = sum(codes.values())
    return sum(count for code, count in codes.items() if code.startswith("3")) / answers if answers else 0.0


def _at_limit(profile: Profile, one: Mapping[str, Any]) -> bool:
    return bool(one["held"]) and one["requests"] >= WELL_UNDER * profile.max_requests_per_s * one["length_s"]


def result_of(
    profile: Profile,
    seconds: Sequence[Mapping[str, Any]],
    *,
    began_at: datetime,
    content: bytes,
    name: str,
    generator: str,
    notes: tuple[str, ...] = (),
) -> BenchmarkResult:
    """Return the figures of a run from what was told of its seconds, in their order."""
    of_users = profile.shape.unit == LoadUnit.USERS
    whole, parts = Running(), {str(at): Running() for at in range(len(profile.requests))}
    counts: dict[str, Counter[str]] = {"requests": Counter(), "failures": Counter()}
    errors, codes = Counter[str](), Counter[str]()
    for one in seconds:
        errors.update(one["errors"])
        codes.update(one["codes"])
        for place, part in one["parts"].items():
            counts["requests"][place] += part["requests"]
            counts["failures"][place] += part["failures"]
            _count(part, whole, parts[place])
    lasted = sum(one["length_s"] for one in seconds)
    requests = sum(counts["requests"].values())
    steady = profile.shape.kind == ShapeKind.STEADY
    if redirected := redirects(seconds):
        notes = (*notes, f"{redirected:.0%} of the answers were redirects; nothing behind them was measured.")
    return BenchmarkResult(
        provenance=Provenance(Format.PORTAL, name, hashlib.sha256(content).hexdigest(), len(content)),
        tool="Locust",
        tool_version=generator or None,
        started_at=began_at,
        ended_at=began_at + timedelta(seconds=lasted),
        duration_s=lasted,
        load=Load.CLOSED if of_users else Load.OPEN,
        users=max((one["users"] for one in seconds), default=0),
        asked_per_s=profile.shape.level if not of_users and steady else None,
        requests=requests,
        answered=sum(codes.values()),
        failures=sum(counts["failures"].values()),
        requests_per_s=requests / lasted if lasted > 0 else None,
        bytes_received=sum(one["received"] for one in seconds),
        latency=whole.latency(),
        histogram=whole.histogram(),
        status_codes=tuple(StatusCode(code, count) for code, count in sorted(codes.items())),
        errors=tuple(ErrorKind(kind, count) for kind, count in errors.most_common(50)),
        points=_points(seconds, profile.shape),
        parts=tuple(
            Part(
                name=asked.url.partition("?")[0],
                method=str(asked.method),
                requests=counts["requests"][str(at)],
                failures=counts["failures"][str(at)],
                requests_per_s=counts["requests"][str(at)] / lasted if lasted > 0 else None,
                latency=parts[str(at)].latency(),
            )
            for at, asked in enumerate(profile.requests)
        ),
        targets=tuple(sorted({asked.url.partition("?")[0] for asked in profile.requests}))[:20],
        notes=notes,
    )


def _count(part: Mapping[str, Any], *runnings: Running) -> None:
    for ms, times in part["latency"].items():
        for one in runnings:
            one.add(float(ms), times)


def _points(seconds: Sequence[Mapping[str, Any]], shape: Shape) -> tuple[Point, ...]:
    """Return the course of the run in `MAX_POINTS` stretches and one for each change of load: none has two loads."""
    of_users = shape.unit == LoadUnit.USERS
    # A rate that rises evenly has no steps: each second asks for another.
    load = "users" if of_users else "asked" if shape.kind == ShapeKind.STEPS else ""
    width = max(1, -(-len(seconds) // MAX_POINTS))
    groups: list[list[Mapping[str, Any]]] = []
    for one in seconds:
        last = groups[-1] if groups else None
        if last is not None and len(last) < width and (not load or last[-1][load] == one[load]):
            last.append(one)
        else:
            groups.append([one])
    return tuple(_point(group, load) for group in groups)


def _point(group: Sequence[Mapping[str, Any]], load: str = "") -> Point:
    # The generator rounds to three digits: what is different fits into what is counted exactly.
    running = Running()
    for one in group:
        for part in one["parts"].values():
            _count(part, running)
    length = sum(one["length_s"] for one in group)
    requests, failures = (sum(one[name] for one in group) for name in ("requests", "failures"))
    found = running.latency(POINT_PERCENTS.values())
    is_rated = length >= _WHOLE_S
    return Point(
        offset_s=group[0]["t"],
        length_s=length,
        # With a rate of their own the users only wait for their turn: no step is told by their number.
        users=group[0]["users"] if load == "users" else None,
        asked_per_s=group[0]["asked"] if load == "asked" else None,
        requests=requests,
        failures=failures,
        requests_per_s=requests / length if is_rated else None,
        failures_per_s=failures / length if is_rated else None,
        mean_ms=found.mean_ms,
        **point_percentiles(found.percentiles),
        counted=running,
    )


def live_of(seconds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of the newest seconds for the live page; None where nothing was told yet."""
    if not seconds:
        return {"requests_per_s": None, "p95_ms": None, "error_ratio": None, "users": None, "cpu": None}
    point = _point(seconds[-5:])
    tried = point.requests or 0
    return {
        "requests_per_s": point.requests_per_s,
        "p95_ms": point.p95_ms,
        "error_ratio": (point.failures or 0) / tried if tried else None,
        "users": seconds[-1]["users"],
        "cpu": statistics.fmean(one["cpu"] for one in seconds[-5:]),
    }
