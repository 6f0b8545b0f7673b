"""Database work beside an event loop: a few threads of our own, each with a connection."""

from __future__ import annotations

import asyncio
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import psycopg
from django.db import close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")

THREADS = 2
_CLOSE_LIMIT_S = 5.0
_TRUSTED_S = 1.0
"""For so long a connection that was in order is asked by its socket alone whether it still is."""
_trusted = threading.local()


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
    _drop_dead()
    try:
        return function(*args, **kwargs)
    except BaseException:
        close_old_connections()
        raise


def _drop_dead() -> None:
    """Use no connection again that died with a restart of PostgreSQL, or is too old.

    Django asks the server by a query each time, which is a seventh of what a batch costs; a server that ended a
    connection says so on its socket.
    """
    now = time.monotonic()
    is_young = now - getattr(_trusted, "at", -_TRUSTED_S) < _TRUSTED_S
    if is_young and all(_is_quiet(one) for one in connections.all(initialized_only=True)):
        return
    close_old_connections()
    _trusted.at = now


def _is_quiet(wrapper: BaseDatabaseWrapper) -> bool:
    """Return whether nothing came on an idle connection: neither an error nor its end."""
    held = wrapper.connection
    if held is None:
        return True
    if wrapper.errors_occurred or held.closed:
        return False
    poll = select.poll()
    try:
        poll.register(held.fileno(), select.POLLIN)
        return not poll.poll(0)
    except (OSError, psycopg.Error):  # it has no socket any more
        return False
