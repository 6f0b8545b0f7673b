"""The reads behind pages, API and health: journal, live state, what is overdue.

Nothing here asks who may see it: callers pass runs that `portal.access` let them find.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Greatest, Now

from portal.audit.subjects import open_values
from portal.runs import registry
from portal.runs.journal import database_now
from portal.runs.models import Intent, JournalEntry, Run, RunCommand, RunSample, Standstill
from portal.runs.plain import for_reader

PAGE = 200


@dataclass(frozen=True)
class Asleep:
    """Overdue work that nobody does: since when, how many runs, how many nodes were left draining."""

    since: datetime
    runs_overdue: int
    nodes_draining: int

    @property
    def says(self) -> str:
        """The red sentence of every page."""
        runs = "1 run is" if self.runs_overdue == 1 else f"{self.runs_overdue} runs are"
        nodes = "1 node was" if self.nodes_draining == 1 else f"{self.nodes_draining} nodes were"
        return (
            f"The engine has been asleep since {self.since:%H:%M:%S} UTC: {runs} overdue, {nodes} left"
            " draining. Start the workers; each run then looks again and goes on."
        )


@dataclass(frozen=True)
class Live:
    """What a live page shows of the engine's side of a run, read at `now` (the database's clock)."""

    ref: str
    status: str
    seq: int
    token: int
    progress: Mapping[str, Any]
    next_tick_at: datetime | None
    now: datetime
    is_over: bool
    is_overdue: bool
    on_the_wire: str
    """The change that was sent and has no outcome yet, or ""."""
    waiting_commands: tuple[str, ...]
    standstill: str | None


def journal_page(run: Run, *, after_seq: int = 0, limit: int = PAGE) -> list[JournalEntry]:
    """Return up to `limit` journal entries with a `seq` above `after_seq`, in order."""
    return list(JournalEntry.objects.filter(run=run, seq__gt=after_seq).order_by("seq")[:limit])


def journal_tail(run: Run, *, limit: int = PAGE) -> list[JournalEntry]:
    """Return the newest `limit` entries of a journal, newest first."""
    return list(JournalEntry.objects.filter(run=run).order_by("-seq")[:limit])


def entry_as_data(entry: JournalEntry, *, for_customer: bool = False) -> dict[str, Any]:
    """Return an entry as API and stream show it. A customer reads the own words where there are any."""
    return {
        "seq": entry.seq,
        "at": entry.at.isoformat().replace("+00:00", "Z"),
        "kind": entry.kind,
        "subject": entry.subject,
        "says": for_reader(entry.says, entry.customer_says, for_customer=for_customer),
        "detail": detail_for_all(entry),
        "actor": entry.actor_name,
    }


def detail_for_all(entry: JournalEntry) -> dict[str, Any]:
    """Return an entry's detail as both sides may read it.

    A journal cannot be changed, and older entries of a team's standstill hold the words that were typed.
    """
    if entry.kind != "standstill" or entry.subject.startswith(("account:", "connection:")):
        return entry.detail
    return {name: value for name, value in entry.detail.items() if name != "reason"}


def live(run: Run) -> Live:
    """Return the engine's side of a run as it is now."""
    fresh = Run.objects.get(pk=run.pk)
    now = database_now()
    intent = Intent.objects.filter(run=fresh, sent_at__isnull=False, finished_at__isnull=True).first()
    standing = Standstill.objects.filter(scope__in=fresh.scopes, lifted_at__isnull=True).first()
    waiting = RunCommand.objects.filter(run=fresh, accepted__isnull=True).order_by("seq")
    return Live(
        ref=str(fresh.ref),
        status=fresh.status,
        seq=fresh.seq,
        token=fresh.token,
        progress=open_values([fresh.progress])[0],
        next_tick_at=fresh.next_tick_at,
        now=now,
        is_over=fresh.is_over,
        is_overdue=_overdue_at(now).filter(pk=fresh.pk).exists(),
        on_the_wire=str(intent) if intent is not None else "",
        waiting_commands=tuple(waiting.values_list("name", flat=True)),
        standstill=standing.says_to_all if standing is not None else None,
    )


def samples(run: Run, *, since: datetime | None = None, series: Sequence[str] = ()) -> list[RunSample]:
    """Return a run's samples in order of time; `value` None is a gap. Both limits are optional."""
    rows = RunSample.objects.filter(run=run)
    if since is not None:
        rows = rows.filter(at__gt=since)
    if series:
        rows = rows.filter(series__in=list(series))
    return list(rows.order_by("at", "pk"))


def due_count() -> int:
    """Return how many runs could be claimed right now."""
    now = database_now()
    return _waiting_since().filter(waits_since__lte=now).count()


def overdue() -> QuerySet[Run]:
    """Return the runs that no worker took although they were due ASLEEP_AFTER_S ago, longest first."""
    return _overdue_at(database_now())


def asleep() -> Asleep | None:
    """Return since when the engine sleeps, or None while it is awake. Asks the database only."""
    runs = list(overdue())
    if not runs:
        return None
    draining = 0
    for name, known in registry.kinds().items():
        if known.draining is not None:
            draining += known.draining([run for run in runs if run.kind == name])
    return Asleep(since=min(due_since(run) for run in runs), runs_overdue=len(runs), nodes_draining=draining)


def signs_of_trouble() -> tuple[QuerySet[Any, Any], QuerySet[Any, Any]]:
    """Return two querysets of at most one row each: a run is overdue, a standstill is in force."""
    overdue_now: Any = _overdue_at(Now()).order_by().values_list(Value("overdue"))[:1]
    standing: Any = Standstill.objects.filter(lifted_at__isnull=True).order_by()
    return overdue_now, standing.values_list(Value("standing"))[:1]


def is_quiet() -> bool:
    """Whether no run is overdue and no standstill in force: one query."""
    overdue_now, standing = signs_of_trouble()
    return not overdue_now.union(standing, all=True)


def standstills() -> list[Standstill]:
    """Return every standstill in force, oldest first."""
    return list(Standstill.objects.filter(lifted_at__isnull=True).order_by("at", "pk"))


def _waiting_since() -> Any:
    # A run whose worker died can be claimed once its lease has ended.
    return Run.objects.filter(next_tick_at__isnull=False).annotate(
        waits_since=Greatest(F("next_tick_at"), Coalesce(F("lease_until"), F("next_tick_at")))
    )


_PATIENT = Q(patient_mark=F("token") + F("command_seq"))


def _overdue_at(now: datetime | Now) -> Any:
    limit: Any = now - timedelta(seconds=settings.RUNS["ASLEEP_AFTER_S"])
    # While others are worked on, one of which nothing is out waits for its turn.
    is_due = ~_PATIENT | ~_others_are_in_hand(now)
    return _waiting_since().filter(is_due, waits_since__lt=limit).order_by("waits_since")


def _others_are_in_hand(now: datetime | Now) -> Exists:
    """Whether workers look at other runs of the same kind: they have one now, or wrote of one not long ago."""
    recently: Any = now - timedelta(seconds=settings.RUNS["ASLEEP_AFTER_S"])
    is_in_hand = Q(lease_until__gt=now) | Q(updated_at__gt=recently)
    live = Run.objects.filter(is_in_hand, next_tick_at__isnull=False)
    return Exists(live.filter(kind=OuterRef("kind")).exclude(pk=OuterRef("pk")))


def put_off_since(now: datetime) -> datetime | None:
    """Return since when the run waits that has waited longest until those were looked at of which something is out, or None."""
    limit = now - timedelta(seconds=settings.RUNS["ASLEEP_AFTER_S"])
    waits = _waiting_since().filter(_PATIENT, _others_are_in_hand(now), waits_since__lt=limit)
    found: datetime | None = waits.aggregate(since=Min("waits_since"))["since"]
    return found


def kept_waiting(run: Run, now: datetime) -> tuple[bool, bool]:
    """Return (whether no worker took a run although it was due long ago, whether it waits for its turn meanwhile)."""
    if run.next_tick_at is None:
        return False, False
    waits_since = max(run.next_tick_at, run.lease_until or run.next_tick_at)
    if (now - waits_since).total_seconds() <= float(settings.RUNS["ASLEEP_AFTER_S"]):
        return False, False
    is_put_off = run.is_patient and Run.objects.filter(_others_are_in_hand(now), pk=run.pk).exists()
    return not is_put_off, is_put_off


def due_since(run: Run) -> datetime:
    """Return since when a run of `overdue()` waits for a worker."""
    waits_since: datetime = getattr(run, "waits_since")  # noqa: B009  (an annotation, unknown to the type)
    return waits_since
