"""What a fresh look changes in what the run believes: nodes, servers, load, probes. Decides nothing.

Each function takes a `Turn`, reads its observation and replaces its progress. Unknown stays unknown.
"""

from __future__ import annotations

from datetime import datetime

from portal.cloud.types import BalancerStatus
from portal.frozen import replace
from portal.runs.types import RunStatus
from scaledown import late, looks, wording
from scaledown.answers import notice_before
from scaledown.deleting import hold_ends
from scaledown.late import LATE_S
from scaledown.peak import is_watching, notice_peak
from scaledown.progress import (
    DeleteWay,
    ImageLost,
    ImageMade,
    KeptServer,
    Meter,
    NodeState,
    NodeWay,
    ServerWay,
)
from scaledown.silence import notice_own_traffic
from scaledown.turn import GONE_AFTER_S, Turn
from scaledown.types import BalancerSeen, Phase
from scaledown.wording import Words


def notice(turn: Turn) -> None:
    """Take in everything that this look shows."""
    notice_sight(turn)
    notice_nodes(turn)
    notice_new_nodes(turn)
    notice_load(turn)
    notice_own_traffic(turn)
    notice_probes(turn)
    notice_power(turn)
    notice_images(turn)
    notice_before(turn)
    notice_made(turn)
    notice_landed_deletions(turn)
    notice_deletions(turn)
    notice_gone_servers(turn)
    notice_peak(turn)


def notice_site(turn: Turn) -> None:
    """Take in how the site is, and nothing of what is being changed (a doubt is open)."""
    notice_sight(turn)
    notice_load(turn)
    notice_probes(turn)


def notice_sight(turn: Turn) -> None:
    """Remember when the whole pool was last seen, and which balancers have no health monitor."""
    observation, plan = turn.observation, turn.plan
    if not looks.unseen(plan, observation, turn.now):
        turn.change(sighted_at=turn.now)
    since = turn.progress.balancers_missing_since
    missing = {b: since.get(b, turn.now) for b in sorted(observation.missing_balancers)}
    # One that could not be read at all was not found either: it is as it was.
    missing |= {b: at for b, at in since.items() if b not in observation.balancers and b not in missing}
    if missing != since:
        turn.change(balancers_missing_since=missing)
    bare = {b for b in turn.progress.unmonitored if b not in observation.balancers}
    bare |= {b for b, seen in observation.balancers.items() if not seen.has_health_monitor}
    if tuple(sorted(bare)) != turn.progress.unmonitored:
        turn.change(unmonitored=tuple(sorted(bare)))
    for balancer_id, balancer in observation.balancers.items():
        count = len(
            looks.serving(plan, turn.progress, balancer) | looks.serving_anew(turn.progress, balancer)
        )
        turn.sample(f"serving:{balancer_id}", count, balancer.observed_at)


# --- nodes ----------------------------------------------------------------------------------------------

_NODES_LEFT_ALONE = frozenset({Phase.RETIRED, Phase.GONE, Phase.LEFT_OUT, Phase.RECREATING})


def notice_nodes(turn: Turn) -> None:
    """Confirm what we asked for, and find what another hand changed (invariant 5).

    Only a look at a balancer that takes changes tells: while it applies one, it may show either state.
    """
    if turn.progress.preflight_due and turn.progress.started_at is None:
        return
    for way in turn.progress.servers:
        # The address of a deleted server may be given to another one: its nodes are not ours any more.
        if way.phase in _NODES_LEFT_ALONE:
            continue
        for node in way.nodes:
            seen = _settled_look(turn, node)
            if seen is not None:
                _notice_planned_node(turn, turn.server(way.server_id), node, seen)
    kept = tuple(
        replace(server, nodes=tuple(_notice_kept_node(turn, server, node) for node in server.nodes))
        for server in turn.progress.kept
    )
    if kept != turn.progress.kept:
        turn.change(kept=kept)


def _settled_look(turn: Turn, node: NodeWay) -> BalancerSeen | None:
    balancer = turn.observation.balancers.get(node.balancer_id)
    if balancer is None or balancer.status is not BalancerStatus.ACTIVE or node.is_foreign:
        return None
    return balancer


def _notice_planned_node(turn: Turn, way: ServerWay, node: NodeWay, balancer: BalancerSeen) -> None:
    state = looks.node_state(balancer, node)
    seen = looks.find_node(balancer, node)
    may_land = NodeState.ENABLED in node.late and turn.age_s(node.lands_since) <= LATE_S
    came_back = node.confirmed is NodeState.ABSENT or may_land
    difference = _difference(node, balancer, may_be_new=came_back)
    if state is node.asked and not difference:
        if not node.is_settled or (seen is not None and seen.node_id != node.node_id):
            turn.change(stuck=None)  # what was asked for shows: the run moves on
            turn.update_node(
                way,
                node,
                confirmed=state,
                tries=0,
                asked_at=node.asked_at,
                node_id=node.node_id if seen is None else seen.node_id,
            )
        return
    if state is node.confirmed and not difference:
        return
    if state is NodeState.ABSENT and way.phase in {Phase.DELETING, Phase.CONFIRMING}:
        # Its server is being deleted: whoever takes out a node that was left does what is right.
        turn.update_node(way, node, confirmed=state, asked=state)
        return
    if state in node.late and not difference and turn.age_s(node.lands_since) <= LATE_S:
        if not node.is_settled:
            node = node.may_still_land()  # what was asked for since is on its way yet
        turn.update_node(
            way,
            node,
            confirmed=state,
            asked=state,
            late=node.late,
            late_at=node.late_at,
            node_id=node.node_id if seen is None else seen.node_id,
        )
        return
    what = (
        difference
        or f"{way.name} on {balancer.name} is {_state_words(state)}, not {_state_words(node.confirmed)}."
    )
    way = turn.update_node(way, node, is_foreign=True)
    turn.update(way, by_hand=what)
    turn.foreign.append(what)


def _notice_kept_node(turn: Turn, server: KeptServer, node: NodeWay) -> NodeWay:
    balancer = _settled_look(turn, node)
    if balancer is None:
        return node
    state = looks.node_state(balancer, node)
    difference = _difference(node, balancer, may_be_new=False)
    if state is node.confirmed and not difference:
        return node
    what = (
        difference
        or f"{server.name} on {balancer.name} is {_state_words(state)}, not {_state_words(node.confirmed)}."
    )
    if turn.status is RunStatus.RUNNING and is_watching(turn.progress):
        # Nothing is sent any more, for days perhaps: whoever works on what stays is told of in the journal and stops nothing.
        # Floor, load and probes are judged as ever.
        turn.note("changed_by_other_hand", wording.foreign_change(what), changes=[what])
        return as_seen(node, balancer)
    turn.foreign.append(what)
    return replace(node, is_foreign=True)


def _difference(node: NodeWay, balancer: BalancerSeen, *, may_be_new: bool) -> str:
    seen = looks.find_node(balancer, node)
    if seen is None:
        return ""
    where = f"{node.address}:{node.port} on {balancer.name}"
    if seen.node_id != node.node_id and not may_be_new:
        return f"The node {where} was taken away and added again."
    if seen.type is not node.type:
        return f"The node {where} is now {seen.type.value}."
    if seen.weight is not None and node.weight is not None and seen.weight != node.weight:
        return f"The weight of node {where} is now {seen.weight}."
    return ""


def _state_words(state: NodeState) -> str:
    return "not listed" if state is NodeState.ABSENT else state.value


def notice_new_nodes(turn: Turn) -> None:
    """Note, once, each node that came by another hand."""
    if turn.progress.started_at is None:
        return
    # Of a server that is gone only the nodes that were left there are known: what else has its address came anew.
    ours = [
        node
        for way in turn.progress.servers
        for node in way.nodes
        if way.phase not in _NODES_LEFT_ALONE or node.confirmed is not NodeState.ABSENT
    ]
    ours += [node for server in turn.progress.kept for node in server.nodes]
    known = {f"{node.balancer_id}/{node.address}:{node.port}" for node in ours}
    known |= set(turn.plan.strays)
    late_adds = {
        f"{node.balancer_id}/{node.address}:{node.port}": way
        for way in turn.progress.servers
        if way.phase.is_let_go and looks.add_lands_until(way, turn.now) is not None
        for node in way.nodes
        if NodeState.ENABLED in node.late
    }
    for balancer in turn.observation.balancers.values():
        for node in balancer.nodes:
            name = f"{balancer.balancer_id}/{node.address}:{node.port}"
            if name in known:
                continue
            if name not in turn.progress.noted_nodes:
                turn.change(noted_nodes=(*turn.progress.noted_nodes, name))
                if (gone := late_adds.get(name)) is not None:
                    words = wording.node_left(gone.name, balancer.name, lives=gone.phase is Phase.LEFT_OUT)
                    turn.note("node_left", words, gone.server_id, balancers=[balancer.balancer_id])
                    continue
                turn.note(
                    "node_added_by_other_hand",
                    Words(
                        f"A node {node.address}:{node.port} was added to {balancer.name} by another hand.",
                        "Someone added a server to your load balancer.",
                    ),
                    balancer=balancer.balancer_id,
                )


def accept_pool(turn: Turn) -> None:
    """Take the pool as it is now for what it should be: at the start, and when a person says that it is right."""
    for way in turn.progress.servers:
        if way.phase.is_let_go:
            continue
        for node in way.nodes:
            balancer = turn.observation.balancers.get(node.balancer_id)
            if balancer is not None:
                turn.update(
                    turn.server(way.server_id),
                    nodes=tuple(
                        as_seen(old, balancer)
                        if (old.balancer_id, old.address, old.port)
                        == (node.balancer_id, node.address, node.port)
                        else old
                        for old in turn.server(way.server_id).nodes
                    ),
                )
    turn.change(
        kept=tuple(
            replace(
                server,
                nodes=tuple(
                    as_seen(node, turn.observation.balancers[node.balancer_id])
                    if node.balancer_id in turn.observation.balancers
                    else node
                    for node in server.nodes
                ),
            )
            for server in turn.progress.kept
        )
    )


def as_seen(node: NodeWay, balancer: BalancerSeen) -> NodeWay:
    """Return a node as this look shows it: that is what it should be from now on.

    A change of ours that may still land stays known, so that it is not taken for another hand's.
    """
    seen = looks.find_node(balancer, node)
    state = looks.node_state(balancer, node)
    if state is not node.asked and not node.is_settled:
        node = node.may_still_land()
    if seen is None:
        return replace(node, confirmed=state, asked=state, is_foreign=False, tries=0)
    return replace(
        node,
        node_id=seen.node_id,
        type=seen.type,
        weight=seen.weight if seen.weight is not None else node.weight,
        confirmed=state,
        asked=state,
        is_foreign=False,
        tries=0,
    )


# --- load and probes ------------------------------------------------------------------------------------


def sample_counts(turn: Turn) -> None:
    """Take a point of each connection count that was read."""
    for server_id, count in turn.observation.counts.items():
        turn.sample(
            f"connections:{server_id}",
            count.connections,
            count.observed_at,
            source=count.source,
            grade=count.grade.value,
            problem=count.problem,
        )


def notice_load(turn: Turn) -> None:
    """Turn request counters into rates; count how often the load per node was over the guard in a row."""
    sample_counts(turn)
    meters = dict(turn.progress.meters)
    every_s = looks.load_every_s(turn.progress, turn.now)
    measured = False
    for server_id, count in turn.observation.counts.items():
        meter = meters.get(server_id, Meter())
        if count.connections is not None or count.requests_total is not None:
            meter = replace(meter, answered_at=count.observed_at)
        if count.requests_total is not None:
            new, is_new_rate = _metered(meter, count.requests_total, count.observed_at, every_s)
            if is_new_rate:
                measured = True
                turn.sample(f"load:{server_id}", new.rps, count.observed_at)
            meter = new
        meters[server_id] = meter
    for server_id, answered in turn.observation.direct.items():
        if answered:
            meters[server_id] = replace(meters.get(server_id, Meter()), answered_at=turn.observation.at)
    turn.change(meters=meters)
    if measured:
        _notice_pool_load(turn)
    _notice_unknown_load(turn)


def _metered(meter: Meter, total: int, at: datetime, every_s: float) -> tuple[Meter, bool]:
    if meter.at is not None and looks.age_s(meter.at, at) == float("inf"):
        return replace(meter, total=total, at=at, rps=None), False  # the clock was set back
    if meter.total is None or meter.at is None or at <= meter.at:
        return (
            (meter, False)
            if meter.at is not None and at <= meter.at
            else (replace(meter, total=total, at=at), False)
        )
    elapsed_s = (at - meter.at).total_seconds()
    if elapsed_s < every_s:
        return meter, False
    if elapsed_s > looks.LOAD_FRESH_S:
        # A clock that was set forward makes a rate look low; a mean over so long says nothing of now in any case.
        return replace(meter, total=total, at=at), False
    # A counter that went back was reset: the rate is unknown, not negative and not zero.
    rps = None if total < meter.total else (total - meter.total) / elapsed_s
    return replace(meter, total=total, at=at, rps=rps, rps_at=at, rps_before=meter.rps), True


def _notice_pool_load(turn: Turn) -> None:
    total, mean = looks.pool_load(turn.plan, turn.progress, turn.observation, turn.now)
    turn.sample("load:pool", total, turn.now)
    turn.sample("load:node", mean, turn.now)
    guard = looks.guard_rps(turn.plan)
    known = looks.known_mean(turn.plan, turn.progress, turn.observation, turn.now)
    if guard is not None and known is not None and known > guard:
        hot_at = turn.progress.hot_at
        oldest = looks.oldest_rate_at(turn.plan, turn.progress, turn.observation, turn.now)
        if hot_at is None or not turn.progress.hot_looks or (oldest is not None and oldest > hot_at):
            # The same figures beside one that is new are no second look.
            turn.change(hot_looks=turn.progress.hot_looks + 1, hot_at=turn.now)
    elif mean is not None:
        turn.change(
            hot_looks=0
        )  # part of the figures can show danger; only all of them show that there is none
    if total is not None:
        turn.change(pool_load=total, load_at=turn.now)


def _notice_unknown_load(turn: Turn) -> None:
    """Remember since when the load guard sees only a part of the pool, or nothing."""
    if not looks.guards_load(turn.plan) or looks.unseen(turn.plan, turn.observation, turn.now):
        return
    total, _ = looks.pool_load(turn.plan, turn.progress, turn.observation, turn.now)
    if total is not None:
        turn.change(load_unknown_since=None)
        return
    turn.change(load_unknown_since=turn.progress.load_unknown_since or turn.now)
    if turn.age_s(turn.progress.load_at) > looks.LOAD_FRESH_S:
        turn.change(pool_load=None)  # an old figure beside a fresh look would pass for a fresh one


def notice_probes(turn: Turn) -> None:
    """Count failed looks in a row. A probe that could not be made neither fails nor passes."""
    failures = dict(turn.progress.probe_failures)
    for probe in turn.observation.probes:
        turn.sample(
            f"probe:{probe.name}",
            probe.latency_ms,
            probe.observed_at,
            ok=probe.ok,
            status=probe.status,
            problem=probe.problem,
            **({"slow": True} if probe.is_slow else {}),
        )
        if probe.ok is True:
            failures[probe.name] = 0
        elif probe.ok is False:
            failures[probe.name] = failures.get(probe.name, 0) + 1
    if turn.observation.probes:
        turn.change(probe_failures=failures, probed_at=turn.now)


# --- servers --------------------------------------------------------------------------------------------


def notice_landed_deletions(turn: Turn) -> None:
    """A deletion of ours that was read as not applied may land later: it is ours then, and is watched to its end."""
    for way in turn.progress.servers:
        seen = turn.observation.servers.get(way.server_id)
        is_over = way.phase in {Phase.DELETING, Phase.CONFIRMING} or way.phase.is_gone
        if is_over or seen is None or late.delete_lands_until(way, turn.now) is None:
            continue
        if seen.task_state != "deleting" and not (seen.is_gone and way.missing_since is not None):
            continue  # one answer that finds no server may be wrong: a later look must find none either
        if seen.is_gone and way.missing_since is not None and seen.observed_at <= way.missing_since:
            continue
        delete = replace(way.delete or DeleteWay(), accepted_at=turn.now, next_try_at=None)
        was = way.phase
        way = turn.update(way, delete=delete, missing_since=None, put_back=None, soak=None)
        words = wording.delete_landed_late(way.name, was_back=was.is_final or was is Phase.QUEUED)
        way = turn.enter(way, Phase.DELETING, words)
        turn.note("delete_landed_late", words, way.server_id, was=was.value)


def notice_deletions(turn: Turn) -> None:
    """Take in whether an accepted deletion is seen to be under way, or over; one that is not was without effect so far."""
    for way in turn.progress.servers:
        seen = turn.observation.servers.get(way.server_id)
        if way.phase not in {Phase.DELETING, Phase.CONFIRMING} or way.delete is None or seen is None:
            continue
        if seen.shows_deletion and way.delete.proven_at is None:
            turn.update(way, delete=replace(way.delete, proven_at=seen.observed_at))
        elif not seen.is_gone and seen.task_state is None and way.delete.proven_at is not None:
            turn.update(way, delete=replace(way.delete, proven_at=None))


def notice_gone_servers(turn: Turn) -> None:
    """A server counts as gone by another hand after two looks 30 s apart that find it nowhere (invariant 5)."""
    for way in turn.progress.servers:
        may_land = late.delete_lands_until(way, turn.now) is not None
        if (way.phase.is_final and not may_land) or way.phase in {Phase.DELETING, Phase.CONFIRMING}:
            continue
        if way.phase.is_anew:
            continue
        seen = turn.observation.servers.get(way.server_id)
        if seen is None:
            continue
        if not seen.is_gone:
            if way.missing_since is not None:
                turn.update(way, missing_since=None)
            continue
        if way.missing_since is None:
            turn.tell(turn.update(way, missing_since=seen.observed_at), wording.missing(way.name))
            continue
        listed = turn.observation.listed
        waited_s = (seen.observed_at - way.missing_since).total_seconds()
        if waited_s >= GONE_AFTER_S and listed is not None and way.server_id not in listed:
            way = turn.update(way, missing_since=None, put_back=None)
            turn.say_nodes_left(turn.enter(way, Phase.GONE, wording.gone(way.name)))


# --- images ---------------------------------------------------------------------------------------------


CLOCKS_DIFFER_S = 300.0
"""The provider's clock tells the age of an image only where that is more than clocks differ."""


def notice_images(turn: Turn) -> None:
    """Take in what became of the images of this run, and find again those whose answer was lost."""
    if turn.observation.our_images is not None:
        turn.change(images_read_at=turn.now)
    known = {image.image_id for image in turn.progress.images}
    for image_id in sorted((turn.observation.our_images or frozenset()) - known):
        seen = turn.observation.images[image_id]
        way = None if seen.server_id is None else turn.progress.server(seen.server_id)
        if way is not None and not seen.is_gone:
            lost = _found_again(turn, way)
            # An image that was asked for before its server went back, and out again, lacks what it did since.
            made_at = turn.now if lost is None else lost.at
            if seen.created_at is not None and turn.age_s(seen.created_at) > CLOCKS_DIFFER_S:
                made_at = min(made_at, seen.created_at)
            adopt_image(turn, way, image_id, seen.name, of_stopped=False, made_at=made_at)
            turn.note("image_found", wording.image_found(way.name, seen.name), way.server_id, image=image_id)
    _give_lost_images_up(turn)
    turn.change(images=tuple(_noticed_image(turn, image) for image in turn.progress.images))
    for way in turn.progress.servers:
        if way.imaging is None or way.phase is not Phase.IMAGING or way.imaging.problem:
            continue
        own = [image for image in turn.progress.images if image.server_id == way.server_id]
        if own and own[-1].is_lost and way.imaging.accepted_at is not None:
            problem = f"The image {own[-1].name} is {own[-1].status}."
            turn.update(way, imaging=replace(way.imaging, problem=problem))


def _give_lost_images_up(turn: Turn) -> None:
    """What can no longer land is looked for no longer; where nobody could look, that is said."""
    for lost in turn.progress.images_lost:
        if turn.age_s(lost.at) <= LATE_S:
            continue
        turn.change(images_lost=tuple(one for one in turn.progress.images_lost if one is not lost))
        if turn.age_s(turn.progress.images_read_at) > GONE_AFTER_S:
            turn.note("image_unknown", wording.image_unknown(lost.server_name), lost.server_id)


def _found_again(turn: Turn, way: ServerWay) -> ImageLost | None:
    """Return which lost image of a server has been found, the oldest one, and look for it no longer."""
    lost = next((one for one in turn.progress.images_lost if one.server_id == way.server_id), None)
    if lost is not None:
        turn.change(images_lost=tuple(one for one in turn.progress.images_lost if one is not lost))
    return lost


def adopt_image(
    turn: Turn,
    way: ServerWay,
    image_id: str,
    name: str,
    *,
    of_stopped: bool,
    keep_until: datetime | None = None,
    made_at: datetime | None = None,
) -> None:
    """Count an image among those of this run; `made_at` None means just now."""
    if any(image.image_id == image_id for image in turn.progress.images):
        return
    keep_until = keep_until or turn.after(turn.plan.images_kept_s)
    made = ImageMade(
        image_id, name, way.server_id, way.name, made_at or turn.now, keep_until, of_stopped=of_stopped
    )
    turn.change(images=(*turn.progress.images, made))


def _noticed_image(turn: Turn, image: ImageMade) -> ImageMade:
    seen = turn.observation.images.get(image.image_id)
    if seen is None or (image.seen_at is not None and seen.observed_at <= image.seen_at):
        return image
    if not seen.is_gone:
        was_ready = image.ready_at is not None
        image = replace(
            image,
            name=seen.name or image.name,
            status=seen.status,
            progress=seen.progress,
            seen_at=seen.observed_at,
            missing_since=None,
            ready_at=image.ready_at or (seen.observed_at if seen.status == "ACTIVE" else None),
        )
        if image.ready_at is not None and not was_ready:
            turn.change(stuck=None)  # the run moves on: what it waits for next has its own time
            words = wording.image_ready(image.server_name, image.keep_until, of_stopped=image.of_stopped)
            turn.note("image_ready", words, image.server_id, image=image.image_id)
        return image
    if image.is_lost:
        return image
    since = image.missing_since or seen.observed_at
    # One answer that finds no image may be wrong: looks 30 s apart must agree.
    is_gone = (seen.observed_at - since).total_seconds() >= GONE_AFTER_S
    if is_gone and image.ready_at is not None:
        words = wording.image_gone(image.server_name, image.name)
        turn.note("image_gone", words, image.server_id, image=image.image_id)
    return replace(
        image, missing_since=since, seen_at=seen.observed_at, status="DELETED" if is_gone else image.status
    )


def notice_power(turn: Turn) -> None:
    """Take in whether a server that this run stops is stopped, and whether somebody else started it again."""
    for way in turn.progress.servers:
        seen = turn.observation.servers.get(way.server_id)
        stop = way.stop
        if stop is None or way.phase not in {Phase.HELD, Phase.IMAGING} or seen is None or seen.task_state:
            continue
        if seen.is_gone or stop.is_starting:
            continue
        if seen.status == "SHUTOFF" and stop.stopped_at is None:
            turn.change(stuck=None)
            # Of several stops this shows that one took effect, not which: what may still land stays known.
            # A look is dated before it is made: whoever slept meanwhile would count time in which nobody saw it stopped.
            stop = replace(stop, stopped_at=turn.now, tries=0, next_try_at=None)
            way = turn.update(way, stop=stop)
            ends = hold_ends(turn.plan, way)
            turn.tell(way, wording.stopped(way.name, ends), ends)
            turn.note("server_stopped", wording.stopped(way.name, ends), way.server_id)
        elif seen.status == "ACTIVE" and stop.stopped_at is not None:
            what = f"{way.name} was stopped by this run and runs again."
            turn.update(way, by_hand=what, stop=replace(stop, stopped_at=None, accepted_at=None))
            turn.foreign.append(what)


def notice_made(turn: Turn) -> None:
    """Find again, by its metadata, a server that this run created and whose answer was lost."""
    known = {way.anew.server_id for way in turn.progress.servers if way.anew is not None}
    for server_id, of_server in sorted((turn.observation.made or {}).items()):
        way = turn.progress.server(of_server)
        if server_id in known or way is None or way.phase is not Phase.RECREATING or way.anew is None:
            continue
        if way.anew.server_id is None:
            turn.update(way, anew=replace(way.anew, server_id=server_id, accepted_at=turn.now))
            turn.note("server_found", wording.made_found(way.name, server_id), way.server_id, made=server_id)
