"""Pages of calendars and their feeds: read input, call one service, answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from redis.exceptions import RedisError

from accounts.calendar import selectors, services
from accounts.calendar.forms import EntryForm, now_in, typed
from accounts.calendar.ical import calendar_of
from accounts.calendar.models import CalendarEntry, CalendarFeed
from accounts.calendar.times import by_day, clock_changes, day_span, in_weeks, monday_of
from accounts.models import Account, AccountStatus, Team
from accounts.proof import RAN_OUT, ask_for_it, is_fresh
from accounts.reviews.views import add_refusal
from accounts.views import AccountPage
from portal.access import Permission, PortalView, visible_to
from portal.audit.facts import neighbourhood
from portal.counting import count
from portal.errors import NotPermitted, Refused, StaleState, TooOften
from portal.middleware import address_of

log = structlog.get_logger(__name__)
WEEKS = 5
FEED_BACK, FEED_AHEAD = timedelta(days=30), timedelta(days=366)
READS_PER_FEED, READS_PER_ADDRESS, READ_WINDOW_S = 60, 300, 3600


# More than this in five weeks nobody reads.
MOST_SHOWN = 50


@dataclass(frozen=True)
class Shown:
    """One stretch of a calendar, ready for its page: weeks of days, with clock changes as rows of their own."""

    first: date
    last: date
    zone: str
    weeks: list[Any]
    agenda: list[Any]
    items: list[selectors.Item]
    earlier: date
    later: date
    today: date
    is_cut: bool = False


def shown(accounts: Any, zone: str, asked: str, now: datetime, *, viewer: Any, weeks: int = WEEKS) -> Shown:
    """Return what is in calendars from the week of a day (ISO, today's for nonsense) on."""
    today = now.astimezone(ZoneInfo(zone)).date()
    try:
        day = date.fromisoformat(asked) if asked else today
    except ValueError:
        day = today
    day = min(max(day, date(2000, 1, 3)), date(2200, 1, 1))
    first = monday_of(day)
    last = first + timedelta(days=7 * weeks - 1)
    start, end = day_span(first, last, zone)
    found = selectors.items_for(accounts, start, end, viewer=viewer)
    items = found[:MOST_SHOWN]
    changes = {
        change.at.astimezone(ZoneInfo(zone)).date(): change for change in clock_changes(zone, start, end)
    }
    listed = [
        (monday, [(one, found, changes.get(one)) for one, found in days])
        for monday, days in in_weeks(by_day(items, zone, first, last))
    ]
    step = timedelta(weeks=weeks)
    return Shown(
        first,
        last,
        zone,
        listed,
        [_once_a_week(*week) for week in listed],
        items,
        first - step,
        first + step,
        today,
        len(found) > len(items),
    )


def _once_a_week(monday: date, days: list[Any]) -> tuple[date, list[Any]]:
    """Return a week of the agenda: what lasts for days stands on its first day of the week alone."""
    seen: set[tuple[str, datetime]] = set()
    listed = []
    for day, items, change in days:
        fresh = [one for one in items if (one.uid, one.starts_at) not in seen]
        seen |= {(one.uid, one.starts_at) for one in fresh}
        listed.append((day, fresh, change))
    return monday, listed


class CalendarPage(AccountPage):
    """The calendar of an account: an agenda by week, and a table of the month where there is room."""

    permission = Permission.CALENDAR_VIEW
    tab = "calendar"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show five weeks from the week of `from` on."""
        account = self.find(Account, account_ref)
        now = timezone.now()
        return self.show(
            "accounts/calendar/calendar.html",
            shown=shown(
                Account.objects.filter(pk=account.pk),
                account.time_zone,
                request.GET.get("from", ""),
                now,
                viewer=self.user,
            ),
            freezes=selectors.freezes_at(account, now)[:5],
        )


class EntryAdd(AccountPage):
    """Enter something into an account's calendar."""

    permission = Permission.CALENDAR_EDIT
    tab = "calendar"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the form."""
        account = self.find(Account, account_ref)
        return self._form(self._entry_form(initial=now_in(account.time_zone, timezone.now())))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Enter it."""
        account = self.find(Account, account_ref)
        form = self._entry_form(request.POST)
        if form.is_valid():
            try:
                services.enter(form.wanted(), actor=self.user, account=account)
            except Refused as refusal:
                add_refusal(form, refusal)
            else:
                back = reverse("accounts:calendar", args=[account.ref])
                return redirect(f"{back}?from={form.cleaned_data['first_day']}")
        return self._form(form, status=422)

    def _entry_form(self, *args: Any, **options: Any) -> EntryForm:
        return EntryForm(
            *args, of_team=False, sees_team_only=Permission.TEAM_NOTES in self.granted, **options
        )

    def _form(self, form: EntryForm, *, status: int = 200) -> HttpResponse:
        return self.show(
            "accounts/calendar/entry_form.html",
            form=form,
            title="Enter into the calendar",
            button="Enter it",
            back_url=reverse("accounts:calendar", args=[self.account.ref]),
            back_label="Calendar",
            status=status,
        )


class EntryEdit(AccountPage):
    """Read an entry of an account's calendar, or change it."""

    permission = Permission.CALENDAR_VIEW
    write_permission = Permission.CALENDAR_EDIT
    tab = "calendar"

    def get(self, request: HttpRequest, calendar_entry_ref: UUID) -> HttpResponse:
        """Show it, as a form for who may change it."""
        entry = self._found(calendar_entry_ref)
        return self._page(entry, self._entry_form(initial=typed(entry)))

    def post(self, request: HttpRequest, calendar_entry_ref: UUID) -> HttpResponse:
        """Keep the changes."""
        entry = self._found(calendar_entry_ref)
        form = self._entry_form(request.POST)
        if form.is_valid():
            try:
                services.change_entry(entry, form.wanted(), actor=self.user)
            except Refused as refusal:
                add_refusal(form, refusal)
            else:
                back = reverse("accounts:calendar", args=[self.account.ref])
                return redirect(f"{back}?from={form.cleaned_data['first_day']}")
        return self._page(entry, form, status=422)

    def _found(self, ref: UUID) -> CalendarEntry:
        return self.find(selectors.entries_read_by(self.user), ref)

    def _entry_form(self, *args: Any, **options: Any) -> EntryForm:
        return EntryForm(
            *args, of_team=False, sees_team_only=Permission.TEAM_NOTES in self.granted, **options
        )

    def _page(self, entry: CalendarEntry, form: EntryForm, *, status: int = 200) -> HttpResponse:
        owner = services.owner_of(entry)
        return self.show(
            "accounts/calendar/entry_detail.html",
            entry=entry,
            owner=owner,
            form=form
            if Permission.CALENDAR_EDIT in self.granted
            and owner is None
            and not entry.cancelled_at
            and self.account.status == AccountStatus.ACTIVE
            else None,
            cancel_url=reverse("accounts:calendar-entry-cancel", args=[entry.ref]),
            back_url=reverse("accounts:calendar", args=[self.account.ref]),
            back_label="Calendar",
            status=status,
        )


class EntryCancel(AccountPage):
    """Call an entry off."""

    permission = Permission.CALENDAR_EDIT
    tab = "calendar"

    def get(self, request: HttpRequest, calendar_entry_ref: UUID) -> HttpResponse:
        """Ask."""
        return self._ask(self._found(calendar_entry_ref))

    def post(self, request: HttpRequest, calendar_entry_ref: UUID) -> HttpResponse:
        """Call it off."""
        entry = self._found(calendar_entry_ref)
        try:
            services.cancel_entry(entry, reason=request.POST.get("reason", ""), actor=self.user)
        except (NotPermitted, StaleState):
            raise
        except Refused as refusal:
            return self._ask(entry, problem=refusal.says, status=422)
        messages.success(request, "It is called off. Feeds say so for 30 days.")
        return redirect("accounts:calendar", account_ref=self.account.ref)

    def _found(self, ref: UUID) -> CalendarEntry:
        return self.find(selectors.entries_read_by(self.user), ref)

    def _ask(self, entry: CalendarEntry, *, problem: str = "", status: int = 200) -> HttpResponse:
        return self.show(
            "components/confirm_page.html",
            **cancel_question(entry),
            action=self.request.path,
            problem=problem,
            back_label="Calendar",
            back_url=reverse("accounts:calendar", args=[self.account.ref]),
            status=status,
        )


def cancel_question(entry: CalendarEntry) -> dict[str, Any]:
    """Return the question before an entry is called off."""
    holds = " Changes are not held back by it any more." if entry.kind in selectors.HOLDS_BACK else ""
    every = " Every week of it is called off." if entry.repeats_until else ""
    return {
        "title": f"Call “{entry.title}” off?",
        "text": f"It leaves the calendar; feeds show it as called off.{every}{holds}",
        "button": "Call it off",
        "reason": "required",
    }


# --- a team's ----------------------------------------------------------------------------------------------


class TeamCalendar(PortalView):
    """What holds for all accounts of a team, or for those at a provider."""

    permission = Permission.TEAM_VIEW

    def get(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Show what is to come, and what is on."""
        team = self.find_in_team(Team, team_ref)
        now = timezone.now()
        entered = CalendarEntry.objects.filter(team=team, cancelled_at__isnull=True)
        rows = selectors.touching(entered, now, now + FEED_AHEAD).order_by("starts_at", "pk")
        return self.render(
            "accounts/calendar/team_calendar.html",
            team=team,
            items=selectors.expanded(rows[: selectors.MOST_ITEMS], now, now + FEED_AHEAD)[:200],
            nav_key="accounts",
        )


class TeamEntryAdd(PortalView):
    """Enter what holds for a whole team, or at a provider."""

    permission = Permission.CALENDAR_TEAM

    def get(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Show the form."""
        self.find_in_team(Team, team_ref)
        return self._form(_team_form(initial=now_in(self.user.time_zone, timezone.now())))

    def post(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Enter it."""
        team = self.find_in_team(Team, team_ref)
        form = _team_form(request.POST)
        if form.is_valid():
            try:
                services.enter(form.wanted(), actor=self.user, team=team)
            except Refused as refusal:
                add_refusal(form, refusal)
            else:
                return redirect("accounts:team-calendar", team_ref=team.ref)
        return self._form(form, status=422)

    def _form(self, form: EntryForm, *, status: int = 200) -> HttpResponse:
        return self.render(
            "accounts/calendar/entry_form.html",
            form=form,
            title=f"Enter for {self.team.name}",
            button="Enter it",
            back_url=reverse("accounts:team-calendar", args=[self.team.ref]),
            back_label=f"Calendar of {self.team.name}",
            nav_key="accounts",
            status=status,
        )


def _team_form(*args: Any, **options: Any) -> EntryForm:
    return EntryForm(*args, of_team=True, sees_team_only=True, **options)


def team_entry(view: Any, ref: UUID) -> CalendarEntry:
    """Return an entry that holds for many accounts, to who is of the team; 404 for anybody else."""
    return view.find_in_team(CalendarEntry.objects.exclude(scope="account"), ref)


class TeamEntryEdit(PortalView):
    """Read an entry of a team, or change it."""

    permission = Permission.TEAM_VIEW
    write_permission = Permission.CALENDAR_TEAM

    def get(self, request: HttpRequest, team_calendar_entry_ref: UUID) -> HttpResponse:
        """Show it, as a form for who may change it."""
        entry = team_entry(self, team_calendar_entry_ref)
        return self._page(entry, _team_form(initial=typed(entry)))

    def post(self, request: HttpRequest, team_calendar_entry_ref: UUID) -> HttpResponse:
        """Keep the changes."""
        entry = team_entry(self, team_calendar_entry_ref)
        form = _team_form(request.POST)
        if form.is_valid():
            try:
                services.change_entry(entry, form.wanted(), actor=self.user)
            except Refused as refusal:
                add_refusal(form, refusal)
            else:
                return redirect("accounts:team-calendar", team_ref=self.team.ref)
        return self._page(entry, form, status=422)

    def _page(self, entry: CalendarEntry, form: EntryForm, *, status: int = 200) -> HttpResponse:
        return self.render(
            "accounts/calendar/entry_detail.html",
            entry=entry,
            form=form if Permission.CALENDAR_TEAM in self.granted and not entry.cancelled_at else None,
            cancel_url=reverse("accounts:team-calendar-entry-cancel", args=[entry.ref]),
            back_url=reverse("accounts:team-calendar", args=[self.team.ref]),
            back_label=f"Calendar of {self.team.name}",
            nav_key="accounts",
            status=status,
        )


class TeamEntryCancel(PortalView):
    """Call an entry of a team off."""

    permission = Permission.CALENDAR_TEAM

    def get(self, request: HttpRequest, team_calendar_entry_ref: UUID) -> HttpResponse:
        """Ask."""
        return self._ask(team_entry(self, team_calendar_entry_ref))

    def post(self, request: HttpRequest, team_calendar_entry_ref: UUID) -> HttpResponse:
        """Call it off."""
        entry = team_entry(self, team_calendar_entry_ref)
        try:
            services.cancel_entry(entry, reason=request.POST.get("reason", ""), actor=self.user)
        except (NotPermitted, StaleState):
            raise
        except Refused as refusal:
            return self._ask(entry, problem=refusal.says, status=422)
        return redirect("accounts:team-calendar", team_ref=self.team.ref)

    def _ask(self, entry: CalendarEntry, *, problem: str = "", status: int = 200) -> HttpResponse:
        return self.render(
            "components/confirm_page.html",
            **cancel_question(entry),
            action=self.request.path,
            problem=problem,
            back_label=f"Calendar of {self.team.name}",
            back_url=reverse("accounts:team-calendar", args=[self.team.ref]),
            nav_key="accounts",
            status=status,
        )


# --- feeds -------------------------------------------------------------------------------------------------


class FeedList(PortalView):
    """The own feeds: made, read last, ended."""

    permission = Permission.SIGNED_IN

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show them."""
        return self._page()

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Make one; its address is shown on this answer and never again. It outlives the session: that wants a proof."""
        if not is_fresh(request):
            messages.warning(request, RAN_OUT)
            return ask_for_it(request)
        account = None
        if wanted := request.POST.get("account", ""):
            rows = visible_to(self.user, Account, Permission.CALENDAR_VIEW)
            try:
                account = rows.filter(ref=UUID(wanted)).first()
            except ValueError:
                account = None
            if account is None:
                raise Http404("There is no such account of yours.")
        try:
            _feed, token = services.make_feed(self.user, account)
        except Refused as refusal:
            return self._page(problem=refusal.says, status=422)
        response = self._page(address=address_of_feed(token))
        response["Cache-Control"] = "no-store"
        return response

    def _page(self, *, address: str = "", problem: str = "", status: int = 200) -> HttpResponse:
        seen = visible_to(self.user, Account, Permission.CALENDAR_VIEW)
        accounts = seen.order_by("name", "pk")[:200]
        feeds = list(selectors.feeds_of(self.user))
        of = [feed.account_id for feed in feeds if feed.account_id is not None]
        return self.render(
            "accounts/calendar/feeds.html",
            feeds=feeds,
            # Whoever left an account does not learn what it is called now.
            named=set(seen.filter(pk__in=of).values_list("pk", flat=True)) if of else set(),
            accounts=accounts,
            chosen=self.request.GET.get("account", ""),
            address=address,
            problem=problem,
            nav_key="me",
            status=status,
        )


def address_of_feed(token: str) -> str:
    """Return the whole address of a feed."""
    return f"{settings.PUBLIC_URL}{reverse('accounts:calendar-feed', args=[token])}"


class FeedRevoke(PortalView):
    """End one of the own feeds."""

    permission = Permission.SIGNED_IN

    def post(self, request: HttpRequest, feed_ref: UUID) -> HttpResponse:
        """Revoke it; somebody else's is not there."""
        feed = CalendarFeed.objects.filter(user=self.user, ref=feed_ref).first()
        if feed is None:
            raise Http404("There is no such feed of yours.")
        services.revoke_feed(feed, actor=self.user)
        messages.success(request, "The feed is revoked. Its address opens nothing any more.")
        return redirect("accounts:calendar-feeds")


class Feed(PortalView):
    """A calendar for a program that reads iCalendar. The address is the key; nobody is named in it."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest, feed_token: str) -> HttpResponse:
        """Give the feed; 404 for a key that opens nothing, 429 for one that is read too often."""
        now = timezone.now()
        self._count(request, feed_token)
        feed = services.feed_of(feed_token, now)
        if feed is None:
            raise Http404("There is no such feed.")
        accounts = visible_to(feed.user, Account, Permission.CALENDAR_VIEW)
        if feed.account is not None:
            accounts = accounts.filter(pk=feed.account.pk)
        items = selectors.items_for(
            accounts,
            now - FEED_BACK,
            now + FEED_AHEAD,
            viewer=feed.user,
            with_cancelled_since=now - FEED_BACK,
            is_sealed=True,
            share=selectors.SHARE if feed.account is None else None,
        )
        written = calendar_of(
            items,
            name=str(feed.account) if feed.account is not None else "Steady State",
            domain=urlsplit(settings.PUBLIC_URL).hostname or "localhost",
            base_url=settings.PUBLIC_URL,
            now=datetime(2020, 1, 1, tzinfo=UTC),
        )
        response = HttpResponse(written, content_type="text/calendar; charset=utf-8")
        response["Cache-Control"] = "private, max-age=300"
        response["Content-Disposition"] = 'inline; filename="steady-state.ics"'
        response["X-Robots-Tag"] = "noindex"
        return response

    def _count(self, request: HttpRequest, token: str) -> None:
        whose = neighbourhood(address_of(request))
        try:
            by_feed, by_address = count([f"feed:{token[:14]}", f"feed-from:{whose}"], keep_s=READ_WINDOW_S)
        except (RedisError, OSError):
            return
        if by_feed > READS_PER_FEED or by_address > READS_PER_ADDRESS:
            raise TooOften(
                "This feed is read too often. Once in a few minutes is enough.",
                after_s=READ_WINDOW_S,
                whose="this feed" if by_feed > READS_PER_FEED else "the address that asks",
            )
