"""From a stored cloud connection to the provider: the read-only test, and what is found there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from accounts.models import CloudConnection
from portal.cloud.connect import Credentials, check_connection, look_once
from portal.cloud.discovery import Discovery, discover
from portal.cloud.protocol import Cloud
from portal.errors import TryLater

# A page waits for it, so it ends whatever the provider does.
LONGEST_LOOK_S = 25.0
T = TypeVar("T")


def credentials_of(connection: CloudConnection) -> Credentials:
    """Return what the cloud client needs; the key is readable only here and in the client."""
    return Credentials(
        provider=connection.provider,
        identity_url=connection.identity_url,
        username=connection.username,
        api_key=connection.api_key,
        tenant=connection.tenant,
        region=connection.region,
    )


def look_at(connection: CloudConnection, look: Callable[[Cloud], Awaitable[T]]) -> T:
    """Run one bounded, read-only look. Raises the provider's troubles, TryLater when it takes too long."""

    async def bounded(cloud: Cloud) -> T:
        try:
            async with asyncio.timeout(LONGEST_LOOK_S):
                return await look(cloud)
        except TimeoutError:
            raise TryLater(
                f"The provider did not answer everything within {LONGEST_LOOK_S:.0f} s. "
                "Nothing was changed. Try again.",
                after_s=30,
                code="provider_slow",
            ) from None

    return look_once(credentials_of(connection), bounded)


def test_connection(connection: CloudConnection) -> dict[str, Any]:
    """Return what the credentials may and may not do, as it is stored and shown. Reads only.

    `{"is_usable": bool, "checked_at": …, "lines": [{"name", "outcome": "ok"|"not"|"unknown", "says"}]}`
    """
    return dict(look_at(connection, check_connection).as_json())


def discover_pools(connection: CloudConnection) -> Discovery:
    """Return the pools and servers that the credentials see, with what could not be matched. Reads only."""
    return look_at(connection, discover)
