"""What a team makes of scenarios, on the database."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from drills.scenarios import selectors, services
from drills.scenarios.library import built_in
from drills.scenarios.models import ScenarioVersion
from drills.scenarios.types import digest_of, from_plain, to_plain
from portal.audit.models import AuditEntry
from portal.errors import Refused, StaleState
from tests import factories as make
from tests.drills.scenarios.cases import plain

pytestmark = pytest.mark.django_db


class Here:
    def __init__(self):
        self.team = make.team("Launch north")
        self.lead = make.launch_manager(self.team, "Lena Lind", role="lead")

    def write(self, **changes):
        return services.write_scenario(self.team, plain(**changes), actor=self.lead)

    def change(self, key, seen, **changes):
        now = to_plain(selectors.scenario(self.team, key).scenario)
        return services.change_scenario(self.team, key, {**now, **changes}, seen=seen, actor=self.lead)


@pytest.fixture
def here():
    return Here()


def test_a_team_begins_with_the_library_as_it_is_in_one_query(here):
    with CaptureQueriesContext(connection) as seen:
        found = selectors.library(here.team)
    assert len(seen) == 1
    assert [one.key for one in found] == list(built_in())
    assert {(one.number, one.made_by, one.is_changed) for one in found} == {(0, "", False)}
    assert found[0].digest == digest_of(found[0].scenario)


def test_a_teams_own_wording_stands_before_the_librarys_and_for_nobody_else(here):
    made = here.change("host_failure", 0, undo="Ring Ada.")
    assert (made.number, made.key) == (1, "host_failure")
    mine = {one.key: one for one in selectors.library(here.team)}["host_failure"]
    assert (mine.scenario.undo, mine.number, mine.made_by) == ("Ring Ada.", 1, "Lena Lind")
    assert mine.is_changed
    others = {one.key: one for one in selectors.library(make.team("Launch south"))}["host_failure"]
    assert (others.number, others.scenario) == (0, built_in()["host_failure"])
    assert selectors.scenario(here.team, "host_failure", 0).scenario == built_in()["host_failure"]


def test_a_scenario_of_the_teams_own_gets_a_key_that_is_free_and_stands_behind_the_library(here):
    first, second = here.write(), here.write()
    assert (first.key, second.key) == ("the_cache_is_lost", "the_cache_is_lost_2")
    assert from_plain(first.content).key == first.key
    assert first.digest == digest_of(from_plain(first.content))
    found = selectors.library(here.team)
    assert [one.key for one in found[len(built_in()) :]] == [first.key, second.key]
    assert not found[-1].is_of_library
    named_alike = here.write(title="Host failure")
    assert named_alike.key == "host_failure_2"


def test_a_change_is_a_new_version_and_the_old_one_stays(here):
    key = here.write().key
    here.change(key, 1, title="The cache is gone")
    assert selectors.scenario(here.team, key).scenario.title == "The cache is gone"
    assert selectors.scenario(here.team, key, 1).scenario.title == "The cache is lost"
    assert [row.number for row in selectors.versions(here.team, key)] == [2, 1]
    assert selectors.scenario(here.team, key, 3) is None
    assert selectors.scenario(here.team, "no_such_one") is None


def test_a_change_that_changes_nothing_makes_no_version(here):
    key = here.write().key
    assert here.change(key, 1) is None
    assert here.change("host_failure", 0) is None
    assert ScenarioVersion.objects.count() == 1


def test_who_was_slower_is_told_and_overwrites_nothing(here):
    key = here.write().key
    here.change(key, 1, title="The cache is gone")
    with pytest.raises(StaleState, match="at version 2 by now, and version 1 was changed"):
        here.change(key, 1, title="Another")
    assert ScenarioVersion.objects.count() == 2


def test_going_back_is_a_version_of_its_own(here):
    here.change("dns_change", 0, undo="Ring Ada.")
    back = services.go_back(here.team, "dns_change", 0, seen=1, actor=here.lead)
    assert (back.number, back.note) == (2, "Back to version 0.")
    assert selectors.scenario(here.team, "dns_change").scenario == built_in()["dns_change"]
    assert services.go_back(here.team, "dns_change", 0, seen=2, actor=here.lead) is None
    with pytest.raises(Refused, match="no such version"):
        services.go_back(here.team, "dns_change", 7, seen=2, actor=here.lead)


def test_a_scenario_is_taken_off_the_list_and_put_there_again(here):
    off = services.set_listed(here.team, "region_lost", False, seen=0, actor=here.lead)
    assert (off.number, off.is_listed, off.note) == (1, False, "Taken off the list.")
    assert "region_lost" not in {one.key for one in selectors.library(here.team)}
    assert "region_lost" in {one.key for one in selectors.library(here.team, with_unlisted=True)}
    assert services.set_listed(here.team, "region_lost", False, seen=1, actor=here.lead) is None
    # A new wording of what is off the list stays off it.
    assert not here.change("region_lost", 1, undo="Say that it is over.").is_listed
    on = services.set_listed(here.team, "region_lost", True, seen=2, actor=here.lead)
    assert on.number == 3
    assert "region_lost" in {one.key for one in selectors.library(here.team)}


def test_a_copy_has_a_title_and_a_key_of_its_own(here):
    made = services.copy_scenario(here.team, "host_failure", title="Host of the cache fails", actor=here.lead)
    assert (made.key, made.number) == ("host_of_the_cache_fails", 1)
    assert made.note == f"Copied from “{built_in()['host_failure'].title}”, version 0."
    assert from_plain(made.content).steps == built_in()["host_failure"].steps
    for title in ("", "x" * 81, built_in()["host_failure"].title):
        with pytest.raises(Refused, match="title of its own"):
            services.copy_scenario(here.team, "host_failure", title=title, actor=here.lead)
    with pytest.raises(Refused, match="no such scenario"):
        services.copy_scenario(here.team, "no_such_one", title="Mine", actor=here.lead)


def test_every_change_is_on_record_with_its_digest_and_note(here):
    services.write_scenario(here.team, plain(), actor=here.lead, note=" Asked  by Ada. ")
    here.change("the_cache_is_lost", 1, title="The cache is gone")
    services.set_listed(here.team, "the_cache_is_lost", False, seen=2, actor=here.lead, note="Not used.")
    entries = AuditEntry.objects.filter(what__startswith="scenario.").order_by("pk")
    assert [one.what for one in entries] == ["scenario.written", "scenario.changed", "scenario.unlisted"]
    rows = ScenarioVersion.objects.order_by("number")
    assert [one.after["version"] for one in entries] == [1, 2, 3]
    assert [one.after["digest"] for one in entries[:2]] == [one.digest for one in rows[:2]]
    assert (entries[2].before["is_listed"], entries[2].after["is_listed"]) == (True, False)
    assert entries[1].before["title"] == "The cache is lost"
    assert [one.note for one in rows] == ["Asked by Ada.", "", "Not used."]
    assert {one.made_by for one in rows} == {here.lead}


def test_what_breaks_a_rule_holds_a_pin_or_is_no_note_is_not_kept(here):
    for content, says in (
        (plain(steps=[]), "1 to 30 steps"),
        ([1], "an object with named fields"),
        (plain(undo="My support PIN is 4711."), "A support PIN seems to stand"),
    ):
        with pytest.raises(Refused, match=says):
            services.write_scenario(here.team, content, actor=here.lead)
    for note, says in (("x" * 301, "at most 300"), ("a\x00b", "invisible"), ("PIN 4711", "support PIN")):
        with pytest.raises(Refused, match=says):
            services.write_scenario(here.team, plain(), actor=here.lead, note=note)
    assert not ScenarioVersion.objects.exists()


def test_a_team_has_so_many_scenarios_of_its_own_and_so_many_versions(here, monkeypatch):
    monkeypatch.setattr(services, "MOST_OWN", 2)
    monkeypatch.setattr(services, "MOST_VERSIONS", 3)
    here.write()
    here.write()
    here.change("dns_change", 0, undo="Ring Ada.")
    with pytest.raises(Refused, match="at most 2 scenarios of its own"):
        here.write()
    here.change("dns_change", 1, undo="Ring Eve.")
    here.change("dns_change", 2, undo="Ring Ida.")
    with pytest.raises(Refused, match="at most 3 versions"):
        here.change("dns_change", 3, undo="Ring Una.")


def test_the_database_refuses_to_change_a_version_or_to_take_one_away(here):
    made = here.write()
    rows = ScenarioVersion.objects.filter(pk=made.pk)
    for act in (
        lambda: rows.update(note="Otherwise."),
        lambda: rows.update(content={}),
        lambda: rows.update(is_listed=False),
        lambda: rows.delete(),
    ):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            act()
    rows.update(made_by=None)
    assert selectors.scenario(here.team, made.key).made_by == ""


def test_two_changes_of_one_version_cannot_both_be_kept(here):
    made = here.write()
    with pytest.raises(DatabaseError), transaction.atomic():
        ScenarioVersion.objects.create(
            team=here.team, key=made.key, number=1, content=made.content, digest=made.digest
        )
