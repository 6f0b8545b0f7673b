"""What `make demo` counts as gone well; the demo itself is run as a program."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from portal import demo_drills, demo_scaledown
from portal.demo import main, unavoidable_s
from portal.demo_accounts import code_at

CLEAN = {"harmed_connections": 0, "harmed_by_us": 0, "floor_breaches": 0, "wrong_deletions": 0}
TO_THREE = {"status": "completed", "retired": 3, "nodes_left": 3, "halted": False, **CLEAN}
GOOD = {
    "calm_story": {**TO_THREE, "worker_killed": False},
    "main_story": {**TO_THREE, "worker_killed": True},
    "halt_story": {
        "halted": True,
        "deleted": 0,
        "put_back": 1,
        "nodes_serving": 6,
        "ended": "aborted",
        **CLEAN,
    },
    "rising_story": {
        "halted_first": "protected_server",
        "code": "traffic_rising",
        "held": 1,
        "put_back": 2,
        "deleted": 0,
        "nodes_serving": 6,
        "ended": "aborted",
        **CLEAN,
    },
    "roll_back_story": {
        "ended": "rolled_back",
        "deleted": 2,
        "said_before": True,
        "created_anew": 2,
        "put_back": 1,
        "servers": 6,
        "nodes_serving": 6,
        **CLEAN,
    },
    "grow_story": {
        "ended": "completed",
        "deleted": 2,
        "accepted": True,
        "created_anew": 1,
        "servers": 5,
        "nodes_serving": 5,
        **CLEAN,
    },
}
BAD = {
    "calm_story": {"status": "halted", "retired": 2, "nodes_left": 4, "halted": True, "worker_killed": True},
    "main_story": {"status": "halted", "retired": 2, "nodes_left": 4, "halted": True, "worker_killed": False},
    "halt_story": {"halted": False, "deleted": 1, "put_back": 0, "nodes_serving": 5, "ended": "halted"},
    "rising_story": {
        "halted_first": None,
        "code": "protected_server",
        "held": 0,
        "put_back": 0,
        "deleted": 1,
        "nodes_serving": 5,
        "ended": "halted",
    },
    "roll_back_story": {
        "ended": "aborted",
        "deleted": 1,
        "said_before": False,
        "created_anew": 1,
        "put_back": 0,
        "servers": 7,
        "nodes_serving": 5,
    },
    "grow_story": {
        "ended": "halted",
        "deleted": 1,
        "accepted": False,
        "created_anew": 0,
        "servers": 4,
        "nodes_serving": 4,
    },
}


@pytest.fixture
def desk(monkeypatch):
    """A desk whose stories come out as they must, unless a test changes one; its lines are in `said`."""
    told = {name: {**result, "requests_served": 100} for name, result in GOOD.items()}
    monkeypatch.setattr(
        demo_scaledown, "STORIES", {name: lambda desk, name=name: told[name] for name in told}
    )
    said: list[str] = []
    return SimpleNamespace(say=said.append, said=said, told=told)


def test_every_story_is_told_and_the_truth_log_closes_it(desk):
    result, went_well = demo_scaledown.tell(desk, demo_scaledown.STORIES)
    assert went_well
    assert result["in_all"] == {**CLEAN, "requests_served": 600}
    assert result["roll_back_story"]["created_anew"] == 2
    assert result["grow_story"]["created_anew"] == 1
    assert "over all 6 stories: 600 requests served, 0 connections harmed by us" in desk.said[-1]


def test_the_short_form_tells_of_the_killed_worker_the_halt_and_rising_traffic(desk):
    result, went_well = demo_scaledown.tell(desk, demo_scaledown.SHORT)
    assert went_well
    assert result["worker_killed"]
    assert {"halt_story", "rising_story", "in_all"} < set(result)
    assert "roll_back_story" not in result


@pytest.mark.parametrize("name", GOOD)
def test_a_story_that_went_as_it_must_has_no_problem(name):
    assert demo_scaledown.problems(name, GOOD[name]) == []


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [(name, key, value) for name in GOOD for key, value in {**BAD[name], **dict.fromkeys(CLEAN, 1)}.items()],
)
def test_a_story_that_went_otherwise_fails_the_demo_and_says_so(desk, name, key, value):
    desk.told[name][key] = value
    _, went_well = demo_scaledown.tell(desk, demo_scaledown.STORIES)
    assert not went_well
    assert any(line.startswith(f"not as it must be: {name}: ") for line in desk.said)


def test_the_unavoidable_waits_are_the_plans_own_and_the_providers():
    plan = {"min_drain_s": 7.0, "soak_s": 6.0, "hold_s": 0.0, "images": "none", "servers": [{}, {}, {}]}
    settings = {"pending_update_s": [0.5, 1.5], "delete_s": 30.0, "speed": 10.0, "image_s": 180.0}
    assert unavoidable_s(plan, settings) == 7 + 6 + 2 * 1.0 + 3
    assert unavoidable_s({**plan, "images": "one_per_kind"}, settings) == 18 + 18 / 3
    assert unavoidable_s({**plan, "images": "each"}, settings) == 18 + 18


@pytest.mark.parametrize(
    ("at_s", "code"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_the_demos_authenticator_app_shows_the_codes_of_the_standard(at_s, code):
    # RFC 6238, appendix B, SHA-1; the last six of its eight digits.
    assert code_at("GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ", at_s) == code


def test_an_unknown_story_is_named_with_those_there_are(capsys):
    assert main(["weather"]) == 2
    assert "scaledown, accounts, contacts, capacity, drills, all" in capsys.readouterr().err


MEASURED = {
    "detected_s": 3.2,
    "acknowledged_s": 4.0,
    "informed_s": 7.4,
    "mitigated_s": 24.0,
    "probes_failed": 4.0,
}


def drilled(name):
    """Return what comes out of a story of drills that went as it must."""
    return {**MEASURED, **demo_drills.EXPECTED[name]}


@pytest.mark.parametrize("name", demo_drills.STORIES)
def test_a_drills_story_that_went_as_it_must_has_no_problem(name):
    assert demo_drills.problems(name, drilled(name)) == []


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (name, key)
        for name in demo_drills.STORIES
        for key in (*demo_drills.EXPECTED[name], *demo_drills.KNOWN.get(name, ()))
    ],
)
def test_a_drills_story_that_went_otherwise_has_a_problem(name, key):
    assert len(demo_drills.problems(name, {**drilled(name), key: None})) >= 1


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("met_story", "serving", 5),
        ("met_story", "result", "drill_not_met"),
        ("stopped_story", "probes_failed", 0.0),
        ("stopped_story", "undone_by_itself", False),
        ("escalation_story", "answered_by_place", 1),
        ("real_story", "is_marked_as_drill", True),
    ],
)
def test_what_a_drills_story_must_hold(name, key, value):
    assert len(demo_drills.problems(name, {**drilled(name), key: value})) == 1


def test_the_demo_of_drills_fails_where_one_went_otherwise(monkeypatch):
    told = {name: drilled(name) for name in demo_drills.STORIES}
    monkeypatch.setattr(demo_drills, "open_cast", lambda desk: None)
    stories = {name: lambda desk, cast, name=name: told[name] for name in told}
    monkeypatch.setattr(demo_drills, "STORIES", stories)
    said: list[str] = []
    desk = SimpleNamespace(say=said.append)
    assert demo_drills.tell(desk, stories) == (told, True)
    told["real_story"]["serving"] = 5
    assert not demo_drills.tell(desk, stories)[1]
    assert said == ["not as it must be: real_story: serving is 5, not 6"]
