"""What the run engine calls for a drill: gather one look, carry out one decided change. Deciding is `machine.py`'s.

What cannot be read is absent from the look, with a sentence in `problems`. An action is exactly one call at the provider.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from capacity.probes import ProbeResult, ProbeSpec, run_probe
from drills import machine
from drills.turn import DrillDecision
from drills.types import (
    Answered,
    BalancerSeen,
    Called,
    DrillPlan,
    DrillProbe,
    Facts,
    Look,
    NodeSeen,
    People,
    Progress,
    Seen,
    ServerSeen,
    new_progress,
    plan_from_plain,
    progress_from_plain,
    progress_to_plain,
)
from portal.cloud.connect import Credentials, cloud_for
from portal.cloud.guarded import read_or_say
from portal.cloud.protocol import Cloud
from portal.cloud.types import Balancer, Condition, Done, Server, Withheld
from portal.errors import TryLater
from portal.runs.types import Action, Decision, Outcome, OutcomeKind, RunStatus, RunView

KIND = "drill"
READ_S = 6.0
PLANS_KEPT = 200
T = TypeVar("T")
CloudFor = Callable[[RunView], Cloud]
ProbeWith = Callable[[ProbeSpec, datetime], Awaitable[ProbeResult]]


def connected_cloud(view: RunView) -> Cloud:
    """Return the client for a run."""
    credentials = view.facts["credentials"]
    assert isinstance(credentials, Credentials)
    return cloud_for(credentials)


@dataclass
class _Looking:
    """What one look has gathered so far; each reader writes its own part."""

    balancers: dict[str, BalancerSeen] = field(default_factory=dict)
    servers: dict[str, ServerSeen] = field(default_factory=dict)
    probes: list[Seen] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class DrillRun:
    """A drill as the engine sees it (`portal.runs.types.RunKind`). The readers are arguments, so that a test can stand in."""

    name = KIND
    call_deadline_s = 12.0
    observe_deadline_s = 14.0
    look_max_age_s = 10.0

    def __init__(
        self,
        *,
        cloud: CloudFor = connected_cloud,
        probe: ProbeWith = run_probe,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cloud = cloud
        self.probe = probe
        self.monotonic = monotonic
        self._plans: dict[tuple[str, str], DrillPlan] = {}

    def plan_of(self, view: RunView) -> DrillPlan:
        """Return the run's plan. It is frozen with its digest, so that it is read once per worker child."""
        key = (view.ref, view.digest)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            plan = self._plans[key] = plan_from_plain(view.plan)
        return plan

    def progress_of(self, view: RunView) -> Progress:
        """Return the run's progress, a new one before its first look."""
        return progress_from_plain(view.progress) if view.progress else new_progress(self.plan_of(view))

    # Reading

    async def observe(self, view: RunView) -> Look:
        """Return one fresh look at pool, targets and site."""
        plan = self.plan_of(view)
        began = self.monotonic()

        def clock() -> datetime:
            return view.now + timedelta(seconds=max(0.0, self.monotonic() - began))

        if view.status is RunStatus.SCHEDULED and view.now < plan.not_before:
            return Look(view.now)
        looking = _Looking()
        await asyncio.gather(*self._reads(view, plan, looking, clock))
        return Look(
            at=view.now,
            balancers=looking.balancers,
            servers=looking.servers,
            probes=tuple(sorted(looking.probes, key=lambda one: one.probe)),
            problems=tuple(looking.problems),
        )

    def _reads(
        self, view: RunView, plan: DrillPlan, looking: _Looking, clock: Callable[[], datetime]
    ) -> Iterable[Awaitable[None]]:
        if plan.hits:
            cloud = self.cloud(view)
            for balancer_id in plan.balancer_ids:
                yield self._balancer(cloud, balancer_id, looking, clock)
            for target in plan.targets:
                yield self._server(cloud, target.server_id, looking, clock)
        networks: tuple[str, ...] = view.facts.get("networks", ())
        for probe in plan.probes:
            yield self._probe(probe, networks, looking, clock)

    async def _guarded(self, what: str, read: Awaitable[T], looking: _Looking) -> tuple[bool, T | None]:
        return await read_or_say(what, read, looking.problems, limit_s=READ_S)

    async def _balancer(
        self, cloud: Cloud, balancer_id: str, looking: _Looking, clock: Callable[[], datetime]
    ) -> None:
        at = clock()
        _, seen = await self._guarded(
            f"Load balancer {balancer_id}", cloud.show_balancer(balancer_id), looking
        )
        if seen is not None:
            looking.balancers[balancer_id] = balancer_seen(seen, at)

    async def _server(
        self, cloud: Cloud, server_id: str, looking: _Looking, clock: Callable[[], datetime]
    ) -> None:
        at = clock()
        could, seen = await self._guarded(f"Server {server_id}", cloud.show_server(server_id), looking)
        if could:
            looking.servers[server_id] = server_seen(server_id, seen, at)

    async def _probe(
        self,
        probe: DrillProbe,
        networks: tuple[str, ...],
        looking: _Looking,
        clock: Callable[[], datetime],
    ) -> None:
        spec = ProbeSpec(
            name=probe.name,
            url=probe.url,
            method=probe.method,
            expected_status_low=probe.expected_status_low,
            expected_status_high=probe.expected_status_high,
            must_contain=probe.must_contain or None,
            timeout_s=probe.timeout_s,
            networks=networks,
        )
        result = await self.probe(spec, clock())
        looking.probes.append(Seen(probe.name, result.observed_at, result.ok, result.latency_ms))

    # Deciding

    def decide(self, view: RunView, observation: Look) -> Decision:
        """Return what is to be done next (`machine.decide`)."""
        plan, progress = self.plan_of(view), self.progress_of(view)
        return _decision(
            machine.decide(plan, progress, observation, _people_of(view), facts_of(view), view.now)
        )

    def effect(self, action: Action, observation: Look) -> bool | None:
        """Return whether a doubtful change shows (`machine.effect`)."""
        return machine.effect(action, observation)

    def settle(self, view: RunView, action: Action, outcome: Outcome) -> Decision:
        """Return what an outcome means (`machine.settle`)."""
        if outcome.kind is OutcomeKind.TRY_LATER and outcome.after_s is None:
            return self._settled(view, action, outcome, outcome.detail.get("after_s"))
        return self._settled(view, action, outcome, outcome.after_s)

    def _settled(self, view: RunView, action: Action, outcome: Outcome, after_s: float | None) -> Decision:
        plan, progress = self.plan_of(view), self.progress_of(view)
        return _decision(
            machine.settle(plan, progress, _people_of(view), action, outcome, view.now, after_s=after_s)
        )

    # Acting

    async def act(self, view: RunView, action: Action, *, not_after: float) -> Outcome:
        """Carry out one change with exactly one call. Raises Refused, InDoubt or ProviderFailed.

        "Try later" is an outcome here and no exception: the drill goes on watching while it waits.
        """
        try:
            done = await _call(self.cloud(view), action, not_after)
        except TryLater as later:
            return Outcome(OutcomeKind.TRY_LATER, later.says, later.code, detail={"after_s": later.after_s})
        if isinstance(done, Withheld):
            return Outcome(OutcomeKind.WITHHELD, "Withheld: nothing was sent.")
        return Outcome(OutcomeKind.DONE, detail=dict(done.detail))


async def _call(cloud: Cloud, action: Action, not_after: float) -> Done | Withheld:
    """Match a decided change to one call of the provider."""
    args = action.args
    match action.name:
        case "reboot":
            return await cloud.reboot_server(
                args["server_id"], hard=args["type"] == "HARD", not_after=not_after
            )
        case "stop_server":
            return await cloud.stop_server(args["server_id"], not_after=not_after)
        case "start_server":
            return await cloud.start_server(args["server_id"], not_after=not_after)
        case "disable_node" | "enable_node":
            condition = Condition.ENABLED if action.name == "enable_node" else Condition.DISABLED
            return await cloud.set_condition(
                args["balancer_id"], args["node_id"], condition, not_after=not_after
            )
    raise ValueError(f"A drill has no action {action.name!r}.")


# --- translations -----------------------------------------------------------------------------------------


def _decision(decided: DrillDecision) -> Decision:
    return Decision(
        progress=progress_to_plain(decided.progress),
        action=decided.action,
        status=decided.status,
        halt=decided.halt,
        journal=decided.journal,
        samples=decided.samples,
        answers=decided.answers,
        look_again_s=decided.look_again_s,
        sets_aside=decided.sets_aside,
    )


def balancer_seen(balancer: Balancer, at: datetime) -> BalancerSeen:
    """Return a balancer of the provider as the machine sees it."""
    return BalancerSeen(
        balancer_id=balancer.id,
        name=balancer.name,
        status=balancer.status,
        nodes=tuple(
            NodeSeen(one.id, one.address, one.port, one.condition, one.status, one.type)
            for one in balancer.nodes
        ),
        has_health_monitor=balancer.has_health_monitor,
        observed_at=at,
    )


def server_seen(server_id: str, server: Server | None, at: datetime) -> ServerSeen:
    """Return a server of the provider as the machine sees it; None means that the provider said 404."""
    if server is None:
        return ServerSeen(server_id, True, "", "DELETED", None, None, (), None, at)
    return ServerSeen(
        server_id=server.id,
        is_gone=server.is_deleted,
        name=server.name,
        status=server.status,
        task_state=server.task_state,
        created_at=server.created_at,
        addresses=server.addresses,
        is_locked=server.is_locked,
        observed_at=at,
    )


def _people_of(view: RunView) -> People:
    return People(view.status, view.commands, view.standstill, view.halt, view.doubt)


def facts_of(view: RunView) -> Facts:
    """Return what the claiming transaction read, as the machine sees it."""
    found: Mapping[str, Any] = view.facts
    called = found.get("called")
    return Facts(
        approval_problem=str(found.get("approval_problem", "")),
        freeze=str(found.get("freeze", "")),
        not_ready=str(found.get("not_ready", "")),
        protected=frozenset(found.get("protected", ())),
        called=called if isinstance(called, Called) else None,
        answers=tuple(one for one in found.get("answers", ()) if isinstance(one, Answered)),
    )


def make_kind() -> DrillRun:
    """Return the kind for one worker child."""
    return DrillRun()
