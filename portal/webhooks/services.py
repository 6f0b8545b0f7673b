"""What a person does with webhooks, each on record and told as an event: add, change, pause, rotate, test, send again.

The account's row is locked first (an archived account is read, not changed), then the endpoint's.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.apps import apps
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from portal.audit.services import record, snapshot
from portal.egress import check_url, public_rules
from portal.errors import Refused, StaleState, TooOften
from portal.events.catalogue import is_filter
from portal.events.cloudevents import type_of
from portal.events.relay import head
from portal.events.services import emit
from portal.rows import check_row
from portal.webhooks.envelope import CONTENT_TYPES, body_of
from portal.webhooks.models import Delivery, DeliveryState, Endpoint, EndpointState, Envelope
from portal.webhooks.signing import new_secret
from portal.webhooks.wake import wake_after_commit

log = structlog.get_logger(__name__)

MOST_ENDPOINTS = 20
MOST_TYPES = 50
MOST_TESTS_AN_HOUR = 30
LONGEST_ROTATION_HOURS = 72
KEEP_FOR_DAYS = 30
FIELDS = ("url", "description", "types", "envelope")


def check_address(url: str) -> str:
    """Return the host of an address to which events may be posted. Raises Refused with a sentence.

    https only, except for what the operator opened by name (a desk): the body is signed, not hidden.
    """
    rules = public_rules()
    try:
        target = check_url(url.strip(), rules=rules)
    except Refused as refusal:
        if refusal.code != "closed_address":
            raise
        where = refusal.says.partition(",")[0]
        raise Refused(
            f"{where}. Events are posted to public addresses only.", code="closed_address"
        ) from None
    if target.url.scheme != "https" and not rules.opens(target.host, target.port):
        raise Refused("Use an address that begins with https://: others on the way could read the events.")
    if target.url.fragment:
        raise Refused("An address to which events are posted has no part after “#”.", code="bad_url")
    return target.host


def _types(values: Iterable[str]) -> list[str]:
    wanted = sorted({value.strip() for value in values if value.strip()})
    wrong = [value for value in wanted if not is_filter(value)]
    if wrong:
        raise Refused(
            f"“{wrong[0][:60]}” is no type of event. Write one like run.halted, or a group like run.*.",
            code="bad_type",
        )
    if len(wanted) > MOST_TYPES:
        raise Refused(f"Choose at most {MOST_TYPES} types, or leave them all out for everything.")
    return wanted


def lock_active(account: Any) -> Any:
    """Return the account's row, locked. Raises Refused where it is archived."""
    model: Any = apps.get_model("accounts", "Account")
    # What only points to the account (a run that is made or halts) need not wait.
    locked = model._default_manager.select_for_update(no_key=True).get(pk=account.pk)
    if locked.status != "active":
        raise Refused(f"{locked.name} is archived: it can be read, not changed.", code="archived")
    return locked


def _lock(endpoint: Endpoint) -> Endpoint:
    lock_active(endpoint.account)
    # In a lock of its own: a worker holds the endpoint's row only for moments.
    locked = Endpoint.objects.select_for_update(of=("self",)).filter(pk=endpoint.pk).first()
    if locked is None:
        raise StaleState("This webhook was removed meanwhile. Nothing was changed.", code="removed")
    locked.account = endpoint.account
    return locked


def _keep(endpoint: Endpoint, *fields: str) -> None:
    # Only what was changed: a worker writes the other columns at the same time.
    endpoint.save(update_fields=[*fields, "updated_at"])


@transaction.atomic
def add_endpoint(
    account: Any,
    *,
    actor: Any,
    url: str,
    description: str = "",
    types: Iterable[str] = (),
    envelope: str = Envelope.STANDARD,
) -> tuple[Endpoint, str]:
    """Add an address to which the account's events are posted from now on; return it and its secret.

    The secret is shown once. Raises Refused for an address that the portal does not ask, a type that is none, or more
    than `MOST_ENDPOINTS`.
    """
    locked = lock_active(account)
    if Endpoint.objects.filter(account=locked).count() >= MOST_ENDPOINTS:
        raise Refused(
            f"An account has at most {MOST_ENDPOINTS} webhooks. Remove one first.", code="too_many_endpoints"
        )
    secret = new_secret()
    endpoint = Endpoint(
        account=locked,
        url=url.strip(),
        host=check_address(url),
        description=" ".join(description.split()),
        types=_types(types),
        envelope=envelope,
        secret=secret,
        cursor=head()[0],
        made_by=actor,
    )
    check_row(endpoint)
    endpoint.save()
    record("webhook.added", actor=actor, account=locked, subject=endpoint, after=snapshot(endpoint))
    _told("webhook.added", endpoint, actor)
    return endpoint, secret


def _told(type: str, endpoint: Endpoint, actor: Any) -> None:
    emit(type, account=endpoint.account, subject=endpoint, actor=actor, data={"state": endpoint.state})


@transaction.atomic
def change_endpoint(endpoint: Endpoint, changes: Mapping[str, Any], *, actor: Any) -> Endpoint:
    """Change `FIELDS`. What waits already is sent to the new address, as it was wrapped."""
    locked = _lock(endpoint)
    unknown = set(changes) - set(FIELDS)
    if unknown:
        raise Refused(f"These cannot be changed here: {', '.join(sorted(unknown))}.", code="unknown_field")
    before = snapshot(locked)
    new_address = "url" in changes and changes["url"].strip() != locked.url
    if "url" in changes:
        locked.url, locked.host = changes["url"].strip(), check_address(changes["url"])
    if "description" in changes:
        locked.description = " ".join(changes["description"].split())
    if "types" in changes:
        locked.types = _types(changes["types"])
    if "envelope" in changes:
        locked.envelope = changes["envelope"]
    check_row(locked)
    _keep(locked, "url", "host", "description", "types", "envelope")
    after = snapshot(locked)
    if new_address:
        # The address itself may hold a secret of the receiver's.
        before, after = {**before, "url_secret": "•••"}, {**after, "url_secret": "•••"}
        locked.failures, locked.failing_since, locked.not_before = 0, None, None
        if actor is not None:
            # Whoever chose where events go answers for it: it is switched off with their right, not its maker's.
            locked.made_by = actor
        _keep(locked, "failures", "failing_since", "not_before", "made_by")
    record(
        "webhook.changed",
        actor=actor,
        account=locked.account,
        subject=locked,
        before=before,
        after=after,
        changed_secrets=("url_secret",) if new_address else (),
    )
    _told("webhook.changed", locked, actor)
    return locked


@transaction.atomic
def remove_endpoint(endpoint: Endpoint, *, actor: Any, reason: str = "") -> None:
    """Remove an endpoint with its log. Raises Refused for an archived account."""
    _end(_lock(endpoint), actor=actor, reason=reason)


def _end(endpoint: Endpoint, *, actor: Any, reason: str) -> None:
    record(
        "webhook.removed",
        actor=actor,
        account=endpoint.account,
        subject=endpoint,
        before=snapshot(endpoint),
        reason=reason,
    )
    _told("webhook.removed", endpoint, actor)
    endpoint.delete()


@transaction.atomic
def end_endpoints(account: Any, *, actor: Any, reason: str) -> int:
    """Remove every endpoint of an account that is erased, with their logs and secrets; return how many."""
    rows = list(Endpoint.objects.select_for_update(of=("self",)).filter(account=account).order_by("pk"))
    for endpoint in rows:
        endpoint.account = account
        _end(endpoint, actor=actor, reason=reason)
    return len(rows)


def pause(endpoint: Endpoint, *, actor: Any) -> Endpoint:
    """Send nothing until it is resumed. What happens meanwhile is sent then."""
    return _set_state(endpoint, EndpointState.PAUSED, actor=actor)


def resume(endpoint: Endpoint, *, actor: Any) -> Endpoint:
    """Go on from where it stopped, also after it was switched off: what waits is tried at once."""
    return _set_state(endpoint, EndpointState.ACTIVE, actor=actor)


@transaction.atomic
def _set_state(endpoint: Endpoint, state: EndpointState, *, actor: Any) -> Endpoint:
    locked = _lock(endpoint)
    if locked.state == state:
        return locked
    if state is EndpointState.PAUSED and locked.state == EndpointState.DISABLED:
        raise Refused("It is switched off already: nothing is sent.", code="disabled")
    before = snapshot(locked)
    locked.state, locked.state_says = state, ""
    locked.failures, locked.failing_since, locked.not_before = 0, None, None
    if state is EndpointState.ACTIVE and actor is not None:
        # Whoever lets it go on answers for its address from now on.
        locked.made_by = actor
    _keep(locked, "state", "state_says", "failures", "failing_since", "not_before", "made_by")
    record(
        "webhook.changed",
        actor=actor,
        account=locked.account,
        subject=locked,
        before=before,
        after=snapshot(locked),
    )
    _told("webhook.changed", locked, actor)
    if state is EndpointState.ACTIVE:
        now = timezone.now()
        locked.deliveries.filter(state=DeliveryState.PENDING, due_at__gt=now).update(due_at=now)
        wake_after_commit()
    return locked


@transaction.atomic
def rotate_secret(endpoint: Endpoint, *, actor: Any, keep_old_hours: int = 24) -> tuple[Endpoint, str]:
    """Give the endpoint a new secret, shown once; for `keep_old_hours` (0 to 72) each message has both signatures."""
    if not 0 <= keep_old_hours <= LONGEST_ROTATION_HOURS:
        raise Refused(f"The old secret is kept for 0 to {LONGEST_ROTATION_HOURS} hours.", code="bad_hours")
    locked = _lock(endpoint)
    secret = new_secret()
    if keep_old_hours:
        locked.old_secret = locked.secret
        locked.old_secret_until = timezone.now() + timedelta(hours=keep_old_hours)
    else:
        locked.old_secret, locked.old_secret_until = None, None
    locked.secret = secret
    _keep(locked, "secret", "old_secret", "old_secret_until")
    record(
        "webhook.secret_rotated",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={"old_one_good_until": locked.old_secret_until},
    )
    return locked, secret


def forget_old_secrets(now: datetime) -> int:
    """Destroy old secrets whose time is over; return how many."""
    over = Endpoint.objects.filter(old_secret_until__lte=now)
    return over.update(old_secret=None, old_secret_until=None)


# --- messages ----------------------------------------------------------------------------------------------


@transaction.atomic
def send_test(endpoint: Endpoint, *, actor: Any) -> Delivery:
    """Send one made-up event, once, also while the endpoint is paused or switched off."""
    locked = _lock(endpoint)
    ref, now = uuid.uuid4(), timezone.now()
    # Each may keep a worker waiting for an answer that does not come.
    sent = Delivery.objects.filter(
        endpoint__account=locked.account,
        type=type_of("webhook.test"),
        created_at__gt=now - timedelta(hours=1),
    )
    times = list(sent.order_by("created_at").values_list("created_at", flat=True))
    if len(times) >= MOST_TESTS_AN_HOUR:
        raise TooOften(
            f"An account sends at most {MOST_TESTS_AN_HOUR} test messages an hour. Nothing was sent.",
            after_s=(times[-MOST_TESTS_AN_HOUR] + timedelta(hours=1) - now).total_seconds(),
            whose="the account, for everybody who works on it together",
        )
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(ref),
        "source": f"/api/v1/accounts/{locked.account.ref}",
        "type": type_of("webhook.test"),
        "subject": f"endpoint/{locked.ref}",
        "time": now.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {"actor": str(actor.ref) if actor is not None else None},
    }
    delivery = Delivery.objects.create(
        endpoint=locked,
        message_id=str(ref),
        type=event["type"],
        content_type=CONTENT_TYPES[locked.envelope],
        body=body_of(locked.envelope, event).decode(),
        by_hand=True,
        due_at=now,
    )
    record("webhook.tested", actor=actor, account=locked.account, subject=locked)
    wake_after_commit()
    return delivery


@transaction.atomic
def send_again(delivery: Delivery, *, actor: Any) -> Delivery:
    """Send a message once more, now, with the same id and bytes, also while the endpoint is paused."""
    endpoint = _lock(delivery.endpoint)
    locked = Delivery.objects.select_for_update(of=("self",)).filter(pk=delivery.pk).first()
    if locked is None:
        raise StaleState("This message is no longer kept. Nothing was sent.", code="removed")
    locked.endpoint = endpoint
    locked.state, locked.by_hand, locked.due_at = DeliveryState.PENDING, True, timezone.now()
    locked.save(update_fields=["state", "by_hand", "due_at"])
    record(
        "webhook.sent_again",
        actor=actor,
        account=endpoint.account,
        subject=endpoint,
        after={"message": locked.message_id, "type": locked.type},
    )
    wake_after_commit()
    return locked


def deliveries_of(endpoint: Endpoint, *, state: str = "") -> QuerySet[Delivery]:
    """Return an endpoint's messages; `state` narrows (one of DeliveryState)."""
    rows = endpoint.deliveries.all()
    return rows.filter(state=state) if state in DeliveryState.values else rows


def endpoints_of(account: Any) -> QuerySet[Endpoint]:
    """Return an account's endpoints."""
    return Endpoint.objects.filter(account=account)


def forget_deliveries(before: datetime, *, batch: int = 1000) -> int:
    """Delete messages that ended and were made before `before`, with their tries; return how many. Can be run again."""
    gone = 0
    ended = Delivery.objects.filter(~Q(state=DeliveryState.PENDING), created_at__lt=before)
    while True:
        keys = list(ended.order_by("created_at").values_list("pk", flat=True)[:batch])
        if not keys:
            return gone
        Delivery.objects.filter(pk__in=keys).delete()
        gone += len(keys)
