"""A whole drill on a virtual clock: the real engine, machine and driver, runs in memory, the simulator's world in process.

A schedule is a list of `Event`s and a seed: faults of the provider, deaths of the worker, commands of people, other hands.
`Played.broken` is what the oracle holds against it; it judges by the simulator's own truth and must stay empty.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from unittest import mock

import structlog.testing

from capacity.probes import ProbeResult
from drills import judging
from drills.driver import KIND, DrillRun
from drills.scenarios.types import DrillKind, Environment, InjectionKind, Role, StepKind
from drills.types import (
    PLAN_FORMAT,
    Calling,
    DrillPlan,
    DrillProbe,
    Limits,
    PlannedNode,
    PlannedStep,
    Stops,
    Target,
    plan_to_plain,
    progress_from_plain,
)
from portal.cloud import rackspace_answers as answers
from portal.errors import Refused
from portal.runs.engine import Engine
from portal.runs.types import RunStatus
from portal.simulator.errors import AnswerLost, ProviderError
from portal.simulator.hands import Hands
from portal.simulator.world import World
from tests.faults.simulation import ToldRuns
from tests.faults.world_cloud import StillLoop, VirtualClock, WorldCloud
from tests.faults.worlds import make_world

HORIZON_S = 3000.0
LEASE_S = 15.0
OUT = {"set_DISABLED", "stop", "reboot"}
BACK = {"set_ENABLED", "start"}

_sleep = asyncio.sleep


class Died(BaseException):
    """The worker is gone: nothing of it runs any more."""


@dataclass(frozen=True)
class Event:
    """At `at_s`: fault, command, standstill, fact, hand, demand. At point number `at_s` of the run: die, hang."""

    at_s: float
    kind: str
    name: str = ""
    args: tuple = ()


@dataclass
class Sent:
    """One change as it left the portal, and what was true at that moment."""

    at_s: float
    name: str
    target: tuple
    serving: dict[int, int]
    after_stop: bool
    after_hands: bool
    """Another hand changed the pool after the look on which this rests may have begun."""


@dataclass
class Played:
    """What became of a schedule."""

    status: RunStatus
    halt: object
    progress: object
    world: World
    run: object
    sent: list[Sent]
    broken: list[str] = field(default_factory=list)
    points: int = 0
    took_s: float = 0.0

    @property
    def journal(self) -> list[str]:
        return [line.entry.says for line in self.run.journal]

    @property
    def kinds(self) -> list[str]:
        return [line.entry.kind for line in self.run.journal]


def step(number, kind, *, injects=False, role=Role.FACILITATOR, expected_s=60) -> PlannedStep:
    return PlannedStep(
        number, kind, f"Step {number}", "Say it aloud.", role, expected_s, "It is seen.", injects
    )


def target_of(world, server) -> Target:
    nodes = tuple(
        PlannedNode(str(lb.lb_id), str(node.node_id), node.address, node.port)
        for lb in world.balancers.values()
        for node in lb.nodes
        if node.address in server.addresses
    )
    created = answers.parse_time(world.stamp(server.created_t)).astimezone(UTC)
    return Target(server.server_id, server.name, created, tuple(sorted(server.addresses)), nodes)


def plan_for(world, injection=InjectionKind.NODE_OUT, *, targets=1, **changes) -> DrillPlan:
    """Return a plan that hits the newest `targets` servers of the pool "web", with one step of talking before and after."""
    now = world.time_at(world.now).astimezone(UTC)
    lbs = [lb for lb in world.balancers.values() if lb.name != "elsewhere"]
    pool = [
        s for s in sorted(world.servers.values(), key=lambda s: -s.created_t) if target_of(world, s).nodes
    ]
    hits = injection not in {InjectionKind.CALL_CONTACTS, InjectionKind.BY_HAND, InjectionKind.TALK}
    by = {InjectionKind.BY_HAND: StepKind.BY_HAND, InjectionKind.TALK: StepKind.TALK}
    plan = DrillPlan(
        format=PLAN_FORMAT,
        account_ref="account",
        scenario_key="a_scenario",
        scenario_title="A scenario",
        scenario_version=0,
        scenario_digest="0" * 64,
        objective="Show that one server may be lost.",
        kind=DrillKind.ANNOUNCED,
        environment=Environment.PRODUCTION,
        injection=injection,
        steps=(step(1, by.get(injection, StepKind.AUTOMATED), injects=True),),
        hypothesis=Limits(error_ratio=0.05, p95_ms=2000.0, acknowledged_s=300.0, recovered_s=300.0),
        undo="It comes back.",
        emergency_plan="Call the one in charge.",
        not_before=now,
        not_after=now + timedelta(hours=2),
        connection_ref="connection",
        provider="rackspace",
        identity_url="http://identity.test/v2.0/",
        tenant="123456",
        region="DFW",
        balancer_ids=tuple(str(lb.lb_id) for lb in lbs),
        targets=tuple(target_of(world, one) for one in pool[:targets]) if hits else (),
        pool_size=len(pool),
        probes=tuple(DrillProbe(f"site-{lb.lb_id}", f"http://site.test/{lb.lb_id}") for lb in lbs),
        stops=Stops(error_ratio=0.5, window_s=30.0, floor=2, injected_s=300.0),
        hold_s=20.0,
        calm_s=20.0,
        boot_limit_s=300.0,
        between_s=5.0,
        calling=Calling("emergency") if injection is InjectionKind.CALL_CONTACTS else None,
    )
    return replace(plan, **changes)


class Recorder:
    """Hears what the cloud is told (`tests.faults.world_cloud`), and keeps what was true when something was sent."""

    def __init__(self, play) -> None:
        self.play = play
        self.sent_changes: list[Sent] = []

    def looked_at_balancer(self, lb_id, found) -> None: ...
    def looked_at_server(self, what, server_id, found) -> None: ...
    def looked_at_servers(self, found) -> None: ...
    def looked_at_images(self, found) -> None: ...
    def searched(self, address) -> None: ...

    def sent(self, name, target, token) -> None:
        play = self.play
        self.sent_changes.append(
            Sent(
                play.world.now,
                name,
                target,
                play.serving(),
                after_stop=play.stopped_at is not None,
                after_hands=play.world.now - play.hands_at < judging.LOOK_AGE_S + 2.0,
            )
        )


class Play:
    """One schedule. `build(world)` returns the plan."""

    def __init__(
        self, events=(), *, world="launch", seed=1, build=plan_for, warm_up_s=30.0, runs=ToldRuns
    ) -> None:
        self.world = make_world(world, seed)
        self.world.advance_to(self.world.now + warm_up_s)
        self.clock = VirtualClock(self.world)
        self.plan = build(self.world)
        self.hands = Hands(self.world)
        self.pending = sorted((e for e in events if e.kind not in {"die", "hang"}), key=lambda e: e.at_s)
        self.deaths = {int(e.at_s): e for e in events if e.kind in {"die", "hang"}}
        self.points = 0
        self.stopped_at: float | None = None
        self.facts: dict = {}
        self.sleepers: list = []
        self.hands_at = float("-inf")
        self.handled: set[str] = set()
        self.told = Recorder(self)
        self.runs = runs(self.clock.now, facts={KIND: self.facts_of})
        self.ref = self.runs.create(
            kind=KIND,
            plan=plan_to_plain(self.plan),
            progress={},
            scopes=["account:1"],
            resource_keys=[f"lb:{one}" for one in self.plan.balancer_ids],
        )
        self.run = self.runs.runs[self.ref]

    def facts_of(self, run) -> dict:
        """Return what the database says that bears on the drill."""
        return dict(self.facts)

    def serving(self) -> dict[int, int]:
        """Return how many distinct servers truly serve on each balancer of the plan."""
        found = {}
        for balancer_id in self.plan.balancer_ids:
            lb = self.world.balancers[int(balancer_id)]
            found[lb.lb_id] = len(
                {
                    node.address
                    for node in lb.nodes
                    if node.condition == "ENABLED"
                    and (server := self.world.server_at(node.address)) is not None
                    and server.up
                }
            )
        return found

    async def point(self, name) -> None:
        self.points += 1
        event = self.deaths.get(self.points)
        if event is None:
            return
        if event.kind == "die":
            raise Died
        self.clock.pass_(event.args[0])

    async def probe(self, spec, at):
        self.clock.pass_(0.005)
        try:
            answer = self.world.site_probe(int(spec.url.rsplit("/", 1)[1]))
        except (AnswerLost, ProviderError):
            return ProbeResult(spec.name, False, None, None, at, "no answer")
        ok = 200 <= answer.status < 400
        return ProbeResult(
            spec.name, ok, answer.status, answer.latency_s * 1000, at, None if ok else "it fails"
        )

    def _happen(self, event) -> None:
        match event.kind:
            case "fault":
                times, seconds = event.args[:2]
                route, kind = event.name.split(" ")
                status, says = (*event.args[2:], "")[:2] if len(event.args) > 2 else (503, "")
                self.world.add_fault(kind, route, times=times, seconds=seconds, status=status, says=says)
            case "command":
                try:
                    self.runs.command(self.ref, event.name, args=dict(event.args), reason="a reason")
                except Refused:
                    return
                if event.name in {"stop", "abort", "real"}:
                    self.stopped_at = self.stopped_at or self.world.now
            case "heal":
                self.world.faults.remove()
            case "standstill":
                self.runs.put_standstill("all")
                self.stopped_at = self.stopped_at or self.world.now
            case "fact":
                self.facts[event.name] = event.args[0]
            case "demand":
                for balancer_id in self.plan.balancer_ids:
                    self.hands.do("demand", lb_id=int(balancer_id), multiplier=event.args[0])
            case "hand":
                self.hands_at = self.world.now
                self.handled.add(event.args[0])
                getattr(self.hands, event.name)(*event.args)

    async def _virtual_sleep(self, seconds, result=None):
        if seconds <= 0:
            return await _sleep(0)
        future = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.world.now + seconds, future))
        return await future

    async def _to_its_end(self, work) -> None:
        """Await `work`; time passes only where everything waits for it."""
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
        while not task.done():
            for _ in range(400):
                await _sleep(0)
                if task.done() or not loop._ready:
                    break
            self.sleepers = [one for one in self.sleepers if not one[1].done()]
            if not task.done() and self.sleepers:
                self.clock.pass_(max(0.0, min(at for at, _ in self.sleepers) - self.world.now))
                for at, future in self.sleepers:
                    if at <= self.world.now:
                        future.set_result(None)
        task.result()

    async def _run(self) -> None:
        self.runs.enter()
        worker = None
        began = self.world.now
        while not self.run.status.is_over and self.world.now - began < HORIZON_S:
            while self.pending and self.pending[0].at_s <= self.world.now - began:
                self._happen(self.pending.pop(0))
            if worker is None:
                worker = self._worker()
            store, kind, engine, cloud = worker
            views = store.claim_due(holder="worker", limit=1, lease_s=LEASE_S)
            if not views:
                due_s = self.runs.handle().next_due_s()
                self.clock.pass_(min(max(0.05, due_s if due_s is not None else 1.0), 5.0))
                continue
            cloud.token = views[0].token
            at = self.clock.monotonic()
            try:
                await self._to_its_end(
                    engine.go_on(views[0], kind, holder="worker", until=at + 5.0, claimed_at=at)
                )
            except Died:
                store.die()
                worker = None

    def _worker(self):
        store = self.runs.handle()
        cloud = WorldCloud(self.world, self.clock, self.told, self.point)
        kind = DrillRun(cloud=lambda view: cloud, probe=self.probe, monotonic=self.clock.monotonic)

        async def do(function, /, *args, **kwargs):
            await self.point(f"before {function.__name__}")
            result = function(*args, **kwargs)
            await self.point(f"after {function.__name__}")
            return result

        return store, kind, Engine(store, self.clock, lease_s=LEASE_S, do=do), cloud

    def play(self) -> Played:
        began = self.world.now
        with (
            structlog.testing.capture_logs(),
            mock.patch.object(asyncio, "sleep", self._virtual_sleep),
        ):
            loop = StillLoop()
            try:
                loop.run_until_complete(self._run())
            finally:
                loop.close()
        took_s = self.world.now - began
        # What was sent before may land late.
        self.clock.pass_(180.0)
        played = Played(
            self.run.status,
            self.run.halt,
            progress_from_plain(self.run.progress),
            self.world,
            self.run,
            self.told.sent_changes,
            points=self.points,
            took_s=took_s,
        )
        played.broken = judge(self, played)
        return played


def judge(play: Play, played: Played) -> list[str]:
    """Return what is wrong with a story (architecture notes, *What must hold*, 7 to 9; spec, *Running it*)."""
    found = []
    floor = play.plan.stops.floor if play.plan.stops else 0
    targets = {one.server_id: one for one in play.plan.targets}
    nodes = {(one.balancer_id, one.node_id) for target in play.plan.targets for one in target.nodes}
    for one in played.sent:
        if one.name in OUT:
            if one.after_stop and not (one.name == "reboot" and "target_hard_reboot" in played.kinds):
                found.append(f"{one.at_s:.1f}: {one.name} was sent after somebody had stopped the drill")
            breaks = any(count - 1 < floor for lb, count in one.serving.items() if _is_on(play, one, lb))
            if breaks and not one.after_hands and not _is_out(one, played):
                found.append(f"{one.at_s:.1f}: {one.name} broke the floor: {one.serving}")
        elif one.name not in BACK:
            found.append(f"{one.at_s:.1f}: a drill sent {one.name}")
        if one.name in {"stop", "start", "reboot"} and one.target[0] not in targets:
            found.append(f"{one.at_s:.1f}: {one.name} of a server that is no target")
        if one.name.startswith("set_") and tuple(one.target) not in nodes:
            found.append(f"{one.at_s:.1f}: {one.name} of a node that is no target's")
    away = _left_away(play)
    if away and played.status.is_over and not _somebody_said(played):
        found.append(f"it is over, and {', '.join(away)} is not in service")
    if away and not played.status.is_over and played.status is not RunStatus.HALTED:
        found.append(f"it hangs as {played.status.value} with {', '.join(away)} out: {played.progress.says}")
    if not away and not played.status.is_over and played.status is not RunStatus.HALTED:
        found.append(f"it does not end: {played.status.value}, {played.progress.says}")
    return found


def _is_out(sent: Sent, played: Played) -> bool:
    """Whether the same target was hit before: it serves no more, so that asking again takes nobody out."""
    return any(one.target == sent.target and one.at_s < sent.at_s for one in played.sent if one.name in OUT)


def _is_on(play: Play, sent: Sent, lb_id: int) -> bool:
    if sent.name.startswith("set_"):
        return sent.target[0] == str(lb_id)
    target = next(one for one in play.plan.targets if one.server_id == sent.target[0])
    return any(node.balancer_id == str(lb_id) for node in target.nodes)


def _left_away(play: Play) -> list[str]:
    """Return the targets that the drill hit and that are not in service, by the simulator's truth."""
    found = []
    hit = {one.target for one in play.told.sent_changes if one.name in OUT}
    for target in play.plan.targets:
        server = play.world.servers[target.server_id]
        if target.server_id in play.handled:
            # Another hand may have stopped it; that is not the drill's to undo.
            continue
        touched = (target.server_id,) in hit or any(
            (node.balancer_id, node.node_id) in hit for node in target.nodes
        )
        if not touched:
            continue
        conditions = [
            node.condition
            for lb in play.world.balancers.values()
            for node in lb.nodes
            if node.address in server.addresses and str(lb.lb_id) in play.plan.balancer_ids
        ]
        if not server.up or any(one != "ENABLED" for one in conditions):
            found.append(target.name)
    return found


def _somebody_said(played: Played) -> bool:
    return "target_back_by_hand" in played.kinds


__all__ = ["Event", "Play", "judging", "plan_for", "step"]
