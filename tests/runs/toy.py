"""A kind of run that counts up to a number, and a world in which it does so: small enough to see through.

The plan is `{"target": n}`; each change adds one. The world can lose answers, refuse, be busy, hang or break.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from portal.errors import InDoubt, ProviderFailed, Refused, TryLater
from portal.runs.types import (
    Action,
    Answer,
    Decision,
    Entry,
    Halt,
    HaltRank,
    Outcome,
    OutcomeKind,
    RunStatus,
    RunView,
)


@dataclass
class ToyWorld:
    """What the provider would be. `faults` are used up one per call, "" means all is well."""

    value: int = 0
    writable: bool = True
    faults: list[str] = field(default_factory=list)
    blind: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    looks: int = 0
    during_call: Callable[[], None] | None = None
    during_look: Callable[[], None] | None = None


class ToyKind:
    """Counts up. `put_back` is asked for by the command of that name, also under a standstill."""

    name = "toy"

    def __init__(self, world: ToyWorld) -> None:
        self.world = world
        self.call_deadline_s = 3.0
        self.observe_deadline_s = 3.0
        self.look_max_age_s = 10.0
        self.settled: list[Outcome] = []
        self.clock: Any = None

    async def observe(self, view: RunView) -> Any:
        self.world.looks += 1
        if self.world.during_look:
            self.world.during_look()
        fault = self.world.blind.pop(0) if self.world.blind else ""
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "bug":
            raise RuntimeError("a bug in observe")
        if fault == "away":
            raise TryLater("The provider is away.", after_s=1)
        return {"value": self.world.value, "writable": self.world.writable}

    def decide(self, view: RunView, observation: Any) -> Decision:
        progress = dict(view.progress)
        status = None
        answers, wants_back = [], False
        for command in view.commands:
            answers.append(Answer(command.id, True, "As you wish."))
            if command.name == "pause":
                status = RunStatus.PAUSED
            elif command.name == "resume":
                status = RunStatus.RUNNING
            elif command.name == "abort":
                return Decision(progress, status=RunStatus.ABORTED, answers=tuple(answers))
            elif command.name == "put_back":
                wants_back = True
            elif command.name == "bug":
                raise RuntimeError("a bug in decide")
            elif command.name == "halt":
                halt = Halt("toy", HaltRank.SAFE_WAITING, "The toy halts.", "Paused for safety.", ("resume",))
                return Decision(progress, halt=halt, answers=tuple(answers))
        if view.status is RunStatus.SCHEDULED and status is None:
            status = RunStatus.RUNNING
        now_status = status or view.status
        if wants_back:
            action = Action("add", str(observation["value"] - 1), "Take one away again.", {"by": -1}, True)
            return Decision(progress, action=action, status=status, answers=tuple(answers))
        if now_status is not RunStatus.RUNNING or view.standstill:
            return Decision(progress, status=status, answers=tuple(answers))
        if observation["value"] >= view.plan["target"]:
            if view.status is RunStatus.SCHEDULED:
                return Decision(progress, status=status, answers=tuple(answers), look_again_s=0.0)
            return Decision(progress, status=RunStatus.COMPLETED, answers=tuple(answers))
        target = observation["value"] + 1
        progress["asked"] = target
        return Decision(
            progress,
            action=Action("add", str(target), f"Count to {target}.", {"by": 1}),
            status=status,
            answers=tuple(answers),
        )

    def effect(self, action: Action, observation: Any) -> bool | None:
        if not observation["writable"]:
            return None
        return observation["value"] == int(action.target)

    async def act(self, view: RunView, action: Action, *, not_after: float) -> Outcome:
        self.world.calls.append(action.target)
        if self.world.during_call:
            self.world.during_call()
        if self.clock is not None and self.clock.monotonic() > not_after:
            raise TryLater("It was not sent: too late.", after_s=0.0, code="not_sent")
        fault = self.world.faults.pop(0) if self.world.faults else ""
        if fault == "busy":
            raise TryLater("The balancer is busy.", after_s=7.0)
        if fault == "refused":
            raise Refused("The provider says no.", code="nope")
        if fault == "failed":
            raise ProviderFailed("The provider broke.", code="broke")
        if fault == "lost_before":
            raise InDoubt("The answer was lost.")
        if fault == "hang_before":
            await asyncio.sleep(3600)
        if fault == "bug_before":
            raise RuntimeError("a bug before the call")
        self.world.value += action.args["by"]
        if fault == "lost_after":
            raise InDoubt("The answer was lost.")
        if fault == "hang_after":
            await asyncio.sleep(3600)
        if fault == "bug_after":
            raise RuntimeError("a bug after the call")
        return Outcome(OutcomeKind.DONE)

    def settle(self, view: RunView, action: Action, outcome: Outcome) -> Decision:
        self.settled.append(outcome)
        progress = {**view.progress, "last": outcome.kind.value}
        halt = None
        if outcome.kind in {OutcomeKind.REFUSED, OutcomeKind.FAILED}:
            halt = Halt("toy", HaltRank.DECIDE_TODAY, outcome.says, "Paused for safety.", ("resume",))
        entries = (Entry("toy", f"Counted: {outcome.kind.value}."),)
        return Decision(progress, halt=halt, journal=entries, look_again_s=0.0)
