"""Given this drill, this progress and what a look shows: the next single action. Pure.

    decide(plan, progress, look, people, facts, now) -> DrillDecision
    settle(plan, progress, people, action, outcome, now) -> DrillDecision
    effect(action, look) -> True applied, False not, None this look cannot tell

On every tick, in this order (`JUDGES`): may it begin; is there a danger or a wish to end it; is everything back that is to
come back; is it over; the step in hand. Sources: spec/drills.md, *Running it*, and invariants 7 to 9 of the architecture notes:
what was injected is undone and verified, or a person has been told.

An injection counts as made from the moment it is decided, before it is sent: a worker that dies in between leaves a server that
is brought back in vain, never one that nobody knows of.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from drills import judging, returning
from drills.commands import answer_commands, answer_stops, close_step, current_step
from drills.scenarios.types import InjectionKind, StepKind
from drills.turn import LOOK_CALM_S, LOOK_S, LOOK_SOON_S, DrillDecision, Turn
from drills.types import (
    DrillPlan,
    Ending,
    Facts,
    Look,
    MarkKind,
    People,
    PlannedStep,
    Progress,
    StepState,
    StepWay,
    Target,
    TargetPhase,
    TargetWay,
)
from portal.cloud.types import Condition
from portal.runs.types import Action, HaltRank, Outcome, OutcomeKind, RunStatus

START_SIGHT_S = 60.0
"""How long a drill waits at its start for a complete look."""
RECOVERY_S = 600.0
"""How long a drill waits for the site to recover at least, once everything is undone."""
LONGEST_REST_S = 10.0
"""Nobody who has something disrupted looks away for longer, however busy the provider is."""
_LATE_STEP = 1.5
AWAY = frozenset({"SHUTOFF", "REBOOT", "HARD_REBOOT", "STOPPED"})


def decide(
    plan: DrillPlan, progress: Progress, look: Look, people: People, facts: Facts, now: datetime
) -> DrillDecision:
    """Return what is to be done next: at most one change, with what is said, sampled and answered."""
    turn = Turn(plan, progress, look, people, facts, now)
    if people.status.is_over:
        return turn.result()
    if progress.is_injected:
        turn.look_again_s = LOOK_S
    notice(turn)
    if people.doubt is not None:
        answer_stops(turn)
        danger(turn)
        # Whether a server was rebooted shows in no look once it runs again: what has to come back is looked at instead.
        if people.doubt.action.name == "reboot":
            turn.sets_aside = (
                "Whether the server was rebooted cannot be seen; it is watched until it is back."
            )
        return turn.result()
    answer_commands(turn)
    note_answers(turn)
    for judge in JUDGES:
        if judge(turn):
            break
    return turn.result()


def note_answers(turn: Turn) -> None:
    """Put on the time axis who has acknowledged by a link, each once."""
    known = {one.by for one in turn.progress.marks if one.kind is MarkKind.ACKNOWLEDGED}
    for one in turn.facts.answers:
        if one.by not in known and turn.progress.began_at is not None:
            turn.mark(
                MarkKind.ACKNOWLEDGED,
                one.at,
                f"Acknowledged by link: {one.by_name or 'a participant'}.",
                by=one.by,
                by_name=one.by_name,
            )


# --- what a look shows ------------------------------------------------------------------------------------


def notice(turn: Turn) -> None:
    """Keep what the probes answered and what the provider shows; put what it means on the time axis."""
    plan, progress, look, now = turn.plan, turn.progress, turn.look, turn.now
    for one in look.probes:
        turn.sample(f"probe_ok:{one.probe}", None if one.ok is None else float(one.ok), one.at)
        turn.sample(f"probe_ms:{one.probe}", one.latency_ms, one.at)
    turn.change(seen=judging.keep(progress.seen, look.probes, now))
    for balancer in look.balancers.values():
        turn.sample(f"serving:{balancer.balancer_id}", float(judging.serving(balancer)), balancer.observed_at)
    sees_pool = bool(plan.balancer_ids) and not judging.unseen(plan, look, now)
    sees_site = any(one.ok is not None for one in look.probes)
    if sees_pool or (not plan.hits and (sees_site or not plan.probes)):
        turn.change(sighted_at=now)
    since = turn.progress.injected_at
    if since is not None:
        _notice_effect(turn, since)
    for way in turn.progress.targets:
        if (
            way.phase in {TargetPhase.HIT, TargetPhase.RETURNING}
            and not way.seen_away
            and _is_away(turn, way)
        ):
            turn.update(way, seen_away=True)
            name = turn.target(way.server_id).name
            turn.note("target_away", f"{name} is seen out of service.", way.server_id)


def _notice_effect(turn: Turn, since: datetime) -> None:
    plan, now = turn.plan, turn.now
    new = [one for one in turn.look.probes if one.ok is not None and one.at >= since]
    failed = [one for one in new if one.ok is False]
    turn.change(asked=turn.progress.asked + len(new), failed=turn.progress.failed + len(failed))
    if failed and turn.progress.mark(MarkKind.DETECTED) is None:
        turn.mark(MarkKind.DETECTED, failed[0].at, f"The probe {failed[0].probe} failed for the first time.")
    found = judging.window(turn.progress.seen, since)
    worst = turn.progress.worst_error_ratio
    if found.error_ratio is not None and found.asked >= judging.FEWEST_FOR_WORST:
        turn.change(worst_error_ratio=max(found.error_ratio, worst or 0.0))
    if found.p95_ms is not None:
        turn.change(worst_p95_ms=max(found.p95_ms, turn.progress.worst_p95_ms or 0.0))
    calm = judging.is_calm(plan, turn.progress, now)
    if calm is not True:
        turn.change(calm_since=None)
        return
    calm_since = turn.progress.calm_since or now
    turn.change(calm_since=calm_since)
    detected = turn.progress.mark(MarkKind.DETECTED)
    if detected is None or (now - calm_since).total_seconds() < plan.calm_s:
        return
    last = max((one.at for one in turn.progress.marks if one.kind is MarkKind.RECOVERED), default=None)
    if last is None or any(one.ok is False and one.at > last for one in turn.progress.seen):
        turn.mark(
            MarkKind.RECOVERED,
            calm_since,
            f"The probes have been inside the hypothesis for {plan.calm_s:.0f} s.",
        )


def _is_away(turn: Turn, way: TargetWay) -> bool:
    server = turn.look.servers.get(way.server_id)
    if turn.plan.injection is InjectionKind.NODE_OUT:
        nodes = [returning.node_seen(turn, one) for one in turn.target(way.server_id).nodes]
        return all(one is not None and one.condition is Condition.DISABLED for one in nodes)
    return server is not None and (server.status in AWAY or (server.task_state or "").startswith("reboot"))


# --- the judges -------------------------------------------------------------------------------------------


def before_start(turn: Turn) -> bool:
    """Begin where nothing stands in the way; else say why the drill was not started, with nothing touched."""
    if turn.people.status is not RunStatus.SCHEDULED:
        return False
    plan, facts, now = turn.plan, turn.facts, turn.now
    if turn.progress.ending is not None:
        return _over(turn)
    if now > plan.not_after:
        return _not_started(turn, Ending.NOT_STARTED, "The time agreed for the drill is over.")
    if now < plan.not_before:
        turn.look_again_s = min(60.0, (plan.not_before - now).total_seconds())
        return turn.wait("Waits for the time agreed.", turn.look_again_s, plan.not_before)
    why = facts.approval_problem or facts.freeze or facts.not_ready or turn.people.standstill or ""
    if why:
        return _not_started(turn, Ending.NOT_STARTED, why)
    if plan.hits:
        blind = [one.name for one in plan.targets if one.server_id not in turn.look.servers]
        missing = [*judging.unseen(plan, turn.look, now), *blind]
        if missing:
            since = turn.progress.gone_since or now
            turn.change(gone_since=since)
            if (now - since).total_seconds() > START_SIGHT_S:
                return _not_started(
                    turn, Ending.NOT_STARTED, f"The provider did not show {', '.join(missing)}."
                )
            return turn.wait(f"Waits for a look at {', '.join(missing)}.", LOOK_S)
        changed = next((says for one in plan.targets if (says := _differs(turn, one))), "")
        if changed:
            return _not_started(turn, Ending.POOL_CHANGED, changed)
        why = _may_not_hit(turn, plan.targets[:1] if plan.one_by_one else plan.targets)
        if why:
            return _not_started(turn, Ending.NOT_STARTED, why)
    turn.new_status = RunStatus.RUNNING
    turn.change(began_at=now, gone_since=None)
    turn.note("drill_began", f"The drill begins: {plan.scenario_title}.")
    turn.look_again_s = LOOK_SOON_S
    return True


def _not_started(turn: Turn, ending: Ending, why: str) -> bool:
    turn.end_early(ending, f"{why} Nothing was touched.")
    return _over(turn)


def _differs(turn: Turn, target: Target) -> str:
    """Return what is not as it was approved about a target, or ""."""
    server = turn.look.servers[target.server_id]
    if server.is_gone:
        return f"{target.name} no longer exists."
    seen = (server.name, server.created_at, frozenset(server.addresses))
    if seen != (target.name, target.created_at, frozenset(target.addresses)):
        return f"{target.name} is not the server that was approved: its name, age or addresses differ."
    if any(returning.node_seen(turn, one) is None for one in target.nodes):
        return f"{target.name} no longer stands in its load balancer as it was approved."
    return ""


def _may_not_hit(turn: Turn, targets: tuple[Target, ...]) -> str:
    """Return why these servers must not be hit now, all at once; "" where they may. Judged on this look."""
    plan, look = turn.plan, turn.look
    for target in targets:
        server = look.servers.get(target.server_id)
        if target.server_id in turn.facts.protected:
            return f"{target.name} is protected."
        if server is None or (turn.now - server.observed_at).total_seconds() > judging.LOOK_AGE_S:
            return f"{target.name} cannot be read just now."
        if server.is_locked:
            return f"{target.name} is locked at the provider."
        if server.status != "ACTIVE" or server.task_state is not None:
            return f"{target.name} is not running quietly ({server.status})."
    return judging.too_few(
        plan, look, turn.now, judging.addresses_of(plan, (one.server_id for one in targets))
    )


def danger(turn: Turn) -> bool:
    """End the drill where it must not go on. Never settles the tick: what is to come back follows."""
    plan, progress, now = turn.plan, turn.progress, turn.now
    if progress.began_at is None or progress.ending is not None:
        return False
    if progress.is_injected:
        why = judging.why_stop(plan, progress, turn.look, now)
        if why:
            turn.end_early(Ending.STOP_CONDITION, f"A stop condition holds. {why}")
        lost_s = (now - (progress.sighted_at or progress.began_at)).total_seconds()
        if lost_s > judging.LOST_SIGHT_S:
            turn.end_early(Ending.LOST_SIGHT, f"Nothing was seen of the pool for {lost_s:.0f} s.")
    why = turn.facts.approval_problem or turn.facts.freeze
    if turn.people.standstill:
        turn.end_early(Ending.STOPPED, turn.people.standstill)
    elif why:
        turn.end_early(Ending.NOT_ALLOWED, why)
    elif now > plan.not_after and (progress.is_injected or _waits_to_hit(turn)):
        turn.end_early(Ending.NOT_ALLOWED, "The time agreed for the drill is over.")
    return False


def _waits_to_hit(turn: Turn) -> bool:
    return any(one.phase is TargetPhase.UNTOUCHED for one in turn.progress.targets)


def ending(turn: Turn) -> bool:
    """End the run once everything is back: at once if it ends early, else when the script is through and the site is calm."""
    progress = turn.progress
    if progress.began_at is None or progress.is_injected:
        return False
    if progress.ending is not None:
        return _over(turn)
    if current_step(turn) is not None:
        return False
    injected = progress.injected_at
    if not turn.plan.probes or injected is None:
        return _over(turn)
    is_calm = (
        progress.calm_since is not None
        and (turn.now - progress.calm_since).total_seconds() >= turn.plan.calm_s
    )
    undone = progress.mark(MarkKind.UNDONE)
    patience_s = max(RECOVERY_S, turn.plan.hypothesis.recovered_s or 0.0)
    if is_calm or (turn.now - (undone.at if undone else injected)).total_seconds() > patience_s:
        return _over(turn)
    return turn.wait("Everything is back; the site is watched until it is calm.", LOOK_S)


def _over(turn: Turn) -> bool:
    early = turn.progress.ending
    turn.new_status = RunStatus.COMPLETED if early is None else RunStatus.ABORTED
    says = turn.progress.ending_says or "The drill is over."
    turn.change(says=says, next_at=None, ended_at=turn.progress.ended_at or turn.now)
    turn.note("drill_over", says, ending=early.value if early else "")
    return True


def halted(turn: Turn) -> bool:
    """A halted drill does nothing of its own but bring back."""
    if turn.people.status is RunStatus.HALTED:
        # The engine halts by itself, too: then nothing more is disrupted.
        turn.end_early(Ending.NOT_ALLOWED, "The drill stopped by itself; nothing further is disrupted.")
        returning.begin(turn)
        ending(turn)
        return True
    return False


# --- the script -------------------------------------------------------------------------------------------


def script(turn: Turn) -> bool:
    """Carry on the step in hand. Once the drill is to end, nothing of the script is done any more: it waits until all is back."""
    if turn.progress.ending is not None:
        away = [one.server_id for one in turn.progress.targets if one.phase is TargetPhase.RETURNING]
        names = ", ".join(turn.target(one).name for one in away)
        return turn.wait(f"The drill ends once what it disrupted is back: {names}.", LOOK_S)
    step = current_step(turn)
    if step is None:
        due = returning.held_until(turn)
        return turn.wait("Everything is disrupted as planned; it is undone in a moment.", LOOK_S, due)
    planned = turn.plan.steps[step.number - 1]
    if step.state is StepState.OPEN:
        step = turn.update_step(step, state=StepState.DOING, began_at=turn.now)
        turn.note("step_begun", f"Step {step.number}: {planned.title}.")
    if planned.kind is not StepKind.AUTOMATED:
        return _by_people(turn, step, planned)
    if not planned.injects:
        # Without an injection there is nothing for the portal to do but watch for as long as the step lasts.
        assert step.began_at is not None
        left_s = planned.expected_s - (turn.now - step.began_at).total_seconds()
        if left_s <= 0:
            close_step(turn, step, StepState.DONE)
            turn.look_again_s = LOOK_SOON_S
            return True
        return turn.wait(f"Watches: {planned.title}.", min(LOOK_S, max(left_s, LOOK_SOON_S)))
    if turn.plan.injection is InjectionKind.CALL_CONTACTS:
        return _call(turn, step)
    return _hit(turn, step)


def _by_people(turn: Turn, step: StepWay, planned: PlannedStep) -> bool:
    assert step.began_at is not None
    lasted_s = (turn.now - step.began_at).total_seconds()
    if lasted_s > planned.expected_s * _LATE_STEP and not step.is_late_told:
        turn.update_step(step, is_late_told=True)
        turn.note(
            "step_late",
            f"Step {step.number} takes longer than the {planned.expected_s / 60:.0f} min that were expected.",
        )
    return turn.wait(f"Step {step.number}: {planned.title}.", turn.look_again_s)


def _call(turn: Turn, step: StepWay) -> bool:
    """Have the contacts called in their order; whoever answers first has acknowledged."""
    if not turn.progress.calls:
        turn.change(calls=True)
        turn.mark(MarkKind.INJECTED, turn.now, "The contacts are called, one after the other.")
        return turn.wait("The contacts are called.", LOOK_S)
    called = turn.facts.called
    if called is None or not called.is_over:
        return turn.wait(called.says if called else "The contacts are called.", LOOK_S)
    if called.answered_at is not None and turn.progress.mark(MarkKind.ACKNOWLEDGED) is None:
        turn.mark(MarkKind.ACKNOWLEDGED, called.answered_at, called.says, by_name=called.answered_by)
    close_step(turn, step, StepState.DONE, why=called.says)
    turn.look_again_s = LOOK_SOON_S
    return True


def _hit(turn: Turn, step: StepWay) -> bool:
    """Disrupt the next server, if it may be now; the step is done when all are, and of a rolling reboot when all are back."""
    progress, plan = turn.progress, turn.plan
    unfinished = next((one for one in progress.targets if _is_unfinished(turn, one)), None)
    if unfinished is not None:
        action = _disable(turn, unfinished)
        if action is not None:
            turn.update(unfinished, asked_at=turn.now)
            return turn.send(action)
        return turn.wait(f"Waits until {turn.target(unfinished.server_id).name} is seen out.", LOOK_S)
    if plan.one_by_one:
        waits = next((one for one in progress.targets if _holds_up(turn, one)), None)
        if waits is not None:
            return _wait_for(turn, waits)
    way = next((one for one in progress.targets if one.phase is TargetPhase.UNTOUCHED), None)
    if way is None:
        close_step(turn, step, StepState.DONE)
        turn.look_again_s = LOOK_SOON_S
        return True
    target = turn.target(way.server_id)
    why = _may_not_hit(turn, (target,))
    if why:
        turn.change(gone_since=turn.progress.gone_since or turn.now)
        assert turn.progress.gone_since is not None
        if (turn.now - turn.progress.gone_since).total_seconds() > START_SIGHT_S:
            turn.end_early(Ending.REFUSED, f"{target.name} was not disrupted. {why}")
            turn.look_again_s = LOOK_SOON_S
            return True
        return turn.wait(f"{target.name} is not disrupted just now. {why}", LOOK_S)
    turn.change(gone_since=None)
    action = injection(turn, target)
    turn.update(way, phase=TargetPhase.HIT, hit_at=turn.now, asked_at=turn.now, hits=0)
    if turn.progress.injected_at is None:
        turn.mark(MarkKind.INJECTED, turn.now, f"The disruption begins, with {target.name}.")
    return turn.send(action)


def _is_unfinished(turn: Turn, way: TargetWay) -> bool:
    """Whether another node of a server that is being taken out is in service still."""
    return (
        turn.plan.injection is InjectionKind.NODE_OUT and way.phase is TargetPhase.HIT and not way.seen_away
    )


def _holds_up(turn: Turn, way: TargetWay) -> bool:
    if way.phase in {TargetPhase.HIT, TargetPhase.RETURNING}:
        return True
    if way.phase is not TargetPhase.BACK or way.back_at is None:
        return False
    if len(way.checked) < len(turn.plan.after_boot):
        return True
    is_last = way.server_id == turn.progress.targets[-1].server_id
    return not is_last and (turn.now - way.back_at).total_seconds() < turn.plan.between_s


def _wait_for(turn: Turn, way: TargetWay) -> bool:
    name = turn.target(way.server_id).name
    if way.phase is not TargetPhase.BACK:
        return turn.wait(f"Waits until {name} is back.", LOOK_S)
    missing = [one for one in turn.plan.after_boot if one not in way.checked]
    if missing:
        return turn.wait(f"Waits for somebody to check {name}: {', '.join(missing)}.", LOOK_CALM_S)
    return turn.wait(f"{name} is back. The next server follows shortly.", LOOK_S)


def injection(turn: Turn, target: Target) -> Action:
    """Return the change that disrupts a server."""
    args = {"server_id": target.server_id, "name": target.name}
    match turn.plan.injection:
        case InjectionKind.STOP:
            return Action("stop_server", target.server_id, f"Drill: stop {target.name}", args)
        case InjectionKind.NODE_OUT:
            action = _disable(turn, TargetWay(target.server_id))
            assert action is not None
            return action
        case _:
            hard = turn.plan.injection is InjectionKind.HARD_REBOOT
            says = f"Drill: reboot {target.name}" + (" as if its power failed" if hard else "")
            return Action("reboot", target.server_id, says, {**args, "type": "HARD" if hard else "SOFT"})


def _disable(turn: Turn, way: TargetWay) -> Action | None:
    """Return the change that takes the next node of a server out: each once, and again where that shows no effect for long."""
    target = turn.target(way.server_id)
    shown = [
        one
        for one in target.nodes
        if (node := returning.node_seen(turn, one)) is not None and node.condition is not Condition.DISABLED
    ]
    if way.hits >= len(target.nodes):
        asked_s = (turn.now - (way.asked_at or turn.now)).total_seconds()
        shown = shown if asked_s >= returning.AGAIN_S else []
    elif target.nodes[way.hits] in shown:
        shown = [target.nodes[way.hits]]
    if not shown:
        return None
    planned = shown[0]
    return Action(
        "disable_node",
        target.server_id,
        f"Drill: take {target.name} out of load balancer {planned.balancer_id}",
        {"balancer_id": planned.balancer_id, "node_id": planned.node_id, "name": target.name},
    )


JUDGES: tuple[Callable[[Turn], bool], ...] = (
    before_start,
    danger,
    returning.bring_back,
    halted,
    ending,
    script,
)


# --- outcomes ---------------------------------------------------------------------------------------------


def effect(action: Action, look: Look) -> bool | None:
    """Return whether a change whose answer was lost shows in this look: None where it cannot tell."""
    if action.name == "reboot":
        server = look.servers.get(action.target)
        shows = server is not None and (
            server.status in {"REBOOT", "HARD_REBOOT"} or (server.task_state or "").startswith("reboot")
        )
        return True if shows else None
    if action.name in {"stop_server", "start_server"}:
        server = look.servers.get(action.target)
        if server is None or server.is_gone or server.task_state is not None:
            return None
        runs = {"ACTIVE": True, "SHUTOFF": False}.get(server.status)
        return None if runs is None else runs is (action.name == "start_server")
    balancer = look.balancers.get(action.args["balancer_id"])
    if balancer is None or balancer.status.value != "ACTIVE":
        return None
    node = next((one for one in balancer.nodes if one.node_id == action.args["node_id"]), None)
    wanted = Condition.ENABLED if action.name == "enable_node" else Condition.DISABLED
    return None if node is None else node.condition is wanted


def settle(
    plan: DrillPlan,
    progress: Progress,
    people: People,
    action: Action,
    outcome: Outcome,
    now: datetime,
    *,
    after_s: float | None = None,
) -> DrillDecision:
    """Return what the outcome of a change means. No action. `after_s`: the provider wants to be left alone that long."""
    turn = Turn(plan, progress, Look(now), people, Facts(), now)
    turn.look_again_s = LOOK_SOON_S if outcome.kind is OutcomeKind.DONE else LOOK_S
    if after_s is not None:
        turn.look_again_s = min(max(LOOK_S, after_s), LONGEST_REST_S)
    way = next(one for one in progress.targets if one.server_id == action.target)
    if outcome.kind in {OutcomeKind.DONE, OutcomeKind.WITHHELD}:
        turn.update(way, says=action.says, hits=way.hits + (not action.is_put_back))
    elif action.is_put_back:
        _undo_failed(turn, way, action, outcome)
    else:
        _hit_failed(turn, way, action, outcome)
    return turn.result()


def _undo_failed(turn: Turn, way: TargetWay, action: Action, outcome: Outcome) -> None:
    if outcome.kind in {OutcomeKind.TRY_LATER, OutcomeKind.NOT_APPLIED}:
        # Sent again with the next look; a reboot whose answer was lost only when a person asks for it anew.
        if action.name == "reboot":
            turn.update(way, wants_hard=outcome.kind is OutcomeKind.TRY_LATER)
        else:
            turn.update(way, undo_at=None)
        return
    says = f"{action.says}: the provider refused. {outcome.says} The portal goes on trying."
    turn.halt("undo_refused", HaltRank.SITE_IN_DANGER, says, returning.NEXT_COMMANDS)


def _hit_failed(turn: Turn, way: TargetWay, action: Action, outcome: Outcome) -> None:
    """Take back that a server was disrupted where it surely was not; else bring it back as if it was."""
    name = turn.target(way.server_id).name
    surely_not = outcome.kind in {OutcomeKind.TRY_LATER, OutcomeKind.REFUSED, OutcomeKind.FAILED} or (
        outcome.kind is OutcomeKind.NOT_APPLIED and outcome.code == "not_sent"
    )
    if not surely_not:
        # Read as not applied, or not to be read at all: it may still take effect.
        turn.update(way, is_doubtful=True)
        if action.name != "reboot":
            turn.end_early(
                Ending.REFUSED, f"Whether {name} was disrupted is not known, so it is brought back."
            )
        return
    later = outcome.kind in {OutcomeKind.TRY_LATER, OutcomeKind.NOT_APPLIED}
    if way.hits == 0:
        # Of several nodes of a server the first; where one is out already, the others are asked for again.
        turn.update(way, phase=TargetPhase.UNTOUCHED, hit_at=None)
        if all(one.hit_at is None for one in turn.progress.targets):
            marks = tuple(one for one in turn.progress.marks if one.kind is not MarkKind.INJECTED)
            turn.change(marks=marks)
    if not later:
        turn.end_early(Ending.REFUSED, f"{name} was not disrupted: {outcome.says}")
