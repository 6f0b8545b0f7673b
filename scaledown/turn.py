"""One turn of the machine while it is being decided: what is known, and what has been decided so far.

A `Turn` is made, filled and read inside one call of `machine.decide` or `outcomes.settle`; what leaves it is
the frozen `MachineDecision`. It has no clock, database or network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from portal.frozen import replace
from portal.runs.types import (
    Action,
    Answer,
    Command,
    Entry,
    Halt,
    HaltRank,
    RunStatus,
    Sample,
)
from scaledown import wording
from scaledown.progress import (
    NodeState,
    NodeWay,
    Progress,
    PutBack,
    ServerWay,
    Stuck,
    Waiting,
    with_server,
)
from scaledown.types import Facts, Observation, People, Phase, PlanData, PlannedServer
from scaledown.wording import Words, customer_change

AT_ONCE_S = 0.0
LOOK_SOON_S = 0.5
FIRST_LOOK_S = 0.005
"""The first look after a change; later ones come in growing steps, up to `LOOK_SOON_S` (`Turn.soon_s`)."""
LOOK_S = 1.0
LOOK_RESTING_S = 2.0
GONE_AFTER_S = 30.0
"""What the provider does not find counts as gone once looks this far apart agree."""

MOST_STUCK_S = 1800.0
"""How long a run may wait in all, for whatever in turn, where none of its waits has a shorter bound."""
LONGEST_GAP_S = 60.0
"""Time between two looks counts as waiting up to this: nobody waited while nobody looked."""
BOUNDED_WAITS = frozenset({"deleting", "drain", "recheck", "soak"})
"""Waits with a bound of their own: their time is no lack of progress, but what came before still counts."""
WANTED_WAITS = frozenset(
    {
        "delete_late_add",
        "freeze",
        "hold",
        "in_charge",
        "late_change",
        "nobody_to_call",
        "others_first",
        "pause_between",
        "peak_watch",
        "standstill",
        "stop_late_add",
        "traffic",
        "window",
    }
)
"""Waits that the plan or a person wants. Who gets there could do all that was to be done."""

GRAVEST_FIRST = (HaltRank.SITE_IN_DANGER, HaltRank.DECIDE_TODAY, HaltRank.SAFE_WAITING)
NEXT_COMMANDS_RESUME = ("resume", "abort", "finish_here")


@dataclass(frozen=True)
class MachineDecision:
    """What one turn of the machine decided: the engine's `Decision` with typed progress."""

    progress: Progress
    action: Action | None = None
    status: RunStatus | None = None
    halt: Halt | None = None
    journal: tuple[Entry, ...] = ()
    samples: tuple[Sample, ...] = ()
    answers: tuple[Answer, ...] = ()
    look_again_s: float = LOOK_S
    sets_aside: str = ""
    reads_facts: bool = False
    is_patient: bool = False


@dataclass
class Turn:
    """The workbench of one decision. Functions return True when they have settled what this tick does."""

    plan: PlanData
    progress: Progress
    observation: Observation
    people: People
    facts: Facts
    now: datetime
    action: Action | None = None
    new_status: RunStatus | None = None
    new_halt: Halt | None = None
    journal: list[Entry] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    is_foreign_told: bool = False
    look_again_s: float = LOOK_S

    @property
    def status(self) -> RunStatus:
        """The status as this turn leaves it so far."""
        if self.new_halt is not None:
            return RunStatus.HALTED
        return self.new_status or self.people.status

    @property
    def halt_in_force(self) -> Halt | None:
        """The halt that stands, if the run is halted."""
        if self.new_halt is not None:
            return self.new_halt
        return self.people.halt if self.status is RunStatus.HALTED else None

    @property
    def is_resting(self) -> bool:
        """Whether nothing but putting back may be sent."""
        return (
            self.status is not RunStatus.RUNNING
            or self.people.standstill is not None
            or bool(self.progress.aborting)
        )

    @property
    def gone_balancers(self) -> frozenset[str]:
        """The balancers that looks 30 s apart find gone: one answer that finds none may be wrong."""
        since = self.progress.balancers_missing_since
        return frozenset(
            balancer_id
            for balancer_id in self.observation.missing_balancers
            if balancer_id in since and self.age_s(since[balancer_id]) >= GONE_AFTER_S
        )

    def planned(self, server_id: str) -> PlannedServer:
        """Return the server as it was approved."""
        return next(server for server in self.plan.servers if server.server_id == server_id)

    def server(self, server_id: str) -> ServerWay:
        """Return the present way of a planned server."""
        way = self.progress.server(server_id)
        assert way is not None, server_id
        return way

    def change(self, **values: Any) -> None:
        """Replace fields of the progress."""
        self.progress = replace(self.progress, **values)

    def update(self, way: ServerWay, **values: Any) -> ServerWay:
        """Replace fields of one server's way; return the new way."""
        way = replace(way, **values) if values else way
        self.progress = with_server(self.progress, way)
        return way

    def update_node(self, way: ServerWay, node: NodeWay, **values: Any) -> ServerWay:
        """Replace fields of one node of a server's way; return the new way of the server."""
        key = (node.balancer_id, node.address, node.port)
        return self.update(
            way,
            nodes=tuple(
                replace(old, **values) if (old.balancer_id, old.address, old.port) == key else old
                for old in way.nodes
            ),
        )

    def enter(self, way: ServerWay, phase: Phase, words: Words, **values: Any) -> ServerWay:
        """Move a server to a phase and journal why."""
        was = way.phase
        self.change(stuck=None)
        way = self.update(
            way,
            phase=phase,
            since=self.now,
            says=words.says,
            customer_says=words.customer_says,
            until=None,
            **values,
        )
        self.note(f"server_{phase.value}", words, way.server_id, was=was.value, phase=phase.value)
        return way

    def tell(self, way: ServerWay, words: Words, until: datetime | None = None) -> ServerWay:
        """Say what is true of a server now; not journalled, it changes with every look."""
        return self.update(way, says=words.says, customer_says=words.customer_says, until=until)

    def note(self, kind: str, words: Words, subject: str = "", **detail: Any) -> None:
        """Add a line to the journal."""
        self.journal.append(Entry(kind, words.says, words.customer_says, subject, detail))

    def sample(self, series: str, value: float | None, at: datetime, **detail: Any) -> None:
        """Add a point for the live page; None is unknown."""
        self.samples.append(Sample(series, value, at, detail))

    def answer(self, command: Command, accepted: bool, says: str) -> None:
        """Answer a person's command."""
        self.answers.append(Answer(command.id, accepted, says))

    def halt(
        self,
        code: str,
        rank: HaltRank,
        words: Words,
        next_commands: tuple[str, ...] = NEXT_COMMANDS_RESUME,
        *,
        answers_standing: bool = False,
    ) -> bool:
        """Halt the run, unless it is halted for the same reason, as grave, already. Always settles the tick.

        A graver halt stays until a person resumes: nothing that comes after makes a site in danger look safe, or takes a
        question away. The new reason is then journalled, once, beside it. `answers_standing`: what was asked at the
        standing halt has no answer any more; a site in danger stays all the same.
        """
        standing = self.halt_in_force
        is_lesser = standing is not None and GRAVEST_FIRST.index(standing.rank) < GRAVEST_FIRST.index(rank)
        if (
            standing is not None
            and is_lesser
            and (standing.rank is HaltRank.SITE_IN_DANGER or not answers_standing)
        ):
            self.change(says=words.says, customer_says=words.customer_says, until=None)
            if code not in self.progress.told_beside_halt:
                self.change(told_beside_halt=(*self.progress.told_beside_halt, code))
                self.note("also_halted", words, code=code)
            return True
        is_graver = standing is not None and GRAVEST_FIRST.index(rank) < GRAVEST_FIRST.index(standing.rank)
        if standing is None or standing.code != code or is_graver:
            self.new_halt = Halt(code, rank, words.says, words.customer_says, next_commands)
            self.new_status = RunStatus.HALTED
            self.change(
                told_beside_halt=(),
                stuck=None,
                stopped_at=self.progress.stopped_at or self.now,
                waiting=None,
                says=words.says,
                customer_says=words.customer_says,
                until=None,
            )
        return True

    def pause(self, words: Words) -> None:
        """Pause the run: a person's wish, or an approval that no longer stands."""
        self.new_status = RunStatus.PAUSED
        self.change(
            stopped_at=self.progress.stopped_at or self.now,
            pause_after=None,
            is_pause_for_change=False,
            waiting=None,
            stuck=None,
            paused_says=words.says,
            paused_customer_says=words.customer_says,
            says=words.says,
            customer_says=words.customer_says,
            until=None,
        )

    def wait(
        self,
        code: str,
        words: Words,
        *,
        limit_s: float | None = None,
        until: datetime | None = None,
        rank: HaltRank = HaltRank.DECIDE_TODAY,
        look_again_s: float = LOOK_S,
    ) -> bool:
        """Wait for a named thing; after `limit_s` of waiting the run halts. Settles the tick.

        `until` is when the wait ends by itself, where that is known. What counts is the time since the run last
        moved on, for whatever it waited in turn: two reasons that take turns do not prolong each other.
        """
        standing = self.progress.waiting
        since = standing.since if standing is not None and standing.code == code else self.now
        if self._is_stuck(code, words, limit_s):
            return self._waited_in_vain(code, rank, words)
        self.change(
            waiting=Waiting(code, since, words.says, words.customer_says, until),
            says=words.says,
            customer_says=words.customer_says,
            until=until,
        )
        self.look_again_s = look_again_s
        if until is not None:
            left = (until - self.now).total_seconds()
            self.look_again_s = min(max(left, AT_ONCE_S), look_again_s)
        return True

    def ask_freeze(self) -> bool:
        """Have what holds a run back read with a claim of its own, at once. Settles the tick."""
        self.change(asks_freeze=True)
        self.look_again_s = AT_ONCE_S
        return True

    def _is_stuck(self, code: str, words: Words, limit_s: float | None) -> bool:
        """Count the time since the last look as waiting; return whether it was too long."""
        stuck = self.progress.stuck
        is_told = self.status is RunStatus.HALTED and limit_s is None
        if code in WANTED_WAITS or code in BOUNDED_WAITS or is_told:
            is_over = stuck is None or code in WANTED_WAITS
            self.change(stuck=None if is_over or stuck is None else replace(stuck, at=None))
            return False
        stuck = stuck or Stuck()
        gap_s = 0.0 if stuck.at is None else (self.now - stuck.at).total_seconds()
        limits = [limit for limit in (stuck.limit_s, limit_s) if limit is not None]
        stuck = Stuck(
            stuck.seconds + min(max(gap_s, 0.0), LONGEST_GAP_S),
            max(limits, default=None),
            self.now,
            {**stuck.reasons, code: words.says},
        )
        self.change(stuck=stuck)
        return stuck.seconds > (MOST_STUCK_S if stuck.limit_s is None else stuck.limit_s)

    def _waited_in_vain(self, code: str, rank: HaltRank, words: Words) -> bool:
        stuck = self.progress.stuck
        assert stuck is not None
        minutes = max(1, round(stuck.seconds / 60))
        others = [says for other, says in stuck.reasons.items() if other != code]
        said = " ".join([words.says, *others])
        return self.halt(
            f"waited_for_{code}",
            rank,
            Words(
                f"Waited {minutes} min in vain{', in turn for' if others else '.'}{':' if others else ''} {said}",
                "Paused for safety: we waited for something that did not come. We look into it.",
            ),
        )

    def say_nodes_left(self, way: ServerWay) -> None:
        """Journal which balancers still hold a node of a server that is gone, or left out: a person takes it out."""
        left = sorted({node.balancer_id for node in way.nodes if node.confirmed is not NodeState.ABSENT})
        if left:
            words = wording.node_left(way.name, ", ".join(left), lives=way.phase is Phase.LEFT_OUT)
            self.note("node_left", words, way.server_id, balancers=left)

    def send(self, action: Action, words: Words) -> bool:
        """Decide the one change of this tick. Settles the tick."""
        assert self.action is None
        self.action = action
        self.change(says=words.says, customer_says=words.customer_says, until=None, waiting=None)
        return True

    def ask_node(
        self, way: ServerWay, node: NodeWay, state: NodeState, words: Words, *, is_put_back: bool = False
    ) -> bool:
        """Decide to change one node of a server. Settles the tick."""
        name = {
            NodeState.DRAINING: "add_node" if node.confirmed is NodeState.ABSENT else "drain_node",
            NodeState.ABSENT: "remove_node",
            NodeState.ENABLED: "add_node" if node.confirmed is NodeState.ABSENT else "enable_node",
        }[state]
        args: dict[str, Any] = {
            "server_id": way.server_id,
            "balancer_id": node.balancer_id,
            "node_id": node.node_id,
            "address": node.address,
            "port": node.port,
            "state": state.value,
        }
        if name == "add_node":
            args |= {"type": node.type.value, "weight": node.weight}
        # An accepted change that has not shown yet may still land: it is our own hand then.
        if not node.is_settled:
            node = node.may_still_land()
        changed = {"asked": state, "asked_at": self.now, "tries": node.tries + 1}
        self.update_node(way, node, late=node.late, late_at=node.late_at, **changed)
        what = customer_change(name, way.name)
        return self.send(Action(name, way.server_id, words.says, args, is_put_back, what), words)

    def send_back(self, way: ServerWay, to: Phase, why: Words) -> ServerWay:
        """Mark a server to be put back; the put-backs of this and later ticks carry it out."""
        if way.put_back is not None:
            if to is Phase.RESTORED and way.put_back.to is not to:
                way = self.update(way, put_back=replace(way.put_back, to=to))
            return way
        way = self.update(way, put_back=PutBack(why.says, to, self.now), soak=None)
        way = self.tell(way, why)
        self.note("put_back_begun", why, way.server_id, to=to.value)
        return way

    def after(self, seconds: float) -> datetime:
        """Return the moment that many seconds from now."""
        return self.now + timedelta(seconds=seconds)

    def age_s(self, at: datetime | None) -> float:
        """Return how many seconds ago that was; infinite for never."""
        return float("inf") if at is None else (self.now - at).total_seconds()

    def soon_s(self, at: datetime | None) -> float:
        """Return in how many seconds to look whether a change shows that was made then.

        The steps grow with the time that it takes: a quick provider is not waited for, a slow one is not pestered.
        """
        return min(LOOK_SOON_S, max(FIRST_LOOK_S, self.age_s(at)))

    def result(self) -> MachineDecision:
        """Return the frozen decision."""
        return MachineDecision(
            self.progress,
            self.action,
            self.new_status,
            self.new_halt,
            tuple(self.journal),
            tuple(self.samples),
            tuple(self.answers),
            self.look_again_s,
            reads_facts=self.progress.asks_freeze,
        )


def is_older(at: datetime | None, seconds: float, now: datetime) -> bool:
    """Return whether `at` is missing or longer ago than `seconds`."""
    return at is None or (now - at).total_seconds() > seconds


JsonMap = Mapping[str, Any]
