"""What the run engine calls for a scale-down: gather one observation, carry out one decided change.

Deciding is `machine.py`'s. The driver reads what `needs_of` names, side by side and each within its own
deadline; what cannot be read is absent from the observation, with a sentence in `problems`. An action is
exactly one call at the provider.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from capacity.counts import CountKind, CountReading, CountSource, read_count
from capacity.probes import ProbeResult, ProbeSpec, run_probe
from portal import egress
from portal.cloud.connect import Credentials, cloud_for
from portal.cloud.guarded import read_or_say
from portal.cloud.protocol import Cloud
from portal.cloud.types import (
    Alarm,
    Balancer,
    Condition,
    Done,
    Image,
    NodeSpec,
    NodeType,
    Server,
    ServerSpec,
    Withheld,
)
from portal.errors import ProviderFailed, Refused, TryLater
from portal.frozen import replace
from portal.runs.types import Action, Decision, Outcome, OutcomeKind, RunStatus, RunView
from portal.statements import Statements
from scaledown import looks, machine, network, outcomes
from scaledown.canonical import PLANS_KEPT, frozen_plan
from scaledown.needs import needs_of
from scaledown.peak import VITAL_EVERY_S
from scaledown.progress import NodeState, Progress, new_progress, progress_from_plain, progress_to_plain
from scaledown.turn import MachineDecision
from scaledown.types import (
    REMAINING_EVERY_S,
    AddressSearch,
    BalancerSeen,
    CountSeen,
    Facts,
    Grade,
    ImageSeen,
    Needs,
    NetworkSeen,
    NodeSeen,
    Observation,
    People,
    Phase,
    PlanData,
    PlannedProbe,
    PlannedServer,
    ProbeSeen,
    ServerSeen,
    VitalSeen,
)

if TYPE_CHECKING:
    from accounts.models import CloudConnection
    from portal.runs.models import Run

KIND = "scaledown"
SUBJECT = "scaledown.plan"
GROWTH = "scaledown.growth"
"""What is approved when a run grows again."""
OF_RUN, OF_SERVER, KEEP_UNTIL = "steady_run", "steady_server", "steady_keep_until"
"""Metadata of what a run makes at the provider: by these it is found again when an answer is lost."""
STAYING_KEPT = 10_000
"""Of so many servers that stay the newest look is kept, at most."""
NETWORK_EVERY_S, NETWORK_READ_S = 30.0, 3.0
ALARMS_EVERY_S = 15.0
"""How often figures of the network are read, and the longest that it may take: a look that sees the pool waits for it."""
READ_S = 6.0
"""The longest that one read may take, so that two in a row fit into an observation."""
FEW_COUNTS = 4
"""So many servers are asked beside the probes, those first of which something is out;"""
HEAD_START_S = 0.25
"""the others this much later, or once the probes have answered."""
T = TypeVar("T")

CloudFor = Callable[[RunView], Cloud]
ProbeWith = Callable[[ProbeSpec, datetime], Awaitable[ProbeResult]]
CountWith = Callable[[CountSource, str, Callable[[], datetime]], Awaitable[CountReading]]
AnswersWith = Callable[[str, tuple[str, ...]], Awaitable[bool | None]]


def _hold_against_control(look: _Look) -> None:
    """Call a search incomplete where it did not find a node that this very look shows."""
    if look.search is None or look.control is None:
        return
    balancer_id, address, is_found = look.control
    shown = look.balancers.get(balancer_id)
    if is_found or shown is None or not any(node.address == address for node in shown.nodes):
        return
    look.problems.append(
        f"The provider's search does not find {address} in load balancer {balancer_id}, which shows it."
    )
    look.search = replace(look.search, is_complete=False)


def connected_cloud(view: RunView) -> Cloud:
    """Return the client for a run; in a rehearsal one that withholds every change."""
    credentials = view.facts["credentials"]
    assert isinstance(credentials, Credentials)
    return cloud_for(credentials, rehearsal=view.is_rehearsal)


async def answers_directly(url: str, networks: tuple[str, ...] = ()) -> bool | None:
    """Return whether a node answers visitors when it is asked itself; None where it may not be asked.

    An error of the server's own (5xx, RFC 9110, 15.6) is no answer to them. One of 4xx is: asked by its address it may know
    no such site, or want a log-in. `networks` are those that the operator opened for the account.
    """
    rules = egress.rules_from_settings(networks)
    try:
        answer = await egress.fetch(url, timeout_s=5.0, max_bytes=64 * 1024, rules=rules)
    except Refused:
        return None
    except (TryLater, ProviderFailed):
        return False
    return answer.status < HTTPStatus.INTERNAL_SERVER_ERROR


@dataclass
class _Look:
    """What one observation has gathered so far; each reader writes its own part."""

    balancers: dict[str, BalancerSeen] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    servers: dict[str, ServerSeen] = field(default_factory=dict)
    counts: dict[str, CountSeen] = field(default_factory=dict)
    network: dict[str, NetworkSeen] = field(default_factory=dict)
    direct: dict[str, bool | None] = field(default_factory=dict)
    probes: list[ProbeSeen] = field(default_factory=list)
    search: AddressSearch | None = None
    control: tuple[str, str, bool] | None = None
    """Balancer and address of a node that serves, and whether the search found it there."""
    listed: frozenset[str] | None = None
    images: dict[str, ImageSeen] = field(default_factory=dict)
    our_images: frozenset[str] | None = None
    made: dict[str, str] | None = None
    alarms: tuple[Alarm, ...] | None = None
    problems: list[str] = field(default_factory=list)


class ScaledownKind:
    """The scale-down as the engine sees it (`portal.runs.types.RunKind`).

    The readers are arguments so that a test can stand in for the provider, the site and the servers.
    """

    name = KIND
    call_deadline_s = 12.0
    observe_deadline_s = 14.0
    look_max_age_s = 10.0

    def __init__(
        self,
        *,
        cloud: CloudFor = connected_cloud,
        probe: ProbeWith = run_probe,
        count: CountWith = read_count,
        answers: AnswersWith = answers_directly,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cloud = cloud
        self.probe = probe
        self.count = count
        self.answers = answers
        self.monotonic = monotonic
        self._progress: dict[str, tuple[Progress, Mapping[str, Any]]] = {}
        self._network: dict[tuple[str, str], tuple[float, NetworkSeen]] = {}
        self._staying: dict[tuple[str, str], ServerSeen] = {}
        self._fired: dict[str, tuple[float, tuple[Alarm, ...] | None]] = {}

    def plan_of(self, view: RunView) -> PlanData:
        """Return the run's plan."""
        return frozen_plan(view.ref, view.digest, view.plan)

    def progress_of(self, view: RunView) -> Progress:
        """Return the run's progress; what this worker child wrote or read last is not read again."""
        if not view.progress:
            return new_progress(self.plan_of(view), view.now)
        kept = self._progress.get(view.ref)
        if kept is not None and (kept[1] is view.progress or kept[1] == view.progress):
            return kept[0]
        progress = progress_from_plain(view.progress)
        self._keep_progress(view, progress, view.progress)
        return progress

    def _keep_progress(self, view: RunView, progress: Progress, plain: Mapping[str, Any]) -> None:
        self._progress.pop(view.ref, None)
        if len(self._progress) >= PLANS_KEPT:
            del self._progress[next(iter(self._progress))]  # the one that was not looked at for longest
        self._progress[view.ref] = (progress, plain)

    # Reading

    async def observe(self, view: RunView) -> Observation:
        """Return one fresh look at all that the next decision needs."""
        plan = self.plan_of(view)
        progress = self.progress_of(view)
        began = self.monotonic()

        def clock() -> datetime:
            return view.now + timedelta(seconds=max(0.0, self.monotonic() - began))

        needs = needs_of(plan, progress, _people_of(view), view.now)
        look = _Look()
        networks: tuple[str, ...] = view.facts.get("networks", ())
        # Before the probes are on their way: who cannot be connected to is asked nothing.
        reads = list(self._reads(view, plan, progress, needs, networks, look, clock))
        probes = plan.probes if needs.probes else ()
        probing = asyncio.gather(*(self._probe(probe, networks, look, clock) for probe in probes))
        await asyncio.gather(
            probing, *reads, self._counts(plan, needs.counts, networks, look, clock, after=probing)
        )
        _hold_against_control(look)
        return Observation(
            at=view.now,
            balancers=look.balancers,
            missing_balancers=frozenset(look.missing),
            servers=look.servers,
            counts=look.counts,
            network=look.network,
            direct=look.direct,
            probes=tuple(sorted(look.probes, key=lambda probe: probe.name)),
            search=look.search,
            listed=look.listed,
            images=look.images,
            our_images=look.our_images,
            alarms=look.alarms,
            made=look.made,
            vital=view.facts.get("vital", ()),
            vital_watch=view.facts.get("vital_watch"),
            problems=tuple(look.problems),
        )

    def _reads(
        self,
        view: RunView,
        plan: PlanData,
        progress: Progress,
        needs: Needs,
        networks: tuple[str, ...],
        look: _Look,
        clock: Callable[[], datetime],
    ) -> Iterable[Awaitable[None]]:
        cloud = self.cloud(view)
        planned = {server.server_id: server for server in (*plan.servers, *plan.remaining)}
        for balancer_id in needs.balancers:
            yield self._balancer(cloud, balancer_id, look, clock)
        stay = {server.server_id for server in plan.remaining}
        for server_id in needs.servers:
            if server_id in stay:
                yield self._one_that_stays(cloud, view, server_id, look, clock, is_fresh=True)
                continue
            name = planned[server_id].name if server_id == needs.search else None
            yield self._server(cloud, server_id, look, clock, volumes_of=name)
        for server_id in needs.remaining:
            if server_id in needs.servers:
                continue
            yield self._one_that_stays(cloud, view, server_id, look, clock)
        for server_id, begun_at in needs.network.items():
            yield self._traffic(cloud, view.ref, server_id, begun_at, look, clock)
        for server_id in needs.direct:
            yield self._direct(planned[server_id], networks, look)
        if needs.search is not None:
            yield self._search(cloud, planned[needs.search], look, clock)
            yield self._control(cloud, progress, look)
        if needs.listed:
            yield self._listed(cloud, look)
        for server_id, place in needs.answers.items():
            yield self._answers_at(server_id, place, networks, look)
        if needs.made:
            yield self._made(cloud, view.ref, look, clock)
        for image_id in needs.images:
            yield self._image(cloud, view.ref, image_id, look, clock)
        if needs.our_images:
            yield self._our_images(cloud, view.ref, look, clock)
        if needs.alarms:
            yield self._alarms(cloud, view.ref, look)

    async def _guarded(self, what: str, read: Awaitable[T], look: _Look) -> tuple[bool, T | None]:
        """Return (whether it could be read, what was read). What could not be is said in `problems`."""
        return await read_or_say(what, read, look.problems, limit_s=READ_S)

    async def _balancer(
        self, cloud: Cloud, balancer_id: str, look: _Look, clock: Callable[[], datetime]
    ) -> None:
        at = clock()
        could, seen = await self._guarded(
            f"Load balancer {balancer_id}", cloud.show_balancer(balancer_id), look
        )
        if could and seen is None:
            # Who may not look is told that there is none as well (reference, 2.9): the list has to agree.
            could, listed = await self._guarded("The list of load balancers", cloud.list_balancers(), look)
            if could and any(ref.id == balancer_id for ref in listed or ()):
                look.problems.append(f"Load balancer {balancer_id} is in the list and cannot be read.")
            elif could:
                look.missing.add(balancer_id)
        elif seen is not None:
            look.balancers[balancer_id] = balancer_seen(seen, at)

    async def _server(
        self,
        cloud: Cloud,
        server_id: str,
        look: _Look,
        clock: Callable[[], datetime],
        *,
        volumes_of: str | None,
    ) -> None:
        """Look at a server, and beside it at its volumes, where it is given by what name they are said to be of."""
        at = clock()
        show = self._guarded(f"Server {server_id}", cloud.show_server(server_id), look)
        problems: list[str] = []
        volumes: tuple[str, ...] | None = None
        if volumes_of is not None:
            read = cloud.attached_volumes(server_id)
            what = f"The volumes of {volumes_of}"
            (could, seen), (_, volumes) = await asyncio.gather(
                show, read_or_say(what, read, problems, limit_s=READ_S)
            )
        else:
            could, seen = await show
        if not could:
            return
        if seen is not None and not seen.is_deleted:
            look.problems.extend(problems)  # one that is gone has none
        look.servers[server_id] = server_seen(server_id, seen, volumes, at)

    async def _one_that_stays(
        self,
        cloud: Cloud,
        view: RunView,
        server_id: str,
        look: _Look,
        clock: Callable[[], datetime],
        *,
        is_fresh: bool = False,
    ) -> None:
        """Look at a server that stays, where the last look is not of this minute: there may be fifty, and many runs."""
        kept = self._staying.get((view.ref, server_id))
        if not is_fresh and kept is not None and looks.age_s(kept.observed_at, view.now) < REMAINING_EVERY_S:
            look.servers[server_id] = kept
            return
        await self._server(cloud, server_id, look, clock, volumes_of=None)
        seen = look.servers.get(server_id)
        if seen is not None and seen.is_gone:
            # Who may not look is told that there is none as well: the list has to agree. One answer that lies ends no run.
            what = "The list of servers"
            could, listed = await self._guarded(what, cloud.list_servers(), look)
            is_listed = any(one.id == server_id and not one.is_deleted for one in listed or ())
            if is_listed:
                look.problems.append(f"Server {server_id} is in the list and cannot be read.")
            if is_listed or not could:
                del look.servers[server_id]
        elif seen is not None:
            if len(self._staying) >= STAYING_KEPT:
                self._staying.clear()
            self._staying[view.ref, server_id] = seen

    async def _traffic(
        self,
        cloud: Cloud,
        run_ref: str,
        server_id: str,
        begun_at: datetime,
        look: _Look,
        clock: Callable[[], datetime],
    ) -> None:
        """Read what a draining server carries; figures come by the minute, so what was read lately is not read again."""
        kept = self._network.get((run_ref, server_id))
        if kept is None or not 0 <= self.monotonic() - kept[0] < NETWORK_EVERY_S:
            at, problems = clock(), list[str]()
            begins = begun_at - timedelta(seconds=network.BEFORE_S)
            read = cloud.network_rates(server_id, begins=begins, ends=at)
            _, rates = await read_or_say("The provider's monitoring", read, problems, limit_s=NETWORK_READ_S)
            seen = NetworkSeen(server_id, rates or (), at, " ".join(problems), NETWORK_EVERY_S)
            if len(self._network) >= PLANS_KEPT:
                self._network.clear()
            kept = self._network[run_ref, server_id] = (self.monotonic(), seen)
        look.network[server_id] = kept[1]

    async def _alarms(self, cloud: Cloud, run_ref: str, look: _Look) -> None:
        """Read which alarms fire: all pages of what is watched, so that of a run that waits they are not read at every look."""
        kept = self._fired.get(run_ref)
        if kept is None or not 0 <= self.monotonic() - kept[0] < ALARMS_EVERY_S:
            read = cloud.watched()
            _, watched = await read_or_say(
                "The provider's monitoring", read, look.problems, limit_s=NETWORK_READ_S
            )
            if len(self._fired) >= PLANS_KEPT:
                self._fired.clear()
            kept = self._fired[run_ref] = (self.monotonic(), None if watched is None else watched.alarms)
        look.alarms = kept[1]

    async def _counts(
        self,
        plan: PlanData,
        server_ids: Sequence[str],
        networks: tuple[str, ...],
        look: _Look,
        clock: Callable[[], datetime],
        *,
        after: asyncio.Future[Any],
    ) -> None:
        """Ask the servers; most of many once the probes have answered, or have had a head start: a probe measures time, and
        would measure how long it takes us to ask so many.
        """
        planned = {server.server_id: server for server in (*plan.servers, *plan.remaining)}

        async def ask(some: Sequence[str]) -> None:
            await asyncio.gather(*(self._count(plan, planned[one], networks, look, clock) for one in some))

        async def ask_later(some: Sequence[str]) -> None:
            await asyncio.wait([after], timeout=HEAD_START_S)
            await ask(some)

        if len(server_ids) <= FEW_COUNTS:
            await ask(server_ids)
            return
        await asyncio.gather(ask(server_ids[:FEW_COUNTS]), ask_later(server_ids[FEW_COUNTS:]))

    async def _count(
        self,
        plan: PlanData,
        server: PlannedServer,
        networks: tuple[str, ...],
        look: _Look,
        clock: Callable[[], datetime],
    ) -> None:
        assert server.count_url is not None
        assert plan.count_kind is not None
        source = CountSource(CountKind(plan.count_kind), server.count_url, networks=networks)
        reading = await self.count(source, _count_address(server), clock)
        look.counts[server.server_id] = CountSeen(
            server.server_id,
            reading.connections,
            reading.requests_total,
            reading.source,
            Grade(reading.grade),
            reading.observed_at,
            reading.problem,
        )

    async def _direct(self, server: PlannedServer, networks: tuple[str, ...], look: _Look) -> None:
        node = server.nodes[0]
        host = f"[{node.address}]" if ":" in node.address else node.address
        look.direct[server.server_id] = await self.answers(f"http://{host}:{node.port}/", networks)

    async def _probe(
        self, probe: PlannedProbe, networks: tuple[str, ...], look: _Look, clock: Callable[[], datetime]
    ) -> None:
        spec = ProbeSpec(
            name=probe.name,
            url=probe.url,
            method=probe.method,
            expected_status_low=probe.expected_status_low,
            expected_status_high=probe.expected_status_high,
            must_contain=probe.must_contain or None,
            timeout_s=probe.timeout_s,
            latency_limit_ms=probe.latency_limit_ms,
            networks=networks,
        )
        result = await self.probe(spec, clock())
        look.probes.append(
            ProbeSeen(
                probe.name,
                probe.url,
                result.ok,
                result.status,
                result.latency_ms,
                result.observed_at,
                result.problem,
                result.is_slow,
            )
        )

    async def _search(
        self, cloud: Cloud, server: PlannedServer, look: _Look, clock: Callable[[], datetime]
    ) -> None:
        at = clock()
        addresses = dict.fromkeys((*server.addresses, *(node.address for node in server.nodes)))
        what = f"The search for {server.name} in every load balancer"
        searches = await asyncio.gather(
            *(self._guarded(what, cloud.balancers_holding(address), look) for address in addresses)
        )
        complete = all(could and holding is not None for could, holding in searches)
        found = {balancer.id for _, holding in searches for balancer in holding or ()}
        look.search = AddressSearch(server.server_id, complete, tuple(sorted(found)), at)

    async def _control(self, cloud: Cloud, progress: Progress, look: _Look) -> None:
        """Search for what is known to be there: a search that does not find that proves nothing by what it does not find."""
        serves = (node for server in progress.kept for node in server.nodes if not node.is_foreign)
        control = next((node for node in serves if node.confirmed is NodeState.ENABLED), None)
        if control is None:
            return
        could, holding = await self._guarded(
            "The search for a server that serves", cloud.balancers_holding(control.address), look
        )
        is_found = could and any(balancer.id == control.balancer_id for balancer in holding or ())
        look.control = (control.balancer_id, control.address, is_found)

    async def _listed(self, cloud: Cloud, look: _Look) -> None:
        could, servers = await self._guarded("The list of servers", cloud.list_servers(), look)
        if could and servers is not None:
            look.listed = frozenset(server.id for server in servers if not server.is_deleted)

    async def _answers_at(self, server_id: str, place: str, networks: tuple[str, ...], look: _Look) -> None:
        look.direct[server_id] = await self.answers(f"http://{place}/", networks)

    async def _made(self, cloud: Cloud, run_ref: str, look: _Look, clock: Callable[[], datetime]) -> None:
        at = clock()
        could, servers = await self._guarded("The list of servers", cloud.list_servers(), look)
        if not could or servers is None:
            return
        ours = [s for s in servers if s.metadata.get(OF_RUN) == run_ref and not s.is_deleted]
        look.servers |= {server.id: server_seen(server.id, server, None, at) for server in ours}
        look.made = {server.id: server.metadata.get(OF_SERVER, "") for server in ours}

    async def _image(
        self, cloud: Cloud, run_ref: str, image_id: str, look: _Look, clock: Callable[[], datetime]
    ) -> None:
        at = clock()
        could, seen = await self._guarded(f"Image {image_id}", cloud.show_image(image_id), look)
        if could:
            look.images[image_id] = image_seen(image_id, seen, run_ref, at)

    async def _our_images(
        self, cloud: Cloud, run_ref: str, look: _Look, clock: Callable[[], datetime]
    ) -> None:
        at = clock()
        could, found = await self._guarded("The list of images", cloud.list_images(), look)
        if not could or found is None:
            return
        ours = [image for image in found if image.metadata.get(OF_RUN) == run_ref]
        look.images |= {image.id: image_seen(image.id, image, run_ref, at) for image in ours}
        look.our_images = frozenset(image.id for image in ours)

    # Deciding

    def decide(self, view: RunView, observation: Observation) -> Decision:
        """Return what is to be done next (`machine.decide`)."""
        plan = self.plan_of(view)
        return self._decision(
            view,
            machine.decide(
                plan,
                self.progress_of(view),
                observation,
                _people_of(view),
                _facts_of(view),
                view.now,
            ),
        )

    def effect(self, action: Action, observation: Observation) -> bool | None:
        """Return whether a doubtful action shows (`outcomes.effect`)."""
        return outcomes.effect(action, observation)

    def settle(self, view: RunView, action: Action, outcome: Outcome) -> Decision:
        """Return what an outcome means (`outcomes.settle`)."""
        if outcome.kind is OutcomeKind.TRY_LATER and outcome.after_s is None:
            outcome = replace(outcome, after_s=outcome.detail.get("after_s"))
        plan = self.plan_of(view)
        settled = outcomes.settle(plan, self.progress_of(view), action, outcome, view.now, _people_of(view))
        return self._decision(view, settled)

    def _decision(self, view: RunView, decided: MachineDecision) -> Decision:
        plain = progress_to_plain(decided.progress, self._progress.get(view.ref))
        self._keep_progress(view, decided.progress, plain)
        return Decision(
            progress=plain,
            action=decided.action,
            status=decided.status,
            halt=decided.halt,
            journal=decided.journal,
            samples=decided.samples,
            answers=decided.answers,
            look_again_s=decided.look_again_s,
            sets_aside=decided.sets_aside,
            reads_facts=decided.reads_facts,
            is_patient=decided.is_patient,
        )

    # Acting

    async def act(self, view: RunView, action: Action, *, not_after: float) -> Outcome:
        """Carry out one change with exactly one call. Raises Refused, InDoubt or ProviderFailed.

        "Try later" is an outcome here and no exception: the run goes on looking while it waits.
        """
        try:
            done = await _call(self.cloud(view), view.ref, action, not_after)
        except TryLater as later:
            return Outcome(OutcomeKind.TRY_LATER, later.says, later.code, detail={"after_s": later.after_s})
        if isinstance(done, Withheld):
            would_have = {"method": done.method, "path": done.path, "body": done.body}
            return Outcome(OutcomeKind.WITHHELD, "Withheld: this is a rehearsal.", detail=would_have)
        return Outcome(OutcomeKind.DONE, detail=dict(done.detail))


async def _call(cloud: Cloud, run_ref: str, action: Action, not_after: float) -> Done | Withheld:
    """Match a decided change to one call of the provider."""
    args = action.args
    match action.name:
        case "drain_node":
            return await cloud.set_condition(
                args["balancer_id"], args["node_id"], Condition.DRAINING, not_after=not_after
            )
        case "enable_node":
            return await cloud.set_condition(
                args["balancer_id"], args["node_id"], Condition.ENABLED, not_after=not_after
            )
        case "remove_node":
            return await cloud.remove_node(args["balancer_id"], args["node_id"], not_after=not_after)
        case "add_node":
            node = NodeSpec(
                address=args["address"],
                port=args["port"],
                condition=Condition(args.get("state", Condition.ENABLED)),
                type=NodeType(args["type"]),
                weight=args["weight"],
            )
            return await cloud.add_node(args["balancer_id"], node, not_after=not_after)
        case "stop_server":
            return await cloud.stop_server(args["server_id"], not_after=not_after)
        case "start_server":
            return await cloud.start_server(args["server_id"], not_after=not_after)
        case "create_image":
            name = f"{args['name']} {run_ref[:8]}"
            metadata = {OF_RUN: run_ref, OF_SERVER: args["server_id"], KEEP_UNTIL: args["keep_until"][:10]}
            done = await cloud.create_image(args["server_id"], name, metadata, not_after=not_after)
            return done if isinstance(done, Withheld) else Done({**done.detail, "name": name})
        case "create_server":
            metadata = {OF_RUN: run_ref, OF_SERVER: args["server_id"]}
            spec = ServerSpec(args["name"], args["flavor_id"], args["image_id"], metadata)
            return await cloud.create_server(spec, not_after=not_after)
        case "delete_server":
            return await cloud.delete_server(args["server_id"], not_after=not_after)
    raise ValueError(f"A scale-down has no action {action.name!r}.")


# --- translations ---------------------------------------------------------------------------------------


def balancer_seen(balancer: Balancer, at: datetime) -> BalancerSeen:
    """Return a balancer of the provider as the machine sees it."""
    return BalancerSeen(
        balancer_id=balancer.id,
        name=balancer.name,
        status=balancer.status,
        nodes=tuple(
            NodeSeen(node.id, node.address, node.port, node.condition, node.status, node.type, node.weight)
            for node in balancer.nodes
        ),
        has_health_monitor=balancer.has_health_monitor,
        session_persistence=balancer.session_persistence,
        timeout_s=float(balancer.timeout_s),
        observed_at=at,
        virtual_ips=balancer.virtual_ips,
    )


def server_seen(
    server_id: str, server: Server | None, volumes: tuple[str, ...] | None, at: datetime
) -> ServerSeen:
    """Return a server of the provider as the machine sees it; None means that the provider said 404."""
    if server is None:
        return ServerSeen(server_id, True, "", "DELETED", None, None, (), None, None, None, at)
    return ServerSeen(
        server_id=server.id,
        is_gone=server.is_deleted,
        name=server.name,
        status=server.status,
        task_state=server.task_state,
        created_at=server.created_at,
        addresses=server.addresses,
        autoscale_group=server.autoscale_group,
        is_locked=server.is_locked,
        volumes=volumes,
        observed_at=at,
        flavor_id=server.flavor_id,
        image_id=server.image_id,
        floating=server.floating,
    )


def image_seen(image_id: str, image: Image | None, run_ref: str, at: datetime) -> ImageSeen:
    """Return an image of the provider as the machine sees it; None means that the provider said 404."""
    if image is None:
        return ImageSeen(image_id, True, "", "DELETED", None, None, at)
    of_server = image.metadata.get(OF_SERVER) if image.metadata.get(OF_RUN) == run_ref else None
    is_gone = image.status == "DELETED"
    return ImageSeen(
        image.id, is_gone, image.name, image.status, image.progress, of_server, at, image.created_at
    )


def _count_address(server: PlannedServer) -> str:
    """Return the server's address at which its status page is asked: the one that its URL names."""
    host = urlsplit(server.count_url or "").hostname
    addresses = (*server.addresses, *(node.address for node in server.nodes))
    return host if host in addresses else server.nodes[0].address


def _people_of(view: RunView) -> People:
    return People(view.status, view.commands, view.standstill, view.halt, view.doubt, view.is_rehearsal)


def _facts_of(view: RunView) -> Facts:
    return Facts(
        approval_stands=bool(view.facts["approval_stands"]),
        approval_problem=str(view.facts["approval_problem"]),
        protected=frozenset(view.facts["protected"]),
        in_charge=view.facts["in_charge"],
        freeze=str(view.facts.get("freeze", "")),
        is_freeze_read=not view.facts.get("freeze_unread"),
        freeze_until=view.facts.get("freeze_until"),
        is_worse=bool(view.facts.get("is_worse")),
        nobody_to_call=str(view.facts.get("nobody_to_call", "")),
        growth_stands=not view.facts["growth_problem"] if "growth_problem" in view.facts else None,
        growth_problem=str(view.facts.get("growth_problem", "")),
        is_behind=view.is_behind,
    )


# --- what the engine calls inside its transactions --------------------------------------------------------


def make_kind() -> ScaledownKind:
    """Return the kind for one worker child."""
    return ScaledownKind()


def facts(run: Run) -> Mapping[str, Any]:
    """Return what the database says that bears on a run; read in the claiming transaction."""
    from django.utils import timezone

    from accounts.clouds import credentials_of
    from accounts.networks import networks_of
    from scaledown import asked

    (connection,) = asked.CONNECTION.instances(run.plan_ref)
    (run.account,) = asked.ACCOUNT.instances(run.account_id)
    connection.account = run.account
    problem = "" if run.is_rehearsal else _approval_problem(run)
    grows = run.progress.get("growing")
    return {
        "approval_stands": not problem,
        "approval_problem": problem,
        "protected": tuple(
            server_id
            for (server_id,) in asked.PROTECTED.rows(
                connection.provider, connection.tenant, connection.region, connection.account_id
            )
        ),
        "in_charge": str(run.in_charge_id) if run.has_somebody(timezone.now()) else None,
        "credentials": credentials_of(connection),
        "networks": networks_of(run.account),
        **({} if grows is None else {"growth_problem": _growth_problem(grows)}),
        **_going_on_facts(run, connection),
        **_vital_facts(run),
    }


_MAY_BEGIN = frozenset({RunStatus.SCHEDULED.value, RunStatus.PAUSED.value, RunStatus.HALTED.value})


_IN_HAND = frozenset(phase.value for phase in machine.PHASES)
SOAK_NEAR = timedelta(seconds=3)
"""A soak that ends within this time may be over before the run is claimed again."""


def meets_freeze(progress: Mapping[str, Any], now: datetime) -> bool:
    """Return whether the next look at a run in full swing may come to where a freeze holds: a server begins, or is ended.

    Where it comes there all the same, the machine has it read (`Turn.ask_freeze`): this keeps it from having to.
    """
    ways = progress.get("servers", ())
    way = next((way for way in ways if way["phase"] in _IN_HAND), None)
    if progress.get("asks_freeze") or way is None:
        return True
    if way["phase"] == Phase.DRAINING:
        # Nothing was sent yet, so that it begins now; or a person may let it go on.
        nodes, drain = way["nodes"], way["drain"]
        is_asked = drain is not None and drain["asked_person_at"] is not None
        return is_asked or all(node["asked"] == node["confirmed"] == NodeState.ENABLED for node in nodes)
    if way["phase"] == Phase.VERIFYING:
        return way["soak"] is not None and datetime.fromisoformat(way["soak"]["until"]) <= now + SOAK_NEAR
    if way["phase"] == Phase.IMAGING:
        # The pool is verified anew before the deletion. A look that had to have the freeze read would leave its checks out.
        return way["soak"] is not None
    # Once that is over the next server begins.
    return way["phase"] in {Phase.DELETING, Phase.CONFIRMING}


def _going_on_facts(run: Run, connection: CloudConnection) -> Mapping[str, Any]:
    """Return the freeze, the severe case and the want of somebody to call that keep a run from starting or going on.

    A run in full swing is asked about freezes only, where it may come to one, or a person says something.
    """
    from django.utils import timezone

    from scaledown import asked, freezes, someone

    now = timezone.now()
    begins = run.status in _MAY_BEGIN or bool(run.progress.get("preflight_due"))
    if run.is_rehearsal or not (begins or run.status == RunStatus.RUNNING):
        return {}
    if not begins and not meets_freeze(run.progress, now) and not asked.OPEN_COMMANDS.rows(run.pk):
        return {"freeze_unread": True}
    found: dict[str, Any] = {}
    held = freezes.holding(run, now, begins=begins, connection=connection)
    if held is not None:
        found |= {"freeze": held.says, "freeze_until": held.ends_at, "is_worse": held.is_worse}
    nobody = someone.holding(run, now) if begins else ""
    if nobody:
        found["nobody_to_call"] = nobody
    return found


VITAL_BEFORE = timedelta(hours=1)
"""So much of the time before the first server is what vital figures are held against,"""
VITAL_NOW = timedelta(minutes=30)
"""and so much of the newest is held against it, at most: from when the server in hand left the pool, or a watch began."""


def _vital_facts(run: Run) -> Mapping[str, Any]:
    """Return the samples of the plan's vital figures while a verdict is near, or a peak watch judges. One query, or none."""
    from django.utils import timezone

    from capacity.vital import vital_stretches

    figures = run.plan.get("vital")
    if not figures:
        return {}
    now = timezone.now()
    left = [
        datetime.fromisoformat(way["left_at"])
        for way in run.progress.get("servers", ())
        if way["left_at"] and (way["soak"] is not None or way["phase"] == Phase.VERIFYING.value)
    ]
    since = max(left) if left else _watched_since(run.progress.get("watch"), now)
    if since is None:
        return {}
    begun = (run.progress.get("before") or {}).get("done_at") or run.progress["started_at"]
    first = datetime.fromisoformat(begun)
    found = vital_stretches(
        run.account,
        [one["metric_ref"] for one in figures],
        (first - VITAL_BEFORE, first),
        (max(since, now - VITAL_NOW), now),
    )
    return {
        "vital" if left else "vital_watch": tuple(
            VitalSeen(one.metric_ref, one.before, one.now, one.last_at, one.earlier) for one in found
        )
    }


def _watched_since(watch: Mapping[str, Any] | None, now: datetime) -> datetime | None:
    """Return from when on a peak watch judges vital figures; None where none is open, or it judged shortly before."""
    if watch is None or watch["ended_at"] is not None:
        return None
    judged_at = watch.get("vital_at")
    if judged_at is not None and now - datetime.fromisoformat(judged_at) < timedelta(seconds=VITAL_EVERY_S):
        return None
    return datetime.fromisoformat(watch.get("vital_since") or watch["since"])


def _approval_problem(run: Run) -> str:
    """Return why the approval does not carry this run, or ""."""
    from django.utils import timezone

    from portal.approvals import services as approvals

    # What has begun may be finished; until then a yes that is over is none, whatever the run waits or halts for.
    until = None if run.progress.get("started_at") else timezone.now()
    if approvals.is_approved(SUBJECT, run.plan_ref, run.digest, account=run.account, at=until):
        return ""
    request = approvals.approved_request(SUBJECT, run.plan_ref, run.digest)
    if request is None:
        return "This plan is not approved by both sides any more."
    if until is not None and approvals.has_expired(request, until):
        return "The approval of this plan is over; it was not started in time."
    return approvals.removal_says(request)


def _growth_problem(grows: Mapping[str, Any]) -> str:
    """Return why the approval of growing again does not carry it, or ""; once begun it does not expire."""
    from portal.approvals import services as approvals

    request = approvals.approved_request(GROWTH, UUID(grows["ref"]), grows["digest"])
    if request is None:
        return "Growing again is not approved by both sides any more."
    return approvals.removal_says(request)


def project(run: Run, decision: Decision, was: Mapping[str, Any]) -> None:
    """Keep the retirements, and the plan of a run that could not start, true; in the run's transaction.

    Only what differs from the progress that was stored before is written.
    """
    from scaledown.models import Plan, PlanStatus

    if not decision.progress:
        return
    before, ways = was.get("servers", ()), decision.progress["servers"]
    changed = {
        position
        for position, way in enumerate(ways, start=1)
        if position > len(before) or before[position - 1] != way
    }
    _keep_retirements(run, decision.progress, changed)
    _tell_of_peak(run, decision)
    _tell_of_size(run, before, ways)
    if decision.progress.get("ended_because") == "pool_changed" and not run.is_rehearsal:
        Plan.objects.filter(ref=run.plan_ref, status=PlanStatus.USED).update(
            status=PlanStatus.VOIDED, status_reason=decision.progress["says"]
        )


def _keep_retirements(run: Run, plain: Mapping[str, Any], changed: Collection[int]) -> None:
    """Write the rows of the servers at these positions, which begin with 1."""
    if not changed:
        return
    rows = [(position, plain["servers"][position - 1]) for position in sorted(changed)]
    statements = Statements()
    for position, way in rows:
        statements.add(_KEEP_RETIREMENT, _retirement(run, position, way))
    statements.send()


def _retirement(run: Run, position: int, way: Mapping[str, Any]) -> list[Any]:
    drain, verdict, put_back = way["drain"] or {}, way["verdict"] or {}, way["put_back"] or {}
    detail = {
        "put_back": put_back.get("why"),
        "by_hand": way["by_hand"] or None,
        "evidence": drain.get("evidence"),
        "grade": drain.get("grade"),
        "verdict": verdict.get("numbers"),
    }
    return [
        uuid4(),
        run.pk,
        position,
        way["server_id"],
        way["name"],
        way["phase"],
        way["since"],
        way["says"],
        way["customer_says"],
        drain.get("connections"),
        drain.get("source", "")[:200],
        "" if drain.get("connections") is None else Grade.MEASURED.value,
        drain.get("sampled_at"),
        verdict.get("verdict", ""),
        json.dumps(detail),
    ]


# With most ticks one row or two change: Django's own upsert would take several times as long to write as to run.
_KEEP_RETIREMENT = """
INSERT INTO scaledown_retirement (
    ref, run_id, position, server_id, server_name, phase, phase_since, says, customer_says, connections,
    connections_source, connections_grade, connections_at, verdict, detail
) VALUES (
    %s, %s, %s, %s, %s, %s, %s::timestamptz, %s, %s, %s, %s, %s, %s::timestamptz, %s, %s::jsonb
)
ON CONFLICT (run_id, server_id) DO UPDATE SET
    phase = excluded.phase, phase_since = excluded.phase_since, says = excluded.says,
    customer_says = excluded.customer_says, connections = excluded.connections,
    connections_source = excluded.connections_source, connections_grade = excluded.connections_grade,
    connections_at = excluded.connections_at, verdict = excluded.verdict, detail = excluded.detail
"""


_PEAK = frozenset({"peak_watch_begun", "peak_watch_over"})


_IN_SERVICE = frozenset(phase.value for phase in Phase if phase.is_staying or phase is Phase.QUEUED)
_LEFT = frozenset({Phase.VERIFYING.value, Phase.GONE.value, Phase.LEFT_OUT.value})


def _tell_of_size(run: Run, before: Sequence[Mapping[str, Any]], ways: Sequence[Mapping[str, Any]]) -> None:
    """Let the pools of a run be counted anew where a server left them or came back."""
    was = {way["server_id"]: way["phase"] for way in before}

    def is_another(server: str, phase: str) -> bool:
        before_it = was.get(server, Phase.QUEUED.value)
        return phase != before_it and (
            phase in _LEFT or (phase in _IN_SERVICE) is not (before_it in _IN_SERVICE)
        )

    if run.is_rehearsal or not any(is_another(way["server_id"], way["phase"]) for way in ways):
        return
    from django.utils import timezone

    from capacity.reports.sized import note_changed

    note_changed(run.account_id, run.plan["connection_ref"], run.plan["balancer_ids"], timezone.now())


def _tell_of_peak(run: Run, decision: Decision) -> None:
    """Put the beginning and the end of a peak watch into the outbox, where a decision journals them."""
    told = [entry for entry in decision.journal if entry.kind in _PEAK]
    if not told:
        return
    from portal.events.services import emit

    for entry in told:
        emit(
            f"run.{entry.kind}",
            account_ref=run.account.ref,
            subject_type="run",
            subject_ref=run.ref,
            data={"plan": str(run.plan_ref), **entry.detail},
        )


def draining(runs: Iterable[Run]) -> int:
    """Return how many nodes the given runs have left DRAINING, as last seen or as last asked for."""
    return sum(
        Condition.DRAINING.value in {node.confirmed.value, node.asked.value}
        for run in runs
        if run.progress
        for way in progress_from_plain(run.progress).servers
        for node in way.nodes
    )


def is_half_way(run: Run) -> bool:
    """Return whether a server of a run is on its way out just now, or on its way back."""
    progress = progress_from_plain(run.progress)
    return progress.in_flight is not None or any(way.put_back is not None for way in progress.servers)


__all__ = ["KIND", "SUBJECT", "ScaledownKind", "draining", "facts", "is_half_way", "make_kind", "project"]
