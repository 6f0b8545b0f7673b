"""Schedules: what may go wrong, and when. One list of possibilities, for Hypothesis and for a plain seed.

A case is a world, a shape of plan and a list of events. Whoever picks is an argument (`Pick`), so that both ways
draw from the same possibilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from hypothesis import strategies as st

from scaledown.types import PLAN_FORMAT, AtLimit, Grade, ImageRule
from tests.faults.simulation import Event

T = TypeVar("T")

BUSY_S = 110.0
"""Things happen within this time; the rest of the schedule is quiet."""
MOST_POINTS = 480
"""A quiet run of three servers passes about this many points of a tick."""

FAULTS = [  # every row of the provider reference, section 9, that a scale-down can meet
    ("node.update timeout_after", 1, None),
    ("node.update reset_after", 1, None),
    ("node.update timeout_before", 1, None),
    ("node.update reset_before", 1, None),
    ("node.update late", 1, 6.0),
    ("node.update late", 1, 15.0),
    ("node.update late", 1, 40.0),
    ("node.delete late", 1, 40.0),
    ("server.delete late", 1, 80.0),
    ("node.update server_error", 1, None),
    ("node.update over_limit", 2, 3.0),
    ("node.update lb_slow", 1, 40.0),
    ("node.update lb_error", 1, None),
    ("node.delete timeout_after", 1, None),
    ("node.delete reset_before", 1, None),
    ("node.delete late", 1, 7.0),
    ("node.delete server_error", 1, None),
    ("node.delete lb_error", 1, None),
    ("node.add timeout_after", 1, None),
    ("node.add reset_before", 1, None),
    ("node.add truncated", 1, None),
    ("server.delete no_effect", 2, None),
    ("server.delete slow", 1, 60.0),
    ("server.delete timeout_after", 1, None),
    ("server.delete reset_before", 1, None),
    ("server.delete late", 1, 5.0),
    ("server.delete locked", 1, None),
    ("server.delete server_error", 1, None),
    ("lb.show truncated", 3, None),
    ("lb.show server_error", 4, None),
    ("lb.show unavailable", 2, 20.0),
    ("lb.list server_error", 3, None),
    ("server.show truncated", 3, None),
    ("server.show server_error", 1, None, 404),
    ("lb.show server_error", 1, None, 404),
    ("lb.show delay", 2, 6.0),
    ("server.list server_error", 2, None),
    ("volume.list server_error", 2, None),
    ("lb.list delay", 1, 6.5),
    ("server.show server_error", 5, None),
    ("server.list empty_list", 2, None),
    ("status.read false_zero", 2, None),
    ("status.read status_down", 4, None),
    ("status.read stale", 2, None),
    ("server.action timeout_after", 1, None),
    ("server.action timeout_before", 1, None),
    ("server.action reset_before", 1, None),
    ("server.action truncated", 1, None),
    ("server.action late", 1, 30.0),
    ("server.action late", 1, 45.0),
    ("server.action server_error", 1, None),
    ("server.action over_limit", 2, 3.0),
    ("server.action locked", 1, None),
    ("server.action image_error", 1, None),
    ("server.action slow", 1, 40.0),
    ("server.create timeout_after", 1, None),
    ("server.create reset_before", 1, None),
    ("server.create truncated", 1, None),
    ("server.create late", 1, 30.0),
    ("server.create server_error", 1, None),
    ("server.create over_limit", 2, 3.0),
    ("server.create build_error", 1, None),
    ("image.show server_error", 3, None),
    ("image.show server_error", 1, None, 404),
    ("image.list server_error", 3, None),
    ("image.list empty_list", 2, None),
    *(
        (
            f"node.{what} refuses",
            times,
            None,
            422,
            f"Load Balancer '71' has a status of '{state}' and is considered immutable.",
        )
        for what in ("update", "delete", "add")
        for state, times in (
            ("PENDING_UPDATE", 3),
            ("BUILD", 1),
            ("ERROR", 2),
            ("SUSPENDED", 1),
            ("PENDING_DELETE", 1),
        )
    ),
    ("node.update refuses", 1, None, 422, "LoadBalancer is not ACTIVE"),
    ("node.delete refuses", 2, None, 422, "LoadBalancer is not ACTIVE"),
    ("node.update refuses", 1, None, 422, "One or more nodes must remain ENABLED."),
    ("node.delete refuses", 1, None, 422, "No enabled nodes available after delete."),
    ("node.update refuses", 1, None, 400, "you must have at least one primary node enabled"),
    ("node.update refuses", 1, None, 400, "you must enable health monitoring to use secondary nodes"),
    ("node.add refuses", 1, None, 413, "Nodes must not exceed 25 per load balancer."),
    ("node.delete refuses", 1, None, 410, "The load balancer is deleted."),
    ("node.update refuses", 1, None, 403, "Forbidden"),
    ("node.update lb_stuck", 1, None),
    ("node.delete lb_stuck", 1, None),
    ("node.add lb_error", 1, None),
    ("node.delete unavailable", 1, 20.0),
    (
        "server.delete refuses",
        2,
        None,
        409,
        "Cannot 'delete' instance while it is in task_state image_snapshot",
    ),
    ("server.delete refuses", 1, None, 403, "Forbidden"),
    ("server.delete truncated", 1, None),
    ("lb.list truncated", 2, None),
    ("lb.list empty_list", 2, None),
    ("server.list truncated", 2, None),
    ("volume.list truncated", 2, None),
    ("lb.show server_error", 1, None, 410),
    ("* token_expired", 1, None),
    ("* token_revoked", 2, None),
    ("* delay", 5, 3.0),
    ("* server_error", 3, None),
    ("* reset_after", 2, None),
    ("* over_limit", 3, 2.0),
]
COMMANDS = [
    ("pause", ()),
    ("pause", (("when", "now"),)),
    ("pause", (("because", "site_changed"),)),
    ("resume", ()),
    ("resume", (("confirm", True),)),
    ("resume", (("confirm", True), ("servers", ["all"]))),
    ("abort", ()),
    ("roll_back", ()),
    ("roll_back", ()),
    ("grow_again", (("by", 1),)),
    ("grow_again", (("by", 2),)),
    ("put_back", ()),
    ("put_back", (("server", 0),)),
    ("skip", (("server", 2),)),
    ("skip", (("server", 1),)),
    ("finish_here", ()),
    ("wait", (("seconds", 30),)),
    ("go_on", ()),
    ("go_on", (("connections", 50),)),
    ("go_on", (("connections", 1),)),
]
HANDS = [
    ("DISABLED any", 4),
    ("DRAINING any", 4),
    ("ENABLED planned", 0),
    ("ENABLED planned", 1),
    ("DRAINING planned", 1),
    ("DISABLED planned", 0),
    ("remove_node any", 3),
    ("remove_node planned", 0),
    ("remove_node planned", 1),
    ("add_node planned", 0),
    ("add_elsewhere planned", 0),
    ("set_weight planned", 1),
    ("set_type any", 3),
    ("delete_server planned", 0),
    ("delete_server planned", 1),
    ("delete_server planned", 2),
    ("delete_server any", 5),
    ("replace_server any", 3),
    ("replace_server any", 5),
    ("delete_server_slowly planned", 0),
    ("delete_server_slowly planned", 1),
    ("kill_server any", 4),
    ("kill_server planned", 0),
    ("stop_server planned", 0),
    ("lock_server planned", 0),
    ("rename_server planned", 0),
    ("rename_server planned", 1),
    ("rebuild_server planned", 0),
    ("resize_server planned", 0),
    ("attach_volume planned", 0),
    ("set_metadata planned", 0),
    ("set_task_state planned", 0),
    ("set_server_status planned", 0),
    ("direct_traffic planned", 0),
    ("balancer_status any", 0, "ERROR"),
    ("balancer_status any", 0, "SUSPENDED"),
    ("balancer_status any", 0, "ACTIVE"),
]
DEMANDS = [0.2, 1.5, 2.2, 3.5]
FREEZES_S = [3.0, 11.0, 16.0, 40.0]
JUMPS_S = [-40.0, -4.0, 2.0, 9.0, 40.0]
POINTS = [
    "read",
    "before note_intent",
    "after note_intent",
    "before check",
    "after check",
    "before_send",
    "after_send",
    "before settle",
    "after settle",
    "before commit",
    "after commit",
    "before look",
]
MOMENTS = [
    "draining",
    "removing",
    "verifying",
    "held",
    "stopped",
    "imaging",
    "deleting",
    "confirming",
    "watching",
    "watching",
    "retired",
    "recreating",
    "joining",
    "paused",
    "halted",
    "drain_limit",
]
WORLDS = ["launch", "launch", "shared", "shared", "shared_persistent", "no_monitor", "unmatched", "rising"]
WORLDS += ["persistent", "persistent"]
SHAPES: list[dict[str, Any]] = [
    {},
    {"format": PLAN_FORMAT, "slower_allowed": 1.0},
    {"format": PLAN_FORMAT, "slower_allowed": 1.0, "forecast_peak_rps": 200.0},
    {"at_limit": AtLimit.CUT},
    {"at_limit": AtLimit.PUT_BACK},
    {"count_kind": None, "accepted_grade": Grade.TIMED},
    {"accepted_grade": Grade.TIMED},
    {"count_kind": None},
    {"probes": ()},
]
PEAKS = [  # when the peak is over through which servers are held, and until when it is watched
    *[(None, None)] * 4,
    (None, 170.0),
    (None, 250.0),
    (110.0, None),
    (150.0, 150.0),
    (190.0, 190.0),
    (120.0, 200.0),
]
WINDOWS = [None, None, None, (5.0, None), (0.0, 75.0), (10.0, 90.0), (0.0, 140.0)]
WINDOWS += [(0.0, 75.0, (100.0, 300.0)), (0.0, 60.0, (90.0, 150.0), (180.0, 400.0))]


class Pick:
    """Who picks: `of` one of several, `number` a whole number between two, both included."""

    def __init__(self, of: Callable[[Sequence[Any]], Any], number: Callable[[int, int], int]) -> None:
        self.of = of
        self.number = number


@dataclass(frozen=True)
class Case:
    """One schedule with its world: the arguments of `simulate`."""

    events: tuple[Event, ...]
    scenario: str = "launch"
    seed: int = 1
    plan: dict[str, Any] = field(default_factory=dict)
    lose_wakes: bool = False

    def options(self) -> dict[str, Any]:
        """Return the arguments of `simulate` besides the events."""
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            "plan": {"drain_limit_s": 30.0, **self.plan},
            "lose_wakes": self.lose_wakes,
            "horizon_s": 260.0,
        }


def _command(pick: Pick, at_s: float) -> Event:
    name, args = pick.of(COMMANDS)
    return Event(at_s, "command", name, args)


def _hand(pick: Pick, at_s: float) -> Event:
    name, number, *more = pick.of(HANDS)
    return Event(at_s, "hand", name, (number, pick.of([0, 0, 1]), *more))


def _fault(pick: Pick, at_s: float) -> Event:
    name, *args = pick.of(FAULTS)
    return Event(at_s, "fault", name, tuple(args))


def _word(pick: Pick, at_s: float) -> Event:
    kind, *args = pick.of(
        [
            ("standstill",),
            ("standstill",),
            ("lift",),
            ("lift",),
            ("wake",),
            ("approval", False),
            ("growth", False),
            ("calendar", True),
            ("calendar", False),
            ("in_charge", None),
            ("in_charge", "Lena"),
            ("protect", 0),
            ("protect", 1),
        ]
    )
    return Event(at_s, kind, "", tuple(args))


def _demand(pick: Pick, at_s: float) -> Event:
    return Event(at_s, "demand", "", (pick.of(DEMANDS),))


def _jump(pick: Pick, at_s: float) -> Event:
    return Event(at_s, "jump", "", (pick.of(JUMPS_S),))


def _worker(pick: Pick, at_s: float) -> Event:
    kind = pick.of(["die", "die", "freeze", "away"])
    return Event(at_s, kind, "", (pick.of(FREEZES_S),) if kind == "freeze" else ())


TIMED = [_fault, _fault, _command, _command, _hand, _word, _demand, _jump]
INSIDE = [_worker, _worker, _command, _hand, _word, _fault, _jump]


def make_event(pick: Pick) -> Event:
    """Return one event: at a time, at a point of a tick, or when the run comes to something."""
    how = pick.of(["time", "time", "time", "point", "point", "named", "named", "when"])
    if how == "time":
        return pick.of(TIMED)(pick, pick.number(0, int(BUSY_S * 10)) / 10)
    if how == "point":
        inner = pick.of(INSIDE)(pick, 0.0)
        number = pick.number(1, MOST_POINTS)
        if inner.kind in {"die", "freeze"}:
            return Event(number, inner.kind, "", inner.args)
        return Event(number, "at_point", "", (inner,))
    if how == "named":
        return Event(pick.number(1, 14), "at", pick.of(POINTS), (pick.of(INSIDE)(pick, 0.0),))
    inner = pick.of([_command, _command, _hand, _word, _fault, _demand])(pick, 0.0)
    return Event(pick.number(1, 2), "when", pick.of(MOMENTS), (inner,))


def make_case(pick: Pick, events: Sequence[Event]) -> Case:
    """Return a case with these events."""
    peak_over_s, watch_until_s = pick.of(PEAKS)
    plan = {
        **pick.of(SHAPES),
        "floor": pick.of([2, 2, 3]),
        "hold_s": pick.of([0.0, 0.0, 20.0, 70.0]),
        "stop_s": pick.of([0.0, 0.0, 0.0, 8.0, 20.0]),
        "images": pick.of([ImageRule.NONE, ImageRule.NONE, ImageRule.ONE_PER_KIND, ImageRule.EACH]),
        "pause_between_s": pick.of([0.0, 0.0, 5.0]),
        "is_unattended": pick.of([False, False, True]),
        "window": pick.of(WINDOWS),
        "hold_through_s": peak_over_s,
        "watch_until_s": watch_until_s,
    }
    return Case(tuple(events), pick.of(WORLDS), pick.number(1, 9), plan, pick.of([False, False, True]))


def random_events(random: Random, most: int = 8) -> list[Event]:
    """Return a schedule drawn from a seed."""
    pick = Pick(random.choice, random.randint)
    return [make_event(pick) for _ in range(random.randint(1, most))]


def random_case(random: Random, most: int = 10) -> Case:
    """Return a case drawn from a seed."""
    return make_case(Pick(random.choice, random.randint), random_events(random, most))


def _hypothesis_pick(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Pick:
    return Pick(
        lambda things: things[draw(st.integers(0, len(things) - 1))],
        lambda low, high: draw(st.integers(low, high)),
    )


@st.composite
def events(draw) -> Event:
    """Draw one event."""
    return make_event(_hypothesis_pick(draw))


@st.composite
def cases(draw, most: int = 8) -> Case:
    """Draw cases as Hypothesis shrinks them."""
    return make_case(_hypothesis_pick(draw), draw(st.lists(events(), max_size=most)))
