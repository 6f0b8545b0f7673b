"""Whatever goes wrong at the provider: an outcome is true of the world, and a list is whole or not at all."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, event, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from portal.cloud.types import Condition, Done, NodeSpec, ServerSpec
from portal.errors import InDoubt, ProviderFailed, Refused, Trouble, TryLater
from portal.simulator.compute import BASE_IMAGE
from portal.simulator.faults import BEFORE
from tests.cloud.fake import SOON
from tests.cloud.test_against_simulator import Desk

ROUTES = {
    "drain": "node.update",
    "remove": "node.delete",
    "add": "node.add",
    "delete": "server.delete",
    "stop": "server.action",
    "reboot": "server.action",
    "image": "server.action",
    "create": "server.create",
}
# What breaks a change before, while and after it is applied. "delay" waits on the virtual clock and "late" is
# a silence of its own below.
KINDS = [*sorted(set(BEFORE) - {"delay", "late", "status_down"}), "reset_after", "timeout_after", "truncated"]
LANDS_ELSEWHERE = {"lb_error", "lb_stuck", "no_effect"}
"""Faults at which the provider accepts a change and then does not make it: only a later look can tell."""
NEW_ADDRESS = "10.181.9.9"


def state_of(desk: Desk) -> dict[str, object]:
    """What the world is like once everything that is under way has landed."""
    desk.clock.tick(120)
    desk.app.catch_up()
    found: dict[str, object] = {}
    for balancer in desk.world.balancers.values():
        for node in balancer.nodes:
            found[f"node {node.address}"] = node.condition
    for server in desk.world.servers.values():
        # A reboot that is over has left its time and nothing else.
        found[f"server {server.name}"] = server.status, server.updated_t
    for image in desk.world.images.values():
        found[f"image {image.name}"] = "there"
    return found


async def act(desk: Desk, what: str, balancer, server):
    node = balancer.nodes[-1]
    match what:
        case "drain":
            return await desk.cloud.set_condition(balancer.id, node.id, Condition.DRAINING, not_after=SOON)
        case "remove":
            return await desk.cloud.remove_node(balancer.id, node.id, not_after=SOON)
        case "add":
            spec = NodeSpec(NEW_ADDRESS, 80, Condition.DRAINING)
            return await desk.cloud.add_node(balancer.id, spec, not_after=SOON)
        case "delete":
            return await desk.cloud.delete_server(server.id, not_after=SOON)
        case "image":
            return await desk.cloud.create_image(server.id, "web", {"run": "r"}, not_after=SOON)
        case "create":
            spec = ServerSpec("web-anew", "general1-4", BASE_IMAGE, {"run": "r"})
            return await desk.cloud.create_server(spec, not_after=SOON)
        case "reboot":
            return await desk.cloud.reboot_server(server.id, hard=True, not_after=SOON)
        case _:
            return await desk.cloud.stop_server(server.id, not_after=SOON)


@examples(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    what=st.sampled_from(sorted(ROUTES)),
    kind=st.sampled_from([*KINDS, "late", *sorted(LANDS_ELSEWHERE)]),
    also=st.none()
    | st.tuples(st.sampled_from(["lb.show", "lb.list", "server.show"]), st.sampled_from(KINDS)),
    times=st.sampled_from([1, 2, None]),
    status=st.sampled_from([500, 502, 503, 504]),
)
def test_an_outcome_of_a_change_is_true_of_the_world(what, kind, also, times, status):
    async def story():
        desk = Desk()
        balancer, _ = await desk.first()
        server = (await desk.cloud.list_servers())[-1]
        before = state_of(desk)
        await desk.cloud.session()
        desk.fault(kind, ROUTES[what], times=times, status=status, seconds=30.0)
        if also is not None:
            desk.fault(also[1], also[0], times=times, status=status)
        try:
            outcome: object = await act(desk, what, balancer, server)
        except (TryLater, Refused, InDoubt, ProviderFailed) as trouble:
            outcome = trouble
        desk.world.faults.remove()
        return before, outcome, state_of(desk)

    before, outcome, after = asyncio.run(story())
    event(f"{type(outcome).__name__} {getattr(outcome, 'code', '')}")
    if isinstance(outcome, Done):
        if kind not in LANDS_ELSEWHERE:
            assert after != before
    elif not isinstance(outcome, InDoubt):
        assert isinstance(outcome, Trouble)
        assert after == before, f"{outcome!r} promises that nothing was done"


READS = ["lb.list", "lb.show", "server.list", "server.show", "identity.authenticate", "*"]


@examples(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    faults=st.lists(st.tuples(st.sampled_from(READS), st.sampled_from(KINDS), st.integers(1, 3)), max_size=4),
)
def test_a_read_is_whole_or_trouble_and_never_nothing(faults):
    async def story():
        desk = Desk()
        for route, kind, times in faults:
            desk.fault(kind, route, times=times, seconds=1.0)
        seen = []
        for _ in range(4):
            for read, wanted in (
                (desk.cloud.list_balancers, 1),
                (desk.cloud.list_servers, 6),
                (lambda: desk.cloud.balancers_holding("10.181.0.5"), 1),
            ):
                try:
                    seen.append((len(await read()), wanted))
                except (TryLater, ProviderFailed):
                    desk.clock.tick(1)
        return seen

    for found, wanted in asyncio.run(story()):
        assert found == wanted


def test_the_check_of_outcomes_can_fail():
    """A client that took a lost answer for a refusal would be caught."""

    async def story():
        desk = Desk()
        balancer, node = await desk.first()
        before = state_of(desk)
        desk.fault("reset_after", "node.update")
        with pytest.raises(InDoubt):
            await desk.cloud.set_condition(balancer.id, node.id, Condition.DRAINING, not_after=SOON)
        return before, state_of(desk)

    before, after = asyncio.run(story())
    assert before != after
