"""Waiting for the provider, within bounds: for a balancer to take changes, for a change to show. Pure."""

from __future__ import annotations

from datetime import datetime

from portal.cloud.types import BalancerStatus
from portal.runs.types import HaltRank
from scaledown import late, wording
from scaledown.progress import NodeWay, ServerWay
from scaledown.turn import LOOK_RESTING_S, Turn
from scaledown.types import BalancerSeen
from scaledown.wording import Words

BALANCER_BUSY_S = 600.0
BALANCER_ERROR_S = 900.0
EFFECT_S = 5.0
"""An accepted change that a writable balancer does not show after this had no effect."""
MOST_TRIES = 3
TROUBLE_S = 600.0
LOOK_FROZEN_S = 5.0
PATIENCE_S = 900.0
"""How long a draining node waits for a person's answer before it is enabled again."""


def awaits_somebody(turn: Turn) -> bool:
    """Wait while nobody is in charge, unless the plan runs unattended: no server begins then."""
    if turn.facts.in_charge is not None or turn.plan.is_unattended:
        return False
    return turn.wait("in_charge", wording.nobody_in_charge(), look_again_s=LOOK_RESTING_S)


def await_balancer(
    turn: Turn, way: ServerWay, balancer: BalancerSeen, *, asked_at: datetime | None = None
) -> bool:
    """Wait for a balancer to take changes, within bounds (provider reference, section 9).

    `asked_at` is when it was last asked for one, where that is what it is busy with.
    """
    status = balancer.status
    words = wording.balancer_waits(balancer.name, status)
    if status in {BalancerStatus.PENDING_UPDATE, BalancerStatus.BUILD, BalancerStatus.UNKNOWN}:
        turn.tell(way, wording.applying(way.name, balancer.name))
        soon_s = turn.soon_s(asked_at)
        return turn.wait("balancer", words, limit_s=BALANCER_BUSY_S, look_again_s=soon_s)
    if status is BalancerStatus.ERROR:
        return turn.wait("balancer_error", words, limit_s=BALANCER_ERROR_S, look_again_s=LOOK_RESTING_S)
    return turn.halt("balancer_not_writable", HaltRank.DECIDE_TODAY, words)


def await_effect(turn: Turn, way: ServerWay, node: NodeWay) -> bool:
    """Wait until a look shows what was asked for; a writable balancer that never does had not applied it."""
    balancer = turn.observation.balancers[node.balancer_id]
    if balancer.status is not BalancerStatus.ACTIVE:
        return await_balancer(turn, way, balancer, asked_at=node.asked_at)
    if turn.age_s(node.asked_at) <= EFFECT_S:
        words = wording.applying(way.name, balancer.name)
        turn.tell(way, words)
        return turn.wait("effect", words, look_again_s=turn.soon_s(node.asked_at))
    tries = node.tries
    node = node.may_still_land()
    turn.update_node(way, node, asked=node.confirmed, late=node.late, late_at=node.late_at)
    if tries >= MOST_TRIES and way.put_back is not None:
        # It is tried on all the same: the site may need this server.
        why = f"{balancer.name} accepted it {tries} times and shows no effect."
        words = wording.cannot_put_back(way.name, why)
        return turn.halt("cannot_put_back", late.rank_of(turn), words, ("abort",))
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


def is_frozen(turn: Turn) -> bool:
    """A freeze is in force that nobody overrode: no server begins and none is brought to its end before it is over."""
    if turn.people.is_rehearsal:
        return False
    if not turn.facts.is_freeze_read:
        return turn.ask_freeze()
    if not turn.facts.freeze:
        return False
    if turn.facts.is_worse:
        words = wording.worse(turn.facts.freeze)
        commands = ("resume", "put_back", "abort", "finish_here")
        return turn.halt("worse_than_approved", HaltRank.DECIDE_TODAY, words, commands)
    words = wording.frozen(turn.facts.freeze, ends=turn.facts.freeze_until is not None)
    return turn.wait("freeze", words, until=turn.facts.freeze_until, look_again_s=LOOK_FROZEN_S)


def is_held_off(turn: Turn) -> bool:
    """The provider asked to come back later: nothing but putting back is sent before that."""
    retry_at = turn.progress.retry_at
    if retry_at is None or turn.now >= retry_at:
        return False
    says = turn.progress.refusal_says or "The provider is busy."
    return turn.wait("provider", wording.busy(says), until=retry_at)
