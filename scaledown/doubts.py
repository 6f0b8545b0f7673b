"""What an open doubt holds up: a put-back that does not contradict it must not wait for ever. Pure.

A change of a balancer in doubt contradicts what would be asked of that balancer next, and of nothing else. A server, a
deletion, a stop or an image in doubt contradicts no node that goes back. Where no look can tell what became of such a
change, it is set aside (`portal/runs/engine.py`): it counts as one that may still land (`late.py`), and what goes back goes.
"""

from __future__ import annotations

from portal.runs.types import Action, RunStatus
from scaledown.progress import NodeState, ServerWay
from scaledown.put_backs import out_newest_first
from scaledown.turn import Turn

CUTS_SERVER = frozenset({"delete_server", "stop_server"})
"""Changes that cut whoever a server serves by then, wherever: while one is in doubt nobody is put behind it unasked."""
CUTS = CUTS_SERVER | {"remove_node"}
"""Changes that cut whoever came back behind a node or a server."""


def sets_aside(turn: Turn) -> str:
    """Return why the open doubt must not hold up what goes back, or ""."""
    doubt = turn.people.doubt
    if doubt is None:
        return ""
    backs = [way for way in turn.progress.servers if way.put_back is not None]
    if turn.progress.aborting:
        backs += [way for way in out_newest_first(turn) if not _is_of(doubt.action, way, CUTS_SERVER)]
    backs += _wanted_back(turn)
    held_up = dict.fromkeys(way.name for way in backs if _waits_elsewhere(turn, way, doubt.action))
    if not held_up:
        return ""
    return f"No look could tell whether it happened, and {', '.join(held_up)} must not stay out of the pool for that."


def is_cut_by(action: Action, way: ServerWay) -> bool:
    """Return whether the change in doubt would cut what this server serves."""
    return _is_of(action, way, CUTS)


def _is_of(action: Action, way: ServerWay, names: frozenset[str]) -> bool:
    return action.name in names and str(action.args["server_id"]) == way.server_id


def _wanted_back(turn: Turn) -> list[ServerWay]:
    """Return what would go back, or be answered for, once it is known what became of a removal of it."""
    doubt, way = turn.people.doubt, turn.progress.in_flight
    if doubt is None or way is None or not _is_of(doubt.action, way, frozenset({"remove_node"})):
        return []
    is_asked = any(command.name == "put_back" for command in turn.people.commands)
    return [way] if is_asked or turn.status is RunStatus.PAUSED else []


def _waits_elsewhere(turn: Turn, way: ServerWay, action: Action) -> bool:
    """Whether a node is to come back on a balancer of which the change in doubt is not."""
    of = action.args.get("balancer_id")
    return any(
        not (node.is_settled and node.confirmed is NodeState.ENABLED)
        and not node.is_foreign
        and node.balancer_id not in turn.gone_balancers
        and (of is None or node.balancer_id != str(of))
        for node in way.nodes
    )
