"""A change of ours that may still land, and what else must not surprise a run that goes on or ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.cloud.types import BalancerStatus, Condition, NodeStatus
from portal.runs.types import Outcome, OutcomeKind, RunStatus
from scaledown.progress import NodeState, progress_from_plain, progress_to_plain, with_server
from scaledown.types import NodeSeen, Phase
from tests.faults.simulation import Event, Simulation
from tests.scaledown.machine_cases import LB, Desk, a_plan, planned
from tests.scaledown.test_machine_may_delete import Case

SIX = "2001:db8:7810::6"


@pytest.mark.parametrize(
    "address",
    [
        "192.0.2.6",
        "::ffff:192.0.2.6",
        f"[{SIX}]",
        SIX,
        "2001:0db8:7810:0000:0000:0000:0000:0006",
        "2001:DB8:7810:0::6",
    ],
)
def test_a_node_with_any_address_of_the_server_in_any_spelling_forbids_the_deletion(address):
    case = Case()
    server = replace(case.plan.servers[0], addresses=(*case.plan.servers[0].addresses, SIX))
    case.plan = replace(case.plan, servers=(server,))
    case.server(addresses=server.addresses)
    assert case.refusal() is None
    case.nodes(lambda nodes: [*nodes, replace(nodes[0], node_id="999", address=address)])
    assert case.refusal().code == "still_in_pool"


def ended_world(fault: str, abort_s: float, late_s: float = 60.0) -> Simulation:
    events = [Event(0.0, "fault", f"{fault} late", (1, late_s)), Event(abort_s, "command", "abort", ())]
    simulation = Simulation(events, horizon_s=1800.0)
    assert simulation.simulate().status is RunStatus.ABORTED
    simulation.clock.pass_(200.0)
    return simulation


def test_a_drain_that_lands_late_is_undone_before_an_aborted_run_ends():
    world = ended_world("node.update", 8.0).world
    assert {n.condition for lb in world.balancers.values() for n in lb.nodes} == {"ENABLED"}


@pytest.mark.parametrize(("fault", "abort_s"), [("node.delete", 15.0), ("server.delete", 25.0)])
def test_a_removal_or_deletion_that_lands_late_cuts_nobody_although_the_run_was_aborted(fault, abort_s):
    simulation = ended_world(fault, abort_s)
    truth = simulation.world.truth
    assert not [harm for harm in truth.harms if harm.by == "api"]
    assert not [deletion for deletion in truth.wrong_deletions if deletion.by == "api"]
    if fault == "node.delete":
        assert sum(len(lb.nodes) for lb in simulation.world.balancers.values()) == 6


def lost(desk: Desk) -> Desk:
    """Let the next change's answer be lost and reading find it not applied."""
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, by_reading=True)
    return desk


def with_lost_delete() -> Desk:
    desk = Desk(a_plan(servers=(planned(6),), hold_s=30.0))
    desk.until_phase(Phase.HELD)
    lost(desk).until(lambda: "delete_server" in desk.names)
    desk.outcome = Outcome(OutcomeKind.DONE)
    assert "delete_did_not_show" in desk.kinds()
    return desk


def test_a_server_whose_deletion_may_still_land_stays_out_until_it_no_longer_may():
    desk = with_lost_delete()
    assert not (answer := desk.command("put_back", server="srv-6")).accepted
    assert "may still take effect until" in answer.says
    assert desk.command("abort").accepted
    for _ in range(100):
        desk.look(5.0)
    assert (desk.condition(6), desk.phase()) == (None, Phase.HELD)
    assert "stays out" in desk.way().says
    assert "web-06" in desk.progress.says
    desk.until(lambda: desk.status is RunStatus.ABORTED, after_s=5.0, most=400)
    assert desk.condition(6) is Condition.ENABLED
    assert desk.phase() is Phase.RESTORED


def test_a_server_whose_deletion_may_still_land_goes_back_where_the_site_is_in_danger_and_that_is_said():
    desk = with_lost_delete()
    desk.command("abort")
    desk.probe_ok = False
    desk.until(lambda: desk.condition(6) is Condition.ENABLED, most=20)
    assert desk.kinds().count("delete_may_still_land") == 1


def test_a_resume_does_not_lose_that_a_deletion_may_still_land():
    desk = with_lost_delete()
    desk.command("pause", when="now")
    desk.look()
    late_at = desk.way().delete.late_at
    desk.outcome = Outcome(OutcomeKind.TRY_LATER, "busy", after_s=30.0)
    assert desk.command("resume").accepted
    assert desk.way().delete.late_at == late_at
    assert progress_from_plain(progress_to_plain(desk.progress)) == desk.progress


def add_may_land(desk: Desk) -> Desk:
    """Let an add of the first server's node be among the changes that may still land."""
    (node,) = desk.way().nodes
    node = replace(node, late=(NodeState.ENABLED,), late_at=desk.now)
    desk.progress = with_server(desk.progress, replace(desk.way(), nodes=(node,)))
    return desk


def lands(desk: Desk) -> Desk:
    """Let the lost add take effect now."""
    node = desk.plan.servers[0].nodes[0]
    desk.nodes["late"] = NodeSeen(
        "late", node.address, node.port, Condition.ENABLED, NodeStatus.ONLINE, node.type, None
    )
    return desk


@pytest.mark.parametrize("stop_s", [0.0, 30.0])
def test_a_server_whose_add_may_still_land_is_neither_stopped_nor_deleted_until_it_no_longer_may(stop_s):
    desk = Desk(a_plan(servers=(planned(6),), hold_s=30.0, stop_s=stop_s))
    add_may_land(desk.until_phase(Phase.HELD))
    begun = desk.now
    desk.until(lambda: {"stop_server", "delete_server"} & set(desk.names), after_s=5.0, most=400)
    assert (desk.now - begun).total_seconds() >= 600.0
    assert desk.status is RunStatus.RUNNING


@pytest.mark.parametrize("phase", [Phase.VERIFYING, Phase.HELD])
def test_an_add_that_lands_on_a_server_that_had_left_puts_it_back_to_drain_anew(phase):
    desk = Desk(a_plan(servers=(planned(6),), hold_s=30.0))
    lands(add_may_land(desk.until_phase(phase))).look()
    assert desk.kinds().count("put_back_begun") == 1
    desk.until(lambda: desk.names.count("remove_node") == 2)
    assert desk.names.count("drain_node") == 2
    assert desk.status is RunStatus.RUNNING


def test_a_deleted_server_is_watched_until_a_late_add_of_it_no_longer_lands_and_its_node_is_taken_out():
    desk = Desk(a_plan(servers=(planned(6),)))
    add_may_land(desk.until_phase(Phase.DELETING))
    for _ in range(20):
        desk.look()
    assert desk.phase() is Phase.CONFIRMING
    assert desk.progress.waiting.code == "late_change"
    lands(desk).until(lambda: desk.names[-1] == "remove_node" and desk.condition(6) is None, most=5)
    assert desk.phase() is Phase.CONFIRMING, "a second one may land"
    desk.until(lambda: desk.phase() is Phase.RETIRED, after_s=5.0)


def test_an_aborted_run_waits_for_a_late_add_of_a_deleted_server_and_says_that_its_node_is_left():
    desk = Desk(a_plan(servers=(planned(6),)))
    add_may_land(desk.until_phase(Phase.DELETING))
    assert desk.command("abort").accepted
    for _ in range(20):
        desk.look()
    assert desk.status is not RunStatus.ABORTED
    lands(desk).until(lambda: desk.status is RunStatus.ABORTED, most=20)
    assert desk.kinds().count("node_left") == 1


def test_a_late_add_of_a_server_that_another_hand_deleted_is_no_other_hand_and_is_said():
    desk = Desk(a_plan(hold_s=600.0))
    add_may_land(desk.until_phase(Phase.HELD))
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], is_gone=True)
    desk.until_phase(Phase.GONE)
    lands(desk).look()
    assert desk.kinds().count("node_left") == 1
    assert "node_added_by_other_hand" not in desk.kinds()
    for _ in range(60):
        desk.look(5.0)
    assert not desk.status.is_over, "it may still land"
    desk.until(lambda: desk.status is RunStatus.COMPLETED, after_s=5.0, most=300)


def with_lost_drain() -> Desk:
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    lost(desk).until(lambda: "drain_node" in desk.names)
    desk.outcome = Outcome(OutcomeKind.DONE)
    desk.command("pause", when="now")
    desk.look()
    return desk


def test_a_run_finished_here_ends_once_a_lost_change_can_no_longer_land_and_undoes_one_that_does():
    desk = with_lost_drain()
    assert (answer := desk.command("finish_here")).accepted
    assert "web-06" in answer.says
    assert not desk.status.is_over
    desk.nodes["406"] = replace(desk.nodes["406"], condition=Condition.DRAINING)
    for _ in range(5):
        desk.look()
    assert desk.condition(6) is Condition.ENABLED
    desk.until(lambda: desk.status is RunStatus.COMPLETED, after_s=5.0, most=400)
    assert desk.progress.ended_because == "finished_here"


def test_a_soak_that_is_looked_at_too_seldom_halts_and_can_be_resumed():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    desk.until(lambda: desk.status is RunStatus.HALTED, most=10, after_s=16.0)
    assert desk.halt.code == "verify_inconclusive"
    assert desk.phase() is Phase.VERIFYING
    assert desk.command("resume").accepted
    desk.until_phase(Phase.RETIRED)


def test_a_resume_that_leaves_the_same_halt_standing_is_refused_with_the_reason():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], volumes=("vol-1",))
    desk.until(lambda: desk.status is RunStatus.HALTED)
    halt = desk.halt
    answer = desk.command("resume")
    assert not answer.accepted
    assert halt.says in answer.says
    assert (desk.status, desk.halt) == (RunStatus.HALTED, halt)


def landed(desk: Desk, *, task: bool) -> Desk:
    """Let the lost deletion take effect at the provider now."""
    gone = {"is_gone": True, "status": "DELETED"}
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], **({"task_state": "deleting"} if task else gone))
    return desk


@pytest.mark.parametrize("task", [False, True])
def test_a_lost_deletion_that_lands_on_a_held_server_is_our_own(task):
    desk = landed(with_lost_delete(), task=task)
    desk.outcome = Outcome(OutcomeKind.TRY_LATER, "busy", after_s=30.0)
    desk.look()
    desk.look()
    assert desk.phase() in {Phase.DELETING, Phase.CONFIRMING}
    landed(desk, task=False).until(lambda: desk.phase() is Phase.RETIRED, most=20)
    entry = next(entry for entry in desk.journal if entry.kind == "delete_landed_late")
    assert "this run deleted it" in entry.says
    assert "another hand" not in "".join(entry.says for entry in desk.journal)
    assert "not deleted by us" not in "".join(entry.customer_says for entry in desk.journal)
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert "1 server retired" in desk.progress.says


def test_one_wrong_answer_is_not_taken_for_a_late_deletion():
    desk = with_lost_delete()
    desk.outcome = Outcome(OutcomeKind.TRY_LATER, "busy", after_s=30.0)
    alive = desk.servers["srv-6"]
    landed(desk, task=False).look()
    desk.servers["srv-6"] = alive
    for _ in range(5):
        desk.look()
    assert desk.phase() is Phase.HELD


def restored_then_deleted() -> Desk:
    """Return a run whose lost deletion lands after the server had to go back, and that was resumed since."""
    desk = with_lost_delete()
    desk.probe_ok = False
    desk.until(lambda: desk.phase() is Phase.RESTORED, most=20)
    desk.probe_ok = True
    landed(desk, task=False)
    desk.until(lambda: desk.phase() in {Phase.DELETING, Phase.CONFIRMING}, most=20)
    return desk


def test_a_lost_deletion_that_lands_on_a_server_put_back_is_our_own_and_its_node_is_taken_out():
    desk = restored_then_deleted()
    assert desk.command("resume").accepted
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert desk.phase() is Phase.RETIRED
    assert desk.condition(6) is None
    assert desk.names[-1] == "remove_node"


def test_a_node_of_a_deleted_server_that_somebody_takes_out_first_is_no_other_hand():
    desk = restored_then_deleted()
    del desk.nodes[next(n.node_id for n in desk.nodes.values() if n.address == "10.0.0.6")]
    desk.look()
    assert desk.command("resume").accepted
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert desk.names.count("remove_node") == 1


def test_an_aborted_run_says_which_node_of_a_deleted_server_it_leaves():
    desk = restored_then_deleted()
    desk.command("abort")
    desk.until(lambda: desk.status is RunStatus.ABORTED)
    assert desk.phase() is Phase.RETIRED
    left = [entry for entry in desk.journal if entry.kind == "node_left"]
    assert [(entry.subject, entry.detail["balancers"]) for entry in left] == [("srv-6", [LB])]
    assert desk.names.count("remove_node") == 1


def test_the_floor_is_judged_when_a_late_deletion_takes_a_server_that_serves():
    desk = with_lost_delete()
    desk.probe_ok = False
    desk.until(lambda: desk.phase() is Phase.RESTORED, most=20)
    desk.probe_ok = True
    desk.look()
    desk.nodes["403"] = replace(desk.nodes["403"], status=NodeStatus.OFFLINE)
    assert desk.command("resume").accepted
    landed(desk, task=False)
    node = next(n for n in desk.nodes.values() if n.address == "10.0.0.6")
    desk.nodes[node.node_id] = replace(node, status=NodeStatus.OFFLINE)
    desk.until(lambda: desk.status is RunStatus.HALTED, most=5)
    assert desk.halt.code == "floor_broken"


# --- what was asked for and does not show yet --------------------------------------------------------------


def being_removed() -> tuple[Desk, NodeSeen]:
    """Return a run whose removal of a node was accepted and does not show yet, and the node."""
    desk = Desk().until_phase(Phase.DRAINING)
    node = next(n for n in desk.nodes.values() if n.address == "10.0.0.6")
    desk.until(lambda: "remove_node" in desk.names)
    node = replace(node, condition=Condition.DRAINING)
    desk.nodes[node.node_id] = node
    return desk, node


def test_a_person_who_confirms_a_pool_makes_no_other_hands_of_what_is_being_applied():
    desk, node = being_removed()
    desk.nodes["401"] = replace(desk.nodes["401"], condition=Condition.DISABLED)
    desk.look(0.2)
    assert desk.halt.code == "changed_by_other_hand"
    desk.nodes["401"] = replace(desk.nodes["401"], condition=Condition.ENABLED)
    desk.balancer_status = BalancerStatus.PENDING_UPDATE
    assert desk.command("resume", confirm=True).accepted
    del desk.nodes[node.node_id]
    desk.balancer_status = BalancerStatus.ACTIVE
    desk.look(0.2)
    assert (desk.status, desk.way().by_hand) == (RunStatus.RUNNING, "")
    desk.until_phase(Phase.RETIRED)


def test_an_older_change_that_lands_meanwhile_makes_no_other_hands_of_the_newer_one():
    desk, node = being_removed()
    way = desk.way()
    late = replace(way.nodes[0], late=(NodeState.ENABLED,), late_at=desk.now)
    desk.progress = with_server(desk.progress, replace(way, nodes=(late,)))
    desk.nodes[node.node_id] = replace(node, condition=Condition.ENABLED)
    desk.look(0.2)
    del desk.nodes[node.node_id]
    desk.look(0.2)
    assert (desk.status, desk.way().by_hand) == (RunStatus.RUNNING, "")
    assert desk.way().nodes[0].confirmed is NodeState.ABSENT


@pytest.mark.parametrize(("age_s", "is_foreign"), [(60.0, False), (700.0, True)])
def test_a_node_that_is_new_at_its_place_is_ours_only_while_an_add_of_ours_may_still_land(age_s, is_foreign):
    desk = Desk(a_plan()).until_phase(Phase.DRAINING)
    way = desk.way(5)
    (node,) = way.nodes
    node = replace(node, late=(NodeState.ENABLED,), late_at=desk.now - timedelta(seconds=age_s))
    desk.progress = with_server(desk.progress, replace(way, nodes=(node,)))
    desk.nodes["new"] = replace(desk.nodes.pop(node.node_id), node_id="new")
    desk.look()
    desk.look()
    assert (desk.halt is not None and desk.halt.code == "changed_by_other_hand") is is_foreign
    assert (desk.way(5).nodes[0].node_id == "new") is not is_foreign
