"""Every clause of the rule that guards deletion forbids by itself (invariant 1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.cloud.types import NodeStatus
from scaledown import looks
from scaledown.progress import NodeState
from scaledown.types import AddressSearch, Phase, Verdict
from tests.scaledown.machine_cases import LB, Desk, a_plan, planned


class Case:
    """A server that may be deleted this very moment."""

    def __init__(self):
        desk = Desk(a_plan(hold_s=30.0, servers=(planned(6),), floor=3))
        desk.until_phase(Phase.HELD)
        desk.now += timedelta(seconds=25)
        self.plan, self.progress, self.now = desk.plan, desk.progress, desk.now
        self.observation = replace(desk.observation(), search=AddressSearch("srv-6", True, (), self.now))
        self.observation = replace(
            self.observation,
            servers={one: replace(seen, observed_at=self.now) for one, seen in desk.servers.items()},
        )
        self.facts = desk.facts()
        self.way = replace(desk.way(), own=replace(desk.way().own, at=self.now))

    def own(self, **changes):
        self.way = replace(self.way, own=replace(self.way.own, **changes))

    def refusal(self):
        return looks.may_delete(self.plan, self.way, self.progress, self.observation, self.facts, self.now)

    def server(self, **changes):
        seen = replace(self.observation.servers["srv-6"], **changes)
        self.observation = replace(self.observation, servers={**self.observation.servers, "srv-6": seen})

    def stays(self, server_id, **changes):
        self.plan = replace(self.plan, floor=2)  # the floor holds without it
        others = self.observation.servers
        seen = replace(others[server_id], **changes)
        self.observation = replace(self.observation, servers={**others, server_id: seen})

    def search(self, **changes):
        self.observation = replace(self.observation, search=replace(self.observation.search, **changes))

    def verdict(self, **changes):
        self.way = replace(self.way, verdict=replace(self.way.verdict, **changes))

    def nodes(self, change):
        balancer = self.observation.balancers[LB]
        changed = replace(balancer, nodes=tuple(change(list(balancer.nodes))))
        self.observation = replace(self.observation, balancers={LB: changed})


def test_a_server_is_deleted_when_every_clause_holds():
    assert Case().refusal() is None


CLAUSES = {
    "it is not in the plan": (
        lambda c: setattr(c, "plan", replace(c.plan, servers=())), "not_planned", False),
    "the approval does not stand": (
        lambda c: setattr(c, "facts", replace(c.facts, approval_stands=False)), "approval", False),
    "another hand changed it": (
        lambda c: setattr(c, "way", replace(c.way, by_hand="It is renamed.")), "by_other_hand", False),
    "it was not looked at": (
        lambda c: setattr(c, "observation", replace(c.observation, servers={})), "no_fresh_look", True),
    "the look is too old": (
        lambda c: c.server(observed_at=c.now - timedelta(seconds=11)), "no_fresh_look", True),
    "it is gone": (lambda c: c.server(is_gone=True), "already_gone", True),
    "its name changed": (lambda c: c.server(name="other"), "identity_changed", False),
    "it was created at another time": (
        lambda c: c.server(created_at=c.now), "identity_changed", False),
    "an address was added": (
        lambda c: c.server(addresses=("10.0.0.6", "192.0.2.6", "192.0.2.66")), "identity_changed", False),
    "an address is missing": (lambda c: c.server(addresses=("10.0.0.6",)), "identity_changed", False),
    "it was never drained": (
        lambda c: setattr(c, "way", replace(c.way, drain=None)), "not_drained", False),
    "its drain has no evidence": (
        lambda c: setattr(c, "way", replace(c.way, drain=replace(c.way.drain, grade=None))), "not_drained", False),
    "it was not seen to leave": (
        lambda c: setattr(c, "way", replace(c.way, left_at=None)), "not_removed", False),
    "the pool was not looked at": (
        lambda c: setattr(c, "observation", replace(c.observation, balancers={})), "no_fresh_pool", True),
    "it is still in the pool": (
        lambda c: c.nodes(lambda n: [*n, replace(n[0], node_id="406", address="10.0.0.6")]), "still_in_pool", False),
    "an add of its node may still land": (
        lambda c: setattr(c, "way", replace(c.way, nodes=tuple(
            replace(n, late=(NodeState.ENABLED,), late_at=c.now) for n in c.way.nodes))), "late_add", True),
    "the floor is broken": (
        lambda c: c.nodes(lambda n: [replace(n[0], status=NodeStatus.OFFLINE), *n[1:]]), "floor", True),
    "it is protected": (
        lambda c: setattr(c, "facts", replace(c.facts, protected=frozenset({"srv-6"}))), "protected", False),
    "it is locked": (lambda c: c.server(is_locked=True), "locked", False),
    "a floating address leads to it": (lambda c: c.server(floating=("203.0.113.9",)), "floating_address", False),
    "the autoscaler owns it": (lambda c: c.server(autoscale_group="g"), "autoscaled", False),
    "it has a task": (lambda c: c.server(task_state="image_snapshot"), "busy", True),
    "it is in a state that is being worked on": (lambda c: c.server(status="RESIZE"), "busy", True),
    "its state is a word that we do not know": (lambda c: c.server(status="NOVEL"), "busy", True),
    "its volumes are not known": (lambda c: c.server(volumes=None), "volumes_unknown", True),
    "it has a volume": (lambda c: c.server(volumes=("vol-1",)), "volumes", False),
    "one that stays was not looked at for long": (
        lambda c: c.stays("srv-2", observed_at=c.now - timedelta(seconds=91)), "remaining_unseen", True),
    "one that stays is gone, and its node serves": (
        lambda c: c.stays("srv-2", is_gone=True), "remaining_changed", False),
    "one that stays is another server now": (
        lambda c: c.stays("srv-2", created_at=c.now), "remaining_changed", False),
    "one that stays has another address than its node": (
        lambda c: c.stays("srv-2", addresses=("10.0.0.77",)), "remaining_changed", False),
    "no search was made": (
        lambda c: setattr(c, "observation", replace(c.observation, search=None)), "no_search", True),
    "the search broke off": (lambda c: c.search(is_complete=False), "no_search", True),
    "the search was for another": (lambda c: c.search(server_id="srv-5"), "no_search", True),
    "the search is 60 s old": (
        lambda c: c.search(observed_at=c.now - timedelta(seconds=60)), "search_too_old", True),
    "the search found it": (lambda c: c.search(found_in=("99",)), "found_elsewhere", False),
    "it was never listened to": (lambda c: setattr(c, "way", replace(c.way, own=None)), "still_serves", True),
    "it was last listened to 16 s ago": (
        lambda c: c.own(at=c.now - timedelta(seconds=16)), "still_serves", True),
    "its figures cannot be read": (lambda c: c.own(problem="no answer"), "still_serves", True),
    "its figures could not be read for long": (
        lambda c: c.own(problem="no answer", unknown_since=c.now - timedelta(seconds=301)), "still_serves", False),
    "it had a request just now": (
        lambda c: c.own(rps=1.0, is_silent=False, noisy_since=c.now), "still_serves", True),
    "it has served for a minute": (
        lambda c: c.own(rps=1.0, is_silent=False, noisy_since=c.now - timedelta(seconds=61)), "still_serves", False),
    "there is no verdict": (
        lambda c: setattr(c, "way", replace(c.way, verdict=None)), "not_verified", True),
    "the verdict is from before it left": (
        lambda c: c.verdict(window_since=c.way.left_at - timedelta(seconds=1)), "not_verified", True),
    "the verdict fails": (lambda c: c.verdict(verdict=Verdict.FAILS), "verdict", False),
    "the verdict tells nothing": (lambda c: c.verdict(verdict=Verdict.INCONCLUSIVE), "verdict", False),
    "the verdict is too old": (
        lambda c: c.verdict(at=c.now - timedelta(seconds=61)), "verdict_too_old", True),
    "a probe fails just now": (
        lambda c: setattr(c, "progress", replace(c.progress, probe_failures={"home": 1})), "not_calm", True),
    "load is over the guard just now": (
        lambda c: setattr(c, "progress", replace(c.progress, hot_looks=1)), "not_calm", True),
}  # fmt: skip


@pytest.mark.parametrize("why", CLAUSES)
def test_a_server_is_not_deleted_when(why):
    case = Case()
    spoil, code, waits = CLAUSES[why]
    spoil(case)
    refusal = case.refusal()
    assert refusal is not None
    assert (refusal.code, refusal.waits) == (code, waits)
    assert refusal.says.endswith(".")


def test_a_server_is_not_deleted_while_another_is_on_its_way_out():
    desk = Desk(a_plan(hold_s=600.0))
    desk.until_phase(Phase.HELD)
    desk.connections["srv-5"] = 1
    desk.until_phase(Phase.DRAINING, 5)
    refusal = looks.may_delete(
        desk.plan, desk.way(6), desk.progress, desk.observation(), desk.facts(), desk.now
    )
    assert refusal.code == "other_in_flight"


@pytest.mark.parametrize("balancer", ["99", LB])
def test_a_server_found_in_any_balancer_is_never_deleted_by_a_run(balancer):
    desk = Desk(a_plan(hold_s=30.0))
    desk.until_phase(Phase.HELD)
    desk.found_in = (balancer,)
    for _ in range(60):
        desk.look()
    assert "delete_server" not in desk.names
    assert desk.halt.code == "delete_forbidden"


def test_a_search_that_never_completes_never_lets_a_server_be_deleted():
    desk = Desk(a_plan(servers=(planned(6),)))
    desk.search_complete = False
    desk.until(lambda: desk.halt is not None, most=900)
    assert desk.halt.code == "waited_for_delete_no_search"
    assert "delete_server" not in desk.names
