"""How two plans differ: whether an approval of one covers the other, whether both stand on the same pool. Pure.

And what somebody asks to become less of one: what of it is more instead, the choice from which the plan is drawn again,
what differs between the two in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from portal.frozen import replace
from scaledown.candidates import Choice
from scaledown.planner import so_many_servers
from scaledown.spans import span_text
from scaledown.types import AtLimit, Grade, ImageRule, PlanData, PlannedServer, PlannedWindow

_GRADES = (Grade.MEASURED, Grade.INFERRED, Grade.TIMED)
_LIMITS = (AtLimit.PUT_BACK, AtLimit.ASK, AtLimit.CUT)
_IMAGES = (ImageRule.NONE, ImageRule.ONE_PER_KIND, ImageRule.EACH)
_FREE = frozenset(
    {
        "servers",
        "remaining",
        "target",
        # Why it is this many, in words: of another number they are others.
        "target_reason",
        "remaining_reason",
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
        "later_windows",
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
        and _are_inside(old.later_windows, new.later_windows)
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


def _are_inside(old: Sequence[PlannedWindow], new: Sequence[PlannedWindow]) -> bool:
    """Whether they are the same windows, each perhaps later at its beginning."""
    return len(old) == len(new) and all(
        was.starts_at <= one.starts_at and one.ends_at == was.ends_at
        for was, one in zip(old, new, strict=True)
    )


@dataclass(frozen=True)
class Less:
    """What somebody asks to become less of a plan; None stays as it is. Durations in seconds."""

    target: int | None = None
    """How many servers stay: those at the end of the order are left out."""
    floor: int | None = None
    drain_limit_s: float | None = None
    soak_s: float | None = None
    hold_s: float | None = None
    pause_between_s: float | None = None
    window_start: datetime | None = None


_SPANS = ("drain_limit_s", "soak_s", "hold_s", "pause_between_s")
_LABELS = {
    "target": "Servers that stay",
    "servers": "Servers that come out",
    "floor": "Never fewer than",
    "drain_limit_s": "Drain limit",
    "soak_s": "Soak",
    "hold_s": "Hold before delete",
    "pause_between_s": "Pause between two servers",
    "window_start": "Not before",
}
_CUSTOMERS_LABELS = {**_LABELS, "drain_limit_s": "Longest wait for connections", "soak_s": "Watch time"}


def is_so_already(plan: PlanData, asked: Less) -> bool:
    """Return whether a plan has all that is asked for."""
    return all(value is None or value == getattr(plan, name) for name, value in vars(asked).items())


def what_is_more(plan: PlanData, asked: Less) -> dict[str, str]:
    """Return a sentence for each field of which more is asked than the plan has, or what leaves no plan; empty for none."""
    found: dict[str, str] = {}
    if asked.target is not None and asked.target < plan.target:
        found["target"] = (
            f"More servers would come out: {plan.target} stay by this plan, and {asked.target} were asked for."
        )
    elif asked.target is not None and asked.target >= plan.target + len(plan.servers):
        found["target"] = (
            f"Nothing would come out: this plan takes out {so_many_servers(len(plan.servers))}. Withdraw it instead."
        )
    if asked.floor is not None and asked.floor < plan.floor:
        found["floor"] = f"Fewer might be left: never fewer than {plan.floor} by this plan."
    elif asked.floor is not None and asked.floor > (asked.target or plan.target):
        found["floor"] = (
            f"Only {so_many_servers(asked.target or plan.target)} would stay. Let more stay, or choose a lower number."
        )
    for name in _SPANS:
        span, now = getattr(asked, name), getattr(plan, name)
        if span is not None and span < now:
            found[name] = f"{span_text(span)} is shorter than the {span_text(now)} of this plan."
    start = asked.window_start
    if start is not None and plan.window_start is not None and start < plan.window_start:
        found["window_start"] = (
            f"It would begin earlier: not before {_moment(plan.window_start)} by this plan."
        )
    elif start is not None and plan.window_end is not None and start >= plan.window_end:
        found["window_start"] = f"The change window is over by then: it ends {_moment(plan.window_end)}."
    return found


def in_one(fields: Mapping[str, str]) -> str:
    """Return what `what_is_more` says of each field, with its name, as one text."""
    return " ".join(f"{_CUSTOMERS_LABELS[name]}: {says}" for name, says in fields.items())


def less_chosen(choice: Choice, plan: PlanData, asked: Less) -> Choice:
    """Return the choice from which a plan is drawn again, with what was asked. How many stay is never proposed anew."""
    given = {name: value for name, value in vars(asked).items() if value is not None}
    return replace(choice, **{"target": plan.target, **given})


@dataclass(frozen=True)
class Changed:
    """One thing that is less now, in words: what it is, what it was, what it became."""

    label: str
    was: str
    became: str

    @property
    def says(self) -> str:
        """All of it in one line."""
        return f"{self.label}: {self.became}, not {self.was}"


def changes(old: PlanData, new: PlanData, *, for_customer: bool = False) -> tuple[Changed, ...]:
    """Return what differs between a plan and what was made less of it."""
    return tuple(_changes(old, new, _CUSTOMERS_LABELS if for_customer else _LABELS))


def _changes(old: PlanData, new: PlanData, labels: dict[str, str]) -> Iterable[Changed]:
    if old.servers != new.servers:
        kept = ", ".join(server.name for server in old.servers if server not in new.servers)
        yield Changed(
            labels["servers"], str(len(old.servers)), f"{len(new.servers)} ({kept} in service as before)"
        )
    if old.floor != new.floor:
        yield Changed(labels["floor"], so_many_servers(old.floor), so_many_servers(new.floor))
    for name in _SPANS:
        was, became = getattr(old, name), getattr(new, name)
        if was != became:
            yield Changed(labels[name], span_text(was), span_text(became))
    if old.window_start != new.window_start and new.window_start is not None:
        was = _moment(old.window_start) if old.window_start else "any time"
        yield Changed(labels["window_start"], was, _moment(new.window_start))


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


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
