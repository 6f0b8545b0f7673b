"""What of a drill's plan travels: all that says how it is held, nothing of whose servers and people it is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from drills.interchange.reading import bad
from drills.scenarios.types import LONGEST_LIMIT_S, MOST_STEPS, DrillKind, Environment, InjectionKind
from drills.types import Calling, DrillPlan, DrillProbe, Limits, PlannedStep, Stops
from portal.plain import Unreadable, from_plain, to_plain

FORMAT = 1
MOST_PROBES = 20
LONGEST_NAME = 80
LONGEST_LINE = 400
LONGEST_TEXT = 2000
LONGEST_URL = 2000
LONGEST_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Draft:
    """A plan without account, servers, people, times and emergency plan: where it is drawn up anew, these are chosen there.

    Steps have no responsible contact. Limits of latency stay as they were worked out: of another site they say nothing.
    """

    title: str
    objective: str
    steps: tuple[PlannedStep, ...]
    hypothesis: Limits
    undo: str
    probes: tuple[DrillProbe, ...]
    injection: InjectionKind = InjectionKind.BY_HAND
    scenario_key: str = ""
    scenario_version: int = 0
    kind: DrillKind = DrillKind.ANNOUNCED
    environment: Environment = Environment.TEST
    stops: Stops | None = None
    hold_s: float = 60.0
    calm_s: float = 60.0
    boot_limit_s: float = 600.0
    between_s: float = 30.0
    after_boot: tuple[str, ...] = ()
    calling: Calling | None = None


def draft_of(plan: DrillPlan) -> Draft:
    """Return what of a plan travels."""
    return Draft(
        title=plan.scenario_title,
        objective=plan.objective,
        steps=tuple(replace(one, responsible="") for one in plan.steps),
        hypothesis=plan.hypothesis,
        undo=plan.undo,
        probes=plan.probes,
        injection=plan.injection,
        scenario_key=plan.scenario_key,
        scenario_version=plan.scenario_version,
        kind=plan.kind,
        environment=plan.environment,
        stops=plan.stops,
        hold_s=plan.hold_s,
        calm_s=plan.calm_s,
        boot_limit_s=plan.boot_limit_s,
        between_s=plan.between_s,
        after_boot=plan.after_boot,
        calling=plan.calling,
    )


def draft_to_plain(draft: Draft) -> dict[str, Any]:
    """Return a draft as JSON can hold it, with the number of its format."""
    return {"format": FORMAT, **to_plain(draft)}


def draft_from_plain(value: Mapping[str, Any]) -> Draft:
    """Return the draft that `draft_to_plain` wrote. Raises Refused, whatever comes in."""
    if value.get("format") != FORMAT:
        raise bad(f"The portal's own part of the file is not of format {FORMAT}.")
    try:
        draft = from_plain(Draft, {name: item for name, item in value.items() if name != "format"})
    except (Unreadable, ValueError, TypeError, OverflowError):
        raise bad("The portal's own part of the file cannot be read.") from None
    assert isinstance(draft, Draft)
    if wrong := next(_wrong(draft), ""):
        raise bad(f"The portal's own part of the file holds {wrong}.")
    return draft


def _wrong(draft: Draft) -> Iterator[str]:
    if len(draft.steps) > MOST_STEPS or len(draft.probes) > MOST_PROBES or len(draft.after_boot) > MOST_STEPS:
        yield "more steps, probes or checks than a plan has"
    if [one.number for one in draft.steps] != list(range(1, len(draft.steps) + 1)):
        yield "steps that are not numbered in order"
    texts = [draft.title, draft.objective, draft.undo, draft.scenario_key, *draft.after_boot]
    texts += [text for one in draft.steps for text in (one.title, one.text, one.done_when)]
    if any(len(text) > LONGEST_TEXT for text in texts):
        yield "a text that is too long"
    if any(one.responsible for one in draft.steps):
        yield "a contact"
    if any(why_no_probe(one) for one in draft.probes):
        yield "a probe that the portal does not ask"
    if any(not 0 <= one <= LONGEST_LIMIT_S for one in _times(draft)):
        yield "a time that is below 0 or above 30 days"
    shares = [draft.hypothesis.error_ratio, draft.stops.error_ratio if draft.stops else None]
    if any(one is not None and not 0 <= one <= 1 for one in shares):
        yield "a share that is not 0 to 1"


def _times(draft: Draft) -> Iterator[float]:
    yield from (draft.hold_s, draft.calm_s, draft.boot_limit_s, draft.between_s)
    yield from (one.expected_s for one in draft.steps)
    limits = draft.hypothesis
    for one in (
        limits.p95_ms,
        limits.acknowledged_s,
        limits.informed_s,
        limits.mitigated_s,
        limits.recovered_s,
        limits.data_lost_s,
    ):
        if one is not None:
            yield one
    if draft.stops is not None:
        yield from (
            draft.stops.window_s,
            draft.stops.injected_s,
            draft.stops.floor,
            draft.stops.p95_ms or 0.0,
        )
    if draft.calling is not None:
        yield from (draft.calling.tries, draft.calling.wait_s)


def why_no_probe(probe: DrillProbe) -> str:
    """Return why the portal cannot ask a probe, as the rest of "it …"; "" where it can."""
    if probe.method not in {"GET", "HEAD"}:
        return f"is sent with {probe.method[:20]}, and probes only look (GET, HEAD)"
    if len(probe.url) > LONGEST_URL or any(one.isspace() or not one.isprintable() for one in probe.url):
        return "has no usable address"
    try:
        parts = urlsplit(probe.url)
        _ = parts.port
    except ValueError:
        return "has no usable address"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "does not go to a web address"
    if "@" in parts.netloc:
        return "holds a password in its address, which the portal does not keep"
    if not 100 <= probe.expected_status_low <= probe.expected_status_high <= 599:
        return "expects a status that is none"
    if not 0 < probe.timeout_s <= LONGEST_TIMEOUT_S:
        return f"waits for longer than {LONGEST_TIMEOUT_S:.0f} s, or not at all"
    return "" if len(probe.must_contain) <= LONGEST_LINE else "looks for too long a text"
