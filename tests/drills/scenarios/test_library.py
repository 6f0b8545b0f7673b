"""The scenarios that come with the portal: each usable as it stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from drills.scenarios import words
from drills.scenarios.library import FOLDER, ORDER, built_in
from drills.scenarios.types import (
    DrillKind,
    Environment,
    InjectionKind,
    StepKind,
    Targets,
    check,
    from_plain,
    texts_of,
    to_plain,
)

SCENARIOS = list(built_in().values())
# What our customers would have to ask about; `product.md` has a word for each that they read.
JARGON = re.compile(
    r"\b(game ?day|blast radius|SRE|SLO|war room|post-?mortem|P1|sev ?\d|backend|tenant|runbook|pager|outage|chaos|floor|ceiling|headroom|"
    r"box(es)?|instances?|client|halt(ed)?|runway|soak|ASAP|touch base|ballpark|rollout)\b",
    re.IGNORECASE,
)


def test_the_library_has_every_file_and_each_scenario_of_the_specification():
    assert sorted(path.stem for path in FOLDER.glob("*.toml")) == sorted(ORDER) == sorted(built_in())
    by_injection = {one.key: one.injection for one in SCENARIOS}
    assert by_injection == {
        "nobody_answers": InjectionKind.CALL_CONTACTS,
        "reboot_soft": InjectionKind.SOFT_REBOOT,
        "reboot_hard": InjectionKind.HARD_REBOOT,
        "reboot_rolling": InjectionKind.ROLLING_REBOOT,
        "host_failure": InjectionKind.STOP,
        "node_lost": InjectionKind.NODE_OUT,
        "several_servers": InjectionKind.HARD_REBOOT,
        "balancer_unreachable": InjectionKind.TALK,
        "database_failover": InjectionKind.BY_HAND,
        "restore_from_backup": InjectionKind.BY_HAND,
        "dns_change": InjectionKind.BY_HAND,
        "region_lost": InjectionKind.TALK,
    }


@pytest.mark.parametrize("scenario", SCENARIOS, ids=ORDER)
def test_each_keeps_the_rules_and_is_written_and_read_alike(scenario):
    check(scenario)
    assert from_plain(to_plain(scenario)) == scenario
    assert built_in()[scenario.key] is scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=ORDER)
def test_each_is_whole_enough_to_be_led_by_somebody_who_did_not_write_it(scenario):
    assert len(scenario.proves) >= 3
    assert len(scenario.does_not_prove) >= 2
    assert scenario.risks
    assert len(scenario.prerequisites) >= 3
    assert len(scenario.questions) >= 4
    assert len(scenario.steps) >= 5
    # It begins with words that are said aloud, and ends with talking about it.
    assert scenario.steps[0].kind is StepKind.TALK
    assert scenario.steps[-1].kind is StepKind.TALK
    assert "“" in scenario.steps[0].text
    assert sum(step.kind is StepKind.AUTOMATED for step in scenario.steps) == scenario.is_automated
    # Whoever wants to know first can hold it at a table.
    assert DrillKind.TABLE_TOP in scenario.kinds
    if scenario.injection is InjectionKind.TALK:
        assert scenario.kinds == (DrillKind.TABLE_TOP,)
    else:
        assert DrillKind.ANNOUNCED in scenario.kinds
        assert Environment.PRODUCTION in scenario.environments


@pytest.mark.parametrize("scenario", SCENARIOS, ids=ORDER)
def test_each_speaks_so_that_a_customer_understands_it(scenario):
    found = [JARGON.search(text) for text in texts_of(scenario)]
    assert [one.group() for one in found if one] == []
    # Who reads it in the emergency reads no dashes and no straight quotes of a program.
    assert not [text for text in texts_of(scenario) if re.search(r"['\"—]| - ", text)]


def test_a_stop_says_that_it_is_no_host_failure_and_a_restore_stays_off_the_live_target():
    host = built_in()["host_failure"]
    said = " ".join(host.does_not_prove)
    assert "orderly stop" in said
    assert "A hard reboot is nearer" in said
    assert any("hostId" in line for line in host.prerequisites)
    restore = built_in()["restore_from_backup"]
    assert any("never the live target" in line for line in restore.prerequisites)
    assert restore.hypothesis.data_lost_s is not None
    assert any("completeness is chosen before" in line for line in restore.prerequisites)
    rolling = built_in()["reboot_rolling"]
    assert rolling.targets is Targets.LIST_IN_ORDER
    asked = " ".join(one.title for one in rolling.after_boot)
    for wanted in ("Services", "Mounts", "Firewall", "Jobs", "without hands"):
        assert wanted in asked


def test_every_disruption_behind_a_balancer_asks_for_a_health_monitor():
    for scenario in SCENARIOS:
        if scenario.is_automated and scenario.injection not in (
            InjectionKind.CALL_CONTACTS,
            InjectionKind.NODE_OUT,
        ):
            assert any("health monitor" in line for line in scenario.prerequisites), scenario.key


def test_every_kind_and_injection_has_its_words():
    assert set(words.INJECTIONS) == set(InjectionKind)
    assert set(words.TARGETS) == set(Targets)
    assert set(words.STEP_KINDS) == set(StepKind)
    assert set(words.KINDS) == set(DrillKind)
    assert set(words.ENVIRONMENTS) == set(Environment)
    for one in words.INJECTIONS.values():
        assert one.does.endswith(".")
        assert one.is_not.startswith(("No", "Nearer", "Nothing"))


def test_a_hypothesis_is_said_in_sentences():
    assert words.sentences_of(built_in()["reboot_hard"].hypothesis) == (
        "At most 2 % of the requests fail.",
        "95 of 100 answers take no longer than 2 times what the baseline says.",
        "Somebody on duty acknowledges within 5 minutes.",
        "Visitors are no longer harmed after 2 minutes.",
        "Those who must know are told within 15 minutes.",
        "Everything is as before within 15 minutes.",
    )
    assert words.sentences_of(built_in()["restore_from_backup"].hypothesis)[-1] == (
        "The newest data that is found is at most 1 day old."
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (1, "1 second"),
        (45, "45 seconds"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (120, "2 minutes"),
        (5400, "90 minutes"),
        (7500, "2 hours 5 minutes"),
        (86_400, "1 day"),
        (172_800, "2 days"),
    ],
)
def test_lengths_of_time_are_said_as_people_say_them(seconds, said):
    assert words.in_words(seconds) == said


def test_the_example_of_the_docs_is_a_scenario_and_its_table_is_the_library():
    page = (Path(__file__).parents[3] / "docs/scenarios.md").read_text()
    example = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    check(from_plain(tomllib.loads(example.group(1))))
    assert tuple(re.findall(r"^\| `(\w+)` \| \w+", page, re.MULTILINE))[: len(ORDER)] == ORDER
    for field in to_plain(SCENARIOS[0]):
        assert f"`{field}`" in page
