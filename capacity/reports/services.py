"""Making reports, deciding about what they found, and saying what a pool is sized by. Each change is one function.

ask(metric, actor=user)                          a report is made at the next turn of a worker
make_due(now, budget_s=60)                       what the worker calls
name_detected(row, name="Spring sale", actor=…), dismiss_detected(row, reason="…", also=[…], actor=…)
size_pool(account, connection, "71", actor=…, …), look_at(pool), set_price(account, …), remove_price(price, …)
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from accounts.changes import check_active, check_no_pin
from accounts.clouds import discover_pools
from accounts.members import lock_account
from accounts.models import Account, AccountStatus
from capacity.metrics import series
from capacity.metrics.kinds import DEMAND_UNIT, is_demand
from capacity.metrics.models import Metric
from capacity.metrics.series import Step
from capacity.models import TrafficEvent
from capacity.pool_names import usual_name
from capacity.reference import Site, counting_size
from capacity.reports import making, notices
from capacity.reports.following import Window, begin_together, continued
from capacity.reports.models import (
    ENDED_AFTER,
    DetectedEvent,
    DetectedState,
    GrowthPicture,
    GrowthReport,
    ReportState,
    ServerPrice,
    SizedPool,
)
from capacity.reports.packing import CONE, packed, unpacked
from capacity.reports.selectors import alike_of, pools
from capacity.reports.short import judge_pools
from portal.audit.services import record, snapshot
from portal.cloud.types import Condition
from portal.errors import ProviderFailed, Refused, StaleState, TryLater
from portal.events.services import emit
from portal.rows import check_row
from portal.runs.wake import hand_over

if TYPE_CHECKING:
    from accounts.models import CloudConnection, User

log = structlog.get_logger(__name__)

READ_DAYS = 400
NIGHT_HOUR = 2
"""Reports are made anew once after this hour of each day, UTC."""
CLAIM_LASTS = timedelta(minutes=10)
TOLD_FOR = timedelta(days=14)
"""An event that is older when it is first seen is proposed, but nobody is called for it."""
CALM_AGAIN = timedelta(hours=1)
HIGHER = 1.5
"""What is so many times as far off as when it was dismissed is something else."""
OFF_CONE = 1.5
"""An hour this many times the half of the 95 % interval off its forecast, and by"""
LEAST_OFF = 0.15
"""this share of it, is a reason to look."""
OFF_DAYS = 3
MOST_OFF = 200
"""A report takes one to three seconds of a worker: so many are made in an hour besides those of the night."""
DETECTED_IN = "detected in "
LONGEST_NAMED = timedelta(days=14)
TAIL = timedelta(hours=12)
"""What goes on for longer than this after an event that was planned is something else as well."""
MOST_PRICES = 100


def night_before(now: datetime) -> datetime:
    """Return the last moment at which the night's reports fell due."""
    tonight = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    return tonight if tonight <= now else tonight - timedelta(days=1)


# --- reports -----------------------------------------------------------------------------------------------------


@transaction.atomic
def ask(metric: Metric, *, actor: User | None) -> GrowthReport:
    """Ask for a report of a metric, made at a worker's next turn; asked twice it is made once."""
    check_active(metric.account)
    now = timezone.now()
    report, is_new = GrowthReport.objects.get_or_create(metric=metric, defaults={"asked_at": now})
    if not is_new:
        GrowthReport.objects.filter(pk=report.pk).update(asked_at=now)
        report.refresh_from_db()
    if is_new:
        record("report.asked", actor=actor, account=metric.account, subject=report)
    transaction.on_commit(_wake)
    return report


def _wake() -> bool:
    """Ask a worker for a turn; a message that is lost changes nothing, the next turn is minutes away."""
    from capacity.tasks import make_reports

    return hand_over(make_reports, "growth_wake_up_lost")


def begin_missing(now: datetime) -> int:
    """Begin reports of figures that are vital or size a pool; returns how many. One INSERT."""
    wanted = (
        Metric.objects.filter(Q(is_vital=True) | Q(sized_pools__isnull=False), growth_report__isnull=True)
        .filter(last_at__isnull=False, account__status=AccountStatus.ACTIVE)
        .distinct()[:1000]
    )
    made = GrowthReport.objects.bulk_create(
        [GrowthReport(metric=metric, asked_at=now) for metric in wanted], ignore_conflicts=True
    )
    return len(made)


def make_due(now: datetime, *, budget_s: float = 60.0) -> int:
    """Make reports that are due until the time is up; returns how many. Those that people asked for come first.

    Each is claimed by one UPDATE, so two workers make none twice; a series that breaks the analysis is left alone for
    ten minutes, and the others go on.
    """
    begin_missing(now)
    began, count = time.monotonic(), 0
    while (passed_s := time.monotonic() - began) < budget_s:
        # Each at its own time: asked for after the turn began, a report would stay due however often it was made.
        at = now + timedelta(seconds=passed_s)
        report = _claim(at)
        if report is None:
            break
        try:
            make_report(report, at)
        except Exception:
            # It stays claimed for ten minutes: one that cannot be made must not stand in the way of the others.
            log.exception("report_not_made", metric=str(report.metric.ref))
            continue
        count += 1
    return count


def ask_where_off(now: datetime, *, budget_s: float = 30.0) -> int:
    """Ask for the reports of series that left their forecast since the night, or in which something is on; returns how many.

    Between two nights nobody else looks: a rise at noon would be told of the night after, and servers called more than
    needed while it is on. Once for each whole hour that is new; series that size a pool first, and at most `MOST_OFF`.
    """
    ends, this_hour = time.monotonic() + budget_s, now.replace(minute=0, second=0, microsecond=0)
    rows = GrowthReport.objects.filter(
        state=ReportState.MADE,
        picture__isnull=False,
        made_at__gte=F("asked_at"),
        analysed_until__lt=this_hour,
        analysed_until__gt=now - timedelta(days=OFF_DAYS),
        metric__last_at__gte=F("analysed_until"),
        metric__account__status=AccountStatus.ACTIVE,
    ).annotate(
        is_on=Exists(DetectedEvent.objects.filter(metric=OuterRef("metric"), is_over=False)),
        sizes=Exists(SizedPool.objects.filter(metric=OuterRef("metric"))),
    )
    off: list[int] = []
    ordered = rows.select_related("metric", "picture").order_by("-sizes", "made_at", "pk")
    for report in ordered.iterator(chunk_size=50):
        if time.monotonic() >= ends or len(off) >= MOST_OFF:
            break
        try:
            is_off = report.is_on or _is_off(report, this_hour)
        except Exception:
            # One that cannot be read must not stand in the way of the others, nor of what is done after it.
            log.exception("report_not_looked_at", metric=str(report.metric.ref))
            continue
        if is_off:
            off.append(report.pk)
    if off:
        GrowthReport.objects.filter(pk__in=off).update(asked_at=now)
        _wake()
    return len(off)


def _is_off(report: GrowthReport, until: datetime) -> bool:
    """Whether an hour since a report lies well outside of what it forecast for it, and by enough to matter."""
    begins = report.analysed_until
    if begins is None:
        return False
    read = series.read(report.metric, Step.HOUR, begins, until, limit=OFF_DAYS * 24 + 1)
    cone = unpacked(bytes(report.picture.cone), CONE)
    steps = (read["at"] - round(begins.timestamp()) * 1_000_000) // 3_600_000_000
    is_ahead = (steps >= 0) & (steps < len(cone["point"]))
    point, low, high = (cone[name][steps[is_ahead]] for name in ("point", "lower95", "upper95"))
    off = np.abs(read["mean"][is_ahead] - point)
    wide = np.where(read["mean"][is_ahead] > point, high - point, point - low)
    return bool(((off > OFF_CONE * wide) & (off > LEAST_OFF * np.abs(point))).any())


def _claim(now: datetime) -> GrowthReport | None:
    free = Q(begun_at__isnull=True) | Q(begun_at__lt=now - CLAIM_LASTS)
    is_due = Q(made_at__isnull=True) | Q(made_at__lt=F("asked_at")) | Q(made_at__lt=night_before(now))
    due = GrowthReport.objects.filter(free, is_due, metric__account__status=AccountStatus.ACTIVE)
    for pk in due.order_by(F("made_at").asc(nulls_first=True), "pk").values_list("pk", flat=True)[:10]:
        if GrowthReport.objects.filter(free, pk=pk).update(begun_at=now):
            return GrowthReport.objects.select_related("metric__account").get(pk=pk)
    return None


def make_report(report: GrowthReport, now: datetime) -> GrowthReport:
    """Analyse the last year of a metric and keep what it says; another time with the same samples changes nothing."""
    metric, began = report.metric, time.monotonic()
    found = hours_of(metric, now)
    made: making.Made | None = None
    says = "There is no sample yet."
    if found is not None:
        hours, begins = found
        try:
            made = making.make(hours, begins, _known_events(metric, begins))
        except ValueError as problem:
            says = str(problem)
    with transaction.atomic():
        # What is told of one metric is told of no other one: the reports of an account are kept one after the other.
        lock_account(metric.account)
        # Someone may have taken the metric away meanwhile.
        locked = GrowthReport.objects.select_for_update(of=("self",)).filter(pk=report.pk).first()
        if locked is None:
            return report
        locked.begun_at, locked.made_at = None, now
        if made is None:
            locked.state, locked.says = ReportState.TOO_SHORT, says
            locked.save()
            return locked
        _keep(locked, made)
        _keep_events(metric, made, now)
    # The analysis took its time, in which figures were entered.
    judge_pools(pools().filter(metric=metric), now + timedelta(seconds=time.monotonic() - began))
    return locked


def _known_events(metric: Metric, since: datetime) -> list[tuple[datetime, datetime]]:
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


def hours_of(metric: Metric, now: datetime) -> tuple[making.Numbers, datetime] | None:
    """Return the means of whole hours up to now, NaN where there is none, and the moment at which they begin."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    read = series.read(
        metric, Step.HOUR, this_hour - timedelta(days=READ_DAYS), this_hour, limit=READ_DAYS * 24 + 1
    )
    if not len(read["at"]):
        return None
    steps = ((read["at"] - read["at"][0]) // 3_600_000_000).astype(np.int64)
    hours = np.full(int(steps[-1]) + 1, np.nan)
    hours[steps] = read["mean"]
    return hours, datetime.fromtimestamp(int(read["at"][0]) / 1e6, UTC)


def _keep(report: GrowthReport, made: making.Made) -> None:
    report.state, report.says = ReportState.MADE, ""
    report.analysed_from, report.analysed_until, report.days = made.begins, made.ends, made.days
    report.level = made.level
    report.growth, report.growth_low, report.growth_high = made.growth or (None, None, None)
    report.peak, report.peak_low, report.peak_high = made.peak
    report.next_peak, report.next_peak_low, report.next_peak_high = made.next_peak
    report.next_peak_at = made.next_peak_at
    report.shifts = [at.isoformat() for at in made.shifts]
    report.model_name, report.is_naive = made.model[:200], made.is_naive
    report.tested, report.notes = made.tested, list(made.notes)
    report.save()
    GrowthPicture.objects.update_or_create(
        report=report,
        defaults={
            "band": packed([made.low, made.high]),
            "cone": packed([getattr(made.forecast, name) for name in CONE]),
        },
    )


def _keep_events(metric: Metric, made: making.Made, now: datetime) -> None:
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
            row.state, row.event, row.told_with = DetectedState.PROPOSED, None, None
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
    for row in (one for one in gone if one.state == DetectedState.PROPOSED):
        row.state = DetectedState.WITHDRAWN
        row.save(update_fields=["state"])
        decided.append(row)
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


# --- detected events ---------------------------------------------------------------------------------------------


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
    _ask_no_more(rows)
    # What was decided is part of the sentence of each pool that they size.
    judge_pools(pools().filter(metric__in=[row.metric_id for row in rows]), now)


# --- pools and prices --------------------------------------------------------------------------------------------

POOL_FIELDS = ("name", "metric", "headroom", "fewest")


@transaction.atomic
def size_pool(
    account: Account, connection: CloudConnection, balancer_id: str, *, actor: User | None, **fields: Any
) -> SizedPool:
    """Size a pool by a metric: `metric`, `headroom`, `fewest`, `name`. A report of the metric is asked for."""
    check_active(account)
    if connection.account_id != account.pk:
        raise Refused("This cloud connection is of another account.", code="other_account")
    known = SizedPool.objects.filter(connection=connection, balancer_id=balancer_id).first()
    if known is not None:
        raise StaleState(
            f"This pool is sized already, as “{known.name}”. Change how it is sized there.",
            code="sized_already",
        )
    row = SizedPool(account=account, connection=connection, balancer_id=balancer_id)
    _fill(row, fields)
    row.save()
    record("sized_pool.added", actor=actor, account=account, subject=row, after=snapshot(row))
    if row.metric is not None:
        ask(row.metric, actor=actor)
    judge_pools(pools().filter(pk=row.pk), timezone.now())
    return row


@transaction.atomic
def change_pool(pool: SizedPool, *, actor: User | None, **fields: Any) -> SizedPool:
    """Change by what a pool is sized and what stays free."""
    row = (
        SizedPool.objects.select_for_update(of=("self",)).select_related("account", "metric").get(pk=pool.pk)
    )
    check_active(row.account)
    before = snapshot(row)
    _fill(row, fields)
    after = snapshot(row)
    if after == before:
        return row
    row.save()
    record("sized_pool.changed", actor=actor, account=row.account, subject=row, before=before, after=after)
    if row.metric is not None and before.get("metric") != after.get("metric"):
        ask(row.metric, actor=actor)
    judge_pools(pools().filter(pk=row.pk), timezone.now())
    return row


def _fill(row: SizedPool, fields: dict[str, Any]) -> None:
    unknown = set(fields) - set(POOL_FIELDS)
    if unknown:
        raise ValueError(f"A sized pool has no {', '.join(sorted(unknown))}.")
    for name, value in fields.items():
        setattr(row, name, value)
    row.name = " ".join(row.name.split()) or usual_name(row.balancer_id)
    check_no_pin(row.name)
    metric = row.metric
    if metric is not None and metric.account_id != row.account_id:
        raise Refused("This metric is of another account.", code="other_account")
    # What one server carries is told in requests a second: orders a minute held against it would be a wrong number.
    if metric is not None and not is_demand(metric.unit, metric.kind):
        raise Refused(
            f"A pool is sized by its requests a second (unit {DEMAND_UNIT}), as what a server carries is told in; "
            f"{metric} is something else.",
            code="no_demand",
        )
    check_row(row)


def look_at(pool: SizedPool) -> SizedPool:
    """Ask the provider how many servers of the pool are in service, and of which size. Reads only.

    Raises the provider's troubles. Servers of several sizes: all count as the one that carries the least.
    """
    found = discover_pools(pool.connection)
    return note_look(pool, found, timezone.now())


def note_look(pool: SizedPool, found: Any, now: datetime) -> SizedPool:
    """Keep what a look at the provider showed of the pool. Raises Refused where its load balancer was not there."""
    seen = next((one for one in found.pools if one.balancer.id == pool.balancer_id), None)
    if seen is None:
        gone = f"The provider shows no load balancer {pool.balancer_id} any more. What was known stays."
        never = (
            f"The provider shows no load balancer {pool.balancer_id} to this connection. Read its id at the provider, "
            "then size the pool with that one."
        )
        raise Refused(gone if pool.seen_at else never, code="no_such_balancer")
    serving = {
        member.server.id: member.server
        for member in seen.members
        if member.node.condition is Condition.ENABLED
    }
    sizes = Counter(one.flavor_id[:100] for one in serving.values() if one.flavor_id)
    flavor = counting_size(pool.account, Site(pool.connection.ref, pool.balancer_id), sizes, now)
    SizedPool.objects.filter(pk=pool.pk).update(
        servers=len(serving), flavor=flavor, sizes=dict(sizes), seen_at=now
    )
    judge_pools(pools().filter(pk=pool.pk), now)
    return pools().get(pk=pool.pk)


def look_at_stale(
    now: datetime, *, older_than: timedelta = timedelta(hours=20), budget_s: float = 60.0
) -> int:
    """Look at pools that nobody looked at for long, until the time is up; one that cannot be read is tried next time.

    Once for all pools of a connection, and in no order: those that cannot be read, or whose load balancer is none, would
    stand first each time, and nobody would look at the others.
    """
    ends = time.monotonic() + budget_s
    rows = SizedPool.objects.filter(Q(seen_at__isnull=True) | Q(seen_at__lt=now - older_than))
    rows = rows.filter(account__status=AccountStatus.ACTIVE).select_related("connection", "account")
    due: dict[int, list[SizedPool]] = {}
    for pool in rows.order_by("?")[:50]:
        due.setdefault(pool.connection_id, []).append(pool)
    count = 0
    for of_one in due.values():
        if time.monotonic() >= ends:
            break
        try:
            found = discover_pools(of_one[0].connection)
        except (TryLater, ProviderFailed, Refused) as trouble:
            log.info("sized_pools_unseen", pools=[str(pool.ref) for pool in of_one], code=trouble.code)
            continue
        for pool in of_one:
            try:
                note_look(pool, found, timezone.now())
                count += 1
            except Refused as trouble:
                log.info("sized_pool_unseen", pool=str(pool.ref), code=trouble.code)
    return count


@transaction.atomic
def remove_pool(pool: SizedPool, *, actor: User) -> None:
    """Size a pool no more."""
    row = (
        SizedPool.objects.select_for_update(of=("self",)).select_related("account", "metric").get(pk=pool.pk)
    )
    check_active(row.account)
    record("sized_pool.removed", actor=actor, account=row.account, subject=row, before=snapshot(row))
    notices.call_off_short(row, says="The pool is sized no more.")
    row.delete()


@transaction.atomic
def set_price(account: Account, *, flavor: str, an_hour: Decimal, currency: str, actor: User) -> ServerPrice:
    """Say what a server of one size costs an hour; replaces what was said before."""
    # The account is locked, as there is no row to lock before the first price of a size.
    check_active(lock_account(account))
    flavor = " ".join(flavor.split())
    check_no_pin(flavor)
    row = ServerPrice.objects.select_for_update().filter(
        account=account, flavor=flavor
    ).first() or ServerPrice(account=account, flavor=flavor)
    before = snapshot(row) if row.pk else {}
    row.an_hour, row.currency = an_hour, currency.strip().upper()
    row.entered_by, row.at = actor, timezone.now()
    check_row(row)
    row.save()
    record("price.set", actor=actor, account=account, subject=row, before=before, after=snapshot(row))
    return row


@transaction.atomic
def remove_price(price: ServerPrice, *, actor: User) -> None:
    """Take a price away; estimates are told in server-hours then."""
    row = ServerPrice.objects.select_for_update(of=("self",)).select_related("account").get(pk=price.pk)
    check_active(row.account)
    record("price.removed", actor=actor, account=row.account, subject=row, before=snapshot(row))
    row.delete()
