"""The API of calendars and their feeds: the same services as the pages."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import Http404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.calendar import locks, selectors, services
from accounts.calendar.models import (
    HOLDS_BACK,
    CalendarEntry,
    CalendarFeed,
    CalendarKind,
    CalendarScope,
)
from accounts.calendar.times import clock_changes
from accounts.calendar.views import address_of_feed
from accounts.examples import AT, REF
from accounts.models import Account, Team
from accounts.proof import need_from_session
from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.errors import NotPermitted, Refused
from portal.moments import moment_of
from portal.zones import validate_time_zone

LONGEST_RANGE = timedelta(days=400)
ENTRY: dict[str, Any] = {
    "ref": "2f7d2a90-8f4c-4a52-9a44-0d8cbb1f7c11",
    "scope": "account",
    "kind": "freeze",
    "title": "No changes over Black Friday",
    "notes": "",
    "starts_at": "2026-11-26T23:00:00Z",
    "ends_at": "2026-11-30T23:00:00Z",
    "time_zone": "Europe/Stockholm",
    "is_all_day": True,
    "repeats_until": None,
    "is_team_only": False,
    "provider": "",
    "region": "",
    "sequence": 0,
    "cancelled_at": None,
    "created_at": AT,
    "updated_at": AT,
}
ENTRY_IN: dict[str, Any] = {
    name: ENTRY[name] for name in ("kind", "title", "starts_at", "ends_at", "time_zone", "is_all_day")
}
MOST_IN_ANSWER = 500
AGENDA: dict[str, Any] = {
    "is_cut": False,
    "account": REF,
    "time_zone": "Europe/Stockholm",
    "items": [
        {
            "uid": ENTRY["ref"],
            "entry": ENTRY["ref"],
            "kind": "freeze",
            "scope": "account",
            "title": ENTRY["title"],
            "starts_at": ENTRY["starts_at"],
            "ends_at": ENTRY["ends_at"],
            "time_zone": "Europe/Stockholm",
            "is_all_day": True,
        }
    ],
    "clock_changes": [{"at": "2027-03-28T01:00:00Z", "before": "02:00", "after": "03:00"}],
}
LOCK_KINDS = [
    *((kind.value, kind.label) for kind in HOLDS_BACK),
    (locks.RUN, "a run"),
    (locks.STANDSTILL, "a standstill"),
]
LOCK: dict[str, Any] = {
    "is_locked": True,
    "locks": [
        {
            "kind": "freeze",
            "says": "A freeze is in force until 2026-11-30 23:00 UTC.",
            "until": "2026-11-30T23:00:00Z",
        }
    ],
}
FEED: dict[str, Any] = {
    "ref": "1b7a3c55-51c0-4f0c-bb20-5b1a4d2c9d10",
    "account": REF,
    "feed_prefix": "ssf_Ab3dE5",
    "created_at": AT,
    "last_used_at": None,
}


class CalendarEntryOut(serializers.ModelSerializer[CalendarEntry]):
    """One entry as it was entered. A weekly one stands in the agenda once a week."""

    class Meta:
        model = CalendarEntry
        fields = (*ENTRY,)


class CalendarEntryIn(serializers.Serializer[Any]):
    """What is entered. Times are moments; `time_zone` says in which zone they were meant, and a weekly one keeps its time there."""

    kind = serializers.ChoiceField(choices=CalendarKind.choices)
    title = serializers.CharField(max_length=services.LONGEST_TITLE)
    notes = serializers.CharField(required=False, allow_blank=True, max_length=services.LONGEST_NOTES)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    time_zone = serializers.CharField(max_length=64, validators=[validate_time_zone])
    is_all_day = serializers.BooleanField(required=False)
    repeats_until = serializers.DateField(required=False, allow_null=True)
    is_team_only = serializers.BooleanField(required=False)


class TeamCalendarEntryIn(CalendarEntryIn):
    """What is entered for all accounts of a team, or with `provider` for those with a connection there."""

    provider = serializers.CharField(required=False, allow_blank=True, max_length=20)
    region = serializers.CharField(required=False, allow_blank=True, max_length=20)


class AgendaItemOut(serializers.Serializer[Any]):
    """One thing in a calendar, once. `entry` is null for what other parts know: events, reviews that are due."""

    uid = serializers.CharField()
    entry = serializers.UUIDField(allow_null=True)
    kind = serializers.ChoiceField(choices=CalendarKind.choices)
    scope = serializers.ChoiceField(choices=CalendarScope.choices)
    title = serializers.CharField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    time_zone = serializers.CharField()
    is_all_day = serializers.BooleanField()


_OF_ITEM = ("uid", "kind", "scope", "title", "starts_at", "ends_at", "time_zone", "is_all_day")


class ClockChangeOut(serializers.Serializer[Any]):
    """One change of the account's clocks: what showed `before` shows `after` instead."""

    at = serializers.DateTimeField()
    before = serializers.CharField()
    after = serializers.CharField()


class AgendaOut(serializers.Serializer[Any]):
    """What is in an account's calendar, with the changes of its clocks."""

    account = serializers.UUIDField()
    time_zone = serializers.CharField()
    items = AgendaItemOut(many=True)
    clock_changes = ClockChangeOut(many=True)
    is_cut = serializers.BooleanField(help_text="There is more in this time: ask for a shorter one.")


class LockOut(serializers.Serializer[Any]):
    """One reason not to change anything; `until` is null where nobody knows."""

    kind = serializers.ChoiceField(choices=LOCK_KINDS)
    says = serializers.CharField()
    until = serializers.DateTimeField(allow_null=True)


class ChangeLockOut(serializers.Serializer[Any]):
    """Whether the account is locked, and why."""

    is_locked = serializers.BooleanField()
    locks = LockOut(many=True)


class ChangeLockIn(serializers.Serializer[Any]):
    """For what, and for how long: 1 to 1440 minutes."""

    title = serializers.CharField(max_length=services.LONGEST_TITLE)
    minutes = serializers.IntegerField(min_value=1, max_value=1440)


class CalendarCallOffIn(serializers.Serializer[Any]):
    """Why it is called off."""

    reason = serializers.CharField(max_length=300)


class CalendarFeedIn(serializers.Serializer[Any]):
    """Of which calendar; null is of all accounts that you see."""

    account = serializers.UUIDField(required=False, allow_null=True)


class CalendarFeedOut(serializers.Serializer[Any]):
    """A feed, without its address."""

    ref = serializers.UUIDField()
    account = serializers.SerializerMethodField()
    feed_prefix = serializers.CharField(source="prefix")
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)

    def get_account(self, feed: Any) -> str | None:
        """Return the account's reference, null for all that its maker sees."""
        return str(feed.account.ref) if feed.account is not None else None


class CalendarFeedMadeOut(CalendarFeedOut):
    """A new feed with its address, which is shown this once."""

    address = serializers.CharField(allow_null=True)


def _moment(params: Any, name: str, usual: datetime) -> datetime:
    text = str(params.get(name, ""))
    if not text:
        return usual
    found = moment_of(text)
    if found is None:
        raise Refused(f"`{name}` is a moment like 2026-11-30T00:00:00Z.", code="bad_moment")
    return found


class CalendarApi(PortalAPIView):
    """The calendar of an account."""

    permission = Permission.CALENDAR_VIEW
    write_permission = Permission.CALENDAR_EDIT

    @documented(
        "calendar_read",
        AgendaOut,
        summary="Read what is in an account's calendar",
        example=AGENDA,
        parameters=[
            OpenApiParameter("start", OpenApiTypes.DATETIME, description="From when; now if not given."),
            OpenApiParameter(
                "end",
                OpenApiTypes.DATETIME,
                description="Until when, at most 400 days on; five weeks if not given.",
            ),
        ],
        tag="calendar",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """The account's own entries, those of its team and of its provider, events, and reviews that are due."""
        account = self.find(Account, account_ref)
        params = self.request.query_params
        start = _moment(params, "start", timezone.now())
        end = _moment(params, "end", start + timedelta(weeks=5))
        if not start < end <= start + LONGEST_RANGE:
            raise Refused("`end` is after `start`, and at most 400 days on.", code="bad_range")
        items = selectors.items_for(Account.objects.filter(pk=account.pk), start, end, viewer=self.user)
        data = {
            "account": account.ref,
            "time_zone": account.time_zone,
            "items": [
                {
                    **{name: getattr(item, name) for name in _OF_ITEM},
                    "entry": item.entry.ref if item.entry is not None else None,
                }
                for item in items[:MOST_IN_ANSWER]
            ],
            "is_cut": len(items) > MOST_IN_ANSWER,
            "clock_changes": clock_changes(account.time_zone, start, end),
        }
        return self.show(AgendaOut, data)

    @documented(
        "calendar_enter",
        CalendarEntryOut,
        summary="Enter something into an account's calendar",
        request=CalendarEntryIn,
        status=201,
        once=True,
        example=ENTRY,
        request_example=ENTRY_IN,
        tag="calendar",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """A freeze, or the provider's maintenance, holds scale-downs back while it lasts."""
        account = self.find(Account, account_ref)
        data = self.read(CalendarEntryIn)
        return self.once(
            lambda: self.show(
                CalendarEntryOut, services.enter(data, actor=self.user, account=account), status=201
            )
        )


class ChangeLockApi(PortalAPIView):
    """Whether an account is to be changed just now; for pipelines."""

    permission = Permission.CALENDAR_VIEW
    write_permission = Permission.CALENDAR_EDIT

    @documented(
        "change_lock_read",
        ChangeLockOut,
        summary="Read whether an account may be changed now",
        example=LOCK,
        tag="calendar",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Locked while a freeze, the provider's maintenance or somebody's change lock is in force, in a standstill, and while
        a run has a server half-way through. Ask before each deployment; `locks` says why not, and until when where that is known.
        """
        account = self.find(Account, account_ref)
        found = locks.locks_on(account, timezone.now())
        return Response(ChangeLockOut({"is_locked": bool(found), "locks": found}).data)

    @documented(
        "change_lock_take",
        CalendarEntryOut,
        summary="Lock an account for a change of one's own",
        request=ChangeLockIn,
        status=201,
        once=True,
        example={**ENTRY, "kind": "lock", "title": "Deploying shop 4.2", "is_all_day": False},
        request_example={"title": "Deploying shop 4.2", "minutes": 20},
        tag="calendar",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """409 (`change_locked`) while it is locked. As long as it lasts, runs begin nothing and finish nothing that can wait;
        it ends by itself, or once the entry is called off.
        """
        account = self.find(Account, account_ref)
        data = self.read(ChangeLockIn)

        def effect() -> Response:
            lasts = timedelta(minutes=data["minutes"])
            entry = locks.take(account, title=data["title"], lasts=lasts, actor=self.user)
            return self.show(CalendarEntryOut, entry, status=201)

        return self.once(effect)


class _EntryApi(PortalAPIView, abstract=True):
    def _change(self, entry: CalendarEntry, data: dict[str, Any]) -> Response:
        def effect() -> Response:
            self.match(CalendarEntry.objects.select_for_update(of=("self",)).get(pk=entry.pk))
            return self.show(CalendarEntryOut, services.change_entry(entry, data, actor=self.user))

        return self.once(effect)


class CalendarEntryApi(_EntryApi):
    """One entry of an account's calendar."""

    permission = Permission.CALENDAR_VIEW
    write_permission = Permission.CALENDAR_EDIT

    @documented(
        "calendar_entries_read", CalendarEntryOut, summary="Read one entry", example=ENTRY, tag="calendar"
    )
    def get(self, request: Request, calendar_entry_ref: UUID) -> Response:
        """With an ETag for a later change."""
        return self.show(CalendarEntryOut, self._found(calendar_entry_ref))

    @documented(
        "calendar_entries_change",
        CalendarEntryOut,
        summary="Change an entry",
        request=CalendarEntryIn,
        if_match=True,
        example={**ENTRY, "sequence": 1},
        request_example={"title": "No changes until December"},
        tag="calendar",
    )
    def patch(self, request: Request, calendar_entry_ref: UUID) -> Response:
        """Only what is given is changed; feeds show the newer version."""
        return self._change(self._found(calendar_entry_ref), self.read(CalendarEntryIn, partial=True))

    def _found(self, ref: UUID) -> CalendarEntry:
        return self.find(selectors.entries_read_by(self.user), ref)


class CalendarEntryCancelApi(PortalAPIView):
    """Call an entry off."""

    permission = Permission.CALENDAR_EDIT

    @documented(
        "calendar_entries_call_off",
        CalendarEntryOut,
        summary="Call an entry off",
        request=CalendarCallOffIn,
        command=True,
        example={**ENTRY, "cancelled_at": AT, "sequence": 1},
        request_example={"reason": "The sale was moved."},
        tag="calendar",
    )
    def post(self, request: Request, calendar_entry_ref: UUID) -> Response:
        """It holds nothing back any more; feeds say so for 30 days."""
        entry = self.find(selectors.entries_read_by(self.user), calendar_entry_ref)
        data = self.read(CalendarCallOffIn)
        return self.once(
            lambda: self.show(
                CalendarEntryOut, services.cancel_entry(entry, reason=data["reason"], actor=self.user)
            ),
            required=True,
        )


class TeamCalendarApi(PortalAPIView):
    """What holds for all accounts of a team, or for those at a provider."""

    permission = Permission.TEAM_VIEW
    write_permission = Permission.CALENDAR_TEAM

    @documented(
        "team_calendar_list",
        CalendarEntryOut,
        summary="List what holds for a whole team, or at a provider",
        paged=True,
        example={**ENTRY, "scope": "team"},
        tag="calendar",
    )
    def get(self, request: Request, team_ref: UUID) -> Response:
        """The newest first; those that were called off too."""
        team = self.find_in_team(Team, team_ref)
        return self.page(
            CalendarEntry.objects.filter(team=team), CalendarEntryOut, order="-id", filters={"team": team.pk}
        )

    @documented(
        "team_calendar_enter",
        CalendarEntryOut,
        summary="Enter what holds for a whole team, or at a provider",
        request=TeamCalendarEntryIn,
        status=201,
        once=True,
        example={
            **ENTRY,
            "scope": "provider",
            "kind": "maintenance",
            "provider": "rackspace",
            "region": "DFW",
        },
        request_example={**ENTRY_IN, "kind": "maintenance", "provider": "rackspace", "region": "DFW"},
        tag="calendar",
    )
    def post(self, request: Request, team_ref: UUID) -> Response:
        """Each account's calendar shows it, and its scale-downs mind it."""
        team = self.find_in_team(Team, team_ref)
        data = self.read(TeamCalendarEntryIn)
        return self.once(
            lambda: self.show(CalendarEntryOut, services.enter(data, actor=self.user, team=team), status=201)
        )


class TeamCalendarEntryApi(_EntryApi):
    """One entry of a team's calendar."""

    permission = Permission.TEAM_VIEW
    write_permission = Permission.CALENDAR_TEAM

    @documented(
        "team_calendar_entries_read",
        CalendarEntryOut,
        summary="Read one entry of a team",
        example=ENTRY,
        tag="calendar",
    )
    def get(self, request: Request, team_calendar_entry_ref: UUID) -> Response:
        """With an ETag for a later change."""
        return self.show(CalendarEntryOut, self._found(team_calendar_entry_ref))

    @documented(
        "team_calendar_entries_change",
        CalendarEntryOut,
        summary="Change an entry of a team",
        request=TeamCalendarEntryIn,
        if_match=True,
        example={**ENTRY, "sequence": 1},
        request_example={"region": "ORD"},
        tag="calendar",
    )
    def patch(self, request: Request, team_calendar_entry_ref: UUID) -> Response:
        """Only what is given is changed."""
        return self._change(
            self._found(team_calendar_entry_ref), self.read(TeamCalendarEntryIn, partial=True)
        )

    def _found(self, ref: UUID) -> CalendarEntry:
        return self.find_in_team(CalendarEntry.objects.exclude(scope="account"), ref)


class TeamCalendarEntryCancelApi(PortalAPIView):
    """Call an entry of a team off."""

    permission = Permission.CALENDAR_TEAM

    @documented(
        "team_calendar_entries_call_off",
        CalendarEntryOut,
        summary="Call an entry of a team off",
        request=CalendarCallOffIn,
        command=True,
        example={**ENTRY, "cancelled_at": AT, "sequence": 1},
        request_example={"reason": "The provider moved it."},
        tag="calendar",
    )
    def post(self, request: Request, team_calendar_entry_ref: UUID) -> Response:
        """It holds nothing back any more."""
        entry = self.find_in_team(CalendarEntry.objects.exclude(scope="account"), team_calendar_entry_ref)
        data = self.read(CalendarCallOffIn)
        return self.once(
            lambda: self.show(
                CalendarEntryOut, services.cancel_entry(entry, reason=data["reason"], actor=self.user)
            ),
            required=True,
        )


class FeedListApi(PortalAPIView):
    """Your calendar feeds."""

    permission = Permission.SIGNED_IN

    @documented(
        "calendar_feeds_list",
        CalendarFeedOut,
        summary="List your calendar feeds",
        paged=True,
        example=FEED,
        tag="calendar",
    )
    def get(self, request: Request) -> Response:
        """Those that are not revoked, without their addresses."""
        return self.page(selectors.feeds_of(self.user), CalendarFeedOut, order="-id")

    @documented(
        "calendar_feeds_make",
        CalendarFeedMadeOut,
        summary="Make a calendar feed",
        request=CalendarFeedIn,
        status=201,
        once=True,
        example={**FEED, "address": "https://portal.example/calendar/feed/ssf_….ics"},
        request_example={"account": REF},
        tag="calendar",
    )
    def post(self, request: Request) -> Response:
        """Its address is in this answer and in no other; a repeat gives null for it.

        Made with a token, it needs the scope `calendar:read` too, and ends with that token.
        """
        need_from_session(request)
        self.check_scope(Permission.CALENDAR_VIEW)
        if self.token is not None and self.token.networks:
            raise NotPermitted(
                "This token may be used from some networks only, and a feed is read from anywhere. Make the feed in the browser.",
                code="token_of_networks",
            )
        data = self.read(CalendarFeedIn)
        account = None
        if data.get("account") is not None:
            account = self.visible(Account, Permission.CALENDAR_VIEW).filter(ref=data["account"]).first()
            if account is None:
                raise Refused("There is no such account of yours.", code="no_account")

        def effect() -> Response:
            feed, token = services.make_feed(self.user, account, made_by=self.token)
            shown = CalendarFeedOut(feed, context=self.out_context()).data
            return Response({**shown, "address": address_of_feed(token)}, status=201)

        return self.once(effect, secret_fields=("address",))


class FeedApi(PortalAPIView):
    """One of your calendar feeds."""

    permission = Permission.SIGNED_IN

    @documented("calendar_feeds_revoke", None, summary="Revoke a calendar feed", status=204, tag="calendar")
    def delete(self, request: Request, feed_ref: UUID) -> Response:
        """Its address opens nothing any more. A repeat changes nothing."""
        feed = CalendarFeed.objects.filter(user=self.user, ref=feed_ref).first()
        if feed is None:
            raise Http404("There is no such feed of yours.")
        services.revoke_feed(feed, actor=self.user)
        return Response(status=204)
