"""One schedule of a whole scale-down on a virtual clock: the real engine, machine and driver, two workers,
the simulator's world in process, runs in memory, and a recorder that writes down what really happened.

A schedule is a list of `Event`s and a seed. Workers may die or freeze, the database may be away, people and other
hands may act at any of the points of a tick: around each store call, before each read, around each change. Whatever
happens, `Result.violations` (what the oracle finds in the story) must stay empty.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from unittest import mock

import structlog.testing

from capacity.counts import CountReading, parse_stub_status
from capacity.probes import ProbeResult
from portal.cloud import rackspace_answers as answers
from portal.errors import Refused
from portal.runs.engine import Engine
from portal.runs.store_memory import MemoryRuns, MemoryStore
from portal.runs.types import RunStatus, StoreAway
from portal.simulator.errors import AnswerLost, ProviderError
from portal.simulator.hands import Hands
from portal.simulator.world import World
from scaledown import growing, looks, machine
from scaledown.canonical import plan_to_plain
from scaledown.driver import KIND, OF_SERVER, ScaledownKind, meets_freeze
from scaledown.progress import new_progress, progress_from_plain, progress_to_plain
from scaledown.turn import MOST_STUCK_S
from tests.faults import history
from tests.faults.oracle import BOUNDED_WAITS, NAMED_WAITS, judge
from tests.faults.plans import plan_for
from tests.faults.world_cloud import StillLoop, VirtualClock, WorldCloud
from tests.faults.worlds import CEILING_RPS, ELSEWHERE, PEAK_SPARE_S, make_world

LEASE_S = 15.0
SLOW_DELETION_S = 60.0
SWEEP_S = 2.0
TURN_S = 8.0
TURNS = 3
"""How often others have their turn before what a look or a change came to is written."""
OVERDUE_S = 90.0
"""A run that nobody looked at for this long is forgotten: dead worker, lease and sweep take less."""
QUIET_S = 110.0
"""A run that is stopped, has nothing to come and wrote nothing for this long has come to a rest."""
LONGEST_S = 2 * MOST_STUCK_S
"""How long a run that is at work is played on: within this each of its waits has ended, or has no bound."""
AFTERWARDS_S = 120.0
"""How long the world goes on after the end of a run: what was sent before may still land."""

OF_A_SERVER = frozenset({"delete", "image", "stop", "start", "create"})
"""Changes that are about a server itself, not about its node."""

_sleep = asyncio.sleep
_worker_number: contextvars.ContextVar[int] = contextvars.ContextVar("worker_number", default=-1)


@dataclass(frozen=True)
class Event:
    """Something that happens.

    at `at_s` seconds: fault, hand, demand, command, standstill, lift, wake, approval, in_charge, protect, jump;
    at the point of a tick with that number: die, freeze, at_point (the event in `args` happens there);
    at: `args`' event happens at the `at_s`th passing of the point called `name` ("before check", "read" …);
    when: `args`' event happens when the run comes to the phase or halt code `name`, for the `at_s`th time.
    """

    at_s: float
    kind: str
    name: str = ""
    args: tuple = ()


TIMELESS = {"die", "freeze", "at_point", "at", "when"}


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
    story: history.Story
    counts: Counter = field(default_factory=Counter)


class Died(BaseException):
    """The worker is gone: nothing of it runs any more."""


class ToldRuns(MemoryRuns):
    """Runs in memory that tell the recorder each line of the journal."""

    recorder: Recorder | None = None

    def enter(self) -> None:
        """Be ready inside the event loop."""

    def has_open_commands(self, run) -> bool:
        return bool(run.open_commands)

    def journal(self, run, entries, *, token=None, actor_name=""):
        entries = list(entries)
        super().journal(run, entries, token=token, actor_name=actor_name)
        if self.recorder is not None:
            for entry in entries:
                self.recorder.wrote(entry, token)


class Recorder:
    """Writes down what happens, as the provider's side sees it."""

    def __init__(self, world, plan, balancer_ids) -> None:
        self.world = world
        self.plan = plan
        self.balancer_ids = balancer_ids
        self.run = None
        self.clock = None
        self.events: list = []
        self.owner = {
            address: server.server_id
            for server in (*plan.servers, *plan.remaining)
            for address in (*server.addresses, *(node.address for node in server.nodes))
        }
        self.harms_told = 0

    def add(self, kind, *args, **fields) -> None:
        self.events.append(kind(self.world.now, *args, **fields))

    # The truth

    def balancer(self, lb_id) -> history.BalancerTruth:
        world, lb = self.world, self.world.balancers[lb_id]
        nodes = []
        for node in lb.nodes:
            server = world.server_at(node.address)
            serves = (
                node.landed
                and node.condition == "ENABLED"
                and node.status == "ONLINE"
                and node.type == "PRIMARY"
            )
            nodes.append(
                history.NodeTruth(
                    node.node_id,
                    node.address,
                    None if server is None else server.server_id,
                    node.condition,
                    serves,
                    world.visitors(lb, node),
                )
            )
        return history.BalancerTruth(
            lb_id,
            lb.status,
            tuple(nodes),
            world.demand_rps(lb),
            lb.health_monitor is not None,
            float(lb.timeout),
        )

    def server(self, server_id) -> history.ServerTruth:
        server = self.world.servers[server_id]
        return history.ServerTruth(
            server_id,
            server.name,
            answers.parse_time(self.world.stamp(server.created_t)),
            tuple(server.addresses),
            server.deleted_t is not None,
            server.task_state is not None,
            any(key.startswith("rax:auto") for key in server.metadata),
            tuple(server.volumes),
            server.status == "SHUTOFF",
            server.metadata.get(OF_SERVER),
            server.status,
            server.task_state == "deleting",
            server.direct_rps,
            server.flavor,
            server.image,
        )

    def scene(self) -> history.Scene:
        return history.Scene(
            {lb_id: self.balancer(lb_id) for lb_id in self.world.balancers},
            {server_id: self.server(server_id) for server_id in self.world.servers},
            tuple(
                history.ImageTruth(image.image_id, image.metadata.get(OF_SERVER), image.status)
                for image in self.world.images.values()
                if image.deleted_t is None
            ),
        )

    # What the client tells

    def looked_at_balancer(self, lb_id, found) -> None:
        truth = self.balancer(lb_id)
        tells = not found or truth.status == "ACTIVE"
        self.add(history.Looked, f"lb:{lb_id}", tells, balancer=truth if found else None)

    def looked_at_server(self, what, server_id, found) -> None:
        truth = self.server(server_id)
        self.add(history.Looked, f"{what}:{server_id}", True, server=truth if found else None)

    def looked_at_servers(self, found) -> None:
        self.add(history.Looked, "servers")

    def looked_at_images(self, found) -> None:
        self.add(history.Looked, "images")

    def searched(self, address) -> None:
        held = tuple(
            lb.lb_id
            for lb in self.world.balancers.values()
            if any(node.address == address for node in lb.nodes)
        )
        server = self.owner[address]
        if server not in {one.server_id for one in self.plan.servers}:
            return  # one that stays: whether the search finds what is there
        before = self.events[-1] if self.events else None
        if isinstance(before, history.Looked) and before.key == f"search:{server}":
            held += before.held_by  # one search asks for each address
        self.add(history.Looked, f"search:{server}", held_by=held)

    def sent(self, name, target, token) -> None:
        intent = self.run.open_intent
        is_ours = intent is not None and intent.sent_at is not None and intent.token == token
        lb_id = None if name in OF_A_SERVER else int(target[0])
        self.add(
            history.Sent,
            self.clock.now(),
            name,
            self._server_of(name, target),
            lb_id,
            intent.id if is_ours else None,
            token,
            self.run.token,
            self.scene(),
        )

    def _server_of(self, name, target) -> str:
        if name in OF_A_SERVER:
            return target[0]
        if name == "add":
            return self._owner_of(target[1])
        nodes = self.world.balancers[int(target[0])].nodes
        address = next((node.address for node in nodes if node.node_id == int(target[1])), None)
        if address is None:
            planned = (s for s in self.plan.servers for n in s.nodes if n.node_id == target[1])
            return next((server.server_id for server in planned), target[1])
        return self._owner_of(address)

    def _owner_of(self, address) -> str:
        """Return whose address it is; of a server that was created anew, `anew:` and the one in whose place it is."""
        if address in self.owner:
            return self.owner[address]
        machine = self.world.server_at(address)
        old = None if machine is None else machine.metadata.get(OF_SERVER)
        return address if old is None else f"anew:{old}"

    def wrote(self, entry, token) -> None:
        detail = entry.detail
        self.add(
            history.Wrote,
            entry.kind,
            entry.subject,
            token,
            intent=detail.get("intent"),
            outcome=str(detail.get("outcome", "")),
            by_reading=bool(detail.get("by_reading")),
            detail=detail,
        )
        if entry.kind in {"command_accepted", "command_refused"}:
            self.add(history.Answered, detail["command"], entry.kind == "command_accepted")

    def counted(self, server, shown, truth) -> None:
        self.add(history.Counted, server, shown, truth)

    def tell_harms(self) -> None:
        harms = self.world._truth.harms
        for harm in harms[self.harms_told :]:
            if harm.by == "api":
                self.events.append(history.Cut(harm.t, harm.server_id, harm.connections))
        self.harms_told = len(harms)

    @property
    def last_drained(self) -> str | None:
        drains = (
            event
            for event in reversed(self.events)
            if isinstance(event, history.Sent) and event.name == "set_DRAINING"
        )
        return next((event.server for event in drains), None)


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
        runs=ToldRuns,
    ) -> None:
        self.random = Random(seed)
        self.world = make_world(scenario, seed)
        self.hands = Hands(self.world)
        self.clock = VirtualClock(self.world)
        ceiling = {"ceiling_rps": CEILING_RPS[scenario]} if scenario in CEILING_RPS else {}
        self.plan = plan_for(self.world, **{**ceiling, **(plan or {})})
        self.balancer_ids = [int(b) for b in self.plan.balancer_ids]
        self.timed = sorted((e for e in events if e.kind not in TIMELESS), key=lambda e: e.at_s)
        self.pending = list(self.timed)
        self.pointed = {int(e.at_s): e for e in events if e.kind in {"die", "freeze", "at_point"}}
        self.named = {(e.name, int(e.at_s)): e.args[0] for e in events if e.kind == "at"}
        self.awaited = [(e.name, int(e.at_s), e.args[0]) for e in events if e.kind == "when"]
        self.horizon_s = horizon_s
        self.engine_class = engine_class
        self.store_class = store_class
        self.sweeps = sweeps
        self.lose_wakes = lose_wakes
        self.counts: Counter = Counter()
        self.passed: Counter = Counter()
        self.came: Counter = Counter()
        self.was_at: set[str] = set()
        self.points = 0
        self.in_charge = "Lena"
        self.approval_stands = True
        self.growth_stands = True
        self.is_frozen = False
        self.protected: set[str] = set()
        self.is_standing = False
        self.slack_s = 0.0
        self.until = [TURN_S, -1.0]
        self.frozen: list[tuple[float, asyncio.Future, int]] = []
        self.sleepers: list[tuple[float, asyncio.Future, int]] = []
        self.told = Recorder(self.world, self.plan, self.balancer_ids)
        self.told.clock = self.clock
        self.runs = runs(self.clock.now, facts={KIND: self.facts_of})
        progress = progress_to_plain(new_progress(self.plan, self.clock.now()))
        self.ref = self.runs.create(
            kind=KIND,
            plan=plan_to_plain(self.plan),
            progress=progress,
            scopes=["account:1"],
            resource_keys=[f"lb:{b}" for b in self.balancer_ids],
        )
        self.run = self.told.run = self.runs.runs[self.ref]
        self.runs.recorder = self.told

    def facts_of(self, run):
        return {
            "approval_stands": self.approval_stands,
            "approval_problem": "" if self.approval_stands else "The approver was removed.",
            "protected": tuple(self.protected),
            "in_charge": self.in_charge,
            **self._facts_of_freeze(run),
            **self._facts_of_growth(run),
        }

    def _facts_of_freeze(self, run):
        # As the driver reads it: only where the next look may come to a freeze.
        is_far = run.status == RunStatus.RUNNING and not meets_freeze(run.progress, self.clock.now())
        if is_far and not self.runs.has_open_commands(run):
            return {"freeze_unread": True}
        return {"freeze": "A freeze is in force." if self.is_frozen else ""}

    def _facts_of_growth(self, run):
        if run.progress.get("growing") is None:
            return {}
        return {"growth_problem": "" if self.growth_stands else "The approver was removed."}

    # --- what the driver reads besides the provider ----------------------------------------------------------

    async def probe(self, spec, at):
        self.clock.pass_(0.005)
        lb_id = int(spec.url.rsplit("/", 1)[1])
        try:
            answer = self.world.site_probe(lb_id)
        except (AnswerLost, ProviderError):
            self.told.add(history.Probed, lb_id, False)
            return ProbeResult(spec.name, False, None, None, at, "no answer")
        ok = 200 <= answer.status < 400
        self.told.add(history.Probed, lb_id, ok, answer.latency_s * 1000)
        return ProbeResult(
            spec.name, ok, answer.status, answer.latency_s * 1000, at, None if ok else "it fails"
        )

    async def count(self, source, address, clock):
        self.clock.pass_(0.005)
        at = clock()
        server = self.told.owner[address]
        truth = sum(
            self.world.visitors(lb, node) for lb, node in self.world.nodes_at(self.world.servers[server])
        )

        def reading(connections, total, problem=None):
            self.told.counted(server, connections, truth)
            return CountReading(connections, total, "in flight", "stub_status", "measured", at, problem)

        try:
            counted = parse_stub_status(self.world.stub_status(address).text())
        except (AnswerLost, ProviderError):
            return reading(None, None, "no answer")
        return reading(counted.connections, counted.requests_total, counted.problem)

    async def answers(self, url, networks):
        """Ask a node itself, as a balancer without a monitor makes necessary."""
        address = url.removeprefix("http://").split(":")[0]
        server = self.world.server_at(address)
        is_up = server is not None and server.up
        if is_up:
            self.told.add(history.Replied, server.server_id)
        return is_up

    # --- workers --------------------------------------------------------------------------------------------

    async def point(self, name) -> None:
        """One boundary of a tick: a worker may die or freeze here, and others may act."""
        self.points += 1
        self.passed[name] += 1
        for event in (self.pointed.get(self.points), self.named.get((name, self.passed[name]))):
            if event is not None:
                await self._strike(name, event)

    async def _strike(self, name, event) -> None:
        if event.kind == "at_point":
            event = event.args[0]
        if event.kind == "die":
            self.counts["die"] += 1
            raise Died
        if event.kind == "away":
            if name.startswith(("before ", "after ")):
                self.counts["away"] += 1
                raise StoreAway("The database does not answer.")
            return
        if event.kind != "freeze":
            self._happen(event)
            return
        self.counts["freeze"] += 1
        future = asyncio.get_running_loop().create_future()
        self.frozen.append((self.world.now + event.args[0], future, _worker_number.get()))
        await future

    async def _virtual_sleep(self, seconds, result=None):
        if seconds <= 0:
            return await _sleep(0)
        future = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.world.now + seconds, future, _worker_number.get()))
        return await future

    def _worker(self):
        store = self.store_class(self.runs)
        cloud = WorldCloud(self.world, self.clock, self.told, self.point)
        kind = ScaledownKind(
            cloud=lambda view: cloud,
            probe=self.probe,
            count=self.count,
            answers=self.answers,
            monotonic=self.clock.monotonic,
        )

        async def do(function, /, *args, **kwargs):
            name = function.__name__
            if name in {"settle", "commit"}:
                # A look that is begun beside the writing gets on meanwhile, as it does where threads write.
                for _ in range(TURNS):
                    await _sleep(0)
            await self.point(f"before {name}")
            result = function(*args, **kwargs)
            if name == "check" and result.ok:
                self.told.add(history.Checked, args[1])
            if name == "claim" and result is not None:
                cloud.token = result.token
                self.told.add(history.Took, result.token)
            await self.point(f"after {name}")
            return result

        return store, kind, self.engine_class(store, self.clock, lease_s=LEASE_S, do=do), cloud

    async def _tick(self, worker, number) -> None:
        _worker_number.set(number)
        store, kind, engine, cloud = worker
        views = store.claim_due(holder="worker", limit=1, lease_s=LEASE_S)
        if not views:
            return
        cloud.token = views[0].token
        self.told.add(history.Took, views[0].token)
        try:
            at = self.clock.monotonic()
            await engine.go_on(views[0], kind, holder="worker", until=at + TURN_S, claimed_at=at)
        except Died:
            store.die()

    # --- the schedule ---------------------------------------------------------------------------------------

    def _happen(self, event: Event) -> None:
        """Make one event true."""
        self.counts[event.kind] += 1
        getattr(self, f"_on_{event.kind}")(event)

    def _wake(self, workers=1) -> None:
        for number in range(workers):
            self.until[number] = max(self.until[number], self.world.now + TURN_S)

    def _on_fault(self, event) -> None:
        times, seconds = event.args[:2]
        route, kind = event.name.split(" ")
        status, says = (*event.args[2:], "")[:2] if len(event.args) > 2 else (500, "")
        self.world.add_fault(kind, route, times=times, seconds=seconds, status=status, says=says)

    def _on_demand(self, event) -> None:
        for lb_id in self.balancer_ids:
            self.hands.do("demand", lb_id=lb_id, multiplier=event.args[0])

    def _on_standstill(self, event) -> None:
        if not self.is_standing:
            self.is_standing = True
            self.runs.put_standstill("all")
            self.told.add(history.Stood, True)
            self._wake()

    def _on_lift(self, event) -> None:
        if self.is_standing:
            self.is_standing = False
            self.runs.lift_standstill("all")
            self.told.add(history.Stood, False)
            self._wake()

    def _on_approval(self, event) -> None:
        self.approval_stands = bool(event.args[0])
        self.told.add(history.Fact, "approval", self.approval_stands)

    def _on_calendar(self, event) -> None:
        self.is_frozen = bool(event.args[0])
        self.told.add(history.Fact, "freeze", self.is_frozen)
        self._wake()

    def _on_growth(self, event) -> None:
        self.growth_stands = bool(event.args[0])
        self.told.add(history.Fact, "growth", self.growth_stands)

    def _on_in_charge(self, event) -> None:
        self.in_charge = event.args[0]
        self.told.add(history.Fact, "in_charge", self.in_charge)

    def _on_protect(self, event) -> None:
        server_id = self._planned(event.args[0])
        self.protected.add(server_id)
        self.told.add(history.Fact, "protected", server_id)

    def _on_wake(self, event) -> None:
        self._wake(2)

    def _on_jump(self, event) -> None:
        self.clock.wrong_s += event.args[0]
        self.slack_s += abs(event.args[0])

    def _planned(self, number) -> str:
        return self.plan.servers[number % len(self.plan.servers)].server_id

    def _on_hand(self, event) -> None:
        what, whose = event.name.split(" ")
        number, lb_number = event.args[0], event.args[1] if len(event.args) > 1 else 0
        servers = self.plan.servers if whose == "planned" else (*self.plan.servers, *self.plan.remaining)
        server = servers[number % len(servers)]
        truth = self.world.servers[server.server_id]
        is_deletion = what in {"delete_server", "delete_server_slowly", "replace_server"}
        if truth.deleted_t is not None or (is_deletion and truth.task_state == "deleting"):
            return
        lb = self.world.balancers[self.balancer_ids[lb_number % len(self.balancer_ids)]]
        node = next((n for n in lb.nodes if n.address in server.addresses), None)
        lb_id: int | None = lb.lb_id
        if what in {"ENABLED", "DRAINING", "DISABLED"}:
            if node is None or lb.status != "ACTIVE":
                return
            self.hands.do("set_condition", lb_id=lb_id, node_id=node.node_id, condition=what)
        elif what in {"remove_node", "set_weight", "set_type"}:
            if node is None:
                return
            extra = {"set_weight": {"weight": 7}, "set_type": {"type": "SECONDARY"}}.get(what, {})
            self.hands.do(what, lb_id=lb_id, node_id=node.node_id, **extra)
        elif what == "add_node":
            if node is not None:
                return
            port = server.nodes[0].port
            self.hands.do(what, lb_id=lb_id, address=server.nodes[0].address, port=port)
        elif what == "add_elsewhere":
            lb = next(lb for lb in self.world.balancers.values() if lb.name == ELSEWHERE)
            if any(n.address in server.addresses for n in lb.nodes):
                return
            lb_id = lb.lb_id
            self.hands.do("add_node", lb_id=lb_id, address=server.addresses[0], port=80)
        elif what == "replace_server":
            lb_id = None
            self.hands.delete_server(server.server_id)
            self.hands.recycle_address(server.addresses[0], "somebody-elses")
        elif what == "balancer_status":
            self.hands.do("set_balancer_status", lb_id=lb_id, status=event.args[2])
            self.told.add(history.Other, what, None, lb_id)
            return
        else:
            lb_id = None
            slowly = {"after_s": SLOW_DELETION_S} if what == "delete_server_slowly" else {}
            what = "delete_server" if slowly else what
            extra = slowly or {
                "rename_server": {"name": "renamed"},
                "rebuild_server": {"image": "another-image"},
                "resize_server": {"flavor": "another-size"},
                "attach_volume": {"volume_id": "vol-1"},
                "slow_server": {"factor": 2.0},
                "direct_traffic": {"rps": 40.0},
                "set_server_status": {"status": "REBOOT"},
                "set_metadata": {"key": "rax:autoscale:group:id", "value": "a-group"},
                "set_task_state": {"task_state": "image_snapshot"},
            }.get(what, {})
            getattr(self.hands, what)(server.server_id, **extra)
        self.told.add(history.Other, what, server.server_id, lb_id)

    def _on_command(self, event) -> None:
        args = dict(event.args)
        server = args.get("server")
        if isinstance(server, int):
            args["server"] = self._planned(server)
        if args.get("servers") == ["all"]:
            args["servers"] = [planned.server_id for planned in self.plan.servers]
        if event.name == "grow_again" and (args := self._approved(args["by"])) is None:
            return
        seq = self.run.command_seq + 1
        target = args.get("server") or self.told.last_drained
        self.told.add(history.Asked, seq, event.name, target, args)
        try:
            self.runs.command(self.ref, event.name, args=args, reason="a person's reason")
        except Refused:
            self.told.add(history.Answered, seq, False)
            return
        if not self.lose_wakes:
            self._wake()

    def _approved(self, count):
        """Return the command that both sides' approval of growing again gives; None where nobody could ask for it."""
        progress = progress_from_plain(self.run.progress)
        try:
            data = growing.draw(self.ref, self.plan, "0" * 64, progress, count)
        except ValueError:
            return None
        return growing.asked("growth", data)

    def _await(self) -> None:
        """Let happen what was to happen once the run comes to a phase, or halts for a reason."""
        if not self.awaited:
            return
        now = {way["phase"] for way in self.run.progress["servers"]} - {"queued"}
        if any((way.get("stop") or {}).get("stopped_at") for way in self.run.progress["servers"]):
            now.add("stopped")
        watch = self.run.progress.get("watch")
        if watch is not None and watch["open_since"] is not None and watch["ended_at"] is None:
            now.add("watching")
        if self.run.status is RunStatus.PAUSED:
            now.add("paused")
        if self.run.halt is not None and self.run.status is RunStatus.HALTED:
            now |= {"halted", self.run.halt.code}
        for name in now - self.was_at:
            self.came[name] += 1
            for awaited, number, event in self.awaited:
                if (awaited, number) == (name, self.came[name]):
                    self._happen(event)
        self.was_at = now

    def _resolve(self, waiting) -> None:
        """Let go what waits for a time that has come, unless its worker is frozen."""
        now = self.world.now
        stopped = {number for at, _, number in self.frozen if at > now}
        for item in [w for w in waiting if w[0] <= now and (waiting is self.frozen or w[2] not in stopped)]:
            waiting.remove(item)
            if not item[1].done():
                item[1].set_result(None)

    async def _run(self) -> Result:
        self.runs.enter()
        pending = self.pending
        workers: list = [None, None]
        tasks: list = [None, None]
        next_sweep = SWEEP_S
        overdue_since: float | None = None
        began = self.world.now
        while self._goes_on(self.world.now - began):
            now = self.world.now
            while pending and pending[0].at_s <= now - began:
                self._happen(pending.pop(0))
            self._await()
            self._resolve(self.frozen)
            self._resolve(self.sleepers)
            if self.sweeps and now >= next_sweep:
                next_sweep = now + SWEEP_S
                self._wake(2)
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
                        self.until[n] = -1.0
                        continue
                if now > self.until[n]:
                    continue
                if workers[n] is None:
                    workers[n] = self._worker()
                if self.runs.handle().next_due_s() != 0.0:
                    continue
                tasks[n] = asyncio.ensure_future(self._tick(workers[n], n))
                await self._let_run(tasks[n])
                acted = True
            self.told.tell_harms()
            due_s = self.runs.handle().next_due_s()
            if due_s == 0.0 and not any(t is not None for t in tasks):
                overdue_since = self.world.now if overdue_since is None else overdue_since
                if self.world.now - overdue_since > OVERDUE_S + self.slack_s:
                    self.told.add(history.Forgotten, self.world.now - overdue_since)
                    break
            else:
                overdue_since = None
            if not acted or due_s != 0.0:
                self._move_on(pending, began, due_s, next_sweep)
        for task in tasks:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        took_s = self.world.now - began
        if self.run.status.is_over:
            self.clock.pass_(AFTERWARDS_S)
        self.told.tell_harms()
        story = self._story()
        return Result(
            self.run.status,
            judge(story),
            progress_from_plain(self.run.progress),
            self.run.halt,
            self.world,
            self.run,
            self.points,
            took_s,
            story,
            self.counts + Counter(sent.name for _, sent in story.sends()),
        )

    def _story(self) -> history.Story:
        progress = progress_from_plain(self.run.progress)
        return history.Story(
            plan=self.plan,
            events=tuple(self.told.events),
            status=self.run.status.value,
            waits=progress.waiting.code if progress.waiting else "",
            phases={way.server_id: way.phase.value for way in progress.servers},
            end_t=self.world.now,
            end=self.told.scene(),
            deleted_at={
                server.server_id: server.deleted_t
                for server in self.world.servers.values()
                if server.deleted_t is not None
            },
            slack_s=self.slack_s,
            images=frozenset(image.image_id for image in progress.images),
            is_sticky=any(lb.persistence for lb in self.world.balancers.values()),
        )

    def _goes_on(self, elapsed_s: float) -> bool:
        """To the horizon; a run that is at work then gets as long as its waits may last to come to a rest."""
        if self.run.status.is_over:
            return False
        if elapsed_s < self.horizon_s:
            stopped = self.run.status in {RunStatus.HALTED, RunStatus.PAUSED}
            return not (stopped and not self.pending and self._quiet_s() > QUIET_S)
        waiting = self.run.progress.get("waiting")
        rests = waiting is not None and waiting["code"] in NAMED_WAITS | BOUNDED_WAITS
        is_at_work = self.run.status in {RunStatus.RUNNING, RunStatus.ROLLING_BACK, RunStatus.GROWING}
        return is_at_work and not rests and elapsed_s < max(3 * self.horizon_s, LONGEST_S)

    def _quiet_s(self) -> float:
        """Return for how long nothing was written into the run's journal."""
        return (self.clock.now() - self.run.journal[-1].at).total_seconds()

    async def _let_run(self, task) -> None:
        """Run a task until it is done or waits for time to pass; the other worker goes on then."""
        loop = asyncio.get_running_loop()
        for _ in range(400):
            if task.done():
                break
            await _sleep(0)
            if not loop._ready:
                break  # everything waits for time to pass

    def _move_on(self, pending, began, due_s, next_sweep) -> None:
        now = self.world.now
        stops = [now + 1.0, next_sweep]
        if pending:
            stops.append(began + pending[0].at_s)
        if due_s:
            stops.append(now + due_s)
        stops += [at for at, _, _ in self.frozen]
        stops += [at for at, future, _ in self.sleepers if not future.done()]
        self.sleepers = [s for s in self.sleepers if not s[1].done()]
        self.clock.pass_(max(0.02, min(stops) - now))

    def simulate(self) -> Result:
        """Run the schedule to its end."""
        with (
            structlog.testing.capture_logs() as self.logs,
            mock.patch.object(asyncio, "sleep", self._virtual_sleep),
            mock.patch.object(looks, "PEAK_SPARE_S", PEAK_SPARE_S),
            mock.patch.object(machine, "PEAK_SPARE_S", PEAK_SPARE_S),
        ):
            # Not asyncio.run: its signal handler has Python spell out the whole world, twice a schedule.
            loop = StillLoop()
            try:
                return loop.run_until_complete(self._run())
            finally:
                loop.close()


def simulate(events=(), **options) -> Result:
    """Return what becomes of a schedule."""
    return Simulation(events, **options).simulate()
