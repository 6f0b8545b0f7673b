"""What is on record and not to be known yet by everybody who sees the account: an unannounced drill, before its end.

    register(untold_refs)                   # in AppConfig.ready() of the app that keeps such a thing
    refs_untold(user, account)              # what records and requests may not speak of to `user`

Who plans, decides on or watches such a thing is no such reader. Lists of the app itself leave it out by their own rules; this is for
records that speak of things of every app.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

Finder = Callable[[Any, Any], Iterable[UUID]]
_finders: list[Finder] = []


def register(find: Finder) -> None:
    """Ask `find(user, account)`, too: refs of what `user` is not to know of, in `account`, or in every one for None."""
    if find not in _finders:
        _finders.append(find)


def refs_untold(user: Any, account: Any = None) -> frozenset[UUID]:
    """Return the refs of what `user` is not to know of yet; one query for each app that keeps such things."""
    return frozenset(ref for find in _finders for ref in find(user, account))
