"""What pages and workers read. A notice about an account is seen by whoever may see the account now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.models import Q, QuerySet

from portal.access import visible_to
from portal.notify.models import MailState, Message, Preference
from portal.notify.registry import ALWAYS_ON, Kind
from portal.runs.journal import database_now

# The bell counts so far; beyond it a number says nothing more.
MOST_COUNTED = 99

KIND_WORDS: dict[Kind, tuple[str, str]] = {
    Kind.REMINDER: ("Reminders", "Something still waits for you: an approval, a contact to confirm."),
    Kind.NOTICE: ("What happened", "A plan was approved, a run began or ended, everything was stopped."),
    Kind.HALT: ("A run needs a decision", "It stopped by itself, the site is well, and someone must decide."),
    Kind.EMERGENCY: ("Danger", "A site is in danger."),
    Kind.PERSONAL: ("For you alone", "Invitations, a new password, changes to your log-in."),
}


def notices_of(user: Any) -> QuerySet[Message]:
    """Return the notices that `user` may read now, as one query."""
    accounts = visible_to(user, apps.get_model("accounts", "Account"))
    return Message.objects.filter(user=user, is_shown=True).filter(
        Q(account__isnull=True) | Q(account__in=accounts.values("pk"))
    )


def is_anything_due() -> bool:
    """Whether a mail is due, or the worker that held one is gone."""
    now = database_now()
    return Message.objects.filter(
        Q(mail_state=MailState.QUEUED, due_at__lte=now)
        | Q(mail_state=MailState.SENDING, lease_until__lte=now)
    ).exists()


@dataclass(frozen=True)
class Wish:
    """How one kind of message reaches a person. `is_fixed`: it cannot be turned off."""

    kind: str
    label: str
    help: str
    by_mail: bool
    in_portal: bool
    is_fixed: bool


def preference_of(user: Any) -> Preference:
    """Return how a user wants to be told; an unsaved row with the defaults for who never said."""
    return Preference.objects.filter(user=user).first() or Preference(user=user)


def wishes_of(preference: Preference) -> list[Wish]:
    """Return every kind with how it reaches this person."""
    return [
        Wish(
            kind=kind.value,
            label=label,
            help=text,
            by_mail=kind.value not in preference.mail_off,
            in_portal=kind is not Kind.PERSONAL and kind.value not in preference.portal_off,
            is_fixed=kind in ALWAYS_ON,
        )
        for kind, (label, text) in KIND_WORDS.items()
    ]
