"""How scenarios are said to people: names of kinds and injections, what each injection truly does, a hypothesis in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drills.scenarios.types import (
    DrillKind,
    Environment,
    Hypothesis,
    InjectionKind,
    Role,
    Scenario,
    StepKind,
    Targets,
)

STEP_KINDS: Mapping[StepKind, str] = {
    StepKind.AUTOMATED: "by the portal",
    StepKind.BY_HAND: "by hand",
    StepKind.TALK: "talked through",
}
KINDS: Mapping[DrillKind, str] = {
    DrillKind.TABLE_TOP: "table-top",
    DrillKind.ANNOUNCED: "announced",
    DrillKind.UNANNOUNCED: "unannounced",
}
ENVIRONMENTS: Mapping[Environment, str] = {
    Environment.TEST: "test environment",
    Environment.PRODUCTION: "production",
}
ROLES: Mapping[Role, str] = {
    Role.FACILITATOR: "facilitator",
    Role.PARTICIPANT: "participant",
    Role.LAUNCH_MANAGER: "launch manager",
    Role.OBSERVER: "observer",
    Role.REPORTER: "reporter",
}
TARGETS: Mapping[Targets, str] = {
    Targets.NONE: "no server",
    Targets.ONE: "one server",
    Targets.SEVERAL: "several servers at the same time",
    Targets.LIST_IN_ORDER: "a list of servers, one after the other",
}


@dataclass(frozen=True)
class InjectionWords:
    """`name` stands in lists, `does` says what truly happens, `is_not` what it must not be taken for."""

    name: str
    does: str
    is_not: str


INJECTIONS: Mapping[InjectionKind, InjectionWords] = {
    InjectionKind.SOFT_REBOOT: InjectionWords(
        "soft reboot",
        "The provider asks the operating system to shut down in order and to start again.",
        "No failure: programs are asked to end and data is written out first.",
    ),
    InjectionKind.HARD_REBOOT: InjectionWords(
        "hard reboot",
        "The provider cuts the power of the virtual machine and gives it back at once.",
        "Nearer to a host failure than a stop, but no host failure: the server comes back by itself after a minute or two.",
    ),
    InjectionKind.ROLLING_REBOOT: InjectionWords(
        "rolling reboot",
        "Soft reboots over a list, one server at a time; the next one goes when the last one has passed its checks.",
        "No loss of several servers at once, and no failure: each one shuts down in order.",
    ),
    InjectionKind.STOP: InjectionWords(
        "stop",
        "The provider shuts the server down and leaves it off until the portal starts it again.",
        "No host failure: it is an orderly stop, so programs end and data is written out. It is nearer to one only in that the "
        "server stays away.",
    ),
    InjectionKind.NODE_OUT: InjectionWords(
        "node out",
        "The load balancer’s node is switched off (DISABLED): its open connections are cut, new ones go elsewhere.",
        "No failure of the server, which keeps running, and no proof of the health monitor, which finds nothing wrong.",
    ),
    InjectionKind.CALL_CONTACTS: InjectionWords(
        "calls to contacts",
        "The portal calls the account’s contacts in their order until somebody acknowledges.",
        "No disruption of the site, and no proof that whoever answers could mend anything.",
    ),
    InjectionKind.BY_HAND: InjectionWords(
        "by hand",
        "People make the disruption themselves, with their own means. The portal keeps the clock and watches the site.",
        "Nothing that the portal can undo: how it ends is in the script, and somebody attests it.",
    ),
    InjectionKind.TALK: InjectionWords(
        "talked through",
        "Nothing is touched. The facilitator reads out what has happened, and the others say what they would do.",
        "No proof that any of it works: what was never done is written down as that.",
    ),
}


def in_words(seconds: float) -> str:
    """Return a length of time as people say it: 45 seconds, 5 minutes, 1 hour 30 minutes, 2 days."""
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        # 90 seconds stay seconds: a length is said in a unit of which it has at least two, or exactly one.
        if seconds >= 2 * size or seconds == size:
            whole, rest = divmod(round(seconds), size)
            said = f"{whole} {word}{'' if whole == 1 else 's'}"
            return f"{said} {in_words(rest)}" if rest else said
    return f"{seconds:g} second{'' if seconds == 1 else 's'}"


def sentences_of(hypothesis: Hypothesis) -> tuple[str, ...]:
    """Return what a hypothesis claims, one sentence for each thing."""
    found = []
    if hypothesis.error_ratio is not None:
        found.append(
            "No request fails."
            if hypothesis.error_ratio == 0
            else f"At most {hypothesis.error_ratio * 100:g} % of the requests fail."
        )
    if hypothesis.p95_factor is not None:
        found.append(
            f"95 of 100 answers take no longer than {hypothesis.p95_factor:g} times what the baseline says."
        )
    for seconds, sentence in (
        (hypothesis.acknowledged_s, "Somebody on duty acknowledges within {}."),
        (hypothesis.mitigated_s, "Visitors are no longer harmed after {}."),
        (hypothesis.informed_s, "Those who must know are told within {}."),
        (hypothesis.recovered_s, "Everything is as before within {}."),
    ):
        if seconds is not None:
            found.append(sentence.format(in_words(seconds)))
    if hypothesis.data_lost_s is not None:
        found.append(
            "No data is lost."
            if hypothesis.data_lost_s == 0
            else f"The newest data that is found is at most {in_words(hypothesis.data_lost_s)} old."
        )
    return tuple(found)


def needs_of(scenario: Scenario) -> str:
    """Return who and what a scenario needs, for lists: *one server; facilitator, participant, observer*."""
    roles = [word for role, word in ROLES.items() if any(step.role is role for step in scenario.steps)]
    return ", ".join(roles)
