"""While a change is in doubt nothing is sent, but the site is watched, and who wants a server back is heard."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.runs.rules import SET_ASIDE
from portal.runs.types import Action, Command, Doubt, HaltRank, Outcome, OutcomeKind, RunStatus
from scaledown import outcomes
from scaledown.progress import DeleteWay, NodeState, PutBack
from scaledown.types import Phase
from tests.scaledown.machine_cases import LB, START, Desk, a_plan


class Doubtful(Desk):
    """A desk at which one change is in doubt."""

    doubted: Action | None = None

    def people(self):
        people = super().people()
        if self.doubted is None:
            return people
        return replace(people, doubt=Doubt(1, self.doubted, self.now, self.now))

    def ask(self, *names, server="srv-6"):
        """Let people ask for that, all at once; return what the next look answers, by name."""
        self.commands = [
            Command(
                n, n, name, {"server": server} if name == "put_back" else {}, "7", "Lena", "why", self.now
            )
            for n, name in enumerate(names, 1)
        ]
        given = {command.id: command.name for command in self.commands}
        return {given[answer.command_id]: answer.accepted for answer in self.look().answers}


def held(action="delete_server", server="srv-6") -> Doubtful:
    desk = Doubtful(a_plan(hold_s=3600.0, pause_between_s=600.0))
    desk.until_phase(Phase.HELD)
    desk.look()
    desk.doubted = Action(action, server, "A change.", {"server_id": server})
    return desk


def test_a_site_in_danger_is_told_at_once_and_what_is_out_is_marked_to_go_back():
    desk = held("create_image")
    desk.probe_ok = False
    desk.until(lambda: desk.status is RunStatus.HALTED, most=8)
    assert (desk.halt.code, desk.halt.rank) == ("traffic_rising", HaltRank.SITE_IN_DANGER)
    assert desk.way().put_back is not None
    assert desk.look().sets_aside
    assert "add_node" not in desk.names
    desk.doubted = None
    desk.until(lambda: "add_node" in desk.names, most=3)


def test_a_calm_doubt_is_not_set_aside():
    desk = held("create_image")
    assert desk.look().sets_aside == ""


@pytest.mark.parametrize("end_s", [None, 1000.0])
def test_a_node_that_drains_in_a_doubt_goes_back_at_the_windows_end_or_after_the_silence(end_s):
    window_end = None if end_s is None else START + timedelta(seconds=end_s)
    desk = Doubtful(a_plan(window_end=window_end))
    desk.connections["srv-6"] = 3
    desk.until_phase(Phase.DRAINING)
    desk.look()
    if end_s is None:
        desk.until(lambda: desk.status is RunStatus.HALTED)
    desk.doubted = Action("create_image", "srv-5", "An image.", {"server_id": "srv-5"})
    for _ in range(110):
        desk.look(10.0)
    assert desk.way().put_back is not None


@pytest.mark.parametrize(
    ("action", "asked", "answered"),
    [
        ("create_image", ["put_back", "abort"], {"put_back": True, "abort": True}),
        ("delete_server", ["put_back", "abort"], {"abort": True}),
        ("stop_server", ["put_back"], {}),
        ("create_image", ["resume", "pause"], {}),
        ("create_image", ["resume", "abort"], {"abort": True}),
        ("create_image", ["pause"], {"pause": True}),
    ],
)
def test_who_says_stop_or_wants_a_server_back_is_answered_in_order(action, asked, answered):
    assert held(action).ask(*asked) == answered


def test_a_change_of_a_balancer_holds_up_what_goes_back_elsewhere_and_not_there():
    desk = held("remove_node")
    desk.doubted = replace(desk.doubted, args={"server_id": "srv-5", "balancer_id": LB})
    assert desk.ask("put_back") == {"put_back": True}
    assert desk.look().sets_aside == "", "the only balancer is the one in doubt: that is read"
    desk.doubted = replace(desk.doubted, args={"server_id": "srv-5", "balancer_id": "72"})
    assert "web-06" in desk.look().sets_aside


def settled(desk, action, outcome):
    return outcomes.settle(desk.plan, desk.progress, action, outcome, desk.now, desk.people())


def with_way(desk, **values):
    servers = tuple(replace(w, **values) if w.server_id == "srv-6" else w for w in desk.progress.servers)
    desk.progress = replace(desk.progress, servers=servers)


ASIDE = Outcome(OutcomeKind.NOT_APPLIED, "why", SET_ASIDE)


@pytest.mark.parametrize(
    ("is_back", "said"), [(False, "delete_did_not_show"), (True, "delete_may_still_land")]
)
def test_a_deletion_that_is_set_aside_may_still_land_and_the_risk_is_said(is_back, said):
    desk = held()
    with_way(desk, delete=DeleteWay(tries=1), put_back=back_in_danger(desk) if is_back else None)
    decided = settled(desk, desk.doubted, ASIDE)
    assert decided.progress.server("srv-6").delete.late_at == desk.now
    assert [entry.kind for entry in decided.journal] == [said]


def back_in_danger(desk):
    return PutBack("danger", Phase.RESTORED, desk.now)


def test_a_node_whose_change_is_set_aside_may_still_change():
    desk = held()
    node = desk.way().nodes[0]
    args = {"server_id": "srv-6", "balancer_id": LB, "address": node.address, "port": node.port}
    asked = replace(node, asked=NodeState.ENABLED, asked_at=desk.now, tries=1)
    with_way(desk, nodes=(asked,))
    added = settled(desk, Action("add_node", "srv-6", "Add.", {**args, "state": "ENABLED"}), ASIDE)
    assert added.progress.server("srv-6").nodes[0].late == (NodeState.ENABLED,)


def test_a_deletion_that_is_read_as_done_is_no_longer_put_back():
    desk = held()
    with_way(desk, put_back=back_in_danger(desk))
    done = settled(desk, desk.doubted, Outcome(OutcomeKind.DONE, by_reading=True))
    way = done.progress.server("srv-6")
    assert (way.phase, way.put_back) == (Phase.DELETING, None)
