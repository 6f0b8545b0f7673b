"""What launch managers are told: an event was detected, a pool's servers will not last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import reverse

from capacity.reports.wording import exceeded
from capacity.sizing import Lasts
from portal.notify.registry import Kind, Purpose, Urgency, audience, register_purpose
from portal.notify.services import tell_all

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


def tell_detected(row: DetectedEvent) -> None:
    """Tell the account's launch managers that something was detected: once a day, however many metrics show it."""
    tell_all(
        "event_detected",
        audience("launch_managers", row.account),
        account=row.account,
        subject_ref=f"account:{row.account.ref}",
        period=f"detected {row.starts_at:%Y-%m-%d}",
        urgency=Urgency.TODAY,
        context={
            "account_name": row.account.name,
            "metric": str(row.metric),
            "starts_at": row.starts_at,
            "multiple": None if row.multiple is None else f"{row.multiple:.1f}",
            "is_rise": row.is_rise,
            "url": reverse("capacity:detected", args=[row.ref]),
        },
    )


def tell_short(pool: SizedPool, runway: Runway, *, lasts: str, month: str) -> None:
    """Tell that a pool's servers will not last, or leave too little free already: once a month for each pool."""
    limit, told = runway.limit_rps, exceeded(runway)
    tell_all(
        "runway_short",
        audience("launch_managers", pool.account),
        account=pool.account,
        # One that is sized anew under another name is the same pool.
        subject_ref=f"pool:{pool.connection.ref}:{pool.balancer_id}",
        period=month,
        urgency=Urgency.TODAY,
        context={
            "account_name": pool.account.name,
            "pool": pool.name,
            "servers": pool.servers,
            "lasts": lasts,
            "is_over": runway.state is Lasts.OVER,
            "peak": "" if told is None else told[0],
            "carried": "" if told is None else told[1],
            "limit": "" if limit is None else f"{limit:,.0f} requests a second",
            "url": reverse("capacity:sized-pool", args=[pool.ref]),
        },
    )
