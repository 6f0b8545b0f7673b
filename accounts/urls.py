"""Addresses of accounts, contacts and cloud connections."""

from __future__ import annotations

from django.urls import path

from accounts import people_views as people
from accounts import token_views as tokens
from accounts import views
from accounts.calendar.urls import urlpatterns as calendar
from accounts.cases.urls import urlpatterns as cases
from accounts.contact_files.urls import urlpatterns as contact_files
from accounts.contacts.urls import urlpatterns as contacts
from accounts.reach.urls import urlpatterns as reach
from accounts.reviews.urls import urlpatterns as reviews
from accounts.webhooks.urls import urlpatterns as webhooks

app_name = "accounts"
urlpatterns = [
    path("accounts/", views.AccountList.as_view(), name="account-list"),
    path("accounts/as.csv", views.AccountListCsv.as_view(), name="account-list-csv"),
    path("accounts/<uuid:account_ref>/", views.AccountDetail.as_view(), name="account-detail"),
    path("accounts/<uuid:account_ref>/activity/", views.Activity.as_view(), name="activity"),
    path(
        "accounts/<uuid:account_ref>/activity/download/",
        views.ActivityDownload.as_view(),
        name="activity-download",
    ),
    *contact_files,
    *contacts,
    *reach,
    path(
        "accounts/<uuid:account_ref>/connections/add/", views.ConnectionAdd.as_view(), name="connection-add"
    ),
    path("connections/<uuid:connection_ref>/", views.ConnectionDetail.as_view(), name="connection-detail"),
    path("connections/<uuid:connection_ref>/test/", views.ConnectionTest.as_view(), name="connection-test"),
    path(
        "connections/<uuid:connection_ref>/discover/",
        views.ConnectionDiscover.as_view(),
        name="connection-discover",
    ),
    # people
    path("accounts/<uuid:account_ref>/access/", people.Access.as_view(), name="access"),
    path("accounts/<uuid:account_ref>/access/invite/", people.Invite.as_view(), name="invite"),
    path("accounts/<uuid:account_ref>/leave/", people.Leave.as_view(), name="leave"),
    path("members/<uuid:member_ref>/role/", people.MemberRole.as_view(), name="member-role"),
    path("members/<uuid:member_ref>/remove/", people.MemberRemove.as_view(), name="member-remove"),
    path(
        "invitations/<uuid:invitation_ref>/revoke/",
        people.InvitationRevoke.as_view(),
        name="invitation-revoke",
    ),
    path("invitations/<uuid:invitation_ref>/send/", people.InvitationSend.as_view(), name="invitation-send"),
    path(
        "accounts/<uuid:account_ref>/access/tokens/make/",
        tokens.ServiceTokenMake.as_view(),
        name="service-token-make",
    ),
    path(
        "service-tokens/<uuid:service_token_ref>/revoke/",
        tokens.ServiceTokenRevoke.as_view(),
        name="service-token-revoke",
    ),
    path("accounts/<uuid:account_ref>/settings/", people.AccountSettings.as_view(), name="account-settings"),
    path("accounts/<uuid:account_ref>/archive/", people.AccountArchive.as_view(), name="account-archive"),
    path("accounts/<uuid:account_ref>/reopen/", people.AccountReopen.as_view(), name="account-reopen"),
    # teams
    path("teams/", people.TeamList.as_view(), name="team-list"),
    path("teams/<uuid:team_ref>/", people.TeamDetail.as_view(), name="team-detail"),
    path("teams/<uuid:team_ref>/invite/", people.TeamInvite.as_view(), name="team-invite"),
    path("teams/<uuid:team_ref>/leave/", people.TeamLeave.as_view(), name="team-leave"),
    path("teams/<uuid:team_ref>/accounts/open/", people.AccountOpen.as_view(), name="account-open"),
    path("team-members/<uuid:team_member_ref>/role/", people.TeamRolePage.as_view(), name="team-member-role"),
    path(
        "team-members/<uuid:team_member_ref>/remove/", people.TeamRemove.as_view(), name="team-member-remove"
    ),
    path(
        "team-members/<uuid:team_member_ref>/switch-off/",
        people.TeamSwitchOff.as_view(),
        name="team-member-switch-off",
    ),
    path(
        "team-invitations/<uuid:team_invitation_ref>/revoke/",
        people.TeamInvitationRevoke.as_view(),
        name="team-invitation-revoke",
    ),
    path(
        "team-invitations/<uuid:team_invitation_ref>/send/",
        people.TeamInvitationSend.as_view(),
        name="team-invitation-send",
    ),
    *cases,
    *webhooks,
    *reviews,
    *calendar,
]
