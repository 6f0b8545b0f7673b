"""The API's addresses for calendars and their feeds."""

from __future__ import annotations

from django.urls import path

from accounts.calendar import api

urlpatterns = [
    path("accounts/<uuid:account_ref>/calendar", api.CalendarApi.as_view(), name="api-calendar"),
    path("accounts/<uuid:account_ref>/change-lock", api.ChangeLockApi.as_view(), name="api-change-lock"),
    path(
        "calendar-entries/<uuid:calendar_entry_ref>",
        api.CalendarEntryApi.as_view(),
        name="api-calendar-entry",
    ),
    path(
        "calendar-entries/<uuid:calendar_entry_ref>/call-off",
        api.CalendarEntryCancelApi.as_view(),
        name="api-calendar-entry-cancel",
    ),
    path("teams/<uuid:team_ref>/calendar", api.TeamCalendarApi.as_view(), name="api-team-calendar"),
    path(
        "team-calendar-entries/<uuid:team_calendar_entry_ref>",
        api.TeamCalendarEntryApi.as_view(),
        name="api-team-calendar-entry",
    ),
    path(
        "team-calendar-entries/<uuid:team_calendar_entry_ref>/call-off",
        api.TeamCalendarEntryCancelApi.as_view(),
        name="api-team-calendar-entry-cancel",
    ),
    path("me/calendar-feeds", api.FeedListApi.as_view(), name="api-calendar-feeds"),
    path("me/calendar-feeds/<uuid:feed_ref>", api.FeedApi.as_view(), name="api-calendar-feed"),
]
