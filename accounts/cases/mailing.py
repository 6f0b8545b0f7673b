"""Answers by mail: from what the mail system hands in to an entry on a case, or a sentence why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from accounts.cases import services
from accounts.cases.mail import LONGEST_TEXT, Incoming, NotTaken, case_of_address, read_mail, reply_address
from accounts.cases.models import SupportCase, Via
from accounts.models import User
from portal.access import Permission, lacks_second_factor, permissions_on
from portal.errors import Refused, TooOften
from portal.notify.models import Message

MOST_AN_HOUR = 30
MOST_UNVERIFIED_AN_HOUR = 10


@dataclass(frozen=True)
class Taken:
    """What became of a mail: taken, unverified, already, refused or dropped; `says` is the sentence for its sender."""

    outcome: str
    says: str
    code: str = ""
    case: SupportCase | None = None


def reply_address_of(ref: str) -> str:
    """Return where answers to a case's mails go, "" where no mail is taken in."""
    base = services.reply_base()
    return reply_address(base, UUID(ref), settings.SECRET_KEY) if base else ""


def take_in(raw: bytes) -> Taken:
    """Keep a mail on the case that it answers. Never raises for what is in the mail.

    The case is found by the address that we signed, else by the Message-ID of a mail of ours that it refers to. A sender
    who may answer it is the one who answers; anybody else's words are kept as unverified, and shown as such.
    """
    try:
        found: list[SupportCase] = []

        def answers(to: Sequence[str], references: Sequence[str]) -> bool:
            case = case_of(to, references)
            found.extend([case] if case is not None else [])
            return case is not None

        mail = read_mail(raw, own={settings.MAIL_FROM, settings.SUPPORT_MAIL_ADDRESS}, answers=answers)
        return _keep(mail, found[0])
    except NotTaken as no:
        return Taken("dropped" if no.is_dropped else "refused", no.says, no.code)
    except (Refused, TooOften) as refusal:
        return Taken("refused", refusal.says, refusal.code or "refused")


def case_of(to: Sequence[str], references: Sequence[str]) -> SupportCase | None:
    """Return the case that a mail to these addresses, which refers to these Message-IDs, answers, or None."""
    base = settings.SUPPORT_MAIL_ADDRESS
    for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        for address in to:
            ref = case_of_address(base, address, key)
            if ref is not None:
                return _case(ref)
    told = Message.objects.filter(message_id__in=references, subject_ref__startswith="case:")
    found = told.order_by("-pk").values_list("subject_ref", flat=True).first()
    return _case(UUID(found.partition(":")[2])) if found else None


def _case(ref: UUID) -> SupportCase | None:
    return SupportCase.objects.select_related("account").filter(ref=ref).first()


def _keep(mail: Incoming, case: SupportCase) -> Taken:
    if mail.message_id and case.entries.filter(message_id=mail.message_id).exists():
        return Taken("already", "This mail is on the case already.", case=case)
    note = _not_taken_in(mail)
    user = User.objects.filter(email=mail.sender, is_active=True).first()
    sees = (
        user is not None
        and Permission.CASE_VIEW in permissions_on(user, case.account)
        and not lacks_second_factor(user)
    )
    # Counted apart: strangers, who may know the address from a forwarded mail, must not use up what members have.
    hour_ago = timezone.now() - timedelta(hours=1)
    came = case.entries.filter(via=Via.MAIL, at__gt=hour_ago, is_verified=sees).count()
    if came >= (MOST_AN_HOUR if sees else MOST_UNVERIFIED_AN_HOUR):
        raise NotTaken("too_many", "Too many mails came for this case within an hour. Answer on its page.")
    message_id = mail.message_id or None
    if user is not None and sees:
        services.reply(case, actor=user, text=mail.text, via=Via.MAIL, message_id=message_id, note=note)
        return Taken("taken", f"It is on the case. {note}".strip(), case=case)
    services.keep_unverified(case, sender=mail.sender, text=mail.text, message_id=message_id, note=note)
    return Taken(
        "unverified",
        f"It is on the case, marked as from an address that nobody here is known by. {note}".strip(),
        case=case,
    )


def _not_taken_in(mail: Incoming) -> str:
    """Return what of a mail is not on the case, as its sender and its readers are told; "" for nothing."""
    said = []
    if mail.attachments:
        count = "1 attachment was" if mail.attachments == 1 else f"{mail.attachments} attachments were"
        said.append(f"{count} not taken in. Put it where you can link to it, and send the link.")
    if mail.is_cut:
        said.append(f"The text was longer than {LONGEST_TEXT:,} characters; the rest was not taken in.")
    return " ".join(said)
