"""What holds of every plan that the planner makes, whatever the pool."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from datetime import timedelta
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity import sizing
from portal.cloud.types import Condition, NodeStatus, NodeType
from portal.errors import Refused
from scaledown.candidates import Added, candidates
from scaledown.canonical import Unreadable, canonical_json, digest, from_plain, plan_from_plain, plan_to_plain
from scaledown.less import is_less
from scaledown.planner import build_plan_data, propose_target
from scaledown.preview import preview
from scaledown.types import Order, PlanData
from tests.scaledown.planner_cases import CHOICE, EVENT, NOW, known, node, pool, server

flags = st.booleans()


@st.composite
def pools(draw):
    """Pools of 1 to 9 servers with whatever may be the matter with them, and what is known of them."""
    count = draw(st.integers(1, 9))
    servers, nodes, protected, volumes, holders = [], [], {}, {}, {}
    for number in range(1, count + 1):
        one = server(
            number,
            host_id=draw(st.sampled_from([None, "a", "b", f"h{number}"])),
            created_at=EVENT + timedelta(hours=draw(st.integers(-100, 100))),
            task_state=draw(st.sampled_from([None, None, None, "rebooting"])),
            is_locked=draw(st.sampled_from([None, False, False, True])),
            metadata=draw(st.sampled_from([{}, {}, {}, {"rax:autoscale:group:id": "g"}])),
        )
        servers.append(one)
        nodes.append(
            node(
                number,
                condition=draw(st.sampled_from([Condition.ENABLED] * 3 + [Condition.DRAINING])),
                status=draw(st.sampled_from([NodeStatus.ONLINE] * 3 + [NodeStatus.OFFLINE])),
                type=draw(st.sampled_from([NodeType.PRIMARY] * 3 + [NodeType.SECONDARY])),
            )
        )
        if draw(st.integers(0, 5)) == 0:
            protected[one.id] = "because"
        volumes[one.id] = draw(st.sampled_from([(), (), None, ("v",)]))
        holders[one.addresses[0]] = draw(st.sampled_from([("71",), ("71",), ("71",), ("71", "9")]))
    record = draw(st.permutations([one.id for one in servers]))[: draw(st.integers(0, count))]
    facts = known(
        added=tuple(Added(position, ref, EVENT) for position, ref in enumerate(record, 1)),
        protected=protected,
        ceiling_rps=draw(st.sampled_from([None, 50.0, 100.0])),
        forecast_peak_rps=draw(st.sampled_from([None, 10.0, 150.0, 400.0])),
    )
    return pool(servers=servers, nodes=nodes, volumes=volumes, holders=holders), facts


@st.composite
def choices(draw):
    return replace(
        CHOICE,
        target=draw(st.one_of(st.none(), st.integers(1, 9))),
        floor=draw(st.integers(1, 4)),
        order=draw(st.sampled_from(Order)),
        lifted=tuple(draw(st.lists(st.sampled_from([f"srv-{n:02}" for n in range(1, 10)]), max_size=3))),
        min_drain_s=draw(st.one_of(st.none(), st.floats(0, 100))),
    )


def planned(choice, seen, facts) -> PlanData | None:
    try:
        return build_plan_data(choice, seen, facts)
    except Refused:
        return None


@given(choices(), pools())
def test_no_plan_goes_below_floor_or_target_nor_holds_an_excluded_server(choice, case):
    seen, facts = case
    found = candidates(choice, seen, facts)
    plan = planned(choice, seen, facts)
    if plan is None:
        return
    out = [one.server_id for one in plan.servers]
    serving = {member.server.id for member in found.members if member.is_serving}
    assert len(serving - set(out)) == plan.target >= plan.floor
    assert not set(out) & {excluded.server_id for excluded in found.excluded}
    assert not set(out) & set(facts.protected)
    assert len(out) == len(set(out)) > 0
    assert set(out) | {one.server_id for one in plan.remaining} == {
        member.server.id for member in found.members
    }
    assert out == [member.server.id for member in found.order][: len(out)]


@given(choices(), pools())
def test_every_server_of_the_pool_is_either_in_the_order_or_excluded_with_a_reason(choice, case):
    seen, facts = case
    found = candidates(choice, seen, facts)
    order = [member.server.id for member in found.order]
    excluded = [one.server_id for one in found.excluded]
    assert sorted(order + excluded) == sorted(member.server.id for member in found.members)
    assert all(one.reasons for one in found.excluded)


@given(choices(), pools())
def test_the_order_does_not_depend_on_how_the_provider_lists_things(choice, case):
    seen, facts = case
    turned = replace(
        seen,
        servers=seen.servers[::-1],
        balancers=tuple(replace(one, nodes=one.nodes[::-1]) for one in seen.balancers),
    )
    assert candidates(choice, seen, facts).order == candidates(choice, turned, facts).order


@given(choices(), pools())
def test_a_proposal_always_makes_a_plan_or_leaves_the_pool_as_it_is(choice, case):
    seen, facts = case
    found = candidates(choice, seen, facts)
    proposal = propose_target(choice, found, facts)
    assert found.serving - len(found.order) <= proposal.count <= found.serving
    assert proposal.count >= min(choice.floor, found.serving)


@given(
    hosts=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    peak=st.integers(0, 900),
    guard=st.sampled_from([0.45, 0.8, 0.99]),
    floor=st.integers(1, 3),
)
def test_a_proposal_leaves_what_sizing_calls_more_than_needed_out(hosts, peak, guard, floor):
    """The planner looks at servers, sizing at numbers that a look left: both come to one size."""
    peak_rps, servers = peak + 0.5, []
    for number, host in enumerate(hosts, 1):
        servers.append(server(number, host_id=f"h{host}", created_at=EVENT + timedelta(hours=20 - number)))
    choice = replace(CHOICE, order=Order.NEWEST_FIRST, floor=floor, guard_share=guard)
    facts = known(ceiling_rps=100.0, forecast_peak_rps=peak_rps)
    nodes = [node(number) for number in range(1, len(hosts) + 1)]
    proposal = propose_target(choice, candidates(choice, pool(servers=servers, nodes=nodes), facts), facts)
    sized = sizing.size(
        sizing.Pool(len(hosts), 100.0, hosts=tuple(hosts)),
        sizing.Demand(peak_rps, peak_rps, peak_rps, NOW, 0.0, 0.0, 0.0),
        sizing.Rules(1.0 - guard, floor),
        NOW,
        next_peak_rps=peak_rps,
    )
    assert len(hosts) - sized.surplus == proposal.count


@given(choices(), pools())
def test_a_preview_ends_at_the_target_and_its_loads_rise(choice, case):
    seen, facts = case
    plan = planned(choice, seen, facts)
    if plan is None:
        return
    result = preview(plan, choice, seen, facts)
    assert [step.nodes_left for step in result.steps][-1] == plan.target
    lefts = [step.nodes_left for step in result.steps]
    assert lefts == sorted(lefts, reverse=True)
    shares = [step.peak_share_of_ceiling for step in result.steps]
    assert all(share is None for share in shares) or shares == sorted(shares)
    assert result.likely_min_s <= result.likely_max_s


@given(choices(), pools())
def test_a_plan_comes_back_from_json_as_it_was_with_the_same_digest(choice, case):
    plan = planned(choice, *case)
    if plan is None:
        return
    stored = json.loads(json.dumps(plan_to_plain(plan)))
    shuffled = dict(reversed(list(stored.items())))
    assert plan_from_plain(shuffled) == plan
    assert digest(plan_from_plain(shuffled)) == digest(plan)
    assert is_less(plan, plan)


FULL = build_plan_data(replace(CHOICE, window_start=NOW), pool(), known())
OTHER = {
    str: lambda value: value + "x",
    int: lambda value: value + 1,
    float: lambda value: value + 0.5,
    bool: lambda value: not value,
}


def changed(value):
    """Return another value of the same shape."""
    if isinstance(value, Enum):
        return next(other for other in type(value) if other is not value)
    if type(value) in OTHER:
        return OTHER[type(value)](value)
    if isinstance(value, tuple):
        return value[1:] if value else ("x",)
    if value is None:
        return NOW + timedelta(days=1)
    return value + timedelta(seconds=1)


def test_every_single_field_of_a_plan_changes_its_digest():
    seen = {digest(FULL)}
    for field in dataclasses.fields(PlanData):
        seen.add(digest(replace(FULL, **{field.name: changed(getattr(FULL, field.name))})))
    assert len(seen) == len(dataclasses.fields(PlanData)) + 1


def test_every_field_of_a_planned_server_and_node_changes_the_digest():
    first = FULL.servers[0]
    for name, value in (
        ("name", "x"),
        ("created_at", NOW),
        ("addresses", ("10.9.9.9",)),
        ("count_url", None),
        ("host_id", "elsewhere"),
        ("flavor_id", None),
        ("nodes", (replace(first.nodes[0], port=81),)),
        ("nodes", (replace(first.nodes[0], weight=7),)),
    ):
        assert digest(replace(FULL, servers=(replace(first, **{name: value}), *FULL.servers[1:]))) != digest(
            FULL
        )


def test_a_whole_number_has_one_spelling():
    assert canonical_json({"soak_s": 60.0}) == canonical_json({"soak_s": 60}) == '{"soak_s":60}'
    assert from_plain(float, 60) == 60.0


def test_a_stored_plan_with_an_unknown_or_missing_field_is_not_read():
    stored = plan_to_plain(FULL)
    for broken, name in (
        ({**stored, "extra": 1}, "extra"),
        ({key: stored[key] for key in stored if key != "floor"}, "floor"),
    ):
        with pytest.raises(Unreadable, match=name):
            plan_from_plain(broken)
