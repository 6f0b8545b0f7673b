"""Roll back: what this run did is undone in reverse; deleted servers are created anew from their images. Pure.

*Grow again* is the same step with a bound (`growing.py`): it creates only those that were approved, and the run is
complete then.

A server that is created anew has another id and other addresses. It enters its balancers DRAINING, is asked itself,
and is enabled once it answers. None is created twice: after a request that reading found not applied the run waits
until it can no longer land.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from datetime import timedelta

from portal.cloud.discovery import same_address
from portal.cloud.types import BalancerStatus, NodeStatus
from portal.frozen import replace
from portal.runs.types import Action, HaltRank, RunStatus
from scaledown import growing, late, looks, wording
from scaledown.deleting import finds_gone, is_given_up, name_what_may_live, retire
from scaledown.growing import can_create, to_create
from scaledown.progress import AnewWay, DeleteWay, NodeState, NodeWay, Progress, ServerWay
from scaledown.put_backs import out_newest_first, put_backs
from scaledown.turn import AT_ONCE_S, GONE_AFTER_S, LOOK_RESTING_S, LOOK_S, LOOK_SOON_S, Turn
from scaledown.types import Phase, PlanData, PlannedServer, ServerSeen
from scaledown.waits import MOST_TRIES, TROUBLE_S, await_balancer, await_effect, is_held_off
from scaledown.wording import Words

BUILD_S = 3600.0
"""How long a new server may take to run before a person is told; a resume gives it as long again."""
LOOK_BUILD_S = 3.0


def has_something_to_undo(progress: Progress) -> bool:
    """Return whether this run has changed anything that is not undone yet."""
    untouched = {Phase.QUEUED, Phase.SKIPPED, Phase.RESTORED}
    return any(way.phase not in untouched for way in progress.servers)


def stays_deleted(plan: PlanData, progress: Progress) -> tuple[ServerWay, ...]:
    """Return the servers that a roll back cannot bring back."""
    gone = [way for way in progress.servers if way.phase in {Phase.RETIRED, Phase.GONE}]
    return tuple(way for way in gone if can_create(plan, progress, way) is None)


def undoing_status(progress: Progress) -> RunStatus:
    """Return the status of a run that undoes all that it did, or grows again by some of it."""
    return RunStatus.ROLLING_BACK if progress.growing is None else RunStatus.GROWING


def begin_undoing(turn: Turn, why: str) -> None:
    """Undo from now on: what lives is on its way back, and no server begins any more."""
    turn.change(rolling_back=why, pause_after=None, finishing="")
    go_on_undoing(turn)
    for way in turn.progress.servers:
        if way.put_back is not None and way.put_back.to is Phase.QUEUED:
            turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, why))
    for way in out_newest_first(turn):
        if late.vanishes_until(turn, way) is None:
            turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, why))


def go_on_undoing(turn: Turn) -> None:
    """Begin to undo, or go on after a halt: what kept a server from being created is tried again."""
    turn.new_status, turn.new_halt = undoing_status(turn.progress), None
    turn.change(stopped_at=None, waiting=None, stuck=None, refusals=0, refusal_says="", busy_since=None)
    for way in turn.progress.servers:
        if way.anew is not None and way.anew.problem:
            turn.update(way, anew=replace(way.anew, problem="", tries=0))


def rolling_back(turn: Turn) -> bool:
    """Undo in reverse: put back what lives, create anew what was deleted, one at a time, then end."""
    if not turn.progress.rolling_back or turn.status is not undoing_status(turn.progress):
        return False
    why = turn.progress.rolling_back
    for way in out_newest_first(turn):
        if late.vanishes_until(turn, way) is None:
            turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, why))
    if put_backs(turn):
        return True
    for way in turn.progress.servers:
        if way.phase is Phase.QUEUED and way.put_back is None:
            turn.enter(way, Phase.SKIPPED, wording.skipped(way.name, why))
    for way in turn.progress.servers:
        if way.phase in {Phase.DELETING, Phase.CONFIRMING} and _await_deleted(turn, way):
            return True
    standstill = turn.people.standstill
    if standstill is not None and not turn.progress.giving_up:
        return turn.wait("standstill", wording.standstill(standstill), look_again_s=LOOK_RESTING_S)
    if _recreate(turn):
        return True
    open_yet = late.outstanding(turn)
    if open_yet is not None:
        return turn.wait("late_change", open_yet[1], until=open_yet[0], look_again_s=LOOK_RESTING_S)
    return _end(turn)


def _await_deleted(turn: Turn, way: ServerWay) -> bool:
    """A deletion that was accepted cannot be stopped: its server is created anew once it is gone."""
    is_gone = finds_gone(turn, way)
    way = turn.server(way.server_id)
    if is_gone:
        retire(turn, way)
        turn.look_again_s = 0.05
        return True
    if is_given_up(turn, way):
        if turn.progress.giving_up:
            return False
        # One that may live on is not created a second time beside it.
        words = wording.delete_failed(way.name)
        return turn.halt("delete_without_effect", HaltRank.DECIDE_TODAY, words, ("resume", "abort"))
    seen, delete = turn.observation.servers.get(way.server_id), way.delete or DeleteWay()
    if seen is not None and seen.is_gone:
        return turn.wait("deleting", wording.confirming(way.name), look_again_s=LOOK_SOON_S)
    since_s, task = turn.age_s(delete.accepted_at), None if seen is None else seen.task_state
    return turn.wait("deleting", wording.deleting(way.name, min(since_s, 1e6), task), look_again_s=LOOK_S)


def _recreate(turn: Turn) -> bool:
    """Go on with the one server that is being created anew, or begin the next one."""
    under_way = [way for way in turn.progress.servers if way.phase in {Phase.RECREATING, Phase.JOINING}]
    if turn.progress.giving_up:
        _give_up(turn, under_way)
        return False
    if under_way:
        return PHASES_ANEW[under_way[0].phase](turn, under_way[0])
    for way, image_id in _still_to_create(turn):
        anew = AnewWay(image_id)
        return _creating(turn, turn.enter(way, Phase.RECREATING, wording.recreating(way.name), anew=anew))
    return False


def _still_to_create(turn: Turn) -> Iterator[tuple[ServerWay, str]]:
    """Yield each deleted server that is to come back, with its image: of those that were approved, where it grows again."""
    if turn.progress.growing is not None:
        for grown in turn.progress.growing.servers:
            if (way := turn.server(grown.server_id)).phase is Phase.RETIRED:
                yield way, grown.image_id
        return
    for way in to_create(turn.plan, turn.progress):
        made = can_create(turn.plan, turn.progress, way)
        assert made is not None
        yield way, made.image_id


def _give_up(turn: Turn, under_way: Iterable[ServerWay]) -> None:
    for way in under_way:
        new = way.new_server_id
        may_come = not new and way.anew is not None and way.anew.tries > 0
        words = wording.not_recreated(way.name, turn.progress.giving_up, new, may_come=may_come)
        turn.enter(way, Phase.RETIRED, words)
        turn.note("not_recreated", words, way.server_id, made=new)


def _left_new(progress: Progress) -> str:
    """Return the new servers that were made and never came to serve, by the names of those that they were to replace."""
    return ", ".join(
        f"{way.name} ({way.new_server_id})"
        for way in progress.servers
        if way.phase is Phase.RETIRED and way.new_server_id
    )


def _stuck(turn: Turn, way: ServerWay, why: str) -> bool:
    """What keeps a server from being created anew is asked of a person; nothing is tried behind their back."""
    words = wording.cannot_recreate(way.name, why)
    if way.anew is not None and way.anew.problem != why:
        way = turn.update(way, anew=replace(way.anew, problem=why))
    turn.tell(way, words)
    return turn.halt("cannot_recreate", HaltRank.DECIDE_TODAY, words, ("retry", "resume", "abort"))


def _creating(turn: Turn, way: ServerWay) -> bool:
    anew = way.anew
    assert anew is not None
    if anew.problem:
        return _stuck(turn, way, anew.problem)
    if anew.server_id is not None:
        return _building(turn, way, anew, anew.server_id)
    words = wording.recreating(way.name)
    if anew.late_at is not None and turn.now <= anew.late_at + timedelta(seconds=late.LATE_S):
        until = anew.late_at + timedelta(seconds=late.LATE_S)
        return turn.wait("late_change", wording.create_may_land(way.name, until), until=until)
    if anew.accepted_at is not None or _creates_blindly(turn, anew):
        return turn.wait("create_look", words, limit_s=TROUBLE_S)
    if turn.progress.growing is not None and turn.facts.growth_stands is None:
        # What the database said when this lease was claimed was asked before the run grew again.
        return turn.wait("growth_approval", words, limit_s=TROUBLE_S, look_again_s=AT_ONCE_S)
    if problem := approval_problem(turn):
        return _stuck(turn, way, problem)
    image = turn.observation.images.get(anew.image_id)
    if image is None or image.is_gone or image.status != "ACTIVE":
        return turn.wait("create_image_look", words, limit_s=TROUBLE_S)
    if anew.tries >= MOST_TRIES:
        return _stuck(turn, way, f"It was asked for {anew.tries} times and does not show.")
    if anew.next_try_at is not None and turn.now < anew.next_try_at:
        return turn.wait("create_retry", words, until=anew.next_try_at)
    if is_held_off(turn):
        return True
    planned = turn.planned(way.server_id)
    words = wording.create_server(way.name, image.name)
    way = turn.tell(turn.update(way, anew=replace(anew, tries=anew.tries + 1, late_at=None)), words)
    args = {
        "server_id": way.server_id,
        "name": way.name,
        "flavor_id": planned.flavor_id,
        "image_id": anew.image_id,
    }
    what = wording.customer_change("create_server", way.name)
    return turn.send(Action("create_server", way.server_id, words.says, args, customer_says=what), words)


def approval_problem(turn: Turn) -> str:
    """Return why nothing may be created now, or "": a roll back rests on the plan's approval, growing again on its own."""
    facts = turn.facts
    if turn.progress.growing is not None:
        says = facts.growth_problem or "The approval of growing again no longer stands."
        return says if facts.growth_stands is False else ""
    says = facts.approval_problem or "The approval of this plan no longer stands."
    return "" if facts.approval_stands else says


def _creates_blindly(turn: Turn, anew: AnewWay) -> bool:
    """Whether a server was asked for before and nobody has looked at all servers since."""
    return bool(anew.tries) and turn.observation.made is None


def _building(turn: Turn, way: ServerWay, anew: AnewWay, server_id: str) -> bool:
    seen = turn.observation.servers.get(server_id)
    words = wording.building(way.name, server_id)
    turn.tell(way, words)
    if seen is None:
        return turn.wait("build_look", words, limit_s=TROUBLE_S)
    if seen.is_gone:
        return _vanished(turn, way, anew, seen)
    if seen.status == "ERROR":
        return _stuck(
            turn, way, f"The new server {server_id} is in ERROR. Delete it at the provider, then resume."
        )
    if seen.status != "ACTIVE" or seen.task_state is not None:
        return turn.wait("build", words, limit_s=BUILD_S, look_again_s=LOOK_BUILD_S)
    nodes = new_nodes(turn.planned(way.server_id), seen)
    if nodes is None:
        return _stuck(
            turn, way, f"The new server {server_id} has no address like the one that served before."
        )
    way = turn.update(way, anew=replace(anew, running_at=turn.now, missing_since=None), nodes=nodes)
    turn.enter(way, Phase.JOINING, wording.joining(way.name))
    turn.look_again_s = 0.05
    return True


def _vanished(turn: Turn, way: ServerWay, anew: AnewWay, seen: ServerSeen) -> bool:
    since = anew.missing_since or seen.observed_at
    turn.update(way, anew=replace(anew, missing_since=since))
    if (seen.observed_at - since).total_seconds() < GONE_AFTER_S or not _is_unlisted(turn, anew):
        return turn.wait("build_look", wording.missing(way.name), limit_s=TROUBLE_S)
    # Counted as a try: all servers are looked at before another one is asked for.
    way = turn.update(way, anew=AnewWay(anew.image_id, tries=1))
    return _stuck(turn, way, f"The new server {anew.server_id} is gone. Resume to have another one created.")


def _is_unlisted(turn: Turn, anew: AnewWay) -> bool:
    """Whether a complete list of all servers lacks it: a look at its id alone has said "not found" of what was there."""
    return turn.observation.listed is not None and anew.server_id not in turn.observation.listed


def _await_new_server(turn: Turn, way: ServerWay, anew: AnewWay, words: Words) -> bool:
    """Wait for, or ask about, a new server that is not as it was built; its address may be another's by now.

    Settles the tick where it is not there, running and at the addresses of its nodes by a fresh look.
    """
    seen = turn.observation.servers.get(anew.server_id or "")
    if seen is None or turn.age_s(seen.observed_at) > looks.LOOK_MAX_AGE_S:
        return turn.wait("build_look", words, limit_s=TROUBLE_S)
    if seen.is_gone:
        since = anew.missing_since or seen.observed_at
        turn.update(way, anew=replace(anew, missing_since=since))
        if (seen.observed_at - since).total_seconds() < GONE_AFTER_S or not _is_unlisted(turn, anew):
            return turn.wait("build_look", wording.missing(way.name), limit_s=TROUBLE_S)
        why = f"The new server {anew.server_id} is gone. Take its nodes out at the provider, then abort."
        return _stuck(turn, turn.server(way.server_id), why)
    if anew.missing_since is not None:
        turn.update(way, anew=replace(anew, missing_since=None))
    here = {same_address(address) for address in seen.addresses}
    moved = [node.address for node in way.nodes if same_address(node.address) not in here]
    if moved:
        return _stuck(
            turn,
            turn.server(way.server_id),
            f"The new server {anew.server_id} is not at {moved[0]} any more.",
        )
    if seen.status != "ACTIVE" or seen.task_state is not None:
        return turn.wait("build", words, limit_s=BUILD_S)
    return False


def new_nodes(planned: PlannedServer, seen: ServerSeen) -> tuple[NodeWay, ...] | None:
    """Return the nodes of a server with the addresses of the new one in place of its own; None where none is alike."""
    found = []
    for node in planned.nodes:
        address = _alike(node.address, seen.addresses)
        if address is None:
            return None
        absent = NodeState.ABSENT
        found.append(
            NodeWay(node.balancer_id, "", address, node.port, node.type, node.weight, absent, absent)
        )
    return tuple(found)


def _alike(old: str, addresses: Iterable[str]) -> str | None:
    """Return the first address of the same version and of the same reach, private or public."""

    def kind(text: str) -> tuple[int, bool] | None:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return None
        private = any(address in net for net in _PRIVATE if net.version == address.version)
        return address.version, private

    wanted = kind(old)
    return next((one for one in addresses if wanted is not None and kind(one) == wanted), None)


_PRIVATE = tuple(
    ipaddress.ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)


def _joining(turn: Turn, way: ServerWay) -> bool:
    """Add the nodes DRAINING, ask the server itself, then enable them (spec, *People's commands*)."""
    anew = way.anew
    assert anew is not None
    if anew.problem:
        return _stuck(turn, way, anew.problem)
    words = wording.joining(way.name)
    if _await_new_server(turn, way, anew, words):
        return True
    way = turn.server(way.server_id)
    anew = way.anew or anew
    for node in way.nodes:
        balancer = turn.observation.balancers.get(node.balancer_id)
        if balancer is None or turn.age_s(balancer.observed_at) > looks.LOOK_MAX_AGE_S:
            return turn.wait("sight", words, look_again_s=LOOK_S)
        if node.is_foreign:
            return _stuck(turn, way, f"Another hand changed its node on {balancer.name}.")
        if not node.is_settled:
            return await_effect(turn, way, node)
        if node.confirmed is not NodeState.ABSENT:
            continue
        if balancer.status is not BalancerStatus.ACTIVE:
            return await_balancer(turn, way, balancer)
        if is_held_off(turn):
            return True
        return turn.ask_node(way, node, NodeState.DRAINING, wording.add_anew(way.name, balancer.name))
    if anew.answered_at is None:
        if not _answers(turn, way, anew):
            turn.tell(way, words)
            return turn.wait("join_answer", words, limit_s=TROUBLE_S)
        way = turn.update(way, anew=replace(anew, answered_at=turn.now))
    for node in way.nodes:
        balancer = turn.observation.balancers[node.balancer_id]
        if node.confirmed is NodeState.ENABLED:
            continue
        if balancer.status is not BalancerStatus.ACTIVE:
            return await_balancer(turn, way, balancer)
        if is_held_off(turn):
            return True
        words = wording.enable_anew(way.name, balancer.name)
        return turn.ask_node(way, node, NodeState.ENABLED, words)
    turn.enter(way, Phase.RECREATED, wording.recreated(way.name, anew.server_id or ""))
    turn.look_again_s = 0.05
    return True


def _answers(turn: Turn, way: ServerWay, anew: AnewWay) -> bool:
    """Whether a new server answers: itself, or, where it may not be asked, to the monitor of each of its balancers."""
    if anew.server_id is None or anew.server_id not in turn.observation.direct:
        return False
    answered = turn.observation.direct[anew.server_id]
    if answered is not None:
        return answered
    for node in way.nodes:
        balancer = turn.observation.balancers[node.balancer_id]
        seen = looks.find_node(balancer, node)
        if not balancer.has_health_monitor or seen is None or seen.status is not NodeStatus.ONLINE:
            return False
    return True


PHASES_ANEW = {Phase.RECREATING: _creating, Phase.JOINING: _joining}


def _end(turn: Turn) -> bool:
    if turn.people.status is not undoing_status(turn.progress):
        # Asked for in this very turn, with nothing to undo: a run is undone first, and over then.
        turn.look_again_s = AT_ONCE_S
        return True
    progress = turn.progress
    back = sum(way.phase is Phase.RESTORED for way in progress.servers)
    anew = sum(way.phase is Phase.RECREATED for way in progress.servers)
    if progress.growing is not None:
        serving = len(looks.serving_anywhere(turn.plan, turn.progress, turn.observation)) + anew
        words = growing.grown(
            progress.growing,
            anew,
            back,
            serving,
            progress.giving_up,
            name_what_may_live(turn),
            progress.names_in(Phase.LEFT_OUT),
            _left_new(progress),
        )
        turn.new_status, turn.new_halt, because = RunStatus.COMPLETED, None, "grown_again"
    else:
        deleted, gone, left_out = (
            progress.names_in(phase) for phase in (Phase.RETIRED, Phase.GONE, Phase.LEFT_OUT)
        )
        words = wording.rolled_back(
            back, anew, deleted, gone, name_what_may_live(turn), left_out, _left_new(progress)
        )
        turn.new_status, turn.new_halt, because = RunStatus.ROLLED_BACK, None, "rolled_back"
    turn.change(
        ended_because=because,
        says=words.says,
        customer_says=words.customer_says,
        until=None,
        waiting=None,
    )
    return True
