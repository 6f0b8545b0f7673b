"""Reaching somebody: start, each move, each answer, the end; on record in its transaction.

A worker makes the moves (`advance_due`); people and links bring answers, which make the next move at once. Everything
rests on rows, so a worker may die anywhere and a move may be asked for twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from django.utils import timezone

from accounts.changes import check_active
from accounts.contacts.asking import FASTEST_ANSWER_S
from accounts.contacts.models import ProvenHow, ProvenKind, UsedBy
from accounts.contacts.proving import digest_of
from accounts.contacts.selectors import Callee, call_order, hours_of, record_use
from accounts.contacts.services import prove_channel
from accounts.members import lock_account
from accounts.models import Account, AccountStatus, Contact, ContactRole, User
from accounts.reach import escalation, selectors
from accounts.reach.escalation import (
    BY_HAND,
    FINAL,
    Answered,
    Ask,
    NobodyAnswered,
    Outcome,
    Pace,
    Said,
    Tried,
    WaitUntil,
    next_move,
)
from accounts.reach.models import (
    GatewayState,
    Reach,
    ReachKind,
    ReachResult,
    ReachState,
    ReachStep,
    ReachTry,
    ResultHow,
)
from portal.audit.services import record, snapshot
from portal.audit.subjects import Sealer, named
from portal.errors import Refused, StaleState, TooOften
from portal.events.services import emit
from portal.notify.registry import Urgency, audience
from portal.notify.services import tell, tell_all

MOST_PEOPLE = 20
# Named on the call sheet; more of one role than this are counted.
MOST_LEFT_OUT = 100
MOST_NAMED_IN_A_MAIL = 10
MOST_AN_HOUR = 12
LONGEST_MESSAGE = 500
# Of one try the gateway says a handful of things; older ones come again within minutes or never.
MOST_HEARD = 50
LINK_SALT = "accounts.reach.answer"
_ASKABLE = frozenset({Outcome.WAITING, Outcome.VOICEMAIL, Outcome.NO_ANSWER})


@dataclass(frozen=True)
class Listed:
    """Who has a role: whom to ask, in order, and who is left out, each with the reason. `count` is how many there are."""

    asked: tuple[Callee, ...]
    left_out: tuple[tuple[Callee, str], ...]
    count: int


def whom_to_ask(account: Account, role: str, at: datetime, *, with_asleep: bool) -> Listed:
    """Return who would be asked, and who not: those without a way, and unless `with_asleep` those for whom it is no hour."""
    asked: list[Callee] = []
    left_out: list[tuple[Callee, str]] = []
    everybody = call_order(account, role, at)
    for one in everybody:
        why = one.why_not
        if not why and not with_asleep and one.is_reachable_now is False:
            why = _why_no_hour(one)
        if not why and len(asked) == MOST_PEOPLE:
            why = f"one reach asks {MOST_PEOPLE} people at most"
        if why:
            left_out.append((one, why))
        else:
            asked.append(one)
    return Listed(tuple(asked), tuple(left_out[:MOST_LEFT_OUT]), len(everybody))


def _why_no_hour(one: Callee) -> str:
    hours, today = hours_of(one.contact), one.local_time.date()
    if hours.is_away(today):
        return "away on this day"
    # An ordinary day off stands in the hours; a public holiday is said, since it surprises whoever is elsewhere.
    if hours.is_free(today):
        return "outside of their hours: a public holiday there"
    return "outside of their hours"


@transaction.atomic
def start_reach(
    account: Account,
    *,
    role: str,
    kind: str,
    reason: str,
    message: str,
    actor: User,
    pace: Pace | None = None,
    with_asleep: bool = False,
) -> Reach:
    """Begin to ask the people of a role one after the other. The first is asked before this returns.

    Raises Refused without a reason or a message and where nobody can be asked, StaleState while another one of the
    account is under way, TooOften past a dozen an hour.
    """
    pace = pace or Pace()
    locked = lock_account(account)
    check_active(locked)
    reason, message = " ".join(reason.split())[:LONGEST_MESSAGE], " ".join(message.split())
    if role not in ContactRole.values or kind not in ReachKind.values:
        raise Refused("There is no such role, or no such kind of reach.", code="invalid")
    if not reason:
        raise Refused("Say why they are to be reached: the reason stays on record.", code="reason_missing")
    if not message:
        raise Refused("Say what they are to be told.", code="message_missing")
    if len(message) > LONGEST_MESSAGE:
        raise Refused(f"What they are told has at most {LONGEST_MESSAGE} characters.", code="invalid")
    if Reach.objects.filter(account=locked, state=ReachState.RUNNING).exists():
        raise StaleState(
            "Somebody of this account is being reached already. Follow that one, or stop it first.",
            code="reach_running",
        )
    now = timezone.now()
    begun = list(
        Reach.objects.filter(account=locked, started_at__gt=now - timedelta(hours=1))
        .order_by("-started_at")
        .values_list("started_at", flat=True)[:MOST_AN_HOUR]
    )
    if len(begun) == MOST_AN_HOUR:
        raise TooOften(
            f"Somebody of this account was to be reached {MOST_AN_HOUR} times within an hour. Call them instead. "
            "Nobody was asked.",
            after_s=(begun[-1] + timedelta(hours=1) - now).total_seconds(),
            whose="the account, for everybody who works on it together",
        )
    listed = whom_to_ask(locked, role, now, with_asleep=with_asleep)
    people = listed.asked
    if not people:
        raise Refused(
            f"Nobody can be asked as {role} contact now: nobody has the role and a way to be reached"
            f"{'' if with_asleep else ', or it is outside of their hours'}. Nobody was asked.",
            code="nobody_to_ask",
        )
    everybody = [*((one, "") for one in people), *listed.left_out]
    sealer = Sealer([*(one.contact for one, _ in everybody), actor])
    reach = Reach.objects.create(
        account=locked,
        kind=kind,
        role=role,
        message=sealer.text(message),
        reason=sealer.text(reason),
        wait_s=pace.wait_s,
        tries=pace.tries,
        listed=listed.count,
        started_at=now,
        next_at=now,
        by_ref=str(actor.ref),
        by_name=sealer.name(actor),
    )
    ReachStep.objects.bulk_create(
        ReachStep(
            reach=reach,
            place=place,
            contact=one.contact,
            contact_ref=one.contact.ref,
            contact_name=sealer.name(one.contact),
            left_out=why[:200],
        )
        for place, (one, why) in enumerate(everybody, 1)
    )
    record(
        "reach.started",
        actor=actor,
        account=locked,
        subject=reach,
        after={
            "kind": kind,
            "role": role,
            "people": len(people),
            "left_out": listed.count - len(people),
            "wait_s": pace.wait_s,
            "tries": pace.tries,
        },
        reason=reason,
        people=[one.contact for one in people],
    )
    emit("reach.started", account=locked, subject=reach, data={"kind": kind, "role": role}, actor=actor)
    return _advance(_locked(reach.pk), now)


def advance_due(now: datetime, *, limit: int = 50) -> int:
    """Make the next move of every reach that is due; return how many. Safe to call by any number of workers at once.

    Due is also one that waits for somebody who was removed or erased: the next one is asked at once.
    """
    waits_for_nobody = ReachTry.objects.filter(
        step__reach=OuterRef("pk"), step__contact__isnull=True, outcome__in=[one.value for one in _ASKABLE]
    )
    due = Reach.objects.filter(state=ReachState.RUNNING).filter(
        Q(next_at__lte=now) | Exists(waits_for_nobody)
    )
    made = 0
    for pk in list(due.order_by("next_at").values_list("pk", flat=True)[:limit]):
        with transaction.atomic():
            locked = (
                due.select_for_update(skip_locked=True, of=("self",))
                .select_related("account")
                .filter(pk=pk)
                .first()
            )
            if locked is not None:
                _advance(locked, now)
                made += 1
    return made


# --- answers -------------------------------------------------------------------------------------------------


def answer_token(one: ReachTry, channel: str = ProvenKind.MAIL) -> str:
    """Return what stands in the link of a try: signed, and good for as long as the reach is under way.

    Each channel has a link of its own, so that pressing its button proves that channel and no other.
    """
    return signing.Signer(salt=f"{LINK_SALT}.{ProvenKind(channel).value}").sign(one.ref.hex)


def try_of(token: str) -> ReachTry | None:
    """Return the try that a link is for, while it can be answered; None for a forged one and for one that is over."""
    found, channel = _try_behind(token)
    return found if found is not None and _can_answer(found) and _is_theirs(found, channel) else None


def was_answered(token: str) -> bool:
    """Whether whoever was asked by this link has answered already."""
    found, _ = _try_behind(token)
    return found is not None and found.outcome == Outcome.ACKNOWLEDGED


def _try_behind(token: str) -> tuple[ReachTry | None, ProvenKind]:
    """Return the try that a link is of, None for a forged one, and the channel that it was sent to."""
    for channel in ProvenKind:
        try:
            ref = UUID(signing.Signer(salt=f"{LINK_SALT}.{channel.value}").unsign(token))
        except (signing.BadSignature, ValueError):
            continue
        rows = ReachTry.objects.select_related("step__reach__account", "step__contact")
        return rows.filter(ref=ref).first(), channel
    return None, ProvenKind.MAIL


def _is_live(one: ReachTry) -> bool:
    reach = one.step.reach
    # Of an archived account no link tells anything any more.
    return reach.state == ReachState.RUNNING and reach.account.status != AccountStatus.ARCHIVED


def _is_open(one: ReachTry) -> bool:
    """Whether anything can be said of a try: it waits, or nobody was heard yet."""
    return _is_live(one) and Outcome(one.outcome) in _ASKABLE


def _can_answer(one: ReachTry) -> bool:
    """Whether whoever was asked can still answer: for as long as it is under way.

    Also after a wrong number or a no: the mail is another way than the phone, and minds change.
    """
    return _is_live(one) and Outcome(one.outcome) in _ASKABLE | {Outcome.WRONG_NUMBER, Outcome.REFUSED}


def _is_theirs(one: ReachTry, channel: str) -> bool:
    """Whether what was asked on this channel is the contact's still: a wrong address may have been a stranger's."""
    contact = one.step.contact
    if contact is None:
        return False
    is_mail = channel == ProvenKind.MAIL
    value, asked = (contact.email, one.mail_digest) if is_mail else (contact.phone, one.phone_digest)
    if is_mail and not contact.takes_mail:
        return (
            False  # whoever reads that mailbox said that it is not this person's, or mail comes back from it
        )
    return bool(value) and asked == digest_of(contact, channel, value)


@transaction.atomic
def answer_by_link(token: str, *, agent: str, now: datetime | None = None) -> Reach | None:
    """Take an answer by the button behind a link; return the reach, or None where there is nothing to answer any more.

    One that comes within seconds of the asking is kept as doubtful and ends nothing: the reach is still running.
    """
    found, channel = _try_behind(token)
    if found is None or not _can_answer(found):
        return None
    return _answered(found.pk, channel=channel, agent=agent, now=now or timezone.now())


@transaction.atomic
def answer_by_gateway(ref: UUID, *, outcome: str, message_id: str = "", now: datetime | None = None) -> bool:
    """Take what the gateway says of a try; False for one that is unknown or over, which changes nothing.

    `message_id` is the message's `webhook-id`: what came with it already is not taken again, which is True all the same.
    """
    one = ReachTry.objects.select_related("step__reach__account").filter(ref=ref).first()
    if one is None or not _can_answer(one):
        return False
    now = now or timezone.now()
    if outcome == Outcome.ACKNOWLEDGED:
        answered = _answered(
            one.pk, channel=ProvenKind.PHONE, agent="gateway", now=now, message_id=message_id
        )
        return answered is not None
    reach = _locked(one.step.reach_id)
    locked = ReachTry.objects.select_for_update(of=("self",)).select_related("step").get(pk=one.pk)
    locked.step.reach = reach
    if not _is_open(locked):
        return False
    if _heard_before(locked, message_id):
        return True
    _keep_result(locked, Outcome(outcome), now, how=ResultHow.GATEWAY, channel=ProvenKind.PHONE)
    _advance(reach, now)
    return True


def _heard_before(one: ReachTry, message_id: str) -> bool:
    """Whether this message of the gateway was taken in already; else it is noted on the try, which must be locked.

    The id is its idempotency key (Standard Webhooks 1.0.0, "webhook-id"): a gateway that got no answer sends it again.
    """
    if not message_id:
        return False
    digest = sha256(message_id.encode()).hexdigest()[:32]
    if digest in one.gateway_heard:
        return True
    one.gateway_heard = [*one.gateway_heard, digest][-MOST_HEARD:]
    return False


def _answered(pk: int, *, channel: str, agent: str, now: datetime, message_id: str = "") -> Reach | None:
    one = ReachTry.objects.select_related("step").get(pk=pk)
    reach = _locked(one.step.reach_id)
    locked = ReachTry.objects.select_for_update(of=("self",)).select_related("step__contact").get(pk=pk)
    locked.step.reach = reach
    if not _can_answer(locked) or not _is_theirs(locked, channel):
        return None
    if _heard_before(locked, message_id):
        return reach
    is_doubtful = (now - locked.asked_at).total_seconds() < FASTEST_ANSWER_S
    contact = locked.step.contact
    if contact is not None:
        value = contact.email if channel == ProvenKind.MAIL else contact.phone
        if value:
            prove_channel(
                contact,
                kind=channel,
                value=value,
                how=ProvenHow.LINK,
                actor=None,
                is_doubtful=is_doubtful,
                agent=agent,
                reason="answered a reach test"
                if reach.kind == ReachKind.TEST
                else "answered a call for help",
                at=now,
            )
    if is_doubtful:
        locked.doubtful_at, locked.agent = now, agent[:300]
        locked.save(update_fields=["doubtful_at", "agent", "gateway_heard"])
        return reach
    how = ResultHow.LINK if channel == ProvenKind.MAIL else ResultHow.GATEWAY
    _keep_result(locked, Outcome.ACKNOWLEDGED, now, how=how, channel=channel, agent=agent)
    return _advance(reach, now)


@transaction.atomic
def log_outcome(one: ReachTry, outcome: str, *, actor: User, now: datetime | None = None) -> Reach:
    """Keep what a named person says of a call: reached, voicemail, no answer, wrong number, refused.

    Raises Refused for what is no outcome of a call, StaleState once it is over or was said already.
    """
    if outcome not in {found.value for found in BY_HAND}:
        raise Refused(f"How a call went is one of {', '.join(BY_HAND)}.", code="invalid")
    now = now or timezone.now()
    reach = _locked(one.step.reach_id)
    check_active(reach.account)
    locked = ReachTry.objects.select_for_update(of=("self",)).select_related("step__contact").get(pk=one.pk)
    locked.step.reach = reach
    was = Outcome(locked.outcome)
    if not (_can_answer(locked) if outcome in escalation.ANSWERS else _is_open(locked)):
        raise StaleState(
            "This was decided meanwhile: somebody answered, it was stopped, or the call was logged already. "
            "Nothing was changed.",
            code="reach_over",
        )
    contact = locked.step.contact
    if contact is not None and contact.phone:
        record_use(
            [contact], account=reach.account, purpose_reason=reach.reason, actor=actor, way=UsedBy.CALL
        )
        # Whoever is reached after a wrong number was reached some other way: the number is as wrong as before.
        if outcome == Outcome.REACHED and was != Outcome.WRONG_NUMBER:
            prove_channel(
                contact,
                kind=ProvenKind.PHONE,
                value=contact.phone,
                how=ProvenHow.CALL,
                actor=actor,
                reason="answered a reach test"
                if reach.kind == ReachKind.TEST
                else "answered a call for help",
                at=now,
            )
        elif outcome == Outcome.WRONG_NUMBER:
            _not_right_any_more(contact, actor)
    _keep_result(locked, Outcome(outcome), now, how=ResultHow.PERSON, channel=ProvenKind.PHONE, actor=actor)
    return _advance(reach, now)


def _not_right_any_more(contact: Contact, actor: User) -> None:
    """A wrong number disproves "still right": the contact needs a new confirmation."""
    locked = Contact.objects.select_for_update(of=("self",)).select_related("account").get(pk=contact.pk)
    before = snapshot(locked)
    locked.confirmed_on, locked.confirmed_by_name = None, ""
    locked.save(update_fields=["confirmed_on", "confirmed_by_name", "updated_at"])
    record(
        "contact.wrong_number",
        actor=actor,
        account=locked.account,
        subject=locked,
        before=before,
        after=snapshot(locked),
        reason="Somebody else answered the number.",
    )


@transaction.atomic
def stop_reach(reach: Reach, *, actor: User, now: datetime | None = None) -> Reach:
    """Ask nobody any more. A repeat changes nothing; whoever answered stays the one who answered."""
    locked = _locked(reach.pk)
    if locked.state != ReachState.RUNNING:
        return locked
    now = now or timezone.now()
    locked.stopped_by_name = named(actor)
    _end(locked, ReachState.STOPPED, now)
    record("reach.stopped", actor=actor, account=locked.account, subject=locked)
    emit("reach.stopped", account=locked.account, subject=locked, actor=actor)
    return locked


# --- moves ---------------------------------------------------------------------------------------------------


def _locked(pk: int) -> Reach:
    """Return a reach, locked, its sealed texts as they are stored: it is written again."""
    return Reach.objects.sealed().select_for_update(of=("self",)).select_related("account").get(pk=pk)


def tried_of(steps: Sequence[ReachStep], tries: Sequence[ReachTry]) -> list[Tried]:
    """Return tries as the pure core sees them."""
    place = {step.pk: step.place for step in steps}
    return [
        Tried(place[one.step_id], one.number, one.asked_at, Outcome(one.outcome), one.ended_at)
        for one in tries
    ]


def _advance(reach: Reach, now: datetime) -> Reach:
    """Make moves until somebody is waited for or it is over. The reach must be locked and running."""
    steps = list(reach.steps.select_related("contact").filter(left_out="").order_by("place"))
    pace = Pace(reach.wait_s, reach.tries)
    gone = ReachTry.objects.filter(step__reach=reach, step__contact__isnull=True)
    gone.filter(outcome__in=[one.value for one in _ASKABLE]).update(outcome=Outcome.NO_WAY, ended_at=now)
    for _ in range(len(steps) * reach.tries + 2):
        tries = list(ReachTry.objects.filter(step__reach=reach).order_by("step__place", "number"))
        match next_move(len(steps), tried_of(steps, tries), pace, now):
            case Ask(place, number):
                _ask(reach, steps[place - 1], number, now)
            case WaitUntil(at):
                reach.next_at = at
                reach.save(update_fields=["next_at", "updated_at"])
                return reach
            case Answered(place, _, after_s):
                return _end_answered(reach, steps[place - 1], after_s, now)
            case NobodyAnswered():
                return _end_with_nobody(reach, now)
    raise AssertionError(f"reach {reach.pk} finds no end")


def _ask(reach: Reach, step: ReachStep, number: int, now: datetime) -> None:
    contact = step.contact
    one = ReachTry(step=step, number=number, asked_at=now)
    has_mail = contact is not None and contact.takes_mail
    if contact is None or not (contact.phone or has_mail):
        # Removed, erased or changed meanwhile: the next one, at once.
        one.outcome, one.ended_at = Outcome.NO_WAY, now
        one.save()
        return
    one.mail_digest = digest_of(contact, ProvenKind.MAIL, contact.email) if has_mail else ""
    one.phone_digest = digest_of(contact, ProvenKind.PHONE, contact.phone) if contact.phone else ""
    if contact.phone and settings.REACH_GATEWAY_URL:
        one.gateway, one.gateway_due_at = GatewayState.QUEUED, now
        one.gateway_way = "sms" if contact.preferred_channel == "sms" else "voice"
        record_use([contact], account=reach.account, purpose_reason=reach.reason, actor=None, way=UsedBy.CALL)
    one.save()
    if has_mail:
        tell(
            "reach_asked",
            address=contact.email,
            person=contact,
            subject_ref=f"reach:{reach.ref}",
            period=str(one.ref),
            account=reach.account,
            context={
                "name": contact.name,
                "time_zone": contact.time_zone,
                "is_customer": True,
                "is_test": reach.kind == ReachKind.TEST,
                "role": reach.role,
                "message": reach.message,
                # Not `url`, which stays readable on the row: this path answers for the person.
                "link_url": reverse("reach-answer", args=[answer_token(one)]),
            },
            urgency=Urgency.NOW,
            reason=f"{reach.get_kind_display()} of the {reach.role} contacts",
        )
    if one.gateway == GatewayState.QUEUED:
        from accounts.reach.tasks import wake_gateway_after_commit

        wake_gateway_after_commit()


def _keep_result(
    one: ReachTry,
    outcome: Outcome,
    now: datetime,
    *,
    how: ResultHow,
    channel: str = "",
    agent: str = "",
    actor: User | None = None,
) -> None:
    """Add a result to what was said of a try, which then stands as the result that decides. The try must be locked."""
    by_ref, by_name = (str(actor.ref), named(actor)) if actor is not None else ("", "")
    added = ReachResult.objects.create(
        asked=one, at=now, outcome=outcome, how=how, by_ref=by_ref, by_name=by_name
    )
    one.agent = agent[:300] or one.agent
    rows = list(ReachResult.objects.sealed().filter(asked=one).order_by("pk"))
    said = [Said(Outcome(row.outcome), row.at, row.how == ResultHow.PERSON) for row in rows]
    decides = escalation.deciding(said)
    if decides is not None and rows[said.index(decides)].pk == added.pk:
        one.outcome, one.ended_at, one.channel = outcome, now, channel
        one.by_ref, one.by_name = by_ref, by_name
    if one.gateway == GatewayState.QUEUED and outcome in FINAL | escalation.ANSWERS:
        one.gateway, one.gateway_due_at = GatewayState.NONE, None
    one.save()


def _end(reach: Reach, state: ReachState, now: datetime) -> None:
    reach.state, reach.ended_at, reach.next_at = state, now, None
    reach.save()
    # What still waits for the gateway is not asked any more.
    ReachTry.objects.filter(step__reach=reach, gateway=GatewayState.QUEUED).update(
        gateway=GatewayState.NONE, gateway_due_at=None
    )
    ReachTry.objects.filter(step__reach=reach, outcome=Outcome.WAITING).update(
        outcome=Outcome.UNANSWERED, ended_at=now
    )


def _end_answered(reach: Reach, step: ReachStep, after_s: float, now: datetime) -> Reach:
    _end(reach, ReachState.ANSWERED, now)
    data = {
        "kind": reach.kind,
        "role": reach.role,
        "place": step.place,
        "after_s": round(after_s),
        "in_all_s": round((now - reach.started_at).total_seconds()),
    }
    record(
        "reach.answered",
        account=reach.account,
        subject=reach,
        after=data,
        people=[step.contact] if step.contact is not None else [],
    )
    emit("reach.answered", account=reach.account, subject=reach, data=data)
    _tell_starter(reach, answered_by=step)
    return reach


def _end_with_nobody(reach: Reach, now: datetime) -> Reach:
    _end(reach, ReachState.NOBODY, now)
    record(
        "reach.nobody", account=reach.account, subject=reach, after={"kind": reach.kind, "role": reach.role}
    )
    emit("reach.nobody", account=reach.account, subject=reach, data={"kind": reach.kind, "role": reach.role})
    # At the end of the list the lead is told; launch managers with them.
    people = [*audience("leads", reach.account), *audience("launch_managers", reach.account)]
    left_out = list(reach.steps.select_related("contact").exclude(left_out="").order_by("place"))
    counts = selectors.counts_of(reach, selectors.rows_of(reach, now))
    told = tell_all(
        "reach_nobody",
        people,
        subject_ref=f"reach:{reach.ref}",
        account=reach.account,
        context={
            **_about(reach),
            "asked": counts.asked,
            "listed": counts.listed,
            "left_out": _named_in_a_mail(left_out, counts.listed - counts.to_ask),
        },
        urgency=Urgency.NOW,
        reason="nobody on the list answered",
        people=[step.contact for step in left_out if step.contact is not None],
    )
    _tell_starter(reach, answered_by=None, counts=counts, told={row.user_id for row in told})
    return reach


def _named_in_a_mail(left_out: Sequence[ReachStep], count: int) -> str:
    """Return who was left out and why, as a mail says it; "" for nobody."""
    named_here = left_out[:MOST_NAMED_IN_A_MAIL]
    said = [
        f"{step.contact.name if step.contact is not None else 'somebody who is gone'} ({step.left_out})"
        for step in named_here
    ]
    more = count - len(named_here)
    return "; ".join([*said, f"and {more} more"] if more > 0 else said)


def _tell_starter(
    reach: Reach,
    *,
    answered_by: ReachStep | None,
    counts: selectors.Counts | None = None,
    told: Collection[int | None] = (),
) -> None:
    """Tell whoever began it how it ended, unless they are among those who were `told` so already."""
    starter = User.objects.filter(ref=reach.by_ref, is_active=True).first()
    if starter is None or starter.pk in told:
        return
    tell(
        "reach_ended",
        to=starter,
        subject_ref=f"reach:{reach.ref}",
        account=reach.account,
        context={
            **_about(reach),
            "answered": answered_by is not None,
            "who": answered_by.contact.name
            if answered_by is not None and answered_by.contact is not None
            else "",
            "in_all_s": round((reach.ended_at - reach.started_at).total_seconds()) if reach.ended_at else 0,
            **({"asked": counts.asked, "listed": counts.listed} if counts is not None else {}),
        },
        urgency=Urgency.NOW,
        reason="you asked for it",
        people=[answered_by.contact] if answered_by is not None and answered_by.contact is not None else [],
    )


def _about(reach: Reach) -> dict[str, Any]:
    return {
        "is_test": reach.kind == ReachKind.TEST,
        "role": reach.role,
        "url": reverse("accounts:reach-detail", args=[reach.ref]),
    }
