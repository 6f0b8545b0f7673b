"""A pool on paper for the tests of the machine: what is asked for happens at once, unless a test says otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from portal.cloud.types import BalancerStatus, Condition, Interface, NodeStatus, NodeType
from portal.runs.types import Command, Halt, Outcome, OutcomeKind, RunStatus
from scaledown import machine, outcomes
from scaledown.needs import needs_of
from scaledown.progress import new_progress
from scaledown.types import (
    PLAN_FORMAT,
    AddressSearch,
    AtLimit,
    BalancerSeen,
    CountSeen,
    Facts,
    Grade,
    ImageSeen,
    NetworkSeen,
    NodeSeen,
    Observation,
    Order,
    People,
    Phase,
    PlanData,
    PlannedNode,
    PlannedProbe,
    PlannedServer,
    ProbeSeen,
    ServerSeen,
)

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
LB = "71"
PROBE = PlannedProbe(name="home", url="https://www.example.com/")


def planned(number: int) -> PlannedServer:
    return PlannedServer(
        server_id=f"srv-{number}",
        name=f"web-{number:02}",
        created_at=START - timedelta(days=10 - number),
        addresses=(f"10.0.0.{number}", f"192.0.2.{number}"),
        nodes=(PlannedNode(LB, f"40{number}", f"10.0.0.{number}", 80, NodeType.PRIMARY, None),),
        count_url=f"http://10.0.0.{number}/status",
    )


def a_plan(**changes) -> PlanData:
    plan = PlanData(
        format=PLAN_FORMAT,
        account_ref="a",
        connection_ref="00000000-0000-4000-8000-00000000000c",
        provider="rackspace",
        identity_url="https://identity.example/v2.0",
        tenant="123456",
        region="DFW",
        balancer_ids=(LB,),
        servers=(planned(6), planned(5)),
        remaining=(planned(1), planned(2), planned(3)),
        target=3,
        target_reason="",
        floor=3,
        order=Order.REVERSE_OF_SCALE_UP,
        min_drain_s=5.0,
        drain_limit_s=60.0,
        at_limit=AtLimit.ASK,
        accepted_grade=Grade.MEASURED,
        zeros_needed=3,
        soak_s=10.0,
        hold_s=0.0,
        pause_between_s=0.0,
        probes=(PROBE,),
        probe_failures_allowed=0.1,
        count_kind="nginx_stub_status",
        ceiling_rps=None,
        ceiling_source="",
        forecast_peak_rps=None,
        guard_share=0.8,
        window_start=None,
        window_end=None,
        is_unattended=False,
        reason="",
    )
    return replace(plan, **changes)


class Desk:
    """A run of the machine by hand: `look()` decides on the pool as it is now and makes the action true."""

    def __init__(self, plan=None, *, status=RunStatus.SCHEDULED):
        self.plan = plan or a_plan()
        self.now = START
        self.progress = new_progress(self.plan, START)
        self.status = status
        self.halt: Halt | None = None
        self.standstill = None
        self.commands: list[Command] = []
        self.answers = {}
        self.journal = []
        self.samples = []
        self.sent = []
        self.in_charge = "Lena"
        self.approval_stands = True
        self.growth_stands = True
        self.freeze = ""
        self.is_freeze_read = True
        self.is_worse = False
        self.is_behind = False
        self.nobody_to_call = ""
        self.protected = frozenset()
        self.outcome = Outcome(OutcomeKind.DONE)
        self.balancer_status = BalancerStatus.ACTIVE
        self.has_monitor = True
        self.nodes = {
            node.node_id: NodeSeen(
                node.node_id, node.address, node.port, Condition.ENABLED, NodeStatus.ONLINE, node.type, None
            )
            for server in (*self.plan.servers, *self.plan.remaining)
            for node in server.nodes
        }
        self.servers = {
            server.server_id: ServerSeen(
                server.server_id,
                False,
                server.name,
                "ACTIVE",
                None,
                server.created_at,
                server.addresses,
                None,
                False,
                (),
                START,
            )
            for server in (*self.plan.servers, *self.plan.remaining)
        }
        self.connections: dict[str, int | None] = {}
        self.requests: dict[str, int] = {}
        self.network: dict[str, tuple[Interface, ...]] = {}
        self.probe_ok: bool | None = True
        self.images: dict[str, ImageSeen] = {}
        self.images_listed = True
        self.names_image = True
        self.powers = True
        self.made: dict[str, str] = {}
        self.servers_listed = True
        self.builds = "ACTIVE"
        self.answers_directly: bool | None = True
        self.found_in: tuple[str, ...] = ()
        self.search_complete = True
        self.visible = True
        self.listed = True
        self.listing = ()  # what the list of all servers holds; else those that are not gone
        self.is_rehearsal = False
        self.alarms = ()

    # What is seen

    def people(self):
        return People(self.status, tuple(self.commands), self.standstill, self.halt, None, self.is_rehearsal)

    def facts(self):
        says = "" if self.approval_stands else "The approver was removed."
        nobody = self.nobody_to_call if self.status is not RunStatus.RUNNING else ""
        grown = {} if self.progress.growing is None else {"growth_stands": self.growth_stands}
        return Facts(
            self.approval_stands,
            says,
            self.protected,
            self.in_charge,
            freeze=self.freeze if self.is_freeze_read else "",
            is_freeze_read=self.is_freeze_read,
            is_worse=self.is_worse,
            nobody_to_call=nobody,
            is_behind=self.is_behind,
            **grown,
        )

    def observation(self):
        needs = needs_of(self.plan, self.progress, self.people(), self.now)
        balancer = BalancerSeen(
            LB,
            "web",
            self.balancer_status,
            tuple(self.nodes.values()),
            self.has_monitor,
            None,
            2.0,
            self.now,
            ("198.51.100.1",),
        )
        return Observation(
            at=self.now,
            balancers={LB: balancer} if self.visible else {},
            servers={
                server_id: replace(self.servers[server_id], observed_at=self.now)
                for server_id in (*needs.servers, *needs.remaining)
                if server_id in self.servers
            },
            counts={
                server_id: CountSeen(
                    server_id,
                    self.connections.get(server_id, 0),
                    self.requests.get(server_id),
                    "stub_status",
                    Grade.MEASURED,
                    self.now,
                    None if self.connections.get(server_id, 0) is not None else "no answer",
                )
                for server_id in needs.counts
            },
            network={
                server_id: NetworkSeen(server_id, self.network.get(server_id, ()), self.now)
                for server_id in needs.network
            },
            direct=dict.fromkeys((*needs.direct, *needs.answers), self.answers_directly),
            made=dict(self.made) if needs.made and self.servers_listed else None,
            probes=(ProbeSeen("home", PROBE.url, self.probe_ok, 200, 80.0, self.now),)
            if needs.probes
            else (),
            search=None
            if needs.search is None
            else AddressSearch(needs.search, self.search_complete, self.found_in, self.now),
            listed=frozenset(self.listing or (k for k, s in self.servers.items() if not s.is_gone))
            if self.listed and needs.listed
            else None,
            images={
                image_id: replace(image, observed_at=self.now)
                for image_id, image in self.images.items()
                if image_id in needs.images or (needs.our_images and self.images_listed)
            },
            our_images=frozenset(self.images) if needs.our_images and self.images_listed else None,
            alarms=self.alarms if needs.alarms else None,
        )

    # What happens

    def look(self, after_s: float = 1.0):
        """Let time pass, look, decide, and carry the action out with `self.outcome`."""
        self.now += timedelta(seconds=after_s)
        decided = machine.decide(
            self.plan, self.progress, self.observation(), self.people(), self.facts(), self.now
        )
        self.decided = decided
        self._keep(decided)
        self.commands = [c for c in self.commands if c.id not in self.answers]
        if decided.action is not None:
            self.sent.append(decided.action)
            outcome = self.outcome
            if outcome.kind is OutcomeKind.DONE:
                self._apply(decided.action)
                if decided.action.name == "create_server" and self.names_image:
                    outcome = replace(outcome, detail={"server_id": list(self.made)[-1]})
                if decided.action.name == "create_image" and self.names_image:
                    image = list(self.images.values())[-1]
                    outcome = replace(outcome, detail={"image_id": image.image_id, "name": image.name})
            self._keep(
                outcomes.settle(self.plan, self.progress, decided.action, outcome, self.now, self.people())
            )
        return decided

    def _keep(self, decided):
        self.progress = decided.progress
        if decided.status is not None:
            self.status = decided.status
        if decided.halt is not None:
            self.status, self.halt = RunStatus.HALTED, decided.halt
        elif self.status is not RunStatus.HALTED:
            self.halt = None
        self.journal += decided.journal
        self.samples += decided.samples
        self.answers |= {answer.command_id: answer for answer in decided.answers}

    def _apply(self, action):
        args = action.args
        if action.name == "delete_server":
            self.servers[args["server_id"]] = replace(
                self.servers[args["server_id"]], is_gone=True, status="DELETED"
            )
            return
        if action.name == "create_server":
            new = f"new-{len(self.made) + 1}"
            self.made[new] = args["server_id"]
            old = self.servers[args["server_id"]]
            addresses = (f"10.0.9.{len(self.made)}", f"198.51.100.{len(self.made)}")
            self.servers[new] = replace(
                old, server_id=new, is_gone=False, status=self.builds, addresses=addresses
            )
            return
        if action.name in {"stop_server", "start_server"}:
            status = "SHUTOFF" if action.name == "stop_server" else "ACTIVE"
            if self.powers:
                server_id = args["server_id"]
                self.servers[server_id] = replace(self.servers[server_id], status=status)
            return
        if action.name == "create_image":
            image_id = f"img-{len(self.images) + 1}"
            self.images[image_id] = ImageSeen(
                image_id, False, f"{args['name']} copy", "SAVING", 0, args["server_id"], self.now
            )
            return
        if action.name == "add_node":
            node_id = f"new-{len(self.sent)}"
            self.nodes[node_id] = NodeSeen(
                node_id,
                args["address"],
                args["port"],
                Condition(args["state"]),
                NodeStatus.ONLINE,
                NodeType(args["type"]),
                args["weight"],
            )
        elif action.name == "remove_node":
            del self.nodes[args["node_id"]]
        else:
            condition = Condition.DRAINING if action.name == "drain_node" else Condition.ENABLED
            self.nodes[args["node_id"]] = replace(self.nodes[args["node_id"]], condition=condition)

    def image_is(self, status: str, number: int = -1) -> None:
        """Let an image become that."""
        image_id = list(self.images)[number]
        is_gone = status == "DELETED"
        self.images[image_id] = replace(self.images[image_id], status=status, is_gone=is_gone)

    def until(self, done, most: int = 200, after_s: float = 1.0):
        """Look until `done()`; fail the test if it never is."""
        for _ in range(most):
            if done():
                return self
            self.look(after_s)
        raise AssertionError(f"it never happened: {self.status} {self.halt} {self.progress.says}")

    def until_phase(self, phase: Phase, server: int = 6):
        return self.until(lambda: self.phase(server) is phase)

    def command(self, name, reason="a reason", **args):
        number = len(self.answers) + len(self.commands) + 1
        self.commands.append(Command(number, number, name, args, "7", "Lena", reason, self.now))
        self.look()
        return self.answers[number]

    def way(self, server: int = 6):
        return self.progress.server(f"srv-{server}")

    def phase(self, server: int = 6) -> Phase:
        return self.way(server).phase

    def condition(self, server: int):
        return next((n.condition for n in self.nodes.values() if n.address == f"10.0.0.{server}"), None)

    @property
    def names(self):
        return [action.name for action in self.sent]

    def kinds(self):
        return [entry.kind for entry in self.journal]
