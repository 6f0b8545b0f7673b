"""The change lock of an account: what pipelines ask before they change anything, and how they keep others waiting.

An account is locked while a freeze, the provider's maintenance or somebody's change lock is in force, in a standstill, and
while a run has a server half-way through. Whoever takes the lock enters a short entry of the calendar, so that runs begin nothing as
long (a freeze, which a lead may override) and people see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from accounts.calendar.models import CalendarEntry, CalendarKind
from accounts.calendar.selectors import freezes_at
from accounts.calendar.services import LONGEST_LOCK, enter
from accounts.changes import check_no_pin
from accounts.members import lock_account
from accounts.models import Account, User
from portal.errors import Refused, StaleState
from portal.runs import registry
from portal.runs import services as runs
from portal.runs.models import Run
from portal.runs.types import RunStatus

MOVING = (RunStatus.RUNNING.value, RunStatus.ROLLING_BACK.value, RunStatus.GROWING.value)
MOST_LIVE = 50
RUN, STANDSTILL = "run", "standstill"


@dataclass(frozen=True)
class Lock:
    """One reason not to change anything: a kind of calendar entry, `run` or `standstill`. `until` None: not known."""

    kind: str
    says: str
    until: datetime | None = None


def locks_on(account: Account, at: datetime) -> list[Lock]:
    """Return why nothing of an account is to be changed at a moment: one reason of each kind, the one that lasts longest.

    Empty if nothing speaks against it. Three queries, or four.
    """
    found = list(
        {one.kind: Lock(one.kind, one.says, one.ends_at) for one in freezes_at(account, at)}.values()
    )
    live = Run.objects.filter(account=account, status__in=MOVING, is_rehearsal=False).order_by("pk")
    half_way = next((run for run in live[:MOST_LIVE] if _is_half_way(run)), None)
    if half_way is not None:
        # A run's title may name somebody, so it is not in the sentence.
        found.append(Lock(RUN, f"A run ({half_way.kind}) has a server half-way through."))
    scopes = (runs.EVERYWHERE, f"team:{account.team.ref}", f"account:{account.ref}")
    found += [Lock(STANDSTILL, one.says_to_all) for one in runs.standstills_for(scopes)[:1]]
    return found


def _is_half_way(run: Run) -> bool:
    known = registry.registered(run.kind)
    if run.status != RunStatus.RUNNING:
        return True
    return known is not None and known.is_half_way is not None and known.is_half_way(run)


@transaction.atomic
def take(account: Account, *, title: str, lasts: timedelta, actor: User) -> CalendarEntry:
    """Lock an account for a change of one's own; it ends by itself, or once it is called off.

    Raises StaleState while something else locks it, Refused for a time that is too long. Asked by two at once, one is refused.
    """
    if not timedelta(minutes=1) <= lasts <= LONGEST_LOCK:
        raise Refused("A change lock lasts from a minute to a day; longer is a freeze.", code="bad_times")
    check_no_pin(title)
    locked = lock_account(account)
    now = timezone.now()
    # Runs are held before it is looked whether one is half-way: a run that has looked for freezes already sends nothing more
    # before it has looked again.
    runs.facts_changed(
        says=f"A change lock was taken until {now + lasts:%Y-%m-%d %H:%M} UTC.", actor=actor, account=locked
    )
    there = locks_on(locked, now)
    if there:
        raise StaleState(
            f"It is locked already. {there[0].says} Nothing was changed: ask again later.",
            code="change_locked",
        )
    return enter(
        {
            "kind": CalendarKind.LOCK,
            "title": title,
            "starts_at": now,
            "ends_at": now + lasts,
            "time_zone": locked.time_zone,
        },
        actor=actor,
        account=locked,
        are_runs_held=True,
    )
