"""The addresses that a load may go to: those that the hosts' names lead to, judged, and each of which gave the proof itself."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from accounts.models import Account
from accounts.networks import networks_of
from capacity.hosts import services as hosts
from capacity.loads.profile import Profile
from portal import egress


def pins_of(profile: Profile, networks: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Return the addresses of each `host:port`, all of them judged by the rules for every address that is typed in.

    `networks` are those that the operator opened for the account.

    Raises Refused for one that is closed, TryLater where a name cannot be resolved.
    """
    wanted = set()
    for one in profile.requests:
        parts = urlsplit(one.url)
        wanted.add((parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)))

    rules = egress.rules_from_settings(networks)

    async def ask() -> dict[str, list[str]]:
        return {
            f"{host}:{port}": list(await egress.addresses_of(host, port, rules=rules))
            for host, port in sorted(wanted)
        }

    return asyncio.run(ask())


def proven_pins(account: Account, profile: Profile) -> dict[str, list[str]]:
    """Return the pins of which each gave the account's proof just now.

    Raises Refused where one answers without it, TryLater where nobody answers.
    """
    pins = pins_of(profile, networks_of(account))
    return hosts.ensure_addresses(account, (one.url for one in profile.requests), pins)
