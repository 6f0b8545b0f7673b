"""What a clock, a missing look or a missing monitor must not make a run do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.cloud.types import BalancerStatus, Condition, NodeStatus
from portal.runs.types import HaltRank, Outcome, OutcomeKind, RunStatus
from scaledown import looks
from scaledown.needs import needs_of
from scaledown.progress import Meter
from scaledown.types import Grade, Observation, Phase, PlannedNode
from tests.scaledown.machine_cases import LB, START, Desk, a_plan, planned
from tests.scaledown.test_late_changes import with_lost_drain
from tests.scaledown.test_machine_may_delete import Case

HOUR = timedelta(hours=1)


# --- a clock that was set back --------------------------------------------------------------------------


def test_figures_from_the_future_are_not_fresh():
    now = START
    assert looks.fresh_rps(Meter(rps=5.0, rps_at=now), now) == 5.0
    assert looks.fresh_rps(Meter(rps=5.0, rps_at=now + HOUR), now) is None


def test_a_verdict_from_the_future_allows_no_deletion():
    case = Case()
    assert case.refusal() is None
    verdict = case.way.verdict
    case.way = replace(case.way, verdict=replace(verdict, at=verdict.at + HOUR))
    assert case.refusal().code == "verdict_too_old"


def test_an_answer_from_the_future_counts_for_no_floor():
    desk = Desk()
    desk.has_monitor = False
    desk.until_phase(Phase.DRAINING)
    meters = {k: Meter(answered_at=desk.now + HOUR) for k in ("srv-1", "srv-2", "srv-3", "srv-5")}
    progress = replace(desk.progress, meters=meters)
    found = looks.may_take_out(desk.plan, desk.plan.servers[0], progress, desk.observation(), desk.now)
    assert found.code == "answer"


def test_probes_and_load_are_read_on_although_the_clock_was_set_back():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    back = desk.now - HOUR
    needs = needs_of(desk.plan, desk.progress, desk.people(), back)
    assert needs.probes
    assert set(needs.counts) >= {"srv-1", "srv-2", "srv-3"}


def test_load_is_measured_on_although_the_clock_was_set_back():
    desk = Desk(a_plan(ceiling_rps=100.0, hold_s=7200.0, servers=(planned(6),)))
    total = 0
    for second in range(150):
        total += 20
        desk.requests = dict.fromkeys(desk.servers, total)
        desk.look(1.0 if second != 100 else -3600.0)
    assert desk.status is RunStatus.RUNNING
    assert looks.fresh_rps(desk.progress.meters["srv-1"], desk.now) == pytest.approx(20.0)


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0, 86_400.0])
@pytest.mark.parametrize("phase", [Phase.DRAINING, Phase.VERIFYING, Phase.HELD])
def test_danger_puts_back_at_once_although_the_clock_jumped(phase, jump_s):
    desk = Desk(a_plan(hold_s=900.0))
    desk.until_phase(phase)
    desk.look(jump_s)
    desk.probe_ok = False
    for _ in range(15):
        desk.look()
    assert desk.condition(6) is Condition.ENABLED


# --- unknown and zero ---------------------------------------------------------------------------------------


def test_connections_that_become_known_before_the_removal_are_not_cut_unasked():
    plan = a_plan(accepted_grade=Grade.TIMED)
    desk = Desk(plan)
    desk.connections["srv-6"] = None
    desk.until(lambda: desk.way().drain is not None and desk.way().drain.seen_at is not None)
    held_off = desk.until(lambda: desk.way().drain.limit_at - desk.now < timedelta(seconds=2))
    held_off.progress = replace(desk.progress, retry_at=desk.now + timedelta(seconds=5))
    desk.until_phase(Phase.REMOVING)
    desk.connections["srv-6"] = 7
    desk.until(lambda: desk.status is RunStatus.HALTED or desk.condition(6) is None, most=30)
    assert desk.condition(6) is Condition.DRAINING
    assert desk.halt.code == "drain_limit"
    assert "7 connections" in desk.halt.says


# --- without a health monitor -------------------------------------------------------------------------------


def silent(desk: Desk, *servers: int) -> None:
    for server in servers:
        desk.connections[f"srv-{server}"] = None


def test_without_a_monitor_servers_that_no_longer_answer_break_the_floor():
    desk = Desk(a_plan(servers=(planned(6),), hold_s=3600.0))
    desk.has_monitor = False
    desk.until_phase(Phase.HELD)
    silent(desk, 1)
    desk.until(lambda: desk.condition(6) is Condition.ENABLED, most=60)
    assert desk.halt.code == "floor_broken"
    assert desk.halt.rank is HaltRank.DECIDE_TODAY


def test_without_a_monitor_nothing_is_deleted_while_fewer_than_the_floor_answer():
    case = Case()
    pool = {k: replace(b, has_health_monitor=False) for k, b in case.observation.balancers.items()}
    case.observation = replace(case.observation, balancers=pool)
    fresh = {s.server_id: Meter(answered_at=case.now) for s in case.plan.remaining}
    case.progress = replace(case.progress, meters=fresh)
    assert case.refusal() is None
    old = fresh | {"srv-1": Meter(answered_at=case.now - timedelta(seconds=40))}
    case.progress = replace(case.progress, meters=old)
    assert case.refusal().code == "floor"


# --- a balancer that is not seen ---------------------------------------------------------------------------


class TwoBalancers(Desk):
    """The pool of `Desk` behind a second balancer too, which shows what the first one shows, or nothing."""

    def __init__(self):
        def both(server):
            second = replace(server.nodes[0], balancer_id="72", node_id=f"x{server.nodes[0].node_id}")
            return replace(server, nodes=(*server.nodes, second))

        plan = a_plan()
        super().__init__(
            replace(
                plan,
                balancer_ids=("71", "72"),
                servers=tuple(both(s) for s in plan.servers),
                remaining=tuple(both(s) for s in plan.remaining),
            )
        )
        self.second_seen = True

    def observation(self) -> Observation:
        seen = super().observation()
        first = seen.balancers["71"]
        by_id = {"71": [], "72": []}
        for node in first.nodes:
            by_id["72" if self.owner_of(node.node_id) == "72" else "71"].append(node)
        pool = {k: replace(first, balancer_id=k, name=f"web-{k}", nodes=tuple(v)) for k, v in by_id.items()}
        if not self.second_seen:
            del pool["72"]
        return replace(seen, balancers=pool)

    def owner_of(self, node_id: str) -> str:
        return "72" if node_id.startswith("x") or node_id in self.added_to_second else "71"

    @property
    def added_to_second(self):
        return {
            f"new-{number}"
            for number, action in enumerate(self.sent, start=1)
            if action.name == "add_node" and action.args["balancer_id"] == "72"
        }

    def conditions(self, server: int) -> dict[str, Condition]:
        return {
            self.owner_of(n.node_id): n.condition
            for n in self.nodes.values()
            if n.address == f"10.0.0.{server}"
        }


def test_a_server_on_two_balancers_leaves_both_and_comes_back_on_both():
    desk = TwoBalancers()
    desk.until_phase(Phase.VERIFYING)
    assert desk.conditions(6) == {}
    desk.probe_ok = False
    desk.until(lambda: desk.phase() is Phase.RESTORED, most=30)
    assert desk.conditions(6) == {"71": Condition.ENABLED, "72": Condition.ENABLED}


@pytest.mark.parametrize("sees_again", [False, True])
def test_danger_puts_back_on_the_balancers_that_are_seen_while_another_one_is_not(sees_again):
    desk = TwoBalancers()
    desk.until_phase(Phase.VERIFYING)
    desk.second_seen = False
    desk.probe_ok = False
    desk.until(lambda: desk.conditions(6).get("71") is Condition.ENABLED, most=10)
    assert desk.status is RunStatus.HALTED
    assert desk.halt.rank is HaltRank.SITE_IN_DANGER
    for _ in range(20):
        desk.look()
    assert desk.conditions(6) == {"71": Condition.ENABLED}
    assert desk.phase() is not Phase.RESTORED
    desk.second_seen = sees_again
    for _ in range(20):
        desk.look()
    assert (desk.conditions(6).get("72") is Condition.ENABLED) is sees_again


def test_nothing_but_putting_back_is_sent_while_a_balancer_is_not_seen():
    desk = TwoBalancers()
    desk.until_phase(Phase.DRAINING)
    desk.second_seen = False
    sent = len(desk.sent)
    for _ in range(30):
        desk.look()
    assert desk.sent[sent:] == []


# --- what a person accepts does not make the run forget ---------------------------------------------------


def test_a_confirmed_resume_does_not_forget_that_a_lost_change_may_land():
    desk = with_lost_drain()
    desk.plan = replace(desk.plan, floor=2)
    desk.nodes["401"] = replace(desk.nodes["401"], condition=Condition.DISABLED)
    desk.until(lambda: "changed_by_other_hand" in desk.kinds(), most=5)
    late = desk.way().nodes[0].late
    assert late
    desk.command("resume", confirm=True)
    assert set(late) <= set(desk.way().nodes[0].late)


# --- one server, two nodes on one balancer -------------------------------------------------------------------


def test_a_server_with_two_nodes_on_one_balancer_leaves_with_both_and_counts_once():
    second = PlannedNode("71", "416", "10.0.0.6", 8080, planned(6).nodes[0].type, None)
    server = replace(planned(6), nodes=(*planned(6).nodes, second))
    desk = Desk(a_plan(servers=(server,), floor=3))
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert desk.names == ["drain_node", "drain_node", "remove_node", "remove_node", "delete_server"]


# --- a long pause, the floor as target -------------------------------------------------------------------


def test_after_a_day_of_pause_a_held_server_is_deleted_only_after_everything_was_looked_at_afresh():
    desk = Desk(a_plan(hold_s=60.0))
    desk.until_phase(Phase.HELD)
    desk.command("pause", when="now")
    desk.look(25 * 3600.0)
    journal = len(desk.journal)
    assert desk.command("resume").accepted
    desk.until(lambda: "delete_server" in desk.names, most=60)
    kinds = [entry.kind for entry in desk.journal[journal:]]
    assert kinds.index("preflight_good") < kinds.index("verdict")


@pytest.mark.parametrize("phase", [Phase.DELETING, Phase.HELD])
def test_a_server_that_is_gone_after_a_day_of_pause_is_no_other_pool_than_was_approved(phase):
    desk = Desk(a_plan(floor=2, hold_s=60.0 if phase is Phase.HELD else 0.0)).until_phase(phase)
    assert desk.command("pause", when="now").accepted
    if phase is Phase.HELD:
        desk.servers["srv-6"] = replace(desk.servers["srv-6"], is_gone=True, created_at=None)
    desk.now += timedelta(hours=25)
    assert desk.command("resume").accepted
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=400)
    assert desk.phase(6) is (Phase.GONE if phase is Phase.HELD else Phase.RETIRED)
    assert desk.phase(5) is Phase.RETIRED


def test_a_standstill_in_mid_drain_changes_nothing_and_the_drain_goes_on_when_it_is_lifted():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    desk.connections["srv-6"] = 4
    for _ in range(10):
        desk.look()
    desk.standstill = "Everything is stopped."
    sent = len(desk.sent)
    for _ in range(30):
        desk.look()
    assert len(desk.sent) == sent
    desk.standstill = None
    desk.connections["srv-6"] = 0
    desk.until_phase(Phase.RETIRED)


def test_looks_that_fail_now_and_then_keep_no_node_draining_through_a_standstill():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    desk.connections["srv-6"] = 4
    desk.standstill = "Everything is stopped."
    for number in range(100):
        desk.visible = number % 20 != 19
        desk.look(10.0)
    assert desk.condition(6) is Condition.ENABLED
    assert desk.phase(6) is Phase.QUEUED


def test_a_standstill_that_was_lifted_counts_for_no_later_one():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    desk.connections["srv-6"] = 4
    desk.plan = replace(desk.plan, drain_limit_s=7200.0)
    for seconds in (800.0, 1.0, 800.0):
        desk.standstill = "Everything is stopped." if seconds > 1.0 else None
        for _ in range(8):
            desk.look(seconds / 8)
    assert desk.condition(6) is Condition.DRAINING


@pytest.mark.parametrize(("number", "code"), [(5, "drain_limit"), (6, "protected_server")])
def test_a_lesser_reason_to_halt_takes_no_question_away_that_it_does_not_answer(number, code):
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    desk.connections["srv-6"] = 4
    desk.until(lambda: desk.status is RunStatus.HALTED)
    desk.protected = frozenset({f"srv-{number}"})
    for _ in range(5):
        desk.look()
    assert desk.halt.code == code
    assert desk.phase(5) is (Phase.SKIPPED if number == 5 else Phase.QUEUED)
    assert desk.kinds().count("also_halted") == (number == 5)
    assert ("web-06 was not removed" in desk.progress.says) is (number == 5)


# --- an address that is another server's by now ----------------------------------------------------------


def with_reused_address(**changes) -> Desk:
    """Return a run whose first server is deleted, and whose address serves again, as somebody else's server."""
    desk = Desk(a_plan(**changes)).until_phase(Phase.RETIRED)
    desk.nodes["999"] = replace(desk.nodes["401"], node_id="999", address="10.0.0.6")
    return desk


def test_a_stranger_at_the_address_of_a_deleted_server_does_not_count_for_the_floor():
    desk = with_reused_address(remaining=(planned(1), planned(2)), target=2, floor=2, pause_between_s=5.0)
    desk.nodes["402"] = replace(desk.nodes["402"], status=NodeStatus.OFFLINE)
    sent = len(desk.sent)
    for _ in range(60):
        desk.look()
    assert desk.names[sent:] == []
    assert desk.phase(5) is Phase.QUEUED
    assert "node_added_by_other_hand" in desk.kinds()


def test_a_stranger_at_the_address_of_a_deleted_server_makes_no_load_unknown():
    class Asked(Desk):
        """A pool whose servers count our own looks as well, and are visited while they serve."""

        def observation(self):
            for server_id in needs_of(self.plan, self.progress, self.people(), self.now).counts:
                self.requests[server_id] += 1
            for node in self.nodes.values():
                self.requests[f"srv-{node.address[-1]}"] += 10
            return super().observation()

    desk = Asked(a_plan(floor=2, ceiling_rps=1000.0))
    desk.requests = dict.fromkeys(desk.servers, 0)
    desk.until_phase(Phase.RETIRED)
    desk.nodes["999"] = replace(desk.nodes["401"], node_id="999", address="10.0.0.6")
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert desk.phase(5) is Phase.RETIRED


def test_a_drain_that_could_not_be_counted_is_not_said_to_have_nothing_that_counts():
    desk = Desk(a_plan(accepted_grade=Grade.TIMED))
    desk.connections["srv-6"] = None
    desk.until_phase(Phase.VERIFYING)
    assert desk.way().drain.evidence == "waited 60 s; its connections could not be counted (no answer)"


def test_the_node_of_a_server_that_another_hand_deleted_is_said_to_be_left_and_not_to_be_new():
    desk = Desk(a_plan(floor=2)).until_phase(Phase.DRAINING)
    desk.connections["srv-6"] = None
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], is_gone=True, created_at=None)
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert desk.phase(6) is Phase.GONE
    assert [e.detail["balancers"] for e in desk.journal if e.kind == "node_left"] == [[LB]]
    assert "node_added_by_other_hand" not in desk.kinds()


@pytest.mark.parametrize("status", [BalancerStatus.SUSPENDED, BalancerStatus.PENDING_DELETE])
def test_a_balancer_in_a_state_that_does_not_pass_halts_at_once(status):
    desk = Desk(a_plan(floor=2)).until_phase(Phase.RETIRED)
    desk.balancer_status = status
    desk.until(lambda: desk.status is RunStatus.HALTED, most=5)
    assert status.value in desk.halt.says


@pytest.mark.parametrize("code", ["last_node", "last_primary", "needs_monitor", "forbidden"])
def test_a_refusal_that_means_a_person_is_needed_is_not_tried_again(code):
    desk = Desk()
    desk.outcome = Outcome(OutcomeKind.REFUSED, "The provider refuses to take the last enabled node.", code)
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.names == ["drain_node"]
    assert desk.halt.code == "change_refused"
