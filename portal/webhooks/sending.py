"""Sending what is due: claim an endpoint, post its messages one after the other, note each end.

One worker at a time has an endpoint (a lease of its row, taken by one conditional UPDATE), so its messages go out in
their order and none twice at once. Right before each post the lease is asked again and made to outlast the post. A
worker that dies leaves the lease to run out; the message in its hands is sent again, with the same id.

Posts of different endpoints run side by side on an event loop of the turn; whoever is slow keeps nobody waiting.
Database work stays on the calling thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import F

from portal import egress
from portal.audit.services import record, snapshot
from portal.errors import Trouble
from portal.events.services import emit
from portal.notify.registry import Recipient, audience
from portal.notify.services import tell_all
from portal.runs.journal import database_now
from portal.webhooks import metrics, rules
from portal.webhooks.models import Attempt, Delivery, DeliveryState, Endpoint, EndpointState
from portal.webhooks.rules import Outcome, Verdict
from portal.webhooks.signing import headers_of

log = structlog.get_logger(__name__)

# Standard Webhooks advises 15 to 30 s.
DEADLINE_S = 15.0
LEASE_MARGIN_S = 10.0
AT_ONCE = 20
TURN_S = 5.0
_ANSWER_BYTES = 4096
_UNFIT = str.maketrans(dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127], " "))

# By chance among those with something due, so that busy endpoints with low numbers starve nobody.
_CLAIM = """
WITH due AS (
    SELECT e.id FROM webhooks_endpoint e
    WHERE (e.lease_until IS NULL OR e.lease_until <= clock_timestamp()) AND e.id <> ALL(%(skip)s)
      AND EXISTS (
        SELECT 1 FROM webhooks_delivery d
        WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.due_at <= clock_timestamp()
          AND (d.by_hand OR (e.state = 'active' AND (e.not_before IS NULL OR e.not_before <= clock_timestamp())))
      )
    ORDER BY random() LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE webhooks_endpoint SET
    claim = %(claim)s, lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
FROM due WHERE webhooks_endpoint.id = due.id
RETURNING webhooks_endpoint.id
"""


@dataclass(frozen=True)
class Turn:
    """What one turn did: how many tries took, and how many did not."""

    delivered: int = 0
    failed: int = 0


@dataclass(frozen=True)
class _Answer:
    """What one post came to, without any row: for the thread that owns the database."""

    verdict: Verdict
    status: int | None
    text: str
    duration_ms: int


@dataclass
class _Post:
    """One post in the air."""

    endpoint: Endpoint
    delivery: Delivery
    by_hand: bool


def send_due(*, budget_s: float = TURN_S) -> Turn:
    """Send what is due until nothing is, or no new post may begin; return what became of it."""
    until = time.monotonic() + budget_s
    claim = uuid.uuid4()
    in_air: dict[Future[_Answer], _Post] = {}
    delivered = failed = 0
    loop = _Loop()
    try:
        while True:
            served = {post.endpoint.pk for post in in_air.values()}
            while len(in_air) < AT_ONCE and time.monotonic() < until:
                endpoint = claim_one(claim, skip=served)
                if endpoint is None:
                    break
                served.add(endpoint.pk)
                _begin(loop, endpoint, claim, in_air)
            if not in_air:
                return Turn(delivered, failed)
            done, _ = wait(in_air, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                post = in_air.pop(future)
                took = note(post.endpoint, post.delivery, future.result(), claim, by_hand=post.by_hand)
                delivered, failed = delivered + took, failed + (not took)
                if time.monotonic() < until:
                    _begin(loop, post.endpoint, claim, in_air)
                else:
                    release(post.endpoint, claim)
    finally:
        loop.close()
        for post in in_air.values():
            release(post.endpoint, claim)


def _begin(loop: _Loop, endpoint: Endpoint, claim: uuid.UUID, in_air: dict[Future[_Answer], _Post]) -> None:
    """Post the endpoint's next message, or let go of the endpoint."""
    delivery = next_of(endpoint, claim)
    if delivery is None:
        release(endpoint, claim)
        return
    now = database_now()
    sent = delivery.body.encode()
    headers = {
        "Content-Type": delivery.content_type,
        **headers_of(secrets_of(endpoint, now), delivery.message_id, int(now.timestamp()), sent),
    }
    in_air[loop.start(_post(endpoint.url, headers, sent, now))] = _Post(endpoint, delivery, delivery.by_hand)


def secrets_of(endpoint: Endpoint, now: datetime) -> list[str]:
    """Return the secrets that are good at this moment, the newest first."""
    old_is_good = endpoint.old_secret_until is not None and now < endpoint.old_secret_until
    return [endpoint.secret, *([endpoint.old_secret] if old_is_good and endpoint.old_secret else [])]


def claim_one(claim: uuid.UUID, *, skip: set[int], lease_s: float | None = None) -> Endpoint | None:
    """Return an endpoint with something due that is this worker's until its lease ends, or None."""
    wanted_s = DEADLINE_S + LEASE_MARGIN_S if lease_s is None else lease_s
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"claim": claim, "lease_s": wanted_s, "skip": list(skip)})
        found = cursor.fetchone()
    if found is None:
        return None
    return Endpoint.objects.select_related("account").filter(pk=found[0]).first()


def next_of(endpoint: Endpoint, claim: uuid.UUID) -> Delivery | None:
    """Return the endpoint's next due message, with a lease that outlasts its post; None for none, or a lost claim.

    The endpoint is read afresh: it may have been paused, changed or given a new secret a moment ago.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE webhooks_endpoint SET lease_until = clock_timestamp() + make_interval(secs => %s)"
            " WHERE id = %s AND claim = %s AND lease_until > clock_timestamp() RETURNING id",
            [DEADLINE_S + LEASE_MARGIN_S, endpoint.pk, claim],
        )
        if cursor.fetchone() is None:
            return None
    endpoint.refresh_from_db(
        fields=["url", "secret", "old_secret", "old_secret_until", "state", "not_before"]
    )
    now = database_now()
    rows = endpoint.deliveries.filter(state=DeliveryState.PENDING, due_at__lte=now)
    held_back = endpoint.not_before is not None and endpoint.not_before > now
    if endpoint.state != EndpointState.ACTIVE or held_back:
        rows = rows.filter(by_hand=True)
    return rows.order_by("-by_hand", F("position").asc(nulls_first=True), "pk").first()


def release(endpoint: Endpoint, claim: uuid.UUID) -> None:
    """Let go of an endpoint, if it still is this worker's."""
    Endpoint.objects.filter(pk=endpoint.pk, claim=claim).update(claim=None, lease_until=None)


async def _post(url: str, headers: dict[str, str], body: bytes, now: datetime) -> _Answer:
    began = time.perf_counter()
    try:
        answer = await egress.exchange(
            url,
            method="POST",
            headers=headers,
            content=body,
            timeout_s=DEADLINE_S,
            max_bytes=_ANSWER_BYTES,
            # Whatever networks are open for questions: events go to no private target.
            rules=egress.public_rules(),
        )
    except Trouble as trouble:
        verdict = Verdict(Outcome.FAILED, trouble.says)
        return _Answer(verdict, None, "", round((time.perf_counter() - began) * 1000))
    except Exception:
        # Whatever it is, it is this one message's: were it to end the turn, every other post in the air would be lost.
        log.exception("webhook_post_broke")
        verdict = Verdict(Outcome.FAILED, "The portal could not post to this address.")
        return _Answer(verdict, None, "", round((time.perf_counter() - began) * 1000))
    verdict = rules.judge(answer.status, answer.headers.get("retry-after", ""), now)
    return _Answer(
        verdict, answer.status, answer.text.translate(_UNFIT), round((time.perf_counter() - began) * 1000)
    )


class _Loop:
    """An event loop on a thread of its own, for the posts of one turn."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="webhook-posts", daemon=True)
        self._thread.start()

    def start(self, work: Any) -> Future[_Answer]:
        """Begin a post; its answer comes by the future."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Close the connections and end the thread; a post that is still in the air is dropped."""
        asyncio.run_coroutine_threadsafe(egress.close(), self._loop).result(timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()


# --- what became of it -------------------------------------------------------------------------------------


@transaction.atomic
def note(endpoint: Endpoint, delivery: Delivery, answer: _Answer, claim: uuid.UUID, *, by_hand: bool) -> bool:
    """Write down how a try ended and what follows; return whether the receiver took it.

    A lost lease changes nothing about that: whatever the other worker sends has the same id.
    """
    now = database_now()
    verdict = answer.verdict
    took = verdict.outcome is Outcome.DELIVERED
    held = Endpoint.objects.select_for_update(of=("self",)).filter(pk=endpoint.pk).first()
    message = Delivery.objects.select_for_update(of=("self",)).filter(pk=delivery.pk).first()
    metrics.TRIES.labels(verdict.outcome.value).inc()
    metrics.SECONDS.observe(answer.duration_ms / 1000)
    if held is None or message is None:
        return took
    held.account = endpoint.account
    Attempt.objects.create(
        delivery=message,
        at=now,
        status=answer.status,
        duration_ms=answer.duration_ms,
        took_it=took,
        says=verdict.says[:300],
        answer=answer.text[: Attempt.LONGEST_ANSWER],
        by_hand=by_hand,
    )
    _settle(message, verdict, now, by_hand=by_hand)
    if took:
        _is_well(held, now)
    else:
        _is_unwell(held, verdict, now)
    log.info(
        "webhook_try_ended",
        delivery=message.pk,
        end=verdict.outcome.value,
        status=answer.status,
        tries=message.tries,
    )
    return took


def _settle(message: Delivery, verdict: Verdict, now: datetime, *, by_hand: bool) -> None:
    was_over = message.ended_at is not None or message.position is None
    message.tries = min(message.tries + 1, 30000)
    message.by_hand = False
    if verdict.outcome is Outcome.DELIVERED:
        message.state, message.ended_at = DeliveryState.DELIVERED, now
    else:
        # One that had its end, or a test, is tried once for each click.
        again = (
            None
            if by_hand and was_over
            else rules.next_try(message.tries, message.created_at, now, verdict.retry_after_s)
        )
        if verdict.outcome is Outcome.GONE and not (by_hand and was_over):
            # The endpoint is switched off with it. Whoever resumes it gets this message first: nothing is lost.
            message.due_at = now
        elif again is None:
            message.state, message.ended_at = DeliveryState.FAILED, now
        else:
            message.due_at = again
    message.save(update_fields=["state", "tries", "by_hand", "due_at", "ended_at"])


def _is_well(endpoint: Endpoint, now: datetime) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(
        failures=0, failing_since=None, not_before=None, last_success_at=now
    )
    if endpoint.failures:
        # It is back: what waits need not wait for the hours that its silence earned it.
        endpoint.deliveries.filter(state=DeliveryState.PENDING, due_at__gt=now).update(due_at=now)


def _is_unwell(endpoint: Endpoint, verdict: Verdict, now: datetime) -> None:
    failures = endpoint.failures + 1
    since = endpoint.failing_since or now
    wait_s = rules.brake_s(failures, verdict.retry_after_s)
    Endpoint.objects.filter(pk=endpoint.pk).update(
        failures=failures, failing_since=since, not_before=now + timedelta(seconds=wait_s)
    )
    if verdict.outcome is Outcome.GONE:
        disable(endpoint, why="gone", says=verdict.says, now=now)
    elif rules.is_given_up(since, now):
        says = f"The receiver took nothing for {rules.FAILING_FOR.days} days. The last answer: {verdict.says}"
        disable(endpoint, why="failing", says=says, now=now)


def disable(endpoint: Endpoint, *, why: str, says: str, now: datetime) -> bool:
    """Switch an endpoint off and tell the account's admins and launch managers; False if it was not active."""
    before = snapshot(endpoint)
    rows = Endpoint.objects.filter(pk=endpoint.pk).exclude(state=EndpointState.DISABLED)
    if not rows.update(state=EndpointState.DISABLED, state_says=says[:300], updated_at=now):
        return False
    endpoint.state, endpoint.state_says = EndpointState.DISABLED, says[:300]
    metrics.DISABLED.labels(why).inc()
    record(
        "webhook.disabled",
        account=endpoint.account,
        subject=endpoint,
        before=before,
        after=snapshot(endpoint),
        reason=says,
    )
    emit(
        "webhook.changed",
        account=endpoint.account,
        subject=endpoint,
        data={"state": endpoint.state, "code": why},
    )
    tell_all(
        "webhook_disabled",
        _who_is_told(endpoint),
        subject_ref=f"webhook:{endpoint.ref}",
        period=now.isoformat(),
        account=endpoint.account,
        context={
            "what": str(endpoint),
            "host": endpoint.host,
            "says": says,
            "url": f"/webhooks/{endpoint.ref}/",
        },
        reason="a webhook was switched off",
    )
    return True


def _who_is_told(endpoint: Endpoint) -> list[Recipient]:
    return [*audience("admins", endpoint.account), *audience("launch_managers", endpoint.account)]
