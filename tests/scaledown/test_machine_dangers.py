"""What must not go wrong when several things happen at once: put-backs, other hands, cuts and halts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.cloud.types import Condition
from portal.runs import rules
from portal.runs.types import Action, Command, HaltRank, Outcome, OutcomeKind, RunStatus
from scaledown import outcomes, verify
from scaledown.progress import SoakWay
from scaledown.types import Grade, Observation, Phase, PlannedProbe, ProbeSeen, Verdict
from tests.scaledown.machine_cases import LB, START, Desk, a_plan


def draining(connections: int, plan=None) -> Desk:
    desk = Desk(plan)
    desk.connections["srv-6"] = connections
    desk.until_phase(Phase.DRAINING)
    desk.look()
    return desk


def test_a_server_that_cannot_go_back_keeps_no_other_one_out_and_hides_no_danger():
    desk = Desk(a_plan(hold_s=3600.0))
    desk.until(lambda: desk.phase(6) is Phase.HELD and desk.phase(5) is Phase.HELD)
    desk.servers["srv-5"] = replace(desk.servers["srv-5"], status="SHUTOFF")
    desk.probe_ok = False
    for _ in range(30):
        desk.look()
    assert desk.condition(6) is Condition.ENABLED
    assert desk.halt.rank is HaltRank.SITE_IN_DANGER
    assert desk.kinds().count("also_halted") == 1


def test_a_change_by_another_hand_in_the_look_of_a_put_back_halts_the_run():
    desk = draining(3, a_plan(floor=2))
    desk.commands.append(Command(99, 99, "put_back", {"server": "srv-6"}, "7", "Lena", "r", desk.now))
    desk.nodes["401"] = replace(desk.nodes["401"], condition=Condition.DISABLED)
    for _ in range(5):
        desk.look()
    assert desk.kinds().count("changed_by_other_hand") == 1
    assert desk.status is RunStatus.HALTED
    assert desk.condition(6) is Condition.ENABLED


def test_one_failed_count_at_the_drain_limit_does_not_make_known_connections_none():
    desk = draining(40, a_plan(accepted_grade=Grade.TIMED))
    for _ in range(57):
        desk.look()
    assert desk.way().drain.connections == 40
    desk.connections["srv-6"] = None
    for _ in range(6):
        desk.look()
    assert "remove_node" not in desk.names
    assert desk.halt.code == "drain_limit"


def test_connections_that_came_after_a_person_allowed_two_are_not_cut():
    desk = draining(2)
    desk.until(lambda: desk.status is RunStatus.HALTED)
    desk.outcome = Outcome(OutcomeKind.TRY_LATER, "busy", after_s=2.0)
    assert desk.command("go_on", connections=2).accepted
    assert desk.phase() is Phase.REMOVING
    desk.connections["srv-6"] = 25
    desk.outcome = Outcome(OutcomeKind.DONE)
    for _ in range(5):
        desk.look()
    assert desk.condition(6) is Condition.DRAINING


def test_a_node_does_not_drain_for_ever_after_a_halt_by_the_engine():
    desk = draining(3)
    desk.status, desk.halt = RunStatus.HALTED, rules.internal_halt(3, "cannot_look")
    for _ in range(500):
        desk.look(2.0)
    assert desk.condition(6) is Condition.ENABLED


@pytest.mark.parametrize("finishes", [True, False])
def test_finish_here_keeps_a_server_that_is_on_its_way_back_to_the_queue(finishes):
    desk = draining(3)
    desk.outcome = Outcome(OutcomeKind.TRY_LATER, "busy", after_s=2.0)
    desk.command("pause", when="now")
    if finishes:
        assert desk.command("finish_here").accepted
    desk.outcome = Outcome(OutcomeKind.DONE)
    desk.connections["srv-6"] = 0
    for _ in range(20):
        desk.look()
    desk.command("resume")
    desk.until(lambda: desk.status.is_over)
    assert ("delete_server" in desk.names) is not finishes


@pytest.mark.parametrize("value", ["abc", [1], {"a": 1}])
def test_a_command_with_a_value_of_a_wrong_kind_is_refused_and_stops_no_later_tick(value):
    desk = draining(3)
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert not desk.command("go_on", connections=value).accepted
    assert desk.command("abort").accepted


def test_a_change_in_doubt_at_a_balancer_that_is_gone_can_be_read():
    gone = Observation(START, missing_balancers=frozenset({LB}))
    args = {"server_id": "srv-6", "balancer_id": LB, "address": "10.0.0.6", "port": 80}
    assert outcomes.effect(Action("drain_node", "srv-6", "", {**args, "state": "DRAINING"}), gone) is False
    assert outcomes.effect(Action("remove_node", "srv-6", "", {**args, "state": "ABSENT"}), gone) is True


def test_a_busy_provider_does_not_hide_that_traffic_does_not_keep_up():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    desk.probe_ok = False
    desk.outcome = Outcome(OutcomeKind.TRY_LATER, "busy", after_s=2.0)
    desk.until(lambda: desk.status is RunStatus.HALTED)
    for _ in range(700):
        desk.look()
    assert desk.halt.code == "traffic_not_keeping_up"


def test_an_accepted_drain_that_shows_only_after_a_put_back_was_asked_is_our_own_hand():
    desk = Desk()
    desk.connections["srv-6"] = 3
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk._apply, apply = lambda action: None, desk._apply
    desk.until(lambda: "drain_node" in desk.names)
    desk.command("pause", when="now")
    desk.look()
    desk.nodes["406"] = replace(desk.nodes["406"], condition=Condition.DRAINING)
    desk._apply = apply
    for _ in range(30):
        desk.look()
    assert desk.condition(6) is Condition.ENABLED
    assert "changed_by_other_hand" not in desk.kinds()


def test_a_soak_without_any_load_figure_does_not_pass_where_ceiling_and_source_are_known():
    ends = START + timedelta(seconds=10)
    soak = SoakWay(START, ends, probes_ok=10, pool_looks=10)
    found = verify.judge(soak, a_plan(ceiling_rps=95.0), has_monitor=True, pool_rps=None, now=ends)
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_probe_that_is_never_made_lets_no_server_be_deleted_though_all_others_are_good():
    names = ("home", "search", "cart", "checkout")
    probes = tuple(PlannedProbe(name=name, url=f"https://www.example.com/{name}") for name in names)

    class Blind(Desk):
        """Once the run has begun `checkout` cannot be asked any more."""

        def observation(self):
            seen = super().observation()
            blind = "checkout" if self.progress.started_at else ""
            return replace(
                seen,
                probes=tuple(
                    ProbeSeen(p.name, p.url, None if p.name == blind else True, 200, 80.0, self.now)
                    for p in probes
                    if seen.probes
                ),
            )

    desk = Blind(a_plan(probes=probes))
    desk.until(lambda: desk.status is RunStatus.HALTED, most=400)
    assert "delete_server" not in desk.names
    assert desk.halt.code == "verify_inconclusive"
    assert "checkout" in desk.halt.says


@pytest.mark.parametrize("ends", ["silence", "window"])
def test_a_server_that_another_hand_renamed_does_not_drain_for_ever(ends):
    window_end = START + timedelta(seconds=600) if ends == "window" else None
    desk = draining(3, a_plan(window_end=window_end))
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], name="web-06-do-not-touch")
    for _ in range(70 if ends == "window" else 100):
        desk.look(10.0)
    assert desk.condition(6) is Condition.ENABLED
    assert desk.phase() is Phase.QUEUED
    assert desk.status is RunStatus.HALTED
    assert desk.command("resume", confirm=True).accepted
    desk.look()
    assert desk.phase() is Phase.SKIPPED


def test_a_node_that_another_hand_changed_is_left_as_it_is_after_the_silence():
    desk = draining(3)
    desk.nodes["406"] = replace(desk.nodes["406"], condition=Condition.DISABLED)
    for _ in range(100):
        desk.look(10.0)
    assert desk.halt.code == "changed_by_other_hand"
    assert desk.condition(6) is Condition.DISABLED


def test_a_server_that_loses_its_addresses_while_it_is_deleted_is_nobody_elses_change():
    desk = Desk(a_plan(hold_s=0.0))
    apply = desk._apply

    def empties(action):
        if action.name == "delete_server":
            server = desk.servers[action.args["server_id"]]
            desk.servers[server.server_id] = replace(server, task_state="deleting", addresses=())
        else:
            apply(action)

    desk._apply = empties
    desk.until_phase(Phase.DELETING)
    for _ in range(5):
        desk.look()
    assert desk.status is RunStatus.RUNNING
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], is_gone=True, status="DELETED", task_state=None)
    desk.until_phase(Phase.RETIRED)


def test_a_held_server_that_another_hand_deletes_is_noted_as_gone_and_the_run_goes_on():
    desk = Desk(a_plan(hold_s=300.0))
    desk.until_phase(Phase.HELD)
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], task_state="deleting", addresses=())
    for _ in range(5):
        desk.look()
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], is_gone=True, status="DELETED", task_state=None)
    desk.listed = True
    for _ in range(40):
        desk.look()
    assert desk.phase() is Phase.GONE
    assert desk.status is RunStatus.RUNNING


def test_a_server_without_its_addresses_that_nobody_deletes_was_changed_by_another_hand():
    desk = Desk(a_plan(hold_s=300.0))
    desk.until_phase(Phase.HELD)
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], addresses=())
    desk.look()
    assert desk.halt.code == "changed_by_other_hand"


@pytest.mark.parametrize(
    ("became", "says"),
    [({"image_id": "img-other"}, "rebuilt"), ({"flavor_id": "general1-8"}, "size")],
)
def test_a_server_that_was_rebuilt_or_resized_while_it_was_held_is_not_the_one_that_was_approved(
    became, says
):
    plan = a_plan(hold_s=300.0)
    made_of = {"flavor_id": "general1-4", "image_id": "img-base"}
    desk = Desk(replace(plan, servers=tuple(replace(server, **made_of) for server in plan.servers)))
    for server in desk.plan.servers:
        desk.servers[server.server_id] = replace(desk.servers[server.server_id], **made_of)
    desk.until_phase(Phase.HELD)
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], **became)
    desk.look()
    assert desk.halt.code == "changed_by_other_hand"
    assert says in desk.way().by_hand
    for _ in range(100):
        desk.look(5.0)
    assert "delete_server" not in desk.names


def test_a_provider_that_names_no_image_of_a_server_changes_nothing():
    plan = a_plan(hold_s=0.0)
    made_of = {"flavor_id": "general1-4", "image_id": "img-base"}
    desk = Desk(replace(plan, servers=tuple(replace(server, **made_of) for server in plan.servers)))
    desk.until_phase(Phase.RETIRED)
