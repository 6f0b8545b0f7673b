"""How often a run on unchanged traffic halts by mistake, and which shift is seen: the judge against the simulator's traffic.

In memory, without database, network or clock: the simulator's world answers one probe a second, drawn as its visitors'
requests are (latency grows with the load of the server, one answer in a hundred is some times slower). Each run takes the
event's servers out one after another with the settings that a plan has by itself, and is judged as the machine judges it:
the stretch before, each soak, and again before each delete. Load per server doubles in it, as it does in life.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from statistics import median

from capacity.stats import largest_share
from portal.cloud.types import NodeType
from portal.demo import Said
from portal.simulator import scenarios
from portal.simulator.entities import LoadBalancer
from portal.simulator.hands import Hands
from portal.simulator.world import World
from scaledown.answers import ANSWERS_KEPT, LONGEST_BEFORE_S, is_enough
from scaledown.candidates import Choice
from scaledown.comparing import looks_missing
from scaledown.deleting import RECHECK_S
from scaledown.progress import BeforeWay, SoakWay
from scaledown.types import (
    PLAN_FORMAT,
    AtLimit,
    Grade,
    Order,
    PlanData,
    PlannedBaseline,
    PlannedNode,
    PlannedObjective,
    PlannedProbe,
    PlannedServer,
    Verdict,
)
from scaledown.verify import Judgement, judge

RUNS = int(os.environ.get("VERIFY_RUNS", "600"))
RUNS_A_SHIFT = int(os.environ.get("VERIFY_RUNS_A_SHIFT", "100"))
SHIFTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.5, 2.0)
OUT = 3
AT = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
LOAD_EVERY = 3
PROBE = PlannedProbe("site", "https://www.example.com/", latency_limit_ms=1500.0)


@dataclass
class Site:
    """One simulated site that is looked at once a second."""

    seed: int
    soak_s: int
    world: World = field(init=False)
    balancer: LoadBalancer = field(init=False)
    plan: PlanData = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(self.seed)
        scenarios.apply(self.world, "launch")
        (self.balancer,) = self.world.balancers.values()
        self.plan = _plan(self)

    @property
    def now(self) -> datetime:
        """The world's time as a moment."""
        return AT + timedelta(seconds=self.world.now)

    def look(self) -> tuple[bool, float]:
        """Let a second pass and return (whether the site answered well, in how many ms)."""
        self.world.advance_to(self.world.now + 1.0)
        answer = self.world.site_probe(self.balancer.lb_id)
        return answer.status == 200, answer.latency_s * 1000.0

    def loads(self) -> list[float]:
        """Return the requests per second of each serving server."""
        return [self.world.node_rps(self.balancer, node) for node in self.balancer.nodes]

    def take_one_out(self) -> None:
        """The newest node leaves the pool."""
        Hands(self.world).remove_node(self.balancer.lb_id, self.balancer.nodes[-1].node_id)

    def slow_down(self, factor: float) -> None:
        """From now on every server takes `factor` times as long."""
        for server in self.world.servers.values():
            Hands(self.world).slow_server(server.server_id, factor)


def _plan(site: Site) -> PlanData:
    servers = tuple(
        PlannedServer(
            str(node.node_id),
            f"web-{node.node_id}",
            AT,
            (node.address,),
            (
                PlannedNode(
                    str(site.balancer.lb_id), str(node.node_id), node.address, 80, NodeType.PRIMARY, 1
                ),
            ),
            "http://status/",
        )
        for node in site.balancer.nodes
    )
    chosen = Choice()
    old = len(servers) - OUT
    return PlanData(
        format=PLAN_FORMAT,
        account_ref="a",
        connection_ref="c",
        provider="rackspace",
        identity_url="https://identity.example/v2.0",
        tenant="1",
        region="DFW",
        balancer_ids=(str(site.balancer.lb_id),),
        servers=servers[:-OUT:-1],
        remaining=servers[:old],
        target=old,
        target_reason="",
        floor=2,
        order=Order.REVERSE_OF_SCALE_UP,
        min_drain_s=7.0,
        drain_limit_s=chosen.drain_limit_s,
        at_limit=AtLimit.ASK,
        accepted_grade=Grade.MEASURED,
        zeros_needed=3,
        soak_s=float(site.soak_s),
        hold_s=0.0,
        pause_between_s=0.0,
        probes=(PROBE,),
        probe_failures_allowed=chosen.probe_failures_allowed,
        count_kind="nginx_stub_status",
        ceiling_rps=0.85 * scenarios.CAPACITY_RPS,
        ceiling_source="benchmark",
        forecast_peak_rps=old * scenarios.CAPACITY_RPS * scenarios.COMFORT,
        guard_share=chosen.guard_share,
        window_start=None,
        window_end=None,
        is_unattended=False,
        reason="",
        slower_allowed=chosen.slower_allowed,
        objective=PlannedObjective(0.001, 400.0, 0.95, "promised"),
    )


def stretch_before(site: Site) -> BeforeWay:
    """Look at the site until there is enough to compare with, as the machine does."""
    way = BeforeWay(site.now)
    for second in range(1, int(LONGEST_BEFORE_S) + 1):
        is_good, ms = site.look()
        if is_good:
            way = replace(way, latency_ms={PROBE.name: (*way.latency_ms.get(PROBE.name, ()), ms)})
        if second % LOAD_EVERY == 0:
            loads = site.loads()
            way = replace(way, load_looks=way.load_looks + 1, load_sum=way.load_sum + sum(loads) / len(loads))
        if is_enough(site.plan, way, float(second)):
            break
    return replace(way, done_at=site.now)


def soak(site: Site, before: BeforeWay, seconds: int) -> Judgement:
    """Watch the pool for so long, and on until there are answers enough, and judge."""
    way = SoakWay(site.now, site.now + timedelta(seconds=seconds))
    answers: list[float] = []
    ok = failed = 0
    means: list[float] = []
    second = 0
    while second < seconds or (
        second < seconds + 300
        and looks_missing(site.plan, before, replace(way, latency_ms={PROBE.name: tuple(answers)})) > 0
    ):
        second += 1
        is_good, ms = site.look()
        ok, failed = ok + is_good, failed + (not is_good)
        if is_good:
            answers.append(ms)
        if second % LOAD_EVERY == 0:
            loads = site.loads()
            means.append(sum(loads) / len(loads))
    guard = (site.plan.ceiling_rps or 0.0) * site.plan.guard_share
    way = replace(
        way,
        probes_ok=ok,
        probes_failed=failed,
        latency_ms={PROBE.name: tuple(answers[-ANSWERS_KEPT:])},
        pool_looks=second,
        load_looks=len(means),
        load_sum=sum(means),
        load_over=sum(mean > guard for mean in means),
        load_highest=max(means),
        load_last=means[-1],
    )
    return judge(
        way,
        site.plan,
        has_monitor=True,
        pool_rps=sum(site.loads()),
        now=site.now,
        before=before,
        serving=len(site.balancer.nodes),
    )


def verdicts(seed: int, *, slower: float = 0.0, soak_s: int = 300) -> Iterator[Judgement]:
    """Run once: a verdict after each soak and one before each delete, until one does not pass.

    `slower` is the share by which every server answers more slowly once the first one has left.
    """
    site = Site(seed, soak_s)
    # What a probe was measured at a day and a week before, at this load.
    earlier = sorted(ms for is_good, ms in (site.look() for _ in range(300)) if is_good)
    loads = site.loads()
    site.plan = replace(
        site.plan,
        baselines=tuple(
            PlannedBaseline(
                PROBE.name,
                sum(loads) / len(loads),
                median(earlier),
                earlier[int(len(earlier) * 0.95)],
                None,
                site.now - timedelta(days=days),
                "an hour of probes",
            )
            for days in (1, 7)
        ),
    )
    before = stretch_before(site)
    for _ in range(OUT):
        site.take_one_out()
        if slower:
            site.slow_down(1.0 + slower)
            slower = 0.0
        for seconds in (soak_s, int(RECHECK_S)):
            found = soak(site, before, seconds)
            yield found
            if found.verdict is not Verdict.PASSES:
                return


def false_halts(runs: int, *, soak_s: int = 300, first_seed: int = 1) -> tuple[int, float | None]:
    """Return how many of so many runs on unchanged traffic stop, and the smallest slowness that they would have seen."""
    stopped, smallest = 0, []
    for seed in range(first_seed, first_seed + runs):
        found = list(verdicts(seed, soak_s=soak_s))
        stopped += found[-1].verdict is not Verdict.PASSES
        seen = found[0].numbers["smallest_slowness_seen"]
        if seen is not None:
            smallest.append(seen)
    return stopped, median(smallest) if smallest else None


def seen_shifts(runs: int, slower: float, *, soak_s: int = 300, first_seed: int = 100_000) -> int:
    """Return in how many runs the first verdict after a shift of that share fails."""
    return sum(
        next(verdicts(seed, slower=slower, soak_s=soak_s)).verdict is Verdict.FAILS
        for seed in range(first_seed, first_seed + runs)
    )


def verify(say: Said) -> dict[str, float]:
    """Return the share of false halts with its 95 % bound, the shares of shifts that were seen, and the smallest one."""
    say(f"{RUNS} runs on unchanged traffic, {OUT} servers each")
    stopped, claimed = false_halts(RUNS)
    figures: dict[str, float] = {
        "verify_runs": RUNS,
        "verify_false_halts_share": stopped / RUNS,
        "verify_false_halts_share_at_most": round(largest_share(stopped, RUNS), 5),
    }
    if claimed is not None:
        figures["verify_smallest_shift_claimed"] = round(claimed, 3)
    say(f"{RUNS_A_SHIFT} runs for each size of shift")
    always: list[float] = []
    for slower in SHIFTS:
        share = seen_shifts(RUNS_A_SHIFT, slower) / RUNS_A_SHIFT
        figures[f"verify_seen_{round(slower * 100)}_percent"] = round(share, 3)
        always = [*always, slower] if share >= 0.95 else []
    if always:
        figures["verify_smallest_shift_seen"] = always[0]
    return figures
