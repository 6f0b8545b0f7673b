"""Telling people before a drill: an invitation, its end, a reminder a day and an hour before. Each once.

    tell_due(now)     invites, withdraws and reminds what is due; any number of workers may call it, and any may die

An unannounced drill is told to who leads it, who watches and who decides, and to nobody who reacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.urls import reverse

from drills.plans.around import sequence_of
from drills.plans.models import Drill, DrillStatus
from drills.scenarios.types import DrillKind
from drills.scenarios.words import KINDS
from drills.told.models import DrillNotice
from portal.notify import calendar, compose
from portal.notify.registry import Kind, Purpose, Recipient, Urgency, audience
from portal.notify.services import call_off, tell_all

PURPOSES = (
    Purpose("drill_invited", Kind.NOTICE, "You are invited to a fire drill"),
    Purpose("drill_off", Kind.NOTICE, "A fire drill is not held"),
    Purpose("drill_reminder", Kind.REMINDER, "A fire drill is near"),
)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MOST_AT_ONCE = 50


def people_of(drill: Drill) -> Iterator[tuple[str, list[Recipient]]]:
    """Yield who is told before a drill, by what they are in it. Four queries."""
    parts = list(drill.parts.select_related("contact", "user").order_by("pk"))
    yield "facilitator", [Recipient(user=drill.facilitator)]
    for role in ("observer", "reporter"):
        yield (
            role,
            [
                Recipient(user=one.user)
                for one in parts
                if one.role == role and one.user is not None and one.user.is_active
            ],
        )
    if drill.kind == DrillKind.UNANNOUNCED.value:
        yield "approver", audience("approvers", drill.account)
        return
    yield (
        "participant",
        [
            Recipient(
                address=one.contact.email,
                name=one.contact.name,
                time_zone=one.contact.time_zone or drill.account.time_zone,
                is_customer=True,
                person=one.contact,
            )
            for one in parts
            if one.contact is not None and one.contact.takes_mail
        ],
    )


def tell_due(now: datetime) -> int:
    """Tell what is due; return of how many drills."""
    approved = Q(status=DrillStatus.APPROVED, not_before__gt=now)
    open_rows = Q(told__ended_at__isnull=True)
    return sum(
        _each(rows, act, now)
        for rows, act in (
            (Q(status=DrillStatus.APPROVED, not_after__gt=now, told__isnull=True), _invite),
            (
                ~Q(status__in=[DrillStatus.APPROVED, DrillStatus.USED]) & Q(told__isnull=False) & open_rows,
                _call_off,
            ),
            (
                approved & Q(told__day_at__isnull=True, told__isnull=False, not_before__lte=now + DAY),
                _remind_a_day,
            ),
            (
                approved & Q(told__hour_at__isnull=True, told__isnull=False, not_before__lte=now + HOUR),
                _remind_an_hour,
            ),
        )
    )


def _each(rows: Q, act: Callable[[Drill, datetime], None], now: datetime) -> int:
    told = 0
    for pk in list(
        Drill.objects.filter(rows).order_by("not_before", "pk").values_list("pk", flat=True)[:MOST_AT_ONCE]
    ):
        with transaction.atomic():
            # Locked and asked anew: one that was withdrawn meanwhile is told to nobody.
            locked = (
                Drill.objects.select_for_update(skip_locked=True, of=("self",))
                .select_related("account", "facilitator")
                .filter(rows, pk=pk)
                .first()
            )
            if locked is not None:
                act(locked, now)
                told += 1
    return told


def _invite(drill: Drill, now: datetime) -> None:
    DrillNotice.objects.create(drill=drill, invited_at=now)
    _tell(drill, "drill_invited", now, method=calendar.REQUEST)


def _call_off(drill: Drill, now: datetime) -> None:
    DrillNotice.objects.filter(drill=drill).update(ended_at=now)
    # What waits for somebody's morning is not so any more.
    for purpose, period in (("drill_invited", ""), ("drill_reminder", "day"), ("drill_reminder", "hour")):
        call_off(
            purpose,
            subject_ref=f"drill:{drill.ref}",
            period=period,
            says="The drill was called off before this mail went.",
        )
    if drill.not_after is not None and drill.not_after > now:
        _tell(drill, "drill_off", now, method=calendar.CANCEL)


def _remind_a_day(drill: Drill, now: datetime) -> None:
    DrillNotice.objects.filter(drill=drill).update(day_at=now)
    # Who was invited within that day has just read of it; near the beginning the other reminder says it.
    if _was_invited_before(drill, DAY) and _left(drill, now) > 2 * HOUR:
        _tell(drill, "drill_reminder", now, period="day")


def _remind_an_hour(drill: Drill, now: datetime) -> None:
    DrillNotice.objects.filter(drill=drill).update(hour_at=now)
    if _was_invited_before(drill, HOUR):
        _tell(drill, "drill_reminder", now, period="hour", urgency=Urgency.NOW)


def _was_invited_before(drill: Drill, span: timedelta) -> bool:
    return DrillNotice.objects.filter(drill=drill, invited_at__lte=F("drill__not_before") - span).exists()


def _left(drill: Drill, now: datetime) -> timedelta:
    assert drill.not_before is not None
    return drill.not_before - now


def _tell(
    drill: Drill,
    purpose: str,
    now: datetime,
    *,
    period: str = "",
    method: str = "",
    urgency: Urgency = Urgency.NORMAL,
) -> None:
    said: dict[str, Any] = {
        "title": drill.title,
        "kind": KINDS[DrillKind(drill.kind)],
        "is_unannounced": drill.kind == DrillKind.UNANNOUNCED.value,
        "starts_at": drill.not_before,
        "ends_at": drill.not_after,
        "led_by": str(drill.facilitator),
    }
    if method:
        assert drill.not_before is not None
        assert drill.not_after is not None
        said["appointment"] = calendar.plain_of(
            calendar.Appointment(
                method=method,
                uid=f"drill-{drill.ref}@{compose.domain()}",
                # As in the feed: whoever has both sees one entry.
                sequence=sequence_of(drill) + (method == calendar.CANCEL),
                starts_at=drill.not_before,
                ends_at=drill.not_after,
                summary=f"FIRE DRILL: {drill.title} ({drill.account})",
                says="This is a fire drill, not a real incident.",
                stamped_at=now,
            )
        )
    for role, people in people_of(drill):
        if not people:
            continue
        # Contacts have no log-in: what they need is in the mail.
        page = {} if role == "participant" else {"url": reverse("drills:drill", args=[drill.ref])}
        tell_all(
            purpose,
            people,
            subject_ref=f"drill:{drill.ref}",
            period=period,
            account=drill.account,
            context={**said, **page, "role": role},
            urgency=urgency,
            reason=f"{role} of the fire drill “{drill.title}”"[:200],
            people=[drill.facilitator],
        )
