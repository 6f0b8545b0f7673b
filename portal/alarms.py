"""What is shown red on every page: the engine asleep, and standstills on what the user may see.

Everybody is told of the runs that they may see; how much of others' is overdue is nobody else's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.apps import apps

from portal.access import visible_to
from portal.runs import registry, selectors
from portal.runs.models import Run


@dataclass(frozen=True)
class EngineAsleep:
    """Since when nothing is done, how many runs are overdue, how many nodes were left draining."""

    since: datetime
    overdue: int
    draining: int


@dataclass(frozen=True)
class StandstillShown:
    """A standstill in force. `scope` in words; `url` is the page that says more and where it is lifted, or empty."""

    scope: str
    reason: str
    by: str
    since: datetime
    url: str = ""


_page_of: list[Callable[[Any], str]] = []


def register_standstill_page(page_of: Callable[[Any], str]) -> None:
    """Say which page of an account shows its standstills; the alarm leads there."""
    _page_of[:] = [page_of]


def engine_asleep(user: Any = None) -> EngineAsleep | None:
    """Return what is overdue, as `user` may know it (None: everything, for operators), or None while awake.

    Two queries while the engine is awake.
    """
    found = selectors.asleep()
    if found is None:
        return None
    if user is None or user.is_operator:
        return EngineAsleep(found.since, found.runs_overdue, found.nodes_draining)
    own = list(visible_to(user, selectors.overdue()))
    if not own:
        return None
    return EngineAsleep(min(selectors.due_since(run) for run in own), len(own), _draining(own))


def _draining(runs: list[Run]) -> int:
    return sum(
        known.draining([run for run in runs if run.kind == name])
        for name, known in registry.kinds().items()
        if known.draining is not None
    )


def standstills_for(user: Any) -> list[StandstillShown]:
    """Return the standstills in force that touch what the user may see. One query while there is none."""
    found = selectors.standstills()
    if not found:
        return []
    seen = _scopes_seen(user, {standstill.scope for standstill in found})
    teams = _teams_of(user) if any(one.is_wide for one in found) else frozenset()
    return [
        StandstillShown(
            seen[one.scope][0],
            one.reason if knows else one.public_reason,
            one.by_name if knows else "",
            one.at,
            page_of(seen[one.scope][1]),
        )
        for one in found
        if one.scope in seen
        for knows in [not one.is_wide or one.scope in teams or (one.scope == "all" and bool(teams))]
    ]


def _teams_of(user: Any) -> frozenset[str]:
    """Return the scopes of the user's teams: their people read why a team, or the whole portal, was stopped."""
    own = apps.get_model("accounts", "TeamMembership")._default_manager.filter(user=user)
    return frozenset(f"team:{ref}" for ref in own.values_list("team__ref", flat=True))


def page_of(account: Any) -> str:
    """Return the page of an account that shows its standstills, or ""."""
    return _page_of[0](account) if _page_of and account is not None else ""


def _scopes_seen(user: Any, scopes: Iterable[str]) -> dict[str, tuple[str, Any]]:
    """Return the scopes that touch what the user may see: each in words, and an account whose page shows it."""
    seen: dict[str, tuple[str, Any]] = {}
    refs: dict[str, list[str]] = {}
    account = apps.get_model("accounts", "Account")
    for scope in scopes:
        kind, _, ref = scope.partition(":")
        if kind == "all":
            seen[scope] = ("the whole portal", visible_to(user, account).order_by("name", "pk").first())
        else:
            refs.setdefault(kind, []).append(ref)
    if "account" in refs:
        for row in visible_to(user, account).filter(ref__in=refs["account"]):
            seen[f"account:{row.ref}"] = (str(row), row)
    if "connection" in refs:
        connection = apps.get_model("accounts", "CloudConnection")
        used = visible_to(user, connection).filter(ref__in=refs["connection"]).select_related("account")
        for one in used.defer("api_key"):
            seen[f"connection:{one.ref}"] = (f"{one.account}, {one}", one.account)
    if "team" in refs:
        for row in visible_to(user, account).filter(team__ref__in=refs["team"]).select_related("team"):
            seen.setdefault(f"team:{row.team.ref}", (f"all accounts of {row.team}", row))
    return seen
