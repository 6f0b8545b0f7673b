"""The API's addresses for accounts, contacts, cloud connections, tokens and oneself."""

from __future__ import annotations

from django.urls import path

from accounts import api, events_api, token_api
from accounts import people_api as people
from accounts.calendar.api_urls import urlpatterns as calendar
from accounts.cases.api_urls import urlpatterns as cases
from accounts.contact_files.api_urls import urlpatterns as contact_files
from accounts.contacts.api_urls import urlpatterns as contacts
from accounts.reach.api_urls import urlpatterns as reach
from accounts.reviews.api_urls import urlpatterns as reviews
from accounts.webhooks.api_urls import urlpatterns as webhooks

urlpatterns = [
    path("me", api.MeApi.as_view(), name="api-me"),
    path("tokens", token_api.TokenListApi.as_view(), name="api-tokens"),
    path("tokens/<uuid:token_ref>", token_api.TokenApi.as_view(), name="api-token"),
    path(
        "accounts/<uuid:account_ref>/service-tokens",
        token_api.ServiceTokenListApi.as_view(),
        name="api-service-tokens",
    ),
    path(
        "service-tokens/<uuid:service_token_ref>",
        token_api.ServiceTokenApi.as_view(),
        name="api-service-token",
    ),
    path("accounts", api.AccountListApi.as_view(), name="api-accounts"),
    path("accounts/<uuid:account_ref>", api.AccountApi.as_view(), name="api-account"),
    path("accounts/<uuid:account_ref>/events", events_api.AccountEventsApi.as_view(), name="api-events"),
    *contact_files,
    *contacts,
    *reach,
    path("accounts/<uuid:account_ref>/connections", api.ConnectionListApi.as_view(), name="api-connections"),
    path("accounts/<uuid:account_ref>/networks", api.NetworkListApi.as_view(), name="api-networks"),
    path("connections/<uuid:connection_ref>", api.ConnectionApi.as_view(), name="api-connection"),
    path(
        "connections/<uuid:connection_ref>/check",
        api.ConnectionCheckApi.as_view(),
        name="api-connection-check",
    ),
    path(
        "connections/<uuid:connection_ref>/discovery",
        api.ConnectionDiscoveryApi.as_view(),
        name="api-connection-discovery",
    ),
    path("accounts/<uuid:account_ref>/members", people.MemberListApi.as_view(), name="api-members"),
    path("accounts/<uuid:account_ref>/leave", people.LeaveApi.as_view(), name="api-leave"),
    path("members/<uuid:member_ref>", people.MemberApi.as_view(), name="api-member"),
    path(
        "accounts/<uuid:account_ref>/invitations", people.InvitationListApi.as_view(), name="api-invitations"
    ),
    path("invitations/accept", people.JoinApi.as_view(), name="api-join"),
    path("invitations/<uuid:invitation_ref>", people.InvitationApi.as_view(), name="api-invitation"),
    path(
        "invitations/<uuid:invitation_ref>/send",
        people.InvitationSendApi.as_view(),
        name="api-invitation-send",
    ),
    path(
        "accounts/<uuid:account_ref>/archive", people.AccountArchiveApi.as_view(), name="api-account-archive"
    ),
    path("accounts/<uuid:account_ref>/reopen", people.AccountReopenApi.as_view(), name="api-account-reopen"),
    path("teams", people.TeamListApi.as_view(), name="api-teams"),
    path("teams/<uuid:team_ref>", people.TeamApi.as_view(), name="api-team"),
    path("teams/<uuid:team_ref>/accounts", people.TeamAccountsApi.as_view(), name="api-team-accounts"),
    path("teams/<uuid:team_ref>/members", people.TeamMemberListApi.as_view(), name="api-team-members"),
    path("teams/<uuid:team_ref>/leave", people.TeamLeaveApi.as_view(), name="api-team-leave"),
    path(
        "teams/<uuid:team_ref>/invitations",
        people.TeamInvitationListApi.as_view(),
        name="api-team-invitations",
    ),
    path("team-members/<uuid:team_member_ref>", people.TeamMemberApi.as_view(), name="api-team-member"),
    path(
        "team-members/<uuid:team_member_ref>/switch-off",
        people.TeamSwitchOffApi.as_view(),
        name="api-team-member-switch-off",
    ),
    path(
        "team-invitations/<uuid:team_invitation_ref>",
        people.TeamInvitationApi.as_view(),
        name="api-team-invitation",
    ),
    path(
        "team-invitations/<uuid:team_invitation_ref>/send",
        people.TeamInvitationSendApi.as_view(),
        name="api-team-invitation-send",
    ),
    *cases,
    *webhooks,
    *reviews,
    *calendar,
]
