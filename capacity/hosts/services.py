"""Entering a host, looking for its proof, removing it.

    add(account, "shop.example.com", actor=user) -> ProvenHost      what to publish is on it
    check(host, actor=user) -> ProvenHost                           looks now: TXT record first, then the file
    ensure(account, places, actor=user)                             looks again, refuses unless all are proven
    ensure_addresses(account, urls, pins)                           asks each address of theirs for the file, refuses unless all give it
    lost(account_id, places) -> str                                 why load there must not go on, as far as is known
    remove(host, actor=user)

All raise Refused with a sentence. A look that could not be taken (`TryLater`) leaves what is known as it is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
from django.db import transaction
from django.utils import timezone

from accounts.changes import check_active
from accounts.members import lock_account
from accounts.models import Account
from accounts.networks import networks_of
from capacity.hosts.models import WELL_KNOWN, ProofWay, ProvenHost
from capacity.hosts.places import DESK, place_of
from portal import egress, txt
from portal.audit.services import record, snapshot
from portal.errors import Refused, Trouble, TryLater
from portal.rows import check_row

if TYPE_CHECKING:
    from accounts.models import User

MOST_OF_ACCOUNT = 50
MOST_BYTES = 16 * 1024
ANSWER_S = 10.0
MOST_ADDRESSES = 50


@transaction.atomic
def add(account: Account, typed: str, *, actor: User) -> ProvenHost:
    """Enter a host; it counts once its proof was found."""
    locked = lock_account(account)
    check_active(locked)
    if ProvenHost.objects.filter(account=locked).count() >= MOST_OF_ACCOUNT:
        raise Refused(f"An account has at most {MOST_OF_ACCOUNT} hosts. Remove one first.", code="too_many")
    place = place_of(typed)
    egress.check_url(f"https://{place}/", rules=egress.rules_from_settings(networks_of(locked)))
    row = ProvenHost(account=locked, place=place, token=secrets.token_urlsafe(24), added_by=actor)
    check_row(row)
    row.save(force_insert=True)
    record("host.added", actor=actor, account=locked, subject=row, after=snapshot(row))
    return row


@transaction.atomic
def remove(host: ProvenHost, *, actor: User) -> None:
    """Forget a host: nothing is sent to it any more."""
    row = _locked(host)
    record("host.removed", actor=actor, account=row.account, subject=row, before=snapshot(row))
    row.delete()


def check(host: ProvenHost, *, actor: User) -> ProvenHost:
    """Look for the proof now, and keep what was found. Raises TryLater where neither place could be asked."""
    check_active(host.account)
    way, problem = find(host)
    return _keep(host, way, problem, actor)


def ensure(account: Account, places: Iterable[str], *, actor: User) -> None:
    """Look again for the proof of each place. Raises Refused for the first that this account has not proven now."""
    known = {row.place: row for row in ProvenHost.objects.filter(account=account).select_related("account")}
    for place in sorted(set(places)):
        host = known.get(place)
        if host is None:
            raise Refused(
                f"{place} is none of this account’s hosts. Enter it, publish its proof, then start again.",
                code="host_unknown",
            )
        if check(host, actor=actor).proven_at is None:
            raise Refused(f"{place} is not proven any more. {host.problem}".strip(), code="host_not_proven")


def lost(account_id: int, places: Iterable[str]) -> str:
    """Return why no load may be on these places any more, "" where all are proven, as far as is known. Nobody is asked; one query."""
    wanted = sorted(set(places))
    known = {row.place: row for row in ProvenHost.objects.filter(account_id=account_id, place__in=wanted)}
    for place in wanted:
        host = known.get(place)
        if host is None:
            return f"{place} was removed from the account’s hosts. Enter it and publish its proof, then start again."
        if host.state != "host_proven":
            return f"{place} is not proven any more. Publish its proof and check it, then start again."
    return ""


def find(host: ProvenHost) -> tuple[ProofWay | None, str]:
    """Return where the proof was found and "", or None and what was found instead. Raises TryLater where nobody answered."""
    try:
        if host.proof in (one.strip() for one in txt.txt_records(host.record_name)):
            return ProofWay.DNS, ""
        no_record = f"There is no TXT record at {host.record_name} with the proof."
    except Trouble as trouble:
        no_record = trouble.says
        is_known = isinstance(trouble, Refused)
    else:
        is_known = True
    try:
        if _stands_in_file(host):
            return ProofWay.FILE, ""
        no_file = f"{host.file_url} does not hold it either."
    except TryLater as trouble:
        # Whoever publishes a record need not run a web server that answers.
        no_file = trouble.says
    except Trouble as trouble:
        no_file = trouble.says
    if not is_known:
        raise TryLater(f"{no_record} {no_file}", after_s=30.0, code="proof_not_asked")
    return None, f"{no_record} {no_file}"


def _stands_in_file(host: ProvenHost) -> bool:
    rules = egress.rules_from_settings(networks_of(host.account))
    # Without TLS anybody on the way could answer; but not on this machine, or where the operator opened the very port of a desk.
    port = int(host.place.partition(":")[2] or 443)
    scheme = "http" if host.host == DESK or rules.opens(host.host, port) else "https"

    async def once() -> bool:
        try:
            return await _gives(host, scheme, rules, None)
        finally:
            await egress.close()

    return asyncio.run(once())


async def _gives(
    host: ProvenHost, scheme: str, rules: egress.Rules, transport: httpx.AsyncBaseTransport | None
) -> bool:
    """Whether the file is there and holds the proof. Raises what `egress.fetch` raises."""
    answer = await egress.fetch(
        f"{scheme}://{host.place}{WELL_KNOWN}",
        timeout_s=ANSWER_S,
        max_bytes=MOST_BYTES,
        rules=rules,
        transport=transport,
    )
    return answer.status == 200 and host.proof in (line.strip() for line in answer.text.splitlines())


def ensure_addresses(
    account: Account, urls: Iterable[str], pins: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Ask each address that a load would go to for the file; return `pins` without those that nobody can connect to.

    A TXT record and a file that some other address gave prove the name. Whoever owns a name may let it lead to a
    site of somebody else, who proved nothing. Raises Refused where an address answers without the proof, or not in
    time, TryLater where no connection is made to any.
    """
    known = {row.place: row for row in ProvenHost.objects.filter(account=account)}
    rules = egress.rules_from_settings(networks_of(account))
    looks: list[tuple[ProvenHost, str, str, str]] = []
    for place, scheme, pin in sorted({(place_of(url), urlsplit(url).scheme, _pin_of(url)) for url in urls}):
        if place not in known:
            raise Refused(
                f"{place} is none of this account’s hosts. Enter it, publish its proof, then start again.",
                code="host_unknown",
            )
        looks += [(known[place], scheme, pin, address) for address in pins[pin][:MOST_ADDRESSES]]

    async def ask() -> list[bool]:
        return await asyncio.gather(
            *(_proven_at(host, scheme, address, rules) for host, scheme, _, address in looks)
        )

    found: dict[str, list[str]] = {pin: [] for _, _, pin, _ in looks}
    for (_, _, pin, address), is_reached in zip(looks, asyncio.run(ask()), strict=True):
        if is_reached and address not in found[pin]:
            found[pin].append(address)
    for pin, addresses in found.items():
        if not addresses:
            raise TryLater(
                f"No address of {pin} could be connected to, so none gave the proof. Start again when the site answers.",
                after_s=30.0,
                code="unreachable",
            )
    return found


async def _proven_at(host: ProvenHost, scheme: str, address: str, rules: egress.Rules) -> bool:
    """Whether an address of a host can be connected to. Raises Refused where it then does not give the proof."""
    # By https even where the load goes to port 80, which most sites only use to send visitors on; else as the load goes.
    tries = ["https", "http"] if scheme == "http" and ":" not in host.place else [scheme]
    is_reached, why = False, ""
    for tried in tries:
        try:
            async with _only_to(address) as transport:
                if await _gives(host, tried, rules, transport):
                    return True
        except Trouble as trouble:
            if trouble.code == "unreachable":
                continue
            why = f" {trouble.says}"
        is_reached = True
    if is_reached:
        raise Refused(
            f"{host.place} leads to {address}, which does not give the proof.{why} "
            f"Put {host.proof} on a line of its own in {tries[0]}://{host.place}{WELL_KNOWN}, "
            "so that every address of the host gives it, then start again. A TXT record alone does not prove an address.",
            code="address_not_proven",
        )
    # Nothing can be sent there either: mostly an address of a kind that this machine has no way to.
    return False


def _only_to(address: str) -> httpx.AsyncBaseTransport:
    """Return a transport that connects to this one address; Host header and TLS name stay those of the address typed."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return [address]

    limits = httpx.Limits(max_connections=1, max_keepalive_connections=0)
    return egress.CheckedTransport(limits=limits, resolver=resolve)


def _pin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname or ''}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


@transaction.atomic
def _keep(host: ProvenHost, way: ProofWay | None, problem: str, actor: User) -> ProvenHost:
    row = _locked(host)
    was = row.proven_at is not None, row.way
    now = timezone.now()
    row.checked_at, row.problem = now, problem[:500]
    row.proven_at, row.way = (now, way.value) if way is not None else (None, "")
    row.save(update_fields=["checked_at", "problem", "proven_at", "way"])
    if was != (row.proven_at is not None, row.way):
        record(
            "host.proven" if way is not None else "host.lost",
            actor=actor,
            account=row.account,
            subject=row,
            before={"way": was[1]},
            after={"way": row.way},
        )
    host.proven_at, host.way, host.checked_at, host.problem = (
        row.proven_at,
        row.way,
        row.checked_at,
        row.problem,
    )
    return row


def _locked(host: ProvenHost) -> ProvenHost:
    rows = ProvenHost.objects.select_for_update(of=("self",)).select_related("account", "added_by")
    return rows.get(pk=host.pk)
