"""The rules that both stores share: pure functions over values, no database, no clock.

What a decision makes of a run, which entries the engine itself writes, how a doubt is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from portal.frozen import replace
from portal.runs.types import (
    RUN_MOVES,
    Action,
    Answer,
    Command,
    Decision,
    Entry,
    Halt,
    HaltRank,
    Outcome,
    OutcomeKind,
    RunStatus,
    RunView,
)

CHECK_MARGIN_S = 2.0
"""A lease must outlast a call's deadline by this much before the call is made (architecture.md, tick 4)."""

FAILURES_BEFORE_HALT = 3
FAILURES_UNWATCHED = 8
"""So many, two minutes at least by `retry_after_s`, leave a run that has halted before without anybody who watches it."""

SENT_BEFORE = "The intent was marked as sent or settled before; it must be read, never withdrawn."
NOT_SENT = "not_sent"
"""Code of an outcome: the change was surely not handed to the network."""
SET_ASIDE = "set_aside"
"""Code of an outcome: no look could tell whether the change happened, and something else could not wait."""

_BECAME: Mapping[RunStatus, tuple[str, str]] = {
    RunStatus.SCHEDULED: ("The run is scheduled.", "The work is scheduled."),
    RunStatus.RUNNING: ("The run goes on.", "The work goes on."),
    RunStatus.PAUSED: ("The run is paused.", "The work is paused by a person."),
    RunStatus.HALTED: ("The run has halted.", "Paused for safety."),
    RunStatus.ROLLING_BACK: ("The run is being undone.", "The work is being undone."),
    RunStatus.GROWING: ("The pool grows again.", "Servers come back."),
    RunStatus.COMPLETED: ("The run is complete.", "The work is done."),
    RunStatus.ABORTED: ("The run was aborted.", "The work was stopped here."),
    RunStatus.ROLLED_BACK: ("The run was undone.", "The work was undone."),
}


@dataclass(frozen=True)
class Applied:
    """What a decision makes of a run: new status and halt, and the entries to be written, in order."""

    status: RunStatus
    halt: Halt | None
    entries: tuple[Entry, ...]
    starts: bool
    is_over: bool
    halts: bool


def apply(status: RunStatus, halt: Halt | None, decision: Decision, *, started: bool) -> Applied:
    """Return what `decision` makes of a run in `status`. Raises ValueError for a move that is not allowed.

    A halt in the decision halts the run; every other new status clears the halt.
    """
    became = decision.status or (RunStatus.HALTED if decision.halt is not None else status)
    if became is not status and became not in RUN_MOVES[status]:
        raise ValueError(f"A run cannot go from {status} to {became}.")
    if decision.halt is not None and became is not RunStatus.HALTED:
        raise ValueError(f"A decision with a halt cannot make the run {became}.")
    new_halt = (decision.halt or halt) if became is RunStatus.HALTED else None
    if became is RunStatus.HALTED and new_halt is None:
        raise ValueError("A run that halts must say why.")
    starts = became is RunStatus.RUNNING and not started
    entries = list(decision.journal)
    if new_halt is not None and new_halt != halt:
        entries.append(halt_entry(new_halt))
    elif became is not status:
        entries.append(_status_entry(status, became, starts=starts))
    return Applied(
        status=became,
        halt=new_halt,
        entries=tuple(entries),
        starts=starts,
        is_over=became.is_over,
        halts=became is RunStatus.HALTED and new_halt != halt,
    )


def _status_entry(was: RunStatus, became: RunStatus, *, starts: bool) -> Entry:
    says, customer_says = _BECAME[became]
    if starts:
        says, customer_says = "The run has started.", "The work has started."
    return Entry("status", says, customer_says, detail={"was": was.value, "became": became.value})


MOST_WRITING_S = 0.25
"""The most that writing a decision down may bring the next look forward: more is a clock that was set."""


def due_in_s(look_again_s: float, passed_s: float) -> float:
    """Return in how many seconds a look is due that was wanted `look_again_s` after a decision `passed_s` ago.

    A wait counts from the moment that was judged, not from when it is written. A clock that was set between the two
    neither puts the look off nor brings it forward by more than `MOST_WRITING_S`.
    """
    return max(0.0, look_again_s - min(MOST_WRITING_S, max(0.0, passed_s)))


def may_keep(view: RunView, decision: Decision) -> bool:
    """Return whether a worker may look at a run again under the lease in hand: nothing happened that others have a say in."""
    return (
        view.status is RunStatus.RUNNING
        and decision.status is None
        and decision.halt is None
        and not decision.reads_facts
        and not decision.answers
        and not view.commands
        and view.standstill is None
    )


TURN_S = 15.0
"""How long a patient run is looked at like any other once it was taken: what it begins may need several looks."""
LATE_S = 0.5
"""A worker that takes a run later than this has more to look at than it can,"""
BEHIND_S = 5.0
"""for so long."""


def late_s(late_s: float, left_at: datetime | None, now: datetime) -> float:
    """Return for how much of its lateness a run could have been claimed: until `left_at` it was in the hands of a worker that died.

    Who takes over from it has no more to look at than it can.
    """
    return late_s if left_at is None else min(late_s, max(0.0, (now - left_at).total_seconds()))


def has_turn(turn_at: datetime | None, now: datetime) -> bool:
    """Return whether a run that was taken then, after it had waited for others, has its turn still."""
    return turn_at is not None and 0.0 <= (now - turn_at).total_seconds() < TURN_S


def is_patient(view: RunView, decision: Decision) -> bool:
    """Return whether a run waits until those have been looked at of which something is out.

    People who said something are never kept waiting, nor is what was in doubt, or sent.
    """
    return (
        decision.is_patient
        and decision.action is None
        and decision.halt is None
        and view.doubt is None
        and len(decision.answers) >= len(view.commands)
        and not view.has_turn
    )


def halt_entry(halt: Halt) -> Entry:
    """Return the journal's line for a halt."""
    return Entry(
        "halted",
        halt.says,
        halt.customer_says,
        detail={"code": halt.code, "rank": halt.rank.value, "next_commands": list(halt.next_commands)},
    )


def intent_entry(action: Action, intent_id: int) -> Entry:
    """Return the line written before a change is sent (invariant 7)."""
    return Entry(
        "intent",
        action.says,
        f"The next change: {_for_customer(action)}.",
        subject=action.target,
        detail={"intent": intent_id, "action": action.name, "args": dict(action.args)},
    )


_OUTCOME_SAYS: Mapping[OutcomeKind, str] = {
    OutcomeKind.DONE: "Done",
    OutcomeKind.WITHHELD: "Would have been done (rehearsal)",
    OutcomeKind.TRY_LATER: "Not done yet, tried again later",
    OutcomeKind.REFUSED: "Refused by the provider",
    OutcomeKind.FAILED: "Failed",
    OutcomeKind.IN_DOUBT: "In doubt: it may have happened, and is read before anything else is sent",
    OutcomeKind.NOT_APPLIED: "Did not happen",
}
_OUTCOME_CUSTOMER_SAYS: Mapping[OutcomeKind, str] = {
    OutcomeKind.DONE: "Your provider took the change: {what}.",
    OutcomeKind.WITHHELD: "A rehearsal, nothing is changed: {what}.",
    OutcomeKind.TRY_LATER: "Your provider is busy, we try again in a moment: {what}.",
    OutcomeKind.REFUSED: "Your provider did not take the change, we look into it: {what}.",
    OutcomeKind.FAILED: "The change did not work, we look into it: {what}.",
    OutcomeKind.IN_DOUBT: "We got no answer and check whether the change was made: {what}.",
    OutcomeKind.NOT_APPLIED: "The change was not made: {what}.",
}

_SET_ASIDE_SAYS = "Not known, and set aside; it may still take effect, and is watched"
_SET_ASIDE_CUSTOMER_SAYS = "It is not known yet whether this change was made, we go on watching it: {what}."


def _for_customer(action: Action) -> str:
    return action.customer_says or "one step of this work"


def outcome_entry(action: Action, outcome: Outcome, intent_id: int) -> Entry:
    """Return the line written after a change was sent, or was surely not sent (invariant 7)."""
    is_set_aside = outcome.code == SET_ASIDE
    says = f"{_SET_ASIDE_SAYS if is_set_aside else _OUTCOME_SAYS[outcome.kind]}: {action.says}"
    if outcome.by_reading:
        says += " Two looks at the provider show it."
    if outcome.says:
        says += f" {outcome.says}"
    customer_words = _SET_ASIDE_CUSTOMER_SAYS if is_set_aside else _OUTCOME_CUSTOMER_SAYS[outcome.kind]
    customer_says = customer_words.format(what=_for_customer(action))
    if outcome.by_reading and outcome.kind is OutcomeKind.DONE:
        customer_says = f"We looked twice: the change was made: {_for_customer(action)}."
    return Entry(
        "in_doubt" if outcome.kind is OutcomeKind.IN_DOUBT else "outcome",
        says,
        customer_says,
        subject=action.target,
        detail={
            "intent": intent_id,
            "action": action.name,
            "outcome": outcome.kind.value,
            "code": outcome.code,
            "by_reading": outcome.by_reading,
            **({"detail": dict(outcome.detail)} if outcome.detail else {}),
        },
    )


_SAID = {"mark": "a moment on the time axis", "note": "a note"}
"""What a command is called in a sentence, where its name with spaces is no good word for it."""


def _called(name: str) -> str:
    return _SAID.get(name, name.replace("_", " "))


def command_entry(name: str, reason: str, args: Mapping[str, Any], by_name: str, on_the_wire: str) -> Entry:
    """Return the line for a command as it was given."""
    says = f"{by_name} asked: {_called(name)}."
    if reason:
        says += f" Reason: {reason}"
    if on_the_wire:
        says += f" On the wire at that moment: {on_the_wire}"
    return Entry("command", says, subject=name, detail={"name": name, "args": dict(args), "reason": reason})


def answer_entry(command: Command, answer: Answer) -> Entry:
    """Return the line for what became of a command."""
    word = "Accepted" if answer.accepted else "Refused"
    return Entry(
        "command_accepted" if answer.accepted else "command_refused",
        f"{word}: {_called(command.name)}. {answer.says}".strip(),
        subject=command.name,
        detail={"command": command.seq, "name": command.name, "by": command.by_name},
    )


def over_answers(open_commands: tuple[Command, ...], answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
    """Return answers for the commands that a run leaves unanswered at its end: none is left hanging."""
    answered = {answer.command_id for answer in answers}
    return tuple(
        Answer(command.id, False, "The run is over; nothing more can be done with it.")
        for command in open_commands
        if command.id not in answered
    )


def internal_halt(failures: int, code: str = "internal_error") -> Halt:
    """Return the halt of a run whose ticks keep failing through no fault of provider or people."""
    if code == "cannot_look":
        return Halt(
            code=code,
            rank=HaltRank.DECIDE_TODAY,
            says=(
                f"The provider could not be looked at {failures} times in a row, so the run stopped. Nothing"
                " new begins; what has to go back goes back. The run keeps looking; resume it when the provider answers again."
            ),
            customer_says="Paused for safety: the cloud does not answer. Nothing for you to do.",
            next_commands=("resume", "abort"),
        )
    return Halt(
        code=code,
        rank=HaltRank.DECIDE_TODAY,
        says=(
            f"The portal itself failed {failures} times in a row on this run, so it stopped. Nothing new"
            " begins; what has to go back goes back. The servers are as the journal shows them. Tell the operator of the portal, then resume."
        ),
        customer_says="Paused for safety: a fault in the portal. Your launch manager is looking at it.",
        next_commands=("resume", "abort"),
    )


UNWATCHED = " Nothing watches over it: "
"""What stands between why a run halted and what came since."""


def failing_halt(failures: int, code: str, standing: Halt | None, at: datetime) -> Halt | None:
    """Return how a run halts whose ticks failed so often in a row, None where there is nothing to say (anew).

    One that halted before keeps why, and what people are asked; that nobody watches over it any more is said as well,
    at least as something to be decided today, until a look shows again why it halted.
    """
    if standing is None:
        return internal_halt(failures, code) if failures >= FAILURES_BEFORE_HALT else None
    is_said = standing.code in {"cannot_look", "internal_error"} or UNWATCHED in standing.says
    if is_said or failures < FAILURES_UNWATCHED:
        return None
    failed = (
        "the provider could not be looked at" if code == "cannot_look" else "the portal itself failed on it"
    )
    rank = standing.rank if standing.rank is HaltRank.SITE_IN_DANGER else HaltRank.DECIDE_TODAY
    says = f"{standing.says}{UNWATCHED}at {at:%Y-%m-%d %H:%M} UTC {failed} {failures} times in a row. The run keeps trying."
    return replace(standing, rank=rank, says=says)


def doubt_halt(action: Action, since_s: float) -> Halt:
    """Return the halt of a run whose doubt could not be read for long."""
    return Halt(
        code="in_doubt",
        rank=HaltRank.DECIDE_TODAY,
        says=(
            f"An answer was lost and for {int(since_s)} s no look could tell whether this happened:"
            f" {action.says} Nothing more is sent until it is known, but what puts servers back. The run keeps"
            " looking."
        ),
        customer_says="Paused for safety: we check whether our last change was made.",
        next_commands=("resume", "abort"),
    )


def retry_after_s(failures: int) -> float:
    """Return how long to wait after `failures` failed ticks in a row: 1, 2, 4 … 60 s."""
    return float(min(60, 2 ** max(0, failures - 1)))


def settled_after(lease_until: datetime, deadline_s: float) -> datetime:
    """Return from when on a change that was in doubt can no longer be under way."""
    return lease_until + timedelta(seconds=deadline_s)


def agreed(looks: tuple[bool, ...], look: bool | None) -> tuple[tuple[bool, ...], bool | None]:
    """Return (looks to remember, what is settled or None) after one more look at a doubtful change.

    Two agreeing looks in a row settle it. A look that cannot tell (None) changes nothing; one that differs
    starts the count again.
    """
    if look is None:
        return looks, None
    if looks and looks[-1] is look:
        return (*looks, look), look
    return (look,), None


def action_to_json(action: Action) -> dict[str, Any]:
    """Return an action as it is stored with its intent."""
    return {
        "name": action.name,
        "target": action.target,
        "says": action.says,
        "args": dict(action.args),
        "is_put_back": action.is_put_back,
        "customer_says": action.customer_says,
    }


def action_from_json(stored: Mapping[str, Any]) -> Action:
    """Return the action that a stored intent meant."""
    return Action(
        name=stored["name"],
        target=stored["target"],
        says=stored["says"],
        args=stored["args"],
        is_put_back=stored["is_put_back"],
        customer_says=stored.get("customer_says", ""),  # an intent of an earlier release has none
    )
