"""What people are told about their own log-in: by mail, at once, and it cannot be turned off."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.urls import reverse
from django.utils import timezone

from accounts.contacts.models import UsedBy
from accounts.contacts.uses import record_use
from accounts.models import Account, Contact, User
from portal.audit.facts import current_facts
from portal.notify.registry import Kind, Purpose, register_purpose, register_use_log
from portal.notify.services import tell

PURPOSES = (
    Purpose("password_reset", Kind.PERSONAL, "A link to set a new password", is_secret=True, in_portal=False),
    Purpose("login_changed", Kind.PERSONAL, "How you log in was changed", in_portal=False),
    Purpose("mail_confirm", Kind.PERSONAL, "Confirm your new mail address", is_secret=True, in_portal=False),
    Purpose("mail_in_use", Kind.PERSONAL, "Somebody gave your mail address as theirs", in_portal=False),
    # Somebody is waiting for the answer: at once, whatever the hour, and again where nobody knows whether it arrived.
    Purpose("reach_asked", Kind.PERSONAL, "You are asked to answer", is_secret=True, in_portal=False),
    Purpose("reach_nobody", Kind.HALT, "Nobody of an account answered"),
    Purpose("reach_ended", Kind.NOTICE, "Whom you asked for answered, or nobody did"),
    Purpose("mail_changed", Kind.PERSONAL, "The mail address of your log-in was changed", in_portal=False),
    # To contacts. What the portal asks by itself is a reminder: it waits for working hours, and is left in doubt.
    Purpose("contact_prove", Kind.REMINDER, "Prove your mail address", is_secret=True, in_portal=False),
    Purpose("contact_confirm", Kind.REMINDER, "Is this still right?", is_secret=True, in_portal=False),
    Purpose("contact_see", Kind.REMINDER, "What is held about you", is_secret=True, in_portal=False),
    Purpose("contacts_due", Kind.REMINDER, "Contacts wait to be confirmed"),
    Purpose("contact_disowned", Kind.NOTICE, "A contact says: this is not me"),
)


def register() -> None:
    """Make the purposes known; called once when the app is ready."""
    for purpose in PURPOSES:
        register_purpose(purpose)
    register_use_log(_log_mails)


def _log_mails(people: Sequence[Contact], account: Account | None, reason: str) -> None:
    """Log who of the contacts was written to, and what for, in the account that each belongs to."""
    by_account: dict[int, list[Contact]] = {}
    for contact in people:
        by_account.setdefault(contact.account_id, []).append(contact)
    for listed in by_account.values():
        of = account if account is not None and account.pk == listed[0].account_id else listed[0].account
        record_use(listed, account=of, purpose_reason=reason, actor=None, way=UsedBy.MAIL)


def tell_reset_link(user: User) -> None:
    """Mail a user the link that sets a new password: once, within `PASSWORD_RESET_TIMEOUT`."""
    path = reverse("password-reset", args=[user.ref, default_token_generator.make_token(user)])
    tell(
        "password_reset",
        to=user,
        subject_ref=f"user:{user.ref}",
        period=str(uuid.uuid4()),
        # Not `url`, which stays readable on the row: this path is a key.
        context={"link_url": path, "email": user.email, "minutes": settings.PASSWORD_RESET_TIMEOUT // 60},
        reason="asked for a new password",
    )


def tell_login_changed(user: User, what: str) -> None:
    """Tell a user that `what` ("A security key was added: …") was done, so that a stranger's act is noticed."""
    tell(
        "login_changed",
        to=user,
        subject_ref=f"user:{user.ref}",
        period=str(uuid.uuid4()),
        context={
            "what": what,
            "at": timezone.now(),
            "address": current_facts().address or "",
            "url": reverse("me"),
        },
        reason="the log-in was changed",
    )


def tell_confirm_address(user: User, email: str, path: str) -> None:
    """Mail the new address the link that makes it the one of the log-in."""
    tell(
        "mail_confirm",
        address=email,
        subject_ref=f"user:{user.ref}",
        period=str(uuid.uuid4()),
        context={"name": user.name, "time_zone": user.time_zone, "link_url": path},
        reason="asked for another mail address",
        person=user,
    )


def tell_address_in_use(owner: User) -> None:
    """Tell whoever logs in with an address that somebody else gave it as their new one."""
    tell(
        "mail_in_use",
        to=owner,
        subject_ref=f"user:{owner.ref}",
        period=str(uuid.uuid4()),
        context={"email": owner.email, "url": reverse("me")},
        reason="somebody asked for this mail address",
    )


def tell_address_changed(user: User, *, old: str) -> None:
    """Tell the mailbox that was the log-in's until now."""
    tell(
        "mail_changed",
        address=old,
        subject_ref=f"user:{user.ref}",
        period=str(uuid.uuid4()),
        context={
            "name": user.name,
            "time_zone": user.time_zone,
            "at": timezone.now(),
            "address": current_facts().address or "",
            "url": reverse("login"),
        },
        reason="the mail address was changed",
        person=user,
    )
