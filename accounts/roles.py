"""Who may give, change and take which role: pure, so that every rule stands once and is tried by itself.

Each function answers None (it may be done) or a `No` with the sentence. A giver of None is the installation
itself (a command in the operator's shell): it is bound by what must always hold, not by anybody's rights.

- Nobody gives or takes what is above their own: every permission of the role must be the giver's too.
- The exception is a lead, who gives an account its first admin, and may take any role but the last admin's.
- Nobody raises the own role; everybody may step down or leave, except the last admin and a team's last lead.
- Nobody stands on the customer's and the provider's side of one account. An operator stands on neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from portal.access import ACCOUNT_ROLES, TEAM_ROLES, Permission, permissions_of

_RANK = {role: rank for rank, role in enumerate([*ACCOUNT_ROLES, *TEAM_ROLES])}


@dataclass(frozen=True)
class Person:
    """Somebody as the rules see them: the role on the account, and the one in the (account's) team; "" is none.

    `is_customer` counts for teams: the person has a role on some account that the team looks after.
    """

    role: str = ""
    team_role: str = ""
    is_active: bool = True
    is_operator: bool = False
    is_customer: bool = False

    @property
    def may(self) -> frozenset[Permission]:
        """What this person may do here."""
        if self.is_operator or not self.is_active:
            return frozenset()
        return permissions_of(frozenset({self.role, self.team_role}))


NOBODY = Person()


@dataclass(frozen=True)
class No:
    """Why not. `lacks_right`: the giver may not (403), else what is asked for cannot be (422)."""

    code: str
    says: str
    lacks_right: bool = False


_OPERATOR = No("operator", "An operator of the installation sees no account and joins no team.")
_ABOVE_OWN = No("role_above_own", "You cannot give a role above your own.", lacks_right=True)
_OWN_ROLE = No("own_role", "Nobody raises the own role. Somebody else with the right can.", lacks_right=True)
_BOTH_SIDES = "Nobody stands on both sides of one account, since an approval needs two. Nothing was changed."
LAST_ADMIN = No("last_admin", "The last admin of an account stays. Make somebody else admin first.")
LAST_LEAD = No("last_lead", "The last lead of a team stays. Make somebody else lead first.")


def give_role(
    giver: Person | None, receiver: Person, role: str, *, other_admins: int, is_self: bool = False
) -> No | None:
    """Answer whether `giver` may give `receiver` this role on the account, or change theirs to it.

    `other_admins` counts the account's admins who can log in, without the receiver.
    """
    if role not in ACCOUNT_ROLES:
        return No("unknown_role", f"There is no role “{role}”.")
    if giver is not None:
        refused = _may_give(giver, receiver, role, other_admins=other_admins, is_self=is_self)
        if refused is not None:
            return refused
    if receiver.is_operator:
        return _OPERATOR
    if receiver.team_role:
        return No("both_sides", f"This is one of the account's launch managers. {_BOTH_SIDES}")
    if role != "admin" and _is_last_admin(receiver, other_admins):
        return LAST_ADMIN
    return None


def _may_give(giver: Person, receiver: Person, role: str, *, other_admins: int, is_self: bool) -> No | None:
    if Permission.MEMBER_EDIT not in giver.may and not (is_self and giver.role):
        return No("no_right", "You may not give roles on this account.", lacks_right=True)
    if is_self and (not receiver.role or _RANK[role] > _RANK[receiver.role]):
        return _OWN_ROLE
    is_lead = Permission.TEAM_EDIT in giver.may
    first_admin = is_lead and role == "admin" and other_admins == 0 and not _is_admin(receiver)
    if not first_admin and not is_self and not ACCOUNT_ROLES[role] <= giver.may:
        return _ABOVE_OWN
    return None if is_self else _above(giver, receiver)


def take_role(
    giver: Person | None, receiver: Person, *, other_admins: int, is_self: bool = False
) -> No | None:
    """Answer whether `giver` may take the receiver's role on the account away; everybody may leave."""
    if not receiver.role:
        return No("no_member", "There is no such member of this account.")
    if giver is not None and not is_self:
        if Permission.MEMBER_EDIT not in giver.may:
            return No("no_right", "You may not remove members of this account.", lacks_right=True)
        refused = _above(giver, receiver)
        if refused is not None:
            return refused
    return LAST_ADMIN if _is_last_admin(receiver, other_admins) else None


def _above(giver: Person, receiver: Person) -> No | None:
    """Nobody changes or takes a role that they could not have given; a lead may, who answers for the account."""
    if not receiver.role or Permission.TEAM_EDIT in giver.may:
        return None
    if ACCOUNT_ROLES[receiver.role] <= giver.may:
        return None
    return No(
        "role_above_own",
        "This person's role is above your own. An admin of the account can change it.",
        lacks_right=True,
    )


def _is_admin(person: Person) -> bool:
    return person.role == "admin" and person.is_active


def _is_last_admin(person: Person, other_admins: int) -> bool:
    return _is_admin(person) and other_admins == 0


def give_team_role(
    giver: Person | None, receiver: Person, role: str, *, other_leads: int, is_self: bool = False
) -> No | None:
    """Answer whether `giver` may give `receiver` this role in the team; only `team_role` counts of both."""
    if role not in TEAM_ROLES:
        return No("unknown_role", f"There is no team role “{role}”.")
    if giver is not None:
        if Permission.TEAM_EDIT not in giver.may and not (is_self and giver.team_role):
            return No("no_right", "Only a lead of the team can change who is in it.", lacks_right=True)
        if is_self and (not receiver.team_role or _RANK[role] > _RANK[receiver.team_role]):
            return _OWN_ROLE
    if receiver.is_operator:
        return _OPERATOR
    if receiver.is_customer:
        return No("both_sides", f"This person has a role on an account of the team. {_BOTH_SIDES}")
    if role != "lead" and _is_last_lead(receiver, other_leads):
        return LAST_LEAD
    return None


def take_team_role(
    giver: Person | None, receiver: Person, *, other_leads: int, is_self: bool = False
) -> No | None:
    """Answer whether `giver` may take the receiver out of the team; everybody may leave."""
    if not receiver.team_role:
        return No("no_member", "There is no such member of this team.")
    if giver is not None and not is_self and Permission.TEAM_EDIT not in giver.may:
        return No("no_right", "Only a lead of the team can change who is in it.", lacks_right=True)
    return LAST_LEAD if _is_last_lead(receiver, other_leads) else None


def _is_last_lead(person: Person, other_leads: int) -> bool:
    return person.team_role == "lead" and person.is_active and other_leads == 0


def switch_off(giver_leads: Sequence[bool], *, has_customer_role: bool, is_self: bool) -> No | None:
    """Answer whether a lead may switch a log-in off: `giver_leads` says of each team of the person whether the
    giver leads it. What reaches beyond those teams is for an operator of the installation."""
    if not giver_leads or not any(giver_leads):
        return No("no_right", "Only a lead of the team can switch a log-in off.", lacks_right=True)
    if is_self:
        return No("own_log_in", "Nobody switches off the own log-in. Another lead or an operator can.")
    if has_customer_role or not all(giver_leads):
        return No(
            "not_yours_alone",
            "Only an operator of the installation can switch this log-in off. "
            "You can take the person out of your team.",
        )
    return None


def roles_to_give(giver: Person, *, other_admins: int) -> tuple[str, ...]:
    """Return the account roles that `giver` may give to somebody new, lowest first: what a form offers."""
    return tuple(
        role for role in ACCOUNT_ROLES if give_role(giver, NOBODY, role, other_admins=other_admins) is None
    )
