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
]
