"""The API's addresses for accounts, contacts, cloud connections, tokens and oneself."""

from __future__ import annotations

from django.urls import path

from accounts import api

urlpatterns = [
    path("me", api.MeApi.as_view(), name="api-me"),
    path("tokens", api.TokenListApi.as_view(), name="api-tokens"),
    path("tokens/<uuid:token_ref>", api.TokenApi.as_view(), name="api-token"),
    path("accounts", api.AccountListApi.as_view(), name="api-accounts"),
    path("accounts/<uuid:account_ref>", api.AccountApi.as_view(), name="api-account"),
    path("accounts/<uuid:account_ref>/contacts", api.ContactListApi.as_view(), name="api-contacts"),
    path("contacts/<uuid:contact_ref>", api.ContactApi.as_view(), name="api-contact"),
    path("contacts/<uuid:contact_ref>/confirm", api.ContactConfirmApi.as_view(), name="api-contact-confirm"),
    path("accounts/<uuid:account_ref>/connections", api.ConnectionListApi.as_view(), name="api-connections"),
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
]
