"""Each change that a person can make to people, contacts and connections, on record in its transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.changes import apply_changes, check_active, check_no_pin
from accounts.contacts.services import add_contact as add_contact
from accounts.contacts.services import change_contact as change_contact
from accounts.contacts.services import confirm_contact as confirm_contact
from accounts.contacts.services import record_contacts_export as record_contacts_export
from accounts.contacts.services import remove_contact as remove_contact
from accounts.members import add_to_team as add_to_team
from accounts.members import grant_role as grant_role
from accounts.members import remove_member as remove_member
from accounts.models import (
    Account,
    AccountStatus,
    CloudConnection,
    Team,
    User,
)
from accounts.names import person_name
from accounts.texts import people_in
from portal.audit.services import record, snapshot
from portal.egress import check_url
from portal.errors import Refused
from portal.events.services import emit
from portal.rows import check_row
from portal.runs.models import OVER, Run

# --- people ------------------------------------------------------------------------------------------------


@transaction.atomic
def create_user(
    *,
    email: str,
    name: str,
    password: str | None,
    time_zone: str = "UTC",
    is_operator: bool = False,
    actor: User | None = None,
) -> User:
    """Make a user. Without a password the user cannot log in by one. Raises Refused for a mail in use."""
    if User.objects.filter(email=email.strip().lower()).exists():
        raise Refused(f"There is a user with the mail address {email} already.", code="email_taken")
    user = User.objects.create_user(
        email=email, password=password, name=person_name(name), time_zone=time_zone, is_operator=is_operator
    )
    record("user.added", actor=actor, subject=user, after=snapshot(user))
    return user


@transaction.atomic
def change_own_settings(user: User, *, name: str, time_zone: str) -> User:
    """Change what belongs to the user: name and time zone."""
    before = snapshot(user)
    user.name, user.time_zone = name if name == user.name else person_name(name), time_zone
    check_row(user)
    user.save(update_fields=["name", "time_zone"])
    record("user.changed", actor=user, subject=user, before=before, after=snapshot(user))
    return user


# --- accounts ----------------------------------------------------------------------------------------------


@transaction.atomic
def open_account(*, team: Team, name: str, number: str, actor: User | None = None, **fields: Any) -> Account:
    """Open an account for a customer of a team."""
    account = Account(team=team, name=" ".join(name.split()), number=number, **fields)
    check_row(account)
    account.save()
    record("account.opened", actor=actor, account=account, subject=account, after=snapshot(account))
    emit("account.opened", account=account, subject=account, actor=actor)
    return account


ACCOUNT_FIELDS = ("name", "time_zone", "service_level", "milestone", "notes", "team_notes")


@transaction.atomic
def change_account(account: Account, changes: Mapping[str, Any], *, actor: User) -> Account:
    """Change an account's own fields (`ACCOUNT_FIELDS`)."""
    locked = Account.objects.select_for_update().get(pk=account.pk)
    check_active(locked)
    before = snapshot(locked)
    apply_changes(locked, changes, ACCOUNT_FIELDS)
    check_no_pin(*(str(changes.get(name, "")) for name in _FREE_TEXT))
    check_row(locked)
    locked.save()
    after = snapshot(locked)
    record(
        "account.changed",
        actor=actor,
        account=locked,
        subject=locked,
        before=before,
        after=after,
        people=people_in(locked, *(str(one[name]) for one in (before, after) for name in _FREE_TEXT)),
    )
    emit("account.changed", account=locked, subject=locked, actor=actor)
    return locked


_FREE_TEXT = ("notes", "team_notes")


@transaction.atomic
def archive_account(account: Account, *, reason: str, actor: User) -> Account:
    """Archive an account: from then on it is read and not changed. Runs must be over first.

    Invitations to it open nothing any more. A repeat changes nothing. Raises Refused while a run is open, or
    without a reason.
    """
    locked = Account.objects.select_for_update().get(pk=account.pk)
    if locked.status == AccountStatus.ARCHIVED:
        return locked
    if not reason.strip():
        raise Refused("Say why the account is archived: it stays on the record.", code="reason_missing")
    # A run that is being made holds the account's row by its foreign key, so none slips past.
    live = Run.objects.filter(account=locked).exclude(status__in=OVER).first()
    if live is not None:
        raise Refused(
            f"“{live.title}” is not over yet. Let it end, or end it, before the account is archived. Nothing "
            "was changed.",
            code="run_open",
        )
    return _set_status(locked, AccountStatus.ARCHIVED, "account.archived", reason, actor)


@transaction.atomic
def reopen_account(account: Account, *, reason: str, actor: User) -> Account:
    """Take an account out of the archive. A repeat changes nothing. Raises Refused without a reason."""
    locked = Account.objects.select_for_update().get(pk=account.pk)
    if locked.status == AccountStatus.ACTIVE:
        return locked
    if not reason.strip():
        raise Refused("Say why the account is opened again: it stays on the record.", code="reason_missing")
    return _set_status(locked, AccountStatus.ACTIVE, "account.reopened", reason, actor)


def _set_status(locked: Account, status: AccountStatus, what: str, reason: str, actor: User) -> Account:
    before = snapshot(locked, ("status",))
    locked.status = status
    locked.archived_at = timezone.now() if status == AccountStatus.ARCHIVED else None
    locked.save(update_fields=["status", "archived_at", "updated_at"])
    record(
        what,
        actor=actor,
        account=locked,
        subject=locked,
        before=before,
        after=snapshot(locked, ("status",)),
        reason=reason,
    )
    emit(what, account=locked, subject=locked, actor=actor)
    return locked


# --- cloud connections -------------------------------------------------------------------------------------

CONNECTION_FIELDS = ("name", "provider", "identity_url", "username", "api_key", "tenant", "region")
FIXED_ONCE_USED = ("provider", "identity_url", "tenant", "region")


def check_identity_url(url: str) -> None:
    """Raise Refused for an identity endpoint that the portal would not call, or that the operator has not named.

    The portal believes what the endpoint says of a tenant, so an operator can name the provider's own (`IDENTITY_HOSTS`).
    """
    target = check_url(url)
    if not settings.IDENTITY_HOSTS:
        return
    if not {target.host, f"{target.host}:{target.port}"} & set(settings.IDENTITY_HOSTS):
        raise Refused(
            f"Cloud connections of this portal point to {' or '.join(settings.IDENTITY_HOSTS)} only. "
            "Check the endpoint, or ask an operator to add its host to IDENTITY_HOSTS.",
            code="endpoint_not_allowed",
        )


@transaction.atomic
def add_connection(account: Account, fields: Mapping[str, Any], *, actor: User | None) -> CloudConnection:
    """Add the credentials with which the portal reaches a provider account. The key is stored encrypted."""
    check_active(account)
    connection = CloudConnection(account=account, created_by=actor)
    apply_changes(connection, fields, CONNECTION_FIELDS)
    if not connection.api_key:
        raise Refused("A cloud connection needs the provider's API key.", code="key_missing")
    check_identity_url(connection.identity_url)
    check_row(connection)
    connection.save()
    record("connection.added", actor=actor, account=account, subject=connection, after=snapshot(connection))
    return connection


@transaction.atomic
def change_connection(
    connection: CloudConnection, changes: Mapping[str, Any], *, actor: User
) -> CloudConnection:
    """Change a connection. Once used, provider, endpoint, tenant and region stay; name and key can change.

    A new endpoint needs its key: who may not read the stored one must not have it sent to themselves either.
    """
    locked = (
        CloudConnection.objects.select_for_update(of=("self",))
        .select_related("account")
        .get(pk=connection.pk)
    )
    check_active(locked.account)
    before = snapshot(locked)
    moved = [name for name in FIXED_ONCE_USED if name in changes and changes[name] != getattr(locked, name)]
    if locked.used_at is not None and moved:
        raise Refused(
            "A plan was drawn up with this connection, so where it points stays as it is. "
            "Add a new connection for another endpoint, tenant or region.",
            code="connection_used",
        )
    changes = {name: value for name, value in changes.items() if name != "api_key" or value}
    if any(name in moved for name in ("provider", "identity_url")) and "api_key" not in changes:
        raise Refused(
            "The stored key belongs to the present endpoint and is sent to no other. "
            "Give the key for the new endpoint with it. Nothing was changed.",
            code="key_missing",
        )
    apply_changes(locked, changes, CONNECTION_FIELDS)
    if "identity_url" in moved:
        check_identity_url(locked.identity_url)
    check_row(locked)
    locked.save()
    record(
        "connection.changed",
        actor=actor,
        account=locked.account,
        subject=locked,
        before=before,
        after=snapshot(locked),
        changed_secrets=("api_key",) if "api_key" in changes else (),
    )
    return locked


@transaction.atomic
def mark_connection_used(connection: CloudConnection, *, at: datetime) -> None:
    """Note that something rests on where this connection points; called when a plan is drawn up with it."""
    CloudConnection.objects.filter(pk=connection.pk, used_at__isnull=True).update(used_at=at)


@transaction.atomic
def store_check(
    connection: CloudConnection, result: Mapping[str, Any], *, at: datetime, actor: User | None
) -> None:
    """Keep what the read-only test found."""
    CloudConnection.objects.filter(pk=connection.pk).update(
        check_result=dict(result), last_checked_at=at, updated_at=at
    )
    record(
        "connection.tested",
        actor=actor,
        account=connection.account,
        subject=connection,
        after={line["name"]: line["outcome"] for line in result["lines"]},
    )
