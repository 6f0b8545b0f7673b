"""What was detected: kept from one analysis to the next, told to people once, and what people decide about it.

known_windows(metric, since)                     when people planned or named something
keep(metric, made, now)                          what an analysis found, kept and told
let_go(event)                                    an event that was moved keeps no stretch that is not of it any more
name_detected(row, name="Spring sale", actor=…), dismiss_detected(row, reason="…", also=[…], actor=…)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from accounts.changes import check_active, check_no_pin
from accounts.members import lock_account
from capacity.metrics.kinds import is_demand
from capacity.metrics.models import Metric
from capacity.models import TrafficEvent
from capacity.reports import making, notices
from capacity.reports.following import Window, begin_together, continued
from capacity.reports.models import (
    ENDED_AFTER,
    DetectedEvent,
    DetectedState,
)
from capacity.reports.selectors import alike_of, pools
from capacity.reports.short import judge_pools
from portal.audit.services import record, snapshot
from portal.errors import Refused, StaleState
from portal.events.services import emit
from portal.rows import check_row

if TYPE_CHECKING:
    from accounts.models import User

TOLD_FOR = timedelta(days=14)
"""An event that is older when it is first seen is proposed, but nobody is called for it."""
CALM_AGAIN = timedelta(hours=1)
HIGHER = 1.5
"""What is so many times as far off as when it was dismissed is something else."""
DETECTED_IN = "detected in "
LONGEST_NAMED = timedelta(days=14)
TAIL = timedelta(hours=12)
"""What goes on for longer than this after an event that was planned is something else as well."""


# --- kept from one analysis to the next --------------------------------------------------------------------------


def known_windows(metric: Metric, since: datetime) -> list[tuple[datetime, datetime]]:
    """Return from when until when people planned or named events of the metric's account.

    What was named while it was on was planned by nobody: its record goes on with it, and after two weeks it is the level.
    """
    rows = TrafficEvent.objects.filter(account=metric.account_id, ends_at__gt=since)
    return [
        # Nothing is added to what people typed: a year 9999 may be among it.
        (begins, begins + LONGEST_NAMED)
        if source.startswith(DETECTED_IN) and ends - begins > LONGEST_NAMED
        else (begins, ends)
        for begins, ends, source in rows.values_list("starts_at", "ends_at", "source")
    ]


def keep(metric: Metric, made: making.Made, now: datetime) -> None:
    """Keep what was detected: known stretches get their new figures, new ones are proposed, others are no longer seen."""
    known = list(
        DetectedEvent.objects.select_for_update(of=("self",))
        .filter(metric=metric, ends_at__gt=made.begins)
        .order_by("starts_at", "pk")
    )
    # Named while it is on, in another metric: its record ends where that was seen last, and follows.
    going_on = DetectedEvent.objects.filter(
        event=OuterRef("pk"), is_over=False, decided_by__isnull=False, ends_at__gt=now - ENDED_AFTER
    )
    planned = list(
        TrafficEvent.objects.filter(
            account=metric.account_id, starts_at__lt=made.ends, ends_at__gt=made.begins
        )
        .annotate(goes_on=Exists(going_on.exclude(metric=metric)))
        .order_by("starts_at", "pk")
    )
    found = [Window(made.at(one.begin), made.at(one.end), one.score > 0) for one in made.events]
    places = continued([_window(one) for one in known], found)
    kept: set[int] = set()
    asked: list[tuple[DetectedEvent, bool]] = []
    decided: list[DetectedEvent] = []
    left: set[int | None] = set()
    for event, place, window in zip(made.events, places, found, strict=True):
        begins, ends = window.starts_at, window.ends_at
        row = None if place is None else known[place]
        is_new, is_another = row is None, False
        was_on = row is not None and not row.is_over
        if row is None:
            row = DetectedEvent(account=metric.account, metric=metric, found_at=now)
        else:
            kept.add(row.pk)
            if not (row.is_over and event.is_over):
                _go_on(row, begins, ends, event.peak if metric.unit == "requests/s" else None)
        row.starts_at, row.ends_at, row.peak_at = begins, ends, made.at(event.peak_at)
        row.peak, row.expected, row.multiple = event.peak, event.expected, event.multiple
        row.score, row.is_over = event.score, event.is_over
        row.lead_in_s = event.lead_in * 3600
        row.half_life_s = None if event.half_life is None else event.half_life * 3600
        if row.state == DetectedState.WITHDRAWN:
            row.state = DetectedState.PROPOSED
        if row.state == DetectedState.DISMISSED and was_on and _became_more(row):
            # Somebody dismissed a crawler, and a sale goes on from it.
            _reopen(row)
            is_new = is_another = True
        if row.state == DetectedState.NAMED and row.decided_by_id is None and not _is_of(row, planned):
            # The portal took it for what was planned, and it went on long after that.
            left.add(row.event_id)
            _ask_anew(row)
            is_new = is_another = True
        if row.state == DetectedState.PROPOSED:
            _join_planned(row, planned)
            if row.state == DetectedState.NAMED:
                decided.append(row)
        _note_peak(row)
        row.save()
        if row.state == DetectedState.PROPOSED:
            asked.append((row, is_another))
            if is_new:
                _emit_detected(row)
    gone = [one for one in known if one.pk not in kept]
    # What the analysis does not see any more is not on, either: after days of it, it is the level.
    DetectedEvent.objects.filter(pk__in=[one.pk for one in gone if not one.is_over]).update(is_over=True)
    for row in gone:
        is_taken = row.state == DetectedState.NAMED and row.decided_by_id is None
        if is_taken or row.state == DetectedState.PROPOSED:
            left.add(row.event_id)
            row.state, row.event = DetectedState.WITHDRAWN, None
            row.save(update_fields=["state", "event"])
            decided.append(row)
    _take_peaks_back(left)
    _ask_no_more(decided)
    for row, is_another in asked:
        _tell_once(row, now, is_another=is_another)


def _window(row: DetectedEvent) -> Window:
    return Window(row.starts_at, row.ends_at, row.is_rise, row.state != DetectedState.WITHDRAWN)


def _became_more(row: DetectedEvent) -> bool:
    """Whether what was dismissed while it was on is much farther off by now, in times of normal and in what comes."""
    then, peak = row.decided_multiple, row.decided_peak
    if then is None or peak is None or row.multiple is None or (then <= 0.0 and row.is_rise):
        return False
    usual = peak / then if then > 0.0 else row.expected
    is_farther = abs(row.multiple - 1.0) >= HIGHER * abs(then - 1.0)
    return is_farther and abs(row.peak - row.expected) >= HIGHER * abs(peak - usual)


def _reopen(row: DetectedEvent) -> None:
    """Take a person's dismissal back, on record, as it was of something smaller."""
    before = snapshot(row, ("state", "reason"))
    row.state, row.reason = DetectedState.PROPOSED, ""
    row.decided_by, row.decided_at, row.told_with = None, None, None
    record(
        "detected.reopened",
        actor=None,
        account=row.account,
        subject=row,
        before=before,
        after=snapshot(row, ("state", "reason")),
    )


def _go_on(row: DetectedEvent, begins: datetime, ends: datetime, peak: float | None) -> None:
    """Let the record of an event that was named while it was on follow what came since; what people entered stays."""
    if row.event_id is None or (row.starts_at, row.ends_at) == (begins, ends):
        return
    # Other metrics of the stretch are the same event: the one that it was named from says how long and how high it was.
    made_of_it = TrafficEvent.objects.filter(
        pk=row.event_id, starts_at=row.starts_at, ends_at=row.ends_at, source=_source_of(row), freeze=None
    )
    made_of_it.filter(is_peak_measured=True).update(observed_peak_rps=peak)
    made_of_it.update(starts_at=begins, ends_at=ends, updated_at=timezone.now())


def _source_of(row: DetectedEvent) -> str:
    # Two that are called alike come from different sources.
    return f"{DETECTED_IN}{row.metric} ({row.metric.source})"[:200]


def _join_planned(row: DetectedEvent, planned: Sequence[TrafficEvent]) -> None:
    """What was planned for the stretch is what it was: nobody is asked. A fall is no event that anybody planned."""
    if not row.is_rise:
        return
    for event in planned:
        if _fits(row, event):
            row.event, row.state = event, DetectedState.NAMED
            return


def _note_peak(row: DetectedEvent) -> None:
    """Let what was planned for a stretch have its highest hour, whichever analysis saw it; what a person entered stays."""
    if (
        row.event_id is None
        or row.decided_by_id is not None
        or not is_demand(row.metric.unit, row.metric.kind)
    ):
        return
    lower = Q(observed_peak_rps=None) | Q(is_peak_measured=True, observed_peak_rps__lt=row.peak)
    TrafficEvent.objects.filter(lower, pk=row.event_id).update(
        observed_peak_rps=row.peak, is_peak_measured=True, updated_at=timezone.now()
    )


def let_go(event: TrafficEvent, *, is_off: bool = False) -> None:
    """Ask anew about what the portal took for an event that is at another time now, or that is called off (`is_off`)."""
    taken = event.detected.filter(decided_by=None)
    if left := [row for row in taken if is_off or not _fits(row, event)]:
        for row in left:
            _ask_anew(row)
            row.save(update_fields=["state", "event", "told_with"])
        _take_peaks_back({event.pk})


def _ask_anew(row: DetectedEvent) -> None:
    """Propose again what the portal took for an event; whoever was told of it was told of something else."""
    row.state, row.event, row.told_with = DetectedState.PROPOSED, None, None


def _take_peaks_back(events: Collection[int | None]) -> None:
    """Leave to events that lost a stretch the highest hour of those that are theirs; what a person entered stays."""
    for event in TrafficEvent.objects.filter(pk__in=[pk for pk in events if pk], is_peak_measured=True):
        own = event.detected.select_related("metric")
        peak = max((one.peak for one in own if is_demand(one.metric.unit, one.metric.kind)), default=None)
        event.observed_peak_rps, event.is_peak_measured = peak, peak is not None
        event.save(update_fields=["observed_peak_rps", "is_peak_measured", "updated_at"])


def _is_of(row: DetectedEvent, planned: Sequence[TrafficEvent]) -> bool:
    return any(event.pk == row.event_id and _fits(row, event) for event in planned)


def _fits(row: DetectedEvent, event: TrafficEvent) -> bool:
    """Whether its highest hour lies within what was planned or shortly before or after, and it did not go on for long after."""
    # Nothing is added to what people typed: a year 9999 may be among it.
    if event.starts_at > row.peak_at + CALM_AGAIN:
        return False
    if getattr(event, "goes_on", False):
        return True
    return row.peak_at - CALM_AGAIN <= event.ends_at and row.ends_at - TAIL <= event.ends_at


def _emit_detected(row: DetectedEvent) -> None:
    emit(
        "event.detected",
        account=row.account,
        subject=row,
        subject_type="detected_event",
        data={"multiple": row.multiple, "peak": row.peak, "score": round(row.score, 2)},
    )


def _tell_once(row: DetectedEvent, now: datetime, *, is_another: bool) -> None:
    """Tell of a stretch that waits to be decided, unless its people were told of it, or of the same one in another metric.

    `is_another`: who was told of it was told of something else. A fall is told for each resource: an outage must not go unsaid because something else is on at the same time.
    """
    if row.told_with_id is not None or row.ends_at < now - TOLD_FOR:
        return
    told = DetectedEvent.objects.filter(
        account=row.account_id, state=DetectedState.PROPOSED, told_with=F("pk"), starts_at__lt=row.ends_at
    ).filter(ends_at__gt=row.starts_at)
    if not row.is_rise:
        told = told.filter(metric__resource=row.metric.resource)
    of = next((one for one in told if begin_together(_window(one), _window(row))), None)
    row.told_with = of or row
    row.save(update_fields=["told_with"])
    if of is None:
        notices.tell_detected(row, but=() if is_another else notices.was_told(row))


def _ask_no_more(rows: Sequence[DetectedEvent]) -> None:
    """Take back the mails that ask about these and wait until the morning. What else they told of is told by itself then."""
    for row in (one for one in rows if one.told_with_id is not None):
        was_lead, is_back = row.told_with_id == row.pk, False
        if was_lead and notices.call_off_detected(row):
            is_back = True
            others = row.told_for.filter(state=DetectedState.PROPOSED).order_by("starts_at", "pk")
            if other := others.select_related("account", "metric").first():
                others.update(told_with=other)
                notices.tell_detected(other, but=notices.was_told(row))
        if row.state == DetectedState.WITHDRAWN and (is_back or not was_lead):
            # Nobody was told: seen again, it is told.
            DetectedEvent.objects.filter(pk=row.pk).update(told_with=None)


# --- what people decide ------------------------------------------------------------------------------------------


@transaction.atomic
def name_detected(detected: DetectedEvent, *, name: str, actor: User, seen: str = "") -> DetectedEvent:
    """Name a rise: it becomes a traffic event of the account, and so do the same stretch's other metrics.

    A fall is no traffic event: it has no peak, and would stand where plans look for the last event. `seen` is the state in which
    whoever decides saw it, "" where that is not known. Raises StaleState for another one.
    """
    row, others = _locked_with_alike(detected)
    name = " ".join(name.split())
    check_no_pin(name)
    if not name:
        raise Refused("Give the event a name.", code="name_missing")
    # What the portal itself took for a planned event may be something else.
    if (
        row.state == DetectedState.NAMED
        and row.event is not None
        and (row.decided_by_id or row.event.name == name)
    ):
        if row.event.name == name:
            return row
        raise Refused(f"This is “{row.event.name}” already.", code="named_already")
    _check_seen(row, seen)
    if not row.is_rise:
        raise Refused(
            "This is a fall, and no traffic event: it has no peak to plan for. Dismiss it with what happened as the reason; "
            "it stays out of growth and forecasts all the same.",
            code="no_rise",
        )
    event = TrafficEvent(
        account=row.account,
        name=name,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        observed_peak_rps=row.peak if row.metric.unit == "requests/s" else None,
        is_peak_measured=row.metric.unit == "requests/s",
        source=_source_of(row),
        entered_by=actor,
    )
    check_row(event)
    event.save()
    record("event.added", actor=actor, account=row.account, subject=event, after=snapshot(event))
    _decide([row, *others], DetectedState.NAMED, actor, event=event)
    return row


@transaction.atomic
def dismiss_detected(
    detected: DetectedEvent, *, reason: str, actor: User, seen: str = "", also: Collection[UUID] = ()
) -> DetectedEvent:
    """Say that a stretch was no event of the account's traffic, and why if anybody wants to know.

    `also` are the references of the same stretch in other metrics (`selectors.alike_of`) of which that is said, too: a crawler
    asks for pages and places no order. Dismissed before for the same reason, or now for none, it is the same answer. `seen` as
    in `name_detected`.
    """
    row, alike = _locked_with_alike(detected)
    check_no_pin(reason)
    reason = " ".join(reason.split())[:500]
    if row.state == DetectedState.DISMISSED and reason in ("", row.reason):
        return row
    if row.state == DetectedState.DISMISSED and row.reason:
        raise _decided_already(row)
    if row.state == DetectedState.NAMED and row.decided_by_id is not None:
        raise Refused(
            f"This is “{row.event}” on record. What has a name is an event."
            if row.event
            else "It has a name.",
            code="named_already",
        )
    _check_seen(row, seen)
    others = [one for one in alike if one.ref in also]
    if len(others) < len(set(also)):
        raise Refused(
            "Of the other metrics one is not off its band at the same time, or somebody decided it meanwhile. Nothing was "
            "dismissed: read it again, then choose.",
            code="not_alike",
        )
    _decide([row, *others], DetectedState.DISMISSED, actor, reason=reason)
    return row


def _check_seen(row: DetectedEvent, seen: str) -> None:
    if seen and seen != row.state:
        raise _decided_already(row)


def _decided_already(row: DetectedEvent) -> StaleState:
    """Return the refusal of a decision about what somebody else decided since it was seen."""
    who = row.decided_by or "The portal"
    because = f" (“{row.reason}”)" if row.reason else ""
    what = {
        DetectedState.DISMISSED: f"{who} dismissed this already{because}.",
        DetectedState.WITHDRAWN: "The portal no longer sees this.",
    }.get(DetectedState(row.state), f"This is {DetectedState(row.state).label} by now.")
    return StaleState(f"{what} Read it again, then decide.", code="decided_already")


def _locked_with_alike(detected: DetectedEvent) -> tuple[DetectedEvent, list[DetectedEvent]]:
    """Return the row and what other metrics showed at the same time and nobody decided, all locked."""
    lock_account(detected.account)
    DetectedEvent.objects.select_for_update().get(pk=detected.pk)
    # Read once it is locked: joined in the statement that waits, its event would be the one from before.
    row = DetectedEvent.objects.select_related("account", "metric", "event").get(pk=detected.pk)
    check_active(row.account)
    return row, list(alike_of(row).select_for_update(of=("self",)))


def _decide(
    rows: Sequence[DetectedEvent],
    state: DetectedState,
    actor: User,
    *,
    event: TrafficEvent | None = None,
    reason: str = "",
) -> None:
    now = timezone.now()
    left = {row.event_id for row in rows}
    for row in rows:
        before = snapshot(row, ("state",))
        row.state, row.event, row.reason = state, event, reason
        row.decided_by, row.decided_at = actor, now
        row.decided_peak, row.decided_multiple = row.peak, row.multiple
        row.save(
            update_fields=[
                "state",
                "event",
                "reason",
                "decided_by",
                "decided_at",
                "decided_peak",
                "decided_multiple",
            ]
        )
        record(
            f"detected.{state.value}",
            actor=actor,
            account=row.account,
            subject=row,
            before=before,
            after=snapshot(row, ("state",)),
            reason=reason,
        )
        emit(
            f"event.{'named' if state is DetectedState.NAMED else 'dismissed'}",
            account=row.account,
            subject=row,
            subject_type="detected_event",
            data={"event": None if event is None else str(event.ref)},
            actor=actor,
        )
    _take_peaks_back(left)
    _ask_no_more(rows)
    # What was decided is part of the sentence of each pool that they size.
    judge_pools(pools().filter(metric__in=[row.metric_id for row in rows]), now)
