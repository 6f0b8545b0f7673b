"""What an account must have in contacts, and a lead's decision to go on all the same: each on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.changes import check_active
from accounts.contacts import coverage
from accounts.contacts.models import CoverageOverride, CoverageRules
from accounts.contacts.selectors import can_begin
from accounts.members import lock_account
from accounts.models import Account, User
from portal.access import Permission, permissions_on
from portal.audit.services import record
from portal.audit.subjects import Sealer, named
from portal.errors import NotPermitted, Refused
from portal.events.services import emit

LONGEST_OVERRIDE = timedelta(days=14)


@transaction.atomic
def set_coverage(
    account: Account, *, preset: str = "", rules: Sequence[Mapping[str, Any]] | None = None, actor: User
) -> CoverageRules:
    """Choose a preset, or give rules of one's own; one of the two. Raises Refused for others."""
    lock_account(account)
    check_active(account)
    if preset and preset not in coverage.PRESETS:
        raise Refused(
            f"A preset is one of {', '.join(coverage.PRESETS)}. Nothing was kept.", code="no_preset"
        )
    if bool(preset) == (rules is not None):
        raise Refused("Choose a preset or give rules, one of the two. Nothing was kept.", code="bad_rule")
    own = [] if rules is None else coverage.kept(coverage.rules_of(rules))
    before = CoverageRules.objects.filter(account=account).first()
    was = (
        {"preset": before.preset, "rules": before.rules}
        if before
        else {"preset": coverage.DEFAULT, "rules": []}
    )
    row, _ = CoverageRules.objects.update_or_create(
        account=account, defaults={"preset": preset, "rules": own}
    )
    record(
        "coverage.changed",
        actor=actor,
        account=account,
        subject=account,
        before=was,
        after={"preset": preset, "rules": own},
    )
    emit("coverage.changed", account=account, subject=account, data={"preset": preset}, actor=actor)
    return row


@transaction.atomic
def give_override(account: Account, *, reason: str, expires_at: datetime, actor: User) -> CoverageOverride:
    """Let runs and drills of an account begin although somebody is missing, until a moment. Stays on the record.

    Raises NotPermitted unless the actor may override there, Refused without a reason, for more than 14 days, and where
    nothing is missing.
    """
    if Permission.OVERRIDE not in permissions_on(actor, account):
        raise NotPermitted("Only a lead of the team may override what blocks.", code="no_right")
    lock_account(account)
    check_active(account)
    now = timezone.now()
    reason = " ".join(reason.split())
    if not reason:
        raise Refused(
            "Say why it may begin all the same: the reason stays on the record.", code="reason_missing"
        )
    if not now < expires_at <= now + LONGEST_OVERRIDE:
        raise Refused("An override ends within 14 days from now.", code="bad_end")
    found = can_begin(account, now)
    if not found.gaps:
        raise Refused("Nothing is missing, so there is nothing to override.", code="nothing_missing")
    sealer = Sealer([actor], if_known=account.contacts.all()[:200])
    row = CoverageOverride.objects.create(
        account=account,
        reason=sealer.text(reason[:1000]),
        at=now,
        expires_at=expires_at,
        by_ref=str(actor.ref),
        by_name=named(actor),
        gaps=[gap.code for gap in found.gaps],
    )
    record(
        "coverage.overridden",
        actor=actor,
        account=account,
        subject=account,
        after={"expires_at": expires_at, "gaps": row.gaps},
        reason=reason,
        people=list(account.contacts.all()[:200]),
    )
    emit(
        "coverage.overridden",
        account=account,
        subject=row,
        data={"expires_at": expires_at.isoformat(), "gaps": row.gaps},
        actor=actor,
    )
    return row


@transaction.atomic
def end_override(override: CoverageOverride, *, actor: User) -> CoverageOverride:
    """Take an override back before it ends. A repeat changes nothing. Raises NotPermitted, as giving one does."""
    account = override.account
    if Permission.OVERRIDE not in permissions_on(actor, account):
        raise NotPermitted("Only a lead of the team may take an override back.", code="no_right")
    lock_account(account)
    now = timezone.now()
    if CoverageOverride.objects.filter(pk=override.pk, ended_at__isnull=True, expires_at__gt=now).update(
        ended_at=now
    ):
        record("coverage.override_ended", actor=actor, account=account, subject=account)
        emit("coverage.override_ended", account=account, subject=override, actor=actor)
    return CoverageOverride.objects.get(pk=override.pk)
