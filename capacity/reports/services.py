"""Making reports: how a metric grows, what it forecasts, and when it has to be looked at anew.

ask(metric, actor=user)                          a report is made at the next turn of a worker
make_due(now, budget_s=60)                       what the worker calls
ask_where_off(now)                               what the worker calls each hour
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from accounts.changes import check_active
from accounts.members import lock_account
from accounts.models import AccountStatus
from capacity.metrics import series
from capacity.metrics.models import Metric
from capacity.metrics.series import Step
from capacity.reports import detected, making
from capacity.reports.models import (
    DetectedEvent,
    GrowthPicture,
    GrowthReport,
    ReportState,
    SizedPool,
)
from capacity.reports.packing import CONE, packed, unpacked
from capacity.reports.selectors import pools
from capacity.reports.short import judge_pools
from portal.audit.services import record
from portal.runs.wake import hand_over

if TYPE_CHECKING:
    from accounts.models import User

log = structlog.get_logger(__name__)

READ_DAYS = 400
NIGHT_HOUR = 2
"""Reports are made anew once after this hour of each day, UTC."""
CLAIM_LASTS = timedelta(minutes=10)
OFF_CONE = 1.5
"""An hour this many times the half of the 95 % interval off its forecast, and by"""
LEAST_OFF = 0.15
"""this share of it, is a reason to look."""
OFF_DAYS = 3
MOST_OFF = 200
"""A report takes one to three seconds of a worker: so many are made in an hour besides those of the night."""


def night_before(now: datetime) -> datetime:
    """Return the last moment at which the night's reports fell due."""
    tonight = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    return tonight if tonight <= now else tonight - timedelta(days=1)


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
        # Another worker may have made it between the two.
        if GrowthReport.objects.filter(free, is_due, pk=pk).update(begun_at=now):
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
            made = making.make(hours, begins, detected.known_windows(metric, begins))
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
        detected.keep(metric, made, now)
    # The analysis took its time, in which figures were entered.
    judge_pools(pools().filter(metric=metric), now + timedelta(seconds=time.monotonic() - began))
    return locked


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
