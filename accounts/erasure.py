"""Erasing a person: the key under which their values were kept is destroyed, and the live row emptied or removed.

Audit, journal and approvals stay as they were written; where the person stood is read "erased person 7F3A".
"""

from __future__ import annotations

from uuid import UUID

from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from accounts.members import remove_from_team, remove_member
from accounts.models import Account, ApiToken, Contact, Invitation, Membership, Team, TeamMembership, User
from portal.access import Permission, permissions_on
from portal.audit.models import AuditEntry
from portal.audit.services import record
from portal.audit.subjects import Subject, erase_subject, erased_name, forget_answers_naming
from portal.errors import NotPermitted, Refused
from portal.events.services import emit
from portal.notify.services import forget_about, forget_person
from portal.runs.models import OVER, Run


@transaction.atomic
def erase_contact(account: Account, ref: UUID, *, actor: User, reason: str) -> None:
    """Erase a contact of an account for good, also one that was removed before.

    Raises NotPermitted unless the actor may erase there, Refused without a reason or where there never was such a contact.
    """
    if not reason.strip():
        raise Refused("Say why the person is erased: the reason stays on record, the person does not.")
    if Permission.ERASE not in permissions_on(actor, account):
        raise NotPermitted("Only an admin of the account may erase a person.", code="no_right")
    contact = Contact.objects.select_for_update().filter(account=account, ref=ref).first()
    if contact is None and not was_contact_of(account, ref):
        raise Refused("There is no such contact in this account. Nobody was erased.", code="no_contact")
    erase_subject(Subject("contact", ref), by_ref=str(actor.ref))
    record(
        "contact.erased",
        actor=actor,
        account=account,
        subject_type="accounts.contact",
        subject_ref=str(ref),
        subject_label=erased_name(ref),
        reason=reason,
        people=[contact] if contact is not None else [],
    )
    emit("contact.erased", account=account, subject_type="contact", subject_ref=ref, actor=actor)


def was_contact_of(account: Account, ref: UUID) -> bool:
    """Whether the account's audit speaks of a contact with this reference."""
    return AuditEntry.objects.filter(
        account_ref=account.ref, subject_type="accounts.contact", subject_ref=str(ref)
    ).exists()


@transaction.atomic
def erase_person(user: User, *, actor: User | None, reason: str) -> None:
    """Erase a user for good: roles, tokens, log-in, name and mail address. What they did stays on record, nameless.

    Raises Refused for the last admin of an account, the last lead of a team, for whoever is in charge of an open run, and without a reason.
    """
    if not reason.strip():
        raise Refused("Say why the person is erased: the reason stays on record, the person does not.")
    locked = User.objects.select_for_update().get(pk=user.pk)
    held = Run.objects.filter(in_charge=locked).exclude(status__in=OVER).first()
    if held is not None:
        raise Refused(
            f"{locked.name} is in charge of “{held.title}”, which is not over. Put somebody else in charge first.",
            code="in_charge",
        )
    for account in Account.objects.filter(memberships__user=locked).order_by("pk"):
        remove_member(account, locked, actor=None)
    for team in Team.objects.filter(memberships__user=locked).order_by("pk"):
        remove_from_team(team, locked, actor=None)
    erase_subject(Subject("user", locked.ref), by_ref=str(actor.ref) if actor is not None else "")
    record(
        "user.erased",
        actor=actor,
        subject_type="accounts.user",
        subject_ref=str(locked.ref),
        subject_label=erased_name(locked.ref),
        reason=reason,
        people=[locked],
    )


def empty_contact(ref: UUID) -> None:
    """Remove the live row of an erased contact, also from a restored backup, and what was told or waits to be."""
    for contact in Contact.objects.select_related("account").filter(ref=ref):
        if contact.email:
            forget_person(address=contact.email, account=contact.account)
        contact.delete()


def empty_invitation(ref: UUID) -> None:
    """Take the mail address out of an invitation; that there was one, and to which role, stays.

    Its mail goes, and its link opens nothing any more: it would make a log-in for an address that nobody has.
    """
    rows = Invitation.objects.filter(ref=ref)
    rows.update(email=f"erased-{ref.hex}@erased.invalid")
    rows.filter(accepted_at__isnull=True, revoked_at__isnull=True).update(revoked_at=timezone.now())
    forget_about(f"invitation:{ref}")


def _empty_confirmations(ref: UUID) -> None:
    """Take the user out of the contacts that they were the last to confirm, under whichever name they had then."""
    confirmed = AuditEntry.objects.filter(what="contact.confirmed")
    mine = {UUID(seen) for seen in confirmed.filter(actor_ref=str(ref)).values_list("subject_ref", flat=True)}
    for contact in Contact.objects.filter(ref__in=mine).exclude(confirmed_by_name=""):
        last = (
            confirmed.filter(subject_ref=str(contact.ref)).order_by("-pk").values_list("actor_ref", flat=True)
        )
        if last.first() == str(ref):
            Contact.objects.filter(pk=contact.pk).update(confirmed_by_name=erased_name(ref))


# What allauth keeps about somebody, where it is installed: (app label, model).
_LOG_IN = (("account", "EmailAddress"), ("socialaccount", "SocialAccount"), ("mfa", "Authenticator"))


def empty_user(ref: UUID) -> None:
    """Empty the live row of an erased user, which things that they did still point to."""
    user = User.objects.filter(ref=ref).first()
    if user is None:
        return
    _empty_confirmations(ref)
    forget_answers_naming(user.name, user.email)
    for invitation in Invitation.objects.filter(email=user.email):
        erase_subject(Subject("invitation", invitation.ref))
    sessions = UserSession.objects.filter(user=user)
    Session.objects.filter(session_key__in=list(sessions.values_list("session_key", flat=True))).delete()
    sessions.delete()
    for label, name in _LOG_IN:
        if apps.is_installed(f"allauth.{label}"):
            apps.get_model(label, name)._default_manager.filter(user=user).delete()
    forget_person(user=user)
    # Also what went to a mailbox that was theirs, or was to be.
    forget_about(f"user:{ref}")
    # Mails that the user had sent say so by name.
    forget_about(*(f"invitation:{one.ref}" for one in Invitation.objects.filter(invited_by=user)))
    ApiToken.objects.filter(user=user).delete()
    Membership.objects.filter(user=user).delete()
    TeamMembership.objects.filter(user=user).delete()
    user.name, user.email, user.is_active = erased_name(ref), f"erased-{ref.hex}@erased.invalid", False
    user.set_unusable_password()
    user.save()
