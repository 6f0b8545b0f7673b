"""Private networks that the operator opened for one account: what the portal may ask there for it, and for nobody else.

    open_network(account, "10.1.0.0/16", actor=operator, reason="…") -> OpenedNetwork
    close_network(opened, actor=operator, reason="…")
    networks_of(account) -> ("10.1.0.0/16", …)         what goes to `portal.egress` with each of the account's addresses

Probes, status pages of servers, direct looks at nodes, queries of series, proofs of hosts and loads go there. Webhooks do not,
and neither do identity services, which belong to the whole installation.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import OuterRef, QuerySet

from accounts.changes import check_active, check_no_pin
from accounts.members import lock_account
from accounts.models import Account, OpenedNetwork
from portal.audit.services import record, snapshot
from portal.egress import METADATA_ADDRESSES, IPNetwork
from portal.errors import Refused
from portal.rows import check_row

if TYPE_CHECKING:
    from accounts.models import User

MOST_OF_ACCOUNT = 20
# Addresses that anybody's servers may have inside. Of loopback, link-local and public ones none is opened for an account.
_INSIDE: tuple[IPNetwork, ...] = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)


def network_of(typed: str) -> IPNetwork:
    """Return the network that was typed as CIDR. Raises Refused for what is none, and for one that is not private."""
    try:
        found = ipaddress.ip_network(typed.strip())
    except ValueError:
        raise Refused(
            "Write the network in CIDR notation, with no bit set behind its length, like 10.1.0.0/16.",
            code="bad_network",
        ) from None
    if not any(_lies_in(found, inside) for inside in _INSIDE):
        raise Refused(
            f"{found} is no private network. Opened is what lies in 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, "
            "100.64.0.0/10 or fc00::/7.",
            code="not_private",
        )
    if found.num_addresses == 1 and found.network_address in METADATA_ADDRESSES:
        raise Refused(f"{found} is a cloud’s metadata service: it is never asked.", code="metadata")
    return found


def _lies_in(inner: IPNetwork, outer: IPNetwork) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]  # the same version


@transaction.atomic
def open_network(
    account: Account, typed: str, *, actor: User, reason: str, is_shared: bool = False
) -> OpenedNetwork:
    """Open a network for an account. What overlaps with another account's needs `is_shared`: each then reaches the other's servers.

    Raises Refused with a sentence.
    """
    locked = lock_account(account)
    check_active(locked)
    check_no_pin(reason)
    network = network_of(typed)
    if not reason.strip():
        raise Refused("Say why the network is opened: it stays on the record.", code="reason_missing")
    if OpenedNetwork.objects.filter(account=locked).count() >= MOST_OF_ACCOUNT:
        raise Refused(f"An account has at most {MOST_OF_ACCOUNT} networks. Close one first.", code="too_many")
    others = OpenedNetwork.objects.exclude(account=locked).select_related("account").order_by("pk")
    shared = next((row for row in others if _overlaps(network, row.network)), None)
    if shared is not None and not is_shared:
        raise Refused(
            f"{shared.network} is open for {shared.account} already, so that each account would reach the other’s servers. "
            "Say --shared if that is meant.",
            code="shared",
        )
    row = OpenedNetwork(account=locked, network=str(network), reason=reason.strip(), opened_by=actor)
    check_row(row)
    row.save(force_insert=True)
    record("network.opened", actor=actor, account=locked, subject=row, after=snapshot(row), reason=row.reason)
    return row


def _overlaps(network: IPNetwork, text: str) -> bool:
    other = ipaddress.ip_network(text)
    return network.version == other.version and network.overlaps(other)


@transaction.atomic
def close_network(opened: OpenedNetwork, *, actor: User | None, reason: str) -> None:
    """Close a network: from the next request on nothing is asked there for this account."""
    check_no_pin(reason)
    if not reason.strip():
        raise Refused("Say why the network is closed: it stays on the record.", code="reason_missing")
    row = OpenedNetwork.objects.select_for_update(of=("self",)).select_related("account").get(pk=opened.pk)
    record(
        "network.closed",
        actor=actor,
        account=row.account,
        subject=row,
        before=snapshot(row),
        reason=reason.strip(),
    )
    row.delete()


def networks_of(account: Account) -> tuple[str, ...]:
    """Return the networks that are open for an account, in CIDR notation. One query, none for a row of `with_networks`."""
    known = vars(account).get("opened_now")
    if known is None:
        rows = OpenedNetwork.objects.filter(account=account).order_by("network")
        known = rows.values_list("network", flat=True)
    return tuple(known)


def with_networks(rows: QuerySet[Account]) -> QuerySet[Account]:
    """Have each account come with its networks, for `networks_of`."""
    opened = OpenedNetwork.objects.filter(account=OuterRef("pk")).order_by("network")
    return rows.annotate(opened_now=ArraySubquery(opened.values("network")))
