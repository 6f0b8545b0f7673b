"""Stopping everything: a standstill for one cloud connection, one account, or all; put by one person, lifted by another.

All raise Refused, NotPermitted or StaleState with a sentence for people, and record the change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db import transaction

from portal import access
from portal.access import Permission
from portal.errors import NotPermitted, Refused
from portal.runs import services as runs
from portal.runs import standstills
from portal.runs.models import Standstill

if TYPE_CHECKING:
    from accounts.models import Account, CloudConnection, User

from scaledown.services import require


def standstill_scope(scope: str, account: Account, connection: CloudConnection | None) -> str:
    """Return the engine's key of a scope: `account`, `connection` or `team` of this account.

    Raises Refused for another word or a connection of another account.
    """
    if scope == "account":
        return f"account:{account.ref}"
    if scope == "team":
        return f"team:{account.team.ref}"
    if scope == "connection":
        if connection is None or connection.account_id != account.pk:
            raise Refused(
                "Name the cloud connection of this account that shall stand still.", code="no_connection"
            )
        return f"connection:{connection.ref}"
    raise Refused("A standstill is for an account, a connection or a team.", code="unknown_scope")


@transaction.atomic
def put_standstill(
    scope: str,
    *,
    account: Account,
    actor: User,
    reason: str,
    connection: CloudConnection | None = None,
) -> Standstill:
    """Stop everything there: no change is sent any more but putting back, until a person lifts it.

    A whole team is stopped by its launch managers only, the own account by its approvers too. A service token
    belongs to one account, so it stops no team.
    """
    key = standstill_scope(scope, account, connection)
    needed = Permission.RUN_COMMAND if scope == "team" else Permission.STANDSTILL_PUT
    _require_where_it_reaches(key, actor, needed, account)
    put = runs.put_standstill(key, reason=reason, actor=actor)
    standstills.put_on_record("standstill.put", put, actor=actor, reason=reason)
    return put


def _require_where_it_reaches(scope: str, actor: User, permission: Permission, account: Account) -> None:
    """Ask for the right on all that a standstill touches, not on the account alone from which it is asked."""
    require(actor, permission, account)
    if scope == runs.EVERYWHERE:
        raise NotPermitted(
            "The whole portal is stopped and let go on by its operator. Nothing was changed.",
            code="not_permitted",
        )
    if scope == f"team:{account.team.ref}":
        if permission not in access.team_permissions(actor, account.team):
            raise NotPermitted(
                f"This stops, or lets go on, all accounts of {account.team}: only its own people do that, logged in "
                "or with a token of their own. Nothing was changed.",
                code="not_permitted",
            )
    elif scope.startswith("team:") or account not in standstills.accounts_in(scope):
        raise Refused("There is no such standstill on this account. Nothing was changed.", code="unknown")


@transaction.atomic
def lift_standstill(standstill: Standstill, *, account: Account, actor: User, reason: str) -> Standstill:
    """Let work go on, with a reason. Only a lead may, and only where they lead all that it touches."""
    _require_where_it_reaches(standstill.scope, actor, Permission.STANDSTILL_LIFT, account)
    lifted = runs.lift_standstill(standstill, reason=reason, actor=actor)
    standstills.put_on_record("standstill.lifted", lifted, actor=actor, reason=reason)
    return lifted


def standstill_scopes(accounts: Iterable[Account]) -> list[str]:
    """Return every scope that touches these accounts (for lists of standstills)."""
    scopes = {runs.EVERYWHERE}
    for account in accounts:
        scopes |= {f"account:{account.ref}", f"team:{account.team.ref}"}
        scopes |= {f"connection:{connection.ref}" for connection in account.connections.all()}
    return sorted(scopes)
