"""Keeping the projection of how every account stands: written by a periodic task, in slices, safe to repeat."""

from __future__ import annotations

import time
from datetime import datetime

import structlog
from django.db import transaction

from accounts.facts import ask, facts, risk_of
from accounts.models import Account, AccountStatus
from accounts.reviews.models import Standing, StandingLook

log = structlog.get_logger(__name__)
SLICE = 500
_KEPT = ("grade", "risk", "says", "rule", "since", "observed_at", "expires_at")


def look_at_all(now: datetime) -> int:
    """Look at every active account, and keep what is not green; return how many accounts. Archived ones have no rows.

    A row is written only where something turned, so that a calm portal writes next to nothing.
    """
    began = time.monotonic()
    Standing.objects.exclude(account__status=AccountStatus.ACTIVE).delete()
    pks = list(
        Account.objects.filter(status=AccountStatus.ACTIVE).order_by("pk").values_list("pk", flat=True)
    )
    for start in range(0, len(pks), SLICE):
        _look_at_each(pks[start : start + SLICE], now)
    took = time.monotonic() - began
    StandingLook.objects.update_or_create(
        pk=1, defaults={"at": now, "accounts": len(pks), "took_s": round(took, 3)}
    )
    return len(pks)


def _look_at_each(pks: list[int], now: datetime) -> None:
    """Look at some accounts. One that cannot be looked at is logged as the bug that it is, and keeps no other from it."""
    try:
        look_at(pks, now)
    except Exception:
        if len(pks) == 1:
            log.exception("account_not_looked_at", account=pks[0])
            return
        half = len(pks) // 2
        _look_at_each(pks[:half], now)
        _look_at_each(pks[half:], now)


@transaction.atomic
def look_at(pks: list[int], now: datetime) -> None:
    """Look at some accounts and keep how they stand."""
    known = {fact.key: fact for fact in facts()}
    found = ask(Account.objects.filter(pk__in=pks), now)
    held = {(row.account_id, row.key): row for row in Standing.objects.filter(account__in=pks)}
    fresh, turned, gone = [], [], []
    for pk, findings in found.items():
        for key, finding in findings.items():
            row = held.pop((pk, key), None)
            if finding.is_good:
                if row is not None:
                    gone.append(row.pk)
                continue
            values = {
                "grade": finding.grade.value,
                "risk": risk_of(known[key], finding),
                "says": finding.says,
                "rule": finding.rule,
                "observed_at": finding.observed_at,
                "expires_at": finding.expires_at,
            }
            if row is None:
                fresh.append(Standing(account_id=pk, key=key, since=now, **values))
                continue
            # That a look was made just now is no news of the account.
            told = {name: value for name, value in values.items() if name != "observed_at"}
            if any(getattr(row, name) != value for name, value in told.items()):
                since = row.since if row.grade == values["grade"] else now
                for name, value in {**values, "since": since}.items():
                    setattr(row, name, value)
                turned.append(row)
    # What nobody knows any more: a fact that is no longer registered.
    gone += [row.pk for row in held.values()]
    Standing.objects.filter(pk__in=gone).delete()
    Standing.objects.bulk_create(fresh, ignore_conflicts=True, batch_size=1000)
    Standing.objects.bulk_update(turned, _KEPT, batch_size=500)
