"""Before the first change: the pool must be what was approved; and the rehearsal, which changes nothing. Pure."""

from __future__ import annotations

from portal.cloud.types import BalancerStatus
from portal.runs.types import Action, HaltRank, RunStatus
from scaledown import alarms, hours, looks, wording
from scaledown.notice import accept_pool
from scaledown.planner import so_many_servers
from scaledown.progress import NodeState, ServerWay
from scaledown.turn import LOOK_S, Turn
from scaledown.types import ImageRule, Phase
from scaledown.wording import Words

LOOK_AHEAD_S = 30.0
PREFLIGHT_S = 1800.0


def before_start(turn: Turn) -> bool:
    """Pre-flight: the pool is read afresh and must be what was approved."""
    if turn.status is RunStatus.RUNNING and not turn.progress.preflight_due:
        return False
    opens = hours.begins_at(turn.plan, turn.now)
    if opens > turn.now:
        if turn.status is RunStatus.SCHEDULED:
            return turn.wait("window", wording.starts_at(opens), until=opens, look_again_s=LOOK_AHEAD_S)
        return False  # it is made as the window opens; what is in hand or held goes on
    if turn.facts.freeze and not turn.people.is_rehearsal:
        words = wording.frozen(turn.facts.freeze, ends=turn.facts.freeze_until is not None)
        if turn.facts.freeze_until is None:
            # Nobody knows when that ends: who is in charge is told, and a lead may resume all the same.
            return turn.wait("preflight", words, limit_s=PREFLIGHT_S, rank=HaltRank.SAFE_WAITING)
        return turn.wait("freeze", words, until=turn.facts.freeze_until, look_again_s=LOOK_AHEAD_S)
    if turn.facts.nobody_to_call and not turn.people.is_rehearsal:
        words = wording.nobody_to_call(turn.facts.nobody_to_call)
        return turn.wait("nobody_to_call", words, look_again_s=LOOK_AHEAD_S)
    not_ready = _unready(turn)
    if not_ready:
        return turn.wait(
            "preflight", wording.not_ready(not_ready), limit_s=PREFLIGHT_S, rank=HaltRank.SAFE_WAITING
        )
    difference = _pool_difference(turn)
    if difference:
        looked = turn.progress.differs_looks + 1 if turn.progress.differs == difference else 1
        turn.change(differs=difference, differs_looks=looked)
        if looked < 2:
            return turn.wait("preflight", wording.looking_before_start(), look_again_s=LOOK_S)
        return not_as_approved(turn, difference)
    if fewer := _fewer(turn):
        return turn.wait(
            "preflight", wording.not_ready(fewer), limit_s=PREFLIGHT_S, rank=HaltRank.SAFE_WAITING
        )
    return _begin_run(turn)


def _unready(turn: Turn) -> str:
    """Return what cannot be judged yet, or ""."""
    plan, observation = turn.plan, turn.observation
    wanted = [*plan.servers, *plan.remaining]
    if turn.progress.started_at is not None:
        wanted = [
            s for s in wanted if (w := turn.progress.server(s.server_id)) is None or not w.phase.is_final
        ]
    missing = [server.name for server in wanted if server.server_id not in observation.servers]
    if missing:
        return f"{', '.join(missing[:3])} could not be read at the provider."
    for balancer_id in plan.balancer_ids:
        balancer = observation.balancers[balancer_id]
        if balancer.status is not BalancerStatus.ACTIVE:
            return f"{balancer.name} is {balancer.status.value}."
    seen = {probe.name: probe for probe in observation.probes}
    for probe in plan.probes:
        found = seen.get(probe.name)
        if found is None or found.ok is None:
            return f"Probe {probe.name} could not be made."
        if not found.ok:
            return f"Probe {probe.name} fails."
    fires = _alarmed(turn)
    if fires:
        return fires
    broken = looks.floor_breaks(plan, turn.progress, observation, turn.now)
    if broken and turn.progress.started_at is None:
        return f"Only {broken[0][1]} servers serve; the floor is {plan.floor}."
    return ""


def _alarmed(turn: Turn) -> str:
    """Return that an alarm of what serves fires that the approvers did not see, or that nobody can tell; or ""."""
    plan, fired = turn.plan, turn.observation.alarms
    if fired is None:
        if plan.alarms is None:
            return ""  # it could not be read before either, and was approved so
        return "The provider's monitoring could not be asked which alarms fire."
    ways = {way.server_id: way.phase for way in turn.progress.servers}
    serve = [
        one
        for one in (*plan.servers, *plan.remaining)
        if ways.get(one.server_id, Phase.QUEUED) is Phase.QUEUED
    ]
    balancers = turn.observation.balancers.values()
    places = [
        *(place for balancer in balancers for place in balancer.virtual_ips),
        *(place for one in serve for place in one.addresses),
    ]
    new = alarms.beyond(alarms.of_pool(fired, {one.server_id for one in serve}, places), plan.alarms or ())
    if not new:
        return ""
    return (
        f"{'An alarm fires' if len(new) == 1 else f'{len(new)} alarms fire'} that nobody approved: {alarms.named(new)}. "
        "Mend what it tells, or copy the plan, which shows it to the approvers."
    )


def _fewer(turn: Turn) -> str:
    """Return that fewer servers are in service than were as the target was chosen, or "": it would leave fewer than approved.

    As they were counted then: a server is in service where it is on all of its balancers.
    """
    plan = turn.plan
    if turn.progress.started_at is not None:
        return ""  # in mid-run the nodes are watched on every tick (`notice_nodes`)
    on = {
        balancer_id: looks.serving(plan, turn.progress, turn.observation.balancers[balancer_id])
        for balancer_id in plan.balancer_ids
    }
    all_servers = (*plan.servers, *plan.remaining)
    serve = sum(all(one.server_id in on[node.balancer_id] for node in one.nodes) for one in all_servers)
    did = plan.target + len(plan.servers)
    if serve >= did:
        return ""
    return f"Only {so_many_servers(serve)} in service; there were {did} as this was drawn up. Put back what is missing, or copy the plan."


def _pool_difference(turn: Turn) -> str:
    """Return in what the pool differs from what was approved, or ""."""
    plan, observation = turn.plan, turn.observation
    started = turn.progress.started_at is not None
    for server in (*plan.servers, *plan.remaining):
        way = turn.progress.server(server.server_id)
        if started and way is not None and way.phase.is_final:
            continue
        seen = observation.servers[server.server_id]
        if started and way is not None and (seen.is_gone or seen.task_state == "deleting"):
            # Whoever deletes it, it is watched (`deleting`, `notice`); and its addresses go before it does.
            continue
        if seen.is_gone:
            return f"{server.name} no longer exists."
        difference = looks.identity_difference(server, seen)
        if difference:
            return difference
        if started:
            continue  # in mid-run the nodes are watched on every tick (`notice_nodes`)
        for node in server.nodes:
            balancer = observation.balancers[node.balancer_id]
            found = next((n for n in balancer.nodes if n.node_id == node.node_id), None)
            where = f"The node of {server.name} ({node.address}:{node.port}) on {balancer.name}"
            if found is None or (found.address, found.port) != (node.address, node.port):
                return f"{where} is not there any more."
            if found.type is not node.type:
                return f"{where} is now {found.type.value}."
            if None not in (found.weight, node.weight) and found.weight != node.weight:
                return f"{where} has weight {found.weight}, not {node.weight}."
            if found.condition.value != NodeState.ENABLED and way is not None:
                return f"{where} is {found.condition.value}."
    if started:
        return ""
    known = {
        f"{n.balancer_id}/{n.address}:{n.port}" for s in (*plan.servers, *plan.remaining) for n in s.nodes
    }
    known |= set(plan.strays)
    for balancer_id in plan.balancer_ids:
        balancer = observation.balancers[balancer_id]
        for found in balancer.nodes:
            if f"{balancer_id}/{found.address}:{found.port}" not in known:
                return f"{balancer.name} has a node {found.address}:{found.port} that the plan does not know."
    return ""


def not_as_approved(turn: Turn, difference: str) -> bool:
    has_begun = turn.progress.started_at is not None
    words = wording.pool_changed_since(difference) if has_begun else wording.pool_changed(difference)
    turn.note("pool_changed", words, difference=difference)
    if has_begun:
        return turn.halt("pool_changed", HaltRank.DECIDE_TODAY, words, ("abort",))
    turn.new_status, turn.new_halt = RunStatus.ABORTED, None
    turn.change(
        ended_because="pool_changed",
        says=words.says,
        customer_says=words.customer_says,
        until=None,
        waiting=None,
    )
    return True


def _begin_run(turn: Turn) -> bool:
    plan = turn.plan
    if turn.progress.started_at is None:
        words = wording.started(len(plan.servers), plan.target)
        turn.note("preflight_good", words)
        accept_pool(turn)
        turn.change(started_at=turn.now, says=words.says, customer_says=words.customer_says)
    else:
        words = Words("A fresh pre-flight is good.", "Everything was checked again.")
        turn.note("preflight_good", words)
    turn.change(
        preflight_due=False, preflight_at=turn.now, waiting=None, stuck=None, differs="", differs_looks=0
    )
    turn.new_status = RunStatus.RUNNING
    turn.look_again_s = 0.05
    return True


def rehearse(turn: Turn) -> bool:
    """In a rehearsal: show, on the first server, every change that would be sent. Nothing is waited for."""
    if not turn.people.is_rehearsal:
        return False
    way = turn.progress.servers[0] if turn.progress.servers else None
    steps = [] if way is None else _rehearsal_steps(turn, way)
    if turn.progress.rehearsed >= len(steps):
        words = Words(
            f"Rehearsal complete: {len(steps)} changes would have been sent for the first server.",
            "The rehearsal is finished; nothing was changed.",
        )
        turn.new_status = RunStatus.COMPLETED
        turn.change(ended_because="rehearsed", says=words.says, customer_says=words.customer_says)
        return True
    action = steps[turn.progress.rehearsed]
    return turn.send(action, wording.rehearsed(action.says))


def _rehearsal_steps(turn: Turn, way: ServerWay) -> list[Action]:
    steps: list[Action] = []
    for name, verb in (("drain_node", "Drain"), ("remove_node", "Remove")):
        for node in way.nodes:
            args = {
                "server_id": way.server_id,
                "balancer_id": node.balancer_id,
                "node_id": node.node_id,
                "address": node.address,
                "port": node.port,
                "state": NodeState.DRAINING.value if name == "drain_node" else NodeState.ABSENT.value,
            }
            says = f"{verb} {way.name} on {node.balancer_id}."
            what = wording.customer_change(name, way.name)
            steps.append(Action(name, way.server_id, says, args, customer_says=what))
    if turn.plan.stop_s:
        stop_args = {"server_id": way.server_id, "name": way.name}
        what = wording.customer_change("stop_server", way.name)
        says = wording.stop(way.name).says
        steps.append(Action("stop_server", way.server_id, says, stop_args, customer_says=what))
    if turn.plan.images is not ImageRule.NONE:
        keep_until = turn.after(turn.plan.images_kept_s).isoformat()
        image_args = {"server_id": way.server_id, "name": way.name, "keep_until": keep_until}
        what = wording.customer_change("create_image", way.name)
        says = wording.create_image(way.name).says
        steps.append(Action("create_image", way.server_id, says, image_args, customer_says=what))
    delete_args = {"server_id": way.server_id, "name": way.name}
    what = wording.customer_change("delete_server", way.name)
    last = Action("delete_server", way.server_id, f"Delete {way.name}.", delete_args, customer_says=what)
    return [*steps, last]
