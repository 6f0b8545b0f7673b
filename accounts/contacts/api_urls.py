"""The API's addresses for contacts; accounts/api_urls.py includes them."""

from __future__ import annotations

from django.urls import path

from accounts.contacts import api

urlpatterns = [
    path("accounts/<uuid:account_ref>/contacts", api.ContactListApi.as_view(), name="api-contacts"),
    path("contacts/<uuid:contact_ref>", api.ContactApi.as_view(), name="api-contact"),
    path(
        "accounts/<uuid:account_ref>/contacts/<uuid:contact_ref>/erase",
        api.ContactEraseApi.as_view(),
        name="api-contact-erase",
    ),
    path("contacts/<uuid:contact_ref>/confirm", api.ContactConfirmApi.as_view(), name="api-contact-confirm"),
    path("contacts/<uuid:contact_ref>/prove", api.ContactProveApi.as_view(), name="api-contact-prove"),
    path("accounts/<uuid:account_ref>/call-order", api.CallOrderApi.as_view(), name="api-call-order"),
    path("accounts/<uuid:account_ref>/coverage", api.CoverageApi.as_view(), name="api-coverage"),
    path(
        "accounts/<uuid:account_ref>/coverage/overrides",
        api.OverrideListApi.as_view(),
        name="api-coverage-overrides",
    ),
    path(
        "coverage-overrides/<uuid:override_ref>/end",
        api.OverrideEndApi.as_view(),
        name="api-coverage-override-end",
    ),
    path("accounts/<uuid:account_ref>/rotations", api.RotationListApi.as_view(), name="api-rotations"),
    path("rotations/<uuid:rotation_ref>", api.RotationApi.as_view(), name="api-rotation"),
    path("accounts/<uuid:account_ref>/parties", api.PartyListApi.as_view(), name="api-parties"),
    path("parties/<uuid:party_ref>", api.PartyApi.as_view(), name="api-party"),
    path("accounts/<uuid:account_ref>/support-pin", api.SupportPinApi.as_view(), name="api-support-pin"),
    path("accounts/<uuid:account_ref>/duty", api.DutyApi.as_view(), name="api-duty"),
    path("contacts/<uuid:contact_ref>/ask", api.ContactAskApi.as_view(), name="api-contact-ask"),
    path("contacts/<uuid:contact_ref>/keep", api.ContactKeepApi.as_view(), name="api-contact-keep"),
    path(
        "contacts/<uuid:contact_ref>/links/revoke",
        api.ContactLinksRevokeApi.as_view(),
        name="api-contact-links-revoke",
    ),
    path(
        "accounts/<uuid:account_ref>/contacts/confirm",
        api.ContactConfirmListApi.as_view(),
        name="api-contact-confirm-list",
    ),
]
