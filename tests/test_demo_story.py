"""What `make demo` counts as gone well; the demo itself is run as a program."""

from __future__ import annotations

import pytest

from portal.demo import is_good, main, unavoidable_s
from portal.demo_accounts import code_at

GOOD = {
    "status": "completed",
    "retired": 3,
    "nodes_left": 3,
    "harmed_connections": 0,
    "floor_breaches": 0,
    "wrong_deletions": 0,
    "halted": False,
    "worker_killed": True,
    "halt_story": {
        "halted": True,
        "deleted": 0,
        "put_back": 1,
        "nodes_serving": 6,
        "harmed_connections": 0,
        "floor_breaches": 0,
    },
    "rising_story": {
        "halted_first": "protected_server",
        "code": "traffic_rising",
        "held": 1,
        "put_back": 2,
        "deleted": 0,
        "nodes_serving": 6,
        "harmed_connections": 0,
    },
}


def test_the_demo_is_good_when_its_stories_went_as_they_must():
    assert is_good(GOOD)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "halted"),
        ("retired", 2),
        ("nodes_left", 4),
        ("harmed_connections", 1),
        ("floor_breaches", 1),
        ("wrong_deletions", 1),
        ("halted", True),
        ("worker_killed", False),
    ],
)
def test_the_demo_fails_when_the_main_job_did_not_go_as_it_must(name, value):
    assert not is_good({**GOOD, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("halted", False),
        ("deleted", 1),
        ("put_back", 0),
        ("nodes_serving", 5),
        ("harmed_connections", 1),
        ("floor_breaches", 1),
    ],
)
def test_the_demo_fails_when_the_halt_did_not_keep_everybody_safe(name, value):
    assert not is_good({**GOOD, "halt_story": {**GOOD["halt_story"], name: value}})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("halted_first", None),
        ("code", "protected_server"),
        ("held", 0),
        ("put_back", 0),
        ("deleted", 1),
        ("nodes_serving", 5),
        ("harmed_connections", 1),
    ],
)
def test_the_demo_fails_when_rising_traffic_found_nobody(name, value):
    assert not is_good({**GOOD, "rising_story": {**GOOD["rising_story"], name: value}})


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
    assert "scaledown, accounts, contacts, all" in capsys.readouterr().err
