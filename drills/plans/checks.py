"""What has to be done before a drill begins: what the portal sees itself, and what somebody says with name and time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from drills.scenarios.types import DrillKind, Environment
from drills.types import DrillPlan

if TYPE_CHECKING:
    from drills.plans.models import Drill

GOOD_FOR = timedelta(hours=24)
"""What was attested longer ago than this is said anew."""


@dataclass(frozen=True)
class Check:
    """One thing that a person attests. `words` says what they write down with it, where they must."""

    key: str
    title: str
    says: str
    needs_words: bool = False
    words: str = ""


CHECKS = {
    one.key: one
    for one in (
        Check(
            "alarms_on",
            "The alarms that should notice it are on",
            "Nobody has suppressed them for the drill: whether they notice is what it shows.",
        ),
        Check(
            "support_told",
            "The provider's support was told",
            "They know day, hour and servers, and call nobody out for it.",
            needs_words=True,
            words="the number of the ticket",
        ),
        Check(
            "desk_told",
            "The customer's own monitoring and service desk were told",
            "Those who would otherwise begin a real incident know; who is to react does not learn of it by this.",
        ),
        Check(
            "carries_load",
            "The pool carries its present load without the targets",
            "Somebody looked at the load just now, and at what one server carries.",
            needs_words=True,
            words="the load and what the rest carries",
        ),
        Check(
            "copy_apart",
            "What is restored goes to a place of its own",
            "Nothing is restored onto the live data.",
        ),
        Check(
            "away_from_peak",
            "It is away from the hours of the highest traffic",
            "The forecast of the coming days was looked at.",
        ),
    )
}


def needed(plan: DrillPlan) -> tuple[str, ...]:
    """Return the keys of what is attested for a drill, in their order."""
    if plan.kind is DrillKind.TABLE_TOP:
        return ()
    found = ["alarms_on"]
    if plan.environment is Environment.PRODUCTION:
        found += ["support_told", "desk_told", "away_from_peak"]
    if plan.hits:
        found.append("carries_load")
    if plan.hypothesis.data_lost_s is not None:
        found.append("copy_apart")
    return tuple(one for one in CHECKS if one in found)


def unattested(drill: Drill, plan: DrillPlan, now: datetime, but: Collection[str] = ()) -> list[str]:
    """Return what nobody has attested within a day, each as a sentence, `but` what the portal knows itself. One query."""
    said = set(drill.attestations.filter(at__gt=now - GOOD_FOR).values_list("check_key", flat=True))
    return [
        f"Not attested: {CHECKS[one].title}." for one in plan.attested if one not in said and one not in but
    ]
