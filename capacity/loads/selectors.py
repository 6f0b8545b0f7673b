"""What pages and API read of profiles and runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import IntegerField, QuerySet, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.utils import timezone

from accounts.models import Account
from capacity.hosts.models import ProvenHost
from capacity.hosts.places import place_of
from capacity.loads import result as results
from capacity.loads.models import LoadProfile, LoadRun, LoadSecond
from capacity.loads.profile import LoadUnit, Profile, from_plain
from portal.runs.models import JournalEntry
from portal.ui.charts import Point, Series

SHOWN_S = 300
"""How many of the newest seconds the live page draws."""
LINES = 20


def profiles() -> QuerySet[LoadProfile]:
    """Return profiles with everything that is shown of one; without what is secret."""
    return LoadProfile.objects.select_related("account", "connection", "made_by", "request").defer(
        "secret_headers", "connection__api_key"
    )


def loads() -> QuerySet[LoadRun]:
    """Return runs with everything that is shown of one."""
    return LoadRun.objects.select_related("account", "profile", "run", "started_by", "benchmark").defer(
        "benchmark__result", "profile__secret_headers"
    )


def unproven(profile: LoadProfile, content: Profile) -> list[str]:
    """Return the hosts of a profile that have no proof that holds, by name. One query."""
    wanted = {place_of(one.url) for one in content.requests}
    known = {
        one.place
        for one in ProvenHost.objects.filter(account_id=profile.account_id, place__in=wanted)
        if one.state == "host_proven"
    }
    return sorted(wanted - known)


def shape_words(content: Profile) -> str:
    """Return the load as a sentence of a few words."""
    shape = content.shape
    unit = "users" if shape.unit == LoadUnit.USERS else "requests a second"
    if shape.kind == "steady":
        return f"{shape.level:g} {unit} for {shape.duration_s} s"
    how = f"in {shape.steps} steps" if shape.kind == "steps" else "rising evenly"
    return f"{shape.start:g} to {shape.level:g} {unit}, {how}, over {shape.duration_s} s"


@dataclass(frozen=True)
class LiveLoad:
    """A run as the live page shows it."""

    row: LoadRun
    status: str
    is_over: bool
    is_waiting: bool
    is_behind: bool
    is_aborting: bool
    figures: dict[str, Any]
    lasted_s: int
    lasts_s: int
    failures: int
    rate: list[Series]
    users: list[Series]
    latency: list[Series]
    errors: list[tuple[str, int]]
    journal: list[JournalEntry]


def live_load(load: LoadRun) -> LiveLoad:
    """Return a run as it is now. Six queries at most."""
    row = loads().get(pk=load.pk)
    rows = LoadSecond.objects.filter(load=row).order_by("-number")[:SHOWN_S]
    seconds = [one.told for one in reversed(rows)]
    content = from_plain(row.profile.content)
    began = row.began_at or timezone.now()
    errors: dict[str, int] = {}
    for one in seconds:
        for kind, count in one["errors"].items():
            errors[kind] = errors.get(kind, 0) + count

    def line(label: str, key: str, tone: str = "1") -> Series:
        values: list[Point] = [
            (began + timedelta(seconds=one["t"]), figures.get(key)) for one, figures in drawn
        ]
        return Series(label, values, tone)

    drawn = [(one, results.live_of([one])) for one in seconds]
    is_over = bool(row.ending)
    return LiveLoad(
        row=row,
        status=row.ending or ("running" if row.began_at else "scheduled"),
        is_over=is_over,
        is_waiting=row.began_at is None and not is_over,
        is_behind=row.began_at is None and not is_over and bool((row.run.progress or {}).get("waits")),
        is_aborting=not is_over and row.run.commands.filter(name="abort").exists(),
        figures=results.live_of(seconds),
        lasted_s=round(seconds[-1]["t"] + seconds[-1]["length_s"]) if seconds else 0,
        lasts_s=content.shape.duration_s,
        failures=LoadSecond.objects.filter(load=row).aggregate(
            all=Sum(Cast(KT("told__failures"), IntegerField()), default=0)
        )["all"],
        rate=[line("requests a second", "requests_per_s")] if len(drawn) > 1 else [],
        users=[line("users", "users", "2")] if len(drawn) > 1 else [],
        latency=[line("95 of 100 within", "p95_ms")] if len(drawn) > 1 else [],
        errors=sorted(errors.items(), key=lambda pair: -pair[1])[:10],
        journal=list(JournalEntry.objects.filter(run=row.run).order_by("-seq")[:LINES]),
    )


def pools_of(account: Account) -> list[tuple[str, str]]:
    """Return the pools that a profile can be of."""
    from capacity.benchmarks.selectors import pools_of as known

    return known(account)
