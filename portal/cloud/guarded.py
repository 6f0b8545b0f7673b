"""One read of a look that goes on without it: several at once, each within its own time, and none ends the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from portal.errors import InDoubt, ProviderFailed, Refused, TryLater

T = TypeVar("T")


async def read_or_say(
    what: str, read: Awaitable[T], problems: list[str], *, limit_s: float
) -> tuple[bool, T | None]:
    """Return (whether it could be read, what was read). What could not be is said in `problems`; a bug stays loud."""
    try:
        async with asyncio.timeout(limit_s):
            return True, await read
    except (Refused, TryLater, InDoubt, ProviderFailed) as trouble:
        problems.append(f"{what}: {trouble.says}")
    except TimeoutError:
        problems.append(f"{what} could not be read within {limit_s:.0f} s.")
    return False, None
