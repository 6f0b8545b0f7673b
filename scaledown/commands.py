"""People's commands: each is accepted or refused with a sentence, in the order given. Pure.

Arguments by command (all optional unless said):

    pause        when: "now" or "after_this_server" (default); because: "site_changed", which only the portal itself gives
    resume       confirm: true, servers: [ids that may still be deleted]  (after another hand changed the pool)
    abort        -
    put_back     server: id (default: the server in flight)
    skip         server: id
    go_on        connections: the most that may be cut (default: those open now); a reason is needed
    wait         seconds: how much longer (default: the plan's drain limit again)
    finish_here  -
    roll_back    -  (a reason is needed)
    grow_again   growth: what both sides approved, as `growing.asked` spells it; only the portal itself gives it
    accept       server: id of one that another hand changed and that this run may delete all the same; a reason
                 is needed
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from portal.frozen import replace
from portal.runs.types import BECAUSE_CHANGED, Command, RunStatus
from scaledown import growing, late, looks, silence, wording
from scaledown.doubts import is_cut_by
from scaledown.imaging import ask_anew
from scaledown.notice import accept_pool, as_seen
from scaledown.peak import end_watch, is_due, is_watching, stay_open
from scaledown.progress import DeleteWay, Progress, ServerWay
from scaledown.rolling_back import (
    approval_problem,
    begin_undoing,
    go_on_undoing,
    has_something_to_undo,
    stays_deleted,
)
from scaledown.turn import Turn
from scaledown.types import Phase
from scaledown.types import Verdict as PoolVerdict
from scaledown.wording import Words

LIVE = frozenset({RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.HALTED})
RESTING = frozenset({RunStatus.PAUSED, RunStatus.HALTED})
STATUSES: Mapping[str, frozenset[RunStatus]] = {
    "pause": frozenset({RunStatus.RUNNING}),
    "resume": RESTING,
    "retry": frozenset({RunStatus.HALTED}),
    "go_on": LIVE,
    "wait": LIVE,
    "put_back": LIVE,
    "skip": LIVE,
    "finish_here": LIVE,
    "accept": RESTING,
    "roll_back": LIVE,
    "grow_again": LIVE,
    "abort": LIVE | {RunStatus.SCHEDULED, RunStatus.ROLLING_BACK, RunStatus.GROWING},
}
"""In which statuses each command makes sense."""
FRESH_PREFLIGHT_AFTER_S = 24 * 3600.0
LONGEST_WAIT_S = 24 * 3600.0

Verdict = tuple[bool, str]


def answer_commands(turn: Turn, vain: Mapping[int, str]) -> None:
    """Answer every command that is waiting; each sees what the one before it left.

    `vain` has commands that are refused, by id, with the sentence why.
    """
    for command in turn.people.commands:
        if command.id in vain:
            turn.answer(command, False, vain[command.id])
            continue
        _answer(turn, command)


def _answer(turn: Turn, command: Command) -> None:
    handler = HANDLERS.get(command.name)
    if handler is None:
        turn.answer(command, False, f"A scale-down knows no command {command.name!r}.")
        return
    if turn.status.is_over:
        turn.answer(command, False, "The run is over.")
        return
    if turn.status not in STATUSES[command.name]:
        turn.answer(command, False, f"The run is {turn.status.value}: {command.name!r} makes no sense now.")
        return
    before = turn.progress
    try:
        accepted, says = handler(turn, command)
    except (TypeError, ValueError, KeyError):
        # A value of a wrong kind, stored before it was checked: it must not stop every later tick.
        turn.progress = before
        accepted, says = False, "A value of this command is not one that it takes. Nothing was changed."
    turn.answer(command, accepted, says)


def answer_stops(turn: Turn) -> None:
    """While a change is in doubt: answer those who say "stop" or put a server back, and nobody else yet.

    They are answered in order, up to the first that has to wait: whoever resumed before a pause is not paused after it.
    An abort overtakes them all: whatever was asked for before it, it ends the run.
    """
    has_to_wait = False
    for command in turn.people.commands:
        has_to_wait = has_to_wait or not _may_be_answered(turn, command)
        if command.name == "abort" or not has_to_wait:
            _answer(turn, command)


def _may_be_answered(turn: Turn, command: Command) -> bool:
    """Whether an answer does not depend on what became of the change in doubt."""
    if command.name != "put_back":
        return command.name in {"pause", "abort"}
    way = _target(turn, command)
    doubt = turn.people.doubt
    return way is None or doubt is None or not is_cut_by(doubt.action, way)


def tries(turn: Turn) -> list[tuple[str, dict[str, Any]]]:
    """Return the commands whose answer depends on the newest look, with the arguments that are offered."""
    if turn.status.is_over or turn.status is RunStatus.SCHEDULED:
        return []
    found: list[tuple[str, dict[str, Any]]] = []
    if turn.status in RESTING:
        found.append(("resume", {"confirm": True}))
    if turn.status is RunStatus.HALTED and failed_step(turn.progress):
        found.append(("retry", {"confirm": True}))
    if (way := at_limit(turn.progress)) is not None and way.drain is not None:
        found += [("go_on", {"connections": way.drain.connections}), ("wait", {"seconds": 600})]
    for way in turn.progress.servers:
        if way.by_hand and not way.phase.is_final and turn.status in RESTING:
            found.append(("accept", {"server": way.server_id}))
        may_be_kept_out = way.delete or way.stop or any(node.late for node in way.nodes)
        if way.phase.is_out_and_alive and way.put_back is None and may_be_kept_out:
            found.append(("put_back", {"server": way.server_id}))
    return found


def vain_resumes(turn: Turn) -> dict[int, str]:
    """Return the resumes of a decided turn that left the same halt standing, by id, with the sentence why."""
    halt, was = turn.new_halt, turn.people.halt
    resumes = {command.id for command in turn.people.commands if command.name in {"resume", "retry"}}
    if halt is None or was is None or halt.code != was.code:
        return {}
    if not any(a.accepted and a.command_id in resumes for a in turn.answers):
        return {}
    return dict.fromkeys(resumes, f"The run would halt again at once. {halt.says}")


def _target(turn: Turn, command: Command) -> ServerWay | None:
    server_id = command.args.get("server") or command.args.get("server_id")
    if server_id is not None:
        return turn.progress.server(str(server_id))
    return turn.progress.in_flight


def pause(turn: Turn, command: Command) -> Verdict:
    """Pause after the server in hand, or now with a draining node enabled again."""
    if turn.status is not RunStatus.RUNNING:
        return False, f"Only a running scale-down can be paused; this one is {turn.status.value}."
    if turn.progress.aborting:
        return False, "The run is being aborted."
    in_flight = turn.progress.in_flight
    now = command.args.get("when") == "now" or command.args.get("now") is True
    by = command.by_name or "a person"
    is_for_change = command.args.get("because") == BECAUSE_CHANGED
    if is_for_change and not any(way.phase is Phase.QUEUED for way in turn.progress.servers):
        return True, "No further server begins, so nothing is held back."
    if in_flight is None or now:
        turn.pause(wording.held_for_change() if is_for_change else wording.paused_by(by))
        is_out = in_flight is not None and in_flight.phase in {Phase.DRAINING, Phase.REMOVING}
        lands_until = late.vanishes_until(turn, in_flight) if in_flight is not None and is_out else None
        if in_flight is not None and lands_until is not None and not late.site_needs_it(turn):
            # It goes back by itself once the removal can no longer land (`stops.resting`).
            return True, f"Paused. {late.removal_stays_out(in_flight.name, lands_until).says}"
        if in_flight is not None and is_out and turn.people.doubt is not None:
            # Likewise: what was sent may be its removal, and nobody knows yet whether it happened.
            return (
                True,
                f"Paused. {in_flight.name} goes back once it is known what became of the change that was sent.",
            )
        if in_flight is not None and is_out:
            turn.send_back(in_flight, Phase.QUEUED, Words(f"Paused by {by}.", "Paused by a person."))
            return True, f"Paused. {in_flight.name} is put back into the pool."
        return True, "Paused. Nothing new is sent."
    turn.change(pause_after=in_flight.server_id, is_pause_for_change=is_for_change)
    return True, f"The run pauses once {in_flight.name} is through."


def resume(turn: Turn, command: Command) -> Verdict:
    """Go on from the step where it stopped, after a good fresh look."""
    if turn.status not in {RunStatus.PAUSED, RunStatus.HALTED}:
        return False, f"Only a paused or halted run can be resumed; this one is {turn.status.value}."
    if turn.progress.aborting:
        return False, "The run is being aborted: what it took out is put back, then it ends."
    if turn.people.standstill is not None:
        return False, turn.people.standstill
    if problem := approval_problem(turn):
        return False, problem
    if turn.progress.rolling_back:
        return _resume_rolling_back(turn, command)
    if turn.facts.freeze:
        return False, turn.facts.freeze
    if turn.facts.nobody_to_call:
        return False, turn.facts.nobody_to_call
    problem = _not_well(turn)
    if problem:
        return False, problem
    if _changed_by_hand(turn):
        if command.args.get("confirm") is not True:
            return False, "Another hand changed the pool. Confirm that it is right as it is now, or abort."
        _accept_changes(turn, command)
    stopped_s = turn.age_s(turn.progress.stopped_at) if turn.progress.stopped_at else 0.0
    _runs_again(turn)
    turn.change(
        sighted_at=turn.now,
        preflight_due=turn.progress.preflight_due or stopped_s > FRESH_PREFLIGHT_AFTER_S,
    )
    ask_anew(turn)
    for way in turn.progress.servers:
        if way.stop is not None and way.stop.stopped_at is None and way.put_back is None:
            turn.update(way, stop=replace(way.stop, tries=0, next_try_at=None))
    standing = turn.people.halt
    for way in turn.progress.servers:
        way = turn.update(way, soak=None)
        if standing is not None and standing.code == "not_enough_traffic" and way.phase in _VERIFIED:
            way = turn.update(way, since=turn.now)  # traffic is waited for as long again
        if (
            way.phase is not Phase.VERIFYING
            and way.verdict is not None
            and way.verdict.verdict is not PoolVerdict.PASSES
        ):
            # A person has seen it: the pool is verified anew before anything is deleted.
            way = turn.update(way, verdict=None)
        if way.delete is not None and way.delete.accepted_at is None:
            late_at = way.delete.late_at
            turn.update(way, delete=None if late_at is None else DeleteWay(late_at=late_at))
        if way.drain is not None and way.phase is Phase.DRAINING and way.drain.asked_person_at is not None:
            # The person who resumes has seen that the limit was reached: the drain gets its time again.
            _more_time(turn, way, turn.plan.drain_limit_s)
    return True, "The run goes on."


_VERIFIED = frozenset({Phase.VERIFYING, Phase.HELD, Phase.IMAGING})


def failed_step(progress: Progress) -> str:
    """Return what this run tried, in vain, at the step where it stands, as the words after "try again:"; "" for nothing."""
    for way in progress.servers:
        if way.phase is Phase.IMAGING and way.imaging is not None and way.imaging.problem:
            return f"the image of {way.name}"
        if way.phase in {Phase.RECREATING, Phase.JOINING} and way.anew is not None and way.anew.problem:
            return f"{way.name} as a new server"
        delete, stop = way.delete, way.stop
        if way.phase is Phase.DELETING and delete is not None and delete.tries and delete.accepted_at is None:
            return f"the deletion of {way.name}"
        if (
            way.phase is Phase.HELD
            and stop is not None
            and stop.tries
            and stop.accepted_at is None
            and not stop.stopped_at
        ):
            return f"the stop of {way.name}"
    is_refused = progress.refusal_says and progress.busy_since is None
    return "the change that was refused" if is_refused else ""


def retry(turn: Turn, command: Command) -> Verdict:
    """Go on from the step that failed, with all before it kept: its attempt is made again."""
    what = failed_step(turn.progress)
    if turn.status is not RunStatus.HALTED or not what:
        return False, "No step of this run has failed: there is nothing to try again."
    accepted, says = resume(turn, command)
    return accepted, f"The run goes on from there: {what} is tried again." if accepted else says


def _runs_again(turn: Turn) -> None:
    turn.new_status, turn.new_halt = RunStatus.RUNNING, None
    turn.change(
        stopped_at=None,
        waiting=None,
        stuck=None,
        refusals=0,
        refusal_says="",
        busy_since=None,
        retry_at=None,
        pause_after=None,
        hot_looks=0,
        differs="",
        differs_looks=0,
    )


def _resume_rolling_back(turn: Turn, command: Command) -> Verdict:
    """Go on undoing: it makes the pool larger, so that neither probes nor load forbid it."""
    missing = looks.unseen(turn.plan, turn.observation, turn.now)
    if missing:
        return False, f"There is no fresh look at load balancer {', '.join(missing)}. Try again in a moment."
    if _changed_by_hand(turn):
        if command.args.get("confirm") is not True:
            return False, "Another hand changed the pool. Confirm that it is right as it is now, or abort."
        _accept_changes(turn, command)
    go_on_undoing(turn)
    return True, "The roll back goes on." if turn.progress.growing is None else "It grows again."


def _not_well(turn: Turn) -> str:
    """Return why a fresh look forbids going on, or ""."""
    missing = looks.unseen(turn.plan, turn.observation, turn.now)
    if missing:
        return f"There is no fresh look at load balancer {', '.join(missing)}. Try again in a moment."
    failing = sorted(name for name, count in turn.progress.probe_failures.items() if count)
    if failing:
        return f"Probes fail: {', '.join(failing)}."
    broken = looks.floor_breaks(turn.plan, turn.progress, turn.observation, turn.now)
    if broken:
        return f"Only {broken[0][1]} servers serve; the floor is {turn.plan.floor}."
    guard = looks.guard_rps(turn.plan)
    mean = looks.known_mean(turn.plan, turn.progress, turn.observation, turn.now)
    if guard is not None and mean is not None and mean > guard:
        return f"Each node carries {mean:.1f} requests/s; {guard:.1f} is the most for going on."
    unknown = looks.load_unknown(turn.plan, turn.progress, turn.observation, turn.now)
    if unknown:
        return f"What {unknown} carries is not known. Make it readable again, or put back what is out."
    backs = [way.name for way in turn.progress.servers if way.put_back is not None]
    if backs:
        return f"{', '.join(backs)} is still being put back."
    return ""


def _changed_by_hand(turn: Turn) -> bool:
    kept = turn.progress.kept
    return (
        any(way.by_hand and not way.phase.is_final for way in turn.progress.servers)
        or any(node.is_foreign for way in turn.progress.servers for node in way.nodes)
        or any(node.is_foreign for server in kept for node in server.nodes)
    )


def _accept_changes(turn: Turn, command: Command) -> None:
    named = command.args.get("servers") or [command.args.get("server")]
    allowed = {str(server) for server in named if server}
    accept_pool(turn)
    for way in turn.progress.servers:
        if not way.by_hand or way.phase.is_final:
            continue
        if way.server_id in allowed:
            turn.update(way, by_hand="", own=silence.let(way))
        elif way.phase is Phase.QUEUED:
            turn.enter(turn.update(way, by_hand=""), Phase.SKIPPED, wording.skipped(way.name, way.by_hand))
        elif way.phase.is_out_and_alive and late.vanishes_until(turn, way) is None:
            turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, way.by_hand))


def abort(turn: Turn, command: Command) -> Verdict:
    """Put back what is not deleted, then end."""
    by = command.by_name or "a person"
    if turn.status is RunStatus.SCHEDULED:
        words = Words(f"Aborted by {by} before anything was changed.", "Stopped before anything was changed.")
        turn.new_status = RunStatus.ABORTED
        turn.change(ended_because="aborted", says=words.says, customer_says=words.customer_says, until=None)
        return True, "The run is aborted; nothing was changed."
    if turn.progress.aborting:
        return True, "The run is being aborted already."
    if turn.progress.rolling_back:
        what = "the roll back" if turn.progress.growing is None else "growing again"
        turn.change(giving_up=f"{by} stopped {what}.")
        if turn.status is RunStatus.HALTED:
            go_on_undoing(turn)
        return True, "Nothing more is created anew; what lives is put back, then the run ends."
    turn.change(aborting=f"Aborted by {by}.", pause_after=None)
    return True, "What is not deleted is put back; then the run ends."


def roll_back(turn: Turn, command: Command) -> Verdict:
    """Undo in reverse what this run did: put back what lives, create anew what was deleted with an image."""
    if turn.progress.aborting:
        return False, "The run is being aborted."
    if turn.progress.rolling_back:
        return True, _undoes_already(turn)
    if not command.reason.strip():
        return False, "Rolling back creates servers anew: give a reason."
    if turn.people.is_rehearsal:
        return False, "A rehearsal changed nothing: there is nothing to roll back."
    if not has_something_to_undo(turn.progress):
        return False, "Nothing of this run is left to undo. Abort it to end it."
    by = command.by_name or "a person"
    lost = [way.name for way in stays_deleted(turn.plan, turn.progress)]
    begin_undoing(turn, f"Rolled back by {by}.")
    stays = f" {', '.join(lost)} cannot be brought back." if lost else ""
    return True, f"What this run did is undone in reverse.{stays}"


def _undoes_already(turn: Turn) -> str:
    return (
        "The run is being rolled back already."
        if turn.progress.growing is None
        else "It grows again already."
    )


def grow_again(turn: Turn, command: Command) -> Verdict:
    """Create again those servers that this run deleted and that both sides approved by name; then the run is complete."""
    wanted = growing.of_command(command)
    if turn.progress.aborting:
        return False, "The run is being aborted."
    if turn.progress.rolling_back:
        return False, _undoes_already(turn)
    if turn.people.is_rehearsal:
        return False, "A rehearsal changed nothing: there is nothing to grow again by."
    for grown in wanted.servers:
        if problem := growing.why_not(turn.plan, turn.progress, grown):
            return False, problem
    names = ", ".join(grown.name for grown in wanted.servers)
    by = command.by_name or "a person"
    end_watch(turn, f"{names} {'comes' if len(wanted.servers) == 1 else 'come'} back, asked for by {by}.")
    turn.change(growing=wanted)
    begin_undoing(turn, f"Grown again by {len(wanted.servers)}, asked for by {by}.")
    return (
        True,
        f"{names} {'is' if len(wanted.servers) == 1 else 'are'} created anew; then the run is complete.",
    )


def put_back(turn: Turn, command: Command) -> Verdict:
    """Put one living server back into the pool: from draining to held."""
    way = _target(turn, command)
    if way is None:
        return False, "There is no such server on its way out."
    if way.put_back is not None:
        turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, "A person asked for it."))
        return True, f"{way.name} is being put back already."
    if not way.phase.is_out_and_alive:
        return False, f"{way.name} is {way.phase.value}: only a server from draining to held can be put back."
    if way.delete is not None and way.delete.accepted_at is not None:
        return False, f"The provider has accepted the deletion of {way.name}: it cannot be put back."
    lands_until = late.vanishes_until(turn, way)
    if lands_until is not None and not late.site_needs_it(turn):
        return False, late.why_it_stays_out(turn, way, lands_until).says
    late.say_risk(turn, way)
    by = command.by_name or "a person"
    standing = turn.halt_in_force
    if standing is not None and standing.code == "drain_limit" and at_limit(turn.progress) == way:
        # What was asked is answered: nobody is to be asked it any longer.
        turn.pause(wording.put_back_at_limit(way.name, by))
    turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, f"{by} asked for it."))
    return True, f"{way.name} is put back into the pool."


def skip(turn: Turn, command: Command) -> Verdict:
    """Leave a server that has not begun in the pool."""
    way = _target(turn, command)
    if way is None:
        return False, "There is no such server in this run."
    if turn.progress.aborting:
        return False, f"The run is being aborted: {way.name} stays in the pool."
    if way.phase is not Phase.QUEUED or way.put_back is not None:
        return (
            False,
            f"{way.name} is {way.phase.value}: only a server that waits for its turn can be skipped.",
        )
    turn.enter(way, Phase.SKIPPED, wording.skipped(way.name, command.reason or "a person skipped it."))
    return True, f"{way.name} stays in the pool."


def at_limit(progress: Progress) -> ServerWay | None:
    """Return the draining server about which a person was asked at its drain limit, or None."""
    way = progress.in_flight
    if way is None or way.phase is not Phase.DRAINING or way.drain is None or way.put_back is not None:
        return None
    return way if way.drain.asked_person_at is not None else None


def go_on(turn: Turn, command: Command) -> Verdict:
    """At the drain limit: remove the node and cut what is still open, with a reason."""
    way = at_limit(turn.progress)
    if way is None or way.drain is None:
        return False, "No drain is at its limit."
    if turn.progress.aborting:
        return False, "The run is being aborted: what it took out is put back, then it ends."
    if turn.facts.freeze:
        return False, turn.facts.freeze
    if turn.facts.nobody_to_call:
        return False, turn.facts.nobody_to_call
    if not command.reason.strip():
        return False, "Going on cuts connections: give a reason."
    if turn.people.standstill is not None:
        return False, turn.people.standstill
    open_now = way.drain.connections
    asked = command.args.get("connections")
    most = open_now if asked is None else int(asked)
    is_unknown = most is None
    if most is None:
        most = 0  # should one be counted after all, the person is asked again
    if open_now is not None and open_now > most:
        return False, f"{wording.count_of(open_now)} are open now, more than the {most} that were named."
    problem = _not_well(turn)
    if problem:
        return False, problem
    if _changed_by_hand(turn):
        return False, "Another hand changed the pool: resume with a confirmation, or abort."
    if not turn.facts.approval_stands:
        return False, turn.facts.approval_problem or "The approval of this plan no longer stands."
    turn.update(way, drain=replace(way.drain, cut=most, is_cut_unknown=is_unknown, asked_person_at=None))
    at_most = "an unknown number of connections" if is_unknown else f"up to {wording.count_of(most)}"
    turn.note(
        "cut_allowed",
        Words(
            f"{command.by_name} lets {way.name} go on and cut {at_most}: {command.reason}",
            f"{way.name} is taken out although some connections may still be open.",
        ),
        way.server_id,
        connections=open_now,
        most=None if is_unknown else most,
        reason=command.reason,
    )
    if turn.status is RunStatus.HALTED:
        turn.new_status = RunStatus.RUNNING
        turn.change(stopped_at=None, waiting=None, stuck=None)
    return True, f"{way.name} is removed; {at_most} may be cut."


def wait(turn: Turn, command: Command) -> Verdict:
    """At the drain limit: keep draining for some more seconds."""
    way = at_limit(turn.progress)
    if way is None or way.drain is None:
        return False, "No drain is at its limit."
    if turn.progress.aborting:
        return False, "The run is being aborted: what it took out is put back, then it ends."
    if turn.facts.freeze:
        return False, turn.facts.freeze
    if turn.facts.nobody_to_call:
        return False, turn.facts.nobody_to_call
    try:
        more_s = float(command.args.get("seconds") or turn.plan.drain_limit_s)
    except (TypeError, ValueError):
        return False, "Say for how many seconds to wait."
    if not 0 < more_s <= LONGEST_WAIT_S:
        return False, "Wait for more than nothing and at most a day."
    if turn.people.standstill is not None:
        return False, turn.people.standstill
    if _changed_by_hand(turn):
        return False, "Another hand changed the pool: resume with a confirmation, or abort."
    _more_time(turn, way, more_s)
    if turn.status is RunStatus.HALTED:
        turn.new_status = RunStatus.RUNNING
        turn.change(stopped_at=None, waiting=None, stuck=None)
    return True, f"{way.name} gets {wording.seconds(more_s)} more."


def _more_time(turn: Turn, way: ServerWay, more_s: float) -> None:
    assert way.drain is not None
    turn.update(way, drain=replace(way.drain, limit_at=turn.after(more_s), asked_person_at=None))


def finish_here(turn: Turn, command: Command) -> Verdict:
    """Complete at this size after the server in hand; the rest stay in the pool. Before it ends the next peak is watched."""
    if turn.status is RunStatus.SCHEDULED:
        return False, "The run has not begun: abort it instead."
    if turn.progress.aborting:
        return False, "The run is being aborted."
    if turn.progress.rolling_back:
        return False, _undoes_already(turn).replace(" already", "")
    by = command.by_name or "a person"
    if turn.progress.finishing:
        return (
            True,
            "The run is finished here already; it ends as soon as nothing of it may take effect any more.",
        )
    why_not = cannot_finish(turn.status, turn.progress)
    if why_not:
        return False, why_not
    for way in turn.progress.servers:
        if way.phase is Phase.QUEUED and way.put_back is None:
            turn.enter(way, Phase.SKIPPED, wording.skipped(way.name, f"{by} finished here."))
        elif way.put_back is not None and way.put_back.to is Phase.QUEUED:
            # On its way back to the queue: it stays in the pool like the others that have not begun.
            turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, f"{by} finished here."))
    left = [way.name for way in turn.progress.servers if not way.phase.is_final]
    if is_watching(turn.progress):
        end_watch(turn, f"{by} ended it.")
        if turn.status is RunStatus.RUNNING:
            turn.change(finishing=f"Finished here by {by}.")
            return True, "The run ends at this size. The peak is not watched to its end."
    if turn.status is RunStatus.RUNNING:
        return True, "The run ends after the server in hand; the others stay in the pool."
    if left:
        return (
            True,
            f"The others stay in the pool. Resume the run to finish {', '.join(left)}, or put them back.",
        )
    if is_due(turn):
        # Nothing is sent any more, so that nothing that forbids to resume a run forbids to watch.
        _runs_again(turn)
        accept_pool(turn)
        turn.change(preflight_due=False)
        stay_open(turn)
        return (
            True,
            "The others stay in the pool. The run stays open at this size until the next peak is over.",
        )
    open_yet = late.outstanding(turn)
    if open_yet is not None:
        turn.change(finishing=f"Finished here by {by}.")
        return True, f"The others stay in the pool. {open_yet[1].says}"
    words = wording.finished_here(f"Finished here by {by}.")
    turn.new_status, turn.new_halt = RunStatus.COMPLETED, None
    turn.change(ended_because="finished_here", says=words.says, customer_says=words.customer_says, until=None)
    return True, "The run ends here; the others stay in the pool."


def cannot_finish(status: RunStatus, progress: Progress) -> str:
    """Return why finishing here would change nothing, or ""."""
    if any(is_in_queue(way) for way in progress.servers) or is_watching(progress):
        return ""
    left = [way.name for way in progress.servers if not way.phase.is_final]
    if status is RunStatus.RUNNING:
        return "No server waits for its turn any more: the run ends by itself."
    return (
        f"No server waits for its turn any more; finish {', '.join(left)}, or put them back." if left else ""
    )


def is_in_queue(way: ServerWay) -> bool:
    """Return whether this server waits for its turn, or goes back to where it does."""
    if way.put_back is not None:
        return way.put_back.to is Phase.QUEUED
    return way.phase is Phase.QUEUED


def accept(turn: Turn, command: Command) -> Verdict:
    """Let this run go on with a server that another hand changed, as it is now (invariant 5)."""
    way = _target(turn, command)
    if way is None:
        return False, "There is no such server in this run."
    if turn.progress.aborting:
        return False, "The run is being aborted: what it took out is put back, then it ends."
    if not way.by_hand or way.phase.is_final:
        return False, f"No other hand changed {way.name} and it serves nobody, or nothing more happens to it."
    if not command.reason.strip():
        return False, "Say why this server may still be deleted: give a reason."
    seen = turn.observation.servers.get(way.server_id)
    if seen is None or turn.age_s(seen.observed_at) > looks.LOOK_MAX_AGE_S or seen.is_gone:
        return False, f"There is no fresh look at {way.name}. Try again in a moment."
    difference = looks.identity_difference(turn.planned(way.server_id), seen)
    if difference:
        return False, f"{difference} It is not what was approved: this run does not delete it."
    balancers = turn.observation.balancers
    missing = [node.balancer_id for node in way.nodes if node.balancer_id not in balancers]
    if missing:
        return False, f"There is no fresh look at load balancer {missing[0]}. Try again in a moment."
    by = command.by_name or "A person"
    still_serves = way.own is not None and way.own.is_asked_about
    words = wording.accepted(way.name, by, way.by_hand, command.reason, still_serves=still_serves)
    turn.note("accepted", words, way.server_id)
    turn.update(
        way,
        by_hand="",
        own=silence.let(way),
        nodes=tuple(as_seen(node, balancers[node.balancer_id]) for node in way.nodes),
    )
    return True, f"This run goes on with {way.name} as it is now, once it is resumed."


HANDLERS: Mapping[str, Callable[[Turn, Command], Verdict]] = {
    "pause": pause,
    "resume": resume,
    "retry": retry,
    "abort": abort,
    "roll_back": roll_back,
    "grow_again": grow_again,
    "put_back": put_back,
    "skip": skip,
    "go_on": go_on,
    "wait": wait,
    "finish_here": finish_here,
    "accept": accept,
}
