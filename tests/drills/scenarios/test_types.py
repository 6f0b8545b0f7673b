"""The shape of scenarios and its rules: no database."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from drills.scenarios import types
from drills.scenarios.types import (
    AfterBoot,
    DrillKind,
    Environment,
    Hypothesis,
    InjectionKind,
    Role,
    Scenario,
    ScenarioStep,
    StepKind,
    Targets,
    check,
    digest_of,
    faults_of,
    from_plain,
    key_of,
    to_plain,
)
from portal.errors import Refused
from portal.texts import is_sound
from tests.drills.scenarios.cases import INJECT, SMALL, TALK, plain, with_step

# As they stand once read: words with one blank between, and nothing that no text may hold.
words = (
    some.lists(some.text(min_size=1, max_size=8), max_size=6)
    .map(lambda parts: " ".join(" ".join(parts).split()))
    .filter(is_sound)
)
paragraphs = some.lists(words, max_size=3).map(lambda lines: "\n".join(lines).strip("\n"))
numbers = some.none() | some.integers(0, 10**9).map(float) | some.floats(0, 1e9)
steps = some.builds(
    ScenarioStep,
    some.sampled_from(StepKind),
    words,
    paragraphs,
    some.sampled_from(Role),
    some.integers(0, 10**9),
    words,
    some.booleans(),
)


def several(of):
    return some.lists(of, max_size=4).map(tuple)


scenarios = some.builds(
    Scenario,
    key=words,
    title=words,
    purpose=paragraphs,
    injection=some.sampled_from(InjectionKind),
    targets=some.sampled_from(Targets),
    kinds=several(some.sampled_from(DrillKind)),
    environments=several(some.sampled_from(Environment)),
    proves=several(words),
    does_not_prove=several(words),
    risks=several(words),
    prerequisites=several(words),
    steps=several(steps),
    hypothesis=some.builds(Hypothesis, *[numbers] * 7),
    questions=several(words),
    undo=paragraphs,
    repeat_after_days=some.integers(0, 10**6),
    repeat_after_failure_days=some.integers(0, 10**6),
    after_boot=several(some.builds(AfterBoot, words, words)),
    fewest_targets=some.integers(0, 100),
)
anything = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats()
    | some.text()
    | some.text(some.characters(categories=["Cs", "Cc", "Lu"])),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


def refused(act) -> str:
    """What a refusal said, or "" where there was none. Anything else that is raised fails the test."""
    try:
        act()
    except Refused as refusal:
        return refusal.says
    return ""


@given(scenarios)
def test_what_is_written_is_read_again_as_it_was(scenario):
    stored = json.loads(json.dumps(to_plain(scenario)))
    again = from_plain(stored)
    assert again == replace(scenario, undo=again.undo, purpose=again.purpose, steps=again.steps)
    # Reading may close gaps between paragraphs; after that nothing moves any more.
    assert from_plain(to_plain(again)) == again
    assert digest_of(from_plain(to_plain(again))) == digest_of(again)


@given(scenarios)
def test_the_rules_answer_with_sentences_whatever_a_scenario_says(scenario):
    faults = list(faults_of(scenario))
    assert all(one.says.endswith(".") for one in faults)
    said = refused(lambda: check(scenario))
    assert (said != "") == bool(faults)


@given(some.sampled_from(sorted(plain())), anything)
def test_whatever_stands_in_a_field_is_read_or_refused(field, value):
    # What is said can be sent, whatever came in.
    refused(lambda: check(from_plain({**plain(), field: value}))).encode()


@given(anything)
def test_whatever_is_no_scenario_is_refused(value):
    with pytest.raises(Refused):
        from_plain(value)


@given(some.sampled_from(["kind", "title", "text", "role", "expected_s", "done_when", "injects"]), anything)
def test_whatever_stands_in_a_step_is_read_or_refused(field, value):
    step = {**plain()["steps"][0], field: value}
    refused(lambda: check(from_plain(plain(steps=[step, plain()["steps"][1]])))).encode()


def test_the_small_scenario_keeps_every_rule():
    check(SMALL)


@pytest.mark.parametrize(
    ("broken", "where", "says"),
    [
        (replace(SMALL, key="Cache"), "key", "begins with a letter"),
        (replace(SMALL, title=""), "title", "The title is missing."),
        (replace(SMALL, title="x" * 81), "title", "at most 80 characters, not 81"),
        (replace(SMALL, purpose="x" * 1001), "purpose", "at most 1000"),
        (replace(SMALL, undo="a\n" * 40), "undo", "at most 40 lines"),
        (replace(SMALL, proves=()), "proves", "1 to 15 lines, not 0"),
        (replace(SMALL, does_not_prove=()), "does_not_prove", "1 to 15 lines"),
        (replace(SMALL, risks=("x" * 401,)), "risks", "1 to 400 characters, not 401"),
        (replace(SMALL, risks=("",)), "risks", "1 to 400 characters, not 0"),
        (replace(SMALL, questions=("x",) * 16), "questions", "not 16"),
        (replace(SMALL, kinds=()), "kinds", "at least one way"),
        (replace(SMALL, kinds=(DrillKind.ANNOUNCED,) * 2), "kinds", "each once"),
        (replace(SMALL, kinds=(DrillKind.TABLE_TOP,)), "kinds", "talked through"),
        (replace(SMALL, environments=()), "environments", "at least one environment"),
        (replace(SMALL, targets=Targets.NONE), "targets", "targets are: one, several"),
        (replace(SMALL, fewest_targets=2), "fewest_targets", "1, unless several"),
        (replace(SMALL, targets=Targets.SEVERAL, fewest_targets=51), "fewest_targets", "1 to 50"),
        (replace(SMALL, steps=()), "steps", "1 to 30 steps, not 0"),
        (replace(SMALL, steps=(INJECT, *(TALK,) * 30)), "steps", "not 31"),
        (replace(SMALL, steps=(TALK,)), "steps", "Exactly one step injects the disruption, not 0."),
        (replace(SMALL, steps=(INJECT, INJECT)), "steps", "not 2"),
        (with_step(title=""), "steps.1.title", "Step 1: its title is missing."),
        (with_step(done_when=" "), "steps.1.done_when", "“done” looks like is missing"),
        (with_step(text="x" * 2001), "steps.1.text", "at most 2000"),
        (with_step(expected_s=9), "steps.1.expected_s", "10 seconds to 24 hours"),
        (with_step(expected_s=86_401), "steps.1.expected_s", "10 seconds to 24 hours"),
        (with_step(kind=StepKind.AUTOMATED), "steps.1.kind", "is to inject"),
        (replace(SMALL, steps=(replace(INJECT, kind=StepKind.BY_HAND),)), "steps", "one of the portal"),
        (replace(SMALL, hypothesis=Hypothesis()), "hypothesis", "claims at least one thing"),
        (replace(SMALL, hypothesis=Hypothesis(error_ratio=1.01)), "hypothesis.error_ratio", "0 to 1"),
        (replace(SMALL, hypothesis=Hypothesis(p95_factor=0.9)), "hypothesis.p95_factor", "1 to 100"),
        (
            replace(SMALL, hypothesis=Hypothesis(informed_s=0.0)),
            "hypothesis.informed_s",
            "1 second to 30 days",
        ),
        (replace(SMALL, hypothesis=Hypothesis(informed_s=1.5)), "hypothesis.informed_s", "whole seconds"),
        (
            replace(SMALL, hypothesis=Hypothesis(data_lost_s=2_592_001.0)),
            "hypothesis.data_lost_s",
            "30 days old",
        ),
        (
            replace(SMALL, hypothesis=Hypothesis(acknowledged_s=901.0, recovered_s=900.0)),
            "hypothesis.acknowledged_s",
            "no longer than until",
        ),
        (replace(SMALL, after_boot=(AfterBoot("Mounts", "All."),)), "after_boot", "belong to a reboot"),
        (
            replace(SMALL, injection=InjectionKind.SOFT_REBOOT, after_boot=(AfterBoot("x", "y"),) * 13),
            "after_boot",
            "not 13",
        ),
        (
            replace(SMALL, injection=InjectionKind.SOFT_REBOOT, after_boot=(AfterBoot("x", ""),)),
            "after_boot.1.text",
            "missing",
        ),
        (
            replace(SMALL, injection=InjectionKind.ROLLING_REBOOT, targets=Targets.LIST_IN_ORDER),
            "after_boot",
            "after its boot",
        ),
        (replace(SMALL, repeat_after_days=0), "repeat_after_days", "1 to 1098 days"),
        (replace(SMALL, repeat_after_failure_days=91), "repeat_after_failure_days", "no later"),
    ],
)
def test_each_rule_says_what_is_wrong_and_where(broken, where, says):
    found = [one for one in faults_of(broken) if one.where == where]
    assert found, list(faults_of(broken))
    assert says in found[0].says
    with pytest.raises(Refused, match="Nothing was kept"):
        check(broken)


TALKED = replace(
    SMALL,
    injection=InjectionKind.TALK,
    targets=Targets.NONE,
    kinds=(DrillKind.TABLE_TOP,),
    steps=(replace(TALK, injects=True),),
)


def test_what_is_talked_through_is_a_table_top_without_a_step_of_the_portal():
    check(TALKED)
    announced = list(faults_of(replace(TALKED, kinds=(DrillKind.ANNOUNCED,))))
    assert [one.where for one in announced] == ["kinds"]
    automated = list(faults_of(replace(TALKED, steps=(TALK, INJECT))))
    assert {one.where for one in automated} == {"steps.2.kind", "steps"}
    by_hand = list(faults_of(replace(TALKED, steps=(replace(TALK, kind=StepKind.BY_HAND, injects=True),))))
    assert {one.where for one in by_hand} == {"steps.1.kind", "steps"}


def test_what_people_break_themselves_is_injected_by_a_step_by_hand():
    by_hand = replace(
        SMALL,
        injection=InjectionKind.BY_HAND,
        targets=Targets.NONE,
        steps=(TALK, replace(INJECT, kind=StepKind.BY_HAND)),
    )
    check(by_hand)
    assert not by_hand.is_automated
    assert [one.where for one in faults_of(replace(by_hand, steps=(TALK, INJECT)))] == [
        "steps.2.kind",
        "steps",
    ]


def test_texts_are_tidied_as_they_are_read():
    read = from_plain(
        plain(
            title="  The \t cache\nis lost ",
            purpose="\r\nOne  line.\r\n\r\n\r\n\r\nAnother. \r\n",
            risks=[" a\nb "],
        )
    )
    assert read.title == "The cache is lost"
    assert read.purpose == "One line.\n\nAnother."
    assert read.risks == ("a b",)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (plain(format=2), "`format` 1"),
        (plain(format=True), "`format` 1"),
        ({name: item for name, item in plain().items() if name != "format"}, "`format` 1"),
        ({name: item for name, item in plain().items() if name != "undo"}, "`undo` is missing"),
        (plain(owner="me"), "no field `owner`"),
        (plain(**{"bad\x00name": 1}), "no field `?`"),
        (plain(injection="meteor"), "`injection` is one of soft_reboot, hard_reboot"),
        (plain(kinds="announced"), "`kinds` is a list of at most 200"),
        (plain(kinds=["announced"] * 201), "a list of at most 200"),
        (plain(title=None), "`title` is a text"),
        (plain(title="x" * 20_001), "at most 20000 characters"),
        (plain(title="a\u202eb"), "`title` holds an invisible character"),
        (plain(title="\ud800"), "`title` holds an invisible character"),
        (plain(repeat_after_days=True), "`repeat_after_days` is a number"),
        (plain(repeat_after_days=1.5), "a whole number"),
        (plain(repeat_after_days=10**400), "is a number"),
        (plain(hypothesis={"error_ratio": float("nan")}), "`hypothesis.error_ratio` is a number"),
        (plain(hypothesis={"error_ratio": float("inf")}), "is a number"),
        (plain(steps=[{**plain()["steps"][0], "injects": 1}]), "`steps.1.injects` is true or false"),
        (plain(steps=[{}]), "`steps.1.kind` is missing"),
        (plain(steps=[7]), "`steps.1` is an object"),
    ],
)
def test_what_cannot_be_read_is_named(value, says):
    with pytest.raises(Refused) as refusal:
        from_plain(value)
    assert says in refusal.value.says
    assert refusal.value.says.endswith("Nothing was kept.")


def test_the_digest_knows_every_field_and_no_spelling_of_numbers():
    assert digest_of(SMALL) == digest_of(from_plain(json.loads(json.dumps(to_plain(SMALL)))))
    spelt = plain(repeat_after_days=90.0, hypothesis={**plain()["hypothesis"], "acknowledged_s": 300})
    assert digest_of(from_plain(spelt)) == digest_of(SMALL)
    others = [replace(SMALL, undo="Otherwise."), replace(SMALL, fewest_targets=2), with_step(injects=True)]
    assert len({digest_of(one) for one in [SMALL, *others]}) == 4


def test_a_key_is_made_from_the_title_and_is_free():
    assert key_of("The cache is lost!") == "the_cache_is_lost"
    assert key_of("3 servers") == "own_3_servers"
    assert key_of("Ünïcode ausfall") == "n_code_ausfall"
    assert key_of("…") == "own"
    assert key_of("x") == "own"
    assert key_of("The cache", frozenset({"the_cache", "the_cache_2"})) == "the_cache_3"
    assert types.KEY.fullmatch(key_of("long " * 30))


@given(some.text(max_size=120))
def test_every_title_gets_a_key(title):
    assert types.KEY.fullmatch(key_of(title))
