"""What must be read for the next decision: no more than it can use. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from portal.runs.types import RunStatus
from scaledown import hours, images, late, looks, silence, watching
from scaledown.deleting import is_gone_unproven, next_due
from scaledown.progress import Progress, ServerWay
from scaledown.stopping import has_to_start
from scaledown.types import Needs, People, Phase, PlanData

IMAGE_EVERY_S = 4.0
IMAGE_READY_EVERY_S = 600.0
"""How often an image that was ready is looked at again: the way back of a deleted server rests on it."""
"""How often an image that is being saved is looked at."""


PROBE_RESTING_S = 2.0
IN_HAND = frozenset({Phase.IMAGING, Phase.DELETING, Phase.CONFIRMING})


def needs_of(plan: PlanData, progress: Progress, people: People, now: datetime) -> Needs:
    """Return what must be read for the next decision: no more than it can use."""
    servers: dict[str, None] = {}
    counts: dict[str, None] = {}
    network: dict[str, datetime] = {}
    search: str | None = None
    is_preflight = progress.preflight_due and hours.begins_at(plan, now) <= now
    if is_preflight:
        servers |= dict.fromkeys(s.server_id for s in (*plan.servers, *plan.remaining))
    queued = next((way for way in progress.servers if way.phase is Phase.QUEUED), None)
    is_in_hand = progress.in_flight is not None or any(
        way.phase in IN_HAND and not _is_going(way) for way in progress.servers
    )
    for way in progress.servers:
        in_hand = way.phase.is_out_and_alive or way.phase in {Phase.DELETING, Phase.CONFIRMING}
        is_watched = way.put_back is not None or way.missing_since is not None
        is_watched = is_watched or (bool(way.by_hand) and not way.phase.is_final)
        if (
            in_hand
            or (way is queued and not is_in_hand)
            or is_watched
            or late.kept_out_until(way, now) is not None
        ):
            servers[way.server_id] = None
        if way.phase in {Phase.RECREATING, Phase.JOINING} and way.anew is not None and way.anew.server_id:
            servers[way.anew.server_id] = None
        if way.phase in {Phase.DRAINING, Phase.REMOVING}:
            counts[way.server_id] = None
        if _is_uncounted(plan, way) and way.drain is not None:
            network[way.server_id] = way.drain.begun_at
    if people.doubt is not None:
        servers[str(people.doubt.action.args["server_id"])] = None
    if progress.in_flight is None and _may_end_one(progress, people):
        search = _to_search(plan, progress, now)
    counted = {
        server.server_id for server in (*plan.servers, *plan.remaining) if server.count_url is not None
    }
    counts |= dict.fromkeys(way.server_id for way in progress.servers if silence.is_due(way, now))
    is_going = search is not None or any(way.phase in IN_HAND for way in progress.servers)
    counts |= dict.fromkeys(_due_for_load(plan, progress, now, is_going=is_going))
    search_for = None if search is None else progress.server(search)
    return Needs(
        balancers=plan.balancer_ids,
        servers=tuple(servers),
        remaining=_remaining(
            plan, progress, people, now, is_next=queued is not None and not is_in_hand, search=search
        ),
        counts=tuple(server_id for server_id in counts if server_id in counted),
        network=network,
        direct=(*_due_for_answer(plan, progress, counted, now), *_starting(progress)),
        probes=_probes_due(plan, progress, now),
        search=search,
        listed=any(
            way.missing_since is not None
            or is_gone_unproven(way)
            or (way.anew is not None and way.anew.missing_since is not None)
            for way in progress.servers
        ),
        images=_images_to_see(plan, progress, search_for, now),
        made=_looks_for_servers(progress, people),
        answers=_answers_wanted(progress),
        our_images=_looks_for_images(plan, progress, people, now),
        alarms=is_preflight,
    )


def _is_uncounted(plan: PlanData, way: ServerWay) -> bool:
    """Whether a server drains that takes no new connections and of which nobody has counted the open ones."""
    drain = way.drain
    if way.phase is not Phase.DRAINING or way.put_back is not None or drain is None or drain.seen_at is None:
        return False
    return drain.lowest is None and (plan.count_kind is None or drain.problem is not None)


def _in_pool(plan: PlanData, progress: Progress) -> list[str]:
    out = {Phase.DELETING, Phase.CONFIRMING}
    planned = [
        way.server_id
        for way in progress.servers
        if way.phase not in out and not (way.phase.is_gone or way.phase.is_let_go or _is_off(way))
    ]
    return [*planned, *(server.server_id for server in plan.remaining)]


def _is_off(way: ServerWay) -> bool:
    """Whether this run has stopped a server that stays so: nothing answers there, and to ask would hold up each look."""
    return way.stop is not None and way.stop.stopped_at is not None and way.put_back is None


def _due_for_load(plan: PlanData, progress: Progress, now: datetime, *, is_going: bool) -> list[str]:
    """Return the servers whose counters are read for the load: none shortly before figures are wanted that are new then."""
    soaks = [way.soak for way in progress.servers if way.soak is not None]
    if any(0 < (soak.until - now).total_seconds() < looks.LOAD_EVERY_S for soak in soaks):
        return []
    every_s = looks.load_every_s(progress, now)
    is_soaking = any(way.soak is not None for way in progress.servers)
    if is_going and not is_soaking and not looks.is_silence_awaited(progress, now):
        every_s *= 2  # a deletion is not held up by reading what is known well enough
    if plan.soak_s < looks.LOAD_EVERY_S and _ends_soon(plan, progress, now):
        every_s *= 2
    due = []
    for server_id in _in_pool(plan, progress):
        meter = progress.meters.get(server_id)
        if looks.is_due(None if meter is None else meter.at, every_s, now):
            due.append(server_id)
    return due


def _ends_soon(plan: PlanData, progress: Progress, now: datetime) -> bool:
    """Whether a drain is about to be over, and a soak to follow that is too short for two readings of its own."""
    way = progress.in_flight
    if way is None or way.drain is None or way.drain.seen_at is None:
        return False
    if way.phase is Phase.REMOVING:
        return True
    if way.phase is not Phase.DRAINING:
        return False
    left_s = plan.min_drain_s - (now - way.drain.seen_at).total_seconds()
    return way.drain.connections == 0 and left_s < looks.LOAD_LEAST_S


def _due_for_answer(plan: PlanData, progress: Progress, counted: set[str], now: datetime) -> tuple[str, ...]:
    if not progress.unmonitored:
        return ()
    due = []
    for server_id in _in_pool(plan, progress):
        meter = progress.meters.get(server_id)
        answered = None if meter is None else meter.answered_at
        if server_id not in counted and looks.is_due(answered, 10.0, now):
            due.append(server_id)
    return tuple(due)


def _starting(progress: Progress) -> list[str]:
    """Return the servers that are started to go back: they are asked themselves whether they are ready."""
    return [way.server_id for way in progress.servers if way.put_back is not None and has_to_start(way)]


def _probes_due(plan: PlanData, progress: Progress, now: datetime) -> bool:
    if progress.preflight_due:
        return True
    if any(way.soak is not None for way in progress.servers):
        every_s = watching.probe_every_s(plan)
    elif any(_is_going(way) for way in progress.servers):
        every_s = 0.0  # what has gone is confirmed by looks at the site from then on
    elif progress.waiting is not None and progress.waiting.code == "before":
        every_s = watching.PROBE_EVERY_S
    else:
        every_s = PROBE_RESTING_S
    return looks.is_due(progress.probed_at, every_s, now)


def _is_going(way: ServerWay) -> bool:
    return way.phase is Phase.CONFIRMING or (
        way.delete is not None and way.delete.gone_at is not None and way.phase is Phase.DELETING
    )


def _images_to_see(
    plan: PlanData, progress: Progress, due: ServerWay | None, now: datetime
) -> tuple[str, ...]:
    """Return the images that are to be looked at now and then, and the one on which a deletion that is due rests."""
    found = {
        image.image_id: None
        for image in progress.images
        if not image.is_lost
        and looks.is_due(
            image.seen_at,
            IMAGE_EVERY_S
            if image.ready_at is None or image.missing_since is not None
            else IMAGE_READY_EVERY_S,
            now,
        )
    }
    found |= {
        way.anew.image_id: None
        for way in progress.servers
        if way.phase is Phase.RECREATING and way.anew is not None and way.anew.server_id is None
    }
    standing = None if due is None else images.standing_for(plan, progress, due)
    if standing is not None:
        found[standing.image_id] = None
    return tuple(found)


def _looks_for_images(plan: PlanData, progress: Progress, people: People, now: datetime) -> bool:
    """Whether an image of this run may be there that is not known yet: nobody asks for a second one blindly."""
    if people.doubt is not None and people.doubt.action.name == "create_image":
        return True
    if progress.images_lost and looks.is_due(progress.images_read_at, IMAGE_EVERY_S, now):
        return True
    return any(
        way.phase is Phase.IMAGING
        and way.imaging is not None
        and not way.imaging.problem
        and (way.imaging.accepted_at is not None or way.imaging.tries > 0)
        and images.standing_for(plan, progress, way) is None
        for way in progress.servers
    )


def _looks_for_servers(progress: Progress, people: People) -> bool:
    """Whether a server that this run created may be there that is not known yet: none is created twice."""
    if people.doubt is not None and people.doubt.action.name == "create_server":
        return True
    return any(
        way.phase is Phase.RECREATING
        and way.anew is not None
        and way.anew.server_id is None
        and way.anew.tries > 0
        for way in progress.servers
    )


def _answers_wanted(progress: Progress) -> dict[str, str]:
    """Return the new servers that are asked themselves before they serve, with where."""
    found = {}
    for way in progress.servers:
        anew = way.anew
        if way.phase is Phase.JOINING and anew is not None and anew.server_id and way.nodes:
            node = way.nodes[0]
            host = f"[{node.address}]" if ":" in node.address else node.address
            found[anew.server_id] = f"{host}:{node.port}"
    return found


def _remaining(
    plan: PlanData, progress: Progress, people: People, now: datetime, *, is_next: bool, search: str | None
) -> tuple[str, ...]:
    """Return the servers that stay, while one is out or may go: the floor counts on them."""
    is_awake = people.status is RunStatus.RUNNING or bool(people.commands)
    may_begin = is_awake and is_next and people.standstill is None and hours.begins_at(plan, now) <= now
    is_out = any(way.phase.is_out_and_alive for way in progress.servers)
    if not may_begin and not is_out and search is None:
        return ()
    return tuple(server.server_id for server in plan.remaining)


def _may_end_one(progress: Progress, people: People) -> bool:
    """Whether a server may be ended now, or a person has to know whether it could be: the search costs reads in every region."""
    if people.standstill is not None or progress.aborting:
        return False
    is_asked = people.halt is not None and people.halt.code in {"delete_forbidden", "stop_forbidden"}
    return people.status is RunStatus.RUNNING or (people.status is RunStatus.HALTED and is_asked)


def _to_search(plan: PlanData, progress: Progress, now: datetime) -> str | None:
    """Return the server that is to be deleted next, if any is due."""
    for way in progress.servers:
        if way.phase is Phase.IMAGING:
            made = images.standing_for(plan, progress, way)
            is_due = made is not None and made.status == "ACTIVE"
            return way.server_id if is_due and hours.is_open(plan, now + timedelta(seconds=1)) else None
        if way.phase is Phase.DELETING and way.delete is not None and not _is_going(way):
            due = way.delete.next_try_at
            if due is None or now >= due - timedelta(seconds=1):
                return way.server_id
            return None
    held = next_due(plan, progress, now + timedelta(seconds=1))
    return None if held is None else held.server_id
