"""What a halt asks: who is asked, until when, and what happens where nobody answers. Pure.

The answer to silence is the safest state (spec, *When it halts*): a node that drains serves again, nothing is deleted. What is
said here is what the machine does; `tests/scaledown/test_asking.py` waits as long as the sentence says and looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from portal.runs.types import HaltRank
from scaledown.progress import Progress
from scaledown.put_backs import has_foreign_node
from scaledown.types import Phase
from scaledown.waits import PATIENCE_S
from scaledown.wording import Words


@dataclass(frozen=True)
class Question:
    """`asked` says who is asked, and when. `until` is when silence is taken for an answer; None: never.

    `otherwise` says what happens where nobody answers.
    """

    asked: Words
    until: datetime | None
    otherwise: Words


def question_of(progress: Progress, rank: HaltRank, *, in_charge: str | None, is_rehearsal: bool) -> Question:
    """Return what a run in this state asks, now that it has halted with this rank. `in_charge` is a name."""
    until, otherwise = _silence(progress)
    return Question(_asked(rank, in_charge, is_rehearsal=is_rehearsal), until, otherwise)


def _asked(rank: HaltRank, in_charge: str | None, *, is_rehearsal: bool) -> Words:
    who = in_charge or "Nobody is in charge: the account's launch team"
    if is_rehearsal:
        return Words(f"{who} is asked. This is a rehearsal: no customer is.", "Your launch team is asked.")
    if rank is HaltRank.SITE_IN_DANGER:
        return Words(
            f"{who} and the customer's emergency contacts are called now, in their order.",
            "Your launch team and your emergency contacts are called now, in their order.",
        )
    if rank is HaltRank.DECIDE_TODAY:
        return Words(
            f"{who} is asked now, the customer in working hours.",
            "Your launch team is asked now, you in working hours.",
        )
    return Words(f"{who} has a notice. Nobody is woken.", "Your launch team has a notice. Nobody is woken.")


def _silence(progress: Progress) -> tuple[datetime | None, Words]:
    back = [way.name for way in progress.servers if way.put_back is not None]
    if back:
        says = f"{_names(back)} {_goes(back)} back into service by {_itself(back)} as soon as that works, whatever is answered. Nothing is deleted."
        return None, Words(says, says)
    way = progress.in_flight
    if way is not None and way.phase in {Phase.DRAINING, Phase.REMOVING} and not has_foreign_node(way):
        since = progress.stopped_at
        until = None if since is None else since + timedelta(seconds=PATIENCE_S)
        says = f"Without an answer by then {way.name} is put back into service. Nothing is deleted."
        return until, Words(says, says)
    going = _in(progress, Phase.DELETING, Phase.CONFIRMING)
    if going:
        return None, Words(
            f"The provider ends the deletion of {_names(going)}, which it has accepted. Without an answer nothing else is deleted.",
            f"The deletion of {_names(going)} has begun and cannot be stopped. Nothing else is deleted.",
        )
    out = [way.name for way in progress.servers if way.phase.is_out_and_alive]
    if out:
        them = "it is" if len(out) == 1 else "they are"
        says = f"{_names(out)} {'stays' if len(out) == 1 else 'stay'} out of service and alive"
        return None, Words(
            f"Without an answer nothing changes: {says}, and {them} put back where the traffic needs it. Nothing is deleted.",
            f"Without an answer nothing changes: {says}, ready to come back. Nothing is deleted.",
        )
    return None, Words(
        "Without an answer nothing changes. Nothing more is taken out of service, nothing is deleted.",
        "Without an answer nothing changes. Nothing more is taken out of service, nothing is deleted.",
    )


def _in(progress: Progress, *phases: Phase) -> list[str]:
    return [way.name for way in progress.servers if way.phase in phases]


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _goes(names: list[str]) -> str:
    return "goes" if len(names) == 1 else "go"


def _itself(names: list[str]) -> str:
    return "itself" if len(names) == 1 else "themselves"


__all__ = ["Question", "question_of"]
