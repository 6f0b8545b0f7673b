"""Plans of scale-downs as plain JSON and back, in the shape of their format, and the digest that people approve. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portal.plain import Unreadable, canonical_json, digest_of, from_plain, to_plain, to_plain_after
from scaledown.types import PlanData

__all__ = [
    "Unreadable",
    "came_with",
    "canonical_json",
    "digest",
    "digest_of",
    "from_plain",
    "frozen_plan",
    "plan_from_plain",
    "plan_to_plain",
    "to_plain",
    "to_plain_after",
]

_CAME_WITH: Mapping[str, int] = {
    "images": 2,
    "images_kept_s": 2,
    "stop_s": 3,
    "hold_through": 5,
    "watch_until": 6,
    "unwatched_reason": 6,
    "slower_allowed": 4,
    "objective": 4,
    "baselines": 4,
    "fine_load_rps": 4,
    "fine_load_source": 4,
    "vital": 7,
    "vital_fall_allowed": 7,
    "no_vital_reason": 7,
    "alarms": 8,
    "later_windows": 8,
}
PLANS_KEPT = 500
_OF_A_SERVER_CAME_WITH: Mapping[str, int] = {"image_id": 2}
"""Fields that plans of an older format do not have: what was approved then keeps its spelling, and its digest."""


def came_with(name: str) -> int:
    """Return with which format of plans a field came."""
    return _CAME_WITH.get(name, 1)


def plan_to_plain(plan: PlanData) -> dict[str, Any]:
    """Return a plan as it is stored and as the digest reads it, in the shape of its own format."""
    plain: dict[str, Any] = to_plain(plan)
    servers = [*plain["servers"], *plain["remaining"]]
    for part, came_with in ((plain, _CAME_WITH), *((one, _OF_A_SERVER_CAME_WITH) for one in servers)):
        for name, since in came_with.items():
            if plan.format < since:
                del part[name]
    return plain


def plan_from_plain(value: Mapping[str, Any]) -> PlanData:
    """Return the plan that `plan_to_plain` wrote, of this format or an older one. Raises Unreadable.

    A field that the plan's format does not have is under no digest: it must have its default.
    """
    plan = from_plain(PlanData, value)
    assert isinstance(plan, PlanData)
    for name, since in _CAME_WITH.items():
        if plan.format < since and getattr(plan, name) != PlanData.__dataclass_fields__[name].default:
            raise Unreadable(f"A plan of format {plan.format} has no {name}.")
    return plan


_frozen: dict[tuple[str, str], PlanData] = {}


def frozen_plan(run_ref: str, digest: str, value: Mapping[str, Any]) -> PlanData:
    """Return the plan of a run, as `plan_from_plain` reads it: once in each process, since it is frozen with its digest."""
    key = (run_ref, digest)
    plan = _frozen.get(key)
    if plan is None:
        if len(_frozen) >= PLANS_KEPT:
            _frozen.clear()
        plan = _frozen[key] = plan_from_plain(value)
    return plan


def digest(plan: PlanData) -> str:
    """Return the SHA-256 (hex) over the canonical JSON of every field of a plan.

    The field `format` is the version of the plan's shape: a new shape never has an old digest, and a plan of an older
    one keeps the digest that was approved.
    """
    return digest_of(plan_to_plain(plan))
