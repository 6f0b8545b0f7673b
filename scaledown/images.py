"""Which image stands for which server: the kinds of servers, and what a plan asks for. Pure."""

from __future__ import annotations

from scaledown.progress import ImageMade, Progress, ServerWay
from scaledown.types import ImageRule, PlanData, PlannedServer


def kind_of(server: PlannedServer) -> str:
    """Return the kind of a server: those of one kind have the same size, the same image and the same places.

    One whose size or image is not known may differ from any other: it is a kind of its own.
    """
    if server.flavor_id is None or server.image_id is None:
        return server.server_id
    places = sorted({f"{node.balancer_id}:{node.port}" for node in server.nodes})
    return "|".join((server.flavor_id, server.image_id, *places))


def kinds(servers: tuple[PlannedServer, ...]) -> dict[str, tuple[PlannedServer, ...]]:
    """Return servers by kind, kinds and servers in the order given."""
    found: dict[str, tuple[PlannedServer, ...]] = {}
    for server in servers:
        kind = kind_of(server)
        found[kind] = (*found.get(kind, ()), server)
    return found


def of_these(plan: PlanData) -> tuple[PlannedServer, ...]:
    """Return of which servers an image is made if all goes as planned."""
    if plan.images is ImageRule.NONE:
        return ()
    if plan.images is ImageRule.EACH:
        return plan.servers
    return tuple(servers[0] for servers in kinds(plan.servers).values())


def standing_for(plan: PlanData, progress: Progress, way: ServerWay) -> ImageMade | None:
    """Return the image on which a server's deletion may rest, once it is ACTIVE; None if none was begun.

    A server's own image counts if it was made since it last left the pool: what it did after an older one is not
    in it. With one per kind any image of this run of the same kind counts.
    """
    own = [
        image
        for image in progress.images
        if image.server_id == way.server_id and way.left_at is not None and image.made_at >= way.left_at
    ]
    found = [image for image in own if not image.is_lost]
    if plan.images is ImageRule.ONE_PER_KIND:
        alike = {server.server_id for servers in _alike(plan, way) for server in servers}
        found += [image for image in progress.images if image.server_id in alike and not image.is_lost]
    return next((image for image in found if image.status == "ACTIVE"), found[0] if found else None)


def _alike(plan: PlanData, way: ServerWay) -> list[tuple[PlannedServer, ...]]:
    return [
        servers
        for servers in kinds(plan.servers).values()
        if any(server.server_id == way.server_id for server in servers)
    ]
