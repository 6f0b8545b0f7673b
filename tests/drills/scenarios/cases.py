"""A small scenario to begin tests with, and one as plain form."""

from __future__ import annotations

from dataclasses import replace

from drills.scenarios.types import (
    DrillKind,
    Environment,
    Hypothesis,
    InjectionKind,
    Role,
    Scenario,
    ScenarioStep,
    StepKind,
    Targets,
    to_plain,
)

INJECT = ScenarioStep(
    StepKind.AUTOMATED,
    "The portal stops it",
    "The portal asks the provider.",
    Role.LAUNCH_MANAGER,
    60,
    "It is SHUTOFF.",
    injects=True,
)
TALK = ScenarioStep(StepKind.TALK, "Open", "Say what it is.", Role.FACILITATOR, 120, "All have said yes.")
SMALL = Scenario(
    key="cache_lost",
    title="The cache is lost",
    purpose="Does the site stand it?",
    injection=InjectionKind.STOP,
    targets=Targets.ONE,
    kinds=(DrillKind.ANNOUNCED,),
    environments=(Environment.TEST,),
    proves=("The database stands it.",),
    does_not_prove=("That it would at the peak.",),
    risks=(),
    prerequisites=(),
    steps=(TALK, INJECT),
    hypothesis=Hypothesis(error_ratio=0.01, acknowledged_s=300.0, recovered_s=900.0),
    questions=("Who warms it up?",),
    undo="The portal starts it again.",
    repeat_after_days=90,
    repeat_after_failure_days=30,
)


def plain(**changes):
    """The small scenario as the API takes it, with some of its fields changed."""
    return {**to_plain(SMALL), **changes}


def with_step(**changes):
    """The small scenario with another first step."""
    return replace(SMALL, steps=(replace(TALK, **changes), INJECT))
