"""Schedules: what may go wrong, and when. One list of possibilities for Hypothesis and for a plain seed."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from tests.faults.simulation import Event

BUSY_S = 110.0
"""Things happen within this time; the rest of the schedule is quiet."""
MOST_POINTS = 220
"""A quiet run of three servers passes a little more than this many points of a tick."""

FAULTS = [
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
    ("server.show server_error", 5, None),
    ("server.list empty_list", 2, None),
    ("status.read false_zero", 2, None),
    ("status.read status_down", 4, None),
    ("status.read stale", 2, None),
    ("* delay", 5, 3.0),
    ("* server_error", 3, None),
    ("* reset_after", 2, None),
    ("* over_limit", 3, 2.0),
]
COMMANDS = [
    ("pause", ()),
    ("pause", (("when", "now"),)),
    ("resume", ()),
    ("resume", (("confirm", True),)),
    ("resume", (("confirm", True), ("servers", ["none"]))),
    ("abort", ()),
    ("put_back", ()),
    ("put_back", (("server", 0),)),
    ("skip", (("server", 2),)),
    ("skip", (("server", 1),)),
    ("finish_here", ()),
    ("wait", (("seconds", 30),)),
]
HANDS = [
    ("DISABLED any", 0),
    ("DRAINING any", 4),
    ("ENABLED planned", 0),
    ("ENABLED planned", 1),
    ("remove_node any", 3),
    ("remove_node planned", 1),
    ("add_node planned", 0),
    ("delete_server planned", 1),
    ("delete_server planned", 2),
    ("kill_server any", 4),
    ("kill_server planned", 0),
    ("lock_server planned", 0),
    ("rename_server planned", 1),
    ("attach_volume planned", 0),
]
DEMANDS = [0.2, 1.5, 2.2, 3.5]


def _hand(at_s: float, which: tuple) -> Event:
    name, number = which
    extra: tuple = ()
    if name.startswith("rename_server"):
        extra = (("name", "renamed"),)
    if name.startswith("attach_volume"):
        extra = (("volume_id", "vol-1"),)
    return Event(at_s, "hand", name, (number, *extra))


def random_events(random: Random, most: int = 8) -> list[Event]:
    """Return a schedule drawn from a seed."""
    return [_random_event(random) for _ in range(random.randint(1, most))]


def _random_event(random: Random) -> Event:
    at_s = round(random.uniform(0.0, BUSY_S), 1)
    kind = random.choices(
        ["fault", "die", "freeze", "command", "hand", "demand", "wake", "standstill", "other"],
        [30, 18, 12, 16, 8, 5, 3, 5, 3],
    )[0]
    if kind == "fault":
        name, times, seconds = random.choice(FAULTS)
        return Event(at_s, "fault", name, (times, seconds))
    if kind == "die":
        return Event(random.randint(1, MOST_POINTS), "die")
    if kind == "freeze":
        return Event(random.randint(1, MOST_POINTS), "freeze", "", (random.choice([3.0, 11.0, 16.0, 40.0]),))
    if kind == "command":
        name, args = random.choice(COMMANDS)
        return Event(at_s, "command", name, args)
    if kind == "hand":
        return _hand(at_s, random.choice(HANDS))
    if kind == "demand":
        return Event(at_s, "demand", "", (random.choice(DEMANDS),))
    if kind == "standstill":
        return Event(at_s, random.choice(["standstill", "lift"]))
    if kind == "other":
        return random.choice(
            [
                Event(at_s, "approval", "", (False,)),
                Event(at_s, "in_charge", "", (None,)),
                Event(at_s, "in_charge", "", ("Lena",)),
                Event(at_s, "protect", "", (1,)),
            ]
        )
    return Event(at_s, "wake")


def _moments() -> st.SearchStrategy[float]:
    return st.integers(0, int(BUSY_S * 10)).map(lambda tenths: tenths / 10)


def event_lists(most: int = 8) -> st.SearchStrategy[list[Event]]:
    """Return schedules as Hypothesis draws and shrinks them."""
    points = st.integers(1, MOST_POINTS)
    fault = st.builds(
        lambda at, which: Event(at, "fault", which[0], which[1:]), _moments(), st.sampled_from(FAULTS)
    )
    command = st.builds(
        lambda at, which: Event(at, "command", which[0], which[1]), _moments(), st.sampled_from(COMMANDS)
    )
    hand = st.builds(_hand, _moments(), st.sampled_from(HANDS))
    demand = st.builds(
        lambda at, much: Event(at, "demand", "", (much,)), _moments(), st.sampled_from(DEMANDS)
    )
    die = st.builds(lambda point: Event(point, "die"), points)
    freeze = st.builds(
        lambda point, s: Event(point, "freeze", "", (s,)), points, st.sampled_from([3.0, 11.0, 16.0, 40.0])
    )
    stand = st.builds(
        lambda at, what: Event(at, what), _moments(), st.sampled_from(["standstill", "lift", "wake"])
    )
    return st.lists(
        st.one_of(fault, fault, die, die, freeze, command, command, hand, demand, stand), max_size=most
    )
