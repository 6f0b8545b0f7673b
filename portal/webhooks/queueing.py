"""From the outbox to each endpoint's queue, in the outbox's order.

An endpoint remembers the position up to which its events are queued. Messages and the new cursor are written in one
transaction, so a worker that dies in between loses nothing; the same event queued twice is one row (its id is unique).
"""

from __future__ import annotations

from django.db import connection, transaction
from django.db.models import Count, Exists, OuterRef

from portal.events.catalogue import is_wanted
from portal.events.cloudevents import as_cloudevent, type_of
from portal.events.models import Event
from portal.events.relay import head
from portal.webhooks.envelope import CONTENT_TYPES, body_of
from portal.webhooks.models import Delivery, DeliveryState, Endpoint, EndpointState

BATCH = 200
# A receiver that is away for days must not fill the table; the outbox keeps what is not queued yet.
MOST_WAITING = 5000
_BEHIND = Exists(Event.objects.filter(account_ref=OuterRef("account__ref"), position__gt=OuterRef("cursor")))


def queue_due(*, most_endpoints: int = 200) -> int:
    """Queue new events for the endpoints that are behind; return how many events were looked at."""
    seen = 0
    behind = Endpoint.objects.filter(_BEHIND, state=EndpointState.ACTIVE)
    for pk in list(behind.order_by("cursor", "pk").values_list("pk", flat=True)[:most_endpoints]):
        seen += _queue_one(pk)
    return seen


@transaction.atomic
def _queue_one(pk: int) -> int:
    endpoint = (
        Endpoint.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("account")
        .filter(pk=pk, state=EndpointState.ACTIVE)
        .first()
    )
    if endpoint is None:
        return 0
    forgotten = head()[1]
    if endpoint.cursor < forgotten:
        # The outbox kept less than this endpoint still needed: said on its page, not passed over.
        Endpoint.objects.filter(pk=pk).update(missed_until=forgotten)
    room = MOST_WAITING - endpoint.deliveries.filter(state=DeliveryState.PENDING).count()
    if room <= 0:
        return 0
    events = list(
        Event.objects.filter(account_ref=endpoint.account.ref, position__gt=endpoint.cursor).order_by(
            "position"
        )[: min(BATCH, room)]
    )
    if not events:
        return 0
    wanted = [event for event in events if is_wanted(event.type, endpoint.types)]
    Delivery.objects.bulk_create(
        [
            Delivery(
                endpoint=endpoint,
                message_id=str(event.ref),
                type=type_of(event.type, event.version),
                position=event.position,
                content_type=CONTENT_TYPES[endpoint.envelope],
                body=body_of(endpoint.envelope, as_cloudevent(event)).decode(),
            )
            for event in wanted
        ],
        ignore_conflicts=True,
    )
    Endpoint.objects.filter(pk=pk).update(cursor=events[-1].position)
    return len(events)


_DUE = """
SELECT EXISTS (
    SELECT 1 FROM webhooks_endpoint e
    WHERE (e.lease_until IS NULL OR e.lease_until <= clock_timestamp())
      AND EXISTS (
        SELECT 1 FROM webhooks_delivery d
        WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.due_at <= clock_timestamp()
          AND (d.by_hand OR (e.state = 'active' AND (e.not_before IS NULL OR e.not_before <= clock_timestamp())))
      )
)
"""


def is_anything_due() -> bool:
    """Whether something waits to be queued or sent now and no worker is at it."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE)
        if cursor.fetchone()[0]:
            return True
    return Endpoint.objects.filter(_BEHIND, state=EndpointState.ACTIVE).exists()


def overdue_s() -> float:
    """Return for how long the oldest message waits although it might be sent, in seconds; 0 for none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM clock_timestamp() - min(d.due_at)) FROM webhooks_delivery d"
            " JOIN webhooks_endpoint e ON e.id = d.endpoint_id"
            " WHERE d.state = 'pending' AND d.due_at <= clock_timestamp() AND (d.by_hand OR (e.state = 'active'"
            " AND (e.not_before IS NULL OR e.not_before <= clock_timestamp())))"
        )
        found = cursor.fetchone()[0]
    return float(found or 0.0)


def waiting_by_endpoint(keys: list[int]) -> dict[int, int]:
    """Return how many messages wait for each of these endpoints (by key); those without any are left out."""
    rows = Delivery.objects.filter(endpoint__in=keys, state=DeliveryState.PENDING)
    return dict(rows.order_by().values_list("endpoint_id").annotate(Count("pk")))
