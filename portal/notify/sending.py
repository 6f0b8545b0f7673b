"""Sending what is due: claim, write, hand over, note the end. Safe to call by any number of workers at once.

A mail is claimed by one conditional UPDATE for longer than sending may take. Right before its text is offered
to the server one more UPDATE notes that (`handed_at`), and only if the claim still is ours. So a claim that
ran out says what may have happened: without `handed_at` the mail was surely not sent and is queued again, with
it the mail is *in doubt*. Then reminders and notices are left ("may not have been sent"); halts, emergencies
and what somebody waits for are sent again under the same Message-ID, by which mail programs fold doubles.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

import idna
import structlog
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connection, transaction
from django.db.models import Q

from portal.access import visible_to
from portal.audit.subjects import open_rows, open_values
from portal.notify import compose, metrics
from portal.notify.models import MailState, Message, Preference
from portal.notify.quiet import may_go_at
from portal.notify.registry import ALWAYS_ON, REPEATED_IN_DOUBT, Kind, Urgency, purpose_of, reply_to_of
from portal.notify.services import mail_failed, quiet_of
from portal.notify.transport import InDoubt, NotSent, Transport, configured
from portal.runs.journal import database_now

log = structlog.get_logger(__name__)

# A claim outlasts the longest sending by this much.
LEASE_MARGIN_S = 15.0
# A mail that cannot be sent for this long is given up and told to the account's launch managers.
GIVE_UP_AFTER = timedelta(days=2)
_FIRST_RETRY_S, _LONGEST_RETRY_S, _LONGEST_URGENT_RETRY_S = 5.0, 900.0, 60.0

_CLAIM = """
WITH due AS (
    SELECT id FROM notify_message
    WHERE mail_state = 'queued' AND due_at <= clock_timestamp()
    ORDER BY (urgency = 'now') DESC, due_at, id LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE notify_message SET
    mail_state = 'sending', tries = tries + 1, claim = %(claim)s, handed_at = NULL,
    lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
FROM due WHERE notify_message.id = due.id
RETURNING notify_message.*
"""


class ClaimLost(Exception):
    """Another worker may have the mail by now; nothing was sent under this claim."""


@dataclass(frozen=True)
class Turn:
    """What one turn of sending did, by how each try ended."""

    sent: int = 0
    queued: int = 0
    failed: int = 0
    unknown: int = 0
    withdrawn: int = 0


def send_due(*, budget_s: float = 20.0, transport: Transport | None = None) -> Turn:
    """Send what is due until nothing is, or the time is up; urgent mails first. Looks for dead claims first."""
    until = time.monotonic() + budget_s
    settle_dead_claims()
    counted = dict.fromkeys(("sent", "queued", "failed", "unknown", "withdrawn"), 0)
    while time.monotonic() < until:
        message = claim_one()
        if message is None:
            break
        counted[send_one(message, transport or configured())] += 1
    return Turn(**counted)


def claim_one(*, lease_s: float | None = None) -> Message | None:
    """Return one due mail that is this worker's until its lease ends, or None. One conditional UPDATE."""
    wanted_s = lease_s if lease_s is not None else settings.MAIL_DEADLINE_S + LEASE_MARGIN_S
    with transaction.atomic():
        message = next(
            iter(Message.objects.raw(_CLAIM, {"claim": uuid.uuid4(), "lease_s": wanted_s})),
            None,
        )
    if message is not None:
        # The title stays as it is kept: who is told that this mail came back keeps it so too.
        open_rows([message], ["address"])
    return message


def settle_dead_claims() -> int:
    """Decide about every mail whose worker died or was frozen; return how many. See the module's first lines."""
    with transaction.atomic():
        now = database_now()
        dead = list(
            Message.objects.select_for_update(skip_locked=True)
            .filter(mail_state=MailState.SENDING, lease_until__lte=now)
            .only("pk", "kind", "handed_at", "purpose")[:200]
        )
        for message in dead:
            _settle_doubt(message, now, "The worker that was sending it ended in the middle.")
    return len(dead)


def _settle_doubt(message: Message, now: datetime, says: str) -> str:
    """Write down what follows from a try without a known end; returns the state."""
    rows = Message.objects.filter(pk=message.pk, mail_state=MailState.SENDING)
    if message.handed_at is not None and Kind(message.kind) not in REPEATED_IN_DOUBT:
        rows.update(mail_state=MailState.UNKNOWN, lease_until=None, ended_at=now, says=says[:300])
        metrics.MAILS.labels(message.purpose, "unknown").inc()
        log.warning("mail_in_doubt", message=message.pk, purpose=message.purpose)
        return "unknown"
    rows.update(mail_state=MailState.QUEUED, lease_until=None, due_at=now, says=says[:300])
    return "queued"


def send_one(message: Message, transport: Transport) -> str:
    """Send one claimed mail; return how the try ended: sent, queued, failed, unknown or withdrawn."""
    later = _must_wait(message)
    if later is not None:
        return _end(message, MailState.QUEUED, due_at=later)
    if not _still_theirs(message):
        return _end(message, MailState.WITHDRAWN, says="This person may not read about it any more.")
    try:
        address = on_the_wire(_address_of(message))
        mail = _mail_of(message, address)
    except (ValueError, ValidationError) as error:
        log.exception("mail_unwritable", message=message.pk, purpose=message.purpose)
        return _failed(message, f"The mail could not be written ({type(error).__name__}).")
    try:
        transport.send(
            mail.as_bytes(),
            sender=settings.MAIL_FROM,
            to=address,
            handing_over=lambda: _note_handing_over(message),
            deadline_s=settings.MAIL_DEADLINE_S,
        )
    except NotSent as trouble:
        if trouble.is_final:
            return _failed(message, trouble.says)
        return _try_later(message, trouble.says)
    except InDoubt as doubt:
        return _in_doubt(message, doubt.says)
    except ClaimLost:
        return "queued"
    except Exception:
        # Whatever it is, it is this one mail's: were it to end the turn, no mail behind it would ever leave.
        log.exception("mail_sending_broke", message=message.pk, purpose=message.purpose)
        if message.handed_at is not None:
            return _in_doubt(message, "The portal broke while it handed the mail over.")
        return _try_later(message, "The portal broke before it handed the mail over.")
    return _end(message, MailState.SENT)


def _must_wait(message: Message) -> datetime | None:
    """Return until when a mail has to wait (a worker was away until the night came), or None."""
    urgency = Urgency(message.urgency)
    if urgency is Urgency.NOW:
        return None
    now = database_now()
    wish = Preference.objects.filter(user=message.user_id).first() if message.user_id else None
    zone = message.user.time_zone if message.user is not None else context_of(message).get("time_zone", "UTC")
    at = may_go_at(now, urgency, zone, quiet_of(wish))
    return at if at > now else None


def _still_theirs(message: Message) -> bool:
    """Whether a user is still active and may still see the account that it is about; an address, still somebody's."""
    if message.user is None:
        # What an erased person's address opens to is none: a mail that was claimed right before.
        return "@" in (message.address or "")
    if not message.user.is_active:
        return False
    if message.account_id is None or Kind(message.kind) is Kind.PERSONAL:
        return True
    account = apps.get_model("accounts", "Account")._default_manager.filter(pk=message.account_id)
    return visible_to(message.user, account).exists()


def on_the_wire(address: str) -> str:
    """Return an address as mail servers take it: an international domain in its ASCII form (RFC 5890).

    Raises ValueError for one that has none, or for a name before the @ that is not ASCII (RFC 6531 is not spoken).
    """
    name, at, domain = address.rpartition("@")
    if not domain.isascii():
        domain = idna.encode(domain, uts46=True).decode()
    if not name.isascii():
        raise ValueError("The name before the @ is not ASCII.")
    return f"{name}{at}{domain}"


def _address_of(message: Message) -> str:
    return message.user.email if message.user is not None else message.address or ""


def context_of(message: Message) -> dict[str, Any]:
    """Return what the message's templates get, people as tokens; only `name` once it was rendered."""
    return compose.unpack(message.context) if message.context else {}


def render(message: Message) -> compose.Written:
    """Return what a message says to its reader: as it was sent, or as it would be sent now.

    The same bytes each time, until somebody whom it names is erased: then it goes out, or is shown, without the name.
    """
    return compose.opened(_written(message))


def _written(message: Message) -> compose.Written:
    """Return what a message says as it is kept: people are tokens."""
    if message.text is not None:
        return compose.Written(message.title, message.text, message.html or "")
    if message.context is None:
        return compose.Written(message.title, "The text of this mail is no longer kept.\n", "")
    context = context_of(message)
    return compose.write(message.purpose, context, zone=str(context.get("time_zone", "UTC")))


def _mail_of(message: Message, address: str) -> EmailMessage:
    """Return the mail, from what was rendered at the first try: each try sends the same bytes (see `render`)."""
    validate_email(address)
    if message.text is None:
        written = _written(message)
        message.title, message.text, message.html = written.subject, written.text, written.html
        name = str(context_of(message).get("name", ""))
        # An appointment goes along with every try, too.
        kept = {key: value for key, value in context_of(message).items() if key == "appointment"}
        message.context = compose.pack({"name": name, **kept})
        message.save(update_fields=["title", "text", "html", "context"])
    return compose.build(
        message_id=message.message_id,
        to=address,
        to_name=open_values([str(context_of(message).get("name", ""))])[0],
        written=render(message),
        subject_ref=message.subject_ref,
        account_ref=str(message.account.ref) if message.account is not None else "",
        created_at=message.created_at,
        can_be_off=message.user_id is not None and Kind(message.kind) not in ALWAYS_ON,
        reply_to=reply_to_of(message.subject_ref),
        appointment=open_values([context_of(message).get("appointment")])[0],
    )


def _note_handing_over(message: Message) -> None:
    """Write down that the text is about to go out, unless the claim is lost or ends too soon."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE notify_message SET handed_at = clock_timestamp()"
            " WHERE id = %s AND mail_state = 'sending' AND claim = %s AND lease_until > clock_timestamp()"
            " RETURNING handed_at",
            [message.pk, message.claim],
        )
        row = cursor.fetchone()
    if row is None:
        log.warning("mail_claim_lost", message=message.pk)
        raise ClaimLost
    message.handed_at = row[0]


def _end(message: Message, state: MailState, *, says: str = "", due_at: datetime | None = None) -> str:
    """Note how this try ended, if the mail is still this try's (or was taken for in doubt meanwhile)."""
    now = database_now()
    own = Message.objects.filter(pk=message.pk, claim=message.claim).filter(
        Q(mail_state=MailState.SENDING) | Q(mail_state=MailState.UNKNOWN)
    )
    values: dict[str, object] = {"mail_state": state, "lease_until": None, "says": says[:300]}
    if state is MailState.QUEUED:
        values |= {"due_at": due_at or now, "claim": None}
    else:
        values |= {"ended_at": now}
    if state is MailState.SENT and purpose_of(message.purpose).is_secret and not settings.DESK_MODE:
        # Its link opens something: whoever reads the database later shall not find it.
        values |= {"text": None, "html": None, "context": None}
    if own.update(**values) != 1:
        log.warning("mail_end_too_late", message=message.pk, state=state.value)
    metrics.MAILS.labels(message.purpose, state.value).inc()
    log.info(
        "mail_try_ended",
        message=message.pk,
        purpose=message.purpose,
        tries=message.tries,
        state=state.value,
    )
    return state.value


def _try_later(message: Message, says: str) -> str:
    now = database_now()
    if now - message.created_at > GIVE_UP_AFTER:
        return _failed(message, f"{says} It was tried for two days.")
    longest = _LONGEST_URGENT_RETRY_S if message.urgency == Urgency.NOW else _LONGEST_RETRY_S
    wait_s = min(longest, _FIRST_RETRY_S * 2 ** min(message.tries - 1, 10))
    return _end(message, MailState.QUEUED, says=says, due_at=now + timedelta(seconds=wait_s))


def _in_doubt(message: Message, says: str) -> str:
    now = database_now()
    with transaction.atomic():
        held = (
            Message.objects.select_for_update()
            .filter(pk=message.pk, claim=message.claim, mail_state=MailState.SENDING)
            .first()
        )
        if held is None:
            return "unknown"
        if Kind(held.kind) not in REPEATED_IN_DOUBT:
            return _settle_doubt(held, now, says)
    return _try_later(message, says)


def _failed(message: Message, says: str) -> str:
    with transaction.atomic():
        ended = _end(message, MailState.FAILED, says=says)
        mail_failed(message, says)
    return ended
