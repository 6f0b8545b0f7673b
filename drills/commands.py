"""What people ask of a drill, answered in the order given. Who may ask is decided before (`portal.access`). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from drills.scenarios.types import REBOOTS, StepKind
from drills.turn import Turn
from drills.types import BY_PEOPLE, INFORMED_WHOM, Ending, MarkKind, StepState, StepWay, TargetPhase
from portal.runs.types import Command, RunStatus

EARLIEST_MARK = timedelta(hours=12)
NAMES = (
    "stop",
    "abort",
    "real",
    "undo_now",
    "step_done",
    "step_skip",
    "mark",
    "note",
    "after_boot",
    "undone_by_hand",
    "hard_reboot",
)
PASSED = "passed"
OUTCOMES = frozenset({PASSED, "failed"})
"""What a check of completeness showed."""
ANYBODY = frozenset({"stop", "abort", "real"})
"""Whoever sees the drill may ask for these, at any moment."""


def answer_commands(turn: Turn) -> None:
    """Answer each command that waits."""
    for command in turn.people.commands:
        answer = _ANSWERS.get(command.name)
        if answer is None:
            turn.answer(command, False, "A drill is stopped, not paused: what it disrupts would stay so.")
        else:
            answer(turn, command)


def answer_stops(turn: Turn) -> None:
    """Answer those that end the drill; the others wait. For looks at which nothing else can be decided."""
    for command in turn.people.commands:
        if command.name in ANYBODY:
            _ANSWERS[command.name](turn, command)


def _stop(turn: Turn, command: Command) -> None:
    says = f"{command.by_name} stopped the drill." + (f" {command.reason}" if command.reason else "")
    turn.end_early(Ending.STOPPED, says, by=command.by)
    turn.answer(command, True, _undoes(turn))


def _real(turn: Turn, command: Command) -> None:
    says = f"{command.by_name}: this is real." + (f" {command.reason}" if command.reason else "")
    turn.end_early(Ending.REAL, says, by=command.by)
    turn.answer(command, True, f"{_undoes(turn)} From now on nothing is marked as a drill.")


def _undoes(turn: Turn) -> str:
    return (
        "What the drill has disrupted is undone now, and verified."
        if turn.progress.is_injected
        else "Nothing is disrupted; the drill ends."
    )


def _undo_now(turn: Turn, command: Command) -> None:
    hit = [one for one in turn.progress.targets if one.phase is TargetPhase.HIT]
    if not hit or any(one.phase is TargetPhase.UNTOUCHED for one in turn.progress.targets):
        turn.answer(command, False, "Not everything is disrupted yet. Stop the drill if it must not go on.")
        return
    for way in hit:
        turn.update(way, phase=TargetPhase.RETURNING, undo_from=turn.now)
    turn.answer(command, True, "It is undone now, before its time; the drill goes on.")


def current_step(turn: Turn) -> StepWay | None:
    """Return the step in hand: the first that is neither done nor skipped."""
    left = [one for one in turn.progress.steps if one.state in {StepState.OPEN, StepState.DOING}]
    return left[0] if left else None


def _named_step(turn: Turn, command: Command) -> StepWay | None:
    step = current_step(turn)
    if turn.people.status is not RunStatus.RUNNING or step is None or turn.progress.ending is not None:
        turn.answer(command, False, "No step is in hand just now.")
        return None
    if command.args.get("number") != step.number:
        turn.answer(command, False, f"Step {step.number} is in hand now. Look again, then say which is done.")
        return None
    return step


def _step_done(turn: Turn, command: Command) -> None:
    step = _named_step(turn, command)
    if step is None:
        return
    planned = turn.plan.steps[step.number - 1]
    if planned.kind is StepKind.AUTOMATED:
        turn.answer(command, False, "The portal does this step, and says itself when it is done.")
        return
    if planned.injects:
        turn.mark(MarkKind.INJECTED, turn.now, f"{command.by_name}: {planned.title}.", by=command.by)
    close_step(turn, step, StepState.DONE, command.by_name, command.reason)
    turn.answer(command, True, f"Step {step.number} is done.")


def _step_skip(turn: Turn, command: Command) -> None:
    step = _named_step(turn, command)
    if step is None:
        return
    planned = turn.plan.steps[step.number - 1]
    if planned.injects:
        turn.answer(command, False, "Without the disruption there is no drill. Stop it instead.")
    elif not command.reason.strip():
        turn.answer(command, False, "Say why the step is left out.")
    else:
        close_step(turn, step, StepState.SKIPPED, command.by_name, command.reason)
        turn.answer(command, True, f"Step {step.number} is left out.")


def close_step(turn: Turn, step: StepWay, state: StepState, by_name: str = "", why: str = "") -> None:
    """End a step, and say so."""
    planned = turn.plan.steps[step.number - 1]
    turn.update_step(
        step, state=state, began_at=step.began_at or turn.now, ended_at=turn.now, by_name=by_name
    )
    said = "done" if state is StepState.DONE else "left out"
    who = f" ({by_name})" if by_name else ""
    turn.note(state.value, f"Step {step.number}, {planned.title}: {said}{who}. {why}".strip())


def _time_of(turn: Turn, args: Mapping[str, Any], name: str) -> datetime | None:
    value = args.get(name)
    return datetime.fromisoformat(value) if isinstance(value, str) else None


def _mark(turn: Turn, command: Command) -> None:
    kind = next((one for one in BY_PEOPLE if one.value == command.args.get("kind")), None)
    at = _time_of(turn, command.args, "at") or command.at
    if kind is None:
        turn.answer(command, False, "This moment is measured; nobody notes it.")
    elif turn.progress.began_at is None:
        turn.answer(command, False, "The drill has not begun yet.")
    elif not turn.progress.began_at <= at <= turn.now:
        turn.answer(command, False, "The moment lies before the drill, or ahead.")
    elif kind is MarkKind.NEWEST_DATA and _time_of(turn, command.args, "value_at") is None:
        turn.answer(command, False, "Say how old the newest data is: the time of the newest that was found.")
    elif kind is MarkKind.COMPLETE and (problem := _incomplete(turn, command)):
        turn.answer(command, False, problem)
    elif (whom := command.args.get("whom", "")) and (
        kind is not MarkKind.INFORMED or whom not in INFORMED_WHOM
    ):
        turn.answer(command, False, f"Of *informed* it is said who was told: {', '.join(INFORMED_WHOM)}.")
    else:
        told = f" ({INFORMED_WHOM[whom]})" if whom else ""
        passed = command.args.get("outcome") == PASSED if kind is MarkKind.COMPLETE else None
        what = "The check of completeness failed" if passed is False else _MARK_SAYS[kind]
        says = f"{what}{told}: {command.by_name}." + (f" {command.reason}" if command.reason else "")
        turn.mark(
            kind,
            at,
            says,
            by=command.by,
            by_name=command.by_name,
            value_at=_time_of(turn, command.args, "value_at"),
            whom=whom,
            passed=passed,
        )
        turn.answer(command, True, "It is on the time axis.")


def _incomplete(turn: Turn, command: Command) -> str:
    if not turn.plan.completeness:
        return "No check of completeness was chosen for this drill."
    if command.args.get("outcome") not in OUTCOMES:
        return "Say whether the check of completeness passed or failed."
    if command.args["outcome"] != PASSED and not command.reason.strip():
        return "Say what is missing."
    return ""


_MARK_SAYS: Mapping[MarkKind, str] = {
    MarkKind.DETECTED: "Noticed",
    MarkKind.ACKNOWLEDGED: "Acknowledged",
    MarkKind.INFORMED: "Those who must know were told",
    MarkKind.MITIGATED: "The harm is over",
    MarkKind.NEWEST_DATA: "Newest data found",
    MarkKind.COMPLETE: "The check of completeness passed",
    MarkKind.USABLE: "Usable again",
}


def _note(turn: Turn, command: Command) -> None:
    # The command's own entry in the journal has the words.
    turn.answer(command, bool(command.reason.strip()), "Noted." if command.reason.strip() else "Say what.")


def _after_boot(turn: Turn, command: Command) -> None:
    """Attest the checks of a server that has booted; one that did not pass ends a rolling reboot."""
    way = next((one for one in turn.progress.targets if one.server_id == command.args.get("server")), None)
    if way is None or way.hit_at is None or not turn.plan.after_boot:
        turn.answer(command, False, "No checks after a boot wait for this server.")
        return
    if not any(
        one in turn.plan.after_boot for name in ("passed", "failed") for one in command.args.get(name, ())
    ):
        turn.answer(command, False, "Say which of the checks passed, or failed.")
        return
    passed = tuple(
        one for one in turn.plan.after_boot if one in command.args.get("passed", ()) or one in way.checked
    )
    failed = [one for one in turn.plan.after_boot if one in command.args.get("failed", ())]
    turn.update(way, checked=passed)
    name = turn.target(way.server_id).name
    if failed:
        says = (
            f"{name} did not pass after its reboot ({', '.join(failed)}): {command.by_name}. {command.reason}"
        )
        turn.end_early(Ending.NOT_COME_BACK, says.strip(), by=command.by)
        turn.answer(command, True, "No further server is rebooted.")
        return
    turn.answer(command, True, f"{len(passed)} of {len(turn.plan.after_boot)} checks passed for {name}.")


def _undone_by_hand(turn: Turn, command: Command) -> None:
    """Take somebody's word that a server is back, where looks could not show it: their name stands for it."""
    way = next((one for one in turn.progress.targets if one.server_id == command.args.get("server")), None)
    if way is None or way.phase is not TargetPhase.RETURNING:
        turn.answer(command, False, "Nothing of this server waits to be undone.")
    elif turn.people.status is not RunStatus.HALTED:
        turn.answer(command, False, "The portal is undoing it and looks whether it is back. Wait for that.")
    elif not command.reason.strip():
        turn.answer(command, False, "Say what was done, and how it was seen that it serves.")
    else:
        turn.update(way, phase=TargetPhase.BACK, back_at=turn.now, says="Back, by a person's word.")
        name = turn.target(way.server_id).name
        turn.note(
            "target_back_by_hand", f"{command.by_name}: {name} is back. {command.reason}", way.server_id
        )
        turn.answer(command, True, f"{name} counts as back, by your word.")


def _hard_reboot(turn: Turn, command: Command) -> None:
    """Have a server rebooted hard that did not come back from the drill's reboot: a person's decision, never the portal's."""
    way = next((one for one in turn.progress.targets if one.server_id == command.args.get("server")), None)
    if turn.plan.injection not in REBOOTS:
        turn.answer(command, False, "This drill reboots nothing.")
    elif way is None or way.phase is not TargetPhase.RETURNING:
        turn.answer(command, False, "This server is not waited for.")
    elif turn.people.status is not RunStatus.HALTED:
        turn.answer(
            command, False, "It may come back by itself still. Wait until the drill says that it does not."
        )
    elif way.wants_hard or (
        way.hard_at is not None and (turn.now - way.hard_at).total_seconds() < turn.plan.boot_limit_s
    ):
        turn.answer(command, False, "It is being rebooted hard already. Wait whether it comes back.")
    elif not command.reason.strip():
        turn.answer(command, False, "Say why: what its console shows.")
    else:
        turn.update(way, wants_hard=True, undo_from=turn.now, seen_away=False)
        name = turn.target(way.server_id).name
        turn.note(
            "target_hard_reboot",
            f"{command.by_name}: {name} is rebooted hard. {command.reason}",
            way.server_id,
        )
        turn.answer(command, True, f"{name} is rebooted hard now, and waited for anew.")


_ANSWERS: Mapping[str, Callable[[Turn, Command], None]] = {
    "stop": _stop,
    "abort": _stop,
    "real": _real,
    "undo_now": _undo_now,
    "step_done": _step_done,
    "step_skip": _step_skip,
    "mark": _mark,
    "note": _note,
    "after_boot": _after_boot,
    "undone_by_hand": _undone_by_hand,
    "hard_reboot": _hard_reboot,
}
