"""Several questions at once, and none left behind: `asyncio.gather` lets the others run on when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together(*asked: Coroutine[Any, Any, Any]) -> list[Any]:
    """Return all answers in their order, or raise what the first one to fail raised once the others have ended.

    Whoever closes the connection behind them then closes it under nobody.
    """
    tasks = [asyncio.ensure_future(one) for one in asked]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
