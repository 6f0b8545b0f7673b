"""Given this plan, this progress and what the provider shows now: the next single action. Pure.

`decide` judges in one order on every tick, in every status that is not over (`JUDGES` below): people's
commands, then safety, then what is on its way back, other hands, approval, standstill, window, the server in
hand by its phase (`PHASES`), then the next one. The first judge that settles the tick ends it. It has no
clock, database or network of its own. Source of the rules: architecture notes, *What must hold*, 1 to 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from portal.cloud.types import BalancerStatus, NodeStatus
from portal.runs.types import Action, HaltRank, Outcome, OutcomeKind, RunStatus
from scaledown import late, looks, verify, wording
from scaledown.commands import answer_commands, answer_stops, vain_resumes
from scaledown.notice import accept_pool, notice, samples_only
from scaledown.progress import (
    DeleteWay,
    DrainWay,
    NodeState,
    NodeWay,
    Progress,
    ServerWay,
    SoakWay,
    VerdictWay,
)
from scaledown.turn import LOOK_RESTING_S, LOOK_S, LOOK_SOON_S, MachineDecision, Turn
from scaledown.types import (
    AtLimit,
    BalancerSeen,
    Facts,
    Grade,
    Needs,
    Observation,
    People,
    Phase,
    PlanData,
    ServerSeen,
    Verdict,
)
from scaledown.wording import Words

LOST_SIGHT_S = 300.0
LOOK_HELD_S = 5.0
LOOK_IDLE_S = 10.0
LOOK_ZERO_S = 0.35
LOOK_AHEAD_S = 30.0
PATIENCE_S = 900.0
"""How long a draining node waits for a person's answer before it is enabled again."""
BALANCER_BUSY_S = 600.0
BALANCER_ERROR_S = 900.0
EFFECT_S = 5.0
"""An accepted change that a writable balancer does not show after this had no effect."""
MOST_TRIES = 3
TROUBLE_S = 600.0
PREFLIGHT_S = 1800.0
MIN_ZEROS = 3
ZERO_SPACING_S = 0.3
SAMPLE_MAX_AGE_S = 10.0
NO_PROGRESS_S = 60.0
MOST_EXTENSIONS = 3
RECHECK_S = 10.0
MOST_DELETES = 6
DELETE_SLOW_S = 3600.0
CONFIRM_S = 120.0
MARGIN_S = 30.0
LATENCIES_KEPT = 200
LAST_LOAD_S = 1.0
SOAK_GAP_S = 15.0

OUT = frozenset({NodeState.DRAINING, NodeState.ABSENT, NodeState.DISABLED})
Judge = Callable[[Turn], bool]


def decide(
    plan: PlanData,
    progress: Progress,
    observation: Observation,
    people: People,
    facts: Facts,
    now: datetime,
) -> MachineDecision:
    """Return what is to be done next: at most one change, with what is said, sampled and answered.

    While a doubt is open nothing is judged: only points for the live page are taken, and who says "stop" is
    answered.
    """
    turn = Turn(plan, progress, observation, people, facts, now)
    decided = _decide(turn, {})
    vain = vain_resumes(turn)
    if not vain:
        return decided
    # A resume after which the same halt stands in the same tick changed nothing: it is refused, as if it had not been tried.
    return _decide(Turn(plan, progress, observation, people, facts, now), vain)


def _decide(turn: Turn, vain: Mapping[int, str]) -> MachineDecision:
    people, now = turn.people, turn.now
    if people.status.is_over:
        return turn.result()
    if people.status in {RunStatus.PAUSED, RunStatus.HALTED} and turn.progress.stopped_at is None:
        # The engine halts by itself too, and leaves no word of it here: patience counts from now on.
        turn.change(stopped_at=now)
    if people.doubt is not None:
        samples_only(turn)
        answer_stops(turn)
        return turn.result()
    notice(turn)
    answer_commands(turn, vain)
    for judge in JUDGES:
        if judge(turn):
            break
    if turn.foreign and not turn.is_foreign_told and not turn.status.is_over:
        # A judge before `other_hands` settled the tick. What was seen is stored as seen: it is told now or never.
        _halt_for_other_hand(turn)
    return turn.result()


# --- sight and safety -----------------------------------------------------------------------------------


def already_over(turn: Turn) -> bool:
    """A command ended the run in this very turn."""
    return turn.status.is_over


def blind(turn: Turn) -> bool:
    """Without a complete fresh look at the pool nothing is judged and nothing is sent."""
    missing = sorted(set(turn.plan.balancer_ids) & turn.observation.missing_balancers)
    if missing and not turn.progress.aborting:
        if turn.status is RunStatus.SCHEDULED:
            return _not_as_approved(turn, f"Load balancer {', '.join(missing)} no longer exists.")
        if turn.status is not RunStatus.HALTED:
            return turn.halt(
                "balancer_gone",
                HaltRank.SITE_IN_DANGER,
                wording.balancer_gone(", ".join(missing)),
                ("abort",),
            )
    unseen = [b for b in looks.unseen(turn.plan, turn.observation, turn.now) if b not in missing]
    if not unseen:
        return False
    names = ", ".join(unseen)
    since_s = turn.age_s(turn.progress.sighted_at)
    if since_s > LOST_SIGHT_S and turn.status is not RunStatus.HALTED:
        return turn.halt("lost_sight", HaltRank.DECIDE_TODAY, wording.lost_sight(names))
    return turn.wait("sight", wording.blind(names, since_s), look_again_s=LOOK_RESTING_S)


def _danger(turn: Turn) -> str:
    """Return why traffic needs more servers, seen in two looks running, or ""."""
    failing = sorted(name for name, count in turn.progress.probe_failures.items() if count >= 2)
    if failing:
        return f"Probes fail: {', '.join(failing)}."
    if turn.progress.hot_looks >= 2:
        guard = looks.guard_rps(turn.plan)
        return f"Each node carries more than {guard:.1f} requests/s." if guard else ""
    return ""


def _out_newest_first(turn: Turn) -> list[ServerWay]:
    """Return servers that are out and alive and not on their way back, the one that left last first."""
    out = [
        way
        for way in turn.progress.servers
        if way.phase.is_out_and_alive
        and way.put_back is None
        and (way.delete is None or way.delete.accepted_at is None)
    ]
    return sorted(out, key=lambda way: way.drain.begun_at if way.drain else way.since, reverse=True)


def _back_under_way(turn: Turn) -> bool:
    return any(way.put_back is not None for way in turn.progress.servers)


def rising_traffic(turn: Turn) -> bool:
    """Put servers back by itself when traffic needs them, then halt. Looked at in every status."""
    if turn.progress.started_at is None:
        return False
    why = _danger(turn)
    if not why:
        return False
    out = _out_newest_first(turn)
    if not out:
        if _back_under_way(turn) or turn.status is not RunStatus.RUNNING:
            return False
        return turn.halt("traffic_rising", HaltRank.SITE_IN_DANGER, wording.rising(why, ""))
    newest = out[0]
    if newest.phase is Phase.VERIFYING:
        code, words = "traffic_not_keeping_up", wording.not_keeping_up(newest.name, why)
    else:
        code, words = "traffic_rising", wording.rising(why, ", ".join(way.name for way in out))
    for way in out:
        late.say_risk(turn, way)
        turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, why))
    turn.halt(code, HaltRank.SITE_IN_DANGER, words)
    return put_backs(turn)


def broken_floor(turn: Turn) -> bool:
    """Put servers back by itself when fewer than the floor serve, then halt (invariant 2)."""
    if turn.progress.started_at is None:
        return False
    broken = looks.floor_breaks(turn.plan, turn.observation)
    if not broken:
        return False
    balancer_id, count = broken[0]
    name = turn.observation.balancers[balancer_id].name
    out = _out_newest_first(turn)
    if not out and (_back_under_way(turn) or turn.status is not RunStatus.RUNNING):
        return False
    for way in out:
        late.say_risk(turn, way)
        turn.send_back(
            way, Phase.RESTORED, wording.putting_back(way.name, f"Only {count} servers serve on {name}.")
        )
    rank = HaltRank.SITE_IN_DANGER if count == 0 or _danger(turn) else HaltRank.DECIDE_TODAY
    names = ", ".join(way.name for way in out)
    turn.halt("floor_broken", rank, wording.floor_broken(name, count, turn.plan.floor, names))
    return put_backs(turn) if out else True


def unknown_load(turn: Turn) -> bool:
    """Halt where rising traffic could go unseen while a server of ours is out. Put-backs come first."""
    progress = turn.progress
    names = looks.load_unknown(turn.plan, progress, turn.observation, turn.now)
    if not names or progress.started_at is None or progress.aborting:
        return False
    words = wording.load_unknown(names, turn.age_s(progress.load_unknown_since))
    standing = turn.halt_in_force
    if standing is None:
        return turn.halt("load_unknown", HaltRank.DECIDE_TODAY, words)
    if standing.code != "load_unknown" and "load_unknown" not in progress.told_beside_halt:
        # What is asked at the standing halt stays asked; that the guard is blind is said beside it.
        turn.change(told_beside_halt=(*progress.told_beside_halt, "load_unknown"))
        turn.note("also_halted", words, code="load_unknown")
    return False


# --- putting back ---------------------------------------------------------------------------------------


def put_backs(turn: Turn) -> bool:
    """Carry out what is on its way back, newest first. Allowed in every status that is not over.

    One server that cannot go back now keeps no other one out: each is tried until one gives a change to send.
    """
    _catch_late_landings(turn)
    backs = [way for way in turn.progress.servers if way.put_back is not None]
    backs.sort(key=lambda way: way.drain.begun_at if way.drain else way.since, reverse=True)
    is_settled = False
    for way in backs:
        is_settled = _put_back_one(turn, turn.server(way.server_id)) or is_settled
        if turn.action is not None:
            return True
    return is_settled


def _catch_late_landings(turn: Turn) -> None:
    """A change that reading found not applied may land later, on a server that is no longer on its way out."""
    for way in turn.progress.servers:
        if way.put_back is not None or way.phase not in {Phase.QUEUED, Phase.SKIPPED, Phase.RESTORED}:
            continue
        landed = [node for node in way.nodes if node.confirmed is not NodeState.ENABLED and node.late]
        if any(node.confirmed in node.late and not node.is_foreign for node in landed):
            words = wording.putting_back(way.name, "A change whose answer was lost took effect late.")
            turn.send_back(way, way.phase, words)


def _put_back_one(turn: Turn, way: ServerWay) -> bool:
    back = way.put_back
    assert back is not None
    for node in way.nodes:
        if node.is_foreign or node.balancer_id in turn.observation.missing_balancers:
            continue
        if node.is_settled and node.confirmed is NodeState.ENABLED:
            continue
        words = wording.putting_back(way.name, back.why)
        way = turn.tell(way, words)
        if back.next_try_at is not None and turn.now < back.next_try_at:
            return turn.wait("put_back_retry", words, look_again_s=LOOK_S)
        if node.asked is NodeState.ENABLED and not node.is_settled:
            return _await_effect(turn, way, node)
        return _ask_back(turn, way, node, words)
    to = back.to
    way = turn.update(way, put_back=None)
    turn.enter(
        way, to, wording.back(way.name), drain=None, soak=None, verdict=None, left_at=None, held_at=None
    )
    return False


def _ask_back(turn: Turn, way: ServerWay, node: NodeWay, words: Words) -> bool:
    balancer = turn.observation.balancers[node.balancer_id]
    if balancer.status is not BalancerStatus.ACTIVE:
        return _await_balancer(turn, way, balancer)
    seen = turn.observation.servers.get(way.server_id)
    is_out = node.confirmed is NodeState.ABSENT
    if is_out and seen is None:
        return turn.wait("put_back_server", words, limit_s=TROUBLE_S, rank=HaltRank.SITE_IN_DANGER)
    # A node that only drains is enabled without waiting for a look at its server, but never towards a gone one.
    if seen is not None and (seen.is_gone or (is_out and not _can_serve(seen, node))):
        why = "It is gone." if seen.is_gone else f"It is {seen.status} or has other addresses."
        turn.halt(
            "cannot_put_back",
            HaltRank.DECIDE_TODAY,
            wording.cannot_put_back(way.name, why),
            ("abort", "finish_here"),
        )
        return not _is_hopeless(turn, way)
    return turn.ask_node(way, node, NodeState.ENABLED, words, is_put_back=True)


def _can_serve(seen: ServerSeen, node: NodeWay) -> bool:
    return seen.status == "ACTIVE" and node.address in seen.addresses


def _is_hopeless(turn: Turn, way: ServerWay) -> bool:
    """Give up putting back a server that cannot serve any more, once a person aborts."""
    if not turn.progress.aborting:
        return False
    words = Words(
        f"{way.name} cannot be put back: it no longer serves at its address. Look at it by hand.",
        f"{way.name} could not be put back into service. We look at it by hand.",
    )
    turn.enter(turn.update(way, put_back=None), Phase.GONE, words)
    return True


# --- waiting for the provider ---------------------------------------------------------------------------


def _await_balancer(turn: Turn, way: ServerWay, balancer: BalancerSeen) -> bool:
    """Wait for a balancer to take changes, within bounds (provider reference, section 9)."""
    status = balancer.status
    words = wording.balancer_waits(balancer.name, status)
    if status in {BalancerStatus.PENDING_UPDATE, BalancerStatus.BUILD, BalancerStatus.UNKNOWN}:
        turn.tell(way, wording.applying(way.name, balancer.name))
        return turn.wait("balancer", words, limit_s=BALANCER_BUSY_S, look_again_s=LOOK_SOON_S)
    if status is BalancerStatus.ERROR:
        return turn.wait("balancer_error", words, limit_s=BALANCER_ERROR_S, look_again_s=LOOK_RESTING_S)
    return turn.halt("balancer_not_writable", HaltRank.DECIDE_TODAY, words)


def _await_effect(turn: Turn, way: ServerWay, node: NodeWay) -> bool:
    """Wait until a look shows what was asked for; a writable balancer that never does had not applied it."""
    balancer = turn.observation.balancers[node.balancer_id]
    if balancer.status is not BalancerStatus.ACTIVE:
        return _await_balancer(turn, way, balancer)
    if turn.age_s(node.asked_at) <= EFFECT_S:
        words = wording.applying(way.name, balancer.name)
        turn.tell(way, words)
        return turn.wait("effect", words, look_again_s=LOOK_SOON_S)
    may_land = tuple(dict.fromkeys((*node.late, node.asked)))
    tries = node.tries
    turn.update_node(way, node, asked=node.confirmed, late=may_land)
    if tries >= MOST_TRIES and way.put_back is not None:
        # It is tried on all the same: the site may need this server.
        why = f"{balancer.name} accepted it {tries} times and shows no effect."
        words = wording.cannot_put_back(way.name, why)
        return turn.halt("cannot_put_back", HaltRank.SITE_IN_DANGER, words, ("abort",))
    if tries >= MOST_TRIES:
        return turn.halt(
            "no_effect",
            HaltRank.DECIDE_TODAY,
            Words(
                f"{balancer.name} accepted a change for {way.name} {tries} times and shows no effect.",
                "Paused for safety: your load balancer does not apply our change.",
            ),
        )
    return turn.wait("effect", wording.applying(way.name, balancer.name), look_again_s=0.05)


def _is_held_off(turn: Turn) -> bool:
    """The provider asked to come back later: nothing but putting back is sent before that."""
    retry_at = turn.progress.retry_at
    if retry_at is None or turn.now >= retry_at:
        return False
    says = turn.progress.refusal_says or "The provider is busy."
    return turn.wait("provider", wording.busy(says), until=retry_at)


# --- other hands, protection, approval ------------------------------------------------------------------


def other_hands(turn: Turn) -> bool:
    """Halt when the pool or a planned server changed without us (invariant 5)."""
    for way in turn.progress.servers:
        seen = turn.observation.servers.get(way.server_id)
        if way.phase.is_final or way.by_hand or seen is None or seen.is_gone:
            continue
        if turn.progress.started_at is None:
            continue
        difference = looks.identity_difference(turn.planned(way.server_id), seen)
        if difference:
            turn.update(way, by_hand=difference)
            turn.foreign.append(difference)
    return _halt_for_other_hand(turn) if turn.foreign else False


def _halt_for_other_hand(turn: Turn) -> bool:
    """Say what another hand changed, once, and halt; beside a put-back that is on its way as well."""
    turn.is_foreign_told = True
    what = " ".join(turn.foreign)
    turn.note("changed_by_other_hand", wording.foreign_change(what), changes=list(turn.foreign))
    if turn.status is RunStatus.HALTED:
        return False
    words = wording.other_hand(what)
    return turn.halt("changed_by_other_hand", HaltRank.DECIDE_TODAY, words, ("resume", "abort"))


def protected_servers(turn: Turn) -> bool:
    """A server that was protected meanwhile goes back or stays, and the run halts."""
    hit = [
        way
        for way in turn.progress.servers
        if way.server_id in turn.facts.protected and not way.phase.is_final and way.put_back is None
    ]
    hit = [way for way in hit if way.phase not in {Phase.DELETING, Phase.CONFIRMING}]
    hit = [way for way in hit if late.delete_lands_until(way, turn.now) is None]
    if not hit or turn.status is RunStatus.SCHEDULED:
        return False
    words = wording.protected(", ".join(way.name for way in hit))
    for way in hit:
        if way.phase is Phase.QUEUED:
            turn.enter(way, Phase.SKIPPED, wording.skipped(way.name, "It is protected."))
        else:
            turn.send_back(way, Phase.RESTORED, words)
    turn.halt("protected_server", HaltRank.SAFE_WAITING, words)
    return put_backs(turn) if _back_under_way(turn) else True


def approval(turn: Turn) -> bool:
    """Pause when the approval no longer stands (invariant 6)."""
    if turn.facts.approval_stands or turn.progress.aborting:
        return False
    words = wording.approval_gone(turn.facts.approval_problem)
    if turn.status is RunStatus.SCHEDULED:
        return turn.halt("approval_does_not_stand", HaltRank.SAFE_WAITING, words, ("resume", "abort"))
    if turn.status is not RunStatus.RUNNING:
        return False
    turn.pause(words)
    turn.note("approval_gone", words)
    return False


def aborting(turn: Turn) -> bool:
    """Put back what is not deleted, watch what the provider is deleting, then end."""
    if not turn.progress.aborting:
        return False
    out = [way for way in _out_newest_first(turn) if not late.may_vanish(turn, way)]
    for way in out:
        turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, turn.progress.aborting))
    if out and put_backs(turn):
        return True
    for way in turn.progress.servers:
        if way.phase in {Phase.DELETING, Phase.CONFIRMING} and _is_still_deleting(turn, way):
            return True
    for way in turn.progress.servers:
        if way.phase is Phase.QUEUED:
            turn.enter(way, Phase.SKIPPED, wording.skipped(way.name, turn.progress.aborting))
    if _awaits_landing(turn):
        return True
    back = sum(way.phase is Phase.RESTORED for way in turn.progress.servers)
    words = wording.aborted(back)
    turn.new_status, turn.new_halt = RunStatus.ABORTED, None
    turn.change(
        ended_because="aborted", says=words.says, customer_says=words.customer_says, until=None, waiting=None
    )
    return True


def _awaits_landing(turn: Turn) -> bool:
    """Do not end while a change of ours may still land: nobody would undo it."""
    open_yet = late.outstanding(turn)
    if open_yet is None:
        return False
    until, words = open_yet
    for way in turn.progress.servers:
        lands_until = late.delete_lands_until(way, turn.now)
        if lands_until is not None and way.phase.is_out_and_alive and way.put_back is None:
            turn.tell(way, late.stays_out(way.name, lands_until), lands_until)
    return turn.wait("late_change", words, until=until, look_again_s=LOOK_RESTING_S)


def finishing(turn: Turn) -> bool:
    """End a run that a person finished, as soon as nothing of ours may land any more."""
    if not turn.progress.finishing or not all(way.phase.is_final for way in turn.progress.servers):
        return False
    if _back_under_way(turn):
        return False
    if _awaits_landing(turn):
        return True
    words = wording.finished_here(turn.progress.finishing)
    turn.new_status, turn.new_halt = RunStatus.COMPLETED, None
    turn.change(
        ended_because="finished_here",
        says=words.says,
        customer_says=words.customer_says,
        until=None,
        waiting=None,
    )
    return True


def _is_still_deleting(turn: Turn, way: ServerWay) -> bool:
    """Watch an accepted deletion to its end while aborting; give up watching after a while."""
    seen = turn.observation.servers.get(way.server_id)
    delete = way.delete or DeleteWay()
    if seen is not None and seen.is_gone:
        if delete.gone_at is not None and seen.observed_at > delete.gone_at:
            turn.enter(way, Phase.RETIRED, wording.retired(way.name), retired_at=turn.now)
            return False
        # One answer that finds no server may be wrong: a later look must find none either.
        if delete.gone_at is None:
            turn.update(way, delete=replace(delete, gone_at=seen.observed_at))
        return turn.wait("deleting", wording.confirming(way.name), look_again_s=LOOK_SOON_S)
    if seen is not None and delete.gone_at is not None:
        way = turn.update(way, delete=replace(delete, gone_at=None))
    accepted = way.delete.accepted_at if way.delete else None
    if turn.age_s(accepted) > TROUBLE_S:
        return False
    return turn.wait("deleting", wording.deleting(way.name, turn.age_s(accepted), None))


# --- not running ----------------------------------------------------------------------------------------


def resting(turn: Turn) -> bool:
    """Paused, halted or at a standstill: nothing is sent but putting back; a drain does not wait for ever."""
    standstill = turn.people.standstill
    if turn.status is RunStatus.RUNNING and standstill is None:
        return False
    if turn.status is RunStatus.SCHEDULED:
        if standstill is None:
            return False
        return turn.wait("standstill", wording.standstill(standstill), look_again_s=LOOK_IDLE_S)
    way = turn.progress.in_flight
    if way is not None and way.phase in {Phase.DRAINING, Phase.REMOVING} and way.put_back is None:
        if turn.status is RunStatus.PAUSED:
            turn.send_back(way, Phase.QUEUED, wording.putting_back(way.name, "The run is paused."))
            return put_backs(turn)
        waiting = turn.progress.waiting
        since = turn.progress.stopped_at or (
            waiting.since if waiting is not None and waiting.code == "standstill" else turn.now
        )
        if turn.age_s(since) > PATIENCE_S and not way.by_hand:
            turn.send_back(way, Phase.QUEUED, wording.silence(way.name))
            if turn.status is RunStatus.HALTED:
                turn.halt("put_back_after_silence", HaltRank.SAFE_WAITING, wording.silence(way.name))
            return put_backs(turn)
        if way.phase is Phase.DRAINING and way.drain is not None and way.drain.seen_at is not None:
            way = _take_count(turn, way)
    if standstill is not None:
        return turn.wait("standstill", wording.standstill(standstill), look_again_s=_resting_look_s(turn))
    turn.look_again_s = _resting_look_s(turn)
    return True


def _resting_look_s(turn: Turn) -> float:
    """Return how soon to look again at a run that rests: the sooner, the more there is to put back.

    A command wakes the run at once, however long this is.
    """
    if turn.progress.in_flight is not None or _back_under_way(turn):
        return LOOK_RESTING_S
    return LOOK_HELD_S if _out_newest_first(turn) else LOOK_IDLE_S


# --- before the start -----------------------------------------------------------------------------------


def before_start(turn: Turn) -> bool:
    """Pre-flight: the pool is read afresh and must be what was approved."""
    if turn.status is RunStatus.RUNNING and not turn.progress.preflight_due:
        return False
    start = turn.plan.window_start
    if start is not None and turn.now < start and turn.status is RunStatus.SCHEDULED:
        return turn.wait("window", wording.starts_at(start), until=start, look_again_s=LOOK_AHEAD_S)
    not_ready = _unready(turn)
    if not_ready:
        return turn.wait(
            "preflight", wording.not_ready(not_ready), limit_s=PREFLIGHT_S, rank=HaltRank.SAFE_WAITING
        )
    difference = _pool_difference(turn)
    if difference:
        looked = turn.progress.differs_looks + 1 if turn.progress.differs == difference else 1
        turn.change(differs=difference, differs_looks=looked)
        if looked < 2:
            return turn.wait("preflight", wording.looking_before_start(), look_again_s=LOOK_S)
        return _not_as_approved(turn, difference)
    return _begin_run(turn)


def _unready(turn: Turn) -> str:
    """Return what cannot be judged yet, or ""."""
    plan, observation = turn.plan, turn.observation
    wanted = [*plan.servers, *plan.remaining]
    if turn.progress.started_at is not None:
        wanted = [
            s for s in wanted if (w := turn.progress.server(s.server_id)) is None or not w.phase.is_final
        ]
    missing = [server.name for server in wanted if server.server_id not in observation.servers]
    if missing:
        return f"{', '.join(missing[:3])} could not be read at the provider."
    for balancer_id in plan.balancer_ids:
        balancer = observation.balancers[balancer_id]
        if balancer.status is not BalancerStatus.ACTIVE:
            return f"{balancer.name} is {balancer.status.value}."
    seen = {probe.name: probe for probe in observation.probes}
    for probe in plan.probes:
        found = seen.get(probe.name)
        if found is None or found.ok is None:
            return f"Probe {probe.name} could not be made."
        if not found.ok:
            return f"Probe {probe.name} fails."
    broken = looks.floor_breaks(plan, observation)
    if broken and turn.progress.started_at is None:
        return f"Only {broken[0][1]} servers serve; the floor is {plan.floor}."
    return ""


def _pool_difference(turn: Turn) -> str:
    """Return in what the pool differs from what was approved, or ""."""
    plan, observation = turn.plan, turn.observation
    started = turn.progress.started_at is not None
    for server in (*plan.servers, *plan.remaining):
        way = turn.progress.server(server.server_id)
        if started and way is not None and way.phase.is_final:
            continue
        seen = observation.servers[server.server_id]
        if seen.is_gone:
            return f"{server.name} no longer exists."
        difference = looks.identity_difference(server, seen)
        if difference:
            return difference
        if started:
            continue  # in mid-run the nodes are watched on every tick (`notice_nodes`)
        for node in server.nodes:
            balancer = observation.balancers[node.balancer_id]
            found = next((n for n in balancer.nodes if n.node_id == node.node_id), None)
            where = f"The node of {server.name} ({node.address}:{node.port}) on {balancer.name}"
            if found is None or (found.address, found.port) != (node.address, node.port):
                return f"{where} is not there any more."
            if found.type is not node.type:
                return f"{where} is now {found.type.value}."
            if None not in (found.weight, node.weight) and found.weight != node.weight:
                return f"{where} has weight {found.weight}, not {node.weight}."
            if found.condition.value != NodeState.ENABLED and way is not None:
                return f"{where} is {found.condition.value}."
    if started:
        return ""
    known = {
        f"{n.balancer_id}/{n.address}:{n.port}" for s in (*plan.servers, *plan.remaining) for n in s.nodes
    }
    known |= set(plan.strays)
    for balancer_id in plan.balancer_ids:
        balancer = observation.balancers[balancer_id]
        for found in balancer.nodes:
            if f"{balancer_id}/{found.address}:{found.port}" not in known:
                return f"{balancer.name} has a node {found.address}:{found.port} that the plan does not know."
    return ""


def _not_as_approved(turn: Turn, difference: str) -> bool:
    words = wording.pool_changed(difference)
    turn.note("pool_changed", words, difference=difference)
    if turn.progress.started_at is not None:
        return turn.halt("pool_changed", HaltRank.DECIDE_TODAY, words, ("abort",))
    turn.new_status, turn.new_halt = RunStatus.ABORTED, None
    turn.change(
        ended_because="pool_changed",
        says=words.says,
        customer_says=words.customer_says,
        until=None,
        waiting=None,
    )
    return True


def _begin_run(turn: Turn) -> bool:
    plan = turn.plan
    if turn.progress.started_at is None:
        words = wording.started(len(plan.servers), plan.target)
        turn.note("preflight_good", words)
        accept_pool(turn)
        turn.change(started_at=turn.now, says=words.says, customer_says=words.customer_says)
    else:
        words = Words("A fresh pre-flight is good.", "Everything was checked again.")
        turn.note("preflight_good", words)
    turn.change(preflight_due=False, waiting=None, differs="", differs_looks=0)
    turn.new_status = RunStatus.RUNNING
    turn.look_again_s = 0.05
    return True


# --- rehearsal ------------------------------------------------------------------------------------------


def rehearse(turn: Turn) -> bool:
    """In a rehearsal: show, on the first server, every change that would be sent. Nothing is waited for."""
    if not turn.people.is_rehearsal:
        return False
    way = turn.progress.servers[0] if turn.progress.servers else None
    steps = [] if way is None else _rehearsal_steps(way)
    if turn.progress.rehearsed >= len(steps):
        words = Words(
            f"Rehearsal complete: {len(steps)} changes would have been sent for the first server.",
            "The rehearsal is finished; nothing was changed.",
        )
        turn.new_status = RunStatus.COMPLETED
        turn.change(ended_because="rehearsed", says=words.says, customer_says=words.customer_says)
        return True
    action = steps[turn.progress.rehearsed]
    return turn.send(action, wording.rehearsed(action.says))


def _rehearsal_steps(way: ServerWay) -> list[Action]:
    steps: list[Action] = []
    for name, verb in (("drain_node", "Drain"), ("remove_node", "Remove")):
        for node in way.nodes:
            args = {
                "server_id": way.server_id,
                "balancer_id": node.balancer_id,
                "node_id": node.node_id,
                "address": node.address,
                "port": node.port,
                "state": NodeState.DRAINING.value if name == "drain_node" else NodeState.ABSENT.value,
            }
            steps.append(Action(name, way.server_id, f"{verb} {way.name} on {node.balancer_id}.", args))
    delete_args = {"server_id": way.server_id, "name": way.name}
    return [*steps, Action("delete_server", way.server_id, f"Delete {way.name}.", delete_args)]


# --- window and the server in hand ----------------------------------------------------------------------


def window_end(turn: Turn) -> bool:
    """At the window's end a node that still drains is enabled again; its server goes back to the queue."""
    end = turn.plan.window_end
    way = turn.progress.in_flight
    if end is None or turn.now < end or way is None or way.phase is not Phase.DRAINING:
        return False
    turn.send_back(way, Phase.QUEUED, wording.window_over(way.name))
    return put_backs(turn)


def in_hand(turn: Turn) -> bool:
    """Go on with the one server that is in hand, by its phase."""
    way = turn.progress.in_flight or next(
        (w for w in turn.progress.servers if w.phase in {Phase.DELETING, Phase.CONFIRMING}), None
    )
    if way is None:
        return False
    if way.missing_since is not None and way.phase not in {Phase.DELETING, Phase.CONFIRMING}:
        return turn.wait("missing", wording.missing(way.name), limit_s=TROUBLE_S)
    return PHASES[way.phase](turn, way)


def draining(turn: Turn, way: ServerWay) -> bool:
    """Drain each node, then wait for evidence that connections are gone."""
    for node in way.nodes:
        if node.is_settled and node.confirmed in OUT:
            continue
        if not node.is_settled:
            return _await_effect(turn, way, node)
        return _ask_out(turn, way, node, NodeState.DRAINING)
    if way.drain is None:
        way = turn.update(way, drain=DrainWay(turn.now))
    assert way.drain is not None
    if way.drain.seen_at is None:
        way = turn.update(
            way,
            drain=replace(
                way.drain,
                seen_at=turn.now,
                limit_at=turn.after(turn.plan.drain_limit_s),
                zeros=0,
                sampled_at=None,
            ),
        )
        turn.note(
            "drain_seen",
            Words(f"{way.name} takes no new connections.", f"{way.name} takes no new connections."),
            way.server_id,
        )
        turn.look_again_s = LOOK_SOON_S
    way = _take_count(turn, way)
    return _judge_drain(turn, way)


def _ask_out(turn: Turn, way: ServerWay, node: NodeWay, state: NodeState) -> bool:
    """Drain or remove one node, if the pool can do without it (invariant 2)."""
    if _is_held_off(turn):
        return True
    planned = turn.planned(way.server_id)
    obstacle = looks.may_take_out(turn.plan, planned, turn.progress, turn.observation, turn.now)
    balancer = turn.observation.balancers[node.balancer_id]
    if obstacle is not None:
        if obstacle.code == "balancer":
            busy = next(
                seen
                for node_way in way.nodes
                if (seen := turn.observation.balancers[node_way.balancer_id]).status
                is not BalancerStatus.ACTIVE
            )
            return _await_balancer(turn, way, busy)
        words = wording.next_waits(way.name, obstacle.says)
        turn.tell(way, words)
        return turn.wait(obstacle.code, words, limit_s=TROUBLE_S)
    if state is NodeState.DRAINING:
        if way.drain is not None and way.drain.seen_at is not None:
            way = turn.update(way, drain=replace(way.drain, seen_at=None, zeros=0))
        words = wording.drain(way.name, balancer.name)
    else:
        words = wording.remove(way.name, balancer.name)
    way = turn.tell(way, words)
    return turn.ask_node(way, node, state, words)


def _take_count(turn: Turn, way: ServerWay) -> ServerWay:
    """Take in a new connection count. Unknown is not zero; a zero before the shortest time is no evidence."""
    drain = way.drain
    count = turn.observation.counts.get(way.server_id)
    seen_at = None if drain is None else drain.seen_at
    if drain is None or seen_at is None or count is None or count.observed_at < seen_at:
        return way
    if drain.sampled_at is not None and count.observed_at <= drain.sampled_at:
        return way
    if turn.age_s(count.observed_at) > SAMPLE_MAX_AGE_S:
        return way
    if count.connections is None:
        drain = replace(
            drain,
            zeros=0,
            sampled_at=count.observed_at,
            connections=None,
            problem=count.problem or "no answer",
            source=count.source,
        )
        return turn.update(way, drain=drain)
    minimum_s = looks.drain_minimum_s(turn.plan, turn.observation, way)
    lasted_s = (count.observed_at - seen_at).total_seconds()
    counts_as_zero = count.connections == 0 and count.grade is Grade.MEASURED and lasted_s >= minimum_s
    spaced = (
        drain.sampled_at is None or (count.observed_at - drain.sampled_at).total_seconds() >= ZERO_SPACING_S
    )
    if counts_as_zero and not spaced:
        return way  # looks in quick succession are one look
    zeros = drain.zeros + 1 if counts_as_zero else 0
    is_lower = drain.lowest is None or count.connections < drain.lowest
    drain = replace(
        drain,
        zeros=zeros,
        looks=drain.looks + 1,
        sampled_at=count.observed_at,
        connections=count.connections,
        lowest=count.connections if is_lower else drain.lowest,
        lower_at=count.observed_at if is_lower else drain.lower_at,
        first=count.connections if drain.first is None else drain.first,
        source=count.source,
        problem=None,
    )
    return turn.update(way, drain=drain)


def _judge_drain(turn: Turn, way: ServerWay) -> bool:
    """Say how the drain goes; go on, ask, or put back (invariant 4)."""
    drain = way.drain
    assert drain is not None
    assert drain.seen_at is not None
    needed = max(MIN_ZEROS, turn.plan.zeros_needed)
    if drain.cut is not None:
        if drain.connections is not None and drain.connections > drain.cut:
            turn.update(way, drain=replace(drain, cut=None))
            return _at_drain_limit(turn, turn.server(way.server_id))
        return _drained(turn, way, Grade.TIMED, f"a person let up to {wording.count_of(drain.cut)} be cut")
    if drain.zeros >= needed:
        return _drained(
            turn, way, Grade.MEASURED, f"no open connection in {drain.zeros} looks running ({drain.source})"
        )
    limit_at = drain.limit_at or turn.after(turn.plan.drain_limit_s)
    if turn.now >= limit_at:
        return _at_drain_limit(turn, way)
    left_s = (limit_at - turn.now).total_seconds()
    minimum_s = looks.drain_minimum_s(turn.plan, turn.observation, way)
    until_minimum_s = minimum_s - turn.age_s(drain.seen_at)
    until: datetime | None = None
    if drain.connections is None:
        problem = drain.problem or (
            "nothing counts them here" if turn.plan.count_kind is None else "not read yet"
        )
        words, until = wording.drain_unknown(way.name, problem, left_s), limit_at
    elif drain.connections == 0 and drain.zeros == 0:
        words, until = (
            wording.drain_minimum(way.name, max(0.0, until_minimum_s)),
            drain.seen_at + timedelta(seconds=minimum_s),
        )
    elif drain.connections == 0:
        words = wording.counting_zeros(way.name, drain.zeros, needed)
    elif turn.age_s(drain.lower_at) > NO_PROGRESS_S:
        words, until = wording.no_progress(way.name, drain.connections, turn.age_s(drain.lower_at)), limit_at
    else:
        words, until = (
            wording.going_down(way.name, drain.connections, "measured"),
            _likely_zero(drain, limit_at),
        )
    turn.tell(way, words, until)
    look = LOOK_S
    if 0 < until_minimum_s < LOOK_S:
        look = max(0.05, until_minimum_s)
    elif drain.zeros:
        look = LOOK_ZERO_S
    # Waiting for evidence is bounded by the drain limit itself.
    turn.wait("drain", words, look_again_s=look)
    turn.change(until=until)
    return True


def _likely_zero(drain: DrainWay, limit_at: datetime) -> datetime | None:
    """Return when the drain will likely be over, by how it went so far; None without a trend."""
    if drain.first is None or drain.connections is None or drain.seen_at is None or drain.lower_at is None:
        return None
    gone = drain.first - drain.connections
    took_s = (drain.lower_at - drain.seen_at).total_seconds()
    if gone <= 0 or took_s <= 0:
        return None
    return min(limit_at, drain.lower_at + timedelta(seconds=drain.connections * took_s / gone))


def _drained(turn: Turn, way: ServerWay, grade: Grade, evidence: str) -> bool:
    drain = way.drain
    assert drain is not None
    assert drain.seen_at is not None
    way = turn.update(
        way,
        drain=replace(drain, grade=grade, done_at=turn.now, evidence=evidence),
        drain_took_s=turn.age_s(drain.seen_at),
    )
    turn.note(
        "drained",
        wording.drained(way.name, evidence),
        way.server_id,
        grade=grade.value,
        evidence=evidence,
        connections=drain.connections,
        source=drain.source,
        took_s=round(turn.age_s(drain.seen_at), 1),
    )
    way = turn.enter(way, Phase.REMOVING, wording.leaving(way.name))
    return removing(turn, way)


def _at_drain_limit(turn: Turn, way: ServerWay) -> bool:
    """At the limit: what the plan as approved says; the default asks a person."""
    drain, plan = way.drain, turn.plan
    assert drain is not None
    if drain.connections is None and drain.lowest is None and looks.accepts(plan, Grade.TIMED):
        # Only where nothing was ever counted: one failed look does not make known connections none.
        return _drained(
            turn,
            way,
            Grade.TIMED,
            f"waited {wording.seconds(plan.drain_limit_s)}; nothing counts connections here",
        )
    if plan.at_limit is AtLimit.PUT_BACK:
        turn.send_back(way, Phase.RESTORED, wording.limit_put_back(way.name))
        return put_backs(turn)
    if plan.at_limit is AtLimit.CUT:
        open_now = "unknown" if drain.connections is None else wording.count_of(drain.connections)
        turn.update(way, drain=replace(drain, cut=drain.connections or 0))
        return _drained(
            turn,
            turn.server(way.server_id),
            Grade.TIMED,
            f"drain limit reached, the plan lets them be cut ({open_now})",
        )
    words = wording.limit_reached(way.name, drain.connections, plan.drain_limit_s, PATIENCE_S)
    if drain.asked_person_at is None:
        way = turn.update(way, drain=replace(drain, asked_person_at=turn.now))
    turn.tell(way, words, turn.after(PATIENCE_S))
    return turn.halt(
        "drain_limit", HaltRank.DECIDE_TODAY, words, ("wait", "put_back", "go_on", "resume", "abort")
    )


def removing(turn: Turn, way: ServerWay) -> bool:
    """Delete each node from its balancer, with a last look at the count; then the pool is watched."""
    drain = way.drain
    assert drain is not None
    for node in way.nodes:
        if node.is_settled and node.confirmed is NodeState.ABSENT:
            continue
        if not node.is_settled:
            return _await_effect(turn, way, node)
        if node.confirmed is NodeState.ENABLED:
            # A change of ours landed late, or a person accepted it so: it has to drain again.
            return _drain_again(turn, way, "it is enabled again")
        count = turn.observation.counts.get(way.server_id)
        open_now = None if count is None else count.connections
        if drain.cut is not None and open_now is not None and open_now > drain.cut:
            return _drain_again(
                turn, way, f"{wording.count_of(open_now)} are open, more than the {drain.cut} that may be cut"
            )
        if drain.grade is Grade.MEASURED:
            if count is None or count.connections is None:
                return turn.wait(
                    "count",
                    wording.next_waits(way.name, "A last look at its connections is missing."),
                    limit_s=TROUBLE_S,
                )
            if count.connections:
                return _drain_again(turn, way, f"{wording.count_of(count.connections)} came back")
        return _ask_out(turn, way, node, NodeState.ABSENT)
    words = wording.left_pool(way.name, turn.plan.soak_s)
    way = turn.enter(way, Phase.VERIFYING, words, left_at=turn.now, soak=None, verdict=None)
    turn.look_again_s = LOOK_SOON_S
    return verifying(turn, way)


def _drain_again(turn: Turn, way: ServerWay, why: str) -> bool:
    drain = way.drain
    assert drain is not None
    way = turn.update(way, drain=replace(drain, grade=None, done_at=None, zeros=0, evidence="", cut=None))
    turn.enter(
        way,
        Phase.DRAINING,
        Words(f"{way.name} drains again: {why}.", f"{way.name} still finishes connections."),
    )
    return True


# --- watching the pool ----------------------------------------------------------------------------------


def verifying(turn: Turn, way: ServerWay) -> bool:
    """Watch the pool without this server, which still runs outside of it; then judge."""
    way = _watch(turn, way, turn.plan.soak_s)
    soak = way.soak
    assert soak is not None
    if soak.extensions > MOST_EXTENSIONS:
        return _never_watched(turn, way)
    if turn.now < soak.until or _lacks_last_load(turn, soak):
        return _keep_watching(turn, way, soak, "soak")
    judgement = _judge_soak(turn, soak)
    if judgement.verdict is Verdict.PASSES:
        return _hold(turn, _with_verdict(turn, way, judgement))
    return _not_passed(turn, _with_verdict(turn, way, judgement), judgement)


def _watch(turn: Turn, way: ServerWay, soak_s: float) -> ServerWay:
    """Add this look to the soak of a server; begin one where there is none."""
    soak = way.soak
    if soak is None or turn.age_s(soak.looked_at) > SOAK_GAP_S:
        # A stretch in which nobody looked (a standstill, a dead worker) is no part of a soak.
        extensions = 0 if soak is None else soak.extensions + 1
        begun = SoakWay(turn.now, turn.after(soak_s), looked_at=turn.now, extensions=extensions)
        return turn.update(way, soak=begun)
    ok, failed, unknown = soak.probes_ok, soak.probes_failed, soak.probes_unknown
    latencies, newest = soak.latencies_ms, soak.probed_at
    for probe in turn.observation.probes:
        if probe.observed_at < soak.since or (soak.probed_at and probe.observed_at <= soak.probed_at):
            continue
        newest = probe.observed_at if newest is None else max(newest, probe.observed_at)
        ok, failed, unknown = (
            ok + (probe.ok is True),
            failed + (probe.ok is False),
            unknown + (probe.ok is None),
        )
        if probe.ok and probe.latency_ms is not None:
            latencies = (*latencies, probe.latency_ms)[-LATENCIES_KEPT:]
    soak = replace(
        soak,
        looked_at=turn.now,
        probes_ok=ok,
        probes_failed=failed,
        probes_unknown=unknown,
        latencies_ms=latencies,
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
                load_over=soak.load_over + (guard is not None and mean > guard),
                load_last=mean,
                load_highest=mean if soak.load_highest is None else max(mean, soak.load_highest),
            )
    return turn.update(way, soak=soak)


def _lacks_last_load(turn: Turn, soak: SoakWay) -> bool:
    """Whether a soak that is over still waits, shortly, for load figures from its end.

    A rate is an average over some seconds: without one from the end a rise in the soak would go unseen.
    """
    if looks.guard_rps(turn.plan) is None or turn.plan.count_kind is None:
        return False
    if soak.load_at is not None and soak.load_at >= soak.until - timedelta(seconds=LAST_LOAD_S):
        return False
    return (turn.now - soak.until).total_seconds() < looks.LOAD_FRESH_S


def _keep_watching(turn: Turn, way: ServerWay, soak: SoakWay, code: str) -> bool:
    left_s = max(0.0, (soak.until - turn.now).total_seconds())
    words = wording.watching(way.name, soak.probes_ok, soak.probes_failed, left_s)
    turn.tell(way, words, soak.until)
    return turn.wait(
        code, words, until=soak.until if left_s else None, look_again_s=LOOK_S if left_s else 0.3
    )


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


def _judge_soak(turn: Turn, soak: SoakWay) -> verify.Judgement:
    return verify.judge(
        soak,
        turn.plan,
        has_monitor=not turn.progress.unmonitored,
        pool_rps=turn.progress.pool_load,
        now=turn.now,
    )


def _with_verdict(turn: Turn, way: ServerWay, judgement: verify.Judgement) -> ServerWay:
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
    turn.note(
        "verdict",
        Words(f"Without {way.name}: {judgement.verdict.value}. {judgement.says}", judgement.customer_says),
        way.server_id,
        verdict=judgement.verdict.value,
        **judgement.numbers,
    )
    return way


def _not_passed(turn: Turn, way: ServerWay, judgement: verify.Judgement) -> bool:
    soak = way.soak
    assert soak is not None
    if judgement.verdict is Verdict.FAILS:
        may_go_back = way.delete is None or way.delete.accepted_at is None
        if may_go_back:
            late.say_risk(turn, way)
            turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, judgement.says))
        turn.halt(
            "traffic_not_keeping_up",
            HaltRank.SITE_IN_DANGER,
            wording.not_keeping_up(way.name, judgement.says),
        )
        return put_backs(turn) if may_go_back else True
    if soak.extensions < MOST_EXTENSIONS:
        longer_s = max(turn.plan.soak_s / 2, 3.0)
        turn.update(way, soak=replace(soak, until=turn.after(longer_s), extensions=soak.extensions + 1))
        return turn.wait("soak", wording.inconclusive(way.name, judgement.says), until=turn.after(longer_s))
    words = wording.inconclusive_halt(way.name, judgement.says)
    return turn.halt(
        "verify_inconclusive", HaltRank.DECIDE_TODAY, words, ("resume", "put_back", "abort", "finish_here")
    )


def _never_watched(turn: Turn, way: ServerWay) -> bool:
    """Halt a soak that had to begin anew too often, since nobody looked for a while each time."""
    words = wording.inconclusive_halt(way.name, "Looks were too far apart to watch the pool without a gap.")
    return turn.halt(
        "verify_inconclusive", HaltRank.DECIDE_TODAY, words, ("resume", "put_back", "abort", "finish_here")
    )


def _hold(turn: Turn, way: ServerWay) -> bool:
    until = turn.after(turn.plan.hold_s) if turn.plan.hold_s > 0 else None
    turn.enter(way, Phase.HELD, wording.held(way.name, until), held_at=turn.now, soak=None)
    turn.update(turn.server(way.server_id), until=until)
    turn.change(last_left_at=turn.now, waiting=None)
    turn.look_again_s = 0.05
    return True


# --- deleting -------------------------------------------------------------------------------------------


def hold_ends(plan: PlanData, way: ServerWay) -> datetime | None:
    """Return when the hold of a held server is over; None if it is not held."""
    return None if way.held_at is None else way.held_at + timedelta(seconds=plan.hold_s)


def delete_now(turn: Turn, way: ServerWay) -> bool:
    """Delete a server after a fresh look and a fresh verdict, or say why not (invariant 1)."""
    if way.delete is not None and way.delete.next_try_at is not None and turn.now < way.delete.next_try_at:
        return turn.wait(
            "delete_retry",
            wording.last_look(way.name, "Trying again in a moment."),
            until=way.delete.next_try_at,
        )
    if _is_held_off(turn):
        return True
    refusal = looks.may_delete(turn.plan, way, turn.progress, turn.observation, turn.facts, turn.now)
    if refusal is None:
        tries = 0 if way.delete is None else way.delete.tries
        next_try_at = turn.after(2.0 ** (tries + 1))
        way = turn.update(
            way,
            delete=replace(way.delete or DeleteWay(), tries=tries + 1, next_try_at=next_try_at),
        )
        words = wording.delete(way.name)
        way = turn.tell(way, words)
        args = {"server_id": way.server_id, "name": way.name}
        return turn.send(Action("delete_server", way.server_id, words.says, args), words)
    if refusal.code in {"verdict_too_old", "not_verified"}:
        return _recheck(turn, way)
    words = wording.last_look(way.name, refusal.says)
    if refusal.waits:
        turn.tell(way, words)
        return turn.wait(f"delete_{refusal.code}", words, limit_s=TROUBLE_S)
    return turn.halt(
        "delete_forbidden",
        HaltRank.SAFE_WAITING,
        wording.delete_forbidden(way.name, refusal.says),
        ("put_back", "resume", "abort", "finish_here"),
    )


def _recheck(turn: Turn, way: ServerWay) -> bool:
    """Verify the pool again, shortly, since the last verdict is too old to delete on."""
    way = _watch(turn, way, min(turn.plan.soak_s, RECHECK_S))
    soak = way.soak
    assert soak is not None
    if soak.extensions > MOST_EXTENSIONS:
        return _never_watched(turn, way)
    if turn.now < soak.until or _lacks_last_load(turn, soak):
        return _keep_watching(turn, way, soak, "recheck")
    judgement = _judge_soak(turn, soak)
    way = _with_verdict(turn, way, judgement)
    if judgement.verdict is Verdict.PASSES:
        turn.update(way, soak=None)
        turn.look_again_s = 0.05
        return turn.wait("delete", wording.last_look(way.name, ""), look_again_s=0.05)
    return _not_passed(turn, way, judgement)


def deleting(turn: Turn, way: ServerWay) -> bool:
    """Watch an accepted deletion; ask again, within bounds, where it had no effect."""
    delete = way.delete or DeleteWay()
    seen = turn.observation.servers.get(way.server_id)
    if seen is None:
        return turn.wait(
            "delete_look", wording.last_look(way.name, "It could not be read."), limit_s=TROUBLE_S
        )
    since_s = turn.age_s(delete.accepted_at)
    if seen.is_gone:
        way = turn.update(way, delete=replace(delete, gone_at=seen.observed_at))
        way = turn.enter(way, Phase.CONFIRMING, wording.confirming(way.name))
        return confirming(turn, way)
    words = wording.deleting(way.name, since_s, seen.task_state)
    turn.tell(way, words)
    if since_s > DELETE_SLOW_S:
        return turn.halt(
            "delete_slow", HaltRank.SAFE_WAITING, wording.delete_slow(way.name, since_s), ("resume", "abort")
        )
    if seen.task_state is not None:
        return turn.wait("deleting", words, look_again_s=LOOK_S if since_s < 120 else LOOK_RESTING_S)
    if delete.next_try_at is not None and turn.now < delete.next_try_at:
        return turn.wait("deleting", words, look_again_s=LOOK_SOON_S)
    if delete.tries >= MOST_DELETES:
        return turn.halt(
            "delete_without_effect",
            HaltRank.DECIDE_TODAY,
            wording.delete_failed(way.name),
            ("resume", "abort"),
        )
    turn.tell(way, wording.delete_again(way.name))
    return delete_now(turn, turn.server(way.server_id))


def confirming(turn: Turn, way: ServerWay) -> bool:
    """Look once more: still gone, in no balancer, and the probes are good."""
    seen = turn.observation.servers.get(way.server_id)
    words = wording.confirming(way.name)
    if seen is None:
        return turn.wait("confirm", words, limit_s=CONFIRM_S)
    if not seen.is_gone:
        return turn.halt(
            "confirm_failed",
            HaltRank.DECIDE_TODAY,
            Words(
                f"{way.name} was gone and is there again.",
                "Paused for safety: a deleted server is there again.",
            ),
            ("abort",),
        )
    gone_at = way.delete.gone_at if way.delete is not None else None
    if gone_at is None or seen.observed_at <= gone_at:
        # One answer that finds no server may be wrong: a later look must find none either.
        if gone_at is None:
            turn.update(way, delete=replace(way.delete or DeleteWay(), gone_at=seen.observed_at))
        return turn.wait("confirm", words, limit_s=CONFIRM_S, look_again_s=LOOK_SOON_S)
    fresh = [p for p in turn.observation.probes if gone_at is None or p.observed_at >= gone_at]
    if turn.plan.probes and (not fresh or any(p.ok is not True for p in fresh)):
        return turn.wait(
            "confirm", words, limit_s=CONFIRM_S, rank=HaltRank.SITE_IN_DANGER, look_again_s=LOOK_SOON_S
        )
    turn.enter(way, Phase.RETIRED, wording.retired(way.name), retired_at=turn.now)
    turn.change(last_left_at=turn.now, waiting=None)
    turn.look_again_s = 0.05
    return True


PHASES: Mapping[Phase, Callable[[Turn, ServerWay], bool]] = {
    Phase.DRAINING: draining,
    Phase.REMOVING: removing,
    Phase.VERIFYING: verifying,
    Phase.DELETING: deleting,
    Phase.CONFIRMING: confirming,
}


# --- nothing in hand ------------------------------------------------------------------------------------


def next_server(turn: Turn) -> bool:
    """With nothing in hand: delete a held server whose hold is over, else begin the next one, else end."""
    held = sorted(
        (way for way in turn.progress.servers if way.phase is Phase.HELD),
        key=lambda way: way.held_at or way.since,
    )
    due = [way for way in held if (ends := hold_ends(turn.plan, way)) is not None and turn.now >= ends]
    pause_after = turn.progress.pause_after
    if pause_after is not None:
        due = [way for way in due if way.server_id == pause_after]
        if not due:
            turn.pause(Words("Paused after the server in hand, as asked.", "Paused by a person."))
            return True
    if due:
        way = due[0]
        if way.missing_since is not None:
            return turn.wait("missing", wording.missing(way.name), limit_s=TROUBLE_S)
        return delete_now(turn, way)
    queued = [way for way in turn.progress.servers if way.phase is Phase.QUEUED]
    if queued:
        return begin(turn, queued[0])
    if held:
        ends = hold_ends(turn.plan, held[0])
        return turn.wait("hold", wording.held(held[0].name, ends), until=ends, look_again_s=LOOK_HELD_S)
    if _awaits_landing(turn):
        return True
    retired = sum(way.phase is Phase.RETIRED for way in turn.progress.servers)
    words = wording.completed(retired, len(looks.serving_anywhere(turn.plan, turn.observation)))
    turn.new_status = RunStatus.COMPLETED
    turn.change(says=words.says, customer_says=words.customer_says, until=None, waiting=None)
    return True


def expected_s(plan: PlanData, progress: Progress) -> float:
    """Return how long one server will likely be in flight: the longest drain so far, else a guess by the plan."""
    took = [way.drain_took_s for way in progress.servers if way.drain_took_s is not None]
    drain_s = max(took) if took else min(plan.drain_limit_s, max(2 * plan.min_drain_s, 60.0))
    return drain_s + plan.soak_s + MARGIN_S


def begin(turn: Turn, way: ServerWay) -> bool:
    """Begin the next server, or wait, saying for what."""
    plan = turn.plan
    if plan.window_start is not None and turn.now < plan.window_start:
        return turn.wait(
            "window",
            wording.window_opens(plan.window_start),
            until=plan.window_start,
            look_again_s=LOOK_RESTING_S,
        )
    if plan.window_end is not None and turn.after(expected_s(plan, turn.progress)) > plan.window_end:
        if any(w.phase is Phase.HELD for w in turn.progress.servers):
            return turn.wait(
                "window", wording.window_too_short(way.name, plan.window_end), look_again_s=LOOK_RESTING_S
            )
        return turn.halt(
            "window_over",
            HaltRank.SAFE_WAITING,
            wording.window_too_short(way.name, plan.window_end),
            ("finish_here", "resume", "abort"),
        )
    if turn.facts.in_charge is None and not plan.is_unattended:
        return turn.wait("in_charge", wording.nobody_in_charge(), look_again_s=LOOK_RESTING_S)
    if turn.progress.last_left_at is not None and plan.pause_between_s > 0:
        until = turn.progress.last_left_at + timedelta(seconds=plan.pause_between_s)
        if turn.now < until:
            return turn.wait("pause_between", wording.pause_between(until), until=until)
    if way.missing_since is not None:
        return turn.wait("missing", wording.missing(way.name), limit_s=TROUBLE_S)
    obstacle = _cannot_begin(turn, way)
    if obstacle is not None and not obstacle.waits:
        words = Words(f"{way.name} does not begin. {obstacle.says}", f"Paused: {way.name} stays in service.")
        return turn.halt(
            obstacle.code, HaltRank.SAFE_WAITING, words, ("skip", "resume", "abort", "finish_here")
        )
    if obstacle is not None:
        words = wording.next_waits(way.name, obstacle.says)
        turn.tell(way, words)
        return turn.wait(obstacle.code, words, limit_s=PREFLIGHT_S, rank=HaltRank.SAFE_WAITING)
    way = turn.enter(way, Phase.DRAINING, wording.begins(way.name), drain=DrainWay(turn.now))
    return draining(turn, way)


def _cannot_begin(turn: Turn, way: ServerWay) -> looks.Obstacle | None:
    """Return why this server does not begin yet, or None."""
    planned = turn.planned(way.server_id)
    seen = turn.observation.servers.get(way.server_id)
    if seen is None or turn.age_s(seen.observed_at) > looks.LOOK_MAX_AGE_S:
        return looks.Obstacle("server", f"There is no fresh look at {way.name}.")
    if seen.task_state is not None or seen.status != "ACTIVE":
        return looks.Obstacle("server_busy", f"{way.name} is {seen.task_state or seen.status}.")
    if seen.is_locked:
        return looks.Obstacle("server_locked", f"{way.name} is locked at the provider.", waits=False)
    if seen.autoscale_group is not None:
        says = f"{way.name} belongs to the provider's autoscaler, which would undo this."
        return looks.Obstacle("autoscaled", says, waits=False)
    failing = sorted(name for name, count in turn.progress.probe_failures.items() if count)
    if failing:
        return looks.Obstacle("probes", f"Probes fail: {', '.join(failing)}.")
    return looks.may_take_out(turn.plan, planned, turn.progress, turn.observation, turn.now)


JUDGES: tuple[Judge, ...] = (
    already_over,
    blind,
    rising_traffic,
    broken_floor,
    put_backs,
    unknown_load,
    other_hands,
    protected_servers,
    approval,
    aborting,
    finishing,
    resting,
    before_start,
    rehearse,
    window_end,
    in_hand,
    next_server,
)


# --- what an outcome means ------------------------------------------------------------------------------


def settle(
    plan: PlanData,
    progress: Progress,
    action: Action,
    outcome: Outcome,
    now: datetime,
    people: People,
) -> MachineDecision:
    """Return what the outcome of one action means for the progress that was noted with its intent.

    `people` has the status and the halt that stand: a lesser reason does not replace a graver one.
    """
    turn = Turn(plan, progress, Observation(now), people, Facts(True, "", frozenset(), None), now)
    way = turn.server(str(action.args["server_id"]))
    if outcome.kind is OutcomeKind.WITHHELD:
        turn.change(rehearsed=progress.rehearsed + 1)
        turn.note("would_have", wording.rehearsed(action.says), way.server_id, **dict(outcome.detail))
        turn.look_again_s = 0.05
    elif outcome.kind is OutcomeKind.DONE:
        _settle_done(turn, way, action)
    else:
        _settle_not_done(turn, way, action, outcome)
    return turn.result()


def _node_of(way: ServerWay, action: Action) -> NodeWay | None:
    key = (action.args.get("balancer_id"), action.args.get("address"), action.args.get("port"))
    return next((n for n in way.nodes if (n.balancer_id, n.address, n.port) == key), None)


def _settle_done(turn: Turn, way: ServerWay, action: Action) -> None:
    turn.change(refusals=0, refusal_says="", busy_since=None, retry_at=None)
    turn.look_again_s = LOOK_SOON_S
    node = _node_of(way, action)
    if node is not None:
        way = turn.update_node(way, node, asked_at=turn.now)
        if way.put_back is not None:
            turn.update(way, put_back=replace(way.put_back, tries=0, next_try_at=None))
        return
    delete = way.delete or DeleteWay()
    next_try_at = turn.after(2.0 ** max(1, delete.tries))
    accepted_at = delete.accepted_at or turn.now
    delete = replace(delete, accepted_at=accepted_at, next_try_at=next_try_at)
    if way.phase is Phase.HELD:
        turn.enter(way, Phase.DELETING, wording.delete_accepted(way.name), delete=delete, soak=None)
    else:
        turn.update(way, delete=delete)


def _settle_not_done(turn: Turn, way: ServerWay, action: Action, outcome: Outcome) -> None:
    """The change did not happen (or, by reading, did not show): the step is tried again, within bounds."""
    by_reading = outcome.kind is OutcomeKind.NOT_APPLIED and outcome.by_reading
    node = _node_of(way, action)
    if node is not None:
        may_land = tuple(dict.fromkeys((*node.late, node.asked))) if by_reading else node.late
        sent = outcome.kind is not OutcomeKind.NOT_APPLIED or by_reading
        way = turn.update_node(
            way,
            node,
            asked=node.confirmed,
            late=may_land,
            tries=node.tries if sent else max(0, node.tries - 1),
        )
    elif way.delete is not None and by_reading:
        way = turn.update(way, delete=replace(way.delete, late_at=turn.now))
        words = late.stays_out(way.name, late.delete_lands_until(way, turn.now) or turn.now)
        turn.note("delete_did_not_show", words, way.server_id)
    elif way.delete is not None and not by_reading and outcome.kind is OutcomeKind.NOT_APPLIED:
        way = turn.update(way, delete=replace(way.delete, tries=way.delete.tries - 1, next_try_at=None))
    if outcome.kind is OutcomeKind.NOT_APPLIED:
        turn.look_again_s = 0.05 if not by_reading else LOOK_SOON_S
    elif outcome.kind is OutcomeKind.TRY_LATER:
        _settle_try_later(turn, way, action, outcome)
    else:
        _settle_refused(turn, way, action, outcome)


def _settle_try_later(turn: Turn, way: ServerWay, action: Action, outcome: Outcome) -> None:
    after_s = max(0.2, outcome.after_s if outcome.after_s is not None else LOOK_S)
    busy_since = turn.progress.busy_since or turn.now
    words = wording.busy(outcome.says or "The provider is busy; it is tried again.")
    turn.change(busy_since=busy_since, retry_at=turn.after(after_s), refusal_says=words.says)
    if way.delete is not None and action.name == "delete_server":
        # Surely nothing was done: it does not count as a try.
        turn.update(
            way,
            delete=replace(way.delete, tries=max(0, way.delete.tries - 1), next_try_at=turn.after(after_s)),
        )
    if way.put_back is not None:
        wait_s = min(after_s, 10.0)
        turn.update(
            turn.server(way.server_id), put_back=replace(way.put_back, next_try_at=turn.after(wait_s))
        )
    turn.look_again_s = min(after_s, LOOK_S)
    if turn.age_s(busy_since) > TROUBLE_S:
        turn.change(busy_since=None)
        turn.halt("provider_busy", HaltRank.DECIDE_TODAY, words)


def _settle_refused(turn: Turn, way: ServerWay, action: Action, outcome: Outcome) -> None:
    says = outcome.says or "The provider refused."
    turn.look_again_s = LOOK_S
    if way.put_back is not None and action.is_put_back:
        tries = way.put_back.tries + 1
        back = replace(way.put_back, tries=tries, next_try_at=turn.after(min(60.0, 2.0**tries)))
        turn.update(way, put_back=back)
        if tries >= MOST_TRIES:
            turn.halt(
                "cannot_put_back",
                HaltRank.SITE_IN_DANGER,
                wording.cannot_put_back(way.name, says),
                ("abort",),
            )
        return
    refusals = turn.progress.refusals + 1
    turn.change(refusals=refusals, refusal_says=says, retry_at=turn.after(2.0**refusals))
    if refusals >= (MOST_TRIES if action.name == "delete_server" else 2):
        turn.change(refusals=0)
        turn.halt(
            "change_refused",
            HaltRank.DECIDE_TODAY,
            wording.refused(action.says, says),
            ("resume", "put_back", "abort"),
        )


# --- reading a doubt, and what must be read -------------------------------------------------------------


def effect(action: Action, observation: Observation) -> bool | None:
    """Return whether a change whose answer was lost shows; None where this look cannot tell."""
    args = action.args
    if action.name == "delete_server":
        seen = observation.servers.get(str(args["server_id"]))
        if seen is None:
            return None
        if seen.is_gone or seen.task_state == "deleting":
            return True
        return False if seen.task_state is None else None
    if str(args["balancer_id"]) in observation.missing_balancers:
        return bool(args["state"] == NodeState.ABSENT.value)  # a balancer that is gone has no node
    balancer = observation.balancers.get(str(args["balancer_id"]))
    if balancer is None or balancer.status is not BalancerStatus.ACTIVE:
        return None
    found = next((n for n in balancer.nodes if (n.address, n.port) == (args["address"], args["port"])), None)
    state = NodeState.ABSENT if found is None else NodeState(found.condition.value)
    return bool(state.value == args["state"])


def needs(plan: PlanData, progress: Progress, people: People, now: datetime) -> Needs:
    """Return what must be read for the next decision: no more than it can use."""
    servers: dict[str, None] = {}
    counts: dict[str, None] = {}
    search: str | None = None
    if progress.preflight_due:
        servers |= dict.fromkeys(s.server_id for s in (*plan.servers, *plan.remaining))
    queued = next((way for way in progress.servers if way.phase is Phase.QUEUED), None)
    for way in progress.servers:
        in_hand = way.phase.is_out_and_alive or way.phase in {Phase.DELETING, Phase.CONFIRMING}
        if in_hand or way is queued or way.put_back is not None or way.missing_since is not None:
            servers[way.server_id] = None
        if way.phase in {Phase.DRAINING, Phase.REMOVING}:
            counts[way.server_id] = None
    if people.doubt is not None:
        servers[str(people.doubt.action.args["server_id"])] = None
    if progress.in_flight is None:
        search = _to_search(plan, progress, now)
    counted = {
        server.server_id for server in (*plan.servers, *plan.remaining) if server.count_url is not None
    }
    counts |= dict.fromkeys(_due_for_load(plan, progress, now))
    return Needs(
        balancers=plan.balancer_ids,
        servers=tuple(servers),
        counts=tuple(server_id for server_id in counts if server_id in counted),
        direct=_due_for_answer(plan, progress, counted, now),
        probes=_probes_due(progress, now),
        search=search,
        listed=any(way.missing_since is not None for way in progress.servers),
    )


def _in_pool(plan: PlanData, progress: Progress) -> list[str]:
    out = {Phase.RETIRED, Phase.GONE, Phase.DELETING, Phase.CONFIRMING}
    planned = [way.server_id for way in progress.servers if way.phase not in out]
    return [*planned, *(server.server_id for server in plan.remaining)]


def _due_for_load(plan: PlanData, progress: Progress, now: datetime) -> list[str]:
    soaks = [way.soak for way in progress.servers if way.soak is not None]
    if any(0 < (soak.until - now).total_seconds() < looks.LOAD_EVERY_S for soak in soaks):
        return []  # so that the next figures come right from the soak's end
    due = []
    for server_id in _in_pool(plan, progress):
        meter = progress.meters.get(server_id)
        if meter is None or meter.at is None or (now - meter.at).total_seconds() >= looks.LOAD_EVERY_S:
            due.append(server_id)
    return due


def _due_for_answer(plan: PlanData, progress: Progress, counted: set[str], now: datetime) -> tuple[str, ...]:
    if not progress.unmonitored:
        return ()
    due = []
    for server_id in _in_pool(plan, progress):
        meter = progress.meters.get(server_id)
        answered = None if meter is None else meter.answered_at
        if server_id not in counted and (answered is None or (now - answered).total_seconds() >= 10.0):
            due.append(server_id)
    return tuple(due)


def _probes_due(progress: Progress, now: datetime) -> bool:
    if progress.probed_at is None or progress.preflight_due:
        return True
    closely = any(way.soak is not None or way.phase is Phase.CONFIRMING for way in progress.servers)
    return (now - progress.probed_at).total_seconds() >= (0.5 if closely else 2.0)


def _to_search(plan: PlanData, progress: Progress, now: datetime) -> str | None:
    """Return the server that is to be deleted next, if any is due."""
    for way in progress.servers:
        if way.phase is Phase.DELETING and way.delete is not None:
            due = way.delete.next_try_at
            if due is None or now >= due - timedelta(seconds=1):
                return way.server_id
            return None
    for way in sorted(progress.servers, key=lambda w: w.held_at or w.since):
        ends = hold_ends(plan, way)
        if way.phase is Phase.HELD and ends is not None and now >= ends - timedelta(seconds=1):
            return way.server_id
    return None
