"""What launch managers are told: an event was detected, a pool's servers will not last."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from django.urls import reverse

from capacity.reports.models import DetectedState
from capacity.reports.wording import exceeded
from capacity.sizing import Lasts
from portal.notify.registry import Kind, Purpose, Urgency, audience, register_purpose
from portal.notify.services import call_off_waiting, tell_all, told_already
from portal.ui.charts import number

if TYPE_CHECKING:
    from capacity.reports.models import DetectedEvent, SizedPool
    from capacity.sizing import Runway

PURPOSES = (
    Purpose("event_detected", Kind.NOTICE, "Traffic left its usual band"),
    Purpose("runway_short", Kind.NOTICE, "Servers will not last as long as they should"),
)


def register() -> None:
    """Make the purposes known; called once when the app is ready."""
    for purpose in PURPOSES:
        register_purpose(purpose)


def _stretch(row: DetectedEvent) -> str:
    return f"detected:{row.ref}"


def call_off_detected(row: DetectedEvent) -> bool:
    """Take back the mails that ask about it and wait until the morning; returns whether any did."""
    says = "Nobody is asked about it any more."
    # What is seen and not seen by turns would stand there each time.
    is_shown = row.state != DetectedState.WITHDRAWN
    return bool(call_off_waiting("event_detected", subject_ref=_stretch(row), says=says, is_shown=is_shown))


def was_told(row: DetectedEvent) -> set[int]:
    """Return the users who were told of it, and of whom that was not taken back."""
    return told_already("event_detected", _stretch(row))


def tell_detected(row: DetectedEvent, *, but: Collection[int] = ()) -> None:
    """Tell the account's launch managers that something was detected, all `but` those users."""
    tell_all(
        "event_detected",
        [
            one
            for one in audience("launch_managers", row.account)
            if one.user is None or one.user.pk not in but
        ],
        account=row.account,
        subject_ref=_stretch(row),
        # Whoever keeps rows tells of each once; one that went on as something else is told anew.
        period=f"until {row.ends_at:%Y-%m-%d %H}",
        urgency=Urgency.TODAY,
        context={
            "account_name": row.account.name,
            "metric": str(row.metric),
            "starts_at": row.starts_at,
            "multiple": None if row.multiple is None else number(row.multiple),
            "is_rise": row.is_rise,
            "url": reverse("capacity:detected", args=[row.ref]),
        },
    )


def _about(pool: SizedPool) -> str:
    # One that is sized anew under another name is the same pool.
    return f"pool:{pool.connection.ref}:{pool.balancer_id}"


def call_off_short(pool: SizedPool, *, says: str) -> None:
    """Take back the mails about a pool that wait until the morning: it is sized no more, or its servers do last."""
    call_off_waiting("runway_short", subject_ref=_about(pool), says=says)


def tell_short(pool: SizedPool, runway: Runway, *, lasts: str, month: str) -> None:
    """Tell that a pool's servers will not last, or leave too little free already: once a month for each pool.

    A mail that waits and says something else, since a figure was corrected, is replaced.
    """
    limit, told = runway.limit_rps, exceeded(runway)
    context = {
        "pool": pool.name,
        "servers": pool.servers,
        "lasts": lasts,
        "is_over": runway.state is Lasts.OVER,
        "peak": "" if told is None else told[0],
        "carried": "" if told is None else told[1],
        "limit": "" if limit is None else f"{limit:,.0f} requests a second",
        "url": reverse("capacity:sized-pool", args=[pool.ref]),
    }
    call_off_waiting(
        "runway_short",
        subject_ref=_about(pool),
        says="It says something else by now, which is told instead.",
        unless=context,
    )
    tell_all(
        "runway_short",
        audience("launch_managers", pool.account),
        account=pool.account,
        subject_ref=_about(pool),
        period=month,
        urgency=Urgency.TODAY,
        context={"account_name": pool.account.name, **context},
    )
