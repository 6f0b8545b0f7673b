"""How two plans differ: whether an approval of one covers the other, whether both stand on the same pool. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from portal.frozen import replace
from scaledown.types import AtLimit, Grade, ImageRule, PlanData, PlannedServer

_GRADES = (Grade.MEASURED, Grade.INFERRED, Grade.TIMED)
_LIMITS = (AtLimit.PUT_BACK, AtLimit.ASK, AtLimit.CUT)
_IMAGES = (ImageRule.NONE, ImageRule.ONE_PER_KIND, ImageRule.EACH)
_FREE = frozenset(
    {
        "servers",
        "remaining",
        "target",
        "floor",
        "soak_s",
        "hold_s",
        "min_drain_s",
        "drain_limit_s",
        "pause_between_s",
        "zeros_needed",
        "accepted_grade",
        "at_limit",
        "probe_failures_allowed",
        "guard_share",
        "slower_allowed",
        "window_start",
        "is_unattended",
        "lifted",
        "images",
        "images_kept_s",
        "stop_s",
        "hold_through",
        "watch_until",
        "unwatched_reason",
        "vital",
        "vital_fall_allowed",
        "no_vital_reason",
    }
)


def is_less(old: PlanData, new: PlanData) -> bool:
    """Return whether an approval of `old` also covers `new`: the same, or less in every respect.

    Less is: fewer of the same servers in the same order, higher floor, longer drain, soak, hold or pause,
    stronger evidence, a milder act at the drain limit, smaller tolerances, a later start inside the window,
    more images that are kept longer, a longer stop where one was approved, a longer watch of the next peak, more vital
    figures.
    """
    if old == new:
        return True
    same = replace(new, **{name: getattr(old, name) for name in _FREE})
    return (
        same == old
        and _is_part_in_order(old.servers, new.servers)
        and set(old.servers) | set(old.remaining) == set(new.servers) | set(new.remaining)
        and new.target - old.target == len(old.servers) - len(new.servers)
        and new.floor >= old.floor
        and new.soak_s >= old.soak_s
        and new.hold_s >= old.hold_s
        and new.min_drain_s >= old.min_drain_s
        and new.drain_limit_s >= old.drain_limit_s
        and new.pause_between_s >= old.pause_between_s
        and new.zeros_needed >= old.zeros_needed
        and _GRADES.index(new.accepted_grade) <= _GRADES.index(old.accepted_grade)
        and _LIMITS.index(new.at_limit) <= _LIMITS.index(old.at_limit)
        and new.probe_failures_allowed <= old.probe_failures_allowed
        and new.guard_share <= old.guard_share
        and _tolerates_no_more(old.slower_allowed, new.slower_allowed)
        and set(old.vital) <= set(new.vital)
        and (not old.vital or new.vital_fall_allowed <= old.vital_fall_allowed)
        and _is_as_late(old.window_start, new.window_start)
        and (old.is_unattended or not new.is_unattended)
        and set(new.lifted) <= set(old.lifted)
        and _is_as_late(old.hold_through, new.hold_through)
        and _is_as_late(old.watch_until, new.watch_until)
        and (new.stop_s == old.stop_s or new.stop_s > old.stop_s > 0)
        and _IMAGES.index(new.images) >= _IMAGES.index(old.images)
        and (new.images_kept_s >= old.images_kept_s or old.images is ImageRule.NONE)
    )


def _is_part_in_order(whole: Sequence[PlannedServer], part: Sequence[PlannedServer]) -> bool:
    rest = iter(whole)
    return bool(part) and all(server in rest for server in part)


def _tolerates_no_more(old: float | None, new: float | None) -> bool:
    """None tolerates anything."""
    return old is None or (new is not None and new <= old)


def _is_as_late(old: datetime | None, new: datetime | None) -> bool:
    """None is the earliest: nothing is waited for."""
    return old is None or (new is not None and new >= old)


def same_pool(old: PlanData, new: PlanData) -> str | None:
    """Return None if both plans stand on the same servers and nodes, else the sentence what differs."""
    before = {server.server_id: server for server in (*old.servers, *old.remaining)}
    after = {server.server_id: server for server in (*new.servers, *new.remaining)}
    gone = sorted(before[key].name for key in before.keys() - after.keys())
    came = sorted(after[key].name for key in after.keys() - before.keys())
    if gone:
        return f"{', '.join(gone)} left the pool since the plan was drawn up."
    if came:
        return f"{', '.join(came)} joined the pool since the plan was drawn up."
    changed = sorted(before[key].name for key in before if _identity(before[key]) != _identity(after[key]))
    if changed:
        return f"{', '.join(changed)} changed since the plan was drawn up (address, node or identity)."
    if [server.server_id for server in old.servers] != [server.server_id for server in new.servers]:
        return "Other servers, or another order, would come out now than when the plan was drawn up."
    return None


def _identity(server: PlannedServer) -> PlannedServer:
    # A server may move to another physical host without being another server.
    return replace(server, host_id=None)
