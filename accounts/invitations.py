"""Invitations: offered by mail, accepted by whoever reads that mail, once, while the inviter could still give the role.

Opening the link changes nothing, since mail filters open every link: a button on its page accepts. Of the
token only a keyed hash is stored. Whether the mail address belongs to a user of the portal is told to nobody
but who holds the token. Each way in which an invitation no longer holds gives the same answer.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts import members, roles
from accounts.models import (
    Account,
    AccountRole,
    AccountStatus,
    Invitation,
    InvitationSent,
    Membership,
    Team,
    TeamMembership,
    TeamRole,
    User,
)
from portal.audit.services import record
from portal.errors import NotPermitted, Refused, StaleState, TooOften
from portal.events.services import emit
from portal.notify.services import tell

PREFIX = "ssi_"
SHOWN = 10
PER_INVITER_AN_HOUR = 20
PER_PLACE_A_DAY = 60
KEEP_SENDS_FOR = timedelta(days=30)
_LABELS = dict([*AccountRole.choices, *TeamRole.choices])


def new_token() -> str:
    """Return a fresh token: the prefix that secret scanners know, and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """Return what is stored of a token: a hash under the portal's own key."""
    return salted_hmac("accounts.invitations", token, algorithm="sha256").hexdigest()


def lasts() -> timedelta:
    """Return for how long an invitation is open."""
    return timedelta(days=settings.INVITATION_DAYS)


# --- does it hold? -----------------------------------------------------------------------------------------


def refusal_of(invitation: Invitation, *, now: datetime) -> roles.No | None:
    """Return why an open invitation does not hold now, None if it does. Asks what the inviter may give today."""
    if invitation.accepted_at is not None:
        return roles.No("used", "It was accepted.")
    if invitation.revoked_at is not None:
        return roles.No("revoked", "It was taken back.")
    if invitation.expires_at <= now:
        return roles.No("expired", "Nobody accepted it in time.")
    inviter = invitation.invited_by
    if inviter is None:
        return roles.No("void", "Who invited is no longer there.")
    if invitation.account is not None and invitation.account.status == AccountStatus.ARCHIVED:
        return roles.No("void", "The account is archived.")
    they, others = _standing_of(invitation, inviter)
    if invitation.account_id is not None:
        refused = roles.give_role(they, roles.NOBODY, invitation.role, other_admins=others)
    else:
        refused = roles.give_team_role(they, roles.NOBODY, invitation.role, other_leads=others)
    return None if refused is None else roles.No("void", f"{inviter.name} may no longer give this role.")


def _standing_of(invitation: Any, inviter: User) -> tuple[roles.Person, int]:
    """Return how the rules see the inviter, and how many admins (of a team: leads) could undo what is given.

    Three queries; none for a row of `with_standing`, which holds what was true when it was read.
    """
    if hasattr(invitation, "_inviters_team_role"):
        they = roles.Person(
            invitation._inviters_role,
            invitation._inviters_team_role,
            inviter.is_active,
            inviter.is_operator,
            invitation._inviter_is_customer,
        )
        return they, invitation._who_could_undo
    if invitation.account is not None:
        return members.standing_on(inviter, invitation.account), members.other_admins(
            invitation.account, None
        )
    assert invitation.team is not None
    return members.standing_in(inviter, invitation.team), members.other_leads(invitation.team, None)


def with_standing(rows: QuerySet[Invitation]) -> QuerySet[Any]:
    """Return invitations with all that `refusal_of` asks, in their own query: for lists, never for accepting.

    Whoever acts on an invitation asks afresh behind the lock, by a row without it.
    """
    own = Membership.objects.filter(user=OuterRef("invited_by"), account=OuterRef("account"))
    team_of = Coalesce(OuterRef("team"), OuterRef("account__team"))
    in_team = TeamMembership.objects.filter(user=OuterRef("invited_by"), team=team_of)
    elsewhere = Membership.objects.filter(user=OuterRef("invited_by"), account__team=OuterRef("team"))
    admins = Membership.objects.filter(
        account=OuterRef("account"), role=AccountRole.ADMIN, user__is_active=True
    )
    leads = TeamMembership.objects.filter(team=OuterRef("team"), role=TeamRole.LEAD, user__is_active=True)

    def how_many(found: QuerySet[Any], of: str) -> Coalesce:
        return Coalesce(Subquery(found.order_by().values(of).annotate(n=Count("pk")).values("n")), 0)

    return rows.select_related("invited_by", "account__team", "team").annotate(
        _inviters_role=Coalesce(Subquery(own.values("role")[:1]), Value("")),
        _inviters_team_role=Coalesce(Subquery(in_team.values("role")[:1]), Value("")),
        _inviter_is_customer=Exists(elsewhere),
        _who_could_undo=how_many(admins, "account") + how_many(leads, "team"),
    )


def invitation_of(token: str, *, now: datetime) -> Invitation | None:
    """Return the invitation that this token opens now, or None: unknown, used, taken back, over, void alike."""
    found = (
        Invitation.objects.select_related("account__team", "team", "invited_by")
        .filter(digest=digest_of(token))
        .first()
    )
    return found if found is not None and refusal_of(found, now=now) is None else None


@dataclass(frozen=True)
class Shown:
    """An open invitation as the members' page lists it. `state` is *pending*, *expired* or *void*."""

    row: Invitation
    state: str
    says: str
    sent_at: datetime | None
    times_sent: int


def open_rows(place: Account | Team) -> QuerySet[Any]:
    """Return the invitations that nobody has accepted or taken back, with how often and when they were sent."""
    open_ones = _of(place).filter(accepted_at__isnull=True, revoked_at__isnull=True)
    sent = InvitationSent.objects.filter(invitation=OuterRef("pk")).order_by().values("invitation")
    return with_standing(open_ones).annotate(
        times_sent=Coalesce(Subquery(sent.annotate(n=Count("pk")).values("n")), 0),
        last_sent_at=Subquery(sent.annotate(at_last=Max("at")).values("at_last")),
    )


def shown(rows: Iterable[Any], *, now: datetime) -> list[Shown]:
    """Return some of `open_rows` as a page lists them; asks nothing more."""
    found = []
    for row in rows:
        refused = refusal_of(row, now=now)
        if refused is not None and refused.code == "expired":
            refused = roles.No("expired", "Nobody accepted it in time. Send it again.")
        state = "pending" if refused is None else refused.code
        found.append(
            Shown(row, state, "" if refused is None else refused.says, row.last_sent_at, row.times_sent)
        )
    return found


def _of(place: Account | Team) -> QuerySet[Invitation]:
    return (
        Invitation.objects.filter(account=place)
        if isinstance(place, Account)
        else Invitation.objects.filter(team=place)
    )


# --- inviting ----------------------------------------------------------------------------------------------


@transaction.atomic
def invite(
    place: Account | Team, *, email: str, role: str, actor: User, now: datetime | None = None
) -> Invitation:
    """Invite whoever reads `email` to a role on an account or in a team; the mail goes out after the commit.

    An invitation to the same address that is still open is replaced. Raises NotPermitted or Refused
    (roles.py), Refused for an address that has a role here, TooOften past the limits.
    """
    now = now or timezone.now()
    email = email.strip().lower()
    place = _locked(place)
    members.raise_if(_may_invite(place, role, actor))
    _refuse_whom_we_know(place, email)
    _count(place, actor, now)
    replaced = _of(place).filter(email=email, accepted_at__isnull=True, revoked_at__isnull=True)
    for one in replaced.select_for_update():
        _revoke(one, actor, now)
    token = new_token()
    invitation = Invitation.objects.create(
        account=place if isinstance(place, Account) else None,
        team=place if isinstance(place, Team) else None,
        email=email,
        role=role,
        digest=digest_of(token),
        prefix=token[:SHOWN],
        invited_by=actor,
        expires_at=now + lasts(),
    )
    _send(invitation, token, actor, now)
    record(
        "invitation.sent",
        actor=actor,
        account=invitation.account,
        subject=invitation,
        after=_facts(invitation),
    )
    _emit("sent", invitation, actor)
    return invitation


@transaction.atomic
def send_again(invitation: Invitation, *, actor: User, now: datetime | None = None) -> Invitation:
    """Send a new mail with a new token, in the name of who asks for it now; the old link ends.

    Raises StaleState if it was accepted or taken back, else like `invite`.
    """
    now = now or timezone.now()
    place = _locked(_place_of(invitation))
    locked = _open(invitation)
    members.raise_if(_may_invite(place, locked.role, actor))
    _refuse_whom_we_know(place, locked.email)
    _count(place, actor, now)
    token = new_token()
    locked.digest, locked.prefix = digest_of(token), token[:SHOWN]
    locked.invited_by, locked.expires_at = actor, now + lasts()
    locked.save()
    _send(locked, token, actor, now)
    record("invitation.sent", actor=actor, account=locked.account, subject=locked, after=_facts(locked))
    _emit("sent", locked, actor)
    return locked


@transaction.atomic
def revoke(invitation: Invitation, *, actor: User, now: datetime | None = None) -> Invitation:
    """Take an invitation back: its link opens nothing from then on. A repeat changes nothing.

    Raises StaleState if it was accepted: then the member is to be removed. Raises NotPermitted.
    """
    place, locked = lock(invitation)
    members.raise_if(_may_revoke(place, actor))
    if locked.accepted_at is not None:
        raise StaleState(
            f"{locked.email} has accepted meanwhile. Remove the member instead.", code="accepted"
        )
    if locked.revoked_at is None:
        _revoke(locked, actor, now or timezone.now())
    return locked


def _revoke(locked: Invitation, actor: User, now: datetime) -> None:
    locked.revoked_at = now
    locked.save(update_fields=["revoked_at", "updated_at"])
    record("invitation.revoked", actor=actor, account=locked.account, subject=locked, before=_facts(locked))
    _emit("revoked", locked, actor)


def _locked(place: Account | Team) -> Account | Team:
    if isinstance(place, Team):
        return members.lock_team(place)
    account = members.lock_account(place)
    if account.status == AccountStatus.ARCHIVED:
        raise Refused(f"{account.name} is archived: it can be read, not changed.", code="archived")
    return account


def lock(invitation: Invitation) -> tuple[Account | Team, Invitation]:
    """Return an invitation's place and itself, locked in the order in which accepting does. Raises Refused."""
    return _locked(_place_of(invitation)), Invitation.objects.select_for_update().get(pk=invitation.pk)


def _place_of(invitation: Invitation) -> Account | Team:
    place = invitation.account or invitation.team
    assert place is not None
    return place


def _open(invitation: Invitation) -> Invitation:
    locked = Invitation.objects.select_for_update().get(pk=invitation.pk)
    if locked.accepted_at is not None or locked.revoked_at is not None:
        raise StaleState(
            "This invitation was accepted or taken back meanwhile. Nothing was sent.", code="not_open"
        )
    return locked


def _may_invite(place: Account | Team, role: str, actor: User) -> roles.No | None:
    if isinstance(place, Account):
        admins = members.other_admins(place, None)
        return roles.give_role(members.standing_on(actor, place), roles.NOBODY, role, other_admins=admins)
    leads = members.other_leads(place, None)
    return roles.give_team_role(members.standing_in(actor, place), roles.NOBODY, role, other_leads=leads)


def _may_revoke(place: Account | Team, actor: User) -> roles.No | None:
    """Whoever may give the lowest role here may take any offer back: nobody loses a right by it."""
    lowest = AccountRole.VIEWER if isinstance(place, Account) else TeamRole.LAUNCH_MANAGER
    return _may_invite(place, lowest, actor)


def _refuse_whom_we_know(place: Account | Team, email: str) -> None:
    """Refuse an address of the place's own people, whom the inviter sees anyway; of others nothing is told."""
    account = place if isinstance(place, Account) else None
    team = place.team if isinstance(place, Account) else place
    if account is not None and account.memberships.filter(user__email=email).exists():
        raise Refused(f"{email} is a member already. Change the role instead.", code="member_already")
    if team.memberships.filter(user__email=email).exists():
        if account is None:
            raise Refused(f"{email} is in the team already. Change the role instead.", code="member_already")
        raise Refused(
            f"{email} is one of the account's launch managers. Nobody stands on both sides of one account, "
            "since an approval needs two.",
            code="both_sides",
        )
    if account is None and User.objects.filter(email=email, memberships__account__team=team).exists():
        raise Refused(
            f"{email} has a role on an account of the team. Nobody stands on both sides of one account, "
            "since an approval needs two.",
            code="both_sides",
        )


def _count(place: Account | Team, actor: User, now: datetime) -> None:
    """Refuse what is more than anybody needs; the place and the inviter are locked, so that it is exact."""
    members.lock_user(actor)
    where = Q(invitation__account=place) if isinstance(place, Account) else Q(invitation__team=place)
    for counted, most, span, says, whose in (
        (Q(by=actor), PER_INVITER_AN_HOUR, timedelta(hours=1), "You have sent", "your log-in"),
        (
            where,
            PER_PLACE_A_DAY,
            timedelta(days=1),
            f"For {place} there were",
            f"{place}, for everybody who invites there together",
        ),
    ):
        times = list(
            InvitationSent.objects.filter(counted, at__gt=now - span)
            .order_by("-at")
            .values_list("at", flat=True)[:most]
        )
        if len(times) == most:
            wait = times[-1] + span - now
            raise TooOften(
                f"{says} {most} invitations in {'an hour' if span < timedelta(days=1) else 'a day'}, which is "
                "the most. Nothing was sent.",
                after_s=wait.total_seconds(),
                whose=whose,
                code="too_many_invitations",
            )


def forget_old_sends(now: datetime, *, batch: int = 1000) -> int:
    """Delete what was noted of mails of invitations that ended, 30 days after each was sent; return how many.

    In batches, safe to repeat. What is open yet still says when it was sent, and the limits count a day at most.
    """
    ended = (
        Q(invitation__accepted_at__isnull=False)
        | Q(invitation__revoked_at__isnull=False)
        | Q(invitation__expires_at__lt=now)
    )
    rows = InvitationSent.objects.filter(ended, at__lt=now - KEEP_SENDS_FOR).values("pk")[:batch]
    gone, _ = InvitationSent.objects.filter(pk__in=rows).delete()
    return gone


def _send(invitation: Invitation, token: str, actor: User, now: datetime) -> None:
    sent = InvitationSent.objects.create(invitation=invitation, by=actor, at=now)
    place = _place_of(invitation)
    tell(
        "invitation",
        address=invitation.email,
        subject_ref=f"invitation:{invitation.ref}",
        period=str(sent.pk),
        # Not `url`, which stays readable on the row: this path is a key.
        context={
            "link_url": reverse("join", args=[token]),
            "inviter": actor.name,
            "place": str(place),
            "is_team": isinstance(place, Team),
            "role": _LABELS[invitation.role],
            "may": what_it_means(invitation.role),
            "expires_at": invitation.expires_at,
            "time_zone": invitation.account.time_zone if invitation.account else actor.time_zone,
            "is_customer": isinstance(place, Account),
        },
        reason="invited to the portal",
        person=invitation,
        people=[actor, invitation],
    )


_MEANS = {
    "viewer": "read everything of the account and watch the work on it",
    "editor": "read everything, keep contacts up to date and draw up plans",
    "approver": "do what an editor does, approve plans, and stop the work at any moment",
    "admin": "do what an approver does, and say who else has access",
    "launch_manager": "look after all accounts of the team",
    "lead": "look after all accounts of the team, and say who is in it",
}


def what_it_means(role: str) -> str:
    """Return what somebody in this role does, in the words of a person."""
    return _MEANS[role]


def _emit(happened: str, invitation: Invitation, actor: User) -> None:
    """Tell the account's events; a team's invitations belong to no account."""
    if invitation.account is not None:
        emit(
            f"invitation.{happened}",
            account=invitation.account,
            subject=invitation,
            data={"role": invitation.role},
            actor=actor,
        )


def _facts(invitation: Invitation) -> dict[str, Any]:
    return {
        "email": invitation.email,
        "role": invitation.role,
        "expires_at": invitation.expires_at,
        "begins_with": invitation.prefix,
        **({"team": invitation.team.name} if invitation.team is not None else {}),
    }


# --- accepting ---------------------------------------------------------------------------------------------

GONE = (
    "This invitation opens nothing. It may have been used already, taken back, or be too old, or the address "
    "was cut off. If it was used by you, log in. Else ask who invited you to send it again."
)


class InvitationGone(Refused):
    """The token opens nothing, for whatever reason: one sentence for all of them."""

    def __init__(self) -> None:
        super().__init__(GONE, code="invitation_gone")


def has_log_in(invitation: Invitation) -> bool:
    """Whether the invited address is a user's already; told only to who holds the token."""
    return User.objects.filter(email=invitation.email).exists()


@transaction.atomic
def accept_as_new(
    token: str, *, name: str, password: str, time_zone: str = "", now: datetime | None = None
) -> User:
    """Make the invited person's log-in, with the role. Holding the token proves the address.

    Raises InvitationGone; Refused for a weak password (code `password`), or where there is a log-in already.
    """
    now = now or timezone.now()
    invitation = _claimed(token, now)
    if has_log_in(invitation):
        raise Refused(
            f"There is a log-in for {invitation.email} already. Log in, then accept.", code="log_in_first"
        )
    zone = time_zone or (invitation.account.time_zone if invitation.account else "UTC")
    fresh = User(email=invitation.email, name=name, time_zone=zone)
    try:
        validate_password(password, fresh)
    except ValidationError as error:
        raise Refused(" ".join(error.messages), code="password") from error
    from accounts.services import create_user

    user = create_user(email=invitation.email, name=name, password=password, time_zone=zone)
    _give(invitation, user, now)
    return user


@transaction.atomic
def accept_as(user: User, token: str, *, now: datetime | None = None) -> Invitation:
    """Take the role as a user who is logged in with the invited address.

    Raises InvitationGone; NotPermitted for somebody logged in with another address; Refused (roles.py).
    """
    now = now or timezone.now()
    invitation = _claimed(token, now)
    if user.email != invitation.email:
        raise NotPermitted(
            f"This invitation is for {invitation.email}, and you are logged in as {user.email}. Log out, then "
            "open it again. Nothing was changed.",
            code="another_address",
        )
    _give(invitation, user, now)
    return invitation


def _claimed(token: str, now: datetime) -> Invitation:
    """Return the invitation, its place and itself locked, if it holds: of two who accept at once one does."""
    found = Invitation.objects.select_related("account", "team").filter(digest=digest_of(token)).first()
    if found is None:
        raise InvitationGone
    place = _place_of(found)
    if isinstance(place, Account):
        members.lock_account(place)
    else:
        members.lock_team(place)
    locked = (
        Invitation.objects.select_for_update(of=("self",))
        .select_related("account__team", "team", "invited_by")
        .get(pk=found.pk)
    )
    # Sent again meanwhile: this token is an old one.
    if locked.digest != found.digest or refusal_of(locked, now=now) is not None:
        raise InvitationGone
    return locked


def _give(invitation: Invitation, user: User, now: datetime) -> None:
    """Give the role in the inviter's name; a repeat for somebody who has a role is refused, not overwritten."""
    inviter = invitation.invited_by
    if invitation.account is not None:
        if invitation.account.memberships.filter(user=user).exists():
            raise Refused(
                "You have a role on this account already. An admin of it can change the role.",
                code="member_already",
            )
        members.grant_role(invitation.account, user, invitation.role, actor=inviter, invited=True)
    else:
        assert invitation.team is not None
        if invitation.team.memberships.filter(user=user).exists():
            raise Refused(
                "You are in this team already. A lead of it can change your role.", code="member_already"
            )
        members.add_to_team(invitation.team, user, invitation.role, actor=inviter, invited=True)
    invitation.accepted_at, invitation.accepted_by = now, user
    invitation.save(update_fields=["accepted_at", "accepted_by", "updated_at"])
    record(
        "invitation.accepted",
        actor=user,
        on_behalf_of=inviter,
        account=invitation.account,
        subject=invitation,
        after=_facts(invitation),
    )
    _emit("accepted", invitation, user)
