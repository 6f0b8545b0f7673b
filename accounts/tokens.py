"""Keys for the API: a user's own, and an account's service tokens. Made, ended, and from where they may be used.

A service token acts in its maker's name on one account, as far as a role and its scopes go. It is good only while its
maker might make it still, so it ends in the very transaction that takes that from them (docs/decisions/0025).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.authentication import PREFIX, SERVICE_PREFIX, SHOWN, digest_of, new_secret
from accounts.models import Account, AccountStatus, ApiToken, User
from portal.access import (
    SCOPES,
    SERVICE_ROLES,
    SERVICE_SCOPES,
    Permission,
    may_make_service_token,
    permissions_of,
    permissions_on,
)
from portal.audit.services import record
from portal.errors import NotPermitted, Refused
from portal.rows import check_row
from portal.streams import recheck
from portal.webhooks.models import Endpoint, EndpointState
from portal.webhooks.sending import disable

LONGEST_TOKEN = timedelta(days=366)
MOST_NETWORKS = 20


def networks_of(values: Iterable[str]) -> list[str]:
    """Return networks as CIDR, each once, from addresses and networks as people type them.

    Raises Refused with the sentence for one that is none, has bits set beyond its length, or is the whole Internet.
    """
    found: list[str] = []
    for value in (value.strip() for value in values):
        if not value:
            continue
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise Refused(
                f"“{value[:60]}” is no address and no network. Write one like 203.0.113.7 or 203.0.113.0/24.",
                code="bad_network",
            ) from None
        if "/" in value and ipaddress.ip_address(value.partition("/")[0]) != network.network_address:
            raise Refused(
                f"“{value}” is an address inside of {network}. Which do you mean?", code="bad_network"
            )
        if network.prefixlen == 0:
            raise Refused(
                "A network of all addresses limits nothing. Leave the networks out for that.",
                code="bad_network",
            )
        if getattr(network.network_address, "ipv4_mapped", None) is not None:
            raise Refused(f"Write “{value}” as an IPv4 network.", code="bad_network")
        if str(network) not in found:
            found.append(str(network))
    if len(found) > MOST_NETWORKS:
        raise Refused(f"A token has at most {MOST_NETWORKS} networks.", code="bad_network")
    return found


@transaction.atomic
def make_token(
    user: User,
    *,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime,
    networks: Iterable[str] = (),
    now: datetime | None = None,
    made_by: ApiToken | None = None,
) -> tuple[ApiToken, str]:
    """Return a new token and its secret, which is shown once and never stored.

    `networks` are where it may be used from; none is everywhere. `made_by` is the token with which it is made, if
    any: it ends with that one, and reaches no further.
    """
    token = ApiToken(user=user, name=name, made_by=made_by)
    return _make(token, PREFIX, SCOPES, scopes, networks, expires_at, now)


@transaction.atomic
def make_service_token(
    account: Account,
    *,
    actor: User,
    name: str,
    role: str,
    scopes: Iterable[str],
    expires_at: datetime,
    networks: Iterable[str] = (),
    now: datetime | None = None,
    made_by: ApiToken | None = None,
) -> tuple[ApiToken, str]:
    """Return a new service token of an account and its secret, which is shown once and never stored.

    Raises NotPermitted for a role above the actor's own, Refused for an archived account, or for a scope that no
    service token has or that its role does not reach.
    """
    # Also against a change of the actor's role in this very moment.
    locked = Account.objects.select_for_update().get(pk=account.pk)
    if locked.status == AccountStatus.ARCHIVED:
        raise Refused(f"{account.name} is archived: it can be read, not changed.", code="archived")
    if role not in SERVICE_ROLES:
        raise Refused(f"No service token can be “{role}”.", code="unknown_role")
    if not may_make_service_token(permissions_on(actor, account), role):
        raise NotPermitted("You cannot make a token that may more than you.", code="role_above_own")
    wanted = frozenset(scopes)
    beyond = sorted(wanted & frozenset(SERVICE_SCOPES) - reach_of(role))
    if beyond:
        raise Refused(
            f"As {role.replace('_', ' ')} it would not get to {', '.join(beyond)}: leave that out, or give it a role "
            "that does.",
            code="scope_beyond_role",
        )
    token = ApiToken(user=actor, account=account, role=role, name=name, made_by=made_by)
    return _make(token, SERVICE_PREFIX, SERVICE_SCOPES, wanted, networks, expires_at, now)


def reach_of(role: str) -> frozenset[str]:
    """Return the scopes that a service token in this role can have."""
    may = permissions_of(frozenset({role}))
    return frozenset(SERVICE_SCOPES) & frozenset(permission.scope for permission in may)


def service_roles(actor: User, account: Account) -> tuple[str, ...]:
    """Return the roles that `actor` may give to a service token of the account, lowest first."""
    may = permissions_on(actor, account)
    return tuple(role for role in SERVICE_ROLES if may_make_service_token(may, role))


def _make(
    token: ApiToken,
    prefix: str,
    known: Sequence[str],
    scopes: Iterable[str],
    networks: Iterable[str],
    expires_at: datetime,
    now: datetime | None,
) -> tuple[ApiToken, str]:
    now = now or timezone.now()
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in known]
    if unknown:
        if token.account is not None and set(unknown) <= set(SCOPES):
            raise Refused(
                f"No service token has {', '.join(unknown)}: that takes a person.", code="scope_needs_person"
            )
        raise Refused(f"There is no scope {', '.join(unknown)}.", code="unknown_scope")
    if not wanted:
        raise Refused("Choose at least one scope: a token without any can do nothing.", code="scope_missing")
    if not now < expires_at <= now + LONGEST_TOKEN:
        raise Refused("A token ends between now and a year from now.", code="bad_expiry")
    secret = new_secret(prefix)
    token.prefix, token.digest = secret[:SHOWN], digest_of(secret)
    token.scopes, token.expires_at = wanted, expires_at
    token.networks = _within(token.made_by, networks_of(networks))
    check_row(token)
    token.save()
    record(
        "token.made",
        actor=token.user,
        account=token.account,
        subject=token,
        after={
            "name": token.name,
            "scopes": wanted,
            "expires_at": expires_at,
            "key_prefix": token.prefix,
            **({"role": token.role} if token.role else {}),
            **({"networks": token.networks} if token.networks else {}),
        },
    )
    return token, secret


def _within(maker: ApiToken | None, networks: list[str]) -> list[str]:
    """Return the networks of a token that was made with another one: those of that one, or narrower."""
    if maker is None or not maker.networks:
        return networks
    if not networks:
        return list(maker.networks)
    allowed = [ipaddress.ip_network(one) for one in maker.networks]
    for network in (ipaddress.ip_network(one) for one in networks):
        if not any(_is_inside(network, one) for one in allowed):
            raise NotPermitted(
                f"A token cannot make one that may be used from {network}, where it may not be used itself.",
                code="network_above_own",
            )
    return networks


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _is_inside(network: _Network, other: _Network) -> bool:
    return (
        network.version == other.version
        and network.prefixlen >= other.prefixlen
        and network.network_address in other
    )


def service_tokens_of(account: Account) -> QuerySet[ApiToken]:
    """Return an account's service tokens, with who made them."""
    return ApiToken.objects.filter(account=account).select_related("user")


@transaction.atomic
def revoke_token(token: ApiToken, *, actor: User | None, at: datetime, reason: str = "") -> ApiToken:
    """End a token now, with those that were made with it; a repeat changes nothing."""
    if ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=at):
        record(
            "token.revoked",
            actor=actor,
            account=token.account,
            subject=token,
            subject_label=f"{token.name} ({token.prefix}…)",
            reason=reason,
        )
        recheck(token.user_id)
        # Whoever stole the first one may have made others with it.
        for child in ApiToken.objects.filter(made_by=token, revoked_at__isnull=True):
            revoke_token(child, actor=actor, at=at, reason=reason)
    token.refresh_from_db()
    return token


@transaction.atomic
def revoke_all_tokens(user: User, *, actor: User, reason: str) -> int:
    """End every token that a user made, those for accounts too; return how many."""
    live = live_tokens(user)
    for token in live:
        revoke_token(token, actor=actor, at=timezone.now(), reason=reason)
    return len(live)


def live_tokens(user: User, *, now: datetime | None = None) -> list[ApiToken]:
    """Return what a user made that can be used still."""
    rows = ApiToken.objects.filter(user=user, revoked_at__isnull=True, expires_at__gt=now or timezone.now())
    return list(rows.select_related("user", "account").order_by("pk"))


def service_tokens_by(user: User, accounts: QuerySet[Account]) -> list[ApiToken]:
    """Return the service tokens of these accounts that a user made and that can be used still."""
    rows = ApiToken.objects.filter(
        user=user, account__in=accounts, revoked_at__isnull=True, expires_at__gt=timezone.now()
    )
    return list(rows.select_related("user", "account").order_by("pk"))


def end_webhooks(user: User, accounts: QuerySet[Account]) -> None:
    """Switch off the webhooks of these accounts that `user` set up and might not set up any more."""
    rows = Endpoint.objects.filter(made_by=user, account__in=accounts).exclude(state=EndpointState.DISABLED)
    for endpoint in rows.select_related("account__team").order_by("pk"):
        if Permission.WEBHOOK_EDIT not in permissions_on(user, endpoint.account):
            disable(
                endpoint,
                why="left",
                says="Whoever set it up may not set up webhooks of this account any more. Look whether the address is still "
                "the account's own; then resume it.",
                now=timezone.now(),
            )


def end_service_tokens(user: User, accounts: QuerySet[Account], *, actor: User | None, reason: str) -> int:
    """End the service tokens of these accounts that `user` made and might not make any more; return how many.

    Called after whatever took something from the user, in the same transaction. Webhooks that they set up, and might not
    any more, are switched off: the address may be theirs. The account's people are told, and resume what is still right.
    """
    end_webhooks(user, accounts)
    ended = 0
    for token in service_tokens_by(user, accounts):
        assert token.account is not None
        if not may_make_service_token(permissions_on(token.user, token.account), token.role):
            revoke_token(token, actor=actor, at=timezone.now(), reason=reason)
            ended += 1
    return ended
