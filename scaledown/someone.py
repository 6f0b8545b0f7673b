"""Plans that ask for somebody to call: whether there is somebody, at the start and each time that a run goes on."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from accounts.contacts.selectors import can_begin
from portal.errors import Refused
from portal.runs.models import Run
from scaledown.models import Plan

if TYPE_CHECKING:
    from accounts.models import Account

BEGINS = "This plan begins only while there is somebody to call."
GOES_ON = "This run goes on only while there is somebody to call."
_WHAT_HELPS = "Prove and confirm the contacts, or have a lead let it begin (Contacts, Coverage)."


def missing(account: Account, at: datetime, rule: str) -> str:
    """Return why nobody could be called at a moment, after the rule that asks; "" where somebody can, or a lead lets it.

    At most seven queries. The sentences name nobody.
    """
    found = can_begin(account, at)
    if found.is_allowed:
        return ""
    return " ".join([rule, *(gap.says for gap in found.gaps), _WHAT_HELPS])


def check_start(account: Account, at: datetime) -> None:
    """Raise Refused where nobody could be called at the moment at which a run would begin."""
    says = missing(account, at, BEGINS)
    if says:
        raise Refused(f"{says} Nothing was started.", code="nobody_to_call")


def holding(run: Run, at: datetime) -> str:
    """Return why a run may not go on for want of somebody to call, or "". One query where its plan does not ask."""
    if run.is_rehearsal:
        return ""
    inputs = Plan.objects.filter(ref=run.plan_ref).values_list("inputs", flat=True).first() or {}
    return missing(run.account, at, GOES_ON) if inputs.get("needs_contacts") else ""


def check_going_on(run: Run, at: datetime) -> None:
    """Raise Refused where a person would let a run go on while nobody could be called."""
    says = holding(run, at)
    if says:
        raise Refused(f"{says} Nothing was sent.", code="nobody_to_call")
