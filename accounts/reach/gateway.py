"""Text messages and calls through the operator's gateway: a signed webhook out, a signed webhook back.

Out: `POST REACH_GATEWAY_URL`, Standard Webhooks headers, body `{"type": "reach.ask", "timestamp", "data": {"id", "way":
"sms" | "voice", "to": E.164, "language", "text", "answer_url"}}`; `webhook-id` is the try's and stays the same when it is
sent again, so a gateway rings nobody twice. Back: `POST /hooks/reach/`, signed with the same secret, body `{"type":
"reach.answer", "data": {"id", "outcome": "acknowledged" | "no_answer" | "wrong_number" | "refused"}}` (docs/operations.md).
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from accounts.contacts.models import ProvenKind
from accounts.reach.escalation import Outcome
from accounts.reach.models import GatewayState, ReachKind, ReachState, ReachTry
from accounts.reach.services import answer_token
from portal import egress
from portal.errors import ProviderFailed, Refused, TryLater
from portal.webhooks.signing import headers_of

log = structlog.get_logger(__name__)

DEADLINE_S = 15.0
LEASE_S = 30.0
MOST_POSTS = 4
_RETRY_S = 5
OUTCOMES = frozenset({Outcome.ACKNOWLEDGED, Outcome.NO_ANSWER, Outcome.WRONG_NUMBER, Outcome.REFUSED})
MOST_BYTES = 16 * 1024


@dataclass(frozen=True)
class Post:
    """One message for the gateway, ready to go."""

    pk: int
    message_id: str
    body: bytes


def send_due(now: datetime, *, limit: int = 20) -> int:
    """Post what waits for the gateway; return how many were handed over. Any number of workers may call it at once.

    Each is claimed before it is posted. A worker that dies leaves it to be posted again, with the same id.
    """
    sent = 0
    for _ in range(limit):
        post = _claim(now)
        if post is None:
            return sent
        sent += _hand_over(post)
    return sent


@transaction.atomic
def _claim(now: datetime) -> Post | None:
    one = (
        ReachTry.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("step__reach__account", "step__contact")
        .filter(gateway__in=[GatewayState.QUEUED, GatewayState.SENDING], gateway_due_at__lte=now)
        .order_by("gateway_due_at")
        .first()
    )
    if one is None:
        return None
    reach, contact = one.step.reach, one.step.contact
    is_open = reach.state == ReachState.RUNNING and one.outcome == Outcome.WAITING
    if contact is None or not contact.phone or not is_open:
        one.gateway, one.gateway_due_at = GatewayState.NONE, None
        one.save(update_fields=["gateway", "gateway_due_at"])
        return Post(one.pk, "", b"")
    if one.gateway_posts >= MOST_POSTS:
        one.gateway, one.gateway_due_at = GatewayState.UNKNOWN, None
        one.save(update_fields=["gateway", "gateway_due_at"])
        return Post(one.pk, "", b"")
    one.gateway, one.gateway_due_at = GatewayState.SENDING, now + timedelta(seconds=LEASE_S)
    one.gateway_posts += 1
    one.save(update_fields=["gateway", "gateway_due_at", "gateway_posts"])
    return Post(one.pk, str(one.ref), _body(one, contact, now))


def _body(one: ReachTry, contact: Any, now: datetime) -> bytes:
    # Read through the manager, so that the sealed text is opened.
    reach = type(one.step.reach).objects.get(pk=one.step.reach_id)
    test = "[TEST] " if reach.kind == ReachKind.TEST else ""
    link = f"{settings.PUBLIC_URL}{reverse('reach-answer', args=[answer_token(one, ProvenKind.PHONE)])}"
    said = {
        "type": "reach.ask",
        "timestamp": now.isoformat(),
        "data": {
            "id": str(one.ref),
            "way": one.gateway_way,
            "to": contact.phone,
            "language": contact.language,
            "text": f"{test}{one.step.reach.account}: {reach.message}",
            "answer_url": link,
        },
    }
    return json.dumps(said, ensure_ascii=False).encode()


def _hand_over(post: Post) -> int:
    """Post one and note how it went. What may have arrived is posted again with the same id, a few times."""
    if not post.message_id:
        return 0
    try:
        status, says = _post(post)
    except TryLater as problem:
        return _again(post, problem.says)
    except (ProviderFailed, Refused) as problem:
        return _failed(post, problem.says)
    if 200 <= status < 300:
        return _ended(post, GatewayState.SENT, "")
    if status in (408, 425, 429) or status >= 500:
        return _again(post, says)
    return _failed(post, says)


def _post(post: Post) -> tuple[int, str]:
    target = urlsplit(settings.REACH_GATEWAY_URL)
    port = target.port or (443 if target.scheme == "https" else 80)
    timestamp = int(timezone.now().timestamp())
    headers = headers_of([settings.REACH_GATEWAY_SECRET], post.message_id, timestamp, post.body)
    answer = asyncio.run(
        _closing(
            egress.exchange(
                settings.REACH_GATEWAY_URL,
                method="POST",
                headers={**headers, "Content-Type": "application/json"},
                content=post.body,
                timeout_s=DEADLINE_S,
                max_bytes=4096,
                # The operator's own, so it may be inside.
                allow=[f"{target.hostname}:{port}"],
            )
        )
    )
    return answer.status, f"The gateway answered {answer.status}."


async def _closing(work: Any) -> Any:
    try:
        return await work
    finally:
        await egress.close()


def _again(post: Post, says: str) -> int:
    due = timezone.now() + timedelta(seconds=_RETRY_S)
    _own(post).update(gateway=GatewayState.QUEUED, gateway_due_at=due, gateway_says=says[:200])
    return 0


def _failed(post: Post, says: str) -> int:
    log.warning("reach_gateway_failed", reach_try=post.pk, says=says)
    _own(post).update(gateway=GatewayState.FAILED, gateway_due_at=None, gateway_says=says[:200])
    return 0


def _ended(post: Post, state: GatewayState, says: str) -> int:
    return _own(post).update(gateway=state, gateway_due_at=None, gateway_says=says[:200])


def _own(post: Post) -> Any:
    return ReachTry.objects.filter(pk=post.pk, gateway=GatewayState.SENDING)


# --- back ----------------------------------------------------------------------------------------------------


def verified(body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """Return what the gateway says, once its signature holds. Raises Refused for anything else."""
    if not settings.REACH_GATEWAY_SECRET:
        raise Refused("There is no gateway here.", code="bad_signature")
    try:
        said = Webhook(settings.REACH_GATEWAY_SECRET).verify(body, headers)
    except (WebhookVerificationError, ValueError, KeyError, TypeError, RuntimeError):
        raise Refused(
            "The signature does not hold, or is older than five minutes.", code="bad_signature"
        ) from None
    data = said.get("data") if isinstance(said, dict) else None
    if not isinstance(data, dict) or said.get("type") != "reach.answer":
        raise Refused("The body is {“type”: “reach.answer”, “data”: {“id”, “outcome”}}.", code="bad_body")
    return data


def outcome_in(data: dict[str, Any]) -> tuple[UUID, str]:
    """Return the try and its outcome. Raises Refused for what is none."""
    try:
        ref = UUID(str(data.get("id")))
    except ValueError:
        raise Refused("`id` is the id of what was asked.", code="bad_body") from None
    outcome = str(data.get("outcome"))
    if outcome not in OUTCOMES:
        raise Refused(f"`outcome` is one of {', '.join(sorted(OUTCOMES))}.", code="bad_body")
    return ref, outcome
