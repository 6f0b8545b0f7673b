"""Erasing a person: the key under which their values were kept is destroyed, and the live row emptied or removed.

Audit, journal and approvals stay as they were written; where the person stood is read "erased person 7F3A".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from uuid import UUID

from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.cases.services import forget_sender, forget_strangers
from accounts.contacts.models import ContactUse, OtherParty, Rotation, RotationMember
from accounts.members import reached_by, remove_from_team, remove_member
from accounts.models import (
    Account,
    AccountStatus,
    ApiToken,
    CloudConnection,
    Contact,
    Invitation,
    Membership,
    Team,
    TeamMembership,
    User,
)
from accounts.networks import close_network
from accounts.texts import words_of
from accounts.tokens import revoke_token, service_tokens_of
from portal.access import Permission, permissions_on
from portal.audit.models import AuditEntry
from portal.audit.services import record, snapshot
from portal.audit.subjects import Subject, erase_subject, erased_name, forget_answers_naming
from portal.errors import NotPermitted, Refused
from portal.events.services import emit
from portal.notify.services import forget_about, forget_account, forget_person
from portal.runs.models import OVER, Run
from portal.streams import recheck
from portal.webhooks.services import end_endpoints


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
    erase_subject(Subject("contact", ref), by_ref=str(actor.ref), places=[account.ref])
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
def erase_person(user: User, *, actor: User | None, reason: str, places: Iterable[UUID] = ()) -> None:
    """Erase a user for good: roles, tokens, log-in, name and mail address. What they did stays on record, nameless.

    `places` are accounts in which they had a role until just now.
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
    places = [*places, *_places_of(locked)]
    for account in Account.objects.filter(memberships__user=locked).order_by("pk"):
        remove_member(account, locked, actor=None)
    for team in Team.objects.filter(memberships__user=locked).order_by("pk"):
        remove_from_team(team, locked, actor=None)
    by_ref = str(actor.ref) if actor is not None else ""
    erase_subject(Subject("user", locked.ref), by_ref=by_ref, places=places)
    forget_answers_naming(locked.ref, locked.name, locked.email, places=places)
    record(
        "user.erased",
        actor=actor,
        subject_type="accounts.user",
        subject_ref=str(locked.ref),
        subject_label=erased_name(locked.ref),
        reason=reason,
        people=[locked],
    )


def _places_of(user: User) -> list[UUID]:
    """Return the accounts that a user has to do with, by a role of their own or by their team."""
    own = Account.objects.filter(Q(memberships__user=user) | Q(team__memberships__user=user))
    return list(own.order_by().values_list("ref", flat=True).distinct())


@dataclass(frozen=True)
class Erased:
    """How many of whom an account's erasure made unreadable; `kept` are users who have a place elsewhere too."""

    contacts: int
    invitations: int
    users: int
    kept: int


@transaction.atomic
def erase_account(account: Account, *, typed_name: str, actor: User | None, reason: str) -> Erased:
    """Erase everybody whom an account knows, end its keys and archive it, all at once or not at all.

    Its contacts (removed ones too), whoever was invited, and its users who have no other place here; the others only
    lose their role. What was done stays on record, nameless, and so does the account by its name and number: its
    launch managers did it. `actor` None is the installation (a command). Raises NotPermitted unless the actor may
    erase there, Refused without a reason, for a name that is not the account's, and while a run is open.
    """
    if not reason.strip():
        raise Refused("Say why the account is erased: the reason stays on record, the people do not.")
    if actor is not None and not actor.is_operator and Permission.ERASE not in permissions_on(actor, account):
        raise NotPermitted("Only an admin of the account may erase it.", code="no_right")
    # A run that is being made holds the account's row by its foreign key, so none slips past.
    locked = Account.objects.select_for_update().get(pk=account.pk)
    if typed_name.strip() != locked.name:
        raise Refused(
            "This is not the account's name as it is written. Nobody was erased.", code="wrong_name"
        )
    live = Run.objects.filter(account=locked).exclude(status__in=OVER).first()
    if live is not None:
        raise Refused(
            f"“{live.title}” is not over yet. Let it end, or end it, before the account is erased. Nobody was erased.",
            code="run_open",
        )
    by_ref = str(actor.ref) if actor is not None else ""
    now = timezone.now()
    for token in service_tokens_of(locked).filter(revoked_at__isnull=True):
        revoke_token(token, actor=actor, at=now, reason="the account was erased")
    end_endpoints(locked, actor=actor, reason="the account was erased")
    forget_strangers(locked)
    forget_account(locked)
    people: list[User | Contact | Invitation | OtherParty] = []

    said = AuditEntry.objects.filter(account_ref=locked.ref, subject_type="accounts.contact").exclude(
        subject_ref=""
    )
    contacts = {UUID(ref) for ref in said.values_list("subject_ref", flat=True)}
    rows = {row.ref: row for row in Contact.objects.filter(account=locked)}
    people += rows.values()
    for ref in sorted(contacts | set(rows)):
        erase_subject(Subject("contact", ref), by_ref=by_ref, places=[locked.ref])
    said = AuditEntry.objects.filter(account_ref=locked.ref, subject_type="accounts.otherparty").exclude(
        subject_ref=""
    )
    parties = {row.ref: row for row in OtherParty.objects.filter(account=locked)}
    people += parties.values()
    for ref in sorted({UUID(ref) for ref in said.values_list("subject_ref", flat=True)} | set(parties)):
        erase_subject(Subject("otherparty", ref), by_ref=by_ref, places=[locked.ref])
    Rotation.objects.filter(account=locked).delete()
    ContactUse.objects.filter(account=locked).delete()
    invitations = list(Invitation.objects.filter(account=locked))
    people += invitations
    for invitation in invitations:
        erase_subject(Subject("invitation", invitation.ref), by_ref=by_ref, places=[locked.ref])

    users = [row.user for row in locked.memberships.select_related("user").order_by("pk")]
    for held in locked.memberships.select_related("user").order_by("pk"):
        record("member.removed", actor=actor, account=locked, subject=held, before=snapshot(held))
        held.delete()
        recheck(held.user_id)
    alone = [user for user in users if not reached_by(user).exists() and not user.is_operator]
    for user in alone:
        # Not the reason that was typed: it may name others, whom that entry does not seal.
        erase_person(
            user,
            actor=actor if actor != user else None,
            reason="The account was erased.",
            places=[locked.ref],
        )
    people += alone

    for network in locked.networks.order_by("pk"):
        close_network(network, actor=actor if actor not in alone else None, reason="The account was erased.")
    # Keys at the provider are nobody's values, and nothing here needs them any more.
    for connection in CloudConnection.objects.filter(account=locked):
        connection.api_key = connection.username = ""
        connection.save(update_fields=["api_key", "username", "updated_at"])
    locked.notes = locked.team_notes = ""
    locked.status, locked.archived_at = AccountStatus.ARCHIVED, locked.archived_at or now
    locked.save(update_fields=["notes", "team_notes", "status", "archived_at", "updated_at"])
    done = Erased(len(contacts | set(rows)), len(invitations), len(alone), len(users) - len(alone))
    record(
        "account.erased",
        actor=actor if actor not in alone else None,
        account=locked,
        subject=locked,
        after=asdict(done),
        reason=reason,
        people=people,
    )
    emit("account.erased", account=locked, subject=locked, actor=actor)
    return done


def empty_contact(ref: UUID) -> None:
    """Remove the live row of an erased contact, also from a restored backup, and what was told or waits to be."""
    for contact in Contact.objects.select_related("account").filter(ref=ref):
        if contact.email:
            forget_person(address=contact.email, account=contact.account)
            forget_sender(contact.account, contact.email)
        forget_answers_naming(ref, *words_of(contact), places=[contact.account.ref])
        contact.delete()


def empty_invitation(ref: UUID) -> None:
    """Take the mail address out of an invitation; that there was one, and to which role, stays.

    Its mail goes, and its link opens nothing any more: it would make a log-in for an address that nobody has.
    """
    rows = Invitation.objects.filter(ref=ref)
    for invitation in rows.select_related("account"):
        places = [invitation.account.ref] if invitation.account else []
        forget_answers_naming(ref, invitation.email, places=places)
    rows.update(email=f"erased-{ref.hex}@erased.invalid")
    rows.filter(accepted_at__isnull=True, revoked_at__isnull=True).update(revoked_at=timezone.now())
    forget_about(f"invitation:{ref}")


def empty_party(ref: UUID) -> None:
    """Remove the live row of another party that was erased with its account."""
    for party in OtherParty.objects.select_related("account").filter(ref=ref):
        forget_answers_naming(ref, party.name, party.email, party.phone, places=[party.account.ref])
        party.delete()


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
    RotationMember.objects.filter(user=user).delete()
    forget_answers_naming(ref, user.name, user.email, places=_places_of(user))
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
