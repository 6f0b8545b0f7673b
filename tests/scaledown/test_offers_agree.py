"""What is offered is accepted, and what is accepted is offered: for every command, in every state that a run gets into."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.cloud.types import BalancerStatus, Condition, NodeStatus
from portal.runs.types import Command, Outcome, OutcomeKind, RunStatus
from scaledown.commands import HANDLERS
from scaledown.offers import Situation, offers, refusal
from scaledown.types import AtLimit, Phase
from tests.scaledown.machine_cases import Desk, a_plan

REPEATS = {"abort", "put_back", "finish_here", "roll_back"}
"""Repeated, these give the same answer again, and change nothing; what is in force already is not offered."""
LOOK_FIRST = "Try again in a moment."
OUTCOMES = [
    Outcome(OutcomeKind.DONE),
    Outcome(OutcomeKind.NOT_APPLIED, by_reading=True),
    Outcome(OutcomeKind.TRY_LATER, "busy", after_s=20.0),
    Outcome(OutcomeKind.REFUSED, "no"),
]
SERVERS = st.sampled_from([6, 5, 1])


def _node(desk: Desk, server: int, **changes) -> None:
    for node in list(desk.nodes.values()):
        if node.address == f"10.0.0.{server}":
            desk.nodes[node.node_id] = replace(node, **changes)


def _server(desk: Desk, server: int, **changes) -> None:
    desk.servers[f"srv-{server}"] = replace(desk.servers[f"srv-{server}"], **changes)


LOOKS = st.tuples(st.just("look"), st.integers(1, 40), st.sampled_from([1.0, 1.0, 5.0, 20.0]))
EVENTS = st.one_of(
    LOOKS,
    LOOKS,
    st.tuples(st.just("until"), st.sampled_from(list(Phase))),
    st.tuples(st.just("command"), st.sampled_from(sorted(HANDLERS)), SERVERS, st.booleans()),
    st.tuples(st.just("probe"), st.sampled_from([True, True, False, None])),
    st.tuples(st.just("visible"), st.booleans()),
    st.tuples(st.just("balancer"), st.sampled_from(list(BalancerStatus))),
    st.tuples(st.just("connections"), SERVERS, st.sampled_from([0, 3, None])),
    st.tuples(st.just("condition"), SERVERS, st.sampled_from(list(Condition))),
    st.tuples(st.just("offline"), SERVERS),
    st.tuples(st.just("renamed"), SERVERS),
    st.tuples(st.just("gone"), SERVERS, st.booleans()),
    st.tuples(st.just("standstill"), st.sampled_from([None, "Everything is stopped."])),
    st.tuples(st.just("approval"), st.booleans()),
    st.tuples(st.just("protected"), SERVERS),
    st.tuples(st.just("nobody"), st.sampled_from(["", "There is nobody to call."])),
    st.tuples(st.just("outcome"), st.sampled_from(OUTCOMES)),
)


def happen(desk: Desk, event) -> None:
    kind, *values = event
    if desk.status.is_over:
        return
    match kind:
        case "look":
            for _ in range(values[0]):
                desk.look(values[1])
        case "until":
            for _ in range(80):
                if desk.phase() is values[0] or desk.status.is_over:
                    break
                desk.look()
        case "command":
            args = args_of(values[0], f"srv-{values[1]}", confirm=values[2])
            give(desk, values[0], args, after_s=1.0)
        case "probe":
            desk.probe_ok = values[0]
        case "visible":
            desk.visible = values[0]
        case "balancer":
            desk.balancer_status = values[0]
        case "connections":
            desk.connections[f"srv-{values[0]}"] = values[1]
        case "condition":
            _node(desk, values[0], condition=values[1])
        case "offline":
            _node(desk, values[0], status=NodeStatus.OFFLINE)
        case "renamed":
            _server(desk, values[0], name="another")
        case "gone":
            _server(desk, values[0], is_gone=values[1])
        case "standstill":
            desk.standstill = values[0]
        case "approval":
            desk.approval_stands = values[0]
        case "protected":
            desk.protected = frozenset({f"srv-{values[0]}"})
        case "nobody":
            desk.nobody_to_call = values[0]
        case "outcome":
            desk.outcome = values[0]


def args_of(name: str, server: str, *, confirm: bool) -> dict:
    match name:
        case "put_back" | "skip" | "accept":
            return {"server": server}
        case "resume":
            return {"confirm": True} if confirm else {}
        case "pause":
            return {"when": "now" if confirm else "after_this_server"}
        case "wait":
            return {"seconds": 600}
    return {}


def give(desk: Desk, name: str, args, *, after_s: float) -> bool:
    """Give a command at the next look; return whether it was accepted."""
    number = max([0, *desk.answers, *(c.id for c in desk.commands)]) + 1
    desk.commands.append(Command(number, number, name, args, "7", "Lena", "a reason", desk.now))
    desk.look(after_s)
    return desk.answers[number].accepted


def fork(desk: Desk) -> Desk:
    """Return the same run in the same turn, to try a command on."""
    other = copy(desk)
    for name in ("nodes", "servers", "connections", "requests", "answers"):
        setattr(other, name, dict(getattr(desk, name)))
    for name in ("journal", "samples", "sent", "commands"):
        setattr(other, name, list(getattr(desk, name)))
    return other


def check(desk: Desk) -> None:
    now = Situation(desk.status, desk.plan, desk.progress, nobody_to_call=desk.facts().nobody_to_call)
    found = offers(now)
    for offer in found:
        assert refusal(offer.name, offer.args, "a reason", now) is None
        tried = fork(desk)
        number = give(tried, offer.name, dict(offer.args), after_s=0.0)
        assert number, (offer.name, offer.args, list(tried.answers.values())[-1].says)
    offered = {(offer.name, offer.server_id) for offer in found}
    for name in HANDLERS:
        per_server = name in {"put_back", "skip", "accept"}
        for server in [way.server_id for way in desk.progress.servers] if per_server else [None]:
            if (name, server) in offered or (name in REPEATS and is_in_force(desk, name, server)):
                continue
            if LOOK_FIRST in desk.progress.cannot.get(f"{name} {server}", ""):
                continue  # refused for the want of a look, which the next turn takes
            tried = fork(desk)
            accepted = give(tried, name, args_of(name, server or "", confirm=True), after_s=0.0)
            assert not accepted, (name, server, list(tried.answers.values())[-1].says)


def is_in_force(desk: Desk, name: str, server: str | None) -> bool:
    match name:
        case "abort":
            return bool(desk.progress.aborting)
        case "finish_here":
            return bool(desk.progress.finishing)
        case "roll_back":
            return bool(desk.progress.rolling_back)
    return desk.progress.server(server).put_back is not None


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(EVENTS, max_size=8),
    st.sampled_from([0.0, 40.0]),
    st.sampled_from(list(AtLimit)),
)
def test_offers_and_answers_agree(events, hold_s, at_limit):
    desk = Desk(a_plan(hold_s=hold_s, at_limit=at_limit, floor=2))
    for event in events:
        happen(desk, event)
    if not desk.status.is_over:
        desk.look()
    if not desk.status.is_over:
        check(desk)


def test_a_server_whose_deletion_may_still_land_is_not_offered_back():
    desk = Desk(a_plan(floor=2)).until_phase(Phase.HELD)
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, by_reading=True)
    desk.until(lambda: "delete_server" in desk.names)
    check(desk)


def test_offers_and_answers_agree_before_the_start_and_at_every_step_of_a_good_run():
    desk = Desk(a_plan(hold_s=20.0))
    check(desk)
    seen = set()
    for _ in range(200):
        desk.look()
        if not desk.status.is_over and (desk.phase(6), desk.phase(5)) not in seen:
            seen.add((desk.phase(6), desk.phase(5)))
            check(desk)
    assert desk.status is RunStatus.COMPLETED
    assert len(seen) > 8
