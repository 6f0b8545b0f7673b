"""Whether traffic keeps up, as the machine lives it: the stretch before, soaks that go on, shifts, peaks, rising traffic."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from portal.runs.types import Halt, HaltRank, RunStatus
from scaledown import answers
from scaledown.progress import Progress, SoakWay, progress_from_plain, progress_to_plain
from scaledown.types import PLAN_FORMAT, Phase, Verdict
from tests.scaledown.machine_cases import START, Desk, a_plan, planned


class Site(Desk):
    """A desk whose site answers as fast as the test says, and whose servers carry what it says."""

    def __init__(self, plan=None, *, median_ms=80.0, rps=None, **fields):
        super().__init__(plan or comparing(), **fields)
        self.median_ms, self.rps, self.random = median_ms, rps, Random(5)

    def observation(self):
        out = {way.server_id for way in self.progress.servers if way.left_at is not None}
        for server in (*self.plan.servers, *self.plan.remaining) if self.rps is not None else ():
            if server.server_id not in out:
                self.requests[server.server_id] = round(self.rps * (self.now - START).total_seconds())
        seen = super().observation()
        for server_id in out & set(seen.counts) & set(self.requests):
            self.requests[server_id] += 1  # out of the pool it serves our own looks alone
        drawn = [
            replace(probe, latency_ms=self.median_ms * self.random.lognormvariate(0.0, 0.15))
            for probe in seen.probes
        ]
        return replace(seen, probes=tuple(drawn))

    def verdict(self, server=6):
        return self.way(server).verdict


def comparing(**changes):
    return a_plan(**{"format": PLAN_FORMAT, "slower_allowed": 0.3, **changes})


# --- the stretch before ------------------------------------------------------------------------------------------


def test_no_server_begins_before_there_is_something_to_hold_answers_against():
    desk = Site(rps=20.0)
    desk.until(lambda: desk.progress.before is not None)
    desk.look()
    assert desk.phase() is Phase.QUEUED
    assert desk.progress.waiting.code == "before"
    assert "before the first server" in desk.progress.says
    desk.until_phase(Phase.DRAINING)
    before = desk.progress.before
    assert before.done_at == desk.now
    assert len(before.latency_ms["home"]) >= answers.FEWEST_BEFORE
    assert before.load_sum / before.load_looks == pytest.approx(20.0, abs=0.5)
    kept = before.latency_ms
    desk.until_phase(Phase.RETIRED)
    assert desk.progress.before.latency_ms == kept


def test_the_stretch_before_is_bounded_in_size_and_time():
    before = {"home": tuple(80.0 for _ in range(answers.ANSWERS_KEPT))}
    probe = replace(Site().observation().probes[0], latency_ms=90.0)
    grown = answers.with_answer(before, probe)
    assert len(grown["home"]) == answers.ANSWERS_KEPT
    assert grown["home"][-1] == 90.0
    noisy = Site()
    noisy.random.lognormvariate = lambda mu, sigma: noisy_draw(Random(len(noisy.samples)))
    noisy.until(lambda: noisy.phase() is Phase.DRAINING, most=400)
    assert (noisy.now - noisy.progress.before.since).total_seconds() <= answers.LONGEST_BEFORE_S + 5


def noisy_draw(random):
    return random.lognormvariate(0.0, 2.0)


def test_without_answers_to_compare_with_the_run_halts_and_nothing_is_taken_out():
    desk = Site()
    desk.until(lambda: desk.progress.started_at is not None)
    desk.probe_ok = None
    desk.until(lambda: desk.status is RunStatus.HALTED, most=800)
    assert desk.halt.code in {"waited_for_before", "waited_for_probes"}
    assert desk.sent == []


def test_a_plan_that_judges_no_latency_waits_for_nothing():
    desk = Site(a_plan())
    desk.until_phase(Phase.DRAINING)
    assert desk.progress.before is None


def test_progress_of_an_earlier_release_is_read_and_its_run_goes_on():
    desk = Site(a_plan())
    desk.until_phase(Phase.VERIFYING)
    desk.look()
    stored = progress_to_plain(desk.progress)
    del stored["before"]
    for server in stored["servers"]:
        if server["soak"] is not None:
            for name in ("latency_ms", "probes_slow", "load_sum", "by_probe"):
                del server["soak"][name]
            server["soak"]["latencies_ms"] = [80.0, 81.5]
    desk.progress = progress_from_plain(stored)
    desk.plan = comparing()
    desk.until_phase(Phase.RETIRED)
    assert desk.progress.before is None
    assert desk.verdict().verdict is Verdict.PASSES


def test_what_is_kept_comes_back_as_it_was():
    desk = Site(rps=10.0)
    desk.until_phase(Phase.VERIFYING)
    desk.look()
    again = progress_from_plain(progress_to_plain(desk.progress))
    assert isinstance(again, Progress)
    assert again.before == desk.progress.before
    assert again.servers == desk.progress.servers


# --- verdicts ----------------------------------------------------------------------------------------------------


def test_unchanged_answers_pass_and_the_verdict_says_what_would_have_been_seen():
    desk = Site(rps=20.0)
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert desk.names.count("delete_server") == 2
    verdicts = [entry for entry in desk.journal if entry.kind == "verdict"]
    assert len(verdicts) >= 2
    for entry in verdicts:
        assert entry.detail["verdict"] == "passes"
        assert entry.detail["smallest_slowness_seen"] <= 1.0


def test_a_soak_that_is_too_short_to_tell_goes_on_by_itself():
    desk = Site(comparing(soak_s=3.0))
    desk.until_phase(Phase.VERIFYING)
    began = desk.now
    desk.until(lambda: desk.verdict() is not None)
    assert desk.verdict().verdict is Verdict.PASSES
    assert (desk.now - began).total_seconds() > 6.0
    assert len(desk.verdict().numbers["comparisons"]) == 1


def test_slower_answers_put_the_server_back_and_call_nobody_at_night():
    desk = Site()
    desk.until_phase(Phase.VERIFYING)
    desk.median_ms = 200.0
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert (desk.halt.code, desk.halt.rank) == ("traffic_not_keeping_up", HaltRank.DECIDE_TODAY)
    desk.until_phase(Phase.RESTORED)
    assert "delete_server" not in desk.names


def test_a_probe_that_fails_is_a_site_in_danger():
    desk = Site(comparing(probe_failures_allowed=0.0))
    desk.until_phase(Phase.VERIFYING)
    desk.look()
    desk.probe_ok = False
    desk.look()
    desk.probe_ok = True
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert (desk.halt.code, desk.halt.rank) == ("traffic_not_keeping_up", HaltRank.SITE_IN_DANGER)


def test_a_shift_while_held_is_seen_before_the_delete():
    desk = Site(comparing(hold_s=120.0))
    desk.until_phase(Phase.HELD)
    desk.median_ms = 200.0
    desk.until(lambda: desk.status is RunStatus.HALTED, most=400)
    assert desk.halt.code == "traffic_not_keeping_up"
    assert "delete_server" not in desk.names


def test_a_size_too_small_for_the_peak_keeps_the_server_alive_and_asks_a_person():
    plan = comparing(ceiling_rps=100.0, forecast_peak_rps=450.0, servers=(planned(6), planned(5)))
    desk = Site(plan, rps=50.0)
    desk.until(lambda: desk.status is RunStatus.HALTED)
    # 450 over four servers are 113 % of the ceiling, over five they were 90 %.
    assert (desk.halt.code, desk.halt.rank) == ("peak_not_carried", HaltRank.DECIDE_TODAY)
    assert desk.phase() is Phase.VERIFYING
    assert "delete_server" not in desk.names
    assert set(desk.halt.next_commands) >= {"put_back", "abort"}
    desk.command("put_back", server="srv-6")
    desk.until_phase(Phase.RESTORED)


def test_too_little_traffic_waits_by_itself_and_is_a_notice_after_a_night():
    desk = Site(comparing(forecast_peak_rps=4000.0), rps=20.0)
    desk.until(
        lambda: desk.progress.waiting is not None and desk.progress.waiting.code == "traffic", most=100
    )
    assert desk.status is RunStatus.RUNNING
    assert "Not enough traffic to tell yet" in desk.progress.says
    assert desk.phase() is Phase.VERIFYING
    # Traffic comes: nobody had to do anything.
    desk.plan = comparing(forecast_peak_rps=100.0)
    desk.until_phase(Phase.RETIRED)


def test_too_little_traffic_for_longer_than_a_night_halts_and_wakes_nobody():
    desk = Site(comparing(forecast_peak_rps=4000.0), rps=20.0)
    desk.until(
        lambda: desk.progress.waiting is not None and desk.progress.waiting.code == "traffic", most=100
    )
    way = desk.way()
    late = replace(way, left_at=way.left_at - timedelta(hours=13), since=way.since - timedelta(hours=13))
    desk.progress = replace(
        desk.progress,
        servers=tuple(late if w.server_id == late.server_id else w for w in desk.progress.servers),
    )
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert (desk.halt.code, desk.halt.rank) == ("not_enough_traffic", HaltRank.SAFE_WAITING)
    assert "delete_server" not in desk.names
    assert desk.command("resume").accepted
    for _ in range(200):
        desk.look()
    assert desk.status is RunStatus.RUNNING, "whoever resumes gives it as long again"


def test_a_hold_of_a_night_takes_nothing_off_the_time_that_traffic_is_waited_for():
    plan = comparing(hold_s=13 * 3600.0, floor=2)
    plan = replace(plan, servers=plan.servers[:1], remaining=(*plan.remaining, plan.servers[1]), target=4)
    desk = Site(plan, rps=20.0)
    desk.until_phase(Phase.HELD)
    desk.plan = replace(desk.plan, forecast_peak_rps=4000.0)
    desk.until(lambda: desk.now >= desk.way().held_at + timedelta(hours=13), most=4000, after_s=15.0)
    desk.until(
        lambda: desk.progress.waiting is not None and desk.progress.waiting.code == "traffic", most=200
    )
    assert desk.status is RunStatus.RUNNING
    assert "delete_server" not in desk.names


# --- rising traffic, in every status and phase -------------------------------------------------------------------

OUT = (Phase.DRAINING, Phase.REMOVING, Phase.VERIFYING, Phase.HELD)
STATUSES = (RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.HALTED, "standstill", "aborting")
GUARDS = {
    "ceiling": {"ceiling_rps": 100.0},
    "fine_load": {"ceiling_rps": None, "fine_load_rps": 80.0},
}


def out_in(phase, guard):
    plan = a_plan(format=PLAN_FORMAT, hold_s=900.0, servers=(planned(6),), **GUARDS[guard])
    desk = Site(plan, rps=30.0)
    if phase is Phase.REMOVING:
        # The provider takes its time: the node stays where it is while its removal is waited for.
        desk.until_phase(Phase.DRAINING)
        desk._apply, applied = (
            (lambda action: None if action.name == "remove_node" else applied(action)),
            desk._apply,
        )
    desk.until_phase(phase)
    return desk


def stopped(desk, status):
    if status == "standstill":
        desk.standstill = "Stopped by Lena."
    elif status == "aborting":
        desk.progress = replace(desk.progress, aborting="A person aborted it.")
    elif status is RunStatus.HALTED:
        desk.status = status
        desk.halt = Halt("drain_limit", HaltRank.DECIDE_TODAY, "Asked.", "Asked.", ("resume",))
    else:
        desk.status = status


@pytest.mark.parametrize("phase", OUT)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("danger", ["load over the ceiling", "load over what was fine", "probes"])
def test_rising_traffic_brings_servers_back_in_every_status_and_phase(phase, status, danger):
    desk = out_in(phase, "fine_load" if "fine" in danger else "ceiling")
    stopped(desk, status)
    if danger == "probes":
        desk.probe_ok = False
    else:
        # From now on each server takes 200 requests a second more than it did.
        at = desk.now
        seen = desk.observation

        def busier():
            desk.rps = None
            for server in (*desk.plan.servers, *desk.plan.remaining):
                desk.requests[server.server_id] = round(
                    30.0 * (at - START).total_seconds() + 230.0 * (desk.now - at).total_seconds()
                )
            return seen()

        desk.observation = busier
    desk.until(
        lambda: (
            desk.way().put_back is not None or desk.phase() is Phase.RESTORED or desk.way().phase.is_final
        ),
        most=60,
    )
    desk.until(lambda: desk.condition(6) is not None and desk.condition(6).value == "ENABLED", most=60)
    assert "delete_server" not in desk.names
    # A pause and an abort enable a draining node by themselves: it may be back before traffic shows that it rises.
    goes_back_anyway = status == "aborting" or (
        status is RunStatus.PAUSED and phase in {Phase.DRAINING, Phase.REMOVING}
    )
    if not goes_back_anyway:
        assert desk.halt.code in {"traffic_rising", "traffic_not_keeping_up"}
        if danger == "load over what was fine":
            assert desk.halt.rank is HaltRank.DECIDE_TODAY
        else:
            desk.until(lambda: desk.halt.rank is HaltRank.SITE_IN_DANGER, most=10)


def test_where_neither_ceiling_nor_a_load_that_was_fine_is_known_rising_load_is_unknown_and_said():
    desk = Site(a_plan(servers=(planned(6),), hold_s=300.0), rps=500.0)
    desk.until_phase(Phase.HELD)
    assert desk.way().verdict.numbers["load_guard_rps"] is None
    assert desk.progress.hot_looks == 0


def test_a_slow_answer_is_counted_apart_from_one_that_fails():
    desk = Site()
    desk.until_phase(Phase.VERIFYING)
    desk.look()
    slow_once = [True]
    seen = desk.observation

    def slow():
        found = seen()
        if not slow_once or not found.probes:
            return found
        slow_once.clear()
        return replace(
            found, probes=tuple(replace(p, ok=False, is_slow=True, latency_ms=900.0) for p in found.probes)
        )

    desk.observation = slow
    desk.look()
    soak: SoakWay = desk.way().soak
    assert (soak.probes_slow, soak.probes_failed) == (1, 0)
    assert 900.0 in soak.latency_ms["home"]
    desk.until_phase(Phase.RETIRED)
    assert desk.status is not RunStatus.HALTED
