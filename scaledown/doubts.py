"""What an open doubt holds up: a put-back that does not contradict it must not wait for ever. Pure.

A change of a balancer in doubt contradicts what would be asked of that balancer next, and of nothing else. A server, a
deletion, a stop or an image in doubt contradicts no node that goes back. Where no look can tell what became of such a
change, it is set aside (`portal/runs/engine.py`): it counts as one that may still land (`late.py`), and what goes back goes.
"""

from __future__ import annotations

from portal.runs.types import Action
from scaledown.progress import NodeState, ServerWay
from scaledown.put_backs import out_newest_first
from scaledown.turn import Turn

CUTS = frozenset({"delete_server", "stop_server"})
"""Changes that cut whoever is served by then: while one is in doubt nobody is put behind its server unasked."""


def sets_aside(turn: Turn) -> str:
    """Return why the open doubt must not hold up what goes back, or ""."""
    doubt = turn.people.doubt
    if doubt is None:
        return ""
    backs = [way for way in turn.progress.servers if way.put_back is not None]
    if turn.progress.aborting:
        backs += [way for way in out_newest_first(turn) if not is_cut_by(doubt.action, way)]
    held_up = [way.name for way in backs if _waits_elsewhere(turn, way, doubt.action)]
    if not held_up:
        return ""
    return f"No look could tell whether it happened, and {', '.join(held_up)} must not stay out of the pool for that."


def is_cut_by(action: Action, way: ServerWay) -> bool:
    """Return whether the change in doubt would cut what this server serves."""
    return action.name in CUTS and str(action.args["server_id"]) == way.server_id


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
