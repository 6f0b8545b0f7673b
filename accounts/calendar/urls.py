"""Addresses of calendars and their feeds."""

from __future__ import annotations

from django.urls import path

from accounts.calendar import views

urlpatterns = [
    path("accounts/<uuid:account_ref>/calendar/", views.CalendarPage.as_view(), name="calendar"),
    path("accounts/<uuid:account_ref>/calendar/add/", views.EntryAdd.as_view(), name="calendar-add"),
    path("calendar/<uuid:calendar_entry_ref>/", views.EntryEdit.as_view(), name="calendar-entry"),
    path(
        "calendar/<uuid:calendar_entry_ref>/call-off/",
        views.EntryCancel.as_view(),
        name="calendar-entry-cancel",
    ),
    path("teams/<uuid:team_ref>/calendar/", views.TeamCalendar.as_view(), name="team-calendar"),
    path("teams/<uuid:team_ref>/calendar/add/", views.TeamEntryAdd.as_view(), name="team-calendar-add"),
    path(
        "team-calendar/<uuid:team_calendar_entry_ref>/",
        views.TeamEntryEdit.as_view(),
        name="team-calendar-entry",
    ),
    path(
        "team-calendar/<uuid:team_calendar_entry_ref>/call-off/",
        views.TeamEntryCancel.as_view(),
        name="team-calendar-entry-cancel",
    ),
    path("me/calendar-feeds/", views.FeedList.as_view(), name="calendar-feeds"),
    path(
        "me/calendar-feeds/<uuid:feed_ref>/revoke/", views.FeedRevoke.as_view(), name="calendar-feed-revoke"
    ),
    path("calendar/feed/<str:feed_token>.ics", views.Feed.as_view(), name="calendar-feed"),
]
