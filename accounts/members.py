"""Roles on accounts and in teams: who has one, giving, changing and taking them away, each on record.

What may be done is said by accounts/roles.py, asked after the rows that decide it are locked: of two admins
who demote each other at the same moment one wins, and the other is refused. Locks are taken in one order:
account or team, then user, then runs.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import roles
from accounts.calendar.models import CalendarFeed
from accounts.contacts.models import RotationMember
from accounts.models import (
    Account,
    AccountRole,
    ApiToken,
    Membership,
    Team,
    TeamMembership,
    TeamRole,
    User,
)
from accounts.sessions import end_all_sessions
from accounts.tokens import end_service_tokens
from portal.audit.services import record, snapshot
from portal.audit.subjects import named
from portal.errors import NotPermitted, Refused
from portal.events.services import emit
from portal.runs import services as runs
from portal.streams import recheck


def raise_if(refused: roles.No | None) -> None:
    """Turn a rule's no into what pages and API answer: 403 where a right is missing, else 422."""
    if refused is not None:
        kind = NotPermitted if refused.lacks_right else Refused
        raise kind(refused.says, code=refused.code)


# --- who stands where --------------------------------------------------------------------------------------


def standing_on(user: User, account: Account) -> roles.Person:
    """Return how the rules see a user at an account; two queries."""
    role = Membership.objects.filter(user=user, account=account).values_list("role", flat=True).first()
    team_role = (
        TeamMembership.objects.filter(user=user, team_id=account.team_id)
        .values_list("role", flat=True)
        .first()
    )
    return roles.Person(role or "", team_role or "", user.is_active, user.is_operator)


def standing_in(user: User, team: Team) -> roles.Person:
    """Return how the rules see a user in a team; two queries."""
    team_role = TeamMembership.objects.filter(user=user, team=team).values_list("role", flat=True).first()
    is_customer = Membership.objects.filter(user=user, account__team=team).exists()
    return roles.Person("", team_role or "", user.is_active, user.is_operator, is_customer)


def other_admins(account: Account, user: User | None) -> int:
    """Return how many admins of an account can log in, without `user`."""
    admins = account.memberships.filter(role=AccountRole.ADMIN, user__is_active=True)
    return (admins.exclude(user=user) if user is not None else admins).count()


def other_leads(team: Team, user: User | None) -> int:
    """Return how many leads of a team can log in, without `user`."""
    leads = team.memberships.filter(role=TeamRole.LEAD, user__is_active=True)
    return (leads.exclude(user=user) if user is not None else leads).count()


def lock_account(account: Account) -> Account:
    """Let nobody else change this account's people until the transaction ends; returns the row as it is now.

    What only points to the account (a message, a run) need not wait: whoever writes it may hold a run's row.
    """
    return Account.objects.select_for_update(no_key=True).get(pk=account.pk)


def lock_team(team: Team) -> Team:
    """Let nobody else change this team's people until the transaction ends; returns the row as it is now."""
    return Team.objects.select_for_update(no_key=True).get(pk=team.pk)


def lock_user(user: User) -> User:
    """Let no other account or team change this person's roles meanwhile: nobody gets onto both sides."""
    return User.objects.select_for_update(no_key=True).get(pk=user.pk)


# --- accounts ----------------------------------------------------------------------------------------------


@transaction.atomic
def grant_role(
    account: Account, user: User, role: str, *, actor: User | None, invited: bool = False
) -> Membership:
    """Give a user a role on an account, or change it. `actor` None is the installation itself.

    `invited`: the user has just accepted the actor's invitation, so the entry names both. Whoever steps down
    by their own hand keeps the name of who gave them the role. Raises NotPermitted or Refused (roles.py).
    """
    lock_account(account)
    receiver = lock_user(user)
    is_self = actor is not None and actor.pk == user.pk
    giver = None if actor is None else standing_on(actor, account)
    raise_if(
        roles.give_role(
            giver,
            standing_on(receiver, account),
            role,
            other_admins=other_admins(account, user),
            is_self=is_self,
        )
    )
    held = Membership.objects.filter(account=account, user=user).first()
    before = snapshot(held) if held else {}
    fresh: dict[str, Any] = {"role": role}
    if not is_self:
        given_as = "" if giver is None else giver.team_role or giver.role
        fresh |= {"granted_by": actor, "granted_as": given_as, "granted_at": timezone.now()}
    made, _ = Membership.objects.update_or_create(account=account, user=user, defaults=fresh)
    record(
        "member.granted",
        actor=user if invited else actor,
        on_behalf_of=actor if invited else None,
        account=account,
        subject=made,
        subject_label=f"{user.name}: {role}",
        before=before,
        after=snapshot(made),
    )
    emit(
        "member.granted",
        account=account,
        subject=made,
        data={"user": str(user.ref), "role": role},
        actor=actor,
    )
    if held is not None and before.get("role") != role:
        # What rests on the old role is looked at again before anything more is sent.
        runs.facts_changed(says=f"The role of {named(user)} is {role} now.", actor=actor, account=account)
        _end_service_tokens(receiver, account, actor, f"{user.name} is {role} now.")
        recheck(user.pk)
    return made


@transaction.atomic
def remove_member(account: Account, user: User, *, actor: User | None) -> None:
    """Take a user's role on an account away, at once: pages, tokens and streams no longer reach it.

    Everybody may leave by themselves; the last admin stays. Raises NotPermitted or Refused (roles.py).
    """
    lock_account(account)
    receiver = lock_user(user)
    raise_if(
        roles.take_role(
            None if actor is None else standing_on(actor, account),
            standing_on(receiver, account),
            other_admins=other_admins(account, user),
            is_self=actor is not None and actor.pk == user.pk,
        )
    )
    held = Membership.objects.get(account=account, user=user)
    record("member.removed", actor=actor, account=account, subject=held, before=snapshot(held))
    emit(
        "member.removed",
        account=account,
        subject=held,
        data={"user": str(user.ref), "role": held.role},
        actor=actor,
    )
    held.delete()
    # An approval may rest on this person: nothing more is deleted before it was looked at again.
    runs.facts_changed(says=f"{named(user)} was removed from the account.", actor=actor, account=account)
    _end_service_tokens(receiver, account, actor, f"{user.name} was removed.")
    recheck(user.pk)


def _end_service_tokens(user: User, account: Account, actor: User | None, reason: str) -> None:
    end_service_tokens(user, Account.objects.filter(pk=account.pk), actor=actor, reason=reason)


# --- teams -------------------------------------------------------------------------------------------------


def accounts_of(team: Team) -> QuerySet[Account]:
    """Return the accounts that a team looks after."""
    return Account.objects.filter(team=team)


@transaction.atomic
def add_to_team(
    team: Team, user: User, role: str, *, actor: User | None = None, invited: bool = False
) -> TeamMembership:
    """Give a user a role in a team, or change it. `actor` None is the installation itself.

    Raises NotPermitted or Refused (roles.py).
    """
    lock_team(team)
    receiver = lock_user(user)
    is_self = actor is not None and actor.pk == user.pk
    raise_if(
        roles.give_team_role(
            None if actor is None else standing_in(actor, team),
            standing_in(receiver, team),
            role,
            other_leads=other_leads(team, user),
            is_self=is_self,
        )
    )
    held = TeamMembership.objects.filter(team=team, user=user).first()
    was = held.role if held is not None else ""
    fresh = {"role": role} if is_self else {"role": role, "granted_by": actor}
    made, _ = TeamMembership.objects.update_or_create(team=team, user=user, defaults=fresh)
    record(
        "team.member",
        actor=user if invited else actor,
        on_behalf_of=actor if invited else None,
        subject=made,
        subject_label=f"{user.name}: {role}",
        before={"role": was} if was else {},
        after={"team": team.name, "user": user.email, "role": role},
    )
    if was and was != role:
        _team_changed(team, f"The role of {named(user)} in {team} is {TeamRole(role).label} now.", actor)
        end_service_tokens(receiver, accounts_of(team), actor=actor, reason=f"{user.name} is {role} now.")
    return made


@transaction.atomic
def remove_from_team(team: Team, user: User, *, actor: User | None) -> None:
    """Take a user out of a team, at once, and with it from all its accounts. The last lead stays.

    Runs of these accounts look again before anything more is sent: the provider's approval may be this person's.
    """
    lock_team(team)
    receiver = lock_user(user)
    raise_if(
        roles.take_team_role(
            None if actor is None else standing_in(actor, team),
            standing_in(receiver, team),
            other_leads=other_leads(team, user),
            is_self=actor is not None and actor.pk == user.pk,
        )
    )
    held = TeamMembership.objects.get(team=team, user=user)
    record(
        "team.removed",
        actor=actor,
        subject=held,
        before={"team": team.name, "user": user.email, "role": held.role},
    )
    held.delete()
    # Whom the team's customers are told to call is of the team.
    RotationMember.objects.filter(rotation__team=team, user=user).delete()
    _team_changed(team, f"{named(user)} was taken out of {team}.", actor)
    end_service_tokens(receiver, accounts_of(team), actor=actor, reason=f"{user.name} left the team.")


def _team_changed(team: Team, says: str, actor: User | None) -> None:
    runs.facts_changed(says=says, actor=actor, accounts=accounts_of(team))
    recheck()


# --- log-ins -----------------------------------------------------------------------------------------------


def who_reach(account: Account) -> QuerySet[User]:
    """Return everybody with a role on an account, on either side, whose log-in works. Nobody else is named there."""
    return User.objects.filter(
        Q(pk__in=Membership.objects.filter(account=account).values("user"))
        | Q(pk__in=TeamMembership.objects.filter(team_id=account.team_id).values("user")),
        is_active=True,
    )


def reached_by(user: User) -> QuerySet[Account]:
    """Return every account on which a user has a role, on either side."""
    return Account.objects.filter(
        Q(pk__in=Membership.objects.filter(user=user).values("account"))
        | Q(team_id__in=TeamMembership.objects.filter(user=user).values("team"))
    )


@transaction.atomic
def deactivate_user(user: User, *, actor: User | None, reason: str, on_behalf_of: User | None = None) -> User:
    """Switch a log-in off: sessions, tokens and streams end at once, and what rests on the person is paused.

    `actor` is a lead of all teams of the person, or None for an operator's command (`on_behalf_of` names the
    operator), which alone may switch off whoever has a role elsewhere. Roles stay on record and count for nothing. Repeated it changes nothing.
    Raises NotPermitted or Refused (roles.py), and Refused without a reason.
    """
    if not reason.strip():
        raise Refused("Say why the log-in is switched off: it stays on the record.", code="reason_missing")
    teams = list(Team.objects.select_for_update().filter(memberships__user=user).order_by("pk"))
    locked = lock_user(user)
    if actor is not None:
        leads = set(
            TeamMembership.objects.filter(user=actor, role=TeamRole.LEAD).values_list("team_id", flat=True)
        )
        raise_if(
            roles.switch_off(
                [team.pk in leads for team in teams],
                has_customer_role=Membership.objects.filter(user=user).exists(),
                is_self=actor.pk == user.pk,
            )
        )
    if not locked.is_active:
        return locked
    locked.is_active = False
    locked.save(update_fields=["is_active"])
    now = timezone.now()
    for_accounts = end_service_tokens(
        locked, Account.objects.all(), actor=actor or on_behalf_of, reason=f"{user.name} was switched off."
    )
    tokens = for_accounts + ApiToken.objects.filter(
        user=user, revoked_at__isnull=True, expires_at__gt=now
    ).update(revoked_at=now)
    tokens += CalendarFeed.objects.filter(user=locked, revoked_at__isnull=True).update(revoked_at=now)
    record(
        "user.switched_off",
        actor=actor or on_behalf_of,
        subject=locked,
        before={"is_active": True},
        after={"is_active": False, "keys_ended": tokens},
        reason=reason,
    )
    # Also what could be revived when the log-in is switched on again.
    end_all_sessions(locked, actor=actor, reason=reason)
    runs.facts_changed(
        says=f"The log-in of {named(user)} was switched off.", actor=actor, accounts=reached_by(user)
    )
    recheck(user.pk)
    return locked


@transaction.atomic
def activate_user(user: User, *, actor: User | None, reason: str) -> User:
    """Switch a log-in on again, with the roles that it had. Its old sessions and tokens stay ended."""
    if not reason.strip():
        raise Refused("Say why the log-in is switched on: it stays on the record.", code="reason_missing")
    locked = lock_user(user)
    if locked.is_active:
        return locked
    locked.is_active = True
    locked.save(update_fields=["is_active"])
    record(
        "user.switched_on",
        actor=actor,
        subject=locked,
        before={"is_active": False},
        after={"is_active": True},
        reason=reason,
    )
    return locked
