"""Schedules that once broke a rule, or showed that a rule had no teeth. Each failed before it was mended."""

from __future__ import annotations

import pytest

from portal.runs.types import HaltRank, RunStatus
from scaledown.types import PLAN_FORMAT, AtLimit, Grade, ImageRule, Phase
from tests.faults.history import Cut
from tests.faults.simulation import Event, simulate

PERSISTENT = {"scenario": "persistent", "plan": {"drain_limit_s": 30.0}}


def at_limit(*events):
    """Return what happens once the first drain has come to its limit."""
    return [Event(1, "when", "drain_limit", (event,)) for event in events]


def not_found(what, at_s=0.0, times=1):
    return Event(at_s, "fault", f"{what}.show server_error", (times, None, 404))


@pytest.mark.parametrize("at_s", [30.0, 38.0])
def test_one_answer_that_finds_no_balancer_does_not_end_a_put_back_with_its_node_draining(at_s):
    result = simulate(
        [Event(at_s, "command", "abort"), not_found("lb", at_s)],
        horizon_s=260.0,
        **PERSISTENT,
    )
    assert result.violations == []
    assert result.status is RunStatus.ABORTED
    assert result.counts["set_ENABLED"] == 1


def test_one_answer_that_finds_no_balancer_does_not_void_a_run_before_it_starts():
    result = simulate([not_found("lb")], horizon_s=200.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED


def test_a_balancer_that_is_listed_and_not_found_for_long_is_out_of_sight_and_not_gone():
    result = simulate([not_found("lb", 3.0, times=4000)], horizon_s=400.0)
    assert result.violations == []
    assert result.halt.code == "lost_sight"


@pytest.mark.parametrize("command", ["abort", "put_back"])
def test_nothing_counts_as_put_back_while_its_balancer_is_not_found(command):
    """Who lost the right to look is answered 404, for a minute or for an hour; the node drains on meanwhile."""
    events = [not_found("lb", 6.0, times=60), Event(45.0, "command", command, (("server", 0),))]
    result = simulate(events, horizon_s=400.0, **PERSISTENT)
    assert result.violations == []
    assert result.counts["set_ENABLED"] >= 1


def test_a_late_landing_is_waited_for_once_and_not_again_after_the_put_back():
    events = [
        Event(11.5, "fault", "node.delete lb_error", (1, None)),
        Event(1.4, "fault", "node.delete server_error", (1, None)),
        Event(14.8, "command", "abort"),
        Event(30.4, "fault", "node.update lb_slow", (1, 40.0)),
    ]
    result = simulate(events, horizon_s=760.0)
    assert result.violations == []
    assert result.status is RunStatus.ABORTED
    assert result.took_s < 700.0


@pytest.mark.parametrize("rest", ["halted", "standstill"])
def test_a_node_that_still_drains_at_the_windows_end_is_enabled_again_though_the_run_rests(rest):
    events = [Event(50.0, "standstill")] if rest == "standstill" else []
    plan = {"drain_limit_s": 30.0 if rest == "halted" else 120.0, "window": (0.0, 130.0)}
    result = simulate(events, scenario="persistent", plan=plan, horizon_s=260.0)
    assert result.violations == []
    assert result.progress.servers[0].phase is Phase.QUEUED
    assert result.counts["set_ENABLED"] == 1
    if rest == "halted":
        assert result.halt.code == "window_over"


def test_going_on_with_an_unknown_count_says_that_it_is_unknown():
    events = [Event(5.0, "fault", "status.read status_down", (400, None))]
    plan = {"drain_limit_s": 30.0, "ceiling_rps": None}
    result = simulate(
        events + at_limit(Event(0.0, "command", "go_on")), scenario="persistent", plan=plan, horizon_s=100.0
    )
    allowed = next(line.entry for line in result.run.journal if line.entry.kind == "cut_allowed")
    drained = next(line.entry for line in result.run.journal if line.entry.kind == "drained")
    assert allowed.detail["most"] is None
    assert "an unknown number" in allowed.says
    assert "an unknown number" in drained.detail["evidence"]


def test_a_balancer_in_error_keeps_a_server_out_of_no_other_one():
    events = [
        Event(9.0, "hand", "balancer_status any", (0, 0, "ERROR")),
        Event(10.0, "command", "put_back"),
    ]
    result = simulate(
        events, scenario="shared", plan={"min_drain_s": 20.0, "drain_limit_s": 30.0}, horizon_s=60.0
    )
    assert result.violations == []
    web, api = (
        result.story.end.balancers[int(balancer_id)] for balancer_id in result.story.plan.balancer_ids
    )
    server = result.progress.servers[0].server_id
    assert result.counts["set_DRAINING"] == 2
    assert [node.condition for node in web.of(server)] == ["DRAINING"]
    assert [node.condition for node in api.of(server)] == ["ENABLED"]


def lost_removal(*more):
    return [Event(0.0, "fault", "node.delete late", (1, 40.0)), *more]


def test_a_pause_puts_nobody_behind_a_node_whose_lost_removal_may_still_land():
    events = lost_removal(Event(27.0, "approval", "", (False,)))
    result = simulate(events, plan={"hold_s": 70.0, "floor": 3}, horizon_s=200.0)
    assert result.violations == []
    assert result.status is RunStatus.PAUSED
    assert result.world.truth.harmed_connections == 0
    back = [line for line in result.run.journal if line.entry.kind == "put_back_begun"]
    removed = [sent.t for _, sent in result.story.sends() if sent.name == "remove"]
    assert len(removed) == 1
    assert len(back) == 1
    assert (back[0].at - result.world.start).total_seconds() >= removed[0] + 39.0, "once it has landed"


def test_a_balancer_in_error_before_a_server_begins_is_waited_for_by_name():
    error = Event(0.2, "hand", "balancer_status any", (0, 0, "ERROR"))
    result = simulate([error], horizon_s=120.0)
    assert result.violations == []
    assert result.progress.waiting.code == "balancer_error"


def test_a_clock_that_is_set_forward_shortens_no_soak():
    events = [Event(127, "at_point", "", (Event(0.0, "jump", "", (9.0,)),))]
    result = simulate(events, scenario="shared", seed=3, plan={"floor": 2}, horizon_s=120.0)
    assert result.violations == []
    assert result.counts["jump"] == 1
    verdict = next(line.entry for line in result.run.journal if line.entry.kind == "verdict")
    assert 5.9 <= verdict.detail["watched_s"] < 9.0


@pytest.mark.parametrize("late_s", [45.0, 60.0, 80.0])
def test_a_lost_stop_is_not_forgotten_once_the_one_that_was_asked_for_since_shows(late_s):
    put_back = Event(0.0, "command", "put_back", (("server", 0),))
    events = [
        Event(0.0, "fault", "server.action late", (1, late_s)),
        Event(1, "when", "stopped", (put_back,)),
    ]
    result = simulate(events, plan={"stop_s": 20.0}, horizon_s=200.0)
    assert result.violations == []
    assert result.world.truth.harmed_connections == 0
    assert result.counts["stop"] >= 2
    assert any(line.entry.kind == "command_refused" for line in result.run.journal)


@pytest.mark.parametrize("times", [1, 3])
def test_a_few_answers_that_find_no_server_give_up_no_server_of_an_aborted_run(times):
    events = [
        Event(1, "when", "held", (not_found("server", times=times),)),
        Event(1, "when", "held", (Event(0.0, "command", "abort"),)),
    ]
    result = simulate(events, plan={"hold_s": 70.0}, horizon_s=260.0)
    assert result.violations == []
    assert result.status is RunStatus.ABORTED
    assert result.progress.servers[0].phase is Phase.RESTORED


def test_a_pause_after_a_server_is_no_halt_where_an_older_one_is_due():
    pause = Event(0.0, "command", "pause")
    result = simulate(
        [Event(2, "when", "verifying", (pause,))], plan={"stop_s": 10.0, "soak_s": 12.0}, horizon_s=260.0
    )
    assert result.violations == []
    assert result.status is RunStatus.PAUSED


@pytest.mark.parametrize("late_s", [85.0, 100.0, 130.0])
def test_a_lost_add_that_lands_late_leaves_no_node_of_a_server_that_is_deleted(late_s):
    events = [
        Event(0.0, "fault", "node.add late", (1, late_s)),
        Event(11.0, "command", "pause", (("when", "now"),)),
        Event(50.0, "command", "resume"),
    ]
    result = simulate(events, scenario="shared", plan={"floor": 2}, horizon_s=800.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
    gone = {node.address for node in result.story.plan.servers[0].nodes}
    assert not [n for lb in result.story.end.balancers.values() for n in lb.nodes if n.address in gone]
    assert not any(line.entry.kind == "node_added_by_other_hand" for line in result.run.journal)


@pytest.mark.parametrize("stop_s", [0.0, 8.0])
def test_a_held_server_that_serves_past_its_balancers_is_left_to_a_person(stop_s):
    traffic = Event(0.0, "hand", "direct_traffic planned", (0, 0))
    plan = {"hold_s": 90.0, "stop_s": stop_s}
    result = simulate([Event(1, "when", "held", (traffic,))], plan=plan, horizon_s=260.0)
    assert result.violations == []
    assert result.halt.code == "still_serves"
    assert "accept" in result.halt.next_commands
    assert result.counts["delete"] == result.counts["stop"] == 0


LOST_REMOVAL = Event(0.0, "fault", "node.delete late", (1, 90.0))


@pytest.mark.parametrize(
    "then",
    [
        Event(19.4, "command", "put_back"),
        Event(32.5, "command", "put_back"),
        Event(19.4, "command", "pause", (("when", "now"),)),
        Event(32.4, "command", "pause", (("when", "now"),)),
        Event(25.0, "protect", "", (0,)),
    ],
    ids=["put_back", "put_back_later", "pause", "pause_later", "protect"],
)
def test_nobody_is_put_behind_a_node_whose_lost_removal_may_still_land(then):
    result = simulate([LOST_REMOVAL, then], plan={"floor": 2}, horizon_s=200.0)
    assert result.violations == []
    assert result.world.truth.harmed_connections == 0


UNREADABLE_IMAGE = [
    Event(0.0, "fault", "server.action timeout_after", (1, None)),
    Event(0.0, "fault", "image.list server_error", (100_000, None)),
]
EACH = {"images": ImageRule.EACH, "hold_s": 0.0}


def said_at(result, kind):
    """Return at which second of the world the journal first says that."""
    line = next(line for line in result.run.journal if line.entry.kind == kind)
    return (line.at - result.world.start).total_seconds()


def test_a_site_in_danger_waits_for_no_doubt_that_nobody_can_read():
    result = simulate([*UNREADABLE_IMAGE, Event(60.0, "demand", "", (3.5,))], plan=EACH, horizon_s=200.0)
    assert result.violations == []
    assert result.halt.rank is HaltRank.SITE_IN_DANGER
    assert result.halt.code == "traffic_rising"
    assert result.progress.servers[0].phase is Phase.RESTORED
    assert said_at(result, "server_restored") < 75.0
    aside = next(line.entry for line in result.run.journal if line.entry.detail.get("code") == "set_aside")
    assert "Not known" in aside.says
    assert "Two looks" not in aside.says


def test_a_doubt_at_a_balancer_in_error_keeps_a_server_out_of_no_other_one_in_danger():
    events = [
        Event(0.0, "fault", "node.delete timeout_after", (1, None)),
        Event(22.0, "hand", "balancer_status any", (0, 0, "ERROR")),
        Event(60.0, "demand", "", (3.5,)),
        Event(150.0, "hand", "balancer_status any", (0, 0, "ACTIVE")),
    ]
    result = simulate(events, scenario="shared", plan={}, horizon_s=260.0)
    assert result.violations == []
    assert result.halt.code == "traffic_rising"
    server = result.progress.servers[0].server_id
    sent = [(sent.name, sent.lb_id) for _, sent in result.story.sends() if sent.is_put_back]
    web, api = (int(balancer_id) for balancer_id in result.story.plan.balancer_ids)
    assert sent == [("set_ENABLED", api), ("add", web)]
    assert result.progress.server(server).phase is Phase.RESTORED
    enabled = next(sent.t for _, sent in result.story.sends() if sent.is_put_back)
    assert enabled < 75.0


@pytest.mark.parametrize("name", ["abort", "put_back"])
def test_who_wants_a_server_back_is_answered_although_a_doubt_cannot_be_read(name):
    args = (("server", 0),) if name == "put_back" else ()
    result = simulate([*UNREADABLE_IMAGE, Event(40.0, "command", name, args)], plan=EACH, horizon_s=80.0)
    assert result.violations == []
    assert 40.0 <= said_at(result, "command_accepted") < 43.0
    assert 40.0 <= said_at(result, "server_restored") < 65.0


def test_a_pause_enables_a_node_again_though_a_removal_elsewhere_cannot_be_read():
    events = [
        Event(0.0, "fault", "node.delete timeout_after", (1, None)),
        Event(22.0, "hand", "balancer_status any", (0, 0, "ERROR")),
        Event(40.0, "command", "pause", (("when", "now"),)),
        # The simulation ends where nothing happens for two minutes and nothing is to come.
        Event(690.0, "demand", "", (1.0,)),
    ]
    result = simulate(events, scenario="shared", plan={}, horizon_s=700.0)
    assert result.violations == []
    server = result.progress.servers[0].server_id
    api = int(result.story.plan.balancer_ids[1])
    assert [node.condition for node in result.story.end.balancers[api].of(server)] == ["ENABLED"]
    # As soon as the removal can no longer land, and not before it: 15 s of looks, and ten minutes.
    enabled = next(sent.t for _, sent in result.story.sends() if sent.is_put_back)
    assert 600.0 < enabled < 680.0


def test_a_put_back_is_answered_though_a_removal_of_its_server_cannot_be_read():
    events = [
        Event(0.0, "fault", "node.delete timeout_after", (1, None)),
        Event(22.0, "hand", "balancer_status any", (0, 0, "ERROR")),
        Event(40.0, "command", "put_back"),
    ]
    result = simulate(events, scenario="shared", plan={}, horizon_s=120.0)
    assert result.violations == []
    refused = next(line.entry.says for line in result.run.journal if line.entry.kind == "command_refused")
    assert "may still take effect" in refused


def test_a_renamed_server_does_not_drain_beyond_the_window():
    renamed = Event(1, "when", "draining", (Event(1.0, "hand", "rename_server planned", (0, 0)),))
    plan = {"drain_limit_s": 60.0, "window": (0.0, 110.0)}
    result = simulate([renamed], scenario="persistent", plan=plan, horizon_s=160.0)
    assert result.violations == []
    assert result.progress.servers[0].phase is Phase.QUEUED
    assert result.counts["set_ENABLED"] == 1


def test_a_rate_limit_on_an_image_is_no_image_that_has_to_be_looked_for():
    limited = Event(0.0, "fault", "server.action over_limit", (1, 3.0))
    result = simulate([limited], plan={"images": ImageRule.EACH}, horizon_s=200.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
    assert result.counts["image"] == 4


DIES_WHILE_STOPPED = [
    Event(1, "when", "stopped", (Event(0.0, "hand", "kill_server planned", (0, 0)),)),
    Event(1, "when", "stopped", (Event(0.0, "command", "put_back", (("server", 0),)),)),
]


def test_a_started_server_that_answers_nothing_is_not_put_back_for_visitors():
    result = simulate(DIES_WHILE_STOPPED, plan={"stop_s": 60.0}, horizon_s=300.0)
    assert result.violations == []
    assert result.halt.code == "start_without_answer"
    assert result.counts["add"] == 0


def test_a_server_that_waits_for_a_balancer_to_be_removed_does_not_drain_beyond_the_window():
    error = Event(60.0, "hand", "balancer_status any", (0, 0, "ERROR"))
    plan = {"count_kind": None, "accepted_grade": Grade.TIMED, "floor": 2, "window": (0.0, 110.0)}
    result = simulate([error], scenario="shared", plan=plan, horizon_s=180.0)
    assert result.violations == []
    server = result.progress.servers[0].server_id
    web, api = (result.story.end.balancers[int(b)] for b in result.story.plan.balancer_ids)
    assert [node.condition for node in api.of(server)] == ["ENABLED"]
    assert [node.condition for node in web.of(server)] == ["DRAINING"]  # it takes no change


WITHOUT_EFFECT = [
    Event(0.0, "fault", "server.delete no_effect", (1, None)),
    Event(1, "when", "deleting", (not_found("server", times=6),)),
]


def test_some_answers_that_find_no_server_retire_none_whose_deletion_had_no_effect():
    result = simulate(WITHOUT_EFFECT, plan={}, horizon_s=200.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
    assert result.counts["delete"] == 4


def test_a_run_that_is_aborted_while_a_deletion_has_no_effect_names_what_may_live_on():
    never = Event(0.0, "fault", "server.delete no_effect", (100_000, None))
    abort = Event(1, "when", "deleting", (Event(0.0, "command", "abort"),))
    result = simulate([never, abort], plan={}, horizon_s=900.0)
    assert result.violations == []
    assert result.status is RunStatus.ABORTED
    assert said_at(result, "server_may_live_on") > 600.0
    assert "web-06" in result.progress.says


@pytest.mark.parametrize("then", [("abort", ()), ("put_back", (("server", 0),))])
def test_an_image_that_lands_late_is_known_to_its_run_although_its_server_went_back(then):
    late = Event(0.0, "fault", "server.action late", (1, 60.0))
    result = simulate([late, Event(30.0, "command", *then)], plan=EACH, horizon_s=200.0)
    assert result.violations == []
    assert said_at(result, "image_found") > 60.0
    assert "web-06" in {image.server_name for image in result.progress.images}


def test_an_image_that_two_looks_showed_is_found_although_its_server_went_back_meanwhile():
    events = [
        Event(0.0, "fault", "server.action timeout_after", (1, None)),
        Event(40.0, "fault", "image.list server_error", (20, None)),
        Event(40.0, "command", "abort"),
    ]
    result = simulate(events, plan=EACH, horizon_s=400.0)
    assert result.violations == []
    assert result.status is RunStatus.ABORTED
    assert [image.server_name for image in result.progress.images] == ["web-06"]


def test_a_roll_back_that_finds_nothing_to_undo_ends_the_run_and_is_no_bug():
    events = [
        Event(0.0, "fault", "node.update timeout_before", (1, None)),
        Event(1, "when", "draining", (Event(0.0, "command", "roll_back"),)),
    ]
    result = simulate(events, horizon_s=700.0)
    assert result.violations == []
    assert (result.status, result.halt) == (RunStatus.ROLLED_BACK, None)
    assert [sent.name for _, sent in result.story.sends()] == ["set_DRAINING"]


def test_no_server_begins_on_one_low_figure_of_its_load():
    """A clock that jumps by two seconds makes the rate of one look a third too low."""
    events = [Event(4.0, "demand", "", (2.2,)), Event(96.0, "jump", "", (2.0,))]
    plan = {"at_limit": AtLimit.CUT, "floor": 3, "hold_s": 0.0}
    result = simulate(events, scenario="persistent", seed=7, plan=plan, horizon_s=150.0)
    assert result.violations == []
    assert result.counts["delete"] == 1


def test_load_that_rises_while_a_clock_was_set_back_is_not_yet_seen_by_anybody():
    """The oracle took what nobody could know for known: nothing is looked at until the clock is where it was before."""
    events = [Event(9.0, "jump", "", (-40.0,)), Event(22.8, "demand", "", (3.5,))]
    plan = {"floor": 2, "hold_s": 20.0, "window": (0.0, 140.0)}
    result = simulate(events, scenario="rising", seed=4, plan=plan, horizon_s=100.0)
    assert result.violations == []
    assert result.counts["remove"] == result.counts["add"] == 1


def test_a_roll_back_with_nothing_left_to_do_ends_the_run_and_does_not_fail_it():
    at_limit_s = 31.0  # the last server is on its way back, and its answer is lost
    events = [
        Event(at_limit_s, "fault", "node.update timeout_after", (1, None)),
        Event(at_limit_s + 8.0, "command", "roll_back"),
    ]
    options = {**PERSISTENT, "plan": {"drain_limit_s": 30.0, "at_limit": AtLimit.PUT_BACK}}
    result = simulate(events, horizon_s=120.0, **options)
    assert result.violations == []
    assert result.status is RunStatus.ROLLED_BACK


def test_one_high_figure_beside_an_old_one_calls_nobody_back():
    """Seed 800228: a clock that was set back in a long call made one rate four times too high; it was counted twice."""
    late = Event(0.0, "fault", "server.delete late", (1, 80.0))
    events = [
        Event(38.4, "jump", "", (2.0,)),
        Event(5, "at", "after commit", (late,)),
        Event(48.0, "jump", "", (-40.0,)),
    ]
    plan = {"probes": (), "floor": 2, "hold_s": 0.0, "stop_s": 8.0, "images": ImageRule.EACH}
    result = simulate(events, scenario="shared", seed=6, plan=plan, horizon_s=200.0)
    assert result.violations == []
    assert result.halt is None or result.halt.code != "traffic_rising"


def test_a_server_that_the_site_needed_may_be_cut_by_its_deletion_that_lands_late_since_that_was_said():
    in_its_delete = Event(0.0, "command", "pause", (("when", "now"),))
    events = [
        Event(327, "at_point", "", (in_its_delete,)),
        Event(33.1, "command", "go_on", (("connections", 1),)),
        Event(21.4, "fault", "server.delete late", (1, 80.0)),
        Event(91.9, "demand", "", (3.5,)),
    ]
    plan = {"drain_limit_s": 30.0, "count_kind": None, "images": ImageRule.EACH, "pause_between_s": 5.0}
    result = simulate(events, seed=9, plan={**plan, "floor": 2}, lose_wakes=True, horizon_s=260.0)
    assert [event for event in result.story.events if isinstance(event, Cut)]
    assert result.violations == []


def test_a_run_that_is_finished_while_servers_wait_for_their_turn_still_watches_its_peak():
    plan = {"pause_between_s": 60.0, "watch_until_s": 150.0}
    result = simulate([Event(40.0, "command", "finish_here")], plan=plan, horizon_s=260.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
    assert result.progress.watch.ended_at >= result.progress.watch.until
    assert result.progress.watch.ended_early == ""


def test_one_whose_removal_may_still_land_drains_on_beyond_the_window_until_it_cannot():
    """Seed 1795941440: a worker died right before it sent a removal; put back, it would be cut where that lands late."""
    events = [
        Event(13, "at", "after commit", (Event(0.0, "protect", "", (1,)),)),
        Event(2, "when", "watching", (Event(0.0, "fault", "status.read stale", (2, None)),)),
        Event(
            37.2, "fault", "node.add refuses", (1, None, 413, "Nodes must not exceed 25 per load balancer.")
        ),
        Event(309, "at_point", "", (Event(0.0, "wake"),)),
        Event(3, "at", "after check", (Event(0.0, "die"),)),
    ]
    plan = {"probes": (), "floor": 3, "hold_s": 70.0, "stop_s": 8.0, "images": ImageRule.NONE}
    plan |= {"pause_between_s": 0.0, "is_unattended": True, "window": (0.0, 75.0), "drain_limit_s": 30.0}
    later = [Event(float(at), "wake") for at in range(200, 700, 90)]
    short, long = (
        simulate(given, scenario="shared", seed=6, plan=plan, lose_wakes=True, horizon_s=horizon_s)
        for given, horizon_s in ((events, 260.0), ([*events, *later], 900.0))
    )
    assert (short.violations, long.violations) == ([], [])
    first = short.progress.servers[0]
    assert (first.phase, first.put_back) == (Phase.REMOVING, None)
    back = [sent for _, sent in long.story.sends() if sent.is_put_back]
    assert back
    assert all(sent.t > 600.0 for sent in back)


def test_who_sticks_to_a_server_and_comes_while_its_removal_is_applied_is_not_cut_by_us():
    """Seed 1795942512: four came within the second that the balancer took; nobody was there as it was sent."""
    events = [
        Event(1.1, "demand", "", (0.2,)),
        # Once it has begun: with one server less than was counted it would not begin.
        Event(20, "at", "read", (Event(0.0, "hand", "kill_server any", (4, 0)),)),
        Event(1, "when", "removing", (Event(0.0, "demand", "", (1.5,)),)),
    ]
    plan = {"probes": (), "floor": 2, "hold_s": 20.0, "stop_s": 0.0, "images": ImageRule.NONE}
    plan |= {"pause_between_s": 0.0, "window": (5.0, None), "drain_limit_s": 30.0}
    result = simulate(events, scenario="persistent", seed=7, plan=plan, horizon_s=60.0)
    assert [event for event in result.story.events if isinstance(event, Cut)]
    assert result.violations == []


def test_a_server_that_nothing_was_sent_of_yet_does_not_begin_once_nobody_is_in_charge():
    """Its worker died between the note of the first change and the change."""
    events = [Event(1, "at", "before check", (Event(0.0, "die"),)), Event(8.0, "in_charge", "", (None,))]
    result = simulate(events, plan={"out": 1}, horizon_s=160.0)
    assert result.violations == []
    assert result.progress.servers[0].phase is Phase.QUEUED
    assert list(result.story.sends()) == []


@pytest.mark.parametrize("point", ["after note_intent", "after check"])
def test_a_server_that_nothing_was_sent_of_yet_does_not_begin_in_a_freeze(point):
    """Its worker died between the note of the first change and the change; the freeze came before the next one looked."""
    events = [
        Event(1, "at", point, (Event(0.0, "die"),)),
        Event(5.0, "calendar", "", (True,)),
        Event(70.0, "calendar", "", (False,)),
    ]
    result = simulate(events, plan={"out": 1}, horizon_s=200.0)
    assert result.violations == []
    assert min(sent.t for _, sent in result.story.sends()) >= 70.0
    assert result.status is RunStatus.COMPLETED


def test_a_clock_that_is_set_forward_does_not_make_traffic_too_little_for_answers_to_count():
    """A rate over nine seconds that were none is low; the deletion would go by five answers."""
    jump = Event(0.0, "jump", "", (9.0,))
    events = [Event(163, "at_point", "", (jump,)), Event(20.1, "jump", "", (9.0,))]
    plan = {
        "format": PLAN_FORMAT,
        "slower_allowed": 1.0,
        "forecast_peak_rps": 200.0,
        "hold_s": 0.0,
        "drain_limit_s": 30.0,
    }
    result = simulate(events, scenario="launch", seed=3, plan={**plan, "floor": 3}, horizon_s=260.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
