"""What a team reads: the library as it stands for this team, one scenario, and its versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from accounts.models import Team
from drills.scenarios.library import built_in
from drills.scenarios.models import ScenarioVersion
from drills.scenarios.types import Scenario, digest_of, from_plain

# A team's own scenarios, its wordings of the library's not counted.
MOST_OWN = 50
BUILT_IN_NUMBER = 0
BUILT_IN_NOTE = "Comes with the portal."


@dataclass(frozen=True)
class Shown:
    """A scenario as one team has it. `number` 0 is the library's own wording, which nobody of the team made.

    `is_of_library` says that the library has this key, so that there is a version 0 to go back to.
    """

    scenario: Scenario
    number: int
    digest: str
    is_listed: bool
    note: str
    made_by: str
    made_at: datetime | None

    @property
    def key(self) -> str:
        """The name that it keeps over all versions."""
        return self.scenario.key

    @property
    def is_of_library(self) -> bool:
        """Whether the portal brings a scenario of this key."""
        return self.scenario.key in built_in()

    @property
    def is_changed(self) -> bool:
        """Whether the team has its own wording of a scenario of the library."""
        return self.is_of_library and self.number > BUILT_IN_NUMBER


def of_library(key: str) -> Shown | None:
    """Return the library's own wording, None where it has no scenario of this key."""
    scenario = built_in().get(key)
    return _of_library(scenario) if scenario is not None else None


def _of_library(scenario: Scenario) -> Shown:
    return Shown(scenario, BUILT_IN_NUMBER, digest_of(scenario), True, BUILT_IN_NOTE, "", None)


def _of_row(row: ScenarioVersion) -> Shown:
    return Shown(
        from_plain(row.content),
        row.number,
        row.digest,
        row.is_listed,
        row.note,
        row.made_by.name if row.made_by is not None else "",
        row.made_at,
    )


def shown(rows: Iterable[ScenarioVersion]) -> list[Shown]:
    """Return rows as they are shown."""
    return [_of_row(row) for row in rows]


def _newest(team: Team) -> QuerySet[ScenarioVersion]:
    rows = ScenarioVersion.objects.filter(team=team).select_related("made_by")
    return rows.order_by("key", "-number").distinct("key")


def library(team: Team, *, with_unlisted: bool = False) -> list[Shown]:
    """Return the scenarios that a team chooses from, in one query: the library's in their order, then its own by title.

    The team's newest version stands before the library's wording. What the team took off the list is left out unless asked for.
    """
    known = built_in()
    newest = {row.key: _of_row(row) for row in _newest(team)[: MOST_OWN + len(known)]}
    found = [newest.get(key) or _of_library(scenario) for key, scenario in known.items()]
    own = (one for key, one in newest.items() if key not in known)
    found += sorted(own, key=lambda one: (one.scenario.title.lower(), one.key))
    return [one for one in found if one.is_listed or with_unlisted]


def scenario(team: Team, key: str, number: int | None = None) -> Shown | None:
    """Return a scenario as a team has it now, or one of its versions; None where there is no such one."""
    if number == BUILT_IN_NUMBER:
        return of_library(key)
    rows = versions(team, key)
    row = (rows if number is None else rows.filter(number=number)).first()
    if row is not None:
        return _of_row(row)
    return of_library(key) if number is None else None


def versions(team: Team, key: str) -> QuerySet[ScenarioVersion]:
    """Return a team's versions of a scenario, the newest first; the library's own wording is none of them."""
    rows = ScenarioVersion.objects.filter(team=team, key=key).select_related("made_by")
    return rows.order_by("-number")
