"""What the author of a drill chooses, and the frozen plan that comes of it. Pure.

choice = choice_from_plain(drill.inputs)
check(choice, scenario)                      Refused with a sentence
build(choice, scenario, …) -> DrillPlan      what both sides approve
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from drills.scenarios.types import (
    DrillKind,
    Environment,
    Fault,
    InjectionKind,
    Role,
    Scenario,
    ScenarioStep,
    StepKind,
    Targets,
    digest_of,
    faults_of,
)
from drills.scenarios.types import from_plain as scenario_from_plain
from drills.scenarios.types import to_plain as scenario_to_plain
from drills.types import (
    HITS,
    PLAN_FORMAT,
    Calling,
    DrillPlan,
    DrillProbe,
    Limits,
    Person,
    PlannedStep,
    Stops,
    Target,
)
from portal.errors import Refused
from portal.frozen import replace
from portal.plain import from_plain, to_plain

LONGEST_WINDOW = timedelta(hours=12)
LONGEST_TEXT = 2000
LONGEST_CHECK = 300
MOST_TARGETS = 20
LARGEST_SHARE = 0.5
"""No drill hits more than this share of a pool at once."""
_PROVIDERS_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class ChosenStep(ScenarioStep):
    """One step of this drill's own script. `responsible` is a contact by reference, "" where the role says it all."""

    responsible: str = ""


@dataclass(frozen=True)
class Choice:
    """What the author chose. A limit that is None is not claimed; a new drill begins with those of its scenario (`first_choice`).

    `server_ids` in the order in which they are hit. `steps` is the drill's own script; empty, it is the scenario's.
    """

    objective: str
    kind: DrillKind
    environment: Environment
    not_before: datetime | None = None
    not_after: datetime | None = None
    balancer_ids: tuple[str, ...] = ()
    server_ids: tuple[str, ...] = ()
    emergency_plan: str = ""
    error_ratio: float | None = None
    p95_factor: float | None = None
    acknowledged_s: float | None = None
    informed_s: float | None = None
    mitigated_s: float | None = None
    recovered_s: float | None = None
    data_lost_s: float | None = None
    stop_error_ratio: float = 0.2
    stop_window_s: float = 30.0
    stop_p95_ms: float | None = None
    longest_s: float = 600.0
    floor: int = 2
    hold_s: float = 120.0
    calm_s: float = 60.0
    boot_limit_s: float = 600.0
    between_s: float = 60.0
    call_role: str = "emergency"
    call_tries: int = 2
    call_wait_s: int = 300
    steps: tuple[ChosenStep, ...] = ()
    completeness: str = ""
    """How it is found out whether what was restored or taken over is whole."""


def script_of(choice: Choice, scenario: Scenario) -> tuple[ChosenStep, ...]:
    """Return the script of a drill: its own, or that of its scenario."""
    if choice.steps:
        return choice.steps
    return tuple(_chosen(step) for step in scenario.steps)


def _chosen(step: ScenarioStep, responsible: str = "") -> ChosenStep:
    same: dict[str, Any] = {one.name: getattr(step, one.name) for one in fields(ScenarioStep)}
    return ChosenStep(**same | {"responsible": responsible})


def read_script(items: Sequence[Mapping[str, Any]], scenario: Scenario) -> tuple[ChosenStep, ...]:
    """Return the steps of a drill's own script from plain JSON, their texts tidied as those of scenarios are.

    A script that reads like the scenario's is none of its own. Raises Refused for what has not the shape.
    """
    parts = [{**one} for one in items]
    responsible = [str(one.pop("responsible", None) or "") for one in parts]
    read = scenario_from_plain({**scenario_to_plain(scenario), "steps": parts}).steps
    own = tuple(_chosen(step, who) for step, who in zip(read, responsible, strict=True))
    return () if own == script_of(Choice("", scenario.kinds[0], scenario.environments[0]), scenario) else own


def script_faults(steps: Sequence[ChosenStep], scenario: Scenario) -> list[Fault]:
    """Return what is wrong with a drill's own script, by the rules of every script."""
    found = [one for one in faults_of(replace(scenario, steps=tuple(steps))) if one.where.startswith("steps")]
    for number, step in enumerate(steps, start=1):
        if step.responsible and step.role is not Role.PARTICIPANT:
            found.append(
                Fault(
                    f"steps.{number}.responsible",
                    f"Step {number}: a contact is responsible for what those who take part do. Choose that role, or nobody.",
                )
            )
    return found


def first_choice(scenario: Scenario) -> Choice:
    """Return the choices with which a new drill begins: those of its scenario."""
    claimed = scenario.hypothesis
    return Choice(
        objective=scenario.purpose,
        kind=scenario.kinds[0],
        environment=scenario.environments[0],
        error_ratio=claimed.error_ratio,
        p95_factor=claimed.p95_factor,
        acknowledged_s=claimed.acknowledged_s,
        informed_s=claimed.informed_s,
        mitigated_s=claimed.mitigated_s,
        recovered_s=claimed.recovered_s,
        data_lost_s=claimed.data_lost_s,
    )


def choice_to_plain(choice: Choice) -> dict[str, Any]:
    """Return the choices as the drill's row keeps them."""
    plain: dict[str, Any] = to_plain(choice)
    return plain


def choice_from_plain(value: Mapping[str, Any]) -> Choice:
    """Return the choices that `choice_to_plain` wrote. Raises `portal.plain.Unreadable`."""
    choice = from_plain(Choice, value)
    assert isinstance(choice, Choice)
    return choice


_BOUNDS: Mapping[str, tuple[float, float, str]] = {
    "stop_error_ratio": (0.01, 1.0, "The share of failed probes that stops a drill"),
    "stop_window_s": (10, 300, "The time over which probes are judged"),
    "stop_p95_ms": (10, 120_000, "The latency that stops a drill"),
    "longest_s": (10, 3600, "The longest disruption"),
    "floor": (1, 1000, "The fewest servers in service"),
    "hold_s": (0, 3600, "How long the disruption stays"),
    "calm_s": (5, 1800, "How long the site must be calm"),
    "boot_limit_s": (30, 3600, "How long a server may take to come back"),
    "between_s": (0, 3600, "The rest between two servers"),
    "call_tries": (1, 5, "How often each contact is tried"),
    "call_wait_s": (30, 3600, "How long each contact has to answer"),
    "error_ratio": (0, 1, "The share of failed probes that is claimed"),
    "p95_factor": (1, 100, "The factor of the baseline's latency that is claimed"),
    "acknowledged_s": (1, 86_400, "The time until somebody acknowledges"),
    "informed_s": (1, 86_400, "The time until those who must know are told"),
    "mitigated_s": (1, 86_400, "The time until the harm is over"),
    "recovered_s": (1, 86_400, "The time until the site has recovered"),
    "data_lost_s": (0, 30 * 86_400, "How old the newest data may be"),
}


def check(choice: Choice, scenario: Scenario) -> None:
    """Raise Refused for choices that no drill of this scenario can have. A draft may lack its times and its servers."""
    if not choice.objective.strip() or len(choice.objective) > LONGEST_TEXT:
        raise Refused(f"Say what the drill is to show, in at most {LONGEST_TEXT} characters.", code="invalid")
    if len(choice.emergency_plan) > LONGEST_TEXT:
        raise Refused(
            f"The emergency plan has at most {LONGEST_TEXT} characters; link a longer one.", code="invalid"
        )
    if len(choice.completeness) > LONGEST_CHECK:
        raise Refused(f"The check of completeness has at most {LONGEST_CHECK} characters.", code="invalid")
    if choice.kind not in scenario.kinds:
        raise Refused("This scenario is not held in that way.", code="bad_kind")
    if choice.environment not in scenario.environments:
        raise Refused("This scenario is not held in that environment.", code="bad_environment")
    for name, (low, high, says) in _BOUNDS.items():
        value = getattr(choice, name)
        if value is not None and not low <= value <= high:
            raise Refused(f"{says} lies between {low:g} and {high:g}.", code="out_of_bounds")
    for one in (*choice.balancer_ids, *choice.server_ids):
        if not _PROVIDERS_ID.fullmatch(one):
            raise Refused("A load balancer or a server has no such id at the provider.", code="bad_targets")
    if len(choice.server_ids) > MOST_TARGETS or len(set(choice.server_ids)) != len(choice.server_ids):
        raise Refused(f"A drill hits at most {MOST_TARGETS} servers, each once.", code="bad_targets")
    if scenario.targets is Targets.ONE and len(choice.server_ids) > 1:
        raise Refused("This scenario hits one server.", code="bad_targets")
    if choice.steps and (faults := script_faults(choice.steps, scenario)):
        raise Refused(" ".join(one.says for one in faults[:8]), code="bad_script")
    if choice.not_before and choice.not_after:
        lasts = choice.not_after - choice.not_before
        if not timedelta(minutes=5) <= lasts <= LONGEST_WINDOW:
            raise Refused(
                "A drill has from five minutes to twelve hours for it: say when it begins and ends.",
                code="bad_times",
            )


def check_whole(choice: Choice, scenario: Scenario, now: datetime, participants: Iterable[str] = ()) -> None:
    """Raise Refused for what a draft may lack and a submitted drill may not. `participants`: contacts by reference."""
    if choice.not_before is None or choice.not_after is None:
        raise Refused("Say when the drill may begin, and by when it must be over.", code="no_times")
    if choice.not_after <= now:
        raise Refused("The time chosen for the drill is over.", code="bad_times")
    if scenario.injection in HITS and is_held_for_real(choice):
        if len(choice.server_ids) < max(1, scenario.fewest_targets):
            raise Refused(
                f"Choose the servers: this scenario hits at least {max(1, scenario.fewest_targets)}.",
                code="no_targets",
            )
        if not choice.balancer_ids:
            raise Refused("Choose the load balancer whose pool is drilled.", code="no_pool")
    if needs_completeness(choice) and not choice.completeness.strip():
        raise Refused(
            "Choose beforehand how it is found out whether the data is whole: a count to compare, a sum to hold against, a page"
            " to open.",
            code="no_completeness",
        )
    takes_part = set(participants)
    for number, step in enumerate(choice.steps, start=1):
        if step.responsible and step.responsible not in takes_part:
            raise Refused(
                f"Who is responsible for step {number} ({step.title}) does not take part. Name them among those who do, or"
                " choose another.",
                code="bad_responsible",
            )
    if not choice.emergency_plan.strip():
        raise Refused(
            "Say where the emergency plan stands, or what it is: it is what one drills for.", code="no_plan"
        )


def needs_completeness(choice: Choice) -> bool:
    """Whether a check of completeness is chosen beforehand: where it is really shown how much data is lost."""
    return is_held_for_real(choice) and choice.data_lost_s is not None


def is_held_for_real(choice: Choice) -> bool:
    """Whether something is really disrupted: a table-top is talked through, whatever its scenario could do."""
    return choice.kind is not DrillKind.TABLE_TOP


def check_share(targets: int, pool_size: int, floor: int, *, one_by_one: bool) -> None:
    """Raise Refused where so many servers at once are too much of a pool."""
    at_once = 1 if one_by_one else targets
    if pool_size - at_once < floor:
        raise Refused(
            f"Of {pool_size} servers {pool_size - at_once} would be left; never fewer than {floor}.",
            code="below_floor",
        )
    if at_once > pool_size * LARGEST_SHARE:
        raise Refused(
            f"{at_once} of {pool_size} servers at once are more than half of the pool.", code="too_many"
        )


@dataclass(frozen=True)
class Around:
    """What a plan takes from what is known: where it is held, of whom, and against what."""

    account_ref: str
    facilitator: str
    reporter: str = ""
    people: tuple[Person, ...] = ()
    connection_ref: str = ""
    provider: str = ""
    identity_url: str = ""
    tenant: str = ""
    region: str = ""
    pool_size: int = 0
    targets: tuple[Target, ...] = ()
    probes: tuple[DrillProbe, ...] = ()
    baseline_p95_ms: float | None = None
    baseline_source: str = ""
    attested: tuple[str, ...] = ()


def build(choice: Choice, scenario: Scenario, version: int, around: Around) -> DrillPlan:
    """Return the frozen plan. Raises Refused where the scenario's claim needs a baseline that is not there."""
    is_real = is_held_for_real(choice)
    injection = scenario.injection if is_real else InjectionKind.TALK
    hits = injection in HITS
    assert choice.not_before is not None
    assert choice.not_after is not None
    limits = _limits(choice, around, watched=is_real and bool(around.probes))
    return DrillPlan(
        format=PLAN_FORMAT,
        account_ref=around.account_ref,
        scenario_key=scenario.key,
        scenario_title=scenario.title,
        scenario_version=version,
        scenario_digest=digest_of(scenario),
        objective=choice.objective.strip(),
        kind=choice.kind,
        environment=choice.environment,
        injection=injection,
        steps=tuple(_steps(script_of(choice, scenario), is_real=is_real)),
        hypothesis=limits,
        undo=scenario.undo,
        emergency_plan=choice.emergency_plan.strip(),
        not_before=choice.not_before,
        not_after=choice.not_after,
        connection_ref=around.connection_ref,
        provider=around.provider,
        identity_url=around.identity_url,
        tenant=around.tenant,
        region=around.region,
        balancer_ids=choice.balancer_ids if hits else (),
        targets=around.targets if hits else (),
        pool_size=around.pool_size,
        probes=around.probes if is_real else (),
        stops=Stops(
            choice.stop_error_ratio, choice.stop_window_s, choice.floor, choice.longest_s, choice.stop_p95_ms
        )
        if hits
        else None,
        hold_s=choice.hold_s,
        calm_s=choice.calm_s,
        boot_limit_s=choice.boot_limit_s,
        between_s=choice.between_s,
        after_boot=tuple(one.title for one in scenario.after_boot)
        if injection is InjectionKind.ROLLING_REBOOT
        else (),
        calling=Calling(choice.call_role, choice.call_tries, choice.call_wait_s)
        if injection is InjectionKind.CALL_CONTACTS
        else None,
        people=around.people,
        facilitator=around.facilitator,
        reporter=around.reporter,
        attested=around.attested,
        completeness=choice.completeness.strip() if is_real else "",
    )


def _limits(choice: Choice, around: Around, *, watched: bool) -> Limits:
    factor = choice.p95_factor if watched else None
    if factor is not None and around.baseline_p95_ms is None:
        raise Refused(
            "The hypothesis speaks of the baseline's latency, and there is no baseline of the last half year. Approve one"
            " first, or leave that claim empty.",
            code="no_baseline",
        )
    p95 = None if factor is None or around.baseline_p95_ms is None else factor * around.baseline_p95_ms
    source = "" if p95 is None else f"{factor:g} times {around.baseline_source}"
    return Limits(
        error_ratio=choice.error_ratio if watched else None,
        p95_ms=p95,
        p95_source=source,
        acknowledged_s=choice.acknowledged_s,
        informed_s=choice.informed_s,
        mitigated_s=choice.mitigated_s,
        recovered_s=choice.recovered_s,
        data_lost_s=choice.data_lost_s,
    )


def _steps(script: Sequence[ChosenStep], *, is_real: bool) -> Sequence[PlannedStep]:
    return [
        PlannedStep(
            number,
            step.kind if is_real else StepKind.TALK,
            step.title,
            step.text,
            step.role,
            step.expected_s,
            step.done_when,
            step.injects,
            step.responsible,
        )
        for number, step in enumerate(script, start=1)
    ]
