"""Each change of a calendar, and the feeds' keys; one function each, in one transaction.

enter(account=account, {...}, actor=user) -> CalendarEntry          enter(team=team, {...}, actor=user)
change_entry(entry, {...}, actor=user)                              cancel_entry(entry, reason="…", actor=user)
make_feed(user, account) -> (CalendarFeed, token)                   feed_of(token) -> CalendarFeed | None
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from accounts.calendar.models import (
    HOLDS_BACK,
    CalendarEntry,
    CalendarFeed,
    CalendarKind,
    CalendarScope,
)
from accounts.calendar.selectors import LONGEST_ENTRY
from accounts.members import lock_account, lock_team
from accounts.models import Account, AccountStatus, ApiToken, CloudConnection, Team, User
from accounts.texts import people_in
from portal.access import Permission, can, lacks_second_factor, permissions_on
from portal.audit.services import record
from portal.audit.subjects import Sealer
from portal.errors import NotPermitted, Refused, StaleState
from portal.events.services import emit, emit_to_scope
from portal.rows import check_row
from portal.runs import services as runs

FIELDS = (
    "kind",
    "title",
    "notes",
    "starts_at",
    "ends_at",
    "time_zone",
    "is_all_day",
    "repeats_until",
    "is_team_only",
    "provider",
    "region",
)
LONGEST_TITLE = 120
LONGEST_NOTES = 2000
LONGEST_AHEAD = timedelta(days=3 * 366)
LONGEST_REPEAT = timedelta(days=366)
LONGEST_LOCK = timedelta(days=1)
FEED_PREFIX = "ssf_"
MOST_FEEDS = 20
MOST_OF_ACCOUNT = 500


@transaction.atomic
def enter(
    fields: Mapping[str, Any],
    *,
    actor: User | None,
    account: Account | None = None,
    team: Team | None = None,
    are_runs_held: bool = False,
) -> CalendarEntry:
    """Enter something into the calendar of an account, or of a team: for all of its accounts, or those at a provider.

    What holds changes back from now on makes live runs look again before they send anything more, unless the caller has
    seen to that (`are_runs_held`). Raises Refused for what makes no sense of time, NotPermitted where only the team may see
    it and the actor is not of it.
    """
    if (account is None) == (team is None):
        raise ValueError("An entry belongs to an account or to a team, one of the two.")
    entry = CalendarEntry(created_by=actor)
    if account is not None:
        entry.account = _active(account)
        entry.scope = CalendarScope.ACCOUNT
        now = timezone.now()
        kept = CalendarEntry.objects.filter(
            Q(ends_at__gt=now) | Q(repeats_until__gte=now.date()), account=account, cancelled_at=None
        )
        if kept.count() >= MOST_OF_ACCOUNT:
            raise Refused(
                f"The calendar of an account has at most {MOST_OF_ACCOUNT} entries that are still to come. Call some off first.",
                code="too_many",
            )
    else:
        assert team is not None
        entry.team = lock_team(team)
        entry.scope = CalendarScope.PROVIDER if fields.get("provider") else CalendarScope.TEAM
    _write(entry, fields, actor)
    check_row(entry)
    entry.save()
    if not are_runs_held:
        _hold_runs(entry, actor)
    _record("calendar.entered", entry, actor, after=_recorded(entry))
    return CalendarEntry.objects.select_related("account", "team").get(pk=entry.pk)


def _hold_runs(entry: CalendarEntry, actor: User | None) -> None:
    """Let live runs look again before they send anything, where an entry holds changes back now: one may have looked just before."""
    now = timezone.now()
    is_over = entry.ends_at <= now and entry.repeats_until is None
    if entry.kind not in HOLDS_BACK or entry.starts_at > now or is_over:
        return
    kind = CalendarKind(entry.kind).label
    says = f"In the calendar: {kind} from {entry.starts_at:%Y-%m-%d %H:%M} to {entry.ends_at:%Y-%m-%d %H:%M} UTC."
    if entry.account is not None:
        runs.facts_changed(says=says, actor=actor, account=entry.account)
        return
    of_team = Account.objects.filter(team=entry.team)
    if entry.scope == CalendarScope.PROVIDER:
        of_team = of_team.filter(pk__in=_reached(entry).values("account"))
    runs.facts_changed(says=says, actor=actor, accounts=of_team)


def _reached(entry: CalendarEntry) -> QuerySet[CloudConnection]:
    """Return the cloud connections of a team that an entry for a provider is about."""
    reached = CloudConnection.objects.filter(account__team=entry.team, provider=entry.provider)
    return reached.filter(region=entry.region) if entry.region else reached


def _active(account: Account) -> Account:
    locked = lock_account(account)
    if locked.status == AccountStatus.ARCHIVED:
        raise Refused(f"{locked.name} is archived: it can be read, not changed.", code="archived")
    return locked


def _write(entry: CalendarEntry, fields: Mapping[str, Any], actor: User | None) -> None:
    unknown = set(fields) - set(FIELDS)
    if unknown:
        raise Refused(f"These cannot be changed here: {', '.join(sorted(unknown))}.", code="unknown_field")
    sealer = _sealer(entry, str(fields.get("title", "")) + "\n" + str(fields.get("notes", "")))
    for name, value in fields.items():
        if name == "title":
            value = " ".join(str(value).split())
            if not value or len(value) > LONGEST_TITLE:
                raise Refused(f"A title has 1 to {LONGEST_TITLE} characters.", code="bad_title")
        if name == "notes":
            value = str(value or "").strip()
            if len(value) > LONGEST_NOTES:
                raise Refused(f"Notes have at most {LONGEST_NOTES} characters.", code="too_long")
        setattr(entry, name, sealer.text(value) if name in ("title", "notes") else value)
    if entry.scope == CalendarScope.ACCOUNT and (entry.provider or entry.region):
        raise Refused("Only an entry of a team can be for a provider.", code="provider_of_team")
    if entry.scope != CalendarScope.ACCOUNT:
        entry.scope = CalendarScope.PROVIDER if entry.provider else CalendarScope.TEAM
        if entry.region and not entry.provider:
            raise Refused("A region is one of a provider: name the provider.", code="region_alone")
    if entry.kind == CalendarKind.MAINTENANCE and entry.scope == CalendarScope.TEAM:
        raise Refused(
            "Maintenance is of a provider: name it, and the region if it is of one.", code="no_provider"
        )
    if entry.is_team_only:
        if entry.account is None:
            raise Refused("What a team enters for its accounts is seen by them.", code="hidden_of_team")
        if Permission.TEAM_NOTES not in permissions_on(actor, entry.account):
            raise NotPermitted("Only launch managers keep an entry from the customer.", code="not_permitted")
        if entry.kind in (*HOLDS_BACK, CalendarKind.WINDOW):
            raise Refused("What holds changes back is seen by both sides.", code="freeze_hidden")
    _check_times(entry)


def _check_times(entry: CalendarEntry) -> None:
    if entry.ends_at <= entry.starts_at:
        raise Refused("It ends after it begins.", code="bad_times")
    if entry.ends_at - entry.starts_at > LONGEST_ENTRY:
        raise Refused("An entry lasts at most a year.", code="too_long")
    if entry.kind == CalendarKind.LOCK and entry.ends_at - entry.starts_at > LONGEST_LOCK:
        raise Refused("A change lock lasts at most a day; longer is a freeze.", code="too_long")
    if abs(entry.starts_at - timezone.now()) > LONGEST_AHEAD:
        raise Refused("A date within three years of today.", code="bad_date")
    if entry.is_all_day:
        zone = ZoneInfo(entry.time_zone)
        if any(one.astimezone(zone).time() != time() for one in (entry.starts_at, entry.ends_at)):
            raise Refused(
                f"Whole days begin and end at midnight in {entry.time_zone}; the end is the midnight after the last day.",
                code="bad_times",
            )
    if entry.repeats_until is not None:
        if entry.ends_at - entry.starts_at > timedelta(days=7):
            raise Refused("What repeats every week lasts at most a week.", code="bad_repeat")
        if not entry.starts_at.date() <= entry.repeats_until <= (entry.starts_at + LONGEST_REPEAT).date():
            raise Refused("A repetition ends within a year of its beginning.", code="bad_repeat")


def _sealer(entry: CalendarEntry, text: str) -> Sealer:
    """Return what seals the people whom a text about an entry names."""
    return Sealer([] if entry.account is None else people_in(entry.account, text))


def _recorded(entry: CalendarEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "title": entry.title,
        "starts_at": entry.starts_at.isoformat(),
        "ends_at": entry.ends_at.isoformat(),
        "time_zone": entry.time_zone,
        "repeats_until": str(entry.repeats_until or ""),
        "provider": entry.provider,
        "region": entry.region,
        "notes": entry.notes,
    }


def _record(
    what: str, entry: CalendarEntry, actor: User | None, *, was_hidden: bool | None = None, **more: Any
) -> None:
    """Put a change on record and tell it; what only the team sees stands there under a kind that only the team reads."""
    kept: dict[str, Any] = {"actor": actor, "account": entry.account, "subject": entry}
    if entry.is_team_only or was_hidden:
        record(f"team_{what}", subject_label=entry.title, **kept, **more)
        if was_hidden and not entry.is_team_only:
            # For the customer it begins here; what it was before is not told.
            what, more = "calendar.entered", {"after": _recorded(entry)}
            record(what, subject_label=entry.title, **kept, **more)
        elif was_hidden is False:
            record("calendar.withdrawn", subject_label=more["before"]["title"], **kept)
    else:
        record(what, subject_label=entry.title, **kept, **more)
    told: dict[str, Any] = {"data": {"kind": entry.kind, "scope": entry.scope}, "actor": actor}
    if entry.account is not None:
        if not entry.is_team_only:
            emit(what, account=entry.account, subject=entry, **told)
        return
    assert entry.team is not None
    # Only those accounts for which it holds hear of it.
    if entry.scope == CalendarScope.TEAM:
        emit_to_scope(what, f"team:{entry.team.ref}", subject=entry, **told)
        return
    for account in Account.objects.filter(pk__in=_reached(entry).values("account")).order_by("pk"):
        emit(what, account=account, subject=entry, **told)


def _locked(entry: CalendarEntry) -> CalendarEntry:
    if entry.account is not None:
        _active(entry.account)
    elif entry.team is not None:
        lock_team(entry.team)
    return (
        CalendarEntry.objects.sealed()
        .select_for_update(of=("self",))
        .select_related("account", "team")
        .get(pk=entry.pk)
    )


def owner_of(entry: CalendarEntry) -> Any:
    """Return the traffic event whose freeze an entry is, None for what stands for itself; one query."""
    return getattr(entry, "traffic_event", None)


def _check_own(entry: CalendarEntry, *, by_owner: bool) -> None:
    """Raise Refused for an event's freeze, unless it is the event that is changed: else the two would say two things."""
    if not by_owner and (owner := owner_of(entry)) is not None:
        raise Refused(
            f"This is the freeze of the event “{owner}”: it moves and ends with it. Change or end it at the event.",
            code="of_event",
        )


@transaction.atomic
def change_entry(
    entry: CalendarEntry, changes: Mapping[str, Any], *, actor: User | None, by_owner: bool = False
) -> CalendarEntry:
    """Change an entry; feeds show it as the newer version. Raises StaleState once it was called off, Refused for an event's."""
    stored = _locked(entry)
    _check_own(stored, by_owner=by_owner)
    if stored.cancelled_at is not None:
        raise StaleState("This entry was called off. Enter a new one.", code="cancelled")
    before = _recorded(stored)
    was_hidden = stored.is_team_only
    _write(stored, changes, actor)
    after = _recorded(stored)
    if before != after or was_hidden != stored.is_team_only:
        stored.sequence += 1
        check_row(stored)
        stored.save()
        _hold_runs(stored, actor)
        _record("calendar.changed", stored, actor, was_hidden=was_hidden, before=before, after=after)
    return CalendarEntry.objects.select_related("account", "team").get(pk=stored.pk)


@transaction.atomic
def cancel_entry(
    entry: CalendarEntry, *, reason: str, actor: User | None, by_owner: bool = False
) -> CalendarEntry:
    """Call an entry off; it holds nothing back any more. A repeat changes nothing. Raises Refused without a reason, and for an event's."""
    stored = _locked(entry)
    _check_own(stored, by_owner=by_owner)
    if stored.cancelled_at is None:
        said = " ".join(reason.split())[:300]
        if not said:
            raise Refused("Say why it is called off: it stays on the record.", code="reason_missing")
        said = _sealer(stored, said).text(said)
        CalendarEntry.objects.filter(pk=stored.pk).update(
            cancelled_at=timezone.now(),
            cancelled_because=said,
            sequence=F("sequence") + 1,
            updated_at=timezone.now(),
        )
        _record("calendar.cancelled", stored, actor, before=_recorded(stored), reason=said)
    return CalendarEntry.objects.select_related("account", "team").get(pk=stored.pk)


# --- feeds -------------------------------------------------------------------------------------------------


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@transaction.atomic
def make_feed(
    user: User, account: Account | None = None, *, made_by: ApiToken | None = None
) -> tuple[CalendarFeed, str]:
    """Return a new feed and its token, which is shown once and never stored. Without an account: of all that one sees.

    One that is made with another token (`made_by`) ends with that.
    """
    User.objects.select_for_update().get(pk=user.pk)
    if CalendarFeed.objects.filter(user=user, revoked_at__isnull=True).count() >= MOST_FEEDS:
        raise Refused(f"You have {MOST_FEEDS} feeds already. Revoke one first.", code="too_many_feeds")
    if account is not None and not can(user, Permission.CALENDAR_VIEW, account):
        raise NotPermitted("You may not read this calendar.", code="not_permitted")
    token = FEED_PREFIX + secrets.token_urlsafe(32)
    feed = CalendarFeed.objects.create(
        user=user, account=account, digest=_digest(token), prefix=token[:10], made_by=made_by
    )
    record(
        "calendar.feed_made", actor=user, account=account, subject=feed, after={"feed_prefix": feed.prefix}
    )
    return feed, token


@transaction.atomic
def revoke_feed(feed: CalendarFeed, *, actor: User) -> CalendarFeed:
    """End a feed: its address opens nothing any more. A repeat changes nothing."""
    locked = CalendarFeed.objects.select_for_update(of=("self",)).select_related("account").get(pk=feed.pk)
    if locked.revoked_at is None:
        locked.revoked_at = timezone.now()
        locked.save(update_fields=["revoked_at"])
        record(
            "calendar.feed_revoked",
            actor=actor,
            account=locked.account,
            subject=locked,
            after={"feed_prefix": locked.prefix},
        )
    return locked


def revoke_all_feeds(user: User, *, actor: User) -> int:
    """End every feed of a user; return how many."""
    live = list(CalendarFeed.objects.filter(user=user, revoked_at__isnull=True).order_by("pk"))
    for feed in live:
        revoke_feed(feed, actor=actor)
    return len(live)


def feed_of(token: str, now: datetime) -> CalendarFeed | None:
    """Return the feed whose token this is, if it still opens something, and note that it was read.

    It ends when it is revoked, with the token that it was made with, when its maker was switched off, or may not read
    the account any more; it rests while its maker lacks the second factor that the operator wants.
    """
    if not token.startswith(FEED_PREFIX) or len(token) > 100:
        return None
    feed = (
        CalendarFeed.objects.select_related("user", "account")
        .filter(
            Q(made_by=None) | Q(made_by__revoked_at=None, made_by__expires_at__gt=now),
            digest=_digest(token),
            revoked_at__isnull=True,
            user__is_active=True,
        )
        .first()
    )
    if feed is None or lacks_second_factor(feed.user):
        return None
    if feed.account is not None and not can(feed.user, Permission.CALENDAR_VIEW, feed.account):
        return None
    if feed.last_used_at is None or now - feed.last_used_at > timedelta(minutes=1):
        CalendarFeed.objects.filter(pk=feed.pk).update(last_used_at=now)
    return feed
