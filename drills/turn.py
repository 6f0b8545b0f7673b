"""One turn of a drill's machine while it is being decided: what is known, and what has been decided so far. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from drills.types import (
    DrillPlan,
    Ending,
    Facts,
    Look,
    Mark,
    MarkKind,
    People,
    Progress,
    StepWay,
    Target,
    TargetWay,
)
from portal.frozen import replace
from portal.runs.types import Action, Answer, Command, Entry, Halt, HaltRank, RunStatus, Sample

LOOK_S = 2.0
"""How often is looked while something is injected, or may be."""
LOOK_CALM_S = 4.0
LOOK_SOON_S = 0.2


@dataclass(frozen=True)
class DrillDecision:
    """What one turn decided: the engine's `Decision` with typed progress."""

    progress: Progress
    action: Action | None = None
    status: RunStatus | None = None
    halt: Halt | None = None
    journal: tuple[Entry, ...] = ()
    samples: tuple[Sample, ...] = ()
    answers: tuple[Answer, ...] = ()
    look_again_s: float = LOOK_S
    sets_aside: str = ""


@dataclass
class Turn:
    """The workbench of one decision. Functions return True when they have settled what this tick does."""

    plan: DrillPlan
    progress: Progress
    look: Look
    people: People
    facts: Facts
    now: datetime
    action: Action | None = None
    new_status: RunStatus | None = None
    new_halt: Halt | None = None
    journal: list[Entry] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    look_again_s: float = LOOK_CALM_S
    sets_aside: str = ""

    @property
    def status(self) -> RunStatus:
        """The status as this turn leaves it so far."""
        if self.new_halt is not None:
            return RunStatus.HALTED
        return self.new_status or self.people.status

    def change(self, **values: Any) -> None:
        """Replace fields of the progress."""
        self.progress = replace(self.progress, **values)

    def target(self, server_id: str) -> Target:
        """Return a target as it was approved."""
        return next(one for one in self.plan.targets if one.server_id == server_id)

    def update(self, way: TargetWay, **values: Any) -> TargetWay:
        """Replace fields of one target's way; return the new way."""
        new = replace(way, **values)
        self.change(
            targets=tuple(new if one.server_id == way.server_id else one for one in self.progress.targets)
        )
        return new

    def update_step(self, way: StepWay, **values: Any) -> StepWay:
        """Replace fields of one step's way; return the new way."""
        new = replace(way, **values)
        self.change(steps=tuple(new if one.number == way.number else one for one in self.progress.steps))
        return new

    def mark(
        self,
        kind: MarkKind,
        at: datetime,
        says: str,
        *,
        by: str = "",
        by_name: str = "",
        value_at: datetime | None = None,
        whom: str = "",
        passed: bool | None = None,
    ) -> None:
        """Put a moment on the time axis and say so in the journal."""
        self.change(marks=(*self.progress.marks, Mark(kind, at, by, by_name, says, value_at, whom, passed)))
        self.note(f"drill_{kind.value}", says, at=at.isoformat())

    def note(self, kind: str, says: str, subject: str = "", **detail: Any) -> None:
        """Add a line to the journal. A drill speaks to both sides in the same words."""
        self.journal.append(Entry(kind, says, says, subject, detail))

    def sample(self, series: str, value: float | None, at: datetime) -> None:
        """Add a point for the live page; None is unknown."""
        self.samples.append(Sample(series, value, at))

    def answer(self, command: Command, accepted: bool, says: str) -> None:
        """Answer a person's command."""
        self.answers.append(Answer(command.id, accepted, says))

    def end_early(self, ending: Ending, says: str, *, by: str = "") -> None:
        """Have everything undone, and the drill end. What was said first stays; only *real* is graver."""
        was = self.progress.ending
        if was is not None and not (ending is Ending.REAL and was is not Ending.REAL):
            return
        self.change(ending=ending, ending_says=says, ended_by=by, ended_at=self.progress.ended_at or self.now)
        self.note("drill_ends_early", says, ending=ending.value)

    def halt(self, code: str, rank: HaltRank, says: str, next_commands: tuple[str, ...]) -> bool:
        """Halt the run unless it is halted for the same reason already. Always settles the tick."""
        standing = self.people.halt if self.people.status is RunStatus.HALTED else None
        if standing is None or standing.code != code:
            self.new_halt = Halt(code, rank, says, says, next_commands)
        self.change(says=says)
        return True

    def wait(self, says: str, look_again_s: float = LOOK_S, next_at: datetime | None = None) -> bool:
        """Say what is waited for. Settles the tick."""
        self.change(says=says, next_at=next_at)
        self.look_again_s = look_again_s
        return True

    def send(self, action: Action, *, says: str = "") -> bool:
        """Decide the one change of this tick. Settles the tick."""
        self.action = action
        self.change(says=says or action.says, next_at=None)
        return True

    def result(self) -> DrillDecision:
        """Return what was decided."""
        return DrillDecision(
            self.progress,
            self.action,
            self.new_status,
            self.new_halt,
            tuple(self.journal),
            tuple(self.samples),
            tuple(self.answers),
            self.look_again_s,
            self.sets_aside,
        )
