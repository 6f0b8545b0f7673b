"""Traffic events as people enter them: added, changed, called off. Each change is one function, in one transaction.

add_event(account, name="Autumn launch", starts_at=…, ends_at=…, actor=user, contacts=[…], has_freeze=True)
change_event(event, {"ends_at": …}, actor=user)                remove_event(event, actor=user)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import ProtectedError
from django.db.models.deletion import Collector
from django.utils import timezone

from accounts.calendar.models import CalendarEntry, CalendarKind
from accounts.calendar.services import LONGEST_TITLE, cancel_entry, change_entry, enter
from accounts.changes import check_active, check_no_pin
from accounts.facts import plural
from accounts.members import lock_account
from accounts.models import Contact
from capacity.models import TrafficEvent
from capacity.reports.detected import let_go
from capacity.reports.short import judge_account
from portal.access import Permission, can
from portal.audit.services import record, snapshot
from portal.errors import NotPermitted, Refused, StaleState
from portal.events.services import emit
from portal.rows import check_row
from portal.runs import services as runs

if TYPE_CHECKING:
    from accounts.models import Account, User

MOST_CONTACTS = 40
MOST_FREEZE_H = 14 * 24
FIXED_ONCE_OVER = (
    "starts_at",
    "ends_at",
    "contacts",
    "has_freeze",
    "freeze_hours_before",
    "freeze_hours_after",
)
ENDS_FREEZE = ("has_freeze", "freeze_hours_after")
MOVES_FREEZE = frozenset(FIXED_ONCE_OVER) - {"contacts"} | {"name"}


@transaction.atomic
def add_event(
    account: Account, *, name: str, starts_at: datetime, ends_at: datetime, actor: User | None, **fields: Any
) -> TrafficEvent:
    """Note a traffic event, planned or past; `fields` as for `change_event`."""
    locked = lock_account(account)
    check_active(locked)
    row = TrafficEvent(account=locked, entered_by=actor)
    _write(row, {"name": name, "starts_at": starts_at, "ends_at": ends_at, **fields}, actor)
    _record("event.added", row, actor, after=_seen(row))
    judge_account(locked)
    return row


def locked_event(event: TrafficEvent) -> TrafficEvent:
    """Return the event as it is now, locked until the transaction ends. Raises StaleState where it was called off."""
    lock_account(event.account)
    rows = TrafficEvent.objects.select_for_update(of=("self",)).select_related("account")
    row = rows.filter(pk=event.pk).first()
    if row is None:
        raise StaleState(f"“{event}” was called off meanwhile, so nothing was kept.", code="event_removed")
    return row


def check_event_seen(event: TrafficEvent, seen: str) -> None:
    """Raise StaleState where the event is another by now than the one that was seen; the sentence tells it."""
    row = locked_event(event)
    if seen != row.updated_at.isoformat():
        multiple = (
            "nobody said how large"
            if row.expected_multiple is None
            else f"{row.expected_multiple:g} times normal"
        )
        raise StaleState(
            f"Somebody changed this meanwhile, so nothing was kept. Now it is “{row}”, {row.starts_at:%Y-%m-%d %H:%M} to "
            f"{row.ends_at:%Y-%m-%d %H:%M} UTC, {multiple}. "
            "Below stands what you typed: correct it, then press “Keep it” again to put it in place of that.",
            code="event_changed",
        )


@transaction.atomic
def change_event(event: TrafficEvent, changes: Mapping[str, Any], *, actor: User | None) -> TrafficEvent:
    """Change what is said of an event: its own fields, `contacts` (rows of the account), `has_freeze`.

    What happened already can be corrected in name, multiple, peak and source, and a freeze that still lasts ends when somebody
    says so. Raises Refused for more than that, NotPermitted where the calendar would change by it and the actor may not change that.
    """
    row = locked_event(event)
    check_active(row.account)
    before, fixed, when = _seen(row), fixed_of(row), (row.starts_at, row.ends_at)
    _check_fixed(row, changes, fixed)
    _write(row, changes, actor, keeps_freeze="has_freeze" in fixed)
    if when != (row.starts_at, row.ends_at):
        let_go(row)
        row.refresh_from_db(fields=["observed_peak_rps", "is_peak_measured", "updated_at"])
    after = _seen(row)
    if before != after:
        _record("event.changed", row, actor, before=before, after=after)
        judge_account(row.account)
    return row


@transaction.atomic
def remove_event(event: TrafficEvent, *, actor: User | None) -> None:
    """Call an event off, and its freeze with it. Raises Refused where something rests on it, with what that is."""
    row = locked_event(event)
    check_active(row.account)
    _check_nothing_rests(row)
    before = _seen(row)
    let_go(row, is_off=True)
    _keep_freeze(row, False, actor)
    _record("event.removed", row, actor, before=before)
    row.delete()
    judge_account(event.account)


def _check_nothing_rests(row: TrafficEvent) -> None:
    """Raise Refused where plans, scale-up records or what was measured would be without their event."""
    said = []
    try:
        Collector(using=DEFAULT_DB_ALIAS).collect([row])
    except ProtectedError as kept:
        kinds = Counter(str(one._meta.verbose_name) for one in kept.protected_objects)
        said = [plural(count, kind.replace("scale up", "scale-up")) for kind, count in sorted(kinds.items())]
    # What the portal itself took for it is something else then.
    if stretches := row.detected.exclude(decided_by=None).count():
        said.append(plural(stretches, "detected stretch", "detected stretches"))
    if not said:
        return
    rest = "rests" if len(said) == 1 and said[0].startswith("1 ") else "rest"
    its_freeze = ", and its freeze" if row.freeze_id else ""
    instead = (
        _corrected(fixed_of(row))
        if row.ends_at <= timezone.now()
        else f"Let it end now instead{its_freeze}: a plan can take its servers out then."
    )
    raise Refused(f"“{row}” stays: {' and '.join(said)} {rest} on it. {instead}", code="event_in_use")


def callable_of(account: Account, event: TrafficEvent | None = None) -> list[Contact]:
    """Return whom a form offers to be called during an event: those who are named, and the first in the order of call."""
    rows = Contact.objects.filter(account=account).order_by("escalation_order", "pk")
    first = list(rows[:MOST_CONTACTS])
    named = (
        []
        if event is None
        else list(rows.filter(traffic_events=event).exclude(pk__in=[one.pk for one in first]))
    )
    return [*named, *first]


def fixed_of(row: TrafficEvent) -> tuple[str, ...]:
    """Return what of an event is a fact by now: nothing of one that is not over. What was measured was, whenever it is named.

    Its freeze is one once that is over, too: until then somebody can end it, as any other in the calendar.
    """
    now = timezone.now()
    if row.ends_at > now:
        return ()
    if row.freeze is None or row.freeze.ends_at <= now:
        return FIXED_ONCE_OVER
    return tuple(name for name in FIXED_ONCE_OVER if name not in ENDS_FREEZE)


def _corrected(fixed: Collection[str]) -> str:
    """Return the sentence that tells what of an event that is over can still be another."""
    and_more = " and source" if "has_freeze" in fixed else ", source and the end of its freeze"
    return f"Its name, multiple, peak{and_more} can be corrected."


def _check_fixed(row: TrafficEvent, changes: Mapping[str, Any], fixed: Collection[str]) -> None:
    """Raise Refused for a change of what is a fact by now."""
    if not (asked := set(fixed) & set(changes)):
        return
    now = {"has_freeze": row.freeze_id is not None, "contacts": set(row.contacts.all())}
    for name in asked:
        wanted = set(changes[name]) if name == "contacts" else changes[name]
        if wanted != now.get(name, getattr(row, name, None)):
            raise Refused(
                f"“{row}” is over and stays as it was. {_corrected(fixed)}",
                code="event_fixed",
            )


def _write(
    row: TrafficEvent, changes: Mapping[str, Any], actor: User | None, *, keeps_freeze: bool = False
) -> None:
    has_freeze = changes.get("has_freeze", row.freeze_id is not None)
    contacts = changes.get("contacts")
    if changes.get("observed_peak_rps", row.observed_peak_rps) != row.observed_peak_rps:
        # What a person says of it, no series raises.
        row.is_peak_measured = False
    for name, value in changes.items():
        if name not in ("has_freeze", "contacts"):
            setattr(row, name, value)
    row.name = " ".join(row.name.split())
    check_no_pin(row.name, row.source)
    check_row(row)
    if max(row.freeze_hours_before, row.freeze_hours_after) > MOST_FREEZE_H:
        raise Refused(
            f"A freeze begins and ends at most {MOST_FREEZE_H} hours around its event.", code="bad_freeze"
        )
    row.save()
    if contacts is not None:
        if len(contacts) > MOST_CONTACTS:
            raise Refused(f"At most {MOST_CONTACTS} contacts are named for an event.", code="too_many")
        if any(one.account_id != row.account_id for one in contacts):
            raise Refused("A contact is of another account.", code="other_account")
        row.contacts.set(contacts)
    if not keeps_freeze:
        _keep_freeze(row, has_freeze, actor)


def _keep_freeze(row: TrafficEvent, is_wanted: bool, actor: User | None) -> None:
    """Enter the event's freeze into the calendar, move it with the event or call it off."""
    # Read with its title in the clear: what is joined has tokens where somebody is named.
    entry = None if row.freeze_id is None else CalendarEntry.objects.get(pk=row.freeze_id)
    wanted = {
        "title": f"Freeze for {row.name}"[:LONGEST_TITLE].strip(),
        "starts_at": row.starts_at - timedelta(hours=row.freeze_hours_before),
        "ends_at": row.ends_at + timedelta(hours=row.freeze_hours_after),
    }
    is_so = entry is not None and all(getattr(entry, name) == value for name, value in wanted.items())
    if (is_so and is_wanted) or (entry is None and not is_wanted):
        return
    if actor is not None and not can(actor, Permission.CALENDAR_EDIT, row.account):
        raise NotPermitted(
            "The freeze of an event stands in the calendar, and you may not change that: an approver, an admin or a launch "
            "manager may. Nothing was kept.",
            code="not_permitted",
        )
    if entry is None:
        if row.ends_at <= timezone.now():
            raise Refused("A freeze holds nothing back for an event that is over.", code="event_over")
        fields = {"kind": CalendarKind.FREEZE, "time_zone": row.account.time_zone, **wanted}
        row.freeze = enter(fields, actor=actor, account=row.account)
    elif is_wanted:
        change_entry(entry, wanted, actor=actor, by_owner=True)
        return
    else:
        over = f"The event “{row.name}” has no freeze any more."
        cancel_entry(entry, reason=over, actor=actor, by_owner=True)
        row.freeze = None
    row.save(update_fields=["freeze", "updated_at"])


def _seen(row: TrafficEvent) -> dict[str, Any]:
    """Return an event as it stands on record: its contacts by reference, so that no name is kept."""
    contacts = (
        [] if row.pk is None else sorted(str(ref) for ref in row.contacts.values_list("ref", flat=True))
    )
    return {**snapshot(row), "contacts": contacts}


def _record(what: str, row: TrafficEvent, actor: User | None, **seen: Any) -> None:
    """Put a change on record and tell it, and let runs look again before they send anything: servers may be needed for it."""
    runs.facts_changed(
        says="A traffic event was entered, changed or called off.", actor=actor, account=row.account
    )
    record(what, actor=actor, account=row.account, subject=row, **seen)
    emit(
        what,
        account=row.account,
        subject=row,
        subject_type="traffic_event",
        data={
            "starts_at": row.starts_at.isoformat(),
            "ends_at": row.ends_at.isoformat(),
            "expected_multiple": row.expected_multiple,
            "has_freeze": row.freeze_id is not None,
        },
        actor=actor,
    )
