"""Given this plan, this progress and what the provider shows now: the next single action. Pure.

`decide` judges in one order on every tick, in every status that is not over (`JUDGES` below): people's
commands, then safety, then what is on its way back, other hands, approval, standstill, window, the server in
hand by its phase (`PHASES`), then the next one. The first judge that settles the tick ends it. It has no
clock, database or network of its own. Source of the rules: architecture notes, *What must hold*, 1 to 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from portal.frozen import replace
from portal.runs.types import Command, HaltRank, RunStatus
from scaledown import hours, late, looks, wording
from scaledown.answers import awaits_before
from scaledown.commands import answer_commands, answer_stops, tries, vain_resumes
from scaledown.deleting import confirming, deleting, due_at, hold_ends, next_due, stop_due_at
from scaledown.doubts import sets_aside
from scaledown.draining import draining, removing
from scaledown.imaging import imaging, leave_hold
from scaledown.notice import notice, notice_site
from scaledown.patience import can_wait
from scaledown.peak import awaits_peak
from scaledown.preflight import PREFLIGHT_S, before_start, rehearse
from scaledown.progress import DrainWay, NodeState, Progress, ServerWay
from scaledown.put_backs import back_under_way, has_foreign_node, put_backs
from scaledown.rolling_back import rolling_back
from scaledown.safety import blind, broken_floor, rising_traffic, unknown_load
from scaledown.stopping import stop
from scaledown.stops import (
    LOOK_HELD_S,
    aborting,
    after_silence,
    approval,
    awaits_landing,
    finishing,
    halt_for_other_hand,
    mark_others_back,
    other_hands,
    protected_servers,
    resting,
    resting_look_s,
)
from scaledown.turn import LOOK_RESTING_S, LOOK_S, MachineDecision, Turn
from scaledown.types import PEAK_SPARE_S, Facts, Observation, People, Phase, PlanData
from scaledown.waits import TROUBLE_S, awaits_somebody, is_frozen
from scaledown.watching import verifying
from scaledown.wording import Words

MARGIN_S = 30.0
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

    While a doubt is open only the site's safety is judged, and who says "stop" is answered (`watch_in_doubt`).
    """
    decided = _decide_on(Turn(plan, progress, observation, people, facts, now))
    if people.doubt is not None:
        return decided
    status = decided.status or people.status
    halt = decided.halt or (people.halt if status is RunStatus.HALTED else None)
    stands = replace(people, status=status, halt=halt, commands=())
    # What a lead may let pass is asked when somebody looks (`offers.Situation`): it can change between two looks.
    let = replace(facts, freeze="", is_freeze_read=True, nobody_to_call="")
    tried = Turn(plan, decided.progress, observation, stands, let, now)
    is_patient = decided.action is None and can_wait(tried)
    return replace(
        decided, progress=replace(decided.progress, cannot=_forbidden(tried)), is_patient=is_patient
    )


def _decide_on(turn: Turn, *, is_noticed: bool = False) -> MachineDecision:
    again = replace(turn, journal=[], samples=[], answers=[], foreign=[])
    decided = _decide(turn, {}, is_noticed=is_noticed)
    vain = vain_resumes(turn)
    if not vain:
        return decided
    # A resume after which the same halt stands in the same tick changed nothing: it is refused, as if it had not been tried.
    return _decide(again, vain, is_noticed=is_noticed)


def _forbidden(turn: Turn) -> dict[str, str]:
    """Try each command whose answer depends on this look; return those that are refused, with the sentence why.

    Pages and API offer what is left (`offers.py`), so that nobody is offered what would be refused.
    """
    found = {}
    for name, args in tries(turn):
        reason = "A reason."
        command = Command(0, 0, name, args, "", "", reason, turn.now)
        trial = replace(turn, people=replace(turn.people, commands=(command,)))
        trial = replace(trial, journal=[], samples=[], answers=[], foreign=[])
        refused = [a.says for a in _decide_on(trial, is_noticed=True).answers if not a.accepted]
        if refused:
            found[" ".join([name, *([str(args["server"])] if "server" in args else [])])] = refused[0]
    return found


def _decide(turn: Turn, vain: Mapping[int, str], *, is_noticed: bool) -> MachineDecision:
    people, now = turn.people, turn.now
    if people.status.is_over:
        return turn.result()
    if people.status in {RunStatus.PAUSED, RunStatus.HALTED} and turn.progress.stopped_at is None:
        # The engine halts by itself too, and leaves no word of it here: patience counts from now on.
        turn.change(stopped_at=now)
    if (people.standstill is None) is not (turn.progress.standstill_since is None):
        # Kept apart from what is waited for: a look that fails now and then must not begin the patience anew.
        turn.change(standstill_since=None if people.standstill is None else now)
    if people.doubt is not None:
        why = sets_aside(turn)
        watch_in_doubt(turn)
        return replace(turn.result(), sets_aside=why)
    if turn.progress.asks_freeze and turn.facts.is_freeze_read:
        turn.change(asks_freeze=False)
    if not is_noticed:
        notice(turn)
    answer_commands(turn, vain)
    say_holds_that_are_over(turn)
    judge_all(turn)
    if turn.foreign and not turn.is_foreign_told and not turn.status.is_over:
        # A judge before `other_hands` settled the tick. What was seen is stored as seen: it is told now or never.
        halt_for_other_hand(turn)
    return turn.result()


def judge_all(turn: Turn) -> None:
    """Ask one judge after the other until one has settled what this look leads to."""
    for judge in JUDGES:
        if judge(turn):
            return


def watch_in_doubt(turn: Turn) -> None:
    """A change is in doubt: no step goes on and nothing is sent, but whether the site is safe is judged all the same.

    What has to go back is marked: it goes as soon as the doubt is read, or set aside for it (`doubts.sets_aside`).
    """
    notice_site(turn)
    answer_stops(turn)
    if turn.status.is_over or rising_traffic(turn):
        return
    if not looks.unseen(turn.plan, turn.observation, turn.now) and broken_floor(turn):
        return
    if not window_end(turn):
        after_silence(turn)


def say_holds_that_are_over(turn: Turn) -> None:
    """A held server whose time is over waits for its turn: what it was told of that time is not true any more."""
    for way in turn.progress.servers:
        if way.phase is Phase.HELD and way.until is not None and way.put_back is None:
            ends = hold_ends(turn.plan, way)
            if ends is not None and way.until <= ends <= turn.now:
                turn.tell(way, wording.hold_over(way.name))


def others_back(turn: Turn) -> bool:
    """While something goes back: what has to go back beside it goes, too, whatever that waits for."""
    if not back_under_way(turn):
        return False
    mark_others_back(turn)
    return window_end(turn)


def already_over(turn: Turn) -> bool:
    """A command ended the run in this very turn."""
    return turn.status.is_over


def window_end(turn: Turn) -> bool:
    """At the window's end a node that still drains is enabled again; its server goes back to the queue.

    Also while the run rests: nobody's answer is waited for beyond the window. Also one that is to be removed and of
    which no removal was sent yet: what it waits for may last. One of which a removal was sent is finished.
    """
    way = turn.progress.in_flight
    if (
        way is None
        or way.phase not in {Phase.DRAINING, Phase.REMOVING}
        or not hours.is_closed(turn.plan, turn.now)
    ):
        return False
    if way.put_back is not None or has_foreign_node(way) or _was_removal_sent(turn, way):
        return False
    words = wording.window_over(way.name)
    turn.send_back(way, Phase.QUEUED, words)
    standing = turn.halt_in_force
    if standing is not None and standing.code == "drain_limit":
        # What was asked about this drain has no answer any more.
        commands = ("finish_here", "resume", "abort")
        turn.halt("window_over", HaltRank.SAFE_WAITING, words, commands, answers_standing=True)
    return put_backs(turn)


def _was_removal_sent(turn: Turn, way: ServerWay) -> bool:
    """Whether a node of it was removed, is being removed, or may be by a removal whose answer was lost."""
    if late.vanishes_until(turn, way) is not None:
        return True
    return any(NodeState.ABSENT in {node.confirmed, node.asked} for node in way.nodes)


IN_HAND = frozenset({Phase.IMAGING, Phase.DELETING, Phase.CONFIRMING})


def in_hand(turn: Turn) -> bool:
    """Go on with the one server that is in hand, by its phase."""
    way = turn.progress.in_flight or next((w for w in turn.progress.servers if w.phase in IN_HAND), None)
    if way is None:
        return False
    if way.missing_since is not None and way.phase not in {Phase.DELETING, Phase.CONFIRMING}:
        return turn.wait("missing", wording.missing(way.name), limit_s=TROUBLE_S)
    is_settled = PHASES[way.phase](turn, way)
    if turn.server(way.server_id).phase is Phase.RETIRED:
        judge_all(turn)  # the look that saw it off shows the pool and the next server as they are
    return is_settled


PHASES: Mapping[Phase, Callable[[Turn, ServerWay], bool]] = {
    Phase.DRAINING: draining,
    Phase.REMOVING: removing,
    Phase.VERIFYING: verifying,
    Phase.IMAGING: imaging,
    Phase.DELETING: deleting,
    Phase.CONFIRMING: confirming,
}


def next_server(turn: Turn) -> bool:
    """With nothing in hand: delete a held server whose hold is over, else begin the next one, else end."""
    way = next_due(turn.plan, turn.progress, turn.now)
    if way is None and turn.progress.pause_after is not None:
        for_change = turn.progress.is_pause_for_change
        turn.pause(wording.held_for_change() if for_change else wording.paused_as_asked())
        return True
    if way is not None:
        if way.missing_since is not None:
            return turn.wait("missing", wording.missing(way.name), limit_s=TROUBLE_S)
        if is_frozen(turn):
            return True
        return stop(turn, way) if stop_due_at(turn.plan, way) is not None else leave_hold(turn, way)
    queued = [way for way in turn.progress.servers if way.phase is Phase.QUEUED]
    if queued:
        return _window_closes(turn, queued[0]) or is_frozen(turn) or begin(turn, queued[0])
    held = [way for way in turn.progress.servers if way.phase is Phase.HELD]
    if held:
        first = min(held, key=lambda way: due_at(turn.plan, way) or turn.now)
        ends = due_at(turn.plan, first)
        if ends is not None and ends <= turn.now:
            opens = hours.opens_at(turn.plan, turn.now)
            words = wording.window_for_held(first.name, opens)
            turn.tell(first, words, opens)
            return turn.wait("window", words, until=opens, look_again_s=LOOK_HELD_S)
        return turn.wait("hold", _holds(turn, first), until=ends, look_again_s=LOOK_HELD_S)
    if awaits_landing(turn) or awaits_peak(turn):
        return True
    retired = sum(way.phase is Phase.RETIRED for way in turn.progress.servers)
    words = wording.completed(
        retired, len(looks.serving_anywhere(turn.plan, turn.progress, turn.observation))
    )
    turn.new_status = RunStatus.COMPLETED
    turn.change(says=words.says, customer_says=words.customer_says, until=None, waiting=None)
    return True


def _holds(turn: Turn, way: ServerWay) -> Words:
    ends = hold_ends(turn.plan, way)
    if way.stop is not None and way.stop.stopped_at is not None:
        return wording.stopped(way.name, ends)
    return wording.held(way.name, ends)


def expected_s(plan: PlanData, progress: Progress) -> float:
    """Return how long one server will likely be in flight: the longest drain so far, else a guess by the plan."""
    took = [way.drain_took_s for way in progress.servers if way.drain_took_s is not None]
    drain_s = max(took) if took else min(plan.drain_limit_s, max(2 * plan.min_drain_s, 60.0))
    return drain_s + plan.soak_s + MARGIN_S


def _misses_peak(plan: PlanData, turn: Turn) -> bool:
    """Whether a server that begins now would be out of the pool only after the peak through which it is to be held."""
    assert plan.hold_through is not None
    peak_at = plan.hold_through - timedelta(seconds=PEAK_SPARE_S)
    return turn.after(expected_s(plan, turn.progress)) > peak_at


def _window_closes(turn: Turn, way: ServerWay) -> bool:
    """In what is left of the window no server can go: say so, also where a freeze, that may have no end, holds it back."""
    plan, now = turn.plan, turn.now
    ends = hours.closes_at(plan, now)
    if (
        ends is None
        or hours.begins_at(plan, now) > now
        or turn.after(expected_s(plan, turn.progress)) <= ends
    ):
        return False
    following = hours.next_after(plan, now)
    if following is not None:
        words = wording.window_goes_on(way.name, ends, following.starts_at)
        turn.tell(way, words)
        return turn.wait("window", words, until=following.starts_at, look_again_s=resting_look_s(turn))
    words = wording.window_too_short(way.name, ends)
    if any(w.phase is Phase.HELD for w in turn.progress.servers):
        return turn.wait("window", words, look_again_s=LOOK_RESTING_S)
    return turn.halt("window_over", HaltRank.SAFE_WAITING, words, ("finish_here", "resume", "abort"))


def begin(turn: Turn, way: ServerWay) -> bool:
    """Begin the next server, or wait, saying for what."""
    plan = turn.plan
    opens = hours.begins_at(plan, turn.now)
    if opens > turn.now:
        if turn.progress.started_at is not None:
            turn.change(preflight_due=True)  # made as it opens: the site is another one by then
        return turn.wait(
            "window", wording.window_opens(opens), until=opens, look_again_s=resting_look_s(turn)
        )
    looked_at = turn.progress.preflight_at
    if looked_at is not None and hours.has_opened_since(plan, looked_at, turn.now):
        # It opened while the run rested, or had another server in hand.
        turn.change(preflight_due=True)
        return turn.wait("preflight", wording.looking_before_window(), look_again_s=LOOK_S)
    if plan.hold_through is not None and _misses_peak(plan, turn):
        return turn.halt(
            "peak_missed",
            HaltRank.SAFE_WAITING,
            wording.peak_missed(way.name, plan.hold_through),
            ("finish_here", "abort"),
        )
    if awaits_somebody(turn):
        return True
    if turn.progress.last_left_at is not None and plan.pause_between_s > 0:
        until = turn.progress.last_left_at + timedelta(seconds=plan.pause_between_s)
        if turn.now < until:
            return turn.wait("pause_between", wording.pause_between(until), until=until)
    if way.missing_since is not None:
        return turn.wait("missing", wording.missing(way.name), limit_s=TROUBLE_S)
    if awaits_before(turn):
        return True
    obstacle = _cannot_begin(turn, way)
    if obstacle is not None and not obstacle.waits:
        words = Words(f"{way.name} does not begin. {obstacle.says}", f"Paused: {way.name} stays in service.")
        return turn.halt(
            obstacle.code, HaltRank.SAFE_WAITING, words, ("skip", "resume", "abort", "finish_here")
        )
    if obstacle is not None:
        words = wording.next_waits(way.name, obstacle.says)
        turn.tell(way, words)
        # A look before the load is read again would show nothing new.
        look_again_s = looks.next_load_s(turn.progress, turn.now) if obstacle.code == "load" else LOOK_S
        return turn.wait(
            obstacle.code,
            words,
            limit_s=PREFLIGHT_S,
            rank=HaltRank.SAFE_WAITING,
            look_again_s=look_again_s,
        )
    if turn.facts.is_behind:
        words = wording.others_first(way.name)
        turn.tell(way, words)
        return turn.wait("others_first", words)
    stuck = turn.progress.stuck
    way = turn.enter(way, Phase.DRAINING, wording.begins(way.name), drain=DrainWay(turn.now))
    if stuck is not None and "sending" in stuck.reasons:
        turn.change(stuck=stuck)  # it began before, and nothing was sent
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
    if seen.floating:
        says = f"{way.name} has a floating address attached: {', '.join(seen.floating)}."
        return looks.Obstacle("floating_address", says, waits=False)
    failing = sorted(name for name, count in turn.progress.probe_failures.items() if count)
    if failing:
        return looks.Obstacle("probes", f"Probes fail: {', '.join(failing)}.")
    return looks.may_take_out(turn.plan, planned, turn.progress, turn.observation, turn.now)


JUDGES: tuple[Judge, ...] = (
    already_over,
    blind,
    rising_traffic,
    broken_floor,
    others_back,
    put_backs,
    unknown_load,
    other_hands,
    protected_servers,
    approval,
    aborting,
    rolling_back,
    finishing,
    window_end,
    resting,
    before_start,
    rehearse,
    in_hand,
    next_server,
)
