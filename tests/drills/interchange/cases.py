"""What the tests of interchange share: a drill's plan with names in it that must not travel, and an experiment as others write it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from drills.scenarios.types import InjectionKind, Role, StepKind
from drills.types import (
    DrillProbe,
    Ending,
    Mark,
    MarkKind,
    Person,
    PlannedNode,
    Seen,
    StepState,
    StepWay,
    Stops,
    Target,
    TargetPhase,
    TargetWay,
    new_progress,
)
from tests.drills.test_figures import PLAN

T0 = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)
SECRETS = (
    "web-14",
    "10.9.8.7",
    "Ada Lovelace",
    "ada@north.example",
    "123456",
    "Call Ada",
    "contact-7",
    "tenant-9",
)


def at(seconds):
    return T0 + timedelta(seconds=seconds)


def step(number, kind, title, *, injects=False, expected_s=10):
    return replace(
        PLAN.steps[0],
        number=number,
        kind=kind,
        title=title,
        text="Read it aloud.\n\nThen wait.",
        role=Role.FACILITATOR,
        expected_s=expected_s,
        done_when="It is seen.",
        injects=injects,
        responsible="contact-7",
    )


TARGET = Target("123456", "web-14", T0, ("10.9.8.7",), (PlannedNode("1", "2", "10.9.8.7", 80),))
DRILL = replace(
    PLAN,
    objective="Show that one server may be lost.\n\nNobody notices.",
    steps=(
        step(1, StepKind.TALK, "Say what follows"),
        step(2, StepKind.AUTOMATED, "Stop the server", injects=True),
    ),
    emergency_plan="Call Ada Lovelace, ada@north.example.",
    tenant="tenant-9",
    targets=(TARGET,),
    probes=(
        DrillProbe("home", "https://shop.example/?a=$b"),
        DrillProbe("basket", "https://shop.example/basket", "GET", 200, 200, "Welcome (to the shop).", 2.5),
    ),
    stops=Stops(0.2, 30.0, 2, 600.0),
    people=(Person("u1", True, Role.PARTICIPANT),),
    calm_s=20.0,
)


def progress_of(**more):
    """Return a drill that is over: two failures, acknowledged, undone, recovered."""
    seen = tuple(
        Seen(one.name, at(n), not (one.name == "home" and n in (10, 20)), 80.0)
        for n in range(-30, 260, 10)
        for one in DRILL.probes
    )
    values = {
        "steps": (
            StepWay(1, StepState.DONE, at(-40), at(-5), "Ada Lovelace"),
            StepWay(2, StepState.DONE, at(-5), at(2)),
        ),
        "targets": (TargetWay("123456", TargetPhase.BACK, at(0), at(0), at(60), at(60), at(90), 1, 1),),
        "began_at": at(-60),
        "ended_at": at(260),
        "marks": (
            Mark(MarkKind.INJECTED, at(0), says="Drill: stop web-14."),
            Mark(MarkKind.DETECTED, at(10), says="The probe home failed for the first time."),
            Mark(MarkKind.ACKNOWLEDGED, at(50), "u1", "Ada Lovelace", "Acknowledged: Ada Lovelace."),
            Mark(MarkKind.MITIGATED, at(55), "u1", "Ada Lovelace", "web-14 is out."),
            Mark(MarkKind.UNDONE, at(95), says="Everything is undone."),
            Mark(MarkKind.RECOVERED, at(30), says="Calm for 20 s."),
        ),
        "seen": seen,
        "asked": 52,
        "failed": 2,
        "worst_error_ratio": 0.05,
        "worst_p95_ms": 90.0,
        "calm_since": at(30),
        **more,
    }
    return replace(new_progress(DRILL), **values)


def stopped(ending=Ending.STOPPED):
    return progress_of(ending=ending, ending_says="Ada Lovelace stopped it: web-14.", ended_by="17")


def http(name="home", **more):
    """Return an HTTP probe of a hypothesis as other people write it."""
    provider = {"type": "http", "url": "https://shop.example/", **more.pop("provider", {})}
    return {"type": "probe", "name": name, "tolerance": 200, "provider": provider, **more}


def experiment(*probes, **more):
    return {
        "version": "1.0.0",
        "title": "What if the cache is lost?",
        "description": "The shop goes on without it.",
        "steady-state-hypothesis": {"title": "The shop answers", "probes": list(probes)},
        "method": [],
        **more,
    }


__all__ = ["DRILL", "SECRETS", "InjectionKind", "experiment", "http", "progress_of", "step", "stopped"]
