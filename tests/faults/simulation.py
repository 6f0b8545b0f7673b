"""One schedule of a whole scale-down on a virtual clock: the real engine, machine and driver, two workers,
the simulator's world in process, runs in memory, and an oracle that sees the world's truth.

A schedule is a list of `Event`s and a seed. Workers may die or freeze at any of the points of a tick (before
and after each store call and each change). Whatever happens, `Result.violations` must stay empty.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import structlog.testing

from capacity.counts import CountReading, parse_stub_status
from capacity.probes import ProbeResult
from portal.errors import Refused
from portal.runs.engine import Engine
from portal.runs.store_memory import MemoryRuns, MemoryStore
from portal.runs.types import RunStatus
from portal.simulator import scenarios
from portal.simulator.entities import Settings
from portal.simulator.errors import AnswerLost, ProviderError
from portal.simulator.hands import Hands
from portal.simulator.world import World
from scaledown.canonical import plan_to_plain
from scaledown.driver import KIND, ScaledownKind
from scaledown.progress import new_progress, progress_from_plain, progress_to_plain
from scaledown.types import AtLimit, Phase
from tests.faults.plans import plan_for
from tests.faults.world_cloud import CALL_DEADLINE_S, VirtualClock, WorldCloud

LEASE_S = 15.0
SWEEP_S = 2.0
TURN_S = 8.0
OVERDUE_S = 90.0
"""A run that nobody looked at for this long is forgotten: dead worker, lease and sweep take less."""
HAND_SHADOW_S = 14.0
"""A change of another hand this recent may be newer than our look (10 s) plus the call."""

POINTED = {"die", "freeze", "at_point"}
AFTERWARDS_S = 120.0
"""How long the world goes on after the end of a run: what was sent before may still land."""

PUT_BACK = {"set_ENABLED", "add"}
NAMED_WAITS = {"window", "hold", "in_charge", "pause_between", "standstill"}
"""Waits that only time or a person ends."""
BOUNDED_WAITS = {"floor", "load_too_high", "probes", "preflight", "answer", "server_busy", "balancer_error"}
"""Waits that end in a halt later than a schedule lasts."""


@dataclass(frozen=True)
class Event:
    """Something that happens at `at_s`: `kind` is fault, hand, demand, command, standstill, lift, wake,
    die, freeze, at_point; for the last three `at_s` counts points instead of seconds. at_point lets the
    event in its `args` happen there, in mid-tick."""

    at_s: float
    kind: str
    name: str = ""
    args: tuple = ()


@dataclass
class Result:
    """What became of a schedule."""

    status: RunStatus
    violations: list[str]
    progress: object
    halt: object
    world: World
    run: object
    points: int
    took_s: float
    counts: Counter = field(default_factory=Counter)


class Died(BaseException):
    """The worker is gone: nothing of it runs any more."""


class Simulation:
    """See the module's text. `engine_class` and `store_class` are what a mutation replaces."""

    def __init__(
        self,
        events=(),
        *,
        seed=1,
        scenario="launch",
        plan=None,
        horizon_s=900.0,
        store_class=MemoryStore,
        engine_class=Engine,
        sweeps=True,
        lose_wakes=False,
    ) -> None:
        self.random = Random(seed)
        self.world = World(
            seed, settings=Settings(pending_update_s=[0.3, 1.2], delete_s=4.0, error_resync_s=45.0)
        )
        scenarios.apply(self.world, scenario)
        self.hands = Hands(self.world)
        self.clock = VirtualClock(self.world)
        self.plan = plan_for(self.world, **(plan or {}))
        self.balancer_ids = [int(b) for b in self.plan.balancer_ids]
        self.planned = {server.server_id for server in self.plan.servers}
        self.timed = sorted((e for e in events if e.kind not in POINTED), key=lambda e: e.at_s)
        self.pointed = {int(e.at_s): e for e in events if e.kind in POINTED}
        self.horizon_s = horizon_s
        self.engine_class = engine_class
        self.store_class = store_class
        self.sweeps = sweeps
        self.lose_wakes = lose_wakes
        self.violations: list[str] = []
        self.counts: Counter = Counter()
        self.points = 0
        self.in_charge = "Lena"
        self.approval_stands = True
        self.protected: set[str] = set()
        self.hand_at = -1e9
        self.standstill_at: float | None = None
        self.stopped_at: list[tuple[float, int]] = []
        self.sent: Counter = Counter()
        self.lost: dict[str, float] = {}
        self.reads: Counter = Counter()
        self.cut_allowed = self.plan.at_limit is AtLimit.CUT
        self.frozen: list[tuple[float, asyncio.Future]] = []
        self.runs = MemoryRuns(self.clock.now, facts={KIND: self._facts})
        progress = progress_to_plain(new_progress(self.plan, self.clock.now()))
        self.ref = self.runs.create(
            kind=KIND,
            plan=plan_to_plain(self.plan),
            progress=progress,
            scopes=["account:1"],
            resource_keys=[f"lb:{b}" for b in self.balancer_ids],
        )
        self.run = self.runs.runs[self.ref]

    def _facts(self, run):
        return {
            "approval_stands": self.approval_stands,
            "approval_problem": "" if self.approval_stands else "The approver was removed.",
            "protected": tuple(self.protected),
            "in_charge": self.in_charge,
        }

    # --- the oracle -----------------------------------------------------------------------------------------

    def violate(self, what: str) -> None:
        if len(self.violations) < 20:
            self.violations.append(f"{self.world.now:.1f}s {what}")

    def _shadowed(self) -> bool:
        return self.world.now - self.hand_at < HAND_SHADOW_S

    def on_send(self, name, target, args) -> None:
        """Judge a change at the moment in which it reaches the provider."""
        self.counts[name] += 1
        self.counts["sent while another is frozen"] += bool(self.frozen)
        intent = self.run.open_intent
        if intent is None or intent.sent_at is None:
            self.violate(f"{name} {target} was sent without a journalled intent")
            return
        self.sent[intent.id] += 1
        if self.sent[intent.id] > 1:
            self.violate(f"{name} {target} was sent twice for one intent")
        if intent.token != self.run.token:
            self.violate(f"{name} {target} was sent by a worker that had lost its lease")
        self._judge_doubt(name, target)
        if name in PUT_BACK:
            return
        self._judge_stops(name, target, intent)
        if self.run.status is not RunStatus.RUNNING:
            self.violate(f"{name} {target} was sent while the run is {self.run.status}")
        if name in {"set_DRAINING", "remove"}:
            self._judge_floor(name, int(target[0]), int(target[1]))
        if name == "delete":
            self._judge_delete(target[0])

    def _judge_doubt(self, name, target) -> None:
        for key, at in list(self.lost.items()):
            if self.world.now < at + CALL_DEADLINE_S * 0.9 or self.reads[key] < 2:
                self.violate(f"{name} {target} was sent while the answer of a change of {key} is unknown")
            del self.lost[key]

    def _judge_stops(self, name, target, intent) -> None:
        self._forgive()
        if self.standstill_at is not None and self.clock.world.time_at(self.standstill_at) < intent.sent_at:
            self.violate(f"{name} {target} was sent at a standstill")
        for at, seq in self.stopped_at:
            if self.world.time_at(at) < intent.sent_at and seq:
                self.violate(f"{name} {target} was sent after an accepted stop")

    def _serving(self, lb) -> set[str]:
        return {
            node.address
            for node in lb.nodes
            if node.condition == "ENABLED"
            and node.status == "ONLINE"
            and node.type == "PRIMARY"
            and node.landed
        }

    def _judge_floor(self, name, lb_id, node_id) -> None:
        lb = self.world.balancers[lb_id]
        node = next((n for n in lb.nodes if n.node_id == node_id), None)
        if node is None:
            return
        server = self.world.server_at(node.address)
        if server is None or server.server_id not in self.planned:
            self.violate(f"{name} of a node that is not the plan's")
        left = self._serving(lb) - {node.address}
        if len(left) < self.plan.floor and not self._shadowed():
            self.violate(f"{name} leaves {len(left)} of at least {self.plan.floor} servers")
        out = {
            way.server_id for way in progress_from_plain(self.run.progress).servers if way.phase.is_in_flight
        }
        if len(out) > 1:
            self.violate(f"{len(out)} servers are on their way out at once")

    def _judge_delete(self, server_id) -> None:
        if server_id not in self.planned:
            self.violate(f"server {server_id} is not the plan's")
        if server_id in self.protected and not self._shadowed():
            self.violate(f"server {server_id} is protected")
        server = self.world.servers[server_id]
        if not self._shadowed() and any(True for _ in self.world.nodes_at(server)):
            self.violate(f"server {server.name} is deleted while in a balancer")
        way = progress_from_plain(self.run.progress).server(server_id)
        if way.verdict is None or way.verdict.verdict.value != "passes" or way.verdict.at < way.left_at:
            self.violate(f"server {server.name} is deleted without a verdict that passes")
        if way.drain is None or way.drain.grade is None:
            self.violate(f"server {server.name} is deleted without having been drained")

    def on_lost(self, name, target) -> None:
        key = f"server:{target[0]}" if name == "delete" else f"lb:{target[0]}"
        self.lost[key] = self.world.now
        self.reads[key] = 0

    def on_read(self, key, tells) -> None:
        if key in self.lost and tells and self.world.now >= self.lost[key] + CALL_DEADLINE_S * 0.9:
            self.reads[key] += 1

    # --- what the driver reads besides the provider ----------------------------------------------------------

    async def probe(self, spec, at):
        self.clock.pass_(0.005)
        lb_id = int(spec.url.rsplit("/", 1)[1])
        try:
            answer = self.world.site_probe(lb_id)
        except (AnswerLost, ProviderError):
            return ProbeResult(spec.name, False, None, None, at, "no answer")
        ok = 200 <= answer.status < 400
        return ProbeResult(
            spec.name, ok, answer.status, answer.latency_s * 1000, at, None if ok else "it fails"
        )

    async def count(self, source, address, clock):
        self.clock.pass_(0.005)
        at = clock()

        def reading(connections, total, problem=None):
            return CountReading(connections, total, "in flight", "stub_status", "measured", at, problem)

        try:
            counted = parse_stub_status(self.world.stub_status(address).text())
        except (AnswerLost, ProviderError):
            return reading(None, None, "no answer")
        return reading(counted.connections, counted.requests_total, counted.problem)

    async def answers(self, url):
        return None

    # --- workers --------------------------------------------------------------------------------------------

    async def point(self, name) -> None:
        """One boundary of a tick: a worker may die or freeze here."""
        self.points += 1
        event = self.pointed.get(self.points)
        if event is None:
            return
        self.counts[event.kind] += 1
        if event.kind == "at_point":
            self._happen(event.args[0])
            return
        if event.kind == "die":
            raise Died
        future = asyncio.get_running_loop().create_future()
        self.frozen.append((self.world.now + event.args[0], future))
        await future

    def _worker(self):
        store = self.store_class(self.runs)
        cloud = WorldCloud(
            self.world,
            self.clock,
            latency_s=0.02,
            on_send=self.on_send,
            on_lost=self.on_lost,
            on_read=self.on_read,
            point=self.point,
        )
        kind = ScaledownKind(
            cloud=lambda view: cloud,
            probe=self.probe,
            count=self.count,
            answers=self.answers,
            monotonic=self.clock.monotonic,
        )

        async def do(function, /, *args, **kwargs):
            await self.point(f"before {function.__name__}")
            result = function(*args, **kwargs)
            await self.point(f"after {function.__name__}")
            return result

        return store, kind, self.engine_class(store, self.clock, lease_s=LEASE_S, do=do)

    async def _tick(self, worker) -> None:
        store, kind, engine = worker
        views = store.claim_due(holder="worker", limit=1, lease_s=LEASE_S)
        if not views:
            return
        try:
            await engine.tick(views[0], kind, claimed_at=self.clock.monotonic())
        except Died:
            store.die()

    # --- the schedule ---------------------------------------------------------------------------------------

    def _happen(self, event: Event) -> bool:
        """Make one event true; return whether it wakes a worker."""
        self.counts[event.kind] += 1
        if event.kind == "fault":
            times, seconds = event.args
            route, kind = event.name.split(" ")
            self.world.add_fault(kind, route, times=times, seconds=seconds)
        elif event.kind == "hand":
            self._hand(event)
        elif event.kind == "demand":
            for lb_id in self.balancer_ids:
                self.hands.do("demand", lb_id=lb_id, multiplier=event.args[0])
        elif event.kind == "command":
            return self._command(event)
        elif event.kind == "standstill" and self.standstill_at is None:
            self.runs.put_standstill("all")
            self.standstill_at = self.world.now
            return True
        elif event.kind == "lift" and self.standstill_at is not None:
            self.runs.lift_standstill("all")
            self.standstill_at = None
            return True
        elif event.kind == "approval":
            self.approval_stands = bool(event.args[0])
        elif event.kind == "in_charge":
            self.in_charge = event.args[0]
        elif event.kind == "protect":
            self.protected.add(self.plan.servers[event.args[0] % len(self.plan.servers)].server_id)
            self.hand_at = self.world.now
        elif event.kind == "wake":
            return True
        return False

    def _hand(self, event: Event) -> None:
        self.hand_at = self.world.now
        lb = self.world.balancers[self.balancer_ids[0]]
        planned = self.plan.servers
        everyone = [*self.plan.servers, *self.plan.remaining]
        server = (planned if event.name.endswith("planned") else everyone)[event.args[0] % len(planned)]
        node = next((n for n in lb.nodes if n.address in server.addresses), None)
        what = event.name.split(" ")[0]
        if what in {"ENABLED", "DRAINING", "DISABLED"}:
            if node is not None and lb.status == "ACTIVE":
                self.hands.do("set_condition", lb_id=lb.lb_id, node_id=node.node_id, condition=what)
        elif what == "remove_node":
            if node is not None:
                self.hands.do("remove_node", lb_id=lb.lb_id, node_id=node.node_id)
        elif what == "add_node":
            if node is None:
                self.hands.do("add_node", lb_id=lb.lb_id, address=server.nodes[0].address, port=80)
        else:
            if self.world.servers[server.server_id].deleted_t is None:
                getattr(self.hands, what)(server.server_id, **dict(event.args[1:]))

    def _command(self, event: Event) -> bool:
        args = dict(event.args)
        server = args.get("server")
        if isinstance(server, int):
            args["server"] = self.plan.servers[server % len(self.plan.servers)].server_id
        if event.name == "go_on":
            self.cut_allowed = True
        try:
            self.runs.command(self.ref, event.name, args=args, reason="a person's reason")
        except Refused:
            return False
        command = self.run.commands[-1]
        if event.name == "abort" or (event.name == "pause" and args.get("when") == "now"):
            self.stopped_at.append((self.world.now, command.id))
        return not self.lose_wakes

    def _forgive(self) -> None:
        """Drop stops that were refused, or over since a resume was accepted."""
        kept = []
        for at, command_id in self.stopped_at:
            answer = self.run.answers.get(command_id)
            if answer is not None and not answer.accepted:
                continue
            name = next(c.name for c in self.run.commands if c.id == command_id)
            later = [
                c
                for c in self.run.commands
                if c.id > command_id
                and c.name in {"resume", "wait", "go_on"}
                and (found := self.run.answers.get(c.id)) is not None
                and found.accepted
            ]
            if name == "pause" and later:
                continue
            kept.append((at, command_id))
        self.stopped_at = kept

    async def _run(self) -> Result:
        pending = list(self.timed)
        workers: list = [None, None]
        tasks: list = [None, None]
        until = [TURN_S, -1.0]
        next_sweep = SWEEP_S
        overdue_since: float | None = None
        began = self.world.now
        while self._goes_on(self.world.now - began):
            now = self.world.now
            while pending and pending[0].at_s <= now - began:
                if self._happen(pending.pop(0)):
                    until[0] = max(until[0], now + TURN_S)
            self._forgive()
            for item in [f for f in self.frozen if f[0] <= now]:
                self.frozen.remove(item)
                item[1].set_result(None)
            if self.sweeps and now >= next_sweep:
                next_sweep = now + SWEEP_S
                for n in (0, 1):
                    until[n] = max(until[n], now + TURN_S)
            acted = False
            for n in (0, 1):
                if tasks[n] is not None:
                    await self._let_run(tasks[n])
                    if not tasks[n].done():
                        continue
                    tasks[n].result()
                    tasks[n] = None
                    acted = True
                    if workers[n][0].is_dead:
                        workers[n] = None
                        until[n] = -1.0
                        continue
                if now > until[n]:
                    continue
                if workers[n] is None:
                    workers[n] = self._worker()
                if self.runs.handle().next_due_s() != 0.0:
                    continue
                tasks[n] = asyncio.ensure_future(self._tick(workers[n]))
                await self._let_run(tasks[n])
                acted = True
            self._watch()
            due_s = self.runs.handle().next_due_s()
            if due_s == 0.0 and not any(t is not None for t in tasks):
                overdue_since = self.world.now if overdue_since is None else overdue_since
                if self.world.now - overdue_since > OVERDUE_S:
                    self.violate("nobody looks at the run any more")
                    break
            else:
                overdue_since = None
            if not acted or due_s != 0.0:
                self._move_on(pending, began, due_s, next_sweep)
        for task in tasks:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._watch()
        took_s = self.world.now - began
        if self.run.status.is_over:
            self.clock.pass_(AFTERWARDS_S)
            self._watch()
        self._at_end()
        return Result(
            self.run.status,
            self.violations,
            progress_from_plain(self.run.progress),
            self.run.halt,
            self.world,
            self.run,
            self.points,
            took_s,
            self.counts,
        )

    def _goes_on(self, elapsed_s: float) -> bool:
        """To the horizon; a run that is at work then gets three times as long to come to a rest."""
        if self.run.status.is_over:
            return False
        if elapsed_s < self.horizon_s:
            return True
        waiting = progress_from_plain(self.run.progress).waiting
        rests = waiting is not None and waiting.code in NAMED_WAITS | BOUNDED_WAITS
        return self.run.status is RunStatus.RUNNING and not rests and elapsed_s < 3 * self.horizon_s

    async def _let_run(self, task) -> None:
        """Run a task until it is done or waits, frozen, for time to pass; the other worker goes on then."""
        for _ in range(400):
            if task.done():
                break
            await asyncio.sleep(0)

    def _move_on(self, pending, began, due_s, next_sweep) -> None:
        now = self.world.now
        stops = [now + 1.0, next_sweep]
        if pending:
            stops.append(began + pending[0].at_s)
        if due_s:
            stops.append(now + due_s)
        stops += [at for at, _ in self.frozen]
        self.clock.pass_(max(0.02, min(stops) - now))

    def _watch(self) -> None:
        """What must hold at every moment."""
        harms = [h for h in self.world.truth.harms if h.by == "api"]
        if harms and not self.cut_allowed:
            self.violate(f"{sum(h.connections for h in harms)} connections were cut by us: {harms[-1].cause}")
        wrong = [d for d in self.world.truth.wrong_deletions if d.by == "api"]
        if wrong and not self._shadowed():
            self.violate(f"{wrong[-1].name} was deleted while nodes pointed at it")

    def _at_end(self) -> None:
        """Liveness: it ended, halted, was paused, or waits for a named thing; journal before and after."""
        status = self.run.status
        progress = progress_from_plain(self.run.progress)
        waits = progress.waiting.code if progress.waiting else ""
        rests = status in {RunStatus.HALTED, RunStatus.PAUSED} or status.is_over
        if not rests and waits not in NAMED_WAITS | BOUNDED_WAITS:
            self.violate(f"the run neither ended nor stopped: {status}, waits for {waits!r}: {progress.says}")
        if status is RunStatus.COMPLETED:
            for way in progress.servers:
                if not way.phase.is_final:
                    self.violate(f"completed with {way.name} {way.phase}")
                gone = self.world.servers[way.server_id].deleted_t is not None
                if way.phase is Phase.RETIRED and not gone and self._is_alive(way.server_id):
                    self.violate(f"{way.name} is said to be retired and lives")
        tokens = [line.token for line in self.run.journal if line.token is not None]
        if tokens != sorted(tokens):
            self.violate("a worker that had lost its lease wrote into the journal")
        kinds = Counter(line.entry.kind for line in self.run.journal)
        if kinds["intent"] < len(self.run.intents):
            self.violate("an intent has no line in the journal")
        if self.violations:
            return
        drained_s = [
            node
            for lb_id in self.balancer_ids
            for node in self.world.balancers[lb_id].nodes
            if node.condition == "DRAINING"
        ]
        if status.is_over and drained_s and not self._hand_meddled():
            self.violate(f"{len(drained_s)} nodes were left draining by a run that is over")

    def _is_alive(self, server_id) -> bool:
        server = self.world.servers[server_id]
        return server.deleted_t is None and server.task_state != "deleting" and server.status == "ACTIVE"

    def _hand_meddled(self) -> bool:
        return self.hand_at > -1e8

    def simulate(self) -> Result:
        """Run the schedule to its end."""
        with structlog.testing.capture_logs():
            return asyncio.run(self._run())


def simulate(events=(), **options) -> Result:
    """Return what becomes of a schedule."""
    return Simulation(events, **options).simulate()


def minutes(value: float) -> timedelta:
    """Return that many minutes."""
    return timedelta(minutes=value)
