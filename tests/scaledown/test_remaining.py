"""The servers that stay: the floor counts on them, and not on whatever machine answers at their address by now."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from portal.errors import TryLater
from portal.runs.types import HaltRank, RunStatus
from scaledown.needs import needs_of
from scaledown.types import REMAINING_EVERY_S, Phase
from tests.scaledown.halts import HALTS
from tests.scaledown.machine_cases import START, Desk, a_plan, planned
from tests.scaledown.test_driver import PaperCloud, kind_for, view_of

ANOTHER = {"created_at": START}


def before_the_second(**changes) -> Desk:
    return Desk(a_plan(floor=2, pause_between_s=60.0, **changes)).until_phase(Phase.RETIRED)


def become(desk: Desk, server: str, **values) -> None:
    desk.servers[server] = replace(desk.servers[server], **values)


def kind_look(kind, desk: Desk):
    return asyncio.run(kind.observe(view_of(desk, digest="remaining")))


def needed(desk: Desk) -> tuple[str, ...]:
    return needs_of(desk.plan, desk.progress, desk.people(), desk.now).remaining


def test_while_a_server_is_out_or_may_go_those_that_stay_are_looked_at():
    stay = ("srv-1", "srv-2", "srv-3")
    assert needed(before_the_second()) == stay
    assert needed(Desk(a_plan(floor=2)).until_phase(Phase.DRAINING)) == stay
    held = Desk(a_plan(servers=(planned(6),), hold_s=30.0)).until_phase(Phase.HELD)
    rests = before_the_second()
    for desk in (held, rests):
        desk.command("pause")
        desk.until(lambda desk=desk: desk.status is RunStatus.PAUSED)
    assert (needed(held), needed(rests)) == (stay, ())
    assert needed(Desk(a_plan(floor=2, window_start=START + timedelta(hours=1)))) == ()


@pytest.mark.parametrize("values", [ANOTHER, {"addresses": ("10.0.0.77",)}, {"is_gone": True}])
def test_none_begins_while_another_machine_serves_at_the_address_of_one_that_stays(values):
    desk = before_the_second()
    become(desk, "srv-2", **values)
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert (desk.halt.code, desk.halt.rank) == ("remaining_changed", HaltRank.SAFE_WAITING)
    assert "web-02" in desk.halt.says
    assert desk.names[-1] == "delete_server"


def test_one_that_is_gone_and_serves_nobody_any_more_hinders_nothing_but_by_the_floor():
    desk = before_the_second()
    become(desk, "srv-2", is_gone=True)
    del desk.nodes["402"]
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "changed_by_other_hand"
    desk.command("resume", confirm=True)
    desk.until(lambda: desk.phase(5) is Phase.DRAINING)


@pytest.mark.parametrize("phase", [Phase.DRAINING, Phase.VERIFYING, Phase.HELD])
def test_a_server_that_is_out_goes_back_where_without_such_a_machine_too_few_serve(phase):
    desk = Desk(a_plan(servers=(planned(6),), hold_s=600.0)).until_phase(phase)
    become(desk, "srv-2", is_gone=True)
    desk.until(lambda: desk.phase(6) is Phase.RESTORED)
    assert desk.halt.code == "floor_broken"
    assert "delete_server" not in desk.names


def test_a_server_that_drains_leaves_the_pool_only_while_those_that_stay_are_themselves():
    desk = Desk(a_plan(floor=2)).until_phase(Phase.DRAINING)
    become(desk, "srv-2", **ANOTHER)
    desk.until(lambda: desk.status is RunStatus.HALTED, most=1000)
    assert (desk.halt.code, desk.halt.rank) == ("waited_for_remaining_changed", HaltRank.DECIDE_TODAY)
    assert "remove_node" not in desk.names


def test_none_is_deleted_while_another_machine_serves_at_the_address_of_one_that_stays():
    desk = Desk(a_plan(servers=(planned(6),), floor=2, hold_s=30.0)).until_phase(Phase.HELD)
    become(desk, "srv-2", **ANOTHER)
    desk.until(lambda: desk.status is RunStatus.HALTED, most=1000)
    assert desk.halt.code == "delete_forbidden"
    assert "web-02" in desk.halt.says
    assert "delete_server" not in desk.names


def test_once_the_node_of_such_a_machine_is_gone_the_run_goes_on():
    desk = HALTS["remaining_changed"]()
    del desk.nodes["402"]
    desk.look()
    desk.command("resume", confirm=True)
    desk.until(lambda: desk.phase(5) is Phase.DRAINING)


def test_they_are_read_once_a_minute_and_one_that_is_not_found_at_every_look():
    desk = before_the_second()
    asked = []

    class Cloud(PaperCloud):
        async def show_server(self, server_id):
            asked.append(server_id)
            return await super().show_server(server_id)

    cloud = Cloud(desk)
    kind = kind_for(cloud)

    def looks(after_s=1.0):
        desk.now += timedelta(seconds=after_s)
        asked.clear()
        kind_look(kind, desk)
        return sorted(set(asked) & {"srv-1", "srv-2", "srv-3"})

    assert looks() == ["srv-1", "srv-2", "srv-3"]
    assert looks(REMAINING_EVERY_S - 2.0) == []
    become(desk, "srv-2", is_gone=True)
    assert looks(3.0) == ["srv-1", "srv-2", "srv-3"]
    assert looks() == ["srv-2"]
    assert kind_look(kind, desk).servers["srv-2"].is_gone
    # Who may not look is told that there is none, too.
    cloud.listed_servers = (SimpleNamespace(id="srv-2", is_deleted=False),)
    unread = kind_look(kind, desk)
    assert "srv-2" not in unread.servers
    assert "Server srv-2 is in the list and cannot be read." in unread.problems
    cloud.raises["list_servers"] = TryLater("Slow.", after_s=1.0)
    assert "srv-2" not in kind_look(kind, desk).servers
    # A clock that was set back keeps no old look fresh.
    assert looks(-3600.0) == ["srv-1", "srv-2", "srv-3"]
