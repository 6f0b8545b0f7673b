"""Database work beside an event loop: a few threads of our own, each with a connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from django.db import close_old_connections, connections

T = TypeVar("T")

THREADS = 2
_CLOSE_LIMIT_S = 5.0


class StoreThreads:
    """Calls synchronous functions in a few threads, each with a database connection that is kept.

    Django's own `sync_to_async` would serialise everything on one thread.
    """

    def __init__(self, threads: int = THREADS, *, name: str = "runs-store") -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def __call__(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Return what `function` returns; raise what it raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(_batch, function, *args, **kwargs))

    def close(self, *, wait: bool = True) -> None:
        """End the threads and their connections, after what they have in hand."""
        # Each thread must take its turn, so none may take two.
        all_closed = threading.Barrier(self._threads)

        def close_one() -> None:
            connections.close_all()
            all_closed.wait(_CLOSE_LIMIT_S)

        for _ in range(self._threads):
            self._pool.submit(close_one)
        self._pool.shutdown(wait=wait)


def _batch(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    # A connection that died with a restart of PostgreSQL, or is too old, is not used again.
    close_old_connections()
    try:
        return function(*args, **kwargs)
    finally:
        close_old_connections()
