"""What of an imported experiment becomes a scenario, and what the choices of a drill. Pure.

fits(scenario, draft)                    whether a team's scenario says the same, so that none is made
scenario_of(draft, recovered_s=900.0)    the scenario that a team gets otherwise, in its plain form
choice_of(draft, scenario, …)            what the author of the drill begins with
became(imported)                         each activity of the file, and what becomes of it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from drills.interchange.chaostoolkit import EXTENSION, Imported, Shown, Unmapped
from drills.interchange.drafts import LONGEST_NAME, Draft
from drills.interchange.reading import line
from drills.plans.choice import LONGEST_TEXT, Choice, ChosenStep, first_choice
from drills.scenarios.types import (
    LONGEST_LINE,
    LONGEST_PURPOSE,
    LONGEST_TITLE,
    MOST_PARAGRAPHS,
    MOST_STEPS,
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
    to_plain,
)
from drills.scenarios.words import STEP_KINDS
from drills.types import HITS
from portal.errors import Refused
from portal.frozen import replace

USUAL_RECOVERY_S = 900.0
REPEAT_DAYS = 90
REPEAT_AFTER_FAILURE_DAYS = 30
_TIMES = ("acknowledged_s", "informed_s", "mitigated_s", "recovered_s", "data_lost_s")
_NO_ACTION = ScenarioStep(
    StepKind.BY_HAND,
    "Make the disruption",
    "The experiment names no action. Say here what is disrupted and how, then do it.",
    Role.FACILITATOR,
    60,
    "The disruption is seen, or whoever made it says so.",
    injects=True,
)


# --- the scenario -------------------------------------------------------------------------------------------


def title_of(draft: Draft) -> str:
    """Return a draft's title as a scenario has it."""
    return line(draft.title, LONGEST_TITLE)


def steps_of(draft: Draft) -> tuple[ScenarioStep, ...]:
    """Return the script. Exactly one step of a scenario injects: an experiment without an action gets one for it."""
    steps = tuple(
        ScenarioStep(
            one.kind,
            one.title,
            one.text,
            one.role,
            one.expected_s,
            line(one.done_when, LONGEST_LINE),
            one.injects,
        )
        for one in draft.steps
    )
    if any(one.injects for one in steps):
        return steps
    if len(steps) < MOST_STEPS:
        return (_NO_ACTION, *steps)
    return (replace(steps[0], injects=True), *steps[1:])


def undo_of(draft: Draft) -> str:
    """Return how it is undone, in words."""
    said = "\n".join(draft.undo.strip().splitlines()[:MOST_PARAGRAPHS])
    return (
        said or "The experiment names no rollback. Undo by hand what was done by hand, and look at the site."
    )


def fits(scenario: Scenario, draft: Draft, *, own_script: bool = False) -> bool:
    """Whether a draft is held by a scenario's own words: the same script, injection, checks and way to undo.

    With `own_script` its steps may be others: a drill of that scenario with a script of its own. Of what is talked through they
    may not, for then nobody knows what was by hand.
    """
    talks = draft.injection is InjectionKind.TALK and DrillKind.TABLE_TOP in scenario.kinds
    injection = InjectionKind.TALK if talks else scenario.injection
    # A table-top of any scenario is the same script, talked through.
    script = tuple(replace(one, kind=StepKind.TALK) if talks else one for one in scenario.steps)
    is_rolling = injection is InjectionKind.ROLLING_REBOOT
    checks = tuple(one.title for one in scenario.after_boot) if is_rolling else ()
    return (
        draft.injection is injection
        and scenario.title == title_of(draft)
        and (script == steps_of(draft) or (own_script and not talks))
        and scenario.undo == undo_of(draft)
        and checks == draft.after_boot
        and draft.kind in scenario.kinds
        and draft.environment in scenario.environments
    )


def claims_anything(draft: Draft) -> bool:
    """Whether a file says anything of what should hold that a scenario can say, too."""
    return draft.hypothesis.error_ratio is not None or any(
        getattr(draft.hypothesis, name) is not None for name in _TIMES
    )


def scenario_of(draft: Draft, recovered_s: float | None) -> Mapping[str, Any]:
    """Return the scenario that a draft comes to, in its plain form. Raises Refused where nothing is claimed by anybody."""
    talks = draft.injection is InjectionKind.TALK
    claimed = {name: getattr(draft.hypothesis, name) for name in ("error_ratio", *_TIMES)}
    if recovered_s is not None:
        claimed["recovered_s"] = recovered_s
    if all(value is None for value in claimed.values()):
        raise Refused(
            "The file claims nothing that a drill measures. Say within which time the site has recovered.",
            code="no_claim",
        )
    found = Scenario(
        # Its own is made from its title.
        key="new",
        title=title_of(draft),
        purpose=draft.objective.strip()
        if 0 < len(draft.objective.strip()) <= LONGEST_PURPOSE
        else line(draft.objective or draft.title, LONGEST_PURPOSE),
        injection=draft.injection,
        targets=_targets(draft.injection),
        kinds=(DrillKind.TABLE_TOP,)
        if talks
        else tuple(dict.fromkeys((DrillKind.TABLE_TOP, *_kinds(draft)))),
        environments=(Environment.TEST, Environment.PRODUCTION),
        proves=("Whether people carry out this script, and whether the site stays as the hypothesis says.",),
        does_not_prove=(
            "What another program would have shown that runs the experiment by itself: here people follow its words.",
        ),
        risks=(
            "Nothing is touched."
            if talks
            else "What people disrupt by hand the portal cannot undo: they do.",
        )
        if draft.injection not in HITS
        else ("One server less serves for a while.",),
        prerequisites=(),
        steps=steps_of(draft),
        hypothesis=Hypothesis(**claimed),
        questions=("Where does the emergency plan say what is done when this happens?",),
        undo=undo_of(draft),
        repeat_after_days=REPEAT_DAYS,
        repeat_after_failure_days=REPEAT_AFTER_FAILURE_DAYS,
        after_boot=tuple(
            AfterBoot(one, f"Look on the server itself: {one}"[:LONGEST_LINE]) for one in draft.after_boot
        ),
    )
    return to_plain(found)


def _kinds(draft: Draft) -> Iterator[DrillKind]:
    yield DrillKind.ANNOUNCED
    yield draft.kind


def _targets(injection: InjectionKind) -> Targets:
    if injection is InjectionKind.ROLLING_REBOOT:
        return Targets.LIST_IN_ORDER
    return Targets.ONE if injection in HITS else Targets.NONE


def chosen(draft: Draft) -> tuple[ChosenStep, ...]:
    """Return the script as a drill's own."""
    return tuple(
        ChosenStep(one.kind, one.title, one.text, one.role, one.expected_s, one.done_when, one.injects)
        for one in steps_of(draft)
    )


# --- the choices --------------------------------------------------------------------------------------------


def choice_of(draft: Draft, scenario: Scenario, *, recovered_s: float | None, balancer_id: str) -> Choice:
    """Return the choices of the drill: what the file claims, and nothing that it does not. Servers, people and times are chosen."""
    begin = first_choice(scenario)
    claimed = {name: getattr(draft.hypothesis, name) for name in ("error_ratio", *_TIMES)}
    if recovered_s is not None:
        claimed["recovered_s"] = recovered_s
    more: dict[str, Any] = {}
    if draft.stops is not None:
        more |= {
            "stop_error_ratio": draft.stops.error_ratio,
            "stop_window_s": draft.stops.window_s,
            "stop_p95_ms": draft.stops.p95_ms,
            "longest_s": draft.stops.injected_s,
            "floor": draft.stops.floor,
        }
    if draft.calling is not None:
        more |= {
            "call_role": draft.calling.role,
            "call_tries": draft.calling.tries,
            "call_wait_s": draft.calling.wait_s,
        }
    return replace(
        begin,
        objective=draft.objective.strip()[:LONGEST_TEXT] or draft.title,
        kind=draft.kind if draft.kind in scenario.kinds else scenario.kinds[0],
        environment=draft.environment
        if draft.environment in scenario.environments
        else scenario.environments[0],
        balancer_ids=(balancer_id,) if balancer_id else (),
        # A factor of a baseline is this site's own; the file has milliseconds of another one at most.
        p95_factor=None,
        steps=() if fits(scenario, draft) or not fits(scenario, draft, own_script=True) else chosen(draft),
        hold_s=draft.hold_s,
        calm_s=draft.calm_s,
        boot_limit_s=draft.boot_limit_s,
        between_s=draft.between_s,
        **claimed,
        **more,
    )


# --- what is shown ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Became:
    """One activity of a file, and what becomes of it: a probe, a step, words of how it is undone, or nothing."""

    shown: Shown
    becomes: str
    is_kept: bool


def became(imported: Imported) -> list[Became]:
    """Return each activity of a file, in its order, and what becomes of it."""
    left = {
        (one.where, one.what)
        for one in imported.unmapped
        # That it refers to another one, or that people do it, leaves nothing out.
        if not one.why.startswith("It refers to") and not one.why.endswith("it is a step by hand.")
    }
    draft = imported.draft
    added = len(steps_of(draft)) - len(draft.steps)
    found = []
    for one in imported.shown:
        part, _, number = one.where.partition(".")
        is_kept = (one.where, line(one.name, LONGEST_NAME)) not in left
        if part == "rollbacks":
            says, is_kept = "words of how it is undone", True
        elif part == "method":
            kind = draft.steps[int(number) - 1].kind if is_kept else StepKind.BY_HAND
            says = f"step {int(number) + added}, {STEP_KINDS[kind]}"
        else:
            says = "a probe"
        found.append(Became(one, says if is_kept else "left out", is_kept))
    return found


def left_of(imported: Imported) -> tuple[Unmapped, ...]:
    """Return what of a file has no counterpart, the limit of latency of another site among it."""
    p95_ms = imported.draft.hypothesis.p95_ms
    if p95_ms is None:
        return imported.unmapped
    why = "Milliseconds of another site say nothing of this one: claim a factor of the baseline instead."
    return (
        *imported.unmapped,
        Unmapped("extensions", f"{EXTENSION}: 95 of 100 answers in {p95_ms:.0f} ms", why),
    )
