"""The phase *verifying*: watch the pool without a server that still runs outside of it, then judge. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from portal.cloud.types import NodeStatus
from portal.frozen import replace
from portal.runs.types import HaltRank
from scaledown import hours, late, looks, verify, wording
from scaledown.answers import with_answer
from scaledown.comparing import looks_missing, share_of_before
from scaledown.progress import NodeState, ProbeCounts, ServerWay, SoakWay, VerdictWay
from scaledown.put_backs import put_backs
from scaledown.turn import AT_ONCE_S, LOOK_S, Turn
from scaledown.types import Phase, PlanData, ProbeSeen, Verdict
from scaledown.vital import VitalCompared, compare_vital
from scaledown.wording import Words

MOST_EXTENSIONS = 3
LONGEST_WAIT_FOR_ANSWERS_S = 300.0
"""How much longer than planned a soak lasts at most where its answers are too few to tell."""
LONGEST_WAIT_FOR_TRAFFIC_S = 12 * 3600.0
LAST_LOAD_S = 1.0
LAST_PROBES_S = 2.0
PROBE_EVERY_S = 0.5
SOAK_GAP_S = 15.0
COUNTED_GAP_S = 3.0
"""The most that two looks running add to a soak: a clock that was set forward, or a machine that slept, watched nothing."""


def verifying(turn: Turn, way: ServerWay) -> bool:
    """Watch the pool without this server, which still runs outside of it; then judge."""
    way = watch(turn, way, turn.plan.soak_s)
    soak = way.soak
    assert soak is not None
    if soak.extensions > MOST_EXTENSIONS:
        return never_watched(turn, way)
    if is_to_go_on(turn, soak):
        return keep_watching(turn, way, soak, "soak")
    judgement = judge_soak(turn, soak)
    if judgement.verdict is Verdict.PASSES:
        return _hold(turn, with_verdict(turn, way, judgement))
    return not_passed(turn, with_verdict(turn, way, judgement), judgement)


def watch(turn: Turn, way: ServerWay, soak_s: float) -> ServerWay:
    """Add this look to the soak of a server; begin one where there is none."""
    soak = way.soak
    if soak is None or turn.age_s(soak.looked_at) > SOAK_GAP_S:
        # A stretch in which nobody looked (a standstill, a dead worker) is no part of a soak.
        extensions = 0 if soak is None else soak.extensions + 1
        begun = SoakWay(turn.now, turn.after(soak_s), looked_at=turn.now, extensions=extensions)
        return turn.update(way, soak=begun)
    missed_s = max(0.0, turn.age_s(soak.looked_at) - COUNTED_GAP_S)
    if missed_s:
        later = soak.until + timedelta(seconds=missed_s)
        soak = replace(soak, until=later, unwatched_s=soak.unwatched_s + missed_s)
    ok, failed, unknown, slow = soak.probes_ok, soak.probes_failed, soak.probes_unknown, soak.probes_slow
    latencies, newest, by_probe = soak.latency_ms, soak.probed_at, soak.by_probe
    for probe in turn.observation.probes:
        if probe.observed_at < soak.since or (soak.probed_at and probe.observed_at <= soak.probed_at):
            continue
        newest = probe.observed_at if newest is None else max(newest, probe.observed_at)
        ok, failed, unknown = (
            ok + (probe.ok is True),
            failed + (probe.ok is False and not probe.is_slow),
            unknown + (probe.ok is None),
        )
        slow += probe.is_slow
        by_probe = _counted(by_probe, probe)
        latencies = with_answer(latencies, probe)
    soak = replace(
        soak,
        looked_at=turn.now,
        probes_ok=ok,
        probes_failed=failed,
        probes_unknown=unknown,
        probes_slow=slow,
        by_probe=by_probe,
        latency_ms=latencies,
        probed_at=newest,
        pool_looks=soak.pool_looks + 1,
        pool_bad_in_row=soak.pool_bad_in_row + 1 if _is_pool_bad(turn) else 0,
    )
    load_at = turn.progress.load_at
    if load_at is not None and load_at > soak.since and load_at != soak.load_at:
        _, mean = looks.pool_load(turn.plan, turn.progress, turn.observation, turn.now)
        guard = looks.guard_rps(turn.plan)
        if mean is not None:
            soak = replace(
                soak,
                load_at=load_at,
                load_looks=soak.load_looks + 1,
                load_sum=soak.load_sum + mean,
                load_over=soak.load_over + (guard is not None and mean > guard),
                load_last=mean,
                load_highest=mean if soak.load_highest is None else max(mean, soak.load_highest),
            )
    return turn.update(way, soak=soak)


def _counted(by_probe: Mapping[str, ProbeCounts], probe: ProbeSeen) -> Mapping[str, ProbeCounts]:
    counts = by_probe.get(probe.name, ProbeCounts())
    counts = ProbeCounts(
        counts.ok + (probe.ok is True),
        counts.failed + (probe.ok is False and not probe.is_slow),
        counts.slow + probe.is_slow,
        counts.unknown + (probe.ok is None),
    )
    return {**by_probe, probe.name: counts}


def probe_every_s(plan: PlanData) -> float:
    """Return how far apart the looks at the site are while it is watched closely: the fewest fit into the soak."""
    return min(PROBE_EVERY_S, plan.soak_s / verify.MIN_PROBES)


def is_to_go_on(turn: Turn, soak: SoakWay) -> bool:
    """Whether a soak lasts still: its time is not over, or what a verdict takes is not there yet."""
    return (
        turn.now < soak.until
        or lacks_probes(turn, soak)
        or lacks_last_load(turn, soak)
        or lacks_answers(turn, soak)
        or lacks_vital(turn, soak)
    )


def lacks_probes(turn: Turn, soak: SoakWay) -> bool:
    """Whether a soak that is over still waits, shortly, for the fewest looks at the site that tell anything."""
    if (turn.now - soak.until).total_seconds() >= LAST_PROBES_S:
        return False
    looked = (soak.by_probe.get(probe.name, ProbeCounts()) for probe in turn.plan.probes)
    return any(c.ok + c.failed + c.slow + c.unknown < verify.MIN_PROBES for c in looked)


def lacks_last_load(turn: Turn, soak: SoakWay) -> bool:
    """Whether a soak that is over still waits, shortly, for load figures from its end.

    A rate is an average over some seconds: without one from the end a rise in the soak would go unseen.
    """
    if not looks.guards_load(turn.plan):
        return False
    if soak.load_at is not None and soak.load_at >= soak.until - timedelta(seconds=LAST_LOAD_S):
        return False
    return (turn.now - soak.until).total_seconds() < looks.LOAD_FRESH_S


def _traffic(turn: Turn) -> float | None:
    """Return the traffic by which answers are evidence or none; None where it is not known.

    No one low figure makes them none: a clock that was set forward by some seconds makes one.
    """
    known = turn.progress.pool_load
    most, _ = looks.pool_load(turn.plan, turn.progress, turn.observation, turn.now, looks.most_rps)
    return known if known is None or most is None else max(known, most)


def lacks_answers(turn: Turn, soak: SoakWay) -> bool:
    """Whether a soak that is over goes on, for a while, until it has the answers that it takes to see a real shift."""
    if turn.age_s(soak.since) > turn.plan.soak_s + LONGEST_WAIT_FOR_ANSWERS_S:
        return False
    if not verify.is_latency_evidence(turn.plan, _traffic(turn)):
        return False
    return looks_missing(turn.plan, turn.progress.before, soak) > 0


def lacks_vital(turn: Turn, soak: SoakWay) -> bool:
    """Whether a soak that is over goes on, for a while, for samples of vital figures: they come late, and seldom."""
    if (turn.now - soak.until).total_seconds() > LONGEST_WAIT_FOR_ANSWERS_S:
        return False
    is_evidence = verify.is_latency_evidence(turn.plan, _traffic(turn))
    return any(one.is_missing or (is_evidence and one.missing > 0) for one in vital_now(turn))


def vital_now(turn: Turn) -> tuple[VitalCompared, ...]:
    """Return the plan's vital figures, held against the hour before the first server."""
    return compare_vital(turn.plan, turn.observation.vital, share_of_before(turn.plan, turn.progress))


def keep_watching(turn: Turn, way: ServerWay, soak: SoakWay, code: str) -> bool:
    left_s = max(0.0, (soak.until - turn.now).total_seconds())
    words = wording.watching(way.name, soak.probes_ok, soak.probes_failed, left_s)
    turn.tell(way, words, soak.until)
    look_s = LOOK_S if left_s else probe_every_s(turn.plan)
    return turn.wait(code, words, until=soak.until if left_s else None, look_again_s=look_s)


def _is_pool_bad(turn: Turn) -> bool:
    """Return whether a node that should serve is shown as not serving."""
    for server in turn.progress.kept:
        for node in server.nodes:
            balancer = turn.observation.balancers.get(node.balancer_id)
            if balancer is None or not balancer.has_health_monitor or node.confirmed is not NodeState.ENABLED:
                continue
            seen = looks.find_node(balancer, node)
            if seen is None or seen.status is NodeStatus.OFFLINE:
                return True
    return False


def judge_soak(turn: Turn, soak: SoakWay) -> verify.Judgement:
    return verify.judge(
        soak,
        turn.plan,
        has_monitor=not turn.progress.unmonitored,
        pool_rps=_traffic(turn),
        now=turn.now,
        before=turn.progress.before,
        serving=len(looks.serving_anywhere(turn.plan, turn.progress, turn.observation)),
        vital=vital_now(turn),
    )


def with_verdict(turn: Turn, way: ServerWay, judgement: verify.Judgement) -> ServerWay:
    assert way.soak is not None
    verdict = VerdictWay(
        judgement.verdict,
        turn.now,
        way.soak.since,
        judgement.says,
        judgement.customer_says,
        judgement.numbers,
    )
    way = turn.update(way, verdict=verdict)
    # A pass says so itself.
    says = judgement.says[:1].lower() + judgement.says[1:]
    if judgement.verdict is not Verdict.PASSES:
        says = f"{judgement.verdict.value}. {judgement.says}"
    turn.note(
        "verdict",
        Words(f"Without {way.name}: {says}", judgement.customer_says),
        way.server_id,
        verdict=judgement.verdict.value,
        **judgement.numbers,
    )
    return way


def not_passed(turn: Turn, way: ServerWay, judgement: verify.Judgement) -> bool:
    soak = way.soak
    assert soak is not None
    if judgement.verdict is Verdict.FAILS and not judgement.goes_back:
        words = wording.too_few_for_the_peak(way.name, judgement.says)
        return turn.halt(
            "peak_not_carried",
            HaltRank.DECIDE_TODAY,
            words,
            ("put_back", "resume", "abort", "finish_here"),
        )
    if judgement.verdict is Verdict.FAILS:
        may_go_back = way.delete is None or way.delete.accepted_at is None
        if may_go_back:
            late.say_risk(turn, way)
            turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, judgement.says))
        turn.halt(
            "traffic_not_keeping_up",
            HaltRank.SITE_IN_DANGER if judgement.is_danger else HaltRank.DECIDE_TODAY,
            wording.not_keeping_up(way.name, judgement.says)
            if may_go_back
            else wording.needed_but_deleted(way.name, judgement.says),
        )
        return put_backs(turn) if may_go_back else True
    if judgement.code == "traffic":
        return _await_traffic(turn, way, judgement)
    if soak.extensions < MOST_EXTENSIONS:
        longer_s = max(turn.plan.soak_s / 2, 3.0)
        turn.update(way, soak=replace(soak, until=turn.after(longer_s), extensions=soak.extensions + 1))
        return turn.wait("soak", wording.inconclusive(way.name, judgement.says), until=turn.after(longer_s))
    words = wording.inconclusive_halt(way.name, judgement.says)
    return turn.halt(
        "verify_inconclusive", HaltRank.DECIDE_TODAY, words, ("resume", "put_back", "abort", "finish_here")
    )


def _await_traffic(turn: Turn, way: ServerWay, judgement: verify.Judgement) -> bool:
    """Watch on while there is not enough traffic to tell: nobody is called for it, and after a night it is a notice."""
    words = wording.not_enough_traffic(way.name, judgement.says)
    if turn.age_s(_awaits_traffic_since(turn, way)) > LONGEST_WAIT_FOR_TRAFFIC_S:
        return turn.halt(
            "not_enough_traffic",
            HaltRank.SAFE_WAITING,
            words,
            ("resume", "put_back", "abort", "finish_here"),
        )
    turn.update(way, soak=None)
    turn.tell(turn.server(way.server_id), words)
    return turn.wait("traffic", words)


def _awaits_traffic_since(turn: Turn, way: ServerWay) -> datetime:
    """Return since when traffic may have been waited for: a hold waits for its end, and whoever resumes gives it as long again."""
    times = [way.since, way.left_at]
    if way.held_at is not None:
        times += [way.held_at + timedelta(seconds=turn.plan.hold_s), turn.plan.hold_through]
    return max(at for at in times if at is not None)


def never_watched(turn: Turn, way: ServerWay) -> bool:
    """Halt a soak that had to begin anew too often, since nobody looked for a while each time."""
    words = wording.inconclusive_halt(way.name, "Looks were too far apart to watch the pool without a gap.")
    return turn.halt(
        "verify_inconclusive", HaltRank.DECIDE_TODAY, words, ("resume", "put_back", "abort", "finish_here")
    )


def _hold(turn: Turn, way: ServerWay) -> bool:
    until = turn.after(turn.plan.hold_s) if turn.plan.hold_s > 0 else None
    if turn.plan.hold_through is not None:
        until = max(until or turn.now, turn.plan.hold_through)
    opens = hours.opens_at(turn.plan, until or turn.now)
    until = opens if until is not None or opens > turn.now else None
    turn.enter(way, Phase.HELD, wording.held(way.name, until), held_at=turn.now, soak=None)
    turn.update(turn.server(way.server_id), until=until)
    turn.change(last_left_at=turn.now, waiting=None)
    turn.look_again_s = AT_ONCE_S
    return True
