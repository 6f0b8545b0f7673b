"""What a halt asks: who is asked, until when, and what happens where nobody answers. Pure.

The answer to silence is the safest state (spec, *When it halts*): a node that drains serves again, nothing is deleted. What is
said here is what the machine does; `tests/scaledown/test_asking.py` waits as long as the sentence says and looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from portal.runs.types import HaltRank
from scaledown import late
from scaledown.progress import NodeState, Progress, ServerWay
from scaledown.put_backs import has_foreign_node
from scaledown.turn import GONE_AFTER_S
from scaledown.types import Phase
from scaledown.waits import PATIENCE_S
from scaledown.wording import Words


class Called(StrEnum):
    """Whom of the customer's a site in danger calls."""

    EMERGENCY = "emergency"
    """The emergency contacts."""
    APPROVERS = "approvers"
    """Who may decide: no emergency contact could be called."""
    NOBODY = "nobody"


@dataclass(frozen=True)
class Halted:
    """What is known of a halt beside the run's progress.

    `in_charge` is the name of who is in charge and still may be, `deleting` the id of a server whose deletion is on the wire
    or in doubt. `at` is when it halted: the machine counts from its next look where the engine had to halt the run.
    """

    rank: HaltRank
    now: datetime
    at: datetime | None = None
    window_end: datetime | None = None
    in_charge: str | None = None
    is_rehearsal: bool = False
    deleting: str = ""
    called: Called = Called.EMERGENCY


@dataclass(frozen=True)
class Question:
    """`asked` says who is asked, and when. `until` is when silence is taken for an answer; None: never.

    `otherwise` says what happens where nobody answers.
    """

    asked: Words
    until: datetime | None
    otherwise: Words


def question_of(progress: Progress, halted: Halted) -> Question:
    """Return what a run in this state asks, now that it has halted."""
    doubted = [way for way in progress.servers if _is_doubted(way, halted)]
    until, otherwise = _silence(progress, halted, doubted)
    rest = _deletions(progress, doubted)
    says, customer_says = (f"{one} {more}" for one, more in zip(otherwise, rest, strict=True))
    return Question(_asked(halted), until, Words(says, customer_says))


def _asked(halted: Halted) -> Words:
    who = halted.in_charge or "Nobody is in charge: the account's launch team"
    if halted.is_rehearsal:
        return Words(f"{who} is asked. This is a rehearsal: no customer is.", "Your launch team is asked.")
    if halted.rank is HaltRank.SITE_IN_DANGER:
        return _called(who, halted.called)
    if halted.rank is HaltRank.DECIDE_TODAY:
        return Words(
            f"{who} is asked now, the customer in working hours.",
            "Your launch team is asked now, you in working hours.",
        )
    return Words(f"{who} has a notice. Nobody is woken.", "Your launch team has a notice. Nobody is woken.")


def _called(who: str, called: Called) -> Words:
    if called is Called.EMERGENCY:
        return Words(
            f"{who} and the customer's emergency contacts are called now, in their order.",
            "Your launch team and your emergency contacts are called now, in their order.",
        )
    if called is Called.APPROVERS:
        return Words(
            f"{who} and the customer's approvers are called now: there is no emergency contact who could be.",
            "Your launch team and your approvers are called now: there is no emergency contact who could be.",
        )
    return Words(
        f"{who} is called now. There is nobody of the customer's who could be.",
        "Your launch team is called now. There is nobody of yours who could be.",
    )


def _is_doubted(way: ServerWay, halted: Halted) -> bool:
    """Whether nobody knows if this server is being deleted by this run; one that the provider accepted is no doubt."""
    if way.phase in _ACCEPTED or way.phase.is_gone:
        return False
    return way.server_id == halted.deleting or late.delete_lands_until(way, halted.now) is not None


_ACCEPTED = frozenset({Phase.DELETING, Phase.CONFIRMING})


def _deletions(progress: Progress, doubted: list[ServerWay]) -> Words:
    """Say what becomes of deletions that nothing stops any more, and that there is no other."""
    going = [way.name for way in progress.servers if way.phase in _ACCEPTED]
    unsure = [way.name for way in doubted]
    if not going and not unsure:
        return Words("Nothing is deleted.", "Nothing is deleted.")
    says, customer_says = [], []
    if going:
        # Not that it ends: what the provider accepts may be without effect.
        says.append(
            f"The deletion of {_names(going)} was accepted by the provider and cannot be taken back; it is not asked for again."
        )
        customer_says.append(f"The deletion of {_names(going)} was asked for and cannot be taken back.")
    if unsure:
        says.append(
            f"The deletion of {_names(unsure)} was sent, and may take effect still or have done so: it is looked for."
        )
        customer_says.append(f"It is not known yet whether {_names(unsure)} is being deleted: we look.")
    return Words(
        " ".join([*says, "Nothing else is deleted."]), " ".join([*customer_says, "Nothing else is deleted."])
    )


def _silence(progress: Progress, halted: Halted, doubted: list[ServerWay]) -> tuple[datetime | None, Words]:
    if progress.aborting:
        return None, Words(
            "No answer is waited for: the run is being aborted. What is out goes back as soon as that works, then the run ends.",
            "We wait for no answer: what is out of service goes back as soon as that works, then this ends.",
        )
    sure = [way for way in progress.servers if way not in doubted]
    back = [way.name for way in sure if way.put_back is not None]
    rest = [way for way in sure if way.put_back is None]
    drains = next((way for way in rest if way.phase in {Phase.DRAINING, Phase.REMOVING}), None)
    lost = [
        way.name for way in rest if way.phase.is_out_and_alive and _has_no_balancer(way, progress, halted)
    ]
    is_left = drains is not None and (drains.name in lost or has_foreign_node(drains))
    moves, stays = [], []
    until = None
    if back:
        moves.append(
            _same(
                f"{_names(back)} {_goes(back)} back into service by {_itself(back)} as soon as that works, whatever is answered."
            )
        )
    if drains is not None and not is_left:
        until = _goes_back_at(progress, drains, halted)
        moves.append(
            _same(f"Without an answer in time {drains.name} is put back into service, as soon as that works.")
        )
    if lost:
        stays.append(
            Words(
                f"for {_names(lost)} there is no load balancer any more to go back to.",
                f"{_names(lost)} cannot come back before {'its' if len(lost) == 1 else 'their'} load balancer does.",
            )
        )
    elif drains is not None and is_left:
        stays.append(_same(f"{drains.name} stays as another hand has left it, until a person has decided."))
    stays += _stay_out(
        [w.name for w in rest if w.phase.is_out_and_alive and w is not drains and w.name not in lost]
    )
    stays += _stay_unmade([way.name for way in sure if way.phase in {Phase.RECREATING, Phase.JOINING}])
    if not moves and not stays:
        return None, _same("Without an answer nothing changes. Nothing more is taken out of service.")
    lead = "" if moves else "Without an answer nothing changes: "
    said = [
        " ".join([*(w[one] for w in moves), *_sentences([w[one] for w in stays], lead)]) for one in (0, 1)
    ]
    return until, Words(*said)


def _sentences(parts: list[str], lead: str) -> list[str]:
    first = [f"{lead}{part}" for part in parts[:1]]
    return [part[:1].upper() + part[1:] for part in [*first, *parts[1:]]]


def _stay_out(names: list[str]) -> list[Words]:
    if not names:
        return []
    says = f"{_names(names)} {'stays' if len(names) == 1 else 'stay'} out of service and alive"
    them = "it is" if len(names) == 1 else "they are"
    return [Words(f"{says}, and {them} put back where the traffic needs it.", f"{says}, ready to come back.")]


def _stay_unmade(names: list[str]) -> list[Words]:
    if not names:
        return []
    return [
        Words(
            f"what was begun to create {_names(names)} anew stays at the provider, and takes no visitors.",
            f"{_names(names)} {'is' if len(names) == 1 else 'are'} not built anew for now.",
        )
    ]


def _has_no_balancer(way: ServerWay, progress: Progress, halted: Halted) -> bool:
    since = progress.balancers_missing_since
    return all(
        node.balancer_id in since and (halted.now - since[node.balancer_id]).total_seconds() >= GONE_AFTER_S
        for node in way.nodes
    )


def _goes_back_at(progress: Progress, way: ServerWay, halted: Halted) -> datetime | None:
    """Return when silence is taken for an answer: after a set time, or with the end of the window before that."""
    since = progress.stopped_at or halted.at
    if since is None:
        return None
    until = since + timedelta(seconds=PATIENCE_S)
    if halted.window_end is None or any(
        NodeState.ABSENT in {node.confirmed, node.asked} for node in way.nodes
    ):
        return until  # one of which a removal was sent is finished beyond the window (`machine.window_end`)
    lands = [node.lands_since for node in way.nodes if NodeState.ABSENT in node.late]
    ends = [at + timedelta(seconds=late.LATE_S) for at in lands if at is not None]
    return min(until, max([halted.window_end, since, *ends]))


def _same(says: str) -> Words:
    return Words(says, says)


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _goes(names: list[str]) -> str:
    return "goes" if len(names) == 1 else "go"


def _itself(names: list[str]) -> str:
    return "itself" if len(names) == 1 else "themselves"


__all__ = ["Called", "Halted", "Question", "question_of"]
