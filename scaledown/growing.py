"""Grow again: by which of the deleted servers, in which order, and what both sides are asked to approve. Pure.

It is roll back with a bound (`rolling_back.py`): what was approved is named server by server, with image and size, and
has a digest of its own. Source: specification, *People's commands*.
"""

from __future__ import annotations

from typing import Any

from portal.runs.types import Command
from scaledown import images
from scaledown.canonical import digest_of, from_plain, to_plain
from scaledown.progress import Growing, ImageMade, Progress, ServerWay
from scaledown.types import GrowData, GrownServer, Phase, PlanData
from scaledown.wording import Words, made_in_vain, not_put_back, servers_of, what_may_live

GROW_FORMAT = 1


def can_create(plan: PlanData, progress: Progress, way: ServerWay) -> ImageMade | None:
    """Return the image from which a deleted server can be created anew, or None: then its deletion stays."""
    planned = next((server for server in plan.servers if server.server_id == way.server_id), None)
    if way.phase is not Phase.RETIRED or planned is None or planned.flavor_id is None:
        return None
    made = images.standing_for(plan, progress, way)
    return made if made is not None and made.status == "ACTIVE" else None


def to_create(plan: PlanData, progress: Progress) -> tuple[ServerWay, ...]:
    """Return the deleted servers that can be created anew, the one that was deleted last first."""
    found = [way for way in progress.servers if can_create(plan, progress, way) is not None]
    return tuple(sorted(found, key=lambda way: way.retired_at or way.since, reverse=True))


def draw(run_ref: str, plan: PlanData, plan_digest: str, progress: Progress, count: int) -> GrowData:
    """Return what is asked for: the `count` servers that were deleted last. Raises ValueError where there are fewer."""
    ways = to_create(plan, progress)
    if not 1 <= count <= len(ways):
        raise ValueError(count)
    flavors = {server.server_id: server.flavor_id for server in plan.servers}
    return GrowData(
        GROW_FORMAT,
        run_ref,
        plan_digest,
        tuple(
            GrownServer(way.server_id, way.name, flavors[way.server_id] or "", made.image_id)
            for way in ways[:count]
            if (made := can_create(plan, progress, way)) is not None
        ),
    )


def digest(data: GrowData) -> str:
    """Return what is approved: SHA-256 (hex) over the canonical JSON of every field."""
    return digest_of(data)


def asked(ref: str, data: GrowData) -> dict[str, Any]:
    """Return the arguments of the command that carries out what both sides approved."""
    return {"growth": to_plain(Growing(ref, digest(data), data.servers))}


def of_command(command: Command) -> Growing:
    """Return what a command asks for. Raises canonical.Unreadable, a ValueError."""
    wanted = from_plain(Growing, command.args["growth"])
    assert isinstance(wanted, Growing)
    return wanted


def why_not(plan: PlanData, progress: Progress, grown: GrownServer) -> str:
    """Return why this server cannot be created as it was approved, or ""."""
    way = progress.server(grown.server_id)
    made = None if way is None else can_create(plan, progress, way)
    flavor = next((s.flavor_id for s in plan.servers if s.server_id == grown.server_id), None)
    if made is None:
        return f"{grown.name} is not deleted, or no image of it is ready: it cannot be created anew."
    if (made.image_id, flavor) != (grown.image_id, grown.flavor_id):
        return f"{grown.name} would be created from another image, or in another size, than was approved. Ask anew."
    return ""


def grown(
    growing: Growing,
    anew: int,
    back: int,
    serving: int,
    given_up: str,
    may_live: str,
    left_out: str = "",
    left_new: str = "",
) -> Words:
    """What a run says that has grown again."""
    asked_for = len(growing.servers)
    done = f"{servers_of(anew)} created anew"
    if anew < asked_for:
        done += f" of {asked_for}"
    if back:
        done += f", {servers_of(back)} put back"
    stop = f" {given_up}" if given_up else ""
    left, out, new = what_may_live(may_live), not_put_back(left_out), made_in_vain(left_new)
    serves = f"{serving} {'serves' if serving == 1 else 'serve'}"
    return Words(
        f"Grown again: {done}; {serves}.{stop}{out.says}{new.says}{left.says}",
        f"Grown again: {done}; {serves} your site.{out.customer_says}{new.customer_says}{left.customer_says}",
    )
