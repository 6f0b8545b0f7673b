"""Every change that a team makes to its scenarios, each one a new version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from accounts.changes import check_no_pin
from accounts.models import Team, User
from drills.scenarios import selectors
from drills.scenarios.library import built_in
from drills.scenarios.models import ScenarioVersion
from drills.scenarios.selectors import MOST_OWN, Shown
from drills.scenarios.types import (
    LONGEST_TITLE,
    Scenario,
    check,
    digest_of,
    from_plain,
    key_of,
    texts_of,
    to_plain,
)
from portal.audit.services import record
from portal.errors import Refused, StaleState
from portal.texts import SAYS, is_sound

LONGEST_NOTE = 300
MOST_VERSIONS = 500
# What stands in a new scenario's plain form until it has its key.
NO_KEY = "new"


def read_content(content: Any, *, key: str = NO_KEY) -> Scenario:
    """Return what was sent as a scenario with this key; what it says of a key itself does not count. Raises Refused."""
    if not isinstance(content, Mapping):
        raise Refused("A scenario is an object with named fields. Nothing was kept.", code="bad_scenario")
    found = from_plain({**content, "key": key})
    check(found)
    check_no_pin(*texts_of(found))
    return found


@transaction.atomic
def write_scenario(team: Team, content: Any, *, actor: User, note: str = "") -> ScenarioVersion:
    """Begin a scenario of the team's own; its key is made from its title. Raises Refused for what breaks a rule."""
    found = read_content(content)
    _lock(team)
    return _begin(team, found, note=_note(note), actor=actor)


@transaction.atomic
def copy_scenario(
    team: Team, key: str, *, title: str, actor: User, number: int | None = None, note: str = ""
) -> ScenarioVersion:
    """Begin a scenario of the team's own with the content of another one, under a title of its own."""
    _lock(team)
    source = _present(team, key, number)
    wanted = " ".join(str(title or "").split())
    if not wanted or len(wanted) > LONGEST_TITLE or wanted == source.scenario.title:
        raise Refused(
            f"A copy has a title of its own, of at most {LONGEST_TITLE} characters. Nothing was kept.",
            code="bad_title",
        )
    found = read_content({**to_plain(source.scenario), "title": wanted})
    said = _note(note) or f"Copied from “{source.scenario.title}”, version {source.number}."
    return _begin(team, found, note=said[:LONGEST_NOTE], actor=actor)


@transaction.atomic
def change_scenario(
    team: Team, key: str, content: Any, *, seen: int, actor: User, note: str = ""
) -> ScenarioVersion | None:
    """Make a new version of a scenario; of one of the library's it becomes the team's own wording.

    `seen` is the number of the version that was changed: StaleState where somebody was faster. Returns None, and makes none,
    where nothing differs.
    """
    found = read_content(content, key=key)
    _lock(team)
    now = _seen(team, key, seen)
    if digest_of(found) == now.digest:
        return None
    return _add(team, found, now, is_listed=now.is_listed, note=_note(note), actor=actor, what="changed")


@transaction.atomic
def go_back(
    team: Team, key: str, number: int, *, seen: int, actor: User, note: str = ""
) -> ScenarioVersion | None:
    """Make the content of an older version the newest one; `number` 0 is the library's wording. None where nothing differs."""
    _lock(team)
    now = _seen(team, key, seen)
    older = _present(team, key, number)
    if older.digest == now.digest:
        return None
    said = _note(note) or f"Back to version {number}."
    return _add(team, older.scenario, now, is_listed=now.is_listed, note=said, actor=actor, what="changed")


@transaction.atomic
def set_listed(
    team: Team, key: str, is_listed: bool, *, seen: int, actor: User, note: str = ""
) -> ScenarioVersion | None:
    """Take a scenario off the team's list, or put it there again. Drills that have it keep it. None where it is so already."""
    _lock(team)
    now = _seen(team, key, seen)
    if now.is_listed == is_listed:
        return None
    said = _note(note) or ("Put on the list again." if is_listed else "Taken off the list.")
    what = "listed" if is_listed else "unlisted"
    return _add(team, now.scenario, now, is_listed=is_listed, note=said, actor=actor, what=what)


def _lock(team: Team) -> None:
    # One change of a team's scenarios at a time: numbers follow each other, and the most of them is kept.
    Team.objects.select_for_update().get(pk=team.pk)


def _present(team: Team, key: str, number: int | None = None) -> Shown:
    found = selectors.scenario(team, key, number)
    if found is None:
        raise Refused("There is no such scenario, or no such version of it.", code="no_scenario")
    return found


def _seen(team: Team, key: str, seen: int) -> Shown:
    now = _present(team, key)
    if now.number != seen:
        raise StaleState(
            f"“{now.scenario.title}” is at version {now.number} by now, and version {seen} was changed. Nothing was kept. "
            "Compare the two, then change it again.",
            code="stale_scenario",
        )
    if now.number >= MOST_VERSIONS:
        raise Refused(
            f"A scenario has at most {MOST_VERSIONS} versions. Copy it, and go on with the copy.",
            code="too_many_versions",
        )
    return now


def _note(text: Any) -> str:
    found = " ".join(str(text or "").split())
    if len(found) > LONGEST_NOTE:
        raise Refused(f"A note has at most {LONGEST_NOTE} characters. Nothing was kept.", code="too_long")
    if not is_sound(found):
        raise Refused(f"The note holds {SAYS}. Nothing was kept.", code="null")
    check_no_pin(found)
    return found


def _begin(team: Team, found: Scenario, *, note: str, actor: User) -> ScenarioVersion:
    taken = set(ScenarioVersion.objects.filter(team=team).order_by().values_list("key", flat=True).distinct())
    own = taken - set(built_in())
    if len(own) >= MOST_OWN:
        raise Refused(
            f"A team has at most {MOST_OWN} scenarios of its own. Change one that is no longer used.",
            code="too_many_scenarios",
        )
    key = key_of(found.title, frozenset(taken | set(built_in())))
    keyed = read_content(to_plain(found), key=key)
    made = _row(team, keyed, number=1, is_listed=True, note=note, actor=actor)
    record(
        "scenario.written",
        actor=actor,
        subject=made,
        after=_on_record(keyed, 1, made.digest, True),
        reason=note,
    )
    return made


def _add(
    team: Team, found: Scenario, now: Shown, *, is_listed: bool, note: str, actor: User, what: str
) -> ScenarioVersion:
    made = _row(team, found, number=now.number + 1, is_listed=is_listed, note=note, actor=actor)
    record(
        f"scenario.{what}",
        actor=actor,
        subject=made,
        before=_on_record(now.scenario, now.number, now.digest, now.is_listed),
        after=_on_record(found, made.number, made.digest, is_listed),
        reason=note,
    )
    return made


def _on_record(scenario: Scenario, number: int, digest: str, is_listed: bool) -> dict[str, Any]:
    return {"title": scenario.title, "version": number, "digest": digest, "is_listed": is_listed}


def _row(
    team: Team, found: Scenario, *, number: int, is_listed: bool, note: str, actor: User
) -> ScenarioVersion:
    return ScenarioVersion.objects.create(
        team=team,
        key=found.key,
        number=number,
        content=to_plain(found),
        digest=digest_of(found),
        note=note,
        is_listed=is_listed,
        made_by=actor,
    )
