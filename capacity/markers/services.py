"""Posting a marker: it is kept, told, and holds the runs that it concerns before their next server.

    post(account, kind="deployment", title="shop 4.2", at=moment, actor=user) -> (marker, how many runs are held)

Raises Refused with a sentence for people.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from accounts.changes import check_active, check_no_pin
from accounts.members import lock_account
from accounts.models import Account
from capacity.markers.models import Marker, MarkerKind
from capacity.reports.short import judge_account
from portal.audit.services import record, snapshot
from portal.cloud.types import CloudIdentity
from portal.errors import Refused
from portal.events.services import emit
from portal.rows import check_row
from portal.runs import services as runs

if TYPE_CHECKING:
    from accounts.models import CloudConnection, User

FUTURE = timedelta(minutes=5)
PAST = timedelta(days=366)
MOST_A_DAY = 2000
_SAYS = {
    MarkerKind.DEPLOYMENT: "A deployment",
    MarkerKind.CONFIGURATION: "A change of configuration",
    MarkerKind.OTHER: "A change",
}


@transaction.atomic
def post(
    account: Account,
    *,
    kind: str,
    title: str,
    actor: User,
    at: datetime | None = None,
    software: str = "",
    source: str = "",
    connection: CloudConnection | None = None,
    balancer_id: str = "",
) -> tuple[Marker, int]:
    """Keep a marker; return it, and how many runs are held before their next server because of it.

    The same again is the one that is there, and holds nothing. One that is older than a run's beginning does not hold that run.
    """
    now = timezone.now()
    at = at or now
    title, software, source = (" ".join(text.split()) for text in (title, software, source))
    locked = lock_account(account)
    check_active(locked)
    check_no_pin(title, software, source)
    if not title:
        raise Refused("Say what was changed: a release, a tag, a ticket.", code="title_missing")
    if connection is not None and connection.account_id != locked.pk:
        raise Refused("This cloud connection is of another account.", code="other_account")
    if not now - PAST <= at <= now + FUTURE:
        raise Refused(
            "A marker says what was changed: at a moment of the last year, not in the future.",
            code="bad_moment",
        )
    row = Marker(
        account=locked,
        connection=connection,
        balancer_id=balancer_id,
        kind=kind,
        title=title,
        software=software,
        source=source,
        at=at,
        made_by=actor,
    )
    known = _known(row)
    if known is not None:
        return known, 0
    if Marker.objects.filter(account=locked, made_at__gt=now - timedelta(days=1)).count() >= MOST_A_DAY:
        raise Refused(f"An account has at most {MOST_A_DAY:,} markers a day.", code="too_many")
    check_row(row)
    row.save(force_insert=True)
    record("marker.posted", actor=actor, account=locked, subject=row, after=snapshot(row))
    held = runs.hold_for_change(
        locked,
        says=f"{_SAYS[MarkerKind(kind)]} was announced: {title}.",
        customer_says=f"{_SAYS[MarkerKind(kind)]} of your site was announced.",
        at=at,
        resource_key=_key(connection, balancer_id),
        actor=actor,
    )
    emit(
        "marker.posted",
        account=locked,
        subject=row,
        data={"kind": row.kind, "at": row.at.isoformat(), "runs_held": held},
        actor=actor,
    )
    # A ceiling belongs to its software.
    judge_account(locked)
    return row, held


def _known(row: Marker) -> Marker | None:
    return Marker.objects.filter(
        account=row.account,
        connection=row.connection,
        balancer_id=row.balancer_id,
        kind=row.kind,
        title=row.title,
        software=row.software,
        at=row.at,
    ).first()


def _key(connection: CloudConnection | None, balancer_id: str) -> str | None:
    """Return the key by which a run claims this pool; None for a marker of the whole account."""
    if connection is None:
        return None
    of = connection
    return CloudIdentity(of.provider, of.identity_url, of.tenant, of.region).key("lb", balancer_id)
