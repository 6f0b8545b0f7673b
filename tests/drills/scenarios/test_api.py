"""Scenarios as programs meet them."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from drills.scenarios.library import ORDER, built_in
from drills.scenarios.models import ScenarioVersion
from drills.scenarios.types import to_plain
from portal.audit.models import AuditEntry
from tests import factories as make
from tests.drills.scenarios.cases import plain
from tests.drills.scenarios.test_services import Here
from tests.drills.scenarios.test_types import anything

pytestmark = pytest.mark.django_db


class Program:
    """A program with a launch manager's token."""

    def __init__(self, team, user, scopes=("drills:read", "drills:write")):
        self.at = f"/api/v1/teams/{team.ref}/scenarios"
        self.headers = make.bearer(make.token(user, scopes=list(scopes)))
        self.client = Client()

    def get(self, path="", **query):
        return self.client.get(self.at + path, query, **self.headers)

    def post(self, path="", *, key="", raw=None, **body):
        return self.client.post(
            self.at + path,
            json.dumps(body) if raw is None else raw,
            content_type="application/json",
            HTTP_IDEMPOTENCY_KEY=key or str(uuid4()),
            **self.headers,
        )


@pytest.fixture
def here():
    return Here()


@pytest.fixture
def program(here):
    return Program(here.team, here.lead)


def test_the_library_is_listed_and_each_scenario_is_read_whole(program):
    listed = program.get().json()["scenarios"]
    assert [one["key"] for one in listed] == list(ORDER)
    read = program.get("/restore_from_backup").json()
    assert read["content"] == to_plain(built_in()["restore_from_backup"])
    assert (read["number"], read["is_of_library"], read["made_at"]) == (0, True, None)
    assert program.get("/no_such_one").status_code == 404


def test_what_was_read_can_be_sent_again_as_it_is(here, program):
    for key in ORDER:
        read = program.get(f"/{key}").json()
        answer = program.post(f"/{key}/versions", content=read["content"], seen=0)
        assert answer.status_code == 200
        assert answer.json()["number"] == 0
    assert not ScenarioVersion.objects.exists()


def test_a_scenario_is_written_changed_compared_gone_back_to_copied_and_taken_off_the_list(here, program):
    made = program.post(content=plain(), note="Asked by Ada.")
    assert made.status_code == 201
    key = made.json()["key"]
    assert key == "the_cache_is_lost"
    changed = program.post(f"/{key}/versions", content=plain(undo="Ring Ada."), seen=1, note="Ada.")
    assert (changed.status_code, changed.json()["number"], changed.json()["note"]) == (200, 2, "Ada.")
    stale = program.post(f"/{key}/versions", content=plain(undo="Ring Eve."), seen=1)
    assert stale.status_code == 409
    assert stale.json()["type"].endswith("stale-scenario")
    assert [one["number"] for one in program.get(f"/{key}/versions").json()["results"]] == [2, 1]
    assert program.get(f"/{key}/versions/1").json()["content"]["undo"] == plain()["undo"]
    compared = program.get(f"/{key}/comparison").json()
    assert (compared["older"], compared["newer"]) == (1, 2)
    assert [one["label"] for one in compared["differences"]] == ["How it is undone"]
    back = program.post(f"/{key}/versions/1/go-back", seen=2).json()
    assert (back["number"], back["content"]["undo"]) == (3, plain()["undo"])
    copied = program.post(f"/{key}/copy", title="Another cache", number=2)
    assert copied.status_code == 201
    assert copied.json()["content"]["undo"] == "Ring Ada."
    off = program.post(f"/{key}/listed", is_listed=False, seen=3)
    assert not off.json()["is_listed"]
    assert key not in {one["key"] for one in program.get().json()["scenarios"]}
    assert key in {one["key"] for one in program.get(show="all").json()["scenarios"]}
    assert AuditEntry.objects.filter(what__startswith="scenario.").count() == 5


def test_a_request_that_is_sent_twice_makes_one_version(program):
    first = program.post(content=plain(), key="once")
    again = program.post(content=plain(), key="once")
    assert (first.json(), again["Idempotent-Replay"]) == (again.json(), "true")
    assert ScenarioVersion.objects.count() == 1


def test_the_number_of_a_version_must_be_one(program):
    assert program.get("/dns_change/comparison", older="x").status_code == 400
    assert program.get("/dns_change/comparison", newer="3").status_code == 404
    assert program.get("/dns_change/versions/3").status_code == 404
    assert program.get("/dns_change/versions").json()["results"] == []
    assert program.get("/no_such_one/versions").status_code == 404
    assert program.get("", show="none").status_code == 422


def test_a_token_reads_or_writes_as_its_scopes_say_and_never_another_teams(here):
    reader = Program(here.team, here.lead, scopes=["drills:read"])
    assert reader.get().status_code == 200
    assert reader.post(content=plain()).status_code == 403
    other = Program(here.team, make.launch_manager(make.team("Launch south")))
    assert other.get().status_code == 404
    assert other.post(content=plain()).status_code == 404


def test_what_breaks_a_rule_is_told_by_a_sentence(program):
    for content, says in (
        (plain(steps=[]), "A script has 1 to 30 steps, not 0."),
        (plain(injection="meteor"), "`injection` is one of"),
        (plain(owner="me"), "There is no field `owner`."),
        (None, ""),
        ([], "an object with named fields"),
    ):
        answer = program.post(content=content)
        assert answer.status_code == 422
        assert says in answer.json()["detail"]
    assert program.post(content=plain(), note="x" * 301).status_code == 422
    assert not ScenarioVersion.objects.exists()


def test_numbers_and_characters_that_nobody_can_keep_are_refused(program):
    whole = json.dumps({"content": plain()})
    assert '"repeat_after_days": 90' in whole
    for number, status in (
        ("NaN", 400),
        ("1e999", 422),
        ("1" * 400, 422),
        ("true", 422),
        ("null", 422),
        ("90.5", 422),
    ):
        raw = whole.replace('"repeat_after_days": 90', f'"repeat_after_days": {number}')
        assert program.post(raw=raw).status_code == status, number
    for sent in ("\\ud800", "\\u0000", "\\u202e", "⟦"):
        raw = whole.replace("The cache is lost", f"The cache {sent}")
        assert program.post(raw=raw).status_code == 422, sent
    assert not ScenarioVersion.objects.exists()


fields = some.sampled_from(sorted(plain()))
fuzzed = some.dictionaries(fields, anything, min_size=1, max_size=3)


@given(fuzzed)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_a_program_sends_is_kept_as_it_is_or_refused(here, program, changes):
    before = ScenarioVersion.objects.count()
    answer = program.post(raw=json.dumps({"content": plain(**changes)}))
    made = ScenarioVersion.objects.count() - before
    assert answer.status_code in (201, 400, 422), answer.content
    assert made == (answer.status_code == 201)
